package registry

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/permissions"
)

// OnDemandFeatureView computes features when they are read, from other views and from values of the request. For the
// fields it shares with [FeatureView], see there.
type OnDemandFeatureView struct {
	Name        string
	Project     string
	Description string
	Owner       string
	Org         string
	Tags        map[string]string

	Entities      []string
	EntityColumns []Field
	Schema        []Field // what the view computes

	Sources        []FeatureViewProjection // views it reads; sorted by name when read from a registry
	RequestSources []*DataSource           // values of the request, with [RequestOptions]; sorted by name likewise

	// Transformation is Feast's function. A definition whose features a Go function computes leaves it nil: applying it keeps
	// the stored one, or makes one that says so to Feast.
	Transformation *Transformation
	Aggregations   []Aggregation // instead of a Transformation
	Mode           string        // "pandas", "python" or "substrait"; Feast's default is "pandas"
	Singleton      bool          // the function takes one row; python mode only
	TrackMetrics   bool

	WriteToOnlineStore bool // computed when written, read like an ordinary view
	Disabled           bool
	Version            string

	Created        time.Time
	LastUpdated    time.Time
	State          ViewState
	CurrentVersion int

	origin sealed.Origin
}

// trackMetricsTag is where Feast keeps TrackMetrics, hidden.
const trackMetricsTag = "feast:track_metrics"

// Resource implements [Object].
func (v *OnDemandFeatureView) Resource() permissions.Resource {
	return permissions.Resource{
		Kind: permissions.OnDemandFeatureView, Name: v.Name, Project: v.Project, Tags: v.Tags, Owner: v.Owner,
	}
}

// Origin implements [Object], for this module only.
func (v *OnDemandFeatureView) Origin() *sealed.Origin { return &v.origin }

// Info implements [View]. Online says whether the view is written to the online store.
func (v *OnDemandFeatureView) Info() ViewInfo {
	return ViewInfo{
		Kind: KindOnDemandFeatureView, Name: v.Name, Project: v.Project, Tags: v.Tags, Owner: v.Owner,
		Entities: v.Entities, EntityColumns: v.EntityColumns, Features: v.Schema,
		Online: v.WriteToOnlineStore, Disabled: v.Disabled,
		State: v.State, Version: v.Version, CurrentVersion: v.CurrentVersion,
	}
}

func moveOnDemandFeatureView(c *codec, v *OnDemandFeatureView, pb *core.OnDemandFeatureView) {
	spec := sub(c, &pb.Spec)
	move(c, &v.Name, &spec.Name)
	move(c, &v.Project, &spec.Project)
	move(c, &v.Description, &spec.Description)
	move(c, &v.Owner, &spec.Owner)
	move(c, &v.Org, &spec.Org)
	pairs(c, &v.Tags, &spec.Tags, trackMetricsTag)
	moveTrackMetrics(c, &v.TrackMetrics, &spec.Tags)
	moveEntities(c, &v.Entities, &v.EntityColumns, &spec.Entities, &spec.EntityColumns)
	moveFields(c, &v.Schema, &spec.Features)
	moveOnDemandSources(c, v, &spec.Sources)
	moveLegacyTransformation(c, &v.Transformation, &spec.FeatureTransformation, &spec.UserDefinedFunction, false)
	moveAggregations(c, &v.Aggregations, &spec.Aggregations)
	move(c, &v.Mode, &spec.Mode)
	move(c, &v.Singleton, &spec.Singleton)
	move(c, &v.WriteToOnlineStore, &spec.WriteToOnlineStore)
	move(c, &v.Disabled, &spec.Disabled)
	moveVersion(c, &v.Version, &spec.Version)
	meta := sub(c, &pb.Meta)
	instant(c, &v.Created, &meta.CreatedTimestamp)
	instant(c, &v.LastUpdated, &meta.LastUpdatedTimestamp)
	number(c, &v.State, &meta.State)
	number(c, &v.CurrentVersion, &meta.CurrentVersionNumber)
}

func moveTrackMetrics(c *codec, v *bool, tags *map[string]string) {
	stored := (*tags)[trackMetricsTag] == "true"
	switch {
	case !c.write:
		*v = stored
	case *v && !stored:
		setPair(tags, trackMetricsTag, "true")
	case !*v && stored:
		setPair(tags, trackMetricsTag, "")
	}
}

// moveOnDemandSources moves the sources, which the message keeps in one map by name.
func moveOnDemandSources(c *codec, v *OnDemandFeatureView, pb *map[string]*core.OnDemandSource) {
	if !c.write {
		v.Sources, v.RequestSources = nil, nil
		for _, key := range slices.Sorted(maps.Keys(*pb)) {
			if p, r := readOnDemandSource((*pb)[key]); p != nil {
				v.Sources = append(v.Sources, *p)
			} else if r != nil {
				v.RequestSources = append(v.RequestSources, r)
			}
		}
		return
	}

	out := make(map[string]*core.OnDemandSource, len(*pb))
	free := maps.Clone(*pb) // stored sources that no source of v has claimed
	for key, m := range free {
		if m.Source == nil { // of a kind that this library does not know
			out[key] = m
			delete(free, key)
		}
	}
	claim := func(name string, fits func(*FeatureViewProjection, *DataSource) bool) *core.OnDemandSource {
		for _, key := range slices.Sorted(maps.Keys(free)) {
			if m := free[key]; fits(readOnDemandSource(m)) {
				delete(free, key)
				out[key] = m
				return m
			}
		}
		m := new(core.OnDemandSource)
		if _, taken := out[name]; taken {
			c.fail("on-demand feature view %q has two sources named %q", v.Name, name)
		}
		out[name] = m
		return m
	}
	for i := range v.Sources {
		p := &v.Sources[i]
		m := claim(p.NameInUse(), func(was *FeatureViewProjection, _ *DataSource) bool {
			return was != nil && was.Name == p.Name && was.Alias == p.Alias
		})
		if was, _ := readOnDemandSource(m); m.GetFeatureView() != nil && reflect.DeepEqual(was, p) {
			continue // as older versions of Feast wrote it
		}
		stored := cmp.Or(m.GetFeatureViewProjection(), new(core.FeatureViewProjection))
		moveProjection(c, p, stored)
		m.Source = &core.OnDemandSource_FeatureViewProjection{FeatureViewProjection: stored}
	}
	for _, r := range v.RequestSources {
		if r == nil {
			c.fail("on-demand feature view %q: a request source is nil", v.Name)
			continue
		}
		m := claim(r.Name, func(_ *FeatureViewProjection, was *DataSource) bool { return was != nil && was.Name == r.Name })
		stored := m.GetRequestDataSource()
		moveSource(c, &r, &stored)
		m.Source = &core.OnDemandSource_RequestDataSource{RequestDataSource: stored}
	}
	*pb = out
}

// readOnDemandSource returns a source as projection or request source; none for a kind that is not known.
func readOnDemandSource(pb *core.OnDemandSource) (*FeatureViewProjection, *DataSource) {
	switch m := pb.GetSource().(type) {
	case *core.OnDemandSource_FeatureViewProjection:
		p := new(FeatureViewProjection)
		reading(p, m.FeatureViewProjection, moveProjection)
		return p, nil
	case *core.OnDemandSource_FeatureView: // older versions of Feast: the view in whole
		v := new(FeatureView)
		reading(v, m.FeatureView, moveFeatureView)
		return &FeatureViewProjection{Name: v.Name, Features: v.Schema, Source: v.Source}, nil
	case *core.OnDemandSource_RequestDataSource:
		var r *DataSource
		moveSource(new(codec), &r, &m.RequestDataSource)
		return nil, r
	}
	return nil, nil
}
