package interop_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	_ "github.com/feastgo/feast/offline/remote"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/remote"
	"github.com/feastgo/feast/remote/server"
)

// certificates writes the certificates of a server, and returns their directory.
func certificates(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c, err := testserver.Certs()
	if err == nil {
		err = c.Write(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// serveOffline runs Feast's offline server on a repository until the test ends, and returns its port.
func (r *repo) serveOffline(certs string) int {
	r.t.Helper()
	port := freePort(r.t)
	o := remote.Options{Address: fmt.Sprintf("localhost:%d", port)}
	args := []string{"-m", "feast.cli.cli", "serve_offline", "--host", "localhost", "--port", fmt.Sprint(port)}
	if certs != "" {
		args = append(args, "--cert", filepath.Join(certs, "server.crt"), "--key", filepath.Join(certs, "server.key"))
		o.TLS = &remote.TLS{CA: filepath.Join(certs, "server.crt")}
	}
	r.runServer(args)
	conn, err := remote.DialFlight(o)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*callTime)
	defer cancel()
	actions, err := flight.NewFlightServiceClient(conn).ListActions(ctx, &flight.Empty{}, grpc.WaitForReady(true))
	if err == nil {
		_, err = actions.Recv()
	}
	if err != nil && !errors.Is(err, feasterr.ErrUnauthenticated) {
		r.t.Fatal("the offline server does not answer: ", err)
	}
	return port
}

// behind opens the repository with its offline store behind a server.
func (r *repo) behind(section string) *feast.FeatureStore {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "feature_store.yaml"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("behind.yaml", string(text[:len(text)-len("offline_store: {type: duckdb}\n")])+"offline_store: "+section+"\n")
	fs, err := feast.Open(r.t.Context(), filepath.Join(r.dir, "behind.yaml"))
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

// both runs a test in plain text and with TLS. keys are those of the offline store's section that TLS needs.
func both(t *testing.T, run func(t *testing.T, certs, keys string)) {
	t.Run("plain", func(t *testing.T) { run(t, "", "") })
	t.Run("TLS", func(t *testing.T) {
		certs := certificates(t)
		run(t, certs, ", scheme: https, cert: "+filepath.Join(certs, "server.crt"))
	})
}

// features of all views of newOfflineRepo.
func allFeatures() (all []string) {
	for _, f := range wide {
		all = append(all, "driver_stats:"+f.Name)
	}
	return append(all, "pair_stats:together", "place_stats:rating", "place_stats:label")
}

// TestOfflineServerOfFeast reads and writes through Feast's offline server, whose store is DuckDB.
func TestOfflineServerOfFeast(t *testing.T) {
	useFeast(t)
	both(t, func(t *testing.T, certs, keys string) {
		rng := rand.New(rand.NewPCG(31, 32))
		r, _ := newOfflineRepo(t, "sqlite")
		s := randomSources(t, rng)
		s.create(r)
		rows := s.entities(t, rng, 300)
		r.create("rows.parquet", rows.record(0, rows.len()))
		fs := r.behind(fmt.Sprintf("{type: remote, host: localhost, port: %d%s}", r.serveOffline(certs), keys))
		if n := r.train(fs, "rows.parquet", "all.parquet", feast.HistoricalRequest{Features: allFeatures()}); n < 300 {
			t.Errorf("%d values", n)
		}
		if n := r.train(fs, "rows.parquet", "trip.parquet", feast.HistoricalRequest{FeatureService: "trip", FullFeatureNames: true}); n < 300 {
			t.Errorf("%d values", n)
		}
		window := feast.MaterializeRequest{Start: start.Add(-time.Hour), End: start.Add(span + time.Hour), Views: []string{"driver_stats", "pair_stats"}}
		if _, err := fs.Materialize(t.Context(), window); err != nil {
			t.Fatal(err)
		}
		there := r.dump()
		if err := os.Remove(filepath.Join(r.dir, "data", "online.db")); err != nil {
			t.Fatal(err)
		}
		r.sameRows(window, there)

		before := r.rows("data/places.parquet")
		one := feast.Columns{
			"place_id": []int64{1}, "rating": []float64{0.5}, "label": []string{"new"},
			"ts": []time.Time{start}, "made": []time.Time{start},
		}
		if n, err := fs.WriteToOfflineStore(t.Context(), "place_stats", one); err != nil || n != 1 {
			t.Fatalf("%d, %v", n, err)
		}
		if after := r.rows("data/places.parquet"); after != before+1 {
			t.Errorf("%d rows became %d", before, after)
		}
		// Errors of Feast have their class.
		job, err := fs.GetHistoricalFeatures(t.Context(), feast.HistoricalRequest{
			Features: []string{"driver_stats:trips"}, Entities: feast.SQL("SELECT nothing"),
		})
		if err != nil {
			t.Fatal(err)
		}
		var failed *remote.Error
		if _, err := job.RecordBatch(t.Context()); !errors.As(err, &failed) || failed.Message == "" {
			t.Errorf("SQL for a store without: %v", err)
		}
	})
}

// sameRows materializes again, from the files, and compares.
func (r *repo) sameRows(window feast.MaterializeRequest, there map[string]string) {
	r.t.Helper()
	other, fs := newOfflineRepo(r.t, "sqlite")
	if err := os.CopyFS(filepath.Join(other.dir, "copied"), os.DirFS(filepath.Join(r.dir, "data"))); err != nil {
		r.t.Fatal(err)
	}
	for _, name := range []string{"drivers.parquet", "pairs", "places.parquet"} {
		if err := os.Rename(filepath.Join(other.dir, "copied", name), filepath.Join(other.dir, "data", name)); err != nil {
			r.t.Fatal(err)
		}
	}
	if _, err := fs.Materialize(r.t.Context(), window); err != nil {
		r.t.Fatal(err)
	}
	here := other.dump()
	if len(here) == 0 || !maps.Equal(here, there) {
		r.t.Errorf("%d rows and %d from files, which are not the same", len(there), len(here))
	}
}

// TestFeastBehindOfflineServer has Feast read and write through the server of this library.
func TestFeastBehindOfflineServer(t *testing.T) {
	useFeast(t)
	both(t, func(t *testing.T, certs, keys string) {
		rng := rand.New(rand.NewPCG(33, 34))
		r, fs := newOfflineRepo(t, "sqlite")
		s := randomSources(t, rng)
		s.create(r)
		svc, err := server.Offline(fs, server.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var opts []grpc.ServerOption
		if certs != "" {
			creds, err := credentials.NewServerTLSFromFile(filepath.Join(certs, "server.crt"), filepath.Join(certs, "server.key"))
			if err != nil {
				t.Fatal(err)
			}
			opts = append(opts, grpc.Creds(creds))
		}
		g := svc.NewServer(opts...)
		var lc net.ListenConfig
		l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- g.Serve(l) }()
		t.Cleanup(func() {
			g.Stop()
			if err := errors.Join(<-done, svc.Close()); err != nil {
				t.Error(err)
			}
		})
		section := fmt.Sprintf("offline_store: {type: remote, host: localhost, port: %d%s}\n", l.Addr().(*net.TCPAddr).Port, keys)
		peer := newRepo(t, "sqlite", section)
		peer.write("feature_store.yaml", peer.withRegistry(filepath.Join(r.dir, "data", "registry.db")))
		if err := os.CopyFS(filepath.Join(peer.dir, "data"), os.DirFS(filepath.Join(r.dir, "data"))); err != nil { // for the tables of the online store
			t.Fatal(err)
		}
		rows := s.entities(t, rng, 300)
		peer.create("rows.parquet", rows.record(0, rows.len()))
		if n := peer.train(fs, "rows.parquet", "all.parquet", feast.HistoricalRequest{Features: allFeatures()}); n < 300 {
			t.Errorf("%d values", n)
		}
		if n := peer.train(fs, "rows.parquet", "trip.parquet", feast.HistoricalRequest{FeatureService: "trip", FullFeatureNames: true}); n < 300 {
			t.Errorf("%d values", n)
		}
		window := feast.MaterializeRequest{Start: start.Add(-time.Hour), End: start.Add(span + time.Hour), Views: []string{"driver_stats", "pair_stats"}}
		peer.python("materialize", map[string]any{
			"start": window.Start.Format(time.RFC3339Nano), "end": window.End.Format(time.RFC3339Nano), "views": window.Views,
		}, nil)
		r.sameRows(window, peer.dump())

		before := r.rows("data/places.parquet")
		f := newFrame(t)
		f.addPlace(1, 0.5, start)
		peer.python("write_offline", map[string]any{"view": "place_stats", "columns": f.python()}, nil)
		if after := r.rows("data/places.parquet"); after != before+1 {
			t.Errorf("%d rows became %d", before, after)
		}
		// Feast raises its own exceptions.
		train := func() error {
			return peer.try("history", map[string]any{
				"rows": filepath.Join(peer.dir, "rows.parquet"), "out": filepath.Join(peer.dir, "none"), "features": []string{"driver_stats:trips"},
			}, nil)
		}
		if err := train(); err != nil {
			t.Fatal(err)
		}
		var left []feast.Object
		for _, o := range history(r.project) {
			switch o := o.(type) {
			case *registry.FeatureService:
				continue
			case *registry.FeatureView:
				if o.Name == "driver_stats" {
					continue
				}
			}
			left = append(left, o)
		}
		if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Objects: left, Prune: true}); err != nil {
			t.Fatal(err)
		}
		var fe *feastError
		if err := train(); !errors.As(err, &fe) || fe.Class != "FeatureViewNotFoundException" || fe.Message != "Feature view driver_stats does not exist in project interop" {
			t.Errorf("a view that is gone: %v", err)
		}
	})
}
