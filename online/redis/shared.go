package redis

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/feastgo/feast/online"
)

// sharedReplies is how many replies a read that shares a connection may have. Longer ones are a pipeline by themselves, and
// others would wait for them.
const sharedReplies = 16

// shared has reads go together, which saves both sides the work that each message costs. As many batches of reads are on
// their way as connections may be shared. What comes meanwhile waits until one of them is answered, and is the next batch:
// nobody waits while a connection is free, and batches are as large as many wait.
//
// No goroutine is needed for that. The first read of a batch sends the commands of all. Then they take turns, in the order
// of their commands: who has the turn has the connection, scans the replies to its own commands, and passes the turn on. A
// read that is given up leaves its replies to whoever has the turn next, to be skipped.
type shared struct {
	pool  *pool
	turns sync.Pool // of *turn

	mu    sync.Mutex
	free  []*lane
	queue []*turn // reads that are not sent
}

// turn is that of one read.
type turn struct {
	out           []byte // its commands
	keys, replies int    // that they are about, and that will come
	called        chan struct{}

	// Under shared.mu.
	lane *lane // nil: it is in the queue
	due  bool  // it was called, or will be at once
	gone bool  // nobody waits for it
}

// lane is the way of one batch after the other. All but turns and next are of the read that has the turn.
type lane struct {
	shared *shared
	turns  []*turn
	next   int // whose turn comes after this one

	conn    *conn // nil until the first turn
	err     error // for all who have no answer
	unusual bool  // something came that ends the connection after this batch
	skip    int   // replies that come first, and that nobody waits for

	ctx         context.Context //nolint:containedctx // of who has the turn, for Read
	begun       bool            // the connection waits no longer than ctx allows
	stop        func() bool     // of interruption by ctx; nil: there is none
	interrupted chan struct{}
}

func newShared(p *pool, connections int) *shared {
	sh := &shared{pool: p}
	sh.turns.New = func() any { return &turn{called: make(chan struct{}, 1)} }
	for range connections {
		sh.free = append(sh.free, &lane{shared: sh})
	}
	return sh
}

// exchange reads keys. With an error it returns what is not answered. What is too much to go with others goes alone.
func (sh *shared) exchange(ctx context.Context, r *reader, keys *online.Keys, dst *online.Result, s *scratch) (*online.Keys, error) {
	n, replies := r.count(keys, s)
	if replies > sharedReplies {
		return sh.pool.alone(ctx, r, keys, dst, s)
	}
	t := sh.turns.Get().(*turn)
	t.keys, t.replies = n, replies
	var end, read place
	if t.out, n = r.encode(t.out[:0], &end, keys, s); n < t.keys { // long names
		sh.turns.Put(t)
		return sh.pool.alone(ctx, r, keys, dst, s)
	}
	if !sh.wait(ctx, t) {
		return keys, ctx.Err() // t is the lane's
	}
	l := t.lane
	l.ctx = ctx
	err := l.receive(r, t, &read, keys, dst, s)
	l.pass()
	t.lane, t.due = nil, false
	sh.turns.Put(t)
	if err != nil {
		return r.rest(keys, read), err
	}
	return nil, nil
}

// count returns how many keys there are, and how many replies will come.
func (r *reader) count(keys *online.Keys, s *scratch) (n, replies int) {
	for i := range r.groups {
		k := len(r.keys(keys, i))
		n += k
		if k > 0 && s.ask[i] {
			replies++
		}
	}
	return n, n + replies
}

// wait waits for the turn; not for longer than ctx goes on.
func (sh *shared) wait(ctx context.Context, t *turn) bool {
	sh.mu.Lock()
	sh.queue = append(sh.queue, t)
	if n := len(sh.free); n > 0 {
		l := sh.free[n-1]
		sh.free = sh.free[:n-1]
		sh.start(l)
	}
	sh.mu.Unlock()
	select {
	case <-t.called:
		return true
	case <-ctx.Done():
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if t.due { // it has to be passed on
		<-t.called
		return true
	}
	if t.gone = true; t.lane == nil {
		sh.queue = slices.DeleteFunc(sh.queue, func(q *turn) bool { return q == t })
	}
	return false
}

// start begins a batch with the read that waits longest.
func (sh *shared) start(l *lane) {
	l.turns, l.next, l.conn, l.err, l.unusual, l.skip = l.turns[:0], 1, nil, nil, false, 0
	l.take(1)
	l.turns[0].call()
}

// take moves reads from the queue to the batch.
func (l *lane) take(n int) {
	q := l.shared.queue
	for _, t := range q[:n] {
		t.lane = l
	}
	l.turns = append(l.turns, q[:n]...)
	l.shared.queue = slices.Delete(q, 0, n)
}

func (t *turn) call() {
	t.due = true
	t.called <- struct{}{}
}

// pass passes the turn on, or the lane when the batch ends.
func (l *lane) pass() {
	sh := l.shared
	sh.mu.Lock()
	for ; l.next < len(l.turns); l.next++ {
		t := l.turns[l.next]
		if !t.gone {
			l.next++
			t.call()
			sh.mu.Unlock()
			return
		}
		l.skip += t.replies
	}
	sh.mu.Unlock()
	if c := l.conn; c != nil {
		c.replies.src = c
		sh.pool.put(c, l.err == nil && !l.unusual && l.skip == 0 && c.replies.pos == c.replies.end)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	clear(l.turns)
	if len(sh.queue) > 0 {
		sh.start(l)
	} else {
		sh.free = append(sh.free, l)
	}
}

// send gets a connection and sends the commands of all who wait, as many as make a chunk.
func (l *lane) send() {
	sh := l.shared
	if l.conn, l.err = sh.pool.get(l.ctx); l.err == nil {
		l.conn.replies.src = l
		l.err = l.begin()
	}
	sh.mu.Lock()
	n := 0
	switch {
	case l.err == nil:
		out, replies := append(l.conn.out[:0], l.turns[0].out...), l.turns[0].replies
		for ; n < len(sh.queue); n++ {
			t := sh.queue[n]
			if replies += t.replies; len(out)+len(t.out) > chunkBytes || replies > chunkCommands {
				break
			}
			out = append(out, t.out...)
		}
		l.conn.out = out
	case ended(l.ctx) == nil:
		n = len(sh.queue) // the others need not try one after the other
	}
	l.take(n)
	sh.mu.Unlock()
	if l.err == nil {
		_, l.err = l.conn.Write(l.conn.out)
	}
}

// receive has the turn: it reads what answers t, after what nobody waits for.
func (l *lane) receive(r *reader, t *turn, read *place, keys *online.Keys, dst *online.Result, s *scratch) (err error) {
	l.begun = false
	defer l.end()
	if l.conn == nil && l.err == nil {
		l.send()
	}
	if l.err != nil {
		return l.err
	}
	in := &l.conn.replies
	defer in.unmark()
	in.mark()
	for l.skip > 0 && err == nil {
		if err = in.skip(); err == nil {
			l.skip--
			in.mark()
		}
	}
	mine := err == nil
	for n := 0; n < t.keys && err == nil; n++ {
		err = r.answer(l.conn, read, keys, dst, s)
	}
	switch {
	case err == nil:
	case mine && errors.Is(err, errUnusual):
		l.unusual = true
		l.leave(t)
	case ended(l.ctx) != nil && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, l.ctx.Err())):
		l.leave(t)
	default:
		l.err = err
	}
	return err
}

// leave leaves the replies to t to who has the turn next.
func (l *lane) leave(t *turn) {
	l.conn.replies.rewind()
	l.skip += t.replies
}

// Read reads from the connection for who has the turn. That it may have to wait is seen to here, since often what it
// needs has come with the replies to others.
func (l *lane) Read(p []byte) (int, error) {
	if err := l.begin(); err != nil {
		return 0, err
	}
	return l.conn.Read(p)
}

// begin limits how long the connection may wait.
func (l *lane) begin() error {
	if l.begun {
		return nil
	}
	l.begun = true
	if err := l.conn.arm(l.ctx, l.shared.pool.timeout); err != nil {
		return err
	}
	if l.ctx.Done() != nil {
		c, interrupted := l.conn, make(chan struct{})
		l.interrupted = interrupted
		l.stop = context.AfterFunc(l.ctx, func() {
			c.interrupt()
			close(interrupted)
		})
	}
	return nil
}

// end undoes what begin did, so that ctx does not interrupt others.
func (l *lane) end() {
	if l.stop != nil && !l.stop() {
		<-l.interrupted
		l.conn.deadline = time.Time{}
		if err := l.conn.SetDeadline(time.Time{}); err != nil && l.err == nil {
			l.err = err
		}
	}
	l.ctx, l.stop, l.interrupted = nil, nil, nil
}
