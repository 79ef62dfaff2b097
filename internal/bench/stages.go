package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"tocsin/internal/sim"
)

// rule says what the time of functions whose names begin with prefix counts for.
type rule struct{ stage, prefix string }

// stageRules decide for a whole stack: the innermost frame that one of them
// fits.
var stageRules = []rule{
	{"go_gc", "runtime.gcBgMarkWorker"},
	{"go_gc", "runtime.gcAssistAlloc"},
	{"go_gc", "runtime.bgsweep"},
	{"go_gc", "runtime.bgscavenge"},
	{"go_gc", "runtime.gcStart"},
	{"archive_write", "tocsin/internal/archive.(*Archive).Put"},
	{"archive_write", "tocsin/internal/archive.(*Archive).Append"},
	{"archive_read", "tocsin/internal/archive.(*Archive).Content"},
	{"archive_read", "tocsin/internal/archive.(*Archive).Lines"},
	{"archive_read", "tocsin/internal/archive.(*contentReader)"},
	{"split", "tocsin/internal/decode.(*splitter)"},
	{"split", "tocsin/internal/decode.(*lines)"},
	{"convert", "tocsin/internal/decode.(*table).fill"},
	{"convert", "tocsin/internal/decode.(*table).keep"},
	{"id", "tocsin/internal/decode.(*table).identify"},
	{"enrich", "tocsin/internal/enrich."},
	{"deduplicate", "tocsin/internal/store.(*Store).duplicates"},
	{"sightings", "tocsin/internal/store.(*Store).applySightings"},
	{"sightings", "tocsin/internal/store.(*Store).candidate"},
	{"sightings", "tocsin/internal/store.(*pending).sight"},
	{"rows_to_vectors", "tocsin/internal/store.(*Store).putEvent"},
	{"duckdb_append", "tocsin/internal/store.(*chunkWriter).append"},
	{"duckdb_append", "tocsin/internal/store.(*chunkWriter).flush"},
	{"duckdb_statements", "tocsin/internal/store.(*conn).execArgs"},
	{"duckdb_statements", "tocsin/internal/store.(*conn).query"},
	{"duckdb_statements", "tocsin/internal/store.(*conn).each"},
	{"duckdb_statements", "tocsin/internal/store.(*rows)."},
	{"duckdb_commit_checkpoint", "tocsin/internal/store.(*conn).exec"},
}

// restRules decide for what none of stageRules fits, in the same way.
var restRules = []rule{
	{"convert", "tocsin/internal/decode."},
	{"store_other", "tocsin/internal/store."},
	{"archive_write", "tocsin/internal/archive."},
	{"archive_write", "github.com/klauspost/compress/zstd."},
	{"app_other", "tocsin/"},
	{"app_other", "main."},
}

// stages profiles the road and prints where its time goes.
func stages(ctx context.Context, b *bench) error {
	k, err := keep(sim.Sinkhole(sim.SinkholeConfig{Seed: 1, From: firstDay, Total: b.cfg.road, Rows: b.cfg.delta, PerDay: b.cfg.road}))
	if err != nil {
		return err
	}
	defer k.free()
	var prof bytes.Buffer
	if err := pprof.StartCPUProfile(&prof); err != nil {
		return err
	}
	rows := 0.0
	for range min(b.cfg.runs, 3) {
		r, err := b.road(ctx, k)
		if err == nil {
			err = os.RemoveAll(r.m.dir)
		}
		if err != nil {
			pprof.StopCPUProfile()
			return err
		}
		rows += r.rows
	}
	pprof.StopCPUProfile()
	if b.cfg.profile != "" {
		if err := os.WriteFile(b.cfg.profile, prof.Bytes(), 0o600); err != nil {
			return err
		}
	}
	spent, err := byStage(prof.Bytes())
	if err != nil {
		return err
	}
	sum := 0.0
	var names []string
	for _, r := range slices.Concat(stageRules, restRules) {
		if !slices.Contains(names, r.stage) {
			names = append(names, r.stage)
		}
	}
	for _, n := range append(names, otherStage) {
		b.print("stage."+n, spent[n]/rows*1e6, "cpu-us/event")
		sum += spent[n]
	}
	b.print("stage.all", sum/rows*1e6, "cpu-us/event")
	return nil
}

// otherStage is the stage of stacks without a frame of ours: the scheduler,
// the garbage collector's helpers, threads of DuckDB.
const otherStage = "runtime_other"

// stageOf returns the stage of a stack, given from the innermost frame on.
func stageOf(stack []string) string {
	for _, rules := range [][]rule{stageRules, restRules} {
		for _, f := range stack {
			for _, r := range rules {
				if strings.HasPrefix(f, r.prefix) {
					return r.stage
				}
			}
		}
	}
	return otherStage
}

// byStage returns the CPU seconds of each stage in a profile as
// [pprof.StartCPUProfile] writes it: gzip over the protocol buffer
// https://github.com/google/pprof/blob/main/proto/profile.proto, of which it
// reads Profile.sample 2, .location 4, .function 5, .string_table 6;
// Sample.location_id 1, .value 2; Location.id 1, .line 4; Line.function_id 1;
// Function.id 1, .name 2.
func byStage(profile []byte) (map[string]float64, error) {
	z, err := gzip.NewReader(bytes.NewReader(profile))
	if err != nil {
		return nil, fmt.Errorf("read the profile: %w", err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("read the profile: %w", err)
	}
	type sample struct{ locations, values []uint64 }
	var (
		samples   []sample
		locations = map[uint64][]uint64{} // functions, the innermost first
		functions = map[uint64]uint64{}   // the name's place in words
		words     []string
	)
	err = fields(raw, func(n protowire.Number, _ uint64, b []byte) error {
		switch n {
		case 2:
			var s sample
			err := fields(b, func(n protowire.Number, v uint64, b []byte) error {
				switch n {
				case 1:
					s.locations = append(s.locations, numbers(v, b)...)
				case 2:
					s.values = append(s.values, numbers(v, b)...)
				}
				return nil
			})
			samples = append(samples, s)
			return err
		case 4:
			var id uint64
			var fs []uint64
			err := fields(b, func(n protowire.Number, v uint64, b []byte) error {
				switch n {
				case 1:
					id = v
				case 4:
					return fields(b, func(n protowire.Number, v uint64, _ []byte) error {
						if n == 1 {
							fs = append(fs, v)
						}
						return nil
					})
				}
				return nil
			})
			locations[id] = fs
			return err
		case 5:
			var id, name uint64
			err := fields(b, func(n protowire.Number, v uint64, _ []byte) error {
				switch n {
				case 1:
					id = v
				case 2:
					name = v
				}
				return nil
			})
			functions[id] = name
			return err
		case 6:
			words = append(words, string(b))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for _, s := range samples {
		if len(s.values) < 2 {
			continue
		}
		var stack []string
		for _, l := range s.locations {
			for _, f := range locations[l] {
				if w := functions[f]; w < uint64(len(words)) {
					stack = append(stack, words[w])
				}
			}
		}
		out[stageOf(stack)] += float64(s.values[1]) / 1e9
	}
	return out, nil
}

// fields calls f with every field of a message: its number or its bytes.
func fields(b []byte, f func(protowire.Number, uint64, []byte) error) error {
	for len(b) > 0 {
		n, typ, k := protowire.ConsumeTag(b)
		if k < 0 {
			return errors.New("the profile cannot be read")
		}
		b = b[k:]
		var v uint64
		var p []byte
		switch typ {
		case protowire.VarintType:
			v, k = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			p, k = protowire.ConsumeBytes(b)
		default:
			k = protowire.ConsumeFieldValue(n, typ, b)
		}
		if k < 0 {
			return errors.New("the profile cannot be read")
		}
		b = b[k:]
		if err := f(n, v, p); err != nil {
			return err
		}
	}
	return nil
}

// numbers returns a repeated number, which is packed or stands alone.
func numbers(v uint64, packed []byte) (out []uint64) {
	if packed == nil {
		return []uint64{v}
	}
	for len(packed) > 0 {
		x, k := protowire.ConsumeVarint(packed)
		if k < 0 {
			return out
		}
		out, packed = append(out, x), packed[k:]
	}
	return out
}
