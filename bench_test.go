package feast_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/cputime"
	corepb "github.com/feastgo/feast/internal/protos/feast/core"
	typespb "github.com/feastgo/feast/internal/protos/feast/types"
)

// benchStore is a store of many views, of which the first has 50 features and one hundred rows.
func benchStore(tb testing.TB, views int) (*feast.FeatureStore, []string) {
	fields, values := wide(50)
	objects := []feast.Object{driver}
	for i := range views {
		objects = append(objects, driverView(fmt.Sprintf("view_%d", i), 0, fields...))
	}
	fs, store, _ := newStore(tb, objects)
	first := objects[1].(*feast.FeatureView)
	for id := range int64(100) {
		write(tb, store, first, driverKey, row{[]any{id}, time.Unix(1_700_000_000, 0), values})
	}
	var refs []string
	for _, f := range fields {
		refs = append(refs, "view_0:"+f.Name)
	}
	return fs, refs
}

// loop runs one request again and again. floor is the time of the least that has to be done, in nanoseconds, 0 for the
// floor itself.
func loop(b *testing.B, floor float64, request func() error) {
	b.ReportAllocs()
	if err := request(); err != nil { // memory grows once
		b.Fatal(err)
	}
	done := cputime.Report(b)
	for b.Loop() {
		if err := request(); err != nil {
			b.Fatal(err)
		}
	}
	done()
	if floor > 0 {
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/floor, "x-floor")
	}
}

// measure returns the time of one operation, in nanoseconds.
func measure(b *testing.B, op func() error) float64 {
	start, n := time.Now(), 0
	for time.Since(start) < 300*time.Millisecond {
		for range 10 {
			if err := op(); err != nil {
				b.Fatal(err)
			}
		}
		n += 10
	}
	return float64(time.Since(start)) / float64(n)
}

// BenchmarkOnline reads 50 int64 features of one entity from the store in memory. The floor is a map of rows of stored
// values, decoded by hand.
func BenchmarkOnline(b *testing.B) {
	ctx := context.Background()
	byHand := decodeByHand()
	b.Run("Floor/1x50", func(b *testing.B) { loop(b, 0, byHand) })
	floor := measure(b, byHand)
	for _, views := range []int{1, 10, 10_000} {
		fs, refs := benchStore(b, views)
		q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: refs})
		if err != nil {
			b.Fatal(err)
		}
		ids := []int64{42}
		var batch feast.Batch
		var out feast.OnlineResponse
		b.Run(fmt.Sprintf("GetInto/Batch/1x50/views=%d", views), func(b *testing.B) {
			loop(b, floor, func() error {
				batch.Reset()
				feast.SetColumn(&batch, "driver_id", ids)
				return q.GetInto(ctx, &batch, &out)
			})
		})
		b.Run(fmt.Sprintf("GetInto/Columns/1x50/views=%d", views), func(b *testing.B) {
			loop(b, floor, func() error { return q.GetInto(ctx, feast.Columns{"driver_id": ids}, &out) })
		})
		b.Run(fmt.Sprintf("GetOnlineFeatures/1x50/views=%d", views), func(b *testing.B) {
			loop(b, floor, func() error {
				_, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: refs, Entities: feast.Columns{"driver_id": ids}})
				return err
			})
		})
	}
}

// BenchmarkOnDemand reads a feature that an on-demand view computes from two int64 features of two views and an int64 of
// the request. The floor asks for the two features and adds by hand.
func BenchmarkOnDemand(b *testing.B) {
	type in struct {
		L   int64 `feast:"left:n"`
		R   int64 `feast:"right:n"`
		Add int64 `feast:"add"`
	}
	type out struct {
		Both int64 `feast:"both"`
	}
	left, right := driverView("left", 0, fieldsOf(feast.Int64, "n")...), driverView("right", 0, fieldsOf(feast.Int64, "n")...)
	data := requestSource("r", fieldsOf(feast.Int64, "add")...)
	fs, store, _ := newStore(b, []feast.Object{
		driver, left, right,
		onDemand("columns", fieldsOf(feast.Int64, "both"), data, "left", "right"),
		onDemand("rows", fieldsOf(feast.Int64, "both"), data, "left", "right"),
	}, feast.WithTransformation("columns", sums([]string{"left__n", "right__n", "add"}, []string{"both"})),
		feast.WithTransformation("rows", feast.RowWise(func(r in) (out, error) { return out{r.L + r.R + r.Add}, nil })))
	for id := range int64(100) {
		for _, v := range []*feast.FeatureView{left, right} {
			write(b, store, v, driverKey, row{[]any{id}, time.Unix(1_700_000_000, 0), map[string]any{"n": id << 33}})
		}
	}
	all := make([]int64, 100)
	for i := range all {
		all[i] = int64(i)
	}
	var batch feast.Batch
	var resp feast.OnlineResponse
	for _, rows := range []int{1, 100} {
		get := func(features ...string) func() error {
			q, err := fs.PrepareOnline(context.Background(), feast.OnlineQuery{Features: features, FullFeatureNames: true})
			if err != nil {
				b.Fatal(err)
			}
			return func() error {
				batch.Reset()
				feast.SetColumn(&batch, "driver_id", all[:rows])
				feast.SetColumn(&batch, "add", all[:rows])
				return q.GetInto(context.Background(), &batch, &resp)
			}
		}
		read, sum := get("left:n", "right:n"), make([]int64, rows)
		byHand := func() error {
			if err := read(); err != nil {
				return err
			}
			l, err := feast.Values[int64](resp.At(1))
			if err != nil {
				return err
			}
			r, err := feast.Values[int64](resp.At(2))
			for i := range sum {
				sum[i] = l[i] + r[i] + all[i]
			}
			return err
		}
		b.Run(fmt.Sprintf("Floor/%d", rows), func(b *testing.B) { loop(b, 0, byHand) })
		floor := measure(b, byHand)
		b.Run(fmt.Sprintf("Columns/%d", rows), func(b *testing.B) { loop(b, floor, get("columns:both")) })
		b.Run(fmt.Sprintf("RowWise/%d", rows), func(b *testing.B) { loop(b, floor, get("rows:both")) })
	}
}

// decodeByHand returns the floor of BenchmarkOnline.
func decodeByHand() func() error {
	_, values := wide(50)
	var stored [][]byte
	for i := range len(values) {
		stored = append(stored, binary.AppendUvarint([]byte{0x20}, uint64(values[fmt.Sprintf("f%d", i)].(int64))))
	}
	key := []byte("\x01\x00\x00\x00\x02\x00\x00\x00\x09\x00\x00\x00driver_id\x04\x00\x00\x00\x08\x00\x00\x00\x2a\x00\x00\x00\x00\x00\x00\x00")
	rows := map[string][][]byte{string(key): stored}
	answer := make([]int64, len(stored))
	return func() error {
		for i, v := range rows[string(key)] {
			if len(v) < 2 || v[0] != 0x20 {
				return fmt.Errorf("value %d is no int64", i)
			}
			n, _ := binary.Uvarint(v[1:])
			answer[i] = int64(n)
		}
		return nil
	}
}

// BenchmarkOpen opens a repository with 1,000 views of 50 features and reads its registry; the floor is reading the file
// and decoding it whole with the protobuf library.
func BenchmarkOpen(b *testing.B) {
	const views = 1000
	dir := b.TempDir()
	data := wideRegistry(b, views, 50)
	if err := os.WriteFile(filepath.Join(dir, "registry.db"), data, 0o600); err != nil {
		b.Fatal(err)
	}
	writeYAML(b, dir, "online_store:\n  type: sqlite\n  path: online.db\n")
	ctx := context.Background()
	whole := func() error {
		data, err := os.ReadFile(filepath.Join(dir, "registry.db"))
		if err != nil {
			return err
		}
		return proto.Unmarshal(data, new(corepb.Registry))
	}
	b.Run("Floor", func(b *testing.B) { loop(b, 0, whole) })
	floor := measure(b, whole)
	b.Run("Open", func(b *testing.B) {
		loop(b, floor, func() error {
			fs, err := feast.Open(ctx, dir, feast.Eager(feast.RoomRegistry))
			if err != nil {
				return err
			}
			return fs.Close()
		})
		b.ReportMetric(heldBy(b, dir)/views, "B/view")
	})
}

// heldBy is the memory that an open feature store holds.
func heldBy(b *testing.B, dir string) float64 {
	before := heap()
	fs, err := feast.Open(b.Context(), dir, feast.Eager(feast.RoomRegistry))
	if err != nil {
		b.Fatal(err)
	}
	held := heap() - before
	if err := fs.Close(); err != nil {
		b.Fatal(err)
	}
	return held
}

// heap is the size of what is alive.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// wideRegistry is a registry file of the project golden_proj.
func wideRegistry(tb testing.TB, views, features int) []byte {
	tb.Helper()
	reg := &corepb.Registry{RegistrySchemaVersion: "1", Projects: []*corepb.Project{{Spec: &corepb.ProjectSpec{Name: "golden_proj"}}}}
	fields, _ := wide(features)
	for i := range views {
		spec := &corepb.FeatureViewSpec{
			Name: fmt.Sprintf("view_%d", i), Project: "golden_proj", Entities: []string{"driver"}, Online: true,
			EntityColumns: []*corepb.FeatureSpecV2{{Name: "driver_id", ValueType: typespb.ValueType_INT64}},
		}
		for _, f := range fields {
			spec.Features = append(spec.Features, &corepb.FeatureSpecV2{Name: f.Name, ValueType: typespb.ValueType_INT64})
		}
		reg.FeatureViews = append(reg.FeatureViews, &corepb.FeatureView{Spec: spec, Meta: &corepb.FeatureViewMeta{}})
	}
	data, err := proto.Marshal(reg)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// repository returns n objects: views of 50 features, each with a data source of its own, one in hundred of them an entity
// and one a service. The tag is on every view.
func repository(n int, tag string) []feast.Object {
	fields, _ := wide(50)
	objects := []feast.Object{driver}
	for i := 0; len(objects) < n; i++ {
		switch i % 50 {
		case 0:
			objects = append(objects, &feast.Entity{Name: fmt.Sprintf("entity_%d", i), ValueType: feast.Int64})
			continue
		case 1:
			objects = append(objects, &feast.FeatureService{
				Name: fmt.Sprintf("service_%d", i), Features: []feast.FeatureViewProjection{{Name: fmt.Sprintf("view_%d", i+1)}},
			})
			continue
		}
		v := driverView(fmt.Sprintf("view_%d", i), 24*time.Hour, fields...)
		v.Online, v.Tags, v.Source = true, map[string]string{"team": tag}, source(fmt.Sprintf("source_%d", i))
		objects = append(objects, v, v.Source)
	}
	return objects[:n]
}

// BenchmarkApply applies 1,000 objects to a file registry. The floor is writing the bytes of that registry and making them
// durable.
func BenchmarkApply(b *testing.B) {
	const n = 1000
	was, is := repository(n, "core"), repository(n, "growth")
	one := slices.Clone(was)
	one[n/2] = &feast.Entity{Name: "another"}
	dir := b.TempDir()
	apply := func(online string, prepare []feast.Object, objects []feast.Object) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				dir := b.TempDir()
				text := "project: demo\nregistry: registry.db\nonline_store: " + online + "\n"
				if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(text), 0o600); err != nil {
					b.Fatal(err)
				}
				fs := open(b, dir)
				if prepare != nil {
					mustApply(b, fs, prepare...)
				}
				b.StartTimer()
				mustApply(b, fs, objects...)
			}
		}
	}
	fs := open(b, newRepo(b, ""))
	mustApply(b, fs, was...)
	data, err := os.ReadFile(filepath.Join(fs.Config().RepoPath, "registry.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			f, err := os.Create(filepath.Join(dir, "floor"))
			if err == nil {
				_, err = f.Write(data)
				err = errors.Join(err, f.Sync(), f.Close())
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(data)), "bytes")
	})
	b.Run("create", apply("null", nil, was))
	b.Run("unchanged", apply("null", was, was))
	b.Run("one", apply("null", was, one))
	b.Run("all", apply("null", was, is))
	b.Run("create/sqlite", apply("{type: sqlite, path: online.db}", nil, was))
}
