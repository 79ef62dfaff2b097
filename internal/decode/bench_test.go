package decode

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"tocsin/internal/event"
)

// sinkholeHeader is the real layout of event4_sinkhole_http.
const sinkholeHeader = `"timestamp","protocol","src_ip","src_port","src_asn","src_geo","src_region","src_city","src_hostname","src_naics","src_sector","device_vendor","device_type","device_model","dst_ip","dst_port","dst_asn","dst_geo","dst_region","dst_city","dst_hostname","dst_naics","dst_sector","public_source","infection","family","tag","application","version","event_id","http_url","http_host","http_agent","forwarded_by","ssl_cipher","http_referer"`

var benchDay = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// sinkholeRows makes rows of that layout, of about 320 bytes each.
func sinkholeRows(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	families := []string{"andromeda", "mirai", "avalanche-nymaim", "qakbot", "necurs"}
	cities := []string{"CALOOCAN", "MANILA", "CEBU CITY", "QUEZON CITY", "DAVAO"}
	var b bytes.Buffer
	b.WriteString(sinkholeHeader + "\n")
	for i := range n {
		f := families[r.IntN(len(families))]
		fmt.Fprintf(&b, `"%s","tcp","192.0.%d.%d",%d,%d,"ZZ","REGION %d","%s",%s,517311,"Communications, Service Provider, and Hosting Service",,,,"198.51.100.%d",80,%d,"US","CALIFORNIA","FREMONT",,518210,"Communications, Service Provider, and Hosting Service",,"%s","%s","%s",,,,"GET /%x/gate.php HTTP/1.1","host%d.example.net","Mozilla/4.0 (compatible; MSIE 8.0)",,,`+"\n",
			benchDay.Add(-time.Duration(i%86400)*time.Second).Format(time.DateTime), r.IntN(256), r.IntN(256), 1024+r.IntN(60000), 64500+r.IntN(10), r.IntN(20), cities[r.IntN(len(cities))],
			[]string{"", fmt.Sprintf(`"host-%d.example.com"`, r.IntN(1e6))}[r.IntN(2)], r.IntN(256), 64600+r.IntN(4), f, f, f, r.IntN(1<<30), r.IntN(100))
	}
	return b.Bytes()
}

// cpu is the processor time of the process in nanoseconds: on a shared machine
// it says more than the clock.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkShadowserver(b *testing.B) {
	const rows = 10_000
	in := sinkholeRows(rows)
	f, err := Lookup("shadowserver")
	if err != nil {
		b.Fatal(err)
	}
	src := Source{Feed: "bench", Report: "event4_sinkhole_http", Received: benchDay, Confidence: event.NoConfidence}
	lim := DefaultLimits()
	lim.Pool = new(Pool)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	n, before := 0, cpu()
	for b.Loop() {
		for p, err := range f.Parts(bytes.NewReader(in), src, lim) {
			if err != nil || len(p.Bad) > 0 {
				b.Fatal(err, p.Bad)
			}
			n += len(p.Events)
			p.Recycle()
		}
	}
	b.ReportMetric(float64(cpu()-before)/float64(n), "cpu-ns/event")
}

func BenchmarkSplit(b *testing.B) {
	in := sinkholeRows(10_000)
	b.SetBytes(int64(len(in)))
	n, before := 0, cpu()
	for b.Loop() {
		s := newSplitter(newLines(bytes.NewReader(in), 1<<20), DefaultLimits())
		for {
			if _, _, err := s.next(); err != nil {
				break
			}
			s.cols = len(s.cells)
			n++
		}
	}
	b.ReportMetric(float64(cpu()-before)/float64(n), "cpu-ns/row")
}

// BenchmarkEncodingCSV is the measuring stick of BenchmarkSplit.
func BenchmarkEncodingCSV(b *testing.B) {
	in := sinkholeRows(10_000)
	b.SetBytes(int64(len(in)))
	n, before := 0, cpu()
	for b.Loop() {
		r := csv.NewReader(bytes.NewReader(in))
		r.ReuseRecord = true
		for {
			if _, err := r.Read(); err != nil {
				break
			}
			n++
		}
	}
	b.ReportMetric(float64(cpu()-before)/float64(n), "cpu-ns/row")
}

func BenchmarkIDF(b *testing.B) {
	var in []byte
	f, _ := Lookup("shadowserver")
	src := Source{Feed: "bench", Report: "event4_sinkhole_http", Received: benchDay, Confidence: event.NoConfidence}
	for p, err := range f.Parts(bytes.NewReader(sinkholeRows(5000)), src, Limits{}) {
		if err != nil {
			b.Fatal(err)
		}
		for i := range p.Events {
			in = append(event.AppendIDF(in, &p.Events[i], "bench"), '\n')
		}
	}
	f, _ = Lookup("idf")
	lim := DefaultLimits()
	lim.Pool = new(Pool)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	n, before := 0, cpu()
	for b.Loop() {
		for p, err := range f.Parts(bytes.NewReader(in), src, lim) {
			if err != nil || len(p.Bad) > 0 {
				b.Fatal(err, p.Bad)
			}
			n += len(p.Events)
			p.Recycle()
		}
	}
	b.ReportMetric(float64(cpu()-before)/float64(n), "cpu-ns/event")
}
