#!/bin/bash
# The checks that are too long for CI, each well under an hour, and a record of their figures in docs/release-checks.md.
#   scripts/release_check.sh startup    median start of 7, memory of --help
#   scripts/release_check.sh tidy       clang-tidy over the ground floor
#   scripts/release_check.sh asserts    the tests with the standard library's assertions
#   scripts/release_check.sh memory     what guerdon plan predicts beside measured peaks
#   scripts/release_check.sh resume     every cell of the resume matrix
#   scripts/release_check.sh odd        the unit tests in odd surroundings
#   scripts/release_check.sh            all of these
#   scripts/release_check.sh fuzz [TARGET...]   10 million inputs or 30 minutes (FUZZ_SECONDS) a target: on two cores, four targets an hour
set -euo pipefail
cd "$(dirname "$0")/.."
commit=$(git rev-parse --short HEAD)

note() {
  echo "$1: $2"
  echo "| $(date -u +%F) | $commit | $1 | $2 |" >>docs/release-checks.md
}

# build TARGET...: of the preset dev.
build() {
  cmake --preset dev --log-level=WARNING
  cmake --build build/dev --target "$@"
}

# run_tests FOLDER ARGUMENT...: as scripts/test.sh does.
run_tests() {
  OMP_NUM_THREADS=1 ctest --test-dir "$1" --parallel "$(nproc)" --output-on-failure --label-exclude release "${@:2}"
}

check_startup() {
  cmake --preset release --log-level=WARNING
  cmake --build --preset release
  scripts/startup.py build/release/bin/guerdon | tee build/release-startup.log
  note "start-up" "$(tail -1 build/release-startup.log)"
}

check_tidy() {
  scripts/tidy.sh | tee build/release-tidy.log
  note "clang-tidy, ground floor" "$(sed -n 's/^tidy: //p' build/release-tidy.log)"
}

check_asserts() {
  CXXFLAGS=-D_GLIBCXX_ASSERTIONS cmake --preset dev -B build/asserts --log-level=WARNING
  cmake --build build/asserts
  run_tests build/asserts | tee build/release-asserts.log
  note "tests with _GLIBCXX_ASSERTIONS" "$(grep 'tests passed' build/release-asserts.log)"
}

check_memory() {
  build memory_tests
  ctest --test-dir build/dev --label-regex release --verbose | tee build/release-memory.log
  while read -r line; do note "memory, guerdon plan" "$line"; done < <(grep -o '[a-z]*: predicted .*' build/release-memory.log)
}

check_resume() {
  build train_e2e_tests
  OMP_NUM_THREADS=1 GUERDON_RESUME_CELLS=all build/dev/bin/train_e2e_tests --gtest_filter='ResumeMatrix.*' | tee build/release-resume.log
  note "resume matrix" "$(grep -cE '^(sft|reward|dpo|grpo)_' build/release-resume.log) cells bit for bit"
}

# Another language, time zone and umask, no HOME, temporary files in a folder with blanks, quotes, line ends and letters that
# are not ASCII in its name.
check_odd() {
  build all
  local odd folder
  odd=$(mktemp -d)
  folder=$odd/"a 'b' \"ü\""$'\n'c
  mkdir -p "$odd/locales" "$folder"
  localedef -i tr_TR -f UTF-8 "$odd/locales/tr_TR.utf8" || [ -e "$odd/locales/tr_TR.utf8" ] # it warns, and says no
  local through_shell='^(cli|train\.GenerateCommand)\.' # these write paths into a command line as they are: a plain folder for them
  (
    umask 077
    export LOCPATH=$odd/locales LANG=tr_TR.UTF-8 TZ=Pacific/Chatham
    unset HOME
    TMPDIR=$folder run_tests build/dev -L unit -E "$through_shell"
    TMPDIR=$odd run_tests build/dev -L unit -R "$through_shell"
  ) | tee build/release-odd.log
  note "unit tests in odd surroundings" "$(grep 'tests passed' build/release-odd.log | paste -sd ' ')"
  rm -r "$odd"
}

check_fuzz() {
  export FUZZ_RUNS=10000000
  scripts/fuzz.sh "${FUZZ_SECONDS:-1800}" "$@" | tee build/release-fuzz.log
  note "fuzz, ${FUZZ_SECONDS:-1800} s" "$(awk '/^fuzz: / { sum += $3; names = names (names ? ", " : "") $2 " " $3 }
                                           END { gsub(":", "", names); printf "%.0f inputs, no crash: %s", sum, names }' build/release-fuzz.log)"
}

mkdir -p build
scripts/setup.sh release
if [ "${1:-}" = fuzz ]; then
  check_fuzz "${@:2}"
  exit
fi
if [ $# -eq 0 ]; then set -- startup tidy asserts memory resume odd; fi
for part in "$@"; do
  "check_$part"
done
