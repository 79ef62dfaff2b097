package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"tocsin/internal/archive"
	"tocsin/internal/enrich"
	"tocsin/internal/event"
	"tocsin/internal/refdata"
	"tocsin/internal/registry"
)

// enrichers makes the enricher of each version from the archive's contents,
// and keeps those in use.
type enrichers struct {
	log  *slog.Logger
	arch *archive.Archive
	reg  *registry.Registry

	mu     sync.Mutex
	tables map[string]*refdata.Tables       // by content
	orgs   map[string]*enrich.Organisations // by content
	made   map[uint32]*enrich.Enricher      // by version
}

func newEnrichers(log *slog.Logger, arch *archive.Archive, reg *registry.Registry) *enrichers {
	return &enrichers{log: log, arch: arch, reg: reg, tables: map[string]*refdata.Tables{}, orgs: map[string]*enrich.Organisations{}, made: map[uint32]*enrich.Enricher{}}
}

// of returns the enricher of a version. What is damaged in the archive is left
// out of it and told in the log: the rest is served, and `tocsin verify` names
// it. Bringing the same bytes in again heals it.
func (x *enrichers) of(version uint32) (*enrich.Enricher, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.made[version]; e != nil {
		return e, nil
	}
	v, ok := x.reg.EnrichmentOf(version)
	if !ok { // lines of the journal are damaged
		x.log.Error("the journal has lost a version of the reference data; the newest that it has is used", slog.Any("version", version))
		v, _ = x.reg.EnrichmentOf(x.reg.Enrichment())
	}
	var tables *refdata.Tables
	for _, sha := range v.Tables {
		t, ok := x.tables[sha]
		if !ok {
			b, err := x.content(sha)
			if err == nil {
				t, err = refdata.Load(b)
			}
			if x.lost(err, "reference data", sha, version) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("reference data %s: %w", sha, err)
			}
			x.tables[sha] = t
		}
		if tables == nil {
			tables = t
		} else {
			tables = tables.With(t)
		}
	}
	orgs := x.orgs[v.Organisations]
	if orgs == nil && v.Organisations != "" {
		b, err := x.content(v.Organisations)
		if err == nil {
			orgs, _, err = enrich.ParseOrganisations(bytes.NewReader(b))
		}
		if !x.lost(err, "organisations", v.Organisations, version) {
			if err != nil {
				return nil, fmt.Errorf("organisations %s: %w", v.Organisations, err)
			}
			x.orgs[v.Organisations] = orgs
		}
	}
	e := enrich.New(tables, orgs)
	x.made[version] = e
	return e, nil
}

// lost reports and logs that a content is damaged or gone.
func (x *enrichers) lost(err error, what, sha string, version uint32) bool {
	if !errors.Is(err, archive.ErrDamaged) && !errors.Is(err, archive.ErrNotFound) {
		return false
	}
	x.log.Error("what annotations are made of is damaged; they are made without it, and again with tocsin rebuild once it is whole",
		slog.String("what", what), slog.String("sha256", sha), slog.Any("version", version), slog.Any("error", err))
	return true
}

// content reads a content of the archive. The embedded tables are at hand even
// if it is damaged.
func (x *enrichers) content(sha string) ([]byte, error) {
	b, err := x.read(sha)
	if err != nil {
		embedded := refdata.EmbeddedBytes()
		if sum := sha256.Sum256(embedded); hex.EncodeToString(sum[:]) == sha {
			return embedded, nil
		}
	}
	return b, err
}

func (x *enrichers) read(sha string) ([]byte, error) {
	r, err := x.arch.Content(sha)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // read only
	return io.ReadAll(r)
}

// annotate returns the function of a version for the store.
func (x *enrichers) annotate(version uint32) (func(*event.Event, *event.Annotation), error) {
	e, err := x.of(version)
	if err != nil {
		return nil, err
	}
	return e.Annotate, nil
}

// current returns the newest version's enricher.
func (x *enrichers) current() (*enrich.Enricher, error) { return x.of(x.reg.Enrichment()) }

// ground journals the embedded reference tables, if they are not those that
// were journalled last, and the configuration.
func (a *App) ground(ctx context.Context) error {
	fresh := a.arch.Last() == 0
	b := refdata.EmbeddedBytes()
	sum := sha256.Sum256(b)
	sha := hex.EncodeToString(sum[:])
	have := ""
	if v, ok := a.reg.EnrichmentOf(a.reg.Enrichment()); ok && len(v.Tables) > 0 {
		have = v.Tables[0]
	}
	if have != sha {
		t, err := refdata.Embedded()
		if err != nil {
			return err
		}
		if err := a.journalContent(ctx, own, archive.KindRefdata, b, registry.Refdata{Source: "embedded", Version: t.Version()}); err != nil {
			return fmt.Errorf("journal the embedded reference data: %w", err)
		}
	}
	return a.configure(ctx, fresh)
}

// journalContent stores bytes and journals a line that rests on them.
func (a *App) journalContent(ctx context.Context, by string, kind archive.Kind, b []byte, data any) error {
	c, err := a.arch.Put(ctx, bytes.NewReader(b), 0)
	if err != nil {
		return err
	}
	return a.journal(ctx, by, kind, []string{c.SHA256}, data)
}

// journal appends a line that changes the registry, and applies it.
func (a *App) journal(ctx context.Context, by string, kind archive.Kind, contents []string, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	a.change.Lock()
	defer a.change.Unlock()
	ls, err := a.arch.Append(ctx, archive.Line{Kind: kind, By: by, Contents: contents, Data: b})
	if err != nil {
		return err
	}
	if err := a.reg.Apply(registryLine(&ls[0])); err != nil || kind != archive.KindConfig {
		return err
	}
	a.stand(ctx)
	return nil
}
