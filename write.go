package feast

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/telemetry"
	"github.com/feastgo/feast/types"
)

// WriteOptions are the choices of [FeatureStore.WriteToOnlineStore].
type WriteOptions struct {
	// Overwrite replaces stored rows also where they are newer.
	Overwrite bool
	// AsGiven writes the values of an on-demand view as they are given, also where it has a function that computes them.
	AsGiven bool
}

// WriteResult counts the rows of a write.
type WriteResult struct {
	Written int // stored
	Older   int // left out because a newer row (on Redis: or one of the same time) is stored or among the rows
	Null    int // left out because no row has a value of any feature
}

// WriteToOnlineStore writes rows of a view, of any kind, to the online store. A stored row is replaced by one of the same
// entity whose event time is newer or equal (on Redis: newer), also within rows; other columns of rows than the following
// are ignored:
//
//   - the view's join keys, by their own names, without nulls
//   - all features of the view; what values they may have says [types.Column.SetNative]
//   - the timestamp field of the view's batch source (event_timestamp when it names none) and, when it has one, its created
//     timestamp column: time.Time, ISO 8601 text, in UTC where it has no offset, or whole nanoseconds since 1970, of any
//     integer type; of the years 1 to 9999. A created time may be null, an event time may not. On-demand views have
//     neither: they are written as of now
//
// A column that the source's field mapping renames may have either name, but rows may not have both. Rows of a view without entities are all for its one
// row.
//
// The values of an on-demand view, which needs write_to_online_store, are computed when a function is registered for it with
// [WithTransformation]: the rows then have the join keys and what the function reads; features that it does not compute are
// taken from the rows, or null. The function is given at most 10,000 rows at once, and when there are more, all of them twice:
// to see that they are right, and to write them. Without a function the values are written as they are given.
//
// After the rows the vectors of their entities are made, for the feature services with PrecomputeOnline that have the view (see
// [FeatureStore.PrecomputeFeatureService]). When that fails the error says so: the rows are written, and counted.
//
// No row is written when any is wrong. More than 10,000 rows are written in several batches: when the store fails, the
// result counts those that were written before, and writing all again is safe. As in Feast, rows are not written, and
// counted as Null, when no row has a value.
//
// Where the registry cannot be read and the online store is a feature server (an [online.Pusher]), that is given the rows as they are, in
// one request: it resolves, coerces, computes and counts nothing, so that all are counted as Written; Overwrite is its matter.
func (fs *FeatureStore) WriteToOnlineStore(ctx context.Context, view string, rows Frame, o WriteOptions) (WriteResult, error) {
	if err := fs.writable(ctx); err != nil {
		return WriteResult{}, err
	}
	if to, err := fs.elsewhere(ctx); err != nil {
		return WriteResult{}, err
	} else if to != nil {
		n, err := fs.pushElsewhere(ctx, to, rows, &online.Push{View: view, AsGiven: o.AsGiven})
		return WriteResult{Written: n}, err
	}
	targets, err := fs.writes.get(ctx, fs, destination{view: view, asGiven: o.AsGiven})
	if err != nil {
		return WriteResult{}, err
	}
	results, errs, err := fs.write(ctx, targets, rows, o, nil)
	if err != nil {
		return WriteResult{}, err
	}
	return results[0], errs[0]
}

// PushMode says where [FeatureStore.Push] writes. The numbers are Feast's.
type PushMode int

// The push modes.
const (
	ToOnline           PushMode = 1
	ToOffline          PushMode = 2
	ToOnlineAndOffline PushMode = 3
)

// String returns the name that Feast's feature server has for the mode: "online_and_offline".
func (m PushMode) String() string {
	switch m {
	case ToOnline:
		return "online"
	case ToOffline:
		return "offline"
	case ToOnlineAndOffline:
		return "online_and_offline"
	}
	return fmt.Sprintf("PushMode(%d)", int(m))
}

// Push writes rows to every view that a push source feeds: to the online store as [FeatureStore.WriteToOnlineStore] does,
// where rows have the columns that any of the views needs, and to the batch source of the views as
// [FeatureStore.WriteToOfflineStore] does, where rows have all its columns and no other; views that share it have them
// written there once.
//
// Nothing is written when any row is wrong for one of the views. With ToOnlineAndOffline a view's rows go to the online
// store first, and to the offline store if that succeeded: when only the second fails, the error says so. When a store fails
// for some of the views, the error is a [*PartialError].
//
// Where the registry cannot be read and the online store is a feature server (an [online.Pusher]), that is given the rows as
// they are, in one request, and has an offline store of its own.
func (fs *FeatureStore) Push(ctx context.Context, source string, rows Frame, to PushMode) error {
	if err := fs.writable(ctx); err != nil {
		return err
	}
	if to < ToOnline || to > ToOnlineAndOffline {
		return feasterr.Invalid("%s is no push mode: give ToOnline, ToOffline or ToOnlineAndOffline", to)
	}
	if server, err := fs.elsewhere(ctx); err != nil {
		return err
	} else if server != nil {
		_, err := fs.pushElsewhere(ctx, server, rows, &online.Push{Source: source, To: to.String()})
		return err
	}
	if to == ToOnline {
		targets, err := fs.writes.get(ctx, fs, destination{source: source})
		if err != nil {
			return err
		}
		_, errs, err := fs.write(ctx, targets, rows, WriteOptions{}, nil)
		if err != nil {
			return err
		}
		return pushed(errs, func(i int) string { return targets[i].plan.Table.View })
	}
	views, _, err := resolve(ctx, fs, func(snap *registry.Snapshot) (plans []*plan.Append, err error) {
		views, err := fedBy(snap, source)
		errs := []error{err}
		for _, v := range views {
			p, err := plan.ResolveAppend(snap, v)
			plans, errs = append(plans, p), append(errs, err)
		}
		return plans, errors.Join(errs...)
	})
	if err != nil {
		return err
	}
	a, err := fs.prepareAppend(ctx, views, rows)
	if err != nil {
		return err
	}
	defer a.release()
	errs := make([]error, len(views))
	if to == ToOffline {
		for i := range views {
			_, errs[i] = a.run(ctx, i)
		}
		return pushed(errs, func(i int) string { return views[i].View })
	}
	targets, err := fs.writes.get(ctx, fs, destination{source: source})
	if err != nil {
		return err
	}
	_, errs, err = fs.write(ctx, targets, rows, WriteOptions{}, func(view string) error {
		i := slices.IndexFunc(views, func(v *plan.Append) bool { return v.View == view })
		if i < 0 {
			return feasterr.ErrConflict // the view was fed by the source a moment later
		}
		if _, err := a.run(ctx, i); err != nil {
			return fmt.Errorf("the rows are in the online store and not in the offline store: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return pushed(errs, func(i int) string { return targets[i].plan.Table.View })
}

// pushed makes one error of those of the views of a push.
func pushed(errs []error, view func(i int) string) error {
	failed := map[string]error{}
	for i, err := range errs {
		if err != nil {
			failed[view(i)] = err
		}
	}
	switch len(failed) {
	case 0:
		return nil
	case len(errs):
		return errors.Join(errs...)
	}
	return &feasterr.PartialError{Views: failed}
}

// DeleteFromOnlineStore removes what is stored of entities in a view, given by its join keys; other columns are ignored, but
// for a view without entities, which has one row, tell whether there is any. An entity of which nothing is stored is no error.
// Precomputed vectors of the entities, which hold what is deleted, go with the rows.
// It is [ErrUnsupported] where the store cannot delete rows. When it fails in between, some may be gone, and deleting all
// again is safe.
func (fs *FeatureStore) DeleteFromOnlineStore(ctx context.Context, view string, entities Frame) error {
	if err := fs.writable(ctx); err != nil {
		return err
	}
	targets, err := fs.writes.get(ctx, fs, destination{view: view, asGiven: true})
	if err != nil {
		return err
	}
	store, err := fs.onlineStore(ctx)
	if err != nil {
		return err
	}
	deleter, ok := online.As[online.Deleter](store)
	if !ok {
		return feasterr.Unsupported("online store %q cannot delete rows: they go with their view, or where the store lets keys expire", store.Info().Name)
	}
	vectors, err := fs.precomputed(ctx, store, targets[0].services)
	if err != nil {
		return err
	}
	w := writers.Get().(*writer)
	defer w.release()
	if err := w.load(ctx, entities); err != nil || w.rows == 0 {
		return err
	}
	p := targets[0].plan
	l, err := p.Bind(w.names, true)
	if err != nil {
		return err
	}
	for _, write := range []bool{false, true} { // first see that all keys are right
		for from := 0; from < w.rows; from += writeRows {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := w.encode(p, l, from, min(writeRows, w.rows-from)); err != nil {
				return err
			}
			if !write {
				continue
			}
			keys := distinct(w.batch.Keys)
			if err := deleter.Delete(ctx, p.Table, keys); err != nil {
				return feasterr.InStore(store.Info().Name, "delete", err)
			}
			for _, v := range vectors { // which hold what was in the rows
				if err := deleter.Delete(ctx, v.plan.Precomputed.Table, keys); err != nil {
					return feasterr.InStore(store.Info().Name, "delete", err)
				}
			}
		}
	}
	return nil
}

// distinct sorts keys and leaves each once.
func distinct(keys [][]byte) [][]byte {
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal)
}

// destination is where rows go: a view, or the views of a push source.
type destination struct {
	view, source string
	asGiven      bool // see WriteOptions
}

// target is a view that is written, resolved.
type target struct {
	plan     *plan.Write
	services []string                         // that have vectors of it, if they can have any
	layout   atomic.Pointer[plan.WriteLayout] // of the last frame
}

// bind lays out a frame's columns.
func (t *target) bind(names []string) (*plan.WriteLayout, error) {
	if l := t.layout.Load(); l != nil && sameNames(l.Names, names) {
		return l, nil
	}
	l, err := t.plan.Bind(names, false)
	if err == nil {
		t.layout.Store(l)
	}
	return l, err
}

// writes keeps resolved destinations of the current snapshot.
type writes struct {
	mu      sync.RWMutex
	snap    *registry.Snapshot
	targets map[destination][]*target
}

// get returns the views of a destination, at least one.
func (c *writes) get(ctx context.Context, fs *FeatureStore, d destination) ([]*target, error) {
	snap, err := fs.registry.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.RLock()
	targets := c.targets[d]
	current := c.snap == snap
	c.mu.RUnlock()
	if current && targets != nil {
		return targets, nil
	}
	store, err := fs.onlineStore(ctx)
	if err != nil {
		return nil, err
	}
	opts := fs.planOptions(store.Info())
	targets, snap, err = resolve(ctx, fs, func(snap *registry.Snapshot) ([]*target, error) { return resolveTargets(snap, d, opts) })
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.snap != snap {
		c.snap, c.targets = snap, map[destination][]*target{}
	}
	c.targets[d] = targets
	return targets, nil
}

func resolveTargets(snap *registry.Snapshot, d destination, o plan.Options) ([]*target, error) {
	var views []registry.View
	if d.source != "" {
		var err error
		if views, err = fedBy(snap, d.source); err != nil {
			return nil, err
		}
	} else {
		v, err := snap.View(d.view)
		if err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	targets := make([]*target, len(views))
	var errs []error
	for i, v := range views {
		p, err := plan.ResolveWrite(snap, v, d.asGiven, o)
		errs = append(errs, err)
		targets[i] = &target{plan: p, services: plan.PrecomputedServices(snap, v.Info().Name)}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return targets, nil
}

// fedBy returns the views that a push source feeds, at least one.
func fedBy(snap *registry.Snapshot, source string) (views []registry.View, err error) {
	for v := range snap.Views() {
		if s := v.Info().StreamSource; s != nil && s.Name == source && isPush(s) {
			views = append(views, v)
		}
	}
	if len(views) == 0 {
		return nil, noPushSource(snap, source)
	}
	return views, nil
}

func isPush(s *registry.DataSource) bool {
	_, ok := s.Options.(registry.PushOptions)
	return ok
}

func noPushSource(snap *registry.Snapshot, name string) error {
	if s, err := snap.DataSource(name); err == nil && isPush(s) {
		return feasterr.Invalid("push source %q feeds no feature view: give it to one as its source, and apply it", name)
	}
	names := func(yield func(string) bool) {
		for v := range snap.Views() {
			if s := v.Info().StreamSource; s != nil && isPush(s) && !yield(s.Name) {
				return
			}
		}
	}
	return &feasterr.NotFoundError{Kind: "push source", Name: name, Project: snap.ProjectName(), Near: feasterr.Near(name, names)}
}

const (
	// writeRows bounds how many rows a batch has, so that memory and transactions stay small.
	writeRows = 10_000
	// writeCells bounds how many cells.
	writeCells = 1_000_000
)

// write converts rows for each target and writes them, if all rows are right for all. It returns a result and a store's error
// for each target, or what is wrong with the rows. then, when it is set, follows each target that was written.
func (fs *FeatureStore) write(ctx context.Context, targets []*target, rows Frame, o WriteOptions, then func(view string) error) ([]WriteResult, []error, error) {
	store, err := fs.onlineStore(ctx)
	if err != nil {
		return nil, nil, err
	}
	w := writers.Get().(*writer)
	defer w.release()
	results, errs := make([]WriteResult, len(targets)), make([]error, len(targets))
	if err := w.load(ctx, rows); err != nil || w.rows == 0 { // as in Feast, no rows need no columns
		return results, errs, err
	}
	w.fs, w.batch.Overwrite, w.now = fs, o.Overwrite, types.TimestampOf(fs.opts.now())
	layouts := make([]*plan.WriteLayout, len(targets))
	problems := []error(nil)
	for i, t := range targets {
		l, err := t.bind(w.names)
		layouts[i], problems = l, append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, nil, err
	}
	for i, t := range targets {
		if results[i].Null, err = w.check(ctx, t.plan, layouts[i]); err != nil {
			return nil, nil, err
		}
	}
	for i, t := range targets {
		if results[i].Null == 0 {
			// Rows that are one batch are converted already.
			ready := len(targets) == 1 && w.rows <= chunkOf(t.plan)
			results[i], errs[i] = fs.writeTo(ctx, store, w, t.plan, layouts[i], ready)
		}
		if then != nil && errs[i] == nil {
			errs[i] = then(t.plan.Table.View)
		}
	}
	fs.renew(ctx, store, w, targets, layouts, results, errs)
	return results, errs, nil
}

// chunkOf is how many rows of a view are written at once.
func chunkOf(p *plan.Write) int {
	return max(1, min(writeRows, writeCells/max(1, len(p.Table.Features))))
}

// writeTo writes all rows, which are right, to a view. ready: they are the writer's batch.
func (fs *FeatureStore) writeTo(ctx context.Context, store online.Store, w *writer, p *plan.Write, l *plan.WriteLayout, ready bool) (res WriteResult, err error) {
	if hook := fs.opts.hooks.OnlineWrite; hook != nil {
		start := time.Now()
		defer func() {
			hook(ctx, telemetry.OnlineWrite{
				Store: store.Info().Name, View: p.Table.View, Rows: w.rows, Written: res.Written, Older: res.Older,
				Start: start, Took: time.Since(start), Err: err,
			})
		}()
	}
	w.lengths = w.lengths[:0]
	size := chunkOf(p)
	for from := 0; from < w.rows; from += size {
		if !ready {
			if err := w.convert(ctx, p, l, from, min(size, w.rows-from)); err != nil {
				return res, err
			}
		}
		r, err := store.Write(ctx, &w.batch)
		if err != nil {
			return res, feasterr.InStore(store.Info().Name, "write", err)
		}
		res.Written, res.Older = res.Written+r.Written, res.Older+r.Older
	}
	return res, nil
}

// writer is the memory that converting rows needs, reused from call to call.
type writer struct {
	fs       *FeatureStore
	frame    []frameColumn
	names    []string
	rows     int
	now      types.Timestamp // of rows of on-demand views
	keys     types.Block
	features types.Block
	columns  []*types.Column // of the key
	buf      []byte          // serialized keys
	ends     []int           // of the keys in buf
	event    []types.Timestamp
	created  []types.Timestamp
	lengths  []int // of vectors, as far as known
	inputs   types.Block
	in       types.Frame
	out      types.Builder
	batch    online.WriteBatch
}

var writers = sync.Pool{New: func() any { return new(writer) }}

// release forgets what belongs to callers and keeps the memory.
func (w *writer) release() {
	clear(w.frame)
	clear(w.names)
	clear(w.columns)
	w.frame, w.names, w.columns = w.frame[:0], w.names[:0], w.columns[:0]
	w.fs, w.batch.Table = nil, nil
	if cap(w.buf) <= keepBytes {
		writers.Put(w)
	}
}

// load reads the frame's columns.
func (w *writer) load(ctx context.Context, f Frame) (err error) {
	if f == nil {
		return feasterr.Invalid("no rows: the frame is nil")
	}
	w.frame, w.names, w.rows, err = loadFrame(ctx, f, w.frame, w.names)
	return err
}

// check converts all rows to see that they are right, and returns their number when no cell has a value.
func (w *writer) check(ctx context.Context, p *plan.Write, l *plan.WriteLayout) (null int, err error) {
	w.lengths = w.lengths[:0]
	some, size := false, chunkOf(p)
	for from := 0; from < w.rows; from += size {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := w.convert(ctx, p, l, from, min(size, w.rows-from)); err != nil {
			return 0, err
		}
		some = some || !w.allNull()
	}
	if some {
		return 0, nil
	}
	return w.rows, nil
}

// convert makes a batch of n rows.
func (w *writer) convert(ctx context.Context, p *plan.Write, l *plan.WriteLayout, from, n int) error {
	if err := w.encode(p, l, from, n); err != nil {
		return err
	}
	w.batch.Table = p.Table
	w.features.Reset(p.Table.Features, n)
	w.batch.Columns = w.batch.Columns[:0]
	cols := w.features.Columns()
	for i := range cols {
		if l.Features[i] >= 0 {
			if err := w.column(&cols[i], l.Features[i], from, n, true); err != nil {
				return err
			}
		}
		w.batch.Columns = append(w.batch.Columns, &cols[i])
	}
	if p.Computed != nil {
		if err := w.compute(ctx, p.Computed, l, from, n); err != nil {
			return err
		}
	}
	if err := w.vectors(p, from); err != nil {
		return err
	}
	return w.times(l, from, n)
}

// column converts n rows of a frame's column.
func (w *writer) column(dst *types.Column, source, from, n int, nulls bool) error {
	part := w.frame[source].part(from, n)
	return inRows(fill(dst, &part, nulls), from)
}

// compute puts what the function of an on-demand view computes of n rows into the batch.
func (w *writer) compute(ctx context.Context, c *plan.Computed, l *plan.WriteLayout, from, n int) error {
	fields := make([]types.Field, len(c.Inputs))
	for i := range c.Inputs {
		fields[i] = types.Field{Name: c.Inputs[i].Name, Type: c.Inputs[i].Type}
		if fields[i].Type == types.Invalid {
			fields[i].Type = naturalType(&w.frame[l.Inputs[i]])
		}
	}
	w.inputs.Reset(fields, n)
	w.in.Reset(n)
	cols := w.inputs.Columns()
	for i := range cols {
		if err := w.column(&cols[i], l.Inputs[i], from, n, true); err != nil {
			return err
		}
		w.in.Append(fields[i].Name, &cols[i])
	}
	if err := w.fs.transform(ctx, c, &w.in, &w.out); err != nil {
		return inRows(err, from)
	}
	for i, feature := range l.Computed {
		w.batch.Columns[feature] = w.out.At(i)
	}
	return nil
}

// encode serializes the keys of n rows.
func (w *writer) encode(p *plan.Write, l *plan.WriteLayout, from, n int) error {
	w.columns = w.columns[:0]
	if len(l.Keys) == 0 {
		w.columns = append(w.columns, dummy)
	} else {
		w.keys.Reset(w.keyFields(p, l), n)
		cols := w.keys.Columns()
		for i := range cols {
			if err := w.column(&cols[i], l.Keys[i], from, n, false); err != nil {
				return err
			}
			w.columns = append(w.columns, &cols[i])
		}
	}
	w.buf, w.ends = w.buf[:0], w.ends[:0]
	for row := range n {
		at := row
		if len(l.Keys) == 0 {
			at = 0
		}
		var err error
		if w.buf, err = p.Key.Append(w.buf, w.columns, at); err != nil {
			return inRows(err, from)
		}
		w.ends = append(w.ends, len(w.buf))
	}
	w.batch.Keys = cut(w.batch.Keys[:0], w.buf, w.ends) // now that the buffer does not move any more
	return nil
}

// cut appends the parts of b that end at ends.
func cut(dst [][]byte, b []byte, ends []int) [][]byte {
	start := 0
	for _, end := range ends {
		dst = append(dst, b[start:end:end])
		start = end
	}
	return dst
}

// keyFields returns the fields of the key's columns; types that no view declares are those of the values.
func (w *writer) keyFields(p *plan.Write, l *plan.WriteLayout) []types.Field {
	fields := p.KeyFields()
	if !slices.ContainsFunc(fields, func(f types.Field) bool { return f.Type == types.Invalid }) {
		return fields
	}
	fields = slices.Clone(fields)
	for i := range fields {
		if fields[i].Type == types.Invalid {
			fields[i].Type = naturalType(&w.frame[l.Keys[i]])
		}
	}
	return fields
}

// allNull reports whether no cell of the batch has a value.
func (w *writer) allNull() bool {
	for _, c := range w.batch.Columns {
		for row := range c.Len() {
			if c.Valid(row) {
				return false
			}
		}
	}
	return len(w.batch.Columns) > 0
}

// vectors checks that vectors have the length declared for them, or that of the first one.
func (w *writer) vectors(p *plan.Write, from int) error {
	for i, v := range p.Vectors {
		if i == len(w.lengths) {
			w.lengths = append(w.lengths, v.Length)
		}
		c := w.batch.Columns[v.Feature]
		for row := range c.Len() {
			if !c.Valid(row) {
				continue
			}
			n := c.ListLen(row)
			if w.lengths[i] == 0 {
				w.lengths[i] = n
			}
			if n != w.lengths[i] {
				what := "declared for"
				if v.Length == 0 {
					what = "of the first vector of"
				}
				return &feasterr.RequestError{Column: c.Name(), Row: from + row, Msg: fmt.Sprintf("a vector of length %d, and the length %s the feature is %d", n, what, w.lengths[i])}
			}
		}
	}
	return nil
}

// times converts the event and created times of n rows.
func (w *writer) times(l *plan.WriteLayout, from, n int) error {
	w.event, w.batch.Created = slices.Grow(w.event[:0], n)[:n], nil
	w.batch.Event = w.event
	if l.Event < 0 {
		for i := range w.event {
			w.event[i] = w.now
		}
		w.batch.Created = w.event
		return nil
	}
	part := w.frame[l.Event].part(from, n)
	if err := fillTimes(w.event, &part, false); err != nil || l.Created < 0 {
		return inRows(err, from)
	}
	w.created = slices.Grow(w.created[:0], n)[:n]
	w.batch.Created = w.created
	part = w.frame[l.Created].part(from, n)
	return inRows(fillTimes(w.created, &part, true), from)
}

// fillTimes converts a column of times; a null is the zero Timestamp.
func fillTimes(dst []types.Timestamp, src *frameColumn, nulls bool) error {
	switch src.kind {
	case colTime:
		for i, t := range slice[time.Time](src) {
			if t.IsZero() && !nulls {
				return noTime(src.name, i)
			}
			dst[i] = timeOf(t)
			if !dst[i].Valid() {
				return outsideYears(src, i, t)
			}
		}
		return nil
	case colInt64:
		for i, n := range slice[int64](src) {
			dst[i] = nanos(n)
		}
		return nil
	case colInt:
		for i, n := range slice[int](src) {
			dst[i] = nanos(int64(n))
		}
		return nil
	}
	value := src.value
	if src.kind == colArrow {
		if stamps, ok := src.array().(*array.Timestamp); ok {
			return fillStamps(dst, src, stamps, nulls)
		}
		value = src.arrowTime
	}
	for i := range dst {
		t, ok, err := parseTime(value(i))
		if err != nil {
			return &feasterr.RequestError{Column: src.name, Row: i, Err: err}
		}
		if !ok && !nulls {
			return noTime(src.name, i)
		}
		if !t.Valid() {
			return outsideYears(src, i, value(i))
		}
		dst[i] = t
	}
	return nil
}

// fillStamps converts the timestamps of a part of an Arrow array.
func fillStamps(dst []types.Timestamp, src *frameColumn, stamps *array.Timestamp, nulls bool) error {
	unit := stamps.DataType().(*arrow.TimestampType).Unit
	for i := range dst {
		switch row := src.from + i; {
		case stamps.IsValid(row):
			t := stamps.Value(row).ToTime(unit)
			if dst[i] = types.TimestampOf(t); !dst[i].Valid() {
				return outsideYears(src, i, t)
			}
		case nulls:
			dst[i] = types.Timestamp{}
		default:
			return noTime(src.name, i)
		}
	}
	return nil
}

// outsideYears refuses what Feast cannot read again.
func outsideYears(src *frameColumn, row int, v any) error {
	if t, ok := v.(*time.Time); ok {
		v = *t
	}
	if t, ok := v.(time.Time); ok {
		v = t.Format(time.RFC3339Nano)
	}
	return &feasterr.RequestError{Column: src.name, Row: row, Msg: fmt.Sprintf("%v is outside the years 1 to 9999, which times can be of", v)}
}

func noTime(column string, row int) error {
	return &feasterr.RequestError{Column: column, Row: row, Msg: "an event time cannot be null"}
}

func timeOf(t time.Time) types.Timestamp {
	if t.IsZero() {
		return types.Timestamp{}
	}
	return types.TimestampOf(t)
}

// nanos is the time of nanoseconds since 1970, as which Feast reads whole numbers.
func nanos(n int64) types.Timestamp {
	const second = int64(time.Second)
	t := types.Timestamp{Seconds: n / second, Nanos: int32(n % second)}
	if t.Nanos < 0 {
		t.Seconds, t.Nanos = t.Seconds-1, t.Nanos+int32(second)
	}
	return t
}

// parseTime reads a time in any of its forms; ok is false for a null.
func parseTime(v any) (t types.Timestamp, ok bool, err error) {
	switch v := v.(type) {
	case nil:
		return t, false, nil
	case time.Time:
		return timeOf(v), !v.IsZero(), nil
	case *time.Time:
		if v == nil {
			return t, false, nil
		}
		return parseTime(*v)
	case string:
		if t, ok = types.ParseISOTime(v); !ok {
			return t, false, fmt.Errorf("%q is no ISO 8601 time", v)
		}
		return t, true, nil
	case json.Number:
		n, ok := wholeNanos(string(v))
		if !ok {
			return t, false, fmt.Errorf("%s are no whole nanoseconds since 1970 that fit into 64 bits", v)
		}
		return nanos(n), true, nil
	}
	n := reflect.ValueOf(v)
	if n.Kind() == reflect.Pointer {
		for depth := 0; n.Kind() == reflect.Pointer && !n.IsNil(); depth++ {
			if depth == maxPointers {
				return t, false, errors.New(feasterr.A(fmt.Sprintf("%T points to no value", v)))
			}
			if n = n.Elem(); n.Kind() == reflect.Interface {
				n = n.Elem()
			}
		}
		if !n.IsValid() || n.Kind() == reflect.Pointer {
			return t, false, nil
		}
		return parseTime(n.Interface())
	}
	switch {
	case n.CanInt():
		return nanos(n.Int()), true, nil
	case n.CanUint() && n.Uint() > math.MaxInt64:
		return t, false, fmt.Errorf("%d nanoseconds since 1970 do not fit into 64 bits with a sign", v)
	case n.CanUint():
		return nanos(int64(n.Uint())), true, nil
	case n.Kind() == reflect.String:
		return parseTime(n.String())
	}
	return t, false, errors.New(feasterr.A(fmt.Sprintf("%T is no time: give a time.Time, ISO 8601 text or whole nanoseconds since 1970", v)))
}

// wholeNanos reads a JSON number, which may have a fraction of zeros or an exponent: 1.7e18.
func wholeNanos(s string) (int64, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	const long = 40 // bytes: with the range, it bounds the exponent
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || len(s) > long || math.Abs(f) > math.MaxInt64:
		return 0, false
	case math.Abs(f) < 1: // a fraction, unless it is zero itself
		digits, _, _ := strings.Cut(strings.ToLower(s), "e")
		return 0, strings.Trim(digits, "-+.0") == ""
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok || !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}
