package server_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/feasttest"
	onlinememory "github.com/feastgo/feast/online/memory"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/remote/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func store(t testing.TB) *feasttest.Store {
	t.Helper()
	return feasttest.New(t, []feast.Object{
		&feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64},
		&feast.FeatureView{Name: "stats", Entities: []string{"driver"}, Online: true, Schema: []feast.Field{{Name: "trips", Type: feast.Int64}}},
	}, feasttest.Rows("stats", feast.Columns{"driver_id": []int64{1, 2}, "trips": []any{7, nil}}))
}

const body = `{"features":["stats:trips"],"entities":{"driver_id":[1,2]}}`

func TestFeatures(t *testing.T) {
	fs := store(t)
	for truthful, statuses := range map[bool]string{false: `["PRESENT","PRESENT"]`, true: `["PRESENT","NULL_VALUE"]`} {
		features, err := server.Features(fs.FeatureStore, server.Options{TruthfulStatuses: truthful})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/get-online-features", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		features.ServeHTTP(w, r)
		if w.Code != 200 || !strings.Contains(w.Body.String(), `{"values":[7,null],"statuses":`+statuses) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		w = httptest.NewRecorder()
		features.Metrics().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if !strings.Contains(w.Body.String(), "feast_online_features_request_total 1\n") {
			t.Errorf("%s", w.Body)
		}
		for range 2 {
			if err := features.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestFeaturesRefuses(t *testing.T) {
	fs := store(t)
	for name, o := range map[string]server.Options{"body": {MaxBody: -1}, "rows": {MaxRows: -1}, "concurrent": {MaxConcurrent: -1}, "timeout": {Timeout: -1}} {
		if _, err := server.Features(fs.FeatureStore, o); !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, workers := range []string{"0", "many"} {
		t.Setenv(server.WorkersVariable, workers)
		if _, err := server.Features(fs.FeatureStore, server.Options{}); !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), server.WorkersVariable) {
			t.Errorf("%s workers: %v", workers, err)
		}
	}
	t.Setenv(server.WorkersVariable, "4")
	cfg := config.Default("p")
	cfg.Auth = config.NewSection("ldap", nil)
	secure, err := feast.New(t.Context(), cfg, feast.WithRegistry(registrymemory.New()), feast.WithOnlineStore(onlinememory.New()))
	if err != nil {
		t.Fatal(err)
	}
	defer secure.Close()
	if _, err := server.Features(secure, server.Options{}); !errors.Is(err, feasterr.ErrUnsupported) {
		t.Errorf("an auth type that is not linked in: %v", err)
	}
}

// TestSlowBodies: a client that announces a body and does not send it is cut off, also where nobody reads the body.
func TestSlowBodies(t *testing.T) {
	fs := store(t)
	r, err := server.Registry(fs.FeatureStore, server.Options{Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := httptest.NewServer(r.Handler())
	defer s.Close()
	for _, request := range []string{"POST /nowhere", "GET /api/v1/entities?project=" + feasttest.Project, "POST /api/v1/entities"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, request+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 ") {
			t.Errorf("%s: %q, %v", request, answer, err)
		}
		_ = c.Close()
	}
}
