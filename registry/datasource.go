package registry

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/permissions"
)

// DataSource says where feature data comes from. Options decides the kind.
//
//	&registry.DataSource{
//		Name:           "driver_file",
//		TimestampField: "event_timestamp",
//		Options:        registry.FileOptions{Path: "data/driver_stats.parquet"},
//	}
type DataSource struct {
	Name        string
	Project     string // set when read; empty in sources that are part of a view
	Description string
	Owner       string
	Tags        map[string]string

	TimestampField         string
	CreatedTimestampColumn string
	DatePartitionColumn    string
	TimestampFieldType     string            // "", "TIMESTAMP" or "DATE"
	FieldMapping           map[string]string // source column -> feature name

	// Options is what only sources of its kind have; nil for a kind that this library does not know.
	Options SourceOptions

	// BatchSource is the history of a push, Kafka or Kinesis source.
	BatchSource *DataSource

	Created     time.Time
	LastUpdated time.Time

	origin sealed.Origin
}

// Resource implements [Object].
func (d *DataSource) Resource() permissions.Resource {
	r := permissions.Resource{Kind: permissions.DataSource, Name: d.Name, Project: d.Project, Tags: d.Tags, Owner: d.Owner}
	if d.Options != nil {
		r.Class = d.Options.class()
	}
	return r
}

// Origin implements [Object], for this module only.
func (d *DataSource) Origin() *sealed.Origin { return &d.origin }

// IsStream reports whether the source is a push, Kafka or Kinesis source, whose history is in BatchSource.
func (d *DataSource) IsStream() bool {
	switch d.Options.(type) {
	case PushOptions, KafkaOptions, KinesisOptions:
		return true
	}
	return false
}

// SourceOptions is what only data sources of one kind have, or the storage of a [SavedDataset]. It is one of the
// Options types of this package, by value.
type SourceOptions interface {
	sourceType() core.DataSource_SourceType
	class() string // Python class
}

type (
	// FileOptions is for Parquet files or Delta tables.
	FileOptions struct {
		Path               string // path or URI of a file, directory or pattern
		Format             FileFormat
		S3EndpointOverride string
	}

	// BigQueryOptions is for a table ("project.dataset.table") or a query.
	BigQueryOptions struct{ Table, Query string }

	// RedshiftOptions is for a table or a query.
	RedshiftOptions struct{ Table, Query, Schema, Database string }

	// SnowflakeOptions is for a table or a query.
	SnowflakeOptions struct{ Table, Query, Schema, Database string }

	// TrinoOptions is for a table or a query.
	TrinoOptions struct{ Table, Query string }

	// AthenaOptions is for a table or a query of a catalog ("AwsDataCatalog").
	AthenaOptions struct{ Table, Query, Database, DataSource string }

	// SparkOptions is for a table, a query or a path.
	SparkOptions struct {
		Table, Query, Path        string
		FileFormat                string // of Path: "csv", "json", "parquet" or "avro"
		DatePartitionColumnFormat string // as in strftime; Feast's default is "%Y-%m-%d"
		TableFormat               *TableFormat
	}

	// IcebergOptions is for a table of an Iceberg catalog.
	IcebergOptions struct {
		CatalogType       string            `json:"catalog_type"`
		CatalogName       string            `json:"catalog_name"`
		Endpoint          string            `json:"endpoint"`
		Warehouse         string            `json:"warehouse"`
		Namespace         string            `json:"namespace"`
		Table             string            `json:"table"`
		TokenEnvVar       string            `json:"token_env_var"`
		CredentialVending bool              `json:"credential_vending"`
		CatalogProperties map[string]string `json:"catalog_properties"`
	}

	// PostgresOptions is for a table or a query.
	PostgresOptions struct {
		Table string `json:"table"`
		Query string `json:"query"`
	}

	// MsSQLOptions is for a table of a Microsoft SQL Server.
	MsSQLOptions struct {
		TableRef         string `json:"table_ref"`
		ConnectionString string `json:"connection_string"`
	}

	// KafkaOptions is for a Kafka topic.
	KafkaOptions struct {
		BootstrapServers        string // "host:port,host:port"
		Topic                   string
		MessageFormat           StreamFormat
		WatermarkDelayThreshold time.Duration
	}

	// KinesisOptions is for a Kinesis stream.
	KinesisOptions struct {
		Region, StreamName string
		RecordFormat       StreamFormat
	}

	// PushOptions is for rows come from Push calls.
	PushOptions struct{}

	// RequestOptions is for values come with the request.
	RequestOptions struct{ Schema []Field }

	// CustomOptions is for a source of a plug-in, by its Python class and opaque configuration, often JSON.
	CustomOptions struct {
		Class         string // dotted class path; Feast needs it to read the source
		Configuration []byte
	}
)

// FileFormat is the format of a file source. The zero value is Parquet.
type FileFormat string

// The formats of file sources.
const (
	FormatParquet FileFormat = "parquet"
	FormatDelta   FileFormat = "delta"
)

// StreamFormat is the format of messages in a stream. The zero value says nothing.
type StreamFormat struct {
	Type   string // "avro", "json" or "proto"
	Schema string // Avro or JSON schema text, or Protobuf class path
}

// TableFormat is the table format of a Spark source.
type TableFormat struct {
	Type       string // "iceberg", "delta", "hudi" or "lance"
	Properties map[string]string

	Catalog, Namespace                    string // iceberg, lance
	Version                               uint64 // lance
	Tag                                   string // lance
	CheckpointLocation                    string // delta
	TableType, RecordKey, PrecombineField string // hudi
}

func (FileOptions) sourceType() core.DataSource_SourceType     { return core.DataSource_BATCH_FILE }
func (BigQueryOptions) sourceType() core.DataSource_SourceType { return core.DataSource_BATCH_BIGQUERY }
func (RedshiftOptions) sourceType() core.DataSource_SourceType { return core.DataSource_BATCH_REDSHIFT }
func (SnowflakeOptions) sourceType() core.DataSource_SourceType {
	return core.DataSource_BATCH_SNOWFLAKE
}
func (TrinoOptions) sourceType() core.DataSource_SourceType    { return core.DataSource_BATCH_TRINO }
func (AthenaOptions) sourceType() core.DataSource_SourceType   { return core.DataSource_BATCH_ATHENA }
func (SparkOptions) sourceType() core.DataSource_SourceType    { return core.DataSource_BATCH_SPARK }
func (IcebergOptions) sourceType() core.DataSource_SourceType  { return core.DataSource_BATCH_ICEBERG }
func (PostgresOptions) sourceType() core.DataSource_SourceType { return core.DataSource_CUSTOM_SOURCE }
func (MsSQLOptions) sourceType() core.DataSource_SourceType    { return core.DataSource_CUSTOM_SOURCE }
func (CustomOptions) sourceType() core.DataSource_SourceType   { return core.DataSource_CUSTOM_SOURCE }
func (KafkaOptions) sourceType() core.DataSource_SourceType    { return core.DataSource_STREAM_KAFKA }
func (KinesisOptions) sourceType() core.DataSource_SourceType  { return core.DataSource_STREAM_KINESIS }
func (PushOptions) sourceType() core.DataSource_SourceType     { return core.DataSource_PUSH_SOURCE }
func (RequestOptions) sourceType() core.DataSource_SourceType  { return core.DataSource_REQUEST_SOURCE }

const (
	offlineStores  = "feast.infra.offline_stores."
	contribStores  = offlineStores + "contrib."
	postgresSource = contribStores + "postgres_offline_store.postgres_source.PostgreSQLSource"
	msSQLSource    = contribStores + "mssql_offline_store.mssqlserver_source.MsSqlServerSource"
)

func (FileOptions) class() string      { return offlineStores + "file_source.FileSource" }
func (BigQueryOptions) class() string  { return offlineStores + "bigquery_source.BigQuerySource" }
func (RedshiftOptions) class() string  { return offlineStores + "redshift_source.RedshiftSource" }
func (SnowflakeOptions) class() string { return offlineStores + "snowflake_source.SnowflakeSource" }
func (TrinoOptions) class() string {
	return contribStores + "trino_offline_store.trino_source.TrinoSource"
}
func (AthenaOptions) class() string {
	return contribStores + "athena_offline_store.athena_source.AthenaSource"
}
func (SparkOptions) class() string {
	return contribStores + "spark_offline_store.spark_source.SparkSource"
}
func (IcebergOptions) class() string {
	return "feast.infra.data_sources.contrib.iceberg_catalog.iceberg_source.IcebergSource"
}
func (PostgresOptions) class() string { return postgresSource }
func (MsSQLOptions) class() string    { return msSQLSource }
func (o CustomOptions) class() string { return o.Class }
func (KafkaOptions) class() string    { return "feast.data_source.KafkaSource" }
func (KinesisOptions) class() string  { return "feast.data_source.KinesisSource" }
func (PushOptions) class() string     { return "feast.data_source.PushSource" }
func (RequestOptions) class() string  { return "feast.data_source.RequestSource" }

func moveDataSource(c *codec, d *DataSource, pb *core.DataSource) {
	move(c, &d.Name, &pb.Name)
	move(c, &d.Project, &pb.Project)
	move(c, &d.Description, &pb.Description)
	move(c, &d.Owner, &pb.Owner)
	pairs(c, &d.Tags, &pb.Tags)
	move(c, &d.TimestampField, &pb.TimestampField)
	move(c, &d.CreatedTimestampColumn, &pb.CreatedTimestampColumn)
	move(c, &d.DatePartitionColumn, &pb.DatePartitionColumn)
	move(c, &d.TimestampFieldType, &pb.TimestampFieldType)
	pairs(c, &d.FieldMapping, &pb.FieldMapping)
	moveSource(c, &d.BatchSource, &pb.BatchSource)
	meta := sub(c, &pb.Meta)
	instant(c, &d.Created, &meta.CreatedTimestamp)
	instant(c, &d.LastUpdated, &meta.LastUpdatedTimestamp)

	stored := oneof(pb, "options")
	switch {
	case !c.write:
		d.Options = readOptions(pb.Type, pb.DataSourceClassType, stored)
	case d.Options != nil:
		if t, class := d.Options.sourceType(), d.Options.class(); pb.Type != t || isCustom(t) && pb.DataSourceClassType != class {
			pb.Type, pb.DataSourceClassType, stored = t, class, nil
		}
		options := d.Options
		if o, ok := options.(PostgresOptions); ok {
			options = namedPostgres{d.Name, o}
		}
		setOneof(pb, "options", writeOptions(c, options, stored))
	case readOptions(pb.Type, pb.DataSourceClassType, stored) != nil:
		c.fail("data source %q has no Options: they say what kind of source it is", d.Name)
	}
}

// moveSource moves a source that is part of something else. Its project is not stored.
func moveSource(c *codec, v **DataSource, pb **core.DataSource) {
	if !c.write {
		if *v = nil; *pb != nil {
			*v = new(DataSource)
			moveDataSource(c, *v, *pb)
		}
		return
	}
	if *v == nil {
		*pb = nil
		return
	}
	project := (*pb).GetProject()
	if own := (*v).origin.Proto; own != nil { // a registered source, put here by the caller
		*pb, project = new(core.DataSource), ""
		if err := proto.Unmarshal(own, *pb); err != nil {
			c.fail("data source %q: %v", (*v).Name, err)
		}
	} else if *pb == nil || (*pb).Name != (*v).Name {
		*pb, project = new(core.DataSource), ""
	}
	moveDataSource(c, *v, *pb)
	(*pb).Project = project
}

func isCustom(t core.DataSource_SourceType) bool { return t == core.DataSource_CUSTOM_SOURCE }
