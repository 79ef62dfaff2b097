// Command make writes the reference tables that are built into tocsin.
//
// It takes the newest packages of ip-location-db from the npm registry (by npm
// pack, into a temporary folder), or package files named on the command line,
// and gives internal/refdata/tables/embedded.zst and the list of sources in
// docs/refdata.md. It changes nothing else. The same packages give the same
// bytes.
package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/refdata"
)

// pkg is a package that the tables are made from.
type pkg struct {
	Name        string // in npm
	Stem        string // of its files: STEM-ipv4.csv and STEM-ipv6.csv
	Gives       refdata.Gives
	Licence     string // of the data, SPDX
	Attribution string
}

// packages are the sources. Of the three that give the country the first is
// followed, unless the other two agree with each other and not with it.
var packages = []pkg{
	{
		"@ip-location-db/asn", "asn", refdata.GivesAS | refdata.GivesASNames, "CC-BY-4.0",
		"IP to AS numbers by Route Views (routeviews.org), the Number Resource Organization (nro.net) and DB-IP (https://db-ip.com), CC BY 4.0; merged by ip-location-db; changed into tables of /64 and larger by tocsin",
	},
	{
		"@ip-location-db/geo-whois-asn-country", "geo-whois-asn-country", refdata.GivesCountry, "CC0-1.0",
		"statistics by the Number Resource Organization (nro.net), CC BY 4.0; merged by ip-location-db",
	},
	{
		"@ip-location-db/asn-country", "asn-country", refdata.GivesCountry, "CC0-1.0",
		"statistics by the Number Resource Organization (nro.net), CC BY 4.0; merged by ip-location-db",
	},
	{
		"@ip-location-db/dbip-country", "dbip-country", refdata.GivesCountry, "CC-BY-4.0",
		"IP Geolocation by DB-IP (https://db-ip.com), CC BY 4.0; used by tocsin to correct the other countries",
	},
}

func main() {
	out := flag.String("o", "internal/refdata/tables/embedded.zst", "the file to write")
	doc := flag.String("doc", "docs/refdata.md", "the page whose list of sources is rewritten; empty for none")
	from := flag.String("from", "", "folder with the package files (*.tgz) instead of npm pack")
	flag.Parse()
	if err := run(context.Background(), *out, *doc, *from, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "make refdata:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, doc, from string, w io.Writer) error {
	if from == "" {
		dir, err := os.MkdirTemp("", "tocsin-refdata-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if err := pack(ctx, dir); err != nil {
			return err
		}
		from = dir
	}
	t, err := build(from, w)
	if err != nil {
		return err
	}
	b, err := t.Append(nil)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, b, 0o644); err != nil { //nolint:gosec // a file of the source tree
		return err
	}
	if doc != "" {
		page, err := os.ReadFile(doc) //nolint:gosec // named by the developer
		if err != nil {
			return err
		}
		if page, err = document(page, t, len(b)); err != nil {
			return fmt.Errorf("%s: %w", doc, err)
		}
		if err := os.WriteFile(doc, page, 0o644); err != nil { //nolint:gosec // a file of the source tree
			return err
		}
	}
	_, _ = fmt.Fprintf(w, "%s: %d bytes, version %s\n", out, len(b), t.Version())
	return nil
}

// The lines of the page between which the list of sources stands.
const (
	docBegin = "<!-- sources: written by make refdata -->\n"
	docEnd   = "<!-- end of sources -->\n"
)

// document puts the tables' sources into the page.
func document(page []byte, t *refdata.Tables, size int) ([]byte, error) {
	before, rest, ok := bytes.Cut(page, []byte(docBegin))
	_, after, ok2 := bytes.Cut(rest, []byte(docEnd))
	if !ok || !ok2 {
		return nil, errors.New("the lines that enclose the list of sources are not there")
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(docBegin + "| package | used for | date | licence of the data | attribution | SHA-256 of the package |\n|---|---|---|---|---|---|\n")
	for _, s := range t.Sources() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | `%s` |\n", s.Name, s.Gives, s.Date, s.Licence, s.Attribution, s.SHA256)
	}
	n := t.Size()
	fmt.Fprintf(&b, "\nVersion `%s`, %d bytes: %d IPv4 and %d IPv6 ranges with an AS, %d and %d with a country, %d AS names.\n",
		t.Version(), size, n.AS4, n.AS6, n.Country4, n.Country6, n.ASNames)
	b.WriteString(docEnd)
	b.Write(after)
	return b.Bytes(), nil
}

// pack fetches the packages into dir.
func pack(ctx context.Context, dir string) error {
	args := []string{"pack", "--silent", "--ignore-scripts", "--pack-destination", dir}
	for _, p := range packages {
		args = append(args, p.Name)
	}
	cmd := exec.CommandContext(ctx, "npm", args...) //nolint:gosec // the names are those above
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm pack: %w", err)
	}
	return nil
}

// build makes the tables of the package files in dir.
func build(dir string, w io.Writer) (*refdata.Tables, error) {
	var (
		b       refdata.Builder
		country []table
	)
	for _, p := range packages {
		t, err := read(dir, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		_, _ = fmt.Fprintf(w, "%s %s: data of %s, %d rows, SHA-256 %s\n", p.Name, t.version, t.date, len(t.rows), t.sha)
		b.AddSource(refdata.SourceInfo{
			Name: p.Name + " " + t.version, Gives: p.Gives, Licence: p.Licence,
			Attribution: p.Attribution, Date: t.date, SHA256: t.sha,
		})
		if p.Gives&refdata.GivesCountry != 0 {
			country = append(country, t)
			continue
		}
		for _, r := range without(t.rows, special) {
			asn, err := strconv.ParseUint(r.value, 10, 32)
			if err != nil || asn == 0 {
				return nil, fmt.Errorf("%s: AS number %q", p.Name, r.value)
			}
			if err := b.AddAS(r.first, r.last, uint32(asn)); err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
			b.AddASName(uint32(asn), r.name)
		}
	}
	all, changed := vote(country[0].rows, country[1].rows, country[2].rows)
	for _, r := range without(all, special) {
		if err := b.AddCountry(r.first, r.last, r.value); err != nil {
			return nil, err
		}
	}
	t := b.Tables()
	_, _ = fmt.Fprintf(w, "country: %d of %d ranges changed by the vote\nranges: %+v\n", changed, len(all), t.Size())
	return t, nil
}

// row is a line of a source.
type row struct {
	first, last netip.Addr
	value, name string
}

// table is a source.
type table struct {
	version, date, sha string
	rows               []row
}

// read reads the two files of a package and its description.
func read(dir string, p pkg) (table, error) {
	found, err := filepath.Glob(filepath.Join(dir, "ip-location-db-"+p.Stem+"-[0-9]*.tgz"))
	if err != nil || len(found) != 1 {
		return table{}, fmt.Errorf("want one file ip-location-db-%s-VERSION.tgz in %s, there are %d", p.Stem, dir, len(found))
	}
	raw, err := os.ReadFile(found[0])
	if err != nil {
		return table{}, err
	}
	sum := sha256.Sum256(raw)
	t := table{sha: hex.EncodeToString(sum[:])}
	z, err := gzip.NewReader(strings.NewReader(string(raw)))
	if err != nil {
		return table{}, err
	}
	parts := 0
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return table{}, err
		}
		switch strings.TrimPrefix(h.Name, "package/") {
		case "package.json":
			var desc struct{ Name, Version string }
			if err := json.NewDecoder(tr).Decode(&desc); err != nil || desc.Name != p.Name {
				return table{}, fmt.Errorf("package.json is of %q: %w", desc.Name, err)
			}
			t.version = desc.Version
		case p.Stem + "-ipv4.csv", p.Stem + "-ipv6.csv":
			parts++
			if t.rows, err = rows(t.rows, tr); err != nil {
				return table{}, fmt.Errorf("%s: %w", h.Name, err)
			}
		}
	}
	if parts != 2 {
		return table{}, errors.New("the files for IPv4 and IPv6 are not both there")
	}
	slices.SortStableFunc(t.rows, func(a, b row) int { return a.first.Compare(b.first) })
	t.date, err = date(t.version)
	return t, err
}

// date reads the data's day out of a version such as 2.3.2026061719.
func date(version string) (string, error) {
	last := version[strings.LastIndexByte(version, '.')+1:]
	if len(last) < 8 {
		return "", fmt.Errorf("version %q does not end with a day", version)
	}
	d, err := time.Parse("20060102", last[:8])
	if err != nil {
		return "", fmt.Errorf("version %q does not end with a day: %w", version, err)
	}
	return d.Format(time.DateOnly), nil
}

func rows(to []row, r io.Reader) ([]row, error) {
	c := csv.NewReader(r)
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	for {
		f, err := c.Read()
		if errors.Is(err, io.EOF) {
			return to, nil
		}
		if err != nil {
			return nil, err
		}
		if len(f) < 3 {
			return nil, fmt.Errorf("a line of %d fields", len(f))
		}
		x := row{value: strings.Clone(f[2])}
		if x.first, err = netip.ParseAddr(f[0]); err != nil {
			return nil, err
		}
		if x.last, err = netip.ParseAddr(f[1]); err != nil {
			return nil, err
		}
		if len(f) > 3 {
			x.name = strings.Clone(f[3])
		}
		to = append(to, x)
	}
}

// vote follows a, unless b and c both know the address, agree with each other
// and not with a; then it follows them. It fills a's gaps from b, and not from c
// alone, which names a country for addresses that nobody holds. The rows are sorted; where rows of one source overlap, the one that
// begins later holds. Changed counts the ranges that are not a's.
func vote(a, b, c []row) (out []row, changed int) {
	var cuts []netip.Addr
	for _, s := range [][]row{a, b, c} {
		for _, r := range s {
			cuts = append(cuts, r.first)
			if n := r.last.Next(); n.IsValid() {
				cuts = append(cuts, n)
			}
		}
	}
	slices.SortFunc(cuts, netip.Addr.Compare)
	cuts = slices.Compact(cuts)
	at := [3]*cursor{{rows: a}, {rows: b}, {rows: c}}
	for i, first := range cuts {
		x, y, z := at[0].value(first), at[1].value(first), at[2].value(first)
		v := cmp.Or(x, y)
		if y != "" && y == z {
			v = y
		}
		if v == "" {
			continue
		}
		if v != x {
			changed++
		}
		last := end(first)
		if i+1 < len(cuts) && cuts[i+1].BitLen() == first.BitLen() {
			last = cuts[i+1].Prev()
		}
		if n := len(out); n > 0 && out[n-1].value == v && out[n-1].last.Next() == first {
			out[n-1].last = last
			continue
		}
		out = append(out, row{first: first, last: last, value: v})
	}
	return out, changed
}

// special are blocks that nobody's network uses in public, whatever a source
// says of them (IANA's registries of special-purpose addresses, RFC 6890, and
// of multicast and reserved ones). Sorted.
var special = func() (list []row) {
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
		"::/3", "2001::/32", "2001:db8::/32", "2002::/16", "3fff::/20", "4000::/2", "8000::/1",
	} {
		p := netip.MustParsePrefix(s)
		list = append(list, row{first: p.Addr(), last: lastAddr(p)})
	}
	return list
}()

// lastAddr returns the last address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i>>3] |= 0x80 >> (i & 7)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// without returns the rows without the addresses in gone, which is sorted.
func without(rows, gone []row) (out []row) {
	for _, r := range rows {
		rest := true
		for _, g := range gone {
			if g.first.BitLen() != r.first.BitLen() || g.last.Less(r.first) || r.last.Less(g.first) {
				continue
			}
			if r.first.Less(g.first) {
				x := r
				x.last = g.first.Prev()
				out = append(out, x)
			}
			if rest = g.last.Less(r.last); !rest {
				break
			}
			r.first = g.last.Next()
		}
		if rest {
			out = append(out, r)
		}
	}
	return out
}

// end is the last address of a's family.
func end(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	var b [16]byte
	for i := range b {
		b[i] = 0xff
	}
	return netip.AddrFrom16(b)
}

// cursor looks up rising addresses.
type cursor struct {
	rows []row
	next int
	open []row // that hold the address asked for last, or have ended before it
}

func (c *cursor) value(a netip.Addr) string {
	for c.next < len(c.rows) && c.rows[c.next].first.Compare(a) <= 0 {
		c.open = append(c.open, c.rows[c.next])
		c.next++
	}
	for n := len(c.open); n > 0; n-- {
		if r := c.open[n-1]; r.last.Compare(a) >= 0 && r.first.BitLen() == a.BitLen() {
			return r.value
		}
		c.open = c.open[:n-1]
	}
	return ""
}
