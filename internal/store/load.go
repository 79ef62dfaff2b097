package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin/internal/episode"
	"tocsin/internal/event"
	"tocsin/internal/query"
)

// Part is up to a fixed number of consecutive rows of one delivery, decoded
// and annotated. Notes[i] belongs to Events[i].
type Part struct {
	Delivery   *query.Delivery // its journal entry; the counts in it are not read
	Enrichment uint32          // version of the reference data behind Notes
	Index      int             // 0 is the first part
	Last       bool            // no part comes after this one
	Rows       int             // rows received: events and bad ones
	Events     []event.Event
	Notes      []event.Annotation
	Bad        []query.Quarantined
}

// pending gathers what a delivery brings until its last part is in.
type pending struct {
	cands  []sighting
	have   idSet // of cands, where the delivery has several parts
	events map[dayClass]int64
	match  map[dayStanding]int64 // events that a standing question counts
	sum    partCounts
	counts int  // parts in sum
	resume bool // cands, events and match do not hold all that is in the table: it is read from there
}

type dayClass struct {
	day   event.Day
	class event.Class
}

// RowGroup is how many rows DuckDB keeps together. A transaction that appends
// just as many events hands its rows over as they are; those of a smaller one,
// and of one that is a little larger, are copied into the table's last group
// and written to the log besides, which costs an event a microsecond more.
const RowGroup = 122_880

// loading is a part on its way into the tables. It may be cut where a row
// group is full, or before its delivery's many sightings: then its first events
// are committed, and nobody sees them before the others and its row of table
// load are.
type loading struct {
	p     *Part
	feed  uint32
	in    bool // it was in before
	dup   []bool
	at    int // the next event
	n     partCounts
	multi bool
	apart bool // its delivery's sightings are applied in a transaction of their own

	lateBefore event.Day // sightings of earlier days are late
}

// manySightings is from how many sightings on a delivery's are applied in a
// transaction of their own: what came before it in the same one need not wait.
const manySightings = 50_000

func (l *loading) key() partKey { return partKey{l.p.Delivery.Seq, uint32(l.p.Index)} }

// loadRow is one part that is ready for table load.
type loadRow struct {
	key partKey
	n   partCounts
}

// Load is LoadFrom with the parts at hand.
func (s *Store) Load(ctx context.Context, parts ...*Part) error {
	next := func() *Part {
		if len(parts) == 0 {
			return nil
		}
		p := parts[0]
		parts = parts[1:]
		return p
	}
	for {
		if more, err := s.LoadFrom(ctx, next); err != nil || !more {
			return err
		}
	}
}

// LoadFrom puts the parts that next gives, up to nil, into the store, as many
// as go into one transaction. It returns true if the transaction was full:
// then it is to be called again, at once, since the last part may be in only
// in part. A part is not used any more when next is called again. Parts of one
// delivery come in order; parts that are in already are passed over. A
// delivery shows in counts with its last part. After an error the store is
// broken and has to be opened again.
func (s *Store) LoadFrom(_ context.Context, next func() *Part) (more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return false, s.broken
	}
	defer func() {
		if err != nil {
			s.broken = fmt.Errorf("the store stopped at a failed transaction: %w", err)
		}
	}()
	if err := s.w.exec("BEGIN"); err != nil {
		return false, err
	}
	var (
		changes  []change
		done     []loadRow
		finished []uint32
	)
	s.tick++
	full := transaction(s.cfg)
	for room := full; !more; {
		l := s.cut
		if s.cut = nil; l == nil {
			p := next()
			if p == nil {
				break
			}
			if s.complete.has(p.Delivery.Seq) {
				continue
			}
			if l, err = s.begin(p); err != nil {
				return false, err
			}
		}
		had := l.n.accepted
		if err := s.loadEvents(l, room); err != nil {
			return false, err
		}
		room -= int(l.n.accepted - had)
		more = room == 0
		if l.at < len(l.p.Events) {
			s.cut = l
			break
		}
		if l.p.Last && len(s.pending[l.key().delivery].cands) >= manySightings {
			more = true
			if !l.apart && room < full {
				l.apart, s.cut = true, l
				break
			}
		}
		if row := s.endPart(l); row != nil {
			done = append(done, *row)
		}
		if !l.p.Last {
			continue
		}
		if changes, err = s.finish(l.p, changes); err != nil {
			return false, err
		}
		finished = append(finished, l.key().delivery)
	}
	if err := s.flush(done); err != nil {
		return false, err
	}
	s.hide(done, finished)
	s.hook("commit")
	if err := s.commit(); err != nil {
		return false, err
	}
	s.hook("committed")
	for _, r := range done {
		s.parts[r.key] = r.n
	}
	for _, seq := range finished {
		s.complete.add(seq)
		delete(s.pending, seq)
		maps.DeleteFunc(s.parts, func(k partKey, _ partCounts) bool { return k.delivery == seq })
	}
	s.hide(nil, nil)
	s.mix()
	s.marg.apply(s.standing.take(changes))
	s.evict()
	return more, nil
}

// hide publishes which deliveries are partly in. Before a transaction is
// committed it is told the parts and the last parts in it.
func (s *Store) hide(done []loadRow, finished []uint32) {
	set := map[uint32]bool{}
	for k := range s.parts {
		set[k.delivery] = true
	}
	for _, r := range done {
		if !slices.Contains(finished, r.key.delivery) {
			set[r.key.delivery] = true
		}
	}
	if s.cut != nil {
		set[s.cut.key().delivery] = true
	}
	s.hidden.Store(slices.Sorted(maps.Keys(set)))
}

// mix notes whether the annotations in use are of several versions: then an
// asset may have two organisations on one day, and flags cannot be counted.
func (s *Store) mix() {
	effective := map[uint32]bool{}
	for v := range s.enrichments {
		effective[max(v, s.genEnrichment)] = true
	}
	s.mixed.Store(len(effective) > 1)
}

// flush hands all that was put to the transaction, with the parts' own rows.
func (s *Store) flush(done []loadRow) error {
	w := s.out["load"]
	for _, r := range done {
		for i, n := range []uint32{r.key.delivery, r.key.part, r.n.received, r.n.accepted, r.n.duplicate, r.n.quarantined, r.n.outside} {
			put(w, i, n)
		}
		w.id(7, r.n.ids)
		w.row()
	}
	s.putTerms()
	for _, t := range tables {
		if err := s.out[t.name].flush(); err != nil {
			return err
		}
	}
	return nil
}

// putTerms puts the words that are not yet stored.
func (s *Store) putTerms() {
	w := s.out["term"]
	for _, id := range s.terms.fresh {
		put(w, 0, id)
		w.str(1, s.terms.words[id])
		put(w, 2, s.terms.feed[id])
		w.row()
	}
	s.terms.fresh = s.terms.fresh[:0]
}

// begin begins to load a part.
func (s *Store) begin(p *Part) (*loading, error) {
	seq := p.Delivery.Seq
	pd := s.pending[seq]
	if pd == nil || p.Index == 0 { // from the start, perhaps after an attempt that was broken off
		pd = &pending{events: map[dayClass]int64{}, cands: s.spare}
		s.spare = nil
		s.pending[seq] = pd
	}
	feed, ok := s.terms.id(p.Delivery.Feed, 0)
	if !ok {
		return nil, fmt.Errorf("feed name %.60q is longer than %d bytes", p.Delivery.Feed, maxWord)
	}
	l := &loading{p: p, feed: feed, multi: !p.Last || p.Index > 0, lateBefore: s.lateBefore(p.Delivery)}
	if was, in := s.parts[l.key()]; in {
		l.in, l.n, l.at = true, was, len(p.Events)
		return l, nil
	}
	l.n = partCounts{received: uint32(p.Rows), quarantined: uint32(len(p.Bad))}
	var err error
	l.dup, err = s.duplicates(p)
	return l, err
}

// loadEvents appends the part's events, room of them at most.
func (s *Store) loadEvents(l *loading, room int) error {
	p := l.p
	pd := s.pending[p.Delivery.Seq]
	for ; l.at < len(p.Events); l.at++ {
		if room == 0 {
			return nil
		}
		e, n := &p.Events[l.at], &p.Notes[l.at]
		c, bad := s.candidate(e, n, l.feed)
		if bad != "" {
			l.n.quarantined++
			p.Bad = append(p.Bad, query.Quarantined{Row: e.Row, Reason: "vocabulary", Detail: bad})
			continue
		}
		if l.dup[l.at] {
			l.n.duplicate++
			continue
		}
		if !s.cfg.Unsighted && c.class != event.ClassOutside && c.kind != event.AssetNone && c.asset != (event.ID{}) {
			c.late = c.day < l.lateBefore && episode.Has(c.class)
			pd.sight(c, l.multi, s.seed)
		}
		l.n.accepted++
		l.n.ids.Hi ^= e.ID.Hi
		l.n.ids.Lo ^= e.ID.Lo
		if c.class == event.ClassOutside {
			l.n.outside++
		}
		pd.events[dayClass{c.day, c.class}]++
		if qs := s.standing.of[c.class]; len(qs) > 0 {
			s.matchEvent(pd, qs, &c)
		}
		s.stored[c.day]++
		s.putEvent(e, n, c)
		if s.ev.err != nil {
			return s.ev.err
		}
		room--
	}
	return nil
}

// endPart writes what else there is of a part and returns its row of table
// load, or nil if it was in already.
func (s *Store) endPart(l *loading) *loadRow {
	pd := s.pending[l.p.Delivery.Seq]
	pd.add(l.n)
	if l.in {
		pd.resume = true
		return nil
	}
	for _, q := range l.p.Bad {
		w := s.out["quarantine"]
		put(w, 0, l.p.Delivery.Seq)
		put(w, 1, q.Row)
		w.str(2, q.Reason)
		w.str(3, q.Detail)
		w.str(4, q.Raw)
		w.row()
	}
	return &loadRow{l.key(), l.n}
}

func (pd *pending) add(n partCounts) {
	pd.counts++
	pd.sum.received += n.received
	pd.sum.accepted += n.accepted
	pd.sum.duplicate += n.duplicate
	pd.sum.quarantined += n.quarantined
	pd.sum.outside += n.outside
}

// sight keeps a candidate until the delivery is complete. The candidates of a
// delivery of several parts are kept once each, so that its memory is bounded
// by what is distinct in it. A duplicate is none: its event may have been
// annotated with another version, and counts as it stands in the table.
func (pd *pending) sight(c sighting, multi bool, seed uint64) {
	if multi {
		k := c.key(seed, keyWhole)
		k.Hi ^= uint64(c.day)
		if !pd.have.add(k) {
			return
		}
	} else if n := len(pd.cands); n > 0 && pd.cands[n-1] == c {
		return
	}
	pd.cands = append(pd.cands, c)
}

// finish applies a complete delivery's sightings and writes its row.
func (s *Store) finish(p *Part, changes []change) ([]change, error) {
	seq := p.Delivery.Seq
	pd := s.pending[seq]
	if pd.resume {
		if err := s.recount(p.Delivery, pd); err != nil {
			return nil, err
		}
	}
	changes, err := s.applySightings(seq, s.gen.Load(), pd.cands, changes)
	if err != nil {
		return nil, err
	}
	if cap(pd.cands) <= 2*PartRows {
		s.spare = pd.cands[:0]
	}
	pd.cands, pd.have = nil, idSet{}
	for k, n := range pd.events {
		changes = append(changes, change{class: k.class, day: k.day, events: n})
	}
	for k, n := range pd.match {
		s.standing.add(k.of, k.day, never, stood{events: n})
	}
	return changes, s.writeDelivery(p.Delivery, p.Enrichment, query.StateLoaded, pd.sum)
}

// recount reads from the table what a delivery brings.
func (s *Store) recount(d *query.Delivery, pd *pending) error {
	seq := d.Seq
	if err := s.ev.flush(); err != nil {
		return err
	}
	clear(pd.events)
	if err := s.w.each(func(r *rows) {
		pd.events[dayClass{event.Day(at[int32](r, 1)), event.Class(at[uint8](r, 0))}] = at[int64](r, 2)
	}, `SELECT class, `+dayOfTime+` AS d, count(*) FROM event WHERE delivery = ? GROUP BY ALL`, seq); err != nil {
		return err
	}
	where := fmt.Sprintf("delivery = %d", seq)
	var err error
	if pd.match, err = s.matchEvents(s.gen.Load(), s.standing.list, where); err != nil {
		return err
	}
	if pd.cands, err = s.readCandidates(s.gen.Load(), "", "0::UTINYINT", where); err != nil {
		return err
	}
	before := s.lateBefore(d)
	for i := range pd.cands { // its row of table delivery is not there yet
		pd.cands[i].late = pd.cands[i].day < before && episode.Has(pd.cands[i].class)
	}
	return nil
}

func (s *Store) writeDelivery(d *query.Delivery, enrichment uint32, state query.State, n partCounts) error {
	if state == query.StateLoaded {
		s.enrichments[enrichment] = true
	}
	w := s.out["delivery"]
	put(w, 0, d.Seq)
	for i, t := range []string{d.Feed, d.Format, d.Report, d.Name, d.SHA256} {
		w.str(1+i, t)
	}
	put(w, 6, d.Size)
	put(w, 7, d.At.UnixMicro())
	for i, t := range []string{d.By, string(state), d.Reason} {
		w.str(8+i, t)
	}
	put(w, 11, enrichment)
	for i, x := range []uint32{n.received, n.accepted, n.duplicate, n.quarantined, n.outside} {
		put(w, 12+i, int64(x))
	}
	w.row()
	return w.err
}

// Refuse records that a delivery could not be read to its end, with the reason
// in it. What was loaded of it is taken out; then restart is true, and loading
// has to begin anew with what is not complete, since other deliveries may be
// among it.
func (s *Store) Refuse(_ context.Context, d *query.Delivery) (restart bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return false, s.broken
	}
	defer func() {
		if err != nil {
			s.broken = err
		}
	}()
	switch {
	case s.complete.has(d.Seq):
		return false, nil
	case s.partly(d.Seq):
		_, err := s.takeOut(d, query.StateRefused, partCounts{})
		return true, err
	}
	if err := errors.Join(s.writeDelivery(d, 0, query.StateRefused, partCounts{}), s.out["delivery"].flush()); err != nil {
		return false, err
	}
	s.complete.add(d.Seq)
	return false, nil
}

// termCache remembers the last word of each column: most rows repeat it.
type termCache [evText]struct {
	word string
	id   uint32
}

// word returns the number of a column's word. It notes the first column whose
// word does not fit.
func (s *Store) word(col int, word string, feed uint32, bad *string) uint32 {
	if word == "" {
		return 0
	}
	c := &s.cols[col]
	if c.word == word {
		s.row[col] = c.id
		return c.id
	}
	id, ok := s.terms.id(word, feed)
	if !ok {
		if *bad == "" {
			*bad = fmt.Sprintf("%s is longer than %d bytes, or the feed has brought more than %d different words", eventColumns[col].name, maxWord, wordsPerFeed)
		}
		return 0
	}
	c.word, c.id = s.terms.words[id], id
	s.row[col] = id
	return id
}

// candidate returns the event's sighting. It is called for every event: bad is
// not empty if the event's words do not fit.
func (s *Store) candidate(e *event.Event, n *event.Annotation, feed uint32) (c sighting, bad string) {
	family := e.Family
	col := evFamily
	if family == "" {
		family, col = e.Identifier, evIdentifier
	}
	s.row = [evText]uint32{}
	c = sighting{
		asset: n.Asset.Key, kind: n.Asset.Kind, day: e.Day(), feed: feed, class: e.Class(), typ: e.Type, mark: e.Marking,
		family: s.word(col, family, feed, &bad),
		asn:    n.ASN,
		cc:     s.word(evCC, n.CC, feed, &bad),
		org:    s.word(evOrg, n.Organisation, feed, &bad),
		sector: s.word(evSector, n.Sector, feed, &bad),
		region: s.word(evRegion, n.Region, feed, &bad),
	}
	s.word(evReport, e.Report, feed, &bad)
	s.word(evIdentifier, e.Identifier, feed, &bad)
	s.word(evSrcCC, e.Source.CC, feed, &bad)
	s.word(evSrcRegion, e.Source.Region, feed, &bad)
	s.word(evSrcCity, e.Source.City, feed, &bad)
	s.word(evDstCC, e.Destination.CC, feed, &bad)
	s.word(evDstRegion, e.Destination.Region, feed, &bad)
	s.word(evDstCity, e.Destination.City, feed, &bad)
	s.word(evTransport, e.Transport, feed, &bad)
	s.word(evApplication, e.Application, feed, &bad)
	s.word(evVendor, e.ProductVendor, feed, &bad)
	s.word(evProduct, e.ProductName, feed, &bad)
	return c, bad
}

// putEvent writes the event's row; its words have been found by candidate.
func (s *Store) putEvent(e *event.Event, n *event.Annotation, c sighting) {
	w := s.ev
	w.id(evID, e.ID)
	put(w, evTime, e.Time)
	put(w, evDelivery, e.Delivery)
	put(w, evRow, e.Row)
	put(w, evFeed, c.feed)
	put(w, evClass, uint8(c.class))
	put(w, evType, uint8(e.Type))
	put(w, evSeverity, uint8(e.Severity))
	put(w, evConfidence, e.Confidence)
	put(w, evMarking, uint8(e.Marking))
	put(w, evSubject, packSubject(e.Subject))
	put(w, evAssetKind, uint8(c.kind))
	w.id(evAsset, c.asset)
	for _, col := range [...]int{evReport, evIdentifier, evFamily, evTransport, evApplication, evVendor, evProduct, evCC, evOrg, evSector, evRegion} {
		put(w, col, s.row[col])
	}
	s.putEnd(evSrcIP, &e.Source)
	s.putEnd(evDstIP, &e.Destination)
	put(w, evASN, c.asn)
	if s.text = s.appendText(s.text[:0], e, n, c.feed); len(s.text) > 0 {
		w.text(evText, s.text)
	}
	w.row()
}

// putEnd writes one end's columns, which stand in the same order for both.
func (s *Store) putEnd(ip int, end *event.End) {
	w, d := s.ev, ip-evSrcIP
	w.addr(evSrcIP+d, end.IP)
	put(w, evSrcPort+d, end.Port)
	put(w, evSrcASN+d, end.ASN)
	put(w, evSrcCC+d, s.row[evSrcCC+d])
	put(w, evSrcRegion+d, s.row[evSrcRegion+d])
	put(w, evSrcCity+d, s.row[evSrcCity+d])
}

// packSubject gives the number that stands for a subject.
func packSubject(s event.Subject) uint32 {
	return uint32(s.Side) | uint32(s.Kind)<<4 | uint32(s.Asset)<<8 | uint32(s.Role)<<16 | uint32(s.Peer)<<24
}

func unpackSubject(n uint32) event.Subject {
	return event.Subject{
		Side: event.Side(n & 15), Kind: event.SubjectKind(n >> 4 & 15), Asset: event.AssetKind(n >> 8 & 255),
		Role: event.Role(n >> 16 & 255), Peer: event.Role(n >> 24),
	}
}

// timeLayout is how DuckDB reads a TIMESTAMP.
const timeLayout = "2006-01-02 15:04:05.999999"

// dayMicros is a day, in microseconds.
const dayMicros = 86_400_000_000

func dayBounds(d event.Day) (from, to string) {
	return d.Time().Format(time.DateOnly), (d + 1).Time().Format(time.DateOnly)
}
