package store

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/event"
	"tocsin/internal/query"
)

// maxStanding bounds how many questions are kept answered.
const maxStanding = 64

// standing is a question with conditions whose answer for any period is kept
// in memory, as that of each class is: what its conditions let through is
// looked at while it is being loaded, and the rest never again. See
// docs/design/0006-standing-questions.md.
type standing struct {
	class event.Class
	where []query.Cond // sorted
	key   string       // the same for questions that mean the same

	// Owned by the writer.
	conds   []dimCond
	words   int       // how many words there were when conds was made
	missing []string  // values of where that were no words then
	last    histories // of each asset that meets the conditions

	days marginal // guarded by marginals.mu
}

// dimCond is what a question asks of one dimension, in the numbers of the
// tables.
type dimCond struct {
	dim     query.Dim
	any     bool // the value has to be one of in
	in, out []uint32
}

// standings are the standing questions, and what the open transaction changes
// in them. They are owned by the writer.
type standings struct {
	list []*standing
	of   [event.Classes][]*standing // list, by class
	sums map[pairStanding]stood     // of the open transaction
	hits []hit                      // of the delivery at hand
}

// dayStanding names a day of a question.
type dayStanding struct {
	of  *standing
	day event.Day
}

// pairStanding names the assets of a question on a day that were seen on
// another day before.
type pairStanding struct {
	of        *standing
	day, prev event.Day
}

// stood is a difference, as in [change].
type stood struct{ assets, events, seen int64 }

// assetStanding names an asset in a question.
type assetStanding struct {
	of    *standing
	asset event.ID
}

// hit is a new sighting that meets a question's conditions.
type hit struct {
	of *standing
	i  int // of the sighting
}

// add sums up differences until the transaction is committed.
func (s *standings) add(q *standing, day, prev event.Day, d stood) {
	if s.sums == nil {
		s.sums = map[pairStanding]stood{}
	}
	k := pairStanding{q, day, prev}
	sum := s.sums[k]
	s.sums[k] = stood{sum.assets + d.assets, sum.events + d.events, sum.seen + d.seen}
}

// take appends what has been summed up to changes, and forgets it.
func (s *standings) take(changes []change) []change {
	for k, d := range s.sums {
		changes = append(changes, change{of: k.of, day: k.day, prev: k.prev, assets: d.assets, events: d.events, seen: d.seen})
	}
	clear(s.sums)
	return changes
}

func (s *standings) index() {
	s.of = [event.Classes][]*standing{}
	for _, q := range s.list {
		s.of[q.class] = append(s.of[q.class], q)
	}
}

// standingKey names a question without its period.
func standingKey(c event.Class, where []query.Cond) string {
	b := strconv.AppendUint(nil, uint64(c), 10)
	for _, c := range sorted(where) {
		b = strconv.AppendQuote(append(b, '|'), string(c.Dim))
		b = strconv.AppendQuote(strconv.AppendBool(b, c.Not), c.Value)
	}
	return string(b)
}

// sorted returns conditions in a fixed order, each once. The list itself stays
// as it is.
func sorted(where []query.Cond) []query.Cond {
	order := func(a, b query.Cond) int {
		if c := cmp.Or(cmp.Compare(a.Dim, b.Dim), cmp.Compare(a.Value, b.Value)); c != 0 || a.Not == b.Not {
			return c
		}
		if b.Not {
			return -1
		}
		return 1
	}
	for i := 1; i < len(where); i++ {
		if order(where[i-1], where[i]) >= 0 {
			where = slices.Clone(where)
			slices.SortFunc(where, order)
			return slices.Compact(where)
		}
	}
	return where
}

// standingOf makes the list of standing questions, with those of old that are
// among them. Periods and questions without conditions are passed over.
func standingOf(questions []query.Count, old []*standing) ([]*standing, error) {
	var list []*standing
	for _, q := range questions {
		if len(q.Where) == 0 {
			continue
		}
		if q.Class >= event.Classes {
			return nil, fmt.Errorf("standing question: no class %d", q.Class)
		}
		for _, c := range q.Where {
			if dimColumns[c.Dim].sighting == "" {
				return nil, fmt.Errorf("standing question: sightings have no %q", c.Dim)
			}
		}
		key := standingKey(q.Class, q.Where)
		same := func(x *standing) bool { return x.key == key }
		if slices.ContainsFunc(list, same) {
			continue
		}
		if i := slices.IndexFunc(old, same); i >= 0 {
			list = append(list, old[i])
			continue
		}
		list = append(list, &standing{class: q.Class, where: slices.Clone(sorted(q.Where)), key: key, words: -1})
	}
	if len(list) > maxStanding {
		return nil, fmt.Errorf("%d standing questions: at most %d", len(list), maxStanding)
	}
	return list, nil
}

// Stand sets the questions whose answers are kept from now on, for any period,
// whatever is loaded: those of a scope that sees all. New ones are counted from
// the tables once, while loading waits. After an error the questions are those
// before.
func (s *Store) Stand(questions []query.Count) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	list, err := standingOf(questions, s.standing.list)
	if err != nil {
		return err
	}
	var made []*standing
	for _, q := range list {
		if !slices.Contains(s.standing.list, q) {
			made = append(made, q)
		}
	}
	days, last, err := s.countStanding(s.gen.Load(), made)
	if err != nil {
		return s.note(err)
	}
	for i, q := range made {
		q.last = last[i]
	}
	if len(made) > 0 {
		for _, pd := range s.pending { // what is in of them was not looked at
			pd.resume = true
		}
	}
	s.standing.list = list
	s.standing.index()
	s.marg.restand(list, made, days)
	return nil
}

// restand publishes the questions; days are those of the ones that are new.
func (m *marginals) restand(list, made []*standing, days []marginal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stand(made, days)
	m.standing = make(map[string]*standing, len(list))
	for _, q := range list {
		m.standing[q.key] = q
	}
}

// stand gives questions new numbers and publishes them. The lock is held.
func (m *marginals) stand(list []*standing, days []marginal) {
	if m.standing == nil {
		m.standing = map[string]*standing{}
	}
	for i, q := range list {
		q.days = days[i]
		m.standing[q.key] = q
	}
}

// keeps reports whether the numbers of a question are kept.
func (m *marginals) keeps(q query.Count) bool {
	if len(q.Where) == 0 {
		return true
	}
	key := standingKey(q.Class, q.Where)
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.standing[key] != nil
}

// meets reports whether a sighting meets the question's conditions, as where
// says it in SQL: values of one dimension are alternatives, a value that is no
// word yet is met by nothing.
func (s *Store) meets(q *standing, c *sighting) bool {
	if q.words != len(s.terms.words) && (q.words < 0 || len(q.missing) > 0) {
		s.resolve(q)
	}
	for i := range q.conds {
		d := &q.conds[i]
		n := c.value(d.dim)
		if d.any && !slices.Contains(d.in, n) || slices.Contains(d.out, n) {
			return false
		}
	}
	return true
}

// resolve puts the numbers of words in a question, if there are words that it
// does not know.
func (s *Store) resolve(q *standing) {
	known := func(w string) bool { _, ok := s.terms.find(w); return ok }
	if q.words >= 0 && !slices.ContainsFunc(q.missing, known) {
		q.words = len(s.terms.words)
		return
	}
	q.words, q.conds, q.missing = len(s.terms.words), nil, nil
	for _, d := range query.Dims {
		x := dimCond{dim: d}
		for _, c := range q.where {
			if c.Dim != d {
				continue
			}
			x.any = x.any || !c.Not
			switch n, ok := s.value(d, c.Value); {
			case !ok && dimColumns[d].words:
				q.missing = append(q.missing, c.Value)
			case !ok:
			case c.Not:
				x.out = append(x.out, n)
			default:
				x.in = append(x.in, n)
			}
		}
		if x.any || len(x.out) > 0 {
			q.conds = append(q.conds, x)
		}
	}
}

// value returns what the sighting has in a dimension.
func (s *sighting) value(d query.Dim) uint32 {
	switch d {
	case query.DimASN:
		return s.asn
	case query.DimOrganisation:
		return s.org
	case query.DimSector:
		return s.sector
	case query.DimRegion:
		return s.region
	case query.DimCountry:
		return s.cc
	case query.DimFamily:
		return s.family
	case query.DimType:
		return uint32(s.typ)
	case query.DimFeed:
		return s.feed
	case query.DimNone, query.DimReport:
	}
	return 0
}

// matchEvent counts an event of a delivery for the questions of its class.
func (s *Store) matchEvent(pd *pending, qs []*standing, c *sighting) {
	for _, q := range qs {
		if !s.meets(q, c) {
			continue
		}
		if pd.match == nil {
			pd.match = map[dayStanding]int64{}
		}
		pd.match[dayStanding{q, c.day}]++
	}
}

// stand sums up what new sightings of a delivery, sorted by day, change in the
// standing questions. They must not be in the table yet. Where sightings are
// made anew, the questions are counted at the end instead.
func (s *Store) stand(gen uint32, fresh []sighting) error {
	if s.fresh || len(s.standing.list) == 0 {
		return nil
	}
	hits := s.standing.hits[:0]
	var late []assetStanding
	known := map[assetStanding][]event.Day(nil)
	for i := range fresh {
		c := &fresh[i]
		for _, q := range s.standing.of[c.class] {
			if !s.meets(q, c) {
				continue
			}
			v := q.last.look(c.asset, c.day)
			if v.seen { // counted already
				continue
			}
			hits = append(hits, hit{q, i})
			if v.known && !v.far {
				continue
			}
			if known == nil {
				known = map[assetStanding][]event.Day{}
			}
			k := assetStanding{q, c.asset}
			switch _, asked := known[k]; {
			case asked:
			case v.known:
				known[k] = q.last.days(c.asset)
			default:
				known[k] = nil
				late = append(late, k)
			}
		}
	}
	if s.standing.hits = hits; cap(hits) > 2*PartRows {
		s.standing.hits = nil
	}
	if err := s.matchingDays(gen, late, known); err != nil {
		return err
	}
	for _, h := range hits {
		q, asset, day := h.of, fresh[h.i].asset, fresh[h.i].day
		k := assetStanding{q, asset}
		v := q.last.look(asset, day)
		if days, ok := known[k]; ok {
			v = among(days, day)
			known[k] = with(days, day)
		}
		if v.seen {
			continue
		}
		q.last.mark(asset, day)
		if v.next != never { // the next day's previous day is this one now
			s.standing.add(q, v.next, v.prev, stood{seen: -1})
			s.standing.add(q, v.next, day, stood{seen: 1})
		}
		s.standing.add(q, day, v.prev, stood{assets: 1, seen: 1})
	}
	return nil
}

// matchingDays fills in the sorted days on which the late assets met the
// conditions.
func (s *Store) matchingDays(gen uint32, late []assetStanding, known map[assetStanding][]event.Day) error {
	if len(late) == 0 {
		return nil
	}
	if err := s.sg.flush(); err != nil {
		return err
	}
	asked := map[classAsset]bool{}
	var ids []event.ID
	var classes []event.Class
	for _, k := range late {
		if ca := (classAsset{k.of.class, k.asset}); !asked[ca] {
			asked[ca] = true
			ids, classes = append(ids, k.asset), append(classes, k.of.class)
		}
	}
	if err := s.ask(ids, nil, classes); err != nil {
		return err
	}
	return s.w.each(func(r *rows) {
		c := readSighting(r)
		for _, q := range s.standing.of[c.class] {
			k := assetStanding{q, c.asset}
			if days, ok := known[k]; ok && s.meets(q, &c) {
				known[k] = with(days, c.day)
			}
		}
	}, fmt.Sprintf(`SELECT %s FROM sighting s WHERE gen = %d AND class IN (%s) AND EXISTS (SELECT 1 FROM asked a WHERE a.id = s.asset AND a.class = s.class)`,
		sightingFields, gen, classList(classes)))
}

// classList writes each class once, as SQL.
func classList(classes []event.Class) string {
	var words []string
	for c := range event.Classes {
		if slices.Contains(classes, c) {
			words = append(words, decimal(uint32(c)))
		}
	}
	return strings.Join(words, ",")
}

// countStanding counts questions from the tables: their days, and the newest
// day of each asset.
func (s *Store) countStanding(gen uint32, list []*standing) ([]marginal, []histories, error) {
	days, last := make([]marginal, len(list)), make([]histories, len(list))
	for i, q := range list {
		if err := s.w.each(func(r *rows) {
			day, asset := event.Day(at[int32](r, 0)), r.id(1)
			days[i].add(&change{day: day, prev: last[i].look(asset, day).prev, assets: 1, seen: 1}, 0)
			last[i].mark(asset, day)
		}, fmt.Sprintf(`SELECT DISTINCT day, asset FROM sighting WHERE gen = %d AND class = %d AND %s ORDER BY day`,
			gen, q.class, s.where(q.where, sightingColumn))); err != nil {
			return nil, nil, err
		}
	}
	events, err := s.matchEvents(gen, list, s.notHidden())
	if err != nil {
		return nil, nil, err
	}
	for i, q := range list {
		for k, n := range events {
			if k.of == q {
				days[i].add(&change{day: k.day, events: n}, 0)
			}
		}
	}
	return days, last, nil
}

// matchEvents counts the events in the table that meet the condition, for each
// question and day.
func (s *Store) matchEvents(gen uint32, list []*standing, where string) (map[dayStanding]int64, error) {
	if len(list) == 0 {
		return nil, nil
	}
	counts := make([]string, len(list))
	classes := make([]event.Class, len(list))
	for i, q := range list {
		counts[i] = fmt.Sprintf("count(*) FILTER (class = %d AND %s)", q.class, s.where(q.where, eventColumn))
		classes[i] = q.class
	}
	n := map[dayStanding]int64{}
	err := s.w.each(func(r *rows) {
		for i, q := range list {
			if x := at[int64](r, 1+i); x > 0 {
				n[dayStanding{q, event.Day(at[int32](r, 0))}] = x
			}
		}
	}, fmt.Sprintf(`SELECT %s AS d, %s FROM %s WHERE class IN (%s) AND %s GROUP BY ALL`,
		dayOfTime, strings.Join(counts, ", "), eventSource(gen), classList(classes), where))
	return n, err
}
