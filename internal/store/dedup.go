package store

import (
	"fmt"
	"maps"
	"slices"

	"tocsin/internal/event"
)

// A day that is not in memory is read whole where that costs little, or where
// it is asked for again and again and there is room for it; otherwise the table
// is searched for what is wanted alone.
const (
	maxDaysRead = 32 // days that are read at a time
	cheapShare  = 4  // rows that are read for each that is wanted
	patience    = 3  // searches before a day is read
	restTicks   = 64 // transactions after which a day gives way to others
	dayBytes    = 64 // of memory for each row of a day that is read
)

// day returns the state of a day, made if it is not in memory.
func (s *Store) day(d event.Day) *dayState {
	ds := s.days[d]
	if ds == nil {
		ds = &dayState{}
		if before := s.days[d-1]; before != nil && before.idsOK && s.stored[d-1] > 4096 {
			ds.ids.like(&before.ids)
			ds.seen.like(&before.seen)
		}
		s.days[d] = ds
	}
	ds.used = s.tick
	return ds
}

// whole reports whether a day of which rows are stored is to be read whole for
// the sake of some that are wanted. Missed counts how often it was not.
func (s *Store) whole(rows, wanted int64, missed *int) bool {
	if rows <= s.cfg.CheapDay+cheapShare*wanted {
		return true
	}
	if *missed++; *missed <= patience {
		return false
	}
	busy := 0
	for _, ds := range s.days {
		if s.tick-ds.used < restTicks {
			busy += ds.bytes()
		}
	}
	return int64(busy)+rows*dayBytes <= int64(s.cfg.Recent)
}

// duplicates says of each event whether its id is stored already or came
// before in the part. Equal ids have equal times, so a day's ids are all it
// takes.
func (s *Store) duplicates(p *Part) ([]bool, error) {
	dup := make([]bool, len(p.Events))
	missing := map[event.Day]int64(nil) // days not in memory, with the part's events on them
	cur := never
	var ds *dayState
	for i := range p.Events {
		d := p.Events[i].Day()
		if d != cur {
			cur = d
			if ds = s.day(d); !ds.idsOK && s.stored[d] == 0 {
				ds.idsOK = true
			}
		}
		if !ds.idsOK {
			if missing == nil {
				missing = map[event.Day]int64{}
			}
			missing[d]++
		}
	}
	var search []event.Day
	if len(missing) > 0 {
		if err := s.ev.flush(); err != nil {
			return nil, err
		}
		for _, d := range slices.Sorted(maps.Keys(missing)) {
			ds := s.days[d]
			if len(missing) > maxDaysRead || !s.whole(s.stored[d], missing[d], &ds.missed[0]) {
				search = append(search, d)
				continue
			}
			from, to := dayBounds(d)
			if err := s.w.each(func(r *rows) { ds.ids.add(r.id(0)) },
				fmt.Sprintf(`SELECT id FROM event WHERE time >= TIMESTAMP '%s' AND time < TIMESTAMP '%s'`, from, to)); err != nil {
				return nil, err
			}
			ds.idsOK = true
		}
	}
	have, err := s.searchIDs(p, search)
	if err != nil {
		return nil, err
	}
	cur = never
	for i := range p.Events {
		e := &p.Events[i]
		if d := e.Day(); d != cur {
			cur, ds = d, s.days[d]
		}
		if ds.idsOK {
			dup[i] = !ds.ids.add(e.ID)
		} else {
			dup[i] = !have.add(e.ID)
		}
	}
	return dup, nil
}

// searchIDs returns those of the part's ids that the table has on the days,
// which are sorted.
func (s *Store) searchIDs(p *Part, days []event.Day) (have idSet, err error) {
	if len(days) == 0 {
		return have, nil
	}
	var ids []event.ID
	for i := range p.Events {
		if !s.days[p.Events[i].Day()].idsOK {
			ids = append(ids, p.Events[i].ID)
		}
	}
	if err := s.ask(ids, nil, nil); err != nil {
		return have, err
	}
	for from := 0; from < len(days); { // each run of days, so that others are not read
		to := from + 1
		for to < len(days) && days[to] == days[to-1]+1 {
			to++
		}
		after, _ := dayBounds(days[from])
		_, before := dayBounds(days[to-1])
		if err := s.w.each(func(r *rows) { have.add(r.id(0)) },
			fmt.Sprintf(`SELECT id FROM event SEMI JOIN asked USING (id) WHERE time >= TIMESTAMP '%s' AND time < TIMESTAMP '%s'`, after, before)); err != nil {
			return have, err
		}
		from = to
	}
	return have, nil
}

// ask fills the temporary table that lookups join with; days and classes may
// be nil.
func (s *Store) ask(ids []event.ID, days []event.Day, classes []event.Class) error {
	if err := s.w.exec(`DELETE FROM asked`); err != nil {
		return err
	}
	w := s.out["asked"]
	for i, id := range ids {
		w.id(0, id)
		if days != nil {
			put(w, 1, int32(days[i]))
		}
		if classes != nil {
			put(w, 2, uint8(classes[i]))
		}
		w.row()
	}
	return w.flush()
}

// evict forgets the least recently used days until the sets fit their budget.
func (s *Store) evict() {
	total := 0
	for _, ds := range s.days {
		total += ds.bytes()
	}
	if total <= s.cfg.Recent && len(s.days) < 2000 {
		return
	}
	type entry struct {
		d    event.Day
		used int64
	}
	list := make([]entry, 0, len(s.days))
	for d, ds := range s.days {
		list = append(list, entry{d, ds.used})
	}
	slices.SortFunc(list, func(a, b entry) int { return int(a.used - b.used) })
	for _, x := range list {
		if (total <= s.cfg.Recent*3/4 && len(s.days) < 1500) || x.used == s.tick {
			return
		}
		ds := s.days[x.d]
		total -= ds.bytes()
		delete(s.days, x.d)
	}
}
