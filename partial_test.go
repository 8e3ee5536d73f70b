package feast_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/hybrid"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/online/redis"
	"github.com/feastgo/feast/telemetry"
	"github.com/feastgo/feast/types"
)

// tribes are views, of which "here" is in one store and "there" in another, an on-demand view of both, and one of the first
// alone.
func tribes() (here, there *feast.FeatureView, objects []feast.Object) {
	here, there = driverView("here", time.Hour, fieldsOf(feast.Int64, "a")...), driverView("there", 0, fieldsOf(feast.Int64, "b", "c")...)
	here.Tags, there.Tags = map[string]string{"tribe": "here"}, map[string]string{"tribe": "there"}
	return here, there, []feast.Object{
		driver, here, there,
		onDemand("both", fieldsOf(feast.Int64, "sum"), nil, "here", "there"), onDemand("one", fieldsOf(feast.Int64, "own"), nil, "here"),
	}
}

// openTribes opens a feature store on two stores that have a row of driver 1.
func openTribes(t *testing.T, hereStore, thereStore online.Store, opts ...feast.Option) *feast.FeatureStore {
	here, there, objects := tribes()
	write(t, hereStore, here, driverKey, row{[]any{1}, t0, map[string]any{"a": 5}})
	write(t, thereStore, there, driverKey, row{[]any{1}, t0, map[string]any{"b": 6, "c": 7}})
	both, err := hybrid.New("tribe", map[string]online.Store{"here": hereStore, "there": thereStore})
	if err != nil {
		t.Fatal(err)
	}
	fs, _, _ := newStore(t, objects, append([]feast.Option{
		feast.WithOnlineStore(both), feast.WithClock(func() time.Time { return t0 }),
		feast.WithTransformation("both", sums([]string{"a", "b"}, []string{"sum"})),
		feast.WithTransformation("one", sums([]string{"a"}, []string{"own"})),
	}, opts...)...)
	return fs
}

var tribeFeatures = []string{"there:b", "here:a", "both:sum", "there:c", "one:own"}

const (
	wholeTribes = `{"results":[{"values":[1],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]},` +
		`{"values":[6],"statuses":["PRESENT"],"event_timestamps":["2024-05-01T12:00:00Z"]},` +
		`{"values":[5],"statuses":["PRESENT"],"event_timestamps":["2024-05-01T12:00:00Z"]},` +
		`{"values":[11],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]},` +
		`{"values":[7],"statuses":["PRESENT"],"event_timestamps":["2024-05-01T12:00:00Z"]},` +
		`{"values":[5],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]}],` +
		`"metadata":{"feature_names":["driver_id","b","a","sum","c","own"]}}`
	failedCell    = `{"values":[null],"statuses":["INVALID"],"event_timestamps":["1970-01-01T00:00:00Z"]}`
	partialTribes = `{"results":[{"values":[1],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]},` +
		failedCell + `,{"values":[5],"statuses":["PRESENT"],"event_timestamps":["2024-05-01T12:00:00Z"]},` +
		failedCell + `,` + failedCell + `,{"values":[5],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]}],` +
		`"metadata":{"feature_names":["driver_id","b","a","sum","c","own"]}}`
)

// checkPartial checks an answer, of which the views of "there" failed when says is not empty.
func checkPartial(t *testing.T, resp *feast.OnlineResponse, says string) {
	t.Helper()
	got, err := json.Marshal(resp)
	if err != nil {
		t.Fatal(err)
	}
	want := wholeTribes
	if says != "" {
		want = partialTribes
	}
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	failed := says != ""
	for i, view := range []string{"", "there", "here", "both", "there", "one"} {
		c := resp.At(i)
		bad := failed && (view == "there" || view == "both")
		if (c.Err() != nil) != bad || bad && !strings.Contains(c.Err().Error(), says) || (c.Status(0) == feast.Failed) != bad || c.Valid(0) == bad {
			t.Errorf("column %s: %v, %s", c.Name(), c.Err(), c.Status(0))
		}
	}
	checkPartialError(t, resp.Err(), says)
}

func checkPartialError(t *testing.T, err error, says string) {
	t.Helper()
	if says == "" {
		if err != nil {
			t.Errorf("error %v", err)
		}
		return
	}
	partial, ok := errors.AsType[*feast.PartialError](err)
	if !ok || !errors.Is(err, feast.ErrPartial) || len(partial.Views) != 2 || partial.Views["there"] == nil || partial.Views["both"] == nil ||
		!strings.Contains(partial.Views["there"].Error(), says) {
		t.Errorf("error %v, want a PartialError of there and both with %q", err, says)
	}
}

func TestPartialPolicy(t *testing.T) {
	down := feasterr.Unavailable("connection refused")
	broken := false
	there := &onlinetest.Scripted{Store: memory.New(), Script: func(_ context.Context, _ int, read func() error, _ *online.Result) error {
		if err := read(); err != nil || !broken { // half-way
			return err
		}
		return down
	}}
	var noted error
	fs := openTribes(t, memory.New(), there, feast.WithHooks(telemetry.Hooks{
		OnlineRead: func(_ context.Context, e telemetry.OnlineRead) { noted = e.Err },
	}))
	ids := feast.Columns{"driver_id": []int64{1}}
	for _, policy := range []feast.Partial{feast.ReportPartial, feast.AcceptPartial} {
		q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: tribeFeatures, Partial: policy})
		if err != nil {
			t.Fatal(err)
		}
		var out feast.OnlineResponse
		for _, broken = range []bool{false, true, false, true} {
			says, reported := "", ""
			if broken {
				says = "there: read: connection refused"
				if policy == feast.ReportPartial {
					reported = says
				}
			}
			checkPartialError(t, q.GetInto(ctx, ids, &out), reported)
			checkPartial(t, &out, says)
			checkPartialError(t, noted, says)

			resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: tribeFeatures, Partial: policy, Entities: ids})
			checkPartialError(t, err, reported)
			checkPartial(t, resp, says)
		}
		// Nothing of use.
		resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"there:b", "both:sum"}, Partial: policy, Entities: ids})
		if resp != nil || !errors.Is(err, feast.ErrUnavailable) {
			t.Errorf("when all views fail: %v, %v", resp, err)
		}
		// Whoever requires all values does not accept a part.
		_, err = fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
			Features: tribeFeatures, Partial: policy, Require: feast.AllPresent, Entities: ids,
		})
		checkPartialError(t, err, "connection refused")
		// An error of another request leaves nothing of the failure.
		if err := q.GetInto(ctx, feast.Columns{"driver_id": []string{"x"}}, &out); !errors.Is(err, feast.ErrInvalid) || out.Err() != nil {
			t.Errorf("a request that is refused: %v, %v", err, out.Err())
		}
	}
}

// TestPartialChunks: of a request that is read in several parts, a view that fails in one of them fails as a whole.
func TestPartialChunks(t *testing.T) {
	there := &onlinetest.Scripted{Store: memory.New(), Script: func(_ context.Context, n int, read func() error, _ *online.Result) error {
		if n == 2 {
			return feasterr.Unavailable("connection refused")
		}
		return read()
	}}
	fs := openTribes(t, memory.New(), there)
	ids := make([]int64, 25_000)
	for i := range ids {
		ids[i] = int64(i)
	}
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: tribeFeatures, Partial: feast.AcceptPartial, Entities: feast.Columns{"driver_id": ids},
	})
	if err != nil || there.Reads.Load() != 3 {
		t.Fatalf("%v, %d reads", err, there.Reads.Load())
	}
	for i := range 6 {
		c := resp.At(i)
		bad := c.View() == "there" || c.View() == "both"
		for row := range c.Len() {
			if (c.Status(row) == feast.Failed) != bad || bad && (c.Any(row) != nil || !c.EventTime(row).Equal(time.Unix(0, 0))) {
				t.Fatalf("%s, row %d: %s %v of %v", c.Name(), row, c.Status(row), c.Any(row), c.EventTime(row))
			}
		}
	}
	if resp.At(2).Any(1) != int64(5) {
		t.Errorf("a is %v", resp.At(2).Any(1))
	}
}

// TestPartialRedis: a hybrid store of which Redis is a part, that is gone or has something else under the key of an entity.
func TestPartialRedis(t *testing.T) {
	gate := testserver.NewGate(t, testserver.NewRedis(t).Addr)
	client := goredis.NewClient(&goredis.Options{Addr: gate.Addr, MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second})
	defer func() { _ = client.Close() }()
	there, err := redis.New(client, redis.Options{KeyVersion: 3})
	if err != nil {
		t.Fatal(err)
	}
	fs := openTribes(t, memory.New(), there)
	read := func(says string, ids ...int64) *feast.OnlineResponse {
		t.Helper()
		resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
			Features: tribeFeatures, Partial: feast.AcceptPartial, Entities: feast.Columns{"driver_id": ids},
		})
		if err != nil {
			t.Fatal(err)
		}
		checkPartialError(t, resp.Err(), says)
		return resp
	}
	checkPartial(t, read("", 1), "")
	gate.Shut()
	checkPartial(t, read("refused", 1), "refused")
	gate.Open()
	checkPartial(t, read("", 1), "")

	key := string(onlinetest.Key("driver_id", int64(2))) + project
	if err := client.Set(ctx, key, "no hash", 0).Err(); err != nil {
		t.Fatal(err)
	}
	resp := read("the key of the entity does not hold a hash", 1, 2)
	if resp.At(2).Any(0) != int64(5) || resp.At(1).Status(0) != feast.Failed || resp.At(1).Status(1) != feast.Failed {
		t.Errorf("a is %v, b %s and %s", resp.At(2).Any(0), resp.At(1).Status(0), resp.At(1).Status(1))
	}
	checkPartial(t, read("", 1), "")
}

// TestFailedInRows: what a row of a struct and of a matrix holds where the view failed.
func TestFailedInRows(t *testing.T) {
	fs := openTribes(t, memory.New(), &onlinetest.Scripted{
		Store: memory.New(), Script: func(context.Context, int, func() error, *online.Result) error { return feasterr.Unavailable("gone") },
	})
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: []string{"here:a", "there:b"}, Partial: feast.AcceptPartial, Entities: feast.Columns{"driver_id": []int64{1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		A int64  `feast:"a"`
		B *int64 `feast:"b"`
	}
	rows, err := feast.Scan[answer](resp)
	if err != nil || rows[0].A != 5 || rows[0].B != nil {
		t.Errorf("rows %+v, %v", rows, err)
	}
	if m, err := resp.Float32Matrix(nil, -1, 1, 2); err != nil || m[0] != 5 || m[1] != -1 {
		t.Errorf("matrix %v, %v", m, err)
	}
	if got, err := resp.AppendJSON(nil, feast.JSON{FeastStatuses: true}); err != nil || !strings.Contains(string(got), `"INVALID"`) {
		t.Errorf("%s, %v", got, err)
	}
	if s := types.Failed.String(); s != "INVALID" {
		t.Errorf("the status is %s", s)
	}
}
