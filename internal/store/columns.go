package store

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// EventTableSQL returns the statement that makes table event, for
// measurements that write the same columns by other means.
func EventTableSQL() string { return tableSQL("event", eventColumns) }

// options are what DuckDB is opened with. They hold from its first step on: a
// long log is read back when it is opened, and what that needs beyond the
// memory limit goes to the temporary directory, which cannot be named later.
func options(cfg Config) [][2]string {
	list := [][2]string{
		{"memory_limit", fmt.Sprintf("%dB", cfg.Memory)},
		{"checkpoint_threshold", "256MB"},
		{"preserve_insertion_order", "false"},
		{"temp_directory", filepath.Join(cfg.Dir, "tmp")},
		{"max_temp_directory_size", "64GB"},
	}
	if cfg.Threads > 0 {
		list = append(list, [2]string{"threads", strconv.Itoa(cfg.Threads)})
	}
	return list
}

// Settings returns the statements that set DuckDB up in the same way.
func Settings(cfg Config) []string {
	var list []string
	for _, kv := range options(cfg) {
		list = append(list, fmt.Sprintf("SET %s='%s'", kv[0], kv[1]))
	}
	return append(list, setTimeZone)
}

const setTimeZone = "SET TimeZone='UTC'"
