package store

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"tocsin/internal/event"
)

func cpuSeconds() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// sinkhole makes a part of n events as a sinkhole reports them, two thirds of
// them from addresses not seen that day.
func sinkhole(seq uint32, n int) *Part {
	p := &Part{Delivery: delivery(seq, "sinkhole"), Enrichment: 1, Last: true, Rows: n}
	p.Events, p.Notes = make([]event.Event, n), make([]event.Annotation, n)
	cities := make([]string, 50)
	for i := range cities {
		cities[i] = fmt.Sprintf("CITY NUMBER %d", i)
	}
	for i := range n {
		x := int(seq)*n + i
		e := &p.Events[i]
		a := uint32(x*2/3) * 2654435761 % 600_000
		e.Source.IP = netip.AddrFrom4([4]byte{198, 18 + byte(a>>16), byte(a >> 8), byte(a)})
		e.Destination.IP = netip.AddrFrom4([4]byte{192, 0, 2, byte(x % 7)})
		e.Source.Port, e.Destination.Port, e.Source.ASN, e.Destination.ASN = uint16(x), 80, 64500+a%50, 64499
		e.Source.CC, e.Source.Region, e.Source.City = "XS", cities[a%20], cities[a%50]
		e.Source.ReverseDNS = fmt.Sprintf("host-%d.dyn.isp.example", a)
		e.Destination.CC, e.Destination.Region, e.Destination.City, e.Destination.FQDN = "US", "CALIFORNIA", "FREMONT", "differentia.ru"
		e.Transport, e.Application, e.Report, e.Type, e.Family = "tcp", "http", "event4_sinkhole_http", 16, cities[a%9]
		e.Severity, e.Marking, e.Delivery, e.Row = event.SeverityCritical, event.Amber, seq, uint32(i+1)
		e.Subject = event.Subject{Kind: event.SubjectAddress, Asset: event.AssetAddress, Role: event.RoleVictim, Peer: event.RoleSinkhole}
		e.Time = int64(day0)*dayMicros + int64(x/50_000)*dayMicros + int64(i)*1_000_000%dayMicros
		e.ID = event.Hash(fmt.Appendf(nil, "%d", x))
		e.Extra = fmt.Appendf(nil, `{"extra.naics":"517311","extra.sector":"Communications, Service Provider, and Hosting Service","extra.tag":"avalanche","extra.http_url":"/gate.php?id=%d","extra.http_agent":"Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.0)"}`, x%1000)
		p.Notes[i] = event.Annotation{Asset: event.AddressAsset(e.Source.IP), ASN: 64500 + a%50, CC: "XS", Organisation: cities[a%40], Sector: "isp", Region: cities[a%8]}
	}
	return p
}

// BenchmarkLoad loads 10,000-row deliveries, one transaction each, and prints
// CPU microseconds an event.
func BenchmarkLoad(b *testing.B) {
	s := open(b, b.TempDir())
	defer s.Close()
	seq, n := uint32(0), 0
	var spent float64
	start := time.Now()
	for b.Loop() {
		seq++
		p := sinkhole(seq, 10_000)
		c := cpuSeconds()
		if err := s.Load(b.Context(), p); err != nil {
			b.Fatal(err)
		}
		spent += cpuSeconds() - c
		n += 10_000
	}
	c := cpuSeconds()
	if err := s.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	spent += cpuSeconds() - c
	st, err := os.Stat(File(s.cfg.Dir))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(spent/float64(n)*1e6, "cpu-µs/event")
	b.ReportMetric(float64(st.Size())/float64(n), "B/event")
	b.ReportMetric(float64(n)/time.Since(start).Seconds(), "events/s")
}
