package registryserver

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/exceptions"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/registry"
)

// checkMessage refuses what Feast's server refuses before it looks at anything else, in its words. What else may be wrong
// is found by the [registry.Writer].
func checkMessage(message proto.Message) error {
	switch m := message.(type) {
	case *core.Entity:
		if m.GetSpec().GetName() == "" {
			return feasterr.Invalid("The entity does not have a name.")
		}
	case *core.DataSource:
		if m.GetType() == core.DataSource_INVALID {
			return feasterr.Invalid("Could not identify the source type being added.")
		}
	case *core.Permission:
		if len(m.GetSpec().GetActions()) == 0 {
			return feasterr.Invalid("The list 'actions' must be non-empty.")
		}
		if m.GetSpec().GetPolicy().GetPolicyType() == nil {
			return feasterr.Invalid("The list 'policy' must be non-empty.")
		}
	case *core.FeatureView:
		return checkViewName(m.GetSpec().GetName())
	case *core.StreamFeatureView:
		return checkViewName(m.GetSpec().GetName())
	case *core.OnDemandFeatureView:
		return checkViewName(m.GetSpec().GetName())
	case *core.LabelView:
		return checkViewName(m.GetSpec().GetName())
	}
	return nil
}

func checkViewName(name string) error {
	switch {
	case name == "":
		return feasterr.Invalid("Feature view needs a name.")
	case strings.Contains(name, "@"):
		return feasterr.Invalid("Feature view name '%s' must not contain '@'. The '@' character is reserved for version-qualified references "+
			"(e.g., 'fv@v2:feature').", name)
	case strings.Contains(name, ":"):
		return feasterr.Invalid("Feature view name '%s' must not contain ':'. The ':' character is reserved as the separator in fully "+
			"qualified feature references (e.g., 'feature_view:feature_name').", name)
	}
	return nil
}

// checkReferences refuses a view whose name another kind of view has, and a service with views that are not there.
func checkReferences(p *project, kind registry.Kind, o registry.Object) error {
	if v, ok := o.(registry.View); ok {
		name := v.Info().Name
		for _, other := range viewKinds {
			if other != kind && p.items(other).byName[name] != nil {
				return &exceptions.Error{Exception: exceptions.Exception{
					Class:   exceptions.Conflict,
					Message: "The feature view name: " + name + " refers to feature views of different types.",
				}, Kind: feasterr.ErrInvalid}
			}
		}
	}
	service, ok := o.(*registry.FeatureService)
	if !ok {
		return nil
	}
	for _, f := range service.Features {
		if len(f.Features) > 0 || strings.ContainsAny(f.Name, "@:") {
			continue
		}
		if _, err := p.find(f.Name, viewKinds...); err != nil {
			return notFound("Feature view '" + f.Name + "' not found in project '" + p.name + "'")
		}
	}
	return nil
}
