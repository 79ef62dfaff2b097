package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"tocsin/internal/event"
)

// seed is drawn anew by each process: it only spreads the keys of sets.
func seed() uint64 { return rand.Uint64() } //nolint:gosec // it is kept to the process, and only spreads keys

// classAsset names an asset in a class.
type classAsset struct {
	class event.Class
	asset event.ID
}

// applySightings writes those of the candidates that are new, as sightings of
// the generation, and adds what they change to changes.
//
// The order in which deliveries come changes which row carries a flag and
// which rows of reseen exist, and no count: a flag stands on exactly one row
// of its key, and the pairs (day, previous day) of an asset are those of its
// sorted days, whenever each became known.
func (s *Store) applySightings(seq, gen uint32, cands []sighting, changes []change) ([]change, error) {
	if len(cands) == 0 {
		return changes, nil
	}
	byDay := func(a, b sighting) int { return int(a.day - b.day) }
	if !slices.IsSortedFunc(cands, byDay) {
		slices.SortStableFunc(cands, byDay)
	}
	if err := s.readSeen(gen, cands); err != nil {
		return nil, err
	}
	fresh := cands[:0]
	var late []classAsset
	known := map[classAsset][]event.Day(nil)
	for i := range cands {
		c := cands[i]
		flags, isNew := s.days[c.day].seen.add(&c, s.seed)
		if !isNew {
			continue
		}
		c.flags = flags
		fresh = append(fresh, c)
		if v := s.last[c.class].look(c.asset, c.day); !v.known || v.far {
			if known == nil {
				known = map[classAsset][]event.Day{}
			}
			ca := classAsset{c.class, c.asset}
			switch _, asked := known[ca]; {
			case asked:
			case v.known:
				known[ca] = s.last[c.class].days(c.asset)
			default:
				known[ca] = nil
				late = append(late, ca)
			}
		}
	}
	if err := s.daysOf(gen, late, known); err != nil {
		return nil, err
	}
	if err := s.stand(gen, fresh); err != nil {
		return nil, err
	}
	var ids event.ID
	for i := range fresh {
		c := &fresh[i]
		flags, prev := c.flags, never
		v := s.last[c.class].look(c.asset, c.day)
		if known != nil {
			ca := classAsset{c.class, c.asset}
			if days, ok := known[ca]; ok {
				v = among(days, c.day)
				known[ca] = with(days, c.day)
			}
		}
		if !v.seen {
			flags |= firstOfClass
			prev = v.prev
			s.last[c.class].mark(c.asset, c.day)
			if v.next != never { // the next day's previous day is this one now
				changes = append(changes,
					change{class: c.class, day: v.next, prev: prev, seen: -1},
					change{class: c.class, day: v.next, prev: c.day, seen: 1})
				s.putReseen(gen, c.class, v.next, prev, -1)
				s.putReseen(gen, c.class, v.next, c.day, 1)
			}
			if n := len(changes); n > 0 && changes[n-1].of == nil && changes[n-1].class == c.class && changes[n-1].day == c.day && changes[n-1].prev == prev && changes[n-1].assets > 0 {
				changes[n-1].assets++
				changes[n-1].seen++
			} else {
				changes = append(changes, change{class: c.class, day: c.day, prev: prev, assets: 1, seen: 1})
			}
		}
		if c.late {
			flags |= seenLate
		}
		ids.Hi ^= c.asset.Hi
		ids.Lo ^= c.asset.Lo
		s.marked(c)
		s.putSighting(gen, c, flags, prev)
		if s.sg.err != nil {
			return nil, s.sg.err
		}
	}
	s.looks(fresh)
	s.derive.total += int64(len(fresh))
	s.derive.ids.Hi ^= ids.Hi
	s.derive.ids.Lo ^= ids.Lo
	w := s.out["sighted"]
	put(w, 0, gen)
	put(w, 1, seq)
	put(w, 2, uint32(len(fresh)))
	w.id(3, ids)
	w.row()
	return changes, w.err
}

// among is [history.look] for a sorted list of days.
func among(days []event.Day, d event.Day) visit {
	at, found := slices.BinarySearch(days, d)
	v := visit{known: true, seen: found, prev: never, next: never}
	if at > 0 {
		v.prev = days[at-1]
	}
	if !found && at < len(days) {
		v.next = days[at]
	}
	return v
}

// with puts a day into a sorted list.
func with(days []event.Day, d event.Day) []event.Day {
	if at, found := slices.BinarySearch(days, d); !found {
		return slices.Insert(days, at, d)
	}
	return days
}

func (s *Store) putReseen(gen uint32, c event.Class, day, prev event.Day, weight int64) {
	w := s.out["reseen"]
	put(w, 0, gen)
	put(w, 1, uint8(c))
	put(w, 2, int32(day))
	put(w, 3, int32(prev))
	put(w, 4, weight)
	w.row()
}

func (s *Store) putSighting(gen uint32, c *sighting, flags uint8, prev event.Day) {
	if c.kind != event.AssetAddress && c.kind != event.AssetService {
		s.named[c.class].Store(true)
	}
	w := s.sg
	put(w, siGen, gen)
	put(w, siDay, int32(c.day))
	put(w, siFeed, c.feed)
	put(w, siClass, uint8(c.class))
	put(w, siType, uint8(c.typ))
	put(w, siFamily, c.family)
	put(w, siKind, uint8(c.kind))
	w.id(siAsset, c.asset)
	put(w, siMarking, uint8(c.mark))
	put(w, siASN, c.asn)
	put(w, siCC, c.cc)
	put(w, siOrg, c.org)
	put(w, siSector, c.sector)
	put(w, siRegion, c.region)
	put(w, siFlags, flags)
	put(w, siPrev, int32(prev))
	w.row()
}

const sightingFields = `day, feed, class, type, family, kind, asset, marking, asn, cc, org, sector, region, flags`

func readSighting(r *rows) sighting {
	return sighting{
		day: event.Day(at[int32](r, 0)), feed: at[uint32](r, 1), class: event.Class(at[uint8](r, 2)), typ: event.Type(at[uint8](r, 3)),
		family: at[uint32](r, 4), kind: event.AssetKind(at[uint8](r, 5)), asset: r.id(6), mark: event.Marking(at[uint8](r, 7)),
		asn: at[uint32](r, 8), cc: at[uint32](r, 9), org: at[uint32](r, 10), sector: at[uint32](r, 11), region: at[uint32](r, 12),
		late: at[uint8](r, 13)&seenLate != 0,
	}
}

// readSeen makes sure that the sets of the candidates' days hold what is
// stored of the candidates' assets.
func (s *Store) readSeen(gen uint32, cands []sighting) error {
	if s.fresh {
		for i := range cands {
			s.day(cands[i].day).seenOK = true
		}
		return nil
	}
	missing := map[event.Day]int64(nil) // days not in memory, with the candidates that may be stored
	may := func(c *sighting) bool {
		v := s.last[c.class].look(c.asset, c.day)
		return v.seen || !v.known
	}
	cur := never
	var ds *dayState
	for i := range cands {
		c := &cands[i]
		if c.day != cur {
			cur = c.day
			if ds = s.day(c.day); !ds.seenOK && s.marg.assets(c.day) == 0 {
				ds.seenOK = true
			}
		}
		if !ds.seenOK && may(c) {
			if missing == nil {
				missing = map[event.Day]int64{}
			}
			missing[c.day]++
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := s.sg.flush(); err != nil {
		return err
	}
	add := func(r *rows) {
		c := readSighting(r)
		s.days[c.day].seen.add(&c, s.seed)
	}
	search := map[event.Day]bool{}
	for _, d := range slices.Sorted(maps.Keys(missing)) {
		ds := s.days[d]
		if len(missing) > maxDaysRead || !s.whole(s.marg.assets(d), missing[d], &ds.missed[1]) {
			search[d] = true
			continue
		}
		if err := s.w.each(add, `SELECT `+sightingFields+` FROM sighting WHERE gen = ? AND day = ?`, gen, d); err != nil {
			return err
		}
		ds.seenOK = true
	}
	if len(search) == 0 {
		return nil
	}
	var ids []event.ID
	var days []event.Day
	var classes []event.Class
	for i := range cands {
		if c := &cands[i]; search[c.day] && may(c) {
			ids, days, classes = append(ids, c.asset), append(days, c.day), append(classes, c.class)
		}
	}
	if err := s.ask(ids, days, classes); err != nil {
		return err
	}
	return s.w.each(add, fmt.Sprintf(`SELECT %s FROM sighting s WHERE gen = %d AND day BETWEEN %d AND %d AND class IN (%s)
		AND EXISTS (SELECT 1 FROM asked a WHERE a.id = s.asset AND a.day = s.day AND a.class = s.class)`,
		sightingFields, gen, slices.Min(days), slices.Max(days), classList(classes)))
}

// daysOf fills in the sorted days on which each of the assets was seen, for
// those whose history does not reach so far back in memory.
func (s *Store) daysOf(gen uint32, late []classAsset, known map[classAsset][]event.Day) error {
	if len(late) == 0 {
		return nil
	}
	if err := s.sg.flush(); err != nil {
		return err
	}
	ids := make([]event.ID, len(late))
	classes := make([]event.Class, len(late))
	for i, ca := range late {
		ids[i], classes[i] = ca.asset, ca.class
	}
	if err := s.ask(ids, nil, classes); err != nil {
		return err
	}
	return s.w.each(func(r *rows) {
		ca := classAsset{event.Class(at[uint8](r, 0)), r.id(1)}
		known[ca] = append(known[ca], event.Day(at[int32](r, 2)))
	}, fmt.Sprintf(`SELECT s.class, s.asset, s.day FROM sighting s JOIN asked a ON a.id = s.asset AND a.class = s.class
		WHERE s.gen = %d AND s.class IN (%s) AND s.flags & 1 = 1 ORDER BY s.day`, gen, classList(classes)))
}
