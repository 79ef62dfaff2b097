package web_test

import (
	"encoding/csv"
	"encoding/json"
	"html"
	"strings"
	"testing"

	"tocsin/internal/query"
	"tocsin/internal/web"
)

// firstEpisode returns the address of the page of the first episode that the
// asker is shown, which stands in the list.
func firstEpisode(t *testing.T, s *web.Server, as string) string {
	t.Helper()
	body := get(s, as, "/episodes").Body.String()
	_, rest, ok := strings.Cut(body, `href="/episodes/`)
	if !ok {
		t.Fatalf("the list leads %s to no episode:\n%.2000s", as, body)
	}
	path, _, _ := strings.Cut(rest, `"`)
	return "/episodes/" + html.UnescapeString(path)
}

func TestEpisodePage(t *testing.T) {
	t.Parallel()
	s := serverOf(t, world(60, 16), web.Config{})
	path := firstEpisode(t, s, "analyst")
	page := get(s, "analyst", path).Body.String()
	for _, want := range []string{`class="seen"`, `class="hold"`, `class="gap"`, `class="clean"`, "did not look", "First clean look", "With half the gaps it would fall apart into 2", "With twice the gaps it would be no longer", "All of its events", "Other episodes of this asset"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	org := get(s, "org", firstEpisode(t, s, "org")).Body.String()
	for _, not := range []string{`class="gap"`, `class="clean"`, "Did not look", "First clean look"} {
		if strings.Contains(org, not) {
			t.Errorf("an organisation's page has %q", not)
		}
	}
	if !strings.Contains(org, `class="seen"`) {
		t.Error("an organisation's page has no day")
	}
	if w := get(s, "nobody", path); w.Code != 404 {
		t.Errorf("nobody gets %d", w.Code)
	}
	var j struct {
		query.Timeline

		Events string `json:"events"`
	}
	if err := json.Unmarshal(get(s, "analyst", path, "Accept", "application/json").Body.Bytes(), &j); err != nil || len(j.Witnesses) != 1 || len(j.Witnesses[0].Seen) != 2 || len(j.Half) != 2 || j.Twice.Days() != 4 {
		t.Errorf("JSON: %v %+v", err, j)
	}
	if w := get(s, "analyst", j.Events); w.Code != 200 || strings.Contains(w.Body.String(), "No event under") {
		t.Errorf("%s: %d", j.Events, w.Code)
	}
	rows, err := csv.NewReader(get(s, "analyst", path, "Accept", "text/csv").Body).ReadAll()
	if err != nil || len(rows) != 2 || strings.Count(rows[1][16], " ") != 1 || !strings.Contains(rows[1][17], "/") {
		t.Errorf("CSV: %v %q", err, rows)
	}
	for target, want := range map[string]int{
		"/episodes/attempt/00000000000000000000000000000001/2026-11-01": 400, "/episodes/infection/xyz/2026-11-01": 400, "/episodes/infection/00000000000000000000000000000001/2026-13-01": 400,
		"/episodes/infection/00000000000000000000000000000001/2026-11-01": 404, path + "&what=1": 400, "/episodes/infection": 404,
	} {
		if w := get(s, "analyst", target); w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
}

// TestEpisodeHostile has the page of an episode whose texts are hostile.
func TestEpisodeHostile(t *testing.T) {
	t.Parallel()
	s := serverOf(t, hostile(), web.Config{})
	path, _, _ := strings.Cut(firstEpisode(t, s, "admin"), "?") // texts that are no UTF-8 are refused in an address
	w := get(s, "admin", path)
	if w.Code != 200 || strings.Contains(w.Body.String(), "<script") || strings.Contains(w.Body.String(), "<img") {
		t.Errorf("%d\n%.3000s", w.Code, w.Body)
	}
}
