package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// completeColumns tells the join key columns of a view from its features, and infers what is missing of both.
func (d *draft) completeColumns(ctx context.Context, v View, schema, keys *[]Field) (problems []error) {
	info := v.Info()
	entities := map[string]*Entity{} // by join key
	for _, name := range info.Entities {
		e, err := d.findEntity(name)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if other := entities[e.Key()]; other != nil {
			problems = append(problems, fmt.Errorf("entities %q and %q have the same join key %q", other.Name, name, e.Key()))
		}
		entities[e.Key()] = e
	}
	if len(problems) > 0 {
		return problems
	}

	isKey := func(f Field) bool { return entities[f.Name] != nil }
	isFeature := func(f Field) bool { return !isKey(f) }
	*keys = slices.DeleteFunc(slices.Concat(*keys, *schema), isFeature)
	*schema = slices.DeleteFunc(slices.Clone(*schema), isKey)
	for _, f := range *keys {
		if e := entities[f.Name]; e.ValueType.Valid() && f.Type != e.ValueType {
			problems = append(problems, fmt.Errorf("column %q is %s, and entity %q says %s", f.Name, f.Type, e.Name, e.ValueType))
		}
	}

	var columns []Column // of the source, when they are needed
	missing := func(key string) bool {
		return !slices.ContainsFunc(*keys, func(f Field) bool { return f.Name == key })
	}
	untyped := func(e *Entity) bool { return missing(e.Key()) && !e.ValueType.Valid() }
	needed := len(*schema) == 0
	for _, e := range entities {
		needed = needed || untyped(e) && d.describe != nil
	}
	if needed && info.Source != nil && d.describe != nil {
		var err error
		if columns, err = d.describe(ctx, info.Source); err != nil {
			missing := "has no features: set Schema"
			if len(*schema) > 0 {
				missing = "has a join key without a type: set ValueType of its entity"
			}
			return append(problems, fmt.Errorf("%s, for the columns of data source %q are not known: %w", missing, info.Source.Name, err))
		}
	}
	for _, name := range info.Entities {
		e, _ := d.findEntity(name)
		t := e.ValueType
		if untyped(e) {
			var err error
			if t, err = columnType(info.Source, columns, e.Key()); err != nil {
				problems = append(problems, err)
			}
		}
		if missing(e.Key()) && t != types.Invalid {
			*keys = append(*keys, Field{Name: e.Key(), Type: t})
		}
	}
	if len(*schema) > 0 {
		return problems
	}
	inferred, err := inferFeatures(info.Source, columns, func(name string) bool { return entities[name] != nil })
	if err != nil {
		return append(problems, err)
	}
	*schema = inferred
	return problems
}

// completeProjections resolves the views and features that a service or an on-demand view names. A name may be a whole
// reference: "view:feature", "view@v2" or "view@v2:feature".
func (d *draft) completeProjections(list []FeatureViewProjection) (problems []error) {
	for i := range list {
		p := &list[i]
		reference := p.Name
		view, feature, one := strings.Cut(reference, ":")
		if one {
			p.Features = []Field{{Name: feature}}
		}
		name, version, _ := strings.Cut(view, "@")
		pin, pinned, err := parseVersion(version)
		if p.Name = name; pinned {
			p.Version = &pin
		}
		if err == nil {
			err = d.completeProjection(p)
		}
		if err != nil && reference != name {
			err = fmt.Errorf("reference %q: %w", reference, err)
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// completeProjection copies the fields and the source of the view. What was read from a registry stays as it is: the
// copies were made when it was applied.
func (d *draft) completeProjection(p *FeatureViewProjection) error {
	untyped := func(f Field) bool { return !f.Type.Valid() }
	if p.ViewType != "" && len(p.Features) > 0 && !slices.ContainsFunc(p.Features, untyped) {
		return nil
	}
	v, err := d.findView(p.Name)
	if err != nil {
		return err
	}
	switch {
	case p.Version == nil:
	case d.served && *p.Version != v.Info().CurrentVersion:
		return feasterr.Unsupported("feature view %q is at v%d, and a registry server does not show what v%d was: a feature service of that "+
			"version needs the registry itself", p.Name, v.Info().CurrentVersion, *p.Version)
	case !d.served:
		if v, err = d.viewVersion(p.Name, *p.Version); err != nil {
			return err
		}
	}
	info := v.Info()
	features := p.Features
	if p.Features = slices.Clone(info.Features); len(features) > 0 {
		p.Features = nil
	}
	for _, f := range features {
		i := slices.IndexFunc(info.Features, func(g Field) bool { return g.Name == f.Name })
		if i < 0 {
			names := func(yield func(string) bool) {
				for _, g := range info.Features {
					if !yield(g.Name) {
						return
					}
				}
			}
			return &feasterr.NotFoundError{
				Kind: "feature", Name: f.Name, In: fmt.Sprintf("feature view %q", p.NameInUse()), Near: feasterr.Near(f.Name, names),
			}
		}
		p.Features = append(p.Features, info.Features[i])
	}
	if p.Source = info.Source; p.ViewType == "" {
		p.ViewType = "featureView"
		if info.Kind == KindLabelView {
			p.ViewType = "labelView"
		}
	}
	return nil
}
