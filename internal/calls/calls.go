// Package calls counts the running calls of something that can be closed.
package calls

import (
	"sync"
	"sync/atomic"
)

// Calls are calls that Close waits for. The zero value has none and is open. It is safe for concurrent use.
type Calls struct {
	mu      sync.RWMutex // held for reading while a call begins
	closed  atomic.Bool
	running sync.WaitGroup // none begins after closed
}

// Begin begins a call, which End ends. It reports whether that is still allowed.
func (c *Calls) Begin() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed.Load() {
		return false
	}
	c.running.Add(1)
	return true
}

// End ends a call that has begun.
func (c *Calls) End() { c.running.Done() }

// Go makes a call in a goroutine of its own. It reports whether that is still allowed.
func (c *Calls) Go(call func()) bool {
	if !c.Begin() {
		return false
	}
	go func() {
		defer c.End()
		call()
	}()
	return true
}

// Closed reports whether calls are refused.
func (c *Calls) Closed() bool { return c.closed.Load() }

// Close has calls refused from now on, waits for those that run, and reports whether it is the first Close.
func (c *Calls) Close() (first bool) {
	c.mu.Lock()
	first = !c.closed.Swap(true)
	c.mu.Unlock()
	c.running.Wait()
	return first
}
