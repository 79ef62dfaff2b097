package main

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/duckdb/duckdb-go/v2"

	"tocsin/internal/store"
)

// bareChunk is how many rows are read ahead of being written.
const bareChunk = 122_880

// bare writes the events that stand in a data directory's store into an empty
// DuckDB with the same columns and settings, row by row with AppendRow, and
// returns rows per CPU-second: appending, committing and a final checkpoint.
// Reading them is not counted.
func (b *bench) bare(ctx context.Context, dir string, transaction int) (float64, error) {
	cfg := store.DefaultConfig(b.folder())
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return 0, err
	}
	defer os.RemoveAll(cfg.Dir) //nolint:errcheck // temporary
	from, closeFrom, err := connect(ctx, store.File(dir+"/store")+"?access_mode=READ_ONLY", nil)
	if err != nil {
		return 0, err
	}
	defer closeFrom()
	to, closeTo, err := connect(ctx, store.File(cfg.Dir), append(store.Settings(cfg), store.EventTableSQL()))
	if err != nil {
		return 0, err
	}
	defer closeTo()
	rows, err := from.QueryContext(ctx, "SELECT * FROM event", nil)
	if err != nil {
		return 0, err
	}
	defer rows.Close() //nolint:errcheck // read only
	var spent float64
	n := 0
	chunk := make([][]driver.Value, 0, bareChunk)
	for {
		chunk = chunk[:0]
		end := false
		for len(chunk) < bareChunk && !end {
			row := make([]driver.Value, len(rows.Columns()))
			switch err := rows.Next(row); {
			case errors.Is(err, io.EOF):
				end = true
			case err != nil:
				return 0, err
			default:
				chunk = append(chunk, row)
			}
		}
		runtime.GC()
		at := processCPU()
		for i := 0; i < len(chunk); i += transaction {
			if err := appendRows(ctx, to, chunk[i:min(i+transaction, len(chunk))]); err != nil {
				return 0, err
			}
		}
		spent += processCPU() - at
		if n += len(chunk); end {
			break
		}
	}
	at := processCPU()
	if err := exec(ctx, to, "CHECKPOINT"); err != nil {
		return 0, err
	}
	spent += processCPU() - at
	return float64(n) / spent, nil
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
