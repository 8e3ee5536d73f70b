package definitions

import (
	"maps"
	"slices"
	"strings"

	"github.com/feastgo/feast/internal/yamldoc"
	"github.com/feastgo/feast/registry"
)

// reader reads definitions, and resolves the names in them when all are read.
type reader struct {
	file, object string // that is being read
	nested       int    // how deep it stands in views within views

	defined []definition
	at      map[registry.ID]place // where each object is defined
	byName  map[registry.ID]registry.Object

	sources     []sourceRef
	entities    []reference
	projections []projectionRef
	sourceViews map[*registry.FeatureView][]viewRef
	features    map[registry.View]map[string]bool // of views that projections name

	problems []*Error
	told     map[Error]bool
	more     bool
}

type definition struct {
	place
	object registry.Object
}

// reference is a name in a definition.
type reference struct {
	place
	name string
}

type sourceRef struct {
	reference
	to    **registry.DataSource
	kinds []string // that may stand there
}

type projectionRef struct {
	place
	to       *registry.FeatureViewProjection
	features []place
}

type viewRef struct {
	place
	name  string
	index int // in SourceViews
}

// define reads a document.
func (r *reader) define(n *yamldoc.Node) {
	if r.at == nil {
		r.at, r.byName = map[registry.ID]place{}, map[registry.ID]registry.Object{}
		r.sourceViews = map[*registry.FeatureView][]viewRef{}
	}
	if n.Kind != yamldoc.Map {
		r.problem(n.Line, n.Column, "", "must be a map, is %s: each object is a document of its own, after a line ---", n.Kind)
		return
	}
	var o registry.Object
	moveMap(r, n, "", &o, func(f *form, o *registry.Object) {
		names := kindNames()
		i := f.kind(names)
		switch {
		case i >= len(objectKinds):
			d := new(registry.DataSource)
			*o = d
			moveSource(f, d, sourceKinds)
		case i >= 0:
			*o = objectKinds[i].new()
			moveObject(f, *o, names[i])
		}
	})
	if o == nil {
		return
	}
	at := place{r.file, n.Line, n.Column, r.object, ""}
	r.defined = append(r.defined, definition{at, o})
	id := idOf(o)
	if id.Name == "" {
		return
	}
	if other, twice := r.at[id]; twice {
		r.problemAt(at, "the %s is defined at %s:%d already", id, other.file, other.line)
		return
	}
	if _, isView := o.(registry.View); isView {
		for _, kind := range viewKinds {
			if other, taken := r.at[registry.ID{Kind: kind, Name: id.Name}]; taken {
				r.problemAt(at, "the name is taken by the %s that is defined at %s:%d", other.object, other.file, other.line)
			}
		}
	}
	r.at[id] = at
	r.byName[id] = o
}

var viewKinds = []registry.Kind{
	registry.KindFeatureView, registry.KindStreamFeatureView, registry.KindOnDemandFeatureView, registry.KindLabelView,
}

// idOf is what an object is known by among definitions.
func idOf(o registry.Object) registry.ID {
	return registry.ID{Kind: registry.KindOf(o), Name: o.Resource().Name}
}

// refer notes a projection, which stands at p as n.
func (r *reader) refer(p place, n *yamldoc.Node, to *registry.FeatureViewProjection) {
	ref := projectionRef{place: p, to: to}
	if view := n.Get("view"); view != nil {
		ref.line, ref.column = view.Line, view.Column
	}
	if features := n.Get("features"); features != nil {
		for i, f := range features.List {
			ref.features = append(ref.features, r.here(f, yamldoc.Index(yamldoc.Join(p.key, "features"), i)))
		}
	}
	r.projections = append(r.projections, ref)
}

// finish resolves names and returns what was defined, or what is wrong.
func (r *reader) finish() ([]registry.Object, error) {
	for _, ref := range r.sources {
		r.resolveSource(ref)
	}
	for _, ref := range r.entities {
		if r.byName[registry.ID{Kind: registry.KindEntity, Name: ref.name}] == nil {
			r.unknown(ref, "entity", registry.KindEntity)
		}
	}
	for _, ref := range r.projections {
		r.checkProjection(ref)
	}
	s := viewResolver{reader: r, sizes: map[*registry.FeatureView]int{}}
	for _, d := range r.defined {
		if v, ok := d.object.(*registry.FeatureView); ok {
			s.resolve(v)
		}
	}
	if len(r.problems) > 0 {
		return nil, r.err()
	}
	objects := make([]registry.Object, len(r.defined))
	for i, d := range r.defined {
		objects[i] = d.object
	}
	return objects, nil
}

// unknown notes a name that nothing of the kinds has.
func (r *reader) unknown(ref reference, what string, kinds ...registry.Kind) {
	var names []string
	if len(r.problems) < maxProblems {
		for id := range r.byName {
			if slices.Contains(kinds, id.Kind) {
				names = append(names, id.Name)
			}
		}
	}
	r.problemAt(ref.place, "no %s %q is defined%s", what, ref.name, yamldoc.DidYouMean(ref.name, names))
}

func (r *reader) resolveSource(ref sourceRef) {
	d, _ := r.byName[registry.ID{Kind: registry.KindDataSource, Name: ref.name}].(*registry.DataSource)
	if d == nil {
		r.unknown(ref.reference, "data source", registry.KindDataSource)
		return
	}
	for _, k := range sourceKinds {
		if d.Options != nil && k.is(d.Options) && !slices.Contains(ref.kinds, k.name) {
			r.problemAt(ref.place, "data source %q is a %s, and must be one of %s", ref.name, k.name, strings.Join(ref.kinds, ", "))
			return
		}
	}
	*ref.to = d
}

// view returns the view of that name, of whichever kind.
func (r *reader) view(name string) registry.View {
	for _, kind := range viewKinds {
		if v, ok := r.byName[registry.ID{Kind: kind, Name: name}].(registry.View); ok {
			return v
		}
	}
	return nil
}

// checkProjection looks for the view and the features that a projection names. What it cannot know, features that are
// inferred or that an earlier version had, is left to applying.
func (r *reader) checkProjection(ref projectionRef) {
	if full(ref.to) || ref.to.Name == "" {
		return
	}
	pin, feature, one := strings.Cut(ref.to.Name, ":")
	name, _, pinned := strings.Cut(pin, "@")
	v := r.view(name)
	if v == nil {
		r.unknown(reference{ref.place, name}, "feature view", viewKinds...)
		return
	}
	info := v.Info()
	if len(info.Features) == 0 || pinned || ref.to.Version != nil {
		return
	}
	features := r.featuresOf(v)
	check := func(at place, feature string) {
		if !features[feature] && !r.more {
			near := yamldoc.DidYouMean(feature, slices.Collect(maps.Keys(features)))
			r.problemAt(at, "feature view %q has no feature %q%s", name, feature, near)
		}
	}
	if one {
		check(ref.place, feature)
	}
	for i, f := range ref.to.Features {
		check(ref.features[i], f.Name)
	}
}

// featuresOf is the set of the features of a view.
func (r *reader) featuresOf(v registry.View) map[string]bool {
	set, ok := r.features[v]
	if !ok {
		set = map[string]bool{}
		for _, f := range v.Info().Features {
			set[f.Name] = true
		}
		if r.features == nil {
			r.features = map[registry.View]map[string]bool{}
		}
		r.features[v] = set
	}
	return set
}

// viewResolver copies views into the views that are computed from them.
type viewResolver struct {
	*reader
	sizes map[*registry.FeatureView]int // of those that are done; 0: being resolved
}

// maxViews bounds the views that a derived view stands for.
const maxViews = 1000

// resolve fills in the source views of v that are given by name, and returns how many views v stands for.
func (s *viewResolver) resolve(v *registry.FeatureView) int {
	if size, ok := s.sizes[v]; ok {
		return size
	}
	s.sizes[v] = 0
	refs := s.sourceViews[v]
	size := 1
	for i := range v.SourceViews {
		var ref *viewRef
		if len(refs) > 0 && refs[0].index == i {
			ref, refs = &refs[0], refs[1:]
		}
		if ref == nil {
			size += s.resolve(&v.SourceViews[i])
			continue
		}
		from, _ := s.byName[registry.ID{Kind: registry.KindFeatureView, Name: ref.name}].(*registry.FeatureView)
		if from == nil {
			s.unknown(reference{ref.place, ref.name}, "feature view", registry.KindFeatureView)
			continue
		}
		n := s.resolve(from)
		if n == 0 {
			s.problemAt(ref.place, "feature view %q is computed from itself", ref.name)
			continue
		}
		if size += n; size > maxViews {
			s.problemAt(ref.place, "stands for more than %d views", maxViews)
			break
		}
		v.SourceViews[i] = *from
	}
	s.sizes[v] = min(size, maxViews+1)
	return s.sizes[v]
}
