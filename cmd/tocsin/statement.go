package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// span is the period of a statement.
type span struct {
	From string `help:"First day, YYYY-MM-DD, in UTC; by default the last whole month with data." placeholder:"DAY"`
	To   string `help:"Last day, YYYY-MM-DD." placeholder:"DAY"`
}

func (s span) values() url.Values {
	q := url.Values{}
	set(q, "from", s.From)
	set(q, "to", s.To)
	return q
}

type statementCmd struct {
	span
	Enrichment uint32 `help:"As the numbers stood under this version of the reference data." placeholder:"N"`
}

// Run prints the statement of a period.
func (c statementCmd) Run(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		q := c.values()
		if c.Enrichment != 0 {
			q.Set("enrichment", strconv.FormatUint(uint64(c.Enrichment), 10))
		}
		if err := madeOf(ctx, x, q); err != nil {
			return err
		}
		q.Set("format", "json")
		if g.JSON {
			return x.copyTo(ctx, os.Stdout, "/statement", q)
		}
		var s figure.Statement
		if err := x.get(ctx, "/statement", q, &s); err != nil {
			return err
		}
		return printStatement(&s)
	})
}

func printStatement(s *figure.Statement) error {
	if s.Simulated {
		fmt.Println("SIMULATED: a country that does not exist.")
	}
	fmt.Printf("%s, %s to %s, days in UTC\n", s.HomeName, s.Period.From, s.Period.To)
	for _, x := range s.Sentences {
		fmt.Printf("\n%s\n  %s\n", x.Heading, x.Text)
		if x.Printed != "" {
			fmt.Printf("  As bulletins print it:  %s\n", x.Printed)
		}
		fmt.Printf("  What can be stood for:  %s\n", x.Honest)
		for i, t := range x.Truth {
			label := "                         "
			if i == 0 {
				label = "What is so (SIMULATED): "
			}
			fmt.Printf("  %s%s %s\n", label, t.Number, t.Text)
		}
	}
	fmt.Println()
	rows := [][]string{{"RECORD", "VALUE", "UNIT", "HOW SURE", "LAST YEAR"}}
	for i := range s.Records {
		r := &s.Records[i]
		value, last := "no number", ""
		if r.Publishable() {
			value = figure.Words(*r.Value)
		}
		sure := r.Uncertainty.Kind
		switch {
		case r.Refusal != nil:
			sure = "refused: " + r.Refusal.Test
		case r.Uncertainty.Range != nil:
			sure = figure.WordsRange(r.Uncertainty.Range)
		}
		if c := r.Comparability; c != nil {
			switch {
			case !c.OK:
				last = "no percentage: " + c.Test
			case !c.ClearChange:
				last = "no clear change"
			default:
				last = fmt.Sprintf("%+.1f %%", 100*(float64(*c.Ratio)-1))
			}
		}
		rows = append(rows, []string{r.ID, value, r.Unit, sure, last})
	}
	return table(rows...)
}

type reportCmd struct {
	From string `help:"First day, YYYY-MM-DD." required:"" placeholder:"DAY"`
	To   string `help:"Last day, YYYY-MM-DD." required:"" placeholder:"DAY"`
	Out  string `help:"Directory for the page and the data file beside it." default:"." type:"path"`
}

// Run writes the report of a period: one page with everything in it, and the
// data beside it.
func (c reportCmd) Run(ctx context.Context, g *globals) error {
	from, err := event.ParseDay(c.From)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	to, err := event.ParseDay(c.To)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	name := web.ReportName(query.Period{From: from, To: to})
	return with(ctx, g, func(x *client) error {
		q := span{c.From, c.To}.values()
		if err := madeOf(ctx, x, q); err != nil {
			return err
		}
		if err := os.MkdirAll(c.Out, 0o750); err != nil {
			return err
		}
		page := filepath.Join(c.Out, name+".html")
		data := filepath.Join(c.Out, name+".json")
		// The page names the SHA-256 of the data: what comes in between the two
		// would make it wrong.
		for range 5 {
			j := url.Values{"format": {"json"}, "from": q["from"], "to": q["to"]}
			if err := saveTo(ctx, x, data, "/statement", j); err != nil {
				return err
			}
			if err := saveTo(ctx, x, page, "/api/v1/report", q); err != nil {
				return err
			}
			b, err := os.ReadFile(data) //nolint:gosec // the operator's own path
			if err != nil {
				return err
			}
			h, err := os.ReadFile(page) //nolint:gosec // the operator's own path
			if err != nil {
				return err
			}
			sum := sha256.Sum256(b)
			if strings.Contains(string(h), hex.EncodeToString(sum[:])) {
				if g.JSON {
					return printJSON(map[string]string{"page": page, "data": data, "sha256": hex.EncodeToString(sum[:])})
				}
				_, err = fmt.Printf("%s\n%s\n", page, data)
				return err
			}
		}
		return errors.New("new deliveries change the numbers while they are written: try again when loading has come to rest")
	})
}

func saveTo(ctx context.Context, x *client, file, path string, q url.Values) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the operator's own path
	if err != nil {
		return err
	}
	err = errors.Join(x.copyTo(ctx, f, path, q), f.Close())
	if err != nil {
		if rm := os.Remove(file); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	return err
}
