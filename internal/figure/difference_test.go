package figure

import (
	"fmt"
	"testing"
)

func TestDifferences(t *testing.T) {
	t.Parallel()
	const one = `{"home":"NL","figures":[{"id":"a","title":"A","value":1.50,"series":[1,2]},{"id":"b","title":"B","value":null,"note":"x"}]}`
	for _, tt := range []struct {
		name, after, want string
		rest              bool
	}{
		{"the same", one, "[]", false},
		{"the same, spelt otherwise", `{"figures": [{"value":1.50,"series":[1,2],"id":"a","title":"A"},{"id":"b","title":"B","value":null,"note":"x"}], "home":"NL"}`, "[]", false},
		{"a value", `{"home":"NL","figures":[{"id":"a","title":"A","value":2,"series":[1,2]},{"id":"b","title":"B","value":null,"note":"x"}]}`, "[{a A value 1.50 2}]", false},
		{"digits count", `{"home":"NL","figures":[{"id":"a","title":"A","value":1.5,"series":[1,2]},{"id":"b","title":"B","value":null,"note":"x"}]}`, "[{a A value 1.50 1.5}]", false},
		{"rows and text", `{"home":"NL","figures":[{"id":"a","title":"A","value":1.50,"series":[1,3]},{"id":"b","title":"B","value":null,"note":"y"}]}`, "[{a A series  } {b B note x y}]", false},
		{"a field", `{"home":"NL","figures":[{"id":"a","title":"A","value":1.50},{"id":"b","title":"B","value":null,"note":"x","more":true}]}`, "[{a A series  absent} {b B more absent true}]", false},
		{"figures come and go", `{"home":"NL","figures":[{"id":"a","title":"A","value":1.50,"series":[1,2]},{"id":"c","title":"C","value":0}]}`, "[{c C figure absent present} {b B figure present absent}]", false},
		{"around them", `{"home":"BE","figures":[{"id":"a","title":"A","value":1.50,"series":[1,2]},{"id":"b","title":"B","value":null,"note":"x"}]}`, "[]", true},
		{"twice, elsewhere", `{"home":"NL","figures":[{"id":"a","title":"A","value":1.50,"series":[1,2]},{"id":"b","title":"B","value":null,"note":"x"}],"more":{"deep":[{"id":"a","value":9,"kinds":[{"id":"b","value":1}]}]}}`, "[{a #2  figure absent present}]", true},
	} {
		list, rest, err := Differences([]byte(one), []byte(tt.after))
		if err != nil || fmt.Sprint(list) != tt.want || rest != tt.rest {
			t.Errorf("%s: %v %t %v, want %s %t", tt.name, list, rest, err, tt.want, tt.rest)
		}
	}
	if _, _, err := Differences([]byte(one), []byte("{")); err == nil {
		t.Error("half a document is compared")
	}
}
