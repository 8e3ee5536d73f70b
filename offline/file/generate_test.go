package file_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/internal/cputime"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
)

// The generator of Feast's golden benchmark. All arithmetic wraps at 64 bits.
func mix(x uint64) uint64 {
	x *= 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

type benchmarkSize struct {
	features, entities, keys int
	wide                     int  // further columns of random doubles
	ties                     bool // event times floored to the hour, created times to ten minutes
	skew                     bool // a fifth of the rows, of both sides, are of key 0
}

var (
	smallSize = benchmarkSize{features: 10_000, entities: 1_000, keys: 500}
	largeSize = benchmarkSize{features: 1_000_000, entities: 100_000, keys: 20_000}
)

const generatorStart = 1704067200 // 2024-01-01

var utcMicros = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

// featureRow is row i of the source.
func (s benchmarkSize) featureRow(i int) (key int64, event, created int64, f2 float64, f3 string) {
	h := mix(uint64(i) + 1)
	event = generatorStart + int64(h>>20%2592000)
	created = event + int64(h>>44%3600)
	if s.ties {
		event, created = event/3600*3600, created/600*600
	}
	if key = int64(h % uint64(s.keys)); s.skew && i%5 == 0 {
		key = 0
	}
	return key, event * 1e6, created * 1e6, float64(h>>11) / (1 << 53), fmt.Sprint("s", h%997)
}

func (s benchmarkSize) entityRow(j int) (key, event int64) {
	g := mix(uint64(j) + 1000000007)
	if key = int64(g % uint64(s.keys+s.keys/10)); s.skew && j%5 == 0 {
		key = 0
	}
	return key, (generatorStart + int64(g>>20%3024000)) * 1e6
}

// featureRows makes the source, in batches.
func (s benchmarkSize) featureRows() array.RecordReader {
	fields := []arrow.Field{
		{Name: "driver_id", Type: arrow.PrimitiveTypes.Int64}, {Name: "event_timestamp", Type: utcMicros}, {Name: "created", Type: utcMicros},
		{Name: "f1", Type: arrow.PrimitiveTypes.Int64}, {Name: "f2", Type: arrow.PrimitiveTypes.Float64}, {Name: "f3", Type: arrow.BinaryTypes.String},
	}
	for w := range s.wide {
		fields = append(fields, arrow.Field{Name: fmt.Sprint("w", w), Type: arrow.PrimitiveTypes.Float64})
	}
	schema := arrow.NewSchema(fields, nil)
	const batch = 1 << 15
	return array.ReaderFromIter(schema, func(yield func(arrow.RecordBatch, error) bool) {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		defer b.Release()
		for from := 0; from < s.features; from += batch {
			for i := from; i < min(from+batch, s.features); i++ {
				key, event, created, f2, f3 := s.featureRow(i)
				b.Field(0).(*array.Int64Builder).Append(key)
				b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(event))
				b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(created))
				b.Field(3).(*array.Int64Builder).Append(int64(i))
				b.Field(4).(*array.Float64Builder).Append(f2)
				b.Field(5).(*array.StringBuilder).Append(f3)
				for w := range s.wide {
					b.Field(6 + w).(*array.Float64Builder).Append(float64(mix(uint64(i)<<8+uint64(w))>>11) / (1 << 53))
				}
			}
			if !yield(b.NewRecordBatch(), nil) { // which releases it
				return
			}
		}
	})
}

// entityRows makes the entity rows.
func (s benchmarkSize) entityRows() arrow.RecordBatch {
	schema := arrow.NewSchema([]arrow.Field{{Name: "row", Type: arrow.PrimitiveTypes.Int64}, {Name: "driver_id", Type: arrow.PrimitiveTypes.Int64}, {Name: "event_timestamp", Type: utcMicros}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for j := range s.entities {
		key, event := s.entityRow(j)
		b.Field(0).(*array.Int64Builder).Append(int64(j))
		b.Field(1).(*array.Int64Builder).Append(key)
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(event))
	}
	return b.NewRecordBatch()
}

// plan joins the features f1, f2 and f3, or the further ones.
func (s benchmarkSize) plan(path string, ttl time.Duration) *offline.JoinPlan {
	v := offline.JoinView{
		Name: "view", Source: &offline.Source{Name: "features", Path: path}, Keys: []offline.JoinKey{{Source: "driver_id", Entity: "driver_id"}},
		Event: "event_timestamp", Created: "created", TTL: ttl,
	}
	names := []string{"f1", "f2", "f3"}
	if s.wide > 0 {
		names = nil
		for w := range s.wide {
			names = append(names, fmt.Sprint("w", w))
		}
	}
	for _, f := range names {
		v.Features = append(v.Features, offline.Column{Source: f, Name: f})
	}
	return &offline.JoinPlan{Views: []offline.JoinView{v}}
}

// generate writes the source.
func (s benchmarkSize) generate(t testing.TB, path string) {
	t.Helper()
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	r := s.featureRows()
	defer r.Release()
	if n, err := codec.Create(t.Context(), path, r); err != nil || n != int64(s.features) {
		t.Fatal(n, err)
	}
}

// joined runs the join.
func (s benchmarkSize) joined(t testing.TB, path string, entities arrow.RecordBatch, visit func(arrow.RecordBatch)) {
	t.Helper()
	joined(t, s.plan(path, 24*time.Hour), reader(t, entities), visit)
}

// joined runs a join whose entity rows have their times in column event_timestamp.
func joined(t testing.TB, plan *offline.JoinPlan, entities array.RecordReader, visit func(arrow.RecordBatch)) {
	t.Helper()
	job, err := file.New(".").Historical(t.Context(), plan, offline.EntityRows{Rows: entities, Event: "event_timestamp"})
	if err != nil {
		t.Fatal(err)
	}
	defer job.Close()
	r, err := job.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	for r.Next() {
		visit(r.RecordBatch())
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
}

// The answers of Feast's duckdb store, and of an independent join for all features of the large size.
func TestGoldenBenchmark(t *testing.T) {
	for _, c := range []struct {
		size          benchmarkSize
		f1, all       string
		nonNull, sum1 int64
	}{
		{size: smallSize, nonNull: 378, sum1: 1797205, f1: "42d66ee051e60e042b57653d8a4daf3fb043f2f3d33bb1fad6ee0248b4311bd4"},
		{size: largeSize, nonNull: 63637, sum1: 31965460809, f1: "a08ed21b215aee22a6274ec9911ac9caee59ef6eb7074a0249d54c641d680e75",
			all: "efcc69777cc5925e03731ef954098d95023e85924d1206a6638b2a889d0bb251"},
	} {
		if mix(1) != 16294208416658607535 || mix(3) != 487617019471545679 {
			t.Fatal("the generator is not that of the golden data")
		}
		path := filepath.Join(t.TempDir(), "features.parquet")
		c.size.generate(t, path)
		f1, all := sha256.New(), sha256.New()
		var nonNull, sum int64
		next := int64(0)
		c.size.joined(t, path, c.size.entityRows(), func(b arrow.RecordBatch) {
			rows, ints := b.Column(0).(*array.Int64), b.Column(3).(*array.Int64)
			doubles, texts := b.Column(4).(*array.Float64), b.Column(5).(*array.String)
			for i := range ints.Len() {
				if rows.Value(i) != next {
					t.Fatalf("row %d where %d is next", rows.Value(i), next)
				}
				next++
				if ints.IsNull(i) {
					fmt.Fprintf(f1, "%d,null\n", rows.Value(i))
					fmt.Fprintf(all, "%d,null,null,null\n", rows.Value(i))
					continue
				}
				nonNull++
				sum += ints.Value(i)
				fmt.Fprintf(f1, "%d,%d\n", rows.Value(i), ints.Value(i))
				fmt.Fprintf(all, "%d,%d,%016x,%s\n", rows.Value(i), ints.Value(i), math.Float64bits(doubles.Value(i)), texts.Value(i))
			}
		})
		if next != int64(c.size.entities) || nonNull != c.nonNull || sum != c.sum1 || hex.EncodeToString(f1.Sum(nil)) != c.f1 {
			t.Errorf("%d rows, %d not null, sum %d, digest %x", next, nonNull, sum, f1.Sum(nil))
		}
		if c.all != "" && hex.EncodeToString(all.Sum(nil)) != c.all {
			t.Errorf("digest of all features %x", all.Sum(nil))
		}
	}
}

// Ties are everywhere in this variant, which has no recorded answer: the rule of ties decides (docs/compatibility.md,
// lines 7 and 22).
func TestGoldenBenchmarkTies(t *testing.T) {
	size := benchmarkSize{features: 200_000, entities: 20_000, keys: 300, ties: true}
	path := filepath.Join(t.TempDir(), "features.parquet")
	size.generate(t, path)
	type row struct {
		event, created int64
		i              int
	}
	byKey := map[int64][]row{}
	for i := range size.features {
		key, event, created, _, _ := size.featureRow(i)
		byKey[key] = append(byKey[key], row{event, created, i})
	}
	found, tied := 0, 0
	size.joined(t, path, size.entityRows(), func(b arrow.RecordBatch) {
		ids, f1 := b.Column(0).(*array.Int64), b.Column(3).(*array.Int64)
		for n := range ids.Len() {
			key, at := size.entityRow(int(ids.Value(n)))
			best := row{event: math.MinInt64, i: -1}
			for _, r := range byKey[key] {
				if r.event > at || r.event < at-86400e6 {
					continue
				}
				if r.event == best.event {
					tied++
				}
				if r.event > best.event || r.event == best.event && r.created > best.created {
					best = r
				}
			}
			got := -1
			if f1.IsValid(n) {
				got = int(f1.Value(n))
				found++
			}
			if got != best.i {
				t.Fatalf("entity row %d: row %d, want %d", ids.Value(n), got, best.i)
			}
		}
	})
	if found < 10_000 || tied < 10_000 {
		t.Errorf("only %d rows found and %d ties met", found, tied)
	}
}

func BenchmarkJoin(b *testing.B) {
	for _, c := range []struct {
		name string
		wide int
	}{{"3", 0}, {"10", 10}} {
		b.Run(c.name, func(b *testing.B) {
			size := largeSize
			size.wide = c.wide
			path := filepath.Join(b.TempDir(), "features.parquet")
			size.generate(b, path)
			entities := size.entityRows()
			b.ReportAllocs()
			for b.Loop() {
				rows := 0
				size.joined(b, path, entities, func(r arrow.RecordBatch) { rows += int(r.NumRows()) })
				if rows != size.entities {
					b.Fatal(rows)
				}
			}
		})
	}
}

// BenchmarkJoinScale joins 1, 2, 4 and 10 times the large size; with one key that has a fifth of the rows, too.
func BenchmarkJoinScale(b *testing.B) {
	for _, c := range []struct {
		times int
		skew  bool
	}{{1, false}, {1, true}, {2, false}, {4, false}, {10, false}} {
		name := fmt.Sprint(c.times, "x")
		if c.skew {
			name += "/skewed"
		}
		b.Run(name, func(b *testing.B) {
			size := largeSize
			size.features, size.entities, size.keys, size.skew = size.features*c.times, size.entities*c.times, size.keys*c.times, c.skew
			path := filepath.Join(b.TempDir(), "features.parquet")
			size.generate(b, path)
			entities := size.entityRows()
			done := cputime.Report(b)
			for b.Loop() {
				size.joined(b, path, entities, func(arrow.RecordBatch) {})
			}
			done()
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/float64(size.features), "ns/row")
		})
	}
}

// Joins allocate for pages and batches, not for values.
func TestAllocations(t *testing.T) {
	size := benchmarkSize{features: 100_000, entities: 20_000, keys: 2_000}
	path := filepath.Join(t.TempDir(), "features.parquet")
	size.generate(t, path)
	entities := size.entityRows()
	allocations := testing.AllocsPerRun(3, func() { size.joined(t, path, entities, func(arrow.RecordBatch) {}) })
	if allocations > 2_000 {
		t.Errorf("%.0f allocations for %d and %d rows", allocations, size.features, size.entities)
	}
	t.Logf("%.0f allocations", allocations)
}
