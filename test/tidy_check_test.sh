#!/bin/bash
# test/tidy_check refuses a fault of each family of checks, in sources and in headers.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if ! command -v clang-tidy-19 >/dev/null; then
  echo "there is no clang-tidy-19"
  exit 77
fi
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/include/sluice" "$tree/src/base"
cp "$root/.clang-tidy" "$tree"
echo '#include <sluice/header.hpp>' >"$tree/include/sluice.hpp"

failures=0
# checks STATUS HEADER SOURCE: what stands in these, the check of the tree ends so.
checks() {
  local status=0
  printf '%s\n' '#pragma once' '#include <cstdlib>' '#include <string>' '#include <utility>' 'void f();' \
    "$2" >"$tree/include/sluice/header.hpp"
  printf '%s\n' '#include <sluice/header.hpp>' 'void f() {}' "$3" >"$tree/src/base/source.cpp"
  said=$("$root/test/tidy_check" "$tree" 2>&1) || status=$?
  if ((status != $1)); then
    printf 'expected status %d, not %d; it said: %s\n' "$1" "$status" "$said" >&2
    failures=$((failures + 1))
  fi
}
# names CHECK FILE: and it has said that.
names() {
  if ! grep -q "$2:[0-9:]* error: .*\[$1[],]" <<<"$said"; then
    printf 'expected: %s in %s; it said: %s\n' "$1" "$2" "$said" >&2
    failures=$((failures + 1))
  fi
}

checks 0 '' ''

faults='
bugprone-use-after-move|inline std::string a(std::string s) { std::string t = std::move(s); return t + s; }
concurrency-mt-unsafe|inline int b() { return std::rand(); }
cppcoreguidelines-pro-type-cstyle-cast|inline int* c(const int* p) { return (int*)p; }
misc-throw-by-value-catch-by-reference|inline void d() { try { f(); } catch (std::string s) { s.clear(); } }
modernize-use-nullptr|inline int* e() { return 0; }
performance-unnecessary-value-param|inline bool g(std::string s) { return s == "s"; }
readability-const-return-type|inline const int h() { return 1; }
readability-identifier-naming|class i { int no_underscore = 0; };'
code=$(cut -d '|' -f 2- <<<"$faults")
checks 1 "$code" "namespace source { $code }"
while IFS='|' read -r check _; do
  [[ -n $check ]] || continue
  names "$check" include/sluice/header.hpp
  names "$check" src/base/source.cpp
done <<<"$faults"

checks 1 '' 'nothing k();'
names clang-diagnostic-error src/base/source.cpp

if ((failures)); then exit 1; fi
echo "tidy_check refuses all of it"
