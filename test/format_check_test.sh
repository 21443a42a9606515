#!/bin/bash
# test/format_check names what is not formatted, with git and without.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if ! command -v clang-format-19 >/dev/null; then
  echo "there is no clang-format-19"
  exit 77
fi
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

# says TEXT STATUS: the check of the tree says that, and ends so.
says() {
  local said status=0
  said=$("$root/test/format_check" "$tree" 2>&1) || status=$?
  [[ $status == "$2" && $said == "$1" ]] && return
  printf 'expected status %d: %s\nstatus %d, said: %s\n' "$2" "$1" "$status" "$said" >&2
  exit 1
}

mkdir -p "$tree/src" "$tree/build"
cp "$root/.clang-format" "$tree"
says "format_check: there are no files in $tree" 2
echo 'int f();' | tee "$tree/src/a.hpp" "$tree/src/b.cpp" >/dev/null
echo 'int  f( );' | tee "$tree/build/c.cpp" "$tree/src/d.txt" >/dev/null
says "2 files are formatted" 0
echo 'int  f( );' | tee "$tree/src/e.cpp" "$tree/src/f.hpp" >/dev/null
says $'not formatted: ./src/e.cpp\nnot formatted: ./src/f.hpp' 1

if command -v git >/dev/null; then
  git -C "$tree" init -q
  echo build/ >"$tree/.gitignore"
  git -C "$tree" add .gitignore src/a.hpp src/b.cpp src/e.cpp
  rm "$tree/src/b.cpp"
  says $'not formatted: src/e.cpp\nnot formatted: src/f.hpp' 1
  rm "$tree/src/e.cpp" "$tree/src/f.hpp"
  says "1 files are formatted" 0
fi
echo "format_check names all of it"
