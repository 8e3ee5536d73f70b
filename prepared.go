package feast

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/telemetry"
	"github.com/feastgo/feast/types"
)

// Expired says what an answer holds where the stored value is older than its view's ttl.
type Expired uint8

// What to do with expired values. Their status is [OutsideMaxAge] either way.
const (
	Keep Expired = iota // the value, as Feast (which looks at no ttl here) answers it
	Null                // no value
)

// Require says what an answer must hold.
type Require uint8

// AllPresent makes an answer in which the status of any feature of any row is not [Present] a [*MissingValueError], which
// names the first; without it, values that are missing are answered, as zeros where a column is read as a whole.
const AllPresent Require = 1

// Partial says what an answer is when some views could not be read and others could, as when one of the stores of a hybrid
// one is down. The others are answered either way; every cell of a view that failed has the status [Failed], and
// [Column.Err] says why. When no view could be read, the request fails.
type Partial uint8

// What to do with partial answers.
const (
	ReportPartial Partial = iota // the error is a [*PartialError], so that nobody takes the answer for whole
	AcceptPartial                // there is no error; [OnlineResponse.Err] is the [*PartialError]
)

// OnlineQuery says which features to read, without entity rows.
type OnlineQuery struct {
	// Features are references view:feature or view@v2:feature. Ignored when FeatureService is set.
	Features       []string
	FeatureService string
	// FullFeatureNames names columns view__feature.
	FullFeatureNames bool
	Expired          Expired
	// Require is zero for answers as they are, or AllPresent, which no partial answer meets.
	Require Require
	// Partial is ReportPartial or AcceptPartial.
	Partial Partial
	// FeastCompatible reads rows whose composite key is given in part as absent, as Feast does, instead of
	// refusing them.
	FeastCompatible bool
	// ViewVersions adds to the JSON form of the answer which version of each view was read.
	ViewVersions bool
}

// Prepared is a query that is resolved: names, join keys and columns are fixed, and reading allocates nothing once its
// memory has grown. It is safe for concurrent use.
//
// When the registry changes, a Prepared resolves itself again; when a column it promised is gone or has another type by
// then, calls fail with [*SchemaChangedError] until the query is prepared anew.
type Prepared struct {
	fs      *FeatureStore
	query   OnlineQuery
	promise *plan.Online // nil for one-off queries, which follow the registry
	learned learned

	resolving gate
	cur       atomic.Pointer[compiled]
}

// compiled is a query resolved against one snapshot, with the store's reader.
type compiled struct {
	snap    *registry.Snapshot
	err     error // the registry broke the query's promise; nothing else is set
	plan    *plan.Online
	reader  online.Reader // nil when nothing is read from the store
	vectors online.Reader // of precomputed vectors, in place of rows; nil where there are none
	store   string
	ttl     bool                        // some view expires
	layout  atomic.Pointer[plan.Layout] // of the last request
	forward *forwarding                 // instead of all but snap and store: the request is answered elsewhere; nil: it is not
}

// PrepareOnline resolves a query once, for many reads. It opens the online store and the registry when that has not
// happened yet.
func (fs *FeatureStore) PrepareOnline(ctx context.Context, q OnlineQuery) (*Prepared, error) {
	p := &Prepared{fs: fs, query: cloneQuery(q)}
	c, err := p.compiled(ctx)
	if err != nil {
		return nil, err
	}
	p.promise = c.plan
	return p, nil
}

func cloneQuery(q OnlineQuery) OnlineQuery {
	q.Features = append([]string(nil), q.Features...)
	return q
}

// Columns returns the names of the answer's columns: the join keys that the query needs, then the features. Of a query that a
// feature server answers and the registry does not know, they are those of its first answer, and none before.
func (p *Prepared) Columns() []string {
	names := append([]string(nil), p.promised().Keys()...)
	for _, c := range p.promised().Columns {
		names = append(names, c.Name)
	}
	return names
}

// Index returns the position of a column in the answers of this query, for [OnlineResponse.At], or -1. It never changes; see
// [Prepared.Columns] for when it is there.
func (p *Prepared) Index(name string) int {
	promised := p.promised()
	if i, ok := promised.Index(name); ok {
		return len(promised.Keys()) + i
	}
	for i, k := range promised.Keys() {
		if k == name {
			return i
		}
	}
	return -1
}

// compiled returns the query resolved against the current snapshot.
func (p *Prepared) compiled(ctx context.Context) (*compiled, error) {
	if err := p.fs.usable(ctx); err != nil {
		return nil, err
	}
	snap, err := p.fs.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if c := p.cur.Load(); c != nil && c.snap == snap {
		return c, c.err
	}
	if err := p.resolving.lock(ctx); err != nil {
		return nil, err
	}
	defer p.resolving.unlock()
	if c := p.cur.Load(); c != nil && c.snap == snap {
		return c, c.err
	}
	c, err := p.compile(ctx, snap)
	if p.promise != nil && errors.Is(err, feasterr.ErrNotFound) {
		err = &feasterr.SchemaChangedError{Err: err}
	}
	if _, broken := errors.AsType[*feasterr.SchemaChangedError](err); broken {
		c = &compiled{snap: snap, err: err}
	} else if err != nil {
		return nil, err
	}
	p.cur.Store(c)
	return c, c.err
}

// planOptions returns what the repository and the store say about reading and writing.
func (fs *FeatureStore) planOptions(info online.Info) plan.Options {
	opts := plan.Options{
		Versioning:         fs.cfg.Registry.OnlineVersioning,
		WhileMaterializing: fs.cfg.Registry.ServeWhileMaterializing,
		KeyVersion:         fs.cfg.EntityKeyVersion,
		Store:              info,
		Functions:          fs.opts.functions,
	}
	if info.KeyVersion != 0 {
		opts.KeyVersion = info.KeyVersion
	}
	return opts
}

// compile resolves the query against the registry's current state.
func (p *Prepared) compile(ctx context.Context, snap *registry.Snapshot) (*compiled, error) {
	store, err := p.fs.onlineStore(ctx)
	if err != nil {
		return nil, err
	}
	if f, ok := store.(online.Forwarder); ok {
		return p.forwarded(ctx, snap, f, store.Info().Name)
	}
	return p.fs.compile(ctx, store, p.query, p.promise)
}

// compile resolves a query that a store has the rows for.
func (fs *FeatureStore) compile(ctx context.Context, store online.Store, q OnlineQuery, promise *plan.Online) (*compiled, error) {
	opts := fs.planOptions(store.Info())
	query := plan.Query{Features: q.Features, Service: q.FeatureService, FullNames: q.FullFeatureNames, Promise: promise}
	resolved, snap, err := resolve(ctx, fs, func(snap *registry.Snapshot) (*plan.Online, error) {
		return plan.ResolveOnline(snap, query, opts)
	})
	if err != nil {
		return nil, err
	}
	c := &compiled{snap: snap, plan: resolved, store: store.Info().Name}
	if !resolved.NeedsNoStore() {
		if c.reader, err = store.Prepare(resolved.Read); err != nil {
			return nil, feasterr.InStore(c.store, "prepare", err)
		}
	}
	if v := resolved.Precomputed; v != nil {
		if c.vectors, err = store.Prepare(v.Read); err != nil {
			return nil, feasterr.InStore(c.store, "prepare", err)
		}
	}
	for _, ttl := range resolved.TTL {
		c.ttl = c.ttl || ttl > 0
	}
	return c, nil
}

// GetInto reads the features of the entity rows into out, whose memory is reused: what was taken from out before, but
// copies, is overwritten. out must not be used by another call at the same time; after an error it holds nothing of use,
// except after a [*PartialError]: then the views that failed say so in [Column.Err] and the others are answered, see
// [Partial].
//
// entities hold the join keys, and the request data of on-demand views: all that their request sources declare, of the
// types they declare, where []any is converted as features are (see [types.Column.SetNative]) and may hold nulls. Columns that
// the query does not need are ignored. entities must not alias out's own columns.
func (p *Prepared) GetInto(ctx context.Context, entities Frame, out *OnlineResponse) error {
	if out == nil {
		return feasterr.Invalid("GetInto needs an OnlineResponse to read into, and got nil")
	}
	if out.req == nil {
		out.req = new(request)
	}
	err := p.get(ctx, entities, out)
	out.req.drop()
	if len(out.cols) == 0 {
		out.keepColumns()
	}
	return err
}

// get is GetInto with out's request memory in place.
func (p *Prepared) get(ctx context.Context, entities Frame, out *OnlineResponse) error {
	c, err := p.compiled(ctx)
	if err != nil {
		out.reset()
		return err
	}
	return p.fs.read(ctx, c, p.query, entities, out, p.promise == nil)
}

// read is the way of every online request. all: echo every join key of the project, as one-off requests do.
func (fs *FeatureStore) read(ctx context.Context, c *compiled, q OnlineQuery, entities Frame, out *OnlineResponse, all bool) error {
	hook := fs.opts.hooks.OnlineRead
	var start time.Time
	if hook != nil {
		start = time.Now()
	}
	out.req.ends = out.req.ends[:0]
	var rows int
	var err error
	if c.forward == nil {
		rows, err = fs.fill(ctx, c, q, entities, out, all)
	} else {
		rows, err = c.forward.fill(ctx, q, entities, out, !all)
	}
	if err != nil && !isPartial(err) {
		out.reset()
	}
	if hook != nil {
		hook(ctx, telemetry.OnlineRead{
			Store: c.store, Service: c.plan.Service, Rows: rows, Keys: out.req.keyCount(),
			Columns: len(c.plan.Columns), Start: start, Took: time.Since(start), Err: err,
		})
	}
	if q.Partial == AcceptPartial && q.Require != AllPresent && isPartial(err) {
		return nil
	}
	return err
}

// isPartial reports whether an error of fill leaves an answer. What the function of an on-demand view returns does not.
func isPartial(err error) bool {
	_, partial := err.(*feasterr.PartialError) //nolint:errorlint // as finish made it
	return partial
}

// fill reads into out and returns the number of entity rows.
func (fs *FeatureStore) fill(ctx context.Context, c *compiled, q OnlineQuery, entities Frame, out *OnlineResponse, all bool) (rows int, err error) {
	req := out.req
	if rows, err = req.load(ctx, entities); err != nil {
		return 0, err
	}
	layout := c.layout.Load()
	if layout == nil || !sameNames(layout.Names, req.names) {
		if layout, err = c.plan.Bind(req.names, all, q.FeastCompatible); err != nil {
			return rows, err
		}
		c.layout.Store(layout)
	}
	if rows == 0 {
		return 0, c.plan.NoRows()
	}
	if err := req.convert(out, layout, rows); err != nil {
		return rows, err
	}
	if err := req.encode(c.plan, layout, &out.entities); err != nil {
		return rows, err
	}
	out.result.Reset(c.plan.Read, rows)
	switch {
	case c.vectors != nil:
		err = req.readPrecomputed(ctx, c, &out.result)
	case c.reader != nil:
		err = req.read(ctx, c.reader, &out.result)
	}
	if err != nil {
		return rows, feasterr.InStore(c.store, "read", err)
	}
	for g, tables := range c.plan.Read.Groups() {
		for _, r := range req.repeats[g] {
			out.result.Repeat(tables, r.dst, r.src)
		}
	}
	if c.ttl {
		expire(&out.result, c.plan, fs.opts.now(), q.Expired)
	}
	if len(c.plan.Computed) > 0 {
		if err := fs.compute(ctx, c.plan, layout, out); err != nil {
			return rows, err
		}
	}
	if err := out.finish(c.plan, layout, q.ViewVersions); err != nil {
		return rows, err
	}
	if q.Require == AllPresent {
		return rows, out.allPresent()
	}
	return rows, nil
}

func sameNames(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// expire gives every stored cell that is older than its view's ttl the status for it.
func expire(res *online.Result, p *plan.Online, now time.Time, do Expired) {
	for i, t := range p.Read.Tables() {
		if p.TTL[i] <= 0 {
			continue
		}
		oldest := types.TimestampOf(now.Add(-p.TTL[i]))
		uniform := res.Uniform(t)
		for row := range res.Rows() {
			if !res.Found(t, row) || uniform && res.RowEvent(t, row).Compare(oldest) >= 0 {
				continue
			}
			for f := range t.Features {
				c := res.Column(t, f)
				if c.Status(row) == types.NotFound || res.Event(t, row, f).Compare(oldest) >= 0 {
					continue
				}
				if do == Null {
					c.Clear(row, types.OutsideMaxAge)
				} else {
					c.SetStatus(row, types.OutsideMaxAge)
				}
			}
		}
	}
}
