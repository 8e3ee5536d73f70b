package featureserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasttest"
	"github.com/feastgo/feast/internal/featureserver"
	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/internal/guard/guardtest"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

var tokens = guardtest.Users{
	"admin": {Name: "admin", Roles: []string{"admin"}}, "reader": {Name: "reader", Roles: []string{"reader"}},
	"writer": {Name: "writer", Roles: []string{"writer"}}, "norole": {Name: "norole"}, "group_g1": {Name: "group_g1", Groups: []string{"g1"}},
}

// guarded is the feature store of the recorded calls, with their permissions.
func guarded(t testing.TB) *feasttest.Store {
	t.Helper()
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	source := func(name string) *feast.DataSource {
		return &feast.DataSource{Name: name, TimestampField: "event_timestamp", Options: registry.FileOptions{Path: name + ".parquet"}}
	}
	view := func(name, feature string) *feast.FeatureView {
		return &feast.FeatureView{
			Name: name, Entities: []string{"driver"}, Online: true, Source: source(name + "_source"),
			Schema: []feast.Field{{Name: feature, Type: feast.Float64}},
		}
	}
	stats, risky := view("driver_stats", "conv"), view("risky_stats", "score")
	stats.StreamSource = &feast.DataSource{Name: "driver_push", Options: registry.PushOptions{}, BatchSource: source("driver_stats_source")}
	type input struct {
		Conv float64 `feast:"conv"`
		X    float64 `feast:"x"`
	}
	type output struct {
		Y float64 `feast:"y"`
	}
	all := append(permissions.CRUDActions(), append(permissions.ReadActions(), permissions.WriteActions()...)...)
	one := func(name string, roles string, kinds []permissions.Kind, patterns []string, actions ...permissions.Action) *feast.Permission {
		return &feast.Permission{Name: name, Types: kinds, NamePatterns: patterns, Actions: actions, Policy: permissions.RoleBased{Roles: []string{roles}}}
	}
	return feasttest.New(t, []feast.Object{
		&feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64}, stats, risky,
		&feast.OnDemandFeatureView{
			Name: "odfv", Sources: []feast.FeatureViewProjection{{Name: "driver_stats"}},
			RequestSources: []*feast.DataSource{{Name: "x_source", Options: registry.RequestOptions{Schema: []feast.Field{{Name: "x", Type: feast.Float64}}}}},
			Schema:         []feast.Field{{Name: "y", Type: feast.Float64}},
		},
		&feast.FeatureService{Name: "svc", Features: []feast.FeatureViewProjection{{Name: "driver_stats"}}},
		&feast.FeatureService{Name: "svc_risky", Features: []feast.FeatureViewProjection{{Name: "driver_stats"}, {Name: "risky_stats"}}},
		one("p_write", "writer", []permissions.Kind{permissions.FeatureView}, []string{"driver_stats"}, permissions.WriteActions()...),
		one("p_read", "reader", []permissions.Kind{permissions.FeatureView, permissions.FeatureService}, []string{"driver_.*", "svc.*"},
			append(permissions.ReadActions(), permissions.Describe)...),
		one("p_admin", "admin", nil, nil, all...),
	},
		feasttest.With(feast.WithTransformation("odfv", feast.RowWise(func(in input) (output, error) { return output{in.Conv * in.X}, nil }))),
		feasttest.Rows("driver_stats", feast.Columns{"driver_id": []int64{1}, "conv": []float64{0.5}, "event_timestamp": []time.Time{at}}),
		feasttest.Rows("risky_stats", feast.Columns{"driver_id": []int64{1}, "score": []float64{1}, "event_timestamp": []time.Time{at}}),
	)
}

// requestSource is a source of one Int64 of the request.
func requestSource(name string) []*feast.DataSource {
	return []*feast.DataSource{{Name: name + "_source", Options: registry.RequestOptions{Schema: []feast.Field{{Name: name, Type: feast.Int64}}}}}
}

// TestGoldenSecurity replays recorded calls with and without tokens.
func TestGoldenSecurity(t *testing.T) {
	raw, err := os.ReadFile("testdata/server_captures.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Captures []struct {
			Method, Path string
			Token        *string
			Request      json.RawMessage
			Status       int
			ContentType  *string `json:"content_type"`
			Body         any
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Captures) != 44 {
		t.Errorf("%d captures", len(doc.Captures))
	}
	var log bytes.Buffer
	fs := guarded(t)
	logger := slog.New(slog.NewTextHandler(&log, nil))
	server := newServer(t, fs.FeatureStore, func(c *featureserver.Config) {
		c.Guard = &guard.Guard{Authenticator: tokens, Logger: logger}
		c.Logger = logger
	})
	for i, c := range doc.Captures {
		name := "none"
		header := ""
		if c.Token != nil {
			name = *c.Token
			if text, ok := strings.CutPrefix(name, "raw:"); ok {
				header = strings.ReplaceAll(text, "{reader}", "reader")
			} else {
				header = "Bearer " + name
			}
		}
		t.Run(fmt.Sprintf("%d %s %s", i, c.Path, name), func(t *testing.T) {
			req := httptest.NewRequestWithContext(t.Context(), c.Method, c.Path, bytes.NewReader(c.Request))
			if c.Token != nil {
				req.Header.Set("Authorization", header)
			}
			if c.Method == http.MethodPost {
				req.Header.Set("Content-Type", "application/json")
			}
			w := httptest.NewRecorder()
			server.ServeHTTP(w, req)
			if w.Code != c.Status {
				t.Errorf("status is %d, want %d: %s", w.Code, c.Status, w.Body)
			}
			want := ""
			if c.ContentType != nil {
				want = *c.ContentType
			}
			if got := w.Header().Get("Content-Type"); got != want {
				t.Errorf("content type is %q, want %q", got, want)
			}
			if got := w.Header().Get("WWW-Authenticate"); got != "" {
				t.Errorf("WWW-Authenticate is %q", got)
			}
			if c.Body == "(long body left out)" {
				return
			}
			if got, want := normal(t, w.Body.String()), normalValue(t, c.Body); got != want {
				t.Errorf("body is\n%s, want\n%s", got, want)
			}
		})
	}
	for _, secret := range []string{"garbage", "expired", "rogue", "Basic abc", "a b"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has the token %q: %s", secret, log.String())
		}
	}
	if !strings.Contains(log.String(), "a call was refused") {
		t.Errorf("refused tokens are not logged: %s", log.String())
	}
}

// normal is a body as it is compared: refusals of several permissions, which have no order, sorted.
func normal(t *testing.T, body string) string {
	t.Helper()
	if body == "" {
		return normalValue(t, "")
	}
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	return normalValue(t, v)
}

func normalValue(t *testing.T, v any) string {
	t.Helper()
	if text, ok := v.(string); ok {
		text = strings.ReplaceAll(text, "project perm_demo", "project "+feasttest.Project)
		if head, list, ok := strings.Cut(text, `Permission error:\n`); ok {
			refusals := strings.Split(strings.TrimSuffix(list, `"}`), ",Permission ")
			for i := range refusals {
				refusals[i] = strings.TrimPrefix(refusals[i], "Permission ")
			}
			slices.Sort(refusals)
			text = head + strings.Join(refusals, "\n")
		}
		v = text
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestTokensCannotBeVerified: what is the server's fault is no reason to throw a token away.
func TestTokensCannotBeVerified(t *testing.T) {
	fs := guarded(t)
	server := newServer(t, fs.FeatureStore, func(c *featureserver.Config) { c.Guard = &guard.Guard{Authenticator: tokens, Logger: c.Logger} })
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/get-online-features", strings.NewReader("{}"))
	req.Header.Set("Authorization", "Bearer down")
	w := httptest.NewRecorder()
	server.ServeHTTP(w, req)
	if got := w.Body.String(); w.Code != 503 || got != `{"detail":"Tokens cannot be verified at the moment"}` || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %s", w.Code, got)
	}
}
