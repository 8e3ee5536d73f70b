package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// limit is within what time the program ends.
const limit = 15 * time.Second

// endsInTime tells the program to end and measures.
func (p *process) endsInTime() {
	p.t.Helper()
	start := time.Now()
	p.terminate()
	p.ends()
	took := time.Since(start)
	p.t.Logf("it ends after %s", took.Round(time.Millisecond))
	if took > limit {
		p.t.Errorf("it ends after %s", took)
	}
}

// silent listens, and answers nothing. asked has one when somebody connected.
func silent(t *testing.T) (address string, asked chan struct{}) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			select {
			case asked <- struct{}{}:
			default:
			}
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String(), asked
}

func connect(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Streams that clients hold open, uploads that never end, and what runs in the background do not keep it.
func TestEndsWithBusyClients(t *testing.T) {
	t.Parallel()
	offlineAddress, asked := silent(t)
	host, port, err := net.SplitHostPort(offlineAddress)
	if err != nil {
		t.Fatal(err)
	}
	dir := repo(t)
	name := filepath.Join(dir, "feature_store.yaml")
	text, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, []byte(strings.Replace(string(text), "  type: file\n", fmt.Sprintf("  type: remote\n  host: %s\n  port: %s\n", host, port), 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, "-http", "127.0.0.1:0", "-grpc", "127.0.0.1:0", "-rest", "127.0.0.1:0", "-flight", "127.0.0.1:0", "-metrics", "127.0.0.1:0")
	// Whatever they are answered comes when the program ends.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	// A watch of the registry server's health.
	watch, err := grpc_health_v1.NewHealthClient(connect(t, p.at["grpc"])).Watch(ctx, new(grpc_health_v1.HealthCheckRequest))
	if err == nil {
		_, err = watch.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	// An upload of rows that goes no further than its first.
	upload, err := flight.NewFlightServiceClient(connect(t, p.at["flight"])).DoExchange(ctx)
	if err != nil {
		t.Fatal(err)
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "driver_id", Type: arrow.PrimitiveTypes.Int64}}, nil)
	w := flight.NewRecordWriter(upload, ipc.WithSchema(schema))
	w.SetFlightDescriptor(&flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: []byte(`{"api": "get_historical_features", ` +
		`"feature_view_names": ["driver_hourly_stats"], "feature_refs": ["driver_hourly_stats:city"], "project": "quickstart", ` +
		`"full_feature_names": false, "name_aliases": [null]}`)})
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).Append(1001)
	rows := b.NewRecordBatch()
	defer rows.Release()
	if err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	// Bodies that never end, of both handlers.
	for _, url := range []string{"http://" + p.at["http"] + "/push", "http://" + p.at["rest"] + "/entities"} {
		body, writer := io.Pipe()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		client := &http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if resp, err := client.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}()
		if _, err := io.WriteString(writer, "{"); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = writer.Close()
			<-ended
		}()
	}
	// A materialization in the background, whose offline store does not answer.
	resp, err := http.Post("http://"+p.at["http"]+"/materialize?async=true", "application/json",
		strings.NewReader(`{"start_ts": "2026-01-01T00:00:00", "end_ts": "2026-03-02T00:00:00", "feature_views": ["driver_hourly_stats"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	<-asked
	p.endsInTime()
	cancel()
	for _, want := range []string{"service=http error", "work was cut off"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the log has no %q: %s", want, p.log.String())
		}
	}
}

// A registry that cannot be reached keeps it neither from starting nor from ending.
func TestUnreachableRegistry(t *testing.T) {
	t.Parallel()
	mute, _ := silent(t)
	for name, address := range map[string]string{"refuses": "127.0.0.1:1", "says nothing": mute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			text := fmt.Sprintf("project: p\nprovider: local\nregistry: {registry_type: remote, path: %q}\nonline_store: {type: sqlite, path: online.db}\n", address)
			if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			p := start(t, dir, "-http", "127.0.0.1:0", "-flight", "127.0.0.1:0")
			if log := p.log.String(); !strings.Contains(log, "the repository does not answer yet") {
				t.Errorf("%s", log)
			}
			// A request that waits for the registry, when the program is told to end.
			sent, ended := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				conn, err := net.Dial("tcp", p.at["http"])
				if err != nil {
					t.Error(err)
					close(sent)
					return
				}
				defer conn.Close()
				fmt.Fprintf(conn, "POST /get-online-features HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				close(sent)
				_, _ = io.Copy(io.Discard, conn)
			}()
			<-sent
			p.endsInTime()
			<-ended
		})
	}
}

// Who is told to end before it is ready ends.
func TestEndsWhileStarting(t *testing.T) {
	t.Parallel()
	mute, asked := silent(t)
	dir := t.TempDir()
	text := fmt.Sprintf("project: p\nprovider: local\nregistry: {registry_type: remote, path: %q}\nonline_store: {type: sqlite, path: online.db}\n", mute)
	if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, "-repo", dir, "-http", "127.0.0.1:0")
	<-asked
	start := time.Now()
	p.terminate()
	if _, err := io.Copy(io.Discard, p.out); err != nil {
		t.Error(err)
	}
	if err := p.cmd.Wait(); err != nil || time.Since(start) > limit {
		t.Errorf("%v after %s: %s", err, time.Since(start), p.log.String())
	}
}
