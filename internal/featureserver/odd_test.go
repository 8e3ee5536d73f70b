package featureserver_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
)

// oddAnswers are where we answer odd requests otherwise than Feast, by body: the status and how the answer begins. All of
// them are lines of docs/compatibility.md, errors over HTTP.
var oddAnswers = map[string]struct {
	status int
	begin  string
}{
	`1e5`: {422, `{"detail":[{"type":"model_attributes_type","loc":["body"],`}, // the input is as it was sent
	`{"features":["driver_stats:conv_rate"],"entities":{"foo":[[1,"a"]],"driver_id":[1001]}}`: {200, `{"results":[{"values":[1001]`},
	`{"features":["odfv_written:zzz"],"entities":{"driver_id":[1001]}}`:                       {500, `"'Feature zzz not found in projection odfv_written'"`},
	`{"features":["odfv_written:zzz"],"entities":{}}`:                                         {500, `"'Feature zzz not found in projection odfv_written'"`},
	`{"features":["odfv_written:zzz"],"entities":{"anything":[1,2]}}`:                         {500, `"'Feature zzz not found in projection odfv_written'"`},
	`{"push_source_name":"x","df":{"a":{"b":1}}}`:                                             {500, `"Columns of the field df must be arrays"`},
	`{"push_source_name":"driver_push_source","df":{"driver_id":[null],"push_rate":[3.5],"push_label":["s"],"event_timestamp":["2024-06-01"],"created":["2024-06-01"]}}`: {500, `"column \"driver_id\", row 0: `},
	`{"push_source_name":"driver_push_source","df":{"driver_id":[1],"push_rate":[3.5],"push_label":["s"],"event_timestamp":[null],"created":[null]}}`:                    {500, `"column \"event_timestamp\", row 0: `},
	`{"push_source_name":"driver_push_source","df":{"driver_id":[5],"push_rate":[3.5],"push_label":["s"],"event_timestamp":["2024-06-01"],"created":[null]}}`:            {200, ``},
	`{"feature_view_name":"odfv_python","df":{"driver_id":[1]}}`:  {500, `"on-demand feature view \"odfv_python\" is computed when it is read`},
	`{"feature_view_name":"odfv_written","df":{"driver_id":[1]}}`: {500, `"column \"push_rate\": feature view \"odfv_written\" needs column push_rate`},
	`{"features":[],"query":[1],"top_k":2}`:                       {500, `"No features specified for retrieval"`},
	`{"features":["driver_stats:zzz"],"query":[1],"top_k":2}`:     {500, `"'Feature zzz not found in projection driver_stats'"`},
}

// TestOdd sends requests that are odd or wrong, to which Feast 0.67 answered as recorded.
func TestOdd(t *testing.T) {
	raw, err := os.ReadFile("testdata/odd.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []exchange
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 188 {
		t.Errorf("%d requests", len(all))
	}
	clock := time.Date(2026, 11, 23, 9, 40, 8, 0, time.UTC)
	s := newServer(t, openGolden(t, feast.WithClock(func() time.Time { return clock })), nil)
	met := map[string]bool{}
	for _, e := range all {
		t.Run(e.Request.Method+" "+e.Request.Path+" "+e.Request.Body, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), e.Request.Method, e.Request.Path, strings.NewReader(e.Request.Body))
			r.Host = "127.0.0.1:P"
			for name, v := range e.Request.Headers {
				r.Header.Set(name, v)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			body := w.Body.String()
			if e.Request.Method == http.MethodHead {
				body = "" // which a server leaves out
			}
			want, depart := oddAnswers[e.Request.Body]
			if e.Request.Path == "/search" && e.Request.Body == "{}" {
				want.status, want.begin, depart = 500, `"No features specified for retrieval"`, true
			}
			if depart {
				met[e.Request.Body] = true
				if w.Code != want.status || !strings.HasPrefix(body, want.begin) {
					t.Errorf("%d %s, want %d %s", w.Code, body, want.status, want.begin)
				}
				return
			}
			if w.Code != e.Response.Status || sorted(t, body) != sorted(t, e.Response.Body) {
				t.Errorf("%d %s, want %d %s", w.Code, body, e.Response.Status, e.Response.Body)
			}
			for _, name := range []string{"allow", "location", "content-type"} {
				if got, want := w.Header().Get(name), strings.ReplaceAll(e.Response.Headers[name], "{host}", "127.0.0.1:P"); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
	for body := range oddAnswers {
		if !met[body] {
			t.Errorf("no request has the body %s", body)
		}
	}
}
