package main

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/internal/figure"
)

// wanted are the numbers that every run prints.
var wanted = []string{
	"long.cost.02", "long.cost.20", "long.cost.20th_to_2nd", "long.memory.anonymous_peak", "long.memory.resident_peak",
	"long.disk.archive", "long.disk.store", "long.per_cpu_second", "figure.overview.p95",
	"road.1.5_per_address_day.per_cpu_second", "road.1.5_per_address_day.per_second", "road.1.5_per_address_day.to_bare",
	"road.10_per_address_day.per_cpu_second", "road.10_per_address_day.per_second", "road.10_per_address_day.to_bare",
	"stage.archive_write", "stage.split", "stage.convert", "stage.id", "stage.enrich", "stage.deduplicate", "stage.sightings",
	"stage.duckdb_append", "stage.duckdb_commit_checkpoint", "stage.all",
	"latency.other_feed.p50", "latency.other_feed.p99", "latency.large_delivery.p50", "latency.large_delivery.p99",
	"rebuild.per_cpu_second",
}

func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	cfg := defaultConfig()
	cfg.quick()
	cfg.dir = t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out bytes.Buffer
	if err := run(ctx, slog.New(slog.NewTextHandler(t.Output(), nil)), cfg, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	got := map[string]float64{}
	for line := range strings.Lines(out.String()) {
		f := strings.Fields(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		if len(f) != 4 || f[0] != "BENCH" {
			t.Errorf("line %q is not BENCH name value unit", line)
			continue
		}
		v, err := strconv.ParseFloat(f[2], 64)
		if err != nil || v < 0 {
			t.Errorf("line %q: value", line)
		}
		if _, ok := got[f[1]]; ok {
			t.Errorf("%s is printed twice", f[1])
		}
		got[f[1]] = v
	}
	want := slices.Clone(wanted)
	for _, d := range figure.Definitions {
		want = append(want, "figure."+d.ID+".p95", "figure."+d.ID+".raw", "figure."+d.ID+".equals_raw")
	}
	for _, name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("no line for %s", name)
		}
	}
	for name, v := range got {
		if strings.HasSuffix(name, ".equals_raw") && v != 1 {
			t.Errorf("%s is %v", name, v)
		}
	}
	sum := 0.0
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if strings.HasPrefix(name, "stage.") && name != "stage.all" {
			sum += got[name]
		}
	}
	if d := sum - got["stage.all"]; d > 0.1*got["stage.all"] || d < -0.1*got["stage.all"] {
		t.Errorf("the stages sum to %v, all is %v", sum, got["stage.all"])
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, tt := range []struct {
		xs   []float64
		q    float64
		want float64
	}{
		{hundred, 0.5, 50},
		{hundred, 0.95, 95},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
		{hundred, 0, 1},
		{[]float64{3}, 0.99, 3},
		{[]float64{1, 2, 3}, 0.99, 3},
		{[]float64{1, 2, 3}, 0.5, 2},
		{nil, 0.5, 0},
	} {
		if got := quantile(tt.xs, tt.q); got != tt.want {
			t.Errorf("quantile %v of %v = %v, want %v", tt.q, tt.xs, got, tt.want)
		}
	}
	if got := median([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Errorf("median = %v, want 2.5", got)
	}
	if got := median([]float64{9, 1, 5}); got != 5 {
		t.Errorf("median = %v, want 5", got)
	}
}

func TestStageOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		want  string
		stack []string
	}{
		{"duckdb_append", []string{"runtime.cgocall", "tocsin/internal/store.(*chunkWriter).append", "tocsin/internal/store.(*Store).putEvent"}},
		{"deduplicate", []string{"tocsin/internal/store.(*idSet).add", "tocsin/internal/store.(*Store).duplicates"}},
		{"sightings", []string{"tocsin/internal/store.(*idSet).add", "tocsin/internal/store.(*Store).applySightings"}},
		{"go_gc", []string{"runtime.scanobject", "runtime.gcAssistAlloc", "tocsin/internal/decode.(*table).keep"}},
		{"id", []string{"crypto/sha256.Sum256", "tocsin/internal/event.Hash", "tocsin/internal/decode.(*table).identify", "tocsin/internal/decode.(*table).next"}},
		{"convert", []string{"tocsin/internal/decode.(*table).next", "tocsin/internal/decode.(*delivery).row"}},
		{"duckdb_commit_checkpoint", []string{"runtime.cgocall", "tocsin/internal/store.(*conn).exec", "tocsin/internal/store.(*Store).Load"}},
		{"duckdb_statements", []string{"runtime.cgocall", "tocsin/internal/store.(*conn).execArgs", "tocsin/internal/store.(*Store).applySightings"}},
		{"store_other", []string{"tocsin/internal/store.(*marginals).apply", "tocsin/internal/store.(*Store).Load"}},
		{otherStage, []string{"runtime.futex"}},
	} {
		if got := stageOf(tt.stack); got != tt.want {
			t.Errorf("%v counts for %s, want %s", tt.stack, got, tt.want)
		}
	}
}
