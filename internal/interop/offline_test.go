package interop_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast"
	pb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
	"github.com/feastgo/feast/types/arrowconv"
)

// newOfflineRepo makes a repository whose offline store is DuckDB in Feast, and the file store here, with the views below.
func newOfflineRepo(t *testing.T, store string) (*repo, *feast.FeatureStore) {
	t.Helper()
	r := newRepo(t, store, "offline_store: {type: duckdb}\n")
	if err := os.MkdirAll(filepath.Join(r.dir, "data/pairs"), 0o750); err != nil {
		t.Fatal(err)
	}
	fs := r.open(feast.WithOfflineStore(file.New(r.dir)))
	r.apply(fs, history(r.project)...)
	return r, fs
}

// wide are features of the types that a Parquet file has a type of its own for.
var wide = []registry.Field{
	{Name: "conv_rate", Type: types.Float32}, {Name: "acc_rate", Type: types.Float64}, {Name: "trips", Type: types.Int32},
	{Name: "total", Type: types.Int64}, {Name: "active", Type: types.Bool}, {Name: "city", Type: types.String},
	{Name: "blob", Type: types.Bytes}, {Name: "seen", Type: types.UnixTimestamp}, {Name: "tags", Type: types.StringList},
	{Name: "scores", Type: types.Float64List}, {Name: "embedding", Type: types.Float32List}, {Name: "ids", Type: types.Int64List},
}

// history are views of three sources: one with a mapped column and created times, a pattern of files, and one whose view
// has no ttl and is pushed to.
func history(project string) []feast.Object {
	source := func(name, path, event, created string) *registry.DataSource {
		return &registry.DataSource{
			Name: name, TimestampField: event, CreatedTimestampColumn: created, Options: registry.FileOptions{Path: path},
		}
	}
	drivers := source("drivers", "data/drivers.parquet", "event_timestamp", "created")
	drivers.FieldMapping = tags("cr", "conv_rate")
	pairs := source("pairs", "data/pairs/*.parquet", "ts", "")
	places := source("places", "data/places.parquet", "ts", "made")
	driverID, placeID := registry.Field{Name: "driver_id", Type: types.Int64}, registry.Field{Name: "place_id", Type: types.Int64}
	return []feast.Object{
		&registry.Project{Name: project},
		&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64},
		&registry.Entity{Name: "customer", JoinKey: "customer_id", ValueType: types.String},
		&registry.Entity{Name: "place", JoinKey: "place_id", ValueType: types.Int64},
		drivers, pairs, places,
		&registry.FeatureView{
			Name: "driver_stats", Entities: []string{"driver"}, TTL: 24 * time.Hour, Source: drivers, Online: true,
			Schema: append([]registry.Field{driverID}, wide...),
		},
		&registry.FeatureView{
			Name: "pair_stats", Entities: []string{"driver", "customer"}, Source: pairs, Online: true,
			TTL: 12*time.Hour + time.Second, // Feast cannot take days and seconds to DuckDB
			Schema: []registry.Field{driverID, {Name: "customer_id", Type: types.String}, {Name: "together", Type: types.Int64}},
		},
		&registry.FeatureView{
			Name: "place_stats", Entities: []string{"place"}, Online: true,
			Source: &registry.DataSource{Name: "pushed_places", BatchSource: places, Options: registry.PushOptions{}},
			Schema: []registry.Field{placeID, {Name: "rating", Type: types.Float64}, {Name: "label", Type: types.String}},
		},
		&registry.FeatureService{Name: "trip", Features: []registry.FeatureViewProjection{
			{Name: "driver_stats", Features: []registry.Field{{Name: "conv_rate"}, {Name: "tags"}}},
			{Name: "place_stats", Alias: "origin", JoinKeyMap: tags("place_id", "origin_id")},
			{Name: "place_stats", Alias: "destination", JoinKeyMap: tags("place_id", "destination_id")},
		}},
	}
}

// span is how long the rows of the sources reach from start.
const span = 5 * 24 * time.Hour

// sources are rows of the three sources, of a few keys, each key at different times or else created at different times.
type sources struct{ drivers, pairs, places *frame }

func randomSources(t *testing.T, rng *rand.Rand) sources {
	s := sources{newFrame(t), newFrame(t), newFrame(t)}
	for i := range 400 {
		at := start.Add(time.Duration(rng.Int64N(int64(span / time.Microsecond))) * time.Microsecond)
		s.drivers.add("driver_id", types.Int64, int64Value(int64(rng.IntN(20))))
		for _, f := range wide {
			name := strings.Replace(f.Name, "conv_rate", "cr", 1)
			v := randomValue(rng, f)
			if f.Name == "acc_rate" && i%50 == 0 {
				v = &pb.Value{Val: &pb.Value_DoubleVal{DoubleVal: math.NaN()}}
			}
			s.drivers.add(name, f.Type, v)
		}
		s.drivers.times["event_timestamp"] = append(s.drivers.times["event_timestamp"], at.Truncate(time.Duration(1+i%2*3600)*time.Second))
		s.drivers.times["created"] = append(s.drivers.times["created"], at.Add(time.Duration(i)*time.Microsecond+time.Hour))

		s.pairs.add("driver_id", types.Int64, int64Value(int64(rng.IntN(6))))
		s.pairs.add("customer_id", types.String, stringValue(fmt.Sprint("customer ", rng.IntN(6))))
		s.pairs.add("together", types.Int64, randomValue(rng, registry.Field{Type: types.Int64}))
		s.pairs.times["ts"] = append(s.pairs.times["ts"], at)
		s.places.addPlace(int64(rng.IntN(20)), rng.NormFloat64(), at)
	}
	return s
}

func (f *frame) addPlace(id int64, rating float64, at time.Time) {
	f.add("place_id", types.Int64, int64Value(id))
	f.add("rating", types.Float64, &pb.Value{Val: &pb.Value_DoubleVal{DoubleVal: rating}})
	f.add("label", types.String, stringValue(fmt.Sprint("place ", id, " of ", rating)))
	f.times["ts"] = append(f.times["ts"], at)
	f.times["made"] = append(f.times["made"], at.Add(time.Minute))
}

// record returns rows from to to of the frame, columns by name.
func (f *frame) record(from, to int) arrow.RecordBatch {
	f.t.Helper()
	var fields []arrow.Field
	var columns []arrow.Array
	names := slices.Sorted(maps.Keys(f.cols))
	for _, name := range append(names, slices.Sorted(maps.Keys(f.times))...) {
		var a arrow.Array
		if times, ok := f.times[name]; ok {
			b := array.NewTimestampBuilder(memory.DefaultAllocator, arrowconv.Timestamp.(*arrow.TimestampType))
			for _, at := range times[from:to] {
				b.Append(arrow.Timestamp(at.UnixMicro()))
			}
			a = b.NewArray()
		} else {
			c := types.NewColumn(name, f.types[name], to-from)
			for i, v := range f.cols[name][from:to] {
				if v.GetVal() == nil {
					c.Clear(i, types.NullValue)
				} else if err := c.SetValue(i, marshal(f.t, v)); err != nil {
					f.t.Fatal(err)
				}
			}
			dt, err := arrowconv.DataType(f.types[name], "")
			if err != nil {
				f.t.Fatal(err)
			}
			if a, err = arrowconv.Array(c, dt, memory.DefaultAllocator); err != nil {
				f.t.Fatal(err)
			}
		}
		fields, columns = append(fields, arrow.Field{Name: name, Type: a.DataType(), Nullable: true}), append(columns, a)
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(to-from))
}

func (f *frame) len() int {
	for _, times := range f.times {
		return len(times)
	}
	return 0
}

// create writes a Parquet file of rows, here.
func (r *repo) create(path string, rb arrow.RecordBatch) {
	r.t.Helper()
	codec, err := offline.Parquet()
	if err != nil {
		r.t.Fatal(err)
	}
	rows, err := array.NewRecordReader(rb.Schema(), []arrow.RecordBatch{rb})
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Release()
	if n, err := codec.Create(r.t.Context(), filepath.Join(r.dir, path), rows); err != nil || n != rb.NumRows() {
		r.t.Fatalf("%s: %d rows, %v", path, n, err)
	}
}

func (s sources) create(r *repo) {
	r.t.Helper()
	r.create("data/drivers.parquet", s.drivers.record(0, s.drivers.len()))
	half := s.pairs.len() / 2
	r.create("data/pairs/a.parquet", s.pairs.record(0, half))
	r.create("data/pairs/b.parquet", s.pairs.record(half, s.pairs.len()))
	r.create("data/places.parquet", s.places.record(0, s.places.len()))
}

// entities returns entity rows, of keys that there are and that there are not, also at the very times where rows begin to
// count and where they cease to.
func (s sources) entities(t *testing.T, rng *rand.Rand, n int) *frame {
	f := newFrame(t)
	for i := range n {
		var at time.Time
		row := rng.IntN(s.drivers.len())
		driver := s.drivers.cols["driver_id"][row]
		customer := stringValue(fmt.Sprint("customer ", rng.IntN(8)))
		switch i % 6 {
		case 0:
			at = s.drivers.times["event_timestamp"][row]
		case 1:
			at = s.drivers.times["event_timestamp"][row].Add(24 * time.Hour)
		case 2:
			driver, customer = s.pairs.cols["driver_id"][row], s.pairs.cols["customer_id"][row]
			at = s.pairs.times["ts"][row].Add(12*time.Hour + time.Second + time.Duration(rng.IntN(2))*time.Microsecond)
		case 3:
			at = s.drivers.times["created"][row]
		default:
			driver = int64Value(int64(rng.IntN(24)))
			at = start.Add(time.Duration(rng.Int64N(int64((span+2*24*time.Hour)/time.Microsecond)))*time.Microsecond - 24*time.Hour)
		}
		f.add("row", types.Int64, int64Value(int64(i)))
		f.add("driver_id", types.Int64, driver)
		f.add("customer_id", types.String, customer)
		for _, name := range []string{"place_id", "origin_id", "destination_id"} {
			f.add(name, types.Int64, int64Value(int64(rng.IntN(24))))
		}
		f.add("outcome", types.Float64, randomValue(rng, registry.Field{Type: types.Float64}))
		f.times["event_timestamp"] = append(f.times["event_timestamp"], at)
	}
	return f
}

// table is the content of a Parquet file: columns with their types, and rows in order of column row.
type table struct {
	columns []string
	rows    [][]string
}

func (r *repo) table(path string) table {
	r.t.Helper()
	codec, err := offline.Parquet()
	if err != nil {
		r.t.Fatal(err)
	}
	reader, err := codec.Open(r.t.Context(), filepath.Join(r.dir, path))
	if err != nil {
		r.t.Fatal(err)
	}
	defer reader.Release()
	var out table
	for _, f := range reader.Schema().Fields() {
		out.columns = append(out.columns, f.Name+" "+arrowconv.TypeText(f.Type))
	}
	order := reader.Schema().FieldIndices("row")[0]
	for reader.Next() {
		b := reader.RecordBatch()
		for i := range int(b.NumRows()) {
			row := []string{fmt.Sprintf("%6s", b.Column(order).ValueStr(i))}
			for _, c := range b.Columns() {
				row = append(row, c.ValueStr(i))
			}
			out.rows = append(out.rows, row)
		}
	}
	if err := reader.Err(); err != nil {
		r.t.Fatal(err)
	}
	slices.SortFunc(out.rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return out
}

// train retrieves training data on both sides from one file of entity rows, and compares cell by cell. It returns the number
// of cells of features with a value. What Go answered stays in the file of the name.
func (r *repo) train(fs *feast.FeatureStore, rows, name string, req feast.HistoricalRequest) (values int) {
	r.t.Helper()
	theirs := filepath.Join(r.dir, "theirs_"+name)
	args := map[string]any{"rows": filepath.Join(r.dir, rows), "out": theirs, "full_names": req.FullFeatureNames, "created": req.FilterByCreatedTimestamp}
	if req.FeatureService != "" {
		args["service"] = req.FeatureService
	} else {
		args["features"] = req.Features
	}
	r.python("history", args, nil)
	req.Entities = feast.ParquetFile(filepath.Join(r.dir, rows))
	job, err := fs.GetHistoricalFeatures(r.t.Context(), req)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := job.WriteParquet(r.t.Context(), filepath.Join(r.dir, name)); err != nil {
		r.t.Fatal(err)
	}
	want, got, given := r.table("theirs_"+name), r.table(name), r.table(rows)
	if !slices.Equal(got.columns, want.columns) {
		r.t.Fatalf("%+v: columns %q, in Feast %q", req, got.columns, want.columns)
	}
	if len(got.rows) != len(given.rows) || len(want.rows) != len(given.rows) {
		r.t.Fatalf("%+v: %d rows, in Feast %d, of %d", req, len(got.rows), len(want.rows), len(given.rows))
	}
	for i, row := range got.rows {
		for j, cell := range row[1:] {
			if w := want.rows[i][j+1]; cell != w {
				r.t.Errorf("%+v: row %v: %s is %s, in Feast %s", req, given.rows[i], got.columns[j], cell, w)
			}
			if j >= len(given.columns) && cell != array.NullValueStr {
				values++
			}
		}
	}
	return values
}

// TestTraining retrieves the same training data on both sides, from sources that were written here.
func TestTraining(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	r, fs := newOfflineRepo(t, "sqlite")
	s := randomSources(t, rng)
	s.create(r)
	rows := s.entities(t, rng, 600)
	r.create("rows.parquet", rows.record(0, rows.len()))
	var all []string
	for _, f := range wide {
		all = append(all, "driver_stats:"+f.Name)
	}
	all = append(all, "pair_stats:together", "place_stats:rating", "place_stats:label")

	if n := r.train(fs, "rows.parquet", "all.parquet", feast.HistoricalRequest{Features: all}); n < 600 {
		t.Errorf("%d values", n)
	}
	// What was written here is Feast's entity rows.
	if n := r.train(fs, "all.parquet", "again.parquet", feast.HistoricalRequest{Features: all, FullFeatureNames: true, FilterByCreatedTimestamp: true}); n < 600 {
		t.Errorf("%d values", n)
	}
	if n := r.train(fs, "rows.parquet", "trip.parquet", feast.HistoricalRequest{FeatureService: "trip", FullFeatureNames: true}); n < 600 {
		t.Errorf("%d values", n)
	}
	for i := range 6 {
		rows := s.entities(t, rng, 1+rng.IntN(60))
		name := fmt.Sprintf("rows_%d.parquet", i)
		r.create(name, rows.record(0, rows.len()))
		var some []string
		for _, j := range rng.Perm(len(all))[:1+rng.IntN(len(all))] {
			some = append(some, all[j])
		}
		// Feast orders features by view, as here, and views as they are first mentioned.
		r.train(fs, name, fmt.Sprintf("some_%d.parquet", i), feast.HistoricalRequest{
			Features: some, FullFeatureNames: rng.IntN(2) == 0, FilterByCreatedTimestamp: rng.IntN(2) == 0,
		})
	}
}
