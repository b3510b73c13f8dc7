#!/bin/bash
# The checks that are too long for CI, each well under an hour, and a record of their figures in docs/release-checks.md.
#   scripts/release_check.sh fuzz       10 million inputs or 30 minutes a target (FUZZ_SECONDS to change the latter)
#   scripts/release_check.sh tidy       clang-tidy over the ground floor
#   scripts/release_check.sh startup    median start of 7, memory of --help
#   scripts/release_check.sh asserts    the tests with the standard library's assertions
#   scripts/release_check.sh            all of them
set -euo pipefail
cd "$(dirname "$0")/.."
record=docs/release-checks.md
commit=$(git rev-parse --short HEAD)

note() {
  echo "$1: $2"
  echo "| $(date -u +%F) | $commit | $1 | $2 |" >>"$record"
}

check_fuzz() {
  scripts/fuzz.sh "${FUZZ_SECONDS:-1800}" | tee build/release-fuzz.log
  while read -r line; do note "fuzz, ${FUZZ_SECONDS:-1800} s" "$line"; done < <(sed -n 's/^fuzz: //p' build/release-fuzz.log)
}

check_tidy() {
  scripts/tidy.sh
  note "clang-tidy, ground floor" "no warning"
}

check_startup() {
  scripts/setup.sh
  cmake --preset release --log-level=WARNING
  cmake --build --preset release
  python3 - build/release/bin/guerdon >build/release-startup.log <<'PYTHON'
import resource, statistics, subprocess, sys, time
for arguments in (["--help"], ["version"], ["doctor", "--help"]):
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        subprocess.run([sys.argv[1], *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    median = statistics.median(times)
    print(f"guerdon {' '.join(arguments)}: median {median:.3f} s, memory so far {peak:.0f} MB")
    limit = 150 if arguments == ["--help"] else 1024
    if median > 0.35 or peak > limit:
        sys.exit(f"guerdon {' '.join(arguments)}: {median:.3f} s, {peak:.0f} MB is too much")
PYTHON
  while read -r line; do note "start-up" "$line"; done <build/release-startup.log
}

check_asserts() {
  scripts/setup.sh tests
  CXXFLAGS=-D_GLIBCXX_ASSERTIONS cmake --preset dev -B build/asserts --log-level=WARNING
  cmake --build build/asserts
  OMP_NUM_THREADS=1 ctest --test-dir build/asserts --parallel "$(nproc)" --output-on-failure | tee build/release-asserts.log
  note "tests with _GLIBCXX_ASSERTIONS" "$(grep 'tests passed' build/release-asserts.log)"
}

mkdir -p build
if [ $# -eq 0 ]; then set -- startup tidy asserts fuzz; fi
for part in "$@"; do
  "check_$part"
done
