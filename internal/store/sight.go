package store

import (
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
	for i := range cands {
		c := cands[i]
		flags, isNew := s.days[c.day].seen.add(&c, s.seed)
		if !isNew {
			continue
		}
		c.flags = flags
		fresh = append(fresh, c)
		if l := s.last[c.class].get(c.asset); l != never && l > c.day {
			late = append(late, classAsset{c.class, c.asset})
		}
	}
	known, err := s.daysOf(gen, late)
	if err != nil {
		return nil, err
	}
	if err := s.stand(gen, fresh); err != nil {
		return nil, err
	}
	var ids event.ID
	for i := range fresh {
		c := &fresh[i]
		flags, prev := c.flags, never
		ca := classAsset{c.class, c.asset}
		if days, isLate := known[ca]; isLate {
			at, found := slices.BinarySearch(days, c.day)
			if !found {
				flags |= firstOfClass
				if at > 0 {
					prev = days[at-1]
				}
				if at < len(days) { // the next day's previous day is this one now
					next := days[at]
					changes = append(changes,
						change{class: c.class, day: next, prev: prev, seen: -1},
						change{class: c.class, day: next, prev: c.day, seen: 1})
					for _, x := range []struct {
						prev   event.Day
						weight int64
					}{{prev, -1}, {c.day, 1}} {
						w := s.out["reseen"]
						put(w, 0, gen)
						put(w, 1, uint8(c.class))
						put(w, 2, int32(next))
						put(w, 3, int32(x.prev))
						put(w, 4, x.weight)
						w.row()
					}
				}
				known[ca] = slices.Insert(days, at, c.day)
				if c.day > s.last[c.class].get(c.asset) {
					s.last[c.class].set(c.asset, c.day)
				}
			}
		} else if l := s.last[c.class].get(c.asset); l != c.day {
			flags |= firstOfClass
			prev = l
			s.last[c.class].set(c.asset, c.day)
		}
		if flags&firstOfClass != 0 {
			if n := len(changes); n > 0 && changes[n-1].class == c.class && changes[n-1].day == c.day && changes[n-1].prev == prev && changes[n-1].assets > 0 {
				changes[n-1].assets++
				changes[n-1].seen++
			} else {
				changes = append(changes, change{class: c.class, day: c.day, prev: prev, assets: 1, seen: 1})
			}
		}
		ids.Hi ^= c.asset.Hi
		ids.Lo ^= c.asset.Lo
		s.putSighting(gen, c, flags, prev)
		if s.sg.err != nil {
			return nil, s.sg.err
		}
	}
	w := s.out["sighted"]
	put(w, 0, gen)
	put(w, 1, seq)
	put(w, 2, uint32(len(fresh)))
	w.id(3, ids)
	w.row()
	return changes, w.err
}

func (s *Store) putSighting(gen uint32, c *sighting, flags uint8, prev event.Day) {
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

const sightingFields = `day, feed, class, type, family, kind, asset, marking, asn, cc, org, sector, region`

func readSighting(r *rows) sighting {
	return sighting{
		day: event.Day(at[int32](r, 0)), feed: at[uint32](r, 1), class: event.Class(at[uint8](r, 2)), typ: event.Type(at[uint8](r, 3)),
		family: at[uint32](r, 4), kind: event.AssetKind(at[uint8](r, 5)), asset: r.id(6), mark: event.Marking(at[uint8](r, 7)),
		asn: at[uint32](r, 8), cc: at[uint32](r, 9), org: at[uint32](r, 10), sector: at[uint32](r, 11), region: at[uint32](r, 12),
	}
}

// readSeen makes sure that the sets of the candidates' days hold what is
// stored: whole days, or, where many old days are touched at once, what is
// stored of the candidates' own assets.
func (s *Store) readSeen(gen uint32, cands []sighting) error {
	var missing []event.Day
	cur := never
	for i := range cands {
		if d := cands[i].day; d != cur {
			cur = d
			if ds := s.day(d); !ds.seenOK {
				if s.fresh || s.marg.assets(d) == 0 {
					ds.seenOK = true
				} else {
					missing = append(missing, d)
				}
			}
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
		ds := s.days[c.day]
		if ds == nil {
			return
		}
		ds.seen.add(&c, s.seed)
	}
	if len(missing) <= maxDaysRead {
		for _, d := range missing {
			if err := s.w.each(add, `SELECT `+sightingFields+` FROM sighting WHERE gen = ? AND day = ?`, gen, d); err != nil {
				return err
			}
			s.days[d].seenOK = true
		}
		return nil
	}
	ids := make([]event.ID, len(cands))
	days := make([]event.Day, len(cands))
	for i := range cands {
		ids[i], days[i] = cands[i].asset, cands[i].day
	}
	if err := s.ask(ids, days, nil); err != nil {
		return err
	}
	return s.w.each(add, `SELECT `+sightingFields+` FROM sighting s WHERE gen = ? AND EXISTS (SELECT 1 FROM asked a WHERE a.id = s.asset AND a.day = s.day)`, gen)
}

// daysOf returns the sorted days on which each of the assets was seen.
func (s *Store) daysOf(gen uint32, late []classAsset) (map[classAsset][]event.Day, error) {
	if len(late) == 0 {
		return nil, nil
	}
	if err := s.sg.flush(); err != nil {
		return nil, err
	}
	known := make(map[classAsset][]event.Day, len(late))
	ids := make([]event.ID, 0, len(late))
	classes := make([]event.Class, 0, len(late))
	for _, ca := range late {
		if _, ok := known[ca]; ok {
			continue
		}
		known[ca] = nil
		ids, classes = append(ids, ca.asset), append(classes, ca.class)
	}
	if err := s.ask(ids, nil, classes); err != nil {
		return nil, err
	}
	err := s.w.each(func(r *rows) {
		ca := classAsset{event.Class(at[uint8](r, 0)), r.id(1)}
		known[ca] = append(known[ca], event.Day(at[int32](r, 2)))
	}, `SELECT s.class, s.asset, s.day FROM sighting s JOIN asked a ON a.id = s.asset AND a.class = s.class WHERE s.gen = ? AND s.flags & 1 = 1 ORDER BY s.day`, gen)
	return known, err
}
