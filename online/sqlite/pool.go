package sqlite

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/feastgo/feast/feasterr"
)

// pool keeps connections, since opening one reads the schema. Calls beyond their number wait.
type pool struct {
	file
	slots   chan struct{} // one element for each connection in use
	writer  chan struct{} // one element while a call writes: SQLite has one writer, and waits for it by polling
	closing chan struct{}
	once    sync.Once

	mu   sync.Mutex
	idle []*conn
}

// An idle connection keeps this many prepared statements, with this many bytes of what was bound to them.
const (
	maxStmts = 1000
	maxHeld  = 4 << 20
)

// recheck is after how long a connection that reads is asked whether the path still names its file, which costs as much as
// reading a few features.
const recheck = 100 * time.Millisecond

func newPool(f file) *pool {
	return &pool{
		file:    f,
		slots:   make(chan struct{}, max(4, runtime.GOMAXPROCS(0))),
		writer:  make(chan struct{}, 1),
		closing: make(chan struct{}),
	}
}

// access is what a connection is wanted for.
type access int

const (
	reading access = iota
	writing
	creating // writing, to a new file if there is none
)

// get returns a connection for one call. [pool.put] takes it back.
func (p *pool) get(ctx context.Context, a access) (*conn, error) {
	if err := p.enter(ctx, p.slots); err != nil {
		return nil, err
	}
	for c := p.pop(); c != nil; c = p.pop() {
		if now := time.Now(); a != reading || now.Sub(c.checked) >= recheck {
			if c.stale() || a != reading && c.readOnly() {
				c.close()
				continue
			}
			c.checked = now
		}
		c.ctx = ctx
		return c, nil
	}
	c, err := p.open(ctx, a == creating)
	if err != nil {
		<-p.slots
	}
	return c, err
}

// enter takes a place in slots or writer.
func (p *pool) enter(ctx context.Context, places chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.closing:
		return feasterr.ErrClosed
	case places <- struct{}{}:
	}
	select {
	case <-p.closing:
		<-places
		return feasterr.ErrClosed
	default:
		return nil
	}
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle = p.idle[:last]
	return c
}

func (p *pool) put(c *conn) {
	c.rollback()
	c.ctx = context.Background()
	if len(c.stmts) > maxStmts || c.held > maxHeld {
		c.forget()
	}
	if c.broken {
		c.close()
	} else {
		p.mu.Lock()
		p.idle = append(p.idle, c)
		p.mu.Unlock()
	}
	<-p.slots
}

// closeIdle closes the connections that are not in use.
func (p *pool) closeIdle() {
	for c := p.pop(); c != nil; c = p.pop() {
		c.close()
	}
}

// close waits for the calls under way and closes all connections.
func (p *pool) close() {
	p.once.Do(func() {
		close(p.closing)
		for range cap(p.slots) {
			p.slots <- struct{}{}
		}
		p.closeIdle()
	})
}
