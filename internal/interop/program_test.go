package interop_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/feastgo/feast"
	pb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// program builds examples/server and runs it on a repository until the test ends. It returns the ports of its services.
func program(t *testing.T, repo, certs string) (ports map[string]int) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "server")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../examples/server").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	args := []string{"-repo", repo}
	ports = map[string]int{}
	for _, name := range []string{"http", "grpc", "rest", "flight"} {
		var lc net.ListenConfig
		l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[name] = l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-"+name, fmt.Sprint("localhost:", ports[name]))
	}
	if certs != "" {
		args = append(args, "-tls-cert", filepath.Join(certs, "server.crt"), "-tls-key", filepath.Join(certs, "server.key"))
	}
	cmd := exec.Command(binary, args...)
	var log strings.Builder
	cmd.Stderr, cmd.Dir = &log, t.TempDir()
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(pipe)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_, rerr := io.ReadAll(out)
		if err := cmd.Wait(); err != nil || rerr != nil || t.Failed() {
			t.Errorf("the program ends with %v, %v: %s", err, rerr, log.String())
		}
	})
	if line, err := out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the program says %q, %v", line, err)
	}
	return ports
}

// TestFeastBehindProgram has Feast work on a repository that is behind the servers of this library in every respect: what it
// gets is what this library gets of the repository itself, and what it writes is there.
func TestFeastBehindProgram(t *testing.T) {
	useFeast(t)
	both(t, func(t *testing.T, certs, keys string) {
		rng := rand.New(rand.NewPCG(35, 36))
		r, fs := newOfflineRepo(t, "sqlite")
		s := randomSources(t, rng)
		s.create(r)
		// A source with the names of times that Feast's client of an online server sends, whatever they are in the source.
		spots := newFrame(t)
		spots.add("spot_id", types.Int64, int64Value(1))
		spots.add("label", types.String, stringValue("first"))
		spots.times["event_timestamp"], spots.times["created"] = []time.Time{start}, []time.Time{start}
		r.create("data/spots.parquet", spots.record(0, 1))
		r.apply(fs, &registry.Entity{Name: "spot", JoinKey: "spot_id", ValueType: types.Int64}, &registry.FeatureView{
			Name: "spot_stats", Entities: []string{"spot"}, Online: true,
			Source: &registry.DataSource{Name: "pushed_spots", Options: registry.PushOptions{}, BatchSource: &registry.DataSource{
				Name: "spots", TimestampField: "event_timestamp", CreatedTimestampColumn: "created", Options: registry.FileOptions{Path: "data/spots.parquet"},
			}},
			Schema: []registry.Field{{Name: "label", Type: types.String}},
		})
		text, err := os.ReadFile(filepath.Join(r.dir, "feature_store.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		r.write("served.yaml", strings.Replace(string(text), "{type: duckdb}", "{type: file}", 1))
		ports := program(t, filepath.Join(r.dir, "served.yaml"), certs)

		scheme, cert := "http", ""
		if certs != "" {
			scheme, cert = "https", ", cert: "+filepath.Join(certs, "server.crt")
		}
		peer := &repo{t: t, dir: t.TempDir(), store: "remote", project: r.project}
		peer.write("feature_store.yaml", fmt.Sprintf(`project: %s
provider: local
registry: {registry_type: remote, path: "localhost:%d"%s}
online_store: {type: remote, path: "%s://localhost:%d"%s}
offline_store: {type: remote, host: localhost, port: %d%s}
entity_key_serialization_version: 3
`, r.project, ports["grpc"], cert, scheme, ports["http"], cert, ports["flight"], keys))

		// Training data, and rows that Feast materializes.
		rows := s.entities(t, rng, 200)
		peer.create("rows.parquet", rows.record(0, rows.len()))
		if n := peer.train(fs, "rows.parquet", "all.parquet", feast.HistoricalRequest{Features: allFeatures()}); n < 200 {
			t.Errorf("%d values", n)
		}
		if n := peer.train(fs, "rows.parquet", "trip.parquet", feast.HistoricalRequest{FeatureService: "trip", FullFeatureNames: true}); n < 200 {
			t.Errorf("%d values", n)
		}
		window := feast.MaterializeRequest{Start: start.Add(-time.Hour), End: start.Add(span + time.Hour), Views: []string{"pair_stats", "place_stats"}}
		peer.python("materialize", map[string]any{
			"start": window.Start.Format(time.RFC3339Nano), "end": window.End.Format(time.RFC3339Nano), "views": window.Views,
		}, nil)
		r.sameRows(window, r.dump())

		// Features of all of it, after a push of what has none yet.
		values := func(v ...*pb.Value) map[string]any { return map[string]any{"values": encodeAll(t, v)} }
		at := map[string]any{"times": []string{"2026-03-01T12:00:00+00:00"}}
		peer.python("push", map[string]any{"source": "pushed_spots", "to": "online_and_offline", "columns": map[string]any{
			"spot_id": values(int64Value(1 << 60)), "label": values(stringValue("ünï")), "event_timestamp": at, "created": at,
		}}, nil)
		if after := r.rows("data/spots.parquet"); after != 2 {
			t.Errorf("1 row became %d", after)
		}
		spotIDs := []*pb.Value{int64Value(1), int64Value(1 << 60), int64Value(404)}
		places := []*pb.Value{int64Value(1), int64Value(2), int64Value(404)}
		drivers := []*pb.Value{int64Value(1), int64Value(2), int64Value(3)}
		customers := []*pb.Value{stringValue("customer 1"), stringValue("customer 2"), stringValue("customer 3")}
		for _, q := range []question{
			{
				features: []string{"pair_stats:together", "place_stats:rating", "spot_stats:label"},
				keys:     map[string][]*pb.Value{"driver_id": drivers, "customer_id": customers, "place_id": places, "spot_id": spotIDs},
			},
			{features: []string{"spot_stats:label"}, keys: map[string][]*pb.Value{"spot_id": spotIDs}, full: true},
		} {
			compareRemote(t, peer, fs, q)
		}

		// What Feast defines is in the registry, and is served.
		peer.define(`from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64
place = Entity(name="place", join_keys=["place_id"], value_type=ValueType.INT64)
more = FileSource(name="more", path="data/places.parquet", timestamp_field="ts", created_timestamp_column="made")
view = FeatureView(name="more_places", entities=[place], schema=[Field(name="place_id", dtype=Int64), Field(name="rating", dtype=Float64)], source=more)
`)
		peer.python("apply_objects", nil, nil)
		if err := fs.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		f := newFrame(t)
		for i := range 20 {
			f.add("row", types.Int64, int64Value(int64(i)))
			f.add("place_id", types.Int64, int64Value(int64(i)))
			f.times["event_timestamp"] = append(f.times["event_timestamp"], start.Add(span))
		}
		peer.create("more.parquet", f.record(0, f.len()))
		if n := peer.train(fs, "more.parquet", "more_out.parquet", feast.HistoricalRequest{Features: []string{"more_places:rating"}}); n < 10 {
			t.Errorf("%d values", n)
		}
	})
}
