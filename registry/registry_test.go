package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/feastgo/feast/feasterr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is a backend under a test's control.
type scripted struct {
	Backend // Update and Teardown are not used

	mu      sync.Mutex
	version int
	err     error
	loads   int           // calls of Load
	full    int           // of these, with an empty token
	delay   time.Duration // how long a load takes
	closed  int
}

func (b *scripted) set(version int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.version, b.err = version, err
}

func (b *scripted) counts() (loads, full int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.loads, b.full
}

func (b *scripted) Load(ctx context.Context, have Token) (*State, Token, error) {
	b.mu.Lock()
	version, err := b.version, b.err // as when the load began
	b.loads++
	if have == "" {
		b.full++
	}
	delay := b.delay
	b.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	if err != nil {
		return nil, "", err
	}
	token := Token(fmt.Sprint(version))
	if have == token {
		return nil, have, nil
	}
	r, err := Encode("p", &Entity{Name: fmt.Sprintf("e%d", version)})
	return &State{Records: []Record{r}}, token, err
}

func (b *scripted) Close() error {
	b.closed++
	return errors.New("closing failed")
}

// polled is a scripted backend whose probe is cheap.
type polled struct{ *scripted }

func (b polled) PollInterval() time.Duration { return time.Second }

func closeRegistry(t *testing.T, r *Registry) {
	if err := r.Close(); err == nil || err.Error() != "closing failed" {
		t.Errorf("Close: %v", err)
	}
}

// has reports whether the entity of a version is in the current snapshot.
func has(t *testing.T, r *Registry, version int) bool {
	t.Helper()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Entity(fmt.Sprintf("e%d", version))
	return err == nil
}

func TestFirstLoadIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &scripted{delay: time.Second}
		r := New(b, "p", Options{})
		defer closeRegistry(t, r)
		snaps := make([]*Snapshot, 10)
		var wg sync.WaitGroup
		for i := range snaps {
			wg.Go(func() { snaps[i] = must(r.Snapshot(t.Context())) })
		}
		wg.Wait()
		for _, s := range snaps {
			if s == nil || s != snaps[0] {
				t.Error("two snapshots")
			}
		}
		if loads, _ := b.counts(); loads != 1 {
			t.Errorf("%d loads", loads)
		}
		equal(t, "stats", r.Stats(), Stats{Loaded: time.Now().Add(-time.Second), Refreshes: 1})
		equal(t, "age", r.Stats().Age(), time.Second)
		time.Sleep(24 * time.Hour) // nothing expires, nothing polls
		has(t, r, 0)
		synctest.Wait()
		if loads, _ := b.counts(); loads != 1 {
			t.Errorf("%d loads", loads)
		}
	})
}

// A caller's ctx bounds the wait, not the load.
func TestContextBoundsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &scripted{delay: time.Second}
		r := New(b, "p", Options{})
		defer closeRegistry(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := r.Snapshot(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.Refresh(canceled); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
		if s := r.Stats(); s.Refreshes == 0 || s.LastError != nil {
			t.Errorf("the load did not go on: %+v", s)
		}
	})
}

func TestFirstLoadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &scripted{err: feasterr.Unavailable("down")}
		r := New(b, "p", Options{CacheTTL: time.Minute})
		defer closeRegistry(t, r)
		for range 2 {
			if _, err := r.Snapshot(t.Context()); !errors.Is(err, feasterr.ErrUnavailable) {
				t.Error(err)
			}
		}
		if _, err := r.RefreshOnMiss(t.Context()); !errors.Is(err, feasterr.ErrUnavailable) {
			t.Error(err)
		}
		b.set(1, nil)
		if !has(t, r, 1) {
			t.Error("the next call must try again")
		}
		equal(t, "failures", r.Stats().Failures, 3)
	})
}

// Departure 36: a snapshot that expires is answered once more, and refreshed in the background.
func TestExpirySync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &scripted{delay: time.Second}
		var events []RefreshEvent
		r := New(b, "p", Options{CacheTTL: time.Minute, CacheMode: "sync", OnRefresh: func(e RefreshEvent) { events = append(events, e) }})
		defer closeRegistry(t, r)
		has(t, r, 0)
		b.set(1, nil)
		time.Sleep(time.Hour)
		if loads, _ := b.counts(); loads != 1 {
			t.Errorf("%d loads without anybody asking", loads)
		}
		start := time.Now()
		for range 5 {
			if !has(t, r, 0) {
				t.Error("the expired snapshot must answer")
			}
		}
		equal(t, "time inside requests", time.Since(start), 0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !has(t, r, 1) {
			t.Error("not refreshed")
		}
		if loads, full := b.counts(); loads != 2 || full != 1 {
			t.Errorf("%d loads, %d of all", loads, full)
		}
		equal(t, "events", len(events), 2)
		equal(t, "duration", events[1].Duration, time.Second)
		equal(t, "event", events[1].Snapshot, must(r.Snapshot(t.Context())))
	})
}

func TestExpiryThread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &scripted{}
		r := New(b, "p", Options{CacheTTL: time.Minute, CacheMode: "thread"})
		defer closeRegistry(t, r)
		has(t, r, 0)
		b.set(1, nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !has(t, r, 1) {
			t.Error("not refreshed by the timer")
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if loads, full := b.counts(); loads != 12 || full != 1 {
			t.Errorf("%d loads, %d of all", loads, full)
		}
		equal(t, "refreshes", r.Stats().Refreshes, 2)
	})
}

// Departure 36: while the registry cannot be reached the old snapshot serves, its age visible.
func TestFailureKeepsTheSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &scripted{}
		var failed []error
		r := New(b, "p", Options{CacheTTL: time.Minute, CacheMode: "thread", OnRefresh: func(e RefreshEvent) { failed = append(failed, e.Err) }})
		defer closeRegistry(t, r)
		has(t, r, 0)
		down := feasterr.Unavailable("down")
		b.set(1, down)
		time.Sleep(time.Minute + firstRetry)
		synctest.Wait()
		if !has(t, r, 0) {
			t.Error("the old snapshot must serve")
		}
		stats := r.Stats()
		equal(t, "failures", stats.Failures, 2)
		equal(t, "last error", stats.LastError, down)
		equal(t, "age", stats.Age(), time.Minute+firstRetry)
		if _, err := r.Refresh(t.Context()); !errors.Is(err, down) {
			t.Error(err)
		}
		s, err := r.RefreshOnMiss(t.Context())
		if err != nil || s != must(r.Snapshot(t.Context())) {
			t.Errorf("a miss while the registry is down answers the old snapshot, not %v, %v", s, err)
		}
		b.set(1, nil)
		time.Sleep(lastRetry)
		synctest.Wait()
		if !has(t, r, 1) || r.Stats().LastError != nil {
			t.Error("not recovered")
		}
		equal(t, "events", failed, []error{nil, down, down, down, down, nil})
	})
}

// Retries come later and later, and not at the same time in all programs.
// A backend that stays silent is given up, and the next load tries again.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &scripted{version: 1}
		r := New(b, "p", Options{})
		defer closeRegistry(t, r)
		if !has(t, r, 1) {
			t.Fatal("not loaded")
		}
		b.delay = time.Hour
		start := time.Now()
		_, err := r.Refresh(t.Context())
		if !errors.Is(err, feasterr.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 2*time.Minute {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if s := r.Stats(); s.Failures != 1 || s.LastError == nil {
			t.Errorf("%+v", s)
		}
		b.delay = 0
		b.set(2, nil)
		if _, err := r.Refresh(t.Context()); err != nil || !has(t, r, 2) {
			t.Error("the next load does not see what is new", err)
		}
	})
}

func TestFailuresBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times [2][]time.Time
		down := &scripted{}
		for i := range times {
			r := New(down, "p", Options{CacheTTL: time.Hour, CacheMode: "thread", OnRefresh: func(e RefreshEvent) {
				if e.Err != nil {
					times[i] = append(times[i], time.Now())
				}
			}})
			defer closeRegistry(t, r)
			must(r.Snapshot(t.Context()))
		}
		down.set(0, feasterr.Unavailable("down"))
		time.Sleep(time.Hour + 5*time.Minute)
		synctest.Wait()
		longest := []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute}
		for _, at := range times {
			if len(at) <= len(longest) {
				t.Fatalf("%d retries", len(at))
			}
			for i, most := range longest {
				if gap := at[i+1].Sub(at[i]); gap < most/2 || gap > most {
					t.Errorf("retry %d comes after %s, want at most %s and at least half of it", i, gap, most)
				}
			}
		}
		if times[0][0] != times[1][0] || times[0][1] == times[1][1] || times[0][2] == times[1][2] {
			t.Errorf("%v and %v", times[0], times[1])
		}
		down.set(0, nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		before := len(times[0])
		down.set(0, feasterr.Unavailable("down again"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if at := times[0][before:]; len(at) < 2 || at[1].Sub(at[0]) > 5*time.Second {
			t.Errorf("after a recovery the first retry comes as soon as ever: %v", at)
		}
	})
}

// After a write of which nobody knows how it ended, what it wrote shows whenever it lands, whatever the options say and
// even if the registry cannot be read for a while.
func TestDoubt(t *testing.T) {
	for _, opts := range []Options{{}, {CacheTTL: time.Hour}, {CacheTTL: time.Hour, CacheMode: "thread"}} {
		synctest.Test(t, func(t *testing.T) {
			b := &scripted{}
			r := New(b, "p", opts)
			defer closeRegistry(t, r)
			has(t, r, 0)
			loaded := time.Now()

			b.set(1, nil) // it landed
			r.Doubt()
			synctest.Wait()
			if !has(t, r, 1) {
				t.Error("what is there does not show")
			}
			time.Sleep(30 * time.Second)
			b.set(2, nil) // the next one lands later
			r.Doubt()
			time.Sleep(time.Second)
			b.set(3, nil)
			time.Sleep(firstRetry)
			synctest.Wait()
			if !has(t, r, 3) {
				t.Error("what landed later does not show")
			}
			r.Doubt()
			b.set(4, feasterr.Unavailable("down"))
			time.Sleep(10 * time.Minute)
			b.set(4, nil)
			time.Sleep(lastRetry)
			synctest.Wait()
			if !has(t, r, 4) {
				t.Error("what landed while it was down does not show")
			}
			before, _ := b.counts()
			time.Sleep(40*time.Minute - time.Since(loaded))
			if after, _ := b.counts(); after > before+1 {
				t.Errorf("%d loads when there is no doubt any more", after-before)
			}
		})
	}
}

// A corrupt registry is an error, and the old snapshot serves.
func TestCorruptKeepsTheSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &scripted{}
		r := New(b, "p", Options{CacheTTL: time.Minute, CacheMode: "thread"})
		defer closeRegistry(t, r)
		has(t, r, 0)
		_, corrupt := ParseState([]byte("garbage"))
		b.set(1, corrupt)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !has(t, r, 0) {
			t.Error("the old snapshot must serve")
		}
		if err := r.Stats().LastError; !errors.Is(err, feasterr.ErrInvalid) {
			t.Error(err)
		}
	})
}

func TestPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := polled{&scripted{}}
		r := New(b, "p", Options{CacheTTL: 10 * time.Second})
		defer closeRegistry(t, r)
		time.Sleep(time.Minute)
		if loads, _ := b.counts(); loads != 0 {
			t.Errorf("%d loads before the first use", loads)
		}
		has(t, r, 0)
		b.set(1, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if !has(t, r, 1) {
			t.Error("the change of another process is not seen after a second")
		}
		b.set(1, errors.New("gone"))
		time.Sleep(5 * time.Second)
		b.set(2, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if !has(t, r, 2) {
			t.Error("polling must go on after a failure")
		}
		if _, full := b.counts(); full != 1 {
			t.Errorf("%d loads of all", full)
		}
		equal(t, "age", r.Stats().Age(), 0)
	})
}

func TestRefreshOnMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &scripted{delay: 10 * time.Millisecond}
		r := New(b, "p", Options{})
		defer closeRegistry(t, r)
		old := must(r.Snapshot(t.Context()))

		if s := must(r.RefreshOnMiss(t.Context())); s != old {
			t.Error("nothing is new, but another snapshot came")
		}
		b.set(1, nil)
		for range 100 { // within a second of the last: the name is hammered, the backend is not
			must(r.RefreshOnMiss(t.Context()))
		}
		if loads, _ := b.counts(); loads != 2 {
			t.Errorf("%d loads", loads)
		}
		time.Sleep(missInterval)
		var wg sync.WaitGroup
		for range 10 { // together
			wg.Go(func() {
				if _, err := must(r.RefreshOnMiss(t.Context())).Entity("e1"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if loads, full := b.counts(); loads != 3 || full != 1 {
			t.Errorf("%d loads, %d of all", loads, full)
		}
		time.Sleep(missInterval)
		b.set(2, nil)
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := must(r.RefreshOnMiss(canceled)).Entity("e1"); err != nil {
			t.Error("a caller in a hurry gets what there is:", err)
		}
	})
}

// Refresh shows what was written before the call, also when a load is under way that began before the write.
func TestRefreshAfterWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &scripted{delay: time.Second}
		r := New(b, "p", Options{})
		defer closeRegistry(t, r)
		go func() { _, _ = r.Snapshot(t.Context()) }()
		time.Sleep(500 * time.Millisecond)
		b.set(1, nil)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := must(r.Refresh(t.Context())).Entity("e1"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if loads, full := b.counts(); loads != 2 || full != 2 {
			t.Errorf("%d loads, %d of all", loads, full)
		}
		before := must(r.Snapshot(t.Context()))
		if after := must(r.Refresh(t.Context())); after != before {
			t.Error("an unchanged registry gives another snapshot")
		}
	})
}

// Fresh shows what was written before the call, too, asks whether anything changed, and falls back on what there is.
func TestFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &scripted{delay: time.Second}
		r := New(b, "p", Options{})
		defer closeRegistry(t, r)
		b.set(0, feasterr.ErrUnavailable)
		if _, err := r.Fresh(t.Context()); !errors.Is(err, feasterr.ErrUnavailable) {
			t.Error("nothing was ever loaded:", err)
		}
		b.set(0, nil)
		first := must(r.Fresh(t.Context()))
		if second := must(r.Fresh(t.Context())); second != first {
			t.Error("an unchanged registry gives another snapshot")
		}
		if loads, full := b.counts(); loads != 3 || full != 2 {
			t.Errorf("%d loads, %d of all", loads, full)
		}
		go func() { _, _ = r.RefreshOnMiss(t.Context()) }()
		time.Sleep(500 * time.Millisecond) // a load is under way that does not see this
		b.set(1, nil)
		second := must(r.Fresh(t.Context()))
		if _, err := second.Entity("e1"); err != nil {
			t.Error(err)
		}
		b.set(2, feasterr.ErrUnavailable)
		if third, err := r.Fresh(t.Context()); third != second || err != nil {
			t.Errorf("while the registry is away: %v, %v", third, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := r.Fresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &scripted{delay: time.Second}
		r := New(polled{b}, "p", Options{CacheTTL: time.Minute, CacheMode: "thread"})
		s := must(r.Snapshot(t.Context()))
		waiting := make(chan error)
		go func() {
			_, err := r.Refresh(t.Context())
			waiting <- err
		}()
		synctest.Wait()
		go closeRegistry(t, r)
		closeRegistry(t, r)
		if err := <-waiting; !errors.Is(err, feasterr.ErrClosed) {
			t.Errorf("who waits while the registry is closed gets %v", err)
		}
		equal(t, "backend closed", b.closed, 1)
		for name, call := range map[string]func(context.Context) (*Snapshot, error){
			"Snapshot": r.Snapshot, "Refresh": r.Refresh, "Fresh": r.Fresh, "RefreshOnMiss": r.RefreshOnMiss,
		} {
			if _, err := call(t.Context()); !errors.Is(err, feasterr.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := s.Entity("e0"); err != nil {
			t.Error("a snapshot outlives the registry:", err)
		}
		loads, _ := b.counts()
		time.Sleep(time.Hour)
		if now, _ := b.counts(); now != loads {
			t.Error("loads after Close")
		}
	})
}

func TestSnapshotCallAllocates(t *testing.T) {
	r := New(&scripted{}, "p", Options{CacheTTL: time.Hour})
	defer closeRegistry(t, r)
	ctx := t.Context()
	must(r.Snapshot(ctx))
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Snapshot(ctx); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a snapshot call makes %v allocations", n)
	}
}
