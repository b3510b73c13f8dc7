#!/bin/bash
# Installs what guerdon needs and is not there: Debian packages (root or sudo), and LibTorch into .deps.
#   scripts/setup.sh          for the library and the program
#   scripts/setup.sh tests    for the tests and benchmarks too
#   scripts/setup.sh ci       for all that .ci/run does
#   scripts/setup.sh release  for all that scripts/release_check.sh does
# The kernels for GPUs (scripts/cuda.sh) need NVIDIA's CUDA toolkit 13.0, which is no package of Debian's: without its nvcc they are
# left out, and nothing else needs it.
# GUERDON_TORCH_DIR: a LibTorch that is there already (the folder that holds include/ and lib/; site-packages/torch of a
# Python will do). With everything in place it takes a fraction of a second.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
fail() { echo "setup: error: $1" >&2; exit 4; }

build=(g++ cmake ninja-build lld python3 python3-pip libeigen3-dev nlohmann-json3-dev libspdlog-dev libcli11-dev
       libhdf5-dev libpcre2-dev libicu-dev libssl-dev zlib1g-dev libyaml-cpp-dev bubblewrap)
tests=(git ccache libgtest-dev libbenchmark-dev)
ci=(clang libclang-rt-14-dev llvm clang-format)
release=(clang-tidy locales)
case "${1:-build}" in
  build) wanted=("${build[@]}") ;;
  tests) wanted=("${build[@]}" "${tests[@]}") ;;
  ci) wanted=("${build[@]}" "${tests[@]}" "${ci[@]}") ;;
  release) wanted=("${build[@]}" "${tests[@]}" "${ci[@]}" "${release[@]}") ;;
  *) fail "unknown argument $1 (build, tests, ci or release)" ;;
esac

# A tool that is there, from wherever, will do; a library must be a package, since cmake looks for its files.
there() {
  case $1 in
    g++|cmake|git|ccache|clang|clang-format|clang-tidy|python3) command -v "$1" >/dev/null ;;
    ninja-build) command -v ninja >/dev/null ;;
    llvm) command -v llvm-symbolizer >/dev/null ;;
    lld) command -v ld.lld >/dev/null ;;
    bubblewrap) command -v bwrap >/dev/null ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 ;;
    *) grep -qx "$1" <<<"$installed" ;;
  esac
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "this is no Debian: install yourself what these packages of Debian 12 hold: ${wanted[*]}"
    return
  fi
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
  local missing=() package
  for package in "${wanted[@]}"; do
    there "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "root or sudo is needed to install: ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# The wheel is read, not installed: headers and CPU libraries are all that is wanted, and any python3 can do that, whatever
# version the wheel is for. The layout is the wheel's own, since libtorch_cpu.so looks for ../../nvidia/cu13/lib.
install_torch() {
  if [ -n "${GUERDON_TORCH_DIR:-}" ]; then
    [ -e "$GUERDON_TORCH_DIR/lib/libtorch_cpu.so" ] || fail "GUERDON_TORCH_DIR=$GUERDON_TORCH_DIR holds no lib/libtorch_cpu.so"
    return
  fi
  local stamp
  stamp=.deps/$(sha256sum scripts/torch-wheels.txt | cut -c 1-16)
  [ -e "$stamp" ] && return
  say "fetching LibTorch (540 MB) into .deps"
  rm -rf .deps
  mkdir -p .deps/wheels
  python3 -m pip download --quiet --no-deps --only-binary=:all: --implementation cp --python-version 3.11 \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 \
    --require-hashes --requirement scripts/torch-wheels.txt --dest .deps/wheels --no-cache-dir
  say "unpacking LibTorch"
  python3 - .deps <<'PYTHON'
import pathlib, re, sys, zipfile
target = pathlib.Path(sys.argv[1])
wanted = re.compile(r"torch/include/|torch/lib/lib(c10|torch|torch_cpu|shm|torch_global_deps|gomp)\.so|"
                    r"torch/lib/libgomp[^/]*$|nvidia/cu13/lib/lib(cudart|cupti)\.so|[^/]*\.dist-info/(licenses/|LICENSE|NOTICE|METADATA)")
for wheel in sorted((target / "wheels").glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if wanted.match(name):
                archive.extract(name, target)
PYTHON
  rm -r .deps/wheels
  touch "$stamp"
}

install_packages
install_torch
