#!/bin/bash
# Builds libguerdon_cuda.so, the operators' kernels for GPUs, and runs what tests it has. No GPU is needed for the build: without one
# the tests only open the library, and say that they skip the rest.
# GUERDON_PRESET: the preset whose tree takes it (default: cuda).
# nvcc 13 is looked for in CUDACXX, the PATH and /usr/local/cuda; without it nothing is done, aloud.
set -euo pipefail
cd "$(dirname "$0")/.."

nvcc=${CUDACXX:-$(command -v nvcc || true)}
[ -z "$nvcc" ] && [ -x /usr/local/cuda/bin/nvcc ] && nvcc=/usr/local/cuda/bin/nvcc
release=$([ -n "$nvcc" ] && "$nvcc" --version | sed -n 's/.*release \([0-9]*\).*/\1/p' || true)
if [ "${release:-0}" -lt 13 ]; then
  echo "SKIPPED FOR WANT OF NVCC 13 (found: ${nvcc:-none}): install NVIDIA's CUDA toolkit 13.0, or set CUDACXX" >&2
  exit 0
fi

scripts/setup.sh tests
preset=${GUERDON_PRESET:-cuda}
cmake --preset "$preset" -DGUERDON_WITH_CUDA=ON -DCMAKE_CUDA_COMPILER="$nvcc" --log-level=WARNING
report=build/$preset/ptxas.txt
# A kernel that spills registers fails to compile; the report says what the others use.
cmake --build "build/$preset" --target guerdon_cuda ops_tests >"$report" 2>&1 || { cat "$report" >&2; exit 1; }
awk '/Compiling entry function/ { arch = substr($NF, 2, length($NF) - 2); kernels[arch]++ }
     /Used [0-9]+ registers/ { for (i = 1; i < NF; i++) if ($i == "Used" && $(i + 1) + 0 > most[arch]) most[arch] = $(i + 1) + 0 }
     END { for (arch in kernels) printf "%s: %d kernels, at most %d registers, none spilled\n", arch, kernels[arch], most[arch] }' "$report" | sort
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} ctest --test-dir "build/$preset" --output-on-failure --tests-regex '^ops.OnAGpu$'
