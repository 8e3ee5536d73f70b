package registry_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// columns are those of the tables from which Feast inferred views of the golden registry.
var columns = map[string][]registry.Column{
	"data/driver_stats.parquet": {
		{Name: "event_timestamp", Type: "timestamp[us, tz=UTC]"}, {Name: "driver_id", Type: "int64"},
		{Name: "conv_rate", Type: "float"}, {Name: "acc_rate", Type: "double"}, {Name: "avg_daily_trips", Type: "int32"},
		{Name: "name", Type: "string"}, {Name: "active", Type: "bool"}, {Name: "last_seen_ns", Type: "int64"},
		{Name: "tags_list", Type: "list<item: string>"}, {Name: "scores", Type: "list<item: double>"},
		{Name: "__hidden", Type: "int64"}, {Name: "blob", Type: "binary"}, {Name: "created", Type: "timestamp[us, tz=UTC]"},
	},
	"data/one_ts.parquet": {
		{Name: "event_timestamp", Type: "timestamp[ns]"}, {Name: "driver_id", Type: "int64"},
		{Name: "conv_rate", Type: "float"}, {Name: "acc_rate", Type: "double"}, {Name: "avg_daily_trips", Type: "int32"},
		{Name: "name", Type: "string"}, {Name: "active", Type: "bool"}, {Name: "last_seen_ns", Type: "int64"},
		{Name: "scores", Type: "list<item: double>"}, {Name: "__hidden", Type: "int64"}, {Name: "blob", Type: "binary"},
		{Name: "untyped_id", Type: "string"}, {Name: "u8", Type: "uint8"}, {Name: "i16", Type: "int16"},
		{Name: "bools", Type: "list<item: bool>"}, {Name: "ints", Type: "list<item: int64>"},
	},
}

func describe(_ context.Context, s *registry.DataSource) ([]registry.Column, error) {
	o, ok := s.Options.(registry.FileOptions)
	if list := columns[o.Path]; ok && list != nil {
		return list, nil
	}
	return nil, feasterr.Unavailable("%s cannot be read", s.Name)
}

func TestInferGolden(t *testing.T) {
	data, err := os.ReadFile("testdata/registry/file/registry.db")
	if err != nil {
		t.Fatal(err)
	}
	state, err := registry.ParseState(data)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*registry.FeatureView{}
	for _, r := range state.Records {
		if r.Kind != registry.KindFeatureView {
			continue
		}
		o, err := registry.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		want[r.Name] = o.(*registry.FeatureView)
	}
	w, b := newWriter("golden")
	w.Describe = describe
	mustApply(t, w, objects(
		&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64},
		&registry.Entity{Name: "untyped_id"},
		&registry.FeatureView{
			Name: "inferred", Entities: []string{"driver"},
			Source: &registry.DataSource{
				Name: "driver_infer", TimestampField: "event_timestamp", CreatedTimestampColumn: "created",
				Options: registry.FileOptions{Path: "data/driver_stats.parquet"},
			},
		},
		&registry.FeatureView{
			Name: "inferred_ts", Entities: []string{"driver", "untyped_id"},
			Source: &registry.DataSource{Name: "driver_infer_ts", Options: registry.FileOptions{Path: "data/one_ts.parquet"}},
		},
	))
	s := snapshot(t, b, "golden")
	for _, name := range []string{"inferred", "inferred_ts"} {
		v, err := s.FeatureView(name)
		if err != nil {
			t.Fatal(err)
		}
		same := func(a, b registry.Field) bool { return a.Name == b.Name && a.Type == b.Type }
		if !slices.EqualFunc(v.Schema, want[name].Schema, same) {
			t.Errorf("%s: %v, want %v", name, v.Schema, want[name].Schema)
		}
		if !slices.EqualFunc(v.EntityColumns, want[name].EntityColumns, same) {
			t.Errorf("%s: %v, want %v", name, v.EntityColumns, want[name].EntityColumns)
		}
		if v.Source.TimestampField != "event_timestamp" {
			t.Errorf("%s: %q", name, v.Source.TimestampField)
		}
	}
	if d, err := s.DataSource("driver_infer_ts"); err != nil || d.TimestampField != "event_timestamp" {
		t.Error(d, err)
	}
}

// Spec, section 8.
func TestInferTypes(t *testing.T) {
	arrow := map[string]types.Type{
		"int8": types.Int32, "uint16": types.Int32, "uint32": types.Int64, "uint64": types.Int64, "float": types.Float32,
		"large_string": types.JSON, "timestamp[ms]": types.UnixTimestamp, "map<string, int64>": types.Map,
		"struct<a: int64>": types.Struct, "list<item: timestamp[us]>": types.UnixTimestampList,
		"fixed_size_list<item: float>[4]": types.Float32List, "list<item: list<item: int64>>": types.ValueList,
		"list<element: double>": types.Float64List,
		"date32[day]":           0, "decimal128(10, 2)": 0, "time64[us]": 0, "halffloat": 0, "null": 0, "list<element: string>": 0,
		"list<item: date32[day]>": 0, "list<item: ": 0, "": 0,
	}
	postgres := map[string]types.Type{
		"boolean": types.Bool, "character varying": types.String, "bigint": types.Int64, "numeric": types.Float64,
		"timestamp with time zone": types.UnixTimestamp, "date": types.UnixTimestamp, "real[]": types.Float32List,
		"bytea[]": types.BytesList, "timestamp without time zone[]": types.UnixTimestampList, "point": 0, "[]": 0,
	}
	for options, table := range map[registry.SourceOptions]map[string]types.Type{
		registry.FileOptions{Path: "f"}:      arrow,
		registry.PostgresOptions{Table: "t"}: postgres,
		registry.TrinoOptions{Table: "t"}:    {"bigint": 0},
	} {
		for native, want := range table {
			w, b := newWriter("p")
			w.Describe = func(context.Context, *registry.DataSource) ([]registry.Column, error) {
				return []registry.Column{{Name: "raw", Type: native}}, nil
			}
			_, err := w.Apply(t.Context(), objects(&registry.FeatureView{Name: "v", Source: &registry.DataSource{
				Name: "s", TimestampField: "ts", Options: options, FieldMapping: map[string]string{"raw": "f"},
			}}))
			if want == types.Invalid {
				if !errors.Is(err, feasterr.ErrInvalid) {
					t.Errorf("%q: %v", native, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%q: %v", native, err)
				continue
			}
			v, err := snapshot(t, b, "p").FeatureView("v")
			if err != nil || len(v.Schema) != 1 || v.Schema[0].Name != "f" || v.Schema[0].Type != want {
				t.Errorf("%q: %v, %v", native, v, err)
			}
		}
	}
}

func TestInferErrors(t *testing.T) {
	file := func(path string) *registry.DataSource {
		return &registry.DataSource{Name: "s", Options: registry.FileOptions{Path: path}}
	}
	view := func(s *registry.DataSource) *registry.FeatureView { return &registry.FeatureView{Name: "v", Source: s} }
	keys := file("data/driver_stats.parquet")
	keys.TimestampField = "event_timestamp"
	columns["keys"] = []registry.Column{{Name: "__a", Type: "int64"}, {Name: "b__", Type: "int64"}}
	none := file("keys")
	none.TimestampField = "event_timestamp"
	for _, tc := range []struct {
		object   registry.Object
		describe registry.Describe
		want     string
	}{
		{view(nil), describe, `feature view "v": has no features, and no data source to infer them from: set Schema`},
		{view(none), describe, `feature view "v": has no features, and none can be inferred from data source "s": set Schema`},
		{view(keys), nil, `feature view "v": has no features, and none can be inferred from data source "s": set Schema`},
		{
			file("data/driver_stats.parquet"), describe,
			`data source "s": has no TimestampField, and 2 of its columns are timestamps (event_timestamp, created): set it`,
		},
		{file("keys"), describe, `data source "s": has no TimestampField, and 0 of its columns are timestamps (): set it`},
		{file("keys"), nil, `data source "s": has no TimestampField, the column of event times`},
		{file("gone"), describe, `data source "s": has no TimestampField, the column of event times: set it, for its columns are not known: s cannot be read`},
	} {
		w, _ := newWriter("p")
		w.Describe = tc.describe
		_, err := w.Apply(t.Context(), objects(tc.object))
		if !errors.Is(err, feasterr.ErrInvalid) || fmt.Sprint(err) != tc.want {
			t.Errorf("%v\nwant %s", err, tc.want)
		}
	}
}

// A source that says little and that several views read is looked at once.
func TestInferLooksOnce(t *testing.T) {
	w, _ := newWriter("p")
	looked := 0
	w.Describe = func(ctx context.Context, s *registry.DataSource) ([]registry.Column, error) {
		looked++
		return describe(ctx, s)
	}
	src := &registry.DataSource{Name: "one", Options: registry.FileOptions{Path: "data/one_ts.parquet"}}
	d := mustApply(t, w, objects(&registry.FeatureView{Name: "a", Source: src}, &registry.FeatureView{Name: "b", Source: src}))
	if counts := count(d); looked != 1 || counts[registry.ActionCreate] != 5 { // project, placeholder, source, views
		t.Errorf("looked %d times:\n%s", looked, d)
	}
}
