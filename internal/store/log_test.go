package store

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"tocsin/internal/query"
)

// TestLogLeavesRoom loads more than the memory would hold: what is in the log,
// and so in memory as it came, stays below its share, and leaves room to read
// when nothing can be set aside on a full disk.
func TestLogLeavesRoom(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig(t.TempDir())
	cfg.Memory = 64 << 20
	s, err := Open(t.Context(), slog.New(slog.DiscardHandler), cfg, Deps{Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	raw := strings.Repeat("x", 1000)
	longest, loaded := int64(0), int64(0)
	for seq := range uint32(80) {
		p := &Part{Delivery: delivery(seq+1, "a"), Enrichment: 1, Last: true, Rows: 1000}
		for row := range uint32(p.Rows) {
			p.Bad = append(p.Bad, query.Quarantined{Row: row + 1, Reason: "time", Raw: raw})
		}
		if err := s.Load(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		loaded += int64(len(raw) * p.Rows)
		if st, err := os.Stat(File(cfg.Dir) + ".wal"); err == nil {
			longest = max(longest, st.Size())
		}
	}
	const delivery = 2 << 20 // the log is moved into the file after the one that filled it
	if longest > cfg.Memory/logShare+delivery || loaded < cfg.Memory {
		t.Errorf("the log had %d bytes with %d of memory; %d were loaded", longest, cfg.Memory, loaded)
	}
}
