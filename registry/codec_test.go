package registry

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/types"
)

// fill sets every field of m and of the messages in it, down to a depth. Of a oneof it sets the member that choice
// stands for.
func fill(m protoreflect.Message, choice, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if of := fd.ContainingOneof(); of != nil && !of.IsSynthetic() && of.Fields().Get(choice%of.Fields().Len()) != fd {
			continue
		}
		single := func(fd protoreflect.FieldDescriptor, fresh func() protoreflect.Value, n int) (protoreflect.Value, bool) {
			switch fd.Kind() {
			case protoreflect.MessageKind:
				if depth == 0 {
					return protoreflect.Value{}, false
				}
				v := fresh()
				fill(v.Message(), choice+n, depth-1)
				return v, true
			case protoreflect.StringKind:
				return protoreflect.ValueOfString(fmt.Sprintf("%s %d", fd.Name(), n)), true
			case protoreflect.BytesKind:
				return protoreflect.ValueOfBytes([]byte{byte(n), 1}), true
			case protoreflect.BoolKind:
				return protoreflect.ValueOfBool(true), true
			case protoreflect.EnumKind:
				return protoreflect.ValueOfEnum(fd.Enum().Values().Get((choice + n) % fd.Enum().Values().Len()).Number()), true
			case protoreflect.Int32Kind:
				return protoreflect.ValueOfInt32(int32(n + 2)), true
			case protoreflect.Int64Kind:
				return protoreflect.ValueOfInt64(int64(n + 3)), true
			case protoreflect.Uint64Kind:
				return protoreflect.ValueOfUint64(uint64(n + 4)), true
			case protoreflect.FloatKind:
				return protoreflect.ValueOfFloat32(0.25), true
			}
			panic(fd.Kind())
		}
		switch {
		case fd.IsMap():
			for n := range 2 {
				v, ok := single(fd.MapValue(), m.Mutable(fd).Map().NewValue, n)
				if ok {
					m.Mutable(fd).Map().Set(protoreflect.ValueOfString(fmt.Sprintf("key %d", n)).MapKey(), v)
				}
			}
		case fd.IsList():
			for n := range 2 {
				if v, ok := single(fd, m.Mutable(fd).List().NewElement, n); ok {
					m.Mutable(fd).List().Append(v)
				}
			}
		default:
			if v, ok := single(fd, func() protoreflect.Value { return m.NewField(fd) }, 0); ok {
				m.Set(fd, v)
			}
		}
	}
}

// Messages with every field of Feast set, in all combinations of oneofs and sense and nonsense, are written as they
// were read.
func TestEveryFieldRoundTrips(t *testing.T) {
	for kind := KindProject; kind < numKinds; kind++ {
		if kind == KindProjectMetadata {
			continue
		}
		for choice := range 13 {
			want := messageOf(kind)
			fill(want.ProtoReflect(), choice, 3)
			addUnknown(want.ProtoReflect())
			r := Record{ID: ID{Kind: kind}, Proto: must(proto.Marshal(want))}
			equalMessages(t, fmt.Sprintf("%s %d", kind, choice), unmarshalRecord(t, encodeAny(t, decodeRecord(t, r))), want)
		}
		r := Record{ID: ID{Kind: kind}}
		equalMessages(t, kind, unmarshalRecord(t, encodeAny(t, decodeRecord(t, r))), messageOf(kind))
	}
}

// What golden data lacks: written from Go and read back, then changed and read back.
func TestMadeInGoRoundTrips(t *testing.T) {
	source := func(o SourceOptions) *DataSource {
		return &DataSource{Name: "s", Project: "p", Options: o, Tags: map[string]string{"k": "v"}}
	}
	service := func(d LoggingDestination) *FeatureService {
		return &FeatureService{Name: "svc", Project: "p", Logging: &LoggingConfig{SampleRate: 1, Destination: d}}
	}
	batch := &DataSource{Name: "b", TimestampField: "ts", Options: TrinoOptions{Query: "SELECT 1"}}
	objects := []Object{
		source(FileOptions{Path: "x", Format: FormatDelta, S3EndpointOverride: "e"}),
		source(BigQueryOptions{Table: "t"}),
		source(RedshiftOptions{Table: "t", Query: "q", Schema: "s", Database: "d"}),
		source(SnowflakeOptions{Table: "t", Query: "q", Schema: "s", Database: "d"}),
		source(TrinoOptions{Table: "t", Query: "q"}),
		source(AthenaOptions{Table: "t", Query: "q", Database: "d", DataSource: "c"}),
		source(SparkOptions{Table: "t", TableFormat: &TableFormat{Type: "delta", CheckpointLocation: "c", Properties: map[string]string{"a": "b"}}}),
		source(SparkOptions{Path: "p", TableFormat: &TableFormat{Type: "hudi", TableType: "t", RecordKey: "r", PrecombineField: "f"}}),
		source(SparkOptions{Path: "p", TableFormat: &TableFormat{Type: "lance", Catalog: "c", Namespace: "n", Version: 3, Tag: "t"}}),
		source(IcebergOptions{CatalogType: "rest", Table: "t", CredentialVending: true, CatalogProperties: map[string]string{"a": "b"}}),
		source(PostgresOptions{Table: "t"}),
		source(MsSQLOptions{TableRef: "dbo.t"}),
		source(KafkaOptions{BootstrapServers: "b", Topic: "t", MessageFormat: StreamFormat{Type: "proto", Schema: "C"}, WatermarkDelayThreshold: time.Minute}),
		source(KinesisOptions{Region: "r", StreamName: "s", RecordFormat: StreamFormat{Type: "avro", Schema: "{}"}}),
		source(PushOptions{}),
		source(RequestOptions{Schema: []Field{{Name: "f", Type: types.Map}}}),
		source(CustomOptions{Class: "a.B", Configuration: []byte("{}")}),
		&DataSource{Name: "s", Project: "p", Options: PushOptions{}, BatchSource: batch},
		&SavedDataset{Name: "d", Project: "p", Storage: CustomOptions{Configuration: []byte("x")}, Columns: []SavedDatasetColumn{{Name: "c", Type: "INT64", Description: "d", Nullable: new(false)}, {Name: "e"}}},
		&SavedDataset{Name: "d", Project: "p", Storage: TrinoOptions{Table: "t"}},
		&SavedDataset{Name: "d", Project: "p", Storage: AthenaOptions{Table: "t"}},
		&SavedDataset{Name: "d", Project: "p", Storage: SparkOptions{Path: "t"}},
		&SavedDataset{Name: "d", Project: "p", Storage: SnowflakeOptions{Table: "t"}},
		&SavedDataset{Name: "d", Project: "p", Storage: RedshiftOptions{Table: "t"}},
		&SavedDataset{Name: "d", Project: "p", Storage: BigQueryOptions{Table: "t"}},
		&ValidationReference{Name: "r", Project: "p", DatasetName: "d", Description: "x", Tags: map[string]string{"k": "v"}, Profiler: []byte{1}, Profile: []byte{2}},
		service(FileDestination{Path: "p", S3EndpointOverride: "e", PartitionBy: []string{"a"}}),
		service(BigQueryDestination{Table: "t"}),
		service(RedshiftDestination{Table: "t"}),
		service(SnowflakeDestination{Table: "t"}),
		service(AthenaDestination{Table: "t"}),
		service(CouchbaseDestination{Database: "d", Scope: "s", Collection: "c"}),
		service(CustomDestination{Kind: "k", Config: map[string]string{"a": "b"}}),
		&FeatureView{
			Name: "v", Project: "p", Entities: []string{"e"}, EntityColumns: []Field{{Name: "e", Type: types.Int64}}, Schema: []Field{{Name: "f", Type: types.Int64}},
			Source: batch, Transformation: &Transformation{Name: "f", Body: []byte{1}}, State: StateAvailableOnline, CurrentVersion: 2, Version: "v2",
			MaterializationIntervals: []Interval{{applied, applied.Add(time.Hour)}, {applied, applied.Add(2 * time.Hour)}},
		},
		&OnDemandFeatureView{
			Name: "o", Project: "p", Schema: []Field{{Name: "f", Type: types.Int64}}, TrackMetrics: true, Tags: map[string]string{"k": "v"}, Singleton: true,
			Aggregations: []Aggregation{{Column: "c", Function: "sum", TimeWindow: time.Hour}}, State: StateCreated, CurrentVersion: 1,
		},
		&LabelView{Name: "l", Project: "p", Entities: []string{"e"}, LabelerField: "who", ConflictPolicy: LabelerPriority, RetainHistory: true, Source: batch},
		&permissions.Permission{Name: "q", Project: "p", Types: []permissions.Kind{permissions.Entity}, Actions: []permissions.Action{permissions.Create},
			Policy: permissions.NamespaceBased{Namespaces: []string{"n"}}},
	}
	for _, o := range objects {
		r := must(Encode("", o))
		read := must(Decode(r))
		if at := difference(dump(read), dump(o)); at >= 0 {
			t.Errorf("%T:\n got %s\nwant %s", o, dump(read), dump(o))
		}
		checkChanges(t, read, r.ID.String())
	}
	for o, want := range map[*DataSource]string{
		source(IcebergOptions{Table: "t"}): `"catalog_properties":{},"catalog_type":"","credential_vending":false,"endpoint":"","namespace":"","table":"t",` +
			`"token_env_var":null,`,
		source(IcebergOptions{TokenEnvVar: "T"}): `"token_env_var":"T"`,
	} {
		pb := new(core.DataSource)
		if err := proto.Unmarshal(must(Encode("", o)).Proto, pb); err != nil {
			t.Fatal(err)
		}
		if got := string(pb.GetCustomOptions().GetConfiguration()); !strings.Contains(got, want) {
			t.Errorf("configuration %s has no %s", got, want)
		}
	}
	for _, infra := range []*Infra{
		{Objects: []InfraObject{{Class: "a.B", SQLite: &SQLiteTable{Path: "p", Name: "n"}}, {Class: "c.D", Custom: []byte{1}}}},
		{Objects: []InfraObject{{Class: "a.B", Datastore: &DatastoreTable{Project: "p", Name: "n", ProjectID: new("g"), Database: new("")}}}},
	} {
		read := decodeRecord(t, encodeAny(t, infra))
		equal(t, "infra", dump(read), dump(infra))
	}
	if _, err := marshal(&Infra{Objects: []InfraObject{{SQLite: new(SQLiteTable), Custom: []byte{1}}}}, moveInfra); err == nil {
		t.Error("a table and something else at once")
	}
	for _, kind := range viewKinds {
		version := &ViewVersion{View: "v", Project: "p", Number: 3, Kind: kind, Created: applied, Description: "d", ID: "i", Proto: []byte{1}}
		equal(t, "version", dump(decodeRecord(t, encodeAny(t, version))), dump(version))
	}
	if _, err := encode("", &ViewVersion{View: "v", Kind: KindEntity}, moveViewVersion); err == nil {
		t.Error("the history of an entity")
	}
}

// Writing only reads the object: shared objects can be cloned by several goroutines. The race detector watches.
func TestEncodeConcurrently(t *testing.T) {
	var objects []Object
	for _, r := range parse(t, readFile(t, "testdata/registry/file/registry.db")).Records {
		if o, ok := decodeRecord(t, r).(Object); ok {
			objects = append(objects, o)
			made := must(Clone(o))
			*made.Origin() = sealed.Origin{}
			objects = append(objects, made)
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, o := range objects {
				if _, err := Clone(o); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// One source of a kind can become one of another.
func TestChangeOfKind(t *testing.T) {
	read := must(Decode(must(Encode("p", &DataSource{Name: "s", Options: FileOptions{Path: "x"}})))).(*DataSource)
	read.Options = PostgresOptions{Table: "t"}
	pb := unmarshalRecord(t, must(Encode("", read))).(*core.DataSource)
	equal(t, "type", pb.Type, core.DataSource_CUSTOM_SOURCE)
	equal(t, "class", pb.DataSourceClassType, postgresSource)
	equal(t, "configuration", string(pb.GetCustomOptions().Configuration), `{"name":"s","query":"","table":"t"}`)
	if pb.GetFileOptions() != nil {
		t.Error("both options")
	}

	// Members of the configuration that this library does not know stay.
	pb.GetCustomOptions().Configuration = []byte(`{"name": "pg", "table": "t", "new": [1]}`)
	read = decodeRecord(t, Record{ID: ID{Kind: KindDataSource}, Proto: must(proto.Marshal(pb))}).(*DataSource)
	read.Options = PostgresOptions{Query: "q"}
	pb = unmarshalRecord(t, must(Encode("", read))).(*core.DataSource)
	equal(t, "configuration", string(pb.GetCustomOptions().Configuration), `{"name":"s","new":[1],"query":"q","table":""}`)

	// A configuration that is not what the class has stays opaque.
	pb.GetCustomOptions().Configuration = []byte(`[]`)
	read = decodeRecord(t, Record{ID: ID{Kind: KindDataSource}, Proto: must(proto.Marshal(pb))}).(*DataSource)
	equal(t, "opaque", read.Options, SourceOptions(CustomOptions{postgresSource, []byte(`[]`)}))

	view := must(Decode(must(Encode("p", &FeatureView{Name: "v", Transformation: &Transformation{Name: "f", Body: []byte{1}}})))).(*FeatureView)
	view.Transformation = &Transformation{SubstraitPlan: []byte{2}, IbisFunction: []byte{3}}
	again := must(Decode(must(Encode("", view)))).(*FeatureView)
	equal(t, "plan", again.Transformation, view.Transformation)
	again.Transformation = nil
	equal(t, "no transformation", must(Decode(must(Encode("", again)))).(*FeatureView).IsBatch(), false)
}

// Older versions of Feast kept whole views as sources of on-demand views, and functions elsewhere.
func TestLegacyOnDemandView(t *testing.T) {
	pb := &core.OnDemandFeatureView{Spec: &core.OnDemandFeatureViewSpec{
		Name: "o", Project: "p",
		Sources: map[string]*core.OnDemandSource{
			"whole": {Source: &core.OnDemandSource_FeatureView{FeatureView: &core.FeatureView{Spec: &core.FeatureViewSpec{
				Name: "stats", Features: []*core.FeatureSpecV2{{Name: "f", ValueType: 4}},
			}}}},
			"newer": {},
		},
		UserDefinedFunction: &core.UserDefinedFunction{Name: "fn", Body: []byte{1}, BodyText: "def"},
	}}
	read := decodeRecord(t, Record{ID: ID{Kind: KindOnDemandFeatureView}, Proto: must(proto.Marshal(pb))}).(*OnDemandFeatureView)
	equal(t, "sources", read.Sources, []FeatureViewProjection{{Name: "stats", Features: []Field{{Name: "f", Type: types.Int64}}}})
	equal(t, "function", read.Transformation, &Transformation{Name: "fn", Body: []byte{1}, Text: "def"})
	equalMessages(t, "untouched", unmarshalRecord(t, encodeAny(t, read)), pb)

	read.Transformation.Mode = "python"
	read.Sources[0].Alias = "s"
	pb.Spec.FeatureTransformation = &core.FeatureTransformationV2{Transformation: &core.FeatureTransformationV2_UserDefinedFunction{
		UserDefinedFunction: &core.UserDefinedFunctionV2{Name: "fn", Body: []byte{1}, BodyText: "def", Mode: "python"},
	}}
	delete(pb.Spec.Sources, "whole")
	pb.Spec.Sources["s"] = &core.OnDemandSource{Source: &core.OnDemandSource_FeatureViewProjection{FeatureViewProjection: &core.FeatureViewProjection{
		FeatureViewName: "stats", FeatureViewNameAlias: "s", FeatureColumns: []*core.FeatureSpecV2{{Name: "f", ValueType: 4}},
	}}}
	equalMessages(t, "changed", unmarshalRecord(t, encodeAny(t, read)), pb)
}

// A stored view whose stream has a history and that has none itself stays as it is, and has it all the same.
func TestStoredStreamAlone(t *testing.T) {
	source := func(name string, kind core.DataSource_SourceType, batch *core.DataSource) *core.DataSource {
		return &core.DataSource{Name: name, Type: kind, BatchSource: batch}
	}
	pb := &core.FeatureView{Spec: &core.FeatureViewSpec{
		Name:         "v",
		StreamSource: source("p", core.DataSource_PUSH_SOURCE, source("s", core.DataSource_BATCH_FILE, nil)),
	}}
	read := decodeRecord(t, Record{ID: ID{Kind: KindFeatureView}, Proto: must(proto.Marshal(pb))}).(*FeatureView)
	equal(t, "history", read.Info().Source.Name, "s")
	read.Owner, pb.Spec.Owner = "me", "me"
	read.Entities, read.EntityColumns = nil, nil
	got := unmarshalRecord(t, encodeAny(t, read)).(*core.FeatureView)
	got.Spec.Entities, got.Spec.EntityColumns = nil, nil // the placeholder
	equalMessages(t, "changed", got, pb)
}

// FuzzRecord reads and writes single records: what reads is written as what reads the same.
func FuzzRecord(f *testing.F) {
	for _, file := range goldenFiles(f)[:3] {
		for _, r := range parse(f, readFile(f, file)).Records {
			f.Add(uint8(r.Kind), r.Proto)
		}
	}
	for kind := KindProject; kind < numKinds; kind++ {
		for choice := range 3 {
			m := messageOf(kind)
			fill(m.ProtoReflect(), choice, 2)
			f.Add(uint8(kind), must(proto.Marshal(m)))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		r := Record{ID: ID{Kind: Kind(kind)}, Proto: data}
		if Kind(kind) < numKinds && Kind(kind) > 0 {
			if _, err := identity(r.Kind, data); err != nil && proto.Unmarshal(data, messageOf(r.Kind)) == nil {
				t.Errorf("a good message without an identity: %v", err)
			}
		}
		before := bytes.Clone(data)
		v, err := decode(r)
		if err != nil {
			return
		}
		again := encodeAny(t, v)
		equalMessages(t, r.Kind, unmarshalRecord(t, again), unmarshalRecord(t, r))
		if !bytes.Equal(data, before) {
			t.Error("reading modified the data")
		}
	})
}
