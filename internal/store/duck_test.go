package store

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"tocsin/internal/event"
)

// TestReadWhileValuesGrow reads while every transaction commits values that are
// greater than any before: what a query is planned with must be what it reads.
func TestReadWhileValuesGrow(t *testing.T) {
	t.Parallel()
	d, err := openDuck(filepath.Join(t.TempDir(), "x.duckdb"), [][2]string{{"threads", "1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	w, err := d.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	const columns = `i AS g, (i // 8)::INTEGER AS d, i AS n`
	if err := w.exec(`CREATE TABLE x AS SELECT ` + columns + ` FROM range(64) t(i)`); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := d.read(t.Context(), func(c *conn) error {
					sum, most, count := int64(0), int64(-1), int64(0)
					for _, sql := range []string{`SELECT g, d, sum(n)::BIGINT FROM x GROUP BY ALL`, `SELECT g, d, max(n)::BIGINT FROM x GROUP BY ALL ORDER BY d, g`} {
						s := int64(0)
						if err := c.each(func(r *rows) {
							g, n := at[int64](r, 0), at[int64](r, 2)
							if g != n || event.Day(at[int32](r, 1)) != event.Day(n/8) {
								t.Errorf("row %d came out as %d of day %d", n, g, at[int32](r, 1))
							}
							s += n
							most = max(most, n)
							count++
						}, sql); err != nil {
							return err
						}
						if sum > 0 && s != sum {
							t.Errorf("two queries of one read add up to %d and %d", sum, s)
						}
						sum = s
					}
					if count != 2*(most+1) {
						t.Errorf("%d rows, want %d", count, 2*(most+1))
					}
					return nil
				}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := 64; i < 800 && !t.Failed(); i++ {
		if err := w.exec(fmt.Sprintf(`INSERT INTO x SELECT %s FROM range(%d, %d) t(i)`, columns, i, i+1)); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	wg.Wait()
}
