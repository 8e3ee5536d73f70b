package registryserver

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/feastgo/feast/registry/memory"
)

// TestBodiesOfNothingButProblems get a short answer, and cost no more than decoding them.
func TestBodiesOfNothingButProblems(t *testing.T) {
	h := (&Server{Backend: memory.New(), Project: "p"}).REST(64 << 20)
	many := func(one string) string { return `[` + strings.Repeat(one+",", 1<<19) + one + `]` }
	for name, c := range map[string]struct {
		body   string
		status int
		listed int
	}{
		"objects without members": {`{"name": "s", "project": "p", "features": ` + many("{}") + `}`, 422, maxProblems},
		"no objects":              {`{"name": "s", "project": "p", "features": ` + many("1") + `}`, 422, maxProblems},
		"no texts":                {`{"name": "s", "project": "p", "features": [{"feature_view_name": "v", "feature_names": ` + many("1") + `}]}`, 422, maxProblems},
		"a long text":             {`{"x": "` + strings.Repeat("x", 1<<20) + `"}`, 422, 3},
		"too long":                {`{"x": "` + strings.Repeat("x", 4<<20) + `"}`, 413, 0},
	} {
		var before, after runtime.MemStats
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/feature_services", strings.NewReader(c.body))
		w := httptest.NewRecorder()
		runtime.ReadMemStats(&before)
		h.ServeHTTP(w, r)
		runtime.ReadMemStats(&after)
		if w.Code != c.status || w.Body.Len() > 100<<10 || strings.Count(w.Body.String(), "'loc'") != c.listed {
			t.Errorf("%s: %d, %d problems in %d bytes", name, w.Code, strings.Count(w.Body.String(), "'loc'"), w.Body.Len())
		}
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 200<<20 {
			t.Errorf("%s: %d MB are allocated", name, cost>>20)
		}
	}
}
