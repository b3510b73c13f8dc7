#!/bin/bash
# Sets up, builds everything and runs the tests. Arguments go to ctest: scripts/test.sh -R tokenizer
# GUERDON_PRESET: the preset to build (default: dev).
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${GUERDON_PRESET:-dev}

scripts/setup.sh tests
cmake --preset "$preset" --log-level=WARNING
cmake --build --preset "$preset"
# Tests with the label release run before one: scripts/release_check.sh.
# One thread for each test: ctest runs as many tests as there are cores.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} ctest --test-dir "build/$preset" --parallel "$(nproc)" --output-on-failure --label-exclude release "$@"
