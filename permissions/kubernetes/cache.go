package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/calls"
)

// answer is what the API was asked for, or an error, and until when it may be used. Without a time it is for those who wait
// for it only.
type answer[V any] struct {
	value V
	err   error
	until time.Time
}

// maxAsking is how many questions of a cache are under way at a time, which bounds the memory that they take when the API is
// slow: they go on when nobody waits for them any more.
const maxAsking = 128

// cache keeps answers, and asks for the same once at a time, however many want to know. Asking goes on when who wanted to
// know first gives up: others may wait.
type cache[K comparable, V any] struct {
	now func() time.Time
	max int // how many answers are kept

	patience time.Duration // how long the API may take

	slots chan struct{} // holds one for each question under way
	ended chan struct{} // closed by close

	mu      sync.Mutex
	closed  bool
	entries map[K]*entry[V]
	asking  calls.Calls
}

type entry[V any] struct {
	answer[V]
	done   chan struct{} // closed when answer is there
	cancel context.CancelFunc
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{
		now: time.Now, max: limit, patience: patience, entries: map[K]*entry[V]{},
		slots: make(chan struct{}, maxAsking), ended: make(chan struct{}),
	}
}

// known returns what is known of a key without asking.
func (c *cache[K, V]) known(key K) (answer[V], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil || c.closed || !e.isDone() || !c.now().Before(e.until) {
		return answer[V]{}, false
	}
	return e.answer, true
}

// get returns what is known of a key, by ask where nothing is.
func (c *cache[K, V]) get(ctx context.Context, key K, ask func(context.Context) answer[V]) answer[V] {
	e, err := c.find(ctx, key, ask, false)
	if e == nil && err == nil {
		if err = c.turn(ctx); err == nil {
			e, err = c.find(ctx, key, ask, true)
		}
	}
	if err != nil {
		return answer[V]{err: err}
	}
	select {
	case <-e.done:
		return e.answer
	case <-ctx.Done():
		return answer[V]{err: waiting(ctx)}
	}
}

func waiting(ctx context.Context) error {
	return fmt.Errorf("waiting for the API of the cluster: %w", ctx.Err())
}

// turn waits until another question may be asked, as long as for an answer, and takes a slot for it.
func (c *cache[K, V]) turn(ctx context.Context) error {
	timer := time.NewTimer(c.patience)
	defer timer.Stop()
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-c.ended:
		return feasterr.ErrClosed
	case <-timer.C:
		return feasterr.Unavailable("the API of the cluster has %d questions to answer, and did not within %s", maxAsking, c.patience)
	case <-ctx.Done():
		return waiting(ctx)
	}
}

// find returns the entry of a key, for which it asks where none can be used: nil when that has to wait for its turn. mine says
// that a slot is taken for it, which is given back when it is not needed.
func (c *cache[K, V]) find(ctx context.Context, key K, ask func(context.Context) answer[V], mine bool) (*entry[V], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if isThere := e != nil && !e.past(c.now()); isThere || c.closed {
		if mine {
			<-c.slots
		}
		if c.closed {
			return nil, feasterr.ErrClosed
		}
		return e, nil
	}
	if !mine {
		select {
		case c.slots <- struct{}{}:
		default:
			return nil, nil //nolint:nilnil // documented
		}
	}
	return c.start(ctx, key, ask), nil
}

// start asks, with mu held and a slot taken.
func (c *cache[K, V]) start(ctx context.Context, key K, ask func(context.Context) answer[V]) *entry[V] {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.patience)
	ctx = logr.NewContext(ctx, logr.Discard()) // client-go prints errors, and requests with their tokens when klog is talkative
	e := &entry[V]{done: make(chan struct{}), cancel: cancel}
	delete(c.entries, key)
	c.makeRoom()
	c.entries[key] = e
	c.asking.Go(func() { // always, since not closed
		defer cancel()
		defer func() { <-c.slots }()
		got := ask(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case got.err == nil || ctx.Err() == nil:
		case c.closed:
			got = answer[V]{err: feasterr.ErrClosed}
		default:
			got = answer[V]{err: feasterr.Unavailable("the API of the cluster did not answer within %s: %s", c.patience, got.err)}
		}
		e.answer = got
		close(e.done)
		if e.past(c.now()) {
			delete(c.entries, key)
		}
	})
	return e
}

// makeRoom forgets what may not be used any more when there are too many answers; when that is not enough, refusals, so
// that a flood of wrong tokens does not make others forgotten, or else any. An eighth goes at once, since all have to be
// looked through.
func (c *cache[K, V]) makeRoom() {
	if len(c.entries) < c.max {
		return
	}
	now := c.now()
	maps.DeleteFunc(c.entries, func(_ K, e *entry[V]) bool { return e.past(now) })
	enough := c.max - max(c.max/8, 1)
	for _, refused := range []bool{true, false} {
		if len(c.entries) < c.max {
			return
		}
		maps.DeleteFunc(c.entries, func(_ K, e *entry[V]) bool {
			return len(c.entries) > enough && e.isDone() && (e.err != nil) == refused
		})
	}
}

func (e *entry[V]) isDone() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// past reports whether the answer is there and may not be used any more.
func (e *entry[V]) past(now time.Time) bool { return e.isDone() && !now.Before(e.until) }

// close ends all questions and waits for that. It may be called again.
func (c *cache[K, V]) close() {
	c.mu.Lock()
	if !c.closed {
		close(c.ended)
	}
	c.closed = true
	for _, e := range c.entries {
		if !e.isDone() {
			e.cancel()
		}
	}
	c.mu.Unlock()
	c.asking.Close()
}
