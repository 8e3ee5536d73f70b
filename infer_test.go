package feast_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/online/memory"
	registrymemory "github.com/feastgo/feast/registry/memory"
)

func newInferring(t *testing.T, cfg *config.RepoConfig, opts ...feast.Option) *feast.FeatureStore {
	t.Helper()
	fs, err := feast.New(t.Context(), cfg, append([]feast.Option{
		feast.WithRegistry(registrymemory.New()), feast.WithOnlineStore(memory.New()),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return fs
}

func inferSource(name string) *feast.DataSource {
	return &feast.DataSource{Name: name, TimestampField: "event_timestamp", Options: feast.FileOptions{Path: name + ".parquet"}}
}

// appliedView applies a view and reads it back.
func appliedView(t *testing.T, fs *feast.FeatureStore, objects ...feast.Object) *feast.FeatureView {
	t.Helper()
	mustApply(t, fs, objects...)
	snap, err := fs.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := snap.FeatureView(objects[len(objects)-1].(*feast.FeatureView).Name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func fieldTexts(fields []feast.Field) []string {
	var texts []string
	for _, f := range fields {
		texts = append(texts, f.Name+" "+f.Type.EnumName())
	}
	return texts
}

// The inferred views of the golden registry (golden/registry/file/registry.json), from files with the columns that its README
// names.
func TestApplyInfersGolden(t *testing.T) {
	fs := newInferring(t, config.Default(project), feast.WithOfflineStore(file.New("testdata/infer")))
	untyped := &feast.Entity{Name: "untyped", JoinKey: "untyped_id"}
	stats := inferSource("driver_stats")
	stats.CreatedTimestampColumn = "created"
	v := appliedView(t, fs, driver, &feast.FeatureView{Name: "inferred", Entities: []string{"driver"}, Source: stats})
	want := []string{
		"conv_rate FLOAT", "acc_rate DOUBLE", "avg_daily_trips INT32", "name STRING", "active BOOL", "last_seen_ns INT64",
		"tags_list STRING_LIST", "scores DOUBLE_LIST", "blob BYTES",
	}
	if got := fieldTexts(v.Schema); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := fieldTexts(v.EntityColumns); !slices.Equal(got, []string{"driver_id INT64"}) {
		t.Errorf("keys %q", got)
	}

	one := inferSource("one_ts")
	one.TimestampField = ""
	definition := &feast.FeatureView{Name: "inferred_ts", Entities: []string{"driver", "untyped"}, Source: one}
	v = appliedView(t, fs, untyped, definition)
	want = []string{
		"conv_rate FLOAT", "acc_rate DOUBLE", "avg_daily_trips INT32", "name STRING", "active BOOL", "last_seen_ns INT64",
		"scores DOUBLE_LIST", "blob BYTES", "u8 INT32", "i16 INT32", "bools BOOL_LIST", "ints INT64_LIST",
	}
	if got := fieldTexts(v.Schema); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := fieldTexts(v.EntityColumns); !slices.Equal(got, []string{"driver_id INT64", "untyped_id STRING"}) {
		t.Errorf("keys %q", got)
	}
	if v.Source.TimestampField != "event_timestamp" {
		t.Errorf("the timestamp field is %q", v.Source.TimestampField)
	}
	if d, err := fs.Plan(t.Context(), untyped, definition); err != nil || d.String() != "0 to create, 0 to update, 0 to delete, 3 unchanged\n" {
		t.Errorf("a second apply changes %v, %v", d, err)
	}
}

// Feast and Go infer the same from a column, where Feast infers anything (feast.json: what it does with the same files). More
// is inferred here, see docs/compatibility.md, and one type is another: lists of large texts, where Feast takes them for JSON.
func TestApplyInfersAsFeast(t *testing.T) {
	data, err := os.ReadFile("testdata/infer/feast.json")
	if err != nil {
		t.Fatal(err)
	}
	var files map[string][]struct{ Name, Arrow, Type string }
	if err := json.Unmarshal(data, &files); err != nil {
		t.Fatal(err)
	}
	if len(files) != 6 {
		t.Fatalf("%d files", len(files))
	}
	more := map[string]string{
		"lb": "BYTES", "l_s": "STRING_LIST", "l_ls": "STRING_LIST", "l_b": "BYTES_LIST", "l_ts": "UNIX_TIMESTAMP_LIST", "l_l": "VALUE_LIST",
		"fixed": "FLOAT_LIST", "large": "INT64_LIST", "l_struct": "STRUCT_LIST", "dict": "STRING", "tags_list": "STRING_LIST",
	}
	fs := newInferring(t, config.Default(project), feast.WithOfflineStore(file.New("testdata/infer")))
	for path, columns := range files {
		name := path[:len(path)-len(filepath.Ext(path))]
		source := inferSource(name)
		if slices.ContainsFunc(columns, func(c struct{ Name, Arrow, Type string }) bool { return c.Name == "nul" }) {
			// Feast infers NULL, and cannot read a view with such a feature again.
			text := fmt.Sprintf("feature view %q: column \"nul\" of data source %q has type null, from which nothing is inferred: set Schema", name, name)
			if _, err := fs.Apply(t.Context(), &feast.FeatureView{Name: name, Source: source}); err == nil || err.Error() != text {
				t.Errorf("a column of nulls: %v, want %s", err, text)
			}
			source.CreatedTimestampColumn = "nul" // which is no feature
		}
		v := appliedView(t, fs, &feast.FeatureView{Name: name, Source: source})
		var want []string
		for _, c := range columns {
			switch {
			case c.Name == "event_timestamp" || c.Name == "__hidden" || c.Name == "nul":
				continue
			case c.Type == "" || c.Arrow == "list<item: large_string>":
				c.Type = more[c.Name]
			}
			want = append(want, c.Name+" "+c.Type)
		}
		if got := fieldTexts(v.Schema); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", path, got, want)
		}
	}
}

// A source with large text, which is described as such, takes rows as others do.
func TestAppendLargeText(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile("testdata/infer/large_text.parquet")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "large_text.parquet"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	fs := newInferring(t, config.Default(project), feast.WithOfflineStore(file.New(dir)))
	v := appliedView(t, fs, &feast.FeatureView{Name: "v", Source: inferSource("large_text")})
	if got := fieldTexts(v.Schema); !slices.Equal(got, []string{"ls JSON"}) {
		t.Fatalf("%q", got)
	}
	for i, text := range []any{[]any{`{"a":1}`}, []string{`"b"`}} {
		frame := feast.Columns{"ls": text, "event_timestamp": []time.Time{t0.Add(time.Duration(i+1) * time.Hour)}}
		if n, err := fs.WriteToOfflineStore(t.Context(), "v", frame); err != nil || n != 1 {
			t.Fatalf("%d rows: %v", n, err)
		}
	}
	job, err := fs.GetHistoricalFeatures(t.Context(), feast.HistoricalRequest{
		Features: []string{"v:ls"}, Entities: feast.Columns{"event_timestamp": []time.Time{t0.Add(time.Hour), t0.Add(2 * time.Hour)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	rb, err := job.RecordBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rb.Release()
	if got := rb.Column(int(rb.NumCols()) - 1).String(); got != `["{\"a\":1}" "\"b\""]` {
		t.Error(got)
	}
}

func TestApplyInferErrors(t *testing.T) {
	noTime := inferSource("driver_stats")
	noTime.TimestampField = ""
	gone := inferSource("gone")
	view := func(entity string, s *feast.DataSource, schema ...feast.Field) *feast.FeatureView {
		return &feast.FeatureView{Name: "v", Entities: []string{entity}, Source: s, Schema: schema}
	}
	a := feast.Field{Name: "a", Type: feast.Int64}
	date := inferSource("date")
	dir := t.TempDir()
	rows := arrow.NewSchema([]arrow.Field{
		{Name: "event_timestamp", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true},
		{Name: "day", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
	}, nil)
	reader, err := array.NewRecordReader(rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Release()
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := codec.Create(t.Context(), filepath.Join(dir, "date.parquet"), reader); err != nil {
		t.Fatal(err)
	}
	missing := `file: describe: Parquet file "` + filepath.Join(dir, "gone.parquet") + `" does not exist`
	const unlinked = `this version has no driver for offline store type "duckdb"; linked in: file`
	data, err := os.ReadFile("testdata/infer/driver_stats.parquet")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "driver_stats.parquet"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	other := config.NewSection("duckdb", nil)
	for name, tc := range map[string]struct {
		store config.Section // instead of the files
		view  *feast.FeatureView
		want  string
	}{
		"two timestamps": {
			view: view("driver", noTime, a),
			want: `data source "driver_stats": has no TimestampField, and 2 of its columns are timestamps (event_timestamp, created): set it`,
		},
		"a type of no feature": {
			view: view("driver", date),
			want: `feature view "v": column "day" of data source "date" has type date32[day], from which nothing is inferred: set Schema`,
		},
		"no file, no schema": {
			view: view("driver", gone),
			want: `feature view "v": has no features: set Schema, for the columns of data source "gone" are not known: ` + missing,
		},
		"no file, no type of a key": {
			view: view("untyped", gone, a),
			want: `feature view "v": has a join key without a type: set ValueType of its entity, for the columns of data source "gone" are not known: ` + missing,
		},
		"not linked, no time": {
			store: other, view: view("driver", noTime, a),
			want: `data source "driver_stats": has no TimestampField, the column of event times: set it, for its columns are not known: ` + unlinked,
		},
		"not linked, no schema": {
			store: other, view: view("driver", gone),
			want: `feature view "v": has no features: set Schema, for the columns of data source "gone" are not known: ` + unlinked,
		},
		"not linked, all declared": {store: other, view: view("driver", gone, a)},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, opts := config.Default(project), []feast.Option{feast.WithOfflineStore(file.New(dir))}
			if !tc.store.IsNull() {
				cfg.OfflineStore, opts = tc.store, nil
			}
			fs := newInferring(t, cfg, opts...)
			_, err := fs.Apply(t.Context(), driver, &feast.Entity{Name: "untyped", JoinKey: "untyped_id"}, tc.view)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, feast.ErrInvalid) || err.Error() != tc.want {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
			var unlinked *feast.NotLinkedError
			if errors.As(err, &unlinked) == tc.store.IsNull() {
				t.Errorf("%T", err)
			}
		})
	}
}
