package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/feasterr"
)

// Options say how a [Registry] keeps its snapshot fresh. The zero value loads once and refreshes when the backend can
// be polled cheaply (see [Poller]), on a miss, and on request.
type Options struct {
	// CacheTTL is the age from which a snapshot is refreshed in the background; 0 or less: it never expires.
	CacheTTL time.Duration
	// CacheMode is Feast's cache_mode. "thread" refreshes whenever CacheTTL has passed; anything else waits for the
	// first use of an expired snapshot, which is answered from it.
	CacheMode string
	// OnRefresh, when set, is told about every load of the backend that found something new or failed. It is called
	// from a background goroutine, one call at a time, before those who wait for the load go on: it must not wait for
	// the Registry itself (Refresh, RefreshOnMiss, Close).
	OnRefresh func(RefreshEvent)
}

// RefreshEvent describes one load of the backend.
type RefreshEvent struct {
	Snapshot *Snapshot // nil when the load failed
	Duration time.Duration
	Err      error
}

// Stats describes the state of a [Registry].
type Stats struct {
	Loaded    time.Time // when the current snapshot was loaded or last found to be current; zero before the first load
	Refreshes int       // loads that brought a new snapshot
	Failures  int       // loads that failed
	LastError error     // of the last load; nil when it succeeded
}

// Age returns how long ago the current snapshot was known to be current; 0 before the first load.
func (s Stats) Age() time.Duration {
	if s.Loaded.IsZero() {
		return 0
	}
	return time.Since(s.Loaded)
}

const (
	// missInterval is the shortest time between two refreshes caused by names that the snapshot does not have.
	missInterval = time.Second
	// An expired snapshot is refreshed again within firstRetry of a failure, and within twice as long after each further one,
	// up to lastRetry; sooner when CacheTTL is shorter.
	firstRetry, lastRetry = 5 * time.Second, time.Minute
	// loadTime is how long a load may take, which is that of a large registry on a slow line. A backend that stays silent
	// would keep all later loads waiting.
	loadTime = 2 * time.Minute
	// doubtTime is for how long a write may be on its way that was never answered.
	doubtTime = 2 * time.Minute
)

// Registry keeps a current snapshot of one project of a backend. Loading happens in the background, once for all who
// wait: only the first load, [Registry.Refresh] and [Registry.RefreshOnMiss] make callers wait, and their ctx bounds
// the wait, not the load. While the backend cannot be read the last snapshot keeps serving; [Registry.Stats] tells its
// age. Safe for concurrent use.
type Registry struct {
	backend Backend
	project string
	opts    Options

	current atomic.Pointer[cached]

	ctx    context.Context //nolint:containedctx // of background loads; ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	closing  chan struct{} // closed when Close is through; nil before Close
	closeErr error
	running  *flight
	next     *flight // waits for running
	lastMiss time.Time
	missing  map[ID]time.Time // when what was looked up was not there
	stats    Stats
	inARow   int         // loads that failed since the last that did not
	expiry   *time.Timer // of the current snapshot, or of the next try after a failure or in doubt
	doubt    time.Time   // when Doubt was called; zero when it is over
	looks    int         // loads since then
	poll     *time.Timer
}

// cached is a snapshot and whether its time is up.
type cached struct {
	snap    *Snapshot
	expired atomic.Bool
}

// flight is one load, which several callers may wait for.
type flight struct {
	force bool // ask the backend for all of its state
	done  chan struct{}
	err   error // set before done is closed
}

// New returns a Registry that reads project from backend. Nothing is loaded yet. The Registry owns the backend and
// closes it.
func New(backend Backend, project string, opts Options) *Registry {
	ctx, cancel := context.WithCancel(context.Background())
	return &Registry{backend: backend, project: project, opts: opts, ctx: ctx, cancel: cancel}
}

// Snapshot returns the current snapshot. The first call loads it; a call that fails to is tried again by the next.
// Later calls take it from memory, without a lock and without allocating.
func (r *Registry) Snapshot(ctx context.Context) (*Snapshot, error) {
	c := r.current.Load()
	if c == nil {
		return r.await(ctx, false)
	}
	if c.expired.Load() && c.expired.CompareAndSwap(true, false) {
		_, _ = r.start(false) // a closed registry loads nothing
	}
	return c.snap, nil
}

// Loaded reports whether there is a snapshot, so that [Registry.Snapshot] does not wait.
func (r *Registry) Loaded() bool { return r.current.Load() != nil }

// Refresh loads the registry anew, without asking whether it changed, and returns the new snapshot. What was written
// before the call is in it. When the load fails, the old snapshot keeps serving and the error is returned.
func (r *Registry) Refresh(ctx context.Context) (*Snapshot, error) { return r.await(ctx, true) }

// Fresh returns a snapshot that has what was written before the call. Unlike [Registry.Refresh] it asks the backend whether
// there is anything new, and while the backend does not answer the old snapshot serves. The error is that of ctx, or of a
// registry that was never loaded.
func (r *Registry) Fresh(ctx context.Context) (*Snapshot, error) {
	r.mu.Lock()
	f, err := r.beginLocked(false)
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	err = wait(ctx, f)
	if c := r.current.Load(); c != nil && ctx.Err() == nil {
		return c.snap, nil
	}
	if err == nil { // closed in between
		err = r.closedErr()
	}
	return nil, err
}

// Doubt is called after a write of which nobody knows how it ended. It may show now or later: the snapshot is refreshed
// in the background, at once and then now and again, until one that was loaded minutes after the call is there. It does not
// wait.
func (r *Registry) Doubt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doubt, r.looks = time.Now(), 0
	_, _ = r.startLocked(true) // a closed registry loads nothing
}

// await starts or joins a load, waits for it and returns the snapshot that is current then.
func (r *Registry) await(ctx context.Context, force bool) (*Snapshot, error) {
	f, err := r.start(force)
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, f); err != nil {
		return nil, err
	}
	c := r.current.Load()
	if c == nil { // closed in between
		return nil, r.closedErr()
	}
	return c.snap, nil
}

// RefreshOnMiss is called when a name is not in the snapshot that [Registry.Snapshot] gave: somebody may just have
// applied it. It probes the backend, together with all who miss something at the same time and at most once a second,
// and returns the newest snapshot there is: the old one when nothing is new, the probe fails or ctx ends.
func (r *Registry) RefreshOnMiss(ctx context.Context) (*Snapshot, error) {
	before, err := r.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if f := r.startMiss(); f != nil {
		_ = wait(ctx, f) // the old snapshot serves
	}
	if c := r.current.Load(); c != nil {
		return c.snap, nil
	}
	return before, nil
}

// missingLimit bounds how many names are remembered that were looked up and not there.
const missingLimit = 1000

// Lookup returns a newer snapshot than have, with the object which missing, an error of have, says is not there. It is for
// identities that may not list all objects and may still look them up, see [Lookuper]; one object that is not there is
// looked up again after a second. The snapshot is nil when nothing was looked up or found. The error is that of the
// backend.
func (r *Registry) Lookup(ctx context.Context, have *Snapshot, missing error) (*Snapshot, error) {
	l, able := r.backend.(Lookuper)
	name, notFound := errors.AsType[*feasterr.NotFoundError](missing)
	c := r.current.Load()
	if !able || !notFound || c == nil || name.In != "" {
		return nil, nil
	}
	kind := Kind(slices.Index(kindNames[:], name.Kind))
	if kind <= 0 || kind > KindPermission || !c.snap.hides(kind) {
		return nil, nil
	}
	id := ID{Kind: kind, Project: r.project, Name: name.Name}
	r.mu.Lock()
	at, known := r.missing[id]
	r.mu.Unlock()
	if known && time.Since(at) < missInterval {
		return nil, nil
	}
	rec, err := l.Lookup(ctx, id)

	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(err, feasterr.ErrNotFound) {
		if len(r.missing) >= missingLimit || r.missing == nil {
			r.missing = map[ID]time.Time{}
		}
		r.missing[id] = time.Now()
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r.closed {
		return nil, r.closedErr()
	}
	c = r.current.Load()
	if c.snap.entry(rec) != nil {
		if c.snap == have {
			return nil, nil // it has the name, and is something else than what was asked for
		}
		return c.snap, nil
	}
	next := &cached{snap: c.snap.with(rec)}
	next.expired.Store(c.expired.Load())
	r.current.Store(next)
	return next.snap, nil
}

// hides reports whether objects of a kind may be there although the snapshot does not have them. Views are looked for by
// name among all their kinds.
func (s *Snapshot) hides(kind Kind) bool {
	if kind.IsView() {
		return slices.ContainsFunc(viewKinds[:], func(k Kind) bool { return s.hidden[k] })
	}
	return s.hidden[kind]
}

// Stats returns counters and the age of the snapshot.
func (r *Registry) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// Close ends background work, waits for it and closes the backend. Later calls of other methods answer
// feasterr.ErrClosed; snapshots that were handed out stay usable. Close may be called again, with the same result.
func (r *Registry) Close() error {
	r.mu.Lock()
	if closing := r.closing; closing != nil {
		r.mu.Unlock()
		<-closing
		return r.closeErr
	}
	r.closed = true
	r.closing = make(chan struct{})
	for _, t := range []*time.Timer{r.expiry, r.poll} {
		if t != nil {
			t.Stop()
		}
	}
	r.mu.Unlock()

	r.cancel()
	r.wg.Wait()
	r.current.Store(nil)
	r.closeErr = r.backend.Close()
	close(r.closing)
	return r.closeErr
}

func (r *Registry) closedErr() error {
	return fmt.Errorf("registry of project %q: %w", r.project, feasterr.ErrClosed)
}

// wait waits for a flight or the end of ctx.
func wait(ctx context.Context, f *flight) error {
	select {
	case <-f.done:
		return f.err
	default:
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the registry: %w", ctx.Err())
	}
}

// start begins a load, or joins one. One that is under way may have read the backend before the caller's own write:
// with force, the caller gets the one after it.
func (r *Registry) start(force bool) (*flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.startLocked(force)
}

func (r *Registry) startLocked(force bool) (*flight, error) {
	switch {
	case r.closed:
		return nil, r.closedErr()
	case r.running == nil:
		r.running = &flight{force: force, done: make(chan struct{})}
		r.wg.Go(r.fly)
		return r.running, nil
	case !force:
		return r.running, nil
	}
	return r.beginLocked(true)
}

// beginLocked begins a load, now or after the one that is under way.
func (r *Registry) beginLocked(force bool) (*flight, error) {
	if r.closed || r.running == nil {
		return r.startLocked(force)
	}
	if r.next == nil {
		r.next = &flight{done: make(chan struct{})}
	}
	r.next.force = r.next.force || force
	return r.next, nil
}

// startMiss begins or joins a load unless one was begun for a miss within missInterval.
func (r *Registry) startMiss() *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil && !r.lastMiss.IsZero() && time.Since(r.lastMiss) < missInterval {
		return nil
	}
	if r.running == nil {
		r.lastMiss = time.Now()
	}
	f, _ := r.startLocked(false)
	return f
}

// fly carries out the running flight and those that wait for it.
func (r *Registry) fly() {
	for {
		r.mu.Lock()
		f := r.running
		r.mu.Unlock()

		event := r.load(f)
		if r.opts.OnRefresh != nil && (event.Snapshot != nil || event.Err != nil) && r.ctx.Err() == nil {
			r.opts.OnRefresh(event)
		}

		r.mu.Lock()
		f.err = event.Err
		if r.closed && f.err != nil {
			f.err = r.closedErr()
		}
		r.running, r.next = r.next, nil
		again := r.running != nil
		r.mu.Unlock()
		close(f.done)
		if !again {
			return
		}
	}
}

// load asks the backend and puts what is new in place. The event has no snapshot when nothing is new.
func (r *Registry) load(f *flight) RefreshEvent {
	start := time.Now()
	var old *Snapshot
	var have Token
	if c := r.current.Load(); c != nil {
		if old = c.snap; !f.force {
			have = old.token
		}
	}
	ctx, cancel := context.WithTimeout(r.ctx, loadTime)
	defer cancel()
	state, token, err := r.backend.Load(ctx, have)
	if err != nil && r.ctx.Err() == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = feasterr.Unavailable("the registry of project %q was not read within %s: %v", r.project, loadTime, err)
	}
	event := RefreshEvent{Err: err}
	if err == nil && state != nil && (old == nil || token != old.token) {
		event.Snapshot = newSnapshot(r.project, state, token, old)
	}
	event.Duration = time.Since(start)

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stats.LastError = err; err == nil {
		r.inARow = 0
		if start.Sub(r.doubt) >= doubtTime {
			r.doubt = time.Time{}
		}
	}
	switch {
	case err != nil:
		r.stats.Failures++
		r.inARow++
	case event.Snapshot != nil:
		r.stats.Refreshes++
		r.current.Store(&cached{snap: event.Snapshot})
		r.stats.Loaded = start
	case r.current.Load() != nil:
		r.stats.Loaded = start
		r.current.Load().expired.Store(false)
	}
	if !r.closed && r.current.Load() != nil {
		r.schedule(err)
	}
	return event
}

// schedule sets the timers after a load. r.mu is held.
func (r *Registry) schedule(err error) {
	ttl := r.opts.CacheTTL
	if ttl > 0 && err != nil {
		ttl = min(ttl, retryAfter(r.inARow))
	}
	if !r.doubt.IsZero() {
		r.looks++
		if soon := retryAfter(r.looks); ttl <= 0 || soon < ttl {
			ttl = soon
		}
	}
	if ttl > 0 {
		if r.expiry == nil {
			r.expiry = time.AfterFunc(ttl, r.expire)
		} else {
			r.expiry.Reset(ttl)
		}
	}
	if p, ok := r.backend.(Poller); ok {
		if r.poll == nil {
			r.poll = time.AfterFunc(p.PollInterval(), func() { _, _ = r.start(false) })
		} else {
			r.poll.Reset(p.PollInterval())
		}
	}
}

// retryAfter returns how long to wait after a number of failures in a row. It is random, so that the many who lost a
// registry at the same time do not come back at the same time.
func retryAfter(failures int) time.Duration {
	longest := min(firstRetry<<min(failures-1, 10), lastRetry)
	return longest/2 + rand.N(longest/2)
}

// expire runs when the current snapshot is CacheTTL old, or in doubt.
func (r *Registry) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opts.CacheMode == "thread" || !r.doubt.IsZero() {
		_, _ = r.startLocked(false) // a closed registry loads nothing
	} else if c := r.current.Load(); c != nil {
		c.expired.Store(true)
	}
}
