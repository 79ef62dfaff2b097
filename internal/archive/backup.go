package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// Point is a state of the journal.
type Point struct {
	Seq  uint64 `json:"seq"`  // of the last line; 0: none
	Hash string `json:"hash"` // SHA-256 of that line's bytes
}

// Point returns the journal's state now: what one writes down to prove later
// that nothing up to it has been changed.
func (a *Archive) Point() Point {
	_, last, hash := a.journal.snapshot()
	return Point{last, hash}
}

// Backup copies the archive to dst, which is made or is empty, while other
// work goes on. Everything that was acked before the call is in the copy, up
// to the point that it returns, and perhaps contents that came later. The copy
// is an archive itself; its head is written last, so that a copy that was
// broken off can be told. progress gets bytes copied and to be copied; it may
// be nil.
func (a *Archive) Backup(ctx context.Context, dst string, progress func(done, total int64)) (Point, error) {
	segs, last, hash := a.journal.snapshot()
	pos := a.packs.position() // later than the journal's: holds all that it names
	c := copier{ctx: ctx, fs: a.dep.FS, src: a.cfg.Dir, dst: dst, progress: progress}
	for n := uint32(1); n <= pos.Pack; n++ {
		size := int64(-1)
		if n == pos.Pack {
			size = pos.Size
		}
		c.plan(packName(n), size)
	}
	for _, s := range segs {
		c.plan(segmentName(s.n), s.size)
	}
	err := c.planBlobs()
	if err == nil {
		err = c.run()
	}
	if err == nil {
		b := Archive{cfg: Config{Dir: dst}, dep: a.dep}
		b.journal.a = &b
		err = b.journal.replaceHead(head{Seq: last, Hash: hash, position: pos})
	}
	if err != nil {
		return Point{}, fmt.Errorf("back up archive to %s: %w", dst, err)
	}
	return Point{last, hash}, nil
}

// Restore copies the backup in src to dst, which is made or is empty, opens the
// copy and verifies all of it. It calls report for each damaged or missing
// place; the error then wraps [ErrDamaged], and what could be restored stays in
// dst. report and progress may be nil.
func Restore(ctx context.Context, log *slog.Logger, src, dst string, deps Deps, progress func(done, total int64), report func(Damage)) (Summary, error) {
	deps = deps.withDefaults()
	c := copier{ctx: ctx, fs: deps.FS, src: src, dst: dst, progress: progress}
	if _, err := deps.FS.Stat(filepath.Join(src, headName)); err != nil {
		return Summary{}, fmt.Errorf("restore from %s: it is no complete backup: %w", src, err)
	}
	for _, d := range []string{dirPacks, dirJournal} {
		es, err := deps.FS.ReadDir(filepath.Join(src, d))
		if err != nil {
			return Summary{}, fmt.Errorf("restore from %s: %w", src, err)
		}
		for _, e := range es {
			c.plan(d+"/"+e.Name(), -1)
		}
	}
	err := c.planBlobs()
	if err == nil {
		err = c.run()
	}
	if err != nil {
		return Summary{}, fmt.Errorf("restore %s: %w", dst, err)
	}
	a, err := Open(log, Config{Dir: dst, MinFree: -1}, deps) //nolint:contextcheck // opening is not broken off half way
	if err != nil {
		return Summary{}, fmt.Errorf("restore %s: %w", dst, err)
	}
	found := a.Damage()
	if report != nil {
		for _, d := range found {
			report(d)
		}
	}
	sum, err := a.Verify(ctx, progress, report)
	if err == nil && (!sum.Whole() || len(found) > 0) {
		err = fmt.Errorf("restore %s: %w", dst, ErrDamaged)
	}
	return sum, errors.Join(err, a.Close())
}

// copier copies files of an archive and makes the copies durable.
type copier struct {
	ctx         context.Context
	fs          FS
	src, dst    string
	progress    func(done, total int64)
	names       []string
	sizes       []int64
	done, total int64
}

// plan notes a file; size -1 means all of it. One that is gone is passed over:
// the copy is then found damaged as the original is.
func (c *copier) plan(name string, size int64) {
	st, err := c.fs.Stat(filepath.Join(c.src, name))
	if err != nil {
		return
	}
	if size < 0 || size > st.Size() {
		size = st.Size()
	}
	c.names, c.sizes, c.total = append(c.names, name), append(c.sizes, size), c.total+size
}

func (c *copier) planBlobs() error {
	dirs, err := c.fs.ReadDir(filepath.Join(c.src, dirBlobs))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range dirs {
		es, err := c.fs.ReadDir(filepath.Join(c.src, dirBlobs, d.Name()))
		if err != nil {
			return err
		}
		for _, e := range es {
			c.plan(dirBlobs+"/"+d.Name()+"/"+e.Name(), -1)
		}
	}
	return nil
}

// run copies what was planned.
func (c *copier) run() error {
	switch es, err := c.fs.ReadDir(c.dst); {
	case err == nil && len(es) > 0:
		return errors.New("the directory is not empty; name one that is empty or does not exist")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	dirs := []string{".", "contents", dirPacks, dirBlobs, dirTmp, dirJournal}
	for _, d := range dirs {
		if err := c.fs.MkdirAll(filepath.Join(c.dst, d), 0o700); err != nil {
			return err
		}
	}
	known := map[string]bool{}
	for i, name := range c.names {
		if d := filepath.Dir(name); !known[d] {
			known[d] = true
			if err := c.fs.MkdirAll(filepath.Join(c.dst, d), 0o700); err != nil {
				return err
			}
			dirs = append(dirs, d)
		}
		if err := c.copy(name, c.sizes[i]); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	for _, d := range append(dirs, "..") {
		if err := c.fs.SyncDir(filepath.Join(c.dst, d)); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) copy(name string, size int64) error {
	in, err := c.fs.OpenFile(filepath.Join(c.src, name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer closeRead(in)
	out, err := c.fs.OpenFile(filepath.Join(c.dst, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(&offsetWriter{out, 0}, ctxReader{c.ctx, io.NewSectionReader(in, 0, size)}, make([]byte, 1<<20))
	if err == nil {
		err = out.Sync()
	}
	c.done += n
	if c.progress != nil {
		c.progress(c.done, c.total)
	}
	return errors.Join(err, out.Close())
}
