package feast

import (
	"context"

	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

// Enforcer returns what decides by the permissions that the registry holds now. It is compiled once per state of the
// registry, so a server asks for it at each request. In process nothing is enforced by itself, as in Feast: who embeds
// the feature store is who it trusts.
func (fs *FeatureStore) Enforcer(ctx context.Context, options ...permissions.Option) (*permissions.Enforcer, error) {
	snap, err := fs.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return snap.Enforcer(options...), nil
}

// CheckPermissions says which objects of the project, or actions on them, no permission covers, what each role may do,
// and what is wrong with permissions: Feast's "permissions check" and "permissions list-roles".
func (fs *FeatureStore) CheckPermissions(ctx context.Context, options ...permissions.Option) (*permissions.Report, error) {
	snap, err := fs.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	var resources []permissions.Resource
	for o := range snap.Objects() {
		r := o.Resource()
		if r.Kind == permissions.Project || r.Kind == permissions.Entity && r.Name == registry.DummyEntity {
			continue
		}
		resources = append(resources, r)
	}
	report := snap.Enforcer(options...).Report(resources)
	return &report, nil
}
