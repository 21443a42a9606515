#!/bin/bash
# test/floors_check refuses what it is there to refuse.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
check=$root/test/floors_check
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

failures=0
# refuses TEXT [OBJECT...]: the check of the tree ends with 1 and says so.
refuses() {
  local text=$1 said status=0
  shift
  said=$("$check" "$tree" "$@" 2>&1) || status=$?
  if ((status != 1)) || [[ $said != *"$text"* ]]; then
    printf 'expected: %s\nstatus %d, said: %s\n' "$text" "$status" "$said" >&2
    failures=$((failures + 1))
  fi
}
fresh() {
  rm -rf "${tree:?}"/*
  cp -r "$root/include" "$root/src" "$tree"
}

fresh
"$check" "$tree" >/dev/null

lowest=include/sluice/detail/base/byte_lock.hpp
echo '#include <sluice/detail/channel/channel_core.hpp>' >>"$tree/$lowest"
refuses "base includes include/sluice/detail/channel/channel_core.hpp, which is above it"

fresh
echo '#include "scheduler/current_worker.hpp"' >>"$tree/src/base/byte_lock.cpp"
refuses "base includes src/scheduler/current_worker.hpp, which is above it"

fresh
echo '#include <sluice/nothing.hpp>' >>"$tree/$lowest"
refuses "include/sluice/nothing.hpp does not exist"

fresh
touch "$tree/src/new.cpp" "$tree/include/sluice/detail/base/newer"
refuses "src/new.cpp: stands on no floor"

fresh
mkdir "$tree/src/attic"
touch "$tree/src/attic/new.cpp"
refuses "src/attic/new.cpp: stands on no floor"

fresh
touch "$tree/include/sluice/new.hpp"
refuses "include/sluice/new.hpp: stands on no floor"
refuses "include/sluice.hpp does not include <sluice/new.hpp>"

fresh
mkdir -p "$tree"/built/src/{base,channel}
echo 'void high(int); void low(int n) { high(n); }' >"$tree/low.cpp"
echo 'void low(int); void high(int n) { if (n) low(n - 1); }' >"$tree/high.cpp"
"${CXX:-c++}" -c "$tree/low.cpp" -o "$tree/built/src/base/low.cpp.o"
"${CXX:-c++}" -c "$tree/high.cpp" -o "$tree/built/src/channel/high.cpp.o"
refuses "src/base/low.cpp: base links to high(int) of src/channel/high.cpp, which is above it" \
  "$tree/built/src/base/low.cpp.o" "$tree/built/src/channel/high.cpp.o"
refuses "the objects have no edges" "$tree/built/src/base/low.cpp.o"

if ((failures)); then exit 1; fi
echo "floors_check refuses all of it"
