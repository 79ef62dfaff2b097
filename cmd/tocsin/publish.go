package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"tocsin/internal/figure"
	"tocsin/internal/query"
)

type publishCmd struct {
	From string `help:"First day, YYYY-MM-DD, in UTC." required:""`
	To   string `help:"Last day, YYYY-MM-DD." required:""`
	Why  string `help:"The reason; needed where the figures differ from those published before."`
}

// Run publishes a period.
func (c publishCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		var r query.Revision
		if err := x.do(ctx, http.MethodPost, "/api/v1/published", nil, map[string]string{"from": c.From, "to": c.To, "why": c.Why}, &r); err != nil {
			return err
		}
		if g.JSON {
			return printJSON(r)
		}
		if r.Unchanged {
			_, err := fmt.Printf("Nothing has changed since revision %d of %s: the document is the same to the byte, and nothing was journalled.\n", r.Revision, r.At.Format("2006-01-02 15:04"))
			return err
		}
		what := "the first of its period"
		if r.Supersedes > 0 {
			what = fmt.Sprintf("in the place of revision %d; figures that differ: %s", r.Supersedes, join(r.Differs))
		}
		_, err := fmt.Printf("Revision %d: %s to %s, %s.\nSHA-256 %s; `tocsin figures --at %d` prints it.\n", r.Revision, r.Period.From, r.Period.To, plain(what), r.SHA256, r.Revision)
		return err
	})
}

type publishedCmd struct {
	Revision int `arg:"" optional:"" help:"Show what differs in this revision."`
	Against  int `help:"From that revision, instead of the one before." placeholder:"REV"`
}

// Run lists what was published, or what differs in one revision.
func (c publishedCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		q := url.Values{"format": {"json"}}
		if c.Revision != 0 {
			return c.one(ctx, g, x, q)
		}
		if c.Against != 0 {
			return errors.New("--against compares with a revision: name that one too, as in `tocsin published 3 --against 1`")
		}
		if g.JSON {
			return x.copyTo(ctx, os.Stdout, "/published", q)
		}
		var d struct {
			Published []query.Revision `json:"published"`
		}
		if err := x.get(ctx, "/published", q, &d); err != nil {
			return err
		}
		if len(d.Published) == 0 {
			_, err := fmt.Println("Nothing is published yet: `tocsin publish --from DAY --to DAY` publishes the figures of a period.")
			return err
		}
		rows := [][]string{{"REVISION", "FROM", "TO", "OF ITS PERIOD", "PUBLISHED (UTC)", "BY", "DIFFERS", "REASON"}}
		for _, r := range d.Published {
			rows = append(rows, []string{
				strconv.Itoa(r.Revision), r.Period.From.String(), r.Period.To.String(), strconv.Itoa(r.OfPeriod), r.At.Format("2006-01-02 15:04"), r.By, join(r.Differs), r.Why,
			})
		}
		return table(rows...)
	})
}

func (c publishedCmd) one(ctx context.Context, g *globals, x *client, q url.Values) error {
	if c.Against != 0 {
		q.Set("against", strconv.Itoa(c.Against))
	}
	path := "/published/" + strconv.Itoa(c.Revision)
	if g.JSON {
		return noRevision(x.copyTo(ctx, os.Stdout, path, q))
	}
	var d struct {
		Revision    query.Revision      `json:"revision"`
		Against     int                 `json:"against"`
		Differences []figure.Difference `json:"differences"`
	}
	if err := x.get(ctx, path, q, &d); err != nil {
		return noRevision(err)
	}
	if d.Against == 0 {
		_, err := fmt.Printf("Revision %d is the first of its period; --against REV compares it with another.\n", c.Revision)
		return err
	}
	rows := [][]string{{"FIGURE", "FIELD", "REVISION " + strconv.Itoa(d.Against), "REVISION " + strconv.Itoa(c.Revision)}}
	for _, x := range d.Differences {
		if x.Before == "" && x.After == "" {
			x.After = "other rows"
		}
		rows = append(rows, []string{x.Figure, x.Field, x.Before, x.After})
	}
	return table(rows...)
}

// noRevision says of a revision that is not there where they are listed.
func noRevision(err error) error {
	if errors.Is(err, errNotFound) {
		return errors.New("there is no such revision: `tocsin published` lists them")
	}
	return err
}

// printRevision prints a document as it was published, byte for byte.
func printRevision(ctx context.Context, g *globals, revision int) error {
	return with(ctx, g, func(x *client) error {
		return noRevision(x.copyTo(ctx, os.Stdout, "/api/v1/published/"+strconv.Itoa(revision), nil))
	})
}
