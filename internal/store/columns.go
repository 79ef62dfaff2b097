package store

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// EventTableSQL returns the statement that makes table event, for
// measurements that write the same columns by other means.
func EventTableSQL() string { return tableSQL("event", eventColumns) }

// Rows that are in the log and not yet in the file are held in memory as they
// came, 1.7 bytes of it for a byte of the log. Where they fill it, they go to
// temporary files; and where the disk is full, nothing can be read, nor the log
// itself when the file is opened. So it is kept below a share of the memory that
// leaves room for a transaction and for questions. A quarter of 320 MiB costs
// 4 % more CPU than 256 MB of log do, with deliveries of a thousand rows.
const (
	logShare = 4
	maxLog   = 256 << 20
)

// options are what DuckDB is opened with. They hold from its first step on: a
// long log is read back when it is opened, and what that needs beyond the
// memory limit goes to the temporary directory, which cannot be named later.
func options(cfg Config) [][2]string {
	list := [][2]string{
		{"memory_limit", fmt.Sprintf("%dB", cfg.Memory)},
		{"checkpoint_threshold", fmt.Sprintf("%dB", min(cfg.Memory/logShare, maxLog))},
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
