package registry

import (
	"reflect"
	"slices"
	"time"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/permissions"
)

// StreamFeatureView is a feature view that is filled from a stream, with an optional function and windowed
// aggregations. For the fields it shares with [FeatureView], see there.
type StreamFeatureView struct {
	Name        string
	Project     string
	Description string
	Owner       string
	Org         string
	Tags        map[string]string

	Entities      []string
	Schema        []Field
	EntityColumns []Field
	TTL           time.Duration

	Source       *DataSource
	StreamSource *DataSource

	Transformation *Transformation
	Mode           string
	Aggregations   []Aggregation
	TimestampField string // event time column of the stream; aggregations need it
	EnableTiling   bool
	TilingHopSize  time.Duration

	Online           bool // Feast's default in Python is true
	EnableValidation bool
	Disabled         bool
	Version          string

	Created                  time.Time
	LastUpdated              time.Time
	MaterializationIntervals []Interval
	State                    ViewState
	CurrentVersion           int

	origin sealed.Origin
}

// Resource implements [Object].
func (v *StreamFeatureView) Resource() permissions.Resource {
	return permissions.Resource{
		Kind: permissions.StreamFeatureView, Name: v.Name, Project: v.Project, Tags: v.Tags, Owner: v.Owner,
	}
}

// Origin implements [Object], for this module only.
func (v *StreamFeatureView) Origin() *sealed.Origin { return &v.origin }

// Info implements [View].
func (v *StreamFeatureView) Info() ViewInfo {
	batch, stream := sources(v.Source, v.StreamSource)
	return ViewInfo{
		Kind: KindStreamFeatureView, Name: v.Name, Project: v.Project, Tags: v.Tags, Owner: v.Owner,
		Entities: v.Entities, EntityColumns: v.EntityColumns, Features: v.Schema, TTL: v.TTL,
		Source: batch, StreamSource: stream, Online: v.Online, Disabled: v.Disabled,
		State: v.State, Version: v.Version, CurrentVersion: v.CurrentVersion,
	}
}

func moveStreamFeatureView(c *codec, v *StreamFeatureView, pb *core.StreamFeatureView) {
	spec := sub(c, &pb.Spec)
	move(c, &v.Name, &spec.Name)
	move(c, &v.Project, &spec.Project)
	move(c, &v.Description, &spec.Description)
	move(c, &v.Owner, &spec.Owner)
	move(c, &v.Org, &spec.Org)
	pairs(c, &v.Tags, &spec.Tags)
	moveStreamSchema(c, v, spec)
	moveTTL(c, &v.TTL, &spec.Ttl)
	moveSources(c, &v.Source, &v.StreamSource, &spec.BatchSource, &spec.StreamSource)
	moveLegacyTransformation(c, &v.Transformation, &spec.FeatureTransformation, &spec.UserDefinedFunction, true)
	move(c, &v.Mode, &spec.Mode)
	moveAggregations(c, &v.Aggregations, &spec.Aggregations)
	move(c, &v.TimestampField, &spec.TimestampField)
	move(c, &v.EnableTiling, &spec.EnableTiling)
	span(c, &v.TilingHopSize, &spec.TilingHopSize)
	move(c, &v.Online, &spec.Online)
	move(c, &v.EnableValidation, &spec.EnableValidation)
	move(c, &v.Disabled, &spec.Disabled)
	moveVersion(c, &v.Version, &spec.Version)
	meta := viewMeta{&v.Created, &v.LastUpdated, &v.MaterializationIntervals, &v.State, &v.CurrentVersion}
	moveViewMeta(c, meta, sub(c, &pb.Meta))
}

// moveStreamSchema moves features and entity columns. Feast lists the entity columns of a stream view among its
// features too, in any order.
func moveStreamSchema(c *codec, v *StreamFeatureView, pb *core.StreamFeatureViewSpec) {
	var stored StreamFeatureView
	readStreamSchema(&stored, pb)
	if !c.write {
		v.Entities, v.Schema, v.EntityColumns = stored.Entities, stored.Schema, stored.EntityColumns
		return
	}
	moveEntities(c, &v.Entities, &v.EntityColumns, &pb.Entities, &pb.EntityColumns)
	if c.fresh || !reflect.DeepEqual(v.Schema, stored.Schema) || !reflect.DeepEqual(v.EntityColumns, stored.EntityColumns) {
		all := slices.Concat(v.Schema, v.EntityColumns)
		moveFields(c, &all, &pb.Features)
	}
}

func readStreamSchema(v *StreamFeatureView, pb *core.StreamFeatureViewSpec) {
	c := new(codec)
	moveEntities(c, &v.Entities, &v.EntityColumns, &pb.Entities, &pb.EntityColumns)
	moveFields(c, &v.Schema, &pb.Features)
	v.Schema = slices.DeleteFunc(v.Schema, func(f Field) bool {
		return slices.ContainsFunc(pb.EntityColumns, func(e *core.FeatureSpecV2) bool { return e.Name == f.Name })
	})
}
