package decode

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"tocsin/internal/event"
)

// fixtures returns the inputs of a format's fixture by name, in their order.
func fixtures(t testing.TB, format string) (ar *txtar.Archive, inputs []txtar.File) {
	t.Helper()
	ar, err := txtar.ParseFile("testdata/" + format + ".txtar")
	if err != nil {
		t.Fatalf("every format has a fixture: %v", err)
	}
	for _, f := range ar.Files {
		if !strings.HasSuffix(f.Name, ".want") {
			inputs = append(inputs, f)
		}
	}
	return ar, inputs
}

func fixtureSource(f txtar.File) Source {
	src := historic("")
	src.Name = f.Name
	src.Historical = false
	return src
}

// TestGolden runs every format over its fixture. The ids in it are pinned: a
// decoder that is mended changes none.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, f := range Formats {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			ar, inputs := fixtures(t, f.Name)
			want := map[string]*txtar.File{}
			for i := range ar.Files {
				want[ar.Files[i].Name] = &ar.Files[i]
			}
			for _, in := range inputs {
				base, _, _ := strings.Cut(in.Name, ".")
				w := want[base+".want"]
				if w == nil {
					t.Fatalf("%s has no %s.want", in.Name, base)
				}
				events, bad := must(t, f.Name, in.Data, fixtureSource(in))
				got := golden(events, bad)
				if *update {
					w.Data = got
				} else if !bytes.Equal(got, w.Data) {
					t.Errorf("%s: got:\n%s\nwant:\n%s", in.Name, got, w.Data)
				}
			}
			if *update {
				if err := os.WriteFile("testdata/"+f.Name+".txtar", txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// golden writes what a reader of the fixture wants to see.
func golden(events []event.Event, bad []Bad) []byte {
	var b bytes.Buffer
	for i := range events {
		e := &events[i]
		fmt.Fprintf(&b, "row %d %s %s: %s, %s by its %s, counted as %s; peer %s\n  %s\n", e.Row, e.ID, e.Class(), e.Subject.Role, e.Subject.Side, e.Subject.Kind, e.Subject.Asset, e.Subject.Peer,
			event.AppendIDF(nil, e, ""))
	}
	for _, x := range bad {
		fmt.Fprintf(&b, "row %d quarantined: %s: %s\n", x.Row, x.Reason, x.Detail)
	}
	return b.Bytes()
}

// TestProfiles checks that a fixture shows each profile and each alternative.
func TestProfiles(t *testing.T) {
	t.Parallel()
	_, inputs := fixtures(t, "shadowserver")
	shown := map[*profile]bool{}
	for _, in := range inputs {
		name, ok := ReportOf(in.Name)
		if !ok {
			t.Errorf("%s is no report type", in.Name)
			continue
		}
		shown[reportNames[name].profile] = true
		for _, a := range alternatives {
			if a.report == name && bytes.Contains(in.Data, []byte(a.word)) {
				shown[a.profile] = true
			}
		}
	}
	for i := range reports {
		if !shown[reports[i].profile] {
			t.Errorf("%s: no fixture shows its profile", reports[i].names)
		}
	}
}

// TestTable checks what rows of the table may hold.
func TestTable(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range reports {
		r := &reports[i]
		for n := range strings.FieldsSeq(r.names) {
			if seen[n] {
				t.Errorf("%s is there twice", n)
			}
			seen[n] = true
		}
		if _, ok := event.ParseType(r.class); !ok {
			t.Errorf("%s: no class %q", r.names, r.class)
		}
		for w := range strings.FieldsSeq(r.see) {
			if g, ok := strings.CutPrefix(w, "@"); ok && groups[g] == "" {
				t.Errorf("%s: no group %q", r.names, g)
			} else if w != strings.ToLower(w) || annotations[w] {
				t.Errorf("%s: %q is no identity column", r.names, w)
			}
		}
		for w := range strings.FieldsSeq(r.columns) {
			if c, f, ok := strings.Cut(w, "="); !ok || c == "" || f != "" && fieldNames[f] == none {
				t.Errorf("%s: %q is not column=field", r.names, w)
			}
		}
	}
	for _, a := range alternatives {
		if reportNames[a.report] == nil {
			t.Errorf("alternative of %s, which is not there", a.report)
		}
		event.MustType(a.class)
	}
	if len(seen) < 170 {
		t.Errorf("%d report types", len(seen))
	}
}

func TestReportOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		ok         bool
	}{
		{"2026-03-24-event4_sinkhole_http-example_org-asn.csv", "event4_sinkhole_http", true},
		{"2026-03-24-scan_ssl-123-sample-asn-delayed.csv.gz", "scan_ssl", true},
		{"in/coming/2026-03-24-scan6_ssl-x.csv.zst", "scan6_ssl", true},
		{`C:\reports\2026-03-24-SCAN_SSL-x.CSV`, "scan_ssl", true},
		{"scan_telnet.csv", "scan_telnet", true},
		{"scan_telnet", "scan_telnet", true},
		{"2026-03-24-scan_new_thing-x.csv", "scan_new_thing", false},
		{"", ".", false},
		{"report.csv", "report", false},
	} {
		if got, ok := ReportOf(tt.name); got != tt.want || ok != tt.ok {
			t.Errorf("%q: %q %v, want %q %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

// TestRefusals are deliveries that cannot be read at all.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		report string
		in     string
		want   Reason
	}{
		{"unknown type", "scan_new_thing", "timestamp,ip\n", ReasonReport},
		{"type not told", "", "timestamp,ip\n", ReasonReport},
		{"empty", "scan_telnet", "", ReasonHeader},
		{"only blank lines", "scan_telnet", "\n\r\n\n", ReasonHeader},
		{"no header", "scan_telnet", "2026-03-24 00:00:00,192.0.2.1,tcp,23\n", ReasonHeader},
		{"no time", "scan_telnet", "ip,port\n192.0.2.1,23\n", ReasonHeader},
		{"no subject", "scan_telnet", "timestamp,port\n", ReasonHeader},
		{"another type", "event4_sinkhole", "timestamp,url\n", ReasonHeader},
		{"a column twice", "scan_telnet", "timestamp,ip,port,IP\n2026-03-24 00:00:00,192.0.2.1,23,192.0.2.2\n", ReasonHeader},
		{"an identity column twice", "scan_telnet", "timestamp,ip,port,banner,banner\n", ReasonHeader},
		{"open quote", "scan_telnet", "timestamp,\"ip\n", ReasonHeader},
		{"damaged gzip", "scan_telnet", "\x1f\x8b\x08\x00", ReasonCompression},
		{"damaged zstd", "scan_telnet", "\x28\xb5\x2f\xfd\xff\xff", ReasonCompression},
	} {
		_, _, err := all(t, "shadowserver", strings.NewReader(tt.in), historic(tt.report), Limits{})
		if r := asRefusal(err); r == nil || r.Reason != tt.want || r.Detail == "" {
			t.Errorf("%s: %v, want a refusal for %s", tt.name, err, tt.want)
		}
	}
	// A column without meaning may be there twice; both cells are kept.
	events, bad := must(t, "shadowserver", []byte("timestamp,ip,port,odd,odd,,\n2026-03-24 00:00:00,192.0.2.1,23,a,b,c,d\n"), historic("scan_telnet"))
	if len(bad) > 0 || string(events[0].Extra) != `{"extra.column_6":"c","extra.column_7":"d","extra.odd":"a","extra.odd#2":"b"}` {
		t.Errorf("%s %v", events[0].Extra, bad)
	}
}

// TestFitting finds the type by its header where nothing names it.
func TestFitting(t *testing.T) {
	t.Parallel()
	in := "timestamp,ip,protocol,port,tag,asn,ntp,ntp_code,ntp_reason\n"
	if _, _, err := all(t, "shadowserver", strings.NewReader(in), historic(""), Limits{}); asRefusal(err) == nil {
		t.Error("an unknown header is read")
	}
	events, _ := must(t, "shadowserver", []byte("timestamp,ip,port,hostname,tag,version,servername,url\n2026-03-24 00:00:00,192.0.2.1,443,,x,1,s,\n"), historic(""))
	if len(events) != 1 || events[0].Report != "scan_exchange" {
		t.Errorf("%+v", events)
	}
}

// TestFormats checks that docs/formats.md is what the tables say.
func TestFormats(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := WriteFormats(&b); err != nil {
		t.Fatal(err)
	}
	const path = "../../docs/formats.md"
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page, b.Bytes()) {
		t.Error("docs/formats.md is not what the tables say: run `go test ./internal/decode -run Formats -update`")
	}
	for _, f := range Formats {
		if !strings.Contains(b.String(), "## "+f.Name+"\n") || f.Doc == "" || f.Spec == "" {
			t.Errorf("the page does not tell of %s", f.Name)
		}
	}
	seen := map[Reason]bool{}
	for _, r := range Reasons {
		if seen[r.Reason] || r.Doc == "" {
			t.Errorf("reason %s is there twice or says nothing", r.Reason)
		}
		seen[r.Reason] = true
	}
}
