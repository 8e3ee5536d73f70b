package feast

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/internal/wire"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// PrecomputeResult counts what was precomputed.
type PrecomputeResult struct {
	Services []PrecomputedService // in order of their names, or as they were named
	// Skipped are services with PrecomputeOnline that were not named and cannot be precomputed.
	Skipped []string
}

// PrecomputedService counts the vectors of a feature service.
type PrecomputedService struct {
	Name    string
	Written int // stored
	Older   int // left out because a vector that is as new or newer is stored
}

// PrecomputeFeatureService makes the vectors of feature services: all features of an entity in one value, which online reads
// of a service with PrecomputeOnline take instead of the rows. It makes those of all entities that have a row with the join keys
// of the service. Without names it makes the vectors of all services with PrecomputeOnline.
//
// Where there is no vector, or where a row was written since, the rows are read: vectors make reads faster and change one
// thing in answers, as their format does not tell a feature that an existing row lacks, [NotFound], from a null, [NullValue].
// [FeatureStore.Materialize] makes the vectors of the services that have one of its views, and so do
// [FeatureStore.Push] and [FeatureStore.WriteToOnlineStore] for the entities they write: this method is for a service that is
// new or was changed, and after writes by Feast's push or by others that make no vectors. Feast in Python, which reads
// the same vectors, reads no rows in place of absent or old ones.
//
// All views of the service must be looked up by the same join keys, none may be pinned to a version, and none be an on-demand
// view or a label view: else Feast's readers would answer wrong values. Such a service, when it is named, is an [ErrInvalid]. A store
// that cannot tell which vectors are old is [ErrUnsupported]; Redis can, and the store in memory. Services that are
// named need not have PrecomputeOnline, so that vectors can be made before readers look for them; but nothing renews or
// removes those of a service without it.
func (fs *FeatureStore) PrecomputeFeatureService(ctx context.Context, names ...string) (PrecomputeResult, error) {
	var res PrecomputeResult
	if err := fs.writable(ctx); err != nil {
		return res, err
	}
	store, err := fs.onlineStore(ctx)
	if err != nil {
		return res, err
	}
	type found struct {
		all     []*precomputation
		skipped []string
	}
	services, _, err := resolve(ctx, fs, func(snap *registry.Snapshot) (f found, err error) {
		wanted := names
		if len(names) == 0 {
			wanted = plan.PrecomputedServices(snap)
		}
		var errs []error
		for _, name := range wanted {
			p, err := fs.vectors.get(fs, snap, store, name)
			switch {
			case err == nil:
				f.all = append(f.all, p)
			case len(names) == 0 && !errors.Is(err, feasterr.ErrUnsupported):
				fs.opts.logger.WarnContext(ctx, "a feature service is not precomputed", "service", name, "reason", err)
				f.skipped = append(f.skipped, name)
			default:
				errs = append(errs, err)
			}
		}
		return f, errors.Join(errs...)
	})
	if err != nil {
		return res, err
	}
	res.Skipped = services.skipped
	for _, p := range services.all {
		done, err := p.all(ctx)
		if err != nil {
			return res, err
		}
		res.Services = append(res.Services, done)
	}
	return res, nil
}

// precomputation makes the vectors of a service. It is safe for concurrent use.
type precomputation struct {
	fs      *FeatureStore
	service string
	plan    *plan.Online
	store   online.Store
	reader  online.Reader // of the rows
}

// precomputations keeps those of the current snapshot, by service.
type precomputations struct {
	mu        sync.Mutex
	snap      *registry.Snapshot
	byService map[string]*outcome
}

// outcome is what came of resolving a service.
type outcome struct {
	p   *precomputation
	err error // why there is none
}

// get returns the precomputation of a service, or why there is none.
func (c *precomputations) get(fs *FeatureStore, snap *registry.Snapshot, store online.Store, service string) (*precomputation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.snap != snap {
		c.snap, c.byService = snap, map[string]*outcome{}
	}
	o := c.byService[service]
	if o == nil {
		o = new(outcome)
		o.p, o.err = fs.precomputation(snap, store, service)
		c.byService[service] = o
	}
	return o.p, o.err
}

func (fs *FeatureStore) precomputation(snap *registry.Snapshot, store online.Store, service string) (*precomputation, error) {
	resolved, err := plan.ResolvePrecomputation(snap, service, fs.planOptions(store.Info()))
	if err != nil {
		return nil, err
	}
	r, err := store.Prepare(resolved.Read)
	if err != nil {
		return nil, feasterr.InStore(store.Info().Name, "prepare", err)
	}
	return &precomputation{fs: fs, service: service, plan: resolved, store: store, reader: r}, nil
}

// vectorRows bounds how many vectors are made at once, and vectorCells how many cells they hold.
const (
	vectorRows  = 1000
	vectorCells = 200_000
)

func (p *precomputation) chunk() int {
	return max(1, min(vectorRows, vectorCells/len(p.plan.Columns)))
}

// failed says which vectors were not made.
func (p *precomputation) failed(err error) error {
	return fmt.Errorf("the vectors of feature service %q were not all written, which readers of this library make good and those of Feast do not: %w; PrecomputeFeatureService writes them", p.service, err)
}

// all makes the vectors of all entities.
func (p *precomputation) all(ctx context.Context) (PrecomputedService, error) {
	w := vectorWriter{precomputation: p}
	w.done.Name = p.service
	lister, ok := online.As[online.KeyLister](p.store)
	if !ok {
		return w.done, feasterr.Unsupported("online store %q cannot say of which entities it holds rows", p.store.Info().Name)
	}
	size := p.chunk()
	for key, err := range lister.Keys(ctx, p.plan.Read.Tables()) {
		if err != nil {
			return w.done, p.failed(feasterr.InStore(p.store.Info().Name, "scan", err))
		}
		w.add(key)
		if len(w.ends) < size {
			continue
		}
		if err := w.flush(ctx); err != nil {
			return w.done, p.failed(err)
		}
	}
	if err := w.flush(ctx); err != nil {
		return w.done, p.failed(err)
	}
	return w.done, nil
}

// vectorWriter makes vectors, some at a time.
type vectorWriter struct {
	*precomputation
	done PrecomputedService

	buf    []byte // keys that were added
	ends   []int
	rows   [][]byte // keys in buf
	group  [1][]online.Key
	keys   online.Keys
	result online.Result // rows
	vector []byte
	value  []byte
	time   []byte
	block  types.Block // vectors
	event  []types.Timestamp
}

// add takes a key, which it copies.
func (w *vectorWriter) add(key []byte) {
	w.buf = append(w.buf, key...)
	w.ends = append(w.ends, len(w.buf))
}

// flush makes the vectors of the keys that were added.
func (w *vectorWriter) flush(ctx context.Context) error {
	w.rows = cut(w.rows[:0], w.buf, w.ends)
	err := w.write(ctx, distinct(w.rows))
	w.buf, w.ends = w.buf[:0], w.ends[:0]
	return err
}

// write makes the vectors of distinct keys.
//
// They are of the time before the rows are read: of two that are made at the same time the one with the newer time has seen
// all that the other has, and that one stays in the store.
func (w *vectorWriter) write(ctx context.Context, keys [][]byte) error {
	if len(keys) == 0 {
		return nil
	}
	now := types.TimestampOf(w.fs.opts.now().Truncate(time.Microsecond))
	w.group[0], w.event = w.group[0][:0], w.event[:0]
	for row, key := range keys {
		w.group[0] = append(w.group[0], online.Key{Bytes: key, Row: row})
		w.event = append(w.event, now)
	}
	w.keys.Reset(w.group[:])
	w.result.Reset(w.plan.Read, len(keys))
	if err := w.reader.Read(ctx, &w.keys, &w.result); err != nil {
		return feasterr.InStore(w.store.Info().Name, "read", err)
	}
	for _, t := range w.plan.Read.Tables() {
		if err := w.result.Err(t); err != nil {
			return feasterr.InStore(w.store.Info().Name, "read", err)
		}
	}
	table := w.plan.Precomputed.Table
	w.block.Reset(table.Features, len(keys))
	column := &w.block.Columns()[0]
	for row := range keys {
		w.append(row, now)
		if err := column.SetBytes(row, w.vector); err != nil {
			return err
		}
	}
	res, err := w.store.Write(ctx, &online.WriteBatch{Table: table, Keys: keys, Event: w.event, Columns: []*types.Column{column}})
	w.done.Written += res.Written
	w.done.Older += res.Older
	return feasterr.InStore(w.store.Info().Name, "write", err)
}

// append makes the vector of a row: a feast.core.PrecomputedFeatureVector, as Feast writes it. An event time of a row that is
// absent is there, and empty.
func (w *vectorWriter) append(row int, now types.Timestamp) {
	p := w.plan.Precomputed
	b := append(w.vector[:0], p.Names...)
	for i := range p.Columns {
		c := &p.Columns[i]
		w.value = w.result.Column(p.Views[c.View].Table, c.Feature).AppendValue(w.value[:0], row)
		b = wire.AppendBytes(b, vectorValues, w.value)
	}
	for i := range p.Views {
		v := &p.Views[i]
		w.value = w.result.RowEvent(v.Table, row).AppendProto(w.value[:0])
		w.time = wire.AppendBytes(w.time[:0], timeView, v.Name)
		w.time = wire.AppendBytes(w.time, timeEvent, w.value)
		b = wire.AppendBytes(b, vectorTimes, w.time)
	}
	w.value = now.AppendProto(w.value[:0])
	w.vector = wire.AppendBytes(b, vectorMade, w.value)
}

// precomputed returns the precomputations of services that have one of the views.
func (fs *FeatureStore) precomputed(ctx context.Context, store online.Store, services []string) ([]*precomputation, error) {
	if len(services) == 0 || !store.Info().RowTimes {
		return nil, nil
	}
	snap, err := fs.registry.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	var list []*precomputation
	for _, name := range services {
		if p, err := fs.vectors.get(fs, snap, store, name); err == nil { // else it has no vectors
			list = append(list, p)
		}
	}
	return list, nil
}

// renew makes the vectors of the entities of rows that were written to targets. An error goes to the targets of the
// service.
func (fs *FeatureStore) renew(ctx context.Context, store online.Store, w *writer, targets []*target, layouts []*plan.WriteLayout, results []WriteResult, errs []error) {
	var done []string
	for i, t := range targets {
		if errs[i] != nil || results[i].Null > 0 { // nothing was written
			continue
		}
		list, err := fs.precomputed(ctx, store, t.services)
		if err != nil {
			errs[i] = err
			continue
		}
		for _, p := range list {
			if slices.Contains(done, p.service) { // for another view, of the same rows
				continue
			}
			if err := p.renew(ctx, w, t.plan, layouts[i]); err != nil {
				errs[i] = errors.Join(errs[i], p.failed(err))
				continue
			}
			done = append(done, p.service)
		}
	}
}

// renew makes the vectors of the entities of a frame.
func (p *precomputation) renew(ctx context.Context, w *writer, to *plan.Write, l *plan.WriteLayout) error {
	v := vectorWriter{precomputation: p}
	size := p.chunk()
	for from := 0; from < w.rows; from += size {
		if err := w.encode(to, l, from, min(size, w.rows-from)); err != nil {
			return err
		}
		if err := v.write(ctx, distinct(w.batch.Keys)); err != nil {
			return err
		}
	}
	return nil
}
