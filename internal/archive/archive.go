// Package archive keeps the truth: the bytes of every delivery as they were
// received, and a journal of what came when, from whom, with which versions.
// Everything else that the program stores can be made again from it.
//
// It takes readers of bytes and lines for the journal, and gives them back
// checked. When [Archive.Put] returns, the content is on disk; when
// [Archive.Append] returns, the lines are on disk; a delivery may be acked
// after both. It never edits what is stored, never interprets a content, and
// never acks after a write or fsync that went wrong.
//
// The layout below Config.Dir, byte by byte, is in docs/archive.md:
//
//	contents/packs/00000001.pack   small contents, many to a file
//	contents/blobs/ab/<sha-256>    large contents, one to a file
//	contents/tmp/                  bodies being received; emptied when opened
//	journal/00000001.jsonl         hash-chained lines
//	journal/head                   sequence and hash of a recent last line
//	lock                           held by the one process that has it open
//
// A year of one-second batches, 31.5 million contents of 20 kB as stored,
// makes about 9,400 packs of 64 MiB and about 300 journal segments: ten
// thousand files, not millions. The index in memory costs about 16 bytes a
// content, 0.5 GB for that year; a sealed pack carries its own index, so that
// opening reads 12 bytes a content and no payload.
package archive

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
)

// The errors that callers decide by.
var (
	// ErrUnavailable means that nothing can be acked now: a write or fsync went
	// wrong, or the disk is nearly full. Reads go on, and the archive resumes by
	// itself; the sender should try again.
	ErrUnavailable = errors.New("archive cannot store now")
	// ErrNoSpace is wrapped beside ErrUnavailable when the free space is below
	// Config.MinFree.
	ErrNoSpace = errors.New("not enough free disk space")
	// ErrTooLarge means that a body has more bytes than the caller allows.
	ErrTooLarge = errors.New("body is too large")
	// ErrNotFound means that no such content is stored.
	ErrNotFound = errors.New("content not found")
	// ErrDamaged means that what is stored is not what was received.
	ErrDamaged = errors.New("archive is damaged")
	// ErrInvalid means that a line cannot be journalled as it is.
	ErrInvalid = errors.New("invalid journal line")
	// ErrLocked means that another process has the archive open.
	ErrLocked = errors.New("archive is in use by another process")
	// ErrClosed means that the archive has been closed.
	ErrClosed = errors.New("archive is closed")
)

// Config says where the archive stands and how large its files grow. Fields
// that are zero have the values of [DefaultConfig].
type Config struct {
	Dir         string // the archive's own directory; made if absent
	BlobSize    int64  // bytes; a content larger than this as stored has its own file
	PackSize    int64  // bytes; a pack that has reached it is sealed
	SegmentSize int64  // bytes; a journal segment that has reached it is followed by the next
	SpoolSize   int64  // bytes; a body larger than this waits on disk, not in memory
	SpoolTotal  int64  // bytes; all bodies in memory together, past which they wait on disk
	MinFree     int64  // bytes; below this much free space nothing is acked; negative: no limit
}

// DefaultConfig returns the sizes used where nothing else is said.
func DefaultConfig() Config {
	return Config{
		BlobSize:    1 << 20,
		PackSize:    64 << 20,
		SegmentSize: 64 << 20,
		SpoolSize:   4 << 20,
		SpoolTotal:  64 << 20,
		MinFree:     16 << 20,
	}
}

// withDefaults fills the fields that are zero.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	for _, f := range []struct{ v, def *int64 }{
		{&c.BlobSize, &d.BlobSize},
		{&c.PackSize, &d.PackSize},
		{&c.SegmentSize, &d.SegmentSize},
		{&c.SpoolSize, &d.SpoolSize},
		{&c.SpoolTotal, &d.SpoolTotal},
		{&c.MinFree, &d.MinFree},
	} {
		if *f.v == 0 {
			*f.v = *f.def
		}
	}
	return c
}

// Validate reports the first field that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Dir == "":
		return errors.New("archive: the directory is not set")
	case c.BlobSize < 0, c.PackSize < 0, c.SegmentSize < 0, c.SpoolSize < 0, c.SpoolTotal < 0:
		return errors.New("archive: a size is negative")
	case c.PackSize > maxPack, c.BlobSize > maxPack:
		return fmt.Errorf("archive: pack_size and blob_size may be at most %d", maxPack)
	}
	return nil
}

// maxPack bounds the offsets that fit into the index (32 bits) with room for
// one last group of frames.
const maxPack = 1 << 30

// Deps are the few things that the archive needs from outside. Each may be nil.
type Deps struct {
	Clock func() time.Time                // time.Now
	FS    FS                              // the operating system's
	Free  func(dir string) (int64, error) // free bytes for this user on the file system of dir

	// Hook is called at "content-written", "content-synced", "content-renamed",
	// "journal-written" and "journal-synced", so that a test can end the
	// process there.
	Hook func(point string)
}

// withDefaults fills the fields that are nil.
func (d Deps) withDefaults() Deps {
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.FS == nil {
		d.FS = OS()
	}
	if d.Free == nil {
		d.Free = freeBytes
	}
	if d.Hook == nil {
		d.Hook = func(string) {}
	}
	return d
}

// Archive is an open archive. Its methods may be called from any number of
// goroutines.
type Archive struct {
	log  *slog.Logger
	cfg  Config
	dep  Deps
	lock io.Closer

	packs   packs
	journal journal
	blobs   blobs

	held     atomic.Int64       // bytes of bodies in memory
	tmp      atomic.Uint64      // number of the next temporary file
	encoders chan *zstd.Encoder // as many as may compress at once; nil: not made yet
	decoders sync.Pool
	buffers  sync.Pool // *[]byte

	closed atomic.Bool
	mu     sync.Mutex
	down   [2]error // why the last Put and the last Append could not be acked
	found  []Damage // what Open found
}

// The two halves, as index of down.
const (
	halfContents = iota
	halfJournal
)

// Open opens the archive in cfg.Dir, or makes an empty one. It cuts off what a
// crash left behind a file's last complete record, if nothing that was acked
// needs it. Damage does not keep it from opening: it is logged, returned by
// [Archive.Damage], and what is whole is served. The error is [ErrLocked] where
// another process has the archive open.
func Open(log *slog.Logger, cfg Config, deps Deps) (*Archive, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Archive{log: log, cfg: cfg.withDefaults(), dep: deps.withDefaults()}
	n := max(1, runtime.GOMAXPROCS(0))
	a.encoders = make(chan *zstd.Encoder, n)
	for range n {
		a.encoders <- nil
	}
	a.packs.a, a.journal.a, a.blobs.a = a, a, a
	if err := a.makeDirs(); err != nil {
		return nil, fmt.Errorf("make archive %s: %w", cfg.Dir, err)
	}
	lock, err := a.dep.FS.Lock(a.path("lock"))
	if err != nil {
		return nil, fmt.Errorf("open archive %s: %w", cfg.Dir, err)
	}
	a.lock = lock
	if err := a.load(); err != nil {
		a.release()
		return nil, fmt.Errorf("open archive %s: %w", cfg.Dir, err)
	}
	return a, nil
}

// load reads what is on disk and makes it ready for the next write.
func (a *Archive) load() error {
	if err := a.emptyTmp(); err != nil {
		return err
	}
	h, err := a.journal.readHead()
	if err != nil {
		return err
	}
	tail, err := a.packs.load(h)
	if err != nil {
		return err
	}
	// What the journal says past the head decides whether the pack's tail may
	// be cut: what was acked is named there.
	needed, err := a.journal.load(h, func(c string) bool { return a.packs.needs(c, tail) })
	if err != nil {
		return err
	}
	if err := a.packs.settle(tail, needed); err != nil {
		return err
	}
	return a.journal.renewHead(h, a.packs.position())
}

// makeDirs makes the directories and their entries durable.
func (a *Archive) makeDirs() error {
	for _, d := range []string{"", "contents", dirPacks, dirBlobs, dirTmp, dirJournal} {
		p := a.path(d)
		if _, err := a.dep.FS.Stat(p); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := a.dep.FS.MkdirAll(p, 0o700); err != nil {
			return err
		}
	}
	// Even where they existed: whoever made them may have been killed before
	// their entries were durable.
	for _, d := range []string{filepath.Dir(filepath.Clean(a.cfg.Dir)), a.path(""), a.path("contents")} {
		if err := a.dep.FS.SyncDir(d); err != nil {
			return err
		}
	}
	return nil
}

// emptyTmp removes bodies that were being received when the process ended.
func (a *Archive) emptyTmp() error {
	es, err := a.dep.FS.ReadDir(a.path(dirTmp))
	if err != nil {
		return err
	}
	for _, e := range es {
		if err := a.dep.FS.Remove(a.path(dirTmp, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

const (
	dirPacks   = "contents/packs"
	dirBlobs   = "contents/blobs"
	dirTmp     = "contents/tmp"
	dirJournal = "journal"
)

// path returns the path of something below the archive's directory.
func (a *Archive) path(elem ...string) string {
	return filepath.Join(append([]string{a.cfg.Dir}, elem...)...)
}

// Damage returns what was found when the archive was opened, in the order of
// the files. It is not all that may be damaged: see [Archive.Verify].
func (a *Archive) Damage() []Damage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Damage(nil), a.found...)
}

// damaged notes and logs damage found while opening.
func (a *Archive) damaged(d Damage) {
	a.mu.Lock()
	a.found = append(a.found, d)
	a.mu.Unlock()
	a.log.Error("archive damaged", d.attrs()...)
}

// Err returns nil if the next delivery can be expected to be acked, and
// otherwise an error that wraps [ErrUnavailable] and the cause. It tries to
// mend what went wrong, so that an archive that nobody writes to recovers too.
func (a *Archive) Err() error {
	if err := a.ready(); err != nil {
		return err
	}
	a.mu.Lock()
	down := a.down
	a.mu.Unlock()
	if down[halfContents] != nil {
		if err := a.noted(halfContents, errors.Join(a.packs.mend(), a.probe())); err != nil {
			return err
		}
	}
	if down[halfJournal] != nil {
		if err := a.noted(halfJournal, errors.Join(a.journal.mend(), a.probe())); err != nil {
			return err
		}
	}
	return nil
}

// probe finds out whether the disk takes and syncs a page.
func (a *Archive) probe() error {
	f, name, err := a.temp()
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, 4096), 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), a.dep.FS.Remove(name))
}

// noted remembers the outcome of work on one half for [Archive.Err] and gives
// a failure its sentinel.
func (a *Archive) noted(half int, err error) error {
	if err != nil && !errors.Is(err, ErrUnavailable) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if (a.down[half] == nil) != (err == nil) {
		if err != nil {
			a.log.Error("archive stopped acking", slog.Any("error", err))
		} else {
			a.log.Info("archive acks again")
		}
	}
	a.down[half] = err
	return err
}

// ready reports whether new work may begin.
func (a *Archive) ready() error {
	if a.closed.Load() {
		return ErrClosed
	}
	if a.cfg.MinFree < 0 {
		return nil
	}
	free, err := a.dep.Free(a.cfg.Dir)
	switch {
	case err != nil:
		return fmt.Errorf("%w: free space of %s: %w", ErrUnavailable, a.cfg.Dir, err)
	case free < a.cfg.MinFree:
		return fmt.Errorf("%w: %w: %d MiB left on the disk of %s, %d MiB wanted; free some space, acks then resume",
			ErrUnavailable, ErrNoSpace, free>>20, a.cfg.Dir, a.cfg.MinFree>>20)
	}
	return nil
}

// temp makes a new temporary file.
func (a *Archive) temp() (File, string, error) {
	name := a.path(dirTmp, fmt.Sprintf("%08d", a.tmp.Add(1)))
	f, err := a.dep.FS.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	return f, name, err
}

// Stats are the sizes of an open archive.
type Stats struct {
	Contents    int64 // in packs
	PackBytes   int64 // of the pack that is being written
	Packs       int
	Segments    int
	Last        uint64 // sequence of the last line
	HeldBytes   int64  // bodies in memory
	FoundDamage int    // places found damaged while opening
}

// Stats returns the sizes as they are now.
func (a *Archive) Stats() Stats {
	pos := a.packs.position()
	a.packs.mu.RLock()
	n := a.packs.idx.n
	a.packs.mu.RUnlock()
	a.journal.mu.RLock()
	segs := len(a.journal.segs)
	a.journal.mu.RUnlock()
	return Stats{
		Contents: n, PackBytes: pos.Size, Packs: int(pos.Pack), Segments: segs,
		Last: a.Last(), HeldBytes: a.held.Load(), FoundDamage: len(a.Damage()),
	}
}

// Close waits for work in progress, writes the journal's head and lets the
// archive go. Calls that come later return [ErrClosed].
func (a *Archive) Close() error {
	if a.closed.Swap(true) {
		return nil
	}
	err := errors.Join(a.packs.quit(), a.journal.quit())
	a.release()
	if err != nil {
		return fmt.Errorf("close archive %s: %w", a.cfg.Dir, err)
	}
	return nil
}

// release closes what is open and lets the lock go.
func (a *Archive) release() {
	a.packs.close()
	a.journal.close()
	if err := a.lock.Close(); err != nil {
		a.log.Warn("archive lock not released", slog.Any("error", err))
	}
}

// parseSHA reads 64 hexadecimal digits in lower case.
func parseSHA(s string) (sha [32]byte, ok bool) {
	if len(s) != 2*len(sha) {
		return sha, false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return sha, false
		}
	}
	_, err := hex.Decode(sha[:], []byte(s))
	return sha, err == nil
}
