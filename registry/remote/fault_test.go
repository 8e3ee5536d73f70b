package remote_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/internal/registryserver"
	onlinememory "github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	registryremote "github.com/feastgo/feast/registry/remote"
	"github.com/feastgo/feast/types"
)

// objects are a small project.
func objects() []registry.Object {
	source := &registry.DataSource{Name: "file", TimestampField: "ts", Options: registry.FileOptions{Path: "d.parquet"}}
	return []registry.Object{
		&registry.Project{Name: "demo"},
		&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64},
		&registry.FeatureView{Name: "stats", Entities: []string{"driver"}, Schema: []registry.Field{{Name: "f", Type: types.Int64}}, Source: source},
		&registry.FeatureService{Name: "service", Features: []registry.FeatureViewProjection{{Name: "stats"}}},
	}
}

// filled is a registry with objects.
func filled(t *testing.T) *memory.Backend {
	t.Helper()
	b := memory.New()
	w := registry.Writer{Backend: b, Project: "demo"}
	if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: objects()}); err != nil {
		t.Fatal(err)
	}
	return b
}

// gate is an interceptor that answers calls with errors, by their method.
type gate struct {
	fail  atomic.Pointer[func(method string) error]
	asked atomic.Int64
	token atomic.Pointer[string] // of the last call
}

func (g *gate) set(fail func(method string) error) { g.fail.Store(&fail) }

func (g *gate) option() grpc.ServerOption {
	return grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if md, ok := metadata.FromIncomingContext(ctx); ok && len(md.Get("authorization")) > 0 {
			g.token.Store(new(md.Get("authorization")[0]))
		}
		if fail := g.fail.Load(); fail != nil {
			if err := (*fail)(info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]); err != nil {
				return nil, err
			}
		}
		return next(ctx, req)
	})
}

// The server is not there, and then it is; goes away, while what was read serves; and comes back.
func TestServerRestarts(t *testing.T) {
	b := filled(t)
	address := serve(t, &registryserver.Server{Backend: b}) // to find a free port
	register := func(g *grpc.Server) { registrygrpc.RegisterRegistryServerServer(g, &registryserver.Server{Backend: b}) }
	down := connect(t, "127.0.0.1:1", "demo")
	r := registry.New(down, "demo", registry.Options{})
	if _, err := r.Snapshot(t.Context()); !errors.Is(err, feasterr.ErrUnavailable) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Error("down at first load:", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}

	r = registry.New(connect(t, address, "demo"), "demo", registry.Options{})
	defer r.Close()
	first, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var restarted string
	t.Run("down", func(t *testing.T) {
		inner := serveOn(t, "127.0.0.1:0", register)
		restarted = inner
		away := registry.New(connect(t, inner, "demo"), "demo", registry.Options{})
		t.Cleanup(func() { _ = away.Close() })
		if _, err := away.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	// The server of the subtest is gone, and another one listens in its place.
	again := registry.New(connect(t, restarted, "demo"), "demo", registry.Options{})
	defer again.Close()
	if _, err := again.Snapshot(t.Context()); !errors.Is(err, feasterr.ErrUnavailable) {
		t.Error("gone:", err)
	}
	if got := serveOn(t, restarted, register); got != restarted {
		t.Fatal(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		if _, err = again.Snapshot(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		t.Error("after a restart:", err)
	}
	if _, err := first.FeatureView("stats"); err != nil {
		t.Error(err)
	}
}

// A list that fails fails the refresh, and the old snapshot serves.
func TestRefreshFails(t *testing.T) {
	var g gate
	r := registry.New(connect(t, serve(t, &registryserver.Server{Backend: filled(t)}, g.option()), "demo"), "demo", registry.Options{})
	defer r.Close()
	first, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for code, class := range map[codes.Code]error{
		codes.Unauthenticated: feasterr.ErrUnauthenticated, codes.Internal: nil, codes.Unavailable: feasterr.ErrUnavailable,
	} {
		g.set(func(method string) error {
			if method == "ListFeatureServices" {
				return status.Error(code, "no")
			}
			return nil
		})
		if _, err := r.Refresh(t.Context()); err == nil || class != nil && !errors.Is(err, class) || !strings.Contains(err.Error(), "ListFeatureServices") {
			t.Errorf("%s: %v", code, err)
		}
		if s, err := r.Snapshot(t.Context()); s != first || err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
	g.set(func(string) error { return nil })
	if s, err := r.Refresh(t.Context()); s != first || err != nil {
		t.Error("back, and nothing changed:", err)
	}
	g.set(func(method string) error { // a server from before there were these
		if method == "ListLabelViews" || method == "GetInfra" {
			return status.Error(codes.Unimplemented, "Method not found!")
		}
		return nil
	})
	if s, err := r.Refresh(t.Context()); s != first || err != nil {
		t.Error("an older server:", err)
	}
}

// An identity that may not list views and services looks up those that it uses.
func TestRestrictedIdentity(t *testing.T) {
	var g gate
	var gets atomic.Int64
	denied := status.Error(codes.PermissionDenied, `{"module": "feast.errors", "class": "FeastPermissionError", "message": "no"}`)
	g.set(func(method string) error {
		switch method {
		case "ListFeatureViews", "ListStreamFeatureViews", "ListOnDemandFeatureViews", "ListLabelViews", "ListFeatureServices", "ListPermissions":
			return denied
		case "GetAnyFeatureView", "GetFeatureService":
			gets.Add(1)
		case "GetPermission":
			return denied
		}
		return nil
	})
	b := filled(t)
	remote := connect(t, serve(t, &registryserver.Server{Backend: b}, g.option()), "demo")
	r := registry.New(remote, "demo", registry.Options{})
	defer r.Close()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := []registry.Kind{
		registry.KindFeatureView, registry.KindStreamFeatureView, registry.KindOnDemandFeatureView, registry.KindLabelView,
		registry.KindFeatureService, registry.KindPermission,
	}; !slices.Equal(s.Hidden(), want) {
		t.Errorf("hidden are %v", s.Hidden())
	}
	if _, err := s.Permissions(); !errors.Is(err, feasterr.ErrDenied) {
		t.Error("decisions on permissions that are not seen:", err)
	}
	if _, err := s.Entity("driver"); err != nil {
		t.Error(err)
	}
	find := func(get func(*registry.Snapshot) error) error {
		err := get(s)
		for errors.Is(err, feasterr.ErrNotFound) {
			next, lerr := r.Lookup(t.Context(), s, err)
			if lerr != nil {
				return lerr
			}
			if next == nil {
				return err
			}
			s = next
			err = get(s)
		}
		return err
	}
	view := func(s *registry.Snapshot) error { _, err := s.View("stats"); return err }
	service := func(s *registry.Snapshot) error { _, err := s.FeatureService("service"); return err }
	for range 3 {
		if err := errors.Join(find(view), find(service)); err != nil {
			t.Fatal(err)
		}
	}
	if n := gets.Load(); n != 2 {
		t.Errorf("%d objects were looked up", n)
	}
	for range 3 {
		if err := find(func(s *registry.Snapshot) error { _, err := s.View("nothing"); return err }); !errors.Is(err, feasterr.ErrNotFound) {
			t.Error(err)
		}
		if err := find(func(s *registry.Snapshot) error { _, err := s.StreamFeatureView("stats"); return err }); !errors.Is(err, feasterr.ErrNotFound) {
			t.Error("a view of another kind:", err)
		}
	}
	if n := gets.Load(); n < 3 || n > 6 {
		t.Errorf("%d calls: what is not there is looked up once a second", n)
	}
	if err := find(func(s *registry.Snapshot) error { _, err := s.Permission("p"); return err }); !errors.Is(err, feasterr.ErrDenied) {
		t.Error(err)
	}

	// What was looked up is read again by a refresh.
	w := registry.Writer{Backend: b, Project: "demo"}
	changed := *objects()[2].(*registry.FeatureView)
	changed.Owner = "me"
	if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{&changed}}); err != nil {
		t.Fatal(err)
	}
	if s, err = r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := s.FeatureView("stats"); err != nil || v.Owner != "me" {
		t.Error(v, err)
	}
	if again, err := r.Refresh(t.Context()); err != nil || again != s {
		t.Error("nothing changed:", err)
	}

	// It can note materializations, and not apply, for which everything has to be seen.
	w.Backend = remote
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := w.ApplyMaterialization(t.Context(), "stats", at, at.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: objects()}); !errors.Is(err, feasterr.ErrDenied) {
		t.Error(err)
	}
}

// A change that fails half way says what landed; applying again completes it.
func TestUnfinished(t *testing.T) {
	var g gate
	b := memory.New()
	remote := connect(t, serve(t, &registryserver.Server{Backend: b}, g.option()), "demo")
	defer remote.Close()
	w := registry.Writer{Backend: remote, Project: "demo"}
	apply := func() error {
		_, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: objects()})
		return err
	}
	g.set(func(method string) error {
		if method == "ApplyProject" {
			return status.Error(codes.Unavailable, "no")
		}
		return nil
	})
	var unfinished *registry.UnfinishedError
	if err := apply(); !errors.Is(err, feasterr.ErrUnavailable) || errors.As(err, &unfinished) || !strings.Contains(err.Error(), `project "demo"`) {
		t.Error("the first change:", err)
	}
	g.set(func(method string) error {
		if method == "ApplyFeatureView" {
			return status.Error(codes.PermissionDenied, `{"module": "feast.errors", "class": "FeastPermissionError", "message": "no"}`)
		}
		return nil
	})
	err := apply()
	if !errors.As(err, &unfinished) || !errors.Is(err, feasterr.ErrDenied) {
		t.Fatal(err)
	}
	var done []string
	for _, id := range unfinished.Done {
		done = append(done, id.String())
	}
	if want := []string{
		`project "demo"`, `entity "__dummy" of project "demo"`, `entity "driver" of project "demo"`, `data source "file" of project "demo"`,
	}; !slices.Equal(done, want) || unfinished.Failed.Name != "stats" || unfinished.Left != 1 {
		t.Errorf("%q, %v, %d", done, unfinished.Failed, unfinished.Left)
	}
	for _, part := range []string{`feature view "stats"`, `entity "driver"`, "1 after it", "repeat the call"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %s", err, part)
		}
	}
	g.set(func(string) error { return nil })
	if err := apply(); err != nil {
		t.Fatal(err)
	}
	direct := registry.Writer{Backend: b, Project: "demo"}
	if d, err := direct.Apply(t.Context(), registry.ApplyRequest{Objects: objects()}); err != nil || !d.Empty() {
		t.Error(d, err)
	}
}

// An identity that may not see the project, nor the placeholder of views without entities, is not refused because of what comes
// along with its objects, and is when it asks for the project itself.
func TestRefusedAlong(t *testing.T) {
	var g gate
	var entities atomic.Int64
	b := memory.New()
	remote := connect(t, serve(t, &registryserver.Server{Backend: b}, g.option()), "demo")
	defer remote.Close()
	w := registry.Writer{Backend: remote, Project: "demo"}
	g.set(func(method string) error {
		if method == "ApplyProject" || method == "ApplyEntity" && entities.Add(1) == 1 {
			return status.Error(codes.PermissionDenied, `{"module": "feast.errors", "class": "FeastPermissionError", "message": "no"}`)
		}
		return nil
	})
	if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: objects()[1:]}); err != nil || entities.Load() != 2 {
		t.Error(err, entities.Load())
	}
	owned := &registry.Project{Name: "demo", Owner: "me"}
	if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{owned}}); !errors.Is(err, feasterr.ErrDenied) {
		t.Error("the project itself:", err)
	}
	direct := registry.Writer{Backend: b, Project: "demo"}
	if d, err := direct.Apply(t.Context(), registry.ApplyRequest{Objects: objects()}); err != nil || !d.Empty() {
		t.Error(d, err)
	}
}

func TestOpen(t *testing.T) {
	for name, test := range map[string]struct {
		path  string
		keys  map[string]any
		auth  string
		class error
		text  string
	}{
		"plain":             {path: "localhost:6570"},
		"no path":           {class: feasterr.ErrInvalid, text: "path"},
		"a URL":             {path: "http://localhost:6570", class: feasterr.ErrInvalid, text: "host:port"},
		"half a client":     {path: "localhost:6570", keys: map[string]any{"is_tls": true, "client_cert": "x"}, class: feasterr.ErrInvalid, text: "client_key"},
		"a client in plain": {path: "localhost:6570", keys: map[string]any{"client_cert": "x", "client_key": "y"}, class: feasterr.ErrInvalid, text: "is_tls"},
		"no certificate":    {path: "localhost:6570", keys: map[string]any{"cert": "/does/not/exist"}, class: feasterr.ErrInvalid, text: "/does/not/exist"},
		"system":            {path: "localhost:6570", keys: map[string]any{"is_tls": true, "authority": "a"}},
		"no tokens":         {path: "localhost:6570", auth: "oidc", class: feasterr.ErrUnsupported, text: "WithTokenSource"},
		"a wrong key":       {path: "localhost:6570", keys: map[string]any{"is_tls": "perhaps"}, class: feasterr.ErrInvalid, text: "is_tls"},
	} {
		cfg := config.Default("demo")
		cfg.Registry.Type, cfg.Registry.Path = "remote", test.path
		cfg.Registry.Section = config.NewSection("remote", test.keys)
		if test.auth != "" {
			cfg.Auth = config.NewSection(test.auth, nil)
		}
		b, err := registry.Open(t.Context(), cfg, registry.Env{})
		if test.class != nil {
			if !errors.Is(err, test.class) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if _, ok := b.(*registryremote.Backend); !ok || err != nil {
			t.Errorf("%s: %T, %v", name, b, err)
			continue
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Objects that cannot be read are named, and the others are there; an answer that cannot be taken apart is an error.
func TestGarbage(t *testing.T) {
	var p player
	answers := map[string][]byte{
		"ListEntities":      {0x0a, 0x02, 0x0a, 0xff, 0x0a, 0x06, 0x0a, 0x04, 0x0a, 0x02, 'o', 'k'},
		"GetAnyFeatureView": {0x0a, 0x02, 0x7a, 0x00},
	}
	p.answer = func(method string) ([]byte, error) { return answers[method], nil }
	b := connect(t, servePlayer(t, &p), "demo")
	r := registry.New(b, "demo", registry.Options{})
	defer r.Close()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if bad := s.Bad(); len(bad) != 1 || bad[0].ID.Kind != registry.KindEntity || !errors.Is(bad[0].Err, feasterr.ErrInvalid) {
		t.Errorf("%v", bad)
	}
	if _, err := s.Entity("ok"); err != nil {
		t.Error(err)
	}
	if _, err := b.Lookup(t.Context(), registry.ID{Kind: registry.KindFeatureView, Project: "demo", Name: "x"}); !errors.Is(err, feasterr.ErrUnsupported) {
		t.Error("a view of an unknown kind:", err)
	}
	answers["ListEntities"] = []byte{0x0a, 0x7f}
	if _, err := r.Refresh(t.Context()); !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), "ListEntities") {
		t.Error(err)
	}
}

// A feature store over the registry of an identity that may list nothing but entities.
func TestFeatureStore(t *testing.T) {
	var g gate
	g.set(func(method string) error {
		if strings.HasPrefix(method, "List") && method != "ListEntities" && method != "ListProjects" {
			return status.Error(codes.PermissionDenied, `{"module": "feast.errors", "class": "FeastPermissionError", "message": "no"}`)
		}
		if method == "GetFeatureService" {
			g.asked.Add(1)
		}
		return nil
	})
	server := &registryserver.Server{Backend: filled(t)}
	cfg := config.Default("demo")
	cfg.Registry.Type, cfg.Registry.Path = "remote", serve(t, server, g.option())
	fs, err := feast.New(t.Context(), cfg, feast.WithOnlineStore(onlinememory.New()), feast.WithTokenSource(token("secret")))
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	rows := feast.Columns{"driver_id": []int64{1}, "f": []int64{7}, "ts": []time.Time{time.Now()}}
	if _, err := fs.WriteToOnlineStore(t.Context(), "stats", rows, feast.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		answer, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{FeatureService: "service", Entities: feast.Columns{"driver_id": []int64{1}}})
		if err != nil {
			t.Fatal(err)
		}
		if c, err := answer.Column("f"); err != nil || c.Any(0) != int64(7) {
			t.Error(c, err)
		}
	}
	if n := g.asked.Load(); n != 1 {
		t.Errorf("the service was looked up %d times", n)
	}
	if _, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{FeatureService: "nothing", Entities: feast.Columns{"driver_id": []int64{1}}}); !errors.Is(err, feast.ErrNotFound) {
		t.Error(err)
	}
	if got := g.token.Load(); got == nil || *got != "Bearer secret" {
		t.Errorf("token %v", got)
	}
}

type token string

func (s token) Token(context.Context) (string, error) { return string(s), nil }

// A change that comes between the lists makes the client read them again, so that it never has half of it.
func TestLoadOneState(t *testing.T) {
	b := filled(t)
	var g gate
	var once sync.Once
	g.set(func(method string) error {
		if method != "ListFeatureServices" {
			return nil
		}
		once.Do(func() { // entities and views are listed already
			w := registry.Writer{Backend: b, Project: "demo"}
			source := &registry.DataSource{Name: "late", TimestampField: "ts", Options: registry.FileOptions{Path: "late.parquet"}}
			view := &registry.FeatureView{
				Name: "late", Entities: []string{"late"}, Source: source, Online: true, Schema: []registry.Field{{Name: "f", Type: types.Int64}},
			}
			service := &registry.FeatureService{Name: "late", Features: []registry.FeatureViewProjection{{Name: "late"}}}
			entity := &registry.Entity{Name: "late", ValueType: types.Int64}
			if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{entity, view, service}}); err != nil {
				t.Error(err)
			}
		})
		return nil
	})
	remote := connect(t, serve(t, &registryserver.Server{Backend: b}, g.option()), "demo")
	defer remote.Close()
	state, _, err := remote.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []registry.Kind
	for _, r := range state.Records {
		if r.Name == "late" {
			kinds = append(kinds, r.Kind)
		}
	}
	slices.Sort(kinds)
	if want := []registry.Kind{registry.KindEntity, registry.KindDataSource, registry.KindFeatureView, registry.KindFeatureService}; !slices.Equal(kinds, want) {
		t.Errorf("the load has %v of what was applied in between, want %v", kinds, want)
	}
}
