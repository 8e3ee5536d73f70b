package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

func file(name string) *registry.DataSource {
	return &registry.DataSource{Name: name, TimestampField: "ts", Options: registry.FileOptions{Path: name + ".parquet"}}
}

func push(name string, batch *registry.DataSource) *registry.DataSource {
	return &registry.DataSource{Name: name, Options: registry.PushOptions{}, BatchSource: batch}
}

func fields(names ...string) []registry.Field {
	list := make([]registry.Field, len(names))
	for i, name := range names {
		list[i] = registry.Field{Name: name, Type: types.Int64}
	}
	return list
}

func view(name string, change func(*registry.FeatureView)) *registry.FeatureView {
	v := &registry.FeatureView{Name: name, Schema: fields("f"), Source: file("s")}
	change(v)
	return v
}

func stream(change func(*registry.StreamFeatureView)) *registry.StreamFeatureView {
	v := &registry.StreamFeatureView{Name: "v", Schema: fields("f"), Source: push("p", file("s"))}
	change(v)
	return v
}

func onDemand(change func(*registry.OnDemandFeatureView)) *registry.OnDemandFeatureView {
	v := &registry.OnDemandFeatureView{Name: "v", Schema: fields("f")}
	change(v)
	return v
}

func source(options registry.SourceOptions) *registry.DataSource {
	return &registry.DataSource{Name: "s", TimestampField: "ts", Options: options}
}

func TestValidation(t *testing.T) {
	driver := &registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}
	type V = registry.FeatureView
	type S = registry.StreamFeatureView
	type D = registry.OnDemandFeatureView
	for _, tc := range []struct {
		want    string
		objects []registry.Object
	}{
		{`object 1 is nil`, []registry.Object{(*registry.Entity)(nil)}},
		{`object 2 is nil`, []registry.Object{driver, nil}},
		{`entity "": has no name`, []registry.Object{&registry.Entity{}}},
		{`entity "driver": is given twice`, []registry.Object{driver, driver}},
		{`feature view "v": is given twice`, []registry.Object{view("v", func(*V) {}), view("v", func(*V) {})}},
		{`entity "x": entity name "__dummy" and join key "__dummy_id" are reserved`, []registry.Object{&registry.Entity{Name: "x", JoinKey: "__dummy_id"}}},
		{`project "other": the project that is applied is "p"`, []registry.Object{&registry.Project{Name: "other"}}},
		{`feature view "V": the name differs from "v", given too`, []registry.Object{view("v", func(*V) {}), view("V", func(*V) {})}},
		{`on-demand feature view "v": the name is given to another view too`, []registry.Object{view("v", func(*V) {}), onDemand(func(*D) {})}},
		{`data source "S": the name differs from "s"`, []registry.Object{file("s"), file("S")}},
		{`feature view "a@b": the name must not contain "@"`, []registry.Object{view("a@b", func(*V) {})}},
		{`feature view "a:b": the name must not contain ":"`, []registry.Object{view("a:b", func(*V) {})}},
		{`feature view "v": version "3" is neither`, []registry.Object{view("v", func(v *V) { v.Version = "3" })}},
		{`feature view "v": version "v99999999999" is neither`, []registry.Object{view("v", func(v *V) { v.Version = "v99999999999" })}},
		{`feature view "v": a feature has no name`, []registry.Object{view("v", func(v *V) { v.Schema = fields("") })}},
		{`feature view "v": feature "f" is there twice`, []registry.Object{view("v", func(v *V) { v.Schema = fields("f", "f") })}},
		{`feature view "v": feature name "__dummy_id" is reserved`, []registry.Object{view("v", func(v *V) { v.Schema = fields("__dummy_id") })}},
		{`feature view "v": feature "f" has no type`, []registry.Object{view("v", func(v *V) { v.Schema[0].Type = 0 })}},
		{`feature view "v": feature "f": vector length -1 is negative`, []registry.Object{view("v", func(v *V) { v.Schema[0].VectorLength = -1 })}},
		{`feature view "v": 2 features have a vector index`, []registry.Object{view("v", func(v *V) {
			v.Schema = fields("f", "g")
			v.Schema[0].VectorIndex, v.Schema[1].VectorIndex = true, true
		})}},
		{`tag "feast:struct_schema" is reserved: set Inner`, []registry.Object{view("v", func(v *V) {
			v.Schema[0].Tags = map[string]string{"feast:struct_schema": "{}"}
		})}},
		{`on-demand feature view "v": tag "feast:track_metrics" is reserved`, []registry.Object{onDemand(func(v *D) {
			v.Tags = map[string]string{"feast:track_metrics": "true"}
		})}},
		{`feature view "v": entity "driver" is there twice`, []registry.Object{driver, view("v", func(v *V) { v.Entities = []string{"driver", "driver"} })}},
		{`feature view "v": entity "drivr" does not exist in project "p"; did you mean "driver"?`, []registry.Object{driver, view("v", func(v *V) { v.Entities = []string{"drivr"} })}},
		{`feature view "v": entities "driver" and "other" have the same join key "driver_id"`, []registry.Object{
			driver, &registry.Entity{Name: "other", JoinKey: "driver_id"}, view("v", func(v *V) { v.Entities = []string{"driver", "other"} }),
		}},
		{`feature view "v": column "driver_id" is String, and entity "driver" says Int64`, []registry.Object{driver, view("v", func(v *V) {
			v.Entities = []string{"driver"}
			v.Schema = append(v.Schema, registry.Field{Name: "driver_id", Type: types.String})
		})}},
		{`feature view "v": column "f" is renamed to "g" by the field mapping of data source "s"`, []registry.Object{view("v", func(v *V) {
			v.Source.FieldMapping = map[string]string{"f": "g"}
		})}},
		{`feature view "v": data source "p" has no BatchSource`, []registry.Object{view("v", func(v *V) { v.Source = push("p", nil) })}},
		{`feature view "v": data source "p": its BatchSource is a stream itself`, []registry.Object{view("v", func(v *V) { v.Source = push("p", push("q", file("s"))) })}},
		{`feature view "v": its data source has no name`, []registry.Object{view("v", func(v *V) { v.Source = source(registry.MsSQLOptions{}); v.Source.Name = "" })}},
		{`feature view "w": data source "s" is given twice, with different values of path`, []registry.Object{
			view("v", func(*V) {}), view("w", func(v *V) { v.Source.Options = registry.FileOptions{Path: "other"} }),
		}},
		{`feature view "v": it is computed from other views, so Source`, []registry.Object{view("v", func(v *V) { v.Source, v.SourceViews = nil, []V{{Name: "w"}} })}},
		{`feature view "v": a batch feature view cannot read data source "s", a IcebergSource`, []registry.Object{view("v", func(v *V) {
			v.Transformation, v.Source = &registry.Transformation{Name: "f"}, source(registry.IcebergOptions{Table: "t"})
		})}},
		{`stream feature view "v": has no stream source`, []registry.Object{stream(func(v *S) { v.Source = file("s") })}},
		{`stream feature view "v": data source "p" is a Kinesis source`, []registry.Object{stream(func(v *S) {
			v.Source.Options = registry.KinesisOptions{RecordFormat: registry.StreamFormat{Type: "json"}}
		})}},
		{`stream feature view "v": aggregations need TimestampField`, []registry.Object{stream(func(v *S) { v.Aggregations = []registry.Aggregation{{Column: "c"}} })}},
		{`tiles of 5m0s are not smaller than the window of 5m0s of "c"`, []registry.Object{stream(func(v *S) {
			v.Aggregations, v.EnableTiling = []registry.Aggregation{{Column: "c", TimeWindow: 5 * time.Minute}}, true
			v.TimestampField = "ts"
		})}},
		{`the window of 1h0m0s of "c" is not a multiple of the tiles of 7m0s`, []registry.Object{stream(func(v *S) { // departure 30
			v.Aggregations, v.EnableTiling = []registry.Aggregation{{Column: "c", TimeWindow: time.Hour}}, true
			v.TimestampField, v.TilingHopSize = "ts", 7*time.Minute
		})}},
		{`on-demand feature view "v": mode "sql" is none of`, []registry.Object{onDemand(func(v *D) { v.Mode = "sql" })}},
		{`on-demand feature view "v": a singleton transformation works in mode python only`, []registry.Object{onDemand(func(v *D) { v.Singleton = true })}},
		{`on-demand feature view "v": has no features`, []registry.Object{onDemand(func(v *D) { v.Schema = nil })}},
		{`on-demand feature view "v": it has aggregations and a transformation`, []registry.Object{onDemand(func(v *D) {
			v.Aggregations, v.Transformation = []registry.Aggregation{{Column: "c"}}, &registry.Transformation{Name: "f"}
		})}},
		{`on-demand feature view "v": a request source is nil`, []registry.Object{onDemand(func(v *D) { v.RequestSources = []*registry.DataSource{nil} })}},
		{`request source "__input_schema__x": names that begin with`, []registry.Object{onDemand(func(v *D) {
			v.RequestSources = []*registry.DataSource{{Name: "__input_schema__x", Options: registry.RequestOptions{}}}
		})}},
		{`request source "s" is a FileSource`, []registry.Object{onDemand(func(v *D) { v.RequestSources = []*registry.DataSource{file("s")} })}},
		{`feature view 1 of its sources has no name`, []registry.Object{onDemand(func(v *D) { v.Sources = make([]registry.FeatureViewProjection, 1) })}},
		{`on-demand feature view "v": feature view "w" does not exist`, []registry.Object{onDemand(func(v *D) { v.Sources = []registry.FeatureViewProjection{{Name: "w"}} })}},
		{`label view "v": has no entities`, []registry.Object{&registry.LabelView{Name: "v", Schema: fields("f")}}},
		{`feature service "s": feature view 1 of it has no name`, []registry.Object{&registry.FeatureService{Name: "s", Features: make([]registry.FeatureViewProjection, 1)}}},
		{`feature service "s": reference "v@x": version "x" is neither`, []registry.Object{&registry.FeatureService{Name: "s", Features: []registry.FeatureViewProjection{{Name: "v@x"}}}}},
		{`feature service "s": reference "v@v7": version "v7" does not exist in feature view "v"`, []registry.Object{
			view("v", func(*V) {}), &registry.FeatureService{Name: "s", Features: []registry.FeatureViewProjection{{Name: "v@v7"}}},
		}},
		{`validation reference "r": has no profiler`, []registry.Object{&registry.ValidationReference{Name: "r"}}},
		{`permission "x": has no actions`, []registry.Object{&permissions.Permission{Name: "x", Policy: permissions.RoleBased{}}}},
		{`permission "x": has no policy`, []registry.Object{&permissions.Permission{Name: "x", Actions: permissions.AllActions()}}},
		{`permission "x": policy permissions.AllowAll cannot be stored`, []registry.Object{
			&permissions.Permission{Name: "x", Actions: permissions.AllActions(), Policy: permissions.AllowAll{}},
		}},
		{`permission "x": the name pattern "a\\z" is not a regular expression as Python reads them: bad escape \z at character 2`, []registry.Object{
			&permissions.Permission{Name: "x", Actions: permissions.AllActions(), Policy: permissions.RoleBased{}, NamePatterns: []string{`a\z`}},
		}},
		{`data source "s": column "ts" cannot be both`, []registry.Object{&registry.DataSource{
			Name: "s", TimestampField: "ts", CreatedTimestampColumn: "ts", Options: registry.FileOptions{Path: "x"},
		}}},
		{`data source "s": timestamp field type "INT"`, []registry.Object{&registry.DataSource{
			Name: "s", TimestampField: "ts", TimestampFieldType: "INT", Options: registry.FileOptions{Path: "x"},
		}}},
		{`data source "s": has no Options`, []registry.Object{source(nil)}},
		{`data source "s": has no path`, []registry.Object{source(registry.FileOptions{})}},
		{`data source "s": has neither a table nor a query`, []registry.Object{source(registry.BigQueryOptions{})}},
		{`data source "s": has neither a table nor a query`, []registry.Object{source(registry.RedshiftOptions{})}},
		{`data source "s": has both a table and a query`, []registry.Object{source(registry.SnowflakeOptions{Table: "t", Query: "q"})}},
		{`data source "s": has a table, so it can have neither`, []registry.Object{source(registry.SparkOptions{Table: "t", Path: "p", FileFormat: "csv"})}},
		{`data source "s": has a path, so it needs a FileFormat`, []registry.Object{source(registry.SparkOptions{Path: "p"})}},
		{`data source "s": has a BatchSource, which only`, []registry.Object{func() registry.Object {
			s := file("s")
			s.BatchSource = file("b")
			return s
		}()}},
		{`data source "s": FileFormat "zzz" is none of csv, json, parquet, avro`, []registry.Object{source(registry.SparkOptions{Path: "p", FileFormat: "zzz"})}},
		{`data source "s": the lance TableFormat has Version 3 and Tag "prod", and can have but one of them`, []registry.Object{
			source(registry.SparkOptions{Path: "p", TableFormat: &registry.TableFormat{Type: "lance", Version: 3, Tag: "prod"}}),
		}},
		{`data source "s": has no MessageFormat, whose Type is avro, json or proto`, []registry.Object{source(registry.KafkaOptions{})}},
		{`data source "s": has no RecordFormat, whose Type is avro, json or proto`, []registry.Object{source(registry.KinesisOptions{})}},
		{`feature view "v": source view "w": feature "g" has type Null, which only values have`, []registry.Object{view("v", func(v *V) {
			v.SourceViews = []V{{Name: "w", Schema: []registry.Field{{Name: "g", Type: types.Null}}}}
		})}},
		{`saved dataset "d": FileFormat "zzz" is none of`, []registry.Object{
			&registry.SavedDataset{Name: "d", Storage: registry.SparkOptions{Path: "p", FileFormat: "zzz"}},
		}},
		{`label view "v": ConflictPolicy 3 is none of LastWriteWins (0), LabelerPriority (1), MajorityVote (2)`, []registry.Object{
			driver, &registry.LabelView{Name: "v", Entities: []string{"driver"}, Schema: fields("f"), ConflictPolicy: 3},
		}},
		{`label view "v": ConflictPolicy -1 is none of`, []registry.Object{
			driver, &registry.LabelView{Name: "v", Entities: []string{"driver"}, Schema: fields("f"), ConflictPolicy: -1},
		}},
		{`feature view "v": feature "f" has type Null, which only values have`, []registry.Object{view("v", func(v *V) { v.Schema[0].Type = types.Null })}},
		{`feature view "v": feature "f" has type Type(200), which is not one of Feast's`, []registry.Object{view("v", func(v *V) { v.Schema[0].Type = 200 })}},
		{`feature view "v": feature "f" has type Type(9), which`, []registry.Object{view("v", func(v *V) { v.Schema[0].Type = 9 })}},
		{`feature view "v": entity column "driver_id" has type Type(9), which`, []registry.Object{driver, view("v", func(v *V) {
			v.Entities, v.EntityColumns = []string{"driver"}, []registry.Field{{Name: "driver_id", Type: 9}}
		})}},
		{`data source "r": request data "f" has type Null, which`, []registry.Object{
			&registry.DataSource{Name: "r", Options: registry.RequestOptions{Schema: []registry.Field{{Name: "f", Type: types.Null}}}},
		}},
		{`on-demand feature view "v": request data "f" has no type`, []registry.Object{onDemand(func(v *D) {
			v.RequestSources = []*registry.DataSource{{Name: "r", Options: registry.RequestOptions{Schema: []registry.Field{{Name: "f"}}}}}
		})}},
		{`feature view "v": feature "f": Inner "{bad" does not complete type Struct in Feast's words, as {"a": "INT64", "b": "Array(STRING)"} does`, []registry.Object{view("v", func(v *V) {
			v.Schema[0].Type, v.Schema[0].Inner = types.Struct, "{bad"
		})}},
		{`feature view "v": feature "f": Inner "Array(INT64)" does not complete type Array(Array) in Feast's words, as "Array(Array(INT64))" does`, []registry.Object{view("v", func(v *V) {
			v.Schema[0].Type, v.Schema[0].Inner = types.ValueList, "Array(INT64)"
		})}},
		{`feature view "v": TTL -1h0m0s is negative`, []registry.Object{view("v", func(v *V) { v.TTL = -time.Hour })}},
		{`label view "v": TTL -1ns is negative`, []registry.Object{
			driver, &registry.LabelView{Name: "v", Entities: []string{"driver"}, Schema: fields("f"), TTL: -1},
		}},
		{`feature view "v": State 7 is none of Feast's, 0 (STATE_UNSPECIFIED) to 4 (AVAILABLE_ONLINE)`, []registry.Object{view("v", func(v *V) { v.State = 7 })}},
		{`on-demand feature view "v": State -1 is none of`, []registry.Object{onDemand(func(v *D) { v.State = -1 })}},
		{`entity "e": value type Type(200) is not one of Feast's`, []registry.Object{&registry.Entity{Name: "e", ValueType: 200}}},
		{`entity "e": value type Array(Int64) cannot be that of a join key`, []registry.Object{&registry.Entity{Name: "e", ValueType: types.Int64List}}},
		{`entity "e": value type Set(String) cannot be`, []registry.Object{&registry.Entity{Name: "e", ValueType: types.StringSet}}},
		{`entity "e": value type Map cannot be`, []registry.Object{&registry.Entity{Name: "e", ValueType: types.Map}}},
		{`entity "e": value type Array(Array) cannot be`, []registry.Object{&registry.Entity{Name: "e", ValueType: types.ValueList}}},
		{`entity "e": value type Null cannot be`, []registry.Object{&registry.Entity{Name: "e", ValueType: types.Null}}},
		{`entity "a\x00b": the name "a\x00b" has a control character`, []registry.Object{&registry.Entity{Name: "a\x00b", JoinKey: "k"}}},
		{`entity "e": join key "a\tb" has a control character`, []registry.Object{&registry.Entity{Name: "e", JoinKey: "a\tb"}}},
		{`feature view "a\nb": the name "a\nb" has a control character`, []registry.Object{view("a\nb", func(*V) {})}},
		{`feature view "v": feature "a\u0085b" has a control character`, []registry.Object{view("v", func(v *V) { v.Schema = fields("a\u0085b") })}},
		{`feature view "v": data source "a\nb" has a control character`, []registry.Object{view("v", func(v *V) { v.Source = file("a\nb") })}},
		{`feature service "a\nb": the name`, []registry.Object{&registry.FeatureService{Name: "a\nb"}}},
		{`data source "a\nb": the name`, []registry.Object{file("a\nb")}},
	} {
		w, b := newWriter("p")
		_, err := w.Apply(t.Context(), objects(tc.objects...))
		if !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(fmt.Sprint(err), tc.want) {
			t.Errorf("%v\nwant %s", err, tc.want)
		}
		if strings.Contains(fmt.Sprint(err), "\n") && !strings.Contains(tc.want, "differs") {
			t.Errorf("more than one problem: %v", err)
		}
		if state, _, err := b.Load(t.Context(), ""); err != nil || len(state.Records) > 0 {
			t.Errorf("%s: written: %v, %v", tc.want, state.Records, err)
		}
	}
}

// All problems of a request come at once.
func TestValidationJoins(t *testing.T) {
	w, _ := newWriter("p")
	_, err := w.Apply(t.Context(), registry.ApplyRequest{
		Objects: []registry.Object{
			view("a@b", func(*registry.FeatureView) {}),
			view("v", func(v *registry.FeatureView) { v.Entities, v.Version = []string{"nobody"}, "" }),
			&registry.FeatureService{Name: "s", Features: []registry.FeatureViewProjection{{Name: "nowhere"}, {Name: "v:g"}}},
			&registry.Entity{},
		},
		Delete: []registry.Object{&registry.Entity{Name: "gone"}, nil},
	})
	want := `feature view "a@b": the name must not contain "@", which begins a version in references: "view@v2:feature"
entity "": has no name
entity "gone" does not exist in project "p"
object 2 to delete is nil
feature view "v": entity "nobody" does not exist in project "p"
feature service "s": feature view "nowhere" does not exist in project "p"
feature service "s": reference "v:g": feature "g" does not exist in feature view "v"`
	if fmt.Sprint(err) != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if !errors.Is(err, feasterr.ErrInvalid) || !errors.Is(err, feasterr.ErrNotFound) {
		t.Error(err)
	}
}

// What looks odd and is sound to Feast.
func TestSoundDefinitions(t *testing.T) {
	driver := &registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}
	inner := func(typ types.Type, text string) registry.Object {
		return view("v", func(v *registry.FeatureView) { v.Schema[0].Type, v.Schema[0].Inner = typ, text })
	}
	for i, list := range [][]registry.Object{
		{&registry.Entity{Name: "we ird/ü.n", ValueType: types.String}},
		{&registry.Entity{Name: "e", ValueType: types.Bool}},
		{&registry.Entity{Name: "e", ValueType: types.UUID}},
		{source(registry.SparkOptions{Path: "p", FileFormat: "avro"})},
		{source(registry.SparkOptions{Path: "p", TableFormat: &registry.TableFormat{Type: "lance", Tag: "prod"}})},
		{source(registry.SparkOptions{Path: "p", TableFormat: &registry.TableFormat{Type: "lance", Version: 3}})},
		{push("p", nil)}, // as in Feast
		{driver, &registry.LabelView{Name: "v", Entities: []string{"driver"}, Schema: fields("f"), ConflictPolicy: registry.MajorityVote}},
		{view("v", func(v *registry.FeatureView) { v.State = registry.StateAvailableOnline })},
		{inner(types.Struct, "")},
		{inner(types.StructList, `{"a": "FLOAT64", "b": "Array(Set(UUID))", "c": "{\"__struct__\": {\"d\": \"INT64\"}}"}`)},
		{inner(types.ValueList, "Array(Set(DECIMAL))")},
		{inner(types.ValueSet, `Set(Array({"__struct__": {"a": "INT64"}}))`)},
	} {
		w, _ := newWriter("p")
		if _, err := w.Apply(t.Context(), objects(list...)); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// Of most of these Feast fails to list the views of a project, and of the others it makes another type.
func TestInner(t *testing.T) {
	for _, tc := range []struct {
		typ   types.Type
		inner string
	}{
		{types.Struct, `{}`},
		{types.Struct, `null`},
		{types.Struct, `["INT64"]`},
		{types.Struct, `{"a": 1}`},
		{types.Struct, `{"a": null}`},
		{types.Struct, `{"a": "int64"}`},
		{types.Struct, `{"a": "DOUBLE"}`},
		{types.Struct, `{"a": "INVALID"}`},
		{types.Struct, `{"a": "Set(MAP)"}`},
		{types.Struct, `{"a": "Array(SCALAR_MAP)"}`},
		{types.Struct, `{"a": "Array(ZONED_TIMESTAMP)"}`},
		{types.Struct, `{"a": "{\"b\": \"INT64\"}"}`},
		{types.Struct, `{"a": "INT64"} x`},
		{types.StructList, `Array(INT64)`},
		{types.ValueList, `Array(`},
		{types.ValueList, `Set(Array(INT64))`},
		{types.ValueList, `Array({"__struct__": {"a": "INT64"}})`},
		{types.ValueList, strings.Repeat("Array(", 200) + "INT64" + strings.Repeat(")", 200)},
		{types.ValueSet, `Set(INT64)`},
		{types.ValueSet, `Set({"__struct__": {"a": "INT64"}})`},
		{types.ValueSet, `Set(Set({"__struct__": {"a": "INT64"}}))`},
		{types.ValueSet, `)Set(Array(INT64)`},
	} {
		w, _ := newWriter("p")
		_, err := w.Apply(t.Context(), objects(view("v", func(v *registry.FeatureView) {
			v.Schema[0].Type, v.Schema[0].Inner = tc.typ, tc.inner
		})))
		want := fmt.Sprintf("feature view \"v\": feature \"f\": Inner %q does not complete type %s", tc.inner, tc.typ)
		if !errors.Is(err, feasterr.ErrInvalid) || !strings.HasPrefix(fmt.Sprint(err), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

// A stream whose history is its batch source is the same, whether it is given as Source or as StreamSource.
func TestStreamSourceAlone(t *testing.T) {
	w, b := newWriter("p")
	mustApply(t, w, objects(
		view("v", func(v *registry.FeatureView) { v.Source, v.StreamSource = nil, push("p", file("s")) }),
		stream(func(v *registry.StreamFeatureView) {
			v.Name, v.Source, v.StreamSource = "w", nil, push("p", file("s"))
		}),
	))
	for _, name := range []string{"v", "w"} {
		v, err := snapshot(t, b, "p").View(name)
		if err != nil {
			t.Fatal(err)
		}
		if info := v.Info(); info.Source == nil || info.Source.Name != "s" || info.StreamSource == nil || info.StreamSource.Name != "p" {
			t.Errorf("%s: history %v, stream %v", name, info.Source, info.StreamSource)
		}
	}
	d := mustApply(t, w, objects(
		view("v", func(v *registry.FeatureView) { v.Source = push("p", file("s")) }),
		stream(func(v *registry.StreamFeatureView) { v.Name = "w" }),
	))
	if !d.Empty() {
		t.Errorf("given as Source they differ:\n%s", d)
	}
	w, _ = newWriter("p")
	_, err := w.Apply(t.Context(), objects(view("v", func(v *registry.FeatureView) { v.Source, v.StreamSource = nil, push("p", nil) })))
	if want := `feature view "v": data source "p" has no BatchSource, where the history of a stream is read from`; fmt.Sprint(err) != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestApplyMaterializationInterval(t *testing.T) {
	w, b := newWriter("p")
	mustApply(t, w, objects(view("v", func(*registry.FeatureView) {})))
	err := w.ApplyMaterialization(t.Context(), "v", noon.Truncate(time.Second), noon.Truncate(time.Second).Add(-time.Second))
	want := `view "v" cannot be materialized from 2024-05-01T12:00:00Z to 2024-05-01T11:59:59Z: the end is before the start`
	if !errors.Is(err, feasterr.ErrInvalid) || fmt.Sprint(err) != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if v, err := snapshot(t, b, "p").FeatureView("v"); err != nil || len(v.MaterializationIntervals) != 0 {
		t.Error(v, err)
	}
	if err := w.ApplyMaterialization(t.Context(), "v", noon, noon); err != nil {
		t.Error("an empty span:", err)
	}
}
