package refdata

import (
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func readAll(tb testing.TB, in string) (rows [][]string, bad []string) {
	tb.Helper()
	c, err := NewRows(strings.NewReader(in), 1<<20)
	if err != nil {
		return nil, []string{err.Error()}
	}
	for {
		f, err := c.Next()
		if errors.Is(err, io.EOF) {
			return rows, bad
		}
		if row, ok := errors.AsType[*RowError](err); ok {
			bad = append(bad, row.Error())
			continue
		}
		if err != nil {
			return rows, append(bad, err.Error())
		}
		rows = append(rows, slices.Clone(f))
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxLine)
	for _, tt := range []struct {
		name, in string
		rows     [][]string
		bad      []string
	}{
		{"plain", "a,b\n1,2\n3,4", [][]string{{"1", "2"}, {"3", "4"}}, nil},
		{"blank lines, CRLF, byte order mark", "\xef\xbb\xbfA ; b\r\n\r\n 1 ;2\r\n  \r\n", [][]string{{"1", "2"}}, nil},
		{"tabs", "a\tb\n1,x\t2\n", [][]string{{"1,x", "2"}}, nil},
		{"quotes", "a,b\n\"1,\"\"x\"\"\",2 \" 3\n", [][]string{{`1,"x"`, `2 " 3`}}, nil},
		{"open quote", "a,b\n\"1,2\n3,4\n", [][]string{{"3", "4"}}, []string{"line 2: a quote is not closed on this line"}},
		{"behind quote", "a,b\n\"1\"x,2\n3,4\n", [][]string{{"3", "4"}}, []string{"line 2: text behind a closing quote"}},
		{"count", "a,b\n1\n1,2,3\n3,4\n", [][]string{{"3", "4"}}, []string{"line 2: 1 fields where the header has 2", "line 3: 3 fields where the header has 2"}},
		{"long line", "a\n" + long[1:] + "\n" + long + "x\nb\n" + long + long, [][]string{{long[1:]}, {"b"}}, []string{"line 3: longer than 65536 bytes", "line 5: longer than 65536 bytes"}},
		{"bytes", "a\nx\xff\ny\x00\nz\x1b[2J\nok\n", [][]string{{"ok"}}, []string{"line 2: not UTF-8: save the file as UTF-8", "line 3: holds the control character 0x00", "line 4: holds the control character 0x1b"}},
		{"empty", "", nil, []string{"there is no header line"}},
		{"too large", "a\n" + strings.Repeat("xxxxxxx\n", 200_000), nil, []string{"line 131073: the file is too large"}},
		{"twice", "a,b,A\n", nil, []string{`header: two columns are called "a": remove or rename one`}},
		{"columns", strings.Repeat(",", maxColumns) + "\n", nil, []string{"header: more than 256 columns"}},
	} {
		rows, bad := readAll(t, tt.in)
		if tt.name == "too large" {
			rows = nil
		}
		if !slices.EqualFunc(rows, tt.rows, slices.Equal) || !slices.Equal(bad, tt.bad) {
			t.Errorf("%s: %.100q, %q", tt.name, rows, bad)
		}
	}
}

// FuzzSplitLine compares with encoding/csv where both read the line.
func FuzzSplitLine(f *testing.F) {
	f.Add(`a,"b ""c""",d`)
	f.Add(`"",,"`)
	f.Add(`x"y,"z"w`)
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\r\n") || line == "" {
			return
		}
		got, reason := splitLine(nil, line, ',')
		c := csv.NewReader(strings.NewReader(line))
		want, err := c.Read()
		if err == nil && reason == "" && !slices.Equal(got, want) {
			t.Fatalf("%q, encoding/csv: %q", got, want)
		}
		if err == nil && reason != "" && len(want) < maxColumns {
			t.Fatalf("refused (%s), encoding/csv: %q", reason, want)
		}
	})
}
