package featureserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/feastgo/feast"
	_ "github.com/feastgo/feast/drivers/embedded"
	"github.com/feastgo/feast/internal/featureserver"
	"github.com/feastgo/feast/internal/guard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden is where recorded data of Feast's serving is kept.
const golden = "../../testdata/serving"

// openGolden opens a copy of the recorded repository, with its Python functions in Go.
func openGolden(t testing.TB, opts ...feast.Option) *feast.FeatureStore {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(golden, "repo"))); err != nil {
		t.Fatal(err)
	}
	type plus struct {
		Rate float32 `feast:"conv_rate"`
		A    int64   `feast:"val_to_add"`
		B    int64   `feast:"val_to_add_2"`
	}
	type pluses struct {
		One float64 `feast:"conv_plus_1"`
		Two float64 `feast:"conv_plus_2"`
	}
	type two struct {
		A int64 `feast:"val_to_add"`
		B int64 `feast:"val_to_add_2"`
	}
	type sum struct {
		Sum int64 `feast:"req_sum"`
	}
	type name struct {
		Name string `feast:"driver_name"`
	}
	type boom struct {
		Boom int64 `feast:"boom"`
	}
	type pushed struct {
		Rate float64 `feast:"push_rate"`
	}
	type doubled struct {
		Double float64 `feast:"push_double"`
	}
	fs, err := feast.Open(t.Context(), dir, append([]feast.Option{
		feast.WithTransformation("odfv_python", feast.RowWise(func(in plus) (pluses, error) {
			return pluses{float64(in.Rate) + float64(in.A), float64(in.Rate) + float64(in.B)}, nil
		})),
		feast.WithTransformation("odfv_request_only", feast.RowWise(func(in two) (sum, error) { return sum{in.A + in.B}, nil })),
		feast.WithTransformation("odfv_raises", feast.RowWise(func(name) (boom, error) { return boom{}, errors.New("odfv failed on purpose") })),
		feast.WithTransformation("odfv_written", feast.RowWise(func(in pushed) (doubled, error) { return doubled{2 * in.Rate}, nil })),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return fs
}

// newServer makes a server with small limits, which a test may change.
func newServer(t testing.TB, fs *feast.FeatureStore, change func(*featureserver.Config)) *featureserver.Server {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	c := featureserver.Config{
		Store: fs, Guard: &guard.Guard{Logger: logger}, Logger: logger,
		MaxBody: 1 << 20, MaxRows: 100_000, MaxConcurrent: 16, Timeout: 30 * time.Second, WriteTimeout: 30 * time.Second, Workers: 2,
	}
	if change != nil {
		change(&c)
	}
	s := featureserver.New(c)
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// exchange is a recorded request with its answer.
type exchange struct {
	ID      string
	Request struct {
		Method, Path, Body string
		Headers            map[string]string
	}
	Response struct {
		Status  int
		Headers map[string]string
		Body    string `json:"body_text"`
	}
}

func exchanges(t testing.TB) (all []exchange) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(golden, "http.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestGolden replays all recorded exchanges in their order.
func TestGolden(t *testing.T) {
	clock := time.Date(2026, 11, 23, 9, 40, 8, 0, time.UTC)
	fs := openGolden(t, feast.WithClock(func() time.Time { return clock }))
	server := httptest.NewServer(newServer(t, fs, nil))
	defer server.Close()
	client := &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	all := exchanges(t)
	if len(all) != 132 {
		t.Errorf("%d exchanges", len(all))
	}
	for _, e := range all {
		t.Run(e.ID, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), e.Request.Method, server.URL+e.Request.Path, strings.NewReader(e.Request.Body))
			if err != nil {
				t.Fatal(err)
			}
			for name, v := range e.Request.Headers {
				req.Header.Set(name, v)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			compareExchange(t, &e, resp, string(body), strings.TrimPrefix(server.URL, "http://"))
		})
	}
}

// ownWords are answers whose text Python or one of its libraries wrote; ours says what is wrong in this library's words
// (docs/compatibility.md, errors over HTTP).
var ownWords = map[string]string{
	"push_type_mismatch": `"column \"push_rate\", row 0: `,
}

func compareExchange(t *testing.T, e *exchange, resp *http.Response, body, host string) {
	t.Helper()
	want := e.Response.Body
	if e.ID == "push_older_read" { // docs/compatibility.md, line 9: the newer row is kept
		want = strings.NewReplacer("99.0", "0.25", "2023-01-01T00:00:00Z", "2024-06-01T00:00:00Z").Replace(want)
	}
	if resp.StatusCode != e.Response.Status {
		t.Errorf("status is %d, want %d", resp.StatusCode, e.Response.Status)
	}
	for name, v := range e.Response.Headers {
		got := resp.Header.Get(name)
		switch {
		case name == "content-length":
			if got != strconv.Itoa(len(body)) {
				t.Errorf("content-length is %q of %d bytes", got, len(body))
			}
		case got != strings.ReplaceAll(v, "{host}", host):
			t.Errorf("%s is %q, want %q", name, got, v)
		}
	}
	if e.Response.Headers["content-type"] == "" && resp.Header.Get("Content-Type") != "" {
		t.Errorf("content type is %q, want none", resp.Header.Get("Content-Type"))
	}
	if own, ok := ownWords[e.ID]; ok {
		if !strings.HasPrefix(body, own) {
			t.Errorf("body is %s, want it to begin with %s", body, own)
		}
		return
	}
	if body == want {
		return
	}
	// Columns of a view come in any order in Feast (docs/compatibility.md, line 3), and maps have none.
	if g, w := sorted(t, body), sorted(t, want); g != w {
		t.Errorf("body is\n%s, want\n%s", body, want)
	}
}

// sorted is JSON with the columns of an answer, and keys, in an order of their own.
func sorted(t *testing.T, body string) string {
	t.Helper()
	var v any
	dec := json.NewDecoder(strings.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return body
	}
	if m, ok := v.(map[string]any); ok && m["metadata"] != nil {
		meta := m["metadata"].(map[string]any)
		var columns []string
		for i, name := range meta["feature_names"].([]any) {
			column, err := json.Marshal([]any{name, m["results"].([]any)[i]})
			if err != nil {
				t.Fatal(err)
			}
			columns = append(columns, string(column))
		}
		slices.Sort(columns)
		v = []any{columns, meta["feature_view_metadata"]}
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
