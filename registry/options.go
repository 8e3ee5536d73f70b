package registry

import (
	"encoding/json"
	"maps"
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/internal/protos/feast/core"
)

// readOptions reads the options of a source of type t from its member of the oneof, which may be absent.
func readOptions(t core.DataSource_SourceType, class string, stored proto.Message) SourceOptions {
	switch t {
	case core.DataSource_BATCH_FILE:
		return readAs(stored, moveFile)
	case core.DataSource_BATCH_BIGQUERY:
		return readAs(stored, moveBigQuery)
	case core.DataSource_BATCH_REDSHIFT:
		return readAs(stored, moveRedshift)
	case core.DataSource_BATCH_SNOWFLAKE:
		return readAs(stored, moveSnowflake)
	case core.DataSource_BATCH_TRINO:
		return readAs(stored, moveTrino)
	case core.DataSource_BATCH_ATHENA:
		return readAs(stored, moveAthena)
	case core.DataSource_BATCH_SPARK:
		return readAs(stored, moveSpark)
	case core.DataSource_STREAM_KAFKA:
		return readAs(stored, moveKafka)
	case core.DataSource_STREAM_KINESIS:
		return readAs(stored, moveKinesis)
	case core.DataSource_PUSH_SOURCE:
		return PushOptions{}
	case core.DataSource_REQUEST_SOURCE:
		return readAs(stored, moveRequest)
	case core.DataSource_BATCH_ICEBERG:
		if o, ok := readJSON[IcebergOptions](stored, class).(IcebergOptions); ok {
			return o
		}
	case core.DataSource_CUSTOM_SOURCE:
		switch class {
		case postgresSource:
			return readJSON[PostgresOptions](stored, class)
		case msSQLSource:
			return readJSON[MsSQLOptions](stored, class)
		}
		return readCustom(stored, class)
	}
	return nil
}

// writeOptions brings stored, which is nil or an earlier member of the oneof, up to date with v and returns the new
// member, nil for none.
func writeOptions(c *codec, v SourceOptions, stored proto.Message) proto.Message {
	switch v := v.(type) {
	case FileOptions:
		return writeAs(c, v, stored, moveFile)
	case BigQueryOptions:
		return writeAs(c, v, stored, moveBigQuery)
	case RedshiftOptions:
		return writeAs(c, v, stored, moveRedshift)
	case SnowflakeOptions:
		return writeAs(c, v, stored, moveSnowflake)
	case TrinoOptions:
		return writeAs(c, v, stored, moveTrino)
	case AthenaOptions:
		return writeAs(c, v, stored, moveAthena)
	case SparkOptions:
		return writeAs(c, v, stored, moveSpark)
	case KafkaOptions:
		return writeAs(c, v, stored, moveKafka)
	case KinesisOptions:
		return writeAs(c, v, stored, moveKinesis)
	case PushOptions:
		return stored // Feast sets none
	case RequestOptions:
		return writeAs(c, v, stored, moveRequest)
	case IcebergOptions:
		return writeJSON(c, v, "", stored)
	case namedPostgres:
		return writeJSON(c, v, postgresSource, stored)
	case MsSQLOptions:
		return writeJSON(c, v, msSQLSource, stored)
	case CustomOptions:
		return writeAs(c, v, stored, moveCustom)
	}
	c.fail("options %T: give them by value, and of one of this library's types", v)
	return stored
}

func readAs[T SourceOptions, M any, P pointer[M]](stored proto.Message, each func(*codec, *T, P)) SourceOptions {
	return readMember(stored, each)
}

// writeAs is writeMember for options that say nothing when they are empty: then, what was there stays.
func writeAs[T SourceOptions, M any, P pointer[M]](c *codec, v T, stored proto.Message,
	each func(*codec, *T, P)) proto.Message {
	m := writeMember(c, v, stored, each)
	if m != stored && proto.Size(m) == 0 {
		return stored
	}
	return m
}

func moveFile(c *codec, o *FileOptions, pb *core.DataSource_FileOptions) {
	move(c, &o.Path, &pb.Uri)
	move(c, &o.S3EndpointOverride, &pb.S3EndpointOverride)
	var stored FileFormat
	switch pb.GetFileFormat().GetFormat().(type) {
	case *core.FileFormat_ParquetFormat_:
		stored = FormatParquet
	case *core.FileFormat_DeltaFormat:
		stored = FormatDelta
	}
	if !c.write {
		o.Format = stored
		return
	}
	if o.Format == stored {
		return
	}
	format := sub(c, &pb.FileFormat)
	switch o.Format {
	case "":
		format.Format = nil
	case FormatParquet:
		format.Format = &core.FileFormat_ParquetFormat_{ParquetFormat: new(core.FileFormat_ParquetFormat)}
	case FormatDelta:
		format.Format = &core.FileFormat_DeltaFormat{DeltaFormat: new(core.TableFormat_DeltaFormat)}
	default:
		c.fail("file source %q: format %q is neither parquet nor delta", o.Path, o.Format)
	}
}

func moveBigQuery(c *codec, o *BigQueryOptions, pb *core.DataSource_BigQueryOptions) {
	move(c, &o.Table, &pb.Table)
	move(c, &o.Query, &pb.Query)
}

func moveRedshift(c *codec, o *RedshiftOptions, pb *core.DataSource_RedshiftOptions) {
	move(c, &o.Table, &pb.Table)
	move(c, &o.Query, &pb.Query)
	move(c, &o.Schema, &pb.Schema)
	move(c, &o.Database, &pb.Database)
}

func moveSnowflake(c *codec, o *SnowflakeOptions, pb *core.DataSource_SnowflakeOptions) {
	move(c, &o.Table, &pb.Table)
	move(c, &o.Query, &pb.Query)
	move(c, &o.Schema, &pb.Schema)
	move(c, &o.Database, &pb.Database)
}

func moveTrino(c *codec, o *TrinoOptions, pb *core.DataSource_TrinoOptions) {
	move(c, &o.Table, &pb.Table)
	move(c, &o.Query, &pb.Query)
}

func moveAthena(c *codec, o *AthenaOptions, pb *core.DataSource_AthenaOptions) {
	move(c, &o.Table, &pb.Table)
	move(c, &o.Query, &pb.Query)
	move(c, &o.Database, &pb.Database)
	move(c, &o.DataSource, &pb.DataSource)
}

func moveSpark(c *codec, o *SparkOptions, pb *core.DataSource_SparkOptions) {
	move(c, &o.Table, &pb.Table)
	move(c, &o.Query, &pb.Query)
	move(c, &o.Path, &pb.Path)
	move(c, &o.FileFormat, &pb.FileFormat)
	move(c, &o.DatePartitionColumnFormat, &pb.DatePartitionColumnFormat)
	switch stored := readTableFormat(pb.TableFormat); {
	case !c.write:
		o.TableFormat = stored
	case o.TableFormat == nil:
		if stored != nil {
			pb.TableFormat = nil
		}
	default:
		writeTableFormat(c, o.TableFormat, sub(c, &pb.TableFormat))
	}
}

func readTableFormat(pb *core.TableFormat) *TableFormat {
	var f TableFormat
	switch m := oneof(pb, "format").(type) {
	case *core.TableFormat_IcebergFormat:
		f = readMember(m, moveIcebergFormat)
		f.Type = "iceberg"
	case *core.TableFormat_DeltaFormat:
		f = readMember(m, moveDeltaFormat)
		f.Type = "delta"
	case *core.TableFormat_HudiFormat:
		f = readMember(m, moveHudiFormat)
		f.Type = "hudi"
	case *core.TableFormat_LanceFormat:
		f = readMember(m, moveLanceFormat)
		f.Type = "lance"
	default:
		return nil
	}
	return &f
}

func writeTableFormat(c *codec, f *TableFormat, pb *core.TableFormat) {
	stored := oneof(pb, "format")
	switch f.Type {
	case "iceberg":
		stored = writeMember(c, *f, stored, moveIcebergFormat)
	case "delta":
		stored = writeMember(c, *f, stored, moveDeltaFormat)
	case "hudi":
		stored = writeMember(c, *f, stored, moveHudiFormat)
	case "lance":
		stored = writeMember(c, *f, stored, moveLanceFormat)
	default:
		c.fail("table format %q is none of iceberg, delta, hudi, lance", f.Type)
	}
	setOneof(pb, "format", stored)
}

func moveIcebergFormat(c *codec, f *TableFormat, pb *core.TableFormat_IcebergFormat) {
	move(c, &f.Catalog, &pb.Catalog)
	move(c, &f.Namespace, &pb.Namespace)
	pairs(c, &f.Properties, &pb.Properties)
}

func moveDeltaFormat(c *codec, f *TableFormat, pb *core.TableFormat_DeltaFormat) {
	move(c, &f.CheckpointLocation, &pb.CheckpointLocation)
	pairs(c, &f.Properties, &pb.Properties)
}

func moveHudiFormat(c *codec, f *TableFormat, pb *core.TableFormat_HudiFormat) {
	move(c, &f.TableType, &pb.TableType)
	move(c, &f.RecordKey, &pb.RecordKey)
	move(c, &f.PrecombineField, &pb.PrecombineField)
	pairs(c, &f.Properties, &pb.Properties)
}

func moveLanceFormat(c *codec, f *TableFormat, pb *core.TableFormat_LanceFormat) {
	move(c, &f.Catalog, &pb.Catalog)
	move(c, &f.Namespace, &pb.Namespace)
	move(c, &f.Version, &pb.Version)
	move(c, &f.Tag, &pb.Tag)
	pairs(c, &f.Properties, &pb.Properties)
}

func moveKafka(c *codec, o *KafkaOptions, pb *core.DataSource_KafkaOptions) {
	move(c, &o.BootstrapServers, &pb.KafkaBootstrapServers)
	move(c, &o.Topic, &pb.Topic)
	moveStreamFormat(c, &o.MessageFormat, &pb.MessageFormat)
	span(c, &o.WatermarkDelayThreshold, &pb.WatermarkDelayThreshold)
}

func moveKinesis(c *codec, o *KinesisOptions, pb *core.DataSource_KinesisOptions) {
	move(c, &o.Region, &pb.Region)
	move(c, &o.StreamName, &pb.StreamName)
	moveStreamFormat(c, &o.RecordFormat, &pb.RecordFormat)
}

func moveStreamFormat(c *codec, f *StreamFormat, pb **core.StreamFormat) {
	var stored StreamFormat
	switch m := (*pb).GetFormat().(type) {
	case *core.StreamFormat_AvroFormat_:
		stored = StreamFormat{"avro", m.AvroFormat.GetSchemaJson()}
	case *core.StreamFormat_JsonFormat_:
		stored = StreamFormat{"json", m.JsonFormat.GetSchemaJson()}
	case *core.StreamFormat_ProtoFormat_:
		stored = StreamFormat{"proto", m.ProtoFormat.GetClassPath()}
	}
	if !c.write {
		*f = stored
		return
	}
	if *f == stored {
		return
	}
	m := sub(c, pb)
	switch f.Type {
	case "":
		m.Format = nil
	case "avro":
		m.Format = &core.StreamFormat_AvroFormat_{AvroFormat: &core.StreamFormat_AvroFormat{SchemaJson: f.Schema}}
	case "json":
		m.Format = &core.StreamFormat_JsonFormat_{JsonFormat: &core.StreamFormat_JsonFormat{SchemaJson: f.Schema}}
	case "proto":
		m.Format = &core.StreamFormat_ProtoFormat_{ProtoFormat: &core.StreamFormat_ProtoFormat{ClassPath: f.Schema}}
	default:
		c.fail("stream format %q is none of avro, json, proto", f.Type)
	}
}

func moveRequest(c *codec, o *RequestOptions, pb *core.DataSource_RequestDataOptions) {
	moveFields(c, &o.Schema, &pb.Schema)
}

func moveCustom(c *codec, o *CustomOptions, pb *core.DataSource_CustomSourceOptions) {
	blob(c, &o.Configuration, &pb.Configuration)
}

func readCustom(stored proto.Message, class string) SourceOptions {
	m, _ := stored.(*core.DataSource_CustomSourceOptions)
	return CustomOptions{class, m.GetConfiguration()}
}

// readJSON reads options that Feast keeps as JSON in a custom configuration. What is not such JSON stays opaque.
func readJSON[T SourceOptions](stored proto.Message, class string) SourceOptions {
	m, _ := stored.(*core.DataSource_CustomSourceOptions)
	var o T
	if err := json.Unmarshal(m.GetConfiguration(), &o); err != nil {
		return CustomOptions{class, m.GetConfiguration()}
	}
	return o
}

// namedPostgres is the configuration of a PostgreSQL source, which Feast cannot read without the name in it.
type namedPostgres struct {
	Name string `json:"name"`
	PostgresOptions
}

// configuration returns what is marshalled for options: they themselves, but for what Feast tells apart and Go does not.
func configuration(o SourceOptions) any {
	iceberg, ok := o.(IcebergOptions)
	if !ok {
		return o
	}
	out := struct {
		IcebergOptions

		TokenEnvVar       *string           `json:"token_env_var"`      // Feast's default is null
		CatalogProperties map[string]string `json:"catalog_properties"` // and here it is {}
	}{IcebergOptions: iceberg, CatalogProperties: iceberg.CatalogProperties}
	if iceberg.TokenEnvVar != "" {
		out.TokenEnvVar = &iceberg.TokenEnvVar
	}
	if out.CatalogProperties == nil {
		out.CatalogProperties = map[string]string{}
	}
	return out
}

// writeJSON sets the members of v in the stored configuration, unless it says the same already.
func writeJSON[T SourceOptions](c *codec, v T, class string, stored proto.Message) proto.Message {
	m, ok := stored.(*core.DataSource_CustomSourceOptions)
	if !ok {
		m = new(core.DataSource_CustomSourceOptions)
	} else if reflect.DeepEqual(readJSON[T](m, class), SourceOptions(v)) {
		return m
	}
	all := map[string]json.RawMessage{}
	if len(m.Configuration) > 0 && json.Unmarshal(m.Configuration, &all) != nil {
		clear(all)
	}
	text, err := json.Marshal(configuration(v))
	if err == nil {
		members := map[string]json.RawMessage{}
		err = json.Unmarshal(text, &members)
		maps.Copy(all, members)
	}
	if err == nil {
		m.Configuration, err = json.Marshal(all)
	}
	if err != nil {
		c.fail("configuration of a data source: %v", err)
	}
	return m
}
