package store

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// eventFields lists the columns that scanEvent reads, in its order.
var eventFields = func() string {
	names := make([]string, len(eventColumns))
	for i, c := range eventColumns {
		names[i] = fmt.Sprintf("%q", c.name)
	}
	return strings.Join(names, ", ")
}()

// scanEvent reads a row of table event.
func (s *Store) scanEvent(r *rows) query.Event {
	word := func(c int) string { return s.terms.word(at[uint32](r, c)) }
	end := func(ip int) event.End {
		d := ip - evSrcIP
		e := event.End{
			Port: at[uint16](r, evSrcPort+d), ASN: at[uint32](r, evSrcASN+d),
			CC: word(evSrcCC + d), Region: word(evSrcRegion + d), City: word(evSrcCity + d),
		}
		if k := r.id(ip); k != (event.ID{}) {
			e.IP = event.KeyAddress(k)
		}
		return e
	}
	e := query.Event{
		Event: event.Event{
			ID: r.id(evID), Time: at[int64](r, evTime),
			Delivery: at[uint32](r, evDelivery), Row: at[uint32](r, evRow),
			Report: word(evReport), Type: event.Type(at[uint8](r, evType)),
			Identifier: word(evIdentifier), Family: word(evFamily), Severity: event.Severity(at[uint8](r, evSeverity)),
			Confidence: at[uint8](r, evConfidence), Marking: event.Marking(at[uint8](r, evMarking)),
			Source: end(evSrcIP), Destination: end(evDstIP),
			Transport: word(evTransport), Application: word(evApplication),
			ProductVendor: word(evVendor), ProductName: word(evProduct),
			Subject: unpackSubject(at[uint32](r, evSubject)),
		},
		Feed: word(evFeed),
		Note: event.Annotation{
			Asset: event.Asset{Kind: event.AssetKind(at[uint8](r, evAssetKind)), Key: r.id(evAsset)},
			ASN:   at[uint32](r, evASN), CC: word(evCC),
			Organisation: word(evOrg), Sector: word(evSector), Region: word(evRegion),
		},
	}
	s.readText(r.str(evText), &e.Event, &e.Note)
	return e
}

// eventWhere is the SQL of the conditions of a selection, with its arguments.
func (s *Store) eventWhere(scope policy.Scope, q query.Events) (string, []any) {
	from, _ := dayBounds(q.Period.From)
	_, to := dayBounds(q.Period.To)
	parts := []string{s.where(q.Where, eventColumn), s.visible(scope), s.notHidden()}
	var args []any
	if q.Period != (query.Period{}) {
		parts = append(parts, fmt.Sprintf("time >= TIMESTAMP '%s' AND time < TIMESTAMP '%s'", from, to))
	}
	if len(q.Classes) > 0 {
		in := make([]string, len(q.Classes))
		for i, c := range q.Classes {
			in[i] = decimal(uint32(c))
		}
		parts = append(parts, "class IN ("+strings.Join(in, ",")+")")
	}
	if q.Delivery != 0 {
		parts = append(parts, fmt.Sprintf("delivery = %d", q.Delivery))
	}
	if q.Asset != (event.ID{}) {
		parts = append(parts, "asset = ?")
		args = append(args, q.Asset)
	}
	if t := strings.TrimSpace(q.Text); t != "" {
		cond, a := s.textWhere(t)
		parts = append(parts, cond)
		args = append(args, a...)
	}
	return strings.Join(parts, " AND "), args
}

// textWhere finds an address, network, AS number, name, family or event id.
func (s *Store) textWhere(t string) (string, []any) {
	if a, err := netip.ParseAddr(t); err == nil {
		k := event.AddressKey(a.Unmap())
		return "(src_ip = ? OR dst_ip = ?)", []any{k, k}
	}
	if p, err := netip.ParsePrefix(t); err == nil {
		lo, hi := ends(p)
		return "(src_ip BETWEEN ? AND ? OR dst_ip BETWEEN ? AND ?)", []any{lo, hi, lo, hi}
	}
	if id, err := event.ParseID(t); err == nil {
		return "id = ?", []any{id}
	}
	low := strings.ToLower(t)
	if n, ok := strings.CutPrefix(low, "as"); ok {
		if id, ok := s.value(query.DimASN, n); ok && id != 0 {
			return fmt.Sprintf("asn = %d", id), nil
		}
	}
	var cond strings.Builder
	cond.WriteString("asset = ? OR contains(text, ?)")
	value := ":" + string(appendString(nil, t))
	for _, id := range s.terms.ending(value) {
		fmt.Fprintf(&cond, " OR contains(text || ',', '#%x,') OR contains(text, '#%x' || chr(10))", id, id)
	}
	if id, ok := s.terms.find(low); ok && id != 0 {
		fmt.Fprintf(&cond, " OR family = %d OR identifier = %d OR org = %d", id, id, id)
	}
	return "(" + cond.String() + ")", []any{event.NamedAsset(event.AssetSite, low).Key, value}
}

// ends returns the keys of the first and last address of a network.
func ends(p netip.Prefix) (lo, hi event.ID) {
	p = p.Masked()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	lo = event.AddressKey(p.Addr())
	hi = lo
	if bits < 64 {
		hi.Hi |= ^uint64(0) >> bits
		hi.Lo = ^uint64(0)
	} else if bits < 128 {
		hi.Lo |= ^uint64(0) >> (bits - 64)
	}
	return lo, hi
}

// maxPage bounds the rows of one page.
const maxPage = 1000

// Events returns one page of events, the newest first (time, then delivery and
// row), and how many there are in all.
func (s *Store) Events(ctx context.Context, scope policy.Scope, q query.Events) (list []query.Event, total int64, err error) {
	where, args := s.eventWhere(scope, q)
	src := eventSource(s.gen.Load())
	err = s.read(ctx, func(c *conn) error {
		if err := c.each(func(r *rows) { total = at[int64](r, 0) }, `SELECT count(*) FROM `+src+` WHERE `+where, args...); err != nil {
			return err
		}
		limit := q.Limit
		if limit <= 0 || limit > maxPage {
			limit = maxPage
		}
		return c.each(func(r *rows) { list = append(list, s.scanEvent(r)) },
			fmt.Sprintf(`SELECT %s FROM %s WHERE %s ORDER BY time DESC, delivery DESC, "row" DESC LIMIT %d OFFSET %d`, eventFields, src, where, limit, max(0, q.Offset)), args...)
	})
	if err == nil {
		err = s.name3(ctx, list)
	}
	return list, total, err
}

// sliceRows returns how many events are sorted at a time, in a third of the
// memory: those of a larger day are read in slices. A slice costs a look at all
// events of its days, so there should be few.
func sliceRows(cfg Config) int64 { return max(20_000, cfg.Memory/3/eventBytes) }

// place is where an event stands in the order of [Store.EventsSeq].
type place struct {
	time          int64
	delivery, row uint32
}

// from is the SQL that an event stands at p or after it.
func (p place) from() string {
	return fmt.Sprintf(`time >= make_timestamp(%[1]d) AND (time > make_timestamp(%[1]d) OR delivery > %[2]d OR delivery = %[2]d AND "row" >= %[3]d)`, p.time, p.delivery, p.row)
}

// before is the SQL that an event stands before p.
func (p place) before() string {
	return fmt.Sprintf(`time <= make_timestamp(%[1]d) AND (time < make_timestamp(%[1]d) OR delivery < %[2]d OR delivery = %[2]d AND "row" < %[3]d)`, p.time, p.delivery, p.row)
}

// EventsSeq gives all events of a selection, the oldest first. They are
// sorted in slices, so that any number of them costs bounded memory.
func (s *Store) EventsSeq(ctx context.Context, scope policy.Scope, q query.Events) iter.Seq2[query.Event, error] {
	return func(yield func(query.Event, error) bool) {
		period := q.Period
		if period == (query.Period{}) {
			var ok bool
			if period, ok = s.marg.bounds(); !ok {
				return
			}
		}
		src := eventSource(s.gen.Load())
		for d := period.From; d <= period.To; d++ {
			n := s.marg.events(d)
			if n == 0 {
				continue
			}
			q.Period = query.Period{From: d, To: d}
			where, args := s.eventWhere(scope, q)
			ends, err := s.slices(ctx, src, where, args, n)
			for i := 0; err == nil && i <= len(ends); i++ {
				cond := where
				if i > 0 {
					cond += " AND " + ends[i-1].from()
				}
				if i < len(ends) {
					cond += " AND " + ends[i].before()
				}
				var more bool
				if more, err = s.slice(ctx, src, cond, args, yield); err == nil && !more {
					return
				}
			}
			if err != nil {
				yield(query.Event{}, err)
				return
			}
		}
	}
}

// slices returns where the slices of a selection end, if there may be so many
// events that they have to be sorted in several.
func (s *Store) slices(ctx context.Context, src, where string, args []any, most int64) (ends []place, err error) {
	size := sliceRows(s.cfg)
	if most <= size {
		return nil, nil
	}
	err = s.read(ctx, func(c *conn) error {
		n := int64(0)
		return c.each(func(r *rows) {
			if n++; n%size == 0 {
				ends = append(ends, place{at[int64](r, 0), at[uint32](r, 1), at[uint32](r, 2)})
			}
		}, `SELECT time, delivery, "row" FROM `+src+` WHERE `+where+` ORDER BY ALL`, args...)
	})
	return ends, err
}

// slice gives the events from src that meet the condition, sorted. more is
// false if no more are wanted.
func (s *Store) slice(ctx context.Context, src, where string, args []any, yield func(query.Event, error) bool) (more bool, err error) {
	more = true
	err = s.read(ctx, func(c *conn) error {
		r, err := c.query(`SELECT `+eventFields+` FROM `+src+` WHERE `+where+` ORDER BY time, delivery, "row"`, args...)
		if err != nil {
			return err
		}
		defer r.close()
		for r.next() {
			if more = yield(s.scanEvent(r), nil); !more {
				return nil
			}
		}
		return r.err
	})
	return more, err
}

// Event returns one event by its delivery and row.
func (s *Store) Event(ctx context.Context, scope policy.Scope, delivery, row uint32) (query.Event, error) {
	var list []query.Event
	err := s.read(ctx, func(c *conn) error {
		return c.each(func(r *rows) { list = append(list, s.scanEvent(r)) },
			fmt.Sprintf(`SELECT %s FROM %s WHERE delivery = %d AND "row" = %d AND %s AND %s`, eventFields, eventSource(s.gen.Load()), delivery, row, s.visible(scope), s.notHidden()))
	})
	if err != nil {
		return query.Event{}, err
	}
	if len(list) == 0 {
		return query.Event{}, fmt.Errorf("event d%d/%d: %w", delivery, row, query.ErrNotFound)
	}
	return list[0], s.name3(ctx, list)
}

// name3 fills in the deliveries' names, hashes and enrichment versions.
func (s *Store) name3(ctx context.Context, list []query.Event) error {
	type info struct {
		name, sha  string
		enrichment uint32
	}
	seen := map[uint32]info{}
	var words []string
	for i := range list {
		if _, ok := seen[list[i].Delivery]; !ok {
			seen[list[i].Delivery] = info{}
			words = append(words, decimal(list[i].Delivery))
		}
	}
	if len(words) == 0 {
		return nil
	}
	err := s.read(ctx, func(c *conn) error {
		return c.each(func(r *rows) { seen[at[uint32](r, 0)] = info{r.str(1), r.str(2), at[uint32](r, 3)} },
			`SELECT seq, name, sha256, enrichment FROM delivery WHERE seq IN (`+strings.Join(words, ",")+`)`)
	})
	for i := range list {
		d := seen[list[i].Delivery]
		list[i].DeliveryName, list[i].DeliverySHA, list[i].Enrichment = d.name, d.sha, d.enrichment
	}
	return err
}

const deliveryFields = `seq, feed, format, report, name, sha256, size, arrived, "by", state, reason, received, accepted, duplicate, quarantined, outside`

func scanDelivery(r *rows) query.Delivery {
	seq := at[uint32](r, 0)
	return query.Delivery{
		ID: fmt.Sprintf("d%d", seq), Seq: seq, Feed: r.str(1), Format: r.str(2), Report: r.str(3), Name: r.str(4), SHA256: r.str(5),
		Size: at[int64](r, 6), At: time.UnixMicro(at[int64](r, 7)).UTC(), By: r.str(8), State: query.State(r.str(9)), Reason: r.str(10),
		Received: at[int64](r, 11), Accepted: at[int64](r, 12), Duplicate: at[int64](r, 13), Quarantined: at[int64](r, 14), Outside: at[int64](r, 15),
	}
}

// DeliveryFilter selects deliveries; zero fields select all.
type DeliveryFilter struct {
	Feed          string
	State         query.State
	Seq           uint32
	By            string // who brought it
	Limit, Offset int
}

// Deliveries returns deliveries that are in, were refused or withdrawn, the
// newest first, and how many there are. The caller decides who may see them.
func (s *Store) Deliveries(ctx context.Context, f DeliveryFilter) (list []query.Delivery, total int64, err error) {
	parts, args := []string{"true"}, []any{}
	if f.Feed != "" {
		parts, args = append(parts, "feed = ?"), append(args, f.Feed)
	}
	if f.State != "" {
		parts, args = append(parts, "state = ?"), append(args, string(f.State))
	}
	if f.By != "" {
		parts, args = append(parts, `"by" = ?`), append(args, f.By)
	}
	if f.Seq != 0 {
		parts = append(parts, fmt.Sprintf("seq = %d", f.Seq))
	}
	where := strings.Join(parts, " AND ")
	limit := ""
	if f.Limit > 0 {
		limit = fmt.Sprintf(" LIMIT %d OFFSET %d", f.Limit, max(0, f.Offset))
	}
	err = s.read(ctx, func(c *conn) error {
		if err := c.each(func(r *rows) { total = at[int64](r, 0) }, `SELECT count(*) FROM delivery WHERE `+where, args...); err != nil {
			return err
		}
		return c.each(func(r *rows) { list = append(list, scanDelivery(r)) }, `SELECT `+deliveryFields+` FROM delivery WHERE `+where+` ORDER BY seq DESC`+limit, args...)
	})
	return list, total, err
}

// Feeds sums the deliveries of each feed.
func (s *Store) Feeds(ctx context.Context) (list []query.Feed, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.each(func(r *rows) {
			list = append(list, query.Feed{
				Name: r.str(0), Deliveries: at[int64](r, 1), Received: at[int64](r, 2), Accepted: at[int64](r, 3), Duplicate: at[int64](r, 4),
				Quarantine: at[int64](r, 5), Last: time.UnixMicro(at[int64](r, 6)).UTC(),
			})
		}, `SELECT feed, count(*), sum(received)::BIGINT, sum(accepted)::BIGINT, sum(duplicate)::BIGINT, sum(quarantined)::BIGINT, max(arrived) FROM delivery WHERE state <> 'withdrawn' GROUP BY feed ORDER BY feed`)
	})
	return list, err
}

// QuarantineFilter selects quarantined rows; zero fields select all.
type QuarantineFilter struct {
	Feed, Reason  string
	Delivery      uint32
	Limit, Offset int
}

// Tally is how often something occurs.
type Tally struct {
	Key   string
	Count int64
}

// Quarantine returns quarantined rows, of the newest delivery first, how many
// there are, and how many of each reason. The caller decides who may see them.
func (s *Store) Quarantine(ctx context.Context, f QuarantineFilter) (list []query.Quarantined, reasons []Tally, err error) {
	parts, args := []string{"true"}, []any{}
	if f.Feed != "" {
		parts, args = append(parts, "d.feed = ?"), append(args, f.Feed)
	}
	if f.Reason != "" {
		parts, args = append(parts, "q.reason = ?"), append(args, f.Reason)
	}
	if f.Delivery != 0 {
		parts = append(parts, fmt.Sprintf("q.delivery = %d", f.Delivery))
	}
	src := ` FROM quarantine q JOIN delivery d ON d.seq = q.delivery WHERE ` + strings.Join(parts, " AND ")
	limit := ""
	if f.Limit > 0 {
		limit = fmt.Sprintf(" LIMIT %d OFFSET %d", f.Limit, max(0, f.Offset))
	}
	err = s.read(ctx, func(c *conn) error {
		if err := c.each(func(r *rows) { reasons = append(reasons, Tally{r.str(0), at[int64](r, 1)}) },
			`SELECT q.reason, count(*)`+src+` GROUP BY 1 ORDER BY 2 DESC, 1`, args...); err != nil {
			return err
		}
		return c.each(func(r *rows) {
			list = append(list, query.Quarantined{Delivery: fmt.Sprintf("d%d", at[uint32](r, 0)), Feed: r.str(1), Name: r.str(2), Row: at[uint32](r, 3), Reason: r.str(4), Detail: r.str(5), Raw: r.str(6)})
		}, `SELECT q.delivery, d.feed, d.name, q."row", q.reason, q.detail, q.raw`+src+` ORDER BY q.delivery DESC, q."row"`+limit, args...)
	})
	return list, reasons, err
}

// Totals returns how many events are in, and how many of them are outside
// tocsin's scope.
func (s *Store) Totals() (events, outside int64) { return s.marg.totals() }

// clean makes text fit for the database: UTF-8, and bounded.
func clean(t string) string {
	const most = 4096
	if len(t) > most {
		t = t[:most]
	}
	return strings.ToValidUTF8(t, "\uFFFD")
}
