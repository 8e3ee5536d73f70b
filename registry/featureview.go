package registry

import (
	"reflect"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/permissions"
)

// FeatureView is a group of features of the same entities, filled from a source. With a Transformation it is a batch
// feature view.
//
//	&registry.FeatureView{
//		Name:     "driver_stats",
//		Entities: []string{"driver"},
//		Schema:   []registry.Field{{Name: "conv_rate", Type: types.Float32}},
//		TTL:      24 * time.Hour,
//		Source:   &driverFile,
//		Online:   true,
//	}
//
// The zero values are Feast's defaults but for one: a view is written to the online store only when Online says so.
type FeatureView struct {
	Name        string
	Project     string // set when read
	Description string
	Owner       string
	Org         string
	Tags        map[string]string

	Entities []string // names of entities, not of join keys; empty: the view has no entity
	// Schema holds the features. A definition may list join key columns here too, as in Feast: applying the view
	// moves them to EntityColumns. A view that was read has them only there.
	Schema        []Field
	EntityColumns []Field
	TTL           time.Duration // 0: never expires

	// Source is where historical values come from. A definition may give a push, Kafka or Kinesis source instead,
	// which is then the StreamSource, and its BatchSource the Source; or that as the StreamSource, and no Source.
	Source       *DataSource
	StreamSource *DataSource
	// SourceViews makes the view a derived one: it is computed from these views, and Source is where the result goes.
	SourceViews    []FeatureView
	Transformation *Transformation
	Mode           string

	Online           bool // Feast's default in Python is true, except for batch feature views
	Offline          bool
	EnableValidation bool
	Disabled         bool
	// Version pins the view to a version: "v3", "version3"; empty is the latest.
	Version string

	// What the registry keeps about a view; applying a view does not change it, but for a State other than
	// StateUnspecified, which becomes the view's. A change of the schema resets the state.
	Created                  time.Time
	LastUpdated              time.Time
	MaterializationIntervals []Interval
	State                    ViewState
	CurrentVersion           int // 0: not versioned, or version 0

	origin sealed.Origin
}

// ViewState is where a view stands in its life. The numbers are those of FeatureViewState, which the registry stores.
type ViewState int32

// The states of views.
const (
	StateUnspecified     ViewState = 0
	StateCreated         ViewState = 1
	StateGenerated       ViewState = 2
	StateMaterializing   ViewState = 3
	StateAvailableOnline ViewState = 4
)

// String returns Feast's name of the state: "AVAILABLE_ONLINE".
func (s ViewState) String() string { return core.FeatureViewState(s).String() }

// Interval is a span of event times that was materialized.
type Interval struct {
	Start, End time.Time
}

// Transformation computes features. Feast stores Python functions, which this library keeps and never runs, and
// Substrait plans.
type Transformation struct {
	Name string // of the function
	Body []byte // the function: an opaque Python pickle
	Text string // its source text
	Mode string // "python", "pandas", ...

	SubstraitPlan []byte // instead of a function
	IbisFunction  []byte // opaque; the origin of SubstraitPlan
}

// Aggregation is one windowed aggregate of a stream or on-demand view.
type Aggregation struct {
	Column        string
	Function      string // "sum", "max", ...
	TimeWindow    time.Duration
	SlideInterval time.Duration
	Name          string // of the feature; empty: made from the others
}

// IsBatch reports whether Feast takes v for a batch feature view: whether it has a transformation.
func (v *FeatureView) IsBatch() bool { return v.Transformation != nil }

// Resource implements [Object].
func (v *FeatureView) Resource() permissions.Resource {
	kind := permissions.FeatureView
	if v.IsBatch() {
		kind = permissions.BatchFeatureView
	}
	return permissions.Resource{Kind: kind, Name: v.Name, Project: v.Project, Tags: v.Tags, Owner: v.Owner}
}

// Origin implements [Object], for this module only.
func (v *FeatureView) Origin() *sealed.Origin { return &v.origin }

// Info implements [View].
func (v *FeatureView) Info() ViewInfo {
	batch, stream := sources(v.Source, v.StreamSource)
	return ViewInfo{
		Kind: KindFeatureView, Name: v.Name, Project: v.Project, Tags: v.Tags, Owner: v.Owner,
		Entities: v.Entities, EntityColumns: v.EntityColumns, Features: v.Schema, TTL: v.TTL,
		Source: batch, StreamSource: stream, Online: v.Online, Disabled: v.Disabled,
		State: v.State, Version: v.Version, CurrentVersion: v.CurrentVersion,
	}
}

// sources tells the batch source and the stream source of a view apart.
func sources(source, stream *DataSource) (*DataSource, *DataSource) {
	if stream == nil && source != nil && source.IsStream() {
		return source.BatchSource, source
	}
	if source == nil && stream != nil {
		return stream.BatchSource, stream
	}
	return source, stream
}

func moveFeatureView(c *codec, v *FeatureView, pb *core.FeatureView) {
	moveFeatureViewSpec(c, v, sub(c, &pb.Spec))
	meta := viewMeta{&v.Created, &v.LastUpdated, &v.MaterializationIntervals, &v.State, &v.CurrentVersion}
	moveViewMeta(c, meta, sub(c, &pb.Meta))
}

func moveFeatureViewSpec(c *codec, v *FeatureView, pb *core.FeatureViewSpec) {
	move(c, &v.Name, &pb.Name)
	move(c, &v.Project, &pb.Project)
	move(c, &v.Description, &pb.Description)
	move(c, &v.Owner, &pb.Owner)
	move(c, &v.Org, &pb.Org)
	pairs(c, &v.Tags, &pb.Tags)
	moveEntities(c, &v.Entities, &v.EntityColumns, &pb.Entities, &pb.EntityColumns)
	moveFields(c, &v.Schema, &pb.Features)
	moveTTL(c, &v.TTL, &pb.Ttl)
	moveSources(c, &v.Source, &v.StreamSource, &pb.BatchSource, &pb.StreamSource)
	list(c, &v.SourceViews, &pb.SourceViews, func(v *FeatureView) string { return v.Name }, moveFeatureViewSpec)
	moveTransformation(c, &v.Transformation, &pb.FeatureTransformation)
	move(c, &v.Mode, &pb.Mode)
	move(c, &v.Online, &pb.Online)
	move(c, &v.Offline, &pb.Offline)
	move(c, &v.EnableValidation, &pb.EnableValidation)
	move(c, &v.Disabled, &pb.Disabled)
	moveVersion(c, &v.Version, &pb.Version)
}

// viewMeta is what the registry keeps about most kinds of views.
type viewMeta struct {
	created, lastUpdated *time.Time
	intervals            *[]Interval
	state                *ViewState
	currentVersion       *int
}

func moveViewMeta(c *codec, v viewMeta, pb *core.FeatureViewMeta) {
	instant(c, v.created, &pb.CreatedTimestamp)
	instant(c, v.lastUpdated, &pb.LastUpdatedTimestamp)
	list(c, v.intervals, &pb.MaterializationIntervals, intervalKey, moveInterval)
	number(c, v.state, &pb.State)
	number(c, v.currentVersion, &pb.CurrentVersionNumber)
}

func moveInterval(c *codec, i *Interval, pb *core.MaterializationInterval) {
	instant(c, &i.Start, &pb.StartTime)
	instant(c, &i.End, &pb.EndTime)
}

func intervalKey(i *Interval) string {
	return i.Start.UTC().Format(time.RFC3339Nano) + "/" + i.End.UTC().Format(time.RFC3339Nano)
}

// moveTTL moves a time to live. Feast writes an explicit zero for views that never expire.
func moveTTL(c *codec, v *time.Duration, pb **durationpb.Duration) {
	if c.fresh {
		*pb = new(durationpb.Duration)
	}
	span(c, v, pb)
}

func moveSources(c *codec, source, stream **DataSource, pbBatch, pbStream **core.DataSource) {
	if c.write && (c.fresh || *source != nil || *pbBatch != nil) { // what is stored without a batch source stays so
		batchSource, streamSource := sources(*source, *stream)
		source, stream = &batchSource, &streamSource
	}
	moveSource(c, source, pbBatch)
	moveSource(c, stream, pbStream)
}

// moveVersion moves a version pin; "latest", however spelled, is none.
func moveVersion(c *codec, v, pb *string) {
	pinned := *pb
	if strings.EqualFold(pinned, "latest") {
		pinned = ""
	}
	switch {
	case !c.write:
		*v = pinned
	case *v == "" && (pinned != "" || c.fresh):
		*pb = "latest"
	case *v != pinned:
		*pb = *v
	}
}

func moveTransformation(c *codec, v **Transformation, pb **core.FeatureTransformationV2) {
	switch {
	case !c.write:
		*v = readTransformation(*pb)
		return
	case *v == nil:
		*pb = nil
		return
	case *pb == nil:
		*pb = new(core.FeatureTransformationV2)
	}
	t := **v
	isPlan := len(t.SubstraitPlan) > 0 || len(t.IbisFunction) > 0
	isFunction := t.Name != "" || len(t.Body) > 0 || t.Text != "" || t.Mode != ""
	switch stored := oneof(*pb, "transformation"); {
	case isPlan && isFunction:
		c.fail("the transformation is both a function and a Substrait plan")
	case isPlan:
		setOneof(*pb, "transformation", writeMember(c, t, stored, movePlan))
	case isFunction:
		setOneof(*pb, "transformation", writeMember(c, t, stored, moveFunction))
	}
}

func readTransformation(pb *core.FeatureTransformationV2) *Transformation {
	if pb == nil {
		return nil
	}
	var t Transformation
	switch stored := oneof(pb, "transformation").(type) {
	case *core.UserDefinedFunctionV2:
		t = readMember(stored, moveFunction)
	case *core.SubstraitTransformationV2:
		t = readMember(stored, movePlan)
	}
	return &t
}

// moveLegacyTransformation moves a transformation that older versions of Feast kept in a field of its own; for stream
// views all versions write both.
func moveLegacyTransformation(c *codec, v **Transformation, pb **core.FeatureTransformationV2,
	legacy **core.UserDefinedFunction, both bool) {
	stored := readTransformation(*pb)
	if old := *legacy; stored == nil && old != nil {
		stored = &Transformation{Name: old.Name, Body: old.Body, Text: old.BodyText}
	}
	if !c.write {
		*v = stored
		return
	}
	if reflect.DeepEqual(*v, stored) {
		return
	}
	moveTransformation(c, v, pb)
	if t := *v; t == nil || len(t.SubstraitPlan) > 0 {
		*legacy = nil
	} else if both || *legacy != nil {
		old := sub(c, legacy)
		move(c, &t.Name, &old.Name)
		blob(c, &t.Body, &old.Body)
		move(c, &t.Text, &old.BodyText)
	}
}

func moveFunction(c *codec, t *Transformation, pb *core.UserDefinedFunctionV2) {
	move(c, &t.Name, &pb.Name)
	blob(c, &t.Body, &pb.Body)
	move(c, &t.Text, &pb.BodyText)
	move(c, &t.Mode, &pb.Mode)
}

func movePlan(c *codec, t *Transformation, pb *core.SubstraitTransformationV2) {
	blob(c, &t.SubstraitPlan, &pb.SubstraitPlan)
	blob(c, &t.IbisFunction, &pb.IbisFunction)
}

func moveAggregation(c *codec, a *Aggregation, pb *core.Aggregation) {
	move(c, &a.Column, &pb.Column)
	move(c, &a.Function, &pb.Function)
	span(c, &a.TimeWindow, &pb.TimeWindow)
	span(c, &a.SlideInterval, &pb.SlideInterval)
	move(c, &a.Name, &pb.Name)
}

func moveAggregations(c *codec, v *[]Aggregation, pb *[]*core.Aggregation) {
	list(c, v, pb, func(a *Aggregation) string {
		return strings.Join([]string{a.Column, a.Function, a.TimeWindow.String(), a.SlideInterval.String(), a.Name}, "\x00")
	}, moveAggregation)
}
