package registry

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/types"
)

// golden is the snapshot of project golden.
func golden(tb testing.TB) *Snapshot {
	tb.Helper()
	return newSnapshot("golden", parse(tb, readFile(tb, "testdata/registry/file/registry.db")), "1", nil)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func equal[T any](tb testing.TB, what string, got, want T) {
	tb.Helper()
	if !reflect.DeepEqual(got, want) {
		tb.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

var applied = time.Date(2024, 3, 1, 0, 0, 0, 123456000, time.UTC)

// plain returns a copy of v without origins, to compare with a literal.
func plain[T any](v T) T {
	rv := reflect.New(reflect.TypeFor[T]()).Elem()
	rv.Set(deepCopy(reflect.ValueOf(v)))
	return rv.Interface().(T)
}

// deepCopy copies a value, leaving out origins.
func deepCopy(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return v
		}
		inner := deepCopy(v.Elem())
		if v.Kind() == reflect.Interface {
			return inner
		}
		p := reflect.New(v.Type().Elem())
		p.Elem().Set(inner)
		return p
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		s := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			s.Index(i).Set(deepCopy(v.Index(i)))
		}
		return s
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		m := reflect.MakeMap(v.Type())
		for k, e := range v.Seq2() {
			m.SetMapIndex(k, e)
		}
		return m
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return v
		}
		s := reflect.New(v.Type()).Elem()
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				s.Field(i).Set(deepCopy(v.Field(i)))
			}
		}
		return s
	}
	return v
}

func TestModelledObjects(t *testing.T) {
	s := golden(t)

	equal(t, "project", plain(must(s.Project())), &Project{
		Name: "golden", Description: "golden project \u2713", Owner: "po@example.com", Tags: map[string]string{"env": "test"},
		Created: applied, LastUpdated: applied,
	})
	equal(t, "entity", plain(must(s.Entity("driver"))), &Entity{
		Name: "driver", Project: "golden", JoinKey: "driver_id", ValueType: types.Int64, Description: "a driver \u2603",
		Owner: "own@example.com", Tags: map[string]string{"emoji": "\U0001F680", "team": "core"},
		Created: applied, LastUpdated: applied,
	})
	equal(t, "untyped entity", must(s.Entity("untyped")).ValueType, types.Invalid)

	driverFile := DataSource{
		Name: "driver_file", Description: "batch", Owner: "o", Tags: map[string]string{"k": "v"},
		TimestampField: "event_timestamp", CreatedTimestampColumn: "created",
		FieldMapping: map[string]string{"cr": "conv_rate_mapped"},
		Options:      FileOptions{Path: "data/driver_stats.parquet"},
		Created:      applied, LastUpdated: applied,
	}
	push := DataSource{
		Name: "push", Description: "push", Owner: "po", Tags: map[string]string{"s": "1"},
		TimestampField: "event_timestamp", CreatedTimestampColumn: "created",
		FieldMapping: map[string]string{"cr": "conv_rate_mapped"},
		Options:      PushOptions{}, BatchSource: &driverFile,
		Created: applied, LastUpdated: applied,
	}
	stats := &FeatureView{
		Name: "driver_stats", Project: "golden", Description: "driver stats", Owner: "own@example.com", Org: "ads",
		Tags:     map[string]string{"tier": "1", "team": "core"},
		Entities: []string{"driver"},
		Schema: []Field{
			{Name: "conv_rate", Type: types.Float64, Description: "conv", Tags: map[string]string{"unit": "ratio"}},
			{Name: "acc_rate", Type: types.Float32},
			{Name: "avg_daily_trips", Type: types.Int64},
		},
		EntityColumns: []Field{{Name: "driver_id", Type: types.Int64}},
		TTL:           24 * time.Hour, Source: &driverFile, StreamSource: &push,
		Online: true, Offline: true, EnableValidation: true,
		Created: applied, LastUpdated: applied,
	}
	equal(t, "driver_stats", plain(must(s.FeatureView("driver_stats"))), stats)

	derived := must(s.FeatureView("derived"))
	inner := plain(derived.SourceViews[0])
	want := *stats
	want.Project, want.Created, want.LastUpdated = "", time.Time{}, time.Time{}
	equal(t, "source view of derived", inner, want)

	for name, ttl := range map[string]time.Duration{"all_types": 7 * 24 * time.Hour, "multi_entity": 0, "no_ttl": 0, "inferred": 30 * time.Second} {
		equal(t, "ttl of "+name, must(s.FeatureView(name)).TTL, ttl)
	}
	entityless := must(s.FeatureView("entityless"))
	if entityless.Entities != nil || entityless.EntityColumns != nil {
		t.Errorf("a view without entities has %v, %v", entityless.Entities, entityless.EntityColumns)
	}
	equal(t, "entities", must(s.FeatureView("multi_entity")).Entities, []string{"driver", "customer", "merchant"})
	equal(t, "disabled", must(s.FeatureView("disabled")).Disabled, true)
	equal(t, "not online", must(s.FeatureView("multi_entity")).Online, false)
	equal(t, "vector", must(s.FeatureView("vectors")).Schema, []Field{
		{Name: "emb", Type: types.Float32List, VectorIndex: true, VectorLength: 4, VectorSearchMetric: "cosine"},
	})

	batch := must(s.FeatureView("batch_fv"))
	if !batch.IsBatch() || batch.Resource().Kind != permissions.BatchFeatureView {
		t.Errorf("batch_fv is a %v", batch.Resource().Kind)
	}
	body := batch.Transformation.Body
	if len(body) != 212 {
		t.Errorf("function of %d bytes", len(body))
	}
	equal(t, "transformation", batch.Transformation, &Transformation{Name: "bfv_udf", Body: body, Text: "def bfv_udf(df):\n    return df\n", Mode: "python"})

	stream := must(s.StreamFeatureView("stream_fv"))
	equal(t, "stream features", stream.Schema, []Field{{Name: "conv_rate", Type: types.Float64}})
	equal(t, "aggregations", stream.Aggregations, []Aggregation{
		{Column: "conv_rate", Function: "sum", TimeWindow: time.Hour, SlideInterval: 5 * time.Minute, Name: "conv_sum"},
		{Column: "conv_rate", Function: "max", TimeWindow: 24 * time.Hour, SlideInterval: 24 * time.Hour},
	})
	equal(t, "tiling", []any{stream.EnableTiling, stream.TilingHopSize, stream.TimestampField, stream.TTL}, []any{true, time.Minute, "event_timestamp", 72 * time.Hour})
	equal(t, "kafka", stream.StreamSource.Options, SourceOptions(KafkaOptions{
		BootstrapServers: "127.0.0.1:9092", Topic: "drivers", WatermarkDelayThreshold: 5*time.Minute + 250*time.Microsecond,
		MessageFormat: StreamFormat{Type: "json", Schema: "driver_id integer, event_timestamp timestamp, conv_rate double"},
	}))

	odfv := must(s.OnDemandFeatureView("odfv_python"))
	equal(t, "on-demand sources", dump(odfv.Sources), dump([]FeatureViewProjection{{
		Name: "driver_stats", Features: stats.Schema[:1], ViewType: "featureView", Source: &driverFile,
	}}))
	equal(t, "request sources", plain(odfv.RequestSources), []*DataSource{{
		Name: "req", Tags: map[string]string{"rt": "1"},
		Options: RequestOptions{Schema: []Field{{Name: "amount", Type: types.Float64}, {Name: "flag", Type: types.Bool}}},
		Created: odfv.RequestSources[0].Created, LastUpdated: odfv.RequestSources[0].LastUpdated,
	}})
	equal(t, "singleton", must(s.OnDemandFeatureView("odfv_singleton")).Singleton, true)
	equal(t, "written on-demand view", must(s.OnDemandFeatureView("odfv_write")).Info().Online, true)

	labels := must(s.LabelView("labels"))
	equal(t, "labels", []any{labels.LabelerField, labels.ConflictPolicy, labels.ReferenceFeatureView, labels.TTL, labels.Online},
		[]any{"labeler", MajorityVote, "driver_stats", 30 * 24 * time.Hour, true})
	equal(t, "label sources", []string{labels.Info().StreamSource.Name, labels.Info().Source.Name}, []string{"label_push", "data/driver_stats.parquet"})

	service := must(s.FeatureService("svc_alias"))
	equal(t, "service", dump(service), dump(&FeatureService{
		Name: "svc_alias", Project: "golden", PrecomputeOnline: true,
		Logging: &LoggingConfig{SampleRate: 0.5, Destination: FileDestination{Path: "data/logs"}},
		Features: []FeatureViewProjection{
			{Name: "driver_stats", Alias: "renamed", Features: stats.Schema[1:2], ViewType: "featureView", Source: &driverFile},
			{Name: "multi_entity", Features: []Field{{Name: "conv_rate", Type: types.Float32}}, ViewType: "featureView",
				JoinKeyMap: map[string]string{"driver_id": "other_driver_id"},
				Source:     &DataSource{Name: "data/driver_stats.parquet", TimestampField: "event_timestamp", Options: FileOptions{Path: "data/driver_stats.parquet"}, Created: applied, LastUpdated: applied}},
		},
		Created: applied, LastUpdated: applied,
	}))

	equal(t, "saved dataset", plain(must(s.SavedDataset("saved_ds"))), &SavedDataset{
		Name: "saved_ds", Project: "golden", Description: "d", Tags: map[string]string{"sd": "1"},
		Features: []string{"driver_stats:conv_rate"}, JoinKeys: []string{"driver_id"}, FullFeatureNames: true,
		FeatureServiceName: "svc_all", Namespace: "nsp", Collection: "col",
		Storage:           FileOptions{Path: "data/saved.parquet", Format: FormatParquet},
		MinEventTimestamp: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		MaxEventTimestamp: time.Date(2024, 1, 1, 9, 0, 0, 0, time.UTC),
		Created:           applied,
	})

	permission := must(s.Permission("perm_role"))
	equal(t, "permission", plain(permission), &permissions.Permission{
		Name: "perm_role", Project: "golden", Types: []permissions.Kind{permissions.FeatureView, permissions.FeatureService},
		NamePatterns: []string{"^driver.*", ".*stats$"}, RequiredTags: map[string]string{"team": "core"},
		Actions: []permissions.Action{permissions.Describe, permissions.ReadOnline},
		Policy:  permissions.RoleBased{Roles: []string{"reader", "admin"}}, Tags: map[string]string{"pt": "1"},
		Created: applied, LastUpdated: applied,
	})
	equal(t, "combined policy", must(s.Permission("perm_combined")).Policy,
		permissions.Policy(permissions.CombinedGroupNamespace{Groups: []string{"g"}, Namespaces: []string{"n"}}))
	equal(t, "all types", must(s.Permission("perm_ns")).Types, permissions.AllResourceTypes())
	equal(t, "all actions", must(s.Permission("perm_ns")).Actions, permissions.AllActions())
}

func TestModelledSources(t *testing.T) {
	s := golden(t)
	for name, want := range map[string]SourceOptions{
		"driver_file": FileOptions{Path: "data/driver_stats.parquet"},
		"s3_file":     FileOptions{Path: "s3://bucket/a/b.parquet", Format: FormatParquet, S3EndpointOverride: "http://127.0.0.1:9000"},
		"delta_file":  FileOptions{Path: "s3://bucket/delta", Format: FormatDelta},
		"bq_query":    BigQueryOptions{Query: "SELECT * FROM t"},
		"bq_table":    BigQueryOptions{Table: "proj.ds.tbl"},
		"rs":          RedshiftOptions{Table: "t", Schema: "sch", Database: "db"},
		"sf":          SnowflakeOptions{Table: "T", Schema: "SC", Database: "DB"},
		"at":          AthenaOptions{Table: "t", Database: "db", DataSource: "AwsDataCatalog"},
		"sp":          SparkOptions{Path: "s3a://b/p", FileFormat: "parquet", DatePartitionColumnFormat: "%Y%m%d"},
		"pg":          PostgresOptions{Query: "SELECT * FROM driver"},
		"pg_table":    PostgresOptions{Table: "sch.driver"},
		"ms":          MsSQLOptions{TableRef: "dbo.t"},
		"push":        PushOptions{},
		"kinesis":     KinesisOptions{Region: "us-west-2", StreamName: "st", RecordFormat: StreamFormat{Type: "proto", Schema: "a.b.C"}},
		"kafka_avro":  KafkaOptions{BootstrapServers: "h:1,h2:2", Topic: "t2", MessageFormat: StreamFormat{Type: "avro", Schema: `{"type":"record"}`}},
		"req":         RequestOptions{Schema: []Field{{Name: "amount", Type: types.Float64}, {Name: "flag", Type: types.Bool}}},
		"sp_iceberg": SparkOptions{Table: "cat.ns.t", DatePartitionColumnFormat: "%Y-%m-%d", TableFormat: &TableFormat{
			Type: "iceberg", Catalog: "cat", Namespace: "ns",
			Properties: map[string]string{"iceberg.namespace": "ns", "a": "b", "iceberg.catalog": "cat"}}},
	} {
		d, err := s.DataSource(name)
		if err != nil {
			t.Error(err)
			continue
		}
		equal(t, name, d.Options, want)
	}
	iceberg := must(s.DataSource("ib")).Options.(IcebergOptions)
	equal(t, "iceberg", []string{iceberg.CatalogType, iceberg.CatalogName}, []string{"rest", "feast_iceberg"})
	bq := must(s.DataSource("bq_table"))
	equal(t, "bq_table", []string{bq.TimestampFieldType, bq.DatePartitionColumn, bq.CreatedTimestampColumn}, []string{"DATE", "d", "c"})
	if push := must(s.DataSource("push")); !push.IsStream() || push.BatchSource.IsStream() {
		t.Error("push is a stream source, its batch source is not")
	}
}

// Every value type of Feast is read, those with an inner type too.
func TestModelledTypes(t *testing.T) {
	view := must(golden(t).FeatureView("all_types"))
	if len(view.Schema) != 45 {
		t.Fatalf("%d features", len(view.Schema))
	}
	seen := map[types.Type]bool{}
	for _, f := range view.Schema {
		if !f.Type.Valid() || seen[f.Type] || f.Tags != nil {
			t.Errorf("%+v", f)
		}
		seen[f.Type] = true
	}
	field := func(name string) Field {
		return view.Schema[slices.IndexFunc(view.Schema, func(f Field) bool { return f.Name == name })]
	}
	equal(t, "struct", field("struct_f"), Field{Name: "struct_f", Type: types.Struct, Inner: `{"a": "INT64", "b": "STRING"}`})
	equal(t, "structs", field("struct_list_f"), Field{Name: "struct_list_f", Type: types.StructList, Inner: `{"x": "FLOAT64"}`})
	equal(t, "lists", field("nested_list_f"), Field{Name: "nested_list_f", Type: types.ValueList, Inner: "Array(Array(INT64))"})
	equal(t, "sets", field("nested_set_f"), Field{Name: "nested_set_f", Type: types.ValueSet, Inner: "Set(Set(STRING))"})
	equal(t, "pdf", field("pdf_f").Type, types.PdfBytes)
}

// Departure 2: a ttl beyond time.Duration saturates, and the registry keeps its own.
func TestHugeTTL(t *testing.T) {
	pb := &core.FeatureView{Spec: &core.FeatureViewSpec{Name: "v", Ttl: &durationpb.Duration{Seconds: 315576000000}}}
	v := decodeRecord(t, Record{ID: ID{Kind: KindFeatureView, Project: ""}, Proto: must(proto.Marshal(pb))}).(*FeatureView)
	equal(t, "ttl", v.TTL, time.Duration(math.MaxInt64))
	v.Description = "changed"
	pb.Spec.Description = "changed"
	equalMessages(t, "huge ttl", unmarshalRecord(t, encodeAny(t, v)), pb)
}

// mutate changes every exported leaf of v, one at a time, and calls check with the path of what is changed for now.
func mutate(v reflect.Value, path string, check func(path string)) {
	change := func(to any) {
		was := reflect.ValueOf(v.Interface())
		v.Set(reflect.ValueOf(to).Convert(v.Type()))
		check(path)
		v.Set(was)
	}
	switch v.Kind() {
	case reflect.String:
		switch v.Type() {
		case reflect.TypeFor[FileFormat]():
			change(FormatDelta)
		default:
			change(v.String() + "x")
		}
	case reflect.Bool:
		change(!v.Bool())
	case reflect.Int, reflect.Int32, reflect.Int64:
		change(v.Int() + 1)
	case reflect.Uint8:
		if f := v.Type(); f == reflect.TypeFor[types.Type]() && innerTag(types.Type(v.Uint())) == "" {
			change(types.BoolSet)
		}
	case reflect.Uint64:
		change(v.Uint() + 1)
	case reflect.Float32:
		change(v.Float() + 1)
	case reflect.Pointer:
		if !v.IsNil() {
			mutate(v.Elem(), path, check)
		}
	case reflect.Interface:
		if !v.IsNil() {
			inner := reflect.New(v.Elem().Type()).Elem()
			inner.Set(v.Elem())
			was := reflect.ValueOf(v.Interface())
			mutate(inner, path, func(path string) {
				v.Set(inner)
				check(path)
			})
			v.Set(was)
		}
	case reflect.Map:
		m := maps.Clone(v.Interface().(map[string]string))
		if m == nil {
			m = map[string]string{}
		}
		m["new"] = "entry"
		change(m)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			change(append(slices.Clone(v.Bytes()), 'x'))
			return
		}
		for i := range v.Len() {
			mutate(v.Index(i), fmt.Sprintf("%s[%d]", path, i), check)
		}
		if v.Len() > 0 && v.Type().Elem().Kind() != reflect.Pointer {
			change(reflect.AppendSlice(v.Slice3(0, 0, 0), v.Slice(1, v.Len())).Interface()) // the first is removed
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			at, _ := reflect.TypeAssert[time.Time](v)
			change(at.Add(time.Hour))
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if field, ok := reflect.TypeAssert[Field](v); ok && f.Name == "Inner" && innerTag(field.Type) == "" {
				continue // other types have none
			}
			if f.IsExported() {
				mutate(v.Field(i), path+"."+f.Name, check)
			}
		}
	}
}

// notStored are attributes that have no place in the message where they stand: the project of a source within a view,
// what the registry keeps about a view that another is derived from, entity columns without entities, a plan beside a
// function, what belongs to another format, and "no types" of a permission, which means all.
var notStored = regexp.MustCompile(`Format\.(Type|Catalog|Namespace|Version|Tag|CheckpointLocation|TableType|RecordKey|PrecombineField)$|\.(SubstraitPlan|IbisFunction)$|Source(s\[\d+\])?\.Project$|SourceViews\[0\]\.(Created|LastUpdated|State|CurrentVersion)$|Storage\.Class$|\.(Entities|Types)$`)

// Changing one attribute of an object, whichever, changes that attribute and nothing else.
func TestChangeOneAttribute(t *testing.T) {
	count := 0
	for _, file := range []string{"testdata/registry/file/registry.db", "testdata/serving/repo_versions/data/registry.db"} {
		for _, r := range parse(t, readFile(t, file)).Records {
			if r.Kind != KindProjectMetadata {
				count += checkChanges(t, decodeRecord(t, r), r.ID.String())
			}
		}
	}
	if count < 1000 {
		t.Errorf("only %d changes", count)
	}
}

// checkChanges changes every attribute of an object that was read, one at a time, and returns how many.
func checkChanges(t *testing.T, v any, name string) (count int) {
	t.Helper()
	mutate(reflect.ValueOf(v), name, func(path string) {
		if notStored.MatchString(path) {
			return
		}
		count++
		got, want := dump(decodeRecord(t, encodeAny(t, v))), dump(v)
		if at := difference(got, want); at >= 0 {
			t.Errorf("%s:\n got ...%.150s\nwant ...%.150s", path, got[max(0, at-50):], want[max(0, at-50):])
		}
	})
	return count
}

// difference returns where a and b begin to differ, -1 when they are equal.
func difference(a, b string) int {
	if a == b {
		return -1
	}
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return i
}

// dump renders an object with everything it points to, without origins, and with empty collections like absent ones.
func dump(v any) string {
	var b strings.Builder
	write(&b, reflect.ValueOf(v))
	return b.String()
}

func write(b *strings.Builder, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			b.WriteString("nil")
			return
		}
		if v.Kind() == reflect.Interface {
			b.WriteString(v.Elem().Type().Name())
		}
		write(b, v.Elem())
	case reflect.Slice:
		b.WriteByte('[')
		for i := range v.Len() {
			write(b, v.Index(i))
			b.WriteByte(' ')
		}
		b.WriteByte(']')
	case reflect.Struct:
		if t, ok := reflect.TypeAssert[time.Time](v); ok {
			b.WriteString(t.UTC().Format(time.RFC3339Nano))
			return
		}
		b.WriteByte('{')
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				b.WriteString(f.Name + ":")
				write(b, v.Field(i))
				b.WriteByte(' ')
			}
		}
		b.WriteByte('}')
	default:
		fmt.Fprint(b, v.Interface())
	}
}

// An object made in Go gets what Feast writes by default.
func TestMadeInGo(t *testing.T) {
	file := DataSource{Name: "driver_file", TimestampField: "event_timestamp", CreatedTimestampColumn: "created", Options: FileOptions{Path: "d.parquet"}}
	push := DataSource{Name: "push", Options: PushOptions{}, BatchSource: &file}
	view := &FeatureView{
		Name: "driver_stats", Schema: []Field{{Name: "emb", Type: types.ValueList, Inner: "Array(Array(INT64))"}}, Source: &push, Online: true,
	}
	r := must(Encode("demo", view))
	equal(t, "identity", r.ID, ID{Kind: KindFeatureView, Project: "demo", Name: "driver_stats"})
	equal(t, "the object", view.Project, "")
	pb := unmarshalRecord(t, r).(*core.FeatureView)
	const fileClass = "feast.infra.offline_stores.file_source.FileSource"
	batch := func() *core.DataSource {
		return &core.DataSource{
			Name: "driver_file", Type: core.DataSource_BATCH_FILE, TimestampField: "event_timestamp", CreatedTimestampColumn: "created",
			DataSourceClassType: fileClass, Meta: new(core.DataSource_SourceMeta),
			Options: &core.DataSource_FileOptions_{FileOptions: &core.DataSource_FileOptions{Uri: "d.parquet"}},
		}
	}
	equalMessages(t, "view", pb, &core.FeatureView{
		Spec: &core.FeatureViewSpec{
			Name: "driver_stats", Project: "demo", Entities: []string{DummyEntity}, EntityColumns: []*core.FeatureSpecV2{dummyColumn()},
			Features: []*core.FeatureSpecV2{{Name: "emb", ValueType: 42, Tags: map[string]string{"feast:nested_inner_type": "Array(Array(INT64))"}}},
			Ttl:      new(durationpb.Duration), Online: true, Version: "latest", BatchSource: batch(),
			StreamSource: &core.DataSource{Name: "push", Type: core.DataSource_PUSH_SOURCE, DataSourceClassType: "feast.data_source.PushSource",
				BatchSource: batch(), Meta: new(core.DataSource_SourceMeta)},
		},
		Meta: new(core.FeatureViewMeta),
	})
	info := view.Info()
	if info.Source != &file || info.StreamSource != &push {
		t.Error("a push source given as Source is the stream source, and its batch source the source")
	}

	service := &FeatureService{Name: "svc", Features: []FeatureViewProjection{{Name: "driver_stats", Source: &file, Version: new(3)}}}
	projection := unmarshalRecord(t, must(Encode("demo", service))).(*core.FeatureService).Spec.Features[0]
	// Feast's defect, mimicked when writing: timestamp_field holds the created timestamp column.
	equal(t, "projection", []string{projection.TimestampField, projection.CreatedTimestampColumn}, []string{"created", "created"})
	equal(t, "version", *projection.VersionTag, int32(3))
	equal(t, "name in use", service.Features[0].NameInUse(), "driver_stats@v3")

	label := unmarshalRecord(t, must(Encode("demo", &LabelView{Name: "l", Entities: []string{"driver"}}))).(*core.LabelView)
	equal(t, "labeler", label.Spec.LabelerField, "labeler")

	odfv := &OnDemandFeatureView{Name: "o", Sources: []FeatureViewProjection{{Name: "b", Alias: "x"}, {Name: "a"}},
		RequestSources: []*DataSource{{Name: "req", Options: RequestOptions{Schema: []Field{{Name: "amount", Type: types.Float64}}}}}, TrackMetrics: true}
	opb := unmarshalRecord(t, must(Encode("demo", odfv))).(*core.OnDemandFeatureView)
	equal(t, "sources", slices.Sorted(maps.Keys(opb.Spec.Sources)), []string{"a", "req", "x"})
	equal(t, "tags", opb.Spec.Tags, map[string]string{"feast:track_metrics": "true"})

	sfv := unmarshalRecord(t, must(Encode("demo", &StreamFeatureView{Name: "s", Entities: []string{"driver"}, EntityColumns: []Field{{Name: "driver_id", Type: types.Int64}},
		Schema: []Field{{Name: "f", Type: types.Int64}}, Transformation: &Transformation{Name: "fn", Body: []byte{1}}}))).(*core.StreamFeatureView)
	equal(t, "stream features", len(sfv.Spec.Features), 2)
	equal(t, "function, twice", []string{sfv.Spec.UserDefinedFunction.GetName(), sfv.Spec.FeatureTransformation.GetUserDefinedFunction().GetName()}, []string{"fn", "fn"})
}

// A source that was read from the registry and put into a view brings along what this library does not model, but not
// its project.
func TestEmbedRegisteredSource(t *testing.T) {
	pb := &core.DataSource{Name: "s", Project: "demo", Type: core.DataSource_BATCH_FILE}
	pb.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 29, protowire.VarintType), 1))
	source := decodeRecord(t, Record{ID: ID{Kind: KindDataSource}, Proto: must(proto.Marshal(pb))}).(*DataSource)
	view := unmarshalRecord(t, must(Encode("demo", &FeatureView{Name: "v", Source: source}))).(*core.FeatureView)
	pb.Project = ""
	view.Spec.BatchSource.Meta = nil
	equalMessages(t, "embedded", view.Spec.BatchSource, pb)
}

func TestEncodeErrors(t *testing.T) {
	badSource := &DataSource{Name: "s", Options: &FileOptions{}}
	decoded := must(Decode(must(Encode("p", &DataSource{Name: "s", Options: FileOptions{Path: "x"}})))).(*DataSource)
	decoded.Options = nil
	for want, o := range map[string]Object{
		`data source "s" of project "p" cannot be written: options *registry.FileOptions: give them by value, and of one of this library's types`: badSource,
		`data source "s" of project "p" cannot be written: data source "s" has no Options: they say what kind of source it is`:                    decoded,
		`permission "q" of project "p" cannot be written: permission "q": policy *permissions.RoleBased: give it by value`:                        &permissions.Permission{Name: "q", Policy: &permissions.RoleBased{}},
		`feature view "v" of project "p" cannot be written: the transformation is both a function and a Substrait plan`:                           &FeatureView{Name: "v", Transformation: &Transformation{Name: "f", SubstraitPlan: []byte{1}}},
		`feature view "w" of project "p" cannot be written: field "f": a field of type Int64 has no inner type, so Inner must be empty`:           &FeatureView{Name: "w", Schema: []Field{{Name: "f", Type: types.Int64, Inner: "x"}}},
		`*registry.Entity is nil`: (*Entity)(nil),
		`saved dataset "d" of project "p" cannot be written: saved dataset "d" cannot be stored as registry.PushOptions`:    &SavedDataset{Name: "d", Storage: PushOptions{}},
		`data source "t" of project "p" cannot be written: table format "x" is none of iceberg, delta, hudi, lance`:         &DataSource{Name: "t", Options: SparkOptions{TableFormat: &TableFormat{Type: "x"}}},
		`on-demand feature view "o" of project "p" cannot be written: on-demand feature view "o" has two sources named "a"`: &OnDemandFeatureView{Name: "o", Sources: []FeatureViewProjection{{Name: "a"}, {Name: "b", Alias: "a"}}},
	} {
		_, err := Encode("p", o)
		if err == nil || err.Error() != want || !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestClone(t *testing.T) {
	s := golden(t)
	view := must(s.FeatureView("driver_stats"))
	before := dump(view)
	clone := must(Clone(view))
	equal(t, "clone", dump(clone), before)
	clone.Schema[0].Name, clone.Tags["x"], clone.Source.Name = "changed", "y", "changed"
	equal(t, "original", dump(view), before)

	made := &Entity{Name: "e"}
	if c := must(Clone(made)); c.origin.Proto != nil {
		t.Error("the clone of an object made in Go counts as read")
	}
}
