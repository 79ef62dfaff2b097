package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tocsin/internal/app"
)

const wholeConfig = `# All of it.
listen: 127.0.0.2:8480
hosts: [tocsin.example, 192.0.2.7]
home: NL
home_name: Netherlands
max_body: 1048576
inbox: /srv/inbox
memory: 268435456
min_free: 1048576
`

// effective gives all settings, as they decide something.
func effective(c config) map[string]string {
	m := map[string]string{
		"listen": c.Listen, "hosts": strings.Join(c.Hosts, " "), "home": strings.ToUpper(c.Home), "home_name": c.HomeName, "inbox": c.Inbox,
	}
	for k, n := range map[string]int64{"max_body": c.MaxBody, "memory": c.Memory, "min_free": c.MinFree} {
		if m[k] = ""; n != 0 {
			m[k] = strconv.FormatInt(n, 10)
		}
	}
	return m
}

// opens opens what acks need with a configuration, as `tocsin serve` does, and
// returns what was logged and the home that is in force.
func opens(t *testing.T, dir string, c config) (logged, home string) {
	t.Helper()
	var log bytes.Buffer
	cfg := c.app(dir)
	cfg.Inbox = "-"
	a, err := app.Start(t.Context(), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})), cfg, app.Deps{})
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	defer a.Close()
	return log.String(), a.Home()
}

// TestConfigDamage flips bits and cuts the configuration file: it is refused,
// with the file and the line or the key; or it says what it said before; or the
// log says which setting became what. It does not run beside tests that start
// processes: one that is being started holds the lock of a directory that has
// just been closed.
func TestConfigDamage(t *testing.T) {
	const flips, cuts = 100, 50
	rng := rand.New(rand.NewPCG(5, 8480))
	master := filepath.Join(t.TempDir(), "master")
	write := func(dir string, b []byte) string {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, configName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	before, err := loadConfig(write(master, []byte(wholeConfig)))
	if err != nil {
		t.Fatal(err)
	}
	if log, home := opens(t, master, before); log != "" || home != "NL" {
		t.Fatalf("home %q, and a new directory tells of changes: %s", home, log)
	}
	if log, _ := opens(t, master, before); log != "" {
		t.Fatalf("the same configuration tells of changes: %s", log)
	}
	where := regexp.MustCompile(`\[\d+:\d+\]|(listen|hosts|home|home_name|max_body|inbox|memory|min_free): `)
	// One letter of each setting, to another that can be.
	letters := []string{"8480 8481", "tocsin. tocsim.", "NL PL", "Nether Dether", "1048576 1048577", "/srv /arv", "26843 36843", "free: 1 free: 3"}
	refused, told, harmless := 0, 0, 0
	for i := range flips + cuts + len(letters) {
		b := []byte(wholeConfig)
		var what string
		if i >= flips+cuts {
			what = letters[i-flips-cuts]
			n := len(what) / 2
			b = []byte(strings.Replace(wholeConfig, what[:n], what[n+1:], 1))
		} else if i < flips {
			at, bit := rng.IntN(len(b)), rng.IntN(8)
			b[at] ^= 1 << bit
			what = fmt.Sprintf("bit %d of byte %d", bit, at)
		} else {
			b = b[:rng.IntN(len(b))]
			what = fmt.Sprintf("cut to %d bytes", len(b))
		}
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(dir, os.DirFS(master)); err != nil {
			t.Fatal(err)
		}
		c, err := loadConfig(write(dir, b))
		if err != nil {
			refused++
			if s := err.Error(); !strings.Contains(s, filepath.Join(dir, configName)) || !where.MatchString(s) {
				t.Errorf("%s: it is refused, and nobody learns where: %v", what, err)
			}
			continue
		}
		if i >= flips+cuts && maps.Equal(effective(c), effective(before)) {
			t.Errorf("%s: it changed nothing", what)
		}
		log, home := opens(t, dir, c)
		is, was := effective(c), effective(before)
		if is["home"] == "" { // as the journal has it
			is["home"] = home
		}
		if is["home_name"] == "" {
			is["home_name"] = was["home_name"]
		}
		if maps.Equal(is, was) {
			harmless++
			continue
		}
		told++
		for k := range was {
			if is[k] == was[k] {
				continue
			}
			to := is[k]
			if to == "" || k == "listen" && to == defaultConfig().Listen {
				to = "the default"
			}
			if !regexp.MustCompile(`key=` + k + ` from="?` + regexp.QuoteMeta(was[k]) + `"? to="?` + regexp.QuoteMeta(to)).MatchString(log) {
				t.Errorf("%s: %s became %q, and the log does not say so: %s", what, k, is[k], log)
			}
		}
		if log == "" {
			t.Errorf("%s: the configuration changed in silence: %v", what, is)
		}
		if again, _ := opens(t, dir, c); again != "" {
			t.Errorf("%s: it is told twice: %s", what, again)
		}
	}
	t.Logf("%d flips and %d cuts: %d refused, %d told, %d harmless", flips, cuts, refused, told, harmless)
}

// TestConfigMistakes gives what cannot be: it is refused, by the file and the
// line or the key.
func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"home: NLD":                     "home:",
		"home: ZZ":                      "home:",
		"home: NL\nhome: BE":            "[2:1]",
		"home: NL\nhom: BE":             "[2:1]",
		"home: [NL]":                    "[1:7]",
		"listen: here":                  "listen:",
		"listen: 127.0.0.1:99999":       "listen:",
		"hosts: [\"tocsin example\"]":   "hosts:",
		"hosts: [\"\"]":                 "hosts:",
		"memory: 335":                   "memory:",
		"memory: lots":                  "[1:9]",
		"max_body: -1":                  "max_body:",
		"inbox: \"a\\tb\"":              "inbox:",
		"home_name: \"a\\u202eb\"":      "home_name:",
		"max_body: 9999999999999999999": "[1:11]",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, configName)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := loadConfig(dir); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: want an error with %q: %v %+v", text, says, err, c)
		}
	}
}
