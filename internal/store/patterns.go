package store

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/event"
	"tocsin/internal/query"
)

// A pattern is who saw an episode, as far as its state and its beginning depend
// on it: the feeds, the gap of each, and whether it saw the first day. There are
// few patterns and many episodes. With its pattern's number in its row, a
// question about episodes reads table episode alone, once, for a scope that sees
// all; what a pattern means is worked out when it is asked.

// patternFeed is one feed of a pattern.
type patternFeed struct {
	feed  uint32
	gap   event.Day
	began bool // it saw the first day
}

// patternColumns is table pattern: a row a feed.
var patternColumns = []column{{"id", tU32}, {"class", tU8}, {"feed", tU32}, {"gap", tU8}, {"began", tU8}}

// regapColumns is table regap: the episodes that there would be with all gaps
// half as long (scale 1) and twice as long (scale 2), less those that there
// are. weight is 1 for an episode that would be there and is not, and -1 for one
// that is there and would not be. The other columns are those of table episode.
var regapColumns = slices.Concat(episodeColumns, []column{{"scale", tU8}, {"weight", tI32}})

// patterns numbers patterns from 1 on. Its zero value is empty.
type patterns struct {
	number map[string]uint32
}

// key writes a pattern, whose feeds are in order, as bytes.
func patternKey(class event.Class, feeds []patternFeed) string {
	b := []byte{byte(class)}
	for _, f := range feeds {
		b = binary.LittleEndian.AppendUint32(b, f.feed)
		began := byte(0)
		if f.began {
			began = 1
		}
		b = append(b, byte(f.gap), began)
	}
	return string(b)
}

// patternOf returns the number of a pattern, and puts it if it is new. The
// store's lock is held.
func (s *Store) patternOf(class event.Class, e *episodeRow) uint32 {
	feeds := make([]patternFeed, len(e.witness))
	for i, w := range e.witness {
		feeds[i] = patternFeed{w.feed, w.hold - e.last.day, w.first == e.first}
	}
	slices.SortFunc(feeds, func(a, b patternFeed) int { return cmp.Compare(a.feed, b.feed) })
	p := &s.derive.patterns
	k := patternKey(class, feeds)
	if id, ok := p.number[k]; ok {
		return id
	}
	if p.number == nil {
		p.number = map[string]uint32{}
	}
	id := uint32(len(p.number) + 1)
	p.number[k] = id
	w := s.out["pattern"]
	for _, f := range feeds {
		put(w, 0, id)
		put(w, 1, uint8(class))
		put(w, 2, f.feed)
		put(w, 3, uint8(f.gap))
		began := uint8(0)
		if f.began {
			began = 1
		}
		put(w, 4, began)
		w.row()
	}
	return id
}

// seenBy is a pattern as it is stored.
type seenBy struct {
	class event.Class
	feeds []patternFeed // in their order
}

// readPatterns returns the patterns by their number less one, as of the
// transaction of c.
func readPatterns(c *conn) (list []seenBy, err error) {
	err = c.each(func(r *rows) {
		id := int(at[uint32](r, 0))
		for len(list) < id {
			list = append(list, seenBy{})
		}
		p := &list[id-1]
		p.class = event.Class(at[uint8](r, 1))
		p.feeds = append(p.feeds, patternFeed{at[uint32](r, 2), event.Day(at[uint8](r, 3)), at[uint8](r, 4) != 0})
	}, `SELECT id, class, feed, gap, began FROM pattern ORDER BY id, feed`)
	return list, err
}

// restore remembers what is stored.
func (p *patterns) restore(c *conn) error {
	list, err := readPatterns(c)
	p.number = map[string]uint32{}
	for i, x := range list {
		p.number[patternKey(x.class, x.feeds)] = uint32(i + 1)
	}
	return err
}

// meaning is what follows of a pattern, for one question and one scale of the
// gaps.
type meaning struct {
	class     event.Class
	witnesses []patternWitness
	clean     event.Day      // an episode last seen before it is closed
	reach     event.Day      // one that is not closed and was last seen then or later is open
	old       []query.Period // one that begins in them need not be new
}

type patternWitness struct {
	name  string
	gap   event.Day // the longest of its feeds
	began bool
}

// meanings works out all patterns.
func (s *Store) meanings(o *onlookers, list []seenBy, scale func(event.Day) event.Day) []meaning {
	names := map[uint32]string{}
	out := make([]meaning, len(list))
	for i, p := range list {
		m := meaning{class: p.class, clean: never, reach: o.through[p.class] + 1}
		for _, f := range p.feeds {
			name, ok := names[f.feed]
			if !ok {
				name = o.panel.Witness(s.terms.word(f.feed))
				names[f.feed] = name
			}
			at := slices.IndexFunc(m.witnesses, func(w patternWitness) bool { return w.name == name })
			if at < 0 {
				at = len(m.witnesses)
				m.witnesses = append(m.witnesses, patternWitness{name: name})
			}
			w := &m.witnesses[at]
			w.gap, w.began = max(w.gap, scale(f.gap)), w.began || f.began
		}
		first := true
		for _, w := range m.witnesses {
			k := witnessClass{w.name, p.class}
			if last, ok := o.last[k]; ok {
				m.clean = max(m.clean, last-w.gap)
			}
			m.reach = min(m.reach, o.through[p.class]-w.gap)
			switch {
			case !w.began:
			case first:
				m.old, first = o.starts(k, w.gap), false
			default:
				m.old = both(m.old, o.starts(k, w.gap))
			}
		}
		out[i] = m
	}
	return out
}

// isNew reports whether an episode that began on the day counts as incidence.
func (m *meaning) isNew(day event.Day) bool {
	return !slices.ContainsFunc(m.old, func(p query.Period) bool { return day >= p.From && day <= p.To })
}

// both returns the days that lie in both lists of periods.
func both(a, b []query.Period) (out []query.Period) {
	for _, x := range a {
		for _, y := range b {
			if p := (query.Period{From: max(x.From, y.From), To: min(x.To, y.To)}); p.From <= p.To {
				out = append(out, p)
			}
		}
	}
	return out
}

// asItIs leaves gaps as they are.
func asItIs(g event.Day) event.Day { return g }

// patterned writes a list with a value for each pattern, and looks up the one of
// episode e.
func patterned(of []meaning, typ string, value func(*meaning) string) string {
	words := make([]string, len(of))
	for i := range of {
		words[i] = value(&of[i])
	}
	if len(words) == 0 {
		words = []string{"NULL"}
	}
	return "([" + strings.Join(words, ",") + "]::" + typ + "[])[e.pattern]"
}

// patternConds is the SQL of what a selection says of who saw an episode, for a
// scope that sees all.
func (s *Store) patternConds(q query.Episodes, of []meaning, list []seenBy, feeds []query.Cond) (parts []string) {
	day := func(d event.Day) string { return strconv.Itoa(int(d)) }
	closed := "e.last < " + patterned(of, "INTEGER", func(m *meaning) string { return day(m.clean) })
	open := "e.last >= " + patterned(of, "INTEGER", func(m *meaning) string { return day(m.reach) })
	switch q.State {
	case query.EpisodeClosed:
		parts = append(parts, closed)
	case query.EpisodeOpen:
		parts = append(parts, "NOT "+closed, open)
	case query.EpisodeCensored:
		parts = append(parts, "NOT "+closed, "NOT "+open)
	}
	if q.Incident != nil {
		old := []string{"(0, 1, 0)"}
		for i := range of {
			for _, p := range of[i].old {
				old = append(old, fmt.Sprintf("(%d, %d, %d)", i+1, p.From, p.To))
			}
		}
		not := "NOT "
		if !*q.Incident {
			not = ""
		}
		parts = append(parts, not+"EXISTS (SELECT 1 FROM (VALUES "+strings.Join(old, ", ")+") o(id, since, upto) WHERE o.id = e.pattern AND e.first BETWEEN o.since AND o.upto)")
	}
	if len(feeds) == 0 {
		return parts
	}
	in, out := map[uint32]bool{}, map[uint32]bool{}
	some := false
	for _, c := range feeds {
		id, ok := s.terms.find(c.Value)
		switch {
		case c.Not && ok:
			out[id] = true
		case !c.Not:
			some = true
			if ok {
				in[id] = true
			}
		}
	}
	words := make([]string, len(list))
	for i, p := range list {
		has := func(m map[uint32]bool) bool {
			return slices.ContainsFunc(p.feeds, func(f patternFeed) bool { return m[f.feed] })
		}
		words[i] = strconv.FormatBool((!some || has(in)) && !has(out))
	}
	if len(words) == 0 {
		words = []string{"false"}
	}
	return append(parts, "(["+strings.Join(words, ",")+"])[e.pattern]")
}

// spans are the episodes of a selection, by what they have in common.
type span struct {
	first, last event.Day
	pattern     uint32
}

// spans counts the episodes of a selection. The source is table episode, or
// table regap with its scale.
func (s *Store) spans(c *conn, source, count, where string, args []any) (map[span]int64, error) {
	out := map[span]int64{}
	err := c.each(func(r *rows) {
		k := span{event.Day(at[int32](r, 0)), event.Day(at[int32](r, 1)), at[uint32](r, 2)}
		out[k] += at[int64](r, 3)
	}, fmt.Sprintf(`SELECT first, last, pattern, %s::BIGINT FROM %s e WHERE %s GROUP BY ALL`, count, source, where), args...)
	maps.DeleteFunc(out, func(_ span, n int64) bool { return n == 0 })
	return out, err
}
