package interop_test

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/guard/guardtest"
	"github.com/feastgo/feast/internal/testserver/idp"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/permissions/auth"
	"github.com/feastgo/feast/permissions/oidc"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/remote/server"
	"github.com/feastgo/feast/types"
)

// people knows service accounts by a table, and everybody else by an identity provider.
type people struct {
	accounts guardtest.Users
	auth.Authenticator
}

func (p people) Authenticate(ctx context.Context, token string) (permissions.User, error) {
	if u, ok := p.accounts[token]; ok {
		return u, nil
	}
	return p.Authenticator.Authenticate(ctx, token)
}

// tenant is what a team has in its project: scores of its own, by tags, and a view that both teams may read. Serving programs are
// let in by their namespace, the servers of the project and those who run the platform by roles.
func tenant(project, other string) []feast.Object {
	own := tags("team", project)
	source := func(name string, tags map[string]string) *registry.DataSource {
		return &registry.DataSource{
			Name: name + "_source", TimestampField: "event_timestamp", Options: registry.FileOptions{Path: "data/" + name + ".parquet"}, Tags: tags,
		}
	}
	view := func(name string, tags map[string]string) *registry.FeatureView {
		return &registry.FeatureView{
			Name: name, Entities: []string{"driver"}, Online: true, Source: source(name, tags), TTL: 24 * time.Hour, Tags: tags,
			Schema: []registry.Field{{Name: "driver_id", Type: types.Int64}, {Name: "rate", Type: types.Float64}},
		}
	}
	objects := []feast.Object{
		&registry.Project{Name: project, Tags: own},
		&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64, Tags: own},
		source("scores", own), source("shared", nil), view("scores", own), view("shared", nil),
		&permissions.Permission{
			Name: "team", RequiredTags: own, Actions: permissions.AllActions(), Policy: permissions.GroupBased{Groups: []string{project + "-engineers"}},
		},
		&permissions.Permission{
			Name: "serving", RequiredTags: own, Actions: []permissions.Action{permissions.Describe, permissions.ReadOnline},
			Policy: permissions.NamespaceBased{Namespaces: []string{project + "-serving"}},
		},
		&permissions.Permission{
			Name: "both", NamePatterns: []string{"shared(_source)?|driver"}, Actions: append(permissions.ReadActions(), permissions.Describe),
			Types: []permissions.Kind{permissions.FeatureView, permissions.DataSource, permissions.Entity},
			Policy: permissions.CombinedGroupNamespace{
				Groups:     []string{project + "-engineers", other + "-engineers"},
				Namespaces: []string{project + "-serving", other + "-serving"},
			},
		},
		&permissions.Permission{
			Name: "servers", Actions: []permissions.Action{permissions.Describe}, Policy: permissions.RoleBased{Roles: []string{project + "-server"}},
		},
		&permissions.Permission{
			Name: "modelers", NamePatterns: []string{"made_.*"}, Actions: permissions.CRUDActions(), Policy: permissions.RoleBased{Roles: []string{project + "-modeler"}},
			Types: []permissions.Kind{permissions.Entity},
		},
		&permissions.Permission{Name: "platform", Actions: permissions.AllActions(), Policy: permissions.RoleBased{Roles: []string{"platform"}}},
		&permissions.Permission{
			Name: "views", Types: []permissions.Kind{permissions.FeatureView, permissions.DataSource, permissions.Entity},
			Actions: []permissions.Action{permissions.Describe}, Policy: permissions.RoleBased{Roles: []string{"views-only"}},
		},
	}
	for _, caller := range tenantCallers {
		for _, name := range []string{"spare_" + caller, "spare_" + caller + "_go"} {
			objects = append(objects, &registry.Entity{Name: name, JoinKey: "spare_id", ValueType: types.Int64, Tags: own})
		}
	}
	return objects
}

// tenantCallers are engineers of both teams, a program that serves for the first, somebody who may make a few entities there
// and nothing else, and those who run the platform.
var tenantCallers = []string{"fiona", "ron", "serving", "modeler", "platform"}

// TestTenants has two teams share a SQL registry behind one registry server, each with a feature server and an offline server
// that know the registry by that server alone. What each may do in its own project and in the other one is what permissions
// by tags, groups, namespaces and roles say, with clients of Feast and of this library.
func TestTenants(t *testing.T) {
	useFeast(t)
	p := idp.Start(t)
	p.AddClient("login", "s", nil)
	p.AddUser("fiona", "p", idp.Claims{"groups": []string{"fraud-engineers"}})
	p.AddUser("ron", "p", idp.Claims{"groups": []string{"ranking-engineers"}})
	p.AddClient("platform", "s", idp.Claims{"roles": []string{"platform"}})
	verifier, err := oidc.NewVerifier(oidc.VerifierOptions{DiscoveryURL: p.Discovery, ClientID: "feast"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := verifier.Close(); err != nil {
			t.Error(err)
		}
	})
	known := people{guardtest.Users{
		"serving-token": {Name: "fraud-serving:app", Namespaces: []string{"fraud-serving"}},
		"views-token":   {Name: "views-only", Roles: []string{"views-only"}},
		"modeler-token": {Name: "mona", Roles: []string{"fraud-modeler"}},
		"fraud-token":   {Name: "fraud-server", Roles: []string{"fraud-server"}},
		"ranking-token": {Name: "ranking-server", Roles: []string{"ranking-server"}},
	}, verifier}
	fetched := func(keys string) string {
		return fmt.Sprintf("auth: {type: oidc, auth_discovery_url: %q, %s}", p.Discovery, keys)
	}
	static := func(token string) string { return "auth: {type: oidc, token: " + token + "}" }
	sections := map[string]string{
		"fiona":    fetched("client_id: login, client_secret: s, username: fiona, password: p"),
		"ron":      fetched("client_id: login, client_secret: s, username: ron, password: p"),
		"serving":  static("serving-token"),
		"modeler":  static("modeler-token"),
		"platform": fetched("client_id: platform, client_secret: s"),
	}

	shared := "{registry_type: sql, path: \"sqlite:///" + filepath.Join(t.TempDir(), "registry.db") + "\"}"
	open := func(r *repo, registry string, more ...string) *feast.FeatureStore {
		r.write("feature_store.yaml", fmt.Sprintf("project: %s\nprovider: local\nregistry: %s\nentity_key_serialization_version: 3\n"+
			"online_store: {type: sqlite, path: online.db}\noffline_store: {type: duckdb}\n%s\n", r.project, registry, strings.Join(more, "\n")))
		return r.open(feast.WithOfflineStore(file.New(r.dir)))
	}
	options := server.Options{Authenticator: known}
	platform := &repo{t: t, dir: t.TempDir(), project: "platform"}
	platformFS := open(platform, shared)
	platform.apply(platformFS, &permissions.Permission{
		Name: "platform", Actions: permissions.AllActions(), Policy: permissions.RoleBased{Roles: []string{"platform"}},
	})
	registryServer := ourRegistry(t, platformFS, options)
	behind := fmt.Sprintf("{registry_type: remote, path: %q}", registryServer)
	at := map[string]servers{}
	others := map[string]string{"fraud": "ranking", "ranking": "fraud"}
	for project, other := range others {
		r := &repo{t: t, dir: t.TempDir(), project: project}
		r.apply(open(r, shared), tenant(project, other)...)
		fs := open(r, behind, static(project+"-token"))
		for _, view := range []string{"scores", "shared"} {
			r.create("data/"+view+".parquet", guardedRow(t).record(0, 1))
			if _, err := fs.WriteToOnlineStore(t.Context(), view, guardedRow(t).native(), feast.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if project == "fraud" {
			// A server that may see no permissions takes the project for one without.
			blind := &repo{t: t, dir: r.dir, project: project}
			closed := server.Options{Authenticator: known, RequirePermissions: true}
			blindFS := open(blind, behind, static("views-token"))
			c := newCaller(t, project, servers{online: ourFeatures(t, blindFS, closed)}, behind, sections["platform"])
			if err := readOnline("scores", "").golang(c); outcome(err) != "denied" || !strings.Contains(err.Error(), "has no permissions") {
				t.Errorf("a server that sees no permissions: %v", err)
			}
		}
		at[project] = servers{ourFeatures(t, fs, options), registryServer, ourOffline(t, fs, options)}
	}

	for project := range others {
		own := tags("team", project)
		team := map[string]string{"fraud": "fiona", "ranking": "ron"}[project]
		serving := map[string]string{"fraud": "serving"}[project]
		for _, name := range tenantCallers {
			c := newCaller(t, project, at[project], behind, sections[name])
			mine := name == team || name == "platform"
			sees := mine || name == serving
			shared := name != "modeler"
			makes := mine || name == map[string]string{"fraud": "modeler"}[project]
			var seen []string
			switch {
			case sees:
				seen = []string{"scores", "shared"}
			case shared:
				seen = []string{"shared"}
			}
			// Feast's client looks the view up in its list.
			writing := "FeastPermissionError"
			if !sees {
				writing = "KeyError"
			}
			for _, d := range []struct {
				name   string
				may    bool
				hidden bool   // not there, in Go
				class  string // what Feast raises; empty: FeastPermissionError
				act    act
			}{
				{"list", true, false, "", list(seen...)},
				{"get", sees, true, "", get("scores")},
				{"read online", sees, false, "", readOnline("scores", "")},
				{"read shared online", shared, false, "", readOnline("shared", "")},
				{"read offline", mine, !sees, "", readOffline("scores")},
				{"read shared offline", shared, true, "", readOffline("shared")},
				{"write online", mine, !sees, writing, writeOnline("scores")},
				{"write shared online", name == "platform", !shared, map[bool]string{false: "KeyError"}[shared], writeOnline("shared")},
				{"write offline", mine, !sees, "", writeOffline("scores")},
				{"apply", makes, false, "", apply("made_"+name, own)},
				{"apply without tags", name == "platform", false, "", apply("bare_"+name, nil)},
				{"delete", mine, !sees, "", remove("spare_" + name)},
				{"change the project", mine, false, "", makeProject(project, own)},
			} {
				want, wantGo := "", ""
				if !d.may {
					want, wantGo = cmp.Or(d.class, "FeastPermissionError"), "denied"
					if d.hidden {
						wantGo = "not found"
					}
				}
				if got := outcome(d.act.python(c)); got != want {
					t.Errorf("%s in %s, %s, in Feast: %q, want %q", name, project, d.name, got, want)
				}
				err := d.act.golang(c)
				if got := outcome(err); got != wantGo {
					t.Errorf("%s in %s, %s, in Go: %q, want %q (%v)", name, project, d.name, got, wantGo, err)
				}
			}
		}
	}

	// Projects are made by those who run the platform.
	for _, name := range tenantCallers {
		want, wantGo := "FeastPermissionError", "denied"
		if name == "platform" {
			want, wantGo = "", ""
		}
		c := newCaller(t, "new_"+name, at["fraud"], behind, sections[name])
		if got := outcome(makeProject("new_"+name+"_py", nil).python(c)); got != want {
			t.Errorf("%s makes a project, in Feast: %q, want %q", name, got, want)
		}
		if got := outcome(makeProject("new_"+name, nil).golang(c)); got != wantGo {
			t.Errorf("%s makes a project, in Go: %q, want %q", name, got, wantGo)
		}
	}
}

// makeProject applies a project: in Go that of the client.
func makeProject(name string, tags map[string]string) act {
	return act{
		func(c caller) error { return c.try("apply_project", map[string]any{"name": name, "tags": tags}, nil) },
		func(c caller) error {
			_, err := c.fs.Apply(c.t.Context(), &registry.Project{Name: name, Tags: tags, Description: c.dir})
			return err
		},
	}
}
