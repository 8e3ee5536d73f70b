package redis

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// conn is a connection to a server that go-redis has made ready, and that reads have for themselves.
type conn struct {
	net.Conn
	raw       syscall.RawConn // nil: nobody can look into it
	look      func(fd uintptr) bool
	untouched bool // what look has found
	layered   bool // something between it and raw may hold bytes
	interrupt func()

	made, used time.Time
	deadline   time.Time
	replies    replies
	out        []byte // commands to send
}

func newConn(c net.Conn) *conn {
	cn := &conn{Conn: c, made: time.Now()}
	cn.replies.src = cn
	cn.interrupt = func() { _ = c.SetDeadline(time.Unix(1, 0)) }
	inner := c
	for {
		wrapper, ok := inner.(interface{ NetConn() net.Conn }) // as of a *tls.Conn
		if !ok {
			break
		}
		inner, cn.layered = wrapper.NetConn(), true
	}
	if s, ok := inner.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			cn.raw = raw
			cn.look = func(fd uintptr) bool {
				cn.untouched = untouched(fd)
				return true
			}
		}
	}
	return cn
}

// fresh reports whether an idle connection can be used: it is not too old, and neither bytes nor an end have come since the
// last reply. Bytes would be taken for the reply to the next request. What has come to a connection without a descriptor and
// is not in its own buffer cannot be seen, nor a part of a TLS record.
func (c *conn) fresh(p *pool, now time.Time) bool {
	if p.maxIdle > 0 && now.Sub(c.used) >= p.maxIdle || p.maxAge > 0 && now.Sub(c.made) >= p.maxAge {
		return false
	}
	if c.raw != nil {
		c.untouched = false
		if c.raw.Read(c.look) != nil || !c.untouched {
			return false
		}
		if !c.layered {
			return true
		}
	}
	return c.drained()
}

// drained reports whether a read that may not wait finds nothing: TLS may have taken more from the socket than it handed out.
func (c *conn) drained() bool {
	c.deadline = time.Unix(1, 0) // arm sets another
	if c.SetReadDeadline(c.deadline) != nil {
		return false
	}
	var b [1]byte
	n, err := c.Conn.Read(b[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// handover is a connection while go-redis makes it ready: TLS, authentication, database, name of the client. When that
// is done, closing the client that did it must not close the connection.
type handover struct {
	net.Conn
	mu   sync.Mutex
	kept bool
}

func (h *handover) keep() {
	h.mu.Lock()
	h.kept = true
	h.mu.Unlock()
}

func (h *handover) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept {
		return nil
	}
	return h.Conn.Close()
}

// dialer makes connections as a client of go-redis does.
type dialer struct {
	opt  redis.Options
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// newDialer returns a dialer for the options of a client, which are complete.
func newDialer(of *redis.Options) *dialer {
	d := &dialer{opt: *of, dial: of.Dialer}
	o := &d.opt
	o.PoolSize, o.PipelinePoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = 1, -1, 0, 0, 0
	o.MaxConcurrentDials, o.DialerRetries, o.MaxRetries = 0, 1, -1
	// Complete options have 0 for "none" where options that are to be completed have -1.
	for _, t := range []*time.Duration{&o.ReadTimeout, &o.WriteTimeout} {
		if *t <= 0 {
			*t--
		}
	}
	o.ContextTimeoutEnabled = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.ClientSideCache, o.ClientSideCacheConfig, o.PushNotificationProcessor = nil, nil, nil
	return d
}

// connect makes a connection.
func (d *dialer) connect(ctx context.Context) (net.Conn, error) {
	var mu sync.Mutex
	var h *handover
	opt := d.opt
	opt.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		h = &handover{Conn: c}
		return h, nil
	}
	client := redis.NewClient(&opt)
	// go-redis does not look at cancellation while it waits for the server.
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if h != nil {
			_ = h.Close()
		}
	})
	err := client.Ping(ctx).Err()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	mu.Lock()
	defer mu.Unlock()
	if err == nil && h != nil {
		h.keep()
	}
	if closeErr := client.Close(); err == nil {
		err = closeErr
	}
	switch {
	case err != nil && h != nil:
		_ = h.Conn.Close()
		return nil, err
	case err != nil:
		return nil, err
	case h == nil:
		return nil, errors.New("the client made no connection")
	}
	return h.Conn, nil
}

// pool keeps connections to one server for reads.
type pool struct {
	dial    func(ctx context.Context) (net.Conn, error)
	places  chan struct{} // one for each connection in use
	wait    time.Duration // how long for a place
	timeout time.Duration // how long for replies; 0: no limit
	maxIdle time.Duration // 0: no limit
	maxAge  time.Duration // 0: no limit
	shared  *shared       // nil: each read has a connection of its own

	asked time.Time // when a read of the cluster last asked for it; under direct.mu

	mu     sync.Mutex
	idle   []*conn // the last one was used last
	closed bool
}

// newPool returns connections as a client with these options, which are complete, would make. Some of them may be shared.
func newPool(opt *redis.Options, sharedConns int) *pool {
	size := opt.PoolSize
	if opt.MaxActiveConns > 0 {
		size = min(size, opt.MaxActiveConns)
	}
	p := &pool{
		dial: newDialer(opt).connect, places: make(chan struct{}, size), wait: opt.PoolTimeout,
		timeout: max(opt.ReadTimeout, 0), maxIdle: opt.ConnMaxIdleTime,
		maxAge: max(opt.ConnMaxLifetime-opt.ConnMaxLifetimeJitter, 0),
	}
	rotating := opt.CredentialsProvider != nil || opt.CredentialsProviderContext != nil || opt.StreamingCredentialsProvider != nil
	if rotating && (p.maxAge == 0 || p.maxAge > maxAgeRotating) {
		p.maxAge = maxAgeRotating
	}
	if sharedConns > 0 {
		p.shared = newShared(p, min(sharedConns, size))
	}
	return p
}

// errNoPlace says that all connections are in use.
var errNoPlace = errors.New("all connections are in use")

// get returns a connection that nobody else uses until it is put back.
func (p *pool) get(ctx context.Context) (*conn, error) {
	select {
	case p.places <- struct{}{}:
	default:
		timer := time.NewTimer(p.wait)
		defer timer.Stop()
		select {
		case p.places <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, errNoPlace
		}
	}
	now := time.Now()
	for {
		c := p.take()
		if c == nil {
			break
		}
		if c.fresh(p, now) {
			c.used = now
			return c, nil
		}
		_ = c.Close()
	}
	nc, err := p.dial(ctx)
	if err != nil {
		<-p.places
		return nil, err
	}
	c := newConn(nc)
	c.used = c.made
	return c, nil
}

func (p *pool) take() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return c
}

// put gives a connection back. Only one whose replies have all been read may be used again.
func (p *pool) put(c *conn, again bool) {
	if again {
		c.replies.shrink()
		if cap(c.out) > maxKept {
			c.out = nil
		}
		p.mu.Lock()
		if again = !p.closed; again {
			p.idle = append(p.idle, c)
		}
		p.mu.Unlock()
	}
	if !again {
		_ = c.Close()
	}
	<-p.places
}

// close ends the idle connections and, when they are put back, those in use.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}
