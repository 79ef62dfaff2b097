package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unsafe"

	b "github.com/duckdb/duckdb-go-bindings"

	"tocsin/internal/event"
)

// errDamaged is wrapped by errors which say that the database file cannot be
// trusted any more: it must be made again from the archive.
var errDamaged = errors.New("the database is damaged")

// duck is an open DuckDB database with a pool of connections for reading.
type duck struct {
	db   b.Database
	pool chan *conn // idle reading connections; owned by whoever took one
	mu   sync.Mutex // guards made and closed
	made int        // reading connections made so far
	all  []*conn
}

// conn is one connection; it runs one statement at a time.
type conn struct {
	c b.Connection
}

// readers is how many queries run at once; more wait.
const readers = 4

// openDuck opens or creates the file at path with the given options, and
// locks the configuration: nothing that arrives later can reach the file
// system or the network through SQL.
func openDuck(path string, options [][2]string) (*duck, error) {
	var cfg b.Config
	if b.CreateConfig(&cfg) != b.StateSuccess {
		return nil, errors.New("duckdb: no configuration")
	}
	defer b.DestroyConfig(&cfg)
	for _, kv := range append([][2]string{
		{"autoinstall_known_extensions", "false"},
		{"autoload_known_extensions", "false"},
		{"allow_community_extensions", "false"},
	}, options...) {
		if b.SetConfig(cfg, kv[0], kv[1]) != b.StateSuccess {
			return nil, fmt.Errorf("duckdb: the setting %s=%s is not accepted", kv[0], kv[1])
		}
	}
	d := &duck{pool: make(chan *conn, readers)}
	var msg string
	if b.OpenExt(path, &d.db, cfg, &msg) != b.StateSuccess {
		return nil, fmt.Errorf("open %s: %w", path, duckError(msg))
	}
	c, err := d.connect()
	if err != nil {
		b.Close(&d.db)
		return nil, err
	}
	for _, s := range []string{setTimeZone, "SET enable_external_access=false", "SET lock_configuration=true"} {
		if err := c.exec(s); err != nil {
			c.close()
			b.Close(&d.db)
			return nil, err
		}
	}
	c.close()
	return d, nil
}

// duckError gives the message its meaning for the caller.
func duckError(msg string) error {
	full := strings.Contains(msg, "No space left on device") || strings.Contains(msg, "failed to offload data block")
	if full && !strings.Contains(msg, "has been invalidated") { // what follows it tells of damage until the store is opened again
		return fmt.Errorf("the disk is full, free some space: %s", firstLine(msg))
	}
	for _, sign := range []string{"Corrupt", "corrupt", "checksum", "Checksum", "Could not read enough bytes", "not a valid DuckDB database", "INTERNAL Error", "Serialization Error", "fatal", "FATAL", "SerializationException", "Failed to deserialize"} {
		if strings.Contains(msg, sign) {
			return fmt.Errorf("%w: %s", errDamaged, firstLine(msg))
		}
	}
	return errors.New(firstLine(msg))
}

func firstLine(s string) string { s, _, _ = strings.Cut(s, "\n"); return s }

func (d *duck) connect() (*conn, error) {
	c := &conn{}
	if b.Connect(d.db, &c.c) != b.StateSuccess {
		return nil, errors.New("duckdb: no connection")
	}
	return c, nil
}

func (c *conn) close() { b.Disconnect(&c.c) }

// read runs f with a connection of the pool, in a transaction: all its queries
// see the tables as they stood at the first.
//
// Without one, each statement is planned in one transaction and run in another,
// and a plan relies on the least and greatest value of each column as they were:
// what is committed between the two, a new day say, then comes out as another
// number.
func (d *duck) read(ctx context.Context, f func(*conn) error) error {
	var c *conn
	select {
	case c = <-d.pool:
	default:
		d.mu.Lock()
		var err error
		if d.made < readers {
			if c, err = d.connect(); err == nil {
				d.made++
				d.all = append(d.all, c)
			}
		}
		d.mu.Unlock()
		if err != nil {
			return err
		}
	}
	if c == nil {
		select {
		case c = <-d.pool:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { d.pool <- c }()
	if err := c.exec("BEGIN TRANSACTION READ ONLY"); err != nil {
		return err
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { b.Interrupt(c.c); close(interrupted) })
	err := f(c)
	if !stop() {
		<-interrupted // or the end of the transaction would be
		err = errors.Join(ctx.Err(), err)
	}
	return errors.Join(err, c.exec("ROLLBACK"))
}

// close waits for the readers and closes the file.
func (d *duck) close() {
	for range d.made {
		<-d.pool
	}
	for _, c := range d.all {
		c.close()
	}
	b.Close(&d.db)
}

// exec runs statements without arguments or results.
func (c *conn) exec(sql string) error {
	var res b.Result
	defer b.DestroyResult(&res)
	if b.Query(c.c, sql, &res) != b.StateSuccess {
		return fmt.Errorf("%w (in %.80q)", duckError(b.ResultError(&res)), sql)
	}
	return nil
}

// execArgs runs one statement with arguments.
func (c *conn) execArgs(sql string, args ...any) error {
	r, err := c.query(sql, args...)
	if err == nil {
		r.close()
	}
	return err
}

// query runs one statement; the rows must be closed. Results are streamed, so
// that an export of any size costs bounded memory.
func (c *conn) query(sql string, args ...any) (*rows, error) {
	var st b.PreparedStatement
	defer b.DestroyPrepare(&st)
	if b.Prepare(c.c, sql, &st) != b.StateSuccess {
		return nil, fmt.Errorf("%w (in %.80q)", duckError(b.PrepareError(st)), sql)
	}
	for i, a := range args {
		if err := bind(st, b.IdxT(i+1), a); err != nil {
			return nil, err
		}
	}
	r := &rows{}
	if b.ExecutePreparedStreaming(st, &r.res) != b.StateSuccess {
		err := fmt.Errorf("%w (in %.80q)", duckError(b.ResultError(&r.res)), sql)
		b.DestroyResult(&r.res)
		return nil, err
	}
	return r, nil
}

func bind(st b.PreparedStatement, i b.IdxT, a any) error {
	var s b.State
	switch v := a.(type) {
	case string:
		s = b.BindVarcharLength(st, i, v, b.IdxT(len(v)))
	case int:
		s = b.BindInt64(st, i, int64(v))
	case int64:
		s = b.BindInt64(st, i, v)
	case uint32:
		s = b.BindUInt32(st, i, v)
	case event.Day:
		s = b.BindInt32(st, i, int32(v))
	case event.Class:
		s = b.BindUInt8(st, i, uint8(v))
	case event.ID:
		s = b.BindUHugeInt(st, i, b.NewUHugeInt(v.Lo, v.Hi))
	default:
		return fmt.Errorf("store: no binding for %T", a)
	}
	if s != b.StateSuccess {
		return fmt.Errorf("store: argument %d (%T) does not fit", i, a)
	}
	return nil
}

// rows walks over a result. Values are read by column number with the method
// of the column's type; NULL reads as the zero value.
type rows struct {
	res   b.Result
	chunk b.DataChunk
	n, i  int
	data  []unsafe.Pointer
	valid []unsafe.Pointer
	err   error
}

// next moves to the next row; at the end, or after an error, it is false.
func (r *rows) next() bool {
	if r.i++; r.i < r.n {
		return true
	}
	if r.chunk.Ptr != nil {
		b.DestroyDataChunk(&r.chunk)
	}
	r.chunk = b.FetchChunk(r.res)
	if r.chunk.Ptr == nil {
		if msg := b.ResultError(&r.res); msg != "" {
			r.err = duckError(msg)
		}
		r.n, r.i = 0, 0
		return false
	}
	r.n, r.i = int(b.DataChunkGetSize(r.chunk)), 0
	if r.n == 0 {
		return false
	}
	cols := int(b.DataChunkGetColumnCount(r.chunk))
	r.data, r.valid = r.data[:0], r.valid[:0]
	for c := range cols {
		v := b.DataChunkGetVector(r.chunk, b.IdxT(c))
		r.data = append(r.data, b.VectorGetData(v))
		r.valid = append(r.valid, b.VectorGetValidity(v))
	}
	return true
}

func (r *rows) close() {
	if r.chunk.Ptr != nil {
		b.DestroyDataChunk(&r.chunk)
	}
	b.DestroyResult(&r.res)
}

func (r *rows) null(c int) bool {
	m := r.valid[c]
	return m != nil && *(*uint64)(unsafe.Add(m, (r.i>>6)*8))&(1<<(r.i&63)) == 0
}

// at reads a fixed-size value of column c.
func at[T any](r *rows, c int) (v T) {
	if r.null(c) {
		return v
	}
	return *(*T)(unsafe.Add(r.data[c], r.i*int(unsafe.Sizeof(v))))
}

func (r *rows) id(c int) event.ID { v := at[[2]uint64](r, c); return event.ID{Hi: v[1], Lo: v[0]} }

func (r *rows) str(c int) string {
	if r.null(c) {
		return ""
	}
	p := unsafe.Add(r.data[c], r.i*16)
	n := int(*(*uint32)(p))
	if n <= 12 {
		return string(unsafe.Slice((*byte)(unsafe.Add(p, 4)), n))
	}
	return string(unsafe.Slice(*(**byte)(unsafe.Add(p, 8)), n))
}

// each runs the query and f for every row of it.
func (c *conn) each(f func(*rows), sql string, args ...any) error {
	r, err := c.query(sql, args...)
	if err != nil {
		return err
	}
	defer r.close()
	for r.next() {
		f(r)
	}
	return r.err
}
