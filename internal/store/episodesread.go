package store

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"tocsin/internal/episode"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// sameEpisode is the SQL that row w of table witness belongs to row e of table
// episode.
const sameEpisode = `w.making = e.making AND w.class = e.class AND w.asset = e.asset AND w.first = e.first AND w.family = e.family AND (w.cond = 0 OR w.cond = e.type)`

// Episodes returns one page of episodes, those seen last first and of these the
// longest, and how many there are in all. What it says of one follows from the witnesses that
// the scope may know of.
func (s *Store) Episodes(ctx context.Context, scope policy.Scope, q query.Episodes) (list []query.Episode, total int64, err error) {
	limit := q.Limit
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	type key struct {
		class  event.Class
		typ    event.Type
		family uint32
		asset  event.ID
		first  event.Day
	}
	at0 := map[key]int{}
	names := s.timelineNames()
	var feeds []int // that saw each, whoever may know of them
	err = s.read(ctx, func(c *conn) error {
		o, err := s.onlookers(c)
		if err != nil {
			return err
		}
		where, args := s.episodeWhere(scope, q, o)
		with := o.with(scope)
		if err := c.each(func(r *rows) { total = at[int64](r, 0) }, with+`SELECT count(*) FROM episode e WHERE `+where, args...); err != nil {
			return err
		}
		page := fmt.Sprintf(`SELECT making, class, type, family, kind, asset, first, last, days, asn, cc, org, sector, region, feeds, revised FROM episode e WHERE %s
			ORDER BY last DESC, first, class, asset, type, days DESC LIMIT %d OFFSET %d`, where, limit, max(0, q.Offset))
		if err := c.each(func(r *rows) {
			word := func(i int) string { return s.terms.word(at[uint32](r, i)) }
			e := query.Episode{
				Class: event.Class(at[uint8](r, 1)), Type: event.Type(at[uint8](r, 2)), Family: word(3), Kind: event.AssetKind(at[uint8](r, 4)), Asset: r.id(5),
				First: event.Day(at[int32](r, 6)), Last: event.Day(at[int32](r, 7)), Days: int(at[uint32](r, 8)),
				ASN: at[uint32](r, 9), CC: word(10), Org: word(11), Sector: word(12), Region: word(13),
			}
			e.Revised = int(at[uint16](r, 15))
			feeds = append(feeds, int(at[uint16](r, 14)))
			e.TypeName, e.AssetID = e.Type.String(), e.Asset.String()
			if e.Kind == event.AssetAddress {
				e.AssetName = addressName(e.Asset)
			}
			at0[key{e.Class, e.Type, at[uint32](r, 3), e.Asset, e.First}] = len(list)
			list = append(list, e)
		}, with+page, args...); err != nil {
			return err
		}
		if len(list) == 0 {
			return nil
		}
		saw := make([][]sawFeed, len(list))
		if err := c.each(func(r *rows) {
			i, ok := at0[key{event.Class(at[uint8](r, 0)), event.Type(at[uint8](r, 1)), at[uint32](r, 2), r.id(3), event.Day(at[int32](r, 4))}]
			if !ok {
				return
			}
			saw[i] = append(saw[i], sawFeed{
				feed: s.terms.word(at[uint32](r, 5)), first: event.Day(at[int32](r, 6)), last: event.Day(at[int32](r, 7)), days: int(at[uint32](r, 8)),
				hold: event.Day(at[int32](r, 9)), mark: event.Marking(at[uint8](r, 10)),
			})
		}, with+fmt.Sprintf(`, page AS (%s) SELECT e.class, e.type, e.family, e.asset, e.first, w.feed, w.seen_first, w.seen_last, w.days, w.hold, w.marking
			FROM page e JOIN witness w ON %s WHERE w.marking <= %d`, page, sameEpisode, mostMarking(scope)), args...); err != nil {
			return err
		}
		for i := range list {
			o.judge(&list[i], saw[i], scope.All())
			if len(saw[i]) < feeds[i] { // what is known of it may not be what was changed
				list[i].Revised = 0
			}
		}
		if scope.All() {
			if err := s.revisers(c, list, names); err != nil {
				return err
			}
		}
		return s.nameAssets(c, list)
	})
	return list, total, err
}

// mostMarking is the strictest marking that the scope may see, as it is stored.
func mostMarking(scope policy.Scope) event.Marking {
	if scope.All() {
		return 255
	}
	return scope.MaxMarking()
}

func (s *Store) episodeWhere(scope policy.Scope, q query.Episodes, o *onlookers) (string, []any) {
	witness := fmt.Sprintf("SELECT 1 FROM witness w WHERE %s AND w.marking <= %d", sameEpisode, mostMarking(scope))
	conds, feeds := []query.Cond{}, []query.Cond{}
	for _, c := range q.Where {
		if c.Dim == query.DimFeed {
			feeds = append(feeds, c)
		} else {
			conds = append(conds, c)
		}
	}
	parts := []string{"e.making = (SELECT max(making) FROM making)", s.visible(scope), s.where(conds, func(d dimColumn) string {
		if d.sighting == "" {
			return "0"
		}
		return "e." + d.sighting
	})}
	var in []string
	if scope.All() {
		parts = append(parts, s.patternConds(q, s.meanings(o, o.list, asItIs), o.list, feeds)...)
		feeds, q.State, q.Incident = nil, "", nil
	}
	for _, c := range feeds {
		id, ok := s.terms.find(c.Value)
		switch {
		case c.Not && ok:
			parts = append(parts, fmt.Sprintf("NOT EXISTS (%s AND w.feed = %d)", witness, id))
		case !c.Not && ok:
			in = append(in, decimal(id))
		case !c.Not:
			in = append(in, "0")
		}
	}
	if len(in) > 0 {
		parts = append(parts, "EXISTS ("+witness+" AND w.feed IN ("+strings.Join(in, ",")+"))")
	}
	if q.Period != (query.Period{}) {
		parts = append(parts, fmt.Sprintf("e.first <= %d", q.Period.To))
		if q.Started {
			parts = append(parts, fmt.Sprintf("e.first >= %d", q.Period.From))
		} else {
			parts = append(parts, fmt.Sprintf("e.last >= %d", q.Period.From))
		}
	}
	if len(q.Classes) > 0 {
		parts = append(parts, "e.class IN ("+classList(q.Classes)+")")
	}
	switch closed, open := o.closed(scope), o.open(scope); q.State {
	case query.EpisodeClosed:
		parts = append(parts, closed)
	case query.EpisodeOpen:
		parts = append(parts, "NOT "+closed, open)
	case query.EpisodeCensored:
		parts = append(parts, "NOT "+closed, "NOT "+open)
	}
	if q.Incident != nil {
		incident := o.incident(scope)
		if !*q.Incident {
			incident = "NOT " + incident
		}
		parts = append(parts, incident)
	}
	if q.Revised {
		parts = append(parts, "e.revised > 0")
		if !scope.All() {
			parts = append(parts, fmt.Sprintf("NOT EXISTS (SELECT 1 FROM witness w WHERE %s AND w.marking > %d)", sameEpisode, mostMarking(scope)))
		}
	}
	var args []any
	if q.Asset != (event.ID{}) {
		parts, args = append(parts, "e.asset = ?"), append(args, q.Asset)
	}
	if t := strings.TrimSpace(q.Text); t != "" {
		cond, a := s.episodeText(t)
		parts, args = append(parts, cond), append(args, a...)
	}
	return strings.Join(parts, " AND "), args
}

// episodeText finds an address and the services on it, a network, AS number,
// site or family.
func (s *Store) episodeText(t string) (string, []any) {
	if a, err := netip.ParseAddr(t); err == nil {
		k := event.AddressKey(a.Unmap())
		return fmt.Sprintf("(e.asset = ? OR e.kind = %d AND e.asset IN (SELECT asset FROM event WHERE src_ip = ? OR dst_ip = ?))", event.AssetService),
			[]any{event.AddressAsset(a.Unmap()).Key, k, k}
	}
	if p, err := netip.ParsePrefix(t); err == nil {
		lo, hi := ends(p)
		return fmt.Sprintf("(e.kind = %d AND e.asset BETWEEN ? AND ?)", event.AssetAddress), []any{lo, hi}
	}
	low := strings.ToLower(t)
	if n, ok := strings.CutPrefix(low, "as"); ok {
		if id, ok := s.value(query.DimASN, n); ok && id != 0 {
			return fmt.Sprintf("e.asn = %d", id), nil
		}
	}
	parts := []string{"e.asset = ?"}
	if one, ok := episode.Family(low); ok {
		low = one
	}
	for _, w := range []string{t, low} {
		if id, ok := s.terms.find(w); ok && id != 0 {
			parts = append(parts, fmt.Sprintf("e.family = %d", id), fmt.Sprintf("e.org = %d", id))
		}
	}
	return "(" + strings.Join(parts, " OR ") + ")", []any{event.NamedAsset(event.AssetSite, low).Key}
}

// addressName writes the asset of an address: of IPv6, the /64.
func addressName(k event.ID) string {
	a := event.KeyAddress(k)
	if a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).String()
}

// nameAssets finds the names of assets that are no addresses in an event of
// theirs, of a day on which they were seen.
func (s *Store) nameAssets(c *conn, list []query.Episode) error {
	days := map[event.Day][]int{}
	for i := range list {
		if list[i].AssetName == "" {
			days[list[i].Last] = append(days[list[i].Last], i)
		}
	}
	for d, of := range days {
		from, to := dayBounds(d)
		words := make([]string, len(of))
		args := make([]any, len(of))
		for i, j := range of {
			words[i], args[i] = "?", list[j].Asset
		}
		names := map[event.ID]string{}
		if err := c.each(func(r *rows) {
			e := s.scanEvent(r)
			names[e.Note.Asset.Key] = assetName(&e)
		}, fmt.Sprintf(`SELECT %s FROM event WHERE time >= TIMESTAMP '%s' AND time < TIMESTAMP '%s' AND asset IN (%s) QUALIFY row_number() OVER (PARTITION BY asset ORDER BY time, id) = 1`,
			eventFields, from, to, strings.Join(words, ",")), args...); err != nil {
			return err
		}
		for _, j := range of {
			list[j].AssetName = names[list[j].Asset]
		}
	}
	return nil
}

// assetName writes what the asset of an event is called.
func assetName(e *query.Event) string {
	end := e.SubjectEnd()
	name := ""
	switch e.Note.Asset.Kind {
	case event.AssetService:
		if end.IP.IsValid() {
			return strings.TrimSpace(netip.AddrPortFrom(end.IP, end.Port).String() + " " + e.Transport)
		}
	case event.AssetSite:
		name = e.Note.Domain
	case event.AssetAccount:
		name = end.Account
	case event.AssetOrganisation:
		name = e.Subject.Organisation
	}
	if name == "" && end.IP.IsValid() {
		name = end.IP.String()
	}
	return name
}
