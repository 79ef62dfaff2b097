package main

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"tocsin/internal/store"
)

// bareChunk is how many rows are read ahead of being written.
const bareChunk = 122_880

// bare writes the events that stand in a data directory's store into an empty
// DuckDB with the same columns and settings, row by row with AppendRow, and
// returns rows per CPU-second: appending, committing and a final checkpoint.
// Reading them is not counted. In clear, words and text stand as they are, as
// somebody would write them who has no road; or else as the store keeps them,
// with the numbers that it gave to words.
func (b *bench) bare(ctx context.Context, dir string, transaction int, clear bool) (float64, error) {
	cfg := store.DefaultConfig(b.folder())
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return 0, err
	}
	defer os.RemoveAll(cfg.Dir) //nolint:errcheck // temporary
	table, rows := store.EventTableSQL(), encoded(ctx, dir)
	if clear {
		table, rows = store.ClearTableSQL(), inClear(ctx, b.log, dir)
	}
	to, closeTo, err := connect(ctx, store.File(cfg.Dir), append(store.Settings(cfg), table))
	if err != nil {
		return 0, err
	}
	defer closeTo()
	var spent float64
	n := 0
	chunk := make([][]driver.Value, 0, bareChunk)
	write := func() error {
		runtime.GC()
		at := processCPU()
		for i := 0; i < len(chunk); i += transaction {
			if err := appendRows(ctx, to, chunk[i:min(i+transaction, len(chunk))]); err != nil {
				return err
			}
		}
		spent += processCPU() - at
		n += len(chunk)
		chunk = chunk[:0]
		return nil
	}
	for row, err := range rows {
		if err != nil {
			return 0, err
		}
		if chunk = append(chunk, row); len(chunk) == bareChunk {
			if err := write(); err != nil {
				return 0, err
			}
		}
	}
	if err := write(); err != nil {
		return 0, err
	}
	at := processCPU()
	if err := exec(ctx, to, "CHECKPOINT"); err != nil {
		return 0, err
	}
	spent += processCPU() - at
	return float64(n) / spent, nil
}

// encoded gives the rows of table event as they stand in it.
func encoded(ctx context.Context, dir string) iter.Seq2[[]driver.Value, error] {
	return func(yield func([]driver.Value, error) bool) {
		from, closeFrom, err := connect(ctx, store.File(filepath.Join(dir, "store"))+"?access_mode=READ_ONLY", nil)
		if err != nil {
			yield(nil, err)
			return
		}
		defer closeFrom()
		rows, err := from.QueryContext(ctx, "SELECT * FROM event", nil)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close() //nolint:errcheck // read only
		for {
			row := make([]driver.Value, len(rows.Columns()))
			err := rows.Next(row)
			if errors.Is(err, io.EOF) || !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// inClear gives the same rows with their words.
func inClear(ctx context.Context, log *slog.Logger, dir string) iter.Seq2[[]driver.Value, error] {
	return func(yield func([]driver.Value, error) bool) {
		st, err := store.Open(ctx, log, store.DefaultConfig(filepath.Join(dir, "store")), store.Deps{Clock: time.Now})
		if err != nil {
			yield(nil, err)
			return
		}
		defer st.Close()
		for row, err := range st.ClearRows(ctx) {
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// appendRows writes rows in one transaction.
func appendRows(ctx context.Context, c *duckdb.Conn, rows [][]driver.Value) error {
	if err := exec(ctx, c, "BEGIN"); err != nil {
		return err
	}
	a, err := duckdb.NewAppenderFromConn(c, "", "event")
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := a.AppendRow(r...); err != nil {
			return errors.Join(err, a.Close())
		}
	}
	if err := a.Close(); err != nil {
		return err
	}
	return exec(ctx, c, "COMMIT")
}

func exec(ctx context.Context, c *duckdb.Conn, q string) error {
	_, err := c.ExecContext(ctx, q, nil)
	return err
}

// connect opens a database and runs statements on it.
func connect(ctx context.Context, dsn string, statements []string) (*duckdb.Conn, func(), error) {
	x, err := duckdb.NewConnector(dsn, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", dsn, err)
	}
	dc, err := x.Connect(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, x.Close())
	}
	c, ok := dc.(*duckdb.Conn)
	if !ok {
		return nil, nil, fmt.Errorf("a connection is a %T", dc)
	}
	stop := func() { _ = c.Close(); _ = x.Close() }
	for _, q := range statements {
		if err := exec(ctx, c, q); err != nil {
			stop()
			return nil, nil, err
		}
	}
	return c, stop, nil
}
