package store

import (
	"context"
	"fmt"
	"syscall"
)

// short is below how much free disk a commit may fail for lack of it, in bytes.
const short = 256 << 20

// commit ends the open transaction of the writer.
//
// When DuckDB cannot write a transaction to its log, it takes rows out of the
// tables again that a reader may be looking at, and that reader gets numbers
// which never stood there. So it is noted that a commit has failed, before
// anybody who read meanwhile is answered; see [Store.read].
func (s *Store) commit() error {
	s.settling.Lock()
	defer s.settling.Unlock()
	err := s.w.exec("COMMIT")
	if err != nil {
		s.failed.Add(1)
	}
	return err
}

// read runs f on a reading connection. What was read while a commit failed is
// no answer: the store is as good as damaged until it is opened again.
func (s *Store) read(ctx context.Context, f func(*conn) error) error {
	before := s.failed.Load()
	err := s.duck.read(ctx, f)
	if s.short() { // the commit that is under way may fail
		s.settling.RLock()
		s.settling.RUnlock() //nolint:staticcheck // it was waited for
	}
	if s.failed.Load() != before {
		return fmt.Errorf("%w: a transaction failed while it was read", errDamaged)
	}
	return s.note(err)
}

// short reports whether there is so little room on the disk that a commit may
// fail.
func (s *Store) short() bool {
	var st syscall.Statfs_t
	return syscall.Statfs(s.cfg.Dir, &st) == nil && int64(st.Bavail)*st.Bsize < short //nolint:unconvert // its type differs between systems
}
