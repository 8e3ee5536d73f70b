package feast

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/telemetry"
	"github.com/feastgo/feast/types/arrowconv"
)

// Apply creates and updates definitions, in the registry and in the online store, and returns what that changes. The
// data sources of views and the project come along by themselves; what is not named stays. See [FeatureStore.ApplyAll].
func (fs *FeatureStore) Apply(ctx context.Context, objects ...Object) (*Diff, error) {
	return fs.ApplyAll(ctx, ApplyRequest{Objects: objects})
}

// Plan returns what [FeatureStore.Apply] of the same definitions would change, or the error it would return for them. It
// writes nothing.
func (fs *FeatureStore) Plan(ctx context.Context, objects ...Object) (*Diff, error) {
	return fs.ApplyAll(ctx, ApplyRequest{Objects: objects, DryRun: true})
}

// ApplyAll is [FeatureStore.Apply] with deletions and options.
//
// An invalid request changes nothing; its error is an [ErrInvalid] that names all problems with all objects. Otherwise
// the online store gets the tables that new and changed views need and loses those that nothing needs any more, with
// their rows, and then all changes of the registry are committed at once. When the one fails the registry is as it was;
// when the other does, the error says that the online store is ahead. Applying the same again completes both. Where
// nothing changes nothing is written and the online store is not opened, unless the request says Repair; nor is it when
// no view changes, or when the repository has none. The precomputed vectors of a service go with it, or with its
// PrecomputeOnline; nothing else is done about them here.
//
// What was applied is visible to the next call. Should reading it back fail, the error comes with the diff. When nobody
// knows whether the registry was changed, since it took the changes and did not answer, the error says so, and what it
// turns out to hold is visible as soon as it can be read.
//
// Objects are stamped with the time of [WithClock].
//
// What definitions leave out is inferred from their data sources by Feast's rules: the timestamp field, which has to be the
// only timestamp column, the features of a view without Schema, and the types of join keys that neither the view nor the
// entity declares. The offline store is opened for that, and for nothing else; a program that links none has to set
// TimestampField, Schema and ValueType.
func (fs *FeatureStore) ApplyAll(ctx context.Context, r ApplyRequest) (*Diff, error) {
	check := fs.writable
	if r.DryRun {
		check = fs.usable
	}
	if err := check(ctx); err != nil {
		return nil, err
	}
	start := time.Now()
	diff, err := fs.change(ctx, r, func(ctx context.Context, c *registry.Commit) (work, error) {
		return fs.migrate(ctx, c, plan.Migrate(c, r.Repair), online.Store.Update)
	})
	if hook := fs.opts.hooks.Apply; hook != nil && !r.DryRun {
		e := telemetry.Apply{Start: start, Took: time.Since(start), Err: err}
		if diff != nil {
			for _, c := range diff.Changes {
				switch c.Action {
				case registry.ActionCreate:
					e.Created++
				case registry.ActionUpdate:
					e.Updated++
				case registry.ActionDelete:
					e.Deleted++
				}
			}
		}
		hook(ctx, e)
	}
	return diff, err
}

// Teardown removes the project: its tables from the online store, with all rows, and then its objects from the registry.
// Other projects stay; the registry itself goes when none is left, so none should be applied for the first time
// meanwhile. When one of the two fails, tearing down again completes it. What is not there is no error.
func (fs *FeatureStore) Teardown(ctx context.Context) error {
	if err := fs.writable(ctx); err != nil {
		return err
	}
	r := ApplyRequest{Delete: []Object{&Project{Name: fs.cfg.Project}}}
	_, err := fs.change(ctx, r, func(ctx context.Context, c *registry.Commit) (work, error) {
		m := plan.Remove(c)
		if m.Empty() {
			return work{do: fs.sweep}, nil
		}
		return fs.migrate(ctx, c, m, func(s online.Store, ctx context.Context, _, drop []*online.Table) error {
			return s.Teardown(ctx, drop)
		})
	})
	var missing *NotFoundError
	if err != nil && !(errors.As(err, &missing) && missing.Kind == registry.KindProject.String()) {
		return err
	}
	state, err := registry.LoadAll(ctx, fs.backend) // a replica may know less
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the project was removed, but perhaps not the registry: %w; tear down again", err)
	}
	if len(state.Bad) > 0 || slices.ContainsFunc(state.Records, func(r registry.Record) bool { return r.Project != "" }) {
		return nil // of other projects
	}
	if err := fs.backend.Teardown(ctx); err != nil {
		return fmt.Errorf("the project was removed, but not the registry: %w; tear down again", err)
	}
	return nil
}

// sweep removes what earlier changes left of the online store that holds nothing any more, as an empty file.
func (fs *FeatureStore) sweep(ctx context.Context) error {
	if fs.opts.onlineStore == nil && fs.cfg.OnlineStore.IsNull() {
		return nil
	}
	store, err := fs.onlineStore(ctx)
	var unlinked *feasterr.NotLinkedError
	switch {
	case errors.As(err, &unlinked): // so it was never written
		return nil
	case err != nil:
		return err
	}
	return feasterr.InStore(store.Info().Name, "teardown", store.Teardown(ctx, nil))
}

// work is what a change of the registry asks of the online store.
type work struct {
	do      func(ctx context.Context) error // nil: nothing
	changes bool                            // it may change what is stored there
}

// change changes the registry, and before it the online store by what infra returns.
func (fs *FeatureStore) change(ctx context.Context, r ApplyRequest,
	infra func(context.Context, *registry.Commit) (work, error)) (*Diff, error) {
	ahead, sent := false, false
	var failed error
	w := registry.Writer{
		Backend: fs.backend, Project: fs.cfg.Project, Now: fs.opts.now, PurgeMetadata: fs.cfg.Registry.PurgeMetadata,
		Describe: fs.describe,
		BeforeCommit: func(ctx context.Context, c *registry.Commit) error {
			var w work
			w, failed = infra(ctx, c)
			sent = failed == nil
			if failed == nil && w.do != nil {
				c.First(func(ctx context.Context) error {
					ahead = ahead || w.changes
					failed = w.do(ctx)
					sent = failed == nil
					return failed
				})
			}
			return failed
		},
	}
	diff, err := w.Apply(ctx, r)
	if err != nil && sent && !r.DryRun {
		fs.registry.Doubt() // all or some of it may have been stored, or may still be
	}
	switch {
	case failed != nil && ahead:
		return nil, fmt.Errorf("%w; the registry was not changed: repeat the call to complete both", err)
	case err != nil && ahead:
		return nil, fmt.Errorf("the online store was changed, and then the registry failed: %w; repeat the call to complete both", err)
	case err != nil || r.DryRun || len(diff.Changes) == 0:
		return diff, err
	}
	if _, err := fs.registry.Refresh(ctx); err != nil {
		fs.registry.Doubt()
		return diff, fmt.Errorf("the changes were made, but cannot be read back: %w", err)
	}
	return diff, nil
}

// describe lists the columns of a data source, for definitions that leave something to be inferred.
func (fs *FeatureStore) describe(ctx context.Context, s *registry.DataSource) ([]registry.Column, error) {
	store, err := fs.offlineStore(ctx)
	if err != nil {
		return nil, err
	}
	source, err := plan.DescribedSource(s)
	if err != nil {
		return nil, err
	}
	schema, err := store.Describe(ctx, source)
	if err != nil {
		return nil, feasterr.InStore(store.Info().Name, "describe", err)
	}
	columns := make([]registry.Column, schema.NumFields())
	for i, f := range schema.Fields() {
		columns[i] = registry.Column{Name: f.Name, Type: arrowconv.TypeText(f.Type)}
	}
	return columns, nil
}

// migrate returns how the online store is made what a change of the registry needs, which is by do, and keeps the registry's
// list of infrastructure.
func (fs *FeatureStore) migrate(ctx context.Context, c *registry.Commit, m plan.Migration,
	do func(s online.Store, ctx context.Context, keep, drop []*online.Table) error) (work, error) {
	if m.Empty() || fs.opts.onlineStore == nil && fs.cfg.OnlineStore.IsNull() {
		return work{}, nil
	}
	store, err := fs.onlineStore(ctx)
	if err != nil {
		return work{}, err
	}
	tables, err := m.Tables(fs.planOptions(store.Info()))
	if err != nil {
		return work{}, err
	}
	if p, ok := online.As[online.Provisioner](store); ok {
		kept, err := infraObjects(p.Infra(tables.Listed))
		if err != nil {
			return work{}, err
		}
		dropped, err := infraObjects(p.Infra(tables.Unlisted))
		if err != nil {
			return work{}, err
		}
		if err := c.UpdateInfra(kept, dropped); err != nil {
			return work{}, err
		}
	}
	if c.DryRun || len(tables.Keep) == 0 && len(tables.Drop) == 0 {
		return work{}, nil
	}
	return work{changes: true, do: func(ctx context.Context) error {
		return feasterr.InStore(store.Info().Name, "update", do(store, ctx, tables.Keep, tables.Drop))
	}}, nil
}

func infraObjects(list []online.Infra) ([]registry.InfraObject, error) {
	objects := make([]registry.InfraObject, len(list))
	for i, o := range list {
		var err error
		if objects[i], err = registry.NewInfraObject(o.Class, o.Attributes); err != nil {
			return nil, err
		}
	}
	return objects, nil
}
