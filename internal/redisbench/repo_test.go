package redisbench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast"
	_ "github.com/feastgo/feast/drivers/embedded"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/cache"
	feastredis "github.com/feastgo/feast/online/redis"
)

// The repository of the public feast-benchmarks workload: views of ten features, all keyed by one int64 entity.
const (
	views        = 25
	viewFeatures = 10
	features     = views * viewFeatures
	project      = "bench"
)

// entities is how many there are; REDISBENCH_ENTITIES changes it.
var entities = func() int {
	if n, err := strconv.Atoi(os.Getenv("REDISBENCH_ENTITIES")); err == nil && n > 0 {
		return n
	}
	return 10_000
}()

// mixedTypes are the types that features of a mixed repository take by turns.
var mixedTypes = []feast.Type{feast.Int64, feast.Float64, feast.String, feast.Bool, feast.Float32List}

// eventTime is that of all rows.
var eventTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// repo is a filled repository on a Redis server of its own.
type repo struct {
	name  string
	dir   string
	addr  string
	types []feast.Type
	fs    *feast.FeatureStore

	through *feast.FeatureStore // the same, reading through go-redis
	near    *feast.FeatureStore // the same, with a near cache that has room for all and does not age
}

func newRepo(b *testing.B, mixed bool, listpack int) *repo {
	b.Helper()
	r := &repo{name: "int64", dir: b.TempDir(), addr: testserver.NewRedis(b, "--hash-max-listpack-entries", strconv.Itoa(listpack)).Addr, types: make([]feast.Type, features)}
	for i := range r.types {
		r.types[i] = feast.Int64
		if mixed {
			r.types[i] = mixedTypes[i%len(mixedTypes)]
		}
	}
	if mixed {
		r.name = "mixed"
	}
	text := fmt.Sprintf("project: %s\nprovider: local\nregistry: data/registry.db\nonline_store:\n  type: redis\n"+
		"  connection_string: %s\nentity_key_serialization_version: 3\n", project, r.addr)
	if err := errors.Join(
		os.MkdirAll(filepath.Join(r.dir, "data"), 0o755),
		os.WriteFile(filepath.Join(r.dir, "feature_store.yaml"), []byte(text), 0o600),
	); err != nil {
		b.Fatal(err)
	}
	r.fs = r.open(b)
	if _, err := r.fs.Apply(b.Context(), r.objects()...); err != nil {
		b.Fatal(err)
	}
	r.fill(b)
	r.through = r.open(b, feast.WithOnlineStore(r.store(b, feastredis.Options{NoDirectReads: true})))
	cached, err := cache.New(r.store(b, feastredis.Options{}), cache.Options{MaxAge: time.Hour, MaxBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	r.near = r.open(b, feast.WithOnlineStore(cached))
	return r
}

func (r *repo) open(b *testing.B, opts ...feast.Option) *feast.FeatureStore {
	b.Helper()
	fs, err := feast.Open(b.Context(), r.dir, opts...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = fs.Close() })
	return fs
}

func (r *repo) objects() []feast.Object {
	entity := &feast.Entity{Name: "entity", JoinKey: "entity", ValueType: feast.Int64}
	source := &feast.DataSource{
		Name: "source", TimestampField: "event_timestamp", CreatedTimestampColumn: "created",
		Options: feast.FileOptions{Path: filepath.Join(r.dir, "data", "source.parquet")},
	}
	objects := []feast.Object{entity, source}
	var projections []feast.FeatureViewProjection
	for v := range views {
		view := &feast.FeatureView{
			Name: viewName(v), Entities: []string{"entity"}, Source: source, Online: true,
			EntityColumns: []feast.Field{{Name: "entity", Type: feast.Int64}},
		}
		for f := v * viewFeatures; f < (v+1)*viewFeatures; f++ {
			view.Schema = append(view.Schema, feast.Field{Name: featureName(f), Type: r.types[f]})
		}
		projections = append(projections, feast.FeatureViewProjection{Name: view.Name})
		objects = append(objects, view)
	}
	for v := range views {
		objects = append(objects, &feast.FeatureService{
			Name: fmt.Sprint("features_", (v+1)*viewFeatures), Features: slices.Clone(projections[:v+1]),
		})
	}
	return objects
}

func viewName(v int) string    { return fmt.Sprint("feature_view_", v) }
func featureName(f int) string { return fmt.Sprint("feature_", f) }

// refs are references to the first n features.
func refs(n int) []string {
	out := make([]string, n)
	for f := range out {
		out[f] = viewName(f/viewFeatures) + ":" + featureName(f)
	}
	return out
}

// rows makes the rows of a view.
func (r *repo) rows(v, n int, event time.Time) feast.Columns {
	random := rand.New(rand.NewPCG(7, uint64(v)))
	ids, times := make([]int64, n), make([]time.Time, n)
	for i := range n {
		ids[i], times[i] = int64(i), event
	}
	out := feast.Columns{"entity": ids, "event_timestamp": times, "created": times}
	for f := v * viewFeatures; f < (v+1)*viewFeatures; f++ {
		out[featureName(f)] = values(random, r.types[f], n)
	}
	return out
}

func values(random *rand.Rand, typ feast.Type, n int) any {
	switch typ {
	case feast.Int64:
		return each(n, func() int64 { return random.Int64N(1<<62) - random.Int64N(1<<62) })
	case feast.Float64:
		return each(n, random.NormFloat64)
	case feast.String:
		return each(n, func() string { return fmt.Sprintf("s%x", random.Int64N(1<<40)) })
	case feast.Bool:
		return each(n, func() bool { return random.IntN(2) == 1 })
	}
	return each(n, func() []float32 {
		return each(16, func() float32 { return float32(random.NormFloat64()) })
	})
}

func each[T any](n int, value func() T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = value()
	}
	return out
}

func (r *repo) fill(b *testing.B) {
	b.Helper()
	for v := range views {
		rows := r.rows(v, entities, eventTime)
		if _, err := r.fs.WriteToOnlineStore(b.Context(), viewName(v), rows, feast.WriteOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// asked returns entities to ask for, 30 of 100 of which are not there; never the same ones twice in a row.
func asked(rows int) [][]int64 {
	random := rand.New(rand.NewPCG(uint64(rows), 30))
	out := make([][]int64, 64)
	for i := range out {
		distinct := random.Perm(entities)[:rows]
		for _, id := range distinct {
			if random.IntN(10) < 3 {
				id += entities
			}
			out[i] = append(out[i], int64(id))
		}
	}
	return out
}

// appendHashKey appends the name of an entity's hash.
func appendHashKey(dst []byte, id int64) []byte {
	dst = append(dst, "\x01\x00\x00\x00\x02\x00\x00\x00\x06\x00\x00\x00entity\x04\x00\x00\x00\x08\x00\x00\x00"...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(id))
	return append(dst, project...)
}

// encodingOf says how the server keeps a hash.
func (r *repo) encodingOf(b *testing.B) string {
	b.Helper()
	client := redis.NewClient(&redis.Options{Addr: r.addr})
	defer func() { _ = client.Close() }()
	name, err := client.ObjectEncoding(b.Context(), string(appendHashKey(nil, 0))).Result()
	if err != nil {
		b.Fatal(err)
	}
	return name
}

// store is another store on the same server.
func (r *repo) store(b *testing.B, opts feastredis.Options) online.Store {
	b.Helper()
	client := redis.NewClient(&redis.Options{Addr: r.addr})
	s, err := feastredis.New(client, opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	return s
}
