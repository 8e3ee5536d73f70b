package feast

import (
	"sync"

	"github.com/feastgo/feast/feasterr"
)

// room is a part of the feature store that is opened on first use. Opening is tried again after a failure.
type room[T any] struct {
	mu     sync.Mutex
	opened bool
	closed bool
	value  T
}

// get returns the room, opening it when it is not open.
func (r *room[T]) get(open func() (T, error)) (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		var zero T
		return zero, feasterr.ErrClosed
	}
	if r.opened {
		return r.value, nil
	}
	v, err := open()
	if err != nil {
		var zero T
		return zero, err
	}
	r.value, r.opened = v, true
	return v, nil
}

// close closes the room for good.
func (r *room[T]) close(closeIt func(T) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if !r.opened {
		return nil
	}
	r.opened = false
	return closeIt(r.value)
}
