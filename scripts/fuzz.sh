#!/bin/bash
# Builds the fuzz targets with clang and runs each for a while, under AddressSanitizer and UBSan, as many at a time as there
# are processors.
#   scripts/fuzz.sh [SECONDS] [TARGET...]     default: 10 seconds each, all targets
# New inputs go to build/fuzz/corpus; one that crashes is kept in build/fuzz/crashes and named, and belongs into
# tests/regressions/TARGET/ with a unit test, in the same change as its repair.
set -euo pipefail
cd "$(dirname "$0")/.."
export seconds=${1:-10}
[ $# -gt 0 ] && shift
[ -e build/fuzz/build.ninja ] || cmake --preset fuzz --log-level=WARNING
cmake --build build/fuzz --target guerdon_fuzzers
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for program in build/fuzz/bin/fuzz_*; do targets+=("${program#build/fuzz/bin/fuzz_}"); done
fi

fuzz() {
  local target=$1 dictionary=() log=build/fuzz/$1.log
  mkdir -p build/fuzz/crashes "build/fuzz/corpus/$target"
  [ -e "tests/fuzz/$target.dict" ] && dictionary=("-dict=tests/fuzz/$target.dict")
  if "build/fuzz/bin/fuzz_$target" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" "${dictionary[@]}" \
      -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=2 -print_final_stats=1 \
      -artifact_prefix="build/fuzz/crashes/$target-" >"$log" 2>&1; then
    echo "fuzz: $target: $(sed -n 's/stat::number_of_executed_units: *//p' "$log") inputs, no crash"
  else
    echo "fuzz: $target: FAILED, see $log"
    grep -E 'ERROR|SUMMARY|Test unit written|runtime error' "$log" | head -5
    return 1
  fi
}
export -f fuzz
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz {}'
