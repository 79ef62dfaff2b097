package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"tocsin/internal/query"
)

// today is the day of the reports: feeds that are not historical take rows of
// the last days alone.
var today = time.Now().UTC().Add(-24 * time.Hour).Format(time.DateOnly)

// brute makes a report of n attempts; no two reports share a row.
func brute(report, n int) (name string, body []byte) {
	var b strings.Builder
	b.WriteString(`"timestamp","protocol","src_ip","src_port","dst_ip","dst_port","infection","tag"` + "\n")
	for i := range n {
		fmt.Fprintf(&b, `"%s %02d:%02d:%02d","tcp","198.51.100.%d",%d,"192.0.2.1",22,"ssh-brute-force",""`+"\n", today, report/60%24, report%60, i%60, i%250+1, 1024+i)
	}
	return fmt.Sprintf("%s-event4_honeypot_brute_force-part%d-geo.csv", today, report), []byte(b.String())
}

// call asks the server.
func call(t testing.TB, method, url, token string, body []byte, header ...string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, b
}

func decoded[T any](t testing.TB, b []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %.500s", err, b)
	}
	return v
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// list is what `tocsin deliveries --json` prints.
func list(t testing.TB, dir string) []query.Delivery {
	t.Helper()
	r := tocsin(t.Context(), t, dir, "deliveries", "--json")
	if r.code != 0 {
		t.Fatalf("deliveries: %s", r.stderr)
	}
	return decoded[struct{ Deliveries []query.Delivery }](t, r.stdout).Deliveries
}

// TestPush brings deliveries in over HTTP, as other machines do.
func TestPush(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serveOn(t, filepath.Join(dir, "data"))
	made := tocsin(t.Context(), t, dir, "tokens", "create", "--name", "sensor", "--feed", "sensors", "--json")
	token := decoded[struct{ ID, Secret string }](t, made.stdout)
	to := func(feed string, report int, query string) string {
		name, _ := brute(report, 0)
		return s.url + "/api/v1/feeds/" + feed + "/deliveries?name=" + name + query
	}
	body := func(report, rows int) []byte { _, b := brute(report, rows); return b }

	for i, tt := range []struct {
		what   string
		url    string
		token  string
		body   []byte
		header []string
		status int
	}{
		{"plain, waiting for its rows", to("sensors", 1, "&wait=true"), token.Secret, body(1, 10), nil, http.StatusCreated},
		{"gzip", to("sensors", 2, "&wait=true"), token.Secret, gzipped(t, body(2, 11)), []string{"Content-Encoding", "gzip"}, http.StatusCreated},
		{"zstd", to("sensors", 3, "&wait=true"), token.Secret, zstded(t, body(3, 12)), []string{"Content-Encoding", "zstd"}, http.StatusCreated},
		{"gzip by its name", to("sensors", 4, ".gz&wait=true"), token.Secret, gzipped(t, body(4, 13)), nil, http.StatusCreated},
		{"acked at once", to("sensors", 5, ""), token.Secret, body(5, 14), nil, http.StatusAccepted},
		{"no token while one reads for itself", to("sensors", 6, ""), "tsn_" + strings.Repeat("A", 43), body(6, 10), nil, http.StatusUnauthorized},
		{"another feed", to("others", 7, ""), token.Secret, body(7, 10), nil, http.StatusForbidden},
		{"unknown format", to("sensors", 8, "&format=nonsense"), token.Secret, body(8, 10), nil, http.StatusBadRequest},
		{"unknown parameter", to("sensors", 9, "&wiat=true"), token.Secret, body(9, 10), nil, http.StatusBadRequest},
	} {
		status, b := call(t, http.MethodPost, tt.url, tt.token, tt.body, tt.header...)
		if status != tt.status {
			t.Errorf("%s: %d, want %d: %s", tt.what, status, tt.status, b)
			continue
		}
		if status >= 400 {
			if p := decoded[struct{ Detail string }](t, b); p.Detail == "" || strings.Contains(string(b), dir) {
				t.Errorf("%s: %s", tt.what, b)
			}
			continue
		}
		d := decoded[query.Delivery](t, b)
		rows := int64(10 + i)
		if d.ID == "" || len(d.SHA256) != 64 || d.Feed != "sensors" {
			t.Errorf("%s: %s", tt.what, b)
		}
		if status == http.StatusCreated && (d.State != query.StateLoaded || d.Received != rows || d.Accepted != rows) {
			t.Errorf("%s: want %d rows: %s", tt.what, rows, b)
		}
		until(t, tt.what+" is loaded", func() bool {
			status, b := call(t, http.MethodGet, s.url+"/api/v1/deliveries/"+d.ID, tt.token, nil)
			return status == http.StatusOK && decoded[query.Delivery](t, b).Accepted == rows
		})
	}

	// The token pushes and does not read; when it is taken back it does nothing.
	if status, b := call(t, http.MethodGet, s.url+"/events?format=json", token.Secret, nil); status == http.StatusOK && !strings.Contains(string(b), `"total":0`) {
		t.Errorf("a pushing token reads events: %d %.300s", status, b)
	}
	if r := tocsin(t.Context(), t, dir, "tokens", "revoke", token.ID); r.code != 0 {
		t.Errorf("revoke: %s", r.stderr)
	}
	if status, b := call(t, http.MethodPost, to("sensors", 10, ""), token.Secret, body(10, 5)); status != http.StatusUnauthorized {
		t.Errorf("a token that was taken back: %d %s", status, b)
	}

	if status, b := call(t, http.MethodGet, s.url+"/healthz", "", nil); status != http.StatusOK {
		t.Errorf("healthz: %d %s", status, b)
	}
	until(t, "the metrics tell of five deliveries and their rows", func() bool {
		status, b := call(t, http.MethodGet, s.url+"/metrics", "", nil)
		return status == http.StatusOK && strings.Contains(string(b), `tocsin_deliveries_acked_total{intake="push"} 5`) && strings.Contains(string(b), "tocsin_rows_loaded_total 60\n")
	})
}

// TestWatchedFolder drops files into a feed's folder under a running server,
// before it and while it runs.
func TestWatchedFolder(t *testing.T) {
	t.Parallel()
	// A folder with a name that no socket may have: commands find the server.
	dir := filepath.Join(t.TempDir(), strings.Repeat("long-", 24))
	data := filepath.Join(dir, "data")
	inbox := filepath.Join(data, "inbox", "honeypots")
	if err := os.MkdirAll(inbox, 0o700); err != nil {
		t.Fatal(err)
	}
	drop := func(name string, body []byte) {
		t.Helper()
		tmp := filepath.Join(dir, "tmp")
		if err := os.WriteFile(tmp, body, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(inbox, name)); err != nil {
			t.Fatal(err)
		}
	}
	drop(brute(1, 20))
	s := serveOn(t, data)
	drop(brute(2, 30))
	name, body := brute(3, 40)
	drop(name+".gz", gzipped(t, body))
	want := map[string]int64{}
	for i, n := range []int64{20, 30, 40} {
		name, _ := brute(i+1, 0)
		if i == 2 {
			name += ".gz"
		}
		want[name] = n
	}
	until(t, "all three files are loaded", func() bool {
		n := 0
		for _, d := range list(t, dir) {
			if d.State == query.StateLoaded && d.Feed == "honeypots" && d.Accepted == want[d.Name] {
				n++
			}
		}
		return n == len(want)
	})
	until(t, "the folder is emptied", func() bool {
		es, err := os.ReadDir(inbox)
		n := 0
		for _, e := range es {
			if e.Type().IsRegular() {
				n++
			}
		}
		return err == nil && n == 0
	})
	fig := tocsin(t.Context(), t, dir, "figures", "--from", today, "--to", today, "--json")
	if !strings.Contains(string(fig.stdout), `"id":"attack-attempts"`) || !strings.Contains(string(fig.stdout), `"events":90`) {
		t.Errorf("figures: %s %s", fig.stdout, fig.stderr)
	}
	// Nobody else serves the same directory, and neither server is hurt.
	if r := tocsin(t.Context(), t, dir, "serve", "--listen", freePort(t)); r.code != 1 || !strings.Contains(string(r.stderr), "in use by another tocsin") {
		t.Errorf("a second server: %d %s", r.code, r.stderr)
	}
	if r := tocsin(t.Context(), t, dir, "serve", "--data", filepath.Join(dir, "else"), "--listen", strings.TrimPrefix(s.url, "http://")); r.code != 1 || !strings.Contains(string(r.stderr), "choose another with --listen") {
		t.Errorf("a port in use: %d %s", r.code, r.stderr)
	}
	if n := len(list(t, dir)); n != 3 {
		t.Errorf("%d deliveries", n)
	}
}

// TestStop holds that a server that is told to stop while deliveries come in
// loses none that it acked.
func TestStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	s := serveOn(t, data)
	var (
		mu    sync.Mutex
		acked = map[string]bool{}
		wg    sync.WaitGroup
	)
	const senders, enough = 3, 40
	reached := make(chan struct{})
	for i := range senders {
		wg.Go(func() {
			for n := 0; ; n++ {
				name, body := brute(n*senders+i, 100)
				res, err := http.Post(s.url+"/api/v1/feeds/f"+strconv.Itoa(i)+"/deliveries?name="+name, "text/csv", bytes.NewReader(body)) //nolint:noctx // ends with the server
				if err != nil {
					return // the server has stopped
				}
				b, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != http.StatusAccepted {
					if res.StatusCode < 500 && err == nil {
						t.Errorf("push: %d %s", res.StatusCode, b)
					}
					return
				}
				var d query.Delivery
				if json.Unmarshal(b, &d) != nil {
					t.Errorf("answer %s", b)
				}
				mu.Lock()
				acked[d.ID] = true
				if len(acked) == enough {
					close(reached)
				}
				mu.Unlock()
			}
		})
	}
	<-reached
	s.stop(t)
	wg.Wait()
	got := map[string]query.Delivery{}
	var rows int64
	for _, d := range list(t, dir) {
		got[d.ID] = d
		rows += d.Accepted
	}
	for id := range acked {
		if d := got[id]; d.State != query.StateLoaded || d.Accepted != 100 || d.Received != 100 {
			t.Errorf("%s was acked and is %+v", id, d)
		}
	}
	events := tocsin(t.Context(), t, dir, "events", "--json")
	if n := int64(bytes.Count(events.stdout, []byte{'\n'})); n != rows || len(got) < enough {
		t.Errorf("%d events of %d rows in %d deliveries", n, rows, len(got))
	}
	if r := tocsin(t.Context(), t, dir, "verify"); r.code != 0 {
		t.Errorf("verify: %s %s", r.stdout, r.stderr)
	}
}

// TestDamageIsToldByTheExitCode holds that a script can tell a damaged archive
// from a command that did not work.
func TestDamageIsToldByTheExitCode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name, body := brute(1, 50)
	if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := tocsin(t.Context(), t, dir, "import", "--feed", "sensors", name); r.code != 0 {
		t.Fatalf("import: %s", r.stderr)
	}
	packs, err := filepath.Glob(filepath.Join(dir, "data", "archive", "contents", "packs", "*.pack"))
	if err != nil || len(packs) != 1 {
		t.Fatalf("packs %v: %v", packs, err)
	}
	b, err := os.ReadFile(packs[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-40] ^= 1
	if err := os.WriteFile(packs[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	r := tocsin(t.Context(), t, dir, "verify", "--json")
	v := decoded[struct {
		OK      bool
		Damaged []struct{ Deliveries []string }
	}](t, r.stdout)
	if r.code != 3 || v.OK || len(v.Damaged) != 1 || len(v.Damaged[0].Deliveries) != 1 || !strings.Contains(v.Damaged[0].Deliveries[0], "sensors "+name) {
		t.Errorf("verify --json: %d %s %s", r.code, r.stdout, r.stderr)
	}
	r = tocsin(t.Context(), t, dir, "verify")
	if r.code != 3 || !strings.Contains(string(r.stdout), name) || !strings.Contains(string(r.stderr), "1 damaged or missing place") {
		t.Errorf("verify: %d %s %s", r.code, r.stdout, r.stderr)
	}
	// What is loaded is still told.
	if r = tocsin(t.Context(), t, dir, "events", "--json"); r.code != 0 || bytes.Count(r.stdout, []byte{'\n'}) != 50 {
		t.Errorf("events: %d %s", r.code, r.stderr)
	}
}
