package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind says what a journal line records.
type Kind string

// The kinds of line. They are never removed: old journals must still open.
const (
	KindDelivery      Kind = "delivery"      // bytes were accepted
	KindWithdrawn     Kind = "withdrawn"     // a delivery was taken back
	KindFeed          Kind = "feed"          // a feed was made or changed
	KindOrganisations Kind = "organisations" // organisations and networks were loaded
	KindRefdata       Kind = "refdata"       // reference data was loaded
	KindRules         Kind = "rules"         // the operator's rules changed
	KindConfig        Kind = "config"        // configuration that decides figures changed
	KindDecision      Kind = "decision"      // an analyst decided something
	KindToken         Kind = "token"         // a token was made or taken back
	KindReenrich      Kind = "reenrich"      // annotations were made again with newer data
	KindReleased      Kind = "released"      // tables were released to the public
	KindLoss          Kind = "loss"          // inputs of the loss page were set
	KindPublished     Kind = "published"     // a document of figures was published
)

// Kinds lists the kinds of line.
var Kinds = []Kind{
	KindDelivery, KindWithdrawn, KindFeed, KindOrganisations, KindRefdata,
	KindRules, KindConfig, KindDecision, KindToken, KindReenrich, KindReleased,
	KindRules, KindConfig, KindDecision, KindToken, KindReenrich, KindLoss, KindPublished,
}

// Line is one line of the journal. It is written out: fields are never removed.
type Line struct {
	Seq  uint64    `json:"seq"`  // from 1, without gaps; set by Append
	Prev string    `json:"prev"` // SHA-256 of the previous line's bytes; zeros for the first; set by Append
	At   time.Time `json:"at"`   // UTC; set by Append where zero
	Kind Kind      `json:"kind"`
	By   string    `json:"by,omitzero"` // who: a token's name, "local", a component

	Delivery *Delivery       `json:"delivery,omitzero"` // where Kind is KindDelivery
	Contents []string        `json:"contents,omitzero"` // SHA-256 of other contents that the line rests on: a list, reference data
	Data     json.RawMessage `json:"data,omitzero"`     // what other kinds say; their writer knows its shape
}

// Delivery is what the journal says of an accepted unit of bytes. It is
// written out: fields are never removed.
type Delivery struct {
	Feed       string            `json:"feed"`
	Format     string            `json:"format"`
	Report     string            `json:"report,omitzero"` // report type, where the name says it
	Name       string            `json:"name"`            // file name or origin as it came; bytes that are not UTF-8 become U+FFFD
	SHA256     string            `json:"sha256"`
	Size       int64             `json:"size"`                // bytes as received
	Intake     string            `json:"intake,omitzero"`     // how it came: folder, push, import, poll
	Marking    string            `json:"marking,omitzero"`    // the feed's default at that time
	Historical bool              `json:"historical,omitzero"` // rows may be of any age
	Enrichment uint32            `json:"enrichment"`          // version of the reference data and organisations
	Versions   map[string]string `json:"versions,omitzero"`   // program, format, rules: name to version
	Limits     map[string]int64  `json:"limits,omitzero"`     // the feed's own budgets at that time: name to number
}

// ID is the delivery's name in pages and commands.
func (l *Line) ID() string { return "d" + strconv.FormatUint(l.Seq, 10) }

// ParseID is the inverse of [Line.ID].
func ParseID(s string) (uint64, error) {
	d, ok := strings.CutPrefix(s, "d")
	n, err := strconv.ParseUint(d, 10, 64)
	if !ok || err != nil || n == 0 {
		return 0, fmt.Errorf("delivery %q: want d and a number, such as d17", s)
	}
	return n, nil
}

// contents returns the contents that the line rests on.
func (l *Line) contents() []string {
	if l.Delivery == nil {
		return l.Contents
	}
	return append(slices.Clip(l.Contents), l.Delivery.SHA256)
}

// maxLine bounds one line, in bytes. What is longer is stored as a content
// that the line names.
const maxLine = 4 << 20

// check reports whether the line can be journalled, and brings it into the
// form in which it is read back.
func (l *Line) check(has func(string) bool) error {
	if !slices.Contains(Kinds, l.Kind) {
		return fmt.Errorf("%w: unknown kind %q", ErrInvalid, l.Kind)
	}
	if (l.Kind == KindDelivery) != (l.Delivery != nil) {
		return fmt.Errorf("%w: kind %q does not go with its delivery", ErrInvalid, l.Kind)
	}
	for _, c := range l.contents() {
		if !has(c) {
			return fmt.Errorf("%w: content %q is not stored", ErrInvalid, c)
		}
	}
	l.By = strings.ToValidUTF8(l.By, "\uFFFD")
	if l.Delivery != nil {
		d := *l.Delivery
		for _, s := range []*string{&d.Feed, &d.Format, &d.Report, &d.Name, &d.Intake, &d.Marking} {
			*s = strings.ToValidUTF8(*s, "\uFFFD")
		}
		l.Delivery = &d
	}
	if len(l.Data) > 0 {
		var b bytes.Buffer
		if err := json.Compact(&b, l.Data); err != nil {
			return fmt.Errorf("%w: data: %w", ErrInvalid, err)
		}
		l.Data = b.Bytes()
	}
	return nil
}

// zeros is the hash before the first line.
var zeros = strings.Repeat("0", 64)

// sumSize is the length of what closes a line: ,"sum":"01234567"}.
const sumSize = len(`,"sum":"01234567"}`)

// seal closes an object with the CRC-32C of all that stands before ,"sum".
func seal(obj []byte) []byte {
	obj = obj[:len(obj)-1]
	return fmt.Appendf(obj, `,"sum":"%08x"}`, crc32.Checksum(obj, castagnoli))
}

// sealed reports whether an object has its sum.
func sealed(b []byte) bool {
	n := len(b) - sumSize
	return n > 0 && string(b[n:]) == fmt.Sprintf(`,"sum":"%08x"}`, crc32.Checksum(b[:n], castagnoli))
}

// body writes what follows the sequence and the previous hash.
func (l Line) body() ([]byte, error) {
	l.Seq, l.Prev = 0, ""
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(l); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if b.Len() > maxLine {
		return nil, fmt.Errorf("%w: %d bytes, at most %d; store the data as a content and name it", ErrInvalid, b.Len(), maxLine)
	}
	return bytes.TrimPrefix(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte(`{"seq":0,"prev":""`)), nil
}

// compose writes a line as it stands in the journal, without the newline.
func compose(seq uint64, prev string, body []byte) []byte {
	b := make([]byte, 0, 128+len(body)+sumSize)
	return seal(append(fmt.Appendf(b, `{"seq":%d,"prev":"%s"`, seq, prev), body...))
}

// parsePrefix reads the sequence and the previous hash, with which every line
// begins, of a line whose sum is right.
func parsePrefix(b []byte) (seq uint64, prev []byte, ok bool) {
	if !sealed(b) {
		return 0, nil, false
	}
	rest, ok := bytes.CutPrefix(b, []byte(`{"seq":`))
	num, rest, ok2 := bytes.Cut(rest, []byte(`,"prev":"`))
	if !ok || !ok2 || len(num) > 20 || len(rest) < 66 || string(rest[64:66]) != `",` {
		return 0, nil, false
	}
	seq, err := strconv.ParseUint(string(num), 10, 64)
	return seq, rest[:64], err == nil && seq > 0
}

// head is what journal/head says: the last line at some moment, and how far
// the packs had been written by then. It is written at most once a second, so
// the journal may be longer, but never shorter.
type head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"` // SHA-256 of the line's bytes
	position

	ok bool // it was read, or nothing is there that it could speak of
}

func (h head) encode() ([]byte, error) {
	b, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	return append(seal(b), '\n'), nil
}

// parseHead reads a head and reports whether it is whole.
func parseHead(b []byte) (h head, ok bool) {
	b, ok = bytes.CutSuffix(b, []byte("\n"))
	if !ok || !sealed(b) || json.Unmarshal(b, &h) != nil {
		return head{}, false
	}
	if _, ok := parseSHA(h.Hash); !ok {
		return head{}, false
	}
	h.ok = true
	return h, true
}
