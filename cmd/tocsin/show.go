package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// filter is what events and figures are narrowed by.
type filter struct {
	From         string   `help:"First day, YYYY-MM-DD, in UTC; by default the first with data."`
	To           string   `help:"Last day, YYYY-MM-DD; by default the last with data."`
	ASN          []string `help:"AS number." name:"asn"`
	Organisation []string `help:"Organisation's id."`
	Sector       []string `help:"Sector."`
	Region       []string `help:"Region."`
	Country      []string `help:"Country code; ! before it, as before any other of these, for not."`
	Family       []string `help:"Malware family, or service."`
	Type         []string `help:"classification.type."`
	Feed         []string `help:"Feed."`
	Report       []string `help:"Report type."`
}

func (f *filter) values() url.Values {
	q := url.Values{}
	set(q, "from", f.From)
	set(q, "to", f.To)
	for k, v := range map[query.Dim][]string{
		query.DimASN: f.ASN, query.DimOrganisation: f.Organisation, query.DimSector: f.Sector, query.DimRegion: f.Region, query.DimCountry: f.Country,
		query.DimFamily: f.Family, query.DimType: f.Type, query.DimFeed: f.Feed, query.DimReport: f.Report,
	} {
		for _, x := range v {
			q.Add(string(k), x)
		}
	}
	return q
}

// whole fills in the days that were left open: those that there are events of,
// at most the last longest days of them. It reports whether there is any event.
func (f *filter) whole(ctx context.Context, x *client, longest event.Day) (has bool, err error) {
	var from, to event.Day
	for _, d := range []struct {
		flag, text string
		day        *event.Day
	}{{"--from", f.From, &from}, {"--to", f.To, &to}} {
		if d.text == "" {
			continue
		}
		if *d.day, err = event.ParseDay(d.text); err != nil {
			return false, fmt.Errorf("%s %q: want YYYY-MM-DD", d.flag, d.text)
		}
	}
	var about struct {
		Status web.Status `json:"status"`
	}
	if err := x.get(ctx, "/about", url.Values{"format": {"json"}}, &about); err != nil {
		return false, err
	}
	st := about.Status
	if !st.HasData {
		return false, nil
	}
	if f.To == "" {
		to = max(st.DataTo, from)
		f.To = to.String()
	}
	if f.From == "" {
		f.From = min(max(st.DataFrom, to-longest+1), to).String()
		if st.DataFrom < to-longest+1 {
			fmt.Fprintf(os.Stderr, "The data begin on %s; a period has at most %d days, so this one begins on %s. Name others with --from and --to.\n", st.DataFrom, longest, f.From)
		}
	}
	return true, nil
}

type eventsCmd struct {
	filter
	Class    []string `help:"infection, controller, hacked-site, exposure, attempt, victim, leak, other or outside-scope."`
	Delivery string   `help:"Of this delivery alone, such as d12."`
	Text     string   `help:"An address, network, name, family or event id to look for." placeholder:"TEXT"`
	Row      uint32   `help:"With --delivery: print the one row, as it was received." placeholder:"ROW"`
	CSV      bool     `help:"Print CSV with all columns, the oldest event first." name:"csv" xor:"form"`
	Limit    *int     `help:"How many; 0 for all. By default the newest 50 for people, and all with --json or --csv." placeholder:"50"`
}

// Run prints events: a table for people, IDF JSON lines or CSV for programs.
func (c eventsCmd) Run(ctx context.Context, g *globals) error {
	for _, v := range c.Class {
		if _, ok := event.ParseClass(v); !ok {
			return fmt.Errorf("--class %q is no class; `tocsin events --help` lists them", v)
		}
	}
	limit := 0
	switch {
	case c.Limit != nil && *c.Limit < 0:
		return errors.New("--limit: want 0 or more")
	case c.Limit != nil:
		limit = *c.Limit
	case !g.JSON && !c.CSV:
		limit = 50
	}
	return with(ctx, g, func(x *client) error {
		if c.Delivery != "" {
			if err := x.get(ctx, "/api/v1/deliveries/"+url.PathEscape(c.Delivery), nil, nil); err != nil {
				return noDelivery(c.Delivery, err)
			}
		}
		if c.Row > 0 {
			return c.raw(ctx, x)
		}
		has, err := c.whole(ctx, x, 1<<20)
		if err != nil {
			return err
		}
		q := c.values()
		for _, v := range c.Class {
			q.Add("class", v)
		}
		set(q, "delivery", c.Delivery)
		set(q, "q", c.Text)
		switch {
		case g.JSON:
			q.Set("format", "idf")
			return c.lines(ctx, x, q, limit)
		case c.CSV:
			q.Set("format", "csv")
			if limit > 0 {
				limit++ // the header
			}
			return c.lines(ctx, x, q, limit)
		case !has:
			return nothing()
		default:
			return c.table(ctx, x, q, limit)
		}
	})
}

// nothing tells a newcomer where events come from.
func nothing() error {
	_, err := fmt.Println("There are no events yet: `tocsin import --feed FEED FILE` takes a report in.")
	return err
}

// raw prints one row of a delivery, and ends its line.
func (c eventsCmd) raw(ctx context.Context, x *client) error {
	if c.Delivery == "" {
		return errors.New("--row is a row of a delivery: name it with --delivery")
	}
	rc, err := x.open(ctx, http.MethodGet, fmt.Sprintf("/events/%s/%d", url.PathEscape(c.Delivery), c.Row), url.Values{"format": {"raw"}}, nil)
	if errors.Is(err, errNotFound) {
		return fmt.Errorf("row %d of %s is no event: `tocsin quarantine --delivery %s` shows rows that could not become one; a duplicate stands where it was first seen", c.Row, c.Delivery, c.Delivery)
	}
	if err != nil {
		return err
	}
	defer rc.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(rc)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(bytes.TrimRight(b, "\r\n"), '\n'))
	return err
}

// lines prints an answer, or the first records of it.
func (c eventsCmd) lines(ctx context.Context, x *client, q url.Values, limit int) error {
	if limit <= 0 {
		return x.copyTo(ctx, os.Stdout, "/events", q)
	}
	rc, err := x.open(ctx, http.MethodGet, "/events", q, nil)
	if err != nil {
		return err
	}
	defer rc.Close() //nolint:errcheck // read only
	in, out := bufio.NewReader(rc), bufio.NewWriter(os.Stdout)
	for quoted := false; limit > 0; {
		line, err := in.ReadSlice('\n')
		if _, werr := out.Write(line); werr != nil {
			return werr
		}
		// A cell of a CSV may hold line ends.
		quoted = quoted != (c.CSV && bytes.Count(line, []byte{'"'})%2 == 1)
		switch {
		case errors.Is(err, io.EOF):
			return out.Flush()
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return err
		case !quoted:
			limit--
		}
	}
	return out.Flush()
}

// table prints the newest events for people.
func (c eventsCmd) table(ctx context.Context, x *client, q url.Values, limit int) error {
	type page struct {
		Total  int64 `json:"total"`
		Events []struct {
			Event map[string]any `json:"event"`
			Note  struct {
				Class        string `json:"class"`
				Delivery     string `json:"delivery"`
				Row          uint32 `json:"row"`
				Side         string `json:"subject_side"`
				ASN          uint32 `json:"asn"`
				Country      string `json:"country"`
				Organisation string `json:"organisation"`
			} `json:"note"`
		} `json:"events"`
	}
	q.Set("format", "json")
	rows := [][]string{{"DELIVERY", "ROW", "TIME (UTC)", "CLASS", "TYPE", "FAMILY OR SERVICE", "WHO", "AS", "COUNTRY", "ORGANISATION", "FEED"}}
	total, err := pages(ctx, x, "/events", q, limit, func(p page) (int, int64) {
		for _, e := range p.Events {
			text := func(keys ...string) string {
				for _, k := range keys {
					if v, ok := e.Event[k]; ok {
						return fmt.Sprint(v)
					}
				}
				return ""
			}
			n, who := e.Note, e.Note.Side+"."
			asn := ""
			if n.ASN != 0 {
				asn = strconv.FormatUint(uint64(n.ASN), 10)
			}
			at, _, _ := strings.Cut(text("time.source", "time.observation"), "+")
			rows = append(rows, []string{
				n.Delivery, strconv.FormatUint(uint64(n.Row), 10), strings.Replace(at, "T", " ", 1), n.Class, text("classification.type"),
				text("malware.name", "classification.identifier"),
				text(who+"url", who+"ip", who+"fqdn", who+"account", who+"network", event.KeyOrganisation), asn, n.Country, n.Organisation, text("feed.name"),
			})
		}
		return len(p.Events), p.Total
	})
	if err != nil {
		return err
	}
	if limit > 0 {
		rows = rows[:min(len(rows), limit+1)]
	}
	if err := table(rows...); err != nil {
		return err
	}
	_, err = fmt.Printf("%d of %d events, the newest first. --limit 0 shows all, --csv and --json every field.\n", len(rows)-1, total)
	return err
}

type episodesCmd struct {
	filter
	Class   []string `help:"infection, controller, hacked-site or exposure."`
	State   string   `help:"open, closed or censored."`
	Counted *bool    `help:"Those whose beginning counts as new, or with --no-counted the others." negatable:""`
	Started bool     `help:"Those that began in the period, instead of all that were seen in it."`
	Revised bool     `help:"Those that sightings which came late have changed."`
	Text    string   `help:"An address, network, site or family to look for." placeholder:"TEXT"`
	Limit   int      `help:"How many; 0 for all." default:"50"`
}

// patience is how long a command waits for episodes of what has just come in.
const patience = 10 * time.Second

// madeOf waits until the episodes hold all that is loaded, or for a while.
func madeOf(ctx context.Context, x *client, q url.Values) error {
	one := url.Values{"format": {"json"}, "limit": {"1"}, "from": q["from"], "to": q["to"]}
	for end := time.Now().Add(patience); ; {
		var p struct {
			AsOf query.EpisodesAsOf `json:"as_of"`
		}
		if err := x.get(ctx, "/episodes", one, &p); err != nil {
			return err
		}
		if !p.AsOf.Whole && p.AsOf.Pending == 0 || time.Now().After(end) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Run prints episodes: a table for people, a JSON object a line for programs.
func (c episodesCmd) Run(ctx context.Context, g *globals) error {
	if c.Limit < 0 {
		return errors.New("--limit: want 0 or more")
	}
	return with(ctx, g, func(x *client) error {
		has, err := c.whole(ctx, x, 1<<20)
		if err != nil {
			return err
		}
		if !has {
			if g.JSON {
				return nil
			}
			return nothing()
		}
		q := c.values()
		for _, v := range c.Class {
			q.Add("class", v)
		}
		set(q, "state", c.State)
		set(q, "q", c.Text)
		if c.Started {
			q.Set("started", "1")
		}
		if c.Revised {
			q.Set("revised", "1")
		}
		if c.Counted != nil {
			q.Set("incident", map[bool]string{true: "1", false: "0"}[*c.Counted])
		}
		q.Set("format", "json")
		if err := madeOf(ctx, x, q); err != nil {
			return err
		}
		type page struct {
			Total    int64              `json:"total"`
			AsOf     query.EpisodesAsOf `json:"as_of"`
			Episodes []json.RawMessage  `json:"episodes"`
		}
		rows := [][]string{{"CLASS", "FAMILY OR SERVICE", "ASSET", "STATE", "FIRST SEEN", "LAST SEEN", "DAYS SEEN", "FEEDS", "AS", "ORGANISATION"}}
		var bad error
		var as query.EpisodesAsOf
		left := c.Limit
		total, err := pages(ctx, x, "/episodes", q, c.Limit, func(p page) (int, int64) {
			as = p.AsOf
			for _, raw := range p.Episodes {
				if left--; c.Limit > 0 && left < 0 {
					break
				}
				if g.JSON {
					fmt.Printf("%s\n", raw)
					continue
				}
				var e query.Episode
				if err := json.Unmarshal(raw, &e); err != nil {
					bad = err
				}
				feeds := make([]string, 0, len(e.Witnesses))
				for _, w := range e.Witnesses {
					feeds = append(feeds, w.Feed)
				}
				asn := ""
				if e.ASN != 0 {
					asn = strconv.FormatUint(uint64(e.ASN), 10)
				}
				what := e.Family
				if what == "" {
					what = e.TypeName
				}
				rows = append(rows, []string{e.Class.String(), what, e.AssetName, string(e.State), e.First.String(), e.Last.String(), strconv.Itoa(e.Days), strings.Join(feeds, " "), asn, e.Org})
			}
			return len(p.Episodes), p.Total
		})
		if err = errors.Join(err, bad); err != nil {
			return err
		}
		if as.Whole || as.Pending > 0 {
			fmt.Fprintln(os.Stderr, "Some sightings are not in the episodes yet; ask again in a moment.")
		}
		if g.JSON {
			return nil
		}
		if err := table(rows...); err != nil {
			return err
		}
		_, err = fmt.Printf("%d of %d episodes, those seen last first. --limit 0 shows all, --json every field.\n", len(rows)-1, total)
		return err
	})
}

type figuresCmd struct {
	filter
	By         string `help:"Break each figure down by asn, organisation, sector, region, country, family, type, feed or report."`
	Enrichment uint32 `help:"As the figures stood under this version of the reference data, before a later tocsin reenrich." placeholder:"N"`
	At         int    `help:"Print the document of this revision as it was published, byte for byte; tocsin published lists them." placeholder:"REV"`
}

// Run prints the figures of a period.
func (c figuresCmd) Run(ctx context.Context, g *globals) error {
	if c.At != 0 {
		return printRevision(ctx, g, c.At)
	}
	return with(ctx, g, func(x *client) error {
		has, err := c.whole(ctx, x, figure.MaxDays)
		if err != nil {
			return err
		}
		q := c.values()
		set(q, "by", c.By)
		if c.Enrichment != 0 {
			q.Set("enrichment", strconv.FormatUint(uint64(c.Enrichment), 10))
		}
		q.Set("format", "json")
		if g.JSON {
			return x.copyTo(ctx, os.Stdout, "/figures", q)
		}
		var doc struct {
			Period  query.Period    `json:"period"`
			Figures []printedFigure `json:"figures"`
		}
		if err := x.get(ctx, "/figures", q, &doc); err != nil {
			return err
		}
		if !has {
			return nothing()
		}
		fmt.Printf("%s to %s, days in UTC\n", doc.Period.From, doc.Period.To)
		rows := [][]string{{"FIGURE", "VALUE", "UNIT", "WHAT", "BESIDE IT"}}
		for _, f := range doc.Figures {
			value, beside := string(f.Value), num(f.Cumulative)+" "+f.Label
			if f.NoData {
				value, beside = "no data", f.Reason
			}
			rows = append(rows, []string{f.Title, value, f.Unit, f.Headline.String(), beside})
		}
		if err := table(rows...); err != nil {
			return err
		}
		for _, f := range doc.Figures {
			if err := f.rows(); err != nil {
				return err
			}
		}
		return nil
	})
}

// printedFigure is what people are shown of a figure.
type printedFigure struct {
	Title      string          `json:"title"`
	Unit       string          `json:"unit"`
	Headline   figure.Headline `json:"headline"`
	NoData     bool            `json:"no_data"`
	Reason     string          `json:"reason"`
	Value      json.RawMessage `json:"value"`
	Cumulative int64           `json:"cumulative_distinct"`
	Label      string          `json:"cumulative_label"`
	Breakdown  *struct {
		By      query.Dim            `json:"by"`
		Kind    figure.BreakdownKind `json:"kind"`
		Overlap json.RawMessage      `json:"overlap"`
		Rows    []struct {
			Key        string          `json:"key"`
			Value      json.RawMessage `json:"value"`
			Cumulative int64           `json:"cumulative_distinct"`
			Events     int64           `json:"events"`
		} `json:"rows"`
	} `json:"breakdown"`
}

// rows prints the breakdown, if there is one.
func (f *printedFigure) rows() error {
	b := f.Breakdown
	if b == nil || len(b.Rows) == 0 {
		return nil
	}
	note := "the rows sum to the value"
	if b.Kind == figure.Overlapping {
		note = "the rows overlap by " + string(b.Overlap)
	}
	fmt.Printf("\n%s by %s; %s\n", f.Title, b.By, note)
	rows := [][]string{{strings.ToUpper(string(b.By)), "VALUE", "DISTINCT", "EVENTS"}}
	for _, r := range b.Rows {
		if r.Key == "" {
			r.Key = "(unknown)"
		}
		rows = append(rows, []string{r.Key, string(r.Value), num(r.Cumulative), num(r.Events)})
	}
	return table(rows...)
}
