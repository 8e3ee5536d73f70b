package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// fault is what a proxy does with a request that it finds in what a client sends. It ends the connection by an error.
type fault func(client, server *net.TCPConn, request []byte) error

var errEnd = errors.New("end of the connection")

// cut ends the connection before the server sees the request.
func cut(_, _ *net.TCPConn, _ []byte) error { return errEnd }

// lose ends the connection after the server has done what was asked, and half of its reply.
func lose(client, server *net.TCPConn, request []byte) error {
	if _, err := server.Write(request); err != nil {
		return err
	}
	reply := make([]byte, 1<<16)
	n, err := server.Read(reply)
	if err != nil {
		return err
	}
	_, err = client.Write(reply[:n/2])
	return errors.Join(err, client.SetLinger(0), errEnd) // a reset
}

// say answers in place of the server.
func say(reply string) fault {
	return func(client, _ *net.TCPConn, _ []byte) error {
		_, err := client.Write([]byte(reply + "\r\n"))
		return err
	}
}

// proxy passes on what clients and a real server say to each other, except for faults.
type proxy struct {
	addr string

	mu      sync.Mutex
	command string
	times   int // that the fault comes in
	fault   fault
}

// set lets a fault happen to the next requests that have a command in them.
func (p *proxy) set(command string, times int, f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.command, p.times, p.fault = command, times, f
}

// left returns how often the fault is still to come in, and ends it.
func (p *proxy) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.times = 0 }()
	return p.times
}

// next is the fault for a request, or nil.
func (p *proxy) next(request []byte) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.times == 0 || !bytes.Contains(bytes.ToLower(request), []byte("\r\n"+p.command+"\r\n")) {
		return nil
	}
	p.times--
	return p.fault
}

// newProxy starts a proxy, which ends with the test and waits until clients have closed all connections.
func newProxy(t testing.TB, backend string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String()}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", backend)
			if err != nil {
				_ = client.Close()
				t.Error(err)
				return
			}
			wg.Go(func() { p.serve(&wg, client.(*net.TCPConn), server.(*net.TCPConn)) })
		}
	})
	return p
}

// serve passes on one connection. Only one goroutine reads what the server says, so that a fault can, too.
func (p *proxy) serve(wg *sync.WaitGroup, client, server *net.TCPConn) {
	var reading sync.Mutex
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			reading.Lock()
			_ = server.SetReadDeadline(time.Now().Add(time.Millisecond))
			n, err := server.Read(buf)
			_ = server.SetReadDeadline(time.Time{})
			reading.Unlock()
			if n > 0 {
				if _, err := client.Write(buf[:n]); err != nil {
					break
				}
			}
			if err != nil && !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
				break
			}
		}
		_ = client.Close()
	})
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		if f := p.next(buf[:n]); f != nil {
			reading.Lock()
			err = f(client, server, buf[:n])
			reading.Unlock()
		} else {
			_, err = server.Write(buf[:n])
		}
		if err != nil {
			break
		}
	}
	_ = client.Close()
	_ = server.Close()
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// TestFaults: whatever happens between client and server, a call gets the right answer by another attempt, or an error of
// the right kind, and the next call goes well.
func TestFaults(t *testing.T) {
	t.Run("Direct", func(t *testing.T) { faults(t, true, 0) })
	t.Run("Shared", func(t *testing.T) { faults(t, true, 1) })
	t.Run("Client", func(t *testing.T) { faults(t, false, 0) })
}

func faults(t *testing.T, directReads bool, sharedConns int) {
	p := newProxy(t, testserver.Redis(t))
	direct := openStore(t, 3, nil)
	table, key := drivers(t, direct)
	s := openStore(t, 3, map[string]any{
		"connection_string": p.addr + ",socket_timeout=5", "read_command": "hmget", "direct_reads": directReads, "shared_connections": sharedConns,
	})
	plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(table)})
	reader, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	event := int64(100)
	value := int64(1)
	readRow := func(ctx context.Context) error {
		res := online.NewResult(plan, 1)
		if err := reader.Read(ctx, online.NewKeys(onlinetest.KeysOf(key)), res); err != nil {
			return err
		}
		if got := res.Column(plan.Tables()[0], 0).Any(0); got != value || res.RowEvent(plan.Tables()[0], 0).Seconds != event {
			return fmt.Errorf("read %v at %v, want %d at %d", got, res.RowEvent(plan.Tables()[0], 0), value, event)
		}
		return nil
	}
	writeRow := func(overwrite bool) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			b := onlinetest.Batch(table, onlinetest.Row{
				Key: key, Event: types.Timestamp{Seconds: event + 1, Nanos: 7}, Values: []any{value + 1, "y"},
			})
			b.Overwrite = overwrite
			res, err := s.Write(ctx, b)
			if err != nil {
				return err
			}
			event, value = event+1, value+1
			if res != (online.WriteResult{Written: 1}) {
				return fmt.Errorf("wrote %+v", res)
			}
			return readRow(ctx)
		}
	}
	calls := []struct {
		name, command string
		do            func(ctx context.Context) error
	}{
		{"read", "hmget", readRow},
		{"write", "evalsha", writeRow(false)},
		{"overwrite", "hset", writeRow(true)},
	}
	if err := calls[1].do(t.Context()); err != nil { // the server knows the script from here on
		t.Fatal(err)
	}
	const ever = 1000
	for _, c := range calls {
		for _, f := range []struct {
			name  string
			times int
			fault fault
			err   error
		}{
			{"cut", 1, cut, nil},
			{"cut for ever", ever, cut, feasterr.ErrUnavailable},
			{"lost reply", 1, lose, nil},
			{"LOADING", 1, say("-LOADING Redis is loading the dataset in memory"), nil},
			{"LOADING for ever", ever, say("-LOADING Redis is loading the dataset in memory"), feasterr.ErrUnavailable},
			{"READONLY", 1, say("-READONLY You can't write against a read only replica."), nil},
			{"READONLY for ever", ever, say("-READONLY You can't write against a read only replica."), feasterr.ErrUnavailable},
			{"CLUSTERDOWN", 1, say("-CLUSTERDOWN The cluster is down"), nil},
			{"MASTERDOWN for ever", ever, say("-MASTERDOWN Link with MASTER is down"), feasterr.ErrUnavailable},
			{"MOVED", ever, say("-MOVED 1 127.0.0.1:1"), feasterr.ErrUnavailable},
			{"ASK", ever, say("-ASK 1 127.0.0.1:1"), feasterr.ErrUnavailable},
			{"NOAUTH", ever, say("-NOAUTH Authentication required."), feasterr.ErrUnauthenticated},
			{"no protocol", ever, say("?what"), feasterr.ErrUnavailable},
		} {
			p.set(c.command, f.times, f.fault)
			err := c.do(t.Context())
			if left := p.left(); left == f.times || f.times == 1 && left > 0 {
				t.Errorf("%s, %s: did not happen", c.name, f.name)
			}
			if !errors.Is(err, f.err) || err != nil && feasterr.Retryable(err) != errors.Is(f.err, feasterr.ErrUnavailable) {
				t.Errorf("%s, %s: error %v, want %v", c.name, f.name, err, f.err)
			}
			if err := c.do(t.Context()); err != nil {
				t.Errorf("%s after %s: %v", c.name, f.name, err)
			}
		}

		// The reply comes after the deadline, and is not taken for that to another request.
		release := make(chan struct{})
		p.set(c.command, 1, func(_, server *net.TCPConn, request []byte) error {
			<-release
			_, err := server.Write(request)
			return err
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := c.do(ctx); !errors.Is(err, context.DeadlineExceeded) || feasterr.Retryable(err) {
			t.Errorf("%s, slow: %v", c.name, err)
		}
		cancel()
		if err := c.do(t.Context()); err != nil {
			t.Errorf("%s after a slow reply: %v", c.name, err)
		}
		close(release)
	}
	if s.noScripts.left.Load() > 0 {
		t.Error("faults were taken for a refusal of scripts")
	}
}

// TestFullPool: the deadline holds while all connections are in use.
func TestFullPool(t *testing.T) {
	p := newProxy(t, testserver.Redis(t))
	s := openStore(t, 3, map[string]any{
		"connection_string": p.addr + ",max_connections=1,socket_timeout=30", "read_command": "hmget",
		"direct_reads": false, // or reads would have another
	})
	table, key := drivers(t, s)
	in, release := make(chan struct{}), make(chan struct{})
	p.set("hmget", 1, func(_, server *net.TCPConn, request []byte) error {
		close(in)
		<-release
		_, err := server.Write(request)
		return err
	})
	first := make(chan error)
	go func() { first <- read(t.Context(), t, s, table, key) }()
	<-in
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 200}, Values: []any{int64(2), "y"}}
	for range 2 { // the second begins after the deadline
		if _, err := s.Write(ctx, onlinetest.Batch(table, row)); !errors.Is(err, context.DeadlineExceeded) || feasterr.Retryable(err) {
			t.Errorf("Write: %v", err)
		}
		if err := read(ctx, t, s, table, key); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := read(t.Context(), t, s, table, key); err != nil {
		t.Error(err)
	}
}

// TestLostRetries: rows that an attempt before may have stored are counted as what they are.
func TestLostRetries(t *testing.T) {
	p := newProxy(t, testserver.Redis(t))
	direct := openStore(t, 3, nil)
	table, key := drivers(t, direct)
	s := openStore(t, 3, map[string]any{"connection_string": p.addr})
	row := func(seconds, v int64) onlinetest.Row {
		return onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: seconds}, Values: []any{v, nil}}
	}
	write(t, s, table, online.WriteResult{Written: 1}, row(101, 2))
	p.set("evalsha", 1, lose)
	write(t, s, table, online.WriteResult{Written: 1, Older: 3}, row(100, 9), row(102, 3), row(102, 4), row(101, 5))
	p.set("evalsha", 1, cut)
	write(t, s, table, online.WriteResult{Older: 1}, row(102, 4)) // as old as the stored row, with another value
	res := onlinetest.Read(t, direct, online.NewReadPlan([]*online.Table{table}), 1, online.NewKeys(onlinetest.KeysOf(key)))
	if got := res.Column(table, 0).Any(0); got != int64(3) {
		t.Errorf("value %v, want 3", got)
	}
}

// TestUnreachable: an error says what was tried, and keeps secrets.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]string{
		single:   addr + ": ",
		cluster:  "the cluster at " + addr + ": ",
		sentinel: `the master "mymaster" of the sentinels at ` + addr + ": ",
	} {
		s := openSection(t, config.NewSection("redis", map[string]any{
			"redis_type": kind, "connection_string": addr + ",password=S3cr3t",
		}), 3)
		err := s.Ping(t.Context())
		if !errors.Is(err, feasterr.ErrUnavailable) || !feasterr.Retryable(err) || !strings.HasPrefix(err.Error(), want) ||
			strings.Contains(err.Error(), "S3cr3t") {
			t.Errorf("%s: %v, want %s...", kind, err, want)
		}
	}
}

// TestMovingSlot writes and reads a row while its slot moves from one node of a cluster to another.
func TestMovingSlot(t *testing.T) {
	s := openSection(t, clusterSection(t, ""), 3)
	c := s.client.(*redis.ClusterClient)
	table, key := drivers(t, s)
	redisKey := string(key) + table.Project
	slot, err := c.ClusterKeySlot(t.Context(), redisKey).Result()
	if err != nil {
		t.Fatal(err)
	}
	from, err := c.MasterForKey(t.Context(), redisKey)
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[string]*redis.Client{} // by address
	var mu sync.Mutex
	err = c.ForEachMaster(t.Context(), func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		nodes[node.Options().Addr] = redis.NewClient(&redis.Options{Addr: node.Options().Addr})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, node := range nodes {
			_ = node.Close()
		}
	}()
	source := from.Options().Addr
	var dest string
	for addr := range nodes {
		if addr != source {
			dest = addr
		}
	}
	id := func(addr string) string {
		id, err := nodes[addr].Do(t.Context(), "cluster", "myid").Text()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	setSlot := func(addr string, args ...any) {
		t.Helper()
		if err := nodes[addr].Do(context.WithoutCancel(t.Context()), append([]any{"cluster", "setslot", slot}, args...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	seconds := int64(100)
	writeAndRead := func(when string) {
		t.Helper()
		seconds++
		row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: seconds}, Values: []any{seconds, "y"}}
		write(t, s, table, online.WriteResult{Written: 1, Older: 1}, row, row)
		res := onlinetest.Read(t, s, online.NewReadPlan([]*online.Table{table}), 1, online.NewKeys(onlinetest.KeysOf(key)))
		if got := res.Column(table, 0).Any(0); got != seconds {
			t.Errorf("%s: value %v, want %d", when, got, seconds)
		}
	}
	writeAndRead("before")
	sourceID, destID := id(source), id(dest)
	setSlot(dest, "importing", sourceID)
	setSlot(source, "migrating", destID)
	writeAndRead("not moved yet")
	host, port, err := net.SplitHostPort(dest)
	if err != nil {
		t.Fatal(err)
	}
	if err := nodes[source].Migrate(t.Context(), host, port, redisKey, 0, time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	writeAndRead("ASK")
	for _, addr := range []string{dest, source} {
		setSlot(addr, "node", destID)
	}
	writeAndRead("MOVED")
	for addr := range nodes {
		setSlot(addr, "node", destID)
	}
	if err := s.Teardown(t.Context(), []*online.Table{table}); err != nil {
		t.Fatal(err)
	}
	if n, err := nodes[dest].Exists(t.Context(), redisKey).Result(); n != 0 {
		t.Errorf("Teardown left the row, %v", err)
	}
}

// TestFailover reads and writes while a sentinel makes the replica the master.
func TestFailover(t *testing.T) {
	addr := testserver.RedisSentinel(t)
	s := openSection(t, sentinelSection(t, ",read_from_replicas=true"), 3)
	table, key := drivers(t, s)
	sentinels := redis.NewSentinelClient(&redis.Options{Addr: addr})
	defer func() { _ = sentinels.Close() }()
	master := func() string {
		t.Helper()
		host, err := sentinels.GetMasterAddrByName(t.Context(), testserver.RedisMaster).Result()
		if err != nil {
			t.Fatal(err)
		}
		return net.JoinHostPort(host[0], host[1])
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := testserver.RedisInSync(ctx, addr); err != nil { // it may not be, where the test runs again
		t.Fatal(err)
	}
	before := master()
	if err := sentinels.Failover(t.Context(), testserver.RedisMaster).Err(); err != nil {
		t.Fatal(err)
	}
	plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(table)})
	reader, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	written := map[any]bool{nil: true, int64(1): true}
	good := 0 // writes and reads after the change
	failed := map[string]int{}
	for v := int64(2); good < 10; v++ {
		b := onlinetest.Batch(table, onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 100 + v}, Values: []any{v, nil}})
		written[v] = true // also when it fails: the reply may be what is missing
		res, err := s.Write(ctx, b)
		var dst *online.Result
		if err == nil {
			if res != (online.WriteResult{Written: 1}) {
				t.Errorf("write of %d: %+v", v, res)
			}
			dst = online.NewResult(plan, 1)
			err = reader.Read(ctx, online.NewKeys(onlinetest.KeysOf(key)), dst)
		}
		switch {
		case errors.Is(err, feasterr.ErrUnavailable) && feasterr.Retryable(err):
			failed[err.Error()]++
		case err != nil:
			t.Fatal(err)
		case !written[dst.Column(plan.Tables()[0], 0).Any(0)]:
			t.Fatalf("read %v, which nobody wrote", dst.Column(plan.Tables()[0], 0).Any(0))
		case master() != before:
			good++
		}
	}
	t.Logf("errors meanwhile: %v", failed)
}
