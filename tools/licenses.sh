#!/usr/bin/env bash
# Lists the modules that are in the binary with the licence that their own text
# shows, and fails where docs/dependencies.md does not name one or where the
# licence is not among those that may be shipped with Apache-2.0.
set -euo pipefail
cd "$(dirname "$0")/.."

kind() { # the licence of a module's folder, by words that only its text has
  local f
  f=$(find "$1" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' \) | sort | head -n 1)
  [ -n "$f" ] || { echo "none"; return; }
  if grep -qi 'Mozilla Public License' "$f"; then echo "MPL-2.0"
  elif grep -qi 'Apache License' "$f"; then echo "Apache-2.0"
  elif grep -qi 'GNU' "$f"; then echo "GPL-like"
  elif grep -qi 'Neither the name' "$f"; then echo "BSD-3-Clause"
  elif grep -qi 'Redistribution and use' "$f"; then echo "BSD-2-Clause"
  elif grep -qi 'Permission is hereby granted' "$f"; then echo "MIT"
  elif grep -qi 'Permission to use, copy, modify' "$f"; then echo "ISC"
  else echo "unknown"; fi
}

modules=$(go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' "${@:-./cmd/tocsin}" | sort -u)
failed=0 n=0
while read -r path version dir; do
  [ -n "$path" ] || continue
  n=$((n + 1))
  licence=$(kind "$dir")
  printf '%-55s %-40s %s\n' "$path" "$version" "$licence"
  case $licence in
  MIT | ISC | BSD-2-Clause | BSD-3-Clause | Apache-2.0 | MPL-2.0) ;;
  *) echo "  may it be shipped? read $dir"; failed=1 ;;
  esac
  grep -qF "$path" docs/dependencies.md || { echo "  docs/dependencies.md does not name it"; failed=1; }
done <<<"$modules"
echo "$n modules"
exit "$failed"
