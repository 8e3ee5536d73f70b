package feast_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	onlinememory "github.com/feastgo/feast/online/memory"
	onlineremote "github.com/feastgo/feast/online/remote"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/remote"
	"github.com/feastgo/feast/types"
)

// answering is a feature server that gives the answers it has, one after the other, and keeps what it was asked.
type answering struct {
	mu      sync.Mutex
	answers []string
	asked   string
}

func (a *answering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	a.asked = string(body)
	if r.URL.Path == "/health" {
		return
	}
	next := a.answers[0]
	if len(a.answers) > 1 {
		a.answers = a.answers[1:]
	}
	_, _ = io.WriteString(w, next)
}

// served makes an answer of columns, each a name and values; keys have the epoch as event time.
func served(columns ...any) string {
	var results []any
	var names []string
	for i := 0; i < len(columns); i += 2 {
		values := columns[i+1].([]any)
		statuses, times := []string{}, []string{}
		for range values {
			statuses, times = append(statuses, "PRESENT"), append(times, "2024-01-02T03:04:05Z")
		}
		names = append(names, columns[i].(string))
		results = append(results, map[string]any{"values": values, "statuses": statuses, "event_timestamps": times})
	}
	b, _ := json.Marshal(map[string]any{"results": results, "metadata": map[string]any{"feature_names": names}})
	return string(b)
}

// forwarding opens a feature store whose requests a server answers. Without objects its registry cannot be read.
func forwarding(t testing.TB, server http.Handler, objects ...feast.Object) *feast.FeatureStore {
	t.Helper()
	s := httptest.NewServer(server)
	t.Cleanup(s.Close)
	store, err := onlineremote.New(remote.HTTPOptions{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default("p")
	opts := []feast.Option{feast.WithOnlineStore(store)}
	if objects != nil {
		opts = append(opts, feast.WithRegistry(memory.New()))
	} else {
		cfg.Registry.Path = filepath.Join(t.TempDir(), "none.db")
	}
	fs, err := feast.New(t.Context(), cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Error(err)
		}
	})
	if objects != nil {
		if _, err := fs.Apply(t.Context(), objects...); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

var forwardedObjects = []feast.Object{
	&feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64},
	&feast.FeatureView{
		Name: "stats", Entities: []string{"driver"}, Online: true, TTL: time.Hour,
		Schema: []feast.Field{{Name: "driver_id", Type: types.Int64}, {Name: "rate", Type: types.Float32}, {Name: "trips", Type: types.Int64}},
		Source: &feast.DataSource{Name: "s", TimestampField: "t", Options: feast.FileOptions{Path: "s.parquet"}},
	},
	&feast.FeatureService{Name: "svc", Features: []feast.FeatureViewProjection{{Name: "stats"}}},
}

func names(r *feast.OnlineResponse) (out []string) {
	for _, c := range r.Columns() {
		out = append(out, c.Name())
	}
	return out
}

// Without a registry types are those of the values, and the columns of a query come in the order of its references.
func TestForwardWithoutRegistry(t *testing.T) {
	a := &answering{answers: []string{
		served("driver_id", []any{1, 2}, "trips", []any{10, nil}, "rate", []any{0.5, 2.5}),
	}}
	fs := forwarding(t, a)
	if err := errors.Join(fs.Check(t.Context()), fs.Warm(t.Context())); err != nil {
		t.Fatal(err)
	}
	resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
		Features: []string{"stats:rate", "stats:trips"},
		Entities: feast.Columns{"driver_id": []int64{1, 2}, "text": []string{"a\"", "b"}, "list": [][]float32{{1}, {2}}, "any": []any{1, nil}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"features":["stats:rate","stats:trips"],"entities":{"any":[1,null],"driver_id":[1,2],"list":[[1.0],[2.0]],"text":["a\"","b"]}}`
	if a.asked != want {
		t.Errorf("asked %s", a.asked)
	}
	if got := names(resp); !reflect.DeepEqual(got, []string{"driver_id", "rate", "trips"}) {
		t.Errorf("columns %v", got)
	}
	rates, err := resp.Float64s("rate")
	trips, _ := resp.Column("trips")
	if err != nil || !reflect.DeepEqual(rates, []float64{0.5, 2.5}) || trips.View() != "stats" || trips.Type() != types.Int64 ||
		trips.Status(1) != feast.NullValue || trips.EventTime(0).Format(time.RFC3339) != "2024-01-02T03:04:05Z" {
		t.Errorf("%v %v %v", rates, trips, err)
	}
	if m, err := resp.Float32Matrix(nil, -1); err != nil || !reflect.DeepEqual(m, []float32{0.5, 10, 2.5, -1}) {
		t.Errorf("%v, %v", m, err)
	}
	for name, r := range map[string]feast.OnlineRequest{
		"no features": {Entities: feast.Columns{"driver_id": []int64{1}}},
		"no rows":     {Features: []string{"stats:rate"}, Entities: feast.Columns{"driver_id": []int64{}}},
		"no columns":  {Features: []string{"stats:rate"}, Entities: feast.Columns{}},
		"bytes":       {Features: []string{"stats:rate"}, Entities: feast.Columns{"driver_id": [][]byte{{1}}}},
		"NaN":         {Features: []string{"stats:rate"}, Entities: feast.Columns{"driver_id": []any{1.5}, "x": []any{map[string]any{}}}},
	} {
		if _, err := fs.GetOnlineFeatures(t.Context(), r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// With a registry columns have the types it declares and the places that were promised, in whatever order a server answers.
func TestForwardWithRegistry(t *testing.T) {
	a := &answering{answers: []string{
		served("driver_id", []any{1}, "trips", []any{10}, "rate", []any{0.1}),
		served("driver_id", []any{1}, "more", []any{"x"}, "rate", []any{1}, "trips", []any{"odd"}),
		served("driver_id", []any{1}, "trips", []any{10}),
	}}
	fs := forwarding(t, a, forwardedObjects...)
	q, err := fs.PrepareOnline(t.Context(), feast.OnlineQuery{FeatureService: "svc"})
	if err != nil {
		t.Fatal(err)
	}
	if got := q.Columns(); !reflect.DeepEqual(got, []string{"driver_id", "rate", "trips"}) {
		t.Fatalf("columns %v", got)
	}
	var out feast.OnlineResponse
	for i, want := range []string{"0.1 10", "1 odd"} {
		// A ttl is the server's matter: the rows are old.
		if err := q.GetInto(t.Context(), feast.Columns{"a": []int64{5}, "driver_id": []int64{1}}, &out); err != nil {
			t.Fatal(err)
		}
		rate, trips := out.At(q.Index("rate")), out.At(q.Index("trips"))
		if got := fmt.Sprint(rate.Any(0), " ", trips.Any(0)); got != want || rate.Type() != types.Float32 || !rate.Valid(0) || !reflect.DeepEqual(names(&out), q.Columns()) {
			t.Errorf("answer %d: %s, want %s, %v", i, got, want, names(&out))
		}
		if trips.Mixed() != (i == 1) {
			t.Errorf("answer %d: mixed %v", i, trips.Mixed())
		}
	}
	if !strings.HasPrefix(a.asked, `{"feature_service":"svc","entities":{"driver_id":[1],"a":[5]}`) {
		t.Errorf("asked %s", a.asked)
	}
	err = q.GetInto(t.Context(), feast.Columns{"driver_id": []int64{1}}, &out)
	if _, ok := errors.AsType[*feast.SchemaChangedError](err); !ok {
		t.Error(err)
	}
	// What a join key may be is known.
	if err := q.GetInto(t.Context(), feast.Columns{"driver_id": []string{"1"}}, &out); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
}

// The columns of a prepared service that no registry knows are those of its first answer.
func TestForwardLearns(t *testing.T) {
	a := &answering{answers: []string{
		served("driver_id", []any{1}, "b", []any{1}, "a", []any{0.5}),
		served("driver_id", []any{1}, "a", []any{nil}, "b", []any{2}),
	}}
	fs := forwarding(t, a)
	q, err := fs.PrepareOnline(t.Context(), feast.OnlineQuery{FeatureService: "svc", Require: feast.AllPresent})
	if err != nil || q.Columns() != nil || q.Index("a") != -1 {
		t.Fatal(q.Columns(), err)
	}
	var out feast.OnlineResponse
	if err := q.GetInto(t.Context(), feast.Columns{"driver_id": []int64{1}}, &out); err != nil {
		t.Fatal(err)
	}
	if got := q.Columns(); !reflect.DeepEqual(got, []string{"driver_id", "b", "a"}) || q.Index("a") != 2 {
		t.Fatalf("columns %v", got)
	}
	err = q.GetInto(t.Context(), feast.Columns{"driver_id": []int64{1}}, &out)
	if m, ok := errors.AsType[*feasterr.MissingValueError](err); !ok || m.Column != "a" {
		t.Error(err)
	}
}

// Statuses are taken over, but that a null is no value.
func TestForwardStatuses(t *testing.T) {
	text := `{"results":[{"values":[1,1,1,1,1],"statuses":["PRESENT","PRESENT","PRESENT","PRESENT","PRESENT"]},` +
		`{"values":[5,null,null,6,null],"statuses":["PRESENT","PRESENT","NOT_FOUND","OUTSIDE_MAX_AGE","INVALID"]}],` +
		`"metadata":{"feature_names":["driver_id","rate"],"feature_view_metadata":[{"name":"stats","version":2},{"name":"other"}]}}`
	fs := forwarding(t, &answering{answers: []string{text}})
	for _, expired := range []feast.Expired{feast.Keep, feast.Null} {
		resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
			Features: []string{"stats:rate"}, ViewVersions: true, Expired: expired, Entities: feast.Columns{"driver_id": []int64{1, 1, 1, 1, 1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c, err := resp.Column("rate")
		if err != nil {
			t.Fatal(err)
		}
		want := []feast.Status{feast.Present, feast.NullValue, feast.NotFound, feast.OutsideMaxAge, feast.Failed}
		for row, s := range want {
			if c.Status(row) != s {
				t.Errorf("row %d: %v, want %v", row, c.Status(row), s)
			}
		}
		if (c.Any(3) == nil) != (expired == feast.Null) {
			t.Errorf("an old value: %v", c.Any(3))
		}
		if v := resp.ViewVersions(); !reflect.DeepEqual(v, []feast.ViewVersion{{Name: "stats", Version: 2}, {Name: "other"}}) {
			t.Errorf("views %v", v)
		}
	}
}

// Below another store only tables are asked for, and the front looks at ages.
func TestForwarderBelow(t *testing.T) {
	a := &answering{answers: []string{served("stats__rate", []any{0.5})}}
	s := httptest.NewServer(a)
	defer s.Close()
	store, err := onlineremote.New(remote.HTTPOptions{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default("p")
	fs, err := feast.New(t.Context(), cfg, feast.WithOnlineStore(wrapping{store}), feast.WithRegistry(memory.New()))
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	if _, err := fs.Apply(t.Context(), forwardedObjects...); err != nil {
		t.Fatal(err)
	}
	resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{Features: []string{"stats:rate"}, Entities: feast.Columns{"driver_id": []int64{1}}})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := resp.Column("rate"); err != nil || c.Status(0) != feast.OutsideMaxAge || c.Type() != types.Float32 {
		t.Error(c, err)
	}
	if want := `{"features":["stats:rate"],"full_feature_names":true,"entities":{"driver_id":[1]}}`; a.asked != want {
		t.Errorf("asked %s", a.asked)
	}
}

// wrapping is a store around another.
type wrapping struct{ online.Store }

func (w wrapping) Unwrap() online.Store { return w.Store }

// hanging is a registry that does not answer as long as it is closed.
type hanging struct{ registry.Backend }

func (hanging) Load(ctx context.Context, _ registry.Token) (*registry.State, registry.Token, error) {
	<-ctx.Done()
	return nil, "", ctx.Err()
}

// echoing is a store that answers requests by their entity rows.
type echoing struct{ online.Store }

func (echoing) Forward(_ context.Context, q *online.Request, dst *online.Response) error {
	fields := []types.Field{{Name: "driver_id", Type: types.Int64}, {Name: "rate", Type: types.Int64}}
	if err := dst.Reset(q, fields, q.Entities[0].Len()); err != nil {
		return err
	}
	for i := range fields {
		for row := range q.Entities[0].Len() {
			if err := dst.Set(i, row, types.Present, types.Timestamp{}, q.Entities[0].AppendJSON(nil, row)); err != nil {
				return err
			}
		}
	}
	return nil
}

// A registry that hangs holds up one request, for a moment, and no other within half a minute.
func TestForwardBesideHangingRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, err := feast.New(t.Context(), config.Default("p"), feast.WithOnlineStore(echoing{onlinememory.New()}), feast.WithRegistry(hanging{memory.New()}))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{2 * time.Second, 0, 0} {
			start := time.Now()
			resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
				Features: []string{"stats:rate"}, Entities: feast.Columns{"driver_id": []int64{7}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if v, err := resp.Int64s("rate"); err != nil || v[0] != 7 {
				t.Errorf("%v, %v", v, err)
			}
			if took := time.Since(start); took != want {
				t.Errorf("request %d took %v, want %v", i, took, want)
			}
		}
		time.Sleep(time.Minute) // of the bubble's clock: it is looked for again, as long as the caller waits
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"stats:rate"}, Entities: feast.Columns{"driver_id": []int64{7}}}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := fs.Close(); err != nil {
			t.Error(err)
		}
	})
}
