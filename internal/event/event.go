// Package event is the vocabulary of the program: the one record that every
// format is decoded into, and the words for who is affected and by what.
//
// It takes nothing and opens nothing; it imports the standard library only and
// every other package may import it. Field names are those of the IntelMQ Data
// Format (IDF), https://docs.intelmq.org/latest/user/event/; classification
// types are those of the Reference Security Incident Taxonomy (RSIT).
package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ErrInvalid is wrapped by every error that [Event.Validate] returns.
var ErrInvalid = errors.New("invalid event")

// ID names an event: SHA-256 cut to 128 bits over the feed, the report type
// and the identity cells. The zero ID is never a real event's.
type ID struct{ Hi, Lo uint64 }

// String gives the 32 hexadecimal digits used in URLs and in JSON.
func (id ID) String() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], id.Hi)
	binary.BigEndian.PutUint64(b[8:], id.Lo)
	return hex.EncodeToString(b[:])
}

// ParseID is the inverse of [ID.String].
func ParseID(s string) (ID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 16 {
		return ID{}, fmt.Errorf("event id %q: want 32 hexadecimal digits", s)
	}
	return ID{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}, nil
}

// Hash gives the ID of an identity that has been written out as bytes.
func Hash(b []byte) ID {
	h := sha256.Sum256(b)
	return ID{binary.BigEndian.Uint64(h[:8]), binary.BigEndian.Uint64(h[8:16])}
}

// End is one of the two ends of an event: IDF's source.* or destination.*.
// What a report claims of AS and geography is kept as claimed; it enters no
// figure. The zero value of a field means that it was not reported.
type End struct {
	IP         netip.Addr // ip; IPv4 is stored unmapped
	Port       uint16     // port
	ASN        uint32     // asn, as claimed
	CC         string     // geolocation.cc, as claimed
	Region     string     // geolocation.region, as claimed
	City       string     // geolocation.city, as claimed
	FQDN       string     // fqdn
	ReverseDNS string     // reverse_dns
	URL        string     // url, byte for byte as reported
	Account    string     // account
	Network    string     // network, CIDR as reported
}

// Event is one observation by one feed of one thing at one time.
//
// Strings may point into the delivery's buffer; they are valid for as long as
// the event is held and are never changed.
type Event struct {
	ID       ID
	Time     int64  // time.source, microseconds since 1970 UTC
	Observed int64  // time.observation, likewise; 0 if not reported
	Delivery uint32 // journal sequence of the delivery
	Row      uint32 // row in the delivery, 1 is the first after the header

	Report     string // report type of the format's table, such as event4_sinkhole_http
	Type       Type   // classification.type
	Taxonomy   string // classification.taxonomy as reported; "" means [Type.Taxonomy]
	Identifier string // classification.identifier
	Family     string // malware.name
	Severity   Severity
	Confidence uint8   // 0 to 100 as feed.accuracy; NoConfidence if not said
	Marking    Marking // the stricter of the row's and the feed's

	Source      End
	Destination End

	Transport   string // protocol.transport
	Application string // protocol.application

	ProductVendor   string // product.vendor
	ProductName     string // product.name
	ProductVersion  string // product.version
	Vulnerabilities string // product.vulnerabilities, separated by semicolons

	Subject Subject

	// Extra is a JSON object (or nothing) of every other non-empty cell: keys are
	// full IDF names ("extra.naics", "source.abuse_contact"), values are the
	// JSON as received, or strings for cells of a table. A key that is also a
	// typed field holds what was received where the typed value does not give
	// it back to the byte; [Event.AppendIDF] prefers it.
	Extra []byte
}

// NoConfidence is the Confidence of an event whose feed says nothing of it.
const NoConfidence = 255

// At returns when the event was seen, in UTC.
func (e *Event) At() time.Time { return time.UnixMicro(e.Time).UTC() }

// Day returns the civil day of the event in UTC.
func (e *Event) Day() Day { return DayOf(e.Time) }

// SubjectEnd returns the end that the constituency answers for.
func (e *Event) SubjectEnd() *End {
	if e.Subject.Side == SideDestination {
		return &e.Destination
	}
	return &e.Source
}

// PeerEnd returns the other end.
func (e *Event) PeerEnd() *End {
	if e.Subject.Side == SideDestination {
		return &e.Source
	}
	return &e.Destination
}

// Validate reports the first missing or impossible field.
func (e *Event) Validate() error {
	switch {
	case e.ID == ID{}:
		return fmt.Errorf("%w: no id", ErrInvalid)
	case e.Time < MinTime || e.Time >= MaxTime:
		return fmt.Errorf("%w: time outside %d to %d", ErrInvalid, time.UnixMicro(MinTime).UTC().Year(), time.UnixMicro(MaxTime).UTC().Year())
	case e.Subject.Kind == SubjectNone:
		return fmt.Errorf("%w: nobody is concerned: no address, name, URL, account or organisation", ErrInvalid)
	case e.Subject.Kind == SubjectAddress && !e.SubjectEnd().IP.IsValid():
		return fmt.Errorf("%w: no address", ErrInvalid)
	}
	return nil
}

// The times that an event may have, microseconds since 1970. Rows outside are
// quarantined: before 2000 no feed existed, and years past 2100 are errors.
var (
	MinTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	MaxTime = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
)

// Day is a civil day in UTC, counted from 1970-01-01.
type Day int32

// DayOf returns the day of a time in microseconds since 1970.
func DayOf(us int64) Day {
	d := us / 86_400_000_000
	if us%86_400_000_000 < 0 {
		d--
	}
	return Day(d)
}

// DayFrom returns the day that t falls on in UTC.
func DayFrom(t time.Time) Day { return DayOf(t.UnixMicro()) }

// ParseDay reads YYYY-MM-DD.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("day %q: want YYYY-MM-DD", s)
	}
	return DayFrom(t), nil
}

// Time returns the first instant of the day.
func (d Day) Time() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// String gives YYYY-MM-DD.
func (d Day) String() string { return d.Time().Format(time.DateOnly) }

// MarshalText implements [encoding.TextMarshaler].
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Day) UnmarshalText(b []byte) (err error) { *d, err = ParseDay(string(b)); return err }
