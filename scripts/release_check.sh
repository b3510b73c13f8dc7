#!/bin/bash
# The checks that are too long for CI, each well under an hour, and a record of their figures in docs/release-checks.md.
#   scripts/release_check.sh fuzz       10 million inputs or 30 minutes a target (FUZZ_SECONDS to change the latter)
#   scripts/release_check.sh tidy       clang-tidy over the ground floor
#   scripts/release_check.sh startup    median start of 7, memory of --help
#   scripts/release_check.sh resume     every cell of the resume matrix
#   scripts/release_check.sh odd        the unit tests in odd surroundings
#   scripts/release_check.sh memory     what guerdon plan predicts beside measured peaks
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
  scripts/startup.py build/release/bin/guerdon | tee build/release-startup.log
  while read -r line; do note "start-up" "$line"; done <build/release-startup.log
}

check_memory() {
  scripts/setup.sh tests
  cmake --preset dev --log-level=WARNING
  cmake --build build/dev
  ctest --test-dir build/dev --label-regex release --verbose | tee build/release-memory.log
  while read -r line; do note "memory, guerdon plan" "$line"; done < <(grep -o '[a-z]*: predicted .*' build/release-memory.log)
}

check_asserts() {
  scripts/setup.sh tests
  CXXFLAGS=-D_GLIBCXX_ASSERTIONS cmake --preset dev -B build/asserts --log-level=WARNING
  cmake --build build/asserts
  OMP_NUM_THREADS=1 ctest --test-dir build/asserts --parallel "$(nproc)" --output-on-failure | tee build/release-asserts.log
  note "tests with _GLIBCXX_ASSERTIONS" "$(grep 'tests passed' build/release-asserts.log)"
}

check_resume() {
  scripts/setup.sh tests
  cmake --preset dev --log-level=WARNING
  cmake --build build/dev --target train_e2e_tests
  OMP_NUM_THREADS=1 GUERDON_RESUME_CELLS=all build/dev/bin/train_e2e_tests --gtest_filter='ResumeMatrix.*' | tee build/release-resume.log
  note "resume matrix" "$(grep -cE '^(sft|reward|dpo|grpo)_' build/release-resume.log) cells bit for bit"
}

# Another language, time zone and umask, no HOME, temporary files in a folder with blanks, quotes, line ends and letters that
# are not ASCII in its name.
check_odd() {
  scripts/setup.sh tests
  cmake --preset dev --log-level=WARNING
  cmake --build build/dev
  local odd
  odd=$(mktemp -d)
  mkdir -p "$odd/locales" "$odd/a 'b' \"ü\""$'\n'c
  localedef -i tr_TR -f UTF-8 "$odd/locales/tr_TR.utf8" || [ -e "$odd/locales/tr_TR.utf8" ]
  (
    umask 077
    export LOCPATH=$odd/locales LANG=tr_TR.UTF-8 TZ=Pacific/Chatham TMPDIR="$odd/a 'b' \"ü\""$'\n'c OMP_NUM_THREADS=1
    unset HOME
    ctest --test-dir build/dev -L unit --parallel "$(nproc)" --output-on-failure
  ) | tee build/release-odd.log
  note "unit tests in odd surroundings" "$(grep 'tests passed' build/release-odd.log)"
  rm -r "$odd"
}

mkdir -p build
if [ $# -eq 0 ]; then set -- startup tidy asserts memory resume odd fuzz; fi
for part in "$@"; do
  "check_$part"
done
