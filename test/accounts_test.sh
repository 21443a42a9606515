#!/bin/bash
# Every test that README.md names as holding something is there: `folder.name`: `case`.
set -euo pipefail
cd "$(dirname "$0")"

count=0 missing=0
while IFS=' ' read -r name case; do
  count=$((count + 1))
  if ! grep -qE "(^|[^a-z_0-9])$case\)" "${name//.//}_test.cpp" 2>/dev/null; then
    echo "README.md names $case of $name, which is not there" >&2
    missing=$((missing + 1))
  fi
done < <(grep -oE '`[a-z_0-9.]+`: `[a-z_0-9]+`' README.md | tr -d '`:')

echo "$count named, $missing missing"
((count > 100 && missing == 0))
