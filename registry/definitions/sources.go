package definitions

import (
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/feastgo/feast/internal/yamldoc"
	"github.com/feastgo/feast/registry"
)

// The kinds of data sources: those with history first, then streams, then values of requests.
var sourceKinds = []variant[registry.SourceOptions]{
	sourceOf("FileSource", func(f *form, o *registry.FileOptions) {
		f.text("path", &o.Path)
		f.choice("file_format", (*string)(&o.Format), string(registry.FormatParquet), string(registry.FormatDelta))
		f.text("s3_endpoint_override", &o.S3EndpointOverride)
	}),
	sourceOf("BigQuerySource", func(f *form, o *registry.BigQueryOptions) {
		f.text("table", &o.Table)
		f.text("query", &o.Query)
	}),
	sourceOf("RedshiftSource", func(f *form, o *registry.RedshiftOptions) {
		f.text("table", &o.Table)
		f.text("query", &o.Query)
		f.text("schema", &o.Schema)
		f.text("database", &o.Database)
	}),
	sourceOf("SnowflakeSource", func(f *form, o *registry.SnowflakeOptions) {
		f.text("table", &o.Table)
		f.text("query", &o.Query)
		f.text("schema", &o.Schema)
		f.text("database", &o.Database)
	}),
	sourceOf("SparkSource", func(f *form, o *registry.SparkOptions) {
		f.text("table", &o.Table)
		f.text("query", &o.Query)
		f.text("path", &o.Path)
		f.text("file_format", &o.FileFormat)
		f.text("date_partition_column_format", &o.DatePartitionColumnFormat)
		object(f, "table_format", &o.TableFormat, moveTableFormat)
	}),
	sourceOf("TrinoSource", func(f *form, o *registry.TrinoOptions) {
		f.text("table", &o.Table)
		f.text("query", &o.Query)
	}),
	sourceOf("AthenaSource", func(f *form, o *registry.AthenaOptions) {
		f.text("table", &o.Table)
		f.text("query", &o.Query)
		f.text("database", &o.Database)
		f.text("data_source", &o.DataSource)
	}),
	sourceOf("IcebergSource", func(f *form, o *registry.IcebergOptions) {
		f.text("catalog_type", &o.CatalogType)
		f.text("catalog_name", &o.CatalogName)
		f.text("endpoint", &o.Endpoint)
		f.text("warehouse", &o.Warehouse)
		f.text("namespace", &o.Namespace)
		f.text("table", &o.Table)
		f.text("token_env_var", &o.TokenEnvVar)
		f.flag("credential_vending", &o.CredentialVending, false)
		f.pairs("catalog_properties", &o.CatalogProperties)
	}),
	sourceOf("PostgreSQLSource", func(f *form, o *registry.PostgresOptions) {
		f.text("table", &o.Table)
		f.text("query", &o.Query)
	}),
	sourceOf("MsSqlServerSource", func(f *form, o *registry.MsSQLOptions) {
		f.text("table_ref", &o.TableRef)
		f.text("connection_string", &o.ConnectionString)
	}),
	sourceOf("CustomSource", func(f *form, o *registry.CustomOptions) {
		f.text("data_source_class_type", &o.Class)
		f.document("configuration", &o.Configuration)
	}),

	sourceOf("KafkaSource", func(f *form, o *registry.KafkaOptions) {
		f.text("kafka_bootstrap_servers", &o.BootstrapServers)
		f.text("topic", &o.Topic)
		f.streamFormat("message_format", &o.MessageFormat)
		f.duration("watermark_delay_threshold", &o.WatermarkDelayThreshold)
	}),
	sourceOf("KinesisSource", func(f *form, o *registry.KinesisOptions) {
		f.text("region", &o.Region)
		f.text("stream_name", &o.StreamName)
		f.streamFormat("record_format", &o.RecordFormat)
	}),
	sourceOf("PushSource", func(*form, *registry.PushOptions) {}),

	sourceOf("RequestSource", func(f *form, o *registry.RequestOptions) {
		objects(f, "schema", &o.Schema, moveField)
	}),
}

// batchKinds is the number of kinds that have history, requestKinds the one kind of values of requests.
const batchKinds = 11

var requestKinds = sourceKinds[len(sourceKinds)-1:]

func sourceOf[T any](name string, each func(*form, *T)) variant[registry.SourceOptions] {
	return variantOf[registry.SourceOptions](name, each)
}

func sourceKindNames() []string { return kindsOf(sourceKinds) }

func (f *form) streamFormat(key string, v *registry.StreamFormat) {
	if f.read == nil && *v == (registry.StreamFormat{}) {
		return
	}
	p := v
	object(f, key, &p, func(f *form, v *registry.StreamFormat) {
		f.choice("type", &v.Type, "avro", "json", "proto")
		if v.Type == "proto" {
			f.text("class_path", &v.Schema)
		} else {
			f.text("schema_json", &v.Schema)
		}
	})
	*v = *p
}

func moveTableFormat(f *form, t *registry.TableFormat) {
	f.choice("type", &t.Type, "iceberg", "delta", "hudi", "lance")
	f.text("catalog", &t.Catalog)
	f.text("namespace", &t.Namespace)
	integer(f, "version", &t.Version)
	f.text("tag", &t.Tag)
	f.text("checkpoint_location", &t.CheckpointLocation)
	f.text("table_type", &t.TableType)
	f.text("record_key", &t.RecordKey)
	f.text("precombine_field", &t.PrecombineField)
	f.pairs("properties", &t.Properties)
}

// moveSource moves a data source of one of the kinds.
func moveSource(f *form, d *registry.DataSource, kinds []variant[registry.SourceOptions]) {
	if f.read == nil && d.Options == nil {
		f.write.failSource(d, "has no Options, or is of a kind that is not known")
		return
	}
	options := moveKind(f, &d.Options, kinds)
	if options == nil {
		return
	}
	f.text("name", &d.Name) // of one without, Feast takes the path or the table
	f.text("description", &d.Description)
	options()
	if f.read == nil {
		d = ownOf(d)
	}
	f.text("timestamp_field", &d.TimestampField)
	f.text("created_timestamp_column", &d.CreatedTimestampColumn)
	f.text("date_partition_column", &d.DatePartitionColumn)
	f.choice("timestamp_field_type", &d.TimestampFieldType, "TIMESTAMP", "DATE")
	f.pairs("field_mapping", &d.FieldMapping)
	if d.IsStream() {
		f.source("batch_source", &d.BatchSource, sourceKinds[:batchKinds])
	} else if d.BatchSource != nil {
		f.write.failSource(d, "has a BatchSource, which only push, Kafka and Kinesis sources have")
	}
	f.text("owner", &d.Owner)
	f.pairs("tags", &d.Tags)
}

// ownOf leaves out what a push source takes over from its batch source when it is applied.
func ownOf(d *registry.DataSource) *registry.DataSource {
	b := d.BatchSource
	if _, push := d.Options.(registry.PushOptions); !push || b == nil {
		return d
	}
	own := *d
	for at, theirs := range map[*string]string{
		&own.TimestampField: b.TimestampField, &own.CreatedTimestampColumn: b.CreatedTimestampColumn,
		&own.DatePartitionColumn: b.DatePartitionColumn,
	} {
		if *at == theirs {
			*at = ""
		}
	}
	if maps.Equal(own.FieldMapping, b.FieldMapping) {
		own.FieldMapping = nil
	}
	return &own
}

// source moves a data source within another object: the name of one that has a document of its own, or the whole.
func (f *form) source(key string, v **registry.DataSource, kinds []variant[registry.SourceOptions]) {
	if f.read == nil {
		if *v != nil {
			f.put(key, f.write.source(*v, kinds))
		}
	} else if n := f.value(key); n != nil {
		f.readSource(n, f.at(key), v, kinds)
	}
}

func (f *form) readSource(n *yamldoc.Node, key string, v **registry.DataSource, kinds []variant[registry.SourceOptions]) {
	switch {
	case n.Kind == yamldoc.Text:
		var name string
		if f.string(n, key, &name) {
			f.read.sources = append(f.read.sources, sourceRef{reference{f.read.here(n, key), name}, v, kindsOf(kinds)})
		}
	case n.Kind == yamldoc.Map:
		*v = new(registry.DataSource)
		moveMap(f.read, n, key, *v, func(f *form, d *registry.DataSource) { moveSource(f, d, kinds) })
	default:
		f.mismatch(n, key, "the name of a data source, or a map")
	}
}

// sources moves a list of request sources.
func (f *form) sources(key string, v *[]*registry.DataSource) {
	if f.read == nil {
		if len(*v) > 0 {
			list := &yaml.Node{Kind: yaml.SequenceNode}
			for _, d := range *v {
				if d == nil {
					f.write.fail("%s: one is nil", key)
					continue
				}
				list.Content = append(list.Content, f.write.source(d, requestKinds))
			}
			f.put(key, list)
		}
		return
	}
	nodes := f.list(f.value(key), f.at(key))
	if len(nodes) > 0 {
		*v = make([]*registry.DataSource, len(nodes))
	}
	for i, n := range nodes {
		f.readSource(n, yamldoc.Index(f.at(key), i), &(*v)[i], requestKinds)
	}
}

// projections moves selections of features: references, or maps.
func (f *form) projections(key string, v *[]registry.FeatureViewProjection) {
	if f.read == nil {
		if len(*v) > 0 {
			list := &yaml.Node{Kind: yaml.SequenceNode}
			for i := range *v {
				list.Content = append(list.Content, f.write.projection(&(*v)[i]))
			}
			f.put(key, list)
		}
		return
	}
	nodes := f.list(f.value(key), f.at(key))
	if len(nodes) > 0 {
		*v = make([]registry.FeatureViewProjection, len(nodes))
	}
	for i, n := range nodes {
		p := &(*v)[i]
		at := yamldoc.Index(f.at(key), i)
		if n.Kind != yamldoc.Map {
			if n.Kind != yamldoc.Text || n.Binary {
				f.mismatch(n, at, "a reference such as view:feature, or a map")
				continue
			}
			p.Name = n.Text
		} else {
			moveMap(f.read, n, at, p, moveProjection)
		}
		f.read.refer(f.read.here(n, at), n, p)
	}
}

func moveProjection(f *form, p *registry.FeatureViewProjection) {
	f.name("view", &p.Name)
	f.text("alias", &p.Alias)
	f.selected("features", &p.Features)
	f.pairs("join_key_map", &p.JoinKeyMap)
	f.optionalInteger("version", &p.Version)
	f.choice("view_type", &p.ViewType, viewTypes...)
	f.source("source", &p.Source, sourceKinds)
}

// selected moves the features of a projection: names, or fields as they are in the registry.
func (f *form) selected(key string, v *[]registry.Field) {
	if f.read == nil {
		if len(*v) > 0 {
			list := &yaml.Node{Kind: yaml.SequenceNode}
			for i := range *v {
				list.Content = append(list.Content, f.write.selected(&(*v)[i]))
			}
			f.put(key, compact(list))
		}
		return
	}
	nodes := f.list(f.value(key), f.at(key))
	if len(nodes) > 0 {
		*v = make([]registry.Field, len(nodes))
	}
	for i, n := range nodes {
		at := yamldoc.Index(f.at(key), i)
		if n.Kind == yamldoc.Map {
			moveMap(f.read, n, at, &(*v)[i], moveSelected)
		} else {
			f.string(n, at, &(*v)[i].Name)
		}
	}
}

func moveSelected(f *form, v *registry.Field) {
	f.name("name", &v.Name)
	f.fieldType(v, false)
	f.field(v)
}

// The types of views that projections know, and what each stands for.
const (
	featureViewType = "featureView"
	labelViewType   = "labelView"
)

var viewTypes = []string{featureViewType, labelViewType}

func viewTypeOf(v registry.View) string {
	if v.Info().Kind == registry.KindLabelView {
		return labelViewType
	}
	return featureViewType
}

// full reports whether a projection is as the registry keeps it, so that applying it does not look at the view.
func full(p *registry.FeatureViewProjection) bool {
	return p.ViewType != "" && len(p.Features) > 0 &&
		!slices.ContainsFunc(p.Features, func(f registry.Field) bool { return !f.Type.Valid() })
}
