#!/usr/bin/env bash
# Gives every fuzz target of the packages named (default ./...) FUZZTIME.
# A target that finds a crasher fails the run; the others are run all the same.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-30s}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# "go test -list" names the targets of a package above the package's own line.
targets=$(go test -list '^Fuzz' "${@:-./...}" | awk '/^Fuzz/ { t[n++] = $1 } /^ok/ { for (i = 0; i < n; i++) print $2, t[i]; n = 0 } /^\?/ { n = 0 }')
[ -n "$targets" ] || { echo "no fuzz target found"; exit 1; }

failed=0 passed=0
while read -r pkg name; do
  printf '%s %s\n' "$pkg" "$name"
  for try in 1 2; do
    if go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 5s "$pkg" </dev/null >"$log" 2>&1; then
      tail -n 2 "$log"; passed=$((passed + 1)); break
    fi
    # The engine may report its own deadline as a failure (go.dev/issue/75804): no
    # input is named then. Once more; a crasher is written to testdata and stays red.
    if [ "$try" = 1 ] && grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then continue; fi
    cat "$log"; failed=$((failed + 1)); break
  done
done <<<"$targets"
echo "fuzz targets: $passed passed, $failed failed"
[ "$failed" = 0 ]
