package app

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// server serves an app as cmd/tocsin does on loopback.
func server(tb testing.TB, r *running, hosts ...string) *httptest.Server {
	tb.Helper()
	h, err := web.New(r.App.log, web.Config{Hosts: hosts}, web.Deps{Backend: r.App, Auth: r.Authenticator(), Metrics: r.Metrics()})
	if err != nil {
		tb.Fatal(err)
	}
	s := httptest.NewServer(h)
	tb.Cleanup(s.Close)
	return s
}

// asking is a request as somebody makes it.
type asking struct {
	token  string
	host   string // "" for the server's own
	header [2]string
}

// answer is what came back, with all headers in the text.
type answerOf struct {
	status int
	text   string
}

func (a asking) do(tb testing.TB, s *httptest.Server, method, path string, body []byte) answerOf {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	if a.host != "" {
		req.Host = a.host
	}
	if a.header[0] != "" {
		req.Header.Set(a.header[0], a.header[1])
	}
	res, err := s.Client().Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	text := string(b)
	for k, v := range res.Header {
		text += "\n" + k + ": " + strings.Join(v, ", ")
	}
	return answerOf{res.StatusCode, text}
}

func (r *running) token(tb testing.TB, q web.TokenRequest) string {
	tb.Helper()
	t, err := r.CreateToken(tb.Context(), localScope, q)
	if err != nil {
		tb.Fatal(err)
	}
	return t.Secret
}

// TestListen refuses to listen elsewhere than on loopback until somebody can
// be told from anybody.
func TestListen(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(time.Now().Unix())
	r := begin(t, smallConfig(t.TempDir()), Deps{Clock: func() time.Time { return time.Unix(now.Load(), 0) }})
	check := func(open bool, why string) {
		t.Helper()
		for _, a := range []string{"127.0.0.1:8480", "127.8.9.10:1", "[::1]:8480", "localhost:8480"} {
			if err := r.Listenable(a); err != nil {
				t.Errorf("%s: %s: %v", why, a, err)
			}
		}
		for _, a := range []string{"0.0.0.0:8480", "[::]:8480", ":8480", "192.0.2.7:80", "[2001:db8::1]:443", "console.example:80", "localhost.example:80"} {
			if err := r.Listenable(a); (err == nil) != open {
				t.Errorf("%s: %s: %v", why, a, err)
			}
		}
		for _, a := range []string{"", "8480", "[::1:8480", "127.0.0.1"} {
			if err := r.Listenable(a); err == nil {
				t.Errorf("%s: %q is taken for an address", why, a)
			}
		}
	}
	check(false, "no token")
	r.token(t, web.TokenRequest{Name: "sensor", Role: "analyst", Feeds: []string{"f"}})
	check(false, "a token that may push alone")
	r.token(t, web.TokenRequest{Name: "ann", Role: "analyst", Read: true, Days: 2})
	check(true, "a token that may read")
	now.Add(3 * 86400)
	check(false, "a token that has expired")
	tok, err := r.CreateToken(t.Context(), localScope, web.TokenRequest{Name: "bea", Role: "admin", Read: true})
	if err != nil {
		t.Fatal(err)
	}
	check(true, "a new token")
	if err := r.RevokeToken(t.Context(), localScope, tok.ID); err != nil {
		t.Fatal(err)
	}
	check(false, "a token that was taken back")
}

// TestLoopback trusts the person at the keyboard while there are no users, and
// nobody whom a proxy or a foreign name brings.
func TestLoopback(t *testing.T) {
	t.Parallel()
	r := begin(t, smallConfig(t.TempDir()), Deps{})
	guarded, open := server(t, r, web.LoopbackHosts()...), server(t, r)
	const admin = "/api/v1/tokens" // for admins alone
	if a := (asking{}).do(t, guarded, "GET", admin, nil); a.status != http.StatusOK {
		t.Errorf("the person at the keyboard: %d %s", a.status, a.text)
	}
	for _, h := range []string{"localhost", "LOCALHOST:8480", "[::1]:8480", "127.0.0.1"} {
		if a := (asking{host: h}).do(t, guarded, "GET", "/healthz", nil); a.status != http.StatusOK {
			t.Errorf("host %s: %d", h, a.status)
		}
	}
	others := []asking{
		{header: [2]string{"X-Forwarded-For", "192.0.2.1"}},
		{header: [2]string{"X-Forwarded-For", "127.0.0.1"}},
		{header: [2]string{"X-Real-IP", "127.0.0.1"}},
		{header: [2]string{"Forwarded", "for=127.0.0.1"}},
		{header: [2]string{"Via", "1.1 proxy"}},
		{host: "console.example"},
		{host: "127.0.0.1.nip.example:80"},
		{host: "localhost.example"},
		{host: "0.0.0.0"},
	}
	for _, o := range others {
		for _, s := range []*httptest.Server{guarded, open} {
			for _, q := range [][2]string{{"GET", admin}, {"GET", "/api/v1/audit"}, {"GET", "/metrics"}, {"POST", "/api/v1/verify"}, {"POST", "/api/v1/feeds/f/deliveries?format=idf"}} {
				if a := o.do(t, s, q[0], q[1], []byte("{}\n")); a.status != http.StatusUnauthorized && a.status != http.StatusForbidden && a.status != http.StatusMisdirectedRequest {
					t.Errorf("%+v %s: %d, want to be refused", o, q, a.status)
				}
			}
		}
	}
	if a := (asking{host: "console.example"}).do(t, guarded, "GET", "/", nil); a.status != http.StatusMisdirectedRequest {
		t.Errorf("a foreign name: %d, want 421", a.status)
	}
	for _, h := range [][2]string{{"Origin", "http://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
		if a := (asking{header: h}).do(t, guarded, "POST", "/api/v1/verify", nil); a.status != http.StatusForbidden {
			t.Errorf("a foreign page's POST (%s): %d, want 403", h, a.status)
		}
	}
	secret := r.token(t, web.TokenRequest{Name: "ann", Role: "admin", Read: true})
	if a := (asking{}).do(t, guarded, "GET", admin, nil); a.status != http.StatusUnauthorized {
		t.Errorf("there are users, and nobody is asked who he is: %d", a.status)
	}
	if a := (asking{token: secret}).do(t, guarded, "GET", admin, nil); a.status != http.StatusOK || strings.Contains(a.text, secret) {
		t.Errorf("with a token: %d %s", a.status, a.text)
	}
	for _, bad := range []string{secret + "x", secret[:len(secret)-1], "tsn_", "x"} {
		if a := (asking{token: bad}).do(t, guarded, "GET", "/", nil); a.status != http.StatusUnauthorized {
			t.Errorf("the token %q: %d, want 401", bad, a.status)
		}
	}
}

// TestPushToken lets a token push to the feeds that it names, see what it
// pushed, and nothing else.
func TestPushToken(t *testing.T) {
	t.Parallel()
	r := begin(t, smallConfig(t.TempDir()), Deps{})
	s := server(t, r)
	p := parcelOf(0, 1, 50)
	mine := r.mustSend(t, p)[0] // by somebody else
	if _, err := r.SetFeed(t.Context(), localScope, web.FeedSettings{Name: "feed-1", Historical: new(true)}); err != nil {
		t.Fatal(err)
	}
	push := asking{token: r.token(t, web.TokenRequest{Name: "sensor", Role: "public", Feeds: []string{"feed-1"}})}
	var got query.Delivery
	for _, q := range []struct {
		feed string
		want int
	}{{"feed-1", http.StatusCreated}, {"feed-2", http.StatusForbidden}, {"feed-11", http.StatusForbidden}, {"FEED-1", http.StatusForbidden}, {"feed-1%2F..%2Ffeed-2", http.StatusForbidden}, {"*", http.StatusForbidden}} {
		a := push.do(t, s, "POST", "/api/v1/feeds/"+q.feed+"/deliveries?wait=true&name="+url.QueryEscape(p.name), p.body)
		if a.status != q.want {
			t.Errorf("push to %s: %d, want %d: %s", q.feed, a.status, q.want, a.text)
		}
		if a.status == http.StatusCreated {
			if err := json.NewDecoder(strings.NewReader(a.text)).Decode(&got); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got.State != query.StateLoaded || got.Accepted == 0 || got.Accepted+got.Duplicate+got.Quarantined != got.Received || got.By != "sensor" {
		t.Errorf("%+v", got)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write(p.body)
	_ = w.Close()
	g := push
	g.header = [2]string{"Content-Encoding", "gzip"}
	if a := g.do(t, s, "POST", "/api/v1/feeds/feed-1/deliveries?wait=true&name="+url.QueryEscape(p.name), zipped.Bytes()); a.status != http.StatusCreated || !strings.Contains(a.text, `"accepted":0`) {
		t.Errorf("pushed again as gzip: %d %s", a.status, a.text)
	}
	for path, want := range map[string]int{
		"/api/v1/deliveries/" + got.ID: http.StatusOK,
		"/api/v1/deliveries/" + mine:   http.StatusNotFound,
		"/api/v1/deliveries/d9999":     http.StatusNotFound,
		"/api/v1/tokens":               http.StatusForbidden,
		"/metrics":                     http.StatusForbidden,
		"/events/" + got.ID + "/1":     http.StatusNotFound,
	} {
		if a := push.do(t, s, "GET", path, nil); a.status != want {
			t.Errorf("GET %s: %d, want %d", path, a.status, want)
		}
	}
	if a := push.do(t, s, "GET", "/events?format=json", nil); strings.Contains(a.text, `"id"`) && strings.Contains(a.text, "240.") {
		t.Errorf("a token that may not read sees events: %s", clip([]byte(a.text), 300))
	}
	if a := push.do(t, s, "POST", "/api/v1/deliveries/"+got.ID+"/withdraw", []byte(`{"why":"mine"}`)); a.status != http.StatusForbidden {
		t.Errorf("withdraw by a push token: %d", a.status)
	}
}

// owned makes a delivery of rows of one /24 with a marker in every cell that
// takes text.
func owned(feed, name, marker string, net, rows int) parcel {
	var b strings.Builder
	b.WriteString(`"timestamp","severity","protocol","src_ip","src_port","src_asn","src_geo","src_region","src_city","src_hostname","dst_ip","dst_port","dst_hostname","infection","family","tag","http_url","http_host","http_agent","new_column"` + "\n")
	low := strings.ToLower(marker)
	for i := range rows {
		fmt.Fprintf(&b, `"%s 0%d:00:00","critical","tcp","10.9.%d.%d",%d,64512,"XS","R %s","C %s","h%d.%s.example","198.51.100.%d",80,"d.%s.example","%s-i","%s-f","%s-t","/%s","w.%s.example","%s-agent","%s-new"`+"\n",
			testDay.Format(time.DateOnly), i%10, net, i+1, 1024+i, marker, marker, i, low, i%200, low, low, low, marker, marker, low, marker, marker)
	}
	fmt.Fprintf(&b, `"not a time","critical","tcp","%s"`+"\n", marker)
	return parcel{feed: feed, name: name, body: []byte(b.String())}
}

// TestOrganisationToken walks every address that can be read with the token of
// one organisation: nothing comes back that was written into another's rows,
// into rows of nobody, or into rows for the team alone, and what is another's
// cannot be told from what is not there.
func TestOrganisationToken(t *testing.T) {
	t.Parallel()
	cfg := smallConfig(filepath.Join(t.TempDir(), "data"))
	r := begin(t, cfg, Deps{})
	ctx := t.Context()
	list := `organisation,name,sector,region,network,contact
org-a,Alpha mark-a,education,north,10.9.1.0/24,abuse@mark-a.example
org-b,Beta mark-b,mark-b-sector,mark-b-region,10.9.2.0/24,abuse@mark-b.example
`
	if _, err := r.ImportOrganisations(ctx, localScope, strings.NewReader(list)); err != nil {
		t.Fatal(err)
	}
	red := "RED"
	if _, err := r.SetFeed(ctx, localScope, web.FeedSettings{Name: "red", Marking: &red, Historical: new(true)}); err != nil {
		t.Fatal(err)
	}
	day := testDay.Format(time.DateOnly)
	file := func(s string) string { return day + "-event4_sinkhole_http-" + s + ".csv" }
	ids := map[string]string{}
	for _, p := range []struct {
		of, feed string
		net      int
	}{{"a", "shared", 1}, {"b", "shared", 2}, {"n", "shared", 3}, {"r", "red", 1}} {
		ids[p.of] = r.mustSend(t, owned(p.feed, file("mark-"+p.of), "MARK-"+strings.ToUpper(p.of), p.net, 12))[0]
	}
	r.settle(t)
	ds := r.deliveries(t)
	for of, id := range ids {
		if d := ds[id]; d.Accepted != 12 || d.Quarantined != 1 {
			t.Fatalf("%s: %+v", of, d)
		}
	}
	s := server(t, r)
	a := asking{token: r.token(t, web.TokenRequest{Name: "alpha", Role: "organisation", Organisations: []string{"org-a"}, Read: true})}
	boss := asking{token: r.token(t, web.TokenRequest{Name: "boss", Role: "admin", Read: true})}
	nobody := asking{header: [2]string{"X-Forwarded-For", "192.0.2.1"}}

	forbidden := []string{"mark-b", "mark-n", "mark-r"}
	span := "from=" + day + "&to=" + day
	paths := []string{
		"/", "/?" + span, "/figures?" + span, "/figures", "/events", "/events?" + span, "/deliveries", "/deliveries?state=loaded", "/deliveries?feed=red", "/quarantine", "/quarantine?feed=shared",
		"/quarantine?reason=time", "/feeds", "/organisations", "/formats", "/about", "/static/none", "/nothing",
		"/events?organisation=org-b", "/events?organisation=!org-a", "/events?organisation=(unknown)", "/events?family=mark-b-f", "/events?feed=red", "/events?sector=mark-b-sector",
		"/?organisation=org-b", "/?organisation=!org-a",
		"/api/v1/tokens", "/api/v1/audit", "/api/v1/version", "/metrics", "/healthz",
	}
	for _, id := range []string{"infected-addresses", "c2-home", "hacked-sites", "nothing"} {
		paths = append(paths, "/figures/"+id+"?"+span)
		for _, by := range query.Dims {
			paths = append(paths, "/figures/"+id+"?"+span+"&by="+string(by), "/figures/"+id+"?"+span+"&by="+string(by)+"&organisation=org-b")
		}
	}
	for _, by := range query.Dims {
		paths = append(paths, "/?"+span+"&by="+string(by))
	}
	for _, id := range append([]string{"d9999", "d1", "d0", "x"}, ids["a"], ids["b"], ids["n"], ids["r"]) {
		paths = append(paths, "/deliveries/"+id, "/events?delivery="+id, "/quarantine?delivery="+id, "/api/v1/deliveries/"+id)
		for _, row := range []string{"1", "12", "13", "99"} {
			paths = append(paths, "/events/"+id+"/"+row)
		}
	}
	seen, asked := map[string]bool{}, 0
	for _, p := range paths {
		for _, format := range []string{"html", "json", "csv", "idf", "raw"} {
			q := p + "?format=" + format
			if strings.Contains(p, "?") {
				q = p + "&format=" + format
			}
			for who, as := range map[string]asking{"alpha": a, "nobody": nobody} {
				if !full() && who == "nobody" && format != "json" && strings.Contains(p, "by=") {
					continue
				}
				got := as.do(t, s, "GET", q, nil)
				asked++
				text := strings.ToLower(got.text)
				for _, f := range append(forbidden, map[string][]string{"nobody": {"mark-a", "10.9."}, "alpha": {"10.9.2.", "10.9.3."}}[who]...) {
					if strings.Contains(text, f) && !strings.Contains(strings.ToLower(q), f) {
						at := strings.Index(text, f)
						t.Errorf("%s gets %s at %s: ...%s", who, f, q, clip([]byte(text[max(0, at-80):]), 160))
					}
				}
				if got.status >= 500 {
					t.Errorf("%s at %s: %d", who, q, got.status)
				}
				if who == "alpha" && strings.Contains(text, "mark-a") {
					seen[strings.SplitN(p, "?", 2)[0]] = true
				}
			}
		}
	}
	for _, want := range []string{"/events", "/events/" + ids["a"] + "/1", "/organisations", "/figures/infected-addresses"} {
		if !seen[want] {
			t.Errorf("the organisation does not see its own at %s: the test shows nothing", want)
		}
	}
	// Another's is like absent: the same answer but for the address itself.
	for _, kind := range []string{"/events/%s/1", "/deliveries/%s", "/api/v1/deliveries/%s"} {
		for _, format := range []string{"html", "json", "raw"} {
			absent := a.do(t, s, "GET", fmt.Sprintf(kind, "d9999")+"?format="+format, nil)
			for _, of := range []string{"b", "n", "r"} {
				got := a.do(t, s, "GET", fmt.Sprintf(kind, ids[of])+"?format="+format, nil)
				if got.status != absent.status || len(stripped(got.text, ids[of])) != len(stripped(absent.text, "d9999")) {
					t.Errorf(kind+" as %s: %d for another's, %d for what is not there", ids[of], format, got.status, absent.status)
				}
				if format == "json" && got.status != http.StatusNotFound {
					t.Errorf(kind+": %d, want 404", ids[of], got.status)
				}
			}
		}
	}
	// The totals under every filter are those of its own rows.
	scope := policy.For("alpha", policy.Organisation, []string{"org-a"}, nil, true)
	for text, want := range map[string]int64{"": 12, "10.9.1.0/24": 12, "10.9.2.0/24": 0, "10.9.0.0/16": 12, "mark-b-f": 0, "mark-a-f": 12} {
		_, n, err := r.Events(ctx, scope, query.Events{Text: text, Limit: 5})
		if err != nil || n != want {
			t.Errorf("%q finds %d events, want %d: %v", text, n, want, err)
		}
	}
	// And the admin sees all of it, so there was something to find.
	all := boss.do(t, s, "GET", "/events?format=json", nil).text + boss.do(t, s, "GET", "/quarantine?format=json", nil).text
	for _, f := range append(forbidden, "mark-a") {
		if !strings.Contains(strings.ToLower(all), f) {
			t.Errorf("the admin does not see %s", f)
		}
	}
	t.Logf("%d answers", asked)
}

// stripped takes out what differs by the address asked for.
func stripped(text, id string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.HasPrefix(line, "Date: ") && !strings.HasPrefix(line, "Content-Length: ") {
			out = append(out, strings.ReplaceAll(line, id, "ID"))
		}
	}
	return strings.Join(out, "\n")
}
