package figure

import (
	"fmt"
	"io"
	"strings"

	"tocsin/internal/query"
)

// WriteDocs writes the page of the definitions as Markdown.
func WriteDocs(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Figures and how they count

This page is generated from the table of definitions; ` + "`go test ./internal/figure -update`" + ` writes it anew.

A figure counts what feeds report of one class, in one unit, over a period of whole days in UTC. A published definition does not change: a change of meaning
is a new version, and every document names the version that it was made with.

- **Mean of daily distinct**: on each day every asset is counted once, however many events, feeds or families saw it; the value is the mean of the days'
  numbers, written with two decimals. It answers "how many at a time".
- **Distinct over the period**: every asset is counted once in the whole period. It grows with the length of the period. Beside a mean it is labelled, and is
  not the figure.
- **Count of events**: observations, after removing duplicates. Events say how much was recorded, and are never added to or compared with assets.
- **Partition**: the rows of a breakdown sum to the value. **Overlapping**: an asset may stand in several rows; the sum of the rows less the value is printed as
  the overlap.
- **Change**: the value less that of the period of the same length just before, and the ratio of the two; no ratio where the earlier one is 0, and no change at all where
  either period has no data, or the earlier one begins before the first day that there is data of.
- **No data**: a period in which no event of the class was delivered has no value. It is not printed as 0.
- Network, organisation, sector, region and country come from reference data for the asset and day, never from what a report claims.

| figure | unit | headline | version | since |
|---|---|---|---|---|
`)
	for i := range Definitions {
		d := &Definitions[i]
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %d | %s |\n", d.Title, d.ID, d.Unit, d.Headline, d.Version, d.Since)
	}
	for i := range Definitions {
		d := &Definitions[i]
		fmt.Fprintf(&b, "\n<a id=\"%s\"></a>\n## %s\n\n`%s`, version %d\n\n%s\n\n", d.ID, d.Title, d.ID, d.Version, d.Text)
		fmt.Fprintf(&b, "- unit: %s\n- headline: %s\n- beside it: %s\n- class of event: %s\n", d.Unit, d.Headline, d.Cumulative, d.Class)
		switch d.Place {
		case AtHome:
			b.WriteString("- place: the home country alone\n")
		case Abroad:
			b.WriteString("- place: everywhere but the home country\n")
		case Anywhere:
		}
		if len(d.Where) > 0 {
			fmt.Fprintf(&b, "- only: %s\n", conds(d.Where))
		}
		for _, k := range []BreakdownKind{Partition, Overlapping} {
			var by []string
			for _, dim := range d.By() {
				if d.Breakdowns[dim] == k {
					by = append(by, string(dim))
				}
			}
			if by != nil {
				fmt.Fprintf(&b, "- %s by: %s\n", k, strings.Join(by, ", "))
			}
		}
		for _, p := range d.Kinds {
			fmt.Fprintf(&b, "- kind %s: %s\n", p.Title, conds(p.Where))
		}
		for _, p := range d.Shares {
			fmt.Fprintf(&b, "- share, %s: %s\n", p.Title, conds(p.Where))
		}
		b.WriteString("\nWhat it does not say:\n\n")
		for _, c := range d.Caveats {
			fmt.Fprintf(&b, "- %s\n", c)
		}
	}
	b.WriteString(`
# Records of the statement

A record is a number with all that it takes to read it: unit, definition, the panel of witnesses and the days on which they looked, how sure it is, what it would be without each
witness, how it compares with the same calendar days of last year, and the page that opens it. One that lacks any of these is printed as "no number", with what is missing.

- A complete count has the uncertainty "none": no interval of chance is made up for it. What it would be without each witness in turn stands beside it.
- An estimate stands beside what was observed, and has no rows of its own. Where the method does not hold, a test refuses it, and the record says which and why (docs/calibration.md).
- **Last year**: only days count on which the same witness looked in both years, by network where it looked at that on other days; an address that two witnesses saw is one. What only one of the
  years has stands in the waterfall as entries and exits. The interval is a bootstrap over networks with a printed seed. "No clear change" where it contains 1. No percentage where less than 60 % of this year's
  value is matched, where a break of a witness lies between that nobody has looked at, or where there are too few networks; a witness with a confirmed break is left out.

| record | unit | version | estimate |
|---|---|---|---|
`)
	for i := range RecordDefinitions {
		d := &RecordDefinitions[i]
		fmt.Fprintf(&b, "| %s, \x60%s\x60 | %s | %d | %s |\n", d.Title, d.ID, d.Unit, d.Version, map[bool]string{true: "yes", false: "no"}[d.Estimate])
	}
	for i := range RecordDefinitions {
		d := &RecordDefinitions[i]
		fmt.Fprintf(&b, "\n## %s\n\n\x60%s\x60, version %d\n\n%s\n\nWhat it does not say:\n\n", d.Title, d.ID, d.Version, d.Text)
		for _, c := range d.Caveats {
			fmt.Fprintf(&b, "- %s\n", c)
		}
	}
	writePublishDocs(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func conds(cs []query.Cond) string {
	out := make([]string, len(cs))
	for i, c := range cs {
		is := "is"
		if c.Not {
			is = "is not"
		}
		out[i] = fmt.Sprintf("%s %s %s", c.Dim, is, c.Value)
	}
	return strings.Join(out, " or ")
}
