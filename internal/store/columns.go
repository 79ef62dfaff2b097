package store

import (
	"fmt"
	"path/filepath"
)

// EventTableSQL returns the statement that makes table event, for
// measurements that write the same columns by other means.
func EventTableSQL() string { return tableSQL("event", eventColumns) }

// Settings returns the statements that DuckDB is set up with.
func Settings(cfg Config) []string {
	list := []string{
		fmt.Sprintf("SET memory_limit='%dB'", cfg.Memory),
		"SET checkpoint_threshold='256MB'",
		"SET preserve_insertion_order=false",
		fmt.Sprintf("SET temp_directory='%s'", filepath.Join(cfg.Dir, "tmp")),
		"SET max_temp_directory_size='64GB'",
		"SET TimeZone='UTC'",
	}
	if cfg.Threads > 0 {
		list = append(list, fmt.Sprintf("SET threads=%d", cfg.Threads))
	}
	return list
}
