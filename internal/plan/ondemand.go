package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// Function computes an on-demand view. It is immutable.
type Function struct {
	Inputs, Outputs []types.Field
	// Takes and Gives say whether an input or output may have a type, by its number. nil: only its own, or any when it has
	// none.
	Takes, Gives func(i int, t types.Type) error
	Apply        func(ctx context.Context, in *types.Frame, out *types.Builder) error
}

// Computed is an on-demand view with the function that computes it, the two checked against each other. It is immutable.
type Computed struct {
	View    string // the view's own name
	Func    *Function
	Inputs  []Input
	Outputs []types.Field // of the function, with the types that the view declares
}

// Input is where an input of a function comes from: a feature of a source view, request data, or a join key of a source
// view.
type Input struct {
	Name string // as the function calls it
	Type types.Type

	Source  int    // of the view's Sources; -1: none
	Feature string // of the source, or field of request data
	Key     JoinKey

	// Set when a query is resolved: the column is that of a table, or, when Table is nil, an element of [Layout].Data.
	Table  *online.Table
	Column int
}

// Bare returns the name of an input without its source.
func (in *Input) Bare() string {
	if in.Key.Request != "" {
		return in.Key.Request
	}
	return in.Feature
}

// Data is a column that a request brings for functions: request data, or a join key.
type Data struct {
	Name  string
	Type  types.Type
	Key   JoinKey  // Request is empty for request data
	Views []string // projections that need it
}

// candidate is what an input may be.
type candidate struct {
	bare      string
	qualified []string // source__name
	Input
}

// ResolveComputed finds the inputs of an on-demand view's function, by their own names or as source__name, where a name by
// itself has to be clear. It checks types and outputs. All problems are reported together.
func ResolveComputed(snap *registry.Snapshot, v *registry.OnDemandFeatureView, o Options) (*Computed, error) {
	fn := o.Functions[v.Name]
	if fn == nil {
		return nil, noFunction(v)
	}
	fail := func(err error) error { return fmt.Errorf("on-demand feature view %q: %w", v.Name, err) }
	all, err := candidates(snap, v, o.KeyVersion)
	if err != nil {
		return nil, fail(err)
	}
	c := &Computed{View: v.Name, Func: fn}
	var errs []error
	for i, want := range fn.Inputs {
		in, err := find(all, want.Name)
		if err == nil {
			err = check(fn.Takes, i, want, in.Type, "input")
		}
		if err != nil {
			errs = append(errs, fail(err))
			continue
		}
		in.Name = want.Name
		c.Inputs = append(c.Inputs, in)
	}
	for i, want := range fn.Outputs {
		at := slices.IndexFunc(v.Schema, func(f registry.Field) bool { return f.Name == want.Name })
		if at < 0 {
			errs = append(errs, fail(feasterr.Invalid("its Go function computes %q, which is none of the view's features (%s)", want.Name, list(v.Schema))))
			continue
		}
		if err := check(fn.Gives, i, want, v.Schema[at].Type, "output"); err != nil {
			errs = append(errs, fail(err))
		}
		c.Outputs = append(c.Outputs, types.Field{Name: want.Name, Type: v.Schema[at].Type})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// noFunction names the ways in which an on-demand view can be computed.
func noFunction(v *registry.OnDemandFeatureView) error {
	return feasterr.Unsupported("on-demand feature view %q has no Go function, and its Python function cannot run here: register a Go function with feast.WithTransformation(%q, ...), or leave the view out of the request; this version asks no transformation server", v.Name, v.Name)
}

func list(fields []registry.Field) (names string) {
	for i, f := range fields {
		if i > 0 {
			names += ", "
		}
		names += f.Name
	}
	return names
}

// check compares the type that a function has for an input or output with that of the registry.
func check(fits func(int, types.Type) error, i int, want types.Field, have types.Type, what string) error {
	if have == types.Invalid { // the values say
		return nil
	}
	if fits != nil {
		if err := fits(i, have); err != nil {
			return feasterr.Invalid("%s %q of its Go function: %w", what, want.Name, err)
		}
		return nil
	}
	if want.Type != types.Invalid && want.Type != have {
		return feasterr.Invalid("%s %q of its Go function is %s, and the registry says %s", what, want.Name, want.Type, have)
	}
	return nil
}

// candidates returns what the inputs of a view's function may be: features first, then request data, then join keys.
func candidates(snap *registry.Snapshot, v *registry.OnDemandFeatureView, keyVersion int) (all []candidate, err error) {
	var keys []candidate
	for i := range v.Sources {
		p := &v.Sources[i]
		view, err := sourceView(snap, p)
		if err != nil {
			return nil, err
		}
		info := view.Info()
		qualify := func(name string) []string {
			bare := p.Name
			if p.Alias != "" {
				bare = p.Alias
			}
			out := []string{bare + "__" + name}
			if full := p.NameInUse(); full != bare {
				out = append(out, full+"__"+name)
			}
			return out
		}
		for _, f := range info.Features {
			if len(p.Features) > 0 && !hasFeature(p.Features, f.Name) {
				continue
			}
			all = append(all, candidate{f.Name, qualify(f.Name), Input{Type: f.Type, Source: i, Feature: f.Name}})
		}
		set, err := keySet(&info, snap.Entity, keyVersion)
		if err != nil {
			return nil, fmt.Errorf("feature view %q: %w", info.Name, err)
		}
		set.rename(p.NameInUse(), p.JoinKeyMap)
		for _, k := range set.Keys {
			known := slices.ContainsFunc(keys, func(c candidate) bool { return c.bare == k.Request && c.Type == k.Type })
			if k.Request != "" && !known {
				keys = append(keys, candidate{k.Request, nil, Input{Type: k.Type, Source: -1, Key: k}})
			}
		}
	}
	for _, s := range v.RequestSources {
		for _, f := range requestSchema(s) {
			all = append(all, candidate{f.Name, []string{s.Name + "__" + f.Name}, Input{Type: f.Type, Source: -1, Feature: f.Name}})
		}
	}
	return append(all, keys...), nil
}

// requestSchema returns the columns of request data that a source declares.
func requestSchema(s *registry.DataSource) []registry.Field {
	if s != nil {
		if o, ok := s.Options.(registry.RequestOptions); ok {
			return o.Schema
		}
	}
	return nil
}

// sourceView returns a source of an on-demand view.
func sourceView(snap *registry.Snapshot, p *registry.FeatureViewProjection) (registry.View, error) {
	var v registry.View
	var err error
	if p.Version != nil {
		v, err = snap.ViewVersion(p.Name, *p.Version)
	} else {
		v, err = snap.View(p.Name)
	}
	if err != nil {
		return nil, err
	}
	if od, ok := v.(*registry.OnDemandFeatureView); ok && !od.WriteToOnlineStore {
		return nil, feasterr.Unsupported("its source %q is an on-demand feature view, too: only one with write_to_online_store can be a source", p.Name)
	}
	return v, nil
}

// find returns what an input's name means.
func find(all []candidate, name string) (Input, error) {
	var found []candidate
	for _, c := range all {
		if slices.Contains(c.qualified, name) {
			found = append(found, c)
		}
	}
	for _, c := range all {
		isKey := c.Key.Request != ""
		if c.bare == name && len(found) == 0 || c.bare == name && !isKey && !slices.Contains(found[0].qualified, name) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 1:
		return found[0].Input, nil
	case 0:
		names := func(yield func(string) bool) {
			for _, c := range all {
				if !yield(c.bare) {
					return
				}
			}
		}
		return Input{}, &feasterr.NotFoundError{Kind: "input", Name: name, In: "the view's sources", Near: feasterr.Near(name, names)}
	}
	var names []string
	for _, c := range found {
		names = append(names, c.qualified...)
	}
	return Input{}, feasterr.Invalid("input %q of its Go function has several meanings: name one of %q", name, names)
}

// sources adds the views that on-demand views are computed from, as far as the functions read them, each where the
// on-demand view is first mentioned unless it is mentioned itself. What is wrong with an on-demand view stays with it.
func (r *resolver) sources() {
	uses := r.uses
	r.uses = make([]*use, 0, len(uses))
	for _, u := range uses {
		if od, ok := u.view.(*registry.OnDemandFeatureView); ok && !od.WriteToOnlineStore {
			u.err = r.addSources(u, od, uses)
		}
		r.uses = append(r.uses, u)
	}
}

func (r *resolver) addSources(u *use, od *registry.OnDemandFeatureView, mentioned []*use) error {
	c, err := ResolveComputed(r.snap, od, r.opts)
	if err != nil {
		return err
	}
	u.sources = make([]*use, len(od.Sources))
	for _, in := range c.Inputs {
		if in.Source < 0 || u.sources[in.Source] != nil {
			continue
		}
		s, err := r.sourceUse(od, &od.Sources[in.Source], mentioned)
		if err != nil {
			return err
		}
		if !slices.Contains(r.uses, s) && !slices.Contains(mentioned, s) {
			r.uses = append(r.uses, s)
		}
		u.sources[in.Source] = s
	}
	u.computed = c
	return nil
}

// sourceUse returns the use of a source of an on-demand view: one of those mentioned or added before, or a new one.
func (r *resolver) sourceUse(od *registry.OnDemandFeatureView, p *registry.FeatureViewProjection, mentioned []*use) (*use, error) {
	version := -1
	if p.Version != nil {
		version = *p.Version
		if !r.opts.Versioning {
			return nil, versionsOff(fmt.Sprintf("on-demand feature view %q reads %s", od.Name, p.NameInUse()))
		}
	}
	s, err := r.use(p.Name, version)
	if err != nil {
		return nil, fmt.Errorf("on-demand feature view %q: %w", od.Name, err)
	}
	same := func(x *use) bool {
		return x.view == s.view && x.version == s.version && maps.Equal(x.keyMap, p.JoinKeyMap)
	}
	if i := slices.IndexFunc(mentioned, same); i >= 0 {
		return mentioned[i], nil
	}
	if i := slices.IndexFunc(r.uses, same); i >= 0 {
		return r.uses[i], nil
	}
	s.name, s.bare, s.keyMap = p.NameInUse(), p.Name, p.JoinKeyMap
	if p.Alias != "" {
		s.bare = p.Alias
	}
	return s, nil
}

// compute lays out what the function of an on-demand view reads.
func (r *resolver) compute(p *Online, u *use, od *registry.OnDemandFeatureView) {
	c := u.computed
	for i := range c.Inputs {
		in := &c.Inputs[i]
		switch {
		case in.Source >= 0:
			in.Table = u.sources[in.Source].table
			in.Column = slices.IndexFunc(in.Table.Features, func(f types.Field) bool { return f.Name == in.Feature })
			if in.Column < 0 {
				in.Column = len(in.Table.Features)
				in.Table.Features = append(in.Table.Features, types.Field{Name: in.Feature, Type: in.Type})
			}
		case in.Key.Request != "":
			in.Column = p.data(u.name, Data{Name: in.Key.Request, Type: in.Type, Key: in.Key})
			p.needs(in.Key)
		default:
			in.Column = p.data(u.name, Data{Name: in.Feature, Type: in.Type})
		}
	}
	for _, s := range od.RequestSources { // all of it has to be there, as in Feast
		for _, f := range requestSchema(s) {
			p.data(u.name, Data{Name: f.Name, Type: f.Type})
		}
	}
	p.Computed = append(p.Computed, c)
}

// data returns the number of a column that requests bring for a view.
func (p *Online) data(view string, d Data) int {
	i := slices.IndexFunc(p.Data, func(x Data) bool {
		return x.Name == d.Name && x.Type == d.Type && (x.Key.Request != "") == (d.Key.Request != "")
	})
	if i < 0 {
		i, p.Data = len(p.Data), append(p.Data, d)
	}
	if !slices.Contains(p.Data[i].Views, view) {
		p.Data[i].Views = append(p.Data[i].Views, view)
	}
	return i
}

// needs adds a join key to those that the query needs.
func (p *Online) needs(k JoinKey) {
	if k.Request == "" {
		return
	}
	p.known[k.Request] = k.Request
	if !slices.Contains(p.keys, k.Request) {
		p.keys = append(p.keys, k.Request)
	}
}

// uncomputed says why features of an on-demand view cannot be answered, nil when they can.
func (r *resolver) uncomputed(u *use) error {
	if u.err == nil {
		return nil
	}
	for _, f := range r.flat {
		if f.use == u && !hasFeature(u.info.Features, f.feature) {
			return r.noFeature(u, f.feature)
		}
	}
	if r.promised {
		return &feasterr.SchemaChangedError{Err: u.err}
	}
	return u.err
}

// computedColumn resolves a feature that is computed.
func (r *resolver) computedColumn(f flatRef, full bool) (Column, error) {
	c := f.use.computed
	i := slices.IndexFunc(c.Outputs, func(o types.Field) bool { return o.Name == f.feature })
	if i >= 0 {
		return Column{Name: outputName(f, full), View: f.use.name, Type: c.Outputs[i].Type, Computed: c, Feature: i}, nil
	}
	if !hasFeature(f.use.info.Features, f.feature) {
		return Column{}, r.noFeature(f.use, f.feature)
	}
	return Column{}, feasterr.Unsupported("on-demand feature view %q: its Go function does not compute %q", c.View, f.feature)
}

// NeedsNoStore reports whether nothing is read from the online store.
func (p *Online) NeedsNoStore() bool { return len(p.Read.Tables()) == 0 }
