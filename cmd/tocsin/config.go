package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"

	"tocsin/internal/app"
)

// configName is the configuration file in the data directory. It may be
// absent, and every field in it may be.
const configName = "tocsin.yaml"

// config is the configuration file.
type config struct {
	Listen   string   `yaml:"listen"`    // host and port of the pages and the API
	Hosts    []string `yaml:"hosts"`     // names that requests may be for; on loopback its own by default
	Home     string   `yaml:"home"`      // country code of the constituency, such as NL
	HomeName string   `yaml:"home_name"` // its name for people
	MaxBody  int64    `yaml:"max_body"`  // bytes of one delivery as it comes
	Inbox    string   `yaml:"inbox"`     // watched folder; by default inbox in the data directory, "-" for none
	Memory   int64    `yaml:"memory"`    // bytes that the database may use for its buffers
	MinFree  int64    `yaml:"min_free"`  // bytes of free disk below which nothing is acked

	file  map[string]string // settings as the file has them
	frank bool              // tell the asker internal errors: for the owner of the directory
}

func defaultConfig() config {
	return config{Listen: "127.0.0.1:8480", file: map[string]string{}}
}

// loadConfig reads DIR/tocsin.yaml.
func loadConfig(dir string) (config, error) {
	c := defaultConfig()
	path := filepath.Join(dir, configName)
	b, err := os.ReadFile(path) //nolint:gosec // the operator's own path
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	if err := yaml.UnmarshalWithOptions(b, &c, yaml.Strict()); err != nil {
		return c, fmt.Errorf("%s cannot be read; it knows listen, hosts, home, home_name, max_body, inbox, memory and min_free: %w", path, err)
	}
	if c.Listen == "" {
		c.Listen = defaultConfig().Listen
	}
	if err := c.check(); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	c.file = c.settings()
	return c, nil
}

// leastMemory is what the database needs to start and answer.
const leastMemory = 64 << 20

// check refuses what cannot be, by its key.
func (c config) check() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	bad := func(r rune) bool { return !unicode.IsPrint(r) }
	switch {
	case err != nil || strings.Trim(host, hostLetters+"%") != "":
		return fmt.Errorf("listen: %q: want HOST:PORT", c.Listen)
	case slices.ContainsFunc(c.Hosts, func(h string) bool { return h == "" || strings.Trim(h, hostLetters) != "" }):
		return fmt.Errorf("hosts: %q: want a list of host names, such as [tocsin.example]", c.Hosts)
	case strings.ContainsFunc(c.HomeName, bad) || len(c.HomeName) > 200:
		return fmt.Errorf("home_name: %q: want a name of at most 200 bytes", c.HomeName)
	case strings.ContainsFunc(c.Inbox, bad):
		return fmt.Errorf("inbox: %q: want a folder's path, or \"-\" for none", c.Inbox)
	case c.MaxBody < 0:
		return fmt.Errorf("max_body: %d must not be negative", c.MaxBody)
	case c.Memory != 0 && c.Memory < leastMemory:
		return fmt.Errorf("memory: %d is too little: want at least %d bytes", c.Memory, leastMemory)
	}
	return app.CheckHome(c.Home)
}

// hostLetters are what the names of hosts and addresses consist of.
const hostLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:[]"

// settings gives what differs from the defaults, by key, but for home and
// home_name, which the journal keeps by themselves.
func (c config) settings() map[string]string {
	m, d := map[string]string{}, defaultConfig()
	for _, x := range []struct{ key, is, normally string }{
		{"listen", c.Listen, d.Listen},
		{"hosts", strings.Join(c.Hosts, " "), ""},
		{"max_body", strconv.FormatInt(c.MaxBody, 10), "0"},
		{"inbox", c.Inbox, ""},
		{"memory", strconv.FormatInt(c.Memory, 10), "0"},
		{"min_free", strconv.FormatInt(c.MinFree, 10), "0"},
	} {
		if x.is != x.normally {
			m[x.key] = x.is
		}
	}
	return m
}

// app gives the program's own configuration.
func (c config) app(dir string) app.Config {
	cfg := app.DefaultConfig(dir)
	cfg.Home, cfg.HomeName, cfg.Inbox, cfg.Settings = c.Home, c.HomeName, c.Inbox, c.file
	if c.MaxBody > 0 {
		cfg.MaxBody = c.MaxBody
	}
	if c.Memory > 0 {
		cfg.Store.Memory = c.Memory
	}
	if c.MinFree != 0 {
		cfg.Archive.MinFree = c.MinFree
	}
	return cfg
}
