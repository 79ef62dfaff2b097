package web

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/query"
)

// Bounds of a query string. A page that is asked for more is a mistake or an
// attack; both are told so.
const (
	maxQuery  = 8 << 10 // bytes
	maxConds  = 50
	maxValue  = 512   // bytes of one value
	maxPage   = 10000 // pages of a list
	maxLimit  = 1000  // rows of a page
	pageLimit = 100   // rows of a page if nothing is said
)

// unknown stands for the empty value of a dimension: in an address an empty
// value is a field of a form that was left empty.
const unknown = "(unknown)"

// parseQuery reads a query string whose parameters must be among known.
func parseQuery(raw string, known ...string) (url.Values, error) {
	if len(raw) > maxQuery {
		return nil, fmt.Errorf("%w: the address is too long: at most %d bytes of parameters", ErrBadRequest, maxQuery)
	}
	v, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: the address cannot be read: %w", ErrBadRequest, err)
	}
	known = append(known, "format")
	for k, list := range v {
		if !slices.Contains(known, k) {
			slices.Sort(known)
			return nil, fmt.Errorf("%w: unknown parameter %q; this page knows %s", ErrBadRequest, k, strings.Join(known, ", "))
		}
		if len(list) > maxConds {
			return nil, fmt.Errorf("%w: parameter %q stands there %d times, at most %d", ErrBadRequest, k, len(list), maxConds)
		}
		for _, s := range list {
			if len(s) > maxValue || !utf8.ValidString(s) {
				return nil, fmt.Errorf("%w: parameter %q: want UTF-8 of at most %d bytes", ErrBadRequest, k, maxValue)
			}
		}
	}
	return v, nil
}

// dimParams are the parameters that are dimensions.
func dimParams(more ...string) []string {
	for _, d := range query.Dims {
		more = append(more, string(d))
	}
	return more
}

// condsOf reads the conditions: asn=64500, country=!XS for a negated one,
// region=(unknown) for the empty value. A backslash in front takes a value as
// it stands.
func condsOf(v url.Values) ([]query.Cond, error) {
	var cs []query.Cond
	for _, d := range query.Dims {
		for _, s := range v[string(d)] {
			if s == "" {
				continue
			}
			c := query.Cond{Dim: d}
			if s, c.Not = strings.CutPrefix(s, "!"); s == "" {
				return nil, fmt.Errorf("%w: %s=! says not, but not what", ErrBadRequest, d)
			}
			switch {
			case s == unknown:
			case strings.HasPrefix(s, `\`):
				c.Value = s[1:]
			default:
				c.Value = s
			}
			switch {
			case d == query.DimASN && c.Value != "":
				digits := c.Value
				if len(digits) > 2 && strings.EqualFold(digits[:2], "AS") {
					digits = digits[2:]
				}
				n, err := strconv.ParseUint(digits, 10, 32)
				if err != nil {
					return nil, fmt.Errorf("%w: asn=%s: want an AS number such as 64500", ErrBadRequest, s)
				}
				c.Value = strconv.FormatUint(n, 10)
			case d == query.DimCountry:
				c.Value = strings.ToUpper(c.Value)
			}
			if !slices.Contains(cs, c) {
				cs = append(cs, c)
			}
		}
	}
	if len(cs) > maxConds {
		return nil, fmt.Errorf("%w: %d conditions, at most %d", ErrBadRequest, len(cs), maxConds)
	}
	return cs, nil
}

// condValue is how [condsOf] reads a condition.
func condValue(c query.Cond) string {
	s := c.Value
	switch {
	case s == "":
		s = unknown
	case s == unknown || strings.HasPrefix(s, "!") || strings.HasPrefix(s, `\`):
		s = `\` + s
	}
	if c.Not {
		s = "!" + s
	}
	return s
}

// addConds writes conditions into a query string.
func addConds(v url.Values, cs []query.Cond) {
	for _, c := range cs {
		v.Add(string(c.Dim), condValue(c))
	}
}

// lastDay is the last day with data; today while there is none.
func lastDay(st Status) event.Day {
	if st.HasData {
		return st.DataTo
	}
	return event.DayFrom(st.Now)
}

// month returns the first and the last day of the month that is n months after
// that of d.
func month(d event.Day, n int) query.Period {
	t := d.Time()
	first := func(n int) event.Day {
		return event.DayFrom(time.Date(t.Year(), t.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC))
	}
	return query.Period{From: first(n), To: first(n+1) - 1}
}

// fullMonth is the last month that data covers from its first to its last day;
// while there is none, the last days with data, thirty at most.
func fullMonth(st Status) query.Period {
	last := lastDay(st)
	m := month(last, 0)
	if m.To > last {
		m = month(last, -1)
	}
	if st.HasData && st.DataFrom <= m.From {
		return m
	}
	p := query.Period{From: last - 29, To: last}
	if st.HasData {
		p.From = max(p.From, st.DataFrom)
	}
	return p
}

// periodOf reads from and to; the period without them is the caller's.
func periodOf(v url.Values, st Status, def query.Period) (query.Period, error) {
	var p query.Period
	var err error
	from, to := v.Get("from"), v.Get("to")
	if to != "" {
		if p.To, err = event.ParseDay(to); err != nil {
			return p, fmt.Errorf("%w: to: %w", ErrBadRequest, err)
		}
	}
	if from != "" {
		if p.From, err = event.ParseDay(from); err != nil {
			return p, fmt.Errorf("%w: from: %w", ErrBadRequest, err)
		}
	}
	switch {
	case from == "" && to == "":
		p = def
	case from == "":
		p.From = p.To - 29
	case to == "":
		p.To = max(lastDay(st), p.From)
	}
	if p.From > p.To {
		return p, fmt.Errorf("%w: period %s to %s: the first day must not be after the last", ErrBadRequest, p.From, p.To)
	}
	return p, nil
}

// always is every day that an event may have.
var always = query.Period{From: event.DayOf(event.MinTime), To: event.DayOf(event.MaxTime - 1)}

// figureParams reads what a figure's page takes.
func figureParams(v url.Values, st Status) (figure.Params, error) {
	p := figure.Params{Home: st.Home}
	var err error
	if p.Period, err = periodOf(v, st, fullMonth(st)); err != nil {
		return p, err
	}
	if err := p.Validate(); err != nil { // a list of events may be of any period
		return p, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	if p.Where, err = condsOf(v); err != nil {
		return p, err
	}
	if s := v.Get("by"); s != "" {
		by, ok := query.ParseDim(s)
		if !ok {
			return p, fmt.Errorf("%w: by=%s: want one of %v", ErrBadRequest, s, query.Dims)
		}
		p.By = by
	}
	if s := v.Get("enrichment"); s != "" {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || n == 0 {
			return p, fmt.Errorf("%w: enrichment=%s: want the number of a version of the reference data", ErrBadRequest, s)
		}
		p.Enrichment = uint32(n)
	}
	return p, nil
}

// eventsParams reads what the list of events takes.
func eventsParams(v url.Values, st Status) (query.Events, int, error) {
	var q query.Events
	var err error
	if s := v.Get("delivery"); s != "" {
		if q.Delivery, err = parseDelivery(s); err != nil {
			return q, 0, err
		}
	}
	if s := v.Get("asset"); s != "" {
		if q.Asset, err = event.ParseID(s); err != nil {
			return q, 0, fmt.Errorf("%w: asset: want 32 hexadecimal digits", ErrBadRequest)
		}
	}
	if (q.Delivery != 0 || q.Asset != event.ID{}) && v.Get("from") == "" && v.Get("to") == "" {
		q.Period = always
	} else if q.Period, err = eventsPeriod(v, st); err != nil {
		return q, 0, err
	}
	for _, s := range v["class"] {
		if s == "" {
			continue
		}
		c, ok := event.ParseClass(s)
		if !ok {
			return q, 0, fmt.Errorf("%w: class=%s is no class", ErrBadRequest, s)
		}
		if !slices.Contains(q.Classes, c) {
			q.Classes = append(q.Classes, c)
		}
	}
	slices.Sort(q.Classes)
	if q.Where, err = condsOf(v); err != nil {
		return q, 0, err
	}
	q.Text = strings.TrimSpace(v.Get("q"))
	page, err := pageOf(v, &q.Limit, &q.Offset)
	return q, page, err
}

// eventsPeriod is [periodOf] with the last thirty days, so that the newest are
// among them; a list may also ask for all days.
func eventsPeriod(v url.Values, st Status) (query.Period, error) {
	if v.Get("from") == always.From.String() && v.Get("to") == always.To.String() {
		return always, nil
	}
	return periodOf(v, st, query.Period{From: lastDay(st) - 29, To: lastDay(st)})
}

// pageOf reads page and limit into a limit and an offset.
func pageOf(v url.Values, limit, offset *int) (page int, err error) {
	page, *limit = 1, pageLimit
	if s := v.Get("page"); s != "" {
		if page, err = strconv.Atoi(s); err != nil || page < 1 || page > maxPage {
			return 0, fmt.Errorf("%w: page: want 1 to %d", ErrBadRequest, maxPage)
		}
	}
	if s := v.Get("limit"); s != "" {
		if *limit, err = strconv.Atoi(s); err != nil || *limit < 1 || *limit > maxLimit {
			return 0, fmt.Errorf("%w: limit: want 1 to %d", ErrBadRequest, maxLimit)
		}
	}
	*offset = (page - 1) * *limit
	return page, nil
}

// deliveryID is the inverse of [parseDelivery].
func deliveryID(n uint32) string { return "d" + strconv.FormatUint(uint64(n), 10) }

// parseDelivery reads "d12". Its only spelling is the one that is written.
func parseDelivery(s string) (uint32, error) {
	digits, ok := strings.CutPrefix(s, "d")
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n == 0 || deliveryID(uint32(n)) != s {
		return 0, fmt.Errorf("%w: delivery %q: want d and a number, such as d12", ErrBadRequest, s)
	}
	return uint32(n), nil
}
