package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"iter"
	"math/big"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// EventTableSQL returns the statement that makes table event, for
// measurements that write the same columns by other means.
func EventTableSQL() string { return tableSQL("event", eventColumns) }

// ClearTableSQL returns the statement that makes a table with the columns of
// table event in which words stand in clear.
func ClearTableSQL() string {
	cols := slices.Clone(eventColumns)
	for _, c := range wordColumns {
		cols[c].typ = tText
	}
	return tableSQL("event", cols)
}

// wordColumns are the columns of table event that hold numbers of words.
var wordColumns = []int{
	evFeed, evReport, evIdentifier, evFamily, evSrcCC, evSrcRegion, evSrcCity, evDstCC, evDstRegion, evDstCity,
	evTransport, evApplication, evVendor, evProduct, evCC, evOrg, evSector, evRegion,
}

// ClearRows gives all rows of table event as values for a table of
// [ClearTableSQL]: words and text in clear, nothing as NULL. It is for
// measurements.
func (s *Store) ClearRows(ctx context.Context) iter.Seq2[[]driver.Value, error] {
	return func(yield func([]driver.Value, error) bool) {
		err := s.read(ctx, func(c *conn) error {
			r, err := c.query(`SELECT ` + eventFields + ` FROM event`)
			if err != nil {
				return err
			}
			defer r.close()
			for r.next() {
				if !yield(s.clearRow(r), nil) {
					return nil
				}
			}
			return r.err
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

func (s *Store) clearRow(r *rows) []driver.Value {
	row := make([]driver.Value, len(eventColumns))
	for i, c := range eventColumns {
		switch c.typ {
		case tU8:
			row[i] = at[uint8](r, i)
		case tU16:
			row[i] = at[uint16](r, i)
		case tU32:
			row[i] = at[uint32](r, i)
		case tTime:
			row[i] = time.UnixMicro(at[int64](r, i)).UTC()
		case tU128:
			id := r.id(i)
			n := new(big.Int).SetUint64(id.Hi)
			row[i] = n.Or(n.Lsh(n, 64), new(big.Int).SetUint64(id.Lo))
		}
	}
	for _, i := range wordColumns {
		row[i] = nil
		if w := s.terms.word(at[uint32](r, i)); w != "" {
			row[i] = w
		}
	}
	if text := r.str(evText); text != "" {
		own, extra, _ := strings.Cut(text, "\n")
		row[evText] = string(s.expand(own)) + "\n" + string(s.expand(extra))
	}
	return row
}

// Rows that are in the log and not yet in the file are held in memory as they
// came, 1.7 to 2.5 bytes of it for a byte of the log. Where they fill it, they go to
// temporary files; and where the disk is full, nothing can be read, nor the log
// itself when the file is opened. So the log is kept below a share of the memory,
// and the events of a transaction below another, which leaves room for
// questions. A quarter of 320 MiB for the log costs 4 % more CPU than 256 MB do,
// with deliveries of a thousand rows.
const (
	logShare   = 5
	maxLog     = 256 << 20
	eventShare = 5
	eventBytes = 380 // of memory for an event of an open transaction
)

// transaction is how many events the configuration lets into a transaction. One
// that cannot fill a row group is copied at its commit, and has room for half as
// many.
func transaction(cfg Config) int {
	fit := cfg.Memory / eventShare / eventBytes
	if fit < int64(cfg.Transaction) {
		return int(max(fit/2, 1))
	}
	return cfg.Transaction
}

// options are what DuckDB is opened with. They hold from its first step on: a
// long log is read back when it is opened, and what that needs beyond the
// memory limit goes to the temporary directory, which cannot be named later.
//
// A checkpoint that may vacuum reads neighbouring row groups which are not full
// back, as they came, and writes them as one: with a log of 26 MB it held 230
// MB, failed on a disk that had no room for half of that, and stood in the way
// of the next commit for a second. Groups of many small transactions are nearly
// full without it, and one with nothing left in it is dropped all the same.
func options(cfg Config) [][2]string {
	list := [][2]string{
		{"memory_limit", fmt.Sprintf("%dB", cfg.Memory)},
		{"checkpoint_threshold", fmt.Sprintf("%dB", min(cfg.Memory/logShare, maxLog))},
		{"preserve_insertion_order", "false"},
		{"max_vacuum_tasks", "0"},                // see above
		{"allocator_background_threads", "true"}, // what is free goes back to the system: 70 MB less at the peak
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
