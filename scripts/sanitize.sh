#!/bin/bash
# The tests of the ground floor and of the operators (ops, kernels/cpu) under AddressSanitizer and UBSan, built by clang in the
# tree of scripts/fuzz.sh. Arguments go to ctest: scripts/sanitize.sh -R text
# LibTorch is not instrumented, so the rooms above the operators are left out.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh ci
cmake --preset fuzz -DGUERDON_WITH_TORCH=ON --log-level=WARNING
cmake --build build/fuzz --target guerdon_tests
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} ctest --test-dir build/fuzz --parallel "$(nproc)" --output-on-failure "$@"
if [ $# -eq 0 ]; then # once more by the bodies that a machine with AVX-512 does not choose
  OMP_NUM_THREADS=2 GUERDON_KERNELS=avx2 build/fuzz/bin/ops_tests --gtest_brief=1
fi
