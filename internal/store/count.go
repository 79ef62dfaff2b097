package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// Plan says how a count is answered.
type Plan string

// The plans, from the fastest. Raw is also the reference that the others are
// tested against.
const (
	PlanMarginals Plan = "from marginals"
	PlanSightings Plan = "from sightings"
	PlanRaw       Plan = "from rows"
)

// dimColumn is where a dimension stands: the same column in both tables, but
// for family, which table event splits in family and identifier.
type dimColumn struct {
	sighting, event string
	words           bool // the column holds numbers of words
	perAsset        bool // follows from the asset and the day alone
}

// familyColumn is a sighting's family, from table event.
const familyColumn = `CASE WHEN family = 0 THEN identifier ELSE family END`

var dimColumns = map[query.Dim]dimColumn{
	query.DimASN:          {"asn", "asn", false, true},
	query.DimOrganisation: {"org", "org", true, true},
	query.DimSector:       {"sector", "sector", true, true},
	query.DimRegion:       {"region", "region", true, true},
	query.DimCountry:      {"cc", "cc", true, true},
	query.DimFamily:       {"family", familyColumn, true, false},
	query.DimType:         {"type", "type", false, false},
	query.DimFeed:         {"feed", "feed", true, false},
	query.DimReport:       {"", "report", true, false},
}

// decimal writes a number into SQL.
func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// value gives the number that a dimension's value is stored as.
func (s *Store) value(d query.Dim, v string) (uint32, bool) {
	switch {
	case dimColumns[d].words:
		return s.terms.find(v)
	case d == query.DimType:
		t, ok := event.ParseType(v)
		return uint32(t), ok
	case v == "":
		return 0, true
	default:
		n, err := strconv.ParseUint(v, 10, 32)
		return uint32(n), err == nil
	}
}

// name is the inverse of value.
func (s *Store) name(d query.Dim, n uint32) string {
	switch {
	case dimColumns[d].words:
		return s.terms.word(n)
	case d == query.DimType:
		if int(n) < len(event.Types) {
			return event.Type(n).String()
		}
		return ""
	case n == 0:
		return ""
	default:
		return strconv.FormatUint(uint64(n), 10)
	}
}

// where turns conditions into SQL. A value that no row can have makes the
// condition on it false.
func (s *Store) where(conds []query.Cond, col func(dimColumn) string) string {
	var parts []string
	for _, d := range query.Dims {
		var in, out []string
		any := false
		for _, c := range conds {
			if c.Dim != d {
				continue
			}
			n, ok := s.value(d, c.Value)
			switch {
			case c.Not && ok:
				out = append(out, decimal(n))
			case !c.Not:
				any = true
				if ok {
					in = append(in, decimal(n))
				}
			}
		}
		name := col(dimColumns[d])
		if any && len(in) == 0 {
			return "false"
		}
		if any {
			parts = append(parts, name+" IN ("+strings.Join(in, ",")+")")
		}
		if len(out) > 0 {
			parts = append(parts, name+" NOT IN ("+strings.Join(out, ",")+")")
		}
	}
	if len(parts) == 0 {
		return "true"
	}
	return strings.Join(parts, " AND ")
}

// visible is the condition on what the scope may see. For a scope that sees
// all it is true.
func (s *Store) visible(scope policy.Scope) string {
	if scope.All() {
		return "true"
	}
	if scope.Everyone() {
		return fmt.Sprintf("marking <= %d", scope.MaxMarking())
	}
	var in []string
	for _, o := range scope.Organisations() {
		if n, ok := s.terms.find(o); ok && n != 0 {
			in = append(in, decimal(n))
		}
	}
	if len(in) == 0 {
		return "false"
	}
	return fmt.Sprintf("org IN (%s) AND marking <= %d", strings.Join(in, ","), scope.MaxMarking())
}

func sightingColumn(d dimColumn) string { return d.sighting }
func eventColumn(d dimColumn) string    { return d.event }

// plan chooses how to answer.
func (s *Store) plan(scope policy.Scope, q query.Count, by query.Dim) Plan {
	conds := q.Where
	uses := func(d query.Dim) bool {
		return by == d || slices.ContainsFunc(conds, func(c query.Cond) bool { return c.Dim == d })
	}
	switch {
	case uses(query.DimReport):
		return PlanRaw
	case scope.All() && by == query.DimNone && q.Enrichment == 0 && s.marg.keeps(q):
		return PlanMarginals
	default:
		return PlanSightings
	}
}

// Count implements figure.Counts.
func (s *Store) Count(ctx context.Context, scope policy.Scope, q query.Count) (query.Value, error) {
	p := s.plan(scope, q, query.DimNone)
	if p == PlanMarginals {
		if v, ok := s.marg.value(q); ok {
			return v, nil
		}
		p = PlanSightings // it has ceased to be a standing question
	}
	return s.count(ctx, scope, q, p)
}

// CountBy is Count by a given plan; the plans give the same numbers. From
// marginals only a question that is kept can be answered, and for a scope that
// sees all.
func (s *Store) CountBy(ctx context.Context, scope policy.Scope, q query.Count, p Plan) (query.Value, error) {
	return s.count(ctx, scope, q, p)
}

func (s *Store) count(ctx context.Context, scope policy.Scope, q query.Count, p Plan) (query.Value, error) {
	if p == PlanMarginals {
		v, ok := s.marg.value(q)
		if !ok || !scope.All() {
			return v, fmt.Errorf("the marginals do not have %+v", q)
		}
		return v, nil
	}
	groups, err := s.groups(ctx, scope, q, query.DimNone, p)
	if err != nil || len(groups) == 0 {
		return query.Value{Daily: make([]int64, q.Period.Days()), DailyEvents: make([]int64, q.Period.Days())}, err
	}
	return groups[0].Value, nil
}

// Breakdown implements figure.Counts.
func (s *Store) Breakdown(ctx context.Context, scope policy.Scope, q query.Count, by query.Dim) ([]query.Group, error) {
	return s.groups(ctx, scope, q, by, s.plan(scope, q, by))
}

// BreakdownBy is Breakdown by a given plan, which is not PlanMarginals.
func (s *Store) BreakdownBy(ctx context.Context, scope policy.Scope, q query.Count, by query.Dim, p Plan) ([]query.Group, error) {
	return s.groups(ctx, scope, q, by, p)
}

var errStrangeDay = errors.New("the database answered with a day outside the period: ask again; if it goes on, run tocsin verify")

// countGroups counts from the tables.
func (s *Store) countGroups(ctx context.Context, scope policy.Scope, q query.Count, by query.Dim, p Plan) ([]query.Group, error) {
	if by != query.DimNone {
		if _, ok := dimColumns[by]; !ok {
			return nil, fmt.Errorf("no dimension %q", by)
		}
	}
	gen, upto, err := s.generation(ctx, q.Enrichment)
	if err != nil {
		return nil, err
	}
	loaded := s.notHidden()
	if upto > 0 {
		loaded += fmt.Sprintf(" AND delivery <= %d", upto)
	}
	from, _ := dayBounds(q.Period.From)
	_, to := dayBounds(q.Period.To)
	evWhere := fmt.Sprintf(`FROM %s WHERE class = %d AND time >= TIMESTAMP '%s' AND time < TIMESTAMP '%s' AND %s AND %s AND %s`,
		eventSource(gen), q.Class, from, to, s.where(q.Where, eventColumn), s.visible(scope), loaded)
	group := func(col func(dimColumn) string) string {
		if by == query.DimNone {
			return "0"
		}
		return col(dimColumns[by])
	}
	daily, distinct := "", ""
	if p == PlanRaw {
		evAssets := evWhere + " AND asset_kind <> 0 AND asset <> 0"
		daily = fmt.Sprintf(`SELECT (%s)::UINTEGER AS g, %s AS d, count(DISTINCT asset) %s GROUP BY ALL`, group(eventColumn), dayOfTime, evAssets)
		distinct = fmt.Sprintf(`SELECT (%s)::UINTEGER AS g, count(DISTINCT asset) %s GROUP BY ALL`, group(eventColumn), evAssets)
	} else {
		siWhere := fmt.Sprintf(`FROM sighting WHERE gen = %d AND class = %d AND day BETWEEN %d AND %d AND %s AND %s`,
			gen, q.Class, q.Period.From, q.Period.To, s.where(q.Where, sightingColumn), s.visible(scope))
		daily = fmt.Sprintf(`SELECT (%s)::UINTEGER AS g, day, %s %s GROUP BY ALL`, group(sightingColumn), s.dailyCount(scope, q, by), siWhere)
		distinct = fmt.Sprintf(`SELECT (%s)::UINTEGER AS g, count(DISTINCT asset) %s GROUP BY ALL`, group(sightingColumn), siWhere)
	}
	events := fmt.Sprintf(`SELECT (%s)::UINTEGER AS g, %s AS d, count(*) %s GROUP BY ALL`, group(eventColumn), dayOfTime, evWhere)

	var out []query.Group
	index := map[uint32]int{}
	at3 := func(g uint32) *query.Value {
		i, ok := index[g]
		if !ok {
			i = len(out)
			index[g] = i
			key := ""
			if by != query.DimNone {
				key = s.name(by, g)
			}
			n := q.Period.Days()
			days := make([]int64, 2*n)
			out = append(out, query.Group{Key: key, Value: query.Value{Daily: days[:n:n], DailyEvents: days[n:]}})
		}
		return &out[i].Value
	}
	strange := false // a day that was not asked for: an error, and not a number
	place := func(r *rows) int {
		i := int(event.Day(at[int32](r, 1)) - q.Period.From)
		if i < 0 || i >= q.Period.Days() {
			strange = true
			return 0
		}
		return i
	}
	err = s.read(ctx, func(c *conn) error {
		if err := c.each(func(r *rows) {
			at3(at[uint32](r, 0)).Daily[place(r)] = at[int64](r, 2)
		}, daily); err != nil {
			return err
		}
		if err := c.each(func(r *rows) { at3(at[uint32](r, 0)).Distinct = at[int64](r, 1) }, distinct); err != nil {
			return err
		}
		return c.each(func(r *rows) {
			v, n := at3(at[uint32](r, 0)), at[int64](r, 2)
			v.DailyEvents[place(r)] = n
			v.Events += n
		}, events)
	})
	if err == nil && strange {
		return nil, errStrangeDay
	}
	return out, err
}

// dailyCount is the SQL that counts the distinct assets of a group of
// sightings of one day. Where the conditions allow it, rows with the right
// flag are counted. Named assets (sites, accounts, organisations) can have
// several networks on a day and are always counted distinct.
func (s *Store) dailyCount(scope policy.Scope, q query.Count, by query.Dim) string {
	conds := q.Where
	const exact = "count(DISTINCT asset)"
	if !scope.All() || s.mixed.Load() || q.Enrichment != 0 { // a row that does not count here may carry the flag
		return exact
	}
	flag := firstOfClass
	dims := []query.Dim{by}
	for _, c := range conds {
		dims = append(dims, c.Dim)
	}
	for _, d := range dims {
		switch {
		case d == query.DimNone || dimColumns[d].perAsset:
		case d == query.DimFamily && (flag == firstOfClass || flag == firstOfFamily):
			flag = firstOfFamily
		case d == query.DimFeed && (flag == firstOfClass || flag == firstOfFeed):
			flag = firstOfFeed
		default:
			return exact
		}
	}
	if n := len(conds); flag != firstOfClass && alternatives(conds, query.DimFamily, query.DimFeed) && n > 0 {
		return exact
	}
	if !s.named[q.Class].Load() { // DuckDB pays for the other count also where there is nothing in it: ten times as much
		return fmt.Sprintf("count(*) FILTER (flags & %d <> 0)", flag)
	}
	return fmt.Sprintf("count(*) FILTER (flags & %d <> 0 AND kind IN (%d, %d)) + count(DISTINCT asset) FILTER (kind NOT IN (%d, %d))",
		flag, event.AssetAddress, event.AssetService, event.AssetAddress, event.AssetService)
}

// alternatives reports whether the conditions let more than one value of one
// of the dimensions through, so that an asset may be in a group twice.
func alternatives(conds []query.Cond, dims ...query.Dim) bool {
	for _, d := range dims {
		n := 0
		for _, c := range conds {
			if c.Dim != d {
				continue
			}
			if n++; c.Not || n > 1 {
				return true
			}
		}
	}
	return false
}
