// Package drivers is the table in which a room keeps the drivers that packages register in their init functions.
package drivers

import (
	"slices"
	"sync"
)

// Table holds drivers of type D by their names. The zero value is ready. It is safe for concurrent use.
type Table[D any] struct {
	mu     sync.RWMutex
	byName map[string]D
	first  []string // the first name of each driver
}

// Add makes a driver known under its names, at least one; or none of them when one is taken, which it returns.
func (t *Table[D]) Add(names []string, d D) (taken string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName == nil {
		t.byName = map[string]D{}
	}
	for _, n := range names {
		if _, ok := t.byName[n]; ok {
			return n
		}
	}
	for _, n := range names {
		t.byName[n] = d
	}
	t.first = append(t.first, names[0])
	return ""
}

// Get returns the driver of a name.
func (t *Table[D]) Get(name string) (D, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	d, ok := t.byName[name]
	return d, ok
}

// Names returns the first name of each driver, sorted.
func (t *Table[D]) Names() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Sorted(slices.Values(t.first))
}

// Remove forgets a driver by its names, for the drivers of tests.
func (t *Table[D]) Remove(names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range names {
		delete(t.byName, n)
	}
	t.first = slices.DeleteFunc(t.first, func(n string) bool { return n == names[0] })
}
