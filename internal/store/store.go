// Package store keeps annotated events in DuckDB and counts them.
//
// It takes parts of deliveries, each with its events and their annotations,
// and gives counts, breakdowns, events and what became of each delivery to
// those whose [policy.Scope] allows it. It never decides what a figure means,
// never reads the archive, and holds nothing that cannot be made again from
// it: a file that cannot be trusted is reported as such, and the caller
// rebuilds it.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tocsin/internal/coverage"
	"tocsin/internal/event"
	"tocsin/internal/query"
)

// Config bounds the store.
type Config struct {
	Dir     string // folder of the database file
	Memory  int64  // bytes that DuckDB may use for its buffers
	Recent  int    // bytes for the ids and sightings of recent days
	Threads int    // of DuckDB; one costs the least CPU an event: more of them wait for each other actively

	// CheapDay is up to how many rows an old day is read whole, whoever asks for
	// any of them.
	CheapDay int64

	// Transaction is how many events fill a transaction: [RowGroup], but in tests,
	// and fewer where Memory is small.
	Transaction int

	// Unsighted leaves out sightings and episodes: for measuring what they cost.
	Unsighted bool
}

// DefaultConfig suits a machine with 2 GiB to spare.
func DefaultConfig(dir string) Config {
	return Config{Dir: dir, Memory: 224 << 20, Recent: 112 << 20, Threads: 1, CheapDay: 20_000, Transaction: RowGroup}
}

// Deps is what the store needs from outside.
type Deps struct {
	Clock func() time.Time // for the time of arrival of nothing but log lines and generations
	// Standing are questions whose answers are kept; see [Store.Stand].
	Standing []query.Count
	// Feeds returns how the feeds are set up: who is one witness with whom, and how
	// often each reports. Nil where nothing is set.
	Feeds func() []coverage.Feed
	// ClassOf returns the class of a report type, for reports without a row. Nil
	// where none is known.
	ClassOf func(report string) (event.Class, bool)
	// Began returns the day on which the journal's first delivery arrived, and false
	// before there is any. It is called while a transaction is under way. Nil where
	// it is not known: then the age of a sighting alone makes it late.
	Began func() (event.Day, bool)
	// Hook is called before and after each commit: commit and committed of parts,
	// withdraw and withdrawn of a delivery taken back; and while sightings are made
	// anew: resight at the beginning, resight-day before each day's commit,
	// resight-turn before figures change over, resighted when they have and what
	// they used before is still there; derive and derived of episodes. Nil for none.
	Hook func(string)
}

// ErrDamaged is returned when the database cannot be trusted: make it again
// from the archive.
var ErrDamaged = errDamaged

// ErrNewer is returned for a database that a newer program wrote.
var ErrNewer = errors.New("the database was written by a newer tocsin; run that one, or remove the store folder and run tocsin rebuild")

// Store is an open database. Reading is safe from any number of goroutines;
// loading is done by one at a time.
type Store struct {
	log   *slog.Logger
	cfg   Config
	hook  func(string)
	clock func() time.Time
	duck  *duck
	terms *terms
	marg  *marginals

	answers answers
	watch   watch

	mu       sync.Mutex // held while writing; guards all that follows
	w        *conn
	out      map[string]*chunkWriter // by table
	ev, sg   *chunkWriter            // those of event and sighting
	seed     uint64
	days     map[event.Day]*dayState
	tick     int64
	stored   map[event.Day]int64 // events in the table, also of deliveries that are not complete
	last     [event.Classes]histories
	pending  map[uint32]*pending
	cut      *loading               // the part that the last transaction had no room for to its end
	parts    map[partKey]partCounts // of deliveries that are not complete
	complete deliverySet            // deliveries with nothing left to load
	standing standings
	cols     termCache
	row      [evText]uint32 // the words of the row at hand, by column
	text     []byte         // its text
	members  memberCache
	spare    []sighting // room for candidates, of a delivery that is in
	fresh    bool       // sightings are being made from nothing: no table holds any yet
	dirty    bool       // the sightings have to be made again
	began    func() (event.Day, bool)
	first    atomic.Int64 // what began said, as a day; never before it did

	derive        deriving
	enrichments   map[uint32]bool // versions that loaded deliveries have
	genEnrichment uint32          // version that the generation was made with
	broken        error           // set by a failed transaction: the store must be opened again

	settling sync.RWMutex  // held while a transaction is committed
	failed   atomic.Uint64 // how often that failed

	named   [event.Classes]atomic.Bool // sightings of the class may have assets that are no addresses
	gen     atomic.Uint32              // the generation of sightings that figures use
	hidden  atomic.Value               // []uint32: deliveries that are partly in, which nobody sees
	mixed   atomic.Bool                // annotations of several versions are in use
	damaged atomic.Bool                // a query met damage
}

// partKey names a part.
type partKey struct{ delivery, part uint32 }

// partCounts is a row of table load.
type partCounts struct {
	received, accepted, duplicate, quarantined, outside uint32
	ids                                                 event.ID
}

// dayState is what is known in memory of one day.
type dayState struct {
	ids           idSet
	seen          seenDay
	idsOK, seenOK bool   // the sets hold all that is stored
	missed        [2]int // how often ids, and sightings, were searched for in the table instead
	used          int64
}

func (ds *dayState) bytes() int { return ds.ids.bytes() + ds.seen.bytes() }

// File returns the path of the database file in dir.
func File(dir string) string { return filepath.Join(dir, "tocsin.duckdb") }

// Open opens the database in cfg.Dir, or makes an empty one, and checks that
// the events of every part are all there. Deliveries of which something is
// missing are taken out, so that they are loaded again; their sequences are
// logged. ErrDamaged says that the file is of no use.
func Open(ctx context.Context, log *slog.Logger, cfg Config, deps Deps) (*Store, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the store's folder: %w", err)
	}
	path := File(cfg.Dir)
	_, err := os.Stat(path)
	fresh := errors.Is(err, os.ErrNotExist)
	if fresh { // a log without its database belongs to nothing
		_ = os.Remove(path + ".wal")
	}
	d, err := openDuck(path, options(cfg))
	if err != nil {
		return nil, err
	}
	s := &Store{
		log: log, cfg: cfg, hook: deps.Hook, clock: deps.Clock, duck: d,
		terms: newTerms(), marg: &marginals{}, seed: seed(),
		days: map[event.Day]*dayState{}, stored: map[event.Day]int64{}, pending: map[uint32]*pending{},
		parts: map[partKey]partCounts{}, enrichments: map[uint32]bool{}, began: deps.Began,
		watch: watch{feeds: deps.Feeds, classOf: deps.ClassOf, seen: map[feedClass]map[event.Day]int64{}},
	}
	if s.hook == nil {
		s.hook = func(string) {}
	}
	s.hidden.Store([]uint32(nil))
	s.first.Store(int64(never))
	if s.standing.list, err = standingOf(deps.Standing, nil); err != nil {
		s.Close()
		return nil, err
	}
	s.standing.index()
	if err := s.start(ctx, fresh); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// start brings the schema up to date, checks the contents and fills what is
// kept in memory.
func (s *Store) start(ctx context.Context, fresh bool) (err error) {
	if s.w, err = s.duck.connect(); err != nil {
		return err
	}
	if fresh {
		for _, q := range schemaSQL() {
			if err := s.w.exec(q); err != nil {
				return err
			}
		}
	} else if err := s.migrate(); err != nil {
		return err
	}
	if err := s.w.exec(strings.Replace(tableSQL("asked", askedColumns), "CREATE", "CREATE TEMP", 1)); err != nil {
		return err
	}
	s.out = map[string]*chunkWriter{}
	for _, t := range append(slices.Clip(tables), table{"asked", askedColumns}) {
		if s.out[t.name], err = newChunkWriter(s.w, t.name, columnTypes(t.columns)); err != nil {
			return err
		}
	}
	s.ev, s.sg = s.out["event"], s.out["sighting"]
	if err := s.readTerms(); err != nil {
		return err
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	return s.openDerive()
}

// migrate brings an older schema forward, one version at a time.
func (s *Store) migrate() error {
	meta := map[string]string{}
	if err := s.w.each(func(r *rows) { meta[r.str(0)] = r.str(1) }, `SELECT "key", "value" FROM meta`); err != nil {
		return fmt.Errorf("%w: no table of versions: %w", errDamaged, err)
	}
	v, err := strconv.Atoi(meta["schema"])
	if err != nil || v < 1 {
		return fmt.Errorf("%w: schema version %q", errDamaged, meta["schema"])
	}
	if v > schemaVersion {
		return fmt.Errorf("%w (its schema is %d, this program's %d)", ErrNewer, v, schemaVersion)
	}
	for ; v < schemaVersion; v++ {
		s.log.Info("migrating the store", slog.Int("from", v), slog.Int("to", v+1))
		if err := s.w.exec("BEGIN; " + migrations[v-1] + fmt.Sprintf("; UPDATE meta SET value='%d' WHERE key='schema'; COMMIT", v+1)); err != nil {
			return fmt.Errorf("migrate the store from schema %d: %w", v, err)
		}
	}
	return nil
}

func (s *Store) readTerms() error {
	var bad error
	err := s.w.each(func(r *rows) {
		if e := s.terms.restore(at[uint32](r, 0), r.str(1), at[uint32](r, 2)); e != nil && bad == nil {
			bad = e
		}
	}, `SELECT id, word, feed FROM term ORDER BY id`)
	return errors.Join(err, bad)
}

// Close writes what is in the log into the file and closes it.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.out {
		if w != nil {
			w.close()
		}
	}
	s.derive.close()
	if s.w != nil {
		s.w.close()
	}
	s.duck.close()
}

// Checkpoint moves everything from the log into the file. After an error the
// store is broken and has to be opened again.
func (s *Store) Checkpoint() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	err := s.w.exec("CHECKPOINT")
	if err != nil {
		s.broken = fmt.Errorf("the store stopped at a failed checkpoint: %w", err)
	}
	return err
}

// Broken returns why the store has to be opened again, or nil.
func (s *Store) Broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// Damaged reports whether a query found the file damaged.
func (s *Store) Damaged() bool { return s.damaged.Load() }

// note remembers damage that a read has met.
func (s *Store) note(err error) error {
	if errors.Is(err, errDamaged) && s.damaged.CompareAndSwap(false, true) {
		s.log.Error("the database is damaged; it has to be rebuilt from the archive", slog.Any("error", err))
	}
	return err
}

// Behind reports whether annotations that are older than the version are in
// use: whether a making of the sightings with it was asked for and cut off.
func (s *Store) Behind(version uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for v := range s.enrichments {
		if max(v, s.genEnrichment) < version {
			return true
		}
	}
	return false
}

// Complete reports whether the delivery's last part is in, or was refused or
// withdrawn: whether there is nothing left to load of it.
func (s *Store) Complete(seq uint32) bool { return s.complete.has(seq) }

// Bounds returns the first and last day of the events in the store.
func (s *Store) Bounds() (query.Period, bool) { return s.marg.bounds() }
