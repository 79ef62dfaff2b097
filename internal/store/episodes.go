package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"tocsin/internal/episode"
	"tocsin/internal/event"
)

// mark is a sighting that came after the episodes of its asset were made.
type mark struct {
	asset  event.ID
	day    event.Day
	feed   uint32
	family uint32
	class  event.Class
	typ    event.Type
}

// The bounds of what is done at a time.
const (
	maxMarks     = 1 << 18 // sightings, of 40 bytes; with more, all episodes are made anew
	sliceOfAll   = 600_000 // sightings that DuckDB sorts at a time; each slice costs a look at all of them
	writeAtATime = 60_000  // episodes of a transaction, of some 200 bytes
)

// deriving is what is known of the making of episodes.
type deriving struct {
	busy  sync.Mutex   // one at a time
	c     *conn        // for reading
	asked *chunkWriter // c's own table

	// Guarded by the store's lock.
	marks  []mark
	whole  bool // everything has to be made anew
	stale  []staleGap
	under  int    // sightings and gaps of the making that is under way
	making uint32 // the rows of tables episode and witness that are in use
	total  int64  // sightings of the generation in use
	ids    event.ID

	patterns patterns

	slice int64 // sliceOfAll, but in tests
	batch int   // writeAtATime, but in tests

	told atomic.Int64 // what [Store.Underived] found last, and marks since; all of them if negative

	// Guarded by busy.
	gaps   episode.Gaps
	names  map[uint32]uint32 // families' one names; never changed but replaced, with mu held
	termsN int               // words looked at for them

	mu    sync.Mutex     // taken under the store's lock, for what readers ask
	table *episode.Table // the gaps that the episodes in use were made with; nil before the first
}

// staleGap is a condition of which a feed's gap has changed.
type staleGap struct {
	c    episode.Condition
	feed uint32
}

// The columns of tables episode and witness.
var (
	// episodeColumns is table episode: one row an asset and condition from the
	// first day seen to the last. asn to region are those of its last sighting,
	// marking the least that one of its witnesses has, pattern who saw it, revised
	// what late sightings changed of it ([episode.Revisions]).
	episodeColumns = []column{
		{"making", tU32},
		{"class", tU8},
		{"type", tU8},
		{"family", tU32},
		{"kind", tU8},
		{"asset", tU128},
		{"first", tI32},
		{"last", tI32},
		{"days", tU32},
		{"feeds", tU16},
		{"marking", tU8},
		{"asn", tU32},
		{"cc", tU32},
		{"org", tU32},
		{"sector", tU32},
		{"region", tU32},
		{"pattern", tU32},
		{"revised", tU16},
	}
	// witnessColumns is table witness: what each feed saw of an episode, which is
	// named by its class, condition, asset and first day. hold is the last day on
	// which this feed would have kept the episode open.
	witnessColumns = []column{
		{"making", tU32},
		{"class", tU8},
		{"cond", tU8},
		{"family", tU32},
		{"asset", tU128},
		{"first", tI32},
		{"feed", tU32},
		{"seen_first", tI32},
		{"seen_last", tI32},
		{"days", tU32},
		{"hold", tI32},
		{"marking", tU8},
	}
	// reobservedColumns is table reobserved: the distribution that the gap of a
	// feed and condition follows from.
	reobservedColumns = []column{{"making", tU32}, {"class", tU8}, {"cond", tU8}, {"family", tU32}, {"feed", tU32}, {"gap", tU8}, {"n", tI64}}
)

// episodeRow is a row of table episode with its witnesses.
type episodeRow struct {
	cond    episode.Condition
	last    sighting // the last sighting, for what the row says of the asset
	first   event.Day
	days    int
	revised int
	feeds   uint16
	mark    event.Marking
	witness []witnessRow
	weight  int8  // 0 in table episode
	scale   uint8 // with a weight; see regapColumns
}

type witnessRow struct {
	feed              uint32
	first, last, hold event.Day
	days              uint32
	mark              event.Marking
}

// marked notes a sighting whose episode has to be made. The lock is held.
func (s *Store) marked(c *sighting) {
	d := &s.derive
	if d.whole || s.fresh || !episode.Has(c.class) {
		return
	}
	if len(d.marks) == maxMarks {
		d.whole, d.marks = true, nil
		d.told.Store(-1)
		return
	}
	d.marks = append(d.marks, markOf(c))
	if d.told.Load() >= 0 {
		d.told.Store(int64(len(d.marks)))
	}
}

// openDerive reads what is stored of the last making. Where it does not hold
// all sightings, everything is made anew.
func (s *Store) openDerive() (err error) {
	d := &s.derive
	d.slice, d.batch = sliceOfAll, writeAtATime
	if d.c, err = s.duck.connect(); err != nil {
		return err
	}
	if err := d.c.exec(strings.Replace(tableSQL("asked", askedColumns), "CREATE", "CREATE TEMP", 1)); err != nil {
		return err
	}
	if d.asked, err = newChunkWriter(d.c, "asked", columnTypes(askedColumns)); err != nil {
		return err
	}
	d.names = map[uint32]uint32{}
	if err := d.patterns.restore(s.w); err != nil {
		return err
	}
	var gen uint32
	var total int64
	var ids event.ID
	if err := s.w.each(func(r *rows) {
		d.making = at[uint32](r, 0)
		gen, total, ids = at[uint32](r, 1), at[int64](r, 2), r.id(3)
	}, `SELECT making, gen, sightings, ids FROM making`); err != nil {
		return err
	}
	if d.whole = d.making == 0 || gen != s.gen.Load() || total != d.total || ids != d.ids; d.whole {
		d.told.Store(-1)
		return nil
	}
	if err := s.w.each(func(r *rows) {
		c := episode.Condition{Class: event.Class(at[uint8](r, 0)), Type: event.Type(at[uint8](r, 1)), Family: at[uint32](r, 2)}
		d.gaps.Of(c, at[uint32](r, 3))[at[uint8](r, 4)] = at[int64](r, 5)
	}, `SELECT class, cond, family, feed, gap, n FROM reobserved WHERE making = ?`, d.making); err != nil {
		return err
	}
	d.table = d.gaps.Table()
	return nil
}

// stored counts the rows that are episodes.
func stored(made []episodeRow) (n int) {
	for i := range made {
		if made[i].weight == 0 {
			n++
		}
	}
	return n
}

// halved and doubled are the other lengths of gaps that episodes are made with;
// see [Store.Sensitivity].
func halved(g event.Day) event.Day  { return max(1, g/2) }
func doubled(g event.Day) event.Day { return 2 * g }

func (d *deriving) close() {
	if d.asked != nil {
		d.asked.close()
	}
	if d.c != nil {
		d.c.close()
	}
}

// Derived says what a call of [Store.Derive] did.
type Derived struct {
	Assets   int  // whose episodes were made
	Episodes int  // that they have
	Whole    bool // everything was made anew
}

// Underived returns how many sightings episodes have not been made of, and
// whether everything has to be made anew. It waits for the transaction under
// way; [Store.Pending] does not.
func (s *Store) Underived() (sightings int, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &s.derive
	if d.whole {
		d.told.Store(-1)
		return int(d.total), true
	}
	n := len(d.marks) + len(d.stale) + d.under
	d.told.Store(int64(n))
	return n, false
}

// Pending is Underived as it was found last, and with what was sighted since.
func (s *Store) Pending() (sightings int64, whole bool) {
	n := s.derive.told.Load()
	return max(n, 0), n < 0
}

// Anew has all episodes made anew by the next call of [Store.Derive].
func (s *Store) Anew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.derive.whole, s.derive.marks = true, nil
	s.derive.told.Store(-1)
}

// Derive makes the episodes of what was sighted since the last call. Loading
// and reading go on meanwhile; what comes while it runs is left for the next
// call. The same sightings give the same episodes, whenever each of them was
// loaded and however often this was called in between.
func (s *Store) Derive(ctx context.Context) (out Derived, err error) {
	d := &s.derive
	d.busy.Lock()
	defer d.busy.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		d.under = 0
	}()
	s.mu.Lock()
	if s.broken != nil {
		defer s.mu.Unlock()
		return out, s.broken
	}
	out.Whole = d.whole
	s.oneNames()
	s.mu.Unlock()
	if out.Whole {
		err = s.deriveAll(ctx, &out)
	} else {
		err = s.deriveMarked(ctx, &out)
	}
	if errors.Is(err, errOvertaken) { // the sightings were made anew meanwhile: so will the episodes be
		err = nil
	}
	return out, err
}

// errOvertaken ends a making whose sightings are not in use any more.
var errOvertaken = errors.New("the sightings are not those that the episodes were made of")

// oneNames finds the one name of each family. The lock is held.
func (s *Store) oneNames() {
	d := &s.derive
	names := d.names
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.names = names
	}()
	for ; d.termsN < len(s.terms.words); d.termsN++ {
		if one, ok := episode.Family(s.terms.words[d.termsN]); ok {
			id, ok := s.terms.id(one, s.terms.feed[d.termsN])
			if !ok {
				continue // the feed's budget of words is used up: its name stands
			}
			if len(names) == len(d.names) {
				names = maps.Clone(names)
			}
			names[uint32(d.termsN)] = id
		}
	}
}

// condition returns the condition of a sighting.
func (d *deriving) condition(c event.Class, t event.Type, family uint32) episode.Condition {
	if c == event.ClassInfection || c == event.ClassController {
		if one, ok := d.names[family]; ok {
			family = one
		}
		if family != 0 {
			t = 0
		}
	}
	return episode.Condition{Class: c, Type: t, Family: family}
}

// snapshot begins a transaction on the deriving connection that sees what is
// committed now. The lock is held.
func (d *deriving) snapshot() error {
	return errors.Join(d.c.exec("BEGIN"), d.c.exec("SELECT 1 FROM sighting LIMIT 1"))
}

// deriveAll makes the episodes of everything, in slices, and then lets readers
// use them.
func (s *Store) deriveAll(ctx context.Context, out *Derived) error {
	d := &s.derive
	s.mu.Lock()
	gen, making := s.gen.Load(), d.making+1
	d.whole, d.marks, d.stale, d.under = false, nil, nil, max(1, int(d.total))
	total := d.total
	err := s.dropMaking(making)
	s.mu.Unlock()
	done := false
	defer func() {
		if !done {
			s.mu.Lock()
			d.whole, d.marks = true, nil
			s.mu.Unlock()
		}
	}()
	if err != nil {
		return err
	}
	n := uint64(total/d.slice) | 1 // odd: the networks of IPv6 differ in their upper half alone
	if d.table == nil {
		var gaps episode.Gaps
		for i := range n {
			if err := s.snapshotSlice(gen, n, i); err != nil {
				return err
			}
			if err := d.readSlice(ctx, gen, n, i, func(list []sighting) { d.conditions(list, nil, &gaps, nil) }); err != nil {
				return err
			}
		}
		d.setTable(gaps.Table())
	}
	d.gaps = episode.Gaps{}
	var made []episodeRow
	flush := func() error {
		if len(made) == 0 {
			return nil
		}
		err := s.write(gen, func() error { return s.putEpisodes(making, made) })
		out.Episodes += stored(made)
		made = made[:0]
		return err
	}
	for i := range n {
		if err := s.snapshotSlice(gen, n, i); err != nil {
			return err
		}
		var failed error
		err := d.readSlice(ctx, gen, n, i, func(list []sighting) {
			if failed != nil {
				return
			}
			out.Assets++
			made = d.conditions(list, nil, &d.gaps, made)
			if len(made) >= d.batch {
				failed = flush()
			}
		})
		if err := errors.Join(failed, err); err != nil {
			return err
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return s.write(gen, func() error {
		total, ids := d.total, d.ids
		if len(d.marks) > 0 { // they are in no snapshot
			total = -1
		}
		err := errors.Join(s.putGaps(making, total, ids), s.dropMaking(d.making))
		if done = err == nil; done {
			d.making = making
		}
		return err
	})
}

// snapshotSlice begins to read a slice: what was marked of it is in it.
func (s *Store) snapshotSlice(gen uint32, n, i uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if s.gen.Load() != gen {
		return errOvertaken
	}
	s.derive.marks = slices.DeleteFunc(s.derive.marks, func(m mark) bool { return sliceOf(m.asset, n) == i })
	return s.derive.snapshot()
}

// sliceOf is asset % n.
func sliceOf(a event.ID, n uint64) uint64 { return bits.Rem64(a.Hi%n, a.Lo, n) }

// readSlice gives the sightings of each asset in the slice, in order of their
// days, and ends the transaction.
func (d *deriving) readSlice(ctx context.Context, gen uint32, n, i uint64, f func([]sighting)) error {
	cond := ""
	if n > 1 {
		cond = fmt.Sprintf("AND asset %% %d = %d", n, i)
	}
	return d.readAssets(ctx, fmt.Sprintf(`SELECT %s FROM sighting WHERE gen = %d AND class IN (%s) %s ORDER BY class, asset, day`,
		sightingFields, gen, classList(episode.Classes), cond), f)
}

// readAssets runs f for each class and asset of a query that is ordered by
// them, and ends the transaction.
func (d *deriving) readAssets(ctx context.Context, sql string, f func([]sighting)) error {
	var list []sighting
	err := d.c.each(func(r *rows) {
		c := readSighting(r)
		if len(list) > 0 && (list[0].asset != c.asset || list[0].class != c.class) {
			f(list)
			list = list[:0]
		}
		list = append(list, c)
	}, sql)
	if err == nil && len(list) > 0 {
		f(list)
	}
	return errors.Join(err, ctx.Err(), d.c.exec("ROLLBACK"))
}

// conditions splits the sightings of an asset in a class, which are in order of
// their days, into episodes, which it appends to made, and counts how they
// follow each other. As many as isNew says were not counted before, all others
// were.
// Without a table it only counts.
func (d *deriving) conditions(list []sighting, isNew map[mark]int, gaps *episode.Gaps, made []episodeRow) []episodeRow {
	conds := make([]episode.Condition, len(list))
	same := true
	for i := range list {
		conds[i] = d.condition(list[i].class, list[i].typ, list[i].family)
		same = same && conds[i] == conds[0]
	}
	if same {
		return d.one(conds[0], list, isNew, gaps, made)
	}
	for i, c := range conds {
		if slices.Contains(conds[:i], c) {
			continue
		}
		var part []sighting
		for j := i; j < len(list); j++ {
			if conds[j] == c {
				part = append(part, list[j])
			}
		}
		made = d.one(c, part, isNew, gaps, made)
	}
	return made
}

func (d *deriving) one(c episode.Condition, list []sighting, isNew map[mark]int, gaps *episode.Gaps, made []episodeRow) []episodeRow {
	of := func(feed uint32) *episode.Reobserved { return gaps.Of(c, feed) }
	seen := make([]episode.Sighting, len(list))
	var before, timely []episode.Sighting
	late := false
	for i := range list {
		seen[i] = episode.Sighting{Day: list[i].day, Feed: list[i].feed}
		if isNew != nil && rowsOf(list, i) > isNew[markOf(&list[i])] { // one of them was there before
			before = append(before, seen[i])
		}
		late = late || list[i].late
	}
	if late {
		for i := range list {
			if !list[i].late {
				timely = append(timely, seen[i])
			}
		}
	}
	if isNew == nil || len(before) != len(seen) {
		episode.Count(before, -1, of)
		episode.Count(seen, 1, of)
	}
	if d.table == nil {
		return made
	}
	gap := func(feed uint32) event.Day { g, _ := d.table.Gap(c, feed); return g }
	are, was := episode.Split(nil, seen, gap), episode.Split(nil, timely, gap)
	for _, e := range are {
		row := rowOf(c, e, list, gap)
		row.revised = episode.Revisions(e, was)
		made = append(made, row)
	}
	for i, scale := range []func(event.Day) event.Day{halved, doubled} {
		if i == 1 && len(are) == 1 || i == 0 && daily(seen) {
			continue // the same with these gaps
		}
		would := episode.Split(nil, seen, func(feed uint32) event.Day { return scale(gap(feed)) })
		for _, x := range []struct {
			have, others []episode.Episode
			weight       int8
		}{{would, are, 1}, {are, would, -1}} {
			for _, e := range x.have {
				if !slices.Contains(x.others, e) {
					row := rowOf(c, e, list, gap)
					row.weight, row.scale = x.weight, uint8(i+1)
					made = append(made, row)
				}
			}
		}
	}
	return made
}

// daily reports whether no day lies between two sightings.
func daily(list []episode.Sighting) bool {
	for i := 1; i < len(list); i++ {
		if list[i].Day > list[i-1].Day+1 {
			return false
		}
	}
	return true
}

// rowOf puts together what is stored of an episode, of the sightings of its
// asset in the condition.
func rowOf(c episode.Condition, e episode.Episode, list []sighting, gap func(uint32) event.Day) episodeRow {
	row := episodeRow{cond: c, first: e.First, days: e.Days, last: list[e.At], mark: event.Marking(255)}
	for i := e.At; i < e.End; i++ {
		x := &list[i]
		if x.day > row.last.day || x.day == row.last.day && later(x, &row.last) {
			row.last = *x
		}
		w := row.of(x.feed)
		if w.days == 0 || x.day > w.last {
			w.days++
			w.last = x.day
		}
		if w.days == 1 {
			w.first = x.day
		}
		w.mark = max(w.mark, x.mark)
	}
	for i := range row.witness {
		w := &row.witness[i]
		w.hold = e.Last + gap(w.feed)
		row.mark = min(row.mark, w.mark)
	}
	row.feeds = uint16(len(row.witness))
	return row
}

// markOf returns what a sighting is marked as.
func markOf(c *sighting) mark { return mark{c.asset, c.day, c.feed, c.family, c.class, c.typ} }

// rowsOf returns how many rows of a list in order of days have the mark of row
// i: they differ in what episodes do not depend on.
func rowsOf(list []sighting, i int) (n int) {
	m, from := markOf(&list[i]), i
	for from > 0 && list[from-1].day == list[i].day {
		from--
	}
	for j := from; j < len(list) && list[j].day == list[i].day; j++ {
		if markOf(&list[j]) == m {
			n++
		}
	}
	return n
}

// of returns the witness that a feed is, added if it is new.
func (e *episodeRow) of(feed uint32) *witnessRow {
	for i := range e.witness {
		if e.witness[i].feed == feed {
			return &e.witness[i]
		}
	}
	e.witness = append(e.witness, witnessRow{feed: feed})
	return &e.witness[len(e.witness)-1]
}

// later chooses between sightings of one day, in the same way in whatever order
// they came. Those of an address agree in all that a row keeps.
func later(a, b *sighting) bool {
	if a.asn != b.asn {
		return a.asn > b.asn
	}
	return a.typ > b.typ
}

// deriveMarked makes the episodes of the assets that were sighted anew, and of
// those in conditions whose gap has changed.
func (s *Store) deriveMarked(ctx context.Context, out *Derived) error {
	d := &s.derive
	s.mu.Lock()
	marks, stale, gen, making := d.marks, d.stale, s.gen.Load(), d.making
	d.marks, d.stale, d.under = nil, nil, len(marks)+len(stale)
	total, ids := d.total, d.ids
	if len(marks) == 0 && len(stale) == 0 {
		s.mu.Unlock()
		return nil
	}
	err := d.snapshot()
	s.mu.Unlock()
	done := false
	defer func() {
		if !done {
			s.mu.Lock()
			d.whole, d.marks = true, nil
			s.mu.Unlock()
		}
	}()
	if err != nil {
		return err
	}
	isNew := make(map[mark]int, len(marks))
	assets := make(map[classAsset]bool, len(marks))
	for _, m := range marks {
		isNew[m]++
		assets[classAsset{m.class, m.asset}] = true
	}
	for _, g := range stale {
		if err := d.c.each(func(r *rows) {
			if d.condition(g.c.Class, event.Type(at[uint8](r, 1)), at[uint32](r, 2)) == g.c {
				assets[classAsset{g.c.Class, r.id(0)}] = true
			}
		}, `SELECT DISTINCT asset, type, family FROM sighting WHERE gen = ? AND class = ? AND feed = ?`, gen, g.c.Class, g.feed); err != nil {
			return errors.Join(err, d.c.exec("ROLLBACK"))
		}
		if len(assets) > 2*maxMarks { // then all is read sooner than these are found
			return d.c.exec("ROLLBACK")
		}
	}
	if err := ask(d.c, d.asked, assets); err != nil {
		return errors.Join(err, d.c.exec("ROLLBACK"))
	}
	var made []episodeRow
	if err := d.readAssets(ctx, fmt.Sprintf(`SELECT %s FROM sighting s WHERE gen = %d AND class IN (%s)
		AND EXISTS (SELECT 1 FROM asked a WHERE a.id = s.asset AND a.class = s.class) ORDER BY class, asset, s.day`,
		qualified("s.", sightingFields), gen, classList(episode.Classes)), func(list []sighting) {
		out.Assets++
		made = d.conditions(list, isNew, &d.gaps, made)
	}); err != nil {
		return err
	}
	out.Episodes = stored(made)
	return s.write(gen, func() error {
		if err := ask(s.w, s.out["asked"], assets); err != nil {
			return err
		}
		for _, t := range []string{"episode", "witness", "regap"} {
			if err := s.w.exec(fmt.Sprintf(`DELETE FROM %s e WHERE making = %d AND EXISTS (SELECT 1 FROM asked a WHERE a.id = e.asset AND a.class = e.class)`, t, making)); err != nil {
				return err
			}
		}
		if err := s.putEpisodes(making, made); err != nil {
			return err
		}
		err := s.putGaps(making, total, ids)
		done = err == nil
		return err
	})
}

func qualified(by, fields string) string { return by + strings.ReplaceAll(fields, ", ", ", "+by) }

// ask fills the connection's own table of assets to join with.
func ask(c *conn, w *chunkWriter, assets map[classAsset]bool) error {
	if err := c.exec(`DELETE FROM asked`); err != nil {
		return err
	}
	for a := range assets {
		w.id(0, a.asset)
		put(w, 2, uint8(a.class))
		w.row()
	}
	return w.flush()
}

// write runs f in a transaction of the writer, if the generation is the one in
// use. A failure breaks the store, as that of any transaction does.
func (s *Store) write(gen uint32, f func() error) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if s.gen.Load() != gen {
		return errOvertaken
	}
	if err = s.w.exec("BEGIN"); err == nil {
		if err = f(); err == nil {
			s.hook("derive")
			err = s.commit()
		}
	}
	if err != nil {
		s.broken = fmt.Errorf("the store stopped while episodes were written: %w", err)
		return err
	}
	s.marg.pass()
	s.hook("derived")
	return nil
}

// Tick is a number that rises whenever answers may have changed: sightings,
// events, episodes.
func (s *Store) Tick() int64 { return s.marg.now() }

func (s *Store) dropMaking(making uint32) error {
	for _, t := range []string{"episode", "witness", "regap", "reobserved"} {
		if err := s.w.exec(fmt.Sprintf("DELETE FROM %s WHERE making = %d", t, making)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) putEpisodes(making uint32, made []episodeRow) error {
	w := s.out["witness"]
	for i := range made {
		m := &made[i]
		e := s.out["episode"]
		if m.weight != 0 {
			e = s.out["regap"]
		}
		put(e, 0, making)
		put(e, 1, uint8(m.cond.Class))
		put(e, 2, uint8(m.last.typ))
		put(e, 3, m.cond.Family)
		put(e, 4, uint8(m.last.kind))
		e.id(5, m.last.asset)
		put(e, 6, int32(m.first))
		put(e, 7, int32(m.last.day))
		put(e, 8, uint32(m.days))
		put(e, 9, m.feeds)
		put(e, 10, uint8(m.mark))
		for j, x := range []uint32{m.last.asn, m.last.cc, m.last.org, m.last.sector, m.last.region} {
			put(e, 11+j, x)
		}
		put(e, 16, s.patternOf(m.cond.Class, m))
		put(e, 17, uint16(min(m.revised, math.MaxUint16)))
		if m.weight != 0 {
			put(e, 18, m.scale)
			put(e, 19, int32(m.weight))
			e.row()
			continue
		}
		e.row()
		for _, x := range m.witness {
			put(w, 0, making)
			put(w, 1, uint8(m.cond.Class))
			put(w, 2, uint8(m.cond.Type))
			put(w, 3, m.cond.Family)
			w.id(4, m.last.asset)
			put(w, 5, int32(m.first))
			put(w, 6, x.feed)
			put(w, 7, int32(x.first))
			put(w, 8, int32(x.last))
			put(w, 9, x.days)
			put(w, 10, int32(x.hold))
			put(w, 11, uint8(x.mark))
			w.row()
		}
	}
	s.putTerms()
	return errors.Join(s.out["episode"].flush(), w.flush(), s.out["regap"].flush(), s.out["pattern"].flush(), s.out["term"].flush())
}

// putGaps writes the distributions, and how many sightings the episodes are
// made of. Where gaps have changed, it notes which.
func (s *Store) putGaps(making uint32, total int64, ids event.ID) error {
	d := &s.derive
	if err := s.w.exec(fmt.Sprintf("DELETE FROM reobserved WHERE making = %d", making)); err != nil {
		return err
	}
	next := d.gaps.Table()
	w := s.out["reobserved"]
	d.gaps.Each(func(c episode.Condition, feed uint32, r *episode.Reobserved) {
		for gap, n := range r {
			if n == 0 {
				continue
			}
			put(w, 0, making)
			put(w, 1, uint8(c.Class))
			put(w, 2, uint8(c.Type))
			put(w, 3, c.Family)
			put(w, 4, feed)
			put(w, 5, uint8(gap))
			put(w, 6, n)
			w.row()
		}
		was, _ := d.table.Gap(c, feed)
		if is, _ := next.Gap(c, feed); is != was {
			d.stale = append(d.stale, staleGap{c, feed})
		}
	})
	d.setTable(next)
	if len(d.stale) > 0 { // made with gaps that hold no more: a start makes them anew
		total = -1
	}
	if err := s.w.exec(`DELETE FROM making`); err != nil {
		return err
	}
	return errors.Join(s.w.execArgs(`INSERT INTO making VALUES (?, ?, ?, ?)`, making, s.gen.Load(), total, ids), w.flush())
}

func (d *deriving) setTable(t *episode.Table) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.table = t
}
