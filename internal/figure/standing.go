package figure

import "tocsin/internal/query"

// Standing returns the questions with conditions that the overview asks
// whenever it is opened: those of every definition, its kinds and its shares,
// without breakdown and with no period set. home is the country code of the
// constituency; without one, figures at home and abroad are not asked for.
func Standing(home string) []query.Count {
	var list []query.Count
	for i := range Definitions {
		d := &Definitions[i]
		if d.Place != Anywhere && home == "" {
			continue
		}
		whole, ok := And(d.Where, d.place(home))
		if !ok {
			continue
		}
		if len(whole) > 0 {
			list = append(list, query.Count{Class: d.Class, Where: whole})
		}
		for _, parts := range [][]Part{d.Kinds, d.Shares} {
			for _, p := range parts {
				if w, ok := And(whole, p.Where); ok {
					list = append(list, query.Count{Class: d.Class, Where: w})
				}
			}
		}
	}
	return list
}
