package plan

import (
	"slices"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/wire"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// vectorFeature is the only feature of the views that vectors are stored in.
const vectorFeature = "vector"

// Precomputed says what the precomputed vectors of a feature service hold: in a row for each entity, all features of all views of
// the service. It is immutable.
type Precomputed struct {
	// Read reads, for the key set of the service's views, the vectors and the event times of the rows of the views, by which
	// an old vector shows.
	Read    *online.ReadPlan
	Table   *online.Table // of the vectors
	Views   []PrecomputedView
	Columns []PrecomputedColumn // in the order in which Feast writes them
	// Names are the names of Columns as they begin a vector: feature_names of a feast.core.PrecomputedFeatureVector.
	Names []byte

	byName map[string]int // by full name the place in Columns
}

// PrecomputedView is a view of a vector.
type PrecomputedView struct {
	Name  string        // as the service calls it
	Times *online.Table // in Precomputed.Read, for its event times
	Table *online.Table // in the plan of the query; nil: none of its features is asked for
}

// PrecomputedColumn is a feature of a vector.
type PrecomputedColumn struct {
	Name    string // view__feature
	View    int    // place in Precomputed.Views
	Feature int    // place among the features of the view's Table; -1: it is not asked for
}

// Index returns the place of a column by its name.
func (v *Precomputed) Index(name []byte) (int, bool) {
	i, ok := v.byName[string(name)]
	return i, ok
}

// vector lays out the vectors of the service that the resolver was asked for, with all its projections and features, or says
// why its vectors would be wrong. p is the plan of the query.
func (r *resolver) vector(p *Online, uses []*use, flat []flatRef) (*Precomputed, error) {
	name := r.svc.Name
	first, err := r.vectorKeys(uses)
	if err != nil {
		return nil, err
	}
	v := &Precomputed{byName: make(map[string]int, len(flat))}
	v.Table = vectorTable(r.snap.ProjectName(), name, first)
	group := []*online.Table{v.Table}
	place := make(map[*use]int, len(uses))
	for i, u := range uses {
		times := *v.Table
		times.View, times.Version, times.Features = u.info.Name, u.version, nil
		times.Entities, times.Tags = u.info.Entities, u.info.Tags
		v.Views = append(v.Views, PrecomputedView{Name: u.name, Times: &times, Table: u.table})
		group = append(group, &times)
		place[u] = i
	}
	for _, f := range flat {
		c := PrecomputedColumn{Name: outputName(f, true), View: place[f.use], Feature: -1}
		if _, twice := v.byName[c.Name]; twice {
			return nil, ineligible(name, "two of its features are named %s", c.Name)
		}
		v.byName[c.Name] = len(v.Columns)
		v.Names = wire.AppendBytes(v.Names, 1<<3|wire.Bytes, c.Name) // feature_names
		at := slices.IndexFunc(p.Columns, func(o Column) bool { return o.View == f.use.name && o.feature() == f.feature })
		if at >= 0 {
			c.Feature = p.Columns[at].Feature
		}
		v.Columns = append(v.Columns, c)
	}
	v.Read = online.NewReadPlan(group)
	return v, nil
}

// vectorKeys returns the key set of the views of a service. All must have the same: Feast reads each with the key of the first.
func (r *resolver) vectorKeys(uses []*use) (KeySet, error) {
	var first KeySet
	for i, u := range uses {
		switch {
		case u.info.Kind == registry.KindOnDemandFeatureView:
			return first, ineligible(r.svc.Name, "%s is an on-demand feature view", u.name)
		case u.info.Kind == registry.KindLabelView:
			return first, ineligible(r.svc.Name, "%s is a label view", u.name)
		case u.name != u.bare:
			return first, ineligible(r.svc.Name, "%s is pinned to a version", u.name)
		}
		_, set, err := StoredTable(u.view, 0, r.snap.ProjectName(), r.snap.Entity, r.opts.KeyVersion)
		if err != nil {
			return first, err
		}
		set.rename(u.name, u.keyMap)
		if i == 0 {
			first = set
		} else if set.identity() != first.identity() {
			return first, ineligible(r.svc.Name, "%s and %s are not looked up by the same join keys", uses[0].name, u.name)
		}
	}
	return first, nil
}

func ineligible(service, why string, args ...any) error {
	return feasterr.Invalid("feature service %q cannot be precomputed: "+why, append([]any{service}, args...)...)
}

// vectorTable is the table that keeps the vectors of a service under a key set.
func vectorTable(project, service string, set KeySet) *online.Table {
	t := &online.Table{
		Project: project, View: online.VectorPrefix + service, JoinKeys: set.Encoding.JoinKeys(),
		Features: []types.Field{{Name: vectorFeature, Type: types.Bytes}},
	}
	if len(t.JoinKeys) == 1 && t.JoinKeys[0] == online.DummyJoinKey {
		t.Entities = []string{online.DummyEntity}
	}
	return t
}

// ResolvePrecomputation resolves the read of all features of a service to make vectors of them, Precomputed of the plan. An error
// says why there are none. Whether views serve plays no role. It does no I/O.
func ResolvePrecomputation(snap *registry.Snapshot, service string, o Options) (*Online, error) {
	if !o.Store.RowTimes {
		return nil, feasterr.Unsupported("feature service %q cannot be precomputed: online store %q cannot tell whether a vector is older than the rows that it was made of", service, o.Store.Name)
	}
	r := &resolver{snap: snap, opts: o, byName: map[string]*use{}}
	q := Query{Service: service, FullNames: true}
	if err := r.mention(q); err != nil {
		return nil, err
	}
	if _, err := r.vectorKeys(r.uses); err != nil {
		return nil, err
	}
	p, err := r.plan(q)
	if err != nil {
		return nil, err
	}
	if p.Precomputed, err = r.vector(p, r.uses, r.flat); err != nil {
		return nil, err
	}
	return p, nil
}

// PrecomputedServices returns the names of the services that are to be precomputed and have one of the views; all for no views.
func PrecomputedServices(snap *registry.Snapshot, views ...string) (names []string) {
	for svc := range snap.FeatureServices() {
		uses := func(p registry.FeatureViewProjection) bool { return slices.Contains(views, p.Name) }
		if svc.PrecomputeOnline && (len(views) == 0 || slices.ContainsFunc(svc.Features, uses)) {
			names = append(names, svc.Name)
		}
	}
	return names
}

// vectorsOf returns the table of the vectors of a service as it is in a snapshot, nil when it has none there.
func vectorsOf(snap *registry.Snapshot, svc *registry.FeatureService, o Options) *online.Table {
	if svc == nil || !svc.PrecomputeOnline {
		return nil
	}
	r := &resolver{snap: snap, opts: o, byName: map[string]*use{}}
	if err := r.projections(svc); err != nil || len(r.uses) == 0 {
		return nil
	}
	set, err := r.vectorKeys(r.uses)
	if err != nil {
		return nil
	}
	return vectorTable(snap.ProjectName(), svc.Name, set)
}
