#!/bin/bash
# From nothing to an aligned policy: sets up, builds the CPU release, and runs the recipe of the quickstart.
#   scripts/quickstart.sh                      with data that guerdon makes itself
#   scripts/quickstart.sh --data FILE.jsonl    with preference pairs of your own (prompt, chosen, rejected)
# Further arguments go to `guerdon run`. The results are in runs/quickstart, with report.html.
set -euo pipefail
from=$PWD
cd "$(dirname "$0")/.."

scripts/setup.sh
cmake --preset release --log-level=WARNING
cmake --build --preset release
program=$PWD/build/release/bin/guerdon recipe=$PWD/configs/recipes/quickstart.json
cd "$from"  # relative paths among the arguments are the user's
exec "$program" run "$recipe" "$@"
