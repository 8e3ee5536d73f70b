package feast_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/offline"
	onlinememory "github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/registry"
	registrymemory "github.com/feastgo/feast/registry/memory"
)

// history is an offline store for tests of the front: it remembers what it was asked for, finds no row for any entity row, and
// scans tables in memory.
type history struct {
	info   offline.Info
	tables map[string]arrow.RecordBatch // by the name of the source
	err    error                        // of reading

	mu     sync.Mutex
	joins  []*offline.JoinPlan
	rows   []offline.EntityRows
	scans  []*offline.ScanPlan
	open   int // jobs and readers that are not given back
	closed bool
}

func (h *history) Info() offline.Info { return h.info }
func (h *history) Close() error       { h.closed = true; return nil }

func (h *history) Latest(context.Context, *offline.ScanPlan) (offline.Job, error) {
	panic("not asked for")
}
func (h *history) Append(context.Context, *offline.Source, array.RecordReader) (int64, error) {
	panic("not asked for")
}
func (h *history) Describe(context.Context, *offline.Source) (*arrow.Schema, error) {
	panic("not asked for")
}

func (h *history) count(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open += n
}

// historyJob runs read, and counts what is given back.
type historyJob struct {
	h    *history
	rows array.RecordReader // nil, or released with the job
	read func() (array.RecordReader, error)
}

func (j *historyJob) Read(ctx context.Context) (array.RecordReader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return j.read()
}

func (j *historyJob) Close() error {
	j.h.count(-1)
	if j.rows != nil {
		j.rows.Release()
	}
	return nil
}

func (h *history) Historical(_ context.Context, p *offline.JoinPlan, e offline.EntityRows) (offline.Job, error) {
	h.count(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.joins, h.rows = append(h.joins, p), append(h.rows, e)
	return &historyJob{h, e.Rows, func() (array.RecordReader, error) {
		if h.err != nil {
			return nil, h.err
		}
		if e.SQL != "" {
			return array.NewRecordReader(arrow.NewSchema(nil, nil), nil)
		}
		fields := e.Rows.Schema().Fields()
		for _, v := range p.Views {
			for _, f := range v.Features {
				fields = append(fields, arrow.Field{Name: f.Name, Type: arrowInt64, Nullable: true})
			}
		}
		schema := arrow.NewSchema(fields, nil)
		var out []arrow.RecordBatch
		for e.Rows.Next() {
			b := e.Rows.RecordBatch()
			columns := append([]arrow.Array(nil), b.Columns()...)
			for len(columns) < len(fields) {
				columns = append(columns, array.MakeArrayOfNull(memory.DefaultAllocator, arrowInt64, int(b.NumRows())))
			}
			out = append(out, array.NewRecordBatch(schema, columns, b.NumRows()))
		}
		defer func() {
			for _, b := range out {
				b.Release()
			}
		}()
		if err := e.Rows.Err(); err != nil {
			return nil, err
		}
		return array.NewRecordReader(schema, out)
	}}, nil
}

func (h *history) All(_ context.Context, p *offline.ScanPlan) (offline.Job, error) {
	h.count(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.scans = append(h.scans, p)
	return &historyJob{h, nil, func() (array.RecordReader, error) {
		if h.err != nil {
			return nil, h.err
		}
		t := h.tables[p.Source.Name]
		asked := append(append(append([]offline.Column{}, p.Keys...), p.Features...), p.Event)
		if p.Created != (offline.Column{}) {
			asked = append(asked, p.Created)
		}
		var fields []arrow.Field
		var columns []arrow.Array
		for _, c := range asked {
			at := t.Schema().FieldIndices(c.Source)[0]
			fields, columns = append(fields, arrow.Field{Name: c.Name, Type: t.Column(at).DataType()}), append(columns, t.Column(at))
		}
		schema := arrow.NewSchema(fields, nil)
		var out []arrow.RecordBatch
		whole := array.NewRecordBatch(schema, columns, t.NumRows())
		for i := range t.NumRows() { // a batch for each row
			at := t.Column(t.Schema().FieldIndices(p.Event.Source)[0]).(*array.Timestamp).Value(int(i)).ToTime(arrow.Microsecond)
			if !at.Before(p.Start) && !at.After(p.End) {
				out = append(out, whole.NewSlice(i, i+1))
			}
		}
		return array.NewRecordReader(schema, out)
	}}, nil
}

func parquetSource(name string) *feast.DataSource {
	return &feast.DataSource{
		Name: name, TimestampField: "ts", CreatedTimestampColumn: "created",
		Options: registry.FileOptions{Path: "data/" + name + ".parquet"},
	}
}

// training is a feature store over an offline store: views stats (field mapping, ttl of an hour), pair (two keys), global (no
// key) and a service that uses stats twice.
func training(t testing.TB, opts ...feast.Option) (*feast.FeatureStore, *history) {
	t.Helper()
	stats := driverView("stats", time.Hour, feast.Field{Name: "rate", Type: feast.Float32}, feast.Field{Name: "trips", Type: feast.Int64})
	stats.Source = parquetSource("stats_source")
	stats.Source.TimestampField = "event_ts"
	stats.Source.FieldMapping = map[string]string{"raw_rate": "rate", "drv": "driver_id", "ts": "event_ts"}
	customer := &feast.Entity{Name: "customer", JoinKey: "customer_id", ValueType: feast.String}
	pair := &feast.FeatureView{
		Name: "pair", Entities: []string{"driver", "customer"}, Schema: []feast.Field{{Name: "rides", Type: feast.Int64}},
		EntityColumns: []feast.Field{{Name: "driver_id", Type: feast.Int64}, {Name: "customer_id", Type: feast.String}},
		Source:        parquetSource("pair_source"),
	}
	push := &feast.DataSource{Name: "push", Options: registry.PushOptions{}, BatchSource: parquetSource("pushed")}
	pushed := driverView("pushed_stats", 0, feast.Field{Name: "rides", Type: feast.Int64})
	pushed.Source = push
	global := &feast.FeatureView{Name: "global", Schema: []feast.Field{{Name: "fee", Type: feast.Float64}}, Source: parquetSource("global_source")}
	global.Source.CreatedTimestampColumn = ""
	sourceless := driverView("sourceless", 0, feast.Field{Name: "x", Type: feast.Int64})
	twice := &feast.FeatureService{Name: "twice", Features: []feast.FeatureViewProjection{
		{Name: "stats", Alias: "origin", JoinKeyMap: map[string]string{"driver_id": "origin_id"}, Features: stats.Schema},
		{Name: "stats", Alias: "destination", JoinKeyMap: map[string]string{"driver_id": "destination_id"}, Features: stats.Schema[1:]},
	}}
	h := &history{info: offline.Info{Name: "history"}}
	opts = append([]feast.Option{feast.WithOfflineStore(h), feast.WithClock(func() time.Time { return t0 })}, opts...)
	fs, _, _ := newStore(t, []feast.Object{driver, customer, stats, pair, pushed, global, sourceless, twice}, opts...)
	t.Cleanup(func() {
		if h.open != 0 {
			t.Errorf("%d jobs of the offline store were not closed", h.open)
		}
	})
	return fs, h
}

func labels(t testing.TB) arrow.RecordBatch {
	return recordOf(t, "label", arrowInt64, `[1, null]`, "driver_id", arrowInt64, `[1001, 1002]`,
		"customer_id", arrowString, `["a", "b"]`, "event_timestamp", arrowUTC, `[1714564800000000, 1714561200000000]`)
}

func TestHistoricalPlan(t *testing.T) {
	fs, h := training(t)
	job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{
		Features: []string{"stats:trips", "pair:rides", "stats:rate", "global:fee"}, Entities: feast.ArrowFrame(labels(t)),
		FilterByCreatedTimestamp: true, AnyOrder: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(h.joins) != 0 {
		t.Error("the job ran before it was read")
	}
	rb, err := job.RecordBatch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := `label int64 [1 (null)]
driver_id int64 [1001 1002]
customer_id utf8 ["a" "b"]
event_timestamp timestamp[us, tz=UTC] [1714564800000000 1714561200000000]
trips int64 [(null) (null)]
rate int64 [(null) (null)]
rides int64 [(null) (null)]
fee int64 [(null) (null)]
`
	if got := columnsOf(rb); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	file := func(name string) *offline.Source {
		return &offline.Source{Name: name, Kind: "FileSource", Path: "data/" + name + ".parquet"}
	}
	plan := &offline.JoinPlan{FilterByCreated: true, AnyOrder: true, Views: []offline.JoinView{
		{
			Name: "stats", View: "stats", Source: file("stats_source"), Keys: []offline.JoinKey{{Source: "drv", Entity: "driver_id"}},
			Features: []offline.Column{{Source: "trips", Name: "trips"}, {Source: "raw_rate", Name: "rate"}},
			Event:    "ts", Created: "created", TTL: time.Hour,
		},
		{
			Name: "pair", View: "pair", Source: file("pair_source"), Keys: []offline.JoinKey{{Source: "driver_id", Entity: "driver_id"}, {Source: "customer_id", Entity: "customer_id"}},
			Features: []offline.Column{{Source: "rides", Name: "rides"}}, Event: "ts", Created: "created",
		},
		{Name: "global", View: "global", Source: file("global_source"), Features: []offline.Column{{Source: "fee", Name: "fee"}}, Event: "ts"},
	}}
	if !reflect.DeepEqual(h.joins[0], plan) {
		t.Errorf("the plan is\n%+v, want\n%+v", h.joins[0], plan)
	}
	if h.rows[0].Event != "event_timestamp" || h.rows[0].SQL != "" {
		t.Errorf("entity rows %+v", h.rows[0])
	}
	meta := feast.RetrievalMetadata{
		Features: []string{"stats:trips", "pair:rides", "stats:rate", "global:fee"}, Keys: []string{"label", "driver_id", "customer_id"},
		MinEventTimestamp: t0.Add(-time.Hour), MaxEventTimestamp: t0,
	}
	if got := job.Metadata(); !reflect.DeepEqual(got, meta) {
		t.Errorf("metadata %+v, want %+v", got, meta)
	}

	// It can be read again, also in batches.
	n := 0
	for rb, err := range job.Records(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		n += int(rb.NumRows())
		break // leaving early gives everything back
	}
	if n != 2 || len(h.joins) != 2 {
		t.Errorf("%d rows, %d joins", n, len(h.joins))
	}
}

func TestHistoricalService(t *testing.T) {
	fs, h := training(t)
	rows := feast.Rows{
		{"origin_id": 1, "destination_id": 2, "event_timestamp": t0, "weight": nil},
		{"origin_id": 3, "destination_id": nil, "event_timestamp": nil, "weight": 0.5},
	}
	job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{FeatureService: "twice", FullFeatureNames: true, Entities: rows})
	if err != nil {
		t.Fatal(err)
	}
	rb, err := job.RecordBatch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := `destination_id int64 [2 (null)]
event_timestamp timestamp[us, tz=UTC] [1714564800000000 (null)]
origin_id int64 [1 3]
weight null [(null) (null)]
origin__rate int64 [(null) (null)]
origin__trips int64 [(null) (null)]
destination__trips int64 [(null) (null)]
`
	want = strings.Replace(want, "weight null [(null) (null)]", "weight float64 [(null) 0.5]", 1)
	if got := columnsOf(rb); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if v := h.joins[0].Views; v[0].Name != "origin" || v[0].Keys[0] != (offline.JoinKey{Source: "drv", Entity: "origin_id"}) ||
		v[1].Name != "destination" || v[1].Keys[0] != (offline.JoinKey{Source: "drv", Entity: "destination_id"}) {
		t.Errorf("views %+v", v)
	}
	if got := job.Metadata().Features; !reflect.DeepEqual(got, []string{"origin:rate", "origin:trips", "destination:trips"}) {
		t.Errorf("features %v", got)
	}
}

// A view whose source is a stream reads its history from the batch source.
func TestHistoricalPushSource(t *testing.T) {
	fs, h := training(t)
	job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"pushed_stats:rides"}, Entities: feast.ArrowFrame(labels(t))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := job.RecordBatch(ctx); err != nil {
		t.Fatal(err)
	}
	if s := h.joins[0].Views[0].Source; s.Name != "pushed" || s.Path != "data/pushed.parquet" {
		t.Errorf("source %+v", s)
	}
}

func TestHistoricalTimes(t *testing.T) {
	fs, h := training(t)
	nanos := t0.Add(time.Nanosecond)
	for _, c := range []struct {
		name     string
		entities feast.EntitySource
		event    string
		want     string
	}{
		{
			"text", feast.Columns{"driver_id": []int64{1, 2, 3, 4}, "event_timestamp": []any{"2024-05-01T12:00:00Z", "2024-05-01 14:00:00.000001+02:00", "2024-05-01", nil}},
			"event_timestamp", "timestamp[us, tz=UTC] [1714564800000000 1714564800000001 1714521600000000 (null)]",
		},
		{
			"inferred", feast.ArrowFrame(recordOf(t, "driver_id", arrowInt64, `[1]`, "seen", &arrow.TimestampType{Unit: arrow.Second}, `[1714564800]`, "text", arrowString, `["x"]`)),
			"seen", "timestamp[s] [1714564800]",
		},
		{
			"named before others", feast.Columns{"driver_id": []int64{1}, "event_timestamp": []time.Time{t0}, "label_time": []time.Time{t0}},
			"event_timestamp", "timestamp[us, tz=UTC] [1714564800000000]",
		},
		{
			"nanoseconds are kept", feast.Columns{"driver_id": []int64{1}, "at": []time.Time{nanos}},
			"at", "timestamp[ns, tz=UTC] [1714564800000000001]",
		},
		{
			"dates", feast.ArrowFrame(recordOf(t, "driver_id", arrowInt64, `[1, 2]`, "event_timestamp", arrow.FixedWidthTypes.Date32, `["2024-05-01", null]`)),
			"event_timestamp", "timestamp[us, tz=UTC] [1714521600000000 (null)]",
		},
		{
			"structs", feast.Structs([]struct {
				ID int64     `feast:"driver_id"`
				At time.Time `feast:"event_timestamp"`
			}{{1, t0.In(time.FixedZone("", 3600))}}),
			"event_timestamp", "timestamp[us, tz=UTC] [1714564800000000]",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats:trips"}, Entities: c.entities})
			if err != nil {
				t.Fatal(err)
			}
			rb, err := job.RecordBatch(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if got := h.rows[len(h.rows)-1].Event; got != c.event {
				t.Errorf("the times are taken from %s, want %s", got, c.event)
			}
			if got := columnsOf(rb); !strings.Contains(got, c.event+" "+c.want+"\n") {
				t.Errorf("got\n%swant %s", got, c.want)
			}
		})
	}
}

func TestHistoricalErrors(t *testing.T) {
	fs, _ := training(t)
	one := feast.Columns{"driver_id": []int64{1}, "event_timestamp": []time.Time{t0}}
	trips := []string{"stats:trips"}
	for _, c := range []struct {
		says string
		kind error
		req  feast.HistoricalRequest
	}{
		{"exclude each other", feast.ErrInvalid, feast.HistoricalRequest{Features: trips, Entities: one, Start: t0}},
		{"exclude each other", feast.ErrInvalid, feast.HistoricalRequest{Features: trips, Entities: one, End: t0}},
		{"set Entities", feast.ErrInvalid, feast.HistoricalRequest{Features: trips, FilterByCreatedTimestamp: true}},
		{"is after End", feast.ErrInvalid, feast.HistoricalRequest{Features: trips, Start: t0, End: t0.Add(-1)}},
		{"no features asked for", feast.ErrInvalid, feast.HistoricalRequest{Entities: one}},
		{`feature view "stat" does not exist`, feast.ErrNotFound, feast.HistoricalRequest{Features: []string{"stat:trips"}, Entities: one}},
		{`feature "nope" does not exist in feature view "stats"`, feast.ErrNotFound, feast.HistoricalRequest{Features: []string{"stats:nope", "pair:rides"}, Entities: one}},
		{`feature service "nope" does not exist`, feast.ErrNotFound, feast.HistoricalRequest{FeatureService: "nope", Entities: one}},
		{"several columns named trips", feast.ErrInvalid, feast.HistoricalRequest{Features: []string{"stats:trips", "stats:trips"}, Entities: one}},
		{"several columns named rides", feast.ErrInvalid, feast.HistoricalRequest{Features: []string{"pair:rides", "pushed_stats:rides"}, Entities: one}},
		{"no batch source", feast.ErrUnsupported, feast.HistoricalRequest{Features: []string{"sourceless:x"}, Entities: one}},
		{`needs join key customer_id, and the entity rows have no such column (given are driver_id, event_timestamp)`, feast.ErrInvalid, feast.HistoricalRequest{Features: []string{"pair:rides"}, Entities: one}},
		{`column "trips": the entity rows and the features both have a column of this name: ask for full feature names`, feast.ErrInvalid, feast.HistoricalRequest{
			Features: trips, Entities: feast.Columns{"driver_id": []int64{1}, "event_timestamp": []time.Time{t0}, "trips": []int64{1}},
		}},
		{"no timestamp column", feast.ErrInvalid, feast.HistoricalRequest{Features: trips, Entities: feast.Columns{"driver_id": []int64{1}, "when": []string{"2024-05-01"}}}},
		{"several timestamp columns", feast.ErrInvalid, feast.HistoricalRequest{Features: trips, Entities: feast.Columns{"driver_id": []int64{1}, "a": []time.Time{t0}, "b": []time.Time{t0}}}},
		{`column "event_timestamp" is int64`, feast.ErrInvalid, feast.HistoricalRequest{Features: trips, Entities: feast.Columns{"driver_id": []int64{1}, "event_timestamp": []int64{1}}}},
		{"must have the same length", feast.ErrInvalid, feast.HistoricalRequest{Features: trips, Entities: feast.Columns{"driver_id": []int64{1, 2}, "event_timestamp": []time.Time{t0}}}},
		{`offline store "history" takes no entity rows as SQL`, feast.ErrUnsupported, feast.HistoricalRequest{Features: trips, Entities: feast.SQL("SELECT 1")}},
		{"of an empty query", feast.ErrInvalid, feast.HistoricalRequest{Features: trips, Entities: feast.SQL("")}},
		{"of a nil reader", feast.ErrInvalid, feast.HistoricalRequest{Features: trips, Entities: feast.ArrowReader(nil)}},
		{"stats has driver_id while pair has driver_id, customer_id: give entity rows", feast.ErrInvalid, feast.HistoricalRequest{Features: []string{"stats:trips", "pair:rides"}}},
		{"labels.parquet", feast.ErrNotFound, feast.HistoricalRequest{Features: trips, Entities: feast.ParquetFile("no/labels.parquet")}},
	} {
		_, err := fs.GetHistoricalFeatures(ctx, c.req)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want an error with %q", err, c.says)
		}
	}
}

func TestHistoricalBadTimes(t *testing.T) {
	fs, _ := training(t)
	schema := arrow.NewSchema([]arrow.Field{{Name: "driver_id", Type: arrowInt64}, {Name: "event_timestamp", Type: arrowString}}, nil)
	var batches []arrow.RecordBatch
	for _, at := range []string{`["2024-05-01", "2024-05-02"]`, `["2024-05-03", "yesterday"]`} {
		b := recordOf(t, "driver_id", arrowInt64, `[1, 2]`, "event_timestamp", arrowString, at)
		batches = append(batches, array.NewRecordBatch(schema, b.Columns(), 2))
	}
	r, err := array.NewRecordReader(schema, batches)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats:trips"}, Entities: feast.ArrowReader(r)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = job.RecordBatch(ctx)
	var at *feast.RequestError
	if !errors.As(err, &at) || at.Column != "event_timestamp" || at.Row != 3 || !strings.Contains(err.Error(), `"yesterday" is no ISO 8601 time`) {
		t.Errorf("%v", err)
	}
	if _, err := job.RecordBatch(ctx); !errors.Is(err, feast.ErrInvalid) || !strings.Contains(err.Error(), "can be read once") {
		t.Errorf("reading an Arrow reader again: %v", err)
	}
}

func TestHistoricalFailures(t *testing.T) {
	fs, h := training(t)
	job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats:trips"}, Entities: feast.ArrowFrame(labels(t))})
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(ctx)
	end()
	if _, err := job.RecordBatch(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context has ended: %v", err)
	}
	h.err = errors.New("out of order")
	var failed *feast.StoreError
	if _, err := job.RecordBatch(ctx); !errors.As(err, &failed) || failed.Store != "history" || !errors.Is(err, h.err) {
		t.Errorf("a store that fails: %v", err)
	}
	for _, err := range job.Records(ctx) {
		if !errors.Is(err, h.err) {
			t.Errorf("a store that fails: %v", err)
		}
	}
	for _, features := range [][]string{{"stats:trips"}, {"stats:trips", "pushed_stats:rides"}} { // the view is named that was read
		job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: features})
		if err != nil {
			t.Fatal(err)
		}
		_, err = job.RecordBatch(ctx)
		if want := `view "stats": history: read: out of order`; !errors.Is(err, h.err) || err.Error() != want {
			t.Errorf("%q without entity rows: %v, want %s", features, err, want)
		}
		if _, err := job.RecordBatch(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("after the context has ended: %v", err)
		}
	}
	dir := t.TempDir()
	if err := job.WriteParquet(ctx, filepath.Join(dir, "out.parquet")); !errors.Is(err, h.err) {
		t.Errorf("writing Parquet of a store that fails: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if err := fs.Close(); err != nil || !h.closed {
		t.Errorf("Close: %v, closed %t", err, h.closed)
	}
	if _, err := job.RecordBatch(ctx); !errors.Is(err, feast.ErrClosed) {
		t.Errorf("reading after Close: %v", err)
	}
}

// A path that cannot be written to is found out before the offline store is asked for anything.
func TestWriteParquetPaths(t *testing.T) {
	fs, h := training(t)
	job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats:trips"}, Entities: feast.ArrowFrame(labels(t))})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(dir, strings.Repeat("x", 300))
	for _, c := range []struct {
		path string
		is   error
		says string
	}{
		{"", feast.ErrInvalid, `path "" names no file to write`},
		{dir + "/", feast.ErrInvalid, `path "` + dir + `/" names no file to write`},
		{dir, feast.ErrInvalid, dir + " is a directory: name a file in it to write to"},
		{dir + "/no/out.parquet", feast.ErrNotFound, `file: write ` + dir + `/no/out.parquet: directory "` + dir + `/no" does not exist`},
		{dir + "/file/out.parquet", feast.ErrInvalid, dir + "/file is no directory, in which out.parquet could be written"},
		{long, syscall.ENAMETOOLONG, "file: write " + long + ": "},
	} {
		err := job.WriteParquet(ctx, c.path)
		if !errors.Is(err, c.is) || !strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s", c.path, err, c.says)
		}
	}
	if len(h.joins) > 0 {
		t.Errorf("the offline store was asked for %d joins", len(h.joins))
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v", left, err)
	}
	if err := job.WriteParquet(ctx, filepath.Join(dir, "file")); err != nil || len(h.joins) != 1 {
		t.Errorf("%v, %d joins", err, len(h.joins))
	}
}

func TestHistoricalSQL(t *testing.T) {
	fs, h := training(t)
	h.info.EntitySQL = true
	job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats:trips"}, Entities: feast.SQL("SELECT * FROM labels")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := job.RecordBatch(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := h.rows[0], (offline.EntityRows{SQL: "SELECT * FROM labels", Event: "event_timestamp"}); got != want {
		t.Errorf("entity rows %+v", got)
	}
}

// Without entity rows one view's rows come as they are (line 8 of docs/compatibility.md).
func TestHistoricalOneView(t *testing.T) {
	fs, h := training(t)
	h.tables = map[string]arrow.RecordBatch{"stats_source": recordOf(t, "raw_rate", arrow.PrimitiveTypes.Float32, `[0.5, 1, 2, 3]`, "trips", arrowInt64, `[1, 2, 3, null]`,
		"created", arrowUTC, `[7, 8, 9, null]`, "drv", arrowInt64, `[1, 1, 2, null]`,
		"ts", arrowUTC, `[1714561200000000, 1714564800000000, 1714561199999999, 1714564800000000]`)}
	job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats:trips", "stats:rate"}, FullFeatureNames: true})
	if err != nil {
		t.Fatal(err)
	}
	rb, err := job.RecordBatch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := `event_timestamp timestamp[us, tz=UTC] [1714561200000000 1714564800000000 1714564800000000]
created_timestamp timestamp[us, tz=UTC] [7 8 (null)]
driver_id int64 [1 1 (null)]
stats__trips int64 [1 2 (null)]
stats__rate float32 [0.5 1 3]
`
	if got := columnsOf(rb); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	// The clock's now, and the ttl of an hour before it.
	meta := feast.RetrievalMetadata{Features: []string{"stats:trips", "stats:rate"}, MinEventTimestamp: t0.Add(-time.Hour), MaxEventTimestamp: t0}
	if got := job.Metadata(); !reflect.DeepEqual(got, meta) {
		t.Errorf("metadata %+v", got)
	}
	job, err = fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"global:fee"}, End: t0})
	if err != nil {
		t.Fatal(err)
	}
	if got := job.Metadata().MinEventTimestamp; !got.Equal(t0.AddDate(0, 0, -30)) {
		t.Errorf("without a ttl the data begin at %v", got)
	}
}

// Several views are joined at every time and key that one of them has.
func TestHistoricalSeveralViews(t *testing.T) {
	fs, h := training(t)
	h.tables = map[string]arrow.RecordBatch{
		"stats_source": recordOf(t, "drv", arrow.PrimitiveTypes.Int32, `[2, -1, 2, null]`, "ts", arrowUTC, `[1714564800000000, 1714564800000000, 1714561200000000, 1714564800000000]`),
		"pushed":       recordOf(t, "driver_id", arrowInt64, `[2, 300]`, "ts", arrowUTC, `[1714564800000000, 1714561300000000]`),
	}
	job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats:trips", "pushed_stats:rides"}, Start: t0.Add(-time.Hour), End: t0})
	if err != nil {
		t.Fatal(err)
	}
	rb, err := job.RecordBatch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := `event_timestamp timestamp[us, tz=UTC] [1714561200000000 1714561300000000 1714564800000000 1714564800000000 1714564800000000]
driver_id int64 [2 300 (null) -1 2]
trips int64 [(null) (null) (null) (null) (null)]
rides int64 [(null) (null) (null) (null) (null)]
`
	if got := columnsOf(rb); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	h.tables["pushed"] = recordOf(t, "driver_id", arrowString, `["2"]`, "ts", arrowUTC, `[1714564800000000]`)
	if _, err := job.RecordBatch(ctx); !errors.Is(err, feast.ErrInvalid) || !strings.Contains(err.Error(), `is String in feature view "pushed_stats" and Int64 in "stats"`) {
		t.Errorf("keys of two types: %v", err)
	}
}

// The spine sorts keys of every type as values, and gives them back as they were.
func TestSpineKeys(t *testing.T) {
	for _, c := range []struct {
		dt         arrow.DataType
		json, want string
	}{
		{arrowInt64, `[5, -9223372036854775808, 9223372036854775807, -1, 5]`, "int64 [-9223372036854775808 -1 5 9223372036854775807]"},
		{arrowString, `["b", "", "a\u0000", "a", "a\u0000b", "é"]`, `utf8 ["" "a" "a\x00" "a\x00b" "b" "é"]`},
		{arrow.PrimitiveTypes.Float64, `[1.5, -0.5, -2, 0, 1e300]`, "float64 [-2 -0.5 0 1.5 1e+300]"},
		{arrow.BinaryTypes.Binary, `["/wA=", "/w==", ""]`, `binary ["" "\xff" "\xff\x00"]`},
		{&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, `[1, -1]`, "timestamp[us, tz=UTC] [-1 1]"},
		{arrow.FixedWidthTypes.Date32, `["1970-01-02"]`, "timestamp[us, tz=UTC] [86400000000]"},
		{arrow.FixedWidthTypes.Boolean, `[true, false, null]`, "int64 [(null) 0 1]"},
	} {
		fs, h := training(t)
		keys := recordOf(t, "k", c.dt, c.json).Column(0)
		times := make([]string, keys.Len())
		for i := range times {
			times[i] = "1714564800000000"
		}
		ts, _, err := array.FromJSON(memory.DefaultAllocator, arrowUTC, strings.NewReader("["+strings.Join(times, ",")+"]"))
		if err != nil {
			t.Fatal(err)
		}
		table := func(key string) arrow.RecordBatch {
			return array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: key, Type: c.dt, Nullable: true}, {Name: "ts", Type: arrowUTC}}, nil), []arrow.Array{keys, ts}, int64(keys.Len()))
		}
		h.tables = map[string]arrow.RecordBatch{"stats_source": table("drv"), "pushed": table("driver_id")}
		job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats:trips", "pushed_stats:rides"}})
		if err != nil {
			t.Fatal(err)
		}
		rb, err := job.RecordBatch(ctx)
		if err != nil {
			t.Errorf("%s: %v", c.dt, err)
			continue
		}
		if got := fmt.Sprintf("%s %v", rb.Column(1).DataType(), rb.Column(1)); got != c.want {
			t.Errorf("%s: %s, want %s", c.dt, got, c.want)
		}
	}
}

func memoryRegistry(t *testing.T) registry.Backend {
	b := registrymemory.New()
	stats := driverView("stats", 0, feast.Field{Name: "trips", Type: feast.Int64})
	stats.Source = parquetSource("stats_source")
	put(t, b, driver, stats)
	return b
}

// A program that only serves links no offline store, and has no use for one.
func TestOfflineRoom(t *testing.T) {
	yaml := filepath.Join(t.TempDir(), "feature_store.yaml")
	if err := os.WriteFile(yaml, []byte("project: demo\nregistry: r.db\nprovider: local\noffline_store: {type: duckdb}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(opts ...feast.Option) (*feast.FeatureStore, error) {
		return feast.Open(ctx, yaml, append(opts, feast.WithRegistry(memoryRegistry(t)), feast.WithOnlineStore(onlinememory.New()))...)
	}
	fs, err := open(feast.Eager())
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	if err := fs.Check(ctx); err != nil {
		t.Errorf("Check: %v", err)
	}
	if err := fs.Warm(ctx); err != nil {
		t.Errorf("Warm: %v", err)
	}
	var missing *feast.NotLinkedError
	_, err = fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats:trips"}, Entities: feast.ArrowFrame(labels(t))})
	if !errors.As(err, &missing) || missing.Type != "duckdb" || missing.Room != "offline store" {
		t.Errorf("an unlinked offline store: %v", err)
	}
	if _, err := open(feast.Eager(feast.RoomOffline)); !errors.As(err, &missing) {
		t.Errorf("asked for eagerly: %v", err)
	}
	h := &history{}
	if _, err := open(feast.WithOfflineStore(h), feast.Eager("attic")); err == nil || !h.closed {
		t.Errorf("an offline store given is not closed when opening fails: %v", err)
	}
}

// Every entity row once, in order, whatever the memory it is in: a record batch of the caller's is read, also several times and
// at once, and given back as it was.
func TestHistoricalMemory(t *testing.T) {
	fs, _ := training(t)
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	b := array.NewRecordBuilder(mem, arrow.NewSchema([]arrow.Field{{Name: "driver_id", Type: arrowInt64}, {Name: "event_timestamp", Type: arrowUTC}}, nil))
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 2}, nil)
	b.Field(1).(*array.TimestampBuilder).AppendValues([]arrow.Timestamp{5, 6}, nil)
	rb := b.NewRecordBatch()
	b.Release()
	job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats:trips"}, Entities: feast.ArrowFrame(rb)})
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			out, err := job.RecordBatch(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			defer out.Release()
			if got := fmt.Sprint(out.Column(0), out.Column(1)); got != "[1 2] [5 6]" {
				t.Errorf("%s", got)
			}
		})
	}
	readers.Wait()
	rb.Release()
	mem.AssertSize(t, 0)
}

// A reference to a version of a view reads what that version says.
func TestHistoricalVersion(t *testing.T) {
	h := &history{info: offline.Info{Name: "history"}}
	cfg := config.Default(project)
	cfg.Registry.OnlineVersioning = true
	fs, err := feast.New(ctx, cfg, feast.WithRegistry(registrymemory.New()), feast.WithOnlineStore(onlinememory.New()), feast.WithOfflineStore(h))
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	for _, feature := range []string{"old", "new"} {
		stats := driverView("stats", 0, feast.Field{Name: feature, Type: feast.Int64})
		stats.Source = parquetSource(feature + "_source")
		if _, err := fs.Apply(ctx, driver, stats.Source, stats); err != nil {
			t.Fatal(err)
		}
	}
	rows := feast.Columns{"driver_id": []int64{1}, "event_timestamp": []time.Time{t0}}
	job, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats@v0:old", "stats:new"}, FullFeatureNames: true, Entities: rows})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := job.RecordBatch(ctx); err != nil {
		t.Fatal(err)
	}
	v := h.joins[0].Views
	if v[0].Source.Name != "old_source" || v[0].Features[0].Name != "stats@v0__old" || v[1].Source.Name != "new_source" || v[1].Features[0].Name != "stats__new" {
		t.Errorf("views %+v", v)
	}
	if _, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats@v0:new"}, Entities: rows}); !errors.Is(err, feast.ErrNotFound) {
		t.Errorf("a feature of a later version: %v", err)
	}
}
