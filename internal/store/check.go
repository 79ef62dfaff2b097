package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"tocsin/internal/event"
	"tocsin/internal/query"
)

// PartRows is how many rows of a delivery make a part: row r belongs to part
// (r-1)/PartRows.
const PartRows = 50_000

// check compares the tables with what the parts' rows say of them, takes out
// what disagrees, and fills what is kept in memory.
func (s *Store) check(ctx context.Context) error {
	meta := map[string]uint32{}
	if err := s.w.each(func(r *rows) { meta[r.str(0)] = at[uint32](r, 1) }, `SELECT "key", "value"::UINTEGER FROM meta`); err != nil {
		return err
	}
	s.gen.Store(meta["generation"])
	s.dirty = meta["dirty"] != 0

	loads := map[partKey]partCounts{}
	if err := s.w.each(func(r *rows) {
		loads[partKey{at[uint32](r, 0), at[uint32](r, 1)}] = partCounts{
			at[uint32](r, 2), at[uint32](r, 3), at[uint32](r, 4), at[uint32](r, 5), at[uint32](r, 6), r.id(7),
		}
	}, `SELECT delivery, part, received, accepted, duplicate, quarantined, outside, ids FROM load`); err != nil {
		return err
	}
	wrong := map[uint32]bool{}
	var cut []partKey // parts that a kill has left half in, without their row of table load
	found := 0
	if err := s.w.each(func(r *rows) {
		k := partKey{at[uint32](r, 0), at[uint32](r, 1)}
		l, ok := loads[k]
		if !ok {
			cut = append(cut, k)
			return
		}
		found++
		if int64(l.accepted) != at[int64](r, 2) || l.ids != r.id(3) {
			wrong[k.delivery] = true
		}
	}, fmt.Sprintf(`SELECT delivery, ((row - 1) // %d)::UINTEGER AS part, count(*), bit_xor(id) FROM event GROUP BY ALL`, PartRows)); err != nil {
		return err
	}
	for _, l := range loads {
		if l.accepted == 0 {
			found++
		}
	}
	if found != len(loads) { // a part has lost all its events
		have := map[partKey]bool{}
		if err := s.w.each(func(r *rows) { have[partKey{at[uint32](r, 0), at[uint32](r, 1)}] = true },
			fmt.Sprintf(`SELECT DISTINCT delivery, ((row - 1) // %d)::UINTEGER FROM event`, PartRows)); err != nil {
			return err
		}
		for k, l := range loads {
			if l.accepted > 0 && !have[k] {
				wrong[k.delivery] = true
			}
		}
	}
	// A delivery's own row says how many rows its parts must add up to.
	sums := map[uint32]int64{}
	for k, l := range loads {
		sums[k.delivery] += int64(l.received)
	}
	if err := s.w.each(func(r *rows) {
		seq := at[uint32](r, 0)
		if r.str(1) == string(query.StateLoaded) && at[int64](r, 2) != sums[seq] {
			wrong[seq] = true
		}
		s.complete.add(seq)
	}, `SELECT seq, state, received FROM delivery`); err != nil {
		return err
	}
	for _, k := range cut {
		if wrong[k.delivery] {
			continue
		}
		if err := s.w.exec(fmt.Sprintf(`DELETE FROM event WHERE delivery = %d AND (row - 1) // %d = %d`, k.delivery, PartRows, k.part)); err != nil {
			return err
		}
	}
	if len(wrong) > 0 {
		list := slices.Sorted(maps.Keys(wrong))
		s.log.LogAttrs(ctx, slog.LevelWarn, "deliveries in the store disagree with their loads; they are loaded again from the archive", slog.Any("deliveries", list))
		if err := s.forget(list, true); err != nil {
			return err
		}
		maps.DeleteFunc(loads, func(k partKey, _ partCounts) bool { return wrong[k.delivery] })
	}
	for k, l := range loads {
		if !s.complete.has(k.delivery) {
			s.parts[k] = l
		}
	}
	s.hide(nil, nil)
	var n, m int64
	var x, y event.ID
	if err := s.w.each(func(r *rows) { n, x = at[int64](r, 0), r.id(1) }, `SELECT count(*), bit_xor(asset) FROM sighting WHERE gen = ?`, s.gen.Load()); err != nil {
		return err
	}
	if err := s.w.each(func(r *rows) { m, y = at[int64](r, 0), r.id(1) }, `SELECT coalesce(sum(sightings), 0)::BIGINT, bit_xor(ids) FROM sighted WHERE gen = ?`, s.gen.Load()); err != nil {
		return err
	}
	if n != m || x != y {
		s.log.LogAttrs(ctx, slog.LevelWarn, "the sightings disagree with their loads; they are made again from the events", slog.Int64("stored", n), slog.Int64("loaded", m))
		s.dirty = true
		if err := s.w.exec(`DELETE FROM meta WHERE key = 'dirty'; INSERT INTO meta VALUES ('dirty', '1')`); err != nil {
			return err
		}
	}
	return s.readTotals(ctx, s.gen.Load())
}

// forget takes the events of deliveries out, so that they can be loaded again.
// With rows false their rows of table delivery stay.
func (s *Store) forget(seqs []uint32, rows bool) error {
	if len(seqs) == 0 {
		return nil
	}
	words := make([]string, len(seqs))
	for i, q := range seqs {
		words[i] = decimal(q)
		s.complete.remove(q)
		delete(s.pending, q)
	}
	maps.DeleteFunc(s.parts, func(k partKey, _ partCounts) bool { return slices.Contains(seqs, k.delivery) })
	in := " IN (" + strings.Join(words, ",") + ")"
	for _, t := range []string{"event", "load", "quarantine", "annotation"} {
		if err := s.w.exec("DELETE FROM " + t + " WHERE delivery" + in); err != nil {
			return err
		}
	}
	if rows {
		if err := s.w.exec("DELETE FROM delivery WHERE seq" + in); err != nil {
			return err
		}
	}
	clear(s.days)
	return nil
}

// notHidden is the condition that leaves out deliveries which are partly in.
func (s *Store) notHidden() string {
	h, _ := s.hidden.Load().([]uint32)
	if len(h) == 0 {
		return "true"
	}
	words := make([]string, len(h))
	for i, q := range h {
		words[i] = decimal(q)
	}
	return "delivery NOT IN (" + strings.Join(words, ",") + ")"
}

// dayOfTime is the SQL of an event's day. In whole microseconds: seconds with a
// fraction would be rounded, those of the last half second into the next day.
const dayOfTime = `(epoch_us(time) // 86400000000)::INTEGER`

// readTotals fills the marginals, the days' totals and the assets' newest days
// from the tables, and lets figures use the generation.
func (s *Store) readTotals(_ context.Context, gen uint32) error {
	clear(s.stored)
	if err := s.w.each(func(r *rows) { s.stored[event.Day(at[int32](r, 0))] = at[int64](r, 1) },
		`SELECT `+dayOfTime+` AS d, count(*) FROM event GROUP BY ALL`); err != nil {
		return err
	}
	var changes []change
	if err := s.w.each(func(r *rows) {
		changes = append(changes, change{class: event.Class(at[uint8](r, 0)), day: event.Day(at[int32](r, 1)), events: at[int64](r, 2)})
	}, `SELECT class, `+dayOfTime+` AS d, count(*) FROM event WHERE `+s.notHidden()+` GROUP BY ALL`); err != nil {
		return err
	}
	if err := s.w.each(func(r *rows) {
		n := at[int64](r, 3)
		changes = append(changes, change{class: event.Class(at[uint8](r, 0)), day: event.Day(at[int32](r, 1)), prev: event.Day(at[int32](r, 2)), assets: n, seen: n})
	}, `SELECT class, day, prev, count(*) FROM sighting WHERE gen = ? AND flags & 1 = 1 GROUP BY ALL`, gen); err != nil {
		return err
	}
	if err := s.w.each(func(r *rows) {
		changes = append(changes, change{class: event.Class(at[uint8](r, 0)), day: event.Day(at[int32](r, 1)), prev: event.Day(at[int32](r, 2)), seen: at[int64](r, 3)})
	}, `SELECT class, day, prev, sum(weight)::BIGINT FROM reseen WHERE gen = ? GROUP BY ALL`, gen); err != nil {
		return err
	}
	if err := s.readLooks(gen); err != nil {
		return err
	}
	if err := s.w.each(func(r *rows) { s.derive.total, s.derive.ids = at[int64](r, 0), r.id(1) },
		`SELECT count(*), bit_xor(asset) FROM sighting WHERE gen = ?`, gen); err != nil {
		return err
	}
	clear(s.enrichments)
	if err := s.w.each(func(r *rows) { s.enrichments[at[uint32](r, 0)] = true }, `SELECT DISTINCT enrichment FROM delivery WHERE state = 'loaded'`); err != nil {
		return err
	}
	if err := s.w.each(func(r *rows) { s.genEnrichment = at[uint32](r, 0) }, `SELECT enrichment FROM generation WHERE gen = ?`, gen); err != nil {
		return err
	}
	fresh := &marginals{}
	fresh.apply(changes)
	s.last = [event.Classes]histories{}
	if err := s.w.each(func(r *rows) {
		c, a, d := at[uint8](r, 0), r.id(1), event.Day(at[int32](r, 2))
		s.last[c].mark(a, d)
	}, `SELECT class, asset, day FROM sighting WHERE gen = ? AND flags & 1 = 1`, gen); err != nil {
		return err
	}
	if err := s.w.each(func(r *rows) { s.named[at[uint8](r, 0)].Store(true) },
		fmt.Sprintf(`SELECT DISTINCT class FROM sighting WHERE kind NOT IN (%d, %d)`, event.AssetAddress, event.AssetService)); err != nil {
		return err
	}
	days, last, err := s.countStanding(gen, s.standing.list)
	if err != nil {
		return err
	}
	for i, q := range s.standing.list {
		q.last = last[i]
	}
	for _, pd := range s.pending { // they were annotated for another generation
		pd.resume = true
	}
	s.gen.Store(gen)
	s.marg.replace(fresh, s.standing.list, days)
	s.mix()
	return nil
}

// Dirty reports whether the sightings have to be made again with [Store.Resight].
func (s *Store) Dirty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dirty
}

// Withdraw takes a delivery's events out and marks it withdrawn, for the
// reason in d. It returns the deliveries that have to be loaded again, since
// rows of theirs counted as duplicates of what is gone; Resight comes after.
func (s *Store) Withdraw(_ context.Context, d *query.Delivery) (again []uint32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return nil, s.broken
	}
	defer func() {
		if err != nil {
			s.broken = err
		}
	}()
	var n partCounts
	known, done := false, false
	if err := s.w.each(func(r *rows) {
		known = true
		done = r.str(0) == string(query.StateWithdrawn)
		n = partCounts{received: uint32(at[int64](r, 1)), accepted: uint32(at[int64](r, 2)), duplicate: uint32(at[int64](r, 3)), quarantined: uint32(at[int64](r, 4)), outside: uint32(at[int64](r, 5))}
	}, `SELECT state, received, accepted, duplicate, quarantined, outside FROM delivery WHERE seq = ?`, d.Seq); err != nil {
		return nil, err
	}
	if done {
		return nil, nil
	}
	if !known && !s.partly(d.Seq) { // never loaded: there is nothing to take out
		s.complete.add(d.Seq)
		return nil, errors.Join(s.writeDelivery(d, 0, query.StateWithdrawn, n), s.out["delivery"].flush())
	}
	return s.takeOut(d, query.StateWithdrawn, n)
}

// partly reports whether something of a delivery that is not complete is in.
func (s *Store) partly(seq uint32) bool {
	if s.pending[seq] != nil {
		return true
	}
	for k := range s.parts {
		if k.delivery == seq {
			return true
		}
	}
	return false
}

// takeOut removes the delivery's events and gives it its last state. It returns
// the deliveries that have to be loaded again, whose events it removes too:
// rows of theirs may have been duplicates of what is gone.
func (s *Store) takeOut(d *query.Delivery, state query.State, n partCounts) (again []uint32, err error) {
	if err := s.w.each(func(r *rows) { again = append(again, at[uint32](r, 0)) },
		`SELECT seq FROM delivery WHERE feed = ? AND seq <> ? AND duplicate > 0 AND state = 'loaded' ORDER BY seq`, d.Feed, d.Seq); err != nil {
		return nil, err
	}
	for k, p := range s.parts { // of any feed: that of a part is not known
		if p.duplicate > 0 && k.delivery != d.Seq && !slices.Contains(again, k.delivery) {
			again = append(again, k.delivery)
		}
	}
	counted := s.complete.has(d.Seq) || len(again) > 0
	if err := s.w.exec("BEGIN"); err != nil {
		return nil, err
	}
	if err := s.forget(append(slices.Clone(again), d.Seq), true); err != nil {
		return nil, err
	}
	if err := errors.Join(s.writeDelivery(d, 0, state, n), s.flush(nil)); err != nil {
		return nil, err
	}
	if counted {
		if err := s.w.exec(`DELETE FROM meta WHERE key = 'dirty'; INSERT INTO meta VALUES ('dirty', '1')`); err != nil {
			return nil, err
		}
	}
	s.hook("withdraw")
	if err := s.commit(); err != nil {
		return nil, err
	}
	s.hook("withdrawn")
	s.dirty = s.dirty || counted
	s.complete.add(d.Seq)
	s.hide(nil, nil)
	clear(s.stored)
	return again, s.w.each(func(r *rows) { s.stored[event.Day(at[int32](r, 0))] = at[int64](r, 1) },
		`SELECT `+dayOfTime+` AS d, count(*) FROM event GROUP BY ALL`)
}

// Generation is one making of the sightings.
type Generation struct {
	Gen        uint32
	Enrichment uint32 // version of the reference data
	Why        string
}

// generation returns the generation that a question is about: the one in use,
// or the one that was in use under an earlier version of the reference data,
// and then also the newest delivery that it holds.
func (s *Store) generation(ctx context.Context, enrichment uint32) (gen, upto uint32, err error) {
	if enrichment == 0 {
		return s.gen.Load(), 0, nil
	}
	err = s.read(ctx, func(c *conn) error {
		return c.each(func(r *rows) { gen, upto = at[uint32](r, 0), at[uint32](r, 1) },
			`SELECT gen, coalesce(upto, 0::UINTEGER) FROM generation WHERE enrichment <= ? ORDER BY gen DESC LIMIT 1`, enrichment)
	})
	if err == nil && gen == 0 {
		err = fmt.Errorf("nothing is kept of version %d of the reference data: a rebuild keeps the newest alone: %w", enrichment, query.ErrNotFound)
	}
	return gen, upto, err
}

// Resight makes the sightings anew from the events, as a new generation, and
// then lets figures use it. With annotate it first asks for every event's
// annotation and keeps those that differ from the ones the events were loaded
// with; the generation before is then kept as it stood. Loading waits while it
// runs, reading goes on.
func (s *Store) Resight(ctx context.Context, why string, enrichment uint32, annotate func(*event.Event, *event.Annotation), progress func(done, total int)) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	defer func() {
		if err != nil {
			s.broken = err
		}
	}()
	old := s.gen.Load()
	gen := old + 1
	s.hook("resight")
	// What an attempt that was cut off has left.
	for _, t := range []string{"sighting", "sighted", "reseen", "annotation", "generation"} {
		if err := s.w.exec(fmt.Sprintf("DELETE FROM %s WHERE gen >= %d", t, gen)); err != nil {
			return err
		}
	}
	if annotate == nil {
		if err := s.w.each(func(r *rows) { enrichment = at[uint32](r, 0) }, `SELECT enrichment FROM generation WHERE gen = ?`, old); err != nil {
			return err
		}
		if err := s.w.exec(fmt.Sprintf(`INSERT INTO annotation SELECT %d, delivery, "row", asn, cc, org, sector, region FROM annotation WHERE gen = %d`, gen, old)); err != nil {
			return err
		}
	}
	s.fresh = true
	defer func() { s.fresh = false }()
	for _, ds := range s.days {
		ds.seen, ds.seenOK = seenDay{}, false
	}
	s.last = [event.Classes]histories{}
	days := slices.Sorted(maps.Keys(s.stored))
	for i, d := range days {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.tick++
		if err := s.w.exec("BEGIN"); err != nil {
			return err
		}
		if annotate != nil {
			if err := s.reannotate(gen, d, annotate); err != nil {
				return err
			}
		}
		from, to := dayBounds(d)
		cands, err := s.readCandidates(gen, arrivals, s.lateFlag(), fmt.Sprintf("time >= TIMESTAMP '%s' AND time < TIMESTAMP '%s' AND %s", from, to, s.notHidden()))
		if err != nil {
			return err
		}
		if _, err := s.applySightings(0, gen, cands, nil); err != nil {
			return err
		}
		if err := s.flush(nil); err != nil {
			return err
		}
		s.hook("resight-day")
		if err := s.commit(); err != nil {
			return err
		}
		s.evict()
		if progress != nil {
			progress(i+1, len(days))
		}
	}
	s.hook("resight-turn")
	if err := s.w.execArgs(`INSERT INTO generation VALUES (?, ?, ?::TIMESTAMP, ?, NULL)`, gen, enrichment, s.clock().UTC().Format(timeLayout), why); err != nil {
		return err
	}
	if err := s.w.exec(fmt.Sprintf(`BEGIN; UPDATE meta SET value = '%d' WHERE key = 'generation'; DELETE FROM meta WHERE key = 'dirty'; UPDATE generation SET upto = (SELECT max(seq) FROM delivery) WHERE gen = %d; COMMIT`, gen, old)); err != nil {
		return err
	}
	s.hook("resighted")
	s.dirty = false
	s.derive.whole, s.derive.marks, s.derive.stale = true, nil, nil
	s.derive.told.Store(-1)
	for _, ds := range s.days {
		ds.seen, ds.seenOK = seenDay{}, false
	}
	if err := s.readTotals(ctx, gen); err != nil {
		return err
	}
	if annotate != nil {
		return nil
	}
	for _, t := range []string{"sighting", "sighted", "reseen", "annotation", "generation"} {
		if err := s.w.exec(fmt.Sprintf("DELETE FROM %s WHERE gen = %d", t, old)); err != nil {
			return err
		}
	}
	return nil
}

// readCandidates reads the sightings that the events which meet the condition
// make. late is the SQL of their flag, which may rest on what the events are
// joined with.
func (s *Store) readCandidates(gen uint32, join, late, where string) (cands []sighting, err error) {
	err = s.w.each(func(r *rows) { cands = append(cands, readSighting(r)) }, fmt.Sprintf(
		`SELECT DISTINCT %s AS day, feed, class, type, %s, asset_kind, asset, marking, asn, cc, org, sector, region, %s AS flags
		FROM %s%s WHERE %s AND class <> %d AND asset_kind <> 0 AND asset <> 0`,
		dayOfTime, familyColumn, late, eventSource(gen), join, where, event.ClassOutside))
	return cands, err
}

// reannotate writes the annotations of a day's events that differ from those
// they were loaded with.
func (s *Store) reannotate(gen uint32, d event.Day, annotate func(*event.Event, *event.Annotation)) error {
	type row struct {
		delivery, row uint32
		n             event.Annotation
	}
	from, to := dayBounds(d)
	var changed []row
	err := s.w.each(func(r *rows) {
		e := s.scanEvent(r)
		var n event.Annotation
		annotate(&e.Event, &n)
		n.Asset, n.Domain = e.Note.Asset, e.Note.Domain // of the name alone
		if n != e.Note {
			changed = append(changed, row{e.Delivery, e.Row, n})
		}
	}, `SELECT `+eventFields+` FROM event e WHERE time >= ?::TIMESTAMP AND time < ?::TIMESTAMP`, from, to)
	if err != nil {
		return err
	}
	for _, c := range changed {
		var ids [4]uint32
		for i, word := range []string{c.n.CC, c.n.Organisation, c.n.Sector, c.n.Region} {
			id, ok := s.terms.id(word, 0)
			if !ok {
				return fmt.Errorf("the reference data's word %.60q is longer than %d bytes, or there are too many", word, maxWord)
			}
			ids[i] = id
		}
		w := s.out["annotation"]
		for i, x := range []uint32{gen, c.delivery, c.row, c.n.ASN, ids[0], ids[1], ids[2], ids[3]} {
			put(w, i, x)
		}
		w.row()
	}
	return s.out["annotation"].flush()
}

// eventSource is the SQL of the events with their annotations of a generation.
func eventSource(gen uint32) string {
	if gen == 1 {
		return "event"
	}
	return fmt.Sprintf(`(SELECT e.* REPLACE (
		CASE WHEN a.gen IS NULL THEN e.asn ELSE a.asn END AS asn, CASE WHEN a.gen IS NULL THEN e.cc ELSE a.cc END AS cc,
		CASE WHEN a.gen IS NULL THEN e.org ELSE a.org END AS org, CASE WHEN a.gen IS NULL THEN e.sector ELSE a.sector END AS sector,
		CASE WHEN a.gen IS NULL THEN e.region ELSE a.region END AS region)
		FROM event e LEFT JOIN annotation a ON a.gen = %d AND a.delivery = e.delivery AND a."row" = e."row")`, gen)
}

// Verify reads every value of every table, so that damage in any block shows,
// and returns how many events there are.
func (s *Store) Verify(ctx context.Context) (events int64, err error) {
	err = s.read(ctx, func(c *conn) error {
		for _, t := range []string{"event", "sighting", "load", "delivery", "quarantine", "term", "reseen", "sighted", "annotation", "episode", "witness", "reobserved"} {
			if err := c.each(func(r *rows) {
				if t == "event" {
					events = at[int64](r, 0)
				}
			}, `SELECT count(*), bit_xor(hash(t)) FROM `+t+` t`); err != nil {
				return fmt.Errorf("table %s: %w", t, err)
			}
		}
		return nil
	})
	return events, err
}
