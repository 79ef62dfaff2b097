package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	doneDir    = ".done"
	refusedDir = ".refused"

	// batch is how many names are read from a folder at a time.
	batch = 256
	// old is the age at which a file is whole at first sight: it was moved in
	// with the time that it was written, or has lain here. Longer than Settle,
	// since a file server's clock may be behind ours.
	old = time.Minute
	// logLines bounds the lines logged in one look at a folder.
	logLines = 10
)

// entry is what is remembered of a file between two looks.
type entry struct {
	size  int64
	mtime time.Time
	since time.Time   // when it was first seen like this
	next  time.Time   // not to be tried before
	tries int         // attempts that failed
	acked string      // the delivery's id, once it is safe and only the move is missing
	info  fs.FileInfo // of the file that was acked; nil before
	look  int         // the last look that saw it
}

// feed is one watched folder. It is owned by one goroutine.
type feed struct {
	w     *Folder
	name  string
	files map[string]*entry // at most Track
	looks int
	lines int // logged in this look
}

func newFeed(w *Folder, name string) *feed {
	return &feed{w: w, name: name, files: map[string]*entry{}}
}

// gone reports whether the feed's folder does not exist.
func (f *feed) gone() bool {
	_, err := os.Lstat(filepath.Join(f.w.cfg.Dir, f.name))
	return errors.Is(err, fs.ErrNotExist)
}

// open returns the feed's folder as a root that no name can lead out of.
func (f *feed) open() (*os.Root, error) {
	top, err := os.OpenRoot(f.w.cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = top.Close() }()
	want, err := top.Lstat(f.name)
	if err != nil {
		return nil, err
	}
	root, err := top.OpenRoot(f.name)
	if err != nil {
		return nil, err
	}
	// Between the two somebody may have put a link to another feed here.
	if have, err := root.Stat("."); err != nil || !os.SameFile(want, have) {
		return nil, errors.Join(fmt.Errorf("%s is not a folder of its own: put a real one there", f.name), err, root.Close())
	}
	return root, nil
}

// look goes once through the folder. It returns an error if the folder cannot
// be worked on at all, or if nothing can be acked at present.
func (f *feed) look(ctx context.Context) error {
	root, err := f.open()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()

	f.looks++
	f.lines = 0
	defer f.summary(ctx)
	for {
		entries, err := d.ReadDir(batch)
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
		for _, e := range entries {
			if e.IsDir() || ignored(e.Name()) {
				continue
			}
			if err := f.file(ctx, root, e.Name()); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	for name, e := range f.files {
		if e.look != f.looks {
			f.drop(name)
		}
	}
	return nil
}

// ignored reports whether a file with that name is not for us (yet).
func ignored(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, ".part")
}

// file does what is due for one name. An error ends the look.
func (f *feed) file(ctx context.Context, root *os.Root, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		f.line(ctx, slog.LevelWarn, "file cannot be looked at", name, err)
		return nil
	case info.IsDir():
		return nil
	case !info.Mode().IsRegular():
		return f.refuse(ctx, root, name, fmt.Errorf("%w: it is a %s, not a file: put a copy of the file itself here", ErrRefused, kind(info.Mode())))
	}

	now := f.w.deps.Clock()
	e := f.files[name]
	if e == nil {
		if len(f.files) >= f.w.cfg.Track {
			return nil
		}
		e = &entry{size: info.Size(), mtime: info.ModTime(), since: now}
		f.files[name] = e
	}
	e.look = f.looks
	if e.size != info.Size() || !e.mtime.Equal(info.ModTime()) {
		f.reset(e, info, now)
	}
	switch {
	case now.Before(e.next):
		return nil
	case e.acked != "":
		return f.putAway(ctx, root, name, e)
	case !f.whole(e, now):
		return nil
	}
	return f.take(ctx, root, name, info, e)
}

// whole reports whether a file has stood still for long enough. An empty one
// is given a minute: some programs make the file first and write later.
func (f *feed) whole(e *entry, now time.Time) bool {
	return now.Sub(e.mtime) >= old || e.size > 0 && now.Sub(e.since) >= f.w.cfg.Settle
}

// reset begins anew with a file that has changed.
func (f *feed) reset(e *entry, info fs.FileInfo, now time.Time) {
	if e.tries > 0 {
		f.w.waiting.Add(-1)
	}
	*e = entry{size: info.Size(), mtime: info.ModTime(), since: now, look: e.look}
}

// same reports whether a file is still as it was.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// take hands a file over and puts it away. An error ends the look.
func (f *feed) take(ctx context.Context, root *os.Root, name string, info fs.FileInfo, e *entry) error {
	if !f.w.cfg.Delete {
		// Before the ack: what cannot be put away would come in again and again.
		if err := folder(root, doneDir); err != nil {
			return err
		}
	}
	select {
	case f.w.turns <- struct{}{}:
		defer func() { <-f.w.turns }()
	case <-ctx.Done():
		return ctx.Err()
	}

	// A pipe may have taken the file's place since it was looked at: opening
	// one must not wait for somebody to write.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f.drop(name)
		return nil
	}
	if err != nil {
		f.fail(ctx, name, e, err)
		return nil
	}
	defer func() { _ = file.Close() }()
	if have, err := file.Stat(); err != nil || !same(info, have) {
		f.drop(name)
		return nil
	}

	body := &steady{file: file, info: info}
	rec, err := f.w.deps.Sink.Ingest(ctx, Request{Feed: f.name, Name: name, By: "folder", Body: body})
	switch {
	case err == nil:
	case body.changed:
		f.w.changed.Add(1)
		f.drop(name)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrRefused):
		return f.refuse(ctx, root, name, err)
	case errors.Is(err, ErrUnavailable):
		f.w.failed.Add(1)
		return err
	default:
		f.fail(ctx, name, e, err)
		return nil
	}

	f.w.taken.Add(1)
	e.acked, e.info = rec.ID, info
	return f.putAway(ctx, root, name, e)
}

// putAway moves or deletes an acked file. Until that works only this is tried
// again.
func (f *feed) putAway(ctx context.Context, root *os.Root, name string, e *entry) error {
	target := fit("."+name, ".taken-"+e.acked)
	if !f.w.cfg.Delete {
		if err := folder(root, doneDir); err != nil {
			return err
		}
		target = filepath.Join(doneDir, name)
		if _, err := root.Lstat(target); err == nil {
			target = filepath.Join(doneDir, fit(name, "."+e.acked))
		}
	}
	if err := root.Rename(name, target); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			f.drop(name)
			return nil
		}
		f.fail(ctx, name, e, fmt.Errorf("it is acked as %s and cannot be put away: %w", e.acked, err))
		return nil
	}
	defer f.drop(name)
	// It may have been written to after its last byte was read, or a newer file
	// renamed over it: back with it. It comes in again, whole, and the rows that
	// were there already are duplicates.
	if have, err := root.Lstat(target); err != nil || !same(e.info, have) {
		f.w.changed.Add(1)
		if _, err := root.Lstat(name); err == nil {
			name = fit(name, ".after-"+e.acked)
		}
		if err := root.Rename(target, name); err != nil {
			f.line(ctx, slog.LevelError, "changed file stays where acked files go", target, err)
		}
		return nil
	}
	if f.w.cfg.Delete {
		if err := root.Remove(target); err != nil {
			f.line(ctx, slog.LevelWarn, "acked file cannot be deleted", target, err)
		}
	}
	return nil
}

// refuse sets a file aside with the reason beside it. An error ends the look.
func (f *feed) refuse(ctx context.Context, root *os.Root, name string, cause error) error {
	if err := folder(root, refusedDir); err != nil {
		return err
	}
	now := f.w.deps.Clock().UTC()
	target := fit(name, "")
	if _, err := root.Lstat(filepath.Join(refusedDir, target)); err == nil {
		target = fit(name, now.Format(".20060102T150405.000000000"))
	}
	if err := f.reason(root, fit(target, ".reason"), name, cause, now); err != nil {
		return err
	}
	if err := root.Rename(name, filepath.Join(refusedDir, target)); err != nil {
		if e := f.files[name]; e != nil {
			f.fail(ctx, name, e, err)
		} else {
			f.line(ctx, slog.LevelWarn, "file cannot be set aside", name, err)
		}
		return nil
	}
	f.w.refused.Add(1)
	f.drop(name)
	f.line(ctx, slog.LevelWarn, "file refused", name, cause)
	return nil
}

// reason writes the text beside a refused file.
func (f *feed) reason(root *os.Root, path, name string, cause error, now time.Time) error {
	path = filepath.Join(refusedDir, path)
	if err := root.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Never through a link that somebody has put there.
	out, err := root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s %s\n%s\n\nOnce that is mended, move the file back into the folder above to have it taken.\n",
		now.Format(time.RFC3339), printable(name), printable(cause.Error()))
	return errors.Join(err, out.Close())
}

// folder makes a folder beside the files, and refuses anything else of that name.
func folder(root *os.Root, name string) error {
	if err := root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s in %s is a %s: remove it, a folder is needed there", name, root.Name(), kind(info.Mode()))
	}
	return nil
}

// fit appends the suffix, shortening the name where a file system would not
// take both.
func fit(name, suffix string) string { return cut(name, maxName-len(suffix)) + suffix }

// kind names what is not a regular file.
func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	case m.IsRegular():
		return "file"
	}
	return "special file"
}

// fail notes that a file was not acked or not put away, and when to try again.
func (f *feed) fail(ctx context.Context, name string, e *entry, err error) {
	if e.tries == 0 {
		f.w.waiting.Add(1)
	}
	wait := f.w.cfg.Interval
	for range e.tries {
		wait = min(2*wait, f.w.cfg.MaxBackoff)
		if wait == f.w.cfg.MaxBackoff {
			break
		}
	}
	e.tries++
	e.next = f.w.deps.Clock().Add(wait)
	f.w.failed.Add(1)
	f.line(ctx, slog.LevelWarn, "file is not acked", name, err, slog.Int("attempts", e.tries), slog.Duration("again_in", wait))
}

// drop forgets a file.
func (f *feed) drop(name string) {
	if e := f.files[name]; e != nil && e.tries > 0 {
		f.w.waiting.Add(-1)
	}
	delete(f.files, name)
}

// forget forgets every file.
func (f *feed) forget() {
	for name := range f.files {
		f.drop(name)
	}
}

// line logs of one file, within the bounds of a look.
func (f *feed) line(ctx context.Context, level slog.Level, msg, name string, err error, more ...slog.Attr) {
	if f.lines++; f.lines > logLines {
		return
	}
	attrs := append([]slog.Attr{slog.String("feed", f.name), slog.String("name", name), slog.Any("error", err)}, more...)
	f.w.log.LogAttrs(ctx, level, msg, attrs...) //nolint:sloglint // each caller passes a literal
}

// summary logs how many lines were not.
func (f *feed) summary(ctx context.Context) {
	if n := f.lines - logLines; n > 0 {
		f.w.log.LogAttrs(ctx, slog.LevelWarn, "more files in trouble", slog.String("feed", f.name), slog.Int("not_named", n))
	}
}

// errChanged ends a body whose file was written to while it was read.
var errChanged = errors.New("the file changed while it was read; it is read again once it stands still")

// steady reads a file and ends well only if it is still as it was when it was
// opened.
type steady struct {
	file    *os.File
	info    fs.FileInfo
	read    int64
	changed bool
}

// Read implements [io.Reader].
func (s *steady) Read(p []byte) (int, error) {
	n, err := s.file.Read(p)
	s.read += int64(n)
	if errors.Is(err, io.EOF) {
		if have, serr := s.file.Stat(); serr != nil || !same(s.info, have) || s.read != s.info.Size() {
			s.changed = true
			return n, errChanged
		}
	}
	return n, err
}
