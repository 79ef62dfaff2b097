package refdata

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/language"
)

// The indicators of the World Bank that are understood
// (https://data.worldbank.org/indicator/IT.NET.USER.ZS, CC BY 4.0).
const (
	indicatorUsers      = "IT.NET.USER.ZS" // individuals using the internet, per cent of population
	indicatorPopulation = "SP.POP.TOTL"
)

// preamble is how many lines may stand before a World Bank file's header.
const preamble = 20

// worldBankHeader finds the header of an indicator's file: where it begins and
// on which line; line 0 if there is none.
func worldBankHeader(b []byte) (skip, line int) {
	at := 0
	for n := 1; n <= preamble && at < len(b); n++ {
		text, _, found := bytes.Cut(b[at:], []byte("\n"))
		if t := strings.ToLower(strings.TrimLeft(string(text[:min(len(text), 32)]), `" `)); strings.HasPrefix(t, "country name") {
			return at, n
		}
		if !found {
			break
		}
		at += len(text) + 1
	}
	return 0, 0
}

// parseWorldBank reads the CSV of one indicator, whose header stands on that
// line. Rows of what is no country (World, groups by income) are passed over.
func parseWorldBank(b []byte, line int) (*factPart, error) {
	in, err := NewRows(bytes.NewReader(b), maxFacts)
	if err != nil {
		return nil, shifted(err, line-1)
	}
	in.line += line - 1
	code, indicator := in.Column("country code"), in.Column("indicator code")
	years := map[int]int{} // column to year
	for i, name := range in.Header() {
		if y, err := strconv.Atoi(name); err == nil && len(name) == 4 && y >= 1900 && y < 2200 {
			years[i] = y
		}
	}
	if code < 0 || indicator < 0 || len(years) == 0 {
		return nil, fmt.Errorf("line %d: a World Bank file has the columns Country Code, Indicator Code and one for each year", line)
	}
	columns := slices.Sorted(maps.Keys(years))
	p := &factPart{}
	values, which, seen := map[string]map[int]float64{}, "", map[string]int{}
	var bad badRows
	err = eachRow(in, &bad, func(cell []string) error {
		switch x := strings.ToUpper(cell[indicator]); {
		case x != indicatorUsers && x != indicatorPopulation:
			return fmt.Errorf("indicator %.40q: want %s or %s", cell[indicator], indicatorUsers, indicatorPopulation)
		case which == "":
			which = x
		case which != x:
			return fmt.Errorf("indicator %s in a file of %s: one file has one indicator", x, which)
		}
		cc, ok, err := alpha2(cell[code])
		if err != nil || !ok {
			return err
		}
		if seen[cc] > 0 {
			return fmt.Errorf("country %s stands on line %d already", cc, seen[cc])
		}
		seen[cc] = in.Line()
		for _, i := range columns {
			if cell[i] == "" {
				continue
			}
			var x float64
			if err := number(in.Header()[i], cell[i], &x); err != nil {
				return err
			}
			if which == indicatorUsers && x > 100 {
				return fmt.Errorf("%s: %s per cent of the population", in.Header()[i], cell[i])
			}
			if values[cc] == nil {
				values[cc] = map[int]float64{}
				p.src.Rows++
			}
			values[cc][years[i]] = x
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.src.Layout = layoutWorldBank + " " + which
	if which == indicatorUsers {
		p.percent = values
	} else {
		p.people = values
	}
	return p, nil
}

// shifted names the line of the file instead of that behind the preamble.
func shifted(err error, by int) error {
	if row, ok := errors.AsType[*RowError](err); ok {
		return &RowError{row.Line + by, row.Reason}
	}
	return fmt.Errorf("line %d: %w", by+1, err)
}

// alpha2 gives the two letters of a country with that code of three; false for
// a code that is no country's, and an error for what cannot be one.
func alpha2(code string) (string, bool, error) {
	c := strings.ToUpper(code)
	if len(c) != 3 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", false, fmt.Errorf("country code %.40q: want three letters (ISO 3166-1 alpha-3)", code)
	}
	if c == "XKX" { // Kosovo, which ISO 3166-1 gives no code
		return "XK", true, nil
	}
	r, err := language.ParseRegion(c)
	if err != nil || !r.IsCountry() || len(r.String()) != 2 {
		return "", false, nil //nolint:nilerr // groups of countries have codes of their own
	}
	return r.String(), true, nil
}

// parseCLDR reads CLDR's territoryInfo.json
// (https://github.com/unicode-org/cldr-json, Unicode-3.0).
func parseCLDR(b []byte) (*factPart, error) {
	var in struct {
		Supplemental struct {
			TerritoryInfo map[string]struct {
				Population any `json:"_population"`
			} `json:"territoryInfo"`
		} `json:"supplemental"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		at := int64(-1)
		if e, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = e.Offset
		} else if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			at = e.Offset
		}
		if at < 0 {
			return nil, err
		}
		before := b[:min(int(at), len(b))]
		return nil, fmt.Errorf("line %d, column %d: %w", 1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n')-1, err)
	}
	if len(in.Supplemental.TerritoryInfo) == 0 {
		return nil, errors.New("the JSON has no supplemental.territoryInfo, as CLDR's territoryInfo.json has")
	}
	p := &factPart{src: FactSource{Layout: layoutCLDR}, people: map[string]map[int]float64{}}
	var bad []error
	for _, cc := range slices.Sorted(maps.Keys(in.Supplemental.TerritoryInfo)) {
		if _, ok := countryNumber(cc); !ok || cc == "ZZ" {
			continue // a continent, or nowhere
		}
		var x float64
		switch v := in.Supplemental.TerritoryInfo[cc].Population.(type) {
		case nil:
			continue
		case string:
			if err := number("_population of "+cc, v, &x); err != nil {
				bad = append(bad, err)
			}
		case float64:
			if x = v; x < 0 || x > maxFactNumber {
				bad = append(bad, fmt.Errorf("_population of %s: %g is no number of people", cc, v))
			}
		default:
			bad = append(bad, fmt.Errorf("_population of %s: want a number", cc))
		}
		if len(bad) >= shownErrors {
			break
		}
		p.people[strings.ToUpper(cc)] = map[int]float64{0: x}
		p.src.Rows++
	}
	return p, errors.Join(bad...)
}
