package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/episode"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// Sole returns, for each witness, how much of the count it alone has seen. The
// numbers of a witness without any are left out.
func (s *Store) Sole(ctx context.Context, scope policy.Scope, q query.Sole) (map[string]int64, error) {
	gen, _, err := s.generation(ctx, q.Enrichment)
	if err != nil {
		return nil, err
	}
	first, by := map[string]uint32{}, strings.Builder{} // a witness has the number of its first feed
	by.WriteString("CASE feed")
	for _, f := range slices.Sorted(maps.Keys(q.Witness)) {
		id, ok := s.terms.find(f)
		if !ok {
			continue
		}
		w := q.Witness[f]
		if _, ok := first[w]; !ok {
			first[w] = id
		}
		fmt.Fprintf(&by, " WHEN %d THEN %d", id, first[w])
	}
	by.WriteString(" ELSE feed END")
	if len(first) == 0 {
		by.Reset()
		by.WriteString("feed")
	}
	names := map[uint32]string{}
	for w, id := range first {
		names[id] = w
	}
	key := "asset"
	if q.Measure == query.AssetDays {
		key = "day, asset"
	}
	out := map[string]int64{}
	err = s.read(ctx, func(c *conn) error {
		return c.each(func(r *rows) {
			id := at[uint32](r, 0)
			w, ok := names[id]
			if !ok {
				w = s.terms.word(id)
			}
			out[w] = at[int64](r, 1)
		}, fmt.Sprintf(`SELECT w, count(*) FROM (SELECT min(%[1]s)::UINTEGER AS w FROM sighting
			WHERE gen = %[2]d AND class = %[3]d AND day BETWEEN %[4]d AND %[5]d AND %[6]s AND %[7]s GROUP BY %[8]s HAVING min(%[1]s) = max(%[1]s)) GROUP BY w`,
			by.String(), gen, q.Class, q.Period.From, q.Period.To, s.where(q.Where, sightingColumn), s.visible(scope), key))
	})
	return out, err
}

// Matched returns what the feeds saw on their days, by network. With
// [query.Assets] an asset counts in the network with the lowest number that it
// was seen in, so that the numbers sum to the distinct assets.
func (s *Store) Matched(ctx context.Context, scope policy.Scope, q query.Matched) ([]query.Cluster, error) {
	type cell struct {
		feed, asn uint32
	}
	days := map[event.Day]map[cell]bool{}
	own := map[cell]bool{} // networks that a feed has days of its own for
	note := func(d query.FeedDay) (cell, bool) {
		id, ok := s.terms.find(d.Feed)
		c := cell{id, d.ASN}
		if ok && d.ASN != 0 {
			own[c] = true
		}
		return c, ok
	}
	for _, d := range q.Alone {
		note(d)
	}
	for _, d := range q.Days {
		if c, ok := note(d); ok {
			if days[d.Day] == nil {
				days[d.Day] = map[cell]bool{}
			}
			days[d.Day][c] = true
		}
	}
	if len(days) == 0 {
		return nil, nil
	}
	list := func(cs map[cell]bool, write func(cell) string) string {
		words := make([]string, 0, len(cs))
		for c := range cs {
			words = append(words, write(c))
		}
		slices.Sort(words)
		return strings.Join(words, ", ")
	}
	pair := func(c cell) string { return fmt.Sprintf("(%d, %d)", c.feed, c.asn) }
	// Days with the same feeds share a condition.
	same := map[string][]string{}
	for d, cs := range days {
		all, some := map[cell]bool{}, map[cell]bool{}
		for c := range cs {
			if c.asn == 0 {
				all[c] = true
			} else {
				some[c] = true
			}
		}
		var or []string
		if len(all) > 0 {
			general := "feed IN (" + list(all, func(c cell) string { return decimal(c.feed) }) + ")"
			if len(own) > 0 {
				general += " AND (feed, asn) NOT IN (" + list(own, pair) + ")"
			}
			or = append(or, general)
		}
		if len(some) > 0 {
			or = append(or, "(feed, asn) IN ("+list(some, pair)+")")
		}
		cond := strings.Join(or, " OR ")
		same[cond] = append(same[cond], strconv.Itoa(int(d)))
	}
	day, family := "day", "family"
	if q.Measure == query.EventRows {
		day, family = dayOfTime, familyColumn
	}
	not := "true"
	var pairs []string
	for _, x := range q.Not {
		feed, ok := s.terms.find(x.Feed)
		if !ok {
			continue
		}
		for _, name := range s.aliases(x.Family) {
			pairs = append(pairs, fmt.Sprintf("(%d, %d)", feed, name))
		}
	}
	if len(pairs) > 0 {
		slices.Sort(pairs)
		not = fmt.Sprintf("(feed, %s) NOT IN (%s)", family, strings.Join(pairs, ", "))
	}
	conds := make([]string, 0, len(same))
	for cond, on := range same {
		slices.Sort(on)
		conds = append(conds, fmt.Sprintf("%s IN (%s) AND (%s)", day, strings.Join(on, ","), cond))
	}
	slices.Sort(conds)
	lo, hi := slices.Min(slices.Collect(maps.Keys(days))), slices.Max(slices.Collect(maps.Keys(days)))
	gen := s.gen.Load()
	sightings := fmt.Sprintf(`FROM sighting WHERE gen = %d AND class = %d AND day BETWEEN %d AND %d AND %s AND %s AND %s AND (%s)`,
		gen, q.Class, lo, hi, s.where(q.Where, sightingColumn), s.visible(scope), not, strings.Join(conds, " OR "))
	sql := ""
	switch q.Measure {
	case query.AssetDays:
		sql = `SELECT asn, sum(n)::BIGINT FROM (SELECT asn, day, count(DISTINCT asset) AS n ` + sightings + ` GROUP BY asn, day) GROUP BY asn`
	case query.Assets:
		sql = `SELECT a, count(*) FROM (SELECT min(asn) AS a ` + sightings + ` GROUP BY asset) GROUP BY a`
	case query.EventRows:
		from, _ := dayBounds(lo)
		_, to := dayBounds(hi)
		sql = fmt.Sprintf(`SELECT asn, count(*) FROM %s WHERE class = %d AND time >= TIMESTAMP '%s' AND time < TIMESTAMP '%s' AND %s AND %s AND %s AND %s AND (%s) GROUP BY asn`,
			eventSource(gen), q.Class, from, to, s.where(q.Where, eventColumn), s.visible(scope), s.notHidden(), not, strings.Join(conds, " OR "))
	default:
		return nil, fmt.Errorf("store: no measure %q", q.Measure)
	}
	var out []query.Cluster
	err := s.read(ctx, func(c *conn) error {
		return c.each(func(r *rows) { out = append(out, query.Cluster{ASN: at[uint32](r, 0), N: at[int64](r, 1)}) }, sql+" ORDER BY 1")
	})
	return out, err
}

// aliases returns the numbers of all words that are a family's name.
func (s *Store) aliases(family string) []uint32 {
	var out []uint32
	for _, name := range append(episode.Names(family), family) {
		if id, ok := s.terms.find(name); ok && id != 0 && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// Sightings gives the sightings of a class in a period to f, those of one
// asset after the other and each asset's by day, in bounded memory. The slice
// is used again.
func (s *Store) Sightings(ctx context.Context, scope policy.Scope, q query.Count, f func([]query.Seen)) error {
	gen, _, err := s.generation(ctx, q.Enrichment)
	if err != nil {
		return err
	}
	var list []query.Seen
	err = s.read(ctx, func(c *conn) error {
		return c.each(func(r *rows) {
			x := query.Seen{
				Asset: r.id(0), Day: event.Day(at[int32](r, 1)), Feed: s.terms.word(at[uint32](r, 2)), Type: event.Type(at[uint8](r, 3)),
				Family: s.terms.word(at[uint32](r, 4)), ASN: at[uint32](r, 5),
			}
			if len(list) > 0 && list[0].Asset != x.Asset {
				f(list)
				list = list[:0]
			}
			list = append(list, x)
		}, fmt.Sprintf(`SELECT asset, day, feed, type, family, asn FROM sighting WHERE gen = %d AND class = %d AND day BETWEEN %d AND %d AND %s AND %s
			ORDER BY asset, day, feed, type, family`, gen, q.Class, q.Period.From, q.Period.To, s.where(q.Where, sightingColumn), s.visible(scope)))
	})
	if err == nil && len(list) > 0 {
		f(list)
	}
	return err
}

// Controlled says who was controlled from where. It holds one asset at a time
// in memory.
func (s *Store) Controlled(ctx context.Context, scope policy.Scope, q query.Control, locate query.Locate) (query.Controlled, error) {
	n := q.Period.Days()
	out := query.Controlled{Daily: make([]int64, n), EvidenceDaily: make([]int64, n)}
	from, _ := dayBounds(q.Period.From)
	_, to := dayBounds(q.Period.To)
	gen := s.gen.Load()
	// The version that an event is annotated with: its delivery's, or that of the
	// generation where this is newer.
	version := `(SELECT coalesce(max(enrichment), 0) FROM generation WHERE gen = ` + decimal(gen) + `)`
	peer := fmt.Sprintf(`CASE WHEN subject & 15 = %d THEN src_ip ELSE dst_ip END`, event.SideDestination)
	where := fmt.Sprintf(`FROM %s WHERE class = %d AND subject >> 24 = %d AND time >= TIMESTAMP '%s' AND time < TIMESTAMP '%s' AND asset_kind <> 0 AND %s AND %s AND %s`,
		eventSource(gen), event.ClassInfection, event.RoleC2, from, to, s.where(q.Where, eventColumn), s.visible(scope), s.notHidden())

	countries := map[string]*query.ControllerCountry{}
	country := func(cc string) *query.ControllerCountry {
		c := countries[cc]
		if c == nil {
			c = &query.ControllerCountry{CC: cc}
			countries[cc] = c
		}
		return c
	}
	var asset event.ID
	day := event.Day(-1)
	var today, ever []string // countries abroad of the asset at hand
	var sideDay, sideEver [4]bool
	endDay := func() {
		if day < 0 {
			return
		}
		i := day - q.Period.From
		out.EvidenceDaily[i]++
		if sideDay[query.SideAbroad] {
			out.Daily[i]++
		}
		for _, cc := range today {
			country(cc).DaySum++
		}
		today, sideDay, day = today[:0], [4]bool{}, -1
	}
	endAsset := func() {
		endDay()
		if sideEver == [4]bool{} {
			return
		}
		out.Evidence++
		switch {
		case sideEver[query.SideAbroad]:
			out.Distinct++
		case sideEver[query.SideUndetermined], sideEver[query.SideUnknown]:
			out.Undetermined++
		default:
			out.AtHome++
		}
		for _, cc := range ever {
			c := country(cc)
			c.Total++
			if len(ever) == 1 {
				c.Exclusive++
			} else {
				c.Shared++
			}
		}
		ever, sideEver = ever[:0], [4]bool{}
	}
	strange := false
	err := s.read(ctx, func(c *conn) error {
		if err := c.each(func(r *rows) { out.Feeds = append(out.Feeds, s.terms.word(at[uint32](r, 0))) }, `SELECT DISTINCT feed `+where+` AND `+peer+` <> 0`); err != nil || len(out.Feeds) == 0 {
			return err
		}
		return c.each(func(r *rows) {
			a, d := r.id(0), event.Day(at[int32](r, 1))
			if d < q.Period.From || d > q.Period.To {
				strange = true
				return
			}
			if a != asset {
				endAsset()
				asset = a
			}
			if d != day {
				endDay()
				day = d
			}
			p := locate(event.KeyAddress(r.id(2)), at[uint32](r, 3))
			sideDay[p.Side], sideEver[p.Side] = true, true
			if p.Side == query.SideAbroad {
				if !slices.Contains(today, p.CC) {
					today = append(today, p.CC)
				}
				if !slices.Contains(ever, p.CC) {
					ever = append(ever, p.CC)
				}
			}
		}, `SELECT DISTINCT asset, `+dayOfTime+` AS d, `+peer+` AS peer, greatest(coalesce(v.enrichment, 0), `+version+`)::UINTEGER AS version
			FROM (SELECT * `+where+` AND `+peer+` <> 0) e LEFT JOIN (SELECT seq, enrichment FROM delivery) v ON v.seq = e.delivery ORDER BY asset, d, peer, version`)
	})
	if err != nil {
		return query.Controlled{}, err
	}
	if strange {
		return query.Controlled{}, errStrangeDay
	}
	endAsset()
	slices.Sort(out.Feeds)
	for _, c := range countries {
		c.Mean = float64(c.DaySum) / float64(n)
		out.Countries = append(out.Countries, *c)
	}
	slices.SortFunc(out.Countries, func(a, b query.ControllerCountry) int {
		if a.Total != b.Total {
			return int(b.Total - a.Total)
		}
		return strings.Compare(a.CC, b.CC)
	})
	return out, nil
}
