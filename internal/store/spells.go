package store

import (
	"context"
	"fmt"

	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// Spells gives, for the episodes of the selection whose beginning was seen, how
// long they lasted as far as it is known, to f: from which day on in its life
// an episode was under observation in the period, on which day it was last
// seen, and on which a witness that had seen it looked, after its gap, and saw
// nothing (0 if none did); all in days from its beginning. The kind and the AS
// are those of its asset.
func (s *Store) Spells(ctx context.Context, scope policy.Scope, q query.Episodes, f func(kind event.AssetKind, asn uint32, entry, last, clean int)) error {
	yes := true
	q.Incident, q.Started = &yes, false
	return s.read(ctx, func(c *conn) error {
		o, err := s.onlookers(c)
		if err != nil {
			return err
		}
		names := map[uint32]string{}
		for w, id := range o.number {
			names[id] = w
		}
		where, args := s.episodeWhere(scope, q, o)
		if scope.All() {
			of := s.meanings(o, o.list, asItIs)
			return c.each(func(r *rows) {
				first, last, m := event.Day(at[int32](r, 0)), event.Day(at[int32](r, 1)), &of[at[uint32](r, 2)-1]
				clean := 0
				for _, w := range m.witnesses {
					if day, ok := o.panel.Next(w.name, m.class, last+w.gap+1); ok {
						if n := int(day - first); clean == 0 || n < clean {
							clean = n
						}
					}
				}
				f(event.AssetKind(at[uint8](r, 3)), at[uint32](r, 4), max(0, int(q.Period.From-first)), int(last-first), clean)
			}, fmt.Sprintf(`SELECT first, last, pattern, kind, asn FROM episode e WHERE %s ORDER BY class, asset, first, type, family`, where), args...)
		}
		type key struct {
			class event.Class
			typ   event.Type
			asset event.ID
			first event.Day
			fam   uint32
		}
		var at0 key
		kind, asn := event.AssetNone, uint32(0)
		entry, last, clean := 0, 0, 0
		end := func() {
			if at0.asset != (event.ID{}) {
				f(kind, asn, entry, last, clean)
			}
		}
		if err := c.each(func(r *rows) {
			k := key{event.Class(at[uint8](r, 0)), event.Type(at[uint8](r, 1)), r.id(3), event.Day(at[int32](r, 4)), at[uint32](r, 2)}
			if k != at0 {
				end()
				at0, kind, asn, clean = k, event.AssetKind(at[uint8](r, 6)), at[uint32](r, 7), 0
				entry, last = max(0, int(q.Period.From-k.first)), int(event.Day(at[int32](r, 5))-k.first)
			}
			name, ok := names[at[uint32](r, 8)]
			if !ok {
				name = s.terms.word(at[uint32](r, 8))
			}
			if day, ok := o.panel.Next(name, k.class, event.Day(at[int32](r, 9))+1); ok {
				if n := int(day - k.first); clean == 0 || n < clean {
					clean = n
				}
			}
		}, o.with(scope)+fmt.Sprintf(`SELECT e.class, e.type, e.family, e.asset, e.first, %s, e.kind, e.asn, w.feed, w.hold FROM episode e JOIN %s ON %s WHERE %s ORDER BY e.class, e.asset, e.first, e.type, e.family, w.feed`,
			lastDay(scope), o.source(scope), sameEpisode, where), args...); err != nil {
			return err
		}
		end()
		return nil
	})
}
