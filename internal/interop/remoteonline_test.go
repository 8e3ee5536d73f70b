package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	onlineremote "github.com/feastgo/feast/online/remote"
	"github.com/feastgo/feast/remote"
)

// serveFeatures runs Feast's feature server on a repository until the test ends, and returns its address.
func (r *repo) serveFeatures(certs string) string {
	r.t.Helper()
	port := freePort(r.t)
	args := []string{"-m", "feast.cli.cli", "serve", "--port", fmt.Sprint(port), "--no-access-log", "--registry_ttl_sec", "1"}
	o := remote.HTTPOptions{URL: fmt.Sprintf("http://localhost:%d", port), Retries: 100}
	if certs != "" {
		args = append(args, "--cert", filepath.Join(certs, "server.crt"), "--key", filepath.Join(certs, "server.key"))
		o.URL, o.TLS = fmt.Sprintf("https://localhost:%d", port), &remote.TLS{CA: filepath.Join(certs, "server.crt")}
	}
	r.runServer(args)
	s, err := onlineremote.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*callTime)
	defer cancel()
	if err := s.Ping(ctx); err != nil {
		r.t.Fatal("the feature server does not answer: ", err)
	}
	return o.URL
}

const servedDefinitions = `
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, Map, String, UnixTimestamp

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
stats_source = FileSource(name="stats_source", path="data/stats.parquet", timestamp_field="seen_at", created_timestamp_column="made_at")
stats_push = PushSource(name="stats_push", batch_source=stats_source)
stats = FeatureView(name="stats", entities=[driver], ttl=timedelta(days=100000), source=stats_push, schema=[
    Field(name="driver_id", dtype=Int64), Field(name="rate", dtype=Float32), Field(name="trips", dtype=Int64),
    Field(name="label", dtype=String), Field(name="active", dtype=Bool), Field(name="emb", dtype=Array(Float32)),
    Field(name="tags", dtype=Array(String)), Field(name="small", dtype=Int32), Field(name="at", dtype=UnixTimestamp),
])
pair_source = FileSource(name="pair_source", path="data/pair.parquet", timestamp_field="event_timestamp")
pair = FeatureView(name="pair", entities=[driver, customer], source=pair_source, schema=[
    Field(name="driver_id", dtype=Int64), Field(name="customer_id", dtype=String), Field(name="rides", dtype=Int64),
])
profile = FeatureView(name="profile", entities=[customer], source=FileSource(name="profile_source", path="data/profile.parquet", timestamp_field="event_timestamp"), schema=[
    Field(name="customer_id", dtype=String), Field(name="rate", dtype=Float64),
])
raw = FeatureView(name="raw", entities=[driver], source=FileSource(name="raw_source", path="data/raw.parquet", timestamp_field="event_timestamp"), schema=[
    Field(name="driver_id", dtype=Int64), Field(name="blob", dtype=Bytes),
])
request = RequestSource(name="request", schema=[Field(name="add", dtype=Int64)])

@on_demand_feature_view(sources=[stats, request], schema=[Field(name="more", dtype=Int64)], mode="python")
def computed(inputs):
    return {"more": [t + a for t, a in zip(inputs["trips"], inputs["add"])]}

service = FeatureService(name="service", features=[stats[["rate", "trips"]], computed])
`

// open opens a repository whose online store is a server.
func (r *repo) openRemote(name, text string) *feast.FeatureStore {
	r.t.Helper()
	r.write(name, text)
	fs, err := feast.Open(r.t.Context(), filepath.Join(r.dir, name))
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

// Feast's feature server as the online store: rows that go through it are those that are read directly, services and
// on-demand views are its own, and a program without the registry reads the same.
func TestRemoteOnline(t *testing.T) {
	for name, certs := range map[string]string{"plain": "", "TLS": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t, "sqlite")
			r.define(servedDefinitions)
			r.python("apply", nil, nil)
			keys := ""
			if certs != "" {
				c, err := testserver.Certs()
				if err == nil {
					err = c.Write(certs)
				}
				if err != nil {
					t.Fatal(err)
				}
				keys = ", cert: " + filepath.Join(certs, "server.crt")
			}
			path := r.serveFeatures(certs)
			const project = "project: interop\nprovider: local\nentity_key_serialization_version: 3\n"
			store := "online_store: {type: remote, path: '" + path + "'" + keys + "}\n"
			fs := r.openRemote("remote.yaml", project+"registry: data/registry.db\n"+store)
			bare := r.openRemote("bare.yaml", project+"registry: nowhere/registry.db\n"+store)
			direct := r.open()
			if err := fs.Check(t.Context()); err != nil {
				t.Fatal(err)
			}

			at := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
			rows := feast.Columns{
				"driver_id": []int64{1, 2, 1 << 60}, "rate": []any{0.1, nil, 2.5}, "trips": []int64{10, 20, -1 << 62},
				"label": []string{"a", "ü\"", ""}, "active": []bool{true, false, true}, "emb": [][]float32{{0.1, 1}, nil, {}},
				"tags": [][]string{{"x", "y"}, nil, {""}}, "small": []int32{1, -2, 3}, "at": []time.Time{at, at, at},
				"seen_at": []time.Time{at, at.Add(time.Second), at.Add(1500 * time.Millisecond)}, "made_at": []time.Time{at, at, at},
			}
			res, err := fs.WriteToOnlineStore(t.Context(), "stats", rows, feast.WriteOptions{})
			if err != nil || res.Written != 3 {
				t.Fatal(res, err)
			}
			rows["driver_id"] = []int64{4, 5, 6}
			if err := fs.Push(t.Context(), "stats_push", rows, feast.ToOnline); err != nil {
				t.Fatal(err)
			}
			if _, err := fs.WriteToOnlineStore(t.Context(), "pair", feast.Columns{
				"driver_id": []int64{1, 2}, "customer_id": []string{"c1", "c2"}, "rides": []int64{7, 8}, "event_timestamp": []time.Time{at, at},
			}, feast.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := fs.WriteToOnlineStore(t.Context(), "profile", feast.Columns{
				"customer_id": []string{"c1"}, "rate": []float64{0.25}, "event_timestamp": []time.Time{at},
			}, feast.WriteOptions{}); err != nil {
				t.Fatal(err)
			}

			request := feast.OnlineRequest{
				FullFeatureNames: true, Features: []string{
					"stats:rate", "stats:trips", "profile:rate", "stats:label", "stats:active", "stats:emb", "pair:rides", "stats:tags", "stats:small", "stats:at",
				},
				Entities: feast.Columns{"driver_id": []int64{1, 2, 1 << 60, 4, 999}, "customer_id": []string{"c1", "c2", "c3", "c1", "c2"}},
			}
			want, err := direct.GetOnlineFeatures(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			for name, fs := range map[string]*feast.FeatureStore{"with a registry": fs, "without": bare} {
				got, err := fs.GetOnlineFeatures(t.Context(), request)
				if err != nil {
					t.Fatal(name, err)
				}
				same(t, name, got, want, name == "with a registry")
			}
			for name, fs := range map[string]*feast.FeatureStore{"with a registry": fs, "without": bare} {
				q, err := fs.PrepareOnline(t.Context(), feast.OnlineQuery{FeatureService: "service"})
				if err != nil {
					t.Fatal(name, err)
				}
				var out feast.OnlineResponse
				for range 2 {
					if err := q.GetInto(t.Context(), feast.Columns{"driver_id": []int64{1, 2}, "add": []int64{5, 6}}, &out); err != nil {
						t.Fatal(name, err)
					}
				}
				more, err := out.Int64s("more")
				if err != nil || !reflect.DeepEqual(more, []int64{15, 26}) || q.Index("driver_id") != 0 || out.At(q.Index("more")).Name() != "more" {
					t.Errorf("%s: %v %v %v", name, more, err, q.Columns())
				}
			}

			// Without a registry rows go to the server as they are, and it materializes what was pushed to its offline store.
			rows["at"] = []int64{at.Unix(), at.Unix(), at.Unix()}
			rows["driver_id"] = []int64{11, 12, 13}
			if _, err := bare.WriteToOnlineStore(t.Context(), "stats", rows, feast.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			rows["driver_id"] = []int64{21, 22, 23}
			if err := bare.Push(t.Context(), "stats_push", rows, feast.ToOnline); err != nil {
				t.Fatal(err)
			}
			features := []string{"stats:rate", "stats:trips", "stats:label", "stats:active", "stats:emb", "stats:tags", "stats:small", "stats:at"}
			read := func(first int64) string {
				resp, err := direct.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
					Features: features, Entities: feast.Columns{"driver_id": []int64{first, first + 1}},
				})
				if err != nil {
					t.Fatal(err)
				}
				text, err := json.Marshal(resp)
				if err != nil {
					t.Fatal(err)
				}
				return strings.Replace(string(text), fmt.Sprintf("[%d,%d]", first, first+1), "[]", 1)
			}
			if pushed, written := read(21), read(11); pushed != read(1) || written != read(1) {
				t.Errorf("without a registry: pushed %s, written %s, want %s", pushed, written, read(1))
			}
			if _, err := bare.MaterializeIncremental(t.Context(), feast.MaterializeRequest{End: at, Views: []string{"nope"}}); !errors.Is(err, feasterr.ErrNotFound) {
				t.Error(err)
			}

			for _, test := range []struct {
				features []string
				class    error
			}{
				{[]string{"stats:nope"}, feasterr.ErrNotFound},
				{[]string{"nope:rate"}, feasterr.ErrNotFound},
				{[]string{"stats:rate", "profile:rate"}, feasterr.ErrInvalid},
			} {
				_, err := bare.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
					Features: test.features, Entities: feast.Columns{"driver_id": []int64{1}, "customer_id": []string{"c1"}},
				})
				if !errors.Is(err, test.class) {
					t.Errorf("%v: %v", test.features, err)
				}
			}
			// What JSON has no form for is refused by one side or the other, and not stored as something else.
			if _, err := fs.WriteToOnlineStore(t.Context(), "raw", feast.Columns{
				"driver_id": []int64{1}, "blob": [][]byte{{0, 1}}, "event_timestamp": []time.Time{at},
			}, feast.WriteOptions{}); err == nil {
				t.Error("bytes were written")
			}
		})
	}
}

// same compares answers: values, statuses and event times, and types when they are known.
func same(t *testing.T, name string, got, want *feast.OnlineResponse, typed bool) {
	t.Helper()
	if !typed { // Float32 is read as Float64, of which the same is written
		a, err := json.Marshal(got)
		b, werr := json.Marshal(want)
		if err != nil || werr != nil || string(a) != string(b) {
			t.Errorf("%s: %s, want %s (%v, %v)", name, a, b, err, werr)
		}
		return
	}
	n := 0
	for i, w := range want.Columns() {
		n++
		g := got.At(i)
		if g.Name() != w.Name() || g.Type() != w.Type() {
			t.Errorf("%s: column %d is %s, want %s", name, i, g, w)
			continue
		}
		for row := range want.Len() {
			if a, b := g.Any(row), w.Any(row); !reflect.DeepEqual(a, b) || g.Status(row) != w.Status(row) || !g.EventTime(row).Equal(w.EventTime(row)) {
				t.Errorf("%s: %s, row %d: %v %v %v, want %v %v %v", name, w.Name(), row, a, g.Status(row), g.EventTime(row), b, w.Status(row), w.EventTime(row))
			}
		}
	}
	columns := 0
	for range got.Columns() {
		columns++
	}
	if columns != n {
		t.Errorf("%s: %d columns, want %d", name, columns, n)
	}
}
