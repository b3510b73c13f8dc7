#!/bin/sh
# A reward model on a pretrained sentence encoder.
#   examples/05_encoder_reward/run.sh ENCODER TRAIN TEST OUTPUT [key=value ...]
# GUERDON names the program when it is not on the path; more settings go to the training.
set -eu
encoder=$1 train=$2 test=$3 output=$4
shift 4
guerdon=${GUERDON:-guerdon}
judge="{\"use\": \"model\", \"path\": \"$output\", \"truncate\": true}"

"$guerdon" train reward --config "$(dirname "$0")/reward.json" model_name_or_path="$encoder" data.train="$train" \
  data.eval="$test" --output "$output" "$@"
"$guerdon" eval reward --model "$judge" --data "$test" --keep-transcripts
"$guerdon" score --reward "$judge" --data "$test" --keep-transcripts --output "$output/scores.jsonl"
