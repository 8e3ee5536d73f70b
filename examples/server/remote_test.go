package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/testserver/idp"
)

// behind writes a repository all of which is behind the program, and opens it. More are lines of feature_store.yaml; keys go
// into each of its sections.
func behind(t *testing.T, at map[string]string, keys, more string) *feast.FeatureStore {
	t.Helper()
	dir := t.TempDir()
	host, port, err := net.SplitHostPort(at["flight"])
	if err != nil {
		t.Fatal(err)
	}
	scheme := "http"
	if keys != "" {
		scheme, host = "https", "localhost"
	}
	text := fmt.Sprintf(`project: quickstart
provider: local
registry: {registry_type: remote, path: "%s"%s}
online_store: {type: remote, path: "%s://%s"%s}
offline_store: {type: remote, host: "%s", port: %s, scheme: %s%s}
entity_key_serialization_version: 3
%s`, at["grpc"], keys, scheme, at["http"], keys, host, port, scheme, keys, more)
	if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

func open(t *testing.T, dir string) *feast.FeatureStore {
	t.Helper()
	fs, err := feast.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Error(err)
		}
	})
	return fs
}

// everything is what a store answers: features online, of a list and of a service, and training data.
func everything(t *testing.T, fs *feast.FeatureStore) map[string]string {
	t.Helper()
	got := map[string]string{}
	drivers := feast.Columns{"driver_id": []int64{1001, 1002, 1003, 7}}
	for name, r := range map[string]feast.OnlineRequest{
		"online list": {
			Features: []string{"driver_hourly_stats:city", "driver_hourly_stats:conv_rate", "driver_hourly_stats:embedding"}, Entities: drivers,
		},
		"online service": {FeatureService: "driver_activity", Entities: drivers, FullFeatureNames: true},
	} {
		resp, err := fs.GetOnlineFeatures(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := resp.AppendJSON(nil, feast.JSON{FeastStatuses: true}) // those that come over the wire
		if err != nil {
			t.Fatal(err)
		}
		got[name] = string(b)
	}
	rows := feast.Columns{"driver_id": []int64{1001, 1002, 1003, 7}, "event_timestamp": []time.Time{noon, noon, noon.Add(-time.Hour), noon}}
	for name, r := range map[string]feast.HistoricalRequest{
		"history of a list":    {Features: []string{"driver_hourly_stats:city", "driver_hourly_stats:avg_daily_trips"}, Entities: rows},
		"history of a service": {FeatureService: "driver_activity", Entities: rows, FullFeatureNames: true},
	} {
		got[name] = table(t, fs, r)
	}
	return got
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// table is the answer to a historical request: names, types and values of the columns.
func table(t *testing.T, fs *feast.FeatureStore, r feast.HistoricalRequest) string {
	t.Helper()
	job, err := fs.GetHistoricalFeatures(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := job.RecordReader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Release()
	text := ""
	for _, f := range reader.Schema().Fields() {
		text += f.Name + " " + f.Type.String() + "\n"
	}
	for reader.Next() {
		b, err := array.RecordToStructArray(reader.RecordBatch()).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		text += string(b) + "\n"
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	return text
}

// same compares what two stores answer.
func same(t *testing.T, when string, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s, %s: behind the servers %s, directly %s", when, name, got[name], want[name])
		}
	}
}

// A repository that is behind the program in every respect answers as the program's own does, and what is written by way of
// it is there.
func TestRemoteRepository(t *testing.T) {
	dir := repo(t)
	p := start(t, dir, "-http", "127.0.0.1:0", "-grpc", "127.0.0.1:0", "-rest", "127.0.0.1:0", "-flight", "127.0.0.1:0")
	t.Cleanup(p.stop)
	testRemote(t, open(t, dir), behind(t, p.at, "", ""))
}

// Who has no valid token gets nothing of any server.
func TestAuth(t *testing.T) {
	provider := idp.Start(t)
	section := fmt.Sprintf("auth: {type: oidc, auth_discovery_url: %q, client_id: feast}\n", provider.Discovery)
	dir := repo(t)
	name := filepath.Join(dir, "feature_store.yaml")
	text, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, append(text, section...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, "-http", "127.0.0.1:0", "-grpc", "127.0.0.1:0", "-rest", "127.0.0.1:0", "-flight", "127.0.0.1:0")
	t.Cleanup(p.stop)
	known := provider.Token(idp.Claims{"preferred_username": "alice"})
	auth := fmt.Sprintf("auth: {type: oidc, token: %q}\n", known)
	direct := open(t, dir)
	same(t, "with a token", everything(t, behind(t, p.at, "", auth)), everything(t, direct))

	for what, token := range map[string]string{"expired": provider.Token(idp.Claims{"preferred_username": "alice", "exp": 1}), "none": ""} {
		for name, path := range map[string]string{"http": "/get-online-features", "rest": "/entities?project=quickstart"} {
			method := map[string]string{"http": http.MethodPost, "rest": http.MethodGet}[name]
			req, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.at[name]+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if _ = resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s, token %s: %s", name, what, resp.Status)
			}
		}
		ctx := t.Context()
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
		}
		_, err := grpc_health_v1.NewHealthClient(connect(t, p.at["grpc"])).Check(ctx, new(grpc_health_v1.HealthCheckRequest))
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("grpc, token %s: %v", what, err)
		}
		stream, err := flight.NewFlightServiceClient(connect(t, p.at["flight"])).DoExchange(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("flight, token %s: %v", what, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if log := p.log.String(); strings.Contains(log, known) || !strings.Contains(log, "a call was refused") {
		t.Errorf("%s", log)
	}
}

func testRemote(t *testing.T, direct, fs *feast.FeatureStore) {
	t.Helper()
	want := everything(t, direct)
	for name, answer := range want {
		if len(answer) < 100 {
			t.Errorf("%s: %s", name, answer)
		}
	}
	same(t, "at first", everything(t, fs), want)

	if err := fs.Push(t.Context(), "driver_stats_push", feast.Columns{
		"driver_id": []int64{7, 1001}, "event_timestamp": []time.Time{noon, noon}, "created": []time.Time{noon, noon}, "conv_rate": []float32{0.5, 0.25},
		"acc_rate": []float32{1, 2}, "avg_daily_trips": []int64{3, 4}, "city": []string{"Oslo", "Rome"}, "embedding": [][]float32{{1}, {2, 3}},
	}, feast.ToOnlineAndOffline); err != nil {
		t.Fatal(err)
	}
	pushed := everything(t, direct)
	for name := range pushed {
		if pushed[name] == want[name] {
			t.Errorf("the push changes nothing of %s", name)
		}
	}
	same(t, "pushed", everything(t, fs), pushed)

	// A new view, of the source that is there.
	trips := &feast.FeatureView{
		Name: "trips", Entities: []string{"driver"}, Online: true, Schema: []feast.Field{{Name: "avg_daily_trips", Type: feast.Int64}},
		Source: &feast.DataSource{
			Name: "trips_source", TimestampField: "event_timestamp", Options: feast.FileOptions{Path: "data/driver_stats.parquet"},
		},
	}
	diff, err := fs.Apply(t.Context(), trips)
	if err != nil {
		t.Fatal(err)
	}
	var changes []string
	for _, c := range diff.Changes {
		changes = append(changes, fmt.Sprint(c.Action, " ", c.ID))
	}
	if want := []string{
		`unchanged entity "__dummy" of project "quickstart"`, `create data source "trips_source" of project "quickstart"`,
		`create feature view "trips" of project "quickstart"`,
	}; !slices.Equal(changes, want) {
		t.Errorf("applied %q", changes)
	}
	// A server of features keeps tables, which clients of a registry do not make.
	if err := direct.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := direct.ApplyAll(t.Context(), feast.ApplyRequest{Objects: []feast.Object{trips}, Repair: true}); err != nil {
		t.Fatal(err)
	}
	window := feast.MaterializeRequest{Start: noon.AddDate(-1, 0, 0), End: noon.Add(time.Hour), Views: []string{"trips"}}
	result, err := fs.Materialize(t.Context(), window)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Views) != 1 || result.Views[0].Written != 4 {
		t.Errorf("%+v", result)
	}
	const materialized = `{"results":[{"values":[1001,1002,7],"statuses":["PRESENT","PRESENT","PRESENT"],` +
		`"event_timestamps":["1970-01-01T00:00:00Z","1970-01-01T00:00:00Z","1970-01-01T00:00:00Z"]},` +
		`{"values":[4,7,3],"statuses":["PRESENT","PRESENT","PRESENT"],` +
		`"event_timestamps":["2026-03-01T12:00:00Z","2026-03-01T11:00:00Z","2026-03-01T12:00:00Z"]}],` +
		`"metadata":{"feature_names":["driver_id","avg_daily_trips"]}}`
	for name, fs := range map[string]*feast.FeatureStore{"behind the servers": fs, "directly": direct} {
		resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
			Features: []string{"trips:avg_daily_trips"}, Entities: feast.Columns{"driver_id": []int64{1001, 1002, 7}},
		})
		if err != nil {
			t.Fatal(err)
		}
		b, err := resp.AppendJSON(nil, feast.JSON{FeastStatuses: true})
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != materialized {
			t.Errorf("%s: %s", name, b)
		}
	}
}
