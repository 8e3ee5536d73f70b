package interop_test

import (
	"errors"
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
func newOfflineRepo(t testing.TB, store string) (*repo, *feast.FeatureStore) {
	t.Helper()
	r := newRepo(t, store, "offline_store: {type: duckdb}\n")
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

// pairTTL is no whole number of seconds, which Feast's DuckDB store takes exactly (departure 25). It cannot take days and seconds.
const pairTTL = 12*time.Hour + 1250*time.Millisecond

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
			TTL:    pairTTL,
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
		at := start.Add(time.Duration(rng.Int64N(int64(span/time.Microsecond))) * time.Microsecond)
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

// create writes a Parquet file of rows, here, and the directories that it is in.
func (r *repo) create(path string, rb arrow.RecordBatch) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Join(r.dir, filepath.Dir(path)), 0o750); err != nil {
		r.t.Fatal(err)
	}
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

// createInFeast replaces what create wrote.
func (s sources) createInFeast(r *repo) {
	r.t.Helper()
	for path, f := range map[string]*frame{"drivers.parquet": s.drivers, "pairs/a.parquet": s.pairs, "places.parquet": s.places} {
		r.python("parquet", map[string]any{"path": "data/" + path, "columns": f.python()}, nil)
	}
	if err := os.Remove(filepath.Join(r.dir, "data/pairs/b.parquet")); err != nil {
		r.t.Fatal(err)
	}
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
			at = s.pairs.times["ts"][row].Add(pairTTL + time.Duration(rng.IntN(2))*time.Microsecond)
		case 3:
			at = s.drivers.times["created"][row]
		default:
			driver = int64Value(int64(rng.IntN(24)))
			at = start.Add(time.Duration(rng.Int64N(int64((span+2*24*time.Hour)/time.Microsecond)))*time.Microsecond - 24*time.Hour)
		}
		if i%20 == 0 {
			customer = new(pb.Value)
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

// read reads a Parquet file, here.
func (r *repo) read(path string) (*arrow.Schema, []arrow.RecordBatch) {
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
	var batches []arrow.RecordBatch
	for reader.Next() {
		b := reader.RecordBatch()
		b.Retain() // for the garbage collector
		batches = append(batches, b)
	}
	if err := reader.Err(); err != nil {
		r.t.Fatal(err)
	}
	return reader.Schema(), batches
}

// table is the content of a Parquet file: columns with their types, and rows in order of column row.
type table struct {
	columns []string
	rows    [][]string
}

func (r *repo) table(path string) table {
	r.t.Helper()
	schema, batches := r.read(path)
	var out table
	for _, f := range schema.Fields() {
		out.columns = append(out.columns, f.Name+" "+arrowconv.TypeText(f.Type))
	}
	order := schema.FieldIndices("row")[0]
	for _, b := range batches {
		for i := range int(b.NumRows()) {
			row := []string{fmt.Sprintf("%6s", b.Column(order).ValueStr(i))}
			for _, c := range b.Columns() {
				row = append(row, c.ValueStr(i))
			}
			out.rows = append(out.rows, row)
		}
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
	for i := range 8 {
		if i == 4 { // the second half: sources as a data frame writes them, with nanoseconds and wider types
			s.createInFeast(r)
		}
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

// place is a row of place_stats, without its times.
type place struct {
	rating float64
	label  string
}

// newestPlaces returns of each place the newest row.
func newestPlaces(t *testing.T, batches ...arrow.RecordBatch) map[int64]place {
	t.Helper()
	newest, times := map[int64]place{}, map[int64][2]arrow.Timestamp{}
	for _, b := range batches {
		column := func(name string) arrow.Array {
			at := b.Schema().FieldIndices(name)
			if len(at) != 1 {
				t.Fatalf("%s", b.Schema())
			}
			return b.Column(at[0])
		}
		for i := range int(b.NumRows()) {
			var at [2]arrow.Timestamp
			if b.NumCols() == 5 { // Feast answers no created time, and one row of a place
				at = [2]arrow.Timestamp{column("event_timestamp").(*array.Timestamp).Value(i), column("created_timestamp").(*array.Timestamp).Value(i)}
			}
			id := column("place_id").(*array.Int64).Value(i)
			if was, ok := times[id]; !ok || slices.Compare(at[:], was[:]) > 0 {
				times[id] = at
				newest[id] = place{column("rating").(*array.Float64).Value(i), column("label").(*array.String).Value(i)}
			}
		}
	}
	return newest
}

// TestTrainingWithoutRows: without entity rows, Feast's file store answers the newest row of each key as of the end, and this
// library all rows of the window (departure 8): of these the newest are the same. Feast's DuckDB store cannot.
func TestTrainingWithoutRows(t *testing.T) {
	s := randomSources(t, rand.New(rand.NewPCG(19, 20)))
	r := newRepo(t, "sqlite", "offline_store: {type: file}\n")
	s.create(r)
	fs := r.open(feast.WithOfflineStore(file.New(r.dir)))
	features := []string{"place_stats:rating", "place_stats:label"}
	for _, ttl := range []time.Duration{0, 7 * time.Hour, 36 * time.Hour} {
		objects := history(r.project)
		for _, o := range objects {
			if v, ok := o.(*registry.FeatureView); ok && v.Name == "place_stats" {
				v.TTL = ttl
			}
		}
		r.apply(fs, objects...)
		for _, end := range []time.Time{start.Add(span / 2), s.places.times["ts"][100], start.Add(span)} {
			from := start.Add(-time.Hour)
			if ttl > 0 {
				from = end.Add(-ttl)
			}
			r.python("history", map[string]any{"rows": nil, "out": "theirs.parquet", "features": features, "start": from, "end": end}, nil)
			_, answered := r.read("theirs.parquet")
			want := newestPlaces(t, answered...)
			if rows := r.rows("theirs.parquet"); len(want) != rows {
				t.Errorf("Feast answered %d rows of %d places", rows, len(want))
			}

			job, err := fs.GetHistoricalFeatures(t.Context(), feast.HistoricalRequest{Features: features, Start: from, End: end})
			if err != nil {
				t.Fatal(err)
			}
			all, err := job.RecordBatch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := newestPlaces(t, all)
			if !maps.Equal(got, want) || len(want) < 5 || int(all.NumRows()) <= len(got) {
				t.Errorf("ttl %v, end %v: the newest of %d rows are\n%v, in Feast\n%v", ttl, end, all.NumRows(), got, want)
			}
			all.Release()
		}
	}
	r, _ = newOfflineRepo(t, "sqlite")
	s.create(r)
	var fe *feastError
	err := r.try("history", map[string]any{"rows": nil, "out": "theirs.parquet", "features": features, "start": start, "end": start.Add(span)}, nil)
	if !errors.As(err, &fe) || fe.Class != "TypeError" || !strings.Contains(fe.Message, "unexpected keyword argument 'start_date'") {
		t.Errorf("DuckDB: %v", err)
	}
}

// everyone asks for all views, about keys that there are and that there are not.
func everyone() (qs []question) {
	q := question{features: []string{"pair_stats:together", "place_stats:rating", "place_stats:label"}, keys: map[string][]*pb.Value{}}
	for _, f := range wide {
		q.features = append(q.features, "driver_stats:"+f.Name)
	}
	trip := question{service: "trip", full: true, keys: map[string][]*pb.Value{}}
	for i := range int64(48) {
		q.keys["driver_id"] = append(q.keys["driver_id"], int64Value(i%24))
		q.keys["place_id"] = append(q.keys["place_id"], int64Value(i%24))
		q.keys["customer_id"] = append(q.keys["customer_id"], stringValue(fmt.Sprint("customer ", i%7)))
		trip.keys["driver_id"] = append(trip.keys["driver_id"], int64Value(i%24))
		trip.keys["origin_id"] = append(trip.keys["origin_id"], int64Value(i%24))
		trip.keys["destination_id"] = append(trip.keys["destination_id"], int64Value(i*7%24))
	}
	return []question{q, trip}
}

// TestMaterializing materializes the same sources on both sides, and compares what is stored. Each side reads what the
// other materialized.
func TestMaterializing(t *testing.T) {
	onStores(t, func(t *testing.T, store string) {
		theirs, fsTheirs := newOfflineRepo(t, store)
		ours, fs := newOfflineRepo(t, store)
		s := randomSources(t, rand.New(rand.NewPCG(7, 8)))
		s.create(theirs)
		s.create(ours)
		if store == "redis" { // as a data frame writes them
			s.createInFeast(theirs)
			s.createInFeast(ours)
		}
		// From the time of a row to that of another, both included.
		times := slices.SortedFunc(slices.Values(s.places.times["ts"]), time.Time.Compare)
		from, to := times[100], times[300]

		theirs.python("materialize", map[string]any{"start": from, "end": to, "views": nil}, nil)
		res, err := fs.Materialize(t.Context(), feast.MaterializeRequest{Start: from, End: to})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Views) != 3 || len(res.Skipped) > 0 {
			t.Errorf("%+v", res)
		}
		for _, v := range res.Views {
			if v.Read < 15 || v.Written != v.Read || v.NullKeys+v.Older > 0 {
				t.Errorf("%+v", v)
			}
		}
		want, got := theirs.dump(), ours.dump()
		for _, key := range slices.Sorted(maps.Keys(want)) {
			// departure 33: a null timestamp
			if got[key] != strings.ReplaceAll(want[key], `b'@\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01'`, `b''`) {
				t.Errorf("%s: stored is\n%s, and by Feast\n%s", key, got[key], want[key])
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d rows are stored, and by Feast %d", len(got), len(want))
		}
		for _, q := range everyone() {
			ask(t, ours, fs, q)
			ask(t, theirs, fsTheirs, q)
		}
		compare(t, intervals(theirs), intervals(ours))
	})
}

// intervals is what the registry says of the materialization of views, as Feast reads it.
func intervals(r *repo) map[string]string {
	r.t.Helper()
	out := map[string]string{}
	for path, value := range r.objects() {
		if strings.HasPrefix(path, "featureView.") && (strings.Contains(path, ".materializationIntervals.") || strings.HasSuffix(path, ".state")) {
			out[path] = value
		}
	}
	return out
}

// TestMaterializingInTurns lets both sides add rows to a source, by all ways, and materialize them, each from where the
// other came to.
func TestMaterializingInTurns(t *testing.T) {
	onStores(t, func(t *testing.T, store string) {
		r, fs := newOfflineRepo(t, store)
		randomSources(t, rand.New(rand.NewPCG(9, 10))).create(r)
		f := newFrame(t)
		for id := range int64(4) { // what is there at first: one row, and one that is beyond the first window
			f.addPlace(id, float64(id), start)
			f.addPlace(id, 10+float64(id), start.Add(90*time.Minute))
		}
		r.create("data/places.parquet", f.record(0, f.len()))
		view := []string{"place_stats"}
		hour := func(n int) time.Time { return start.Add(time.Duration(n) * time.Hour) }
		counted := func(res feast.MaterializeResult, err error, older int) error {
			if err == nil && (len(res.Views) != 1 || res.Views[0].Read != 4 || res.Views[0].Written != 4-older || res.Views[0].Older != older) {
				err = fmt.Errorf("%+v", res)
			}
			return err
		}
		full := func(from, end time.Time) error {
			res, err := fs.Materialize(t.Context(), feast.MaterializeRequest{Views: view, Start: from, End: end})
			return counted(res, err, 0)
		}
		feastFull := func(from, end time.Time) error {
			return r.try("materialize", map[string]any{"start": from, "end": end, "views": view}, nil)
		}
		incremental := func(_, end time.Time) error {
			res, err := fs.MaterializeIncremental(t.Context(), feast.MaterializeRequest{Views: view, End: end})
			return counted(res, err, 0)
		}
		again := func(_, end time.Time) error { // what was pushed online too, which Redis leaves as it is (departure 9)
			older := 0
			if store == "redis" {
				older = 4
			}
			res, err := fs.MaterializeIncremental(t.Context(), feast.MaterializeRequest{Views: view, End: end})
			return counted(res, err, older)
		}
		feastIncremental := func(_, end time.Time) error {
			return r.try("materialize_incremental", map[string]any{"end": end, "views": view}, nil)
		}
		pushes := func(to feast.PushMode) func(*frame) error {
			return func(f *frame) error { return fs.Push(t.Context(), "pushed_places", f.native(), to) }
		}
		feastPushes := func(to string) func(*frame) error {
			return func(f *frame) error {
				return r.try("push", map[string]any{"source": "pushed_places", "columns": f.python(), "to": to}, nil)
			}
		}
		want := map[string]string{"featureView.place_stats.meta.state": "AVAILABLE_ONLINE"}
		from, rows := start.Add(-time.Hour), f.len()
		for n, step := range []struct {
			online      bool // add writes to the online store too
			add         func(*frame) error
			materialize func(from, end time.Time) error
		}{
			{false, nil, full},
			{false, func(f *frame) error {
				n, err := fs.WriteToOfflineStore(t.Context(), "place_stats", f.native())
				if err == nil && n != f.len() {
					err = fmt.Errorf("%d rows", n)
				}
				return err
			}, feastIncremental},
			{false, func(f *frame) error {
				return r.try("write_offline", map[string]any{"view": "place_stats", "columns": f.python()}, nil)
			}, incremental},
			{false, pushes(feast.ToOffline), feastIncremental},
			{false, feastPushes("offline"), incremental},
			{true, pushes(feast.ToOnlineAndOffline), feastFull},
			{true, feastPushes("online_and_offline"), again},
		} {
			end := hour(n + 1)
			if step.add != nil {
				f := newFrame(t)
				for id := range int64(4) {
					f.addPlace(id, float64(int64(10*n)+id)+0.5, end.Add(-15*time.Minute))
					if !step.online { // beyond the window
						f.addPlace(id, -float64(n), end.Add(10*time.Minute))
					}
				}
				if err := step.add(f); err != nil {
					t.Fatalf("turn %d: %v", n, err)
				}
				rows += f.len()
			}
			if err := step.materialize(from, end); err != nil {
				t.Fatalf("turn %d: %v", n, err)
			}
			want[fmt.Sprintf("featureView.place_stats.meta.materializationIntervals.%d.startTime", n)] = from.Format(time.RFC3339Nano)
			want[fmt.Sprintf("featureView.place_stats.meta.materializationIntervals.%d.endTime", n)] = end.Format(time.RFC3339Nano)
			from = end
			got := intervals(r)
			maps.DeleteFunc(got, func(path, _ string) bool { return !strings.HasPrefix(path, "featureView.place_stats.") })
			compare(t, want, got)
			if err := fs.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			snap, err := fs.Snapshot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			v, err := snap.FeatureView("place_stats")
			if err != nil {
				t.Fatal(err)
			}
			if v.State != registry.StateAvailableOnline || len(v.MaterializationIntervals) != n+1 || !v.MaterializationIntervals[n].End.Equal(end) {
				t.Errorf("turn %d: state %v, intervals %v", n, v.State, v.MaterializationIntervals)
			}

			resp := ask(t, r, fs, question{features: []string{"place_stats:rating", "place_stats:label"}, keys: map[string][]*pb.Value{
				"place_id": {int64Value(0), int64Value(1), int64Value(2), int64Value(3), int64Value(4)},
			}})
			value := float64(10*n) + 0.5
			if n == 0 {
				value = 0
			}
			c, err := resp.Column("rating")
			if err != nil {
				t.Fatal(err)
			}
			for id := range 4 {
				if c.Any(id) != value+float64(id) {
					t.Errorf("turn %d: place %d is %v, want %v", n, id, c.Any(id), value+float64(id))
				}
			}

			// Both find all rows in the source.
			at := newFrame(t)
			for i := range int64(4 * (n + 2)) {
				at.add("row", types.Int64, int64Value(i))
				at.add("place_id", types.Int64, int64Value(i%5))
				at.times["event_timestamp"] = append(at.times["event_timestamp"], hour(int(i/4)).Add(20*time.Minute))
			}
			r.create("at.parquet", at.record(0, at.len()))
			if values := r.train(fs, "at.parquet", "trained.parquet", feast.HistoricalRequest{Features: []string{"place_stats:rating", "place_stats:label"}}); values == 0 {
				t.Errorf("turn %d: no values", n)
			}
			if stored := r.rows("data/places.parquet"); stored != rows {
				t.Errorf("turn %d: the source has %d rows, want %d", n, stored, rows)
			}
		}
	})
}

// TestMaterializingVersions materializes versions of a view on both sides, from the one source, and compares what is stored,
// what is noted and what is read.
func TestMaterializingVersions(t *testing.T) {
	onStores(t, func(t *testing.T, store string) {
		var repos []*repo
		var stores []*feast.FeatureStore
		s := randomSources(t, rand.New(rand.NewPCG(17, 18)))
		for range 2 {
			r := newRepo(t, store, "offline_store: {type: duckdb}\n")
			r.versioned()
			s.create(r)
			fs := r.open(feast.WithOfflineStore(file.New(r.dir)))
			for _, features := range [][]string{{"rating", "label"}, {"rating"}, {"label"}} { // versions 0, 1 and 2
				objects := history(r.project)
				for _, o := range objects {
					if v, ok := o.(*registry.FeatureView); ok && v.Name == "place_stats" {
						v.Schema = slices.DeleteFunc(v.Schema, func(f registry.Field) bool {
							return f.Name != "place_id" && !slices.Contains(features, f.Name)
						})
					}
				}
				r.apply(fs, objects[:len(objects)-1]...)
			}
			repos, stores = append(repos, r), append(stores, fs)
		}
		theirs, ours, fs := repos[0], repos[1], stores[1]
		view := []string{"place_stats"}
		hour := func(n int) time.Time { return start.Add(time.Duration(n) * time.Hour) }
		for n, version := range []string{"v1", "V0", "version2", "latest"} {
			from, end := hour(20*n), hour(20*n+30)
			theirs.python("materialize", map[string]any{"start": from, "end": end, "views": view, "version": version}, nil)
			res, err := fs.Materialize(t.Context(), feast.MaterializeRequest{Start: from, End: end, Views: view, Version: version})
			if err != nil || len(res.Views) != 1 || res.Views[0].Written == 0 {
				t.Fatalf("%s: %+v, %v", version, res, err)
			}
			want, got := theirs.dump(), ours.dump()
			compare(t, want, got)
			if len(want) == 0 {
				t.Errorf("%s: nothing is stored", version)
			}
			noted := intervals(ours)
			compare(t, intervals(theirs), noted)
			if at := fmt.Sprintf("featureView.place_stats.meta.materializationIntervals.%d.endTime", n); noted[at] != end.Format(time.RFC3339Nano) {
				t.Errorf("%s: %v", version, noted)
			}
			for i, r := range repos {
				if err := stores[i].Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				q := question{keys: map[string][]*pb.Value{}}
				for id := range int64(24) {
					q.keys["place_id"] = append(q.keys["place_id"], int64Value(id))
				}
				for _, references := range [][]string{{"place_stats@v0:rating", "place_stats@v0:label"}, {"place_stats@v1:rating"}, {"place_stats@v2:label"}, {"place_stats:label"}} {
					q.features = references
					ask(t, r, stores[i], q)
				}
			}
		}
		// An incremental run of a version begins as that of a view that was never materialized.
		end := time.Now().UTC().Truncate(time.Microsecond)
		theirs.python("materialize_incremental", map[string]any{"end": end, "views": view, "version": "v1"}, nil)
		if _, err := fs.MaterializeIncremental(t.Context(), feast.MaterializeRequest{End: end, Views: view, Version: "v1"}); err != nil {
			t.Fatal(err)
		}
		at := "featureView.place_stats.meta.materializationIntervals.4.startTime"
		for _, r := range repos {
			from, err := time.Parse(time.RFC3339Nano, intervals(r)[at])
			if err != nil || from.Sub(end.Add(-52*7*24*time.Hour)).Abs() > time.Minute {
				t.Errorf("begins at %v, %v", from, err)
			}
		}
		// Neither materializes one that there is not.
		var fe *feastError
		if err := theirs.try("materialize", map[string]any{"start": start, "end": end, "views": view, "version": "v3"}, nil); !errors.As(err, &fe) || fe.Class != "FeatureViewVersionNotFound" {
			t.Errorf("Feast: %v", err)
		}
		if _, err := fs.Materialize(t.Context(), feast.MaterializeRequest{Start: start, End: end, Views: view, Version: "v3"}); !errors.Is(err, feast.ErrNotFound) {
			t.Error(err)
		}
	})
}

// TestFirstIncremental: both begin to materialize where the other would, before anything was.
func TestFirstIncremental(t *testing.T) {
	r, fs := newOfflineRepo(t, "sqlite")
	randomSources(t, rand.New(rand.NewPCG(11, 12))).create(r)
	views := map[string]time.Duration{"driver_stats": 24 * time.Hour, "pair_stats": pairTTL, "place_stats": 52 * 7 * 24 * time.Hour}
	for view, back := range views {
		for _, side := range []string{"Feast", "Go"} {
			// A view that was never materialized: deleted, and defined again.
			if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Delete: []feast.Object{
				&feast.FeatureService{Name: "trip"}, &feast.FeatureView{Name: view},
			}}); err != nil {
				t.Fatal(err)
			}
			r.apply(fs, history(r.project)...)
			before := time.Now().Truncate(time.Microsecond)
			end := before.Add(time.Hour)
			if side == "Feast" {
				r.python("materialize_incremental", map[string]any{"end": end, "views": []string{view}}, nil)
			} else if _, err := fs.MaterializeIncremental(t.Context(), feast.MaterializeRequest{Views: []string{view}, End: end}); err != nil {
				t.Fatal(err)
			}
			after := time.Now()
			found := intervals(r)
			at := "featureView." + view + ".meta.materializationIntervals."
			from, err := time.Parse(time.RFC3339Nano, found[at+"0.startTime"])
			if err != nil || from.Before(before.Add(-back)) || from.After(after.Add(-back)) || found[at+"1.startTime"] != "" {
				t.Errorf("%s by %s: %v, %v, want to begin between %v and %v", view, side, found, err, before.Add(-back), after.Add(-back))
			}
			if to, err := time.Parse(time.RFC3339Nano, found[at+"0.endTime"]); err != nil || !to.Equal(end) {
				t.Errorf("%s by %s: the end is %v, %v, want %v", view, side, to, err, end)
			}
		}
	}
}

// rows counts the rows of a Parquet file.
func (r *repo) rows(path string) (n int) {
	r.t.Helper()
	_, batches := r.read(path)
	for _, b := range batches {
		n += int(b.NumRows())
	}
	return n
}

// TestComputedTraining computes on-demand features of training data in Python and in Go.
func TestComputedTraining(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	r, _ := newOfflineRepo(t, "sqlite")
	s := randomSources(t, rng)
	s.create(r)
	type in struct {
		Rating *float64 `feast:"rating"`
		Amount float64  `feast:"amount"`
	}
	type out struct {
		Times *float64 `feast:"rating_times"`
	}
	fs := r.open(feast.WithOfflineStore(file.New(r.dir)), feast.WithTransformation("computed", feast.RowWise(func(v in) (out, error) {
		if v.Rating == nil {
			return out{}, nil
		}
		times := *v.Rating * v.Amount
		return out{&times}, nil
	})))
	request := &registry.DataSource{Name: "request", Options: registry.RequestOptions{Schema: []registry.Field{{Name: "amount", Type: types.Float64}}}}
	r.apply(fs, request, &registry.OnDemandFeatureView{
		Name: "computed", Mode: "python", Sources: []registry.FeatureViewProjection{{Name: "place_stats"}},
		RequestSources: []*registry.DataSource{request}, Schema: []registry.Field{{Name: "rating_times", Type: types.Float64}},
		Transformation: &registry.Transformation{Name: "computed", Mode: "python", Text: "def computed(inputs):\n" +
			`    return {"rating_times": [None if r is None else r * a for r, a in zip(inputs["rating"], inputs["amount"])]}` + "\n"},
	})
	rows := s.entities(t, rng, 100)
	for range rows.len() {
		rows.add("amount", types.Float64, &pb.Value{Val: &pb.Value_DoubleVal{DoubleVal: rng.NormFloat64()}})
	}
	r.create("rows.parquet", rows.record(0, rows.len()))
	for i, full := range []bool{false, true} {
		n := r.train(fs, "rows.parquet", fmt.Sprintf("computed_%d.parquet", i), feast.HistoricalRequest{
			Features: []string{"driver_stats:city", "computed:rating_times", "place_stats:rating"}, FullFeatureNames: full,
		})
		if n < 100 {
			t.Errorf("%d values", n)
		}
	}
}

// TestMaterializingNullKeys: a row with a null key fails the view in Feast, and is counted here (departure 11).
func TestMaterializingNullKeys(t *testing.T) {
	r, fs := newOfflineRepo(t, "sqlite")
	randomSources(t, rand.New(rand.NewPCG(15, 16))).create(r)
	f := newFrame(t)
	for id := range int64(3) {
		f.addPlace(id, float64(id), start)
	}
	f.cols["place_id"][1] = new(pb.Value)
	r.create("data/places.parquet", f.record(0, f.len()))
	view, end := []string{"place_stats"}, start.Add(time.Hour)
	var fe *feastError
	if err := r.try("materialize", map[string]any{"start": start, "end": end, "views": view}, nil); !errors.As(err, &fe) {
		t.Errorf("Feast: %v", err)
	}
	res, err := fs.Materialize(t.Context(), feast.MaterializeRequest{Start: start, End: end, Views: view})
	if err != nil || len(res.Views) != 1 || res.Views[0].Read != 3 || res.Views[0].Written != 2 || res.Views[0].NullKeys != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	ask(t, r, fs, question{features: []string{"place_stats:rating"}, keys: map[string][]*pb.Value{
		"place_id": {int64Value(0), int64Value(1), int64Value(2)},
	}})
}
