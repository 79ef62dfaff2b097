package refdata

import (
	"bytes"
	_ "embed" // the table
	"fmt"
)

//go:generate go run ./make

//go:embed tables/embedded.zst
var embedded []byte

// Embedded returns the tables that are built into the program: origin AS and
// AS name by RouteViews, DB-IP and the NRO, country by the NRO and others, from
// the packages of ip-location-db; see docs/refdata.md.
func Embedded() (*Tables, error) { return Parse(embedded) }

// EmbeddedBytes returns the file that [Embedded] reads, for the archive: a
// later release has other tables, and a rebuild needs those that were in use.
func EmbeddedBytes() []byte { return bytes.Clone(embedded) }

// Load reads a table of any kind: tocsin's own format, MMDB or a prefix list.
func Load(b []byte) (*Tables, error) {
	switch {
	case len(b) > maxBytes:
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrInvalid, maxBytes)
	case bytes.HasPrefix(b, zstdMagic):
		return Parse(b)
	case bytes.Contains(b, mmdbMarker):
		return FromMMDB(b)
	}
	return FromCSV(bytes.NewReader(b))
}
