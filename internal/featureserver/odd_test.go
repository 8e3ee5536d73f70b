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

// TestOdder sends what Feast 0.67 was asked beside the recorded requests; the answers are Feast's.
func TestOdder(t *testing.T) {
	const (
		notJSON = `{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from","input":"x"}`
		badX    = `{"type":"bool_parsing","loc":["query","async"],"msg":"Input should be a valid boolean, unable to interpret input","input":"x"}`
		all     = `Missing join key values for keys: ['customer_id', 'flag_id', 'location_id', 'shard_id', 'ts_key', 'user_uuid']. `
	)
	s := newServer(t, openGolden(t), nil)
	for _, c := range []struct {
		path, kind, body string
		status           int
		answer           string
	}{
		{"/push", "application/json", `{"push_source_name":"","df":{}}`, 422,
			`"{\"module\": \"feast.errors\", \"class\": \"PushSourceNotFoundException\", \"message\": \"Unable to find push source ''.\"}"`},
		// The version is looked at before the view.
		{"/materialize-incremental", "application/json", `{"end_ts":"x","feature_views":["nope"],"version":"v1"}`, 500,
			`"Version-aware materialization requires 'enable_online_feature_view_versioning: true' under 'registry' in feature_store.yaml."`},
		{"/materialize", "application/json", `{"feature_views":["driver_stats","nope"],"version":""}`, 500,
			`"--version requires --views with exactly one feature view."`},
		{"/materialize", "application/json", `{"feature_views":["nope"],"version":null}`, 404,
			`"{\"module\": \"feast.errors\", \"class\": \"FeatureViewNotFoundException\", \"message\": \"Feature view nope does not exist in project serving_golden\"}"`},
		// The last of equal names in a query counts, and a query is looked at beside a body that is none.
		{"/materialize?async=x&async=false", "application/json", `{"feature_views":["nope"]}`, 404,
			`"{\"module\": \"feast.errors\", \"class\": \"FeatureViewNotFoundException\", \"message\": \"Feature view nope does not exist in project serving_golden\"}"`},
		{"/materialize?async=false&async=x", "application/json", `{"feature_views":["nope"]}`, 422, `{"detail":[` + badX + `]}`},
		{"/materialize?async=x", "text/plain", `x`, 422, `{"detail":[` + badX + `,` + notJSON + `]}`},
		{"/materialize?async=x", "application/json", ``, 422, `{"detail":[` + badX + `,{"type":"missing","loc":["body"],"msg":"Field required","input":null}]}`},
		{"/materialize?async=x", "application/json", `x`, 422,
			`{"detail":[{"type":"json_invalid","loc":["body",0],"msg":"JSON decode error","input":{},"ctx":{"error":"Expecting value"}}]}`},
		{"/push?async=x", "text/plain", `x`, 422, `{"detail":[` + notJSON + `]}`},
		// Whole numbers of 64 bits are read as flags.
		{"/get-online-features", "application/json", `{"entities":{},"full_feature_names":3.0}`, 422,
			`{"detail":[{"type":"bool_parsing","loc":["body","full_feature_names"],"msg":"Input should be a valid boolean, unable to interpret input","input":3.0}]}`},
		{"/get-online-features", "application/json", `{"entities":{},"full_feature_names":0.5}`, 422,
			`{"detail":[{"type":"bool_type","loc":["body","full_feature_names"],"msg":"Input should be a valid boolean","input":0.5}]}`},
		{"/get-online-features", "application/json", `{"entities":{},"full_feature_names":99999999999999999999}`, 422,
			`{"detail":[{"type":"bool_type","loc":["body","full_feature_names"],"msg":"Input should be a valid boolean","input":99999999999999999999}]}`},
		{"/get-online-features", "application/json", `{"features":["driver_stats:conv_rate"],"entities":{"driver_id":[1e400]}}`, 500,
			`"cannot convert float infinity to integer"`},
		// Keys are missing where an on-demand view reads, too, and other keys of the project are told as given.
		{"/get-online-features", "application/json", `{"features":["odfv_raises:boom"],"entities":{"driver_id":[]}}`, 500,
			`"\"` + all + `No values provided for keys: ['customer_id', 'driver_id', 'flag_id', 'location_id', 'shard_id', 'ts_key', 'user_uuid']. Provided join_key_values: ['driver_id']\""`},
		{"/get-online-features", "application/json", `{"features":["driver_stats:conv_rate"],"entities":{"location_id":[1]}}`, 500,
			`"\"Missing join key values for keys: ['customer_id', 'driver_id', 'flag_id', 'location_id', 'shard_id', 'ts_key', 'user_uuid']. ` +
				`No values provided for keys: ['customer_id', 'driver_id', 'flag_id', 'location_id', 'shard_id', 'ts_key', 'user_uuid']. Provided join_key_values: ['location_id']\""`},
		// These two are this library's, see errors over HTTP in docs/compatibility.md.
		{"/get-online-features", "application/json", `{"features":["odfv_request_only:req_sum"],"entities":{"val_to_add":[1],"val_to_add_2":[2.5]}}`, 500,
			`"column \"val_to_add_2\", row 0: 2.5 is not whole, and the request data is Int64"`},
		{"/get-online-features", "application/json", `{"features":["customer_profile:age"],"entities":{"customer_id":["\ud800"]}}`, 500,
			`"a text of the body has \\ud800 in it, one half of a surrogate pair, which is no character"`},
	} {
		t.Run(c.path+" "+c.body, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, c.path, strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.kind)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != c.status || w.Body.String() != c.answer {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, c.status, c.answer)
			}
		})
	}
}
