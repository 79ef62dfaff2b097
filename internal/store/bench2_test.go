package store

import (
	"os"
	"strconv"
	"testing"
	"time"
)

func BenchmarkGroup(b *testing.B) {
	g, _ := strconv.Atoi(os.Getenv("G"))
	if g == 0 {
		g = 12
	}
	s := open(b, b.TempDir())
	defer s.Close()
	seq, n := uint32(0), 0
	var spent, ck float64
	start := time.Now()
	for b.Loop() {
		var ps []*Part
		for range g {
			seq++
			ps = append(ps, sinkhole(seq, 10_000))
		}
		c := cpuSeconds()
		if err := s.Load(b.Context(), ps...); err != nil {
			b.Fatal(err)
		}
		spent += cpuSeconds() - c
		n += 10_000 * g
	}
	c := cpuSeconds()
	s.Checkpoint()
	ck = cpuSeconds() - c
	b.ReportMetric((spent+ck)/float64(n)*1e6, "cpu-µs/event")
	b.ReportMetric(ck/float64(n)*1e6, "ckpt-µs/event")
	st, _ := os.Stat(File(s.cfg.Dir))
	b.ReportMetric(float64(st.Size())/float64(n), "B/event")
	_ = start
}
