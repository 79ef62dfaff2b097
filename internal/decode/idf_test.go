package decode

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tocsin/internal/event"
)

// canonical flattens a JSON object: keys, and values as compact JSON.
func canonical(t testing.TB, in []byte) map[string]string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(in))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", in, err)
	}
	flat := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		if m, ok := v.(map[string]any); ok && (len(m) > 0 || path == "") {
			for k, x := range m {
				walk(strings.TrimPrefix(path+"."+k, "."), x)
			}
			return
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		flat[path] = string(b)
	}
	walk("", v)
	return flat
}

// lossless checks that every key and value of the line comes out again, and
// nothing but what IDF derives.
func lossless(t testing.TB, line []byte, e *event.Event) {
	t.Helper()
	in, out := canonical(t, line), canonical(t, event.AppendIDF(nil, e, ""))
	for k, v := range in {
		if out[k] != v {
			t.Errorf("%s: %s is %s, came in as %s", line, k, out[k], v)
		}
	}
	for k, v := range out {
		if _, ok := in[k]; !ok && k != "classification.taxonomy" && k != "classification.type" {
			t.Errorf("%s: %s = %s was not there", line, k, v)
		}
	}
}

// TestIDFReference takes in another program's IDF and gives it out again.
func TestIDFReference(t *testing.T) {
	t.Parallel()
	f, err := os.Open(shared(t, "shadowserver/expected-idf.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	n := 0
	for sc.Scan() {
		var line struct {
			Event json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		events, bad := must(t, "idf", line.Event, historic(""))
		if len(events) != 1 {
			// One of its rows has neither address nor other subject.
			if bad[0].Reason != ReasonSubject {
				t.Errorf("%s: %+v", line.Event, bad)
			}
			continue
		}
		n++
		lossless(t, line.Event, &events[0])
		roundTrip(t, &events[0])
	}
	if n < 496 {
		t.Errorf("%d events", n)
	}
}

// TestIDFFixture does the same for the fixtures, and for what Shadowserver rows
// become.
func TestIDFFixture(t *testing.T) {
	t.Parallel()
	_, inputs := fixtures(t, "idf")
	for _, in := range inputs {
		for line := range bytes.Lines(in.Data) {
			events, _ := must(t, "idf", line, fixtureSource(in))
			for i := range events {
				lossless(t, line, &events[i])
				roundTrip(t, &events[i])
			}
		}
	}
	_, inputs = fixtures(t, "shadowserver")
	for _, in := range inputs {
		events, _ := must(t, "shadowserver", in.Data, fixtureSource(in))
		for i := range events {
			roundTrip(t, &events[i])
		}
	}
}

// TestIDFSamples does the same for every sample report.
func TestIDFSamples(t *testing.T) {
	t.Parallel()
	for name, s := range samples(t) {
		events, _ := must(t, "shadowserver", s.in, historic(name))
		for i := range events {
			roundTrip(t, &events[i])
		}
	}
}

// idfKeyList are keys of IDF that come often.
var idfKeyList = strings.Fields("classification.identifier classification.taxonomy classification.type " +
	"destination.account destination.asn destination.fqdn destination.geolocation.cc destination.geolocation.city destination.geolocation.region " +
	"destination.ip destination.network destination.port destination.reverse_dns destination.url " +
	"event_description.text feed.accuracy feed.name feed.provider feed.code feed.url malware.name malware.hash.md5 malware.hash.sha1 malware.hash.sha256 " +
	"product.name product.vendor product.version product.vulnerabilities protocol.application protocol.transport raw severity status " +
	"source.account source.asn source.as_name source.abuse_contact source.fqdn source.geolocation.cc source.geolocation.city source.geolocation.region " +
	"source.ip source.network source.port source.registry source.reverse_dns source.url source.allocated " +
	"time.observation time.source tlp extra.tag extra.naics extra.sector " +
	"extra.tocsin.asset extra.tocsin.kind extra.tocsin.peer extra.tocsin.report extra.tocsin.role extra.tocsin.side extra.tocsin.organisation")

// drawIDF makes objects of keys and values that come close to IDF.
func drawIDF(t *rapid.T) []byte {
	keys := slices.Concat(idfKeyList, []string{"extra.a", "extra.b.c", "source.tor_node", "misp.event_uuid", "comment", "x", event.KeyTime, "é \"\\"})
	values := []string{
		`"192.0.2.1"`, `"2001:DB8::1"`, `"::ffff:192.0.2.1"`, `80`, `"80"`, `80.0`, `8e1`, `0`, `-1`, `1e400`, `"AbC"`, `"example.com"`, `"Example.com."`,
		`"http://example.com/"`, `"2026-03-24T01:02:03+00:00"`, `"2026-03-24T01:02:03.120000+00:00"`, `"2026-03-24T01:02:03Z"`, `null`, `true`, `""`, `" "`, `[]`, `{}`,
		`[1, {"a": [null]}]`, `"\u00e9\ud83d\ude00\udc80\n\u0000"`, `"infected-system"`, `"ddos"`, `"c2-server"`, `"vulnerable-system"`, `"copyright"`, `"botnet drone"`,
		`"AMBER"`, `"green"`, `"high"`, `"ZZ"`, `"zz"`, `"192.0.2.0/24"`, `"destination"`, `"victim"`, `"service"`, `"site"`, `"address"`, `"organisation"`, `"none"`, `"scan_ssl"`, `99.5`,
	}
	m := map[string]string{"time.source": `"2026-03-24T01:02:03+00:00"`, "source.ip": `"192.0.2.9"`, "classification.type": `"other"`}
	for range rapid.IntRange(0, 12).Draw(t, "keys") {
		m[rapid.SampledFrom(keys).Draw(t, "key")] = rapid.SampledFrom(values).Draw(t, "value")
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteString(" , ")
		}
		name, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s:\t%s", name, m[k])
	}
	b.WriteByte('}')
	return b.Bytes()
}

func TestIDFLossless(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		line := drawIDF(rt)
		events, _ := must(t, "idf", line, historic(""))
		for i := range events {
			if !bytes.Contains(line, []byte(event.KeyTime)) { // ours alone: dropped
				lossless(t, line, &events[i])
			}
			roundTrip(t, &events[i])
		}
		if t.Failed() {
			rt.Fatalf("%s", line)
		}
	})
}

// TestIDFIdentity adds and removes what no identity has.
func TestIDFIdentity(t *testing.T) {
	t.Parallel()
	base := map[string]string{
		"time.source": `"2026-03-24T01:02:03+00:00"`, "source.ip": `"192.0.2.9"`, "source.port": "80",
		"classification.type": `"infected-system"`, "malware.name": `"mirai"`, "extra.tag": `"iot"`,
	}
	id := func(change map[string]string) event.ID {
		t.Helper()
		m := maps.Clone(base)
		maps.Copy(m, change)
		var parts []string
		for k, v := range m {
			if v != "" {
				parts = append(parts, fmt.Sprintf("%q:%s", k, v))
			}
		}
		events, bad := must(t, "idf", []byte("{"+strings.Join(parts, ",")+"}"), historic(""))
		if len(events) != 1 {
			t.Fatal(bad)
		}
		return events[0].ID
	}
	for k := range strings.FieldsSeq("time.observation feed.name feed.accuracy raw rtir_id misp.event_uuid output event_hash comment severity tlp __type " +
		"source.asn source.as_name source.geolocation.cc source.registry source.network source.allocated source.abuse_contact source.reverse_dns destination.asn extra.tocsin.role") {
		if id(map[string]string{k: `"x"`}) != id(nil) {
			t.Errorf("%s changes the id", k)
		}
	}
	for k := range strings.FieldsSeq("time.source source.ip source.port classification.type malware.name extra.tag destination.ip source.url status extra.new") {
		v := `"192.0.2.77"`
		if k == "time.source" {
			v = `"2026-03-24T01:02:04+00:00"`
		}
		if id(map[string]string{k: v}) == id(nil) {
			t.Errorf("%s does not change the id", k)
		}
	}
	for _, same := range []map[string]string{{"extra.empty": `""`}, {"extra.nothing": "null"}, {"source.port": `"80"`}, {"extra.tag": `"\u0069ot"`}} {
		if id(same) != id(nil) {
			t.Errorf("%v changes the id", same)
		}
	}
	a := map[string]string{"source.ip": "", "source.network": `"192.0.2.0/24"`}
	b := map[string]string{"source.ip": "", "source.network": `"198.51.100.0/24"`}
	if id(a) == id(b) {
		t.Error("two networks have one id")
	}
	a = map[string]string{"time.source": "", "time.observation": `"2026-03-24T01:02:03+00:00"`}
	b = map[string]string{"time.source": "", "time.observation": `"2026-03-24T01:02:04+00:00"`}
	if id(a) == id(b) {
		t.Error("two times of observation have one id")
	}
}

// TestMarking never loosens a marking on its way out.
func TestMarking(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		row  string
		feed event.Marking
		want event.Marking
		out  string
	}{
		{`"tlp":"GREEN",`, event.Amber, event.Amber, `"tlp":"AMBER"`},
		{`"tlp":"TLP:RED",`, event.Amber, event.Red, `"tlp":"TLP:RED"`},
		{`"tlp":"odd",`, event.Amber, event.Amber, `"tlp":"AMBER"`},
		{`"tlp":"odd",`, event.Unmarked, event.Unmarked, `"tlp":"odd"`},
		{``, event.Green, event.Green, `"tlp":"GREEN"`},
		{`"tlp":"clear",`, event.Unmarked, event.Clear, `"tlp":"clear"`},
	} {
		src := historic("")
		src.Marking = tt.feed
		events, bad := must(t, "idf", []byte(`{`+tt.row+`"time.source":"2026-03-24T01:02:03+00:00","source.ip":"192.0.2.9"}`), src)
		if len(events) != 1 {
			t.Fatal(bad)
		}
		if out := event.AppendIDF(nil, &events[0], ""); events[0].Marking != tt.want || !bytes.Contains(out, []byte(tt.out)) || bytes.Count(out, []byte(`"tlp"`)) != 1 {
			t.Errorf("%s in a %s feed: %s, %s", tt.row, tt.feed, events[0].Marking, out)
		}
	}
}

func FuzzIDF(f *testing.F) {
	_, inputs := fixtures(f, "idf")
	for _, in := range inputs {
		for line := range bytes.Lines(in.Data) {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		events, _, err := all(t, "idf", bytes.NewReader(in), historic(""), Limits{Bytes: 1 << 20})
		if err != nil {
			return
		}
		for i := range events {
			roundTrip(t, &events[i])
		}
	})
}
