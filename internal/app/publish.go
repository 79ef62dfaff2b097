package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/semaphore"

	"tocsin/internal/archive"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/registry"
	"tocsin/internal/store"
	"tocsin/internal/web"
)

// publication makes the document that is published: its bytes, and what they
// were made from. It is called while nothing is loaded or taken out; Through and
// Program are filled in by the caller.
type publication func(ctx context.Context, s policy.Scope, p query.Period) (doc []byte, in query.RevisionInputs, err error)

// publishTries is how often a publication waits again for what came meanwhile.
const publishTries = 20

// turnstile keeps publications apart from withdrawals: between a withdrawal's line
// and the delivery's leaving the store there is no figure of the journal.
type turnstile struct{ w *semaphore.Weighted }

func newTurnstile() turnstile { return turnstile{semaphore.NewWeighted(math.MaxInt64)} }

// shared waits until no publication is under way.
func (t turnstile) shared(ctx context.Context) (done func(), err error) { return t.take(ctx, 1) }

// alone waits until no withdrawal is under way.
func (t turnstile) alone(ctx context.Context) (done func(), err error) {
	return t.take(ctx, math.MaxInt64)
}

func (t turnstile) take(ctx context.Context, n int64) (done func(), err error) {
	if err := t.w.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { t.w.Release(n) }, nil
}

// Publish implements [web.Backend].
func (a *App) Publish(ctx context.Context, s policy.Scope, p query.Period, why string) (query.Revision, error) {
	if err := admin(s); err != nil {
		return query.Revision{}, err
	}
	why = strings.TrimSpace(why)
	if err := (figure.Params{Period: p}).Validate(); err != nil {
		return query.Revision{}, fmt.Errorf("%w: %w", web.ErrBadRequest, err)
	}
	if len(why) > maxWhy || !utf8.ValidString(why) {
		return query.Revision{}, fmt.Errorf("%w: the reason: want UTF-8 of at most %d bytes", web.ErrBadRequest, maxWhy)
	}
	done, err := a.alone() // the versions of what is loaded stay as they are
	if err != nil {
		return query.Revision{}, err
	}
	defer done()
	open, err := a.turnstile.alone(ctx)
	if err != nil {
		return query.Revision{}, err
	}
	defer open()
	doc, in, err := a.document(ctx, s, p)
	if err != nil {
		return query.Revision{}, err
	}
	sum := sha256.Sum256(doc)
	all := a.reg.Published()
	x := registry.Published{
		Revision: len(all) + 1, From: p.From, To: p.To, SHA256: hex.EncodeToString(sum[:]), Size: len(doc), Why: why, Inputs: registryInputs(in), Differs: []string{},
	}
	if n := len(all); n > 0 {
		x.Revision = all[n-1].Revision + 1
	}
	if last := lastOf(all, p); last != nil {
		if last.SHA256 == x.SHA256 {
			r := revisions(all)[slices.IndexFunc(all, func(o registry.Published) bool { return o.Revision == last.Revision })]
			r.Unchanged = true
			return r, nil
		}
		x.Supersedes = last.Revision
		if err := a.compare(&x, doc); err != nil {
			return query.Revision{}, err
		}
		if why == "" {
			return query.Revision{}, fmt.Errorf("%w: %s to %s was published as revision %d, and %s now: say why with --why TEXT", web.ErrConflict, p.From, p.To, last.Revision, differing(&x))
		}
	}
	if err := a.journalContent(ctx, s.Who(), archive.KindPublished, doc, x); err != nil {
		return query.Revision{}, err
	}
	list := revisions(a.reg.Published())
	return list[len(list)-1], nil
}

func differing(x *registry.Published) string {
	if len(x.Differs) == 0 {
		return "what stands around the figures is another"
	}
	return strings.Join(x.Differs, ", ") + " differ"
}

// compare fills in what differs from the revision that x supersedes.
func (a *App) compare(x *registry.Published, doc []byte) error {
	before, err := a.published(x.Supersedes)
	if err != nil {
		return err
	}
	list, rest, err := figure.Differences(before, doc)
	if err != nil {
		return err
	}
	for _, d := range list {
		if !slices.Contains(x.Differs, d.Figure) {
			x.Differs = append(x.Differs, d.Figure)
		}
	}
	x.Rest = rest
	return nil
}

// document makes the document of a moment at which all that is journalled is in,
// and nothing is loaded or taken out until it is made. Acks go on meanwhile.
func (a *App) document(ctx context.Context, s policy.Scope, p query.Period) (doc []byte, in query.RevisionInputs, err error) {
	for range publishTries {
		since := a.arch.Last()
		if err := a.road.settled(ctx); err != nil {
			return nil, in, err
		}
		still := false
		if err := a.road.while(ctx, func(context.Context) error {
			through := a.arch.Last()
			if still, err = a.stands(ctx, since, through); err != nil || !still {
				return err
			}
			doc, in, err = a.publication(ctx, s, p)
			in.Through = through
			return err
		}); err != nil {
			return nil, in, err
		}
		if !still {
			continue
		}
		in.Program, in.Enrichment, in.Reenriched = a.version, a.reg.Enrichment(), a.reg.Reenriched()
		list, err := a.Sources(ctx, s)
		for _, x := range list {
			in.Refdata = append(in.Refdata, query.RevisionData{Name: x.Name, Date: x.Date, SHA256: x.SHA256})
		}
		return doc, in, err
	}
	return nil, in, fmt.Errorf("%w: deliveries come in without a pause, and a publication holds whole ones; ask again", web.ErrConflict)
}

// stands reports whether everything up to the line through of the journal is in
// the store, where everything up to since is known to have been.
func (a *App) stands(ctx context.Context, since, through uint64) (still bool, err error) {
	err = a.with(func(st *store.Store) error {
		if still = !st.Dirty(); !still || since == through {
			return nil
		}
		for l, err := range a.arch.Lines(ctx, since+1) {
			switch {
			case errors.Is(err, archive.ErrDamaged):
				continue
			case err != nil:
				return err
			case l.Seq > through:
				return nil
			case l.Delivery == nil:
				continue
			}
			if _, gone := a.reg.Withdrawn(uint32(l.Seq)); !gone && !st.Complete(uint32(l.Seq)) { //nolint:gosec // a delivery's id
				still = false
				return nil
			}
		}
		return nil
	})
	return still, err
}

// Published implements [web.Backend].
func (a *App) Published(_ context.Context, s policy.Scope) ([]query.Revision, error) {
	if !s.All() {
		return nil, query.ErrNotFound
	}
	list := revisions(a.reg.Published())
	slices.Reverse(list)
	return list, nil
}

// Document implements [web.Backend].
func (a *App) Document(_ context.Context, s policy.Scope, revision int) ([]byte, error) {
	if !s.All() {
		return nil, query.ErrNotFound
	}
	return a.published(revision)
}

// published reads a document from the archive.
func (a *App) published(revision int) ([]byte, error) {
	all := a.reg.Published()
	i := slices.IndexFunc(all, func(x registry.Published) bool { return x.Revision == revision })
	if i < 0 {
		return nil, fmt.Errorf("revision %d: %w", revision, query.ErrNotFound)
	}
	r, err := a.arch.Content(all[i].SHA256)
	if err == nil {
		defer r.Close() //nolint:errcheck // read only
		var b bytes.Buffer
		if _, err = io.Copy(&b, r); err == nil {
			return b.Bytes(), nil
		}
	}
	if errors.Is(err, archive.ErrDamaged) || errors.Is(err, archive.ErrNotFound) {
		err = fmt.Errorf("%w: the document of revision %d is damaged in the archive: tocsin verify names the place; restore it from a backup: %w", web.ErrUnavailable, revision, err)
	}
	return nil, err
}

// lastOf returns the newest revision of a period, nil if there is none.
func lastOf(all []registry.Published, p query.Period) *registry.Published {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].From == p.From && all[i].To == p.To {
			return &all[i]
		}
	}
	return nil
}

func registryInputs(in query.RevisionInputs) registry.Inputs {
	out := registry.Inputs{
		Through: in.Through, Program: in.Program, Enrichment: in.Enrichment, Reenriched: in.Reenriched,
		Refdata: []registry.RefdataDate{}, Definitions: in.Definitions, Seed: in.Seed,
	}
	for _, d := range in.Refdata {
		out.Refdata = append(out.Refdata, registry.RefdataDate(d))
	}
	return out
}

// revisions gives the registry's lines in the words of the pages, in the same
// order.
func revisions(all []registry.Published) []query.Revision {
	out := make([]query.Revision, 0, len(all))
	nth := map[query.Period]int{}
	for _, x := range all {
		p := query.Period{From: x.From, To: x.To}
		nth[p]++
		r := query.Revision{
			Revision: x.Revision, OfPeriod: nth[p], Supersedes: x.Supersedes, Period: p, SHA256: x.SHA256, Size: x.Size, At: x.At, By: x.By, Why: x.Why,
			Differs: x.Differs, Rest: x.Rest,
			Inputs: query.RevisionInputs{
				Through: x.Inputs.Through, Program: x.Inputs.Program, Enrichment: x.Inputs.Enrichment, Reenriched: x.Inputs.Reenriched,
				Refdata: []query.RevisionData{}, Definitions: x.Inputs.Definitions, Seed: x.Inputs.Seed,
			},
		}
		for _, d := range x.Inputs.Refdata {
			r.Inputs.Refdata = append(r.Inputs.Refdata, query.RevisionData(d))
		}
		out = append(out, r)
	}
	return out
}
