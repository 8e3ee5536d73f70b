package redis

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// server speaks the protocol of Redis, version 2, and answers what a test wants to commands about hashes.
type server struct {
	addr  string
	reply func(conn int, cmd []string) string // hangup: ends the connection after it; silence: says nothing

	mu    sync.Mutex
	conns []net.Conn
	gone  map[int]chan struct{} // closed when the client has ended the connection
	seen  []string              // names of commands about hashes, with the connection's number
}

// What a server does in place of a reply.
const (
	silence = "silent"
	hangup  = "\x00hangup"
)

func startServer(t *testing.T, reply func(conn int, cmd []string) string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: l.Addr().String(), reply: reply, gone: map[int]chan struct{}{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			n := len(s.conns)
			s.conns, s.gone[n] = append(s.conns, c), make(chan struct{})
			gone := s.gone[n]
			s.mu.Unlock()
			wg.Go(func() {
				defer close(gone)
				s.serve(n, c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *server) serve(n int, c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for {
		cmd, err := readCommand(r)
		if err != nil {
			return
		}
		out := "+OK\r\n"
		switch name := strings.ToLower(cmd[0]); name {
		case "hello":
			out = "-ERR unknown command\r\n"
		case "ping":
			out = "+PONG\r\n"
		case "hmget", "hgetall", "object":
			s.mu.Lock()
			s.seen = append(s.seen, fmt.Sprint(n, " ", name))
			s.mu.Unlock()
			out = s.reply(n, cmd)
		}
		if out == silence {
			continue
		}
		out, end := strings.CutSuffix(out, hangup)
		if _, err := io.WriteString(c, out); err != nil || end {
			return
		}
	}
}

func readCommand(r *bufio.Reader) ([]string, error) {
	count := func() (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := count()
	if err != nil {
		return nil, err
	}
	cmd := make([]string, n)
	for i := range cmd {
		size, err := count()
		if err != nil {
			return nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		cmd[i] = string(text[:size])
	}
	return cmd, nil
}

// commands returns what was asked since the last call.
func (s *server) commands() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := strings.Join(s.seen, ", ")
	s.seen = nil
	return seen
}

// waitGone waits until the client has ended a connection.
func (s *server) waitGone(n int) {
	s.mu.Lock()
	gone := s.gone[n]
	s.mu.Unlock()
	<-gone
}

// open opens a store on the server.
func (s *server) open(t *testing.T, keys map[string]any, params string) *Store {
	t.Helper()
	all := map[string]any{"connection_string": s.addr + params}
	maps.Copy(all, keys)
	return openSection(t, config.NewSection("redis", all), 3)
}

// answerOf is the right answer about an entity: a is the number in its key.
func answerOf(cmd []string) string {
	var n int64
	_, _ = fmt.Sscanf(cmd[1], "k%d", &n)
	a := int64Value(n)
	if strings.EqualFold(cmd[0], "object") {
		return "-ERR unknown command\r\n"
	}
	if strings.EqualFold(cmd[0], "hgetall") {
		return hashReply(true, 2, featureField("v", "a"), a, featureField("v", "b"), "\x12\x01x", "_ts:v", "\x08\x64")
	}
	return hashReply(false, 2, "", "\x08\x64", "", a, "", "\x12\x01x")
}

// int64Value is an int64 as it is stored.
func int64Value(n int64) string { return string(binary.AppendUvarint([]byte{0x20}, uint64(n))) }

// readAll reads n entities of hashTable and checks what a is.
func readAll(ctx context.Context, t *testing.T, reader online.Reader, plan *online.ReadPlan, n int) error {
	t.Helper()
	var keys []online.Key
	for i := range n {
		keys = append(keys, online.Key{Bytes: fmt.Append(nil, "k", i), Row: i})
	}
	dst := online.NewResult(plan, n)
	if err := reader.Read(ctx, online.NewKeys(keys), dst); err != nil {
		return err
	}
	table := plan.Tables()[0]
	for i := range n {
		if got := dst.Column(table, 0).Any(i); got != int64(i) || dst.RowEvent(table, i).Seconds != 100 {
			t.Errorf("entity %d: a is %v, of %v", i, got, dst.RowEvent(table, i))
		}
		if dst.Column(table, 1).Any(i) != "x" {
			t.Errorf("entity %d: b is %v", i, dst.Column(table, 1).Any(i))
		}
	}
	return nil
}

func prepare(t testing.TB, s *Store) (online.Reader, *online.ReadPlan) {
	t.Helper()
	plan := online.NewReadPlan([]*online.Table{hashTable()})
	r, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	return r, plan
}

// TestUnusual meets every unusual reply in the middle of a read: what was not answered before it is read through go-redis.
func TestUnusual(t *testing.T) {
	half := answerOf([]string{"hmget", "k3"})
	for name, bad := range map[string]string{
		"error":      "-LOADING Redis is loading the dataset in memory\r\n",
		"redirect":   "-ERR MOVED 1 127.0.0.1:1\r\n",
		"push":       ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
		"text":       "$5\r\nhello\r\n",
		"number":     ":3\r\n",
		"too many":   "*4\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n",
		"nested":     "*3\r\n*1\r\n$1\r\nx\r\n$0\r\n\r\n$0\r\n\r\n",
		"no length":  "*3\r\n$x\r\n",
		"garbage":    "\x00\x01\x02\x03",
		"huge":       "*3\r\n$536870913\r\n",
		"huge text":  "$500000000\r\n",
		"promise":    "*3\r\n$500000000\r\nabc" + hangup,
		"null":       "*-1\r\n",
		"end":        hangup,
		"half":       half[:len(half)-4] + hangup,
		"first line": "*3\r" + hangup,
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(conn int, cmd []string) string {
				if conn == 0 && strings.HasPrefix(cmd[1], "k3") { // the connection of the store's own
					return bad
				}
				return answerOf(cmd)
			})
			store := s.open(t, map[string]any{"read_command": "hmget"}, ",socket_timeout=1")
			r, plan := prepare(t, store)
			err := readAll(t.Context(), t, r, plan, 5)
			if s.waitGone(0); slices.Contains([]string{"too many", "no length", "garbage", "huge", "huge text", "promise", "null"}, name) {
				if !errors.Is(err, feasterr.ErrUnavailable) || !strings.HasPrefix(err.Error(), "the server sent a malformed reply") {
					t.Errorf("error %v", err)
				}
				if seen := s.commands(); strings.Contains(seen, "1 ") { // nobody asks again
					t.Errorf("commands %s", seen)
				}
				return
			}
			if err != nil {
				t.Error(err)
			}
			// k3 and k4; the server may go on with what it was asked at first.
			if seen := s.commands(); strings.Count(seen, "1 hmget") != 2 {
				t.Errorf("commands %s, want 2 over connection 1", seen)
			}
			// The next one has a new connection.
			if err := readAll(t.Context(), t, r, plan, 2); err != nil {
				t.Error(err)
			}
			if want, seen := "2 hmget, 2 hmget", s.commands(); seen != want {
				t.Errorf("commands %s, want %s", seen, want)
			}
		})
	}
}

// TestIdle drops connections that something came over while they were idle.
func TestIdle(t *testing.T) {
	for name, after := range map[string]string{"bytes": "+OK\r\n", "end": hangup} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(conn int, cmd []string) string {
				if out := answerOf(cmd); conn > 0 {
					return out
				}
				return answerOf(cmd) + after
			})
			store := s.open(t, map[string]any{"read_command": "hmget"}, "")
			r, plan := prepare(t, store)
			for range 2 {
				if err := readAll(t.Context(), t, r, plan, 1); err != nil {
					t.Error(err)
				}
				if name == "end" {
					s.waitGone(0)
				}
			}
			s.waitGone(0)
			if want, seen := "0 hmget, 1 hmget", s.commands(); seen != want {
				t.Errorf("commands %s, want %s", seen, want)
			}
		})
	}
}

func TestFresh(t *testing.T) {
	now := time.Now()
	client, other := net.Pipe()
	defer func() { _, _ = client.Close(), other.Close() }()
	c := newConn(client)
	c.made, c.used = now.Add(-time.Hour), now.Add(-time.Minute)
	for _, p := range []struct {
		maxIdle, maxAge time.Duration
		want            bool
	}{
		{0, 0, true}, {2 * time.Minute, 2 * time.Hour, true}, {time.Minute, 0, false}, {0, time.Hour, false},
	} {
		if got := c.fresh(&pool{maxIdle: p.maxIdle, maxAge: p.maxAge}, now); got != p.want {
			t.Errorf("%+v: %t", p, got)
		}
	}
	for _, d := range []struct {
		opt  redis.Options
		want time.Duration
	}{
		{redis.Options{}, 0},
		{redis.Options{ConnMaxLifetime: time.Hour, ConnMaxLifetimeJitter: time.Minute}, 59 * time.Minute},
		{redis.Options{CredentialsProvider: func() (string, string) { return "", "" }}, maxAgeRotating},
		{redis.Options{ConnMaxLifetime: time.Minute, CredentialsProvider: func() (string, string) { return "", "" }}, time.Minute},
	} {
		client := redis.NewClient(&d.opt)
		if got := newDirect(client, 0).one.maxAge; got != d.want {
			t.Errorf("lifetime %v, want %v", got, d.want)
		}
		_ = client.Close()
	}
	failover := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: []string{"127.0.0.1:1"}})
	if newDirect(failover, 0) != nil {
		t.Error("with Sentinel there are connections that do not hear of a new master")
	}
	_ = failover.Close()
}

// TestSilence gives up at the end of the context, also while waiting for a place, and leaves no place taken.
func TestSilence(t *testing.T) {
	asked := make(chan struct{}, 10)
	var answer bool
	var mu sync.Mutex
	s := startServer(t, func(_ int, cmd []string) string {
		asked <- struct{}{}
		mu.Lock()
		defer mu.Unlock()
		if answer {
			return answerOf(cmd)
		}
		return silence
	})
	store := s.open(t, map[string]any{"read_command": "hmget"}, ",max_connections=1,socket_timeout=null")
	r, plan := prepare(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { first <- readAll(ctx, t, r, plan, 1) }()
	<-asked

	// The only place is taken.
	short, cancelShort := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancelShort()
	if err := readAll(short, t, r, plan, 1); !errors.Is(err, context.DeadlineExceeded) || feasterr.Retryable(err) {
		t.Errorf("without a place: %v", err)
	}
	store.direct.one.wait = time.Millisecond
	if err := readAll(t.Context(), t, r, plan, 1); !errors.Is(err, feasterr.ErrUnavailable) || !feasterr.Retryable(err) {
		t.Errorf("without a place: %v", err)
	}
	store.direct.one.wait = time.Hour
	waiting := make(chan error)
	go func() { waiting <- readAll(t.Context(), t, r, plan, 1) }()

	mu.Lock()
	answer = true
	mu.Unlock()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) || feasterr.Retryable(err) {
		t.Errorf("cancelled: %v", err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("after a place is free: %v", err)
	}
	s.waitGone(0)
	if n := len(store.direct.one.places); n != 0 {
		t.Errorf("%d places are taken", n)
	}
}

// TestDeadline gives up at the deadline, and not before, while the server is silent.
func TestDeadline(t *testing.T) {
	s := startServer(t, func(int, []string) string { return silence })
	store := s.open(t, map[string]any{"read_command": "hmget"}, "")
	r, plan := prepare(t, store)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		err := readAll(ctx, t, r, plan, 1)
		if deadline, _ := ctx.Deadline(); time.Now().Before(deadline) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		cancel()
	}
}

// TestMaxConnections reads from many goroutines over as many connections as are allowed.
func TestMaxConnections(t *testing.T) {
	s := startServer(t, func(_ int, cmd []string) string { return answerOf(cmd) })
	store := s.open(t, nil, ",max_connections=2")
	r, plan := prepare(t, store)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for range 10 {
				if err := readAll(t.Context(), t, r, plan, 1+i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.conns); n < 1 || n > 2 {
		t.Errorf("%d connections", n)
	}
}

// TestCloseIdle ends the connections that nobody uses.
func TestCloseIdle(t *testing.T) {
	s := startServer(t, func(_ int, cmd []string) string { return answerOf(cmd) })
	store := s.open(t, nil, "")
	r, plan := prepare(t, store)
	if err := readAll(t.Context(), t, r, plan, 3); err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	s.waitGone(0)
	if err := readAll(t.Context(), t, r, plan, 3); !errors.Is(err, feasterr.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestChunks reads more entities than go in one chunk, and answers each.
func TestChunks(t *testing.T) {
	s := startServer(t, func(_ int, cmd []string) string { return answerOf(cmd) })
	store := s.open(t, map[string]any{"read_command": "hgetall"}, "")
	r, plan := prepare(t, store)
	n := 3*chunkCommands + 7
	if err := readAll(t.Context(), t, r, plan, n); err != nil {
		t.Error(err)
	}
	if got := strings.Count(s.commands(), "0 hgetall"); got != n {
		t.Errorf("%d commands for %d entities", got, n)
	}
}

// TestLearning reads the first entity with HGETALL to see how its hash is, then goes on with the cheaper command.
func TestLearning(t *testing.T) {
	for _, c := range []struct {
		name     string
		encoding string
		more     int // fields nobody asks for
		denied   bool
		first    string
		later    string
	}{
		{name: "few fields", encoding: "$8\r\nlistpack\r\n", first: "0 hgetall, 0 object, 0 hmget", later: "0 hmget, 0 hmget"},
		{name: "all fields", encoding: "$9\r\nhashtable\r\n", first: "0 hgetall, 0 object, 0 hmget", later: "0 hgetall, 0 hgetall"},
		{name: "list", encoding: "$8\r\nlistpack\r\n", more: 100, first: "0 hgetall, 0 object, 0 hmget", later: "0 hmget, 0 hmget"},
		{name: "table", encoding: "$9\r\nhashtable\r\n", more: 2, first: "0 hgetall, 0 object, 0 hmget", later: "0 hmget, 0 hmget"},
		{name: "unknown", encoding: "-ERR no\r\n", first: "0 hgetall, 0 object, 0 hmget", later: "0 hmget, 0 hmget"},
		{name: "not there", encoding: "$-1\r\n", more: -1, first: "0 hgetall, 0 object, 0 hmget", later: "0 hgetall, 0 object, 0 hmget"},
		{
			name: "not allowed", denied: true, encoding: "-NOPERM\r\n", later: "2 hmget, 2 hmget",
			first: "0 hgetall, 0 object, 0 hmget, 1 hgetall, 1 object, 1 hmget, 1 hmget",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t, func(_ int, cmd []string) string {
				switch cmd[0] {
				case "OBJECT", "object":
					return c.encoding
				case "HMGET", "hmget":
					return answerOf(cmd)
				}
				if c.denied {
					return "-NOPERM User default has no permissions to run the 'hgetall' command\r\n"
				}
				if c.more < 0 {
					return "*0\r\n"
				}
				pairs := []string{featureField("v", "a"), int64Value(0), featureField("v", "b"), "\x12\x01x", "_ts:v", "\x08\x64"}
				if strings.HasPrefix(cmd[1], "k1") {
					pairs[1] = int64Value(1)
				}
				for i := range c.more {
					pairs = append(pairs, fmt.Sprintf("%04d", i), "x")
				}
				return hashReply(true, 2, pairs...)
			})
			store := s.open(t, nil, "")
			r, plan := prepare(t, store)
			read := func() {
				t.Helper()
				if c.more < 0 {
					if err := r.Read(t.Context(), online.NewKeys(onlinetest.KeysOf([]byte("k0"), []byte("k1"))), online.NewResult(plan, 2)); err != nil {
						t.Error(err)
					}
				} else if err := readAll(t.Context(), t, r, plan, 2); err != nil {
					t.Error(err)
				}
			}
			read()
			if c.denied {
				s.waitGone(0) // which may still say no
			}
			seen, want := strings.Split(s.commands(), ", "), strings.Split(c.first, ", ")
			slices.Sort(seen)
			if slices.Sort(want); !slices.Equal(seen, want) {
				t.Errorf("first %s, want %s", seen, want)
			}
			read()
			if seen := s.commands(); seen != c.later {
				t.Errorf("then %s, want %s", seen, c.later)
			}
		})
	}
}

func TestCheaper(t *testing.T) {
	for _, c := range []struct {
		shape shape
		asked int
		want  bool
	}{
		{shape{fields: 275, listed: true, steps: 275 * 137}, 275, true},
		{shape{fields: 275, listed: true, steps: 55 * 27}, 55, false}, // the first ones
		{shape{fields: 275, listed: true, steps: 55 * 247}, 55, true}, // the last ones
		{shape{fields: 275, listed: true, steps: 11 * 137}, 11, false},
		{shape{fields: 275}, 275, true},
		{shape{fields: 275}, 250, true},
		{shape{fields: 275}, 180, false},
		{shape{fields: 275, unasked: 50_000}, 250, false}, // long values nobody asks for
	} {
		if got := c.shape.whole(c.asked); got != c.want {
			t.Errorf("%+v, %d asked: %t", c.shape, c.asked, got)
		}
	}
	var l learned
	asks := ""
	for range 3 * askAgain {
		if _, ask := l.choose(); ask {
			asks += fmt.Sprint(l.reads.Load(), " ")
			if l.reads.Load() == 8 {
				l.saw(shape{fields: 10}, 10)
			}
		}
	}
	if want := "1 2 4 8 1025 2049 "; asks != want {
		t.Errorf("looks with reads %s, want %s", asks, want)
	}
	if all, _ := l.choose(); !all {
		t.Error("all fields of a table are read one by one")
	}
}

// TestSameAnswers reads random parts of random rows in every way and gets the same.
func TestSameAnswers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var stores []*Store
	for _, w := range ways {
		stores = append(stores, openStore(t, 3, w.keys))
	}
	project := fmt.Sprintf("same_%x", time.Now().UnixNano())
	var tables []*online.Table
	for v := range 4 {
		table := &online.Table{Project: project, View: fmt.Sprint("v", v), JoinKeys: []string{"driver_id"}}
		for f := range 3 + 40*v {
			typ := []types.Type{types.Int64, types.String, types.Bytes}[f%3]
			if v < 2 {
				typ = types.Int64 // a list; with longer values the hash becomes a table
			}
			table.Features = append(table.Features, types.Field{Name: fmt.Sprint("f", f), Type: typ})
		}
		tables = append(tables, table)
	}
	defer func() {
		if err := stores[0].Teardown(context.WithoutCancel(t.Context()), tables); err != nil {
			t.Error(err)
		}
	}()
	key := func(i int) []byte { return onlinetest.Key("driver_id", int64(i)) }
	for v, table := range tables {
		var rows []onlinetest.Row
		for i := range 20 {
			if random.IntN(4) == 0 || v >= 2 && i%2 == 0 {
				continue
			}
			row := onlinetest.Row{Key: key(i), Event: types.Timestamp{Seconds: int64(random.IntN(3))}}
			for _, f := range table.Features {
				values := []any{nil, random.Int64(), fmt.Sprint(random.Int64()), make([]byte, random.IntN(200))}
				switch f.Type {
				case types.Int64:
					row.Values = append(row.Values, values[random.IntN(2)])
				case types.String:
					row.Values = append(row.Values, values[2*random.IntN(2)])
				default:
					row.Values = append(row.Values, values[3*random.IntN(2)])
				}
			}
			rows = append(rows, row)
		}
		if _, err := stores[0].Write(t.Context(), onlinetest.Batch(table, rows...)); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		var picked []*online.Table
		for _, table := range tables[:1+random.IntN(len(tables))] {
			if random.IntN(3) == 0 {
				continue
			}
			names := []string{"never_written"}
			for _, f := range table.Features {
				if random.IntN(2) == 0 {
					names = append(names, f.Name)
				}
			}
			picked = append(picked, onlinetest.Pick(table, names...))
			if random.IntN(8) == 0 {
				picked = append(picked, onlinetest.Pick(table, names...)) // under another name
			}
		}
		plan := online.NewReadPlan(picked)
		var keys [][]byte
		for _, i := range random.Perm(25)[:1+random.IntN(24)] {
			keys = append(keys, key(i))
		}
		var first *online.Result
		for i, s := range stores {
			r, err := s.Prepare(plan)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // before and after it has learned
				res := online.NewResult(plan, len(keys))
				if err := r.Read(t.Context(), online.NewKeys(onlinetest.KeysOf(keys...)), res); err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = res
				} else if diff := onlinetest.Diff(plan, first, res); diff != "" {
					t.Fatalf("%s differs from %s:\n%s", ways[i].name, ways[0].name, diff)
				}
			}
		}
	}
}

// TestNewWithCredentials reads over connections that a provider of credentials authenticates.
func TestNewWithCredentials(t *testing.T) {
	admin := openStore(t, 3, nil)
	change := addUser(t, admin, "feast_rotating", ">first +@all")
	table, key := drivers(t, admin)
	password := "first"
	client := redis.NewClient(&redis.Options{
		Addr: admin.client.(*redis.Client).Options().Addr, DB: 0,
		CredentialsProviderContext: func(context.Context) (string, string, error) { return "feast_rotating", password, nil },
	})
	defer func() { _ = client.Close() }()
	s, err := New(client, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := read(t.Context(), t, s, table, key); err != nil {
		t.Error(err)
	}
	if n := len(s.direct.one.idle); n != 1 {
		t.Fatalf("%d connections", n)
	}
	first := s.direct.one.idle[0]
	change("resetpass >second")
	password = "second"
	s.direct.one.maxAge = 1 // the connection is too old
	if err := read(t.Context(), t, s, table, key); err != nil {
		t.Error(err)
	}
	if now := s.direct.one.idle; len(now) != 1 || now[0] == first {
		t.Error("the old connection was used")
	}
	password = "third"
	if err := read(t.Context(), t, s, table, key); !errors.Is(err, feasterr.ErrUnauthenticated) || strings.Contains(err.Error(), "third") {
		t.Errorf("wrong password: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestNoDirect goes through the client where it has to.
func TestNoDirect(t *testing.T) {
	for _, c := range []struct {
		opt  redis.Options
		opts Options
		want bool
	}{
		{redis.Options{}, Options{}, true},
		{redis.Options{}, Options{NoDirectReads: true}, false},
		{redis.Options{Limiter: limiter{}}, Options{}, false},
	} {
		client := redis.NewClient(&c.opt)
		s, err := New(client, c.opts)
		if err != nil {
			t.Fatal(err)
		}
		if (s.direct != nil) != c.want {
			t.Errorf("%+v: %t", c.opts, s.direct != nil)
		}
		_ = client.Close()
	}
}

type limiter struct{}

func (limiter) Allow() error       { return nil }
func (limiter) ReportResult(error) {}
