package feast

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/compute"
	_ "github.com/feastgo/feast/offline/compute/local" // Feast's default, always there
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/telemetry"
	"github.com/feastgo/feast/types"
)

// MaterializeRequest says what to bring from the offline store to the online store.
type MaterializeRequest struct {
	// Start and End bound the event times of rows, both included. [FeatureStore.MaterializeIncremental] finds Start itself,
	// for each view.
	Start, End time.Time
	// Views are names, none of them twice, of feature views, stream feature views and on-demand feature views with
	// write_to_online_store. Empty: all that are served online and not disabled, in this order of kinds.
	Views []string
	// Version, as "v2", materializes a version of the history of the one view named in Views, by the definition that it had
	// then, into the table that queries for view@v2 read. It needs enable_online_feature_view_versioning and a store that keeps
	// versions. Empty, or "latest": views as they are. What the registry notes is about the view, whichever version was
	// materialized, as in Feast: the window, in which an incremental run of the current version then sees no more work, and that
	// the view is available. It is not marked while the run lasts.
	Version string
	// Overwrite replaces stored rows also where they are newer.
	Overwrite bool
	// Strict makes rows with a null in a join key an error; else they are left out and counted.
	Strict bool
	// Refuse makes it an [ErrConflict] when another run materializes a view. Else a run of the same FeatureStore is waited
	// for. One of another process shows as a state of the view, which a run that was killed leaves behind too; it is
	// not waited for: both go on, and newer rows win. Whether it still runs cannot be told, so that a view is available
	// again when the first of them ends, also when that one fails.
	Refuse bool
	// Concurrency is how many batches of a view are converted and written at the same time, 1024 at most; 0: as many as
	// there are processors, 4 at least.
	Concurrency int
	// Progress, when set, is told of each batch that was written, and of each view that is done. It is called by one
	// goroutine at a time, which waits for it. When it panics, the run ends with an error that wraps what it panicked with.
	Progress func(MaterializeProgress)
}

// MaterializeProgress tells how far a materialization is.
type MaterializeProgress struct {
	MaterializedView      // the current view, counts so far
	Done             bool // it is complete, and so noted in the registry
	Index, Views     int  // the view is number Index of so many, from 0
}

// MaterializeResult counts what was materialized.
type MaterializeResult struct {
	Views []MaterializedView // in the order in which they were done
	// Skipped are views that were not named and whose rows cannot be computed here: on-demand feature views with
	// write_to_online_store that have no Go function or need request data, views with a Python function, views of views.
	Skipped []string
	// Precomputed are the feature services whose vectors were made anew, see [FeatureStore.PrecomputeFeatureService].
	Precomputed []PrecomputedService
}

// MaterializedView counts the rows of a view.
type MaterializedView struct {
	Name       string
	Start, End time.Time // the window, as noted in the registry; one that ends before it starts is empty, and not noted
	Read       int       // rows of the source: the newest of each key in the window, and all with a null in the key
	NullKeys   int       // left out because a join key is null
	Older      int       // left out because a newer row is stored (on Redis: or one of the same time)
	Written    int       // stored
	Took       time.Duration
}

// Materialize brings the newest row of each key whose event time is from r.Start to r.End from the batch sources of views to
// the online store, one view after the other. A ttl plays no role. Values become those of the declared types by Feast's
// rules: a NaN becomes a null. A stored row stays when it is newer, see [MaterializeRequest].Overwrite.
//
// Names, the linked stores and all views are checked before anything is written. While a view is materialized its state in
// the registry says so, unless it never was before: then, as in Feast, it does not serve, except with
// serve_features_while_materializing. When it is complete the window is noted in the registry. When it fails its state is
// as before, that before a killed run when one left the view being materialized; no window is noted, and rows that were
// written stay: running it again completes it, also after the program was killed. Views before it in the result stay done,
// those after it are not begun.
//
// On-demand feature views with write_to_online_store are computed by their Go functions ([WithTransformation]) of the features
// of their source views, for each key as of the newest time in the window that any of them has a row of. The source views
// need the same join keys. The rows are of the time they are written, and no window is noted, as in Feast.
//
// When all views are done, the vectors of the feature services with PrecomputeOnline that have any of them are made anew, see
// [FeatureStore.PrecomputeFeatureService].
//
// The batch size is online_write_batch_size of feature_store.yaml, else at most 10,000 rows.
//
// Where the online store is a feature server (an [online.Materializer]), and the registry cannot be read or no offline store is
// linked in, the server is asked to materialize, in one call that ends with it. It does not tell what it did: the result is empty.
// Overwrite, Strict, Refuse and Progress are then [ErrUnsupported].
func (fs *FeatureStore) Materialize(ctx context.Context, r MaterializeRequest) (MaterializeResult, error) {
	switch {
	case r.Start.IsZero() || r.End.IsZero():
		return MaterializeResult{}, feasterr.Invalid("Start and End are needed: the event times to materialize, both included")
	case r.Start.After(r.End):
		return MaterializeResult{}, feasterr.Invalid("Start %s is after End %s", r.Start.Format(time.RFC3339Nano), r.End.Format(time.RFC3339Nano))
	}
	return fs.materialize(ctx, r, func(registry.View) time.Time { return r.Start })
}

// MaterializeIncremental is [FeatureStore.Materialize] from where each view was materialized to until r.End: from the latest
// end that is noted, included. A view that was never materialized begins its ttl ago, or, without a ttl, 52 weeks ago. An
// on-demand view begins the longest ttl of its source views before r.End, or 52 weeks. A view that would begin after r.End
// has nothing to do: it is in the result, without rows, and nothing is noted of it.
func (fs *FeatureStore) MaterializeIncremental(ctx context.Context, r MaterializeRequest) (MaterializeResult, error) {
	switch {
	case r.End.IsZero():
		return MaterializeResult{}, feasterr.Invalid("End is needed: the last event time to materialize")
	case !r.Start.IsZero():
		return MaterializeResult{}, feasterr.Invalid("Start is found for each view: leave it out, or call Materialize")
	}
	return fs.materialize(ctx, r, fs.nextStart)
}

// mostWriters bounds MaterializeRequest.Concurrency: each has a goroutine and the memory of a batch.
const mostWriters = 1024

// firstWindow is how far back an incremental materialization of a view without a ttl begins.
const firstWindow = 52 * 7 * 24 * time.Hour

// nextStart is where an incremental materialization of a view begins.
func (fs *FeatureStore) nextStart(v registry.View) time.Time {
	var start time.Time
	for _, i := range plan.Intervals(v) {
		if i.End.After(start) {
			start = i.End
		}
	}
	if !start.IsZero() {
		return start
	}
	back := v.Info().TTL
	if back <= 0 {
		back = firstWindow
	}
	return fs.opts.now().Add(-back)
}

func (fs *FeatureStore) materialize(ctx context.Context, r MaterializeRequest, start func(registry.View) time.Time) (res MaterializeResult, err error) {
	if err := fs.writable(ctx); err != nil {
		return res, err
	}
	if r.Concurrency < 0 || r.Concurrency > mostWriters {
		return res, feasterr.Invalid("Concurrency is %d: give 1 to %d, or 0", r.Concurrency, mostWriters)
	}
	if r.Concurrency == 0 {
		r.Concurrency = max(4, runtime.GOMAXPROCS(0))
	}
	if to, err := fs.materializesElsewhere(ctx); err != nil {
		return res, err
	} else if to != nil {
		return fs.materializeElsewhere(ctx, to, r)
	}
	found, snap, err := resolve(ctx, fs, func(snap *registry.Snapshot) (found struct {
		views   []registry.View
		skipped []string
	}, err error) {
		found.views, found.skipped, err = plan.Materializable(snap, r.Views, r.Version, fs.planOptions(online.Info{}))
		return found, err
	})
	if err != nil {
		return res, err
	}
	res.Skipped = found.skipped
	for _, name := range found.skipped {
		fs.opts.logger.WarnContext(ctx, "a view is not materialized: its rows cannot be computed here", "view", name)
	}
	m := &materialization{fs: fs, req: r, start: start, views: len(found.views)}
	if err := m.open(ctx); err != nil {
		return res, err
	}
	var errs []error
	for _, v := range found.views {
		var err error
		if od, onDemand := v.(*registry.OnDemandFeatureView); onDemand {
			_, err = plan.ResolveComputedMaterialization(snap, od, fs.planOptions(m.online.Info()))
		} else {
			_, err = plan.ResolveMaterialization(snap, v, m.pinned(), fs.planOptions(m.online.Info()))
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return res, err
	}
	for i, v := range found.views {
		m.index = i
		done, err := m.run(ctx, v.Info())
		if err != nil {
			return res, fmt.Errorf("feature view %q was not materialized: %w", v.Info().Name, err)
		}
		res.Views = append(res.Views, done)
		if err := m.report(ctx, done, true); err != nil {
			return res, fmt.Errorf("feature view %q was materialized: %w", v.Info().Name, err)
		}
		if _, err := fs.registry.Refresh(ctx); err != nil {
			fs.registry.Doubt()
			return res, fmt.Errorf("feature view %q was materialized, but the registry cannot be read back: %w", v.Info().Name, err)
		}
	}
	return res, m.precompute(ctx, &res)
}

// precompute makes the vectors of the services that have views of a result.
func (m *materialization) precompute(ctx context.Context, res *MaterializeResult) error {
	if len(res.Views) == 0 {
		return nil
	}
	snap, err := m.fs.registry.Snapshot(ctx)
	if err != nil {
		return err
	}
	var views []string
	for _, v := range res.Views {
		views = append(views, v.Name)
	}
	for _, name := range plan.PrecomputedServices(snap, views...) {
		p, err := m.fs.vectors.get(m.fs, snap, m.online, name)
		if err != nil {
			m.fs.opts.logger.WarnContext(ctx, "a feature service is not precomputed", "service", name, "reason", err)
			continue
		}
		done, err := p.all(ctx)
		if err != nil {
			return fmt.Errorf("the views were materialized, and then: %w", err)
		}
		res.Precomputed = append(res.Precomputed, done)
	}
	return nil
}

// materialization is a call of Materialize.
type materialization struct {
	fs      *FeatureStore
	req     MaterializeRequest
	start   func(registry.View) time.Time
	online  online.Store
	offline offline.Store
	engine  compute.Engine

	index, views int
}

// pinned reports whether it is about a version of a view, not the view as it is.
func (m *materialization) pinned() bool {
	return m.req.Version != "" && !strings.EqualFold(m.req.Version, "latest")
}

// open opens what it needs, and reports all that is not linked in together.
func (m *materialization) open(ctx context.Context) error {
	var errs [3]error
	m.online, errs[0] = m.fs.onlineStore(ctx)
	m.offline, errs[1] = m.fs.offlineStore(ctx)
	m.engine, errs[2] = m.fs.engine.get(ctx, func() (compute.Engine, error) {
		return compute.Open(ctx, m.fs.cfg.BatchEngine, compute.Env{Project: m.fs.cfg.Project, RepoDir: m.fs.cfg.RepoPath})
	})
	return errors.Join(errs[:]...)
}

// restoring bounds how long the state of a view is tried to be restored, after the caller's context has ended.
const restoring = 10 * time.Second

// run materializes a view when no other run of this FeatureStore does.
func (m *materialization) run(ctx context.Context, v registry.ViewInfo) (done MaterializedView, err error) {
	leave, err := m.fs.runs.enter(ctx, v.Name, m.req.Refuse)
	if err != nil {
		return done, err
	}
	defer leave()
	began := time.Now()
	if v.Kind == registry.KindOnDemandFeatureView {
		done, err = m.computed(ctx, v.Name)
	} else {
		done, err = m.view(ctx, v.Name)
	}
	done.Took = time.Since(began)
	m.tell(ctx, v.Name, began, done, err)
	return done, err
}

// view materializes a view and notes it in the registry.
func (m *materialization) view(ctx context.Context, name string) (done MaterializedView, err error) {
	snap, err := m.fs.registry.Refresh(ctx) // the latest windows
	if err != nil {
		return done, err
	}
	v, err := snap.ViewAt(name, m.req.Version)
	if err != nil {
		return done, err
	}
	start := m.start(v)
	if start.After(m.req.End) {
		return MaterializedView{Name: name, Start: start.UTC(), End: m.req.End.UTC()}, nil
	}
	p, err := plan.ResolveMaterialization(snap, v, m.pinned(), m.fs.planOptions(m.online.Info()))
	if err != nil {
		return done, err
	}
	w := registry.Writer{Backend: m.fs.backend, Project: m.fs.cfg.Project, Now: m.fs.opts.now}
	was := registry.StateUnspecified
	if !m.pinned() {
		if was, err = w.StartMaterialization(ctx, name, m.req.Refuse); err != nil {
			m.fs.registry.Doubt() // it may have been stored
			return done, err
		}
	}
	defer func() {
		if err == nil || was == registry.StateUnspecified {
			return
		}
		restore, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoring)
		defer cancel()
		rerr := w.RestoreState(restore, name, was)
		if rerr == nil {
			_, rerr = m.fs.registry.Refresh(restore)
		}
		if rerr != nil {
			m.fs.registry.Doubt()
			err = fmt.Errorf("%w; and its state %s could not be restored: %w", err, was, rerr)
		}
	}()
	if was != registry.StateUnspecified { // to show the state
		if _, err := m.fs.registry.Refresh(ctx); err != nil {
			return done, err
		}
	}
	s := m.sink(p.Write, name, start)
	err = m.engine.Run(ctx, &compute.Task{
		Plan: p.Scan(s.counts.Start, s.counts.End), Store: m.offline, Rows: s.rows, BatchRows: m.batchRows(p.Write), Writers: m.req.Concurrency,
	})
	if err == nil {
		if err = w.ApplyMaterialization(ctx, name, s.counts.Start, s.counts.End); err != nil {
			m.fs.registry.Doubt()
			err = fmt.Errorf("%d of its rows were written, and then its window could not be noted in the registry: %w", s.counts.Written, err)
		}
	}
	return s.counts, err
}

// tell calls the hook.
func (m *materialization) tell(ctx context.Context, name string, began time.Time, done MaterializedView, err error) {
	if hook := m.fs.opts.hooks.Materialize; hook != nil {
		hook(ctx, telemetry.Materialize{
			View: name, WindowStart: done.Start, WindowEnd: done.End, Read: done.Read, NullKeys: done.NullKeys,
			Older: done.Older, Written: done.Written, Start: began, Took: done.Took, Err: err,
		})
	}
}

// report tells the caller how far the current view is. Its error is a panic of the caller's function, which may be called
// by a goroutine that is not the caller's.
func (m *materialization) report(ctx context.Context, counts MaterializedView, done bool) (err error) {
	if m.req.Progress == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the function Progress panicked: %w", m.fs.panicked(ctx, "the function Progress of a materialization", p, "view", counts.Name))
		}
	}()
	m.req.Progress(MaterializeProgress{MaterializedView: counts, Done: done, Index: m.index, Views: m.views})
	return nil
}

// sink stores rows of a view.
type sink struct {
	*materialization
	target target
	now    types.Timestamp // of rows that have no time of their own

	mu      sync.Mutex
	counts  MaterializedView
	lengths []int // of vectors, as far as known
}

func (m *materialization) sink(p *plan.Write, name string, start time.Time) *sink {
	s := &sink{materialization: m, target: target{plan: p}, now: types.TimestampOf(m.fs.opts.now())}
	s.counts = MaterializedView{Name: name, Start: start.UTC(), End: m.req.End.UTC()}
	for _, vector := range p.Vectors {
		s.lengths = append(s.lengths, vector.Length)
	}
	return s
}

// batchRows is how many rows are written at once.
func (m *materialization) batchRows(p *plan.Write) int {
	if n := m.fs.cfg.Materialization.OnlineWriteBatchSize; n > 0 {
		return n
	}
	return chunkOf(p)
}

// rows converts and stores a batch of rows as the scan of the plan has them.
func (s *sink) rows(ctx context.Context, rb arrow.RecordBatch) error {
	w := writers.Get().(*writer)
	defer w.release()
	l, err := s.load(ctx, w, rb)
	if err != nil {
		return err
	}
	null, err := s.nullKey(w, l)
	if err != nil {
		return err
	}
	read, nulls := w.rows, 0
	if null != nil {
		if rb, err = without(rb, null); err != nil {
			return err
		}
		defer rb.Release()
		if l, err = s.load(ctx, w, rb); err != nil {
			return err
		}
		nulls = read - w.rows
	}
	if nulls > 0 && s.req.Strict {
		return feasterr.Invalid("%d rows have a null in join key %s, which Strict makes an error", nulls, s.keyNames())
	}
	var stored online.WriteResult
	if nulls < read {
		if err := s.convert(ctx, w, l); err != nil {
			return err
		}
		if stored, err = s.online.Write(ctx, &w.batch); err != nil {
			return feasterr.InStore(s.online.Info().Name, "write", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Read += read
	s.counts.NullKeys += nulls
	s.counts.Written += stored.Written
	s.counts.Older += stored.Older
	return s.report(ctx, s.counts, false)
}

func (s *sink) keyNames() string {
	var names []string
	for _, k := range s.target.plan.KeyFields() {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

// convert makes the writer's batch of the rows that are loaded.
func (s *sink) convert(ctx context.Context, w *writer, l *plan.WriteLayout) error {
	s.mu.Lock()
	w.lengths = append(w.lengths[:0], s.lengths...)
	s.mu.Unlock()
	w.fs, w.now, w.batch.Overwrite = s.fs, s.now, s.req.Overwrite
	if err := w.convert(ctx, s.target.plan, l, 0, w.rows); err != nil {
		return s.inSource(w, l, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, n := range w.lengths {
		if s.lengths[i] == 0 {
			s.lengths[i] = n
		}
		if n != 0 && n != s.lengths[i] {
			name := s.target.plan.Table.Features[s.target.plan.Vectors[i].Feature].Name
			return &feasterr.RequestError{Column: name, Row: -1, Msg: fmt.Sprintf("has vectors of length %d and of length %d", s.lengths[i], n)}
		}
	}
	return nil
}

// load shows the writer rows.
func (s *sink) load(ctx context.Context, w *writer, rb arrow.RecordBatch) (*plan.WriteLayout, error) {
	if err := w.load(ctx, ArrowFrame(rb)); err != nil {
		return nil, err
	}
	return s.target.bind(w.names)
}

// inSource says by its key which row an error is about, since nobody knows its number.
func (s *sink) inSource(w *writer, l *plan.WriteLayout, err error) error {
	re, ok := err.(*feasterr.RequestError) //nolint:errorlint // as it was made by the writer
	if !ok || re.Row < 0 || len(l.Keys) == 0 {
		return err
	}
	var key []string
	for _, k := range l.Keys {
		key = append(key, w.names[k]+"="+w.frame[k].array().ValueStr(re.Row))
	}
	row := strings.Join(key, ", ")
	re.Row = -1
	return fmt.Errorf("the row of %s: %w", row, err)
}

// nullKey returns what reports whether a row that is loaded has a null in the key, nil where none has.
func (s *sink) nullKey(w *writer, l *plan.WriteLayout) (func(row int) bool, error) {
	if !slices.ContainsFunc(l.Keys, func(k int) bool { return mayBeNull(w.frame[k].array()) }) {
		return nil, nil
	}
	w.keys.Reset(w.keyFields(s.target.plan, l), w.rows)
	cols := w.keys.Columns()
	for i := range cols {
		if err := fillArrow(&cols[i], &w.frame[l.Keys[i]], true); err != nil {
			return nil, s.inSource(w, l, err)
		}
	}
	return func(row int) bool {
		return slices.ContainsFunc(cols, func(c types.Column) bool { return !c.HasValue(row) })
	}, nil
}

// mayBeNull reports whether an array may have places that become no key: nulls, or a NaN.
func mayBeNull(a arrow.Array) bool {
	switch a.DataType().ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64,
		arrow.STRING, arrow.LARGE_STRING, arrow.BINARY, arrow.LARGE_BINARY, arrow.BOOL, arrow.TIMESTAMP:
		return a.NullN() > 0
	}
	return true
}

// without copies the rows of a batch but for some.
func without(rb arrow.RecordBatch, drop func(row int) bool) (arrow.RecordBatch, error) {
	n := int(rb.NumRows())
	var kept []arrow.RecordBatch
	defer func() {
		for _, b := range kept {
			b.Release()
		}
	}()
	for row := 0; row < n; {
		if drop(row) {
			row++
			continue
		}
		from := row
		for row < n && !drop(row) {
			row++
		}
		kept = append(kept, rb.NewSlice(int64(from), int64(row)))
	}
	if len(kept) == 0 {
		kept = append(kept, rb.NewSlice(0, 0))
	}
	return concatenate(rb.Schema(), kept)
}

// runs knows which views are being materialized.
type runs struct {
	mu    sync.Mutex
	views map[string]chan struct{} // closed at the end
}

// enter waits until no other run materializes the view, or refuses to. leave ends the run.
func (r *runs) enter(ctx context.Context, view string, refuse bool) (leave func(), err error) {
	for {
		r.mu.Lock()
		other := r.views[view]
		if other == nil {
			if r.views == nil {
				r.views = map[string]chan struct{}{}
			}
			done := make(chan struct{})
			r.views[view] = done
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				delete(r.views, view)
				close(done)
			}, nil
		}
		r.mu.Unlock()
		if refuse {
			return nil, fmt.Errorf("%w: another call is materializing it", feasterr.ErrConflict)
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
