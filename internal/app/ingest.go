package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"tocsin/internal/archive"
	"tocsin/internal/decode"
	"tocsin/internal/event"
	"tocsin/internal/intake"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/registry"
	"tocsin/internal/store"
	"tocsin/internal/web"
)

// openDoors makes the services that deliveries come through, one for each way
// in, each with its own bounds.
func (a *App) openDoors() error {
	a.doors = map[string]*intake.Service{}
	for _, via := range []string{viaImport, viaPush, viaFolder} {
		d, err := a.door(via)
		if err != nil {
			return err
		}
		a.doors[via] = d
	}
	return nil
}

func (a *App) door(via string) (*intake.Service, error) {
	cfg := intake.DefaultServiceConfig()
	cfg.MaxBody = a.cfg.MaxBody
	return intake.NewService(cfg, intake.ServiceDeps{
		Sink:     sink{a, via},
		FormatOf: func(feed string) string { f, _ := a.reg.Feed(feed); return f.Format },
		Recognise: func(name string) (string, bool) {
			if _, ok := decode.ReportOf(name); ok {
				return "shadowserver", true
			}
			base := strings.ToLower(name)
			for _, end := range []string{".gz", ".zst"} {
				base = strings.TrimSuffix(base, end)
			}
			for _, end := range []string{".jsonl", ".ndjson", ".idf", ".json"} {
				if strings.HasSuffix(base, end) {
					return "idf", true
				}
			}
			return "", false
		},
	})
}

// sink archives and journals deliveries: behind it they are acked. Via says how
// they came.
type sink struct {
	app *App
	via string
}

// Ingest implements [intake.Sink].
func (x sink) Ingest(ctx context.Context, r intake.Request) (intake.Receipt, error) {
	a := x.app
	if _, err := decode.Lookup(r.Format); err != nil {
		return intake.Receipt{}, fmt.Errorf("%w: %w", intake.ErrRefused, err)
	}
	feed, err := a.feed(ctx, r.Feed, r.By, x.via)
	if err != nil {
		return intake.Receipt{}, unavailable(err)
	}
	b, rest, err := a.bodies.read(r.Body)
	if err != nil {
		return intake.Receipt{}, err
	}
	var c archive.Content
	switch {
	case rest != nil:
		c, err = a.arch.Put(ctx, io.MultiReader(bytes.NewReader(b), rest), a.cfg.MaxBody)
	case a.cfg.MaxBody > 0 && int64(len(b)) > a.cfg.MaxBody:
		err = fmt.Errorf("%w: more than %d bytes", archive.ErrTooLarge, a.cfg.MaxBody)
	default:
		c, err = a.arch.PutBytes(b)
	}
	if err != nil || rest != nil {
		a.bodies.recycle(b)
	}
	if err != nil {
		return intake.Receipt{}, unavailable(err)
	}
	if rest == nil { // before the road can see its line
		a.bodies.put(c.SHA256, b)
	}
	report, _ := decode.ReportOf(r.Name)
	if r.Format != "shadowserver" {
		report = ""
	}
	ls, err := a.arch.Append(ctx, archive.Line{Kind: archive.KindDelivery, By: r.By, Delivery: &archive.Delivery{
		Feed: r.Feed, Format: r.Format, Report: report, Name: r.Name, SHA256: c.SHA256, Size: c.Size, Intake: x.via,
		Marking: feed.Marking, Historical: feed.Historical, Enrichment: a.reg.Enrichment(), Versions: map[string]string{"tocsin": a.version}, Limits: feed.Limits,
	}})
	if err != nil {
		return intake.Receipt{}, unavailable(err)
	}
	a.stats.deliveries.WithLabelValues(x.via).Inc()
	return intake.Receipt{ID: ls[0].ID(), SHA256: c.SHA256}, nil
}

// unavailable gives the archive's refusal to ack the word that the intake
// knows.
func unavailable(err error) error {
	switch {
	case errors.Is(err, archive.ErrTooLarge), errors.Is(err, archive.ErrInvalid):
		return fmt.Errorf("%w: %w", intake.ErrRefused, err)
	case errors.Is(err, archive.ErrUnavailable), errors.Is(err, archive.ErrNoSpace), errors.Is(err, archive.ErrClosed):
		return fmt.Errorf("%w: %w", intake.ErrUnavailable, err)
	}
	return err
}

// feed returns the feed's settings. A feed that is not known is made, marked
// AMBER; one that files are imported for by hand may report what is old.
func (a *App) feed(ctx context.Context, name, by, via string) (registry.Feed, error) {
	if f, ok := a.reg.Feed(name); ok {
		return f, nil
	}
	f := registry.Feed{Name: name, Marking: event.Amber.String(), Historical: via == viaImport}
	return f, a.journal(ctx, by, archive.KindFeed, nil, f)
}

// The ways in, as the journal names them.
const (
	viaImport = "import"
	viaPush   = "push"
	viaFolder = "folder"
	viaDemo   = "demo"
)

// folderSink is the door for the watched folder.
type folderSink struct{ app *App }

// Ingest implements [intake.Sink].
func (x folderSink) Ingest(ctx context.Context, r intake.Request) (intake.Receipt, error) {
	if r.By == "" {
		r.By = "folder"
	}
	return x.app.doors[viaFolder].Ingest(ctx, r)
}

// Ingest implements [web.Backend].
func (a *App) Ingest(ctx context.Context, s policy.Scope, r web.IngestRequest) (query.Delivery, error) {
	if !s.MayPush(r.Feed) {
		return query.Delivery{}, fmt.Errorf("%w: the token does not name the feed %q", web.ErrForbidden, r.Feed)
	}
	via := viaPush
	if s.Who() == policy.Local().Who() {
		via = viaImport
	}
	return a.ingest(ctx, via, s.Who(), r)
}

func (a *App) ingest(ctx context.Context, via, by string, r web.IngestRequest) (query.Delivery, error) {
	rec, err := a.doors[via].Ingest(ctx, intake.Request{Feed: r.Feed, Format: r.Format, Name: r.Name, By: by, Body: r.Body})
	switch {
	case errors.Is(err, intake.ErrBusy):
		return query.Delivery{}, fmt.Errorf("%w: %w", web.ErrBusy, err)
	case errors.Is(err, archive.ErrNoSpace):
		return query.Delivery{}, fmt.Errorf("%w: %w", web.ErrFull, err)
	case errors.Is(err, intake.ErrUnavailable):
		if isFull(err) {
			return query.Delivery{}, fmt.Errorf("%w: %w", web.ErrFull, err)
		}
		return query.Delivery{}, fmt.Errorf("%w: %w", web.ErrUnavailable, err)
	case errors.Is(err, intake.ErrRefused):
		return query.Delivery{}, fmt.Errorf("%w: %w", web.ErrBadRequest, err)
	case err != nil:
		return query.Delivery{}, err
	}
	seq, err := parseDelivery(rec.ID)
	if err != nil {
		return query.Delivery{}, err
	}
	if !r.Wait { // the ack does not wait for the store, in whatever state that is
		l, err := a.line(ctx, seq)
		if err != nil {
			return query.Delivery{}, err
		}
		return deliveryOf(&l), nil
	}
	if err := a.road.settle(ctx, func(st *store.Store) bool { return st.Complete(seq) }); err != nil {
		return query.Delivery{}, fmt.Errorf("delivery %s is safe in the archive and is being loaded: %w", rec.ID, err)
	}
	return a.delivery(ctx, seq)
}

// parseDelivery reads "d12".
func parseDelivery(id string) (uint32, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(id, "d"), 10, 32)
	if err != nil || n == 0 || !strings.HasPrefix(id, "d") {
		return 0, fmt.Errorf("delivery %q: want d and a number, as `tocsin deliveries` lists them: %w", id, query.ErrNotFound)
	}
	return uint32(n), nil
}
