package store

import (
	"fmt"
	"slices"

	"tocsin/internal/event"
)

// The bounds up to which the ids of days are read into memory; beyond them the
// table is searched for the part's ids.
const (
	maxDaysRead = 32
	maxRowsRead = 4 << 20
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

// duplicates says of each event whether its id is stored already or came
// before in the part. Equal ids have equal times, so a day's ids are all it
// takes.
func (s *Store) duplicates(p *Part) ([]bool, error) {
	dup := make([]bool, len(p.Events))
	var missing []event.Day
	stored := int64(0)
	cur := never
	for i := range p.Events {
		d := p.Events[i].Day()
		if d == cur {
			continue
		}
		cur = d
		if ds := s.day(d); !ds.idsOK {
			if s.stored[d] == 0 {
				ds.idsOK = true
			} else if !slices.Contains(missing, d) && len(missing) <= maxDaysRead {
				missing = append(missing, d)
				stored += s.stored[d]
			}
		}
	}
	if len(missing) > maxDaysRead || stored > maxRowsRead {
		return dup, s.searchDuplicates(p, dup)
	}
	if len(missing) > 0 {
		if err := s.ev.flush(); err != nil {
			return nil, err
		}
	}
	for _, d := range missing {
		ds := s.day(d)
		from, to := dayBounds(d)
		if err := s.w.each(func(r *rows) { ds.ids.add(r.id(0)) },
			fmt.Sprintf(`SELECT id FROM event WHERE time >= TIMESTAMP '%s' AND time < TIMESTAMP '%s'`, from, to)); err != nil {
			return nil, err
		}
		ds.idsOK = true
	}
	var ds *dayState
	cur = never
	for i := range p.Events {
		e := &p.Events[i]
		if d := e.Day(); d != cur {
			cur, ds = d, s.days[d]
		}
		dup[i] = !ds.ids.add(e.ID)
	}
	return dup, nil
}

// searchDuplicates finds the part's ids in the table itself. Days that are in
// memory keep their sets true.
func (s *Store) searchDuplicates(p *Part, dup []bool) error {
	lo, hi := p.Events[0].Day(), p.Events[0].Day()
	ids := make([]event.ID, len(p.Events))
	for i := range p.Events {
		ids[i] = p.Events[i].ID
		lo, hi = min(lo, p.Events[i].Day()), max(hi, p.Events[i].Day())
	}
	if err := s.ask(ids, nil, nil); err != nil {
		return err
	}
	if err := s.ev.flush(); err != nil {
		return err
	}
	var have idSet
	from, _ := dayBounds(lo)
	_, to := dayBounds(hi)
	if err := s.w.each(func(r *rows) { have.add(r.id(0)) },
		fmt.Sprintf(`SELECT id FROM event SEMI JOIN asked USING (id) WHERE time >= TIMESTAMP '%s' AND time < TIMESTAMP '%s'`, from, to)); err != nil {
		return err
	}
	for i := range p.Events {
		e := &p.Events[i]
		dup[i] = !have.add(e.ID)
		if ds := s.days[e.Day()]; ds.idsOK {
			ds.ids.add(e.ID)
		}
	}
	return nil
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
		total += ds.ids.bytes() + ds.seen.bytes()
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
		total -= ds.ids.bytes() + ds.seen.bytes()
		delete(s.days, x.d)
	}
}
