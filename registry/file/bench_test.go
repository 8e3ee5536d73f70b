package file_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/file"
	"github.com/feastgo/feast/registry/registrytest"
	"github.com/feastgo/feast/types"
)

const views, features = 1000, 50

// large writes a registry of many views, each with its source, and its version history, as Feast has it.
func large(b *testing.B) string {
	b.Helper()
	var records []registry.Record
	add := func(o registry.Object) {
		r, err := registry.Encode("demo", o)
		if err != nil {
			b.Fatal(err)
		}
		records = append(records, r)
	}
	add(&registry.Project{Name: "demo"})
	add(&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64})
	applied := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range views {
		source := &registry.DataSource{
			Name: fmt.Sprintf("source_%d", i), TimestampField: "event_timestamp", CreatedTimestampColumn: "created",
			Options: registry.FileOptions{Path: fmt.Sprintf("data/source_%d.parquet", i)}, Created: applied, LastUpdated: applied,
		}
		add(source)
		view := &registry.FeatureView{
			Name: fmt.Sprintf("view_%d", i), Entities: []string{"driver"}, EntityColumns: []registry.Field{{Name: "driver_id", Type: types.Int64}},
			TTL: 24 * time.Hour, Source: source, Online: true, Tags: map[string]string{"team": "core"}, Created: applied, LastUpdated: applied,
		}
		for j := range features {
			view.Schema = append(view.Schema, registry.Field{Name: "feature_" + strconv.Itoa(j), Type: types.Float32})
		}
		add(view)
	}
	path := filepath.Join(b.TempDir(), "registry.db")
	if err := os.WriteFile(path, registrytest.File("v", records), 0o644); err != nil {
		b.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		b.Fatal(err)
	}
	return path
}

func open(b *testing.B, path string) (*registry.Registry, *registry.Snapshot) {
	b.Helper()
	r := registry.New(file.New(path), "demo", registry.Options{})
	s, err := r.Snapshot(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return r, s
}

// BenchmarkOpen reads and indexes 1,000 views of 50 features each. The floor is reading the file.
func BenchmarkOpen(b *testing.B) {
	path := large(b)
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := os.ReadFile(path); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, _ := open(b, path)
			r.Close()
		}
	})
	b.Run("held", func(b *testing.B) {
		var indexed, decoded uint64
		for b.Loop() {
			before := heap()
			r, s := open(b, path)
			indexed = heap() - before
			for range s.Views() {
			}
			decoded = heap() - before
			runtime.KeepAlive(s)
			r.Close()
		}
		b.ReportMetric(float64(indexed)/views, "indexed-B/view")
		b.ReportMetric(float64(decoded)/views, "decoded-B/view")
	})
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkDecode decodes a view of 50 features, which happens when it is first used.
func BenchmarkDecode(b *testing.B) {
	r, s := open(b, large(b))
	defer r.Close()
	v, err := s.FeatureView("view_7")
	if err != nil {
		b.Fatal(err)
	}
	record, err := registry.Encode("", v)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.Decode(record); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReload refreshes 1,000 views of which none changed, all decoded.
func BenchmarkReload(b *testing.B) {
	path := large(b)
	r, s := open(b, path)
	defer r.Close()
	for range s.Views() {
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Refresh(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLookup is what a request pays: the current snapshot and a view of it.
func BenchmarkLookup(b *testing.B) {
	r, _ := open(b, large(b))
	defer r.Close()
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		s, err := r.Snapshot(ctx)
		if err == nil {
			_, err = s.View("view_7")
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpdate changes one of 1,000 views of 50 features each. The floor is writing the bytes and making them
// durable.
func BenchmarkUpdate(b *testing.B) {
	path := large(b)
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f, err := os.Create(path + ".floor")
			if err == nil {
				_, err = f.Write(data)
				err = errors.Join(err, f.Sync(), f.Close())
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, path := range map[string]string{"large": path, "small": filepath.Join(b.TempDir(), "registry.db")} {
		b.Run(name, func(b *testing.B) {
			backend := file.New(path)
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				n++
				r, err := registry.Encode("demo", &registry.Entity{Name: "driver", JoinKey: "driver_id", Description: strconv.Itoa(n)})
				if err == nil {
					_, err = backend.Update(b.Context(), "demo", func(tx registry.Tx) error { return tx.Put(b.Context(), r) })
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
