package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"tocsin/internal/app"
	"tocsin/internal/web"
)

// client talks to tocsin: to the running server through its socket, or to the
// program itself where none runs. Both answer alike.
type client struct {
	http  *http.Client
	close func()
}

// exists tells a data directory from a slip of the pen: a command that only
// reads makes none.
func (g *globals) exists() error {
	es, err := os.ReadDir(g.Data)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no data directory %s: name yours with --data DIR or TOCSIN_DATA; `tocsin import` and `tocsin serve` make a new one", g.Data)
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	known := len(es) == 0
	for _, e := range es {
		known = known || e.Name() == "archive" || e.Name() == configName
	}
	if !known {
		return fmt.Errorf("%s holds no data of tocsin: name another directory with --data DIR or TOCSIN_DATA", g.Data)
	}
	return nil
}

// running reports whether a server listens for commands.
func (g *globals) running() bool {
	path, forget, err := socketAddress(g.Data)
	if err != nil {
		return false
	}
	defer forget()
	c, err := net.Dial("unix", path) //nolint:noctx // a file on this machine
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// connect finds the server, or opens the data directory and loads what waits
// in it.
func connect(ctx context.Context, g *globals) (*client, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		path, forget, err := socketAddress(g.Data)
		if err != nil {
			return nil, err
		}
		defer forget()
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	if c, err := dial(ctx, "", ""); err == nil {
		_ = c.Close()
		tr := &http.Transport{DialContext: dial}
		return &client{http: &http.Client{Transport: tr}, close: tr.CloseIdleConnections}, nil
	}
	if _, err := os.Stat(filepath.Dir(g.Data)); err != nil {
		return nil, fmt.Errorf("data directory %s: %w: name another with --data", g.Data, err)
	}
	cfg, err := loadConfig(g.Data)
	if err != nil {
		return nil, err
	}
	cfg.Inbox = "-"
	log := g.logger(slog.LevelWarn)
	a, err := app.Open(ctx, log, cfg.app(g.Data), app.Deps{Truth: (&truths{}).of})
	if err != nil {
		return nil, err
	}
	own := cfg
	own.Hosts, own.Listen, own.frank = nil, "", true
	s, err := newServer(log, a, own)
	if err != nil {
		a.Close()
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.Run(run); err != nil {
			log.LogAttrs(run, slog.LevelError, "loading stopped", slog.Any("error", err))
		}
	}()
	c := &client{http: &http.Client{Transport: direct{s}}, close: func() { stop(); <-done; a.Close() }}
	if err := a.Settled(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// direct is a transport that calls a handler in this process.
type direct struct{ h http.Handler }

// RoundTrip implements [http.RoundTripper].
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	pr, pw := io.Pipe()
	w := &pipeWriter{h: http.Header{}, pw: pw, ready: make(chan struct{})}
	r = r.WithContext(app.Local(r.Context()))
	r.RemoteAddr, r.RequestURI = "local", r.URL.RequestURI()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	go func() {
		defer func() {
			if v := recover(); v != nil {
				w.WriteHeader(http.StatusInternalServerError)
				_ = pw.CloseWithError(fmt.Errorf("the answer was cut off: %v", v))
			}
		}()
		d.h.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		_ = pw.Close()
	}()
	<-w.ready
	return &http.Response{StatusCode: w.code, Status: http.StatusText(w.code), Header: w.h, Body: pr, Request: r, ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1}, nil
}

// pipeWriter is a response on its way to [direct]'s caller.
type pipeWriter struct {
	h     http.Header
	pw    *io.PipeWriter
	once  sync.Once
	code  int
	ready chan struct{}
}

// Header implements [http.ResponseWriter].
func (w *pipeWriter) Header() http.Header { return w.h }

// WriteHeader implements [http.ResponseWriter].
func (w *pipeWriter) WriteHeader(code int) {
	w.once.Do(func() { w.code = code; close(w.ready) })
}

// Write implements [http.ResponseWriter].
func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pw.Write(b)
}

// Flush implements [http.Flusher]: nothing is held back.
func (w *pipeWriter) Flush() {}

// SetReadDeadline and SetWriteDeadline are for [http.ResponseController]: there
// is no connection that could be slow.
func (w *pipeWriter) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is as SetReadDeadline.
func (w *pipeWriter) SetWriteDeadline(time.Time) error { return nil }

// errNotFound is what a command gets for something that is not there; it says
// better what.
var errNotFound = errors.New("there is no such thing")

// open sends a request and returns the body of its answer, or the error that
// the answer tells.
func (c *client) open(ctx context.Context, method, path string, q url.Values, body io.Reader, header ...string) (io.ReadCloser, error) {
	u := "http://tocsin" + path
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.http.Do(r)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return nil, err
	}
	if res.StatusCode >= 400 {
		defer res.Body.Close() //nolint:errcheck // read only
		var p web.Problem
		b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		if res.StatusCode == http.StatusNotFound {
			return nil, errNotFound
		}
		if json.Unmarshal(b, &p) == nil && p.Detail != "" {
			return nil, errors.New(p.Detail)
		}
		return nil, fmt.Errorf("%s %s: %d", method, path, res.StatusCode)
	}
	return res.Body, nil
}

// get reads a JSON document into v.
func (c *client) get(ctx context.Context, path string, q url.Values, v any) error {
	return c.do(ctx, http.MethodGet, path, q, nil, v)
}

// do sends in as JSON and reads a JSON document into v; either may be nil.
func (c *client) do(ctx context.Context, method, path string, q url.Values, in, v any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	rc, err := c.open(ctx, method, path, q, body, "Accept", "application/json", "Content-Type", "application/json")
	if err != nil {
		return err
	}
	defer rc.Close() //nolint:errcheck // read only
	if v == nil {
		return nil
	}
	return json.NewDecoder(rc).Decode(v)
}

// copyTo prints an answer as it comes.
func (c *client) copyTo(ctx context.Context, w io.Writer, path string, q url.Values) error {
	rc, err := c.open(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return err
	}
	defer rc.Close() //nolint:errcheck // read only
	b := bufio.NewWriterSize(w, 64<<10)
	if _, err := io.Copy(b, rc); err != nil {
		return err
	}
	return b.Flush()
}

// work runs long work and shows how far it has come. The result goes into v.
func (c *client) work(ctx context.Context, g *globals, what, path string, in, v any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	rc, err := c.open(ctx, http.MethodPost, path, nil, bytes.NewReader(b), "Accept", "application/x-ndjson", "Content-Type", "application/json")
	if err != nil {
		return err
	}
	defer rc.Close() //nolint:errcheck // read only
	p := newProgress(g, what)
	defer p.end()
	dec := json.NewDecoder(rc)
	for {
		var line struct {
			Progress *web.Progress   `json:"progress"`
			Result   json.RawMessage `json:"result"`
			Problem  *web.Problem    `json:"problem"`
		}
		if err := dec.Decode(&line); err != nil {
			return fmt.Errorf("%s ended without an answer: %w", what, err)
		}
		switch {
		case line.Progress != nil:
			p.unit = line.Progress.Unit
			p.show(line.Progress.Done, line.Progress.Total)
		case line.Problem != nil:
			return errors.New(line.Problem.Detail)
		case line.Result != nil:
			return json.Unmarshal(line.Result, v)
		}
	}
}

// progress shows rate and time left on a terminal, and nothing elsewhere.
type progress struct {
	what, unit string
	started    time.Time
	last       time.Time
	on, drawn  bool
}

func newProgress(g *globals, what string) *progress {
	return &progress{what: what, started: time.Now(), on: !g.Quiet && !g.JSON && term.IsTerminal(int(os.Stderr.Fd()))}
}

func (p *progress) show(done, total int64) {
	if !p.on || time.Since(p.last) < 200*time.Millisecond {
		return
	}
	p.last, p.drawn = time.Now(), true
	rate := float64(done) / max(time.Since(p.started).Seconds(), 0.001)
	s := fmt.Sprintf("%s: %d %s, %.0f a second", p.what, done, p.unit, rate)
	if total > 0 && rate > 0 {
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		s = fmt.Sprintf("%s: %d of %d %s, %.0f a second, %s left", p.what, done, total, p.unit, rate, left.Round(time.Second))
	}
	fmt.Fprintf(os.Stderr, "\r\x1b[K%s", s)
}

// note says what is done now, where nobody knows how long it takes.
func (p *progress) note(what string) {
	if p.on {
		p.last, p.drawn = time.Now(), true
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s: %s", p.what, what)
	}
}

func (p *progress) end() {
	if p.drawn {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
		p.drawn = false
	}
}

func printJSON(v any) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// plain makes text from outside safe for a terminal: control characters and
// those that change the direction of text become visible escapes.
func plain(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x200e && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
