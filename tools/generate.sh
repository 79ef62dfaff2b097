#!/usr/bin/env bash
# Writes the pages of docs/ that come from tables in the code. Each has a test
# that fails when page and table differ, and that writes the page with -update.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t dirs < <(grep -rl --include='*_test.go' 'docs/[a-z]*\.md\|"docs", "[a-z]*\.md"' internal | xargs -r -n1 dirname | sort -u)
[ "${#dirs[@]}" -gt 0 ] || { echo "no test writes a page of docs/"; exit 1; }
for dir in "${dirs[@]}"; do
  go test -count=1 -run 'Docs|Doc$' "./$dir" -update
done
