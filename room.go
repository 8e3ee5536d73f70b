package feast

import (
	"context"
	"sync"

	"github.com/feastgo/feast/feasterr"
)

// gate is a lock that a context can end the wait for.
type gate struct {
	once sync.Once
	slot chan struct{}
}

func (g *gate) lock(ctx context.Context) error {
	g.once.Do(func() { g.slot = make(chan struct{}, 1) })
	select {
	case g.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) unlock() { <-g.slot }

// room is a part of the feature store that is opened on first use. Opening is tried again after a failure.
type room[T any] struct {
	gate
	opened bool
	closed bool
	value  T
}

// set makes v the room, before anybody uses it.
func (r *room[T]) set(v T) { r.value, r.opened = v, true }

// get returns the room, opening it when it is not open.
func (r *room[T]) get(ctx context.Context, open func() (T, error)) (T, error) {
	var zero T
	if err := r.lock(ctx); err != nil {
		return zero, err
	}
	defer r.unlock()
	if r.closed {
		return zero, feasterr.ErrClosed
	}
	if r.opened {
		return r.value, nil
	}
	v, err := open()
	if err != nil {
		return zero, err
	}
	r.value, r.opened = v, true
	return v, nil
}

// close closes the room for good, after an opening under way.
func (r *room[T]) close(closeIt func(T) error) error {
	_ = r.lock(context.Background()) // which never ends
	defer r.unlock()
	r.closed = true
	if !r.opened {
		return nil
	}
	r.opened = false
	return closeIt(r.value)
}
