package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// gate is a server that answers when it is told to.
type gate struct {
	*server
	asked   chan string // names of hashes
	replies chan string // right: the right one
}

const right = "right"

// openGate opens a store that shares one connection to a gate. Connections after the first one are answered at once.
func openGate(t *testing.T, params string) (*gate, *Store) {
	t.Helper()
	g := &gate{asked: make(chan string, 100), replies: make(chan string, 100)}
	g.server = startServer(t, func(conn int, cmd []string) string {
		if conn > 0 {
			return answerOf(cmd)
		}
		g.asked <- cmd[1]
		if reply := <-g.replies; reply != right {
			return strings.ReplaceAll(reply, right, answerOf(cmd))
		}
		return answerOf(cmd)
	})
	t.Cleanup(func() { close(g.replies) }) // before the server waits for its goroutines
	return g, g.open(t, map[string]any{"read_command": "hmget", "shared_connections": 1}, params)
}

// readOne reads an entity of hashTable and checks the answer.
func readOne(ctx context.Context, r online.Reader, plan *online.ReadPlan, n int) error {
	dst := online.NewResult(plan, 1)
	if err := r.Read(ctx, online.NewKeys([]online.Key{{Bytes: fmt.Append(nil, "k", n)}}), dst); err != nil {
		return err
	}
	table := plan.Tables()[0]
	if a, b := dst.Column(table, 0).Any(0), dst.Column(table, 1).Any(0); a != int64(n) || b != "x" || dst.RowEvent(table, 0).Seconds != 100 {
		return fmt.Errorf("entity %d: %v and %v", n, a, b)
	}
	return nil
}

// waiting is reads of a test that are on their way.
type waiting struct {
	store *Store
	read  func(ctx context.Context, n int) error
}

func newWaiting(t *testing.T, s *Store) waiting {
	r, plan := prepare(t, s)
	return waiting{s, func(ctx context.Context, n int) error { return readOne(ctx, r, plan, n) }}
}

// begin begins to read an entity, and returns when so many wait to be sent.
func (w waiting) begin(ctx context.Context, n, queued int) <-chan error {
	done := make(chan error, 1)
	go func() { done <- w.read(ctx, n) }()
	sh := w.store.direct.one.shared
	for {
		sh.mu.Lock()
		now := len(sh.queue)
		sh.mu.Unlock()
		if now == queued {
			return done
		}
		runtime.Gosched()
	}
}

// TestSharedTurns cancels reads in every state: those that wait to be sent, those that are sent and wait for their turn, and
// the one that has the turn, before its reply and within it. The others get their own replies, over the same connection.
func TestSharedTurns(t *testing.T) {
	g, store := openGate(t, "")
	w := newWaiting(t, store)
	ctx := t.Context()
	first := w.begin(ctx, 0, 0)
	<-g.asked
	var cancels []context.CancelFunc
	var reads []<-chan error
	for i := 1; i <= 6; i++ {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		cancels = append(cancels, cancel)
		reads = append(reads, w.begin(ctx, i, i))
	}
	cancelled := func(i int) {
		t.Helper()
		cancels[i-1]()
		if err := <-reads[i-1]; !errors.Is(err, context.Canceled) {
			t.Errorf("read %d: %v", i, err)
		}
	}
	cancelled(2) // is never sent
	g.replies <- right
	if err := <-first; err != nil {
		t.Error(err)
	}
	<-g.asked    // 1 has the turn
	cancelled(4) // before its turn
	cancelled(1) // 3 has the turn, and waits for the reply to 1
	g.replies <- right
	<-g.asked // 3
	half := answerOf([]string{"hmget", "k3"})
	g.replies <- half[:len(half)-7]
	<-g.asked // 4, after half of what is for 3
	cancelled(3)
	g.replies <- half[len(half)-7:] + right
	g.replies <- right
	g.replies <- right
	for _, i := range []int{5, 6} {
		if err := <-reads[i-1]; err != nil {
			t.Errorf("read %d: %v", i, err)
		}
	}
	if seen, want := g.commands(), strings.Repeat(", 0 hmget", 6)[2:]; seen != want {
		t.Errorf("commands %s, want %s", seen, want)
	}
	// The connection goes on.
	g.replies <- right
	if err := w.read(ctx, 7); err != nil {
		t.Error(err)
	}
	if seen := g.commands(); seen != "0 hmget" {
		t.Errorf("commands %s", seen)
	}
}

// TestSharedLast ends a connection whose last replies nobody waits for.
func TestSharedLast(t *testing.T) {
	g, store := openGate(t, "")
	w := newWaiting(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	first := w.begin(ctx, 0, 0)
	<-g.asked
	next := w.begin(t.Context(), 1, 1)
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-next; err != nil { // over another connection
		t.Error(err)
	}
	g.replies <- right
	g.waitGone(0)
}

// TestSharedUnusual: what is unusual concerns the read that it answers, if it ends as a reply does, and otherwise all that
// come after it. All are answered in the end.
func TestSharedUnusual(t *testing.T) {
	half := answerOf([]string{"hmget", "k2"})
	for name, c := range map[string]struct {
		bad   string
		alone bool // it concerns no other one
	}{
		"error":     {"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", true},
		"text":      {"$5\r\nhello\r\n", true},
		"number":    {":3\r\n", true},
		"nested":    {"*3\r\n*1\r\n$1\r\nx\r\n$0\r\n\r\n$0\r\n\r\n", true},
		"map":       {"%1\r\n$1\r\nx\r\n*-1\r\n", true},
		"push":      {">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n" + right, false},
		"too many":  {"*4\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n", false},
		"no length": {"*3\r\n$x\r\n", false},
		"garbage":   {"\x00\x01\x02\x03", false},
		"end":       {hangup, false},
		"half":      {half[:len(half)-4] + hangup, false},
	} {
		t.Run(name, func(t *testing.T) {
			g, store := openGate(t, "")
			w := newWaiting(t, store)
			reads := []<-chan error{w.begin(t.Context(), 0, 0)}
			<-g.asked
			for i := 1; i <= 4; i++ {
				reads = append(reads, w.begin(t.Context(), i, i))
			}
			for _, reply := range []string{right, right, c.bad, right, right} {
				g.replies <- reply
			}
			final := slices.Contains([]string{"too many", "no length", "garbage"}, name)
			for i, r := range reads { // what comes after garbage cannot be told from it
				if err := <-r; final && i >= 2 && !errors.Is(err, feasterr.ErrUnavailable) || (!final || i < 2) && err != nil {
					t.Errorf("read %d: %v", i, err)
				}
			}
			g.waitGone(0)
			seen := g.commands()
			if final {
				if strings.Count(seen, "hmget") != strings.Count(seen, "0 hmget") {
					t.Errorf("asked again: %s", seen)
				}
				return
			}
			again := strings.Count(seen, "hmget") - strings.Count(seen, "0 hmget")
			if c.alone && again != 1 || !c.alone && again != 3 {
				t.Errorf("%d reads over other connections: %s", again, seen)
			}
		})
	}
}

// TestSharedNoServer fails all that wait when there is no connection, and does not have them try one after the other.
func TestSharedNoServer(t *testing.T) {
	g, store := openGate(t, ",socket_timeout=0.5")
	w := newWaiting(t, store)
	first := w.begin(t.Context(), 0, 0)
	<-g.asked
	var reads []<-chan error
	for i := 1; i <= 5; i++ {
		reads = append(reads, w.begin(t.Context(), i, i))
	}
	dials := 0
	store.direct.one.maxAge = 1 // so that the next batch needs a connection
	store.direct.one.dial = func(context.Context) (net.Conn, error) {
		dials++
		return nil, errors.New("no way")
	}
	g.replies <- right
	for i, r := range append(reads, first) {
		if err := <-r; err != nil { // through go-redis
			t.Errorf("read %d: %v", i, err)
		}
	}
	if dials != 1 {
		t.Errorf("%d dials", dials)
	}
	if n := len(store.direct.one.shared.free); n != 1 {
		t.Errorf("%d batches may be on their way", n)
	}
}

// TestSharedDeadline gives up at deadlines while the server is silent, with the turn or without.
func TestSharedDeadline(t *testing.T) {
	s := startServer(t, func(int, []string) string { return silence })
	store := s.open(t, map[string]any{"read_command": "hmget", "shared_connections": 1}, "")
	w := newWaiting(t, store)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(5+i%5)*time.Millisecond)
			defer cancel()
			err := w.read(ctx, i)
			if deadline, _ := ctx.Deadline(); time.Now().Before(deadline) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("read %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := len(store.direct.one.places); n != 0 {
		t.Errorf("%d places are taken", n)
	}
}

// TestSharedCancellation has many goroutines read at random, and give up at random. Every answer is right, and nobody
// touches what a read was given after it has returned.
func TestSharedCancellation(t *testing.T) {
	sections := map[string]func(t testing.TB) config.Section{
		"One":     func(t testing.TB) config.Section { return section(t, map[string]any{"shared_connections": 1}) },
		"Two":     func(t testing.TB) config.Section { return section(t, map[string]any{"shared_connections": 2}) },
		"Cluster": func(t testing.TB) config.Section { return sharing(clusterKeys(t, "")) },
		"TLS":     func(t testing.TB) config.Section { return sharing(tlsKeys(t, false)) },
	}
	for name, section := range sections {
		t.Run(name, func(t *testing.T) {
			s := openSection(t, section(t), 3)
			table := &online.Table{Project: fmt.Sprintf("shared_%x", time.Now().UnixNano()), View: "v", JoinKeys: []string{"driver_id"}}
			for f := range 20 {
				table.Features = append(table.Features, types.Field{Name: fmt.Sprint("f", f), Type: []types.Type{types.Int64, types.String}[f%2]})
			}
			defer func() {
				if err := s.Teardown(context.WithoutCancel(t.Context()), []*online.Table{table}); err != nil {
					t.Error(err)
				}
			}()
			const entities = 50
			value := func(i, f int) any {
				if f%2 == 0 {
					return int64(1000*i + f)
				}
				return strings.Repeat("x", 1+i*f%200) + fmt.Sprint(i, "/", f)
			}
			var rows []onlinetest.Row
			for i := range entities {
				row := onlinetest.Row{Key: onlinetest.Key("driver_id", int64(i)), Event: types.Timestamp{Seconds: int64(i + 1)}}
				for f := range table.Features {
					row.Values = append(row.Values, value(i, f))
				}
				if i%5 > 0 { // the others are not there
					rows = append(rows, row)
				}
			}
			if _, err := s.Write(t.Context(), onlinetest.Batch(table, rows...)); err != nil {
				t.Fatal(err)
			}
			plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(table)})
			r, err := s.Prepare(plan)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			var answered, ended [32]int
			for g := range answered {
				wg.Go(func() {
					random := rand.New(rand.NewPCG(uint64(g), 1))
					res := online.NewResult(plan, 20)
					keys := make([]online.Key, 0, 20)
					for range 150 {
						keys = keys[:0]
						n := 1 + random.IntN(3)
						if random.IntN(8) == 0 {
							n = 20 // more than go together
						}
						for row := range n {
							i := random.IntN(entities)
							keys = append(keys, online.Key{Bytes: onlinetest.Key("driver_id", int64(i)), Row: row})
						}
						ctx, cancel := context.WithCancel(t.Context())
						switch random.IntN(4) {
						case 0:
							ctx, cancel = context.WithTimeout(t.Context(), time.Duration(random.IntN(1000))*time.Microsecond)
						case 1:
							time.AfterFunc(time.Duration(random.IntN(1000))*time.Microsecond, cancel)
						}
						res.Reset(plan, n)
						err := r.Read(ctx, online.NewKeys(keys), res)
						gone := ctx.Err()
						cancel()
						if err != nil {
							if gone == nil && !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
								t.Errorf("read: %v", err)
							}
							ended[g]++
							for _, k := range keys {
								clear(k.Bytes) // which are ours again
							}
							continue
						}
						answered[g]++
						for row, k := range keys {
							i := indexOfKey(k.Bytes)
							if want := i%5 > 0; (res.RowEvent(plan.Tables()[0], row) == types.Timestamp{Seconds: int64(i + 1)}) != want {
								t.Errorf("entity %d: time %v", i, res.RowEvent(plan.Tables()[0], row))
							}
							for f := range table.Features {
								want := value(i, f)
								if i%5 == 0 {
									want = nil
								}
								if got := res.Column(plan.Tables()[0], f).Any(row); got != want {
									t.Errorf("entity %d: feature %d is %v, want %v", i, f, got, want)
								}
							}
						}
					}
				})
			}
			wg.Wait()
			answers, ends := 0, 0
			for g := range answered {
				answers, ends = answers+answered[g], ends+ended[g]
			}
			if answers == 0 || ends == 0 {
				t.Errorf("%d reads were answered, %d given up", answers, ends)
			}
		})
	}
}

// indexOfKey is the number in the key of a driver.
func indexOfKey(key []byte) int { return int(binary.LittleEndian.Uint64(key[len(key)-8:])) }

// sharing is a section with shared connections.
func sharing(keys map[string]any) config.Section {
	keys["shared_connections"] = 1
	return config.NewSection("redis", keys)
}
