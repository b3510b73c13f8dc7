#!/bin/bash
# Builds the fuzz targets with clang and runs each for a while, under AddressSanitizer and UBSan, as many at a time as there
# are processors.
#   scripts/fuzz.sh [SECONDS] [TARGET...]     default: 10 seconds each, all targets
# FUZZ_RUNS: inputs after which a target stops before its time is up; a hundredth of them for hdf5_cache, which writes each to a file.
# New inputs go to build/fuzz/corpus; one that crashes is kept in build/fuzz/crashes and named, and belongs into
# tests/regressions/TARGET/ with a unit test, in the same change as its repair.
set -euo pipefail
cd "$(dirname "$0")/.."
export seconds=${1:-10} runs=${FUZZ_RUNS:--1}
[ $# -gt 0 ] && shift
scripts/setup.sh ci
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
  [ "$target" = hdf5_cache ] && [ "$runs" -gt 0 ] && runs=$((runs / 100))
  if "build/fuzz/bin/fuzz_$target" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" "${dictionary[@]}" \
      -max_total_time="$seconds" -runs="$runs" -rss_limit_mb=1024 -timeout=2 -print_final_stats=1 \
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
