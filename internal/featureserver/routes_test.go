package featureserver_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasttest"
	"github.com/feastgo/feast/internal/featureserver"
	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

// byToken are users whose token lists their roles.
type byToken struct{}

func (byToken) Authenticate(_ context.Context, token string) (permissions.User, error) {
	return permissions.User{Name: "u", Roles: strings.Split(token, "+")}, nil
}
func (byToken) Close() error { return nil }

// TestPermissionsOfRoutes gives a caller exactly the permissions that a route needs, then all of those but one.
func TestPermissionsOfRoutes(t *testing.T) {
	actions := map[string][]permissions.Action{
		"read": {permissions.ReadOnline}, "write": {permissions.WriteOnline}, "offline": {permissions.WriteOffline},
		"both": {permissions.WriteOnline, permissions.WriteOffline}, "see": {permissions.Describe},
		"others": {permissions.Create, permissions.Update, permissions.Delete, permissions.ReadOffline},
	}
	batch := func(name string) *feast.DataSource {
		return &feast.DataSource{Name: name + "_source", TimestampField: "event_timestamp", Options: registry.FileOptions{Path: name + ".parquet"}}
	}
	view := func(name string) *feast.FeatureView {
		return &feast.FeatureView{
			Name: name, Entities: []string{"driver"}, Online: true, Source: batch(name), Schema: []feast.Field{{Name: name + "_f", Type: feast.Float64}},
		}
	}
	fed := func(v *feast.FeatureView) *feast.FeatureView {
		v.StreamSource = &feast.DataSource{Name: "push", Options: registry.PushOptions{}, BatchSource: batch("fed")}
		v.Source = nil
		v.Schema = []feast.Field{{Name: "fed_f", Type: feast.Float64}}
		return v
	}
	vec := view("vec")
	vec.Schema = []feast.Field{{Name: "vec_f", Type: feast.Float32List, VectorIndex: true, VectorLength: 2}}
	stream := &feast.StreamFeatureView{
		Name: "fed2", Entities: []string{"driver"}, Online: true, Schema: []feast.Field{{Name: "fed_f", Type: feast.Float64}},
		StreamSource: &feast.DataSource{Name: "push", Options: registry.PushOptions{}, BatchSource: batch("fed")},
	}
	offline := view("off")
	offline.Online = false
	names := []string{"a", "b", "fed1", "fed2", "vec", "od", "stored", "svc", "off"}
	objects := []feast.Object{
		&feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64}, view("a"), view("b"), fed(view("fed1")), stream, vec, offline,
		&feast.OnDemandFeatureView{
			Name: "od", Sources: []feast.FeatureViewProjection{{Name: "a"}, {Name: "b"}}, Schema: []feast.Field{{Name: "od_f", Type: feast.Float64}},
		},
		&feast.OnDemandFeatureView{
			Name: "stored", Entities: []string{"driver"}, Sources: []feast.FeatureViewProjection{{Name: "a"}}, WriteToOnlineStore: true,
			Schema: []feast.Field{{Name: "driver_id", Type: feast.Int64}, {Name: "stored_f", Type: feast.Float64}},
		},
		&feast.FeatureService{Name: "svc", Features: []feast.FeatureViewProjection{{Name: "a"}, {Name: "od"}}},
	}
	for _, name := range names {
		for what, allowed := range actions {
			role := name + "." + what
			objects = append(objects, &feast.Permission{
				Name: role, NamePatterns: []string{name}, Actions: allowed, Policy: permissions.RoleBased{Roles: []string{role}},
			})
		}
	}
	type in struct {
		A float64 `feast:"a_f"`
		B float64 `feast:"b_f"`
	}
	type out struct {
		F float64 `feast:"od_f"`
	}
	type stored struct {
		F float64 `feast:"stored_f"`
	}
	type from struct {
		A float64 `feast:"a_f"`
	}
	fs := feasttest.New(t, objects,
		feasttest.With(feast.WithTransformation("od", feast.RowWise(func(i in) (out, error) { return out{i.A + i.B}, nil }))),
		feasttest.With(feast.WithTransformation("stored", feast.RowWise(func(i from) (stored, error) { return stored{i.A}, nil }))))
	s := newServer(t, fs.FeatureStore, func(c *featureserver.Config) {
		c.Logger = slog.New(slog.DiscardHandler)
		c.Guard = &guard.Guard{Authenticator: byToken{}, Logger: c.Logger}
	})
	ask := func(method, path, body string, roles []string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+strings.Join(append([]string{"nobody"}, roles...), "+"))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	const list = "/v1/vector_stores"
	id := ""
	if body := ask("GET", list, "", []string{"vec.see"}).Body.String(); !strings.Contains(body, `"name":"vec"`) {
		t.Fatal(body)
	} else {
		id = body[strings.Index(body, "vs_"):][:27]
	}
	if body := ask("GET", list, "", []string{"vec.read", "vec.both", "vec.others", "a.see"}).Body.String(); body != `{"object":"list","data":[]}` {
		t.Error(body)
	}
	everything := []string{"a.write", "b.write", "fed1.write", "fed2.write", "vec.write", "stored.write"}
	df := `"df":{"driver_id":[1],"event_timestamp":["2024-01-01"],"fed_f":[1],"a_f":[1],"stored_f":[1]}`
	window := `"start_ts":"2024-01-02","end_ts":"2024-01-01"` // which is refused, after the permissions
	for _, c := range []struct {
		method, path, body string
		needs              []string
	}{
		{"POST", "/get-online-features", `{"features":["a:a_f"],"entities":{"driver_id":[1]}}`, []string{"a.read"}},
		{"POST", "/get-online-features", `{"features":["a:a_f","b:b_f","a@latest:a_f"],"full_feature_names":true,"entities":{"driver_id":[1]}}`, []string{"a.read", "b.read"}},
		{"POST", "/get-online-features", `{"features":["od:od_f"],"entities":{"driver_id":[1]}}`, []string{"a.read", "b.read", "od.read"}},
		{"POST", "/get-online-features", `{"features":["stored:stored_f"],"entities":{"driver_id":[1]}}`, []string{"a.read", "stored.read"}},
		{"POST", "/get-online-features", `{"feature_service":"svc","entities":{"driver_id":[1]}}`, []string{"svc.read"}},
		// Features beside a service are not read, nor asked.
		{"POST", "/get-online-features", `{"feature_service":"svc","features":["vec:vec_f"],"entities":{"driver_id":[1]}}`, []string{"svc.read"}},
		{"POST", "/search", `{"features":["vec:vec_f"],"query":[1,2],"top_k":1}`, []string{"vec.read"}},
		{"POST", "/retrieve-online-documents", `{"features":["od:od_f"],"query":[1,2],"top_k":1}`, []string{"a.read", "b.read", "od.read"}},
		{"POST", "/search", `{"feature_service":"svc","query":[1,2],"top_k":1}`, []string{"svc.read"}},
		{"GET", list + "/" + id, "", []string{"vec.see"}},
		{"POST", list + "/" + id + "/search", `{"query":"x"}`, []string{"vec.read"}},
		{"POST", "/push", `{"push_source_name":"push",` + df + `}`, []string{"fed1.write", "fed2.write"}},
		{"POST", "/push", `{"push_source_name":"push","to":"offline",` + df + `}`, []string{"fed1.offline", "fed2.offline"}},
		{"POST", "/push", `{"push_source_name":"push","to":"online_and_offline",` + df + `}`, []string{"fed1.both", "fed2.both"}},
		{"POST", "/write-to-online-store", `{"feature_view_name":"a",` + df + `}`, []string{"a.write"}},
		{"POST", "/write-to-online-store", `{"feature_view_name":"stored",` + df + `}`, []string{"stored.write"}},
		{"POST", "/materialize", `{` + window + `}`, everything},
		{"POST", "/materialize?async=true", `{` + window + `}`, everything},
		{"POST", "/materialize?async=true&force=true", `{` + window + `,"feature_views":["a","b"]}`, []string{"a.write", "b.write"}},
		{"POST", "/materialize", `{` + window + `,"feature_views":["off"]}`, []string{"off.write"}},
		{"POST", "/materialize-incremental", `{"end_ts":"x"}`, everything},
		{"POST", "/materialize-incremental?async=true", `{"end_ts":"x","feature_views":["fed2"]}`, []string{"fed2.write"}},
		{"POST", "/materialize-incremental?async=true", `{"end_ts":"x","feature_views":[]}`, everything},
	} {
		t.Run(c.path+" "+c.body, func(t *testing.T) {
			if w := ask(c.method, c.path, c.body, c.needs); w.Code == 401 || w.Code == 403 || w.Code == 404 || w.Code == 422 {
				t.Errorf("with %s: %d %s", c.needs, w.Code, w.Body)
			}
			var rest []string // everything that should not help
			for _, name := range names {
				for what := range actions {
					if role := name + "." + what; !slices.Contains(c.needs, role) {
						rest = append(rest, role)
					}
				}
			}
			for i, without := range c.needs {
				roles := slices.Delete(slices.Clone(c.needs), i, i+1)
				view, what, _ := strings.Cut(without, ".")
				for _, other := range rest {
					if other != view+".both" || what != "write" && what != "offline" { // which that covers
						roles = append(roles, other)
					}
				}
				w := ask(c.method, c.path, c.body, roles)
				if w.Code != 403 || !strings.Contains(w.Body.String(), "FeastPermissionError") || !strings.Contains(w.Body.String(), view) {
					t.Errorf("without %s: %d %s", without, w.Code, w.Body)
				}
			}
			if w := ask(c.method, c.path, c.body, nil); w.Code != 403 {
				t.Errorf("without any: %d %s", w.Code, w.Body)
			}
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, http.NoBody)
			w := httptest.NewRecorder()
			if s.ServeHTTP(w, r); w.Code != 401 {
				t.Errorf("without a token: %d %s", w.Code, w.Body)
			}
		})
	}
}
