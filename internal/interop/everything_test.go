package interop_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// everything returns the objects that testdata/everything.py defines.
func everything(t *testing.T) []feast.Object {
	driver := &registry.Entity{
		Name: "driver", JoinKey: "driver_id", ValueType: types.Int64, Description: "A driver", Tags: tags("pii", "no"), Owner: "me",
	}
	customer := &registry.Entity{Name: "customer", JoinKey: "customer_id", ValueType: types.String}
	item := &registry.Entity{Name: "item", ValueType: types.Int64}

	driverFile := &registry.DataSource{
		Name: "driver_file", TimestampField: "event_timestamp", CreatedTimestampColumn: "created",
		FieldMapping: tags("cr", "conv_rate"), Description: "Files", Tags: tags("a", "1"), Owner: "me",
		Options: registry.FileOptions{Path: "data/driver.parquet"},
	}
	plainFile := &registry.DataSource{
		Name: "plain_file", TimestampField: "ts",
		Options: registry.FileOptions{Path: "s3://bucket/plain.parquet", S3EndpointOverride: "http://localhost:1"},
	}
	source := func(name string, o registry.SourceOptions) *registry.DataSource {
		return &registry.DataSource{Name: name, TimestampField: "ts", Options: o}
	}
	bigquery := source("bigquery", registry.BigQueryOptions{Table: "p.d.t"})
	bigquery.DatePartitionColumn = "day"
	kafka := &registry.DataSource{
		Name: "kafka", TimestampField: "event_timestamp", BatchSource: driverFile, Options: registry.KafkaOptions{
			BootstrapServers: "localhost:9092", Topic: "t", WatermarkDelayThreshold: 5 * time.Minute,
			MessageFormat: registry.StreamFormat{Type: "avro", Schema: `{"type": "record"}`},
		},
	}
	kinesis := &registry.DataSource{
		Name: "kinesis", TimestampField: "event_timestamp", BatchSource: driverFile, Options: registry.KinesisOptions{
			Region: "eu", StreamName: "s", RecordFormat: registry.StreamFormat{Type: "proto", Schema: "a.B"},
		},
	}
	pushed := &registry.DataSource{
		Name: "pushed", BatchSource: driverFile, Description: "Pushed", Tags: tags("b", "2"), Owner: "me", Options: registry.PushOptions{},
	}
	labelsPushed := &registry.DataSource{Name: "labels_pushed", BatchSource: plainFile, Options: registry.PushOptions{}}
	request := &registry.DataSource{Name: "request", Options: registry.RequestOptions{Schema: []registry.Field{
		{Name: "amount", Type: types.Float64}, {Name: "country", Type: types.String},
	}}}

	driverID := registry.Field{Name: "driver_id", Type: types.Int64}
	itemID := registry.Field{Name: "item", Type: types.Int64}
	return []feast.Object{
		&registry.Project{Name: "interop", Description: "Both sides", Tags: tags("team", "a"), Owner: "owner@example.org"},
		driver, customer, item,
		driverFile, plainFile, bigquery, kafka, kinesis, pushed, labelsPushed, request,
		source("bigquery_query", registry.BigQueryOptions{Query: "SELECT 1"}),
		source("redshift", registry.RedshiftOptions{Table: "t", Schema: "s", Database: "d"}),
		source("snowflake", registry.SnowflakeOptions{Table: "T", Schema: "S", Database: "D"}),
		source("spark", registry.SparkOptions{Path: "/data/x", FileFormat: "parquet", DatePartitionColumnFormat: "%Y-%m-%d"}),
		source("athena", registry.AthenaOptions{Table: "t", Database: "d", DataSource: "AwsDataCatalog"}),
		source("mssql", registry.MsSQLOptions{TableRef: "dbo.t", ConnectionString: "mssql://u:p@h/d"}),
		source("iceberg", registry.IcebergOptions{
			CatalogType: "rest", CatalogName: "c", Endpoint: "http://localhost:2", Warehouse: "w", Namespace: "n", Table: "t", CredentialVending: true,
		}),

		&registry.FeatureView{
			Name: "driver_stats", Entities: []string{"driver"}, TTL: 24 * time.Hour, Source: driverFile, Online: true, Offline: true,
			Description: "Statistics", Tags: tags("team", "x", "tier", "1"), Owner: "me", Org: "ads",
			Schema: []registry.Field{
				driverID,
				{Name: "conv_rate", Type: types.Float32, Description: "Conversions", Tags: tags("unit", "1")},
				{Name: "acc_rate", Type: types.Float64},
				{Name: "trips", Type: types.Int32},
			},
		},
		&registry.FeatureView{
			Name: "pair_stats", Entities: []string{"driver", "customer"}, TTL: 36*time.Hour + time.Second + 5*time.Microsecond,
			Source: plainFile, Online: true,
			Schema: []registry.Field{{Name: "customer_id", Type: types.String}, driverID, {Name: "together", Type: types.Int64}},
		},
		&registry.FeatureView{Name: "global_stats", Source: plainFile, Schema: []registry.Field{{Name: "total", Type: types.Int64}}},
		&registry.FeatureView{
			Name: "kafka_stats", Entities: []string{"driver"}, Source: kafka, Online: true,
			Schema: []registry.Field{driverID, {Name: "seen", Type: types.UnixTimestamp}},
		},
		&registry.FeatureView{
			Name: "kinesis_stats", Entities: []string{"driver"}, Source: kinesis, Online: true,
			Schema: []registry.Field{driverID, {Name: "kinesis_seen", Type: types.UnixTimestamp}},
		},
		&registry.FeatureView{
			Name: "push_stats", Entities: []string{"driver"}, Source: pushed, Online: true, EnableValidation: true,
			Schema: []registry.Field{driverID, {Name: "rating", Type: types.Int64}, {Name: "city", Type: types.String}},
		},
		&registry.FeatureView{
			Name: "off", Entities: []string{"item"}, Source: plainFile, Online: true, Disabled: true,
			Schema: []registry.Field{itemID, {Name: "x", Type: types.Bool}},
		},
		&registry.FeatureView{
			Name: "vectors", Entities: []string{"item"}, Source: plainFile, Online: true,
			Schema: []registry.Field{
				itemID,
				{Name: "embedding", Type: types.Float32List, VectorIndex: true, VectorLength: 3, VectorSearchMetric: "cosine"},
				{Name: "title", Type: types.String},
			},
		},
		&registry.FeatureView{
			Name: "all_types", Entities: []string{"item"}, Source: plainFile, Online: true, Schema: append([]registry.Field{itemID}, allTypes...),
		},
		&registry.FeatureView{ // a batch view without a function is stored as a plain one
			Name: "batch_stats", Entities: []string{"driver"}, Source: driverFile, TTL: time.Hour, Online: true, Mode: "pandas",
			Schema: []registry.Field{driverID, {Name: "sum", Type: types.Int64}},
		},
		&registry.StreamFeatureView{
			Name: "stream_stats", Entities: []string{"driver"}, Source: kafka, TTL: 5 * time.Minute, TimestampField: "event_timestamp",
			Mode: "spark", Online: true, Description: "Stream", Tags: tags("s", "1"), Owner: "me", EnableTiling: true, TilingHopSize: 10 * time.Minute,
			Schema: []registry.Field{driverID, {Name: "trips_1h", Type: types.Int64}},
			Aggregations: []registry.Aggregation{{
				Column: "trips", Function: "sum", TimeWindow: time.Hour, SlideInterval: 10 * time.Minute,
			}},
		},

		// Feast runs the source text of a function and needs no pickle of it.
		&registry.OnDemandFeatureView{
			Name: "computed", Sources: []registry.FeatureViewProjection{{Name: "driver_stats"}}, RequestSources: []*registry.DataSource{request},
			Schema: []registry.Field{{Name: "rate_times", Type: types.Float64}, {Name: "rate_plus", Type: types.Float64}},
			Mode:   "python", Description: "Computed", Tags: tags("o", "1"), Owner: "me",
			Transformation: &registry.Transformation{Name: "computed", Mode: "python", Text: functionText(t, "computed")},
		},
		&registry.OnDemandFeatureView{
			Name: "written", Entities: []string{"driver"}, WriteToOnlineStore: true,
			Sources:        []registry.FeatureViewProjection{{Name: "driver_stats", Features: []registry.Field{{Name: "trips"}}}},
			Schema:         []registry.Field{driverID, {Name: "double_trips", Type: types.Int64}},
			Transformation: &registry.Transformation{Name: "written", Mode: "pandas", Text: functionText(t, "written")},
		},
		&registry.LabelView{
			Name: "labels", Entities: []string{"driver"}, Source: labelsPushed, TTL: 48 * time.Hour, Online: true, LabelerField: "who",
			ConflictPolicy: registry.MajorityVote, ReferenceFeatureView: "driver_stats",
			Description: "Labels", Tags: tags("l", "1"), Owner: "me",
			Schema: []registry.Field{driverID, {Name: "verdict", Type: types.String}, {Name: "who", Type: types.String}},
		},

		&registry.FeatureService{
			Name: "activity", Description: "A model", Tags: tags("m", "1"), Owner: "me",
			Features: []registry.FeatureViewProjection{
				{Name: "driver_stats", Features: []registry.Field{{Name: "conv_rate"}, {Name: "trips"}}}, {Name: "pair_stats"}, {Name: "computed"},
			},
			Logging: &registry.LoggingConfig{
				SampleRate: 0.5, Destination: registry.FileDestination{Path: "logs", PartitionBy: []string{"day"}},
			},
		},
		&registry.FeatureService{
			Name: "aliased",
			Features: []registry.FeatureViewProjection{
				{Name: "driver_stats", Alias: "origin", JoinKeyMap: tags("driver_id", "origin_id")}, {Name: "pair_stats:together"}, {Name: "labels"},
			},
		},
		&registry.FeatureService{Name: "streamed", Features: []registry.FeatureViewProjection{{Name: "stream_stats"}}},

		&permissions.Permission{
			Name: "admins", Actions: permissions.AllActions(), Policy: permissions.RoleBased{Roles: []string{"admin", "root"}},
		},
		&permissions.Permission{
			Name: "readers", Types: []permissions.Kind{permissions.FeatureView, permissions.FeatureService},
			NamePatterns: []string{"driver_.*", "a.*"}, RequiredTags: tags("team", "x"), Tags: tags("p", "1"),
			Actions: []permissions.Action{permissions.Describe, permissions.ReadOnline},
			Policy:  permissions.GroupBased{Groups: []string{"g1"}},
		},
		&permissions.Permission{
			Name: "spaces", Types: []permissions.Kind{permissions.Entity}, Actions: []permissions.Action{permissions.Create},
			Policy: permissions.NamespaceBased{Namespaces: []string{"n1", "n2"}},
		},
		&permissions.Permission{
			Name: "both", Actions: []permissions.Action{permissions.Delete},
			Policy: permissions.CombinedGroupNamespace{Groups: []string{"g"}, Namespaces: []string{"n"}},
		},
		&registry.SavedDataset{
			Name: "training", Description: "Kept", Tags: tags("t", "1"), Features: []string{"driver_stats:conv_rate"},
			JoinKeys: []string{"driver_id"}, FullFeatureNames: true, FeatureServiceName: "activity", Namespace: "ns", Collection: "col",
			Storage: registry.FileOptions{Path: "training.parquet"},
		},
	}
}

// allTypes are the features of all_types.
var allTypes = []registry.Field{
	{Name: "f_bytes", Type: types.Bytes},
	{Name: "f_string", Type: types.String},
	{Name: "f_int32", Type: types.Int32},
	{Name: "f_int64", Type: types.Int64},
	{Name: "f_float32", Type: types.Float32},
	{Name: "f_float64", Type: types.Float64},
	{Name: "f_bool", Type: types.Bool},
	{Name: "f_time", Type: types.UnixTimestamp},
	{Name: "f_json", Type: types.JSON},
	{Name: "f_uuid", Type: types.UUID},
	{Name: "f_timeuuid", Type: types.TimeUUID},
	{Name: "f_decimal", Type: types.Decimal},
	{Name: "f_map", Type: types.Map},
	{Name: "f_scalarmap", Type: types.ScalarMap},
	{Name: "f_struct", Type: types.Struct, Inner: `{"a": "INT64", "b": "STRING"}`},
	{Name: "f_zoned", Type: types.ZonedTimestamp},
	{Name: "l_bytes", Type: types.BytesList},
	{Name: "l_string", Type: types.StringList},
	{Name: "l_int32", Type: types.Int32List},
	{Name: "l_int64", Type: types.Int64List},
	{Name: "l_float32", Type: types.Float32List},
	{Name: "l_float64", Type: types.Float64List},
	{Name: "l_bool", Type: types.BoolList},
	{Name: "l_time", Type: types.UnixTimestampList},
	{Name: "l_uuid", Type: types.UUIDList},
	{Name: "l_decimal", Type: types.DecimalList},
	{Name: "l_map", Type: types.MapList},
	{Name: "l_struct", Type: types.StructList, Inner: `{"a": "INT64"}`},
	{Name: "l_list", Type: types.ValueList, Inner: "Array(Array(INT64))"},
	{Name: "s_string", Type: types.StringSet},
	{Name: "s_int32", Type: types.Int32Set},
	{Name: "s_int64", Type: types.Int64Set},
	{Name: "s_float64", Type: types.Float64Set},
	{Name: "s_uuid", Type: types.UUIDSet},
}

func tags(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// functionText returns the source text of a function of everything.py as Feast stores it: decorator and all.
func functionText(t *testing.T, name string) string {
	t.Helper()
	file, err := os.ReadFile("testdata/everything.py")
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(string(file), "\n\n\n") {
		if text := strings.TrimRight(part, "\n") + "\n"; strings.Contains(text, "\ndef "+name+"(") {
			return text
		}
	}
	t.Fatalf("everything.py has no function %s", name)
	return ""
}
