package interop_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/protos/feast/serving"
	pb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/remote/server"
	"github.com/feastgo/feast/types"
)

// TestFeatureServer has Feast's client of feature servers (online_store of type remote) read from and write to the feature
// server of this library.
func TestFeatureServer(t *testing.T) {
	useFeast(t)
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS=%t", secure), func(t *testing.T) { testFeatureServer(t, secure) })
	}
}

func testFeatureServer(t *testing.T, secure bool) {
	r := newRepo(t, "sqlite")
	fs := r.open()
	source := func(name string) *registry.DataSource {
		return &registry.DataSource{Name: name, TimestampField: "event_timestamp", Options: registry.FileOptions{Path: name + ".parquet"}}
	}
	r.apply(fs,
		&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64},
		&registry.Entity{Name: "city", JoinKey: "city_name", ValueType: types.String},
		&registry.FeatureView{
			Name: "stats", Entities: []string{"driver"}, Online: true, Source: source("stats_source"),
			StreamSource: &registry.DataSource{Name: "stats_push", Options: registry.PushOptions{}, BatchSource: source("stats_source")},
			Schema: []registry.Field{
				{Name: "rate", Type: types.Float64}, {Name: "trips", Type: types.Int64}, {Name: "label", Type: types.String},
				{Name: "active", Type: types.Bool},
			},
		},
		&registry.FeatureView{
			Name: "places", Entities: []string{"city"}, Online: true, Source: source("places_source"),
			Schema: []registry.Field{{Name: "people", Type: types.Int64}},
		},
		&registry.FeatureService{Name: "both", Features: []registry.FeatureViewProjection{{Name: "stats"}, {Name: "places"}}},
	)
	features, err := server.Features(fs, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	paths := make(chan string, 1000)
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths <- r.URL.Path
		features.ServeHTTP(w, r)
	}))
	cert := ""
	if secure {
		dir := t.TempDir()
		c, err := testserver.Certs()
		if err == nil {
			err = c.Write(dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
		if err != nil {
			t.Fatal(err)
		}
		h.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		h.StartTLS()
		cert = ", cert: " + filepath.Join(dir, "server.crt")
	} else {
		h.Start()
	}
	t.Cleanup(func() {
		h.Close()
		if err := features.Close(); err != nil {
			t.Error(err)
		}
	})
	client := &repo{t: t, dir: t.TempDir(), store: "remote", project: r.project}
	client.write("feature_store.yaml", fmt.Sprintf("project: %s\nprovider: local\nregistry: %s\nonline_store: {type: remote, path: %q%s}\nentity_key_serialization_version: 3\n",
		r.project, filepath.Join(r.dir, "data/registry.db"), strings.Replace(h.URL, "127.0.0.1", "localhost", 1), cert))

	// Both ways of writing, and what they stored.
	text := func(v string) *pb.Value { return &pb.Value{Val: &pb.Value_StringVal{StringVal: v}} }
	whole := func(v int64) *pb.Value { return &pb.Value{Val: &pb.Value_Int64Val{Int64Val: v}} }
	double := func(v float64) *pb.Value { return &pb.Value{Val: &pb.Value_DoubleVal{DoubleVal: v}} }
	yes := &pb.Value{Val: &pb.Value_BoolVal{BoolVal: true}}
	values := func(v ...*pb.Value) map[string]any { return map[string]any{"values": encodeAll(t, v)} }
	times := func(n int) map[string]any {
		at := make([]string, n)
		for i := range at {
			at[i] = "2026-03-01T12:00:00+00:00"
		}
		return map[string]any{"times": at}
	}
	client.python("push", map[string]any{"source": "stats_push", "columns": map[string]any{
		"driver_id": values(whole(1), whole(1<<60+1)), "rate": values(double(0.25), double(-1e300)), "trips": values(whole(7), whole(-1<<62)),
		"label": values(text("ünï"), text("")), "active": values(yes, &pb.Value{}), "event_timestamp": times(2),
	}}, nil)
	client.python("write", map[string]any{"view": "places", "columns": map[string]any{
		"city_name": values(text("Lima"), text("東京")), "people": values(whole(10), &pb.Value{}), "event_timestamp": times(2),
	}}, nil)

	entities := map[string][]*pb.Value{
		"driver_id": {whole(1), whole(1<<60 + 1), whole(404)}, "city_name": {text("Lima"), text("東京"), text("nowhere")},
	}
	for _, q := range []question{
		{features: []string{"stats:rate", "stats:trips", "stats:label", "stats:active", "places:people"}, keys: entities},
		{features: []string{"stats:trips", "places:people"}, keys: entities, full: true},
		{service: "both", keys: entities},
	} {
		compareRemote(t, client, fs, q)
	}

	// Feast raises its own exceptions of our errors.
	err = client.try("online", map[string]any{"features": []string{"nope:rate"}, "entities": map[string][]string{"driver_id": encodeAll(t, entities["driver_id"])}}, nil)
	raised, ok := errors.AsType[*feastError](err)
	if !ok || raised.Class != "FeatureViewNotFoundException" || raised.Message != "Feature view nope does not exist in project interop" {
		t.Errorf("a view that does not exist: %v", err)
	}

	close(paths)
	called := map[string]int{}
	for path := range paths {
		called[path]++
	}
	if called["/write-to-online-store"] != 2 || called["/get-online-features"] != 4 {
		t.Errorf("Feast called %v", called)
	}
}

// compareRemote compares what Feast's client gets with what is stored. It drops event times and statuses other than that
// something is there.
func compareRemote(t *testing.T, r *repo, fs *feast.FeatureStore, q question) {
	t.Helper()
	keys, cols := map[string][]string{}, feast.Columns{}
	for name, list := range q.keys {
		keys[name] = encodeAll(t, list)
		var any []any
		for _, v := range list {
			switch v := v.GetVal().(type) {
			case *pb.Value_Int64Val:
				any = append(any, v.Int64Val)
			case *pb.Value_StringVal:
				any = append(any, v.StringVal)
			}
		}
		cols[name] = any
	}
	args := map[string]any{"entities": keys, "full_names": q.full, "features": q.features}
	if q.service != "" {
		args["service"] = q.service
	}
	var raw string
	r.python("online", args, &raw)
	theirs := new(serving.GetOnlineFeaturesResponse)
	unmarshal(t, raw, theirs)
	ours, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
		Features: q.features, FeatureService: q.service, FullFeatureNames: q.full, Entities: cols,
	})
	if err != nil {
		t.Fatal(err)
	}
	names := theirs.GetMetadata().GetFeatureNames().GetVal()
	columns := 0
	for range ours.Columns() {
		columns++
	}
	if len(names) != columns {
		t.Errorf("%d columns, want %d: %v", len(names), columns, names)
	}
	for i, name := range names {
		c, err := ours.Column(name)
		if err != nil {
			t.Fatal(err)
		}
		for row, v := range theirs.GetResults()[i].GetValues() {
			if want := valueAt(t, c, row); !proto.Equal(v, want) {
				t.Errorf("%s, row %d: Feast gets %v, want %v", name, row, v, want)
			}
		}
	}
}
