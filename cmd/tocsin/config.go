package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

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

	frank bool // tell the asker internal errors: for the owner of the directory
}

func defaultConfig() config { return config{Listen: "127.0.0.1:8480"} }

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
	switch {
	case c.MaxBody < 0 || c.Memory < 0:
		return c, fmt.Errorf("%s: max_body and memory must not be negative", path)
	case len(c.Home) != 0 && len(c.Home) != 2:
		return c, fmt.Errorf("%s: home is a country code of two letters, such as NL", path)
	case c.Listen == "":
		c.Listen = defaultConfig().Listen
	}
	return c, nil
}

// app gives the program's own configuration.
func (c config) app(dir string) app.Config {
	cfg := app.DefaultConfig(dir)
	cfg.Home, cfg.HomeName, cfg.Inbox = c.Home, c.HomeName, c.Inbox
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
