#!/bin/bash
# Builds the fuzz targets with clang and runs each for a while, under AddressSanitizer and UBSan.
#   scripts/fuzz.sh [SECONDS] [TARGET...]     default: 10 seconds each, all targets
# New inputs go to build/fuzz/corpus; one that crashes is kept in build/fuzz/crashes and named, and belongs into
# tests/regressions/TARGET/ with a unit test, in the same change as its repair.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
[ $# -gt 0 ] && shift
cmake --preset fuzz --log-level=WARNING
cmake --build --preset fuzz
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in tests/fuzz/*.cpp; do
    name=$(basename "$source" .cpp)
    [ "$name" = replay ] || targets+=("$name")
  done
fi

mkdir -p build/fuzz/crashes
failed=0
for target in "${targets[@]}"; do
  mkdir -p "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target"
  dictionary=()
  [ -e "tests/fuzz/$target.dict" ] && dictionary=("-dict=tests/fuzz/$target.dict")
  log=build/fuzz/$target.log
  if "build/fuzz/bin/fuzz_$target" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" "${dictionary[@]}" \
      -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=2 -print_final_stats=1 \
      -artifact_prefix="build/fuzz/crashes/$target-" >"$log" 2>&1; then
    echo "fuzz: $target: $(sed -n 's/stat::number_of_executed_units: *//p' "$log") inputs, no crash"
  else
    failed=1
    echo "fuzz: $target: FAILED, see $log"
    grep -E 'ERROR|SUMMARY|Test unit written|runtime error' "$log" | head -5 || true
  fi
done
exit $failed
