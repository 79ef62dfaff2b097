package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/archive"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// with connects to a data directory that is there, and runs f.
func with(ctx context.Context, g *globals, f func(*client) error) error {
	if err := g.exists(); err != nil {
		return err
	}
	return change(ctx, g, f)
}

// change connects and runs f; it makes the data directory if there is none.
func change(ctx context.Context, g *globals, f func(*client) error) error {
	c, err := connect(ctx, g)
	if err != nil {
		return err
	}
	defer c.close()
	return f(c)
}

// table prints rows of cells in columns; cells may hold anything.
func table(rows ...[]string) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	for _, r := range rows {
		for i := range r {
			r[i] = plain(r[i])
		}
		if _, err := fmt.Fprintln(w, strings.Join(r, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

func num(n int64) string { return strconv.FormatInt(n, 10) }

type importCmd struct {
	Feed   string   `help:"The feed; it is made if it is not known, marked AMBER." required:""`
	Format string   `help:"The format; by default the feed's own, or what the file's name tells." placeholder:"shadowserver"`
	Files  []string `arg:"" help:"Report files; a folder stands for the files in it, not in folders below." type:"existing"`
}

// imported is one delivery as scripts get it.
type imported struct {
	ID          string `json:"id"`
	SHA256      string `json:"sha256"`
	Received    int64  `json:"received"`
	Accepted    int64  `json:"accepted"`
	Duplicate   int64  `json:"duplicate"`
	Quarantined int64  `json:"quarantined"`

	Name   string      `json:"name"`
	State  query.State `json:"state"`
	Reason string      `json:"reason,omitzero"`
}

// Run takes files in, one delivery each.
func (c importCmd) Run(ctx context.Context, g *globals) error {
	files, err := expand(c.Files)
	if err != nil {
		return err
	}
	return change(ctx, g, func(x *client) error {
		out := struct {
			Deliveries []imported `json:"deliveries"`
		}{[]imported{}}
		var failed []error
		p := newProgress(g, "import")
		p.unit = "bytes"
		in := &counted{p: p}
		for _, f := range files {
			if st, err := os.Stat(f); err == nil {
				in.total += st.Size()
			}
		}
		for _, f := range files {
			d, err := c.one(ctx, x, f, in)
			if err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", f, err))
				if ctx.Err() != nil {
					break
				}
				continue
			}
			if d.State == query.StateRefused {
				failed = append(failed, fmt.Errorf("%s: kept as %s and not loaded: %s", f, d.ID, d.Reason))
			}
			out.Deliveries = append(out.Deliveries, imported{d.ID, d.SHA256, d.Received, d.Accepted, d.Duplicate, d.Quarantined, d.Name, d.State, d.Reason})
		}
		p.end()
		if g.JSON {
			return errors.Join(append(failed, printJSON(out))...)
		}
		if len(out.Deliveries) == 0 {
			return errors.Join(failed...)
		}
		rows := [][]string{{"DELIVERY", "FILE", "STATE", "RECEIVED", "ACCEPTED", "DUPLICATE", "QUARANTINED"}}
		var sum imported
		for _, d := range out.Deliveries {
			rows = append(rows, []string{d.ID, d.Name, string(d.State), num(d.Received), num(d.Accepted), num(d.Duplicate), num(d.Quarantined)})
			sum.Received, sum.Accepted = sum.Received+d.Received, sum.Accepted+d.Accepted
			sum.Duplicate, sum.Quarantined = sum.Duplicate+d.Duplicate, sum.Quarantined+d.Quarantined
		}
		if n := len(out.Deliveries); n > 1 {
			rows = append(rows, []string{"total", strconv.Itoa(n) + " files", "", num(sum.Received), num(sum.Accepted), num(sum.Duplicate), num(sum.Quarantined)})
		}
		err = table(rows...)
		if err == nil && sum.Quarantined > 0 {
			_, err = fmt.Println("`tocsin quarantine` shows what was put aside, and why.")
		}
		return errors.Join(append(failed, err)...)
	})
}

// counted shows how much of all files has been read.
type counted struct {
	io.Reader
	p           *progress
	done, total int64
}

// Read implements [io.Reader].
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.done += int64(n)
	if err != nil {
		c.p.note(fmt.Sprintf("%d of %d bytes are read; loading ...", c.done, c.total))
		return n, err
	}
	c.p.show(c.done, c.total)
	return n, nil
}

func (c importCmd) one(ctx context.Context, x *client, file string, in *counted) (d query.Delivery, err error) {
	f, err := os.Open(file) //nolint:gosec // the operator's own path
	if err != nil {
		return d, err
	}
	defer f.Close() //nolint:errcheck // read only
	q := url.Values{"name": {filepath.Base(file)}, "wait": {"true"}}
	if c.Format != "" {
		q.Set("format", c.Format)
	}
	in.Reader = f
	rc, err := x.open(ctx, http.MethodPost, "/api/v1/feeds/"+url.PathEscape(c.Feed)+"/deliveries", q, in)
	if err != nil {
		return d, err
	}
	defer rc.Close() //nolint:errcheck // read only
	return d, json.NewDecoder(rc).Decode(&d)
}

// expand replaces folders by the files in them.
func expand(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		st, err := os.Stat(p)
		if err != nil {
			return nil, err
		}
		if !st.IsDir() {
			out = append(out, p)
			continue
		}
		es, err := os.ReadDir(p)
		if err != nil {
			return nil, err
		}
		n := 0
		for _, e := range es {
			if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
				out = append(out, filepath.Join(p, e.Name()))
				n++
			}
		}
		if n == 0 {
			return nil, fmt.Errorf("%s: there is no file in this folder; folders in it are not looked into", p)
		}
	}
	return out, nil
}

type withdrawCmd struct {
	Delivery string `arg:"" help:"Its id, such as d12."`
	Why      string `help:"The reason; it is kept in the journal." required:""`
}

// Run withdraws a delivery.
func (c withdrawCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		var d query.Delivery
		if err := x.do(ctx, http.MethodPost, "/api/v1/deliveries/"+url.PathEscape(c.Delivery)+"/withdraw", nil, map[string]string{"why": c.Why}, &d); err != nil {
			return noDelivery(c.Delivery, err)
		}
		if g.JSON {
			return printJSON(d)
		}
		_, err := fmt.Printf("%s is withdrawn; its %d rows count nowhere, and its bytes stay in the archive.\n", d.ID, d.Received)
		return err
	})
}

type deliveriesCmd struct {
	Feed  string `help:"Of this feed alone."`
	State string `help:"waiting, loading, loaded, refused or withdrawn."`
	Limit int    `help:"How many, the newest first; 0 for all." default:"0"`
}

// Run lists deliveries.
func (c deliveriesCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		q := url.Values{}
		set(q, "feed", c.Feed)
		set(q, "state", c.State)
		all := []query.Delivery{}
		total, err := pages(ctx, x, "/deliveries", q, c.Limit, func(d struct {
			Total      int64            `json:"total"`
			Deliveries []query.Delivery `json:"deliveries"`
		},
		) (int, int64) {
			all = append(all, d.Deliveries...)
			return len(d.Deliveries), d.Total
		})
		if err != nil {
			return err
		}
		if c.Limit > 0 {
			all = all[:min(len(all), c.Limit)]
		}
		if g.JSON {
			return printJSON(map[string]any{"total": total, "deliveries": all})
		}
		rows := [][]string{{"DELIVERY", "ARRIVED (UTC)", "FEED", "NAME", "STATE", "RECEIVED", "ACCEPTED", "DUPLICATE", "QUARANTINED", "REASON"}}
		for _, d := range all {
			rows = append(rows, []string{d.ID, d.At.Format("2006-01-02 15:04:05"), d.Feed, d.Name, string(d.State), num(d.Received), num(d.Accepted), num(d.Duplicate), num(d.Quarantined), d.Reason})
		}
		return table(rows...)
	})
}

// noDelivery says it plainly where err is that there is no such delivery.
func noDelivery(id string, err error) error {
	if errors.Is(err, errNotFound) {
		return fmt.Errorf("there is no delivery %q: `tocsin deliveries` lists them with their ids, such as d12", id)
	}
	return err
}

func set(q url.Values, k, v string) {
	if v != "" {
		q.Set(k, v)
	}
}

// pages reads a list page by page until limit rows (0: all) have come. Take
// keeps a page and returns its rows and the total.
func pages[T any](ctx context.Context, x *client, path string, q url.Values, limit int, take func(T) (int, int64)) (int64, error) {
	q.Set("limit", "1000")
	have := 0
	for page := 1; ; page++ {
		q.Set("page", strconv.Itoa(page))
		var v T
		if err := x.get(ctx, path, q, &v); err != nil {
			return 0, err
		}
		n, total := take(v)
		if have += n; n == 0 || int64(have) >= total || limit > 0 && have >= limit {
			return total, nil
		}
	}
}

type quarantineCmd struct {
	Feed     string `help:"Of this feed alone."`
	Delivery string `help:"Of this delivery alone, such as d12."`
	Reason   string `help:"With this reason alone."`
	Limit    int    `help:"How many, of the newest delivery first; 0 for all." default:"0"`
}

// Run lists quarantined rows.
func (c quarantineCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		q := url.Values{}
		set(q, "feed", c.Feed)
		set(q, "delivery", c.Delivery)
		set(q, "reason", c.Reason)
		all := web.QuarantinePage{Rows: []query.Quarantined{}, Reasons: []web.Tally{}}
		if _, err := pages(ctx, x, "/quarantine", q, c.Limit, func(p web.QuarantinePage) (int, int64) {
			all.Rows, all.Reasons, all.Total = append(all.Rows, p.Rows...), p.Reasons, p.Total
			return len(p.Rows), p.Total
		}); err != nil {
			return noDelivery(c.Delivery, err)
		}
		if c.Limit > 0 {
			all.Rows = all.Rows[:min(len(all.Rows), c.Limit)]
		}
		if g.JSON {
			return printJSON(all)
		}
		rows := [][]string{{"DELIVERY", "ROW", "FEED", "NAME", "REASON", "DETAIL", "RAW"}}
		for _, r := range all.Rows {
			raw := r.Raw
			if len(raw) > 60 {
				raw = raw[:60] + " ..."
			}
			rows = append(rows, []string{r.Delivery, strconv.FormatUint(uint64(r.Row), 10), r.Feed, r.Name, r.Reason, r.Detail, raw})
		}
		return table(rows...)
	})
}

type feedsCmd struct {
	List feedsListCmd `cmd:"" default:"withargs" help:"List the feeds."`
	Set  feedsSetCmd  `cmd:"" help:"Set a feed up."`
}

type feedsListCmd struct{}

// Run lists the feeds.
func (feedsListCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		var d struct {
			Feeds []query.Feed `json:"feeds"`
		}
		if err := x.get(ctx, "/feeds", url.Values{"format": {"json"}}, &d); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(d)
		}
		rows := [][]string{{"FEED", "FORMAT", "MARKING", "HISTORICAL", "DELIVERIES", "RECEIVED", "ACCEPTED", "DUPLICATE", "QUARANTINED", "LAST (UTC)", "SCHEDULE", "UPSTREAM"}}
		for _, f := range d.Feeds {
			last := "-"
			if !f.Last.IsZero() {
				last = f.Last.Format("2006-01-02 15:04")
			}
			rows = append(rows, []string{f.Name, f.Format, "TLP:" + f.Marking, strconv.FormatBool(f.Historical), num(f.Deliveries), num(f.Received), num(f.Accepted), num(f.Duplicate), num(f.Quarantine), last, f.Schedule, f.Upstream})
		}
		return table(rows...)
	})
}

type feedsSetCmd struct {
	Feed       string  `arg:"" help:"Its name."`
	Format     *string `help:"The format of its deliveries."`
	Marking    *string `help:"CLEAR, GREEN, AMBER, AMBER+STRICT or RED, for rows that carry none."`
	Historical *bool   `help:"Rows may be of any age." negatable:""`
	Schedule   *string `help:"How often it reports: daily, weekly, none (or not any more), or history for what its history says."`
	Upstream   *string `help:"Where its data come from: feeds with one upstream are one witness."`

	Limit map[string]int64 `help:"Its own budgets, such as rows=100000: bytes, line, rows, columns, depth, ratio." placeholder:"NAME=N"`
}

// Run sets a feed up.
func (c feedsSetCmd) Run(ctx context.Context, g *globals) error {
	return change(ctx, g, func(x *client) error {
		var f query.Feed
		if err := x.do(ctx, http.MethodPut, "/api/v1/feeds/"+url.PathEscape(c.Feed), nil, web.FeedSettings{Format: c.Format, Marking: c.Marking, Historical: c.Historical, Limits: c.Limit, Schedule: c.Schedule, Upstream: c.Upstream}, &f); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(f)
		}
		format, age := f.Format, "rows of the last days only"
		if format == "" {
			format = "as each file's name tells"
		}
		if f.Historical {
			age = "rows of any age"
		}
		if _, err := fmt.Printf("%s: format %s, TLP:%s, %s; for deliveries from now on.\n", plain(f.Name), plain(format), f.Marking, age); err != nil || c.Schedule == nil && c.Upstream == nil {
			return err
		}
		_, err := fmt.Printf("Schedule %s, upstream %s; for all days.\n", cmp.Or(f.Schedule, "by history"), cmp.Or(plain(f.Upstream), "none"))
		return err
	})
}

type organisationsCmd struct {
	File string `arg:"" optional:"" help:"CSV: organisation, name, sector, region, network, contact, valid_from, valid_to." type:"existingfile"`
}

// Run lists the organisations or replaces the list.
func (c organisationsCmd) Run(ctx context.Context, g *globals) error {
	connected := with
	if c.File != "" {
		connected = change
	}
	return connected(ctx, g, func(x *client) error {
		if c.File == "" {
			var d struct {
				Organisations []web.Organisation `json:"organisations"`
			}
			if err := x.get(ctx, "/organisations", url.Values{"format": {"json"}}, &d); err != nil {
				return err
			}
			if g.JSON {
				return printJSON(d)
			}
			rows := [][]string{{"ORGANISATION", "NAME", "SECTOR", "REGION", "NETWORKS"}}
			for _, o := range d.Organisations {
				rows = append(rows, []string{o.ID, o.Name, o.Sector, o.Region, join(o.Networks)})
			}
			return table(rows...)
		}
		var res web.OrganisationsResult
		if err := upload(ctx, x, c.File, "/api/v1/organisations", nil, &res); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(res)
		}
		for _, r := range res.Rows {
			fmt.Printf("line %d: %s\n", r.Row, plain(r.Reason))
		}
		_, err := fmt.Printf("%d organisations with %d networks, for deliveries from now on. `tocsin reenrich` applies them to what is loaded.\n", res.Organisations, res.Networks)
		return err
	})
}

// upload sends a file as a body and reads the JSON answer.
func upload(ctx context.Context, x *client, file, path string, q url.Values, v any) error {
	f, err := os.Open(file) //nolint:gosec // the operator's own path
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	rc, err := x.open(ctx, http.MethodPost, path, q, f)
	if err != nil {
		return err
	}
	defer rc.Close() //nolint:errcheck // read only
	return json.NewDecoder(rc).Decode(v)
}

type refdataListCmd struct {
	File string `arg:"" optional:"" help:"MMDB, or CSV: prefix, asn, as_name, country, registered." type:"existingfile"`
}

// Run lists the reference data or lays a table over it.
func (c refdataListCmd) Run(ctx context.Context, g *globals) error {
	connected := with
	if c.File != "" {
		connected = change
	}
	return connected(ctx, g, func(x *client) error {
		var d struct {
			Sources []web.Source `json:"sources"`
		}
		if c.File != "" {
			if err := upload(ctx, x, c.File, "/api/v1/refdata", url.Values{"name": {filepath.Base(c.File)}}, &d); err != nil {
				return err
			}
		} else if err := x.get(ctx, "/about", url.Values{"format": {"json"}}, &d); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(d)
		}
		rows := [][]string{{"SOURCE", "DATE", "LICENCE", "ATTRIBUTION"}}
		for _, s := range d.Sources {
			rows = append(rows, []string{s.Name, s.Date, s.Licence, s.Attribution})
		}
		if err := table(rows...); err != nil || c.File == "" {
			return err
		}
		_, err := fmt.Println("In force for deliveries from now on. `tocsin reenrich` applies it to what is loaded.")
		return err
	})
}

type formatsCmd struct{}

// Run lists the formats.
func (formatsCmd) Run(g *globals) error {
	list := app.Formats()
	if g.JSON {
		return printJSON(map[string]any{"formats": list})
	}
	rows := [][]string{{"FORMAT", "WHAT", "REPORT TYPES", "SPECIFICATION"}}
	for _, f := range list {
		rows = append(rows, []string{f.Name, f.Title, strconv.Itoa(len(f.Reports)), f.Spec})
	}
	return table(rows...)
}

type tokensCmd struct {
	List   tokensListCmd   `cmd:"" default:"withargs" help:"List the tokens."`
	Create tokensCreateCmd `cmd:"" help:"Make a token; its secret is shown this once."`
	Revoke tokensRevokeCmd `cmd:"" help:"Take a token back."`
}

type tokensListCmd struct{}

// Run lists the tokens.
func (tokensListCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		var d struct {
			Tokens []web.Token `json:"tokens"`
		}
		if err := x.get(ctx, "/api/v1/tokens", nil, &d); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(d)
		}
		rows := [][]string{{"TOKEN", "NAME", "ROLE", "READS", "PUSHES TO", "EXPIRES", "STATE"}}
		for _, t := range d.Tokens {
			state := "in force"
			switch {
			case t.Revoked:
				state = "taken back"
			case time.Now().After(t.Expires):
				state = "expired"
			}
			reads := strconv.FormatBool(t.Read)
			if t.Read && len(t.Organisations) > 0 {
				reads = join(t.Organisations)
			}
			rows = append(rows, []string{t.ID, t.Name, t.Role, reads, join(t.Feeds), t.Expires.Format(time.DateOnly), state})
		}
		return table(rows...)
	})
}

type tokensCreateCmd struct {
	Name         string   `help:"Who or what uses it." required:""`
	Role         string   `help:"admin, analyst, organisation or public." default:"public"`
	Organisation []string `help:"For the role organisation: whose rows it may read."`
	Feed         []string `help:"A feed that it may push to; * for any."`
	Read         bool     `help:"It may read what its role sees."`
	Days         int      `help:"Days until it expires, at most 365." default:"90"`
}

// Run makes a token.
func (c tokensCreateCmd) Run(ctx context.Context, g *globals) error {
	return change(ctx, g, func(x *client) error {
		var t web.Token
		if !c.Read && len(c.Feed) == 0 {
			return errors.New("such a token opens nothing: let it push with --feed FEED, read with --read, or both")
		}
		in := web.TokenRequest{Name: c.Name, Role: c.Role, Organisations: c.Organisation, Feeds: c.Feed, Read: c.Read, Days: c.Days}
		if err := x.do(ctx, http.MethodPost, "/api/v1/tokens", nil, in, &t); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(t)
		}
		_, err := fmt.Printf("%s\nThis is the only time it is shown. It is %s, and expires on %s.\n", t.Secret, t.ID, t.Expires.Format(time.DateOnly))
		return err
	})
}

type tokensRevokeCmd struct {
	Token string `arg:"" help:"Its id, such as t0123456789ab."`
}

// Run takes a token back.
func (c tokensRevokeCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		if err := x.do(ctx, http.MethodDelete, "/api/v1/tokens/"+url.PathEscape(c.Token), nil, nil, nil); err != nil {
			if errors.Is(err, errNotFound) {
				err = fmt.Errorf("there is no token %q: `tocsin tokens` lists them with their ids", c.Token)
			}
			return err
		}
		if g.JSON {
			return printJSON(map[string]string{"revoked": c.Token})
		}
		_, err := fmt.Println(c.Token, "opens nothing any more.")
		return err
	})
}

type auditCmd struct {
	Limit int `help:"How many, the newest first; at most 1000." default:"100"`
}

// Run lists changes.
func (c auditCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		var d struct {
			Audit []web.AuditLine `json:"audit"`
		}
		if err := x.get(ctx, "/api/v1/audit", url.Values{"limit": {strconv.Itoa(c.Limit)}}, &d); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(d)
		}
		rows := [][]string{{"LINE", "TIME (UTC)", "WHO", "KIND", "WHAT"}}
		for _, l := range d.Audit {
			rows = append(rows, []string{strconv.FormatUint(l.Seq, 10), l.At.Format("2006-01-02 15:04:05"), l.Who, l.Kind, l.Detail})
		}
		return table(rows...)
	})
}

type verifyCmd struct{}

// Run verifies everything.
func (verifyCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		var res web.VerifyResult
		if err := x.work(ctx, g, "verify", "/api/v1/verify", struct{}{}, &res); err != nil {
			return err
		}
		if g.JSON {
			if err := printJSON(res); err != nil {
				return err
			}
		} else {
			for _, d := range res.Damaged {
				fmt.Println(plain(d.Detail))
				for _, l := range d.Deliveries {
					fmt.Println("   ", plain(l))
				}
			}
			for _, n := range res.Notes {
				fmt.Println("note:", plain(n))
			}
			fmt.Printf("%d journal lines, %d bytes of contents and %d events read.\n", res.Deliveries, res.Bytes, res.Events)
		}
		if !res.OK {
			return damageError{len(res.Damaged)}
		}
		if !g.JSON {
			fmt.Println("Nothing is damaged or missing.")
		}
		return nil
	})
}

// longCmd runs long work that answers with a result.
func longCmd(ctx context.Context, g *globals, what, path string, in any, say func(web.Result) string) error {
	return with(ctx, g, func(x *client) error {
		var res web.Result
		if err := x.work(ctx, g, what, path, in, &res); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(res)
		}
		_, err := fmt.Println(say(res))
		return err
	})
}

type rebuildCmd struct{}

// Run rebuilds the store.
func (rebuildCmd) Run(ctx context.Context, g *globals) error {
	return longCmd(ctx, g, "rebuild", "/api/v1/rebuild", struct{}{}, func(r web.Result) string {
		return fmt.Sprintf("%d events loaded anew from the archive in %.1f s.", r.Events, r.Seconds)
	})
}

type reenrichCmd struct{}

// Run makes new annotations.
func (reenrichCmd) Run(ctx context.Context, g *globals) error {
	return longCmd(ctx, g, "reenrich", "/api/v1/reenrich", struct{}{}, func(r web.Result) string {
		return fmt.Sprintf("%d events annotated with version %d in %.1f s; the sightings of the version before are kept.", r.Events, r.Version, r.Seconds)
	})
}

type backupCmd struct {
	Dir string `arg:"" help:"An empty or new directory." type:"path"`
}

// Run backs the archive up.
func (c backupCmd) Run(ctx context.Context, g *globals) error {
	return longCmd(ctx, g, "backup", "/api/v1/backup", map[string]string{"dir": c.Dir}, func(r web.Result) string {
		return fmt.Sprintf("Everything up to journal line %d is in %s. `tocsin restore` makes a data directory of it.", r.Deliveries, r.Path)
	})
}

type restoreCmd struct {
	Backup string `arg:"" help:"The directory of the backup." type:"existingdir"`
}

// Run restores a backup into a new data directory.
func (c restoreCmd) Run(ctx context.Context, g *globals) error {
	es, err := os.ReadDir(g.Data)
	if err == nil && len(es) > 0 {
		return fmt.Errorf("%s is not empty: name a new data directory with --data", g.Data)
	}
	if err := os.MkdirAll(g.Data, 0o700); err != nil {
		return err
	}
	p := newProgress(g, "restore")
	p.unit = "bytes"
	damaged := 0
	sum, err := archive.Restore(ctx, g.logger(1000), c.Backup, filepath.Join(g.Data, "archive"), archive.Deps{}, p.show, func(d archive.Damage) {
		damaged++
		fmt.Fprintln(os.Stderr, plain(d.String()))
	})
	p.end()
	if err != nil && !errors.Is(err, archive.ErrDamaged) {
		return err
	}
	if damaged > 0 {
		err = damageError{damaged}
	}
	// The store is made from the archive as it is first opened.
	return errors.Join(err, change(ctx, g, func(*client) error {
		if g.JSON {
			return printJSON(sum)
		}
		_, err := fmt.Printf("%d journal lines and %d contents restored, verified and loaded.\n", sum.Lines, sum.Contents)
		return err
	}))
}
