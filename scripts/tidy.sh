#!/bin/bash
# clang-tidy 14 with the checks of .clang-tidy; a warning is an error.
#   scripts/tidy.sh                    the ground floor, whole
#   scripts/tidy.sh --changed [BASE]   the sources that differ from BASE (default: where this branch left main), and a source for
#                                      each header that differs
#   scripts/tidy.sh FILE...            these sources; one that sees LibTorch takes 40 seconds
set -euo pipefail
cd "$(dirname "$0")/.."
ground='^(src|include/guerdon)/(base|math|text|data|rules|report)/'

# The source through which a file is looked at. A header's is its namesake among the sources that include it, or the first of
# them, or that of a header that includes it.
source_of() {
  case $1 in *.cpp) echo "$1"; return ;; esac
  local includers source
  includers=$(git grep -lE "#include \"([a-z_]+/)*${1##*/}\"" -- src kernels/cpu include/guerdon ':!include/guerdon/guerdon.h') || return 0
  source=$(grep "/$(basename "$1" .h)\.cpp$" <<<"$includers" || grep '\.cpp$' <<<"$includers") || source=
  source_of "$(head -1 <<<"${source:-$includers}")"
}

case ${1:-} in
  '') mapfile -t files < <(git ls-files 'src/*.cpp' | grep -E "$ground") ;;
  --changed)
    base=${2:-$(git merge-base HEAD main)}
    mapfile -t files < <(
      { git diff --name-only --diff-filter=d "$base"; git ls-files --others --exclude-standard; } |
        grep -E '^(src|kernels/cpu|include/guerdon)/.*\.(h|cpp)$' | while read -r file; do source_of "$file"; done | sort -u) ;;
  *) files=("$@") ;;
esac
[ ${#files[@]} -eq 0 ] && { echo "tidy: no source to look at"; exit 0; }

if printf '%s\n' "${files[@]}" | grep -qvE "$ground|^src/cli/"; then
  cmake --preset tidy -DGUERDON_WITH_TORCH=ON --log-level=WARNING
  cmake --build build/tidy --target guerdon_pch
else
  cmake --preset tidy --log-level=WARNING
fi
printf '%s\n' "${files[@]}" | xargs -n 1 -P "$(nproc)" clang-tidy -p build/tidy --quiet
echo "tidy: ${#files[@]} sources, no warning"
