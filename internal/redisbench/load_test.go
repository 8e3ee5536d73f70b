package redisbench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/cputime"
	feastredis "github.com/feastgo/feast/online/redis"
)

// caller makes requests for one entity, each with memory of its own.
type caller struct {
	name string
	new  func() func(id int64) error
}

// callers are the ways to read 50 features of one entity: this library, and go-redis with its pool and with automatic
// pipelining, in which nothing is decoded.
func callers(b *testing.B, r *repo) []caller {
	client := redis.NewClient(&redis.Options{Addr: r.addr})
	b.Cleanup(func() { _ = client.Close() })
	fields := hashFields(50)
	ways := ourCallers(b, r, 0)
	pipelined, err := client.AutoPipeline()
	if err != nil {
		b.Fatal(err)
	}
	return append(ways, []caller{
		{"go-redis, HMGET, not decoded", func() func(int64) error {
			return func(id int64) error {
				return client.HMGet(context.Background(), string(appendHashKey(nil, id)), fields...).Err()
			}
		}},
		{"the same with its AutoPipeline", func() func(int64) error {
			return func(id int64) error {
				return pipelined.HMGet(context.Background(), string(appendHashKey(nil, id)), fields...).Err()
			}
		}},
	}...)
}

// ourCallers are the ways of this library, to a server that is as far away as it takes a reply to come.
func ourCallers(b *testing.B, r *repo, away time.Duration) []caller {
	var out []caller
	for _, n := range []int{0, 1, 4} {
		client := redis.NewClient(&redis.Options{Addr: r.addr, PoolSize: 256, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil || away == 0 {
				return c, err
			}
			return &farConn{Conn: c, away: away}, nil
		}})
		b.Cleanup(func() { _ = client.Close() })
		store, err := feastredis.New(client, feastredis.Options{SharedConns: n})
		if err != nil {
			b.Fatal(err)
		}
		q, err := r.open(b, feast.WithOnlineStore(store)).PrepareOnline(b.Context(), feast.OnlineQuery{Features: refs(50)})
		if err != nil {
			b.Fatal(err)
		}
		name := "GetInto"
		if n > 0 {
			name += fmt.Sprint(", shared_connections: ", n)
		}
		out = append(out, caller{name, func() func(int64) error {
			var batch feast.Batch
			var out feast.OnlineResponse
			ids := make([]int64, 1)
			return func(id int64) error {
				ids[0] = id
				batch.Reset()
				feast.SetColumn(&batch, "entity", ids)
				return q.GetInto(context.Background(), &batch, &out)
			}
		}})
	}
	return out
}

// farConn is a connection to a server that is far away: replies come no sooner than so long after what was sent last.
type farConn struct {
	net.Conn
	away time.Duration
	due  time.Time
}

func (c *farConn) Write(p []byte) (int, error) {
	c.due = time.Now().Add(c.away)
	return c.Conn.Write(p)
}

func (c *farConn) Read(p []byte) (int, error) {
	if d := time.Until(c.due); d > 0 {
		time.Sleep(d)
	}
	return c.Conn.Read(p)
}

// entity is one to ask for, 30 of 100 of which are not there.
func entity(random *rand.Rand) int64 {
	id := random.Int64N(int64(entities))
	if random.IntN(10) < 3 {
		id += int64(entities)
	}
	return id
}

// BenchmarkLoad prints what many goroutines get: as many requests as they can make, also where replies take a while to come,
// then the times of requests that come at a fixed rate.
func BenchmarkLoad(b *testing.B) {
	r := newRepo(b, false, 512)
	all := callers(b, r)
	b.Run("closed", func(b *testing.B) { closedLoops(b, "closed loop", all) })
	b.Run("far", func(b *testing.B) { closedLoops(b, "closed loop, 0.5 ms away", ourCallers(b, r, 500*time.Microsecond)) })
	b.Run("open", func(b *testing.B) { openLoops(b, all) })
}

// openLoops prints how long requests take that come at a fixed rate.
func openLoops(b *testing.B, all []caller) {
	fmt.Printf("\n1 x 50 int64, open loop: times from when a request was due\n\n| requests/s | way | p50 us | p99 us | p999 us |\n| --- | --- | --- | --- | --- |\n")
	for _, rate := range []int{1000, 5000, 15_000} {
		for _, c := range all {
			times := openLoop(b, c, rate, 3*time.Second)
			fmt.Printf("| %d | %s | %.0f | %.0f | %.0f |\n", rate, c.name, quantile(times, 0.5), quantile(times, 0.99), quantile(times, 0.999))
		}
	}
}

// closedLoops prints what callers get that make as many requests as they can, by turns.
func closedLoops(b *testing.B, name string, all []caller) {
	fmt.Printf("\n1 x 50 int64, %s\n\n| goroutines | way | requests/s | cpu us/request | p50 us | p99 us |\n| --- | --- | --- | --- | --- | --- |\n", name)
	for _, goroutines := range []int{1, 8, 64, 256} {
		rates, cpus, p50s, p99s := make([][]float64, len(all)), make([][]float64, len(all)), make([][]float64, len(all)), make([][]float64, len(all))
		for range 7 {
			for k, c := range all {
				used := cputime.Used()
				times := closedLoop(b, c, goroutines, 400*time.Millisecond)
				rates[k] = append(rates[k], float64(len(times))/0.4)
				cpus[k] = append(cpus[k], float64(cputime.Used()-used)/float64(len(times))/1000)
				p50s[k], p99s[k] = append(p50s[k], quantile(times, 0.5)), append(p99s[k], quantile(times, 0.99))
			}
		}
		for k, c := range all {
			fmt.Printf("| %d | %s | %.0f | %.1f | %.0f | %.0f |\n", goroutines, c.name, median(rates[k]), median(cpus[k]), median(p50s[k]), median(p99s[k]))
		}
	}
}

// quantile is in microseconds. times are sorted.
func quantile(times []time.Duration, q float64) float64 {
	if len(times) == 0 {
		return 0
	}
	return float64(times[min(int(q*float64(len(times))), len(times)-1)]) / 1000
}

// closedLoop has goroutines make one request after the other, and returns how long each took, sorted.
func closedLoop(b *testing.B, c caller, goroutines int, span time.Duration) []time.Duration {
	times := make([][]time.Duration, goroutines)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for g := range goroutines {
		call, random := c.new(), rand.New(rand.NewPCG(uint64(g), 1))
		wg.Go(func() {
			for !stop.Load() {
				start := time.Now()
				if err := call(entity(random)); err != nil {
					b.Errorf("%s: %v", c.name, err)
					return
				}
				times[g] = append(times[g], time.Since(start))
			}
		})
	}
	time.Sleep(span)
	stop.Store(true)
	wg.Wait()
	return slices.Sorted(slices.Values(slices.Concat(times...)))
}

// openLoop makes requests at a fixed rate, on 64 goroutines by turns, and returns how long after it was due each was
// answered, sorted.
func openLoop(b *testing.B, c caller, rate int, span time.Duration) []time.Duration {
	const goroutines = 64
	times := make([][]time.Duration, goroutines)
	start := time.Now().Add(10 * time.Millisecond)
	total := int(span.Seconds() * float64(rate))
	var wg sync.WaitGroup
	for g := range goroutines {
		call, random := c.new(), rand.New(rand.NewPCG(uint64(g), 2))
		wg.Go(func() {
			for i := g; i < total; i += goroutines {
				due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
				time.Sleep(time.Until(due))
				if err := call(entity(random)); err != nil {
					b.Errorf("%s: %v", c.name, err)
					return
				}
				times[g] = append(times[g], time.Since(due))
			}
		})
	}
	wg.Wait()
	return slices.Sorted(slices.Values(slices.Concat(times...)))
}

// BenchmarkRegistry prints what a registry of 10,000 more views does to requests while its snapshot is built, and what it
// costs to resolve a hundred prepared queries again.
func BenchmarkRegistry(b *testing.B) {
	r := newRepo(b, false, 512)
	var more []feast.Object
	for i := range 10_000 {
		v := &feast.FeatureView{
			Name: fmt.Sprint("other_", i), Entities: []string{"entity"}, Online: true,
			Source: &feast.DataSource{Name: "source", TimestampField: "event_timestamp", CreatedTimestampColumn: "created", Options: feast.FileOptions{Path: filepath.Join(r.dir, "data", "source.parquet")}},
		}
		for f := range 10 {
			v.Schema = append(v.Schema, feast.Field{Name: fmt.Sprint("f", f), Type: feast.Int64})
		}
		more = append(more, v)
	}
	if _, err := r.fs.Apply(b.Context(), more...); err != nil {
		b.Fatal(err)
	}
	// Two registries that differ in one view take turns.
	path := filepath.Join(r.dir, "data", "registry.db")
	var files [2][]byte
	for i := range files {
		v := more[0].(*feast.FeatureView)
		v.Tags = map[string]string{"turn": fmt.Sprint(i)}
		if _, err := r.fs.Apply(b.Context(), v); err != nil {
			b.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		files[i] = data
	}
	turn := 0
	swap := func() time.Duration {
		turn++
		if err := os.WriteFile(path+".new", files[turn%2], 0o600); err != nil {
			b.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := r.fs.Refresh(b.Context()); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}

	c := callers(b, r)[0]
	var quiet, during []float64
	var took []float64
	for range 7 {
		quiet = append(quiet, quantile(closedLoop(b, c, 2, 500*time.Millisecond), 0.99))
		done := make(chan []time.Duration)
		go func() { done <- closedLoop(b, c, 2, 500*time.Millisecond) }()
		for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
			took = append(took, float64(swap())/1e6)
			time.Sleep(100 * time.Millisecond)
		}
		during = append(during, quantile(<-done, 0.99))
	}
	fmt.Printf("\n10,000 views, 1 x 50 int64, 2 goroutines: p99 %.0f us; while a snapshot is built every 100 ms (%.1f ms each) %.0f us, x %.2f\n",
		median(quiet), median(took), median(during), median(during)/median(quiet))

	var queries []*feast.Prepared
	for i := range 100 {
		q, err := r.fs.PrepareOnline(b.Context(), feast.OnlineQuery{Features: refs(50 + i)})
		if err != nil {
			b.Fatal(err)
		}
		queries = append(queries, q)
	}
	var batch feast.Batch
	var out feast.OnlineResponse
	each := func() time.Duration {
		start := time.Now()
		for _, q := range queries {
			batch.Reset()
			feast.SetColumn(&batch, "entity", []int64{1})
			if err := q.GetInto(b.Context(), &batch, &out); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	var first, again []float64
	for range 7 {
		swap()
		first = append(first, float64(each())/1e6)
		each()
		again = append(again, float64(each())/1e6)
	}
	fmt.Printf("100 prepared queries of 50 to 149 features: the first reads after a swap %.1f ms, others %.1f ms\n", median(first), median(again))
}

// BenchmarkWrite prints what writing 10,000 rows of ten features takes, with Feast's rule for times and without it, beside
// the same hashes sent by hand in pipelines of go-redis.
func BenchmarkWrite(b *testing.B) {
	r := newRepo(b, true, 512)
	const rows = 10_000
	fast := r.open(b, feast.WithOnlineStore(r.store(b, feastredis.Options{SkipDedup: true})))
	client := redis.NewClient(&redis.Options{Addr: r.addr})
	defer func() { _ = client.Close() }()
	event := eventTime
	write := func(fs *feast.FeatureStore) func(feast.Columns) error {
		return func(c feast.Columns) error {
			_, err := fs.WriteToOnlineStore(b.Context(), viewName(0), c, feast.WriteOptions{})
			return err
		}
	}
	stored := storedRows(b, client, rows)
	ways := []struct {
		name  string
		write func(feast.Columns) error
		wall  []float64
		cpu   []float64
	}{
		{name: "HSET by hand, values serialized before", write: func(feast.Columns) error {
			for from := 0; from < rows; from += 1000 {
				pipe := client.Pipeline()
				for _, row := range stored[from : from+1000] {
					pipe.HSet(b.Context(), row.key, row.values...)
				}
				if _, err := pipe.Exec(b.Context()); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "skip_dedup", write: write(fast)},
		{name: "older rows left out", write: write(r.fs)},
	}
	for range 7 {
		for i := range ways {
			w := &ways[i]
			event = event.Add(time.Second)
			c := r.rows(0, rows, event)
			start, used := time.Now(), cputime.Used()
			if err := w.write(c); err != nil {
				b.Fatal(err)
			}
			w.wall = append(w.wall, rows/time.Since(start).Seconds())
			w.cpu = append(w.cpu, float64(cputime.Used()-used)/rows/1000)
		}
	}
	fmt.Printf("\n10,000 rows of 10 mixed features\n\n| way | rows/s | x by hand | cpu us/row |\n| --- | --- | --- | --- |\n")
	for _, w := range ways {
		fmt.Printf("| %s | %.0f | %.2f | %.1f |\n", w.name, median(w.wall), median(w.wall)/median(ways[0].wall), median(w.cpu))
	}
}

type storedRow struct {
	key    string
	values []any
}

// storedRows are the fields of the first view as they are stored.
func storedRows(b *testing.B, client *redis.Client, n int) []storedRow {
	b.Helper()
	fields := append(hashFields(viewFeatures), "_ts:"+viewName(0))
	out := make([]storedRow, n)
	for i := range out {
		out[i].key = string(appendHashKey(nil, int64(i%entities)))
		values, err := client.HMGet(b.Context(), out[i].key, fields...).Result()
		if err != nil {
			b.Fatal(err)
		}
		for f, v := range values {
			out[i].values = append(out[i].values, fields[f], v)
		}
	}
	return out
}
