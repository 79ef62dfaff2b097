package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// FolderConfig says what is watched and how.
type FolderConfig struct {
	// Dir holds a folder for each feed, named after it. It is made if absent.
	Dir string
	// Interval is the time between two looks at a feed's folder.
	Interval time.Duration
	// Settle is how long a file's size and time of change must have stood still,
	// over two looks at least, before it is taken.
	Settle time.Duration
	// Delete removes a file once it is acked, instead of keeping it in .done/.
	Delete bool
	// Parallel is how many files are handed over at a time, one of a feed.
	Parallel int
	// Track is how many files of a feed are remembered between two looks: those
	// still being written and those to be offered again. It bounds the memory;
	// files beyond wait until they are a minute old or there is room.
	Track int
	// MaxFeeds is how many folders are watched.
	MaxFeeds int
	// MaxBackoff bounds the time after which a file that could not be acked is
	// offered again. The first wait is Interval, each next one twice as long.
	MaxBackoff time.Duration
}

// DefaultFolderConfig returns the settings used where nothing is configured;
// Dir is missing in it.
func DefaultFolderConfig() FolderConfig {
	return FolderConfig{
		Interval: 2 * time.Second, Settle: 2 * time.Second, Parallel: 4,
		Track: 1 << 16, MaxFeeds: 1000, MaxBackoff: 5 * time.Minute,
	}
}

// Validate reports the first setting that cannot work.
func (c FolderConfig) Validate() error {
	switch {
	case c.Dir == "":
		return errors.New("watched folder: no directory given")
	case c.Interval <= 0 || c.Settle <= 0 || c.MaxBackoff < c.Interval:
		return fmt.Errorf("watched folder %s: interval %s, settle %s, longest backoff %s: want all above 0 and the last not below the first", c.Dir, c.Interval, c.Settle, c.MaxBackoff)
	case c.Parallel <= 0 || c.Track <= 0 || c.MaxFeeds <= 0:
		return fmt.Errorf("watched folder %s: parallel %d, track %d, feeds %d: want all above 0", c.Dir, c.Parallel, c.Track, c.MaxFeeds)
	}
	return nil
}

// FolderDeps are what a [Folder] stands on.
type FolderDeps struct {
	Sink  Sink
	Clock func() time.Time
}

// Folder watches DIR/FEED/ for files and hands each one that is whole to a
// Sink. It looks again and again and needs no help of the operating system, so
// that network file systems work too.
//
// A file is whole when it was the same at two looks at least Settle apart, or
// when nobody has changed it for a minute. One that changes while it is read
// is not acked. Names that begin with a dot or end in .tmp or .part are never
// touched: write to such a name and rename, and nothing is taken half. Renaming
// a whole file in is enough as well.
//
// An acked file is moved to DIR/FEED/.done/ or deleted. One that the Sink
// refuses is moved to DIR/FEED/.refused/ beside a text NAME.reason; so are
// symbolic links, pipes and devices, which are never opened. One that cannot be
// acked stays where it is and is offered again, later each time; the others go
// on. Sub-folders are left alone.
type Folder struct {
	log  *slog.Logger
	cfg  FolderConfig
	deps FolderDeps

	turns chan struct{} // holds one element for each file being handed over

	taken, refused, failed, changed, waiting atomic.Int64
}

// NewFolder returns a Folder that does nothing until [Folder.Run].
func NewFolder(log *slog.Logger, cfg FolderConfig, deps FolderDeps) (*Folder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if log == nil || deps.Sink == nil || deps.Clock == nil {
		return nil, errors.New("watched folder: logger, sink and clock are needed")
	}
	return &Folder{log: log, cfg: cfg, deps: deps, turns: make(chan struct{}, cfg.Parallel)}, nil
}

// FolderCounts are what a [Folder] did since it was made.
type FolderCounts struct {
	Taken   int64 // files acked
	Refused int64 // files set aside in .refused/
	Failed  int64 // attempts that ended without ack and are made again
	Changed int64 // files that changed while they were read, read again later
	Waiting int64 // files that wait to be offered again, now
}

// Counts returns what was done so far.
func (w *Folder) Counts() FolderCounts {
	return FolderCounts{
		Taken: w.taken.Load(), Refused: w.refused.Load(), Failed: w.failed.Load(),
		Changed: w.changed.Load(), Waiting: w.waiting.Load(),
	}
}

// Run watches until ctx ends and then returns nil, after the files being
// handed over are acked or given up. It returns an error only if the folder
// cannot be opened at the start.
func (w *Folder) Run(ctx context.Context) error {
	if err := os.MkdirAll(w.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("watched folder: %w", err)
	}
	if _, err := w.list(); err != nil {
		return fmt.Errorf("watched folder: %w", err)
	}
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		running = map[string]bool{} // held by mu; a feed whose goroutine has not ended
		lastErr string              // of list, so that a lasting one is logged once
	)
	defer wg.Wait()
	for {
		names, err := w.list()
		switch {
		case err == nil:
			lastErr = ""
		case err.Error() != lastErr:
			lastErr = err.Error()
			w.log.LogAttrs(ctx, slog.LevelError, "watched folder cannot be read", slog.String("dir", w.cfg.Dir), slog.Any("error", err))
		}
		for _, name := range names {
			mu.Lock()
			start := !running[name]
			running[name] = true
			mu.Unlock()
			if !start {
				continue
			}
			wg.Go(func() {
				w.watch(ctx, name)
				mu.Lock()
				delete(running, name)
				mu.Unlock()
			})
		}
		if !sleep(ctx, w.cfg.Interval) {
			return nil
		}
	}
}

// list returns the feeds that have a folder, at most MaxFeeds.
func (w *Folder) list() ([]string, error) {
	d, err := os.Open(w.cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	var names []string
	for {
		entries, err := d.ReadDir(batch)
		for _, e := range entries {
			if e.IsDir() && CheckFeed(e.Name()) == nil && len(names) < w.cfg.MaxFeeds {
				names = append(names, e.Name())
			}
		}
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return names, err
		}
	}
}

// watch looks at one feed's folder until it is gone or ctx ends.
func (w *Folder) watch(ctx context.Context, name string) {
	f := newFeed(w, name)
	defer f.forget()
	lastErr := ""
	wait := w.cfg.Interval
	for ctx.Err() == nil {
		err := f.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, fs.ErrNotExist) && f.gone():
			return
		case err == nil:
			wait, lastErr = w.cfg.Interval, ""
		default:
			if err.Error() != lastErr {
				lastErr = err.Error()
				w.log.LogAttrs(ctx, slog.LevelError, "feed folder waits", slog.String("feed", name), slog.Any("error", err))
			}
			wait = min(2*wait, max(unavailableWait, w.cfg.Interval))
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// unavailableWait is the longest time between two attempts while nothing can
// be acked: after the disk has room again, acks go on within ten seconds.
const unavailableWait = 5 * time.Second

// sleep waits for d and reports whether ctx still holds.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
