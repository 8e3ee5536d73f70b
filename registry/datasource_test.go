package registry

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/types"
)

// sourceCases are the data sources of golden/offline/data_sources as one defines them in Go. All but the first and those of
// streams have an event timestamp column "ts".
func sourceCases() map[string]*DataSource {
	cases := map[string]*DataSource{}
	add := func(name, source string, o SourceOptions) *DataSource {
		cases[name] = &DataSource{Name: source, TimestampField: "ts", Options: o}
		return cases[name]
	}
	// full has all that is common to all kinds.
	full := func(name, source string, o SourceOptions) *DataSource {
		d := add(name, source, o)
		d.TimestampField, d.CreatedTimestampColumn, d.FieldMapping = "event_timestamp", "created", map[string]string{"raw": "v"}
		d.Description, d.Tags, d.Owner = "desc", map[string]string{"k": "t"}, "me@x.org"
		return d
	}
	stream := func(name, source string, o SourceOptions) {
		add(name, source, o).BatchSource = &DataSource{Name: "b", TimestampField: "ts", Options: FileOptions{Path: "b.parquet"}}
	}
	const spark = "%Y-%m-%d"
	custom := func(class, configuration string) CustomOptions {
		return CustomOptions{Class: contribStores + class, Configuration: []byte(configuration)}
	}

	add("file_minimal", "data/x.parquet", FileOptions{Path: "data/x.parquet"}).TimestampField = "event_timestamp"
	full("file_parquet_full", "s", FileOptions{Path: "s3://bucket/dir/", Format: FormatParquet, S3EndpointOverride: "http://minio:9000"})
	add("file_delta", "s", FileOptions{Path: "s3://bucket/t", Format: FormatDelta})
	bigquery := full("bigquery_table", "p.d.t", BigQueryOptions{Table: "p.d.t"})
	bigquery.DatePartitionColumn, bigquery.TimestampFieldType = "day", "DATE"
	add("bigquery_query", "q", BigQueryOptions{Query: "SELECT 1"})
	full("snowflake_table", "T", SnowflakeOptions{Table: "T", Schema: "PUBLIC", Database: "DB"})
	add("snowflake_query", "q", SnowflakeOptions{Query: "SELECT 1"})
	full("redshift_table", "t", RedshiftOptions{Table: "t", Schema: "public", Database: "db"})
	athena := full("athena_table", "t", AthenaOptions{Table: "t", Database: "default", DataSource: "AwsDataCatalog"})
	athena.DatePartitionColumn, athena.Owner = "day", "" // Feast forgets the owner
	full("trino_table", "c.s.t", TrinoOptions{Table: "c.s.t"})
	full("postgres_table", "src", PostgresOptions{Table: "t"})
	add("postgres_query", "q", PostgresOptions{Query: "SELECT * FROM t"})
	full("spark_table", "db.t", SparkOptions{Table: "db.t", DatePartitionColumnFormat: spark}).DatePartitionColumn = "day"
	add("spark_path", "p", SparkOptions{Path: "s3a://b/x", FileFormat: "parquet", DatePartitionColumnFormat: spark})
	add("spark_iceberg", "i", SparkOptions{Path: "db.tbl", DatePartitionColumnFormat: spark, TableFormat: &TableFormat{
		Type: "iceberg", Catalog: "cat", Namespace: "ns",
		Properties: map[string]string{"iceberg.catalog": "cat", "iceberg.namespace": "ns"},
	}})
	full("clickhouse_table", "s", custom("clickhouse_offline_store.clickhouse_source.ClickhouseSource", `{"name": "s", "query": "", "table": "t"}`))
	add("mssql_table", "s", MsSQLOptions{TableRef: "t", ConnectionString: "mssql+pyodbc://x"})
	add("couchbase", "s", custom("couchbase_offline_store.couchbase_source.CouchbaseColumnarSource",
		`{"name": "s", "query": "", "database": "d", "scope": "sc", "collection": "c"}`))
	add("oracle", "s", custom("oracle_offline_store.oracle_source.OracleSource", `{"table_ref": "T"}`))
	add("ray", "s", custom("ray_offline_store.ray_source.RaySource", `{"reader_type": "parquet", "path": "x.parquet", "reader_options": {}}`))
	add("mongodb", "s", custom("mongodb_offline_store.mongodb.MongoDBSource", `{"feature_view": "s"}`)).CreatedTimestampColumn = "created_at"
	stream("kafka", "k", KafkaOptions{
		BootstrapServers: "h:9092", Topic: "t", MessageFormat: StreamFormat{Type: "json", Schema: "a integer"}, WatermarkDelayThreshold: 5 * time.Minute,
	})
	stream("kinesis", "k", KinesisOptions{Region: "us-east-1", StreamName: "st", RecordFormat: StreamFormat{Type: "avro", Schema: "{}"}})
	stream("push", "p", PushOptions{})
	add("request", "r", RequestOptions{Schema: []Field{{Name: "a", Type: types.Int64}, {Name: "b", Type: types.String}}}).TimestampField = ""
	return cases
}

var storageCases = map[string]SourceOptions{
	"saved_dataset_storage_file":      FileOptions{Path: "out.parquet", Format: FormatParquet},
	"saved_dataset_storage_bigquery":  BigQueryOptions{Table: "p.d.t"},
	"saved_dataset_storage_snowflake": SnowflakeOptions{Table: "T"},
	"saved_dataset_storage_redshift":  RedshiftOptions{Table: "t"},
	"saved_dataset_storage_athena":    AthenaOptions{Table: "t"},
	"saved_dataset_storage_trino":     TrinoOptions{Table: "t"},
	"saved_dataset_storage_spark":     SparkOptions{Table: "t", DatePartitionColumnFormat: "%Y-%m-%d"},
	"saved_dataset_storage_postgres": CustomOptions{Configuration: []byte(`{"name": "", "query": "", "table": "t", "saved_dataset_storage_class": "` +
		contribStores + `postgres_offline_store.postgres_source.SavedDatasetPostgreSQLStorage"}`)},
	"saved_dataset_storage_clickhouse": CustomOptions{Configuration: []byte(`{"name": "", "query": "", "table": "t", "saved_dataset_storage_class": "` +
		contribStores + `clickhouse_offline_store.clickhouse_source.SavedDatasetClickhouseStorage"}`)},
}

var destinationCases = map[string]LoggingDestination{
	"logging_destination_file":      FileDestination{Path: "logs/", PartitionBy: []string{"__log_date"}},
	"logging_destination_bigquery":  BigQueryDestination{Table: "p.d.t"},
	"logging_destination_snowflake": SnowflakeDestination{Table: "T"},
	"logging_destination_redshift":  RedshiftDestination{Table: "t"},
	"logging_destination_athena":    AthenaDestination{Table: "t"},
}

// Each encoding of a data source, of a saved dataset's storage and of a logging destination is read as what one defines in
// Go, and written of it.
func TestGoldenDataSources(t *testing.T) {
	var golden []struct {
		Case string
		Hex  string `json:"proto_hex"`
	}
	if err := json.Unmarshal(readFile(t, "testdata/offline/data_sources.json"), &golden); err != nil {
		t.Fatal(err)
	}
	sources, storages, destinations := sourceCases(), maps.Clone(storageCases), maps.Clone(destinationCases)
	for _, c := range golden {
		encoded, err := hex.DecodeString(c.Hex)
		if err != nil {
			t.Fatal(err)
		}
		unmarshal := func(m proto.Message) {
			if err := proto.Unmarshal(encoded, m); err != nil {
				t.Fatalf("%s: %v", c.Case, err)
			}
		}
		if d, ok := sources[c.Case]; ok {
			delete(sources, c.Case)
			want := new(core.DataSource)
			unmarshal(want)
			equal(t, c.Case, plain(decodeRecord(t, Record{ID: ID{Kind: KindDataSource}, Proto: encoded}).(*DataSource)), d)
			again := unmarshalRecord(t, encodeAny(t, d)).(*core.DataSource)
			for _, d := range []*core.DataSource{again, again.BatchSource} { // the class of most, and meta, are set by Feast's registry
				if d != nil && want.DataSourceClassType == "" {
					d.DataSourceClassType = ""
				}
				if d != nil {
					d.Meta = nil
				}
			}
			if o := again.GetCustomOptions(); o != nil { // JSON, which may be spaced otherwise
				var got, of any
				if err := errors.Join(json.Unmarshal(o.Configuration, &got), json.Unmarshal(want.GetCustomOptions().Configuration, &of)); err != nil {
					t.Fatalf("%s: %v", c.Case, err)
				}
				equal(t, c.Case, got, of)
				o.Configuration = want.GetCustomOptions().Configuration
			}
			equalMessages(t, c.Case, again, want)
		} else if o, ok := storages[c.Case]; ok {
			delete(storages, c.Case)
			want := &core.SavedDataset{Spec: &core.SavedDatasetSpec{Storage: new(core.SavedDatasetStorage)}}
			unmarshal(want.Spec.Storage)
			d := decodeRecord(t, Record{ID: ID{Kind: KindSavedDataset}, Proto: marshalled(t, want)}).(*SavedDataset)
			equal(t, c.Case, d.Storage, o)
			equalMessages(t, c.Case, unmarshalRecord(t, encodeAny(t, &SavedDataset{Storage: o})).(*core.SavedDataset).Spec.Storage, want.Spec.Storage)
		} else if o, ok := destinations[c.Case]; ok {
			delete(destinations, c.Case)
			want := &core.FeatureService{Spec: &core.FeatureServiceSpec{LoggingConfig: new(core.LoggingConfig)}}
			unmarshal(want.Spec.LoggingConfig)
			s := decodeRecord(t, Record{ID: ID{Kind: KindFeatureService}, Proto: marshalled(t, want)}).(*FeatureService)
			equal(t, c.Case, s.Logging, &LoggingConfig{Destination: o})
			again := unmarshalRecord(t, encodeAny(t, &FeatureService{Logging: &LoggingConfig{Destination: o}})).(*core.FeatureService)
			equalMessages(t, c.Case, again.Spec.LoggingConfig, want.Spec.LoggingConfig)
		} else {
			t.Errorf("%s is not tested", c.Case)
		}
	}
	if len(sources)+len(storages)+len(destinations) > 0 {
		t.Errorf("golden data lack %v, %v, %v", sources, storages, destinations)
	}
}

func marshalled(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
