package plan

import (
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
)

// ResolveForwarded resolves what the registry says of the columns of a query that a feature server answers: their names, types
// and order, and the join keys. Whether the views may serve, and how they are computed, is the server's matter.
func ResolveForwarded(snap *registry.Snapshot, q Query) (*Online, error) {
	r := &resolver{snap: snap, byName: map[string]*use{}, opts: Options{Versioning: true, KeyVersion: 3, Store: online.Info{Versioned: true}}}
	if err := r.mention(q); err != nil {
		return nil, err
	}
	p := &Online{Service: q.Service, known: map[string]string{}}
	for _, u := range r.uses {
		if err := r.keysOf(p, u); err != nil {
			return nil, err
		}
	}
	for _, f := range r.flat {
		c, err := r.forwardedColumn(f, q.FullNames)
		if err != nil {
			return nil, err
		}
		p.Columns = append(p.Columns, c)
	}
	return p, nil
}

// keysOf adds the join keys that a view needs, or those of the sources of an on-demand view.
func (r *resolver) keysOf(p *Online, u *use) error {
	add := func(v registry.View, keyMap map[string]string) error {
		info := v.Info()
		set, err := keySet(&info, r.snap.Entity, r.opts.KeyVersion)
		if err != nil {
			return err
		}
		set.rename(u.name, keyMap)
		p.Sets = append(p.Sets, set)
		for _, k := range set.Keys {
			p.needs(k)
		}
		return nil
	}
	od, ok := u.view.(*registry.OnDemandFeatureView)
	if !ok || od.WriteToOnlineStore {
		return add(u.view, u.keyMap)
	}
	for _, source := range od.Sources {
		v, err := r.snap.View(source.Name)
		if err == nil {
			err = add(v, source.JoinKeyMap)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *resolver) forwardedColumn(f flatRef, full bool) (Column, error) {
	for _, field := range f.use.info.Features {
		if field.Name == f.feature {
			return Column{Name: outputName(f, full), View: f.use.name, Type: field.Type, Inner: field.Inner}, nil
		}
	}
	return Column{}, r.noFeature(f.use, f.feature)
}

// Arrange makes the plan of an answer: names are its columns, of which the first keys are entity columns, and read holds a table
// for each of the others. The features come in the order of want, where the plan of the query has any, else in that of the
// references, as far as there are some. Those that an answer has beyond these follow, unless only promised ones count; of
// those that it lacks the first is an error.
func Arrange(q Query, want *Online, names []string, keys int, read *online.ReadPlan, promised bool) (*Online, error) {
	p := &Online{Service: q.Service, Read: read, keys: names[:keys:keys]}
	taken := make([]bool, len(names))
	take := func(c Column) bool {
		for i, t := range read.Tables() {
			if names[keys+i] == c.Name && !taken[keys+i] {
				taken[keys+i] = true
				c.Table, c.Type = t, t.Features[0].Type
				p.Columns = append(p.Columns, c)
				return true
			}
		}
		return false
	}
	for _, c := range asked(q, want) {
		switch {
		case take(c):
		case promised:
			return nil, &feasterr.SchemaChangedError{Column: c.Name, Was: c.Type.String()}
		case q.Service == "": // else the server's service may be newer
			return nil, feasterr.Invalid("the answer of the feature server has no column %s", c.Name)
		}
	}
	if promised {
		return p, nil
	}
	for i := keys; i < len(names); i++ {
		if !taken[i] {
			take(Column{Name: names[i]})
		}
	}
	return p, nil
}

// asked are the columns of a query, as far as they are known.
func asked(q Query, want *Online) []Column {
	if want != nil {
		return want.Columns
	}
	if q.Service != "" {
		return nil
	}
	columns := make([]Column, 0, len(q.Features))
	for _, text := range q.Features {
		ref, err := ParseReference(text)
		if err != nil {
			continue // and the server answered all the same
		}
		u := &use{name: ref.name()}
		columns = append(columns, Column{Name: outputName(flatRef{u, ref.Feature}, q.FullNames), View: u.name})
	}
	return columns
}
