package store

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"tocsin/internal/event"
)

// TestText writes and reads the text of many events whose members repeat, so
// that some of them become words.
func TestText(t *testing.T) {
	s := &Store{terms: newTerms(), seed: 7}
	values := []string{`"517311"`, `"Communications, Service Provider"`, `"a\"b\\"`, `"#1f,"`, `17`, `{"a":[1,"}"]}`, `null`, `"é\u0000"`, `"\\"`, `""`}
	keys := []string{"extra.naics", "extra.sector", "extra.a\\\"b", "source.abuse_contact"}
	rapid.Check(t, func(t *rapid.T) {
		var e event.Event
		var n event.Annotation
		for _, p := range textFields(&e, &n) {
			if rapid.IntRange(0, 3).Draw(t, "has") == 0 {
				*p = rapid.SampledFrom([]string{"host.example", "http://x/\"#1,\n", "ü", "\x1b[2J"}).Draw(t, "text")
			}
		}
		e.Observed = rapid.Int64Range(0, 2).Draw(t, "observed")
		var x bytes.Buffer
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			if x.Len() > 0 {
				x.WriteByte(',')
			}
			x.WriteString(`"` + rapid.SampledFrom(keys).Draw(t, "key") + `":` + rapid.SampledFrom(values).Draw(t, "value"))
		}
		if x.Len() > 0 {
			e.Extra = []byte("{" + x.String() + "}")
			if !json.Valid(e.Extra) {
				t.Fatalf("the test's own %s", e.Extra)
			}
		}
		text := s.appendText(nil, &e, &n, 1)
		var got event.Event
		var note event.Annotation
		s.readText(string(text), &got, &note)
		if !reflect.DeepEqual(got, e) || note != n {
			t.Fatalf("%s gives %+v %+v\nwant %+v %+v", text, got, note, e, n)
		}
	})
	if len(s.terms.words) < 10 && !testing.Short() { // rapid makes fewer then
		t.Errorf("only %d members became words", len(s.terms.words))
	}
}
