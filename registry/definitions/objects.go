package definitions

import (
	"slices"

	"github.com/feastgo/feast/internal/yamldoc"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// The kinds of documents besides the kinds of data sources.
const (
	kindFeatureView = "FeatureView"
	kindBatchView   = "BatchFeatureView"
)

// objectKinds are the kinds of documents, in the order of messages.
var objectKinds = []struct {
	name string
	new  func() registry.Object
}{
	{"Project", func() registry.Object { return new(registry.Project) }},
	{"Entity", func() registry.Object { return new(registry.Entity) }},
	{kindFeatureView, func() registry.Object { return new(registry.FeatureView) }},
	{kindBatchView, func() registry.Object { return new(registry.FeatureView) }},
	{"StreamFeatureView", func() registry.Object { return new(registry.StreamFeatureView) }},
	{"OnDemandFeatureView", func() registry.Object { return new(registry.OnDemandFeatureView) }},
	{"LabelView", func() registry.Object { return new(registry.LabelView) }},
	{"FeatureService", func() registry.Object { return new(registry.FeatureService) }},
	{"SavedDataset", func() registry.Object { return new(registry.SavedDataset) }},
	{"ValidationReference", func() registry.Object { return new(registry.ValidationReference) }},
	{"Permission", func() registry.Object { return new(permissions.Permission) }},
}

// kindNames are the names of all kinds of documents.
func kindNames() []string {
	var names []string
	for _, k := range objectKinds {
		names = append(names, k.name)
	}
	return append(names, sourceKindNames()...)
}

// moveObject moves an object that is not a data source, without its kind.
func moveObject(f *form, o registry.Object, kind string) {
	switch o := o.(type) {
	case *registry.Project:
		f.name("name", &o.Name)
		f.text("description", &o.Description)
		f.text("owner", &o.Owner)
		f.pairs("tags", &o.Tags)
	case *registry.Entity:
		moveEntity(f, o)
	case *registry.FeatureView:
		moveFeatureView(f, o, kind == kindBatchView)
	case *registry.StreamFeatureView:
		moveStreamFeatureView(f, o)
	case *registry.OnDemandFeatureView:
		moveOnDemandFeatureView(f, o)
	case *registry.LabelView:
		moveLabelView(f, o)
	case *registry.FeatureService:
		moveFeatureService(f, o)
	case *registry.SavedDataset:
		moveSavedDataset(f, o)
	case *registry.ValidationReference:
		f.name("name", &o.Name)
		f.text("description", &o.Description)
		f.text("reference_dataset_name", &o.DatasetName)
		f.blob("profiler", &o.Profiler)
		f.document("profile", &o.Profile)
		f.pairs("tags", &o.Tags)
	case *permissions.Permission:
		movePermission(f, o)
	}
}

func moveEntity(f *form, e *registry.Entity) {
	f.name("name", &e.Name)
	if f.read != nil && e.Name == registry.DummyEntity {
		f.fail(f.in.Get("name"), f.at("name"), "%q is reserved for views without entities", e.Name)
	}
	f.text("description", &e.Description)
	if f.read != nil || e.JoinKey != e.Name {
		f.text("join_key", &e.JoinKey)
	}
	if f.read != nil || e.ValueType != types.Invalid {
		f.valueType("value_type", &e.ValueType)
	}
	f.text("owner", &e.Owner)
	f.pairs("tags", &e.Tags)
}

func (f *form) valueType(key string, v *types.Type) {
	if f.read == nil {
		if !v.Valid() {
			f.write.fail("%s %s is not known", key, *v)
		}
		f.put(key, f.write.text(v.String()))
	} else if n := f.value(key); n != nil {
		var s string
		if f.string(n, f.at(key), &s) {
			t, inner, ok := parseType(s)
			if *v = t; !ok || inner != "" {
				f.fail(n, f.at(key), "%q is not a type of keys%s", s, nearTypes(s))
			}
		}
	}
}

// nearTypes ends a message about an unknown type with those that resemble it.
func nearTypes(s string) string {
	var names []string
	for t := range types.Type(255) {
		if t.Valid() {
			names = append(names, t.String())
		}
	}
	return yamldoc.DidYouMean(s, names)
}

func moveField(f *form, v *registry.Field) {
	f.name("name", &v.Name)
	f.fieldType(v, true)
	f.field(v)
}

// field moves what a field has besides its name and type.
func (f *form) field(v *registry.Field) {
	f.text("description", &v.Description)
	f.flag("vector_index", &v.VectorIndex, false)
	integer(f, "vector_length", &v.VectorLength)
	f.text("vector_search_metric", &v.VectorSearchMetric)
	f.pairs("tags", &v.Tags)
}

// entities moves names of entities.
func (f *form) entities(v *[]string) {
	f.texts("entities", v)
	if f.read != nil {
		for i, name := range *v {
			if n := f.in.Get("entities").List[i]; n.Kind == yamldoc.Text {
				f.read.entities = append(f.read.entities, reference{f.read.here(n, yamldoc.Index(f.at("entities"), i)), name})
			}
		}
	}
}

// columns moves the join key columns of a view, which are left out when the entities tell them.
func (f *form) columns(entities []string, v *[]registry.Field) {
	if f.read != nil || !f.write.columnsFollow(entities, *v) {
		objects(f, "entity_columns", v, moveField)
	}
}

func moveFeatureView(f *form, v *registry.FeatureView, batch bool) {
	f.name("name", &v.Name)
	f.text("description", &v.Description)
	f.entities(&v.Entities)
	f.duration("ttl", &v.TTL)
	objects(f, "schema", &v.Schema, moveField)
	f.columns(v.Entities, &v.EntityColumns)
	f.source("source", &v.Source, sourceKinds)
	f.source("stream_source", &v.StreamSource, sourceKinds)
	f.sourceViews(v)
	if batch {
		object(f, "feature_transformation", &v.Transformation, moveTransformation)
		if f.read != nil && v.Transformation == nil {
			f.fail(f.in, f.at("feature_transformation"), "is required: without one it is a %s", kindFeatureView)
		}
	}
	f.text("mode", &v.Mode)
	f.flag("online", &v.Online, !batch)
	f.flag("offline", &v.Offline, false)
	f.flag("enable_validation", &v.EnableValidation, false)
	f.flag("disabled", &v.Disabled, false)
	f.text("version", &v.Version)
	f.text("owner", &v.Owner)
	f.text("org", &v.Org)
	f.pairs("tags", &v.Tags)
}

// viewKind is the kind of document of a feature view.
func viewKind(v *registry.FeatureView) string {
	if v.IsBatch() {
		return kindBatchView
	}
	return kindFeatureView
}

// sourceViews moves the views that a derived view is computed from: names, or whole views.
func (f *form) sourceViews(v *registry.FeatureView) {
	const key = "source_views"
	if f.read == nil {
		f.write.sourceViews(f, key, v.SourceViews)
		return
	}
	nodes := f.list(f.value(key), f.at(key))
	if len(nodes) == 0 {
		return
	}
	v.SourceViews = make([]registry.FeatureView, len(nodes))
	for i, n := range nodes {
		at := yamldoc.Index(f.at(key), i)
		if n.Kind == yamldoc.Text {
			var name string
			if f.string(n, at, &name) {
				f.read.sourceViews[v] = append(f.read.sourceViews[v], viewRef{f.read.here(n, at), name, i})
			}
			continue
		}
		if f.read.nested++; f.read.nested > maxNested {
			f.fail(n, at, "is nested more than %d times", maxNested)
		} else {
			moveMap(f.read, n, at, &v.SourceViews[i], moveNestedView)
		}
		f.read.nested--
	}
}

// maxNested bounds views within views.
const maxNested = 20

// moveNestedView moves a view that stands within another one, with its kind.
func moveNestedView(f *form, v *registry.FeatureView) {
	kinds := []string{kindFeatureView, kindBatchView}
	if f.read == nil {
		f.put("kind", f.write.text(viewKind(v)))
		moveFeatureView(f, v, v.IsBatch())
	} else if i := f.kind(kinds); i >= 0 {
		moveFeatureView(f, v, kinds[i] == kindBatchView)
	}
}

func moveStreamFeatureView(f *form, v *registry.StreamFeatureView) {
	f.name("name", &v.Name)
	f.text("description", &v.Description)
	f.entities(&v.Entities)
	f.duration("ttl", &v.TTL)
	objects(f, "schema", &v.Schema, moveField)
	f.columns(v.Entities, &v.EntityColumns)
	f.source("source", &v.Source, sourceKinds)
	f.source("stream_source", &v.StreamSource, sourceKinds)
	f.text("timestamp_field", &v.TimestampField)
	object(f, "feature_transformation", &v.Transformation, moveTransformation)
	f.text("mode", &v.Mode)
	objects(f, "aggregations", &v.Aggregations, moveAggregation)
	f.flag("enable_tiling", &v.EnableTiling, false)
	f.duration("tiling_hop_size", &v.TilingHopSize)
	f.flag("online", &v.Online, true)
	f.flag("enable_validation", &v.EnableValidation, false)
	f.flag("disabled", &v.Disabled, false)
	f.text("version", &v.Version)
	f.text("owner", &v.Owner)
	f.text("org", &v.Org)
	f.pairs("tags", &v.Tags)
}

func moveOnDemandFeatureView(f *form, v *registry.OnDemandFeatureView) {
	f.name("name", &v.Name)
	f.text("description", &v.Description)
	f.entities(&v.Entities)
	objects(f, "schema", &v.Schema, moveField)
	f.columns(v.Entities, &v.EntityColumns)
	f.projections("sources", &v.Sources)
	f.sources("request_sources", &v.RequestSources)
	object(f, "feature_transformation", &v.Transformation, moveTransformation)
	objects(f, "aggregations", &v.Aggregations, moveAggregation)
	if f.read != nil || v.Mode != "pandas" || len(v.Aggregations) > 0 {
		f.text("mode", &v.Mode)
	}
	f.flag("singleton", &v.Singleton, false)
	f.flag("track_metrics", &v.TrackMetrics, false)
	f.flag("write_to_online_store", &v.WriteToOnlineStore, false)
	f.flag("disabled", &v.Disabled, false)
	f.text("version", &v.Version)
	f.text("owner", &v.Owner)
	f.text("org", &v.Org)
	f.pairs("tags", &v.Tags)
}

func moveLabelView(f *form, v *registry.LabelView) {
	f.name("name", &v.Name)
	f.text("description", &v.Description)
	f.entities(&v.Entities)
	f.duration("ttl", &v.TTL)
	objects(f, "schema", &v.Schema, moveField)
	f.columns(v.Entities, &v.EntityColumns)
	f.source("source", &v.Source, sourceKinds)
	f.flag("online", &v.Online, true)
	if f.read != nil || v.LabelerField != "labeler" {
		f.text("labeler_field", &v.LabelerField)
	}
	f.conflictPolicy(&v.ConflictPolicy)
	f.flag("retain_history", &v.RetainHistory, false)
	f.text("reference_feature_view", &v.ReferenceFeatureView)
	f.text("owner", &v.Owner)
	f.pairs("tags", &v.Tags)
}

func (f *form) conflictPolicy(v *registry.ConflictPolicy) {
	all := []registry.ConflictPolicy{registry.LastWriteWins, registry.LabelerPriority, registry.MajorityVote}
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.String()
	}
	s := ""
	if f.read == nil && *v != registry.LastWriteWins {
		s = v.String()
	}
	f.choice("conflict_policy", &s, names...)
	if i := slices.Index(names, s); i >= 0 && f.read != nil {
		*v = all[i]
	}
}

func moveTransformation(f *form, t *registry.Transformation) {
	f.text("name", &t.Name)
	f.text("mode", &t.Mode)
	f.text("body_text", &t.Text)
	f.blob("body", &t.Body)
	f.blob("substrait_plan", &t.SubstraitPlan)
	f.blob("ibis_function", &t.IbisFunction)
}

func moveAggregation(f *form, a *registry.Aggregation) {
	f.text("column", &a.Column)
	f.text("function", &a.Function)
	f.duration("time_window", &a.TimeWindow)
	f.duration("slide_interval", &a.SlideInterval)
	f.text("name", &a.Name)
}

func moveFeatureService(f *form, s *registry.FeatureService) {
	f.name("name", &s.Name)
	f.text("description", &s.Description)
	f.projections("features", &s.Features)
	object(f, "logging_config", &s.Logging, moveLogging)
	f.flag("precompute_online", &s.PrecomputeOnline, false)
	f.text("owner", &s.Owner)
	f.pairs("tags", &s.Tags)
}

func moveLogging(f *form, c *registry.LoggingConfig) {
	f.fraction("sample_rate", &c.SampleRate)
	objectOf(f, "destination", &c.Destination, destinationKinds)
}

var destinationKinds = []variant[registry.LoggingDestination]{
	variantOf[registry.LoggingDestination]("FileLoggingDestination", func(f *form, d *registry.FileDestination) {
		f.text("path", &d.Path)
		f.text("s3_endpoint_override", &d.S3EndpointOverride)
		f.texts("partition_by", &d.PartitionBy)
	}),
	variantOf[registry.LoggingDestination]("BigQueryLoggingDestination", func(f *form, d *registry.BigQueryDestination) {
		f.text("table_ref", &d.Table)
	}),
	variantOf[registry.LoggingDestination]("RedshiftLoggingDestination", func(f *form, d *registry.RedshiftDestination) {
		f.text("table_name", &d.Table)
	}),
	variantOf[registry.LoggingDestination]("SnowflakeLoggingDestination", func(f *form, d *registry.SnowflakeDestination) {
		f.text("table_name", &d.Table)
	}),
	variantOf[registry.LoggingDestination]("AthenaLoggingDestination", func(f *form, d *registry.AthenaDestination) {
		f.text("table_name", &d.Table)
	}),
	variantOf[registry.LoggingDestination]("CouchbaseColumnarLoggingDestination", func(f *form, d *registry.CouchbaseDestination) {
		f.text("database", &d.Database)
		f.text("scope", &d.Scope)
		f.text("collection", &d.Collection)
	}),
	variantOf[registry.LoggingDestination]("CustomLoggingDestination", func(f *form, d *registry.CustomDestination) {
		f.text("custom_kind", &d.Kind)
		f.pairs("config", &d.Config)
	}),
}

func moveSavedDataset(f *form, d *registry.SavedDataset) {
	f.name("name", &d.Name)
	f.text("description", &d.Description)
	f.texts("features", &d.Features)
	f.texts("join_keys", &d.JoinKeys)
	f.flag("full_feature_names", &d.FullFeatureNames, false)
	f.text("feature_service_name", &d.FeatureServiceName)
	objectOf(f, "storage", &d.Storage, sourceKinds[:batchKinds])
	f.text("namespace", &d.Namespace)
	f.text("collection", &d.Collection)
	objects(f, "columns", &d.Columns, func(f *form, c *registry.SavedDatasetColumn) {
		f.name("name", &c.Name)
		f.text("type", &c.Type)
		f.text("description", &c.Description)
		f.optionalFlag("nullable", &c.Nullable)
	})
	f.instant("min_event_timestamp", &d.MinEventTimestamp)
	f.instant("max_event_timestamp", &d.MaxEventTimestamp)
	f.pairs("tags", &d.Tags)
}

func movePermission(f *form, p *permissions.Permission) {
	f.name("name", &p.Name)
	if all := permissions.AllResourceTypes(); f.read != nil || !slices.Equal(p.Types, all) {
		enums(f, "types", &p.Types, all)
	}
	f.texts("name_patterns", &p.NamePatterns)
	f.pairs("required_tags", &p.RequiredTags)
	enums(f, "actions", &p.Actions, permissions.AllActions())
	objectOf(f, "policy", &p.Policy, policyKinds)
	f.pairs("tags", &p.Tags)
}

var policyKinds = []variant[permissions.Policy]{
	variantOf[permissions.Policy]("RoleBasedPolicy", func(f *form, p *permissions.RoleBased) {
		f.texts("roles", &p.Roles)
	}),
	variantOf[permissions.Policy]("GroupBasedPolicy", func(f *form, p *permissions.GroupBased) {
		f.texts("groups", &p.Groups)
	}),
	variantOf[permissions.Policy]("NamespaceBasedPolicy", func(f *form, p *permissions.NamespaceBased) {
		f.texts("namespaces", &p.Namespaces)
	}),
	variantOf[permissions.Policy]("CombinedGroupNamespacePolicy", func(f *form, p *permissions.CombinedGroupNamespace) {
		f.texts("groups", &p.Groups)
		f.texts("namespaces", &p.Namespaces)
	}),
}
