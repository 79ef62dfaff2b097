package coverage

import (
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tocsin/internal/episode"
	"tocsin/internal/event"
	"tocsin/internal/query"
)

const day0 = event.Day(20000)

// days makes what a feed saw of a class from a picture: a digit is how many, x
// a hundred, o an empty report, a blank nothing.
func days(feed string, c event.Class, picture string) (out []Seen) {
	for i, r := range picture {
		s := Seen{Feed: feed, Class: c, Day: day0 + event.Day(i)}
		switch {
		case r == 'x':
			s.N = 100
		case r == 'o':
		case r >= '0' && r <= '9':
			s.N = int64(r - '0')
		default:
			continue
		}
		out = append(out, s)
	}
	return out
}

func repeat(s string, n int) (out string) {
	for range n {
		out += s
	}
	return out
}

func TestRows(t *testing.T) {
	inf, att, exp := event.ClassInfection, event.ClassAttempt, event.ClassExposure
	more := days("other", inf, repeat("x", 70)) // the newest day is day0+69
	for _, tt := range []struct {
		name  string
		feeds []Feed
		seen  []Seen
		class event.Class
		want  string
	}{
		{"daily by history, with a gap, and lost", nil, days("a", inf, "  "+repeat("x", 25)+"   "+repeat("x", 20)), inf, ".." + repeat("+", 25) + "---" + repeat("+", 20) + repeat("-", 20)},
		{"retired", []Feed{{Name: "a", Schedule: None}}, days("a", inf, repeat("x", 25)+"   "+repeat("x", 20)), inf, repeat("+", 25) + "..." + repeat("+", 20) + repeat(".", 22)},
		{"too young for a rhythm", nil, days("a", inf, "x  x x"), inf, "+..+.+" + repeat(".", 64)},
		{"daily as set", []Feed{{Name: "a", Schedule: Daily}}, days("a", inf, "x  x x"), inf, "+--+-+" + repeat("-", 64)},
		{"an empty report is a look", []Feed{{Name: "a", Schedule: Daily}}, days("a", inf, "x oo x"), inf, "+-++-+" + repeat("-", 64)},
		{"an empty report before anything was seen", nil, days("a", inf, "o  x"), inf, "...+" + repeat(".", 66)},
		{"weekly by history covers the week", nil, days("a", exp, repeat("x      ", 5)), exp, repeat("+", 29) + repeat("-", 35) + "......"},
		{"a weekly report late by a day leaves one", []Feed{{Name: "a", Schedule: Weekly}}, days("a", exp, "x       x      x"), exp, "+-" + repeat("+", 14) + repeat("-", 48) + "......"},
		{"weekly without duration", []Feed{{Name: "a", Schedule: Weekly}}, days("a", att, "x      x             x"), att, "+......+......-......+......-......-......-......-......-......-......"},
		{"two feeds of one upstream", []Feed{{Name: "a", Upstream: "u", Schedule: Daily}, {Name: "b", Upstream: "u"}}, append(days("a", inf, "x x x"), days("b", inf, " x    x")...), inf, "+++-+-+" + repeat("-", 63)},
		{"no infection on a day with other reports is a zero", nil, append(days("a", inf, repeat("1", 30)+"  "+repeat("1", 38)), days("a", att, repeat("x", 70))...), inf, repeat("+", 70)},
		{"many infections do not go away in two days", nil, append(days("a", inf, repeat("x", 30)+"  "+repeat("x", 5)+" "+repeat("x", 32)), days("a", att, repeat("x", 70))...), inf, repeat("+", 30) + "--" + repeat("+", 38)},
		{"too few to know", nil, append(days("a", inf, "x"+repeat(" ", 69)), days("a", att, repeat("x", 70))...), inf, repeat("+", 70)},
		{"a weekly class of a daily feed", nil, append(days("a", exp, repeat("x      ", 10)), days("a", att, repeat("x", 70))...), exp, repeat("+", 64) + "......"},
		{"a rare class of a daily feed", nil, append(days("a", inf, "1   1       1"), days("a", att, repeat("x", 40)+"  "+repeat("x", 28))...), inf, repeat("+", 40) + "--" + repeat("+", 28)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := New(tt.feeds, append(slices.Clone(more), tt.seen...))
			for _, r := range p.Rows([]event.Class{tt.class}, query.Period{From: day0, To: day0 + 69}) {
				if r.Witness == "other" {
					continue
				}
				if got := string(lookText(r.Days)); got != tt.want {
					t.Errorf("%s:\n%s, want\n%s", r.Witness, got, tt.want)
				}
				if r.Expected != r.Present+r.Missing {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

func lookText(l []query.Look) (b []byte) {
	for _, x := range l {
		b = append(b, byte(x))
	}
	return b
}

func TestNetwork(t *testing.T) {
	inf := event.ClassInfection
	all := query.Period{From: day0, To: day0 + 69}
	whole := days("a", inf, repeat("x", 30)+" "+repeat("x", 39))
	p := New(nil, whole)
	for _, tt := range []struct{ name, there, want string }{
		{"as everywhere", repeat("3", 30) + " " + repeat("3", 39), ""},
		{"21 days of silence at nine a day may be a clean-up", repeat("9", 22) + repeat(" ", 22) + repeat("9", 26), ""},
		{"22 are not", repeat("9", 22) + repeat(" ", 23) + repeat("9", 25), repeat("+", 22) + repeat("-", 8) + "-" + repeat("-", 14) + repeat("+", 25)},
		{"a day of silence at a hundred", repeat("x", 40) + " " + repeat("x", 29), ""},
		{"two", repeat("x", 40) + "  " + repeat("x", 28), repeat("+", 30) + "-" + repeat("+", 9) + "--" + repeat("+", 28)},
		{"it ended there", repeat("x", 30), repeat("+", 30) + repeat("-", 40)},
		{"too few to know", "xo" + repeat(" ", 68), ""},
		{"it began there later", repeat(" ", 40) + repeat("x", 30), repeat(".", 40) + repeat("+", 30)},
		{"it began there soon", repeat(" ", 20) + repeat("x", 50), ""},
		{"on its newest day", repeat(" ", 69) + "x", ""},
		{"rare, and later", repeat(" ", 50) + "1", ""},
	} {
		got := ""
		for _, r := range p.Network(inf, 64500, days("a", inf, tt.there), all) {
			got = string(lookText(r.Days))
			if r.ASN != 64500 {
				t.Errorf("%s: %+v", tt.name, r)
			}
		}
		if got != tt.want {
			t.Errorf("%s:\n%s, want\n%s", tt.name, got, tt.want)
		}
	}
}

func TestLasting(t *testing.T) {
	for c := range event.Class(event.Classes) {
		if lasting(c) != episode.Has(c) {
			t.Errorf("%s", c)
		}
	}
}

// slow is the rules of docs/coverage.md written out day by day for a witness of
// one class: of its looks nothing is a zero, so that no probability comes in.
func slow(set Schedule, seen map[event.Day]int64, class event.Class, newest, day event.Day) query.Look {
	first := newest + 1
	for d, n := range seen {
		if n > 0 {
			first = min(first, d)
		}
	}
	if day < first || day > newest {
		return query.NotExpected
	}
	has := func(d event.Day) bool { _, ok := seen[d]; return ok && d >= first && d <= newest }
	since := first
	if set == FromHistory {
		set = None
		for d := newest; d >= first; d-- { // the earliest stands at the end
			n := 0
			for x := d; x < d+28; x++ {
				if has(x) {
					n++
				}
			}
			if n >= 24 && has(d) {
				set, since = Daily, d
			}
		}
		if set == None {
			for d := newest; d >= first; d-- {
				n := 0
				for x := d; x < d+28; x += 7 {
					if has(x) {
						n++
					}
				}
				if n >= 3 && has(d) {
					set, since = Weekly, d
				}
			}
		}
	}
	switch {
	case has(day):
		return query.Present
	case set == Daily && day >= since:
		return query.Missing
	case set != Weekly:
		return query.NotExpected
	case lasting(class):
		for x := day; x < day+7; x++ {
			if has(x) {
				return query.Present
			}
		}
		if day >= since && day+6 <= newest {
			return query.Missing
		}
		return query.NotExpected
	}
	var weekdays [7]int
	for d := range seen {
		if has(d) {
			weekdays[(d-day0)%7]++
		}
	}
	usual := event.Day(slices.Index(weekdays[:], slices.Max(weekdays[:])))
	for x := day - 3; x <= day+3; x++ {
		if has(x) {
			return query.NotExpected
		}
	}
	if day >= since && (day-day0)%7 == usual && day+3 <= newest {
		return query.Missing
	}
	return query.NotExpected
}

// TestAgainstDays compares with the rules written out day by day.
func TestAgainstDays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		class := rapid.SampledFrom([]event.Class{event.ClassInfection, event.ClassAttempt}).Draw(t, "class")
		set := rapid.SampledFrom([]Schedule{FromHistory, FromHistory, Daily, Weekly, None}).Draw(t, "schedule")
		every := rapid.IntRange(1, 9).Draw(t, "every")
		seen := map[event.Day]int64{}
		for d := rapid.IntRange(0, 20).Draw(t, "first"); d < 80; d += every {
			if rapid.IntRange(0, 9).Draw(t, "kept") > 0 {
				seen[day0+event.Day(d)] = int64(rapid.IntRange(0, 3).Draw(t, "n"))
			}
		}
		for range rapid.IntRange(0, 9).Draw(t, "more") {
			seen[day0+event.Day(rapid.IntRange(0, 85).Draw(t, "day"))]++
		}
		list := []Seen{{"z", event.ClassLeak, day0, 1}} // fixes the first day, from which weekdays count
		for d, n := range seen {
			list = append(list, Seen{"a", class, d, n})
		}
		newest := day0
		if len(seen) > 0 {
			newest = max(newest, slices.Max(slices.Collect(maps.Keys(seen))))
		}
		period := query.Period{From: day0 - 3, To: newest + 9}
		want := make([]query.Look, period.Days())
		expected := 0
		for i := range want {
			if want[i] = slow(set, seen, class, newest, period.From+event.Day(i)); want[i] != query.NotExpected {
				expected++
			}
		}
		p := New([]Feed{{Name: "a", Schedule: set}}, rapid.Permutation(list).Draw(t, "order"))
		rows := p.Rows([]event.Class{class}, period)
		if expected == 0 {
			if len(rows) > 0 {
				t.Fatalf("%+v, want nothing", rows)
			}
			return
		}
		if len(rows) != 1 || !slices.Equal(rows[0].Days, want) {
			t.Fatalf("%q %v\n%s, want\n%s", set, seen, lookText(rows[0].Days), lookText(want))
		}
		checkFresh(t, p, want, period, class)
	})
}

// checkFresh says of each day by its definition whether a start on it is no
// incidence: the witness had not been looking for the gap before without an
// outage that was longer.
func checkFresh(t *rapid.T, p *Panel, looks []query.Look, period query.Period, class event.Class) {
	gap := event.Day(rapid.IntRange(1, 14).Draw(t, "gap"))
	first := slices.Index(looks, query.Present)
	if first < 0 {
		return
	}
	fresh := p.Fresh("a", class, gap)
	for i := first; i < len(looks); i++ {
		if looks[i] != query.Present {
			continue
		}
		want := i-first < int(gap)
		for run, j := 0, first; j < i; j++ { // an outage that ended at most gap days before
			if looks[j] == query.Present {
				run = 0
				continue
			}
			run++
			if run > int(gap) && looks[j+1] == query.Present && i-(j+1) < int(gap) {
				want = true
			}
		}
		day := period.From + event.Day(i)
		got := slices.ContainsFunc(fresh, func(f query.Period) bool { return day >= f.From && day <= f.To })
		if got != want {
			t.Fatalf("day %d with gap %d: fresh %v (%v), want %v\n%s", i, gap, got, fresh, want, lookText(looks))
		}
	}
	for i := 1; i < len(fresh); i++ {
		if fresh[i].From <= fresh[i-1].To+1 {
			t.Fatalf("%v are not apart", fresh)
		}
	}
}

// TestSilence compares the test for improbable silence with its definition.
func TestSilence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.IntRange(1, 9).Draw(t, "rate")
		run := rapid.IntRange(1, 40).Draw(t, "run")
		whole := days("a", event.ClassInfection, repeat("x", 90))
		there := days("a", event.ClassInfection, repeat(string(rune('0'+rate)), 30)+repeat(" ", run)+repeat("1", 60-run))
		rows := New(nil, whole).Network(event.ClassInfection, 1, there, query.Period{From: day0, To: day0 + 89})
		improbable := rate*30 >= 196 && math.Exp(-float64(rate*run)/14) < 1e-6
		if improbable != (len(rows) > 0 && rows[0].Missing == run) {
			t.Fatalf("%d a day, silent for %d: %+v", rate, run, rows)
		}
	})
}
