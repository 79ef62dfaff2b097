// Package app builds every component by hand and holds them together: it takes
// bytes from the intake to the archive, leads them from there through decode
// and enrich into the store, and answers for the pages, the API and the
// commands. It is the only package that knows all others.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"tocsin/internal/archive"
	"tocsin/internal/decode"
	"tocsin/internal/figure"
	"tocsin/internal/intake"
	"tocsin/internal/query"
	"tocsin/internal/registry"
	"tocsin/internal/store"
	"tocsin/internal/web"
)

// A part means the same to who decodes and to who checks what is loaded.
const (
	_ = uint(decode.PartRows - store.PartRows)
	_ = uint(store.PartRows - decode.PartRows)
)

// Config says where everything stands, and its bounds.
type Config struct {
	Dir     string        // the data directory
	MaxBody int64         // bytes of one delivery as it comes
	Limits  decode.Limits // of one delivery when it is read
	Store   store.Config  // Dir is set from the data directory
	Archive archive.Config
	Inbox   string // the watched folder; "" for DIR/inbox, "-" for none
	// Home is the country code of the constituency, HomeName its name; "" keeps
	// what the journal says.
	Home, HomeName string
	// Settings are the other settings in force that differ from the defaults, by
	// key, for the journal and for the log, which tells what changed since the
	// last start; nil looks at none.
	Settings map[string]string
}

// DefaultConfig returns the configuration of a data directory without a file.
func DefaultConfig(dir string) Config {
	return Config{Dir: dir, MaxBody: 1 << 30, Limits: decode.DefaultLimits(), Store: store.DefaultConfig(""), Archive: archive.DefaultConfig()}
}

// Deps is what comes from outside.
type Deps struct {
	Clock func() time.Time                // time.Now if nil
	Free  func(dir string) (int64, error) // free bytes on the disk; nil asks the system
	// Hook is called at the points of writing, on the goroutine that writes; nil
	// for none. The archive's points are content-written, content-synced,
	// content-renamed, journal-written and journal-synced; the store's are named
	// at [store.Deps]. Those of the store that a rebuild fills have rebuild- before
	// them. The app's own: withdraw-journalled and reenrich-journalled, when the
	// line is on the disk and nothing else is done; opening, before the store is
	// opened, and then opened; exchange, before a rebuilt store takes the place of
	// the old one, exchange-aside, when the old one is out of the way, exchange-in,
	// when the new one is in its place, and exchanged, when it has been opened.
	Hook func(point string)
	// Truth tells what is so in a simulated country, by what it was made from: the
	// statement shows it beside what was counted. Nil for none.
	Truth func(madeFrom string, p query.Period) []figure.Truth
}

// App is the whole program but its listeners.
type App struct {
	log     *slog.Logger
	cfg     Config
	clock   func() time.Time
	hook    func(string)
	version string

	arch   *archive.Archive
	reg    *registry.Registry
	doors  map[string]*intake.Service // by the way in
	folder *intake.Folder
	data   *enrichers
	stats  *metrics

	bare uint64 // last line of a directory that holds nothing but what the program itself put there; 0 for any other

	change sync.Mutex // held from appending a line that changes the registry to applying it

	swap   sync.Mutex    // guards st and turned
	st     *opened       // nil while it is being opened
	turned chan struct{} // closed and replaced when st changes

	patience time.Duration       // how long a read waits for the store
	work     *semaphore.Weighted // held by a rebuild or a reenrichment: one at a time
	mending  atomic.Bool         // the store is known to be damaged and is made again

	facts     factsCache
	releasing sync.Mutex // held while tables are released: no month twice at a time

	truth     func(madeFrom string, p query.Period) []figure.Truth
	losses    losses
	estimated estimated // nil while nothing is estimated

	publication publication

	statements statements
	turnstile  turnstile

	bodies bodies
	road   *road
	used   sync.Map              // token id to time.Time of its last use
	down   atomic.Pointer[error] // why loading stands still, or nil
}

// own names the program in the journal, where nobody asked it.
const own = "tocsin"

// Version is the program's version; the build sets it.
var Version = "0.1.0-dev"

// opened is a store and who is using it.
type opened struct {
	*store.Store

	users   sync.WaitGroup // grows only while it is the app's store
	closing chan struct{}  // closed when the store is to be closed: who works long with it gives up
}

// patience is how long a read waits while the store is opened, at the start or
// after a failed transaction; on a full disk opening it takes a second.
const patience = 5 * time.Second

// askAgain is how often a read is begun again when a transaction has failed
// meanwhile.
const askAgain = 4

// errOpening is what a read gets that has waited in vain.
var errOpening = fmt.Errorf("%w: the store is being opened. What is delivered meanwhile is taken and safe; ask again in a moment", web.ErrUnavailable)

// Open is [Start], and opens the store.
func Open(ctx context.Context, log *slog.Logger, cfg Config, deps Deps) (*App, error) {
	a, err := Start(ctx, log, cfg, deps)
	if err != nil {
		return nil, err
	}
	if err := a.openStore(ctx); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Start opens what acks need: the data directory, which is made if it is
// absent, the archive and the registry. Deliveries can be acked from then on,
// and reads wait for the store, which is opened by [App.Run] with the rest that
// runs. A store that is damaged is put aside and made again from the archive
// while the program runs.
func Start(ctx context.Context, log *slog.Logger, cfg Config, deps Deps) (_ *App, err error) {
	if cfg.Dir == "" {
		return nil, errors.New("name the data directory with --data DIR")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	a := &App{
		log: log, cfg: cfg, clock: deps.Clock, hook: deps.Hook, truth: deps.Truth, version: Version, reg: registry.New(),
		turned: make(chan struct{}), patience: patience, work: semaphore.NewWeighted(1), turnstile: newTurnstile(), statements: newStatements(),
	}
	a.publication, a.estimated = a.edition, a.estimates
	if a.clock == nil {
		a.clock = time.Now
	}
	if a.hook == nil {
		a.hook = func(string) {}
	}
	a.stats = newMetrics(a)
	a.cfg.Archive.Dir = filepath.Join(cfg.Dir, "archive")
	a.cfg.Store.Dir = filepath.Join(cfg.Dir, "store")
	if a.arch, err = archive.Open(log, a.cfg.Archive, archive.Deps{Clock: a.clock, Free: deps.Free, Hook: deps.Hook}); err != nil { //nolint:contextcheck // opening is short and not broken off
		if errors.Is(err, archive.ErrLocked) {
			return nil, fmt.Errorf("%s is in use by another tocsin: talk to that one, or stop it: %w", cfg.Dir, err)
		}
		return nil, err
	}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	a.data = newEnrichers(log, a.arch, a.reg)
	holds := false
	for l, err := range a.arch.Lines(ctx, 1) {
		if err != nil {
			if !errors.Is(err, archive.ErrDamaged) {
				return nil, err
			}
			log.LogAttrs(ctx, slog.LevelError, "the journal is damaged; what is whole is served; run tocsin verify", slog.Any("error", err))
			continue
		}
		if l.Kind != archive.KindConfig && l.By != own {
			holds = true
		}
		if l.Kind == archive.KindDelivery {
			continue
		}
		if err := a.reg.Apply(registryLine(&l)); err != nil {
			log.LogAttrs(ctx, slog.LevelError, "a line of the journal cannot be read", slog.Any("error", err))
		}
	}
	if err := a.ground(ctx); err != nil {
		return nil, err
	}
	if !holds {
		a.bare = a.arch.Last()
	}
	if err := a.tidy(ctx); err != nil {
		return nil, err
	}
	if err := a.openDoors(); err != nil {
		return nil, err
	}
	inbox := cfg.Inbox
	if inbox == "" {
		inbox = filepath.Join(cfg.Dir, "inbox")
	}
	if inbox != "-" {
		fc := intake.DefaultFolderConfig()
		fc.Dir = inbox
		if a.folder, err = intake.NewFolder(log, fc, intake.FolderDeps{Sink: folderSink{a}, Clock: a.clock}); err != nil {
			return nil, err
		}
	}
	a.road = newRoad(a)
	return a, nil
}

func registryLine(l *archive.Line) registry.Line {
	return registry.Line{Seq: l.Seq, At: l.At, By: l.By, Kind: string(l.Kind), Contents: l.Contents, Data: l.Data}
}

// openStore opens the store; one that is damaged is put aside first, and
// loaded again from the archive.
func (a *App) openStore(ctx context.Context) error {
	a.hook("opening")
	deps := store.Deps{Clock: a.clock, Hook: a.hook, Standing: a.standing(), Feeds: a.witnesses, ClassOf: classOf, Began: a.began}
	st, err := store.Open(ctx, a.log, a.cfg.Store, deps)
	if errors.Is(err, store.ErrDamaged) {
		file := store.File(a.cfg.Store.Dir)
		aside := fmt.Sprintf("%s.damaged-%s", file, a.clock().UTC().Format("20060102T150405"))
		a.log.LogAttrs(ctx, slog.LevelError, "the store is damaged; it is put aside and made again from the archive", slog.Any("error", err), slog.String("aside", aside))
		if err := os.Rename(file, aside); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("put the damaged store aside: %w", err)
		}
		_ = os.Remove(file + ".wal")
		st, err = store.Open(ctx, a.log, a.cfg.Store, deps)
	}
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	a.hook("opened")
	a.turn(opening(st))
	return nil
}

// standing returns the questions whose answers the store keeps.
func (a *App) standing() []query.Count {
	home, _ := a.reg.Home()
	return figure.Standing(home)
}

// stand tells the store that the questions may be others.
func (a *App) stand(ctx context.Context) {
	st, _ := a.borrow()
	if st == nil { // it is told when it is opened
		return
	}
	defer st.users.Done()
	if err := st.Stand(a.standing()); err != nil {
		a.log.LogAttrs(ctx, slog.LevelError, "the overview's figures are counted anew each time, until the store is opened again", slog.Any("error", err))
	}
}

// opening returns a store that anybody may use.
func opening(st *store.Store) *opened { return &opened{Store: st, closing: make(chan struct{})} }

// turn puts a store, or none, in the place of the one in use.
func (a *App) turn(st *opened) (before *opened) {
	a.swap.Lock()
	defer a.swap.Unlock()
	before, a.st = a.st, st
	close(a.turned)
	a.turned = make(chan struct{})
	return before
}

// closeStore closes the store when nobody uses it any more. Who asks meanwhile
// waits for the next one.
func (a *App) closeStore() {
	if st := a.turn(nil); st != nil {
		close(st.closing)
		st.users.Wait()
		st.Close()
	}
}

// borrow returns the store, which stays open until the caller is done, and
// what is closed when another takes its place. The store is nil while there is
// none.
func (a *App) borrow() (*opened, <-chan struct{}) {
	a.swap.Lock()
	defer a.swap.Unlock()
	if a.st != nil {
		a.st.users.Add(1)
	}
	return a.st, a.turned
}

// with runs f with the store, which stays open meanwhile.
func (a *App) with(f func(*store.Store) error) error {
	st, _ := a.borrow()
	if st == nil {
		return errOpening
	}
	defer st.users.Done()
	return f(st.Store)
}

// read is with for those who look: it waits a while for a store that is being
// opened. A database that has given up after a failed transaction, as on a full
// disk, answers as if it were damaged; then f is run again with the one that is
// opened in its place, which may fare no better.
func (a *App) read(ctx context.Context, f func(*store.Store) error) error {
	late := time.NewTimer(a.patience)
	defer late.Stop()
	for asked := 0; ; {
		st, turned := a.borrow()
		err := errOpening
		if st != nil {
			err = func() error { defer st.users.Done(); return f(st.Store) }()
			if !errors.Is(err, store.ErrDamaged) || asked == askAgain || a.mending.Load() {
				return err
			}
			asked++
		}
		select {
		case <-turned:
		case <-late.C:
			return err
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// Run opens the store if it is not open, loads deliveries and watches the
// folder until ctx ends. A store that cannot be opened then ends it.
func (a *App) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				errs <- err
				stop()
			}
		})
	}
	run(a.road.run)
	run(a.mend)
	run(a.derive)
	if a.folder != nil {
		run(a.folder.Run)
	}
	wg.Wait()
	a.deriveLast(ctx)
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// Close closes the store and the archive. Run must have returned.
func (a *App) Close() {
	a.closeStore()
	if a.arch != nil {
		if err := a.arch.Close(); err != nil && !errors.Is(err, archive.ErrClosed) {
			a.log.Warn("closing the archive", slog.Any("error", err))
		}
	}
}
