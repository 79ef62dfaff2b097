#!/usr/bin/env bash
# Proves that the import rules of .golangci.yml bite: makes a module of empty
# packages with the names of ours, lets each break (or keep) one arrow, and
# compares depguard's findings with the table below.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# yes: depguard must refuse it; no: it must let it through.
cases='
yes event         tocsin/internal/query
yes event         golang.org/x/sys/unix
yes event         os
yes event         net/http
no  event         net/netip
yes policy        os
yes policy        tocsin/internal/query
no  policy        tocsin/internal/event
yes query         database/sql
yes query         tocsin/internal/store
no  query         tocsin/internal/event
yes episode       os
yes episode       tocsin/internal/store
no  episode       tocsin/internal/event
no  store         tocsin/internal/episode
yes coverage      os
yes coverage      tocsin/internal/store
yes coverage      tocsin/internal/policy
no  coverage      tocsin/internal/query
no  store         tocsin/internal/coverage
yes web           tocsin/internal/coverage
no  web           tocsin/internal/episode
yes decode        os
yes decode        os/exec
yes decode        net
yes decode        net/http
yes decode        database/sql
yes decode        github.com/duckdb/duckdb-go/v2
yes decode        tocsin/internal/enrich
yes decode        tocsin/internal/archive
yes decode        tocsin/internal/policy
no  decode        tocsin/internal/event
no  decode        net/url
yes rules         os
yes rules         tocsin/internal/store
no  rules         tocsin/internal/event
yes enrich        os
yes enrich        net/http
yes enrich        tocsin/internal/decode
yes enrich        tocsin/internal/store
yes enrich        tocsin/internal/policy
no  enrich        tocsin/internal/refdata
no  enrich        github.com/gaissmai/bart
yes refdata       os
yes refdata       tocsin/internal/enrich
yes refdata       tocsin/internal/query
yes refdata       tocsin/internal/event
no  refdata       embed
no  refdata/make  os
yes detect        os
yes detect        tocsin/internal/web
yes episode       database/sql
yes episode       tocsin/internal/archive
yes figure        os
yes figure        net/http
yes figure        database/sql
yes figure        tocsin/internal/store
yes figure        tocsin/internal/web
yes figure        tocsin/internal/decode
yes figure        tocsin/internal/refdata
no  figure        tocsin/internal/query
no  figure        tocsin/internal/estimate
no  figure        tocsin/internal/policy
yes estimate      os
yes estimate      net/http
yes estimate      tocsin/internal/figure
yes estimate      tocsin/internal/event
yes estimate      github.com/gaissmai/bart
no  estimate      math/rand/v2
yes loss          os
yes loss          net/http
yes loss          tocsin/internal/figure
yes loss          tocsin/internal/store
yes loss          github.com/gaissmai/bart
no  loss          tocsin/internal/estimate
no  loss          embed
no  web           tocsin/internal/loss
yes store         tocsin/internal/loss
yes sim           tocsin/internal/event
yes sim           tocsin/internal/decode
yes sim           tocsin/internal/store
yes sim           github.com/gaissmai/bart
no  sim           math/rand/v2
yes sim/worlds    tocsin/internal/estimate
yes sim/worlds    tocsin/internal/figure
yes sim/worlds    tocsin/internal/sim
no  sim/worlds    math/rand/v2
yes calibrate     tocsin/internal/figure
yes calibrate     tocsin/internal/store
no  calibrate     tocsin/internal/estimate
no  calibrate     tocsin/internal/sim/worlds
yes app           tocsin/internal/sim/worlds
yes archive       tocsin/internal/intake
yes archive       tocsin/internal/store
yes archive       tocsin/internal/web
yes archive       tocsin/internal/decode
yes archive       tocsin/internal/event
no  archive       os
yes intake        tocsin/internal/archive
yes intake        tocsin/internal/store
yes intake        tocsin/internal/web
yes intake        tocsin/internal/decode
yes intake        tocsin/internal/event
no  intake        net/http
yes store         tocsin/internal/archive
yes store         tocsin/internal/intake
yes store         tocsin/internal/web
yes store         tocsin/internal/figure
yes store         tocsin/internal/decode
yes store         tocsin/internal/enrich
no  store         tocsin/internal/query
no  store         database/sql
yes registry      tocsin/internal/store
yes registry      tocsin/internal/web
yes registry      tocsin/internal/archive
yes registry      tocsin/internal/enrich
no  registry      tocsin/internal/policy
yes web           tocsin/internal/archive
yes web           tocsin/internal/intake
yes web           tocsin/internal/store
yes web           tocsin/internal/decode
no  web           tocsin/internal/figure
yes notify        tocsin/internal/store
yes share         tocsin/internal/archive
yes store         tocsin/internal/app
yes other         tocsin/internal/app
no  bench         tocsin/internal/app
no  app           tocsin/internal/store
no  app           tocsin/internal/web
yes app           log
yes app           math/rand
yes other         github.com/pkg/errors
no  app           log/slog
'

package() { # package PATH NAME: an empty package
  mkdir -p "$dir/$1"
  printf '// Package %s is empty.\npackage %s\n' "$2" "$2" >"$dir/$1/doc.go"
}
printf 'module tocsin\n\ngo 1.26.0\n' >"$dir/go.mod"
for name in event policy query decode rules enrich refdata detect episode figure estimate coverage loss sim calibrate archive intake store registry web notify share app bench other; do
  package "internal/$name" "$name"
done
package internal/sim/worlds worlds
for module in golang.org/x/sys github.com/duckdb/duckdb-go/v2 github.com/gaissmai/bart github.com/pkg/errors; do
  package "elsewhere/$module" empty
  printf 'module %s\n\ngo 1.26.0\n' "$module" >"$dir/elsewhere/$module/go.mod"
  case $module in */v2) v=v2.0.0 ;; *) v=v0.0.0 ;; esac
  printf '\nrequire %s %s\n\nreplace %s => ./elsewhere/%s\n' "$module" "$v" "$module" "$module" >>"$dir/go.mod"
done
package elsewhere/golang.org/x/sys/unix unix

n=0
while read -r want from to; do
  [ -n "$want" ] || continue
  n=$((n + 1))
  # Each importer stands in a folder of its own, so that no circle closes; the
  # rules look at the end of the path.
  mkdir -p "$dir/case$n/internal/$from"
  printf '// Package arrow imports.\npackage arrow\n\nimport _ "%s"\n' "$to" >"$dir/case$n/internal/$from/arrow.go"
done <<<"$cases"
cp .golangci.yml "$dir/"

lint=$(go tool -n -modfile=tools/go.mod golangci-lint)
(cd "$dir" && GOFLAGS=-mod=mod GOPROXY=off "$lint" run --enable-only depguard --output.text.print-issued-lines=false ./... >found 2>errors) || true

failed=0 n=0
while read -r want from to; do
  [ -n "$want" ] || continue
  n=$((n + 1))
  got=no
  if grep -q "^case$n/internal/$from/arrow.go:.*(depguard)" "$dir/found"; then got=yes; fi
  [ "$got" = "$want" ] || { echo "$from -> $to: refused $got, want $want"; failed=1; }
done <<<"$cases"
[ "$failed" = 0 ] || { head -n 5 "$dir/errors"; exit 1; }
echo "$n arrows are as drawn"
