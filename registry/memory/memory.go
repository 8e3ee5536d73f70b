// Package memory keeps a registry in memory: for tests, and for programs that define their feature views themselves.
// It is the registry type "memory".
package memory

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
)

func init() {
	registry.Register(registry.Driver{
		Names: []string{"memory"},
		Open: func(context.Context, *config.RepoConfig, registry.Env) (registry.Backend, error) {
			return New(), nil
		},
	})
}

// Backend is a registry in memory. Several feature stores may share one: closing it does nothing.
type Backend struct {
	mu      sync.Mutex
	records map[registry.ID]registry.Record
	order   []registry.ID // as first put
	version int
}

// New returns an empty registry.
func New() *Backend {
	return &Backend{records: map[registry.ID]registry.Record{}}
}

// Put stores objects in project as they are, without the checks and the bookkeeping of applying them.
func (b *Backend) Put(ctx context.Context, project string, objects ...registry.Object) error {
	_, err := b.Update(ctx, project, func(tx registry.Tx) error {
		for _, o := range objects {
			r, err := registry.Encode(project, o)
			if err != nil {
				return err
			}
			if err := tx.Put(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// Load implements registry.Backend.
func (b *Backend) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", fmt.Errorf("loading the registry: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if have == b.token() {
		return nil, have, nil
	}
	state := &registry.State{Records: make([]registry.Record, len(b.order))}
	for i, id := range b.order {
		state.Records[i] = b.records[id]
		if state.Records[i].Updated.After(state.LastUpdated) {
			state.LastUpdated = state.Records[i].Updated
		}
	}
	return state, b.token(), nil
}

// PollInterval implements registry.Poller.
func (b *Backend) PollInterval() time.Duration { return time.Second }

// Update implements registry.Backend. Transactions run one after the other; fn must not use the Backend itself.
func (b *Backend) Update(ctx context.Context, project string, fn func(registry.Tx) error) (registry.Token, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("updating the registry: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := &tx{project: project, records: maps.Clone(b.records), order: slices.Clone(b.order)}
	if err := fn(t); err != nil {
		return "", err
	}
	if t.changed {
		b.records, b.order = t.records, t.order
		b.version++
	}
	return b.token(), nil
}

// Teardown implements registry.Backend.
func (b *Backend) Teardown(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records, b.order = map[registry.ID]registry.Record{}, nil
	b.version++
	return nil
}

// Close implements registry.Backend.
func (b *Backend) Close() error { return nil }

func (b *Backend) token() registry.Token { return registry.Token(strconv.Itoa(b.version + 1)) }

// tx works on copies, which replace the originals when all went well.
type tx struct {
	project string
	records map[registry.ID]registry.Record
	order   []registry.ID
	changed bool
}

func (t *tx) check(ctx context.Context, id registry.ID) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	if id.Project != t.project {
		return feasterr.Invalid("%s is outside the transaction, which is on project %q", id, t.project)
	}
	return nil
}

func (t *tx) Get(ctx context.Context, id registry.ID) (registry.Record, error) {
	if err := t.check(ctx, id); err != nil {
		return registry.Record{}, err
	}
	r, ok := t.records[id]
	if !ok {
		return registry.Record{}, notFound(id)
	}
	return r, nil
}

func (t *tx) List(ctx context.Context, kind registry.Kind) iter.Seq2[registry.Record, error] {
	return func(yield func(registry.Record, error) bool) {
		for _, id := range slices.Clone(t.order) {
			if id.Kind != kind || id.Project != t.project {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(registry.Record{}, fmt.Errorf("listing: %w", err))
				return
			}
			if r, ok := t.records[id]; ok && !yield(r, nil) {
				return
			}
		}
	}
}

func (t *tx) Put(ctx context.Context, r registry.Record) error {
	if err := t.check(ctx, r.ID); err != nil {
		return err
	}
	if _, ok := t.records[r.ID]; !ok {
		t.order = append(t.order, r.ID)
	}
	t.records[r.ID] = r
	t.changed = true
	return nil
}

func (t *tx) Delete(ctx context.Context, id registry.ID) error {
	if err := t.check(ctx, id); err != nil {
		return err
	}
	if _, ok := t.records[id]; !ok {
		return notFound(id)
	}
	delete(t.records, id)
	t.order = slices.DeleteFunc(t.order, func(o registry.ID) bool { return o == id })
	t.changed = true
	return nil
}

func notFound(id registry.ID) error {
	return &feasterr.NotFoundError{Kind: id.Kind.String(), Name: id.Name, Project: id.Project}
}
