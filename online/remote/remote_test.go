package remote_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/online/remote"
	client "github.com/feastgo/feast/remote"
	"github.com/feastgo/feast/types"
)

func TestOpen(t *testing.T) {
	for _, typ := range []string{"remote", "feast.infra.online_stores.remote.RemoteOnlineStore"} {
		s, err := online.Open(t.Context(), config.NewSection(typ, map[string]any{
			"path": "https://host:1", "connection_pool_size": 7, "connection_idle_timeout": 0, "connection_retries": 0,
		}), online.Env{})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.(online.Forwarder); !ok || s.Info().Name != "remote" || s.Info().KeyVersion != 3 || s.Close() != nil {
			t.Error(s.Info())
		}
	}
	for name, values := range map[string]map[string]any{
		"an unknown key": {"pool": 1}, "no pool": {"connection_pool_size": 0}, "negative": {"connection_retries": -1},
		"no URL": {"path": "host:6566"}, "no file": {"path": "https://host", "cert": "none"}, "text": {"connection_retries": "x"},
	} {
		if _, err := online.Open(t.Context(), config.NewSection("remote", values), online.Env{}); !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var driver = &online.Table{
	View: "v", Entities: []string{"driver"}, JoinKeys: []string{"driver_id"},
	Features: []types.Field{{Name: "a", Type: types.Int64}, {Name: "b", Type: types.Float32}},
}

const good = `{"results":[{"values":[1],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]},` +
	`{"values":[0.5],"statuses":["PRESENT"],"event_timestamps":["2024-01-02T03:04:05.5Z"]},` +
	`{"values":[7],"statuses":["PRESENT"],"event_timestamps":["2024-01-02T03:04:05.5Z"]}],` +
	`"metadata":{"feature_names":["driver_id","v__b","v__a"]}}`

// readOne reads one row of a table from a server.
func readOne(t testing.TB, h http.Handler) (*online.Table, *online.Result, error) {
	t.Helper()
	table := *driver
	plan := online.NewReadPlan([]*online.Table{&table})
	r, err := serve(t, h).Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	res := online.NewResult(plan, 1)
	err = r.Read(t.Context(), online.NewKeys([]online.Key{{Bytes: onlinetest.Key("driver_id", int64(1))}}), res)
	return &table, res, err
}

func TestRead(t *testing.T) {
	table, res, err := readOne(t, &replay{status: 200, answer: good})
	if err != nil || res.Column(table, 0).Any(0) != int64(7) || res.Column(table, 1).Any(0) != float32(0.5) ||
		res.RowEvent(table, 0).String() != "2024-01-02T03:04:05.500Z" {
		t.Errorf("%v %v %v", res.Column(table, 0).Any(0), res.Column(table, 1).Any(0), err)
	}
	// The order of members, space and what else there is mean nothing.
	table, res, err = readOne(t, &replay{status: 200, answer: `
		{ "more" : {"x":[[{"y":"]}\""}]]}, "metadata" : {"feature_names" : [ "v__a" , "v\u005f_b" ] , "z" : null},
		  "results" : [ {"statuses":["PRESENT"] , "values" : [ 7 ], "q":1} , {"values":[null],"statuses":["NOT_FOUND"],"event_timestamps":[]} ] , "status":true } `})
	if err != nil || res.Column(table, 0).Any(0) != int64(7) || res.Column(table, 1).Status(0) != types.NotFound {
		t.Errorf("%v", err)
	}
}

// Statuses are made of what is stored: Feast's server says PRESENT of a null, and over Redis also of what is not there.
// docs/compatibility.md, line 1.
func TestStatuses(t *testing.T) {
	const epoch, at = "1970-01-01T00:00:00Z", "2024-01-02T03:04:05Z"
	for _, test := range []struct {
		value, status, time string
		want                types.Status
		found               bool
	}{
		{"7", "PRESENT", at, types.Present, true},
		{"7", "PRESENT", epoch, types.Present, true},
		{"null", "PRESENT", at, types.NullValue, true},
		{"null", "PRESENT", epoch, types.NotFound, false},
		{"null", "NOT_FOUND", at, types.NotFound, true},
		{"null", "NOT_FOUND", epoch, types.NotFound, false},
		{"null", "NULL_VALUE", at, types.NullValue, true},
		{"7", "OUTSIDE_MAX_AGE", at, types.Present, true}, // the front looks at ages
	} {
		answer := fmt.Sprintf(`{"results":[{"values":[%s],"statuses":[%q],"event_timestamps":[%q]},{"values":[null],"statuses":["NOT_FOUND"]}],`+
			`"metadata":{"feature_names":["v__a","v__b"]}}`, test.value, test.status, test.time)
		table, res, err := readOne(t, &replay{status: 200, answer: answer})
		if err != nil || res.Column(table, 0).Status(0) != test.want || res.Found(table, 0) != test.found {
			t.Errorf("%+v: %v, found %v, %v", test, res.Column(table, 0).Status(0), res.Found(table, 0), err)
		}
	}
	table, res, err := readOne(t, &replay{status: 200, answer: strings.Replace(good, `[7],"statuses":["PRESENT"]`, `[7],"statuses":["INVALID"]`, 1)})
	if err != nil || !errors.Is(res.Err(table), feasterr.ErrUnavailable) {
		t.Error(err, res.Err(table))
	}
}

// Answers that are none are errors, whatever is wrong with them.
func TestHostileAnswers(t *testing.T) {
	replaced := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	for name, answer := range map[string]string{
		"empty":              "",
		"null":               "null",
		"a list":             "[]",
		"no results":         `{"metadata":{"feature_names":["v__a","v__b"]}}`,
		"no names":           `{"results":[{"values":[1],"statuses":["PRESENT"]}]}`,
		"something behind":   good + "x",
		"fewer names":        replaced(`,"v__a"`, ``),
		"another name":       replaced(`"v__a"`, `"v__c"`),
		"a name twice":       replaced(`"v__a"`, `"v__b"`),
		"a number as name":   replaced(`"v__a"`, `7`),
		"half a name":        replaced(`"v__a"`, `"v\ud800_a"`),
		"fewer values":       replaced(`[7]`, `[]`),
		"more values":        replaced(`[7]`, `[7,7]`),
		"more rows":          strings.NewReplacer(`[7],"statuses":["PRESENT"]`, `[7,7],"statuses":["PRESENT","PRESENT"]`).Replace(replaced(`,"event_timestamps":["2024-01-02T03:04:05.5Z"]}]`, `}]`)),
		"values are none":    replaced(`[7]`, `7`),
		"an object":          replaced(`[7]`, `{"val":[7]}`),
		"no such status":     strings.ReplaceAll(good, `"PRESENT"`, `"PERHAPS"`),
		"a status as number": replaced(`["PRESENT"],"event_timestamps":["2024`, `[1],"event_timestamps":["2024`),
		"no time":            replaced(`2024-01-02T03:04:05.5Z`, `yesterday`),
		"times as numbers":   replaced(`"2024-01-02T03:04:05.5Z"`, `1700000000`),
		"a year 0":           replaced(`2024-01-02T03:04:05.5Z`, `0000-01-02T03:04:05Z`),
		"no JSON":            replaced(`[7]`, `[7x]`),
		"deep":               replaced(`[7]`, "["+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+"]"),
		"brackets":           replaced(`[7]`, `[[7}]`),
		"html":               "<html>",
	} {
		if _, _, err := readOne(t, &replay{status: 200, answer: answer}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for cut := range good {
		if _, _, err := readOne(t, &replay{status: 200, answer: good[:cut]}); err == nil {
			t.Errorf("cut after %d bytes: no error", cut)
		}
	}
}

// One request has the features of all views; views whose join keys come from other columns of a request, or that share
// names, are told apart.
func TestOneRequest(t *testing.T) {
	var calls atomic.Int64
	r := &replay{status: 200}
	store := serve(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { calls.Add(1); r.ServeHTTP(w, q) }))
	table := func(view string, keys ...string) *online.Table {
		return &online.Table{View: view, JoinKeys: keys, Features: []types.Field{{Name: "f", Type: types.Int64}}}
	}
	one, pair, other := table("one", "driver_id"), table("pair", "customer_id", "driver_id"), table("other", "driver_id")
	plan := online.NewReadPlan([]*online.Table{one}, []*online.Table{pair}, []*online.Table{other})
	reader, err := store.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	id := func(n int64) []byte { return onlinetest.Key("driver_id", n) }
	both := func(n int64, c string) []byte { return onlinetest.Key("driver_id", n, "customer_id", c) }
	keys := online.NewKeys(
		[]online.Key{{Bytes: id(1), Row: 0}, {Bytes: id(2), Row: 2}},
		[]online.Key{{Bytes: both(1, "x"), Row: 0}, {Bytes: both(1, "y"), Row: 1}},
		[]online.Key{{Bytes: id(9), Row: 0}}, // a projection with other join keys
	)
	cells := func(n ...int) string {
		var b strings.Builder
		for i := range 4 {
			fmt.Fprintf(&b, ",%d", n[i])
		}
		p := `,"PRESENT"`
		return `{"values":[` + b.String()[1:] + `],"statuses":[` + strings.Repeat(p, 4)[1:] + `]}`
	}
	r.answer = `{"results":[` + cells(10, 20, 30, 40) + `,` + cells(11, 21, 31, 41) + `,` + cells(12, 22, 32, 42) +
		`],"metadata":{"feature_names":["other__f","one__f","pair__f"]}}`
	res := online.NewResult(plan, 3)
	if err := reader.Read(t.Context(), keys, res); err != nil {
		t.Fatal(err)
	}
	want := `{"features":["one:f","pair:f","other:f"],"full_feature_names":true,"entities":{"driver_id":[1,2,1,9],"customer_id":["x","x","y","x"]}}`
	if string(r.asked) != want || calls.Load() != 1 {
		t.Errorf("%d requests, asked %s", calls.Load(), r.asked)
	}
	for _, test := range []struct {
		table *online.Table
		want  [3]any
	}{{one, [3]any{int64(11), nil, int64(21)}}, {pair, [3]any{int64(12), int64(32), nil}}, {other, [3]any{int64(40), nil, nil}}} {
		for row, want := range test.want {
			if got := res.Column(test.table, 0).Any(row); got != want {
				t.Errorf("%s, row %d: %v, want %v", test.table.View, row, got, want)
			}
		}
	}
}

// A view that the server refuses does not take the others with it.
func TestRefusedView(t *testing.T) {
	store := serve(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r := &replay{status: 200, answer: good}
		body := make([]byte, 200)
		n, _ := q.Body.Read(body)
		if strings.Contains(string(body[:n]), "gone:") {
			r.status, r.answer = 404, `"{\"module\": \"feast.errors\", \"class\": \"FeatureViewNotFoundException\", \"message\": \"no\"}"`
		}
		r.ServeHTTP(w, q)
	}))
	here := *driver
	gone := &online.Table{View: "gone", JoinKeys: []string{"driver_id"}, Features: []types.Field{{Name: "a", Type: types.Int64}}}
	plan := online.NewReadPlan([]*online.Table{&here, gone})
	reader, err := store.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	res := online.NewResult(plan, 1)
	err = reader.Read(t.Context(), online.NewKeys([]online.Key{{Bytes: onlinetest.Key("driver_id", int64(1))}}), res)
	if err != nil || !errors.Is(res.Err(gone), feasterr.ErrNotFound) || res.Err(&here) != nil || res.Column(&here, 0).Any(0) != int64(7) {
		t.Error(err, res.Err(gone), res.Err(&here))
	}
}

// What JSON has no form for is refused before anything is sent.
func TestUnsendable(t *testing.T) {
	var calls atomic.Int64
	s := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	for _, test := range []struct {
		typ   types.Type
		value any
		class error
	}{
		{types.Float64, math.Inf(1), feasterr.ErrInvalid},
		{types.Float32List, []float32{1, float32(math.NaN())}, feasterr.ErrInvalid},
		{types.ScalarMap, map[int64]any{1: "x"}, feasterr.ErrUnsupported},
		{types.ZonedTimestamp, time.Now(), feasterr.ErrUnsupported},
	} {
		c := types.NewColumn("f", test.typ, 1)
		if err := c.SetNative(0, test.value); err != nil {
			t.Fatal(err)
		}
		_, err := s.Write(t.Context(), &online.WriteBatch{
			Table: &online.Table{View: "v", JoinKeys: []string{"driver_id"}, Features: []types.Field{{Name: "f", Type: test.typ}}},
			Keys:  [][]byte{onlinetest.Key("driver_id", int64(1))}, Event: make([]types.Timestamp, 1), Columns: []*types.Column{c},
		})
		if !errors.Is(err, test.class) || !strings.Contains(err.Error(), "f") {
			t.Errorf("%s: %v", test.typ, err)
		}
	}
	_, err := s.Write(t.Context(), &online.WriteBatch{
		Table: &online.Table{View: "v", JoinKeys: []string{"driver_id"}}, Keys: [][]byte{onlinetest.Key("driver_id", []byte("x"))}, Event: make([]types.Timestamp, 1),
	})
	if !errors.Is(err, feasterr.ErrUnsupported) || calls.Load() != 0 {
		t.Error(err, calls.Load())
	}
}

// Times go under the names that the view's source has for them.
func TestWriteTimes(t *testing.T) {
	r := &replay{status: 200, answer: "null"}
	s := serve(t, r)
	at := types.Timestamp{Seconds: 1704164645, Nanos: 678901234}
	for _, test := range []struct{ event, created, want string }{
		{"", "", `"event_timestamp":["2024-01-02T03:04:05.678901"],"created":[null]`},
		{"seen", "", `"seen":["2024-01-02T03:04:05.678901"]`},
		{"seen", "made", `"seen":["2024-01-02T03:04:05.678901"],"made":[null]`},
	} {
		res, err := s.Write(t.Context(), &online.WriteBatch{
			Table: &online.Table{View: "v", JoinKeys: []string{"driver_id"}, Event: test.event, Created: test.created},
			Keys:  [][]byte{onlinetest.Key("driver_id", int64(1))}, Event: []types.Timestamp{at}, Created: make([]types.Timestamp, 1),
		})
		want := `{"feature_view_name":"v","allow_registry_cache":false,"transform_on_write":false,"df":{"driver_id":[1],` + test.want + `}}`
		if err != nil || res.Written != 1 || string(r.asked) != want {
			t.Errorf("%s, %v", r.asked, err)
		}
	}
}

// A large read or write goes in several requests.
func TestChunks(t *testing.T) {
	var calls, rows atomic.Int64
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		calls.Add(1)
		n := int64(0)
		buf := make([]byte, 1<<16)
		for {
			k, err := q.Body.Read(buf)
			n += int64(strings.Count(string(buf[:k]), "."))
			if err != nil {
				break
			}
		}
		rows.Add(n)
		_, _ = w.Write([]byte("null"))
	}))
	const n = 150_000
	b := &online.WriteBatch{Table: &online.Table{View: "v", JoinKeys: []string{"driver_id"}}, Event: make([]types.Timestamp, n)}
	for i := range n {
		b.Keys = append(b.Keys, onlinetest.Key("driver_id", int64(i)))
	}
	res, err := s.Write(t.Context(), b)
	if err != nil || res.Written != n || rows.Load() != n || calls.Load() != 3 {
		t.Errorf("%+v, %v: %d rows in %d requests", res, err, rows.Load(), calls.Load())
	}
}

// A large request goes in parts, of which the answer is one: with columns in the order of the first, and of one type.
func TestForwardChunks(t *testing.T) {
	var asked []int
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Entities map[string][]int64 `json:"entities"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		ids := q.Entities["driver_id"]
		asked = append(asked, len(ids))
		halves := make([]float64, len(ids))
		statuses := make([]string, len(ids))
		for i, id := range ids {
			halves[i], statuses[i] = float64(id)/2, "PRESENT"
			if len(asked) == 1 {
				halves[i] = 0 // so that only others show what type it is
			}
		}
		column := func(values any) any { return map[string]any{"values": values, "statuses": statuses} }
		columns, names := []any{column(ids), column(ids), column(halves)}, []string{"driver_id", "same", "half"}
		if len(asked) == 2 {
			columns[1], columns[2], names[1], names[2] = columns[2], columns[1], names[2], names[1]
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"results": columns, "metadata": map[string]any{"feature_names": names}})
	}))
	for _, test := range []struct {
		service string
		want    []int
	}{{"", []int{66_666, 33_334}}, {"svc", []int{10_000, 50_000, 40_000}}} {
		asked = nil
		const n = 100_000
		ids := types.NewColumn("driver_id", types.Int64, n)
		for i := range n {
			ids.SetInt64(i, int64(i))
		}
		q := &online.Request{Service: test.service, Entities: []*types.Column{ids}, TypeOf: func(string) types.Type { return types.Invalid }}
		if test.service == "" {
			q.Features = []string{"v:same", "v:half"}
		}
		dst := online.Response{Entities: new(types.Block), Result: new(online.Result)}
		if err := s.Forward(t.Context(), q, &dst); err != nil || !slices.Equal(asked, test.want) {
			t.Fatalf("%v: asked for %v rows", err, asked)
		}
		tables := dst.Plan().Tables()
		same, half := dst.Result.Column(tables[0], 0), dst.Result.Column(tables[1], 0)
		if dst.Fields()[1] != (types.Field{Name: "same", Type: types.Int64}) || dst.Fields()[2] != (types.Field{Name: "half", Type: types.Float64}) {
			t.Fatalf("%v", dst.Fields())
		}
		sames, err := types.Values[int64](same)
		halves, err2 := types.Values[float64](half)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		for row := range n {
			want := float64(row) / 2
			if row < test.want[0] {
				want = 0
			}
			if sames[row] != int64(row) || halves[row] != want {
				t.Fatalf("row %d: %v, %v", row, sames[row], halves[row])
			}
		}
	}
}

func TestClosed(t *testing.T) {
	s, err := remote.New(client.HTTPOptions{URL: "http://localhost:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	var block types.Block
	q := &online.Request{Entities: []*types.Column{types.NewColumn("a", types.Int64, 1)}, TypeOf: func(string) types.Type { return 0 }}
	for name, err := range map[string]error{
		"ping": s.Ping(t.Context()), "update": s.Update(t.Context(), nil, nil),
		"forward": s.Forward(t.Context(), q, &online.Response{Entities: &block, Result: new(online.Result)}),
	} {
		if !errors.Is(err, feasterr.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
