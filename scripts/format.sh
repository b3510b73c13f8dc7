#!/bin/sh
# Formats the C++ and CUDA files with clang-format 14 (`pip install clang-format==14.0.6`, or Debian 12's).
#   scripts/format.sh          rewrites what is not in form
#   scripts/format.sh --check  names what is not in form, and what is not ASCII; exit code 1 when there is any
set -eu
cd "$(dirname "$0")/.."

clang_format=${CLANG_FORMAT:-clang-format}
version=$("$clang_format" --version 2>/dev/null | sed 's/.*version \([0-9]*\).*/\1/') || version=none
if [ "$version" != 14 ]; then
  echo "format: clang-format 14 is needed, found: $version (set CLANG_FORMAT)" >&2
  exit 2
fi
list() { git ls-files --cached --others --exclude-standard '*.h' '*.cpp' '*.cu' '*.cuh' | while read -r file; do [ -e "$file" ] && echo "$file"; done; }

if [ "${1:-}" != --check ]; then
  list | xargs "$clang_format" -i
  exit 0
fi
status=0
list | xargs "$clang_format" --dry-run --Werror || status=1
# Test data may hold any character; code and comments are ASCII.
if list | grep -v '^tests/' | LC_ALL=C xargs grep -nP '[^\x00-\x7F]'; then
  echo "format: code and comments are ASCII" >&2
  status=1
fi
exit $status
