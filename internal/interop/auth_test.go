package interop_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"google.golang.org/grpc"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/serving"
	pb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/internal/testserver/idp"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/remote/server"
	"github.com/feastgo/feast/types"
)

// servers are where the three servers of a repository listen.
type servers struct {
	online   string // a URL
	registry string // host:port
	offline  int    // a port
}

// ourFeatures runs the feature server of this library until the test ends, and returns its URL.
func ourFeatures(t testing.TB, fs *feast.FeatureStore, o server.Options) string {
	t.Helper()
	features, err := server.Features(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(features)
	t.Cleanup(func() {
		h.Close()
		if err := errors.Join(features.Drain(context.WithoutCancel(t.Context())), features.Close()); err != nil {
			t.Error(err)
		}
	})
	return strings.Replace(h.URL, "127.0.0.1", "localhost", 1)
}

// ourRegistry runs the registry server, and returns its address.
func ourRegistry(t testing.TB, fs *feast.FeatureStore, o server.Options) string {
	t.Helper()
	s, err := server.Registry(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("localhost:%d", serveGRPC(t, s.NewServer(), s.Close))
}

// ourOffline runs the offline server, and returns its port.
func ourOffline(t testing.TB, fs *feast.FeatureStore, o server.Options) int {
	t.Helper()
	s, err := server.Offline(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	return serveGRPC(t, s.NewServer(), s.Close)
}

// serveGRPC serves at a port, which it returns, until the test ends.
func serveGRPC(t testing.TB, g *grpc.Server, closing func() error) int {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	t.Cleanup(func() {
		g.Stop() // Feast keeps its connections
		if err := errors.Join(<-done, closing()); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

// guarded are views and the permissions of three roles: readers see and read stats, see watched, and know nothing of
// hidden; writers write stats; admins do what they want.
func guarded(project string) []feast.Object {
	source := func(name string) *registry.DataSource {
		return &registry.DataSource{
			Name: name + "_source", TimestampField: "event_timestamp", Options: registry.FileOptions{Path: "data/" + name + ".parquet"},
		}
	}
	view := func(name string) *registry.FeatureView {
		return &registry.FeatureView{
			Name: name, Entities: []string{"driver"}, Online: true, Source: source(name), TTL: 24 * time.Hour,
			Schema: []registry.Field{{Name: "driver_id", Type: types.Int64}, {Name: "rate", Type: types.Float64}},
		}
	}
	stats, watched, hidden := view("stats"), view("watched"), view("hidden")
	stats.StreamSource = &registry.DataSource{Name: "stats_push", Options: registry.PushOptions{}, BatchSource: source("stats")}
	role := func(names ...string) permissions.Policy { return permissions.RoleBased{Roles: names} }
	return []feast.Object{
		&registry.Project{Name: project},
		&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64},
		&registry.Entity{Name: "spare", JoinKey: "spare_id", ValueType: types.Int64},
		&registry.Entity{Name: "spare_go", JoinKey: "spare_id", ValueType: types.Int64},
		source("stats"), source("watched"), source("hidden"), stats.StreamSource, stats, watched, hidden,
		&registry.FeatureService{Name: "stats_service", Features: []registry.FeatureViewProjection{{Name: "stats"}}},
		&permissions.Permission{
			Name: "see", NamePatterns: []string{"driver|spare.*|__dummy", "(stats|watched).*", project}, Actions: []permissions.Action{permissions.Describe}, Policy: role("reader", "writer"),
		},
		&permissions.Permission{
			Name: "read", NamePatterns: []string{"stats.*"}, Actions: permissions.ReadActions(), Policy: role("reader"),
			Types: []permissions.Kind{permissions.FeatureView, permissions.FeatureService, permissions.DataSource},
		},
		&permissions.Permission{
			Name: "write", NamePatterns: []string{"stats"}, Actions: permissions.WriteActions(), Policy: role("writer"), Types: []permissions.Kind{permissions.FeatureView},
		},
		// Feast asks the source for its columns before it writes.
		&permissions.Permission{
			Name: "columns", NamePatterns: []string{"stats_source"}, Actions: []permissions.Action{permissions.ReadOffline}, Policy: role("writer"),
			Types: []permissions.Kind{permissions.DataSource},
		},
		&permissions.Permission{Name: "all", NamePatterns: []string{".*"}, Actions: permissions.AllActions(), Policy: role("admin")},
	}
}

// newGuardedRepo makes a repository of guarded for servers with an auth section, one row in each source, and another in the
// online store.
func newGuardedRepo(t *testing.T, auth string) (*repo, *feast.FeatureStore) {
	t.Helper()
	r := newRepo(t, "sqlite", "offline_store: {type: duckdb}", auth)
	fs := r.open(feast.WithOfflineStore(file.New(r.dir)))
	r.apply(fs, guarded(r.project)...)
	f := guardedRow(t)
	for _, view := range []string{"stats", "watched", "hidden"} {
		r.create("data/"+view+".parquet", f.record(0, 1))
		if _, err := fs.WriteToOnlineStore(t.Context(), view, f.native(), feast.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return r, fs
}

func guardedRow(t testing.TB) *frame {
	f := newFrame(t)
	f.add("driver_id", types.Int64, int64Value(1))
	f.add("rate", types.Float64, &pb.Value{Val: &pb.Value_DoubleVal{DoubleVal: 0.5}})
	f.times["event_timestamp"] = append(f.times["event_timestamp"], start)
	return f
}

// caller is a client: a repository of which something is behind servers, and the same opened in Go.
type caller struct {
	*repo
	fs *feast.FeatureStore
}

// newCaller makes a client of the stores of a project; registry and auth are its sections.
func newCaller(t *testing.T, project string, at servers, registry, auth string) caller {
	t.Helper()
	r := &repo{t: t, dir: t.TempDir(), project: project}
	r.write("feature_store.yaml", fmt.Sprintf("project: %s\nprovider: local\nentity_key_serialization_version: 3\nregistry: %s\n%s\n"+
		"online_store: {type: remote, path: %q}\noffline_store: {type: remote, host: localhost, port: %d}\n", project, registry, auth, at.online, at.offline))
	rows := newFrame(t)
	rows.add("driver_id", types.Int64, int64Value(1))
	rows.times["event_timestamp"] = append(rows.times["event_timestamp"], start)
	r.create("rows.parquet", rows.record(0, 1))
	return caller{r, r.open()}
}

// act is what a client may try, in either language.
type act struct{ python, golang func(c caller) error }

// readOnline reads a view, or a service, of which guardedRow is the row.
func readOnline(view, service string) act {
	var features []string
	if view != "" {
		features = []string{view + ":rate"}
	}
	return act{
		func(c caller) error {
			args := map[string]any{"features": features, "entities": map[string]any{"driver_id": encodeAll(c.t, []*pb.Value{int64Value(1)})}}
			if service != "" {
				args["service"] = service
			}
			var raw string
			if err := c.try("online", args, &raw); err != nil {
				return err
			}
			m := new(serving.GetOnlineFeaturesResponse)
			unmarshal(c.t, raw, m)
			if v := m.GetResults()[1].GetValues()[0].GetDoubleVal(); v != 0.5 {
				return fmt.Errorf("read %v", m)
			}
			return nil
		},
		func(c caller) error {
			resp, err := c.fs.GetOnlineFeatures(c.t.Context(), feast.OnlineRequest{
				Features: features, FeatureService: service, Entities: feast.Columns{"driver_id": []int64{1}},
			})
			if err != nil {
				return err
			}
			if v := resp.At(1).Any(0); v != 0.5 {
				return fmt.Errorf("read %v", v)
			}
			return nil
		},
	}
}

// readOffline reads a view in whose source guardedRow is.
func readOffline(view string) act {
	features := []string{view + ":rate"}
	return act{
		func(c caller) error {
			return c.try("history", map[string]any{
				"rows": filepath.Join(c.dir, "rows.parquet"), "out": filepath.Join(c.dir, "out.parquet"), "features": features,
			}, nil)
		},
		func(c caller) error {
			job, err := c.fs.GetHistoricalFeatures(c.t.Context(), feast.HistoricalRequest{
				Features: features, Entities: feast.ParquetFile(filepath.Join(c.dir, "rows.parquet")),
			})
			if err != nil {
				return err
			}
			rb, err := job.RecordBatch(c.t.Context())
			if err != nil {
				return err
			}
			defer rb.Release()
			if v := rb.Column(2).ValueStr(0); v != "0.5" {
				return fmt.Errorf("trained with %s", v)
			}
			return nil
		},
	}
}

func push(source string) act {
	return act{
		func(c caller) error {
			return c.try("push", map[string]any{"source": source, "columns": guardedRow(c.t).python()}, nil)
		},
		func(c caller) error {
			return c.fs.Push(c.t.Context(), source, guardedRow(c.t).native(), feast.ToOnline)
		},
	}
}

func writeOnline(view string) act {
	return act{
		func(c caller) error {
			return c.try("write", map[string]any{"view": view, "columns": guardedRow(c.t).python()}, nil)
		},
		func(c caller) error {
			_, err := c.fs.WriteToOnlineStore(c.t.Context(), view, guardedRow(c.t).native(), feast.WriteOptions{})
			return err
		},
	}
}

func writeOffline(view string) act {
	return act{
		func(c caller) error {
			return c.try("write_offline", map[string]any{"view": view, "columns": guardedRow(c.t).python()}, nil)
		},
		func(c caller) error {
			_, err := c.fs.WriteToOfflineStore(c.t.Context(), view, guardedRow(c.t).native())
			return err
		},
	}
}

// get gets a view from the registry.
func get(view string) act {
	return act{
		func(c caller) error { return c.try("get", map[string]any{"kind": "feature_view", "name": view}, nil) },
		func(c caller) error {
			s, err := c.snapshot()
			if err == nil {
				_, err = s.FeatureView(view)
			}
			return err
		},
	}
}

// list lists the views of the registry, and says so when others are there.
func list(want ...string) act {
	check := func(got []string) error {
		if !slices.Equal(got, want) {
			return fmt.Errorf("listed %q", got)
		}
		return nil
	}
	return act{
		func(c caller) error {
			var got []string
			if err := c.try("names", map[string]any{"kinds": "feature_views"}, &got); err != nil {
				return err
			}
			return check(got)
		},
		func(c caller) error {
			s, err := c.snapshot()
			if err != nil {
				return err
			}
			var got []string
			for v := range s.Views() {
				got = append(got, v.Info().Name)
			}
			slices.Sort(got)
			return check(got)
		},
	}
}

// snapshot is what the registry has now, as far as the client sees it.
func (c caller) snapshot() (*registry.Snapshot, error) {
	if err := c.fs.Refresh(c.t.Context()); err != nil {
		return nil, err
	}
	return c.fs.Snapshot(c.t.Context())
}

// apply applies an entity, each language one of its own.
func apply(name string, tags map[string]string) act {
	return act{
		func(c caller) error { return c.try("apply_entity", map[string]any{"name": name, "tags": tags}, nil) },
		func(c caller) error {
			_, err := c.fs.Apply(c.t.Context(), &registry.Entity{Name: name + "_go", JoinKey: name, ValueType: types.Int64, Tags: tags})
			return err
		},
	}
}

// remove deletes the entity of apply.
func remove(name string) act {
	return act{
		func(c caller) error { return c.try("remove", map[string]any{"kind": "entity", "name": name}, nil) },
		func(c caller) error {
			_, err := c.fs.ApplyAll(c.t.Context(), feast.ApplyRequest{Delete: []feast.Object{&registry.Entity{Name: name + "_go"}}})
			return err
		},
	}
}

// deed is an act of clients of the guarded repository. Who may it is allowed to; others are told so.
type deed struct {
	name   string
	all    bool // with the registry behind a server too
	may    []string
	hidden []string // for whom, in Go, what they may not is not there
	act    act
	// unknown is what Feast raises when its server does not know the caller, and when that of this library does not.
	unknown [2]string
}

// deeds are what all callers try, in this order.
func deeds() []deed {
	readers, writers, admins, stranger := []string{"reader", "admin"}, []string{"writer", "admin"}, []string{"admin"}, []string{"stranger"}
	http, grpc := [2]string{"RuntimeError", "RuntimeError"}, [2]string{"_InactiveRpcError", "_InactiveRpcError"}
	flight := [2]string{"FlightServerError", "FlightUnauthenticatedError"} // docs/compatibility.md, line 17
	return []deed{
		{"read online", false, readers, nil, readOnline("stats", ""), http},
		{"read another view online", false, admins, nil, readOnline("watched", ""), http},
		{"read a service online", false, readers, nil, readOnline("", "stats_service"), http},
		{"read offline", false, readers, nil, readOffline("stats"), flight},
		{"read another view offline", false, admins, nil, readOffline("watched"), flight},
		{"push", false, writers, nil, push("stats_push"), http},
		{"write another view online", false, admins, nil, writeOnline("watched"), http},
		{"write offline", false, writers, nil, writeOffline("stats"), flight},
		{"get", true, []string{"reader", "writer", "admin"}, stranger, get("stats"), grpc},
		{"get a hidden view", true, admins, []string{"reader", "writer", "stranger"}, get("hidden"), grpc},
		{"read online by the registry server", true, readers, nil, readOnline("stats", ""), http},
		{"read offline by the registry server", true, readers, stranger, readOffline("stats"), grpc},
		{"apply", true, admins, nil, apply("made", nil), grpc},
		{"delete", true, admins, stranger, remove("spare"), grpc},
	}
}

// callers are the auth sections of clients of servers that an identity provider serves. All but the last three have tokens that
// the servers know.
func callers(t *testing.T, p *idp.Server) (names []string, sections map[string]string) {
	t.Helper()
	roles := func(client string, names ...string) idp.Claims {
		return idp.Claims{"resource_access": map[string]any{client: map[string]any{"roles": names}}}
	}
	p.AddClient("trainer", "s1", roles("feast", "reader"))
	p.AddClient("login", "s2", nil)
	p.AddUser("wanda", "p w", roles("feast", "writer"))
	p.AddClient("elsewhere", "s3", roles("other", "reader", "writer", "admin"))
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := idp.Sign(jose.RS256, key, "rsa-1", idp.Claims{
		"iss": p.Issuer, "preferred_username": "eve", "roles": []string{"admin"}, "exp": time.Now().Add(time.Hour).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	expired := p.Token(idp.Claims{"preferred_username": "ada", "roles": []string{"admin"}, "exp": time.Now().Add(-time.Minute).Unix()})
	static := func(token string) string { return fmt.Sprintf("auth: {type: oidc, token: %s}", token) }
	fetched := func(keys string) string {
		return fmt.Sprintf("auth: {type: oidc, auth_discovery_url: %q, %s}", p.Discovery, keys)
	}
	return []string{"reader", "writer", "stranger", "admin", "expired", "foreign", "nobody"}, map[string]string{
		"reader":   fetched("client_id: trainer, client_secret: s1"),
		"writer":   fetched("client_id: login, client_secret: s2, username: wanda, password: p w"),
		"admin":    static(p.Token(idp.Claims{"preferred_username": "ada", "roles": []string{"admin"}})),
		"stranger": fetched("client_id: elsewhere, client_secret: s3"),
		"expired":  static(expired),
		"foreign":  static(foreign),
		"nobody":   "",
	}
}

// unknown are callers whose tokens no server accepts.
var unknown = []string{"expired", "foreign", "opaque", "nobody"}

// TestAuthenticated has clients of Feast and of this library call the servers of both, with tokens of one identity provider: all
// four pairs allow and refuse the same.
func TestAuthenticated(t *testing.T) {
	useFeast(t)
	p := idp.Start(t)
	names, sections := callers(t, p)
	auth := fmt.Sprintf("auth: {type: oidc, auth_discovery_url: %q, client_id: feast}", p.Discovery)
	theirs, _ := newGuardedRepo(t, auth)
	ours, fs := newGuardedRepo(t, auth)
	atFeast := servers{theirs.serveFeatures(""), theirs.serveRegistry(""), theirs.serveOffline("")}
	var o server.Options
	here := servers{ourFeatures(t, fs, o), ourRegistry(t, fs, o), ourOffline(t, fs, o)}
	t.Run("deeds", func(t *testing.T) {
		testDeeds(t, theirs, ours, atFeast, here, names, func(name string) string { return sections[name] })
	})
	t.Run("Feast's servers and tokens that end", func(t *testing.T) { testTokens(t, p, theirs, atFeast) })
	t.Run("tokens that end", func(t *testing.T) {
		testTokens(t, p, ours, here)

		// Of Feast's clients, that of the registry replaces a token that is refused, where it is told so.
		section := unripe(p)
		c := newCaller(t, ours.project, here, fmt.Sprintf("{registry_type: remote, path: %q}", here.registry), section.yaml)
		if got := outcome(get("stats").python(c)); got != "_InactiveRpcError" {
			t.Errorf("a token that is not valid yet: %q", got)
		}
		section.ripen()
		if err := get("stats").python(c); err != nil {
			t.Error(err)
		}
	})
}

// testDeeds has callers do what deeds says, by their auth sections, at servers of Feast and of this library.
func testDeeds(t *testing.T, theirs, ours *repo, atFeast, here servers, names []string, section func(name string) string) {
	t.Helper()
	for _, name := range names {
		// With the registry itself, so that its server refuses nothing, and with that behind its server.
		open := func(r *repo, at servers) map[bool]caller {
			return map[bool]caller{
				false: newCaller(t, r.project, at, filepath.Join(r.dir, "data/registry.db"), section(name)),
				true:  newCaller(t, r.project, at, fmt.Sprintf("{registry_type: remote, path: %q}", at.registry), section(name)),
			}
		}
		feasts, own := open(theirs, atFeast), open(ours, here)
		for _, d := range deeds() {
			feasts, own := feasts[d.all], own[d.all]
			known := !slices.Contains(unknown, name)
			want, wantHere, wantGo := "", "", ""
			switch {
			case !known:
				want, wantHere, wantGo = d.unknown[0], d.unknown[1], "unauthenticated"
			case slices.Contains(d.may, name):
			case slices.Contains(d.hidden, name):
				want, wantHere, wantGo = "FeastPermissionError", "FeastPermissionError", "not found"
			default:
				want, wantHere, wantGo = "FeastPermissionError", "FeastPermissionError", "denied"
			}
			if a, b := outcome(d.act.python(feasts)), outcome(d.act.python(own)); a != want || b != wantHere {
				t.Errorf("%s, %s, in Feast: %q of its server, want %q; %q of ours, want %q", name, d.name, a, want, b, wantHere)
			}
			if a, b := outcome(d.act.golang(feasts)), outcome(d.act.golang(own)); a != wantGo || b != wantGo {
				t.Errorf("%s, %s, in Go: %q of Feast's server, %q of ours, want %q", name, d.name, a, b, wantGo)
			}
		}
	}
}

// unripe adds a client whose tokens are not valid before an hour has passed, until ripen is called.
func unripe(p *idp.Server) (c struct {
	yaml  string
	ripen func()
}) {
	const id = "unripe"
	roles := idp.Claims{"roles": []string{"reader"}}
	p.AddClient(id, "s", idp.Claims{"roles": roles["roles"], "nbf": time.Now().Add(time.Hour).Unix()})
	c.yaml = fmt.Sprintf("auth: {type: oidc, auth_discovery_url: %q, client_id: %s, client_secret: s}", p.Discovery, id)
	c.ripen = func() { p.AddClient(id, "s", roles) }
	return c
}

// testTokens has clients of this library call servers while their tokens end, and with tokens that are refused at first.
func testTokens(t *testing.T, p *idp.Server, r *repo, at servers) {
	reg := fmt.Sprintf("{registry_type: remote, path: %q}", at.registry)
	open := func(auth string) (stores, registry caller) {
		return newCaller(t, r.project, at, filepath.Join(r.dir, "data/registry.db"), auth), newCaller(t, r.project, at, reg, auth)
	}
	calls := []struct {
		name string
		all  bool
		act  act
	}{
		{"online", false, readOnline("stats", "")}, {"registry", true, get("stats")}, {"offline", false, readOffline("stats")},
	}

	// Servers accept tokens up to ten seconds after their end. Those of the provider are to be replaced after a second.
	p.AddClient("brief", "s", idp.Claims{"roles": []string{"reader"}, "exp": 40 * time.Second})
	stores, registry := open(fmt.Sprintf("auth: {type: oidc, auth_discovery_url: %q, client_id: brief, client_secret: s, token_refresh_margin_seconds: 39}", p.Discovery))
	before := p.Requests("token")
	ending := p.Token(idp.Claims{"preferred_username": "brief", "roles": []string{"reader"}, "exp": -6 * time.Second})
	endingStores, endingRegistry := open("auth: {type: oidc, token: " + ending + "}")
	for _, call := range calls {
		lasting, ends := stores, endingStores
		if call.all {
			lasting, ends = registry, endingRegistry
		}
		for n := 0; ; n++ {
			if err := call.act.golang(lasting); err != nil {
				t.Fatalf("%s, call %d, with tokens of the provider: %v", call.name, n, err)
			}
			if err := call.act.golang(ends); errors.Is(err, feasterr.ErrUnauthenticated) {
				if n == 0 && call.name == "online" {
					t.Error("the token ended too early")
				}
				break
			} else if err != nil {
				t.Fatalf("%s, call %d, with a token that ends: %v", call.name, n, err)
			}
		}
	}
	if n := p.Requests("token") - before; n < 4 {
		t.Errorf("%d tokens were fetched", n)
	}

	for _, call := range calls {
		section := unripe(p)
		stores, registry := open(section.yaml)
		c := stores
		if call.all {
			c = registry
		}
		if err := call.act.golang(c); !errors.Is(err, feasterr.ErrUnauthenticated) {
			t.Errorf("%s, with a token that is not valid yet: %v", call.name, err)
		}
		section.ripen()
		if err := call.act.golang(c); err != nil {
			t.Errorf("%s, with the next token: %v", call.name, err)
		}
	}
}

// outcome names an error: one that Feast raises by its class, and others by what they are.
func outcome(err error) string {
	var raised *feastError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &raised):
		return raised.Class
	case errors.Is(err, feasterr.ErrDenied):
		return "denied"
	case errors.Is(err, feasterr.ErrUnauthenticated):
		return "unauthenticated"
	case errors.Is(err, feasterr.ErrNotFound):
		return "not found"
	}
	return err.Error()
}
