package registry

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/permissions"
)

// SavedDataset is a training set that was kept.
type SavedDataset struct {
	Name        string
	Project     string // set when read
	Description string
	Tags        map[string]string

	Features           []string // references: "view:feature"
	JoinKeys           []string
	FullFeatureNames   bool
	FeatureServiceName string
	Storage            SourceOptions // nil for a kind that this library does not know
	Namespace          string
	Collection         string
	Columns            []SavedDatasetColumn

	MinEventTimestamp time.Time
	MaxEventTimestamp time.Time
	Created           time.Time
	LastUpdated       time.Time

	origin sealed.Origin
}

// SavedDatasetColumn describes a column of a [SavedDataset].
type SavedDatasetColumn struct {
	Name        string
	Type        string
	Description string
	Nullable    *bool // nil: not known
}

// Resource implements [Object].
func (d *SavedDataset) Resource() permissions.Resource {
	return permissions.Resource{Kind: permissions.SavedDataset, Name: d.Name, Project: d.Project, Tags: d.Tags}
}

// Origin implements [Object], for this module only.
func (d *SavedDataset) Origin() *sealed.Origin { return &d.origin }

func moveSavedDataset(c *codec, d *SavedDataset, pb *core.SavedDataset) {
	spec := sub(c, &pb.Spec)
	move(c, &d.Name, &spec.Name)
	move(c, &d.Project, &spec.Project)
	move(c, &d.Description, &spec.Description)
	pairs(c, &d.Tags, &spec.Tags)
	texts(c, &d.Features, &spec.Features)
	texts(c, &d.JoinKeys, &spec.JoinKeys)
	move(c, &d.FullFeatureNames, &spec.FullFeatureNames)
	move(c, &d.FeatureServiceName, &spec.FeatureServiceName)
	moveStorage(c, d, sub(c, &spec.Storage))
	move(c, &d.Namespace, &spec.Namespace)
	move(c, &d.Collection, &spec.Collection)
	list(c, &d.Columns, &spec.Columns, func(col *SavedDatasetColumn) string { return col.Name }, moveSavedDatasetColumn)
	meta := sub(c, &pb.Meta)
	instant(c, &d.MinEventTimestamp, &meta.MinEventTimestamp)
	instant(c, &d.MaxEventTimestamp, &meta.MaxEventTimestamp)
	instant(c, &d.Created, &meta.CreatedTimestamp)
	instant(c, &d.LastUpdated, &meta.LastUpdatedTimestamp)
}

func moveSavedDatasetColumn(c *codec, col *SavedDatasetColumn, pb *core.SavedDatasetColumn) {
	move(c, &col.Name, &pb.Name)
	move(c, &col.Type, &pb.Type)
	move(c, &col.Description, &pb.Description)
	switch {
	case !c.write:
		col.Nullable = pb.Nullable
	case col.Nullable == nil:
		pb.Nullable = nil
	default:
		pb.Nullable = new(*col.Nullable)
	}
}

// moveStorage moves the storage, whose kind is the member of the oneof.
func moveStorage(c *codec, d *SavedDataset, pb *core.SavedDatasetStorage) {
	stored := oneof(pb, "kind")
	if !c.write {
		d.Storage = readOptions(storageType(stored), "", stored)
		return
	}
	if d.Storage == nil {
		setOneof(pb, "kind", nil)
		return
	}
	m := writeOptions(c, d.Storage, stored)
	if m == nil || storageType(m) == core.DataSource_INVALID {
		c.fail("saved dataset %q cannot be stored as %T", d.Name, d.Storage)
		return
	}
	setOneof(pb, "kind", m)
}

func storageType(stored proto.Message) core.DataSource_SourceType {
	switch stored.(type) {
	case *core.DataSource_FileOptions:
		return core.DataSource_BATCH_FILE
	case *core.DataSource_BigQueryOptions:
		return core.DataSource_BATCH_BIGQUERY
	case *core.DataSource_RedshiftOptions:
		return core.DataSource_BATCH_REDSHIFT
	case *core.DataSource_SnowflakeOptions:
		return core.DataSource_BATCH_SNOWFLAKE
	case *core.DataSource_TrinoOptions:
		return core.DataSource_BATCH_TRINO
	case *core.DataSource_SparkOptions:
		return core.DataSource_BATCH_SPARK
	case *core.DataSource_AthenaOptions:
		return core.DataSource_BATCH_ATHENA
	case *core.DataSource_CustomSourceOptions:
		return core.DataSource_CUSTOM_SOURCE
	}
	return core.DataSource_INVALID
}

// ValidationReference is a profile of a [SavedDataset] that later data is compared with.
type ValidationReference struct {
	Name        string
	Project     string // set when read
	Description string
	Tags        map[string]string

	DatasetName string // of the saved dataset
	Profiler    []byte // an opaque Python pickle
	Profile     []byte // the cached profile: a Great Expectations suite

	origin sealed.Origin
}

// Resource implements [Object].
func (r *ValidationReference) Resource() permissions.Resource {
	return permissions.Resource{Kind: permissions.ValidationReference, Name: r.Name, Project: r.Project, Tags: r.Tags}
}

// Origin implements [Object], for this module only.
func (r *ValidationReference) Origin() *sealed.Origin { return &r.origin }

func moveValidationReference(c *codec, r *ValidationReference, pb *core.ValidationReference) {
	move(c, &r.Name, &pb.Name)
	move(c, &r.Project, &pb.Project)
	move(c, &r.Description, &pb.Description)
	pairs(c, &r.Tags, &pb.Tags)
	move(c, &r.DatasetName, &pb.ReferenceDatasetName)
	profiler, profile := pb.GetGeProfiler(), pb.GetGeProfile()
	if !c.write {
		r.Profiler, r.Profile = profiler.GetProfiler().GetBody(), profile.GetExpectationSuite()
		return
	}
	if len(r.Profiler) > 0 || profiler != nil {
		if profiler == nil {
			profiler = new(core.GEValidationProfiler)
			pb.Profiler = &core.ValidationReference_GeProfiler{GeProfiler: profiler}
		}
		blob(c, &r.Profiler, &sub(c, &profiler.Profiler).Body)
	}
	if len(r.Profile) > 0 || profile != nil {
		if profile == nil {
			profile = new(core.GEValidationProfile)
			pb.CachedProfile = &core.ValidationReference_GeProfile{GeProfile: profile}
		}
		blob(c, &r.Profile, &profile.ExpectationSuite)
	}
}
