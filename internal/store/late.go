package store

import (
	"fmt"
	"math"
	"strings"

	"tocsin/internal/episode"
	"tocsin/internal/event"
	"tocsin/internal/query"
)

// lateBefore returns the day before which a delivery's sightings are late
// ([episode.Late]); [never] if none is.
func (s *Store) lateBefore(d *query.Delivery) event.Day {
	arrived := event.DayFrom(d.At)
	if arrived <= s.firstDay() {
		return never
	}
	return max(never, arrived-episode.LateAfter)
}

// firstDay returns the day on which the journal's first delivery arrived.
func (s *Store) firstDay() event.Day {
	first := event.Day(s.first.Load())
	if first == never && s.began != nil {
		if d, ok := s.began(); ok {
			s.first.Store(int64(d))
			return d
		}
	}
	return first
}

// lateFlag is the SQL of the flag of an event's sighting, where the event's
// source is joined with [arrivals].
func (s *Store) lateFlag() string {
	return fmt.Sprintf("(CASE WHEN class IN (%s) AND arrived > %d AND arrived - %s > %d THEN %d ELSE 0 END)::UTINYINT",
		classList(episode.Classes), max(s.firstDay(), math.MinInt32+1), dayOfTime, episode.LateAfter, seenLate)
}

// arrivals joins a source of events with the day on which each one's delivery
// arrived.
const arrivals = ` LEFT JOIN (SELECT seq, (epoch_us(arrived) // 86400000000)::INTEGER AS arrived FROM delivery) arrival ON arrival.seq = delivery`

// revisers fills in by which delivery each revised episode was revised last:
// the newest, in the journal's order, that brought a late sighting of it. One
// that several brought is the first one's.
func (s *Store) revisers(c *conn, list []query.Episode, names *deriving) error {
	var words []string
	var args []any
	of := map[classAsset][]int{}
	from, to := event.Day(math.MaxInt32), never
	for i := range list {
		e := &list[i]
		if e.Revised == 0 {
			continue
		}
		words, args = append(words, "?"), append(args, e.Asset)
		of[classAsset{e.Class, e.Asset}] = append(of[classAsset{e.Class, e.Asset}], i)
		from, to = min(from, e.First), max(to, e.Last)
	}
	if len(words) == 0 {
		return nil
	}
	type sight struct {
		of   int
		day  event.Day
		feed uint32
	}
	type brought struct {
		by   uint32
		late bool
	}
	got := map[sight]brought{}
	since, _ := dayBounds(from)
	_, before := dayBounds(to)
	if err := c.each(func(r *rows) {
		class, day, feed := event.Class(at[uint8](r, 0)), event.Day(at[int32](r, 2)), at[uint32](r, 3)
		cond := names.condition(class, event.Type(at[uint8](r, 4)), at[uint32](r, 5))
		for _, i := range of[classAsset{class, r.id(1)}] {
			e := &list[i]
			id, _ := s.terms.find(e.Family)
			if day < e.First || day > e.Last || cond != names.condition(e.Class, e.Type, id) {
				continue
			}
			k := sight{i, day, feed}
			x, ok := got[k]
			by := at[uint32](r, 6)
			if !ok || by < x.by {
				x.by = by
			}
			x.late = (x.late || !ok) && at[uint8](r, 7) != 0
			got[k] = x
		}
	}, fmt.Sprintf(`SELECT class, asset, %s AS day, feed, type, %s AS fam, min(delivery), min(%s) FROM event%s
		WHERE time >= TIMESTAMP '%s' AND time < TIMESTAMP '%s' AND asset IN (%s) AND %s GROUP BY ALL`,
		dayOfTime, familyColumn, s.lateFlag(), arrivals, since, before, strings.Join(words, ","), s.notHidden()), args...); err != nil {
		return err
	}
	newest := map[int]uint32{}
	for k, x := range got {
		if x.late {
			newest[k.of] = max(newest[k.of], x.by)
		}
	}
	for i, seq := range newest {
		list[i].RevisedBy = "d" + decimal(seq)
	}
	return nil
}
