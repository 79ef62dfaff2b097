package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"tocsin/internal/policy"
	"tocsin/internal/query"
)

func (s *Server) apiRoutes() []pageRoute {
	admin := func(h handler) handler {
		return func(c *call) error {
			if !c.scope.Administers() {
				return refusal(c.scope)
			}
			return h(c)
		}
	}
	return []pageRoute{
		{path: "POST /api/v1/feeds/{feed}/deliveries", h: s.push},
		{path: "GET /api/v1/deliveries/{id}", h: s.delivered},
		{path: "GET /api/v1/version", h: s.version},
		{path: "GET /api/v1/report", h: s.report},
		{path: "POST /api/v1/deliveries/{id}/withdraw", h: admin(s.withdraw)},
		{path: "PUT /api/v1/feeds/{feed}", h: admin(s.setFeed)},
		{path: "POST /api/v1/breaks/{id}", h: admin(s.decideBreak)},
		{path: "POST /api/v1/organisations", h: admin(s.importOrganisations)},
		{path: "POST /api/v1/refdata", h: admin(s.importRefdata)},
		{path: "POST /api/v1/refdata/{kind}", h: admin(s.importFacts)},
		{path: "POST /api/v1/releases/{month}", h: admin(s.release)},
		{path: "PUT /api/v1/loss", h: admin(s.setLoss)},
		{path: "POST /api/v1/published", h: admin(s.publish)},
		{path: "GET /api/v1/published", h: s.publishedList},
		{path: "GET /api/v1/published/{rev}", h: s.publishedDocument},
		{path: "GET /api/v1/tokens", h: admin(s.tokens)},
		{path: "POST /api/v1/tokens", h: admin(s.createToken)},
		{path: "DELETE /api/v1/tokens/{id}", h: admin(s.revokeToken)},
		{path: "POST /api/v1/reenrich", h: admin(s.reenrich)},
		{path: "POST /api/v1/rebuild", h: admin(s.rebuild)},
		{path: "POST /api/v1/verify", h: admin(s.verify)},
		{path: "POST /api/v1/backup", h: admin(s.backup)},
		{path: "GET /api/v1/audit", h: admin(s.audit)},
	}
}

// Sizes of request bodies, in bytes.
const (
	maxJSON          = 64 << 10
	maxOrganisations = 256 << 20
	maxRefdata       = 1 << 30
)

// Uploads are held to a pace: a minute, and then as long as they bring this
// many bytes a second.
const (
	uploadGrace = 60 * time.Second
	uploadPace  = 16 << 10
)

// pacer extends the deadline of a body by what has come, so that a large
// delivery may take its time and a trickle may not.
type pacer struct {
	body  io.ReadCloser
	rc    *http.ResponseController
	start time.Time
	n     int64
}

func newPacer(w http.ResponseWriter, body io.ReadCloser) *pacer {
	p := &pacer{body: body, rc: http.NewResponseController(w), start: time.Now()}
	p.extend()
	return p
}

func (p *pacer) extend() {
	// Not every connection has deadlines; the server's own holds then.
	_ = p.rc.SetReadDeadline(p.start.Add(uploadGrace + time.Duration(p.n/uploadPace)*time.Second))
}

func (p *pacer) Read(b []byte) (int, error) {
	n, err := p.body.Read(b)
	before := p.n / uploadPace
	p.n += int64(n)
	if p.n/uploadPace != before {
		p.extend()
	}
	return n, err
}

func (p *pacer) Close() error { return p.body.Close() }

// enter counts an upload in, and returns false for one too many.
func (s *Server) enter(who string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[who] >= s.cfg.Uploads {
		return false
	}
	s.uploads[who]++
	return true
}

func (s *Server) leave(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[who]--; s.uploads[who] == 0 {
		delete(s.uploads, who)
	}
}

// push takes a delivery. Its answer is 202 once it is acked, or 201 once it is
// loaded where wait=true asks for that.
func (s *Server) push(c *call) error {
	v, err := parseQuery(c.r.URL.RawQuery, "name", "format", "wait")
	if err != nil {
		return err
	}
	feed := c.r.PathValue("feed")
	if !c.scope.MayPush(feed) {
		if c.scope.Who() == "public" {
			return ErrUnauthorised
		}
		return fmt.Errorf("%w: your token may not push to the feed %q; ask an admin for one that may", ErrForbidden, visible(clip(64, feed)))
	}
	if feed == "" || len(feed) > 128 || visible(feed) != feed || !utf8.ValidString(feed) {
		return fmt.Errorf("%w: the name of a feed is 1 to 128 printable characters", ErrBadRequest)
	}
	wait := false
	if x := v.Get("wait"); x != "" {
		if wait, err = strconv.ParseBool(x); err != nil {
			return fmt.Errorf("%w: wait=%s: want true or false", ErrBadRequest, x)
		}
	}
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err == nil && strings.HasPrefix(kind, "multipart/") {
		return fmt.Errorf("%w: send the file itself as the body (curl --data-binary @FILE) and not a form", ErrBadRequest)
	}
	enc := strings.ToLower(c.r.Header.Get("Content-Encoding"))
	switch enc {
	case "", "gzip", "zstd":
	case "identity":
		enc = ""
	default:
		return fmt.Errorf("%w: Content-Encoding %q: want gzip, zstd or none", ErrBadRequest, visible(clip(64, enc)))
	}
	if c.r.ContentLength > s.cfg.MaxBody {
		return fmt.Errorf("%w: %s bytes; at most %s bytes for one delivery", ErrTooLarge, group(strconv.FormatInt(c.r.ContentLength, 10)), group(strconv.FormatInt(s.cfg.MaxBody, 10)))
	}
	if !s.enter(c.scope.Who()) {
		return fmt.Errorf("%w: %d deliveries of yours are coming in already; send this one when one of them is done", ErrBusy, s.cfg.Uploads)
	}
	defer s.leave(c.scope.Who())

	longWork(c.w) // loading may take longer than a page
	body := http.MaxBytesReader(c.w, newPacer(c.w, c.r.Body), s.cfg.MaxBody)
	d, err := s.back.Ingest(c.r.Context(), c.scope, IngestRequest{
		Feed: feed, Format: v.Get("format"), Name: v.Get("name"), Body: body, Wait: wait, ContentEncoding: enc,
	})
	if err != nil {
		if mbe, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return fmt.Errorf("%w: at most %s bytes for one delivery", ErrTooLarge, group(strconv.FormatInt(mbe.Limit, 10)))
		}
		return fmt.Errorf("take delivery: %w", err)
	}
	c.w.Header().Set("Location", "/api/v1/deliveries/"+d.ID)
	status := http.StatusAccepted
	if wait && d.State != query.StateWaiting && d.State != query.StateLoading {
		status = http.StatusCreated
	}
	return c.answer(status, d)
}

func longWork(w http.ResponseWriter) {
	// Not every connection has deadlines; the server's own holds then.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
}

func (c *call) answer(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(b, '\n')) // the client is gone: nothing to tell it
	return nil
}

// read decodes a small JSON body. Fields that are not known and text after the
// value are refused: a misspelt setting must not pass in silence.
func (c *call) read(v any) error {
	d := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, maxJSON))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: the body is empty; JSON is wanted", ErrBadRequest)
		}
		return fmt.Errorf("%w: body: %w", ErrBadRequest, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: body: text after the JSON value", ErrBadRequest)
	}
	return nil
}

func (s *Server) delivered(c *call) error {
	id := c.r.PathValue("id")
	if _, err := parseDelivery(id); err != nil {
		return errNoPage
	}
	d, err := s.back.Delivery(c.r.Context(), c.scope, id)
	if err != nil {
		return fmt.Errorf("delivery %s: %w", id, err)
	}
	return c.answer(http.StatusOK, d)
}

func (s *Server) version(c *call) error {
	st, err := s.back.Status(c.r.Context(), c.scope)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return c.answer(http.StatusOK, st)
}

func (s *Server) withdraw(c *call) error {
	var in struct {
		Why string `json:"why"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if strings.TrimSpace(in.Why) == "" {
		return fmt.Errorf("%w: say why: the reason is journalled with the withdrawal", ErrBadRequest)
	}
	id := c.r.PathValue("id")
	if _, err := parseDelivery(id); err != nil {
		return errNoPage
	}
	d, err := s.back.Withdraw(c.r.Context(), c.scope, id, in.Why)
	if err != nil {
		return fmt.Errorf("withdraw %s: %w", id, err)
	}
	return c.answer(http.StatusOK, d)
}

func (s *Server) setFeed(c *call) error {
	var in FeedSettings
	if err := c.read(&in); err != nil {
		return err
	}
	in.Name = c.r.PathValue("feed")
	f, err := s.back.SetFeed(c.r.Context(), c.scope, in)
	if err != nil {
		return fmt.Errorf("feed %s: %w", in.Name, err)
	}
	return c.answer(http.StatusOK, f)
}

func (s *Server) importOrganisations(c *call) error {
	longWork(c.w)
	body := http.MaxBytesReader(c.w, newPacer(c.w, c.r.Body), maxOrganisations)
	res, err := s.back.ImportOrganisations(c.r.Context(), c.scope, body)
	if err != nil {
		return fmt.Errorf("organisations: %w", err)
	}
	res.Rows = notNil(res.Rows)
	return c.answer(http.StatusOK, res)
}

func (s *Server) importRefdata(c *call) error {
	v, err := parseQuery(c.r.URL.RawQuery, "name")
	if err != nil {
		return err
	}
	longWork(c.w)
	body := http.MaxBytesReader(c.w, newPacer(c.w, c.r.Body), maxRefdata)
	if err := s.back.ImportRefdata(c.r.Context(), c.scope, v.Get("name"), body); err != nil {
		return fmt.Errorf("reference data: %w", err)
	}
	src, err := s.back.Sources(c.r.Context(), c.scope)
	if err != nil {
		return fmt.Errorf("reference data: %w", err)
	}
	return c.answer(http.StatusOK, struct {
		Sources []Source `json:"sources"`
	}{notNil(src)})
}

func (s *Server) tokens(c *call) error {
	ts, err := s.back.Tokens(c.r.Context(), c.scope)
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	ts = notNil(ts)
	for i := range ts {
		ts[i].Secret = ""
	}
	return c.answer(http.StatusOK, struct {
		Tokens []Token `json:"tokens"`
	}{ts})
}

func (s *Server) createToken(c *call) error {
	var in TokenRequest
	if err := c.read(&in); err != nil {
		return err
	}
	role, ok := policy.ParseRole(in.Role)
	switch {
	case strings.TrimSpace(in.Name) == "":
		return fmt.Errorf("%w: name: say what the token is for", ErrBadRequest)
	case !ok:
		return fmt.Errorf("%w: role %q: want admin, analyst, organisation or public", ErrBadRequest, visible(clip(64, in.Role)))
	case role == policy.Organisation && len(in.Organisations) == 0:
		return fmt.Errorf("%w: organisations: a token of the role organisation needs at least one", ErrBadRequest)
	case in.Days < 0 || in.Days > 365:
		return fmt.Errorf("%w: days: want 1 to 365, or 0 for the default", ErrBadRequest)
	}
	t, err := s.back.CreateToken(c.r.Context(), c.scope, in)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	return c.answer(http.StatusCreated, t)
}

func (s *Server) revokeToken(c *call) error {
	id := c.r.PathValue("id")
	if err := s.back.RevokeToken(c.r.Context(), c.scope, id); err != nil {
		return fmt.Errorf("token %s: %w", id, err)
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) reenrich(c *call) error {
	return long(s, c, func(p func(Progress)) (Result, error) { return s.back.Reenrich(c.r.Context(), c.scope, p) })
}

func (s *Server) rebuild(c *call) error {
	return long(s, c, func(p func(Progress)) (Result, error) { return s.back.Rebuild(c.r.Context(), c.scope, p) })
}

func (s *Server) verify(c *call) error {
	return long(s, c, func(p func(Progress)) (VerifyResult, error) {
		r, err := s.back.Verify(c.r.Context(), c.scope, p)
		r.Damaged = notNil(r.Damaged)
		return r, err
	})
}

func (s *Server) backup(c *call) error {
	if c.scope.Who() != policy.Local().Who() {
		return fmt.Errorf("%w: a backup is written on the server's machine: run `tocsin backup` there", ErrForbidden)
	}
	var in struct {
		Dir string `json:"dir"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if !filepath.IsAbs(in.Dir) || filepath.Clean(in.Dir) != in.Dir {
		return fmt.Errorf("%w: dir: want an absolute path in its shortest form", ErrBadRequest)
	}
	return long(s, c, func(p func(Progress)) (Result, error) { return s.back.Backup(c.r.Context(), c.scope, in.Dir, p) })
}

// long runs long work. Whoever accepts application/x-ndjson gets lines
// {"progress":…} while it runs and one {"result":…} or {"problem":…} at its
// end; others get the result alone.
func long[T any](s *Server, c *call, work func(func(Progress)) (T, error)) error {
	longWork(c.w)
	if !strings.Contains(clipHeader(c.r.Header.Get("Accept")), "application/x-ndjson") {
		res, err := work(func(Progress) {})
		if err != nil {
			return err
		}
		return c.answer(http.StatusOK, res)
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	rc := http.NewResponseController(c.w)
	var mu sync.Mutex
	write := func(name string, v any) {
		mu.Lock()
		defer mu.Unlock()
		b, err := json.Marshal(map[string]any{name: v})
		if err != nil {
			return
		}
		_, _ = c.w.Write(append(b, '\n')) // the client is gone: nothing to tell it
		_ = rc.Flush()
	}
	res, err := work(func(p Progress) { write("progress", p) })
	if err != nil {
		p := s.problem(err)
		if p.Status >= 500 {
			s.logError(c.r.Context(), c, p, err)
		}
		write("problem", p)
		return nil
	}
	write("result", res)
	return nil
}

func (s *Server) audit(c *call) error {
	v, err := parseQuery(c.r.URL.RawQuery, "limit")
	if err != nil {
		return err
	}
	var limit, offset int
	if _, err := pageOf(v, &limit, &offset); err != nil {
		return err
	}
	lines, err := s.back.Audit(c.r.Context(), c.scope, limit)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return c.answer(http.StatusOK, struct {
		Audit []AuditLine `json:"audit"`
	}{notNil(lines)})
}
