package figure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Difference is one field of a figure that two documents do not agree on.
// Before and After are as in the documents, "absent" where there is none, and ""
// where the field is a list or an object.
type Difference struct {
	Figure string `json:"figure"`
	Title  string `json:"title"`
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// absent stands for a figure or a field that one of two documents lacks.
const absent = "absent"

// Differences compares two published documents. A figure is an object with an
// id and a value, wherever it stands; one id that stands there again has its
// number behind it. Rest reports whether anything outside of the figures differs.
func Differences(before, after []byte) (list []Difference, rest bool, err error) {
	var sides [2]sheet
	for i, b := range [][]byte{before, after} {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, false, fmt.Errorf("compare documents: %w", err)
		}
		sides[i] = sheet{figures: map[string]map[string]any{}}
		v = sides[i].take(v)
		if sides[i].rest, err = json.Marshal(v); err != nil {
			return nil, false, fmt.Errorf("compare documents: %w", err)
		}
	}
	old, now := &sides[0], &sides[1]
	ids := slices.Clone(now.ids)
	for _, id := range old.ids {
		if _, ok := now.figures[id]; !ok {
			ids = append(ids, id)
		}
	}
	list = []Difference{}
	for _, id := range ids {
		a, b := old.figures[id], now.figures[id]
		title := func(m map[string]any) string { s, _ := m["title"].(string); return s }
		d := Difference{Figure: id, Title: title(b)}
		if d.Title == "" {
			d.Title = title(a)
		}
		if a == nil || b == nil {
			d.Field, d.Before, d.After = "figure", "present", absent
			if a == nil {
				d.Before, d.After = absent, "present"
			}
			list = append(list, d)
			continue
		}
		keys := map[string]bool{}
		for _, m := range []map[string]any{a, b} {
			for k := range m {
				keys[k] = true
			}
		}
		delete(keys, "value") // which stands first
		for _, k := range append([]string{"value"}, slices.Sorted(maps.Keys(keys))...) {
			x, y := text(a, k), text(b, k)
			if x == y {
				continue
			}
			d.Field, d.Before, d.After = k, shown(x), shown(y)
			list = append(list, d)
		}
	}
	return list, !bytes.Equal(old.rest, now.rest), nil
}

// sheet is a document taken apart.
type sheet struct {
	ids     []string // in the order in which they stand
	figures map[string]map[string]any
	rest    []byte
}

// take takes the figures out of v and returns what is left.
func (s *sheet) take(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = s.take(v[i])
		}
	case map[string]any:
		id, isText := v["id"].(string)
		if _, ok := v["value"]; ok && isText {
			key := id
			for n := 2; s.figures[key] != nil; n++ {
				key = id + " #" + strconv.Itoa(n)
			}
			s.ids, s.figures[key] = append(s.ids, key), v
			return nil
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			v[k] = s.take(v[k])
		}
	}
	return v
}

func text(m map[string]any, key string) string {
	v, ok := m[key]
	if !ok {
		return absent
	}
	b, err := json.Marshal(v)
	if err != nil {
		return absent
	}
	return string(b)
}

// shown is a field's text, or "" where it is more than a number or a text.
func shown(s string) string {
	switch s[0] {
	case '{', '[':
		return ""
	case '"':
		var t string
		if json.Unmarshal([]byte(s), &t) == nil {
			return t
		}
	}
	return s
}
