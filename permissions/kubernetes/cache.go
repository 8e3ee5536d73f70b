package kubernetes

import (
	"context"
	"fmt"
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

// cache keeps answers, and asks for the same once at a time, however many want to know. Asking goes on when who wanted to
// know first gives up: others may wait.
type cache[K comparable, V any] struct {
	now func() time.Time
	max int // how many answers are kept

	patience time.Duration // how long the API may take

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
	return &cache[K, V]{now: time.Now, max: limit, patience: patience, entries: map[K]*entry[V]{}}
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
	c.mu.Lock()
	e := c.entries[key]
	switch {
	case c.closed:
		c.mu.Unlock()
		return answer[V]{err: feasterr.ErrClosed}
	case e == nil || e.past(c.now()):
		e = c.start(ctx, key, ask)
	}
	c.mu.Unlock()
	select {
	case <-e.done:
		return e.answer
	case <-ctx.Done():
		return answer[V]{err: fmt.Errorf("waiting for the API of the cluster: %w", ctx.Err())}
	}
}

// start asks, with mu held.
func (c *cache[K, V]) start(ctx context.Context, key K, ask func(context.Context) answer[V]) *entry[V] {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.patience)
	ctx = logr.NewContext(ctx, logr.Discard()) // client-go prints errors, and requests with their tokens when klog is talkative
	e := &entry[V]{done: make(chan struct{}), cancel: cancel}
	delete(c.entries, key)
	c.makeRoom()
	c.entries[key] = e
	c.asking.Go(func() { // always, since not closed
		defer cancel()
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

// makeRoom forgets what may not be used any more when there are too many answers; when that is not enough, a refusal, so
// that a flood of wrong tokens does not make others forgotten, or else any.
func (c *cache[K, V]) makeRoom() {
	if len(c.entries) < c.max {
		return
	}
	var refused, usable *K
	for key, e := range c.entries {
		switch {
		case !e.isDone():
		case e.past(c.now()):
			delete(c.entries, key)
		case e.err != nil:
			refused = &key
		default:
			usable = &key
		}
	}
	if len(c.entries) < c.max {
		return
	}
	if refused == nil {
		refused = usable
	}
	if refused != nil {
		delete(c.entries, *refused)
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
	c.closed = true
	for _, e := range c.entries {
		if !e.isDone() {
			e.cancel()
		}
	}
	c.mu.Unlock()
	c.asking.Close()
}
