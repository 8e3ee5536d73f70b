package interop_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/registry"
	_ "github.com/feastgo/feast/registry/remote"
)

// freePort returns a port at which nobody listens.
func freePort(t testing.TB) int {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

// runServer runs one of Feast's servers on a repository until the test ends.
func (r *repo) runServer(args []string) {
	r.t.Helper()
	log, err := os.Create(filepath.Join(r.t.TempDir(), "server.log"))
	if err != nil {
		r.t.Fatal(err)
	}
	args = slices.Concat(r.command, []string{os.Getenv(pythonEnv)}, args)
	cmd := exec.CommandContext(context.WithoutCancel(r.t.Context()), args[0], args[1:]...) //nolint:gosec // the tests' own Python
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, log, log
	cmd.Env = append(os.Environ(), "TZ=UTC", "PYTHONDONTWRITEBYTECODE=1")
	cmd.Env = append(cmd.Env, r.variables...)
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		late.Stop()
		text, _ := os.ReadFile(log.Name())
		if _ = log.Close(); r.t.Failed() {
			r.t.Logf("the server wrote:\n%s", text)
		}
	})
}

// serveRegistry runs Feast's registry server on a repository until the test ends, and returns its address.
func (r *repo) serveRegistry(certs string) string {
	r.t.Helper()
	port := freePort(r.t)
	args := []string{"-m", "feast.cli.cli", "serve_registry", "--port", fmt.Sprint(port)}
	creds := insecure.NewCredentials()
	if certs != "" {
		args = append(args, "--cert", filepath.Join(certs, "server.crt"), "--key", filepath.Join(certs, "server.key"))
		var err error
		if creds, err = credentials.NewClientTLSFromFile(filepath.Join(certs, "server.crt"), ""); err != nil {
			r.t.Fatal(err)
		}
	}
	r.runServer(args)
	address := fmt.Sprintf("localhost:%d", port)
	often := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1, MaxDelay: time.Second}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds), grpc.WithConnectParams(grpc.ConnectParams{Backoff: often}))
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*callTime)
	defer cancel()
	if _, err := registrygrpc.NewRegistryServerClient(conn).ListProjects(ctx, &pb.ListProjectsRequest{}, grpc.WaitForReady(true)); err != nil && status.Code(err) != codes.Unknown {
		// As whose token is missing is answered.
		r.t.Fatal("the registry server does not answer: ", err)
	}
	return address
}

// remote opens the repository with its registry behind a server.
func (r *repo) remote(keys string) *feast.FeatureStore {
	r.t.Helper()
	r.write("remote.yaml", r.withRegistry("{registry_type: remote, "+keys+"}"))
	fs, err := feast.Open(r.t.Context(), filepath.Join(r.dir, "remote.yaml"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			r.t.Error(err)
		}
	})
	return fs
}

// TestRegistryServer reads and changes the registry of a repository through Feast's registry server.
func TestRegistryServer(t *testing.T) {
	useFeast(t)
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS=%t", secure), func(t *testing.T) { testRegistryServer(t, secure) })
	}
}

func testRegistryServer(t *testing.T, secure bool) {
	r := newRepo(t, "sqlite")
	certs, keys := "", ""
	if secure {
		certs = t.TempDir()
		c, err := testserver.Certs()
		if err == nil {
			err = c.Write(certs)
		}
		if err != nil {
			t.Fatal(err)
		}
		keys = ", cert: " + filepath.Join(certs, "server.crt")
	}
	d := definition{project: r.project, ttl: 1, team: "a", features: "a", other: true}
	r.define(d.python())
	r.python("apply", nil, nil)
	always := r.plan()
	address := r.serveRegistry(certs)
	fs := r.remote("path: \"" + address + "\"" + keys)
	agree := func(turn string) {
		t.Helper()
		r.define(d.python())
		r.python("open_repo", nil, nil)
		r.nothingLeft(fs, d, turn, always)
	}
	agree("applied by Feast")
	snap := func() *registry.Snapshot {
		t.Helper()
		if err := fs.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, err := fs.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := snap()
	if again := snap(); again != first {
		t.Error("an unchanged registry gives another snapshot")
	}
	if bad := first.Bad(); len(bad) > 0 || len(first.Hidden()) > 0 {
		t.Errorf("%v, %v", bad, first.Hidden())
	}

	d.ttl, d.team = 2, "b"
	r.apply(fs, d.objects()...)
	agree("a change of ttl and tags")
	d.features = "a b"
	r.apply(fs, d.objects()...)
	agree("a change of the schema")
	if v, err := snap().FeatureView("stats"); err != nil || v.CurrentVersion != 1 || len(v.Schema) != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	r.python("apply", nil, nil)
	agree("applied again by Feast")

	// Rows go in at one side and come out at the other.
	now := time.Now().UTC().Truncate(time.Second)
	if err := fs.Push(t.Context(), "pushed", feast.Columns{
		"driver_id": []int64{1}, "a": []int64{10}, "b": []int64{20}, "ts": []time.Time{now},
	}, feast.ToOnline); err != nil {
		t.Fatal(err)
	}
	answer, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
		FeatureService: "service", Entities: feast.Columns{"driver_id": []int64{1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if column, err := answer.Column("b"); err != nil || column.Any(0) != int64(20) {
		t.Error(column, err)
	}

	// A window is noted by the server.
	r.python("parquet", map[string]any{"path": "data/source.parquet", "columns": d.rows(t, 3, 100, now.Add(-time.Hour)).python()}, nil)
	if _, err := fs.Materialize(t.Context(), feast.MaterializeRequest{Views: []string{"stats"}, Start: now.Add(-2 * time.Hour), End: now}); err != nil {
		t.Fatal(err)
	}
	v, err := snap().FeatureView("stats")
	if err != nil || len(v.MaterializationIntervals) != 1 || !v.MaterializationIntervals[0].End.Equal(now) || v.State != registry.StateAvailableOnline {
		t.Errorf("%+v, %v", v, err)
	}

	if always = r.plan(); !slices.Equal(always, []string{"UPDATE feature view stats: batch_source stream_source"}) {
		t.Errorf("after materializing Feast would change %q", always) // as after its own
	}

	// Deletions, and the end.
	d.other = false
	if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Objects: d.objects(), Prune: true}); err != nil {
		t.Fatal(err)
	}
	agree("a deletion")
	if _, err := snap().FeatureView("other"); !errors.Is(err, feast.ErrNotFound) {
		t.Error(err)
	}
	if err := fs.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := snap(); len(slices.Collect(left.Entities())) > 0 || len(slices.Collect(left.Views())) > 0 {
		t.Error("something is left")
	}
}
