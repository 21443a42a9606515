#!/bin/bash
# Every example compiles that stands in the comments of the public headers, between @code and @endcode,
# or in a Markdown file, fenced as c++ or cpp. One with an #include is a program of its own. The others
# are the body of a task, or with a main stand in a namespace, have the names of
# documented_examples.hpp, and are compiled together. An ellipsis stands for nothing.
#
#   test/documented_examples_test.sh [LIBRARY]   LIBRARY: a shared one. Looks only whether it exports all of
#                                                its own that those refer to that are compiled together
set -euo pipefail
export LC_ALL=C
library=${1:+$(realpath "$1")}
cd "$(dirname "$0")/.."
. test/compiler_of_tree
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

failed=0
complain() {
  echo "$1"
  failed=1
}

# compile FILE: g++ takes what says #line for a header, and warns of names without linkage there.
compile() {
  [[ ! $library ]] || return 0
  "${compiler[@]}" -Wno-subobject-linkage -Itest -fsyntax-only -x c++ "$1" >"$work/log" 2>&1 && return
  complain "an example does not compile:"
  cat "$work/log"
}

# Doxygen takes them for examples as well.
if grep -nE '^ *(\*|///) *(```|~~~)' include/sluice/*.hpp include/sluice/testing/*.hpp; then
  complain "an example in a header stands between @code and @endcode"
fi

# Each in a file of its own, whose first line says to the compiler where it stands.
mapfile -t documents < <(find . -name '*.md' -not -path './build/*' -not -path './.git/*' |
                         sed 's|^\./||' | sort)
awk -v work="$work" '
  function begin(line) {
    close(out)
    out = sprintf("%s/example_%03d", work, ++count)
    printf "#line %d \"%s\"\n", line, FILENAME >out
  }
  FNR == 1 { inside = 0; markdown = FILENAME ~ /\.md$/ }
  markdown && inside && /^```$/ || !markdown && inside && /@endcode/ { inside = 0; next }
  !markdown && /@code .*@endcode/ {
    begin(FNR)
    sub(/.*@code/, "")
    sub(/@endcode.*/, "")
    print >out
    next
  }
  !inside && (markdown ? /^```(cpp|c\+\+)/ : /@code/) { begin(FNR + 1); inside = 1; next }
  inside {
    if (!markdown) sub(/^ *(\*|\/\/\/) ?/, "")
    gsub(/…/, "")
    print >out
  }
' include/*.hpp include/sluice/*.hpp include/sluice/testing/*.hpp "${documents[@]}"

echo '#include "documented_examples.hpp"' >"$work/together.cpp"
count=0
for example in "$work"/example_*; do
  count=$((count + 1))
  if grep -q '^ *#include' "$example"; then
    compile "$example"
    continue
  fi
  [[ $(head -n 1 "$example") =~ ^'#line '([0-9]+)' "'(.*)'"'$ ]]
  line=${BASH_REMATCH[1]} path=${BASH_REMATCH[2]}
  if [[ $path == *.hpp ]]; then path=${path##*/}; fi
  path=${path%.*}
  echo "namespace documented::of_${path//\//_} { namespace line_$line {" >>"$work/together.cpp"
  if grep -qE '^ *(int main|inline)\b' "$example"; then
    cat "$example" >>"$work/together.cpp"
  else
    echo 'sluice::task<> example() {' >>"$work/together.cpp"
    echo '  co_await example_begins();' >>"$work/together.cpp"
    cat "$example" >>"$work/together.cpp"
    echo '}' >>"$work/together.cpp"
  fi
  echo '}}' >>"$work/together.cpp"
done
compile "$work/together.cpp"
if [[ $library ]]; then
  "${compiler[@]}" -Wno-subobject-linkage -Itest -O0 -fvisibility=hidden -DSLUICE_SHARED -c \
    "$work/together.cpp" -o "$work/together.o"
  hidden=$(comm -23 <(nm -u "$work/together.o" | awk '{ print $2 }' | grep '^_Z.*6sluice' | sort -u) \
                    <(nm -D --defined-only "$library" | awk '{ print $3 }' | sort -u) |
             c++filt | grep -v documented::) || true
  [[ ! $hidden ]] || complain "an example refers to what the library does not export: $hidden"
fi

echo "$count examples"
((count >= 30)) || failed=1
exit "$failed"
