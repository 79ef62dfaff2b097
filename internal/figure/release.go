package figure

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/internal/estimate"
	"tocsin/internal/event"
	"tocsin/internal/query"
)

// ReleaseTable is a figure and its breakdown that is released every month.
type ReleaseTable struct {
	Figure string
	By     query.Dim
}

// ReleaseTables is the fixed set of what is released to the public. It is the
// same for every month: whoever could choose could subtract.
var ReleaseTables = []ReleaseTable{
	{"infected-addresses", query.DimRegion},
	{"hacked-sites", query.DimSector},
	{"exposed-services", query.DimRegion},
}

// Release is what is released of one month. It is written out: fields are
// never removed.
type Release struct {
	Month     string          `json:"month"`    // YYYY-MM
	Revision  int             `json:"revision"` // from 1
	Reason    string          `json:"reason"`   // of the revision; "" for the first
	Home      string          `json:"home"`
	Simulated bool            `json:"simulated"`
	Journal   uint64          `json:"journal"` // the last line that was in force
	Period    query.Period    `json:"period"`
	Note      string          `json:"note,omitzero"` // days of the period without any data
	Tables    []ReleasedTable `json:"tables"`
	Method    []string        `json:"method"`
}

// ReleasedTable is one table of a release. Its rows are by key, so that their
// order tells nothing of those that are suppressed.
type ReleasedTable struct {
	Figure   string        `json:"figure"`
	Title    string        `json:"title"`
	Version  int           `json:"definition_version"`
	Unit     string        `json:"unit"`
	Headline Headline      `json:"headline"`
	By       query.Dim     `json:"by"`
	Kind     BreakdownKind `json:"kind"`
	NoData   bool          `json:"no_data"`
	Rows     []ReleasedRow `json:"rows"`
	// Total is the sum of all rows, those suppressed included; null where it
	// would tell them.
	Total *int64 `json:"total"`
	// Distinct is each counted once, for overlapping rows; null elsewhere and
	// where it would tell a suppressed row.
	Distinct *int64   `json:"distinct"`
	Caveats  []string `json:"caveats"`
}

// ReleasedRow is one row; Value is null where it is suppressed.
type ReleasedRow struct {
	Key        string `json:"key"` // "" if unknown
	Value      *int64 `json:"value"`
	Suppressed bool   `json:"suppressed"`
}

// ReleaseNote says which days of a period lie before or after all data, ""
// where none does: they count as 0 in a mean of days.
func ReleaseNote(p, data query.Period) string {
	var s []string
	if data.From > p.From {
		s = append(s, fmt.Sprintf("Data begins on %s", data.From))
	}
	if data.To < p.To {
		s = append(s, fmt.Sprintf("Data ends on %s", data.To))
	}
	if s == nil {
		return ""
	}
	return strings.Join(s, ". ") + ". The days without data count as 0 in a mean of days."
}

// ErrRelease is wrapped by errors about a month that cannot be released.
var ErrRelease = errors.New("cannot be released")

// ReleaseMonth returns the days of a month such as 2026-10. The month must be
// over on that day.
func ReleaseMonth(month string, today event.Day) (query.Period, error) {
	from, err := time.Parse("2006-01", month)
	if err != nil || from.Format("2006-01") != month {
		return query.Period{}, fmt.Errorf("%w: month %.20q: want YYYY-MM, such as 2026-10", ErrRelease, month)
	}
	p := query.Period{From: event.DayFrom(from), To: event.DayFrom(from.AddDate(0, 1, 0)) - 1}
	if today <= p.To {
		return p, fmt.Errorf("%w: %s is not over before %s", ErrRelease, month, p.To+1)
	}
	return p, nil
}

// NewReleasedTable makes the table of an evaluated figure with its breakdown:
// numbers are rounded to whole ones, those from 1 to 4 are left out, and as
// many more as keep them from being computed.
func NewReleasedTable(f *Figure) (ReleasedTable, error) {
	if f.Breakdown == nil {
		return ReleasedTable{}, fmt.Errorf("%w: a table has a breakdown", ErrBreakdown)
	}
	t := ReleasedTable{
		Figure: f.ID, Title: f.Title, Version: f.Version, Unit: f.Unit, Headline: f.Headline,
		By: f.Breakdown.By, Kind: f.Breakdown.Kind, NoData: f.NoData, Rows: []ReleasedRow{}, Caveats: f.Caveats,
	}
	if f.NoData || len(f.Breakdown.Rows) == 0 {
		return t, nil
	}
	rows := slices.SortedFunc(slices.Values(f.Breakdown.Rows), func(a, b Row) int { return cmp.Compare(a.Key, b.Key) })
	list, total := make([][]int, len(rows)), int64(0)
	for i, r := range rows {
		n := rounded(r.Value)
		list[i], total = []int{int(n)}, total+n
	}
	s, err := estimate.Suppress(list)
	if err != nil {
		return t, fmt.Errorf("%w: %s by %s: %w", ErrRelease, f.ID, t.By, err)
	}
	for i, r := range rows {
		x := ReleasedRow{Key: r.Key, Suppressed: s.Cells[i][0]}
		if !x.Suppressed {
			x.Value = new(int64(list[i][0]))
		}
		t.Rows = append(t.Rows, x)
	}
	if !s.Total {
		t.Total = new(total)
	}
	if n := rounded(*f.Value); t.Kind == Overlapping && !s.Total && (n == 0 || n > 4) {
		t.Distinct = new(n)
	}
	return t, nil
}

// ReleaseMethod says how released tables are made.
var ReleaseMethod = []string{
	"Numbers are rounded to whole ones; 0 stands for none, and in a mean of days for less than one half. The total is the sum of the rows as rounded.",
	"Numbers from 1 to 4 are suppressed, and as many others as keep them from being computed out of the total.",
	"The tables are made once, for a whole month, and kept as they were released. A revision is a release of its own, with its reason: whoever has both can subtract one from the other, so there is none without need.",
	"They count what is marked up to TLP:AMBER. What is marked AMBER+STRICT or RED is in no number.",
}

// Marshal writes the release as indented JSON and a newline: the bytes that are
// released, and whose SHA-256 is published.
func (r *Release) Marshal() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("write release: %w", err)
	}
	return b.Bytes(), nil
}

// ParseRelease reads what [Release.Marshal] writes.
func ParseRelease(b []byte) (Release, error) {
	var r Release
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("read release: %w", err)
	}
	return r, nil
}

// writePublishDocs writes what the page of the definitions says of rates and
// released tables.
func writePublishDocs(b *strings.Builder) {
	b.WriteString(`
<a id="rates"></a>
## Rates

` + "`/rates?figure=ID&by=region` (or `by=asn`), `tocsin rates`" + `: a figure per 100,000 users, for the team. Users come from the operator, with source, licence and date (docs/refdata.md); none are built in.

`)
	both := []RateTable{{Headline: MeanDaily, By: query.DimRegion, Country: CountryRate{Year: 1}}, {Headline: Events, By: query.DimASN}}
	seen := map[string]bool{}
	for i, of := range []string{"assets", "events"} {
		t := &both[i]
		t.say(of)
		for _, s := range slices.Concat(t.Methods, t.Caveats) {
			if s = strings.Replace(s, "the share is of 1.", "the share's year is printed.", 1); !seen[s] {
				seen[s] = true
				fmt.Fprintf(b, "- %s\n", s)
			}
		}
	}
	b.WriteString(`
<a id="released"></a>
## Released tables

` + "`tocsin release --month YYYY-MM` makes the tables of a month that is over, journals their bytes, and shows them to everybody at `/released`" + `, with their SHA-256:

| figure | by |
|---|---|
`)
	for _, t := range ReleaseTables {
		d, _ := Lookup(t.Figure)
		fmt.Fprintf(b, "| [%s](#%s) | %s |\n", d.Title, d.ID, t.By)
	}
	b.WriteString("\n")
	for _, s := range ReleaseMethod {
		fmt.Fprintf(b, "- %s\n", s)
	}
}
