package web_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

var scopes = map[string]policy.Scope{
	"admin":   policy.For("admin", policy.Admin, nil, nil, true),
	"analyst": policy.For("analyst", policy.Analyst, nil, nil, true),
	"org":     policy.For("org", policy.Organisation, []string{"org-03"}, nil, true),
	"pusher":  policy.For("pusher", policy.Public, nil, []string{"hpot"}, false),
	"nobody":  policy.For("nobody", policy.Public, nil, nil, true),
}

func serverOf(t testing.TB, f *fake, cfg web.Config) *web.Server {
	t.Helper()
	s, err := web.New(slog.New(slog.DiscardHandler), cfg, web.Deps{
		Backend: f, Auth: keys{tokens: scopes},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "tocsin_events 1\n") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// get asks as one of the scopes; "" is nobody at all.
func get(s http.Handler, as, target string, headers ...string) *httptest.ResponseRecorder {
	return ask(s, as, http.MethodGet, target, nil, headers...)
}

func ask(s http.Handler, as, method, target string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8480/", body)
	path, rawQuery, _ := strings.Cut(target, "?")
	r.URL.RawQuery = rawQuery
	r.URL.Path = path
	if u, err := url.PathUnescape(path); err == nil && u != path {
		r.URL.Path, r.URL.RawPath = u, path
	}
	if as != "" {
		r.Header.Set("Authorization", "Bearer "+as)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestScripts plays testdata/*.txt: requests and what must and must not come.
//
//	> METHOD TARGET [as WHO]   a request
//	| text                     its body
//	@ Header: value            a header of it
//	< 200 Header: value        the status, and headers that must hold
//	= text                     a text that must stand in the answer
//	! text                     a text that must not
func TestScripts(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f := world(60, 16)
			if strings.Contains(name, "empty") {
				f = &fake{}
				f.status = web.Status{Version: "0.1.0", Home: "XS", Now: world(1, 1).status.Now}
			}
			if strings.Contains(name, "sick") {
				f.health, f.fail = web.ErrFull, fmt.Errorf("open /secret/path: %w", os.ErrPermission)
			}
			if strings.Contains(name, "stopped") {
				f.status.Stopped = "the disk is full, free some space: <b>1 & 2"
			}
			s := serverOf(t, f, web.Config{MaxBody: 64, Hosts: web.LoopbackHosts()})
			play(t, s, name, string(b))
		})
	}
}

func play(t *testing.T, s http.Handler, name, script string) {
	t.Helper()
	var method, target, as, body string
	var headers []string
	var w *httptest.ResponseRecorder
	send := func() {
		if w == nil && method != "" {
			w = ask(s, as, method, target, strings.NewReader(body), headers...)
		}
	}
	for i, line := range strings.Split(script, "\n") {
		at := fmt.Sprintf("%s:%d", name, i+1)
		mark, text, _ := strings.Cut(line, " ")
		switch mark {
		case "", "#":
		case ">":
			parts := strings.Fields(text)
			method, target, as, body, headers, w = parts[0], parts[1], "", "", nil, nil
			if len(parts) == 4 && parts[2] == "as" {
				as = parts[3]
			}
		case "|":
			body += text + "\n"
		case "@":
			k, v, _ := strings.Cut(text, ": ")
			headers = append(headers, k, v)
		case "<":
			send()
			want, header, _ := strings.Cut(text, " ")
			if got := strconv.Itoa(w.Code); got != want {
				t.Errorf("%s: status %s, want %s\n%.600s", at, got, want, w.Body)
			}
			if k, v, ok := strings.Cut(header, ": "); ok && !strings.HasPrefix(w.Header().Get(k), v) {
				t.Errorf("%s: %s: %q, want %q", at, k, w.Header().Get(k), v)
			}
		case "=":
			send()
			if !strings.Contains(strings.ReplaceAll(w.Body.String(), "\u202f", " "), text) {
				t.Errorf("%s: %s %s lacks %q (%d bytes)", at, method, target, text, w.Body.Len())
			}
		case "!":
			send()
			if strings.Contains(w.Body.String(), text) {
				t.Errorf("%s: %s %s has %q", at, method, target, text)
			}
		default:
			t.Fatalf("%s: cannot read %q", at, line)
		}
	}
}

// routes are all GET addresses, with parameters that reach every branch.
var routes = []string{
	"/", "/?asn=64500&country=XS", "/figures", "/figures/infected-addresses", "/figures/infected-addresses?by=organisation&feed=x",
	"/figures/hacked-sites?by=region", "/figures/attack-attempts?by=asn", "/figures/nope", "/figures/c2-home?by=family",
	"/episodes", "/episodes?class=infection&state=open&started=1&q=a&asn=64500", "/episodes?page=2",
	"/events", "/events?class=infection&q=a&asn=64500&organisation=(unknown)", "/events?delivery=d1", "/events?page=2", "/events?limit=1",
	"/events/d1/1", "/events/d1/2", "/events/d1/3", "/events/d1/4", "/events/d1/5", "/events/d1/6", "/events/d9/1", "/events/x/y",
	"/statement", "/statement?from=2026-11-01&to=2026-11-10", "/statement?asn=1", "/records/infected-addresses-home", "/records/hosts-controlled-abroad", "/records/nope", "/api/v1/report?from=2026-11-01&to=2026-11-10",
	"/loss", "/loss?from=2026-11-01&to=2026-11-20", "/published", "/published/1", "/published/2", "/published/2?against=2", "/published/9", "/published/x", "/api/v1/published", "/api/v1/published/2",
	"/deliveries", "/deliveries?feed=shadowserver&state=loaded", "/deliveries/d1", "/deliveries/d77", "/quarantine", "/quarantine?delivery=d1",
	"/rates", "/rates?figure=attack-attempts&by=asn", "/rates?figure=c2-abroad", "/rates?by=sector", "/released", "/released?month=2026-10", "/released?month=2026-10&revision=1", "/released?month=1999-01",
	"/feeds", "/organisations", "/formats", "/about", "/healthz", "/metrics", "/nope", "/static/nope", "/events?from=x", "/events?what=1",
	"/api/v1/version", "/api/v1/deliveries/d1", "/api/v1/tokens", "/api/v1/audit", "/api/nope", "/%2e%2e/etc/passwd", "//events",
}

func hostileRoutes() []string {
	e := url.QueryEscape(evil)
	var out []string
	for _, p := range []string{
		"/?organisation=%s", "/events?q=%s", "/events?family=%s&region=!%s", "/figures/infected-addresses?sector=%s&by=%s", "/deliveries?feed=%s&state=%s",
		"/quarantine?reason=%s", "/quarantine?feed=%s", "/events?%s=1", "/events?format=%s", "/events?from=%s", "/events?asset=%s", "/deliveries/%s", "/figures/%s", "/events/%s/1",
		"/figures/infected-addresses?organisation=%s", "/events?organisation=%s", "/events?type=%s", "/nope/%s",
		"/rates?figure=%s", "/rates?by=%s", "/released?month=%s", "/released?month=2026-10&revision=%s",
	} {
		out = append(out, strings.ReplaceAll(p, "%s", e))
		out = append(out, strings.ReplaceAll(p, "%s", url.QueryEscape(strings.ToValidUTF8(evil, ""))))
	}
	return out
}

// TestHostileText puts markup, controls and bidirectional text into every
// field and parameter. No page may have an element, attribute or invisible
// character of it, nor a link that leaves this site.
func TestHostileText(t *testing.T) {
	t.Parallel()
	s := serverOf(t, hostile(), web.Config{})
	tag := regexp.MustCompile(`(?i)<(script|img|iframe|object|embed|style|base)|<meta http-equiv|\son\w+\s*=|style\s*=|srcdoc`)
	hrefs := regexp.MustCompile(`(?i)(?:href|action|src)="([^"]*)"`)
	pre := regexp.MustCompile(`(?s)<pre.*?</pre>`)
	pages := 0
	for _, target := range append(append([]string{}, routes...), hostileRoutes()...) {
		w := get(s, "admin", target)
		body := w.Body.String()
		for name := range w.Header() {
			if name == "Set-Cookie" {
				t.Errorf("%s: a header came from data", target)
			}
		}
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			continue
		}
		pages++
		// What html/template escaped is text; what is left is ours.
		text := strings.NewReplacer("&lt;", "", "&gt;", "", "&#34;", "", "&#39;", "").Replace(body)
		text = regexp.MustCompile(`>[^<]*<`).ReplaceAllString(text, "><")
		if strings.HasPrefix(target, "/api/v1/report") { // it stands alone, with our own style in it
			text = strings.Replace(text, "<style></style>", "", 1)
		}
		text = regexp.MustCompile(`(value|aria-label|title)="[^"]*"`).ReplaceAllString(text, "")
		if m := tag.FindString(text); m != "" {
			t.Errorf("%s: has %q", target, m)
		}
		if !utf8.ValidString(body) {
			t.Errorf("%s: not UTF-8", target)
		}
		for i, r := range body {
			if r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
				t.Errorf("%s: has the invisible %U near %q", target, r, body[max(0, i-60):i])
				break
			}
		}
		for _, m := range hrefs.FindAllStringSubmatch(body, -1) {
			if !strings.HasPrefix(m[1], "/") && !strings.HasPrefix(m[1], "#") || strings.HasPrefix(m[1], "//") {
				t.Errorf("%s: a link to %q", target, m[1])
			}
		}
		// Exact text stands in pre alone: the row as received and the IDF JSON.
		if rest := pre.ReplaceAllString(body, ""); strings.Contains(rest, "http://") {
			i := strings.Index(rest, "http://")
			t.Errorf("%s: a URL that is not defanged: %q", target, rest[max(0, i-60):min(len(rest), i+60)])
		}
	}
	if pages < 40 {
		t.Errorf("only %d pages were looked at", pages)
	}
	w := get(s, "admin", "/events/d1/4")
	for _, want := range []string{`\u202e`, `\u2066`, `\x1b`, `\x00`, `\xff`, `\r\n`, `\u200b`, `\u2028`, "hxxp://"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the event does not show %s", want)
		}
	}
}

// TestHeaders: every answer to every asker has the policy.
func TestHeaders(t *testing.T) {
	t.Parallel()
	s := serverOf(t, world(20, 8), web.Config{Hosts: web.LoopbackHosts()})
	const csp = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	n := 0
	check := func(what string, w *httptest.ResponseRecorder) {
		t.Helper()
		n++
		h := w.Header()
		if h.Get("Content-Security-Policy") != csp || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cross-Origin-Opener-Policy") != "same-origin" {
			t.Errorf("%s: headers %v", what, h)
		}
		if w.Code < 300 && h.Get("Content-Type") == "" && w.Body.Len() > 0 && !strings.Contains(what, "/metrics") {
			t.Errorf("%s: no content type", what)
		}
		if strings.Contains(w.Body.String(), " style=") || strings.Contains(w.Body.String(), "<script") {
			t.Errorf("%s: inline style or script", what)
		}
	}
	for as := range scopes {
		for _, target := range routes {
			for _, accept := range []string{"text/html", "application/json", "text/csv"} {
				check(as+" "+target, get(s, as, target, "Accept", accept))
			}
		}
	}
	check("no token", get(s, "", "/"))
	check("bad token", get(s, "wrong", "/"))
	check("post", ask(s, "admin", http.MethodPost, "/events", nil))
	check("other site", ask(s, "admin", http.MethodPost, "/api/v1/rebuild", nil, "Sec-Fetch-Site", "cross-site"))
	r := httptest.NewRequest(http.MethodGet, "http://evil.example/", nil)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	check("other host", w)
	if w.Code != http.StatusMisdirectedRequest {
		t.Errorf("another name was answered with %d", w.Code)
	}
	if n < 500 {
		t.Errorf("only %d answers", n)
	}
}

// TestScopes asks for every address in every form as everyone. Nobody but the
// team may see a marker of somebody else's rows, and an object that is not
// one's own answers as one that is not there.
func TestScopes(t *testing.T) {
	t.Parallel()
	f := world(40, 16)
	const marker = "MARKER"
	for i := range f.list {
		e := &f.list[i]
		if e.Note.Organisation != "org-03" {
			e.Family, e.DeliveryName, e.Source.FQDN, e.OrgName = marker, marker, marker, marker
			f.raw[fmt.Sprintf("%d/%d", e.Delivery, e.Row)] = []byte(marker)
		}
	}
	for i := range f.orgs {
		if f.orgs[i].ID != "org-03" {
			f.orgs[i].Name, f.orgs[i].Networks = marker, []string{marker}
		}
	}
	for i := range f.rows {
		f.rows[i].Name, f.rows[i].Reason = marker, marker
	}
	for i := range f.bad {
		f.bad[i].Raw, f.bad[i].Detail, f.bad[i].Reason = marker, marker, marker
	}
	for i := range f.feeds {
		f.feeds[i].Name = marker
	}
	f.mark = marker
	f.tokens = []web.Token{{ID: marker, Name: marker}}
	s := serverOf(t, f, web.Config{})
	targets := append([]string{}, routes...)
	for i := range f.list {
		if i%37 == 0 {
			targets = append(targets, fmt.Sprintf("/events/d%d/%d", f.list[i].Delivery, f.list[i].Row))
		}
	}
	for _, as := range []string{"", "org", "pusher", "nobody", "wrong"} {
		for _, target := range targets {
			for _, form := range []string{"", "json", "csv", "idf", "raw"} {
				u := target
				if form != "" {
					u += map[bool]string{true: "&", false: "?"}[strings.Contains(u, "?")] + "format=" + form
				}
				w := get(s, as, u)
				if strings.Contains(w.Body.String(), marker) {
					t.Errorf("%q sees another's data at %s", as, u)
				}
				if w.Code >= 500 {
					t.Errorf("%q %s: %d", as, u, w.Code)
				}
			}
		}
	}
	saw := 0
	for _, target := range targets {
		if strings.Contains(get(s, "analyst", target).Body.String(), marker) {
			saw++
		}
	}
	if saw < 10 {
		t.Errorf("the markers are on %d pages of the team: the test proves nothing", saw)
	}

	// Not yours and not there: the same status, body and headers.
	var foreign, own query.Event
	for _, e := range f.list {
		if e.Note.Organisation == "org-03" {
			own = e
		} else {
			foreign = e
		}
	}
	if w := get(s, "org", fmt.Sprintf("/events/d%d/%d", own.Delivery, own.Row)); w.Code != 200 {
		t.Errorf("one's own event: %d", w.Code)
	}
	a := get(s, "org", fmt.Sprintf("/events/d%d/%d", foreign.Delivery, foreign.Row))
	b := get(s, "org", "/events/d4000000/1")
	if a.Code != 404 || a.Body.String() != b.Body.String() || fmt.Sprint(a.Header()) != fmt.Sprint(b.Header()) {
		t.Errorf("not yours (%d) can be told from not there (%d)", a.Code, b.Code)
	}
}

// TestCSV: no cell of any CSV can be taken for a formula, and each gives its
// value back.
func TestCSV(t *testing.T) {
	t.Parallel()
	cells := []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", `"=1"`, " =1", "=cmd|' /C calc'!A0", "＝1", " \u00a0＋1", "'=1", "''", "\u200b=1", `" "=1`, "harmless", "", `a"b`, "a,b;=1"}
	for _, cell := range cells {
		f := world(3, 2)
		f.list = f.list[:1]
		e := &f.list[0]
		e.Family, e.Identifier, e.Source.FQDN, e.Source.URL, e.Note.Organisation, e.OrgName, e.Feed, e.Note.CC = cell, cell, cell, cell, cell, cell, cell, cell
		f.orgs = []web.Organisation{{ID: cell, Name: cell, Sector: cell, Networks: []string{cell}}}
		f.rows = f.rows[:1]
		f.rows[0].Name, f.rows[0].Reason = cell, cell
		f.bad = f.bad[:1]
		f.bad[0].Raw, f.bad[0].Reason = cell, cell
		f.feeds = f.feeds[:1]
		f.feeds[0].Name = cell
		f.mark = cell
		s := serverOf(t, f, web.Config{})
		found := 0
		for _, target := range []string{
			"/", "/loss", "/published", "/published/2", "/episodes", "/events", "/organisations", "/deliveries", "/quarantine", "/feeds", "/formats", "/figures/infected-addresses", "/figures/infected-addresses?by=family",
			"/rates", "/released", "/released?month=2026-10", "/statement", "/records/infected-addresses-home", "/records/attack-attempts-seen",
		} {
			w := get(s, "admin", target, "Accept", "text/csv")
			if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") {
				t.Fatalf("%s: %d %s", target, w.Code, w.Body)
			}
			raw := w.Body.String()
			// The reader folds \r\n inside a cell; none of the cells has that.
			rows, err := csv.NewReader(strings.NewReader(raw)).ReadAll()
			if err != nil {
				t.Fatalf("%s: %v\n%s", target, err, raw)
			}
			for _, row := range rows {
				for _, c := range row {
					if number(c) {
						continue
					}
					x := strings.TrimLeft(c, " \"\u00a0\u200b")
					if r, _ := utf8.DecodeRuneInString(x); x != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", r) {
						t.Errorf("%s: the cell %q is a formula", target, c)
					}
					if strings.TrimPrefix(c, "'") == cell {
						found++
					}
				}
			}
		}
		if found < 10 {
			t.Errorf("%q came back %d times", cell, found)
		}
	}
}

var numberRE = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

func number(s string) bool { return numberRE.MatchString(s) && s != "-1" && s != "+1" }

func TestNegotiation(t *testing.T) {
	t.Parallel()
	s := serverOf(t, world(5, 4), web.Config{})
	f := func(target, accept, want string) {
		t.Helper()
		w := get(s, "admin", target, "Accept", accept)
		if got, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";"); got != want {
			t.Errorf("%s with %.60q: %s, want %s", target, accept, got, want)
		}
		if w.Header().Get("Vary") != "Accept" {
			t.Errorf("%s: caches are not told", target)
		}
	}
	f("/", "", "text/html")
	f("/", "*/*", "text/html")
	f("/", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html")
	f("/", "application/json", "application/json")
	f("/", "text/csv", "text/csv")
	f("/", "text/html;q=0.5, application/json", "application/json")
	f("/", "application/json;q=0, text/html;q=0.1", "text/html")
	f("/", "application/pdf", "text/html")
	f("/?format=csv", "application/json", "text/csv")
	f("/events", "application/x-ndjson", "application/x-ndjson")
	f("/events?format=idf", "", "application/x-ndjson")
	f("/feeds", "application/x-ndjson", "text/html")
	f("/nope", "application/json", "application/problem+json")
	f("/nope", "text/html", "text/html")
	f("/", strings.Repeat("text/csv;q=2,", 5000), "text/html")
}

// TestExport: an export has every row of its page's total, and one that breaks
// off does not look whole.
func TestExport(t *testing.T) {
	t.Parallel()
	f := world(30, 40)
	s := serverOf(t, f, web.Config{})
	var page struct{ Total int }
	if err := json.Unmarshal(get(s, "admin", "/events?format=json&limit=1").Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(get(s, "admin", "/events?format=idf").Body.String(), "\n"), "\n")
	if len(lines) != page.Total || page.Total < 1000 {
		t.Errorf("%d lines of %d events", len(lines), page.Total)
	}
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Fatalf("not JSON: %s", l)
		}
	}
	rows, err := csv.NewReader(get(s, "admin", "/events?format=csv").Body).ReadAll()
	if err != nil || len(rows) != page.Total+1 {
		t.Errorf("%d rows of CSV, %v", len(rows)-1, err)
	}

	broken := world(30, 40)
	broken.breakAfter = 1100
	srv := httptest.NewServer(serverOf(t, broken, web.Config{}))
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/events?format=idf", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin")
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("an export that broke off came to a clean end")
	}
}

// TestFigureOpens follows every link from a breakdown row to its events: the
// list has as many as the row says.
func TestFigureOpens(t *testing.T) {
	t.Parallel()
	s := serverOf(t, world(40, 30), web.Config{})
	link := regexp.MustCompile(`<a href="(/events\?[^"]*)">([0-9\x{202f}]+)</a>`)
	n := 0
	for _, target := range []string{
		"/figures/infected-addresses?by=asn", "/figures/infected-addresses?by=family&sector=government", "/figures/c2-abroad?by=country", "/figures/c2-home?by=region",
		"/figures/hacked-sites?by=sector", "/figures/attack-attempts?by=feed", "/figures/exposed-services?by=organisation&region=!Westerly",
	} {
		w := get(s, "analyst", target)
		for _, m := range link.FindAllStringSubmatch(w.Body.String(), -1) {
			var page struct{ Total json.Number }
			u := html.UnescapeString(m[1])
			if err := json.Unmarshal(get(s, "analyst", u+"&format=json&limit=1").Body.Bytes(), &page); err != nil {
				t.Fatalf("%s: %v", u, err)
			}
			if want := strings.ReplaceAll(m[2], "\u202f", ""); page.Total.String() != want {
				t.Errorf("%s: %s says %s events, the list %s", target, u, want, page.Total)
			}
			n++
		}
	}
	if n < 40 {
		t.Errorf("only %d links", n)
	}
}

func TestUploads(t *testing.T) {
	t.Parallel()
	f := world(2, 2)
	s := serverOf(t, f, web.Config{MaxBody: 1 << 20, Uploads: 1})
	zip := []byte{0x1f, 0x8b, 8, 0, 1, 2, 3}
	w := ask(s, "pusher", http.MethodPost, "/api/v1/feeds/hpot/deliveries?name=x.csv.gz&wait=1", bytes.NewReader(zip), "Content-Encoding", "gzip")
	if w.Code != 201 || !bytes.Equal(f.bodies[0], zip) || f.ingested[0].ContentEncoding != "gzip" || f.ingested[0].Name != "x.csv.gz" {
		t.Errorf("%d %s: the bytes are not as they came: %x", w.Code, w.Body, f.bodies)
	}
	// A second one of the same asker is told to wait while the first is coming in.
	pr, pw := io.Pipe()
	done := make(chan int)
	go func() {
		done <- ask(s, "pusher", http.MethodPost, "/api/v1/feeds/hpot/deliveries", pr).Code
	}()
	if _, err := pw.Write([]byte("a")); err != nil { // the handler reads: it is in
		t.Fatal(err)
	}
	w = ask(s, "pusher", http.MethodPost, "/api/v1/feeds/hpot/deliveries", strings.NewReader("b"))
	if w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a second upload: %d %s", w.Code, w.Body)
	}
	_ = pw.Close()
	if code := <-done; code != 202 {
		t.Errorf("the first: %d", code)
	}
	if w = ask(s, "pusher", http.MethodPost, "/api/v1/feeds/hpot/deliveries", strings.NewReader("b")); w.Code != 202 {
		t.Errorf("after it: %d", w.Code)
	}
	w = ask(s, "pusher", http.MethodPost, "/api/v1/feeds/hpot/deliveries", io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), strings.NewReader("x")))
	if w.Code != 413 {
		t.Errorf("too large without a length: %d %s", w.Code, w.Body)
	}
	for _, tt := range []struct {
		err  error
		want int
	}{
		{web.ErrFull, 507},
		{web.ErrUnavailable, 503},
		{web.ErrBusy, 429},
		{web.ErrTooLarge, 413},
		{web.ErrConflict, 409},
		{web.ErrBadRequest, 400},
		{fmt.Errorf("feed x: %w: send CSV", web.ErrBadRequest), 400},
		{io.ErrUnexpectedEOF, 500},
	} {
		f.fail = tt.err
		w := ask(s, "pusher", http.MethodPost, "/api/v1/feeds/hpot/deliveries", strings.NewReader("b"))
		var p web.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != tt.want || p.Status != tt.want || p.Detail == "" || p.Title == "" || p.Type == "" {
			t.Errorf("%v: %d %s", tt.err, w.Code, w.Body)
		}
	}
}

// TestConditions: a condition written into an address is read back as it was.
func TestConditions(t *testing.T) {
	t.Parallel()
	f := world(1, 1)
	s := serverOf(t, f, web.Config{})
	rapid.Check(t, func(t *rapid.T) {
		org := rapid.OneOf(rapid.SampledFrom([]string{"", "!", "(unknown)", `\`, "!a", `\!a`, "&organisation=x", "a b+c%20"}), rapid.StringN(1, 20, 60)).Draw(t, "organisation")
		f.list = f.list[:1]
		f.list[0].Note.Organisation = org
		w := get(s, "admin", "/figures/infected-addresses?by=organisation")
		m := regexp.MustCompile(`<a href="(/events\?[^"]*organisation=[^"]*)">`).FindStringSubmatch(w.Body.String())
		if m == nil {
			t.Fatalf("no link for %q", org)
		}
		var page struct{ Total int }
		if err := json.Unmarshal(get(s, "admin", html.UnescapeString(m[1])+"&format=json").Body.Bytes(), &page); err != nil || page.Total != 1 {
			t.Fatalf("%q by %s: %d events, %v", org, m[1], page.Total, err)
		}
	})
}

// FuzzQuery: no query string makes a page fail or show what it should not.
func FuzzQuery(f *testing.F) {
	for _, r := range append(append([]string{}, routes...), hostileRoutes()...) {
		if _, q, ok := strings.Cut(r, "?"); ok {
			f.Add(q)
		}
	}
	for _, q := range []string{"page=10000", "page=-1", "limit=1000000", "from=0001-01-01", "to=9999-12-31", "from=2026-01-01&to=2000-01-01", "asn=AS1&asn=!2", "country=!", "delivery=d0", "asset=00", "class=", "%", "a;b", "q=%00", "by=&by=asn"} {
		f.Add(q)
	}
	w := world(4, 4)
	s := serverOf(f, w, web.Config{})
	f.Fuzz(func(t *testing.T, q string) {
		for _, p := range []string{"/", "/figures/hacked-sites", "/events", "/deliveries", "/quarantine", "/organisations", "/rates", "/released"} {
			for _, accept := range []string{"text/html", "application/json"} {
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.URL.Path, r.URL.RawQuery = p, q
				r.Header.Set("Authorization", "Bearer admin")
				r.Header.Set("Accept", accept)
				rec := httptest.NewRecorder()
				s.ServeHTTP(rec, r)
				if rec.Code != 200 && rec.Code != 400 && rec.Code != 404 {
					t.Errorf("%s?%s: %d %s", p, q, rec.Code, rec.Body)
				}
				for _, c := range rec.Body.String() {
					if strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") && c != '\n' && c != '\t' && unicode.In(c, unicode.Cc, unicode.Cf) {
						t.Errorf("%s?%s: invisible %U", p, q, c)
					}
				}
			}
		}
	})
}
