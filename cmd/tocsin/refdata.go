package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"tocsin/internal/figure"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

type refdataCmd struct {
	List     refdataListCmd `cmd:"" default:"withargs" help:"List the reference data, or load an MMDB or prefix CSV over it."`
	Users    usersCmd       `cmd:"" help:"Load who uses the internet: a CSV by asn and region, a World Bank indicator, or CLDR's territoryInfo.json."`
	Networks networksCmd    `cmd:"" help:"Load how networks assign addresses: a CSV of asn, pool, assignment, shared."`
	Leases   leasesCmd      `cmd:"" help:"Load for how long networks assign an address: a CSV of asn, days, weight, table."`
}

// factsCmd is a file of facts, and what must be said of it.
type factsCmd struct {
	File        string `arg:"" help:"The file; docs/refdata.md tells the columns." type:"existingfile"`
	Source      string `help:"Who made the data." required:"" placeholder:"TEXT"`
	Licence     string `help:"Under which licence it may be used." required:"" placeholder:"TEXT"`
	Date        string `help:"Of which day the data is." required:"" placeholder:"YYYY-MM-DD"`
	Attribution string `help:"What must be shown with results." placeholder:"TEXT"`
}

type (
	usersCmd    struct{ factsCmd }
	networksCmd struct{ factsCmd }
	leasesCmd   struct{ factsCmd }
)

// Run loads users.
func (c usersCmd) Run(ctx context.Context, g *globals) error { return c.load(ctx, g, "users") }

// Run loads networks.
func (c networksCmd) Run(ctx context.Context, g *globals) error { return c.load(ctx, g, "networks") }

// Run loads leases.
func (c leasesCmd) Run(ctx context.Context, g *globals) error { return c.load(ctx, g, "leases") }

func (c factsCmd) load(ctx context.Context, g *globals, kind string) error {
	return change(ctx, g, func(x *client) error {
		var d struct {
			Sources []web.Source `json:"sources"`
		}
		q := url.Values{"name": {filepath.Base(c.File)}, "source": {c.Source}, "licence": {c.Licence}, "date": {c.Date}}
		set(q, "attribution", c.Attribution)
		if err := upload(ctx, x, c.File, "/api/v1/refdata/"+kind, q, &d); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(d)
		}
		_, err := fmt.Printf("The %s of %s are in force, for what is asked from now on.\n", kind, plain(filepath.Base(c.File)))
		return err
	})
}

type ratesCmd struct {
	From   string `help:"First day, YYYY-MM-DD, in UTC; by default of the last whole month with data."`
	To     string `help:"Last day, YYYY-MM-DD."`
	Figure string `help:"The figure." default:"infected-addresses"`
	By     string `help:"region or asn." default:"region"`
	CSV    bool   `help:"Print CSV with all columns." name:"csv"`
}

// Run prints rates.
func (c ratesCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		q := url.Values{"figure": {c.Figure}, "by": {c.By}, "format": {"json"}}
		set(q, "from", c.From)
		set(q, "to", c.To)
		switch {
		case c.CSV:
			q.Set("format", "csv")
			return x.copyTo(ctx, os.Stdout, "/rates", q)
		case g.JSON:
			return x.copyTo(ctx, os.Stdout, "/rates", q)
		}
		var t figure.RateTable
		if err := x.get(ctx, "/rates", q, &t); err != nil {
			return noFigure(c.Figure, err)
		}
		fmt.Printf("%s, %s to %s, days in UTC; %s (%s)\n", t.Title, t.Period.From, t.Period.To, plain(t.Unit), t.Counted)
		if t.Reason != "" {
			fmt.Println(plain(t.Reason) + ".")
		}
		if t.NoData {
			_, err := fmt.Println("No data for the period.")
			return err
		}
		rows := [][]string{{upper(t.By), "VALUE", "USERS", "RATE", "95 % INTERVAL", "SHRUNK RATE", "BEYOND CHANCE"}}
		for _, r := range t.Rows {
			key := r.Key
			if key == "" {
				key = "unknown"
			}
			row := []string{key, r.Value.String(), count(r.Users), "-", r.Why, "-", r.Place}
			if r.Rate != nil {
				row[3], row[4] = r.Rate.String(), between(r.Interval)
			}
			if r.Shrunk != nil {
				row[5] = r.Shrunk.String()
			}
			rows = append(rows, row)
		}
		if r := t.Country; r.Rate != nil {
			name := r.Of
			if r.Year > 0 {
				name += ", users of " + strconv.Itoa(r.Year)
			}
			rows = append(rows, []string{name, r.Value.String(), count(r.Users), r.Rate.String(), between(r.Interval), "-", ""})
		}
		if err := table(rows...); err != nil {
			return err
		}
		for _, s := range t.Sources {
			fmt.Printf("Users: %s, data of %s, licence %s\n", plain(s.Name), dated(s.Date), plain(s.Licence))
		}
		for _, m := range t.Methods {
			fmt.Println(m)
		}
		return nil
	})
}

func noFigure(id string, err error) error {
	if errors.Is(err, errNotFound) {
		return fmt.Errorf("there is no figure %q: `tocsin figures --json` has their ids", id)
	}
	return err
}

func upper(d query.Dim) string {
	if d == query.DimASN {
		return "AS"
	}
	return "REGION"
}

func count(d *figure.Decimal) string {
	if d == nil {
		return "-"
	}
	return strconv.FormatFloat(float64(*d), 'f', 0, 64)
}

func between(r *figure.Range) string { return r[0].String() + " to " + r[1].String() }

func dated(day string) string {
	if day == "" {
		return "no known day"
	}
	return day
}

type releaseCmd struct {
	Month  string `help:"The month, which must be over." placeholder:"YYYY-MM"`
	Revise string `help:"Release it once more, and say why: who has both versions can subtract." placeholder:"REASON"`
}

// Run releases a month, or lists what was released.
func (c releaseCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		if c.Month == "" {
			if c.Revise != "" {
				return errors.New("--revise: say which month with --month YYYY-MM")
			}
			return listReleases(ctx, x, g)
		}
		var r web.Released
		if err := x.do(ctx, http.MethodPost, "/api/v1/releases/"+url.PathEscape(c.Month), nil, map[string]string{"revise": c.Revise}, &r); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(r)
		}
		_, err := fmt.Printf("%s is released, revision %d: SHA-256 %s. Everybody sees it at /released?month=%s.\n", r.Month, r.Revision, r.SHA256, r.Month)
		return err
	})
}

func listReleases(ctx context.Context, x *client, g *globals) error {
	var d struct {
		Releases []web.Released `json:"releases"`
	}
	if err := x.get(ctx, "/released", url.Values{"format": {"json"}}, &d); err != nil {
		return err
	}
	if g.JSON {
		return printJSON(d)
	}
	rows := [][]string{{"MONTH", "REVISION", "RELEASED (UTC)", "SHA-256", "WHY REVISED"}}
	for _, r := range d.Releases {
		rows = append(rows, []string{r.Month, strconv.Itoa(r.Revision), r.At.UTC().Format(time.DateTime), r.SHA256, r.Reason})
	}
	return table(rows...)
}
