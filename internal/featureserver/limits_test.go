package featureserver_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasttest"
	"github.com/feastgo/feast/internal/featureserver"
	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/permissions"
)

// do sends a body to a handler.
func do(t testing.TB, h http.Handler, path string, body io.Reader) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, body)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestLimits(t *testing.T) {
	fs, refs := wide(t)
	s := newServer(t, fs.FeatureStore, func(c *featureserver.Config) { c.MaxBody, c.MaxRows = 200_000, 1000 })
	large := strings.Repeat(" ", 200_001)
	zeros := "[" + strings.Repeat("0,", 1000) + "0]"
	for name, c := range map[string]struct {
		path   string
		body   io.Reader
		status int
		answer string
	}{
		"large":         {"/push", strings.NewReader(large), 413, `{"detail":"The body has more than the 200000 bytes that this server takes"}`},
		"large, no len": {"/push", io.MultiReader(strings.NewReader(large)), 413, `{"detail":"The body has more than the 200000 bytes that this server takes"}`},
		"rows":          {"/get-online-features", strings.NewReader(`{"features":["stats:f1"],"entities":{"driver_id":` + zeros + `}}`), 413, `{"detail":"The request has 1001 rows, and this server takes 1000"}`},
		"pushed rows":   {"/push", strings.NewReader(`{"push_source_name":"x","df":{"a":` + zeros + `}}`), 413, `{"detail":"The request has 1001 rows, and this server takes 1000"}`},
		"values":        {"/chat", strings.NewReader(`{"messages":[` + strings.Repeat("0,", 90_000) + `0]}`), 413, `{"detail":"The request has too many values"}`},
		"cells":         {"/get-online-features", strings.NewReader(readBody(refs, 1000)), 413, `{"detail":"The request has too many values"}`},
		"deep":          {"/chat", strings.NewReader(strings.Repeat("[", 100_000)), 400, `{"detail":"There was an error parsing the body"}`},
		"no UTF-8":      {"/chat", strings.NewReader("{\"messages\":\"\xff\"}"), 400, `{"detail":"There was an error parsing the body"}`},
		"broken off":    {"/chat", io.MultiReader(strings.NewReader("{"), broken{}), 400, `{"detail":"There was an error parsing the body"}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := do(t, s, c.path, c.body)
			if w.Code != c.status || w.Body.String() != c.answer {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, c.status, c.answer)
			}
		})
	}
	if held := s.Held(); held != 0 {
		t.Errorf("%d bytes of the budget are not given back", held)
	}
	s.Occupy(featureserver.BodiesOfBudget*200_000 - 1)
	if w := do(t, s, "/get-online-features", strings.NewReader(readBody(refs, 100))); w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("a large answer without memory for it: %d", w.Code)
	}
	// 10,000 clients that send such a body and not its end would hold 200 MB.
	if w := do(t, s, "/get-online-features", strings.NewReader(readBody(refs, 1)+strings.Repeat(" ", 20_000))); w.Code != 503 {
		t.Errorf("a body of 20 kB without memory for it: %d", w.Code)
	}
	if w := do(t, s, "/get-online-features", strings.NewReader(readBody(refs, 1))); w.Code != 200 {
		t.Errorf("a small request beside large ones: %d %s", w.Code, w.Body)
	}
}

// TestLists: lists of features that nobody asks for again do not pile up.
func TestLists(t *testing.T) {
	fs, refs := wide(t)
	s := newServer(t, fs.FeatureStore, nil)
	list := strings.Repeat(`"a",`, 15_000)
	for i := range 40 {
		for range 2 {
			body := fmt.Sprintf(`{"features":[%s"%d"],"entities":{"driver_id":[1]}}`, list, i)
			if w := do(t, s, "/get-online-features", strings.NewReader(body)); w.Code != 500 {
				t.Fatalf("status %d", w.Code)
			}
		}
		size, looked := s.Lists()
		if size != looked || size > 1<<20 || size < 60_000 {
			t.Fatalf("lists of %d bytes are kept, and %d are counted", looked, size)
		}
	}
	if w := do(t, s, "/get-online-features", strings.NewReader(readBody(refs, 1))); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestLongValues: many rows of one entity share its values in memory, but not in JSON.
func TestLongValues(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	fs := feasttest.New(t, []feast.Object{
		&feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64},
		&feast.FeatureView{Name: "texts", Entities: []string{"driver"}, Schema: []feast.Field{{Name: "text", Type: feast.String}}, Online: true},
	}, feasttest.Rows("texts", feast.Columns{"driver_id": []int64{0}, "text": []string{long}}))
	s := newServer(t, fs.FeatureStore, nil)
	for rows, want := range map[int]int{1: 200, 30: 200, 1000: 413} {
		body := `{"features":["texts:text"],"entities":{"driver_id":[0` + strings.Repeat(",0", rows-1) + `]}}`
		w := do(t, s, "/get-online-features", strings.NewReader(body))
		if w.Code != want {
			t.Errorf("%d rows: status %d, want %d", rows, w.Code, want)
		}
		if n := strings.Count(w.Body.String(), long); want == 200 && n != rows {
			t.Errorf("%d rows: %d values", rows, n)
		}
		if held := s.Held(); held != 0 {
			t.Errorf("%d rows: %d bytes of the budget are not given back", rows, held)
		}
	}
}

// broken is a connection that ends.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// blocking is a server whose on-demand view waits until it is let go.
func blocking(t *testing.T, change func(*featureserver.Config)) (s *featureserver.Server, entered chan struct{}, let chan struct{}) {
	t.Helper()
	entered, let = make(chan struct{}, 10), make(chan struct{})
	type in struct {
		X int64 `feast:"x"`
	}
	type out struct {
		Y int64 `feast:"y"`
	}
	fs := feasttest.New(t, []feast.Object{
		&feast.OnDemandFeatureView{Name: "slow", Schema: []feast.Field{{Name: "y", Type: feast.Int64}}, RequestSources: requestSource("x")},
	}, feasttest.With(feast.WithTransformation("slow", feast.RowWise(func(i in) (out, error) {
		entered <- struct{}{}
		<-let
		return out{i.X}, nil
	}))))
	return newServer(t, fs.FeatureStore, change), entered, let
}

const slowBody = `{"features":["slow:y"],"entities":{"x":[1]}}`

func TestConcurrencyIsBounded(t *testing.T) {
	s, entered, let := blocking(t, func(c *featureserver.Config) { c.MaxConcurrent = 1 })
	var all sync.WaitGroup
	codes := make([]int, 3)
	for i := range codes {
		all.Go(func() { codes[i] = do(t, s, "/get-online-features", strings.NewReader(slowBody)).Code })
	}
	for range codes {
		<-entered // one after the other
		select {
		case <-entered:
			t.Error("two requests run at a time")
		default:
		}
		let <- struct{}{}
	}
	all.Wait()
	if !slices.Equal(codes, []int{200, 200, 200}) {
		t.Errorf("%v", codes)
	}
}

func TestDeadline(t *testing.T) {
	s, entered, let := blocking(t, func(c *featureserver.Config) { c.MaxConcurrent, c.Timeout = 1, 50*time.Millisecond })
	done := make(chan int)
	go func() { done <- do(t, s, "/get-online-features", strings.NewReader(slowBody)).Code }()
	<-entered
	// The one that runs has the only place, so that this one waits in vain.
	w := do(t, s, "/get-online-features", strings.NewReader(slowBody))
	if want := `{"detail":"The request took longer than this server allows"}`; w.Code != 504 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(let)
	<-done
}

// A client that stops in the middle of a body is cut off.
func TestSlowClients(t *testing.T) {
	fs, _ := wide(t)
	server := httptest.NewServer(newServer(t, fs.FeatureStore, func(c *featureserver.Config) { c.Timeout = 50 * time.Millisecond }))
	defer server.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // until the server closes
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) {
		t.Errorf("%v %q", err, answer)
	}
}

// panics is an authenticator with a fault.
type panics struct{}

func (panics) Authenticate(context.Context, string) (permissions.User, error) { panic("on purpose") }
func (panics) Close() error                                                   { return nil }

func TestPanics(t *testing.T) {
	fs, refs := wide(t)
	var log bytes.Buffer
	s := newServer(t, fs.FeatureStore, func(c *featureserver.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.Guard = &guard.Guard{Authenticator: panics{}, Logger: c.Logger}
	})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/get-online-features", strings.NewReader(readBody(refs, 1)))
	r.Header.Set("Authorization", "Bearer secret")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != 500 || w.Body.String() != `"Internal Server Error"` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "on purpose") || strings.Contains(log.String(), "secret") {
		t.Errorf("log is %s", log.String())
	}
	if w := do(t, s, "/chat", strings.NewReader(`{"messages":[]}`)); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

// TestClosed: who asks a server whose feature store is closed may ask another.
func TestClosed(t *testing.T) {
	fs, refs := wide(t)
	s := newServer(t, fs.FeatureStore, nil)
	if err := fs.Close(); err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string]string{
		"/get-online-features": readBody(refs, 1), "/write-to-online-store": `{"feature_view_name":"stats","df":{"driver_id":[1]}}`,
		"/materialize": `{"disable_event_timestamp":true}`, "/search": `{"features":["stats:f1"],"query":[1]}`,
	} {
		if w := do(t, s, path, strings.NewReader(body)); w.Code != 503 || w.Header().Get("Retry-After") != "1" || w.Body.String() != `{"detail":"The server is ending"}` {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestFunctionPanics: a function of the program that panics fails its requests alone, and the log says which it was.
func TestFunctionPanics(t *testing.T) {
	type in struct {
		X int64 `feast:"x"`
	}
	type out struct {
		Y int64 `feast:"y"`
	}
	fs := feasttest.New(t, []feast.Object{
		&feast.OnDemandFeatureView{Name: "inverse", Schema: []feast.Field{{Name: "y", Type: feast.Int64}}, RequestSources: requestSource("x")},
	}, feasttest.With(feast.WithTransformation("inverse", feast.RowWise(func(i in) (out, error) { return out{1 / i.X}, nil }))))
	var log bytes.Buffer
	s := newServer(t, fs.FeatureStore, func(c *featureserver.Config) { c.MaxConcurrent, c.Logger = 1, slog.New(slog.NewTextHandler(&log, nil)) })
	ask := func(x string) *httptest.ResponseRecorder {
		return do(t, s, "/get-online-features", strings.NewReader(`{"features":["inverse:y"],"entities":{"x":[1,`+x+`]}}`))
	}
	if w := ask("0"); w.Code != 500 || w.Body.String() != `"the function panicked: runtime error: integer divide by zero"` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "inverse") || !strings.Contains(text, "divide by zero") {
		t.Errorf("log is %s", text)
	}
	if w := ask("1"); w.Code != 200 {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
}

func TestGzip(t *testing.T) {
	fs, refs := wide(t)
	s := newServer(t, fs.FeatureStore, nil)
	plain := do(t, s, "/get-online-features", strings.NewReader(readBody(refs, 100)))
	for rows, zipped := range map[int]bool{1: false, 100: true} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/get-online-features", strings.NewReader(readBody(refs, rows)))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept-Encoding", "gzip, deflate")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != zipped {
			t.Errorf("%d rows: %v", rows, w.Header())
		}
		if !zipped {
			continue
		}
		if w.Header().Get("Vary") != "Accept-Encoding" || w.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) || w.Body.Len() > plain.Body.Len()/4 {
			t.Errorf("%v, %d bytes of %d", w.Header(), w.Body.Len(), plain.Body.Len())
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, plain.Body.Bytes()) {
			t.Errorf("%v: unpacked to something else", err)
		}
	}
}

// Reading costs allocations for each request, and none for rows or features.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	fs, refs := wide(t)
	s := newServer(t, fs.FeatureStore, nil)
	w := &discard{http.Header{}}
	for _, rows := range []int{1, 100} {
		next := request("/get-online-features", readBody(refs, rows))
		const most = 32
		if n := testing.AllocsPerRun(200, func() { s.ServeHTTP(w, next()) }); n > most {
			t.Errorf("%d rows: %v allocations, want %d at most", rows, n, most)
		}
	}
}

// TestIdleConnections holds thousands of connections that ask nothing: they cost little, and hold nobody up.
func TestIdleConnections(t *testing.T) {
	fs, refs := wide(t)
	server := httptest.NewServer(newServer(t, fs.FeatureStore, func(c *featureserver.Config) { c.MaxConcurrent = 2 }))
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := memory()
	count := 10_000
	if limit := openFiles(); limit < 2*count+200 { // both ends are here
		count = (limit - 200) / 2
	}
	if raceEnabled {
		count = min(count, 1000) // each costs many times as much
	}
	conns := make([]net.Conn, 0, count)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	var d net.Dialer
	for range count {
		c, err := d.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatalf("after %d: %v", len(conns), err)
		}
		conns = append(conns, c)
	}
	// Some send the beginning of a request.
	for _, c := range conns[:count/10] {
		if _, err := io.WriteString(c, "POST /push HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.Post(server.URL+"/get-online-features", "application/json", strings.NewReader(readBody(refs, 1)))
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 {
		t.Errorf("%v, %d %s", err, resp.StatusCode, body)
	}
	const each = 32 << 10 // bytes, for both ends
	if grown := int64(memory()) - int64(before); grown > int64(count)*each && !raceEnabled {
		t.Errorf("%d connections cost %d bytes each", count, grown/int64(count))
	}
	t.Logf("%d connections", count)
}

func openFiles() int {
	entries, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return 1024
	}
	for line := range strings.Lines(string(entries)) {
		var soft int
		if _, err := fmt.Sscanf(line, "Max open files %d", &soft); err == nil {
			return soft
		}
	}
	return 1024
}

// TestMaterializeInBackground: a view that is being materialized is not materialized again, unless forced.
func TestMaterializeInBackground(t *testing.T) {
	fs := openGolden(t)
	s := newServer(t, fs, nil)
	leave := s.Running("location_stats")
	const body = `{"start_ts":"2020-01-01T00:00:00","end_ts":"2024-06-01T00:00:00","feature_views":["location_stats"]}`
	w := do(t, s, "/materialize?async=true", strings.NewReader(body))
	want := `{"error":"Cannot start async materialization — the following feature views are already in MATERIALIZING state: ` +
		`['location_stats']. Use ?force=true to override.","feature_views":["location_stats"]}`
	if w.Code != 409 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = do(t, s, "/materialize?async=1&force=yes", strings.NewReader(body))
	if want := `{"status":"accepted","feature_views":["location_stats"]}`; w.Code != 202 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = do(t, s, "/materialize?async=maybe&force=2", strings.NewReader("[]"))
	if want := `{"detail":[{"type":"bool_parsing","loc":["query","async"],"msg":"Input should be a valid boolean, unable to interpret input","input":"maybe"},` +
		`{"type":"bool_parsing","loc":["query","force"],"msg":"Input should be a valid boolean, unable to interpret input","input":"2"},` +
		`{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from","input":[]}]}`; w.Code != 422 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	leave()
	if err := s.Close(t.Context()); err != nil { // after what runs
		t.Fatal(err)
	}
	w = do(t, s, "/get-online-features", strings.NewReader(`{"features":["location_stats:temperature"],"entities":{"location_id":[1]}}`))
	if w.Code == 503 {
		t.Errorf("reads end with Close: %s", w.Body)
	}
	if w = do(t, s, "/materialize?async=true", strings.NewReader(body)); w.Code != 503 {
		t.Errorf("after Close: %d %s", w.Code, w.Body)
	}
}

// TestMetrics compares the page with the requests before, by Feast's names.
func TestMetrics(t *testing.T) {
	fs := openGolden(t)
	s := newServer(t, fs, nil)
	for _, c := range [][2]string{
		{"/get-online-features", `{"features":["driver_stats:conv_rate","driver_stats:acc_rate"],"entities":{"driver_id":[1001,5]}}`},
		{"/get-online-features", `{"features":["nope:x"],"entities":{"driver_id":[1001]}}`},
		{"/get-online-features", `{"features":["driver_stats:conv_rate"]}`}, // not counted
		{"/push", `{"push_source_name":"driver_push_source","df":{"driver_id":[1],"push_rate":[0.5],"push_label":["x"],"event_timestamp":["2024-06-01T00:00:00Z"],"created":["2024-06-01T00:00:00Z"]}}`},
		{"/push", `{"push_source_name":"nope","df":{}}`},
		{"/materialize", `{"start_ts":"2020-01-01","end_ts":"2024-06-01","feature_views":["shard_stats"]}`},
	} {
		do(t, s, c[0], strings.NewReader(c[1]))
	}
	w := httptest.NewRecorder()
	s.Metrics().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if got := w.Header().Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("content type is %q", got)
	}
	page := w.Body.String()
	for _, line := range []string{
		`feast_feature_server_request_total{endpoint="/get-online-features",status="error"} 1`,
		`feast_feature_server_request_total{endpoint="/get-online-features",status="success"} 1`,
		`feast_feature_server_request_total{endpoint="/materialize",status="success"} 1`,
		`feast_feature_server_request_total{endpoint="/push",status="success"} 1`,
		`feast_feature_server_request_latency_seconds_count{endpoint="/get-online-features",feature_count="1-10",feature_view_count="1"} 2`,
		`feast_online_features_request_total 2`,
		`feast_online_features_entity_count_bucket{le="1"} 1`, `feast_online_features_entity_count_sum 3`, `feast_online_features_entity_count_count 2`,
		`feast_online_features_status_total{feature_view="driver_stats",status="present"} 2`,
		`feast_online_features_status_total{feature_view="driver_stats",status="not_found"} 2`,
		`feast_push_request_total{push_source="driver_push_source",mode="online"} 1`,
		`feast_materialization_result_total{feature_view="shard_stats",status="success"} 1`,
		`feast_materialization_duration_seconds_count{feature_view="shard_stats"} 1`,
		`feast_feature_server_online_store_read_duration_seconds_count 1`,
	} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("the page has no line %s", line)
		}
	}
	for _, name := range []string{`feast_feature_freshness_seconds{feature_view="driver_stats",project="serving_golden"} `, `# TYPE feast_push_request_total counter`} {
		if !strings.Contains(page, "\n"+name) {
			t.Errorf("the page has no %s", name)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
	for s := bufio.NewScanner(strings.NewReader(page)); s.Scan(); {
		if line := s.Text(); !strings.HasPrefix(line, "# ") && strings.Count(line, " ") != 1 {
			t.Errorf("not a sample: %s", line)
		}
	}
}

// TestTruthfulStatuses is line 1 of docs/compatibility.md.
func TestTruthfulStatuses(t *testing.T) {
	fs := openGolden(t)
	for truthful, want := range map[bool]string{false: `"statuses":["PRESENT","PRESENT","NOT_FOUND"]`, true: `"statuses":["PRESENT","NULL_VALUE","NOT_FOUND"]`} {
		s := newServer(t, fs, func(c *featureserver.Config) { c.TruthfulStatuses = truthful })
		w := do(t, s, "/get-online-features", strings.NewReader(`{"features":["driver_stats_b:rating"],"entities":{"driver_id":[1001,1003,77]}}`))
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%t: %s", truthful, w.Body)
		}
	}
}

// TestHealth: a server without a registry is not healthy, and gets better.
func TestHealth(t *testing.T) {
	fs := openGolden(t)
	s := newServer(t, fs, nil)
	get := func() int {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/health", nil))
		return w.Code
	}
	if code := get(); code != 200 {
		t.Errorf("%d", code)
	}
	if err := fs.Close(); err != nil {
		t.Fatal(err)
	}
	if code := get(); code != 503 {
		t.Errorf("with a closed store: %d", code)
	}
}

// FuzzRoutes sends any body to any route: the answer is one of those that Feast's server can give, in JSON.
func FuzzRoutes(f *testing.F) {
	fs := guarded(f)
	s := newServer(f, fs.FeatureStore, func(c *featureserver.Config) { c.Logger = slog.New(slog.DiscardHandler) })
	paths := []string{"/get-online-features", "/push", "/write-to-online-store", "/materialize", "/materialize-incremental?async=true", "/search",
		"/v1/vector_stores/vs_1/search", "/chat"}
	for _, e := range exchanges(f) {
		if len(e.Request.Body) < 1000 {
			f.Add(uint8(max(0, slices.Index(paths, e.Request.Path))), []byte(strings.ReplaceAll(e.Request.Body, "driver_push_source", "driver_push")))
		}
	}
	f.Add(uint8(5), []byte(`{"query":[1,"2",{}],"top_k":"x","filters":{"type":"and","filters":[{"type":"or","filters":[7]}]}}`))
	f.Fuzz(func(t *testing.T, route uint8, body []byte) {
		w := do(t, s, paths[int(route)%len(paths)], bytes.NewReader(body))
		if !slices.Contains([]int{200, 202, 400, 404, 409, 413, 422, 500, 503}, w.Code) {
			t.Errorf("status %d", w.Code)
		}
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w.Body.String() == `"Internal Server Error"` {
			t.Errorf("%s %q panics", paths[int(route)%len(paths)], body)
		}
	})
}
