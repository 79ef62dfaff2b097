package intake

import (
	"errors"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheckFeed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		ok   bool
	}{
		{"shadowserver", true},
		{"partner-idf", true},
		{"A1_b.c", true},
		{"7", true},
		{strings.Repeat("a", 64), true},
		{strings.Repeat("a", 65), false},
		{"", false},
		{".", false},
		{"..", false},
		{".done", false},
		{"-x", false},
		{"_x", false},
		{"a/b", false},
		{`a\b`, false},
		{"a b", false},
		{"a\x00", false},
		{"é", false},
		{"a\n", false},
	} {
		err := CheckFeed(tt.name)
		if (err == nil) != tt.ok {
			t.Errorf("CheckFeed(%q) = %v, want ok %v", tt.name, err, tt.ok)
		}
		if err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("CheckFeed(%q) = %v, want ErrRefused", tt.name, err)
		}
	}
}

func TestCleanName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"2026-11-01-event4_sinkhole-xx-geo.csv", "2026-11-01-event4_sinkhole-xx-geo.csv"},
		{"/var/spool/a.csv", "a.csv"},
		{`C:\reports\a.csv`, "a.csv"},
		{"../../etc/passwd", "passwd"},
		{"", ""},
		{"dir/", ""},
		{"a\nb\x1b[2J.csv", "a_b_[2J.csv"},
		{"a\u202egpj.csv", "a_gpj.csv"},
		{"a\xff.csv", "a_.csv"},
		{"Übersicht 1.csv", "Übersicht 1.csv"},
		{strings.Repeat("x", 300) + ".csv.gz", strings.Repeat("x", 248) + ".csv.gz"},
		{strings.Repeat("é", 200) + ".csv", strings.Repeat("é", 125) + ".csv"},
	} {
		if got := CleanName(tt.in); got != tt.want {
			t.Errorf("CleanName(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	f.Add("a/b\\c.csv")
	f.Add(strings.Repeat("é", 300))
	f.Add("\xff\xfe\u202e")
	f.Fuzz(func(t *testing.T, in string) {
		got := CleanName(in)
		if len(got) > maxName || !utf8.ValidString(got) || strings.ContainsAny(got, `/\`) {
			t.Errorf("CleanName(%q) = %q", in, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("CleanName(%q) = %q has %U", in, got, r)
			}
		}
		if again := CleanName(got); again != got {
			t.Errorf("CleanName(%q) = %q, and of that %q", in, got, again)
		}
		if err := CheckFeed(in); err == nil && CleanName(in) != in {
			t.Errorf("feed %q is no safe name", in)
		}
	})
}

func TestBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		size, limit int
		ok          bool
	}{{0, 10, true}, {9, 10, true}, {10, 10, true}, {11, 10, false}, {1000, 10, false}} {
		// One byte, a few bytes and everything at a time.
		for _, r := range []io.Reader{
			strings.NewReader(strings.Repeat("x", tt.size)),
			oneByte{strings.NewReader(strings.Repeat("x", tt.size))},
		} {
			b := &bounded{r: r, left: int64(tt.limit)}
			got, err := io.ReadAll(b)
			if want := min(tt.size, tt.limit); len(got) != want {
				t.Errorf("%d of %d bytes: got %d, want %d", tt.size, tt.limit, len(got), want)
			}
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrRefused) {
				t.Errorf("%d of %d bytes: %v, want ok %v", tt.size, tt.limit, err, tt.ok)
			}
		}
	}
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1)]) }
