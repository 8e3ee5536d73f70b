// Package hedge wraps an online store so that reads which take long are made a second time, and the answer that comes
// first is taken. It helps where some answers are slow at random: a busy server among several, a lost packet.
//
//	store, err := hedge.New(inner, hedge.Options{Delay: 5 * time.Millisecond, Budget: 0.05})
//	fs, err := feast.Open(ctx, dir, feast.WithOnlineStore(store))
package hedge

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

// Options say when a read is made a second time.
type Options struct {
	// Delay is how long the first attempt has before the second one starts: about the time in which all but the
	// slowest hundredth of reads are answered. It must be positive.
	Delay time.Duration
	// Budget bounds second attempts, and with them the additional load: of n reads at most 10 + n*Budget are made
	// twice. It must be above 0 and at most 1; 0.05 is a good choice.
	Budget float64
}

// store is the embedded interface, unexported.
type store = online.Store

// Store makes slow reads a second time. Everything else goes to the store that it wraps.
type Store struct {
	store
	delay  time.Duration
	budget budget

	mu       sync.RWMutex // held for reading while an attempt starts
	closed   bool
	attempts sync.WaitGroup
}

// New wraps a store, which it closes with itself.
func New(inner online.Store, o Options) (*Store, error) {
	switch {
	case o.Delay <= 0:
		return nil, feasterr.Invalid("hedge: Delay must be positive, is %v", o.Delay)
	case !(o.Budget > 0 && o.Budget <= 1):
		return nil, feasterr.Invalid("hedge: Budget must be above 0 and at most 1, is %v", o.Budget)
	}
	s := &Store{store: inner, delay: o.Delay}
	s.budget.init(o.Budget)
	return s, nil
}

// Unwrap returns the wrapped store, for [online.As].
func (s *Store) Unwrap() online.Store { return s.store }
