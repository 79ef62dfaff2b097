// Package coverage says who looked when: on which days each witness looked at
// a class of condition, as a whole and in the networks where it looked on other
// days than elsewhere.
//
// It takes what each feed saw on each day, and how the feeds are set up, and
// gives the looks (docs/coverage.md has the rules). The same input gives the
// same looks, in any order. It opens nothing and reads no clock: the newest day
// is that of the data.
package coverage

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"tocsin/internal/event"
	"tocsin/internal/query"
)

// Schedule is how often a feed reports.
type Schedule string

// The schedules. Where an operator sets none, it follows from history.
const (
	FromHistory Schedule = ""
	Daily       Schedule = "daily"
	Weekly      Schedule = "weekly"
	None        Schedule = "none" // it reports when it likes, or not any more
)

// Feed is how a feed is set up.
type Feed struct {
	Name     string
	Upstream string // "" for its own
	Schedule Schedule
}

// Witness returns the name of the witness that the feed belongs to.
func (f Feed) Witness() string { return cmp.Or(f.Upstream, f.Name) }

// Seen is how many assets a feed saw on a day; 0 where it delivered a report
// without a row.
type Seen struct {
	Feed  string
	Class event.Class
	Day   event.Day
	N     int64
}

// The numbers of the rules.
const (
	window  = 28 // days in which a rhythm shows
	mostly  = 24 // of them, six of seven: daily
	week    = 7
	ofFour  = 3    // of four weeks on the same weekday: weekly
	late    = 28   // days after which a network that begins may be one that was not looked at
	stay    = 14   // days for which an asset that is seen may be seen again: it counts once in them
	improba = 1e-6 // silence less likely than this is not taken for a zero
)

// LeastSeen is how many sightings a rate rests on at least: as many as there are
// where a silence of the same length is improbable.
const LeastSeen = 14 * stay

// improbable reports whether nobody's being seen on so many looks is less
// likely than improba, after earlier looks saw so many: if assets come as
// Poisson counts do, each of them for stay days. The same asset on the next day
// is no further chance.
func improbable(length, looks, seen float64) bool {
	return seen >= LeastSeen && length*seen/looks/stay > -math.Log(improba)
}

// lasting reports whether conditions of the class have a duration: then a
// weekly report tells about the whole week.
func lasting(c event.Class) bool {
	switch c {
	case event.ClassInfection, event.ClassController, event.ClassSite, event.ClassExposure:
		return true
	default:
		return false
	}
}

// Panel is all witnesses and their looks. It is safe for concurrent use.
type Panel struct {
	lo, newest event.Day // of everything seen
	of         map[string]*witness
	by         map[string]*witness
}

// witness is one independent origin.
type witness struct {
	name    string
	feeds   []string
	set     Schedule
	up      []bool // by day from lo on: it reported anything
	classes map[event.Class]*line
}

// line is the looks of a witness at a class, by day from the panel's first on.
type line struct {
	class  event.Class
	from   int     // the first day with anything seen
	n      []int64 // assets seen; noLook for a day without a report
	rhythm rhythm
	base   []query.Look // looks at single days
	days   []query.Look // with the days that a weekly look covers
}

const noLook = -1

// New returns the panel of what was seen. Feeds that are not set up are
// witnesses of their own.
func New(feeds []Feed, seen []Seen) *Panel {
	p := &Panel{of: map[string]*witness{}, by: map[string]*witness{}}
	for _, f := range feeds {
		p.join(f)
	}
	for i, s := range seen {
		if i == 0 || s.Day < p.lo {
			p.lo = s.Day
		}
		if i == 0 || s.Day > p.newest {
			p.newest = s.Day
		}
	}
	n := 0
	if len(seen) > 0 {
		n = int(p.newest-p.lo) + 1
	}
	for _, s := range seen {
		w := p.of[s.Feed]
		if w == nil {
			w = p.join(Feed{Name: s.Feed})
		}
		if w.up == nil {
			w.up = make([]bool, n)
		}
		l := w.classes[s.Class]
		if l == nil {
			l = &line{class: s.Class, n: slices.Repeat([]int64{noLook}, n)}
			w.classes[s.Class] = l
		}
		d := int(s.Day - p.lo)
		w.up[d] = true
		l.n[d] = max(l.n[d], s.N) // of feeds with one origin, what the one that saw most saw
	}
	for _, w := range p.by {
		slices.Sort(w.feeds)
		whole := rhythmOf(w.up)
		for c, l := range w.classes {
			l.from = slices.IndexFunc(l.n, func(x int64) bool { return x > 0 })
			if l.from < 0 {
				delete(w.classes, c)
				continue
			}
			l.look(w, whole)
		}
	}
	return p
}

// join puts a feed under its witness, whose schedule is the closest that one
// of its feeds is given.
func (p *Panel) join(f Feed) *witness {
	name := f.Witness()
	w := p.by[name]
	if w == nil {
		w = &witness{name: name, set: f.Schedule, classes: map[event.Class]*line{}}
		p.by[name] = w
	} else if closer(f.Schedule, w.set) {
		w.set = f.Schedule
	}
	w.feeds = append(w.feeds, f.Name)
	p.of[f.Name] = w
	return w
}

// closer orders schedules by how much they expect; history may expect anything
// and goes before None.
func closer(a, b Schedule) bool {
	order := []Schedule{None, FromHistory, Weekly, Daily}
	return slices.Index(order, a) > slices.Index(order, b)
}

// rhythm is how often somebody reports, from a day on.
type rhythm struct {
	Schedule

	since   int
	weekday int // days from the panel's first one, modulo 7
}

// rhythmOf finds the rhythm of the days on which there was a report: daily from
// the first of 28 days that have 24 of them, or weekly from the first of four
// same weekdays that have 3.
func rhythmOf(up []bool) rhythm {
	r := rhythm{Schedule: None, weekday: weekdayOf(up)}
	in := 0 // reports on the days from i on
	for i, x := range slices.Backward(up) {
		if x {
			in++
		}
		if i+window < len(up) && up[i+window] {
			in--
		}
		if x && in >= mostly {
			r.Schedule, r.since = Daily, i
		}
	}
	if r.Schedule == Daily {
		return r
	}
	for i, x := range up {
		if !x {
			continue
		}
		same := 0
		for j := i; j < min(len(up), i+4*week); j += week {
			if up[j] {
				same++
			}
		}
		if same >= ofFour {
			r.Schedule, r.since = Weekly, i
			return r
		}
	}
	return r
}

// weekdayOf returns the weekday with most reports, the first of several.
func weekdayOf(up []bool) int {
	var n [week]int
	best := 0
	for i, x := range up {
		if x {
			n[i%week]++
		}
	}
	for i := range n {
		if n[i] > n[best] {
			best = i
		}
	}
	return best
}

// look fills in the looks of the line: whole is the rhythm of the witness in
// all classes.
func (l *line) look(w *witness, whole rhythm) {
	own := make([]bool, len(l.n))
	for i, x := range l.n {
		own[i] = x >= 0 && i >= l.from
	}
	l.rhythm = rhythmOf(own)
	rest := false // a day on which the witness reported other classes is a look at this one
	switch {
	case w.set != FromHistory:
		l.rhythm = rhythm{w.set, l.from, l.rhythm.weekday}
		rest = w.set != None
	case l.rhythm.Schedule == Daily || l.rhythm.Schedule == None && whole.Schedule != None:
		if l.rhythm.Schedule == None {
			l.rhythm = whole
		}
		rest = true
	}
	l.rhythm.since = max(l.rhythm.since, l.from)

	l.base = slices.Repeat([]query.Look{query.NotExpected}, len(l.n))
	for i := l.from; i < len(l.n); i++ {
		switch {
		case l.n[i] >= 0 || rest && w.up[i] && i >= l.rhythm.since:
			l.base[i] = query.Present
		case l.rhythm.Schedule == Daily && i >= l.rhythm.since:
			l.base[i] = query.Missing
		}
	}
	l.unlikely()
	l.days = l.carry(l.base)
}

// unlikely marks as Missing the days without a report of the class that are too
// many to be zeros, going by the mean of the looks before them.
func (l *line) unlikely() {
	var looks, sum float64 // before the silence, and what they saw
	var run []int
	end := func() {
		if improbable(float64(len(run)), looks, sum) {
			for _, i := range run {
				l.base[i] = query.Missing
			}
		} else {
			looks += float64(len(run))
		}
		run = run[:0]
	}
	for i := l.from; i < len(l.base); i++ {
		switch {
		case l.base[i] != query.Present:
		case l.n[i] < 0:
			run = append(run, i)
		default: // a report, which stays a look, though there be no row in it
			end()
			looks++
			sum += float64(l.n[i])
		}
	}
	end()
}

// carry spreads the looks of a weekly witness over the days that they cover,
// and says which are missing.
func (l *line) carry(base []query.Look) []query.Look {
	if l.rhythm.Schedule != Weekly {
		return base
	}
	out := slices.Clone(base)
	near := func(lo, hi int, what query.Look) bool {
		return slices.Contains(base[max(lo, l.from):min(hi+1, len(base))], what)
	}
	for i := l.from; i < len(base); i++ {
		switch due := i >= l.rhythm.since; {
		case base[i] == query.Present:
		case lasting(l.class) && near(i, i+week-1, query.Present):
			out[i] = query.Present
		case lasting(l.class) && due && (i+week <= len(base) || near(i, i+week-1, query.Missing)):
			out[i] = query.Missing
		case lasting(l.class):
			out[i] = query.NotExpected
		case due && base[i] != query.Missing && i%week == l.rhythm.weekday && i+week/2 < len(base) && !near(i-week/2, i+week/2, query.Present):
			out[i] = query.Missing
		}
	}
	return out
}

// Newest returns the newest day that anything was reported for.
func (p *Panel) Newest() event.Day { return p.newest }

// Witness returns the name of the witness that a feed belongs to.
func (p *Panel) Witness(feed string) string {
	if w := p.of[feed]; w != nil {
		return w.name
	}
	return feed
}

// Rows returns the looks of each witness at each of the classes, all if none
// are named, by class and name. A witness of which nothing was expected in the
// period has no row.
func (p *Panel) Rows(classes []event.Class, period query.Period) []query.Covered {
	var out []query.Covered
	for _, w := range p.by {
		for c, l := range w.classes {
			if len(classes) > 0 && !slices.Contains(classes, c) {
				continue
			}
			if r := p.row(w, c, l.days, l.from, period); r.Expected > 0 {
				out = append(out, r)
			}
		}
	}
	Sort(out)
	return out
}

// Sort puts rows in order: by class, witness and network.
func Sort(rows []query.Covered) {
	slices.SortFunc(rows, func(a, b query.Covered) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Witness, b.Witness), cmp.Compare(a.ASN, b.ASN))
	})
}

func (p *Panel) row(w *witness, c event.Class, days []query.Look, from int, period query.Period) query.Covered {
	r := query.Covered{Witness: w.name, Feeds: slices.Clone(w.feeds), Class: c, From: p.lo + event.Day(from), Days: make([]query.Look, period.Days())}
	for i := range r.Days {
		r.Days[i] = query.NotExpected
		if d := int(period.From-p.lo) + i; d >= 0 && d < len(days) {
			r.Days[i] = days[d]
		}
		switch r.Days[i] {
		case query.Present:
			r.Present++
		case query.Missing:
			r.Missing++
		default:
		}
	}
	r.Expected = r.Present + r.Missing
	return r
}

// Network returns the rows of a network, of which seen says everything that was
// ever seen in the class there: one for each witness that looks at it on other
// days of the period than elsewhere.
func (p *Panel) Network(class event.Class, asn uint32, seen []Seen, period query.Period) []query.Covered {
	by := map[*witness][]int64{}
	for _, s := range seen {
		w := p.of[s.Feed]
		d := int(s.Day - p.lo)
		if w == nil || w.classes[class] == nil || s.N <= 0 || d < 0 || d >= len(w.up) {
			continue
		}
		if by[w] == nil {
			by[w] = make([]int64, len(w.up))
		}
		by[w][d] = max(by[w][d], s.N)
	}
	var out []query.Covered
	for w, n := range by {
		l := w.classes[class]
		first := slices.IndexFunc(n, func(x int64) bool { return x > 0 })
		looks, from := l.there(n, first)
		days := l.carry(looks)
		for i := range from {
			days[i] = query.NotExpected
		}
		row, all := p.row(w, class, days, from, period), p.row(w, class, l.days, l.from, period)
		if !slices.Equal(row.Days, all.Days) {
			row.ASN = asn
			out = append(out, row)
		}
	}
	Sort(out)
	return out
}

// there returns the looks at a network that was seen n times on each day, the
// first time on day first, and from when on they count.
func (l *line) there(n []int64, first int) (looks []query.Look, from int) {
	looks, from = slices.Clone(l.base), l.from
	// Silence there says something on days with a sighting elsewhere.
	told := func(i int) bool { return looks[i] == query.Present && l.n[i] > 0 }
	var before, after, sum float64 // looks, and what those after the first sighting saw; it is itself no chance
	for i := l.from; i < len(looks); i++ {
		switch {
		case !told(i) || i == first:
		case i < first:
			before++
		default:
			after++
			sum += float64(n[i])
		}
	}
	if first-l.from > late && improbable(before, after, sum) {
		from = first
	}
	// A day on which nothing was seen anywhere neither lengthens a silence nor ends it.
	var looked, total float64
	start, length := -1, 0.0
	end := func(at int) {
		if start >= 0 && improbable(length, looked, total) {
			for i := start; i < at; i++ {
				if looks[i] == query.Present {
					looks[i] = query.Missing
				}
			}
		} else {
			looked += length
		}
		start, length = -1, 0
	}
	for i := from; i < len(looks); i++ {
		switch {
		case !told(i):
		case n[i] > 0:
			end(i)
			looked++
			total += float64(n[i])
		default:
			if start < 0 {
				start = i
			}
			length++
		}
	}
	end(len(looks))
	return looks, from
}

// Looked returns whether a witness reported on a day of the class, or is taken
// to have seen nothing: a look at that day itself, without those that a weekly
// report covers.
func (p *Panel) Looked(w string, class event.Class, day event.Day) bool {
	l, i := p.line(w, class), int(day-p.lo)
	return l != nil && i >= 0 && i < len(l.base) && l.base[i] == query.Present
}

// Next returns the first day, not before the one given, on which a witness
// looked at the class as [Panel.Looked] has it.
func (p *Panel) Next(w string, class event.Class, from event.Day) (event.Day, bool) {
	l := p.line(w, class)
	if l == nil {
		return 0, false
	}
	for i := max(0, int(from-p.lo)); i < len(l.base); i++ {
		if l.base[i] == query.Present {
			return p.lo + event.Day(i), true
		}
	}
	return 0, false
}

// Last returns the last day on which a witness looked at the class.
func (p *Panel) Last(w string, class event.Class) (event.Day, bool) {
	l := p.line(w, class)
	if l == nil {
		return 0, false
	}
	for i := len(l.days) - 1; i >= l.from; i-- {
		if l.days[i] == query.Present {
			return p.lo + event.Day(i), true
		}
	}
	return 0, false
}

func (p *Panel) line(w string, class event.Class) *line {
	if x := p.by[w]; x != nil {
		return x.classes[class]
	}
	return nil
}

// Each calls f for each witness and class, in order of their names.
func (p *Panel) Each(f func(w string, feeds []string, class event.Class)) {
	for _, name := range slices.Sorted(maps.Keys(p.by)) {
		w := p.by[name]
		for _, c := range slices.Sorted(maps.Keys(w.classes)) {
			f(name, w.feeds, c)
		}
	}
}

// Fresh returns the days on which what a witness sees for the first time need
// not be new: the first gap days of it, and as many after each outage that was
// longer. They come in order and apart.
func (p *Panel) Fresh(w string, class event.Class, gap event.Day) []query.Period {
	l := p.line(w, class)
	if l == nil {
		return nil
	}
	var out []query.Period
	add := func(i int) {
		from := p.lo + event.Day(i)
		if n := len(out); n > 0 && out[n-1].To >= from-1 {
			out[n-1].To = from + gap - 1
			return
		}
		out = append(out, query.Period{From: from, To: from + gap - 1})
	}
	if gap <= 0 {
		return nil
	}
	out = append(out, query.Period{From: p.lo + event.Day(l.from), To: p.lo + event.Day(l.from) + gap - 1})
	away := 0
	for i := l.from; i < len(l.days); i++ {
		if l.days[i] != query.Present {
			away++
			continue
		}
		if away > int(gap) {
			add(i)
		}
		away = 0
	}
	return out
}
