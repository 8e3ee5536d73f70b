package feast

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// Requests that a feature server answers need no registry: what it says here are types, and the order of columns. Where it
// cannot be read within sketchWait they do without, and it is looked for again after sketchAgain.
const (
	sketchWait  = 2 * time.Second
	sketchAgain = 30 * time.Second
)

// sketch is when a registry that requests can do without was waited for last.
type sketch struct {
	gate
	tried time.Time
}

// forwarder returns the online store if it answers whole requests, else nil, also where it cannot be opened.
func (fs *FeatureStore) forwarder(ctx context.Context) online.Forwarder {
	store, err := fs.onlineStore(ctx)
	if err != nil {
		return nil
	}
	f, _ := store.(online.Forwarder)
	return f
}

// snapshot returns the registry's current state for a read: nil when there is none, and none is needed.
func (fs *FeatureStore) snapshot(ctx context.Context) (*registry.Snapshot, error) {
	if fs.registry.Loaded() || fs.forwarder(ctx) == nil {
		return fs.registry.Snapshot(ctx)
	}
	if err := fs.sketch.lock(ctx); err != nil {
		return nil, err
	}
	defer fs.sketch.unlock()
	if !fs.registry.Loaded() && !fs.sketch.tried.IsZero() && time.Since(fs.sketch.tried) < sketchAgain {
		return nil, nil //nolint:nilnil // documented
	}
	waiting, cancel := context.WithTimeout(ctx, sketchWait)
	defer cancel()
	snap, err := fs.registry.Snapshot(waiting)
	if err == nil {
		return snap, nil
	}
	fs.sketch.tried = time.Now()
	fs.opts.logger.WarnContext(ctx, "the registry cannot be read; types are guessed from what the feature server answers", "error", err)
	return nil, ctx.Err() //nolint:nilnil // documented
}

// forwarding is a query that a feature server answers.
type forwarding struct {
	fs      *FeatureStore
	store   online.Forwarder
	name    string // of the store
	query   plan.Query
	known   *shape   // what the registry says; nil: nothing
	learned *learned // of the query
}

// shape is what is known of the columns of an answer.
type shape struct {
	plan  *plan.Online
	types map[string]types.Type
}

// learned is the shape of the first answer to a prepared query of which the registry said nothing.
type learned = atomic.Pointer[shape]

func newShape(p *plan.Online, keys []types.Field) *shape {
	s := &shape{p, map[string]types.Type{}}
	for _, k := range keys {
		s.types[k.Name] = k.Type
	}
	for _, c := range p.Columns {
		s.types[c.Name] = c.Type
	}
	return s
}

// forwarded resolves the query, as far as the registry knows it.
func (p *Prepared) forwarded(ctx context.Context, snap *registry.Snapshot, f online.Forwarder, store string) (*compiled, error) {
	q := plan.Query{Features: p.query.Features, Service: p.query.FeatureService, FullNames: p.query.FullFeatureNames}
	if q.Service == "" && len(q.Features) == 0 {
		return nil, feasterr.Invalid("no features asked for: name features or a feature service")
	}
	to := &forwarding{fs: p.fs, store: f, name: store, query: q, learned: &p.learned}
	c := &compiled{snap: snap, plan: &plan.Online{Service: q.Service}, store: store, forward: to}
	if p.promise != nil && len(p.promise.Columns) > 0 {
		c.plan = p.promise
	} else if snap != nil {
		resolved, found, err := resolve(ctx, p.fs, func(snap *registry.Snapshot) (*plan.Online, error) { return plan.ResolveForwarded(snap, q) })
		switch {
		case err == nil:
			c.plan, c.snap = resolved, found
		case ctx.Err() != nil:
			return nil, err
		} // else the server may know more
	}
	if len(c.plan.Columns) > 0 {
		keys := make([]types.Field, 0, len(c.plan.Keys()))
		for _, k := range c.plan.Keys() {
			keys = append(keys, types.Field{Name: k, Type: c.plan.KeyType(k)})
		}
		to.known = newShape(c.plan, keys)
	}
	return c, nil
}

// promised is the plan whose columns a prepared query has.
func (p *Prepared) promised() *plan.Online {
	if s := p.learned.Load(); s != nil && len(p.promise.Columns) == 0 {
		return s.plan
	}
	return p.promise
}

// shape is what is known of the answer, nil when nothing is.
func (f *forwarding) shape() *shape {
	if f.known == nil {
		return f.learned.Load()
	}
	return f.known
}

// answer is the memory of forwarded requests.
type answer struct {
	request  online.Request
	response online.Response
	given    types.Block // entity rows
	fields   []types.Field

	by     *forwarding // who made the following of the response's plan
	read   *online.ReadPlan
	plan   *plan.Online
	layout *plan.Layout
}

// fill has a request answered and returns the number of entity rows. Statuses are the server's, and no ttl is looked at. With
// promised the columns are those that the query had when it was prepared.
func (f *forwarding) fill(ctx context.Context, q OnlineQuery, entities Frame, out *OnlineResponse, promised bool) (rows int, err error) {
	if rows, err = out.req.load(ctx, entities); err != nil {
		return 0, err
	}
	if rows == 0 {
		return 0, feasterr.Invalid("the entity rows have no rows: one column with a row is needed, if only to tell how many there are")
	}
	if out.answer == nil {
		out.answer = new(answer)
	}
	a := out.answer
	known := f.shape()
	if err := a.load(out.req, known, rows, promised); err != nil {
		return rows, err
	}
	a.request.Features, a.request.Service, a.request.FullNames = f.query.Features, f.query.Service, f.query.FullNames
	a.request.ViewVersions = q.ViewVersions
	a.request.TypeOf = known.typeOf
	a.response.Entities, a.response.Result = &out.entities, &out.result
	if err := f.store.Forward(ctx, &a.request, &a.response); err != nil {
		return rows, feasterr.InStore(f.name, "forward", err)
	}
	if err := f.arrange(a, known, promised); err != nil {
		return rows, feasterr.InStore(f.name, "forward", err)
	}
	if q.Expired == Null {
		blank(&out.result, a.read)
	}
	if err := out.finish(a.plan, a.layout, false); err != nil {
		return rows, err
	}
	if q.ViewVersions {
		out.views = slices.Clone(a.response.Views)
	}
	if q.Require == AllPresent {
		return rows, out.allPresent()
	}
	return rows, nil
}

// typeOf implements [online.Request].TypeOf.
func (s *shape) typeOf(name string) types.Type {
	if s == nil {
		return types.Invalid
	}
	return s.types[name]
}

// load makes typed columns of the entity rows: join keys of the types they have, the others of those of their values. With
// first the join keys of the query come first, so that the answer has them in this order.
func (a *answer) load(req *request, known *shape, rows int, first bool) error {
	order := make([]int, 0, len(req.frame))
	if known != nil && first {
		for _, k := range known.plan.Keys() {
			if i := slices.Index(req.names, k); i >= 0 {
				order = append(order, i)
			}
		}
	}
	for i := range req.frame {
		if !slices.Contains(order, i) {
			order = append(order, i)
		}
	}
	fields := make([]types.Field, 0, len(order))
	for _, i := range order {
		f := types.Field{Name: req.names[i], Type: types.Invalid}
		if known != nil {
			f.Type = known.plan.KeyType(f.Name)
		}
		if f.Type == types.Invalid {
			f.Type = givenType(&req.frame[i])
		}
		fields = append(fields, f)
	}
	if !slices.Equal(fields, a.fields) {
		a.fields = fields // the block keeps the others
	}
	a.given.Reset(a.fields, rows)
	a.request.Entities = a.request.Entities[:0]
	columns := a.given.Columns()
	for n, i := range order {
		c, src := &columns[n], &req.frame[i]
		var err error
		key := known != nil && slices.Contains(known.plan.Keys(), c.Name())
		if !key && (src.kind == colAny || src.kind == colOther) {
			err = fillGiven(c, src)
		} else {
			err = fill(c, src, !key)
		}
		if err != nil {
			return err
		}
		a.request.Entities = append(a.request.Entities, c)
	}
	return nil
}

// givenType is the type of request data, or of a join key that the registry says nothing of.
func givenType(c *frameColumn) types.Type {
	switch c.kind {
	case colInt32s:
		return types.Int32List
	case colInt64s:
		return types.Int64List
	case colFloat32s:
		return types.Float32List
	case colFloat64s:
		return types.Float64List
	case colBools:
		return types.BoolList
	case colStrings:
		return types.StringList
	}
	return naturalType(c)
}

// fillGiven stores what []any holds, each value as what it is.
func fillGiven(dst *types.Column, src *frameColumn) error {
	for i := range src.n {
		v := src.native(i)
		if err := dst.SetNative(i, v); err != nil {
			return rowError(dst, i, err)
		}
	}
	return nil
}

// arrange puts the columns of an answer in order.
func (f *forwarding) arrange(a *answer, known *shape, promised bool) error {
	if a.by == f && a.read == a.response.Plan() {
		return nil
	}
	a.by, a.read = nil, a.response.Plan()
	fields, keys := a.response.Fields(), a.response.Keys()
	names := make([]string, len(fields))
	l := &plan.Layout{Echo: keys}
	for i, c := range fields {
		names[i] = c.Name
		if i < keys {
			l.Columns = append(l.Columns, plan.EntityColumn{Name: c.Name, Type: c.Type})
		}
	}
	var want *plan.Online
	if known != nil {
		want = known.plan
	}
	p, err := plan.Arrange(f.query, want, names, keys, a.read, promised && want != nil)
	if err != nil {
		return err
	}
	switch {
	case !promised:
	case want != nil:
		l.Echo = len(want.Keys())
		for i, k := range want.Keys() {
			if i >= keys || names[i] != k {
				return &feasterr.SchemaChangedError{Column: k, Was: "a join key"}
			}
		}
	case !f.learned.CompareAndSwap(nil, newShape(p, fields[:keys])): // another answer was the first
		return f.arrange(a, f.learned.Load(), true)
	}
	a.by, a.plan, a.layout = f, p, l
	return nil
}

// blank leaves out the values that the server says are too old.
func blank(res *online.Result, read *online.ReadPlan) {
	for _, t := range read.Tables() {
		c := res.Column(t, 0)
		for row := range res.Rows() {
			if c.Status(row) == types.OutsideMaxAge {
				c.Clear(row, types.OutsideMaxAge)
			}
		}
	}
}
