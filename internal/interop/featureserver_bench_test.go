//go:build linux

package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/cputime"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// BenchmarkFeatureServer asks for 50 int64 features of 1 and of 100 entities: in process, of examples/server and of Feast's
// server, on the same SQLite file, one after the other, over 1 and over 50 connections, and of examples/server through this library's client. cpu-us is what the serving process
// uses for a request, req/s/core how many a core has time for; load comes from this process.
func BenchmarkFeatureServer(b *testing.B) {
	useFeast(b)
	const views, features, drivers = 5, 10, 1000
	r := newRepo(b, "sqlite")
	fs := r.open()
	objects := []feast.Object{&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}}
	var refs []string
	for v := range views {
		fv := &registry.FeatureView{
			Name: "view_" + strconv.Itoa(v), Entities: []string{"driver"}, Online: true,
			Source: &registry.DataSource{Name: "s" + strconv.Itoa(v), TimestampField: "event_timestamp", Options: registry.FileOptions{Path: "none.parquet"}},
		}
		for f := range features {
			name := fmt.Sprintf("f%d_%d", v, f)
			fv.Schema = append(fv.Schema, registry.Field{Name: name, Type: types.Int64})
			refs = append(refs, fv.Name+":"+name)
		}
		objects = append(objects, fv)
	}
	if _, err := fs.Apply(b.Context(), objects...); err != nil {
		b.Fatal(err)
	}
	at := make([]time.Time, drivers)
	ids := make([]int64, drivers)
	for i := range at {
		at[i], ids[i] = start, int64(i)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for v := range views {
		rows := feast.Columns{"driver_id": ids, "event_timestamp": at}
		for f := range features {
			values := make([]int64, drivers)
			for i := range values {
				values[i] = random.Int64()
			}
			rows[fmt.Sprintf("f%d_%d", v, f)] = values
		}
		if _, err := fs.WriteToOnlineStore(b.Context(), "view_"+strconv.Itoa(v), rows, feast.WriteOptions{}); err != nil {
			b.Fatal(err)
		}
	}

	binary := filepath.Join(b.TempDir(), "server")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-o", binary, "../../examples/server").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	ours := startServer(b, r.dir, nil, func(port string) []string { return []string{binary, "-repo", r.dir, "-http", "127.0.0.1:" + port} })
	python := os.Getenv(pythonEnv)
	theirs := startServer(b, r.dir, []string{"TZ=UTC", "PYTHONDONTWRITEBYTECODE=1"}, func(port string) []string {
		return []string{python, "-m", "feast.cli.cli", "serve", "--port", port, "--no-access-log", "--max-requests", "100000000"}
	})

	remoteOf := func(s *served) string {
		return "project: " + r.project + "\nprovider: local\nregistry: data/registry.db\nonline_store: {type: remote, path: 'http://" + s.addr + "'}\nentity_key_serialization_version: 3\n"
	}
	away := r.openRemote("away.yaml", remoteOf(ours))
	r.write("feasts.yaml", remoteOf(theirs))

	for _, rows := range []int{1, 100} {
		b.Run(fmt.Sprintf("%dx50/in process", rows), func(b *testing.B) {
			q, err := fs.PrepareOnline(b.Context(), feast.OnlineQuery{Features: refs})
			if err != nil {
				b.Fatal(err)
			}
			var batch feast.Batch
			var out feast.OnlineResponse
			used := cputime.Used()
			for b.Loop() {
				batch.Reset()
				feast.SetColumn(&batch, "driver_id", ids[:rows])
				if err := q.GetInto(b.Context(), &batch, &out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cputime.Used()-used).Seconds()*1e6/float64(b.N), "cpu-us")
		})
		for _, conns := range []int{1, 50} {
			for _, s := range []struct {
				name string
				at   *served
			}{{"server", ours}, {"Feast", theirs}} {
				b.Run(fmt.Sprintf("%dx50/%s/%d", rows, s.name, conns), func(b *testing.B) { s.at.load(b, refs, rows, drivers, conns) })
			}
			b.Run(fmt.Sprintf("%dx50/client and server/%d", rows, conns), func(b *testing.B) { ours.loadClient(b, away, refs, ids, rows, conns) })
			if conns == 1 {
				b.Run(fmt.Sprintf("%dx50/Feast's client and server/1", rows), func(b *testing.B) { feastClient(b, r.dir, refs, rows) })
			}
		}
	}
}

// served is a server in a process of its own.
type served struct {
	addr string
	pid  int
}

// startServer starts a server and waits until it is healthy.
func startServer(b *testing.B, dir string, env []string, command func(port string) []string) *served {
	b.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &served{addr: l.Addr().String()}
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	args := command(port)
	log, err := os.Create(filepath.Join(b.TempDir(), "server.log"))
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), args[0], args[1:]...) //nolint:gosec // the benchmark's own programs
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), env...), log, log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	s.pid = cmd.Process.Pid
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		late.Stop()
		_ = log.Close()
	})
	ctx, cancel := context.WithTimeout(b.Context(), 2*callTime)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := s.dial(ctx); err == nil {
			_, err = c.do([]byte("GET /health HTTP/1.1\r\nHost: bench\r\n\r\n"))
			_ = c.Close()
			if err == nil {
				return s
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			text, _ := os.ReadFile(log.Name())
			b.Fatalf("%v does not answer:\n%s", args, text)
		}
	}
}

// client is a connection that asks and reads, and nothing else, so that most of the machine is the server's.
type client struct {
	net.Conn
	r *bufio.Reader
}

func (s *served) dial(ctx context.Context) (*client, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	return &client{c, bufio.NewReaderSize(c, 64<<10)}, nil
}

// do sends a request and returns the length of the answer's body.
func (c *client) do(request []byte) (int, error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.Contains(line, []byte(" 200 ")) {
		return 0, fmt.Errorf("%s", line)
	}
	length := 0
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			_, err = c.r.Discard(length)
			return length, err
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
}

// load sends b.N requests over a number of connections.
func (s *served) load(b *testing.B, refs []string, rows, drivers, conns int) {
	requests := make([][]byte, 64)
	for i := range requests {
		entities := make([]string, rows)
		for k := range entities {
			entities[k] = strconv.Itoa((i*rows + k) % drivers)
		}
		body := `{"features":["` + strings.Join(refs, `","`) + `"],"entities":{"driver_id":[` + strings.Join(entities, ",") + `]}}`
		requests[i] = fmt.Appendf(nil, "POST /get-online-features HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	s.measure(b, conns, func() func(n int) error {
		c, err := s.dial(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		return func(n int) error {
			_, err := c.do(requests[n%len(requests)])
			return err
		}
	})
}

// feastClient has requests answered through Feast's client by its server, 200 at least, since starting Python takes longer, and
// reports what that client measures.
func feastClient(b *testing.B, dir string, refs []string, rows int) {
	const script = `
import sys, time
from feast import FeatureStore
fs = FeatureStore(fs_yaml_file=sys.argv[1])
rows, n, refs = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split(",")
times = []
for i in range(n + 1):
    entities = [{"driver_id": (i * rows + k) % 1000} for k in range(rows)]
    began = time.perf_counter()
    fs.get_online_features(features=refs, entity_rows=entities).to_dict()
    times.append(time.perf_counter() - began)
times = times[1:] # the first is slower
total, times = sum(times), sorted(times)
print(n / total, times[(n - 1) // 2] * 1e3, times[(n - 1) * 99 // 100] * 1e3)
`
	cmd := exec.CommandContext(b.Context(), os.Getenv(pythonEnv), "-c", script, filepath.Join(dir, "feasts.yaml"), strconv.Itoa(rows), strconv.Itoa(max(b.N, 200)), strings.Join(refs, ",")) //nolint:gosec // the benchmark's own program
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TZ=UTC", "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	var rate, p50, p99 float64
	if _, err := fmt.Sscan(string(out), &rate, &p50, &p99); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	b.ReportMetric(rate, "req/s")
	b.ReportMetric(p50, "p50-ms")
	b.ReportMetric(p99, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// loadClient has b.N requests answered through this library's client.
func (s *served) loadClient(b *testing.B, fs *feast.FeatureStore, refs []string, ids []int64, rows, conns int) {
	q, err := fs.PrepareOnline(b.Context(), feast.OnlineQuery{Features: refs})
	if err != nil {
		b.Fatal(err)
	}
	s.measure(b, conns, func() func(n int) error {
		var batch feast.Batch
		var out feast.OnlineResponse
		return func(n int) error {
			batch.Reset()
			from := n * rows % (len(ids) - rows + 1)
			feast.SetColumn(&batch, "driver_id", ids[from:from+rows])
			return q.GetInto(b.Context(), &batch, &out)
		}
	})
}

// measure has a number of callers make b.N calls, each by what caller returns.
func (s *served) measure(b *testing.B, callers int, caller func() func(n int) error) {
	calls := make([]func(n int) error, callers)
	for i := range calls {
		calls[i] = caller()
		if err := calls[i](0); err != nil { // the first is slower
			b.Fatal(err)
		}
	}
	took := make([][]time.Duration, callers)
	used, began := processTime(b, s.pid), time.Now()
	var all sync.WaitGroup
	for i, call := range calls {
		all.Go(func() {
			for n := i; n < b.N; n += callers {
				from := time.Now()
				if err := call(n); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(from))
			}
		})
	}
	all.Wait()
	wall, cpu := time.Since(began), processTime(b, s.pid)-used
	times := slices.Sorted(slices.Values(slices.Concat(took...)))
	if len(times) == 0 {
		return
	}
	at := func(share float64) float64 { return times[int(share*float64(len(times)-1))].Seconds() * 1e3 }
	b.ReportMetric(float64(b.N)/wall.Seconds(), "req/s")
	if cpu > 0 {
		b.ReportMetric(cpu*1e6/float64(b.N), "cpu-us")
		b.ReportMetric(float64(b.N)/cpu, "req/s/core")
	}
	b.ReportMetric(at(.5), "p50-ms")
	b.ReportMetric(at(.99), "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// processTime is the processor time, in seconds, of a process and all that it started.
func processTime(b *testing.B, pid int) (seconds float64) {
	b.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	parent, ticks := map[int]int{}, map[int]float64{}
	for _, file := range dirs {
		f, err := os.Open(file)
		if err != nil {
			continue // it has ended
		}
		text, err := io.ReadAll(f)
		_ = f.Close()
		_, rest, ok := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if err != nil || !ok || len(fields) < 13 {
			continue
		}
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		parent[id], _ = strconv.Atoi(fields[1])
		user, _ := strconv.ParseFloat(fields[11], 64)
		system, _ := strconv.ParseFloat(fields[12], 64)
		ticks[id] = user + system
	}
	for id, t := range ticks {
		for up := id; up > 1; up = parent[up] {
			if up == pid {
				seconds += t / 100
				break
			}
		}
	}
	return seconds
}
