package web_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"tocsin/internal/web"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestCoveragePage compares what stands in the page of coverage, as an admin
// and as an analyst sees it, with golden files.
func TestCoveragePage(t *testing.T) {
	t.Parallel()
	s := serverOf(t, world(60, 16), web.Config{})
	for _, as := range []string{"admin", "analyst"} {
		b := get(s, as, "/coverage?from=2026-10-10&to=2026-11-22").Body.Bytes()
		from, to := bytes.Index(b, []byte("<main")), bytes.Index(b, []byte("</main>"))
		if from < 0 || to < from {
			t.Fatalf("no page:\n%s", b)
		}
		got, file := append(b[from:to], '\n'), "testdata/coverage-"+as+".html"
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("the page as %s is not that of %s; go test ./internal/web -run TestCoveragePage -update writes it anew:\n%s", as, file, got)
		}
	}
}
