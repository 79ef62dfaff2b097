package figure

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tocsin/internal/estimate"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// yearBefore returns the same calendar day of the year before; false for 29
// February, which has none.
func yearBefore(d event.Day) (event.Day, bool) {
	t := d.Time()
	y := time.Date(t.Year()-1, t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return event.DayFrom(y), y.Day() == t.Day()
}

// LastYear returns the same calendar days of the year before.
func LastYear(p query.Period) query.Period {
	from, _ := yearBefore(p.From) // 29 February becomes 1 March
	to, ok := yearBefore(p.To)
	if !ok {
		to--
	}
	return query.Period{From: from, To: to}
}

// looker is who looked at one class in a period.
type looker struct {
	period query.Period
	rows   map[estimate.Cell]*query.Covered
	feeds  map[string][]string // of each witness
}

func lookers(c query.Coverage, class event.Class) looker {
	l := looker{c.Period, map[estimate.Cell]*query.Covered{}, map[string][]string{}}
	for i := range c.Rows {
		r := &c.Rows[i]
		if r.Class != class {
			continue
		}
		l.rows[estimate.Cell{Witness: r.Witness, Class: class.String(), AS: r.ASN}] = r
		l.feeds[r.Witness] = r.Feeds
	}
	return l
}

// at reports whether the witness of a cell looked on a day: in the network if
// it has days of its own, or at all.
func (l looker) at(c estimate.Cell, d event.Day) bool {
	r := l.rows[c]
	if r == nil {
		r = l.rows[estimate.Cell{Witness: c.Witness, Class: c.Class}]
	}
	i := int(d - l.period.From)
	return r != nil && i >= 0 && i < len(r.Days) && r.Days[i] == query.Present
}

// panel sums up who looked.
func (l looker) panel() Panel {
	p := Panel{Witnesses: []string{}}
	for _, r := range l.rows {
		if r.ASN == 0 && r.Expected > 0 {
			p.Witnesses = append(p.Witnesses, r.Witness)
			p.FeedDaysPresent += r.Present
			p.FeedDaysExpected += r.Expected
		}
	}
	slices.Sort(p.Witnesses)
	return p
}

// witnesses gives the witness of each feed.
func (l looker) witnesses() map[string]string {
	m := map[string]string{}
	for w, fs := range l.feeds {
		for _, f := range fs {
			m[f] = w
		}
	}
	return m
}

func union(a, b []string) []string {
	return append(slices.Clone(a), minus(b, a)...)
}

func minus(a, b []string) []string {
	out := []string{}
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

// year compares a count with that of the same calendar days a year before, on
// the days on which a witness looked in both years. What has a confirmed break
// in the year between, a witness or a family as one sees it, leaves the
// comparison; a break that nobody has looked at yet forbids it.
func (a *asker) year(ctx context.Context, scope policy.Scope, id string, version int, q query.Count, measure query.Measure, now int64, cov query.Coverage) (*Comparability, Coverage, error) {
	prior := LastYear(q.Period)
	c := &Comparability{Prior: prior, Seed: seedOf(id, version, q.Period)}
	seen := Coverage{Lost: []string{}, Gained: []string{}, Breaks: []string{}}
	if a.since == 0 || prior.From < a.since {
		c.Test, c.Why = "data", "There is no data of the same days of last year."
		return c, seen, nil
	}
	covThen, err := a.src.Covered(ctx, scope, []event.Class{q.Class}, prior)
	if err != nil {
		return nil, seen, err
	}
	between, err := a.src.Covered(ctx, scope, []event.Class{q.Class}, query.Period{From: prior.From, To: q.Period.To})
	if err != nil {
		return nil, seen, err
	}
	lnow, lthen := lookers(cov, q.Class), lookers(covThen, q.Class)
	pnow, pthen := lnow.panel().Witnesses, lthen.panel().Witnesses
	seen.Lost, seen.Gained = minus(pthen, pnow), minus(pnow, pthen)
	broken := map[string]bool{}
	var suspected, left []string
	var not []query.FeedFamily
	for _, b := range between.Breaks {
		if b.Class != q.Class || b.State == query.BreakDismissed || b.Day <= prior.From || b.Day > q.Period.To {
			continue
		}
		what := fmt.Sprintf("%s, from %s: %.0f to %.0f a day", b.Witness, b.Day, b.Before, b.After)
		if b.Family != "" {
			what = fmt.Sprintf("%s, %s, from %s: %.0f to %.0f a day", b.Witness, b.Family, b.Day, b.Before, b.After)
		}
		seen.Breaks = append(seen.Breaks, string(b.State)+": "+what)
		switch {
		case b.State == query.BreakSuspected:
			suspected = append(suspected, what)
		case b.Family == "":
			broken[b.Witness] = true
			left = append(left, b.Witness)
		default:
			for _, f := range union(lnow.feeds[b.Witness], lthen.feeds[b.Witness]) {
				not = append(not, query.FeedFamily{Feed: f, Family: b.Family})
			}
			left = append(left, b.Family+" as seen by "+b.Witness)
		}
	}
	slices.Sort(seen.Breaks)

	then := query.Count{Period: prior, Class: q.Class, Where: q.Where}
	before, err := a.src.Count(ctx, scope, then)
	if err != nil {
		return nil, seen, err
	}
	was := before.Distinct
	switch measure {
	case query.AssetDays:
		was = sum(before.Daily)
	case query.EventRows:
		was = before.Events
	case query.Assets:
	}
	scale := 1.0 // of the numbers of the waterfall
	if measure == query.AssetDays {
		scale = float64(q.Period.Days())
		if was > 0 {
			c.Raw = value(float64(now) / scale / (float64(was) / float64(prior.Days())))
		}
	} else if was > 0 {
		c.Raw = value(float64(now) / float64(was))
	}

	cells := map[estimate.Cell]bool{}
	for _, l := range []looker{lnow, lthen} {
		for k := range l.rows {
			if !broken[k.Witness] {
				cells[k] = true
			}
		}
	}
	var days [2][]query.FeedDay
	var alone []query.FeedDay
	for k := range cells {
		feeds := union(lnow.feeds[k.Witness], lthen.feeds[k.Witness])
		if k.AS != 0 {
			for _, f := range feeds {
				alone = append(alone, query.FeedDay{Feed: f, ASN: k.AS})
			}
		}
		for d := q.Period.From; d <= q.Period.To; d++ {
			y, ok := yearBefore(d)
			if !ok || !lnow.at(k, d) || !lthen.at(k, y) {
				continue
			}
			if k.AS == 0 {
				c.MatchedDays++
			}
			for _, f := range feeds {
				days[0] = append(days[0], query.FeedDay{Feed: f, ASN: k.AS, Day: y})
				days[1] = append(days[1], query.FeedDay{Feed: f, ASN: k.AS, Day: d})
			}
		}
	}
	clusters := map[uint32]*estimate.Cluster{}
	var total [2]int64
	for i := range days {
		list, err := a.src.Matched(ctx, scope, query.Matched{Class: q.Class, Where: q.Where, Measure: measure, Days: days[i], Alone: alone, Not: not})
		if err != nil {
			return nil, seen, err
		}
		for _, x := range list {
			if clusters[x.ASN] == nil {
				clusters[x.ASN] = &estimate.Cluster{AS: x.ASN}
			}
			total[i] += x.N
			if i == 0 {
				clusters[x.ASN].Then = float64(x.N)
			} else {
				clusters[x.ASN].Now = float64(x.N)
			}
		}
	}
	w := estimate.Waterfall{Then: float64(was), Now: float64(now), MatchedThen: float64(total[0]), MatchedNow: float64(total[1])}
	w.Entries, w.Exits = w.Now-w.MatchedNow, w.Then-w.MatchedThen
	c.Waterfall = &Waterfall{
		Then: Decimal(w.Then / scale), Exits: Decimal(w.Exits / scale), MatchedThen: Decimal(w.MatchedThen / scale),
		MatchedNow: Decimal(w.MatchedNow / scale), Entries: Decimal(w.Entries / scale), Now: Decimal(w.Now / scale),
	}
	y := estimate.Years{Then: w.Then, Now: w.Now, Seed: c.Seed}
	for _, x := range clusters {
		y.Clusters = append(y.Clusters, *x)
	}
	slices.SortFunc(y.Clusters, func(x, z estimate.Cluster) int { return cmp.Compare(x.AS, z.AS) })
	c.Clusters = len(y.Clusters)
	if r := w.Refused(); r != nil { // before anything else: it is the plainest reason
		c.Test, c.Why = r.Test, r.Why
		return c, seen, nil
	}
	if n := len(suspected); n > 0 {
		c.Test = "break"
		c.Why = fmt.Sprintf("Between the two periods what one witness sees shifted in a way that no other saw (%s), and nobody has said yet whether its view changed or the world.", suspected[0])
		if n > 1 {
			c.Why = fmt.Sprintf("Between the two periods what a single witness sees shifted %d times in a way that no other saw (first: %s), and nobody has said yet whether its view changed or the world.", n, suspected[0])
		}
		return c, seen, nil
	}
	res, refusal, err := estimate.YearOnYear(y)
	switch {
	case err != nil:
		return nil, seen, fmt.Errorf("compare %s with last year: %w", id, err)
	case refusal != nil:
		c.Test, c.Why = refusal.Test, refusal.Why
		return c, seen, nil
	}
	c.OK, c.Ratio, c.Interval, c.ClearChange = true, value(res.Ratio.Ratio), rangeOf(res.CI), res.ClearChange
	c.Why = fmt.Sprintf("Compared on %d days of witnesses on which they looked in both years; %.0f %% of this year's value was seen then. Interval by a bootstrap over %d networks.", c.MatchedDays, 100*w.MatchedShare(), c.Clusters)
	if len(left) > 0 {
		slices.Sort(left)
		c.Why += " Left out of both years, since the view changed: " + join(slices.Compact(left)) + "."
	}
	return c, seen, nil
}
