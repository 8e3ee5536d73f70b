package interop_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/guard/guardtest"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/remote/server"
)

// TestOurRegistryServer has Feast use a registry behind our server, as registry_type remote: applied, read, planned, applied
// again, materialized and deleted by Feast, and by us through registry/remote.
func TestOurRegistryServer(t *testing.T) {
	useFeast(t)
	for name, c := range map[string]struct {
		registry string
		secure   bool
	}{
		"file":            {"{path: data/registry.db}", false},
		"file over TLS":   {"{path: data/registry.db}", true},
		"SQLite":          {"{registry_type: sql, path: \"sqlite:///%s/registry.db\"}", false},
		"SQLite over TLS": {"{registry_type: sql, path: \"sqlite:///%s/registry.db\"}", true},
	} {
		t.Run(name, func(t *testing.T) {
			section := c.registry
			if section[1] == 'r' {
				section = fmt.Sprintf(section, t.TempDir())
			}
			testOurRegistryServer(t, section, c.secure)
		})
	}
}

func testOurRegistryServer(t *testing.T, section string, secure bool) {
	r := newRepo(t, "sqlite")
	r.write("server.yaml", r.withRegistry(section))
	behind, err := feast.Open(t.Context(), filepath.Join(r.dir, "server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := behind.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := server.Registry(behind, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keys := ""
	var options []grpc.ServerOption
	if secure {
		dir := t.TempDir()
		certs, err := testserver.Certs()
		if err == nil {
			err = certs.Write(dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		creds, err := credentials.NewServerTLSFromFile(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
		if err != nil {
			t.Fatal(err)
		}
		options, keys = append(options, grpc.Creds(creds)), ", cert: "+filepath.Join(dir, "server.crt")
	}
	g := s.NewServer(options...)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		g.Stop() // Feast keeps its connection
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	at := fmt.Sprintf("{registry_type: remote, path: \"localhost:%d\"%s}", l.Addr().(*net.TCPAddr).Port, keys)
	r.write("feature_store.yaml", r.withRegistry(at))

	d := definition{project: r.project, ttl: 1, team: "a", features: "a", other: true}
	r.define(d.python())
	r.python("apply", nil, nil)
	always := r.plan()
	fs := r.open()
	agree := func(turn string) {
		t.Helper()
		r.define(d.python())
		r.python("open_repo", nil, nil)
		if err := fs.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.nothingLeft(fs, d, turn, always)
	}
	agree("applied by Feast")
	snap := func() *registry.Snapshot {
		t.Helper()
		if err := behind.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, err := behind.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	v, err := snap().FeatureView("stats")
	if err != nil || v.Source == nil || v.TTL != time.Duration(d.ttl)*time.Hour && v.TTL == 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	created := v.Created
	r.python("apply", nil, nil)
	agree("applied again")
	d.ttl, d.team, d.features = 2, "b", "a b"
	r.define(d.python())
	r.python("apply", nil, nil)
	agree("changed by Feast")
	if v, err := snap().FeatureView("stats"); err != nil || len(v.Schema) != 2 || !v.Created.Equal(created) {
		t.Errorf("%+v, %v", v, err)
	}
	d.team = "c"
	r.apply(fs, d.objects()...)
	agree("changed by us, through the server")

	// What the server answers over HTTP is what Feast lists.
	h := httptest.NewServer(s.Handler())
	defer h.Close()
	response, err := http.Get(h.URL + "/api/v1/feature_views?project=" + r.project + "&sort_by=name")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var listed struct {
		FeatureViews []struct {
			Type string
			Spec struct{ Name string }
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&listed); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range listed.FeatureViews {
		names = append(names, v.Spec.Name)
	}
	var stored []string
	for v := range snap().Views() {
		stored = append(stored, v.Info().Name)
	}
	slices.Sort(stored)
	if response.StatusCode != http.StatusOK || !slices.Equal(names, stored) {
		t.Errorf("status %d, %q, want %q", response.StatusCode, names, stored)
	}

	now := time.Now().UTC().Truncate(time.Second)
	r.python("parquet", map[string]any{"path": "data/source.parquet", "columns": d.rows(t, 3, 100, now.Add(-time.Hour)).python()}, nil)
	r.python("materialize", map[string]any{
		"start": now.Add(-2 * time.Hour).Format(time.RFC3339), "end": now.Format(time.RFC3339), "views": []string{"stats"},
	}, nil)
	if v, err := snap().FeatureView("stats"); err != nil || len(v.MaterializationIntervals) != 1 || v.State != registry.StateAvailableOnline {
		t.Errorf("%+v, %v", v, err)
	}

	d.other = false
	r.define(d.python())
	r.python("apply", nil, nil)
	if _, err := snap().FeatureView("other"); err == nil {
		t.Error("other is still there")
	}
}

// TestOurRegistryServerTokens has Feast call our server with tokens: what the permissions of the project allow works, and the
// rest raises Feast's own exception.
func TestOurRegistryServerTokens(t *testing.T) {
	r := newRepo(t, "sqlite")
	behind := r.open()
	d := definition{project: r.project, ttl: 1, team: "a", features: "a", other: true}
	r.define(d.python())
	all := append(d.objects(), &permissions.Permission{Name: "all", Actions: permissions.AllActions(), Policy: permissions.RoleBased{Roles: []string{"admin"}}})
	r.apply(behind, all...)
	s, err := server.Registry(behind, server.Options{Authenticator: guardtest.Users{
		"admin-token": {Name: "admin", Roles: []string{"admin"}}, "nobody-token": {Name: "nobody"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	g := s.NewServer()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for token, want := range map[string]string{"admin-token": "", "nobody-token": "FeastPermissionError", "forged": "UNAUTHENTICATED"} {
		client := newRepo(t, "sqlite", "auth: {type: oidc, token: "+token+"}")
		client.write("feature_store.yaml", client.withRegistry(fmt.Sprintf("{registry_type: remote, path: \"localhost:%d\"}", l.Addr().(*net.TCPAddr).Port)))
		client.define(d.python())
		err := client.try("apply_entities", map[string]any{"prefix": "made", "count": 1}, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", token, err, want)
		}
	}
	if err := behind.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	snap, err := behind.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snap.Entity("made_0"); err != nil {
		t.Error(err)
	}
}
