package redis

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/online"
)

// Reads have connections of their own, made by go-redis and then used without it: commands are sent from one buffer and
// replies decoded where they arrive. That is for the plain case alone. Whatever else happens (an error, a redirect, a
// push message, a connection that ends) leaves this path, and what was not answered yet is read through go-redis.

const (
	// chunkBytes and chunkCommands bound what is sent before replies are read. Two such chunks are on their way at a time,
	// so that a server or proxy that stops taking commands until its replies are read is not waited for in vain, and so that
	// replies are decoded while the server makes others.
	chunkBytes    = 256 << 10
	chunkCommands = 128
	// maxAgeRotating is how long a connection is used when its credentials may change.
	maxAgeRotating = 10 * time.Minute
	// unusedFor is how long nobody asks for a master of a cluster before it is taken for none any more.
	unusedFor = 5 * time.Minute
)

// failoverAddr is what go-redis has for the address of a client with Sentinel.
const failoverAddr = "FailoverClient"

// direct is the connections for reads.
type direct struct {
	one     *pool                // to the only server
	cluster *redis.ClusterClient // or to the masters of a cluster

	sharedConns int // of each master

	mu    sync.Mutex
	pools map[*redis.Client]*pool // of the cluster
	swept time.Time               // when pools that nobody uses were last looked for
}

// newDirect returns the connections for a client's servers, nil where its options want what only go-redis does.
func newDirect(client redis.UniversalClient, sharedConns int) *direct {
	switch c := client.(type) {
	case *redis.Client:
		// With Sentinel, go-redis hears of a new master and ends its connections to the one before, which goes on answering for
		// seconds. Nobody would end ours.
		if o := c.Options(); o.Limiter == nil && o.Addr != failoverAddr {
			return &direct{one: newPool(o, sharedConns)}
		}
	case *redis.ClusterClient:
		if o := c.Options(); !o.ReadOnly && !o.RouteByLatency && !o.RouteRandomly {
			return &direct{cluster: c, sharedConns: sharedConns, pools: map[*redis.Client]*pool{}}
		}
	}
	return nil
}

// read reads keys; those of several servers at the same time. With an error it returns what is not answered.
func (d *direct) read(ctx context.Context, r *reader, keys *online.Keys, dst *online.Result, s *scratch) (*online.Keys, error) {
	if d.cluster == nil {
		return d.one.exchange(ctx, r, keys, dst, s)
	}
	shares, err := d.share(ctx, r, keys)
	if err != nil {
		return keys, err
	}
	if len(shares) == 1 {
		return shares[0].pool.exchange(ctx, r, keys, dst, s)
	}
	var wg sync.WaitGroup
	for i := range shares {
		h := &shares[i]
		h.dst, h.scratch = dst.Fork(), r.scratches.Get().(*scratch)
		h.scratch.reset(s, i == 0)
		read := func() {
			h.rest, h.err = h.pool.exchange(ctx, r, online.NewKeys(h.keys...), h.dst, h.scratch)
			if h.err != nil {
				h.err = r.instead(ctx, h.err, h.rest, h.dst, h.scratch)
			}
		}
		if i+1 < len(shares) {
			wg.Go(read)
		} else {
			read()
		}
	}
	wg.Wait()
	for i := range shares {
		h := &shares[i]
		dst.Join(h.dst)
		r.scratches.Put(h.scratch)
		if err == nil {
			err = h.err
		}
	}
	return nil, err
}

// share is what one server of a cluster is asked for.
type share struct {
	client *redis.Client
	pool   *pool
	keys   [][]online.Key

	dst     *online.Result
	scratch *scratch
	rest    *online.Keys
	err     error
}

// share divides keys among the masters that go-redis knows.
func (d *direct) share(ctx context.Context, r *reader, keys *online.Keys) ([]share, error) {
	var shares []share
	var name []byte
	now := time.Now()
	for i := range r.groups {
		g := &r.groups[i]
		for _, key := range r.keys(keys, i) {
			name = append(append(name[:0], key.Bytes...), g.tables[0].Project...)
			client, err := d.cluster.MasterForKey(ctx, string(name))
			if err != nil {
				return nil, err
			}
			at := slices.IndexFunc(shares, func(h share) bool { return h.client == client })
			if at < 0 {
				at = len(shares)
				shares = append(shares, share{client: client, pool: d.poolOf(client, now), keys: make([][]online.Key, len(r.groups))})
			}
			shares[at].keys[i] = append(shares[at].keys[i], key)
		}
	}
	return shares, nil
}

// poolOf returns the connections to a server of the cluster, for a read that begins now. Those to servers that are not asked
// for any more are ended: they are no masters now, and go-redis may still have them as replicas.
func (d *direct) poolOf(client *redis.Client, now time.Time) *pool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pools[client]
	if p == nil {
		p = newPool(client.Options(), d.sharedConns)
		d.pools[client] = p
	}
	p.asked = now
	if now.Sub(d.swept) >= unusedFor/4 {
		d.swept = now
		for client, p := range d.pools {
			if now.Sub(p.asked) >= unusedFor {
				delete(d.pools, client)
				p.close()
			}
		}
	}
	return p
}

func (d *direct) close() {
	if d.one != nil {
		d.one.close()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.pools {
		p.close()
	}
}

// place is a key of a read.
type place struct{ group, key int }

// exchange reads keys over a connection. With an error it returns what is not answered.
func (p *pool) exchange(ctx context.Context, r *reader, keys *online.Keys, dst *online.Result, s *scratch) (*online.Keys, error) {
	if p.shared != nil {
		return p.shared.exchange(ctx, r, keys, dst, s)
	}
	return p.alone(ctx, r, keys, dst, s)
}

// alone is exchange over a connection that nobody else uses meanwhile.
func (p *pool) alone(ctx context.Context, r *reader, keys *online.Keys, dst *online.Result, s *scratch) (*online.Keys, error) {
	c, err := p.get(ctx)
	if err != nil {
		return keys, err
	}
	done := false
	defer func() { p.put(c, done) }()
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, c.interrupt)
		defer func() { done = stop() && done }()
	}
	var sent, read place
	for waiting := 0; ; {
		var n int
		if c.out, n = r.encode(c.out[:0], &sent, keys, s); n > 0 {
			if err = c.arm(ctx, p.timeout); err == nil {
				_, err = c.Write(c.out)
			}
		}
		for ; waiting > 0 && err == nil; waiting-- {
			if waiting%chunkCommands == 0 {
				err = c.arm(ctx, p.timeout)
			}
			if err == nil {
				err = r.answer(c, &read, keys, dst, s)
			}
		}
		if err != nil {
			return r.rest(keys, read), err
		}
		if n == 0 {
			break
		}
		waiting = n
	}
	done = c.replies.pos == c.replies.end // nothing came that was not asked for
	return nil, nil
}

// encode appends commands for the keys that follow, as many as make a chunk, and returns for how many keys.
func (r *reader) encode(out []byte, at *place, keys *online.Keys, s *scratch) (_ []byte, n int) {
	for ; at.group < len(r.groups); *at = (place{at.group + 1, 0}) {
		g := &r.groups[at.group]
		for group := r.keys(keys, at.group); at.key < len(group); at.key++ {
			if len(out) >= chunkBytes || n == chunkCommands {
				return out, n
			}
			key, project := group[at.key].Bytes, g.tables[0].Project
			if s.whole(at.group, at.key) {
				out = appendKey(append(out, "*2\r\n$7\r\nHGETALL\r\n"...), key, project)
			} else {
				out = appendKey(append(out, g.head...), key, project)
				out = append(out, g.tail...)
			}
			if at.key == 0 && s.ask[at.group] {
				out = appendKey(append(out, "*3\r\n$6\r\nOBJECT\r\n$8\r\nENCODING\r\n"...), key, project)
			}
			n++
		}
	}
	return out, n
}

// appendKey appends the name of a hash.
func appendKey(dst, key []byte, project string) []byte {
	dst = appendHeader(dst, '$', len(key)+len(project))
	dst = append(dst, key...)
	dst = append(dst, project...)
	return append(dst, '\r', '\n')
}

// answer reads the replies about the next key.
func (r *reader) answer(c *conn, at *place, keys *online.Keys, dst *online.Result, s *scratch) error {
	for at.key == len(r.keys(keys, at.group)) {
		*at = place{at.group + 1, 0}
	}
	g := &r.groups[at.group]
	if err := g.scan(&c.replies, keys.Group(at.group)[at.key].Row, s.whole(at.group, at.key), dst, s); err != nil {
		return err
	}
	at.key++
	if at.key == 1 && s.ask[at.group] {
		return g.answered(&c.replies, s)
	}
	return nil
}

// rest returns the keys from a place on.
func (r *reader) rest(keys *online.Keys, from place) *online.Keys {
	groups := make([][]online.Key, len(r.groups))
	for i := from.group; i < len(groups); i++ {
		groups[i] = keys.Group(i)
	}
	if from.group < len(groups) {
		groups[from.group] = groups[from.group][from.key:]
	}
	return online.NewKeys(groups...)
}

// arm limits how long the connection may wait: until the end of ctx, and not much longer than timeout for the next replies.
// Setting a limit costs about as much as decoding 50 numbers, so that it is not moved for less than a quarter of it.
func (c *conn) arm(ctx context.Context, timeout time.Duration) error {
	var until time.Time
	if timeout > 0 {
		until = time.Now().Add(timeout)
	}
	if d, ok := ctx.Deadline(); ok && (timeout <= 0 || d.Before(until)) {
		until = d
	} else if timeout > 0 {
		if slack := c.deadline.Sub(until); slack >= 0 && slack <= timeout/4 {
			return nil
		}
		until = until.Add(timeout / 4)
	}
	if c.deadline.Equal(until) {
		return nil
	}
	if err := c.SetDeadline(until); err != nil {
		return err
	}
	c.deadline = until
	return ctx.Err() // whose interruption this may have undone
}
