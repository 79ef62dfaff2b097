package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
)

//go:embed templates static
var files embed.FS

// Config is what an operator may set. The zero value of each field means the default.
type Config struct {
	MaxBody int64 // bytes of one delivery as it comes; default 1 GiB
	Uploads int   // deliveries that one asker may be sending at a time; default 8
	// Hosts are the names that requests may be for, without ports; others are
	// refused, so that no foreign page can reach a console on loopback by
	// pointing its own name there. Empty: any.
	Hosts []string
	// Budget is the time that one question may take; default 30 s. Exports and
	// long work are not bound by it.
	Budget time.Duration
	// Frank tells the asker what went wrong within, which otherwise the log
	// alone is told: for the socket of the directory's owner.
	Frank bool
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{MaxBody: 1 << 30, Uploads: 8, Budget: 30 * time.Second}
}

// LoopbackHosts are the names of a console on loopback.
func LoopbackHosts() []string { return []string{"localhost", "127.0.0.1", "::1"} }

// Deps is what the pages need.
type Deps struct {
	Backend Backend
	Auth    Authenticator
	Metrics http.Handler // Prometheus; nil for none
	// IDF writes one event as a line of IDF JSON without its newline; nil for
	// [event.AppendIDF].
	IDF func(dst []byte, e *event.Event, feed string) []byte
}

// Server is the pages and the API. It is an [http.Handler], safe for
// concurrent use.
type Server struct {
	log  *slog.Logger
	cfg  Config
	back Backend
	auth Authenticator
	idf  func(dst []byte, e *event.Event, feed string) []byte

	pages   map[string]*template.Template
	assets  map[string]asset // by path
	css     string           // path of the stylesheet, with its checksum
	handler http.Handler

	mu      sync.Mutex
	uploads map[string]int // deliveries that are coming in, by asker; held by mu
}

type asset struct {
	kind string
	body []byte
}

// New returns the server; it starts nothing.
func New(log *slog.Logger, cfg Config, deps Deps) (*Server, error) {
	def := DefaultConfig()
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = def.MaxBody
	}
	if cfg.Uploads <= 0 {
		cfg.Uploads = def.Uploads
	}
	if cfg.Budget <= 0 {
		cfg.Budget = def.Budget
	}
	if deps.Backend == nil || deps.Auth == nil {
		return nil, errors.New("web: a backend and an authenticator are needed")
	}
	if deps.IDF == nil {
		deps.IDF = event.AppendIDF
	}
	s := &Server{
		log: log, cfg: cfg, back: deps.Backend, auth: deps.Auth, idf: deps.IDF,
		pages: map[string]*template.Template{}, assets: map[string]asset{}, uploads: map[string]int{},
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	s.handler = s.routes(deps.Metrics)
	return s, nil
}

func (s *Server) load() error {
	for _, a := range []struct{ name, kind string }{
		{"style.css", "text/css; charset=utf-8"},
		{"icon.svg", "image/svg+xml"},
	} {
		b, err := files.ReadFile("static/" + a.name)
		if err != nil {
			return fmt.Errorf("web: %w", err)
		}
		name, ext, _ := strings.Cut(a.name, ".")
		h := sha256.Sum256(b)
		path := "/static/" + name + "." + hex.EncodeToString(h[:6]) + "." + ext
		s.assets[path] = asset{a.kind, b}
		if a.name == "style.css" {
			s.css = path
		} else {
			s.assets["/favicon.ico"] = asset{a.kind, b}
			s.assets["/static/icon.svg"] = asset{a.kind, b}
		}
	}
	funcs := template.FuncMap{
		"vis": visible, "defang": defang, "clip": clip, "cut": cut,
		"int":     func(n int64) string { return group(strconv.FormatInt(n, 10)) },
		"count":   func(n int) string { return group(strconv.Itoa(n)) },
		"whole":   whole,
		"num":     func(n figure.Number) string { return group(n.String()) },
		"signed":  signed,
		"percent": func(r figure.Ratio) string { return group(r.Percent()) },
		"grown":   grown,
		"at": func(t time.Time) string {
			if t.IsZero() {
				return ""
			}
			return t.UTC().Format("2006-01-02 15:04:05")
		},
		"minute": func(t time.Time) string {
			if t.IsZero() {
				return ""
			}
			return t.UTC().Format("2006-01-02 15:04")
		},
		"iso": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"words": func(v any) string {
			switch v := v.(type) {
			case *figure.Decimal:
				return figure.Words(*v)
			case figure.Decimal:
				return figure.Words(v)
			}
			return ""
		},
		"compared": compared,
		"short":    func(sha string) string { return sha[:min(12, len(sha))] },
	}
	base, err := template.New("layout.html").Funcs(funcs).ParseFS(files, "templates/layout.html")
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	entries, err := files.ReadDir("templates")
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	for _, e := range entries {
		if e.Name() == "layout.html" {
			continue
		}
		t, err := base.Clone()
		if err != nil {
			return fmt.Errorf("web: %w", err)
		}
		if s.pages[strings.TrimSuffix(e.Name(), ".html")], err = t.ParseFS(files, "templates/"+e.Name()); err != nil {
			return fmt.Errorf("web: %w", err)
		}
	}
	return nil
}

// HTTPServer returns the configuration of a listener for h: times that bound
// slow clients. Uploads and exports extend theirs while they move.
func HTTPServer(addr string, h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Addr: addr, Handler: h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      90 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// call is one request with its asker.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	scope  policy.Scope
	status Status
	as     string // html, json, csv, idf or raw
}

type handler func(c *call) error

func (s *Server) routes(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	for path, a := range s.assets {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", a.kind)
			w.Header().Set("Cache-Control", "public, max-age=86400")
			if path == s.css {
				w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
		})
	}
	for _, p := range s.pageRoutes() {
		mux.Handle("GET "+p.path, s.page(p.h, p.forms))
	}
	for _, p := range s.apiRoutes() {
		mux.Handle(p.path, s.api(p.h))
	}
	mux.HandleFunc("GET /healthz", s.healthz)
	if metrics != nil {
		mux.Handle("GET /metrics", s.api(func(c *call) error {
			if !c.scope.All() {
				return refusal(c.scope)
			}
			metrics.ServeHTTP(c.w, c.r)
			return nil
		}))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		// Which methods an address knows is no secret: they are the same for all.
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			probe := r.Clone(r.Context())
			probe.Method = http.MethodGet
			if _, pattern := mux.Handler(probe); pattern != "/" {
				w.Header().Set("Allow", "GET, HEAD")
				writeProblem(w, Problem{"about:blank", "Method Not Allowed", "This address can only be read.", http.StatusMethodNotAllowed})
				return
			}
		}
		if strings.HasPrefix(r.URL.Path, "/api/") {
			s.api(func(*call) error { return errNoPage }).ServeHTTP(w, r)
			return
		}
		s.page(func(*call) error { return errNoPage }, formsAll).ServeHTTP(w, r)
	})
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, Problem{"about:blank", "Forbidden", "This request comes from another site's page.", http.StatusForbidden})
	}))
	return s.outer(cross.Handler(mux))
}

// outer sets what holds for every answer, those to bad requests included.
func (s *Server) outer(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hd := w.Header()
		hd.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		hd.Set("X-Content-Type-Options", "nosniff")
		hd.Set("Referrer-Policy", "no-referrer")
		hd.Set("Cross-Origin-Opener-Policy", "same-origin")
		hd.Set("Cross-Origin-Resource-Policy", "same-origin")
		hd.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		hd.Set("Cache-Control", "no-store")
		ctx := r.Context()
		defer func() {
			if v := recover(); v != nil {
				s.panicked(ctx, w, r.URL.Path, v)
			}
		}()
		if !s.host(r.Host) {
			writeProblem(w, Problem{"about:blank", "Misdirected Request", "This server does not answer for that name. Use one of: " + strings.Join(s.cfg.Hosts, ", ") + ".", http.StatusMisdirectedRequest})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// panicked answers for a handler that panicked; where the answer had begun, the
// connection is cut, so that half an answer does not look whole.
func (s *Server) panicked(ctx context.Context, w http.ResponseWriter, path string, v any) {
	err, ok := v.(error)
	if ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	s.log.LogAttrs(ctx, slog.LevelError, "handler panicked", slog.String("path", path), slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	if w.Header().Get("Content-Type") != "" {
		panic(http.ErrAbortHandler)
	}
	writeProblem(w, problemOf(fmt.Errorf("panic: %v", v)))
}

func (s *Server) host(host string) bool {
	if len(s.cfg.Hosts) == 0 {
		return true
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	return slices.Contains(s.cfg.Hosts, host)
}

// page answers in the form that the asker wants, errors included.
func (s *Server) page(h handler, forms []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: w, r: r, as: "html"}
		w.Header().Add("Vary", "Accept")
		err := s.prepare(r.Context(), c)
		if err == nil {
			if c.as, err = negotiate(r, forms); err == nil {
				ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Budget)
				defer cancel()
				if !streams(c.as) {
					c.r = r.WithContext(ctx)
				}
				err = h(c)
			}
		} else if as, nerr := negotiate(r, forms); nerr == nil {
			c.as = as
		}
		if err != nil {
			s.fail(r.Context(), c, err)
		}
	})
}

// streams reports the forms that may be long.
func streams(as string) bool { return as == "idf" || as == "csv" || as == "raw" }

// api answers in JSON.
func (s *Server) api(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: w, r: r, as: "json"}
		var err error
		if c.scope, err = s.auth.Scope(r); err == nil {
			err = h(c)
		}
		if err != nil {
			s.fail(r.Context(), c, err)
		}
	})
}

func (s *Server) prepare(ctx context.Context, c *call) (err error) {
	if c.scope, err = s.auth.Scope(c.r); err != nil {
		return err
	}
	if c.status, err = s.back.Status(ctx, c.scope); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return nil
}

func (s *Server) fail(ctx context.Context, c *call, err error) {
	p := s.problem(err)
	if p.Status >= 500 && ctx.Err() == nil {
		s.logError(ctx, c, p, err)
	}
	if c.as != "html" {
		writeProblem(c.w, p)
		return
	}
	if c.status.Version == "" { // before the status was known: the banner stands on this page too
		if st, serr := s.back.Status(ctx, policy.Scope{}); serr == nil {
			c.status = Status{Simulated: st.Simulated, Version: st.Version}
		}
	}
	problemHeaders(c.w, p)
	if rerr := s.render(c, p.Status, "error", p.Title, p); rerr != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "error page", slog.Any("error", rerr))
		writeProblem(c.w, p)
	}
}

// problem is [problemOf], with the text of an internal error where the asker
// may have it.
func (s *Server) problem(err error) Problem {
	p := problemOf(err)
	if s.cfg.Frank && p.Status == http.StatusInternalServerError {
		p.Detail = err.Error()
	}
	return p
}

func (s *Server) logError(ctx context.Context, c *call, p Problem, err error) {
	s.log.LogAttrs(ctx, slog.LevelError, "request", slog.String("method", c.r.Method), slog.String("path", c.r.URL.Path),
		slog.String("who", c.scope.Who()), slog.Int("status", p.Status), slog.Any("error", err))
}

// refusal is the answer to an action that the asker may not take: those
// without a token are told to send one.
func refusal(sc policy.Scope) error {
	if sc.Who() == "public" {
		return ErrUnauthorised
	}
	return ErrForbidden
}

// view is what the layout takes.
type view struct {
	Title   string
	Status  Status
	CSS     string
	Nav     []navItem
	Alt     []link // other forms of this page
	Content any
}

type navItem struct {
	Href, Text string
	Here       bool
}

type link struct{ Href, Text string }

var nav = []link{
	{"/statement", "Statement"},
	{"/", "Figures"},
	{"/rates", "Rates"},
	{"/released", "Released"},
	{"/published", "Published"},
	{"/episodes", "Episodes"},
	{"/coverage", "Coverage"},
	{"/events", "Events"},
	{"/loss", "Loss"},
	{"/deliveries", "Deliveries"},
	{"/quarantine", "Quarantine"},
	{"/feeds", "Feeds"},
	{"/organisations", "Organisations"},
	{"/formats", "Formats"},
	{"/about", "About"},
}

// teamOnly are the pages that only those who see everything are led to.
var teamOnly = map[string]bool{"/statement": true, "/published": true, "/loss": true}

// render writes a page. What would be invisible or would move text is written
// out in the page as a whole, so no template can forget it.
func (s *Server) render(c *call, status int, name, title string, content any, alt ...string) error {
	v := view{Title: title, Status: c.status, CSS: s.css, Content: content}
	for _, l := range nav {
		if teamOnly[l.Href] && !c.scope.All() {
			continue
		}
		here := c.r.URL.Path == l.Href || l.Href != "/" && strings.HasPrefix(c.r.URL.Path, l.Href+"/") || l.Href == "/" && strings.HasPrefix(c.r.URL.Path, "/figures/") ||
			l.Href == "/statement" && strings.HasPrefix(c.r.URL.Path, "/records/")
		v.Nav = append(v.Nav, navItem{l.Href, l.Text, here})
	}
	for _, a := range alt {
		q := c.r.URL.Query()
		q.Set("format", a)
		v.Alt = append(v.Alt, link{c.r.URL.Path + "?" + q.Encode(), formNames[a]})
	}
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "layout.html", v); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	c.w.WriteHeader(status)
	_, _ = io.WriteString(c.w, reveal(b.String(), true)) // the client is gone: nothing to tell it
	return nil
}

// Forms of pages.
var (
	formsAll  = []string{"html", "json", "csv"}
	formsPage = []string{"html", "json"}
	formNames = map[string]string{"json": "JSON", "csv": "CSV", "idf": "IDF JSON lines", "raw": "Raw row"}
	formTypes = map[string]string{
		"text/html": "html", "application/xhtml+xml": "html", "*/*": "html", "text/*": "html", "application/json": "json", "application/*": "json",
		"text/csv": "csv", "application/x-ndjson": "idf", "application/jsonl": "idf",
	}
)

// negotiate finds the form of the answer: format= wins over the Accept header,
// whose first of the highest weight that there is wins.
func negotiate(r *http.Request, forms []string) (string, error) {
	if q := r.URL.RawQuery; len(q) <= maxQuery && strings.Contains(q, "format=") {
		if f := r.URL.Query().Get("format"); f != "" {
			if !slices.Contains(forms, f) {
				return "", fmt.Errorf("%w: format=%s: this page comes as %s", ErrBadRequest, visible(clip(20, f)), strings.Join(forms, ", "))
			}
			return f, nil
		}
	}
	best, weight := "html", -1.0
	for part := range strings.SplitSeq(clipHeader(r.Header.Get("Accept")), ",") {
		kind, params, _ := strings.Cut(part, ";")
		f, ok := formTypes[strings.ToLower(strings.TrimSpace(kind))]
		if !ok || !slices.Contains(forms, f) {
			continue
		}
		w := 1.0
		for p := range strings.SplitSeq(params, ";") {
			if v, is := strings.CutPrefix(strings.TrimSpace(p), "q="); is {
				n, err := strconv.ParseFloat(v, 64)
				if err != nil || n < 0 || n > 1 {
					n = 0
				}
				w = n
			}
		}
		if w > weight && w > 0 {
			best, weight = f, w
		}
	}
	return best, nil
}

// clipHeader drops a header that is longer than any honest one: a part of it
// could mean something else.
func clipHeader(s string) string {
	if len(s) > 1024 {
		return ""
	}
	return s
}

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	if err := s.back.Health(ctx); err != nil {
		// Anyone may ask, so only whether, and not why.
		p := problemOf(err)
		if p.Status != http.StatusInsufficientStorage {
			p.Status = http.StatusServiceUnavailable
		}
		writeProblem(w, Problem{"about:blank", http.StatusText(p.Status), "Deliveries cannot be acked now; the log says why.", p.Status})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n") // the client is gone: nothing to tell it
}
