// Package decode turns the bytes of a delivery into events.
//
// It takes an open reader and a [Source] that says whose delivery it is, and
// gives [Part]s: events, and the rows that could not become events with the
// reason and the bytes as received. What it gives depends on its arguments
// alone. It never opens anything, reads no clock, keeps no state between
// deliveries, and spends no more on a delivery than its [Limits] allow.
//
// A format is a row of [Formats] and a file. A Shadowserver report type is a
// row of the table in reports.go and nothing else.
package decode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"tocsin/internal/event"
)

// PartRows is how many received rows a part holds, quarantined ones included:
// row i, counted from 1, is in part (i-1)/PartRows. The last part may hold
// fewer.
const PartRows = 50_000

// maxRaw bounds [Bad.Raw] and maxDetail [Bad.Detail], in bytes.
const (
	maxRaw    = 512
	maxDetail = 200
)

// Source says where a delivery comes from and what its rows inherit.
type Source struct {
	Feed       string        // the feed's name; part of every event's id
	Format     string        // the format's name; not read here
	Report     string        // report type; "" takes it from Name, or else from the header
	Name       string        // file name as received; folders before it are ignored
	Delivery   uint32        // journal sequence, copied into the events
	Received   time.Time     // when the delivery was received; the time window ends 10 minutes later
	Marking    event.Marking // the feed's; a row's own marking can only make it stricter
	Historical bool          // the feed may report what is older than a week
	Confidence uint8         // the feed's, for rows that say nothing: 0 to 100, or event.NoConfidence
}

// Part is up to [PartRows] rows of a delivery.
type Part struct {
	Index  int // 0 is the first
	Rows   int // received rows: len(Events) + len(Bad)
	Events []event.Event
	Bad    []Bad
	Last   bool // no part follows

	pool *Pool
}

// Recycle gives the part's memory back for a later part. The part, Events and
// Bad must not be used afterwards; strings and Extra of events stay valid.
func (p *Part) Recycle() {
	if p.pool != nil {
		p.pool.put(p)
	}
}

// Pool holds the memory of recycled parts. The zero Pool is ready, and may be
// shared by any number of deliveries and goroutines.
type Pool struct{ parts sync.Pool }

func (p *Pool) get() *Part {
	if x, ok := p.parts.Get().(*Part); ok {
		return x
	}
	return new(Part)
}

func (p *Pool) put(x *Part) {
	*x = Part{Events: x.Events[:0], Bad: x.Bad[:0]}
	p.parts.Put(x)
}

// Bad is a received row that could not become an event.
type Bad struct {
	Row    uint32 // as [event.Event.Row]
	Reason Reason
	Detail string // what was wrong, for people; at most 200 bytes of printable ASCII
	Raw    []byte // the row as received, at most its first 512 bytes; nil if a budget ended before it
}

// Reason says why a row or a delivery is refused: a small closed set, so that
// quarantine can be counted by it.
type Reason string

// The reasons of rows.
const (
	ReasonQuote       Reason = "unclosed-quote" // a quote that does not close, or closes inside a cell
	ReasonColumns     Reason = "columns"        // not as many cells as the header has columns
	ReasonTime        Reason = "time"           // no time, or not a time
	ReasonWindow      Reason = "time-window"    // a time that a delivery received then cannot report
	ReasonAddress     Reason = "address"        // the subject's address is not one
	ReasonSubject     Reason = "subject"        // nobody is concerned
	ReasonLine        Reason = "line-too-long"  // longer than Limits.Line
	ReasonJSON        Reason = "json"           // not a JSON object, or a key twice
	ReasonDepth       Reason = "depth"          // nested deeper than Limits.Depth
	ReasonEncoding    Reason = "encoding"       // not UTF-8 where the format demands it
	ReasonBytes       Reason = "bytes"          // the delivery is larger than Limits.Bytes; one row stands for the rest
	ReasonRatio       Reason = "ratio"          // it unpacks to more than Limits.Ratio times its size; one row stands for the rest
	ReasonRows        Reason = "rows"           // more rows than Limits.Rows; one row stands for the rest
	ReasonCompression Reason = "compression"    // damaged gzip or zstd; one row stands for the rest
)

// The reasons of whole deliveries.
const (
	ReasonReport Reason = "report" // the report type is unknown
	ReasonHeader Reason = "header" // no header, or one that can be read in two ways
)

// Reasons lists every reason with what it means, in the order of docs/formats.md.
var Reasons = []struct {
	Reason Reason
	Doc    string
}{
	{ReasonQuote, "a quote does not close within 64 KiB, or closes inside a cell; reading goes on at the next line"},
	{ReasonColumns, "not as many cells as the header has columns"},
	{ReasonTime, "no time, or not a time"},
	{ReasonWindow, "a time more than 7 days before or 10 minutes after the delivery was received, in a feed that is not declared historical"},
	{ReasonAddress, "the subject's address is not an address of a host"},
	{ReasonSubject, "no address, name, URL, account or organisation is concerned"},
	{ReasonLine, "a line longer than the budget"},
	{ReasonJSON, "not a JSON object, or one with a key twice"},
	{ReasonDepth, "JSON nested deeper than the budget"},
	{ReasonEncoding, "JSON that is not UTF-8"},
	{ReasonBytes, "the delivery is larger than the budget; one row stands for the rest"},
	{ReasonRatio, "the delivery unpacks to more than the budget's multiple of its size; one row stands for the rest"},
	{ReasonRows, "more rows than the budget; one row stands for the rest"},
	{ReasonCompression, "damaged gzip or zstd; one row stands for the rest"},
	{ReasonReport, "the whole delivery: the report type is unknown"},
	{ReasonHeader, "the whole delivery: no header, too many columns, or a header that can be read in two ways"},
}

// Refusal is the error of a delivery that cannot be read at all. Nothing of it
// becomes an event.
type Refusal struct {
	Reason Reason
	Detail string
}

// Error tells the reason and what to do.
func (r *Refusal) Error() string {
	return fmt.Sprintf("delivery refused (%s): %s", r.Reason, r.Detail)
}

// Limits are the budgets of one delivery.
type Limits struct {
	Bytes   int64 // of the delivery after decompression
	Line    int   // bytes of one line
	Rows    int64 // received rows
	Columns int   // columns of a table, keys of a JSON object
	Depth   int   // nesting of JSON
	Ratio   int   // decompressed bytes for one compressed byte, after the first MiB
	Pool    *Pool // memory for parts; nil uses fresh memory for each delivery
}

// DefaultLimits are the budgets of a feed that names none.
func DefaultLimits() Limits {
	return Limits{Bytes: 4 << 30, Line: 1 << 20, Rows: 5_000_000, Columns: 4096, Depth: 64, Ratio: 100}
}

// withDefaults replaces budgets that are not positive.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	if l.Bytes <= 0 {
		l.Bytes = d.Bytes
	}
	if l.Line <= 0 {
		l.Line = d.Line
	}
	if l.Rows <= 0 {
		l.Rows = d.Rows
	}
	if l.Columns <= 0 {
		l.Columns = d.Columns
	}
	if l.Depth <= 0 {
		l.Depth = d.Depth
	}
	if l.Ratio <= 0 {
		l.Ratio = d.Ratio
	}
	if l.Pool == nil {
		l.Pool = new(Pool)
	}
	return l
}

// Format is one row of the table: all that the program knows of a format.
type Format struct {
	Name string // name in configuration
	Doc  string // one line for the reference page
	Spec string // where the format is defined

	open func(r *Reader, src Source, lim Limits) (rower, error)
	rows func(r *Reader, lim Limits) (func() ([]byte, error), error) // the rows as received
}

// rower reads the rows of one delivery. It is owned by one goroutine.
type rower interface {
	// next sets every field of e but Row from the next row, or returns why the
	// row is bad. raw is the row as received, valid until the next call. io.EOF
	// means that there is no row, *stopped that a budget has run out; any other
	// error is a read error.
	next(e *event.Event) (raw []byte, bad *Bad, err error)
}

// Formats lists the formats in the order of the reference page.
var Formats = []Format{
	{"shadowserver", "Shadowserver report files: CSV with a header, the report type in the file name", "https://www.shadowserver.org/what-we-do/network-reporting/", openShadowserver, rowsShadowserver},
	{"idf", "IntelMQ Data Format: one JSON object a line, flat or nested", "https://docs.intelmq.org/latest/user/event/", openIDF, rowsIDF},
}

// Lookup returns the format called name.
func Lookup(name string) (Format, error) {
	for _, f := range Formats {
		if f.Name == name {
			return f, nil
		}
	}
	return Format{}, fmt.Errorf("format %q is not known: `tocsin formats` lists them", name)
}

// Parts reads the delivery in r and yields its parts in order. The last part
// has Last set, also when it is empty. An error ends the sequence: a [*Refusal]
// if the delivery cannot be read at all, or the error of r. What it gives does
// not depend on how r cuts its bytes.
func (f Format) Parts(r io.Reader, src Source, lim Limits) iter.Seq2[*Part, error] {
	return func(yield func(*Part, error) bool) {
		lim := lim.withDefaults()
		in, err := newReader(r, lim)
		if err != nil {
			yield(nil, headless(err))
			return
		}
		defer in.close()
		rows, err := f.open(in, src, lim)
		if err != nil {
			yield(nil, err)
			return
		}
		d := delivery{rows: rows, lim: lim, part: lim.Pool.get()}
		d.part.pool = lim.Pool
		for {
			switch more, err := d.row(); {
			case err != nil:
				yield(nil, err)
				return
			case !more:
				d.part.Last = true
				yield(d.part, nil)
				return
			case d.full != nil:
				full := d.full
				d.full = nil
				if !yield(full, nil) {
					return
				}
			}
		}
	}
}

// delivery cuts the rows of a format into parts.
type delivery struct {
	rows rower
	lim  Limits
	n    int64 // rows so far
	part *Part
	full *Part // the part before, when a row is the first of a new one
	over bool
}

// row reads one row into the part; false if there was none.
func (d *delivery) row() (bool, error) {
	if d.over {
		return false, nil
	}
	e := d.slot()
	raw, bad, err := d.rows.next(e)
	if err == nil && d.n >= d.lim.Rows {
		err = &stopped{ReasonRows, fmt.Sprintf("more than %d rows", d.lim.Rows)}
	}
	if err != nil {
		d.part.Events = d.part.Events[:len(d.part.Events)-1]
		s, ok := errors.AsType[*stopped](err)
		switch {
		case ok:
			d.over = true
			bad = &Bad{Reason: s.reason, Detail: s.detail}
		case errors.Is(err, io.EOF):
			return false, nil
		default:
			return false, err
		}
	}
	if d.part.Rows == PartRows {
		next := d.lim.Pool.get()
		*next = Part{Index: d.part.Index + 1, Events: next.Events, Bad: next.Bad, pool: d.lim.Pool}
		if err == nil {
			next.Events = append(next.Events, *e)
			d.part.Events = d.part.Events[:len(d.part.Events)-1]
			e = &next.Events[0]
		}
		d.full, d.part = d.part, next
	}
	d.n++
	d.part.Rows++
	if bad == nil {
		e.Row = uint32(d.n) //nolint:gosec // bounded by Limits.Rows
		return true, nil
	}
	if err == nil {
		d.part.Events = d.part.Events[:len(d.part.Events)-1]
	}
	bad.Row = uint32(d.n) //nolint:gosec // bounded by Limits.Rows
	bad.Detail = printable(bad.Detail, maxDetail)
	bad.Raw = bytes.Clone(raw[:min(len(raw), maxRaw)])
	d.part.Bad = append(d.part.Bad, *bad)
	return true, nil
}

// slot gives the next event of the part. It may hold an old event: rowers set
// every field.
func (d *delivery) slot() *event.Event {
	list := d.part.Events
	if n := len(list); n < cap(list) {
		list = list[:n+1]
	} else {
		// Events are large: grow in few steps, in small ones where they are many,
		// and never beyond a part.
		more := max(4*n, 64)
		if n >= 4096 {
			more = n + n/2
		}
		grown := make([]event.Event, n+1, max(n+1, min(more, PartRows)))
		copy(grown, list)
		list = grown
	}
	d.part.Events = list
	return &list[len(list)-1]
}

// headless turns an end before the first row into a refusal.
func headless(err error) error {
	if s, ok := errors.AsType[*stopped](err); ok {
		return &Refusal{s.reason, s.detail + " before the header was read"}
	}
	if errors.Is(err, io.EOF) {
		return &Refusal{ReasonHeader, "the delivery is empty: no header"}
	}
	return err
}

// RawRow returns one row of a delivery as received, after decompression and
// transcoding to UTF-8: the evidence of an event. Rows are counted from 1, as
// in [event.Event.Row]. Of a row longer than lim.Line it returns the start, and
// nothing of one that stands for the rest of a delivery.
func RawRow(r io.Reader, f Format, row uint32, lim Limits) ([]byte, error) {
	lim = lim.withDefaults()
	in, err := newReader(r, lim)
	if err != nil {
		return nil, headless(err)
	}
	defer in.close()
	cut, err := f.rows(in, lim)
	if err != nil {
		return nil, err
	}
	for n := uint32(1); ; n++ {
		raw, err := cut()
		if s, ok := errors.AsType[*stopped](err); ok && n == row {
			return nil, fmt.Errorf("row %d stands for the rest of the delivery: %w", row, s)
		}
		if errors.Is(err, io.EOF) || err == nil && int64(n) > lim.Rows {
			return nil, fmt.Errorf("the delivery has no row %d", row)
		}
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", n, err)
		}
		if n == row {
			return bytes.Clone(raw[:min(len(raw), max(lim.Line, maxQuoted))]), nil
		}
	}
}
