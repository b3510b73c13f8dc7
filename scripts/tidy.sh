#!/bin/bash
# clang-tidy over the ground floor, or over the files that are named: scripts/tidy.sh [FILE...]
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset tidy --log-level=WARNING
if [ $# -gt 0 ]; then
  files=("$@")
else
  mapfile -t files < <(git ls-files 'src/base/*.cpp' 'src/math/*.cpp' 'src/text/*.cpp' 'src/data/*.cpp' 'src/rules/*.cpp' 'src/report/*.cpp')
fi
printf '%s\n' "${files[@]}" | xargs -n 1 -P "$(nproc)" clang-tidy -p build/tidy --quiet
