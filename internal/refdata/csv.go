package refdata

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// shownErrors is how many bad rows an error names.
const shownErrors = 10

// FromCSV reads an operator's prefix list: a header with the column prefix (or
// network), and asn, as_name, country and registered as far as there are any, in
// any order. Of nested prefixes the longest wins, separately for AS, country and
// country of registration: an empty cell says nothing. A list with a bad row is refused; the error names the
// first ten, with their lines.
func FromCSV(r io.Reader) (*Tables, error) {
	sum := sha256.New()
	in, err := NewRows(io.TeeReader(r, sum), maxBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	prefix := in.Column("prefix", "network")
	asn, name, country, registered := in.Column("asn"), in.Column("as_name"), in.Column("country"), in.Column("registered")
	if prefix < 0 || (asn < 0 && country < 0) {
		return nil, fmt.Errorf("%w: the header has no column prefix, or neither asn nor country", ErrInvalid)
	}
	var (
		out Builder
		bad []error
	)
	for len(bad) < shownErrors {
		f, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if row, ok := errors.AsType[*RowError](err); ok {
			bad = append(bad, row)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read prefix list: %w", err)
		}
		cell := func(i int) string {
			if i < 0 {
				return ""
			}
			return f[i]
		}
		if err := out.addRow(cell(prefix), cell(asn), cell(name), cell(country), cell(registered)); err != nil {
			bad = append(bad, fmt.Errorf("line %d: %w", in.Line(), err))
		}
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, errors.Join(bad...))
	}
	t := out.tables()
	t.version = hex.EncodeToString(sum.Sum(nil))
	t.sources = []SourceInfo{{Name: "prefix list", Gives: t.gives(), SHA256: t.version}}
	return t, nil
}

func (b *Builder) addRow(prefix, asn, name, country, registered string) error {
	p, err := netip.ParsePrefix(prefix)
	switch {
	case err != nil:
		return fmt.Errorf("prefix %.60q: want an address and a length, such as 192.0.2.0/24", prefix)
	case p != p.Masked():
		return fmt.Errorf("prefix %s has host bits set: write %s", p, p.Masked())
	case p.Addr().Is4In6():
		return fmt.Errorf("prefix %s: write it as IPv4", p)
	case p.Addr().Is6() && p.Bits() > 64:
		return fmt.Errorf("prefix %s is longer than /64, and the addresses of a /64 are one asset", p)
	}
	if asn != "" {
		n, ok := parseAS(asn)
		if !ok {
			return fmt.Errorf("asn %.40q: want a number from 1 to 4294967295", asn)
		}
		if err := b.AddAS(p.Addr(), lastAddr(p), n); err != nil {
			return err
		}
		if name != "" {
			b.AddASName(n, name)
		}
	}
	if registered != "" {
		if err := b.AddRegistered(p.Addr(), lastAddr(p), registered); err != nil {
			return fmt.Errorf("registered: %w", err)
		}
	}
	if country != "" {
		return b.AddCountry(p.Addr(), lastAddr(p), country)
	}
	return nil
}
