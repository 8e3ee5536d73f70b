package registry_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
	registryfile "github.com/feastgo/feast/registry/file"
	"github.com/feastgo/feast/registry/memory"
)

func sqliteTable(t *testing.T, path, name string) registry.InfraObject {
	t.Helper()
	o, err := registry.NewInfraObject("feast.infra.online_stores.sqlite.SqliteTable", map[string]string{"path": path, "name": name})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestNewInfraObject(t *testing.T) {
	table, err := registry.NewInfraObject("feast.infra.online_stores.datastore.DatastoreTable",
		map[string]string{"project": "p", "name": "p_v", "namespace": ""})
	if err != nil {
		t.Fatal(err)
	}
	if d := table.Datastore; d.Project != "p" || d.Name != "p_v" || d.ProjectID != nil || d.Namespace == nil || *d.Namespace != "" || d.Database != nil {
		t.Errorf("%+v", d)
	}
	other, err := registry.NewInfraObject("x.Y", nil)
	if !errors.Is(err, feasterr.ErrUnsupported) {
		t.Error(err)
	}
	got := fmt.Sprint(table, sqliteTable(t, "/db", "p_w"), other)
	if want := `Datastore table "p_v" SQLite table "p_w" infrastructure of x.Y`; got != want {
		t.Error(got)
	}
}

// The list of infrastructure keeps what is not this change's business. In a file it is one for all projects.
func TestUpdateInfra(t *testing.T) {
	for name, backend := range map[string]registry.Backend{
		"memory": memory.New(), "file": registryfile.New(filepath.Join(t.TempDir(), "registry.db")),
	} {
		apply := func(project string, r registry.ApplyRequest, keep, drop []registry.InfraObject) *registry.Diff {
			t.Helper()
			w := registry.Writer{Backend: backend, Project: project}
			w.BeforeCommit = func(_ context.Context, c *registry.Commit) error { return c.UpdateInfra(keep, drop) }
			return mustApply(t, &w, r)
		}
		listed := func(project string) string {
			t.Helper()
			list, err := snapshot(t, backend, project).Infra()
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			for _, o := range list.Objects {
				text += o.SQLite.Path + ":" + o.SQLite.Name + " "
			}
			return text
		}
		a, b, c := sqliteTable(t, "/db", "one_a"), sqliteTable(t, "/db", "one_b"), sqliteTable(t, "/db", "two_c")
		one := func(text string) registry.ApplyRequest {
			return objects(&registry.Entity{Name: "driver", Description: text})
		}

		if d := apply("one", one("0"), nil, []registry.InfraObject{a}); len(d.Infra) > 0 || listed("one") != "" {
			t.Errorf("%s: nothing to list: %v", name, d.Infra)
		}
		d := apply("one", one("1"), []registry.InfraObject{b, a, a}, nil)
		if got := fmt.Sprint(d.Infra); got != `[{create SQLite table "one_a"} {create SQLite table "one_b"}]` {
			t.Errorf("%s: %s", name, got)
		}
		moved := sqliteTable(t, "/other", "one_a")
		if d := apply("one", one("2"), []registry.InfraObject{moved}, []registry.InfraObject{moved}); len(d.Infra) > 0 {
			t.Errorf("%s: %v", name, d.Infra)
		}
		apply("two", one("1"), []registry.InfraObject{c}, nil)
		want := map[string]string{"memory": "/db:one_b /db:one_a ", "file": "/db:one_b /db:one_a /db:two_c "}
		if got := listed("one"); got != want[name] {
			t.Errorf("%s: listed are %s", name, got)
		}
		d = apply("one", one("3"), nil, []registry.InfraObject{moved})
		if got := fmt.Sprint(d.Infra); got != `[{delete SQLite table "one_a"}]` || d.Infra[0].Object.SQLite.Path != "/db" {
			t.Errorf("%s: %s", name, got)
		}
		apply("one", registry.ApplyRequest{Delete: []registry.Object{&registry.Project{Name: "one"}}}, nil, []registry.InfraObject{b})
		if got := listed("two"); got != "/db:two_c " {
			t.Errorf("%s: listed are %s", name, got)
		}
		state, _, err := backend.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range state.Records {
			if r.Project == "one" {
				t.Errorf("%s: left behind: %s", name, r.ID)
			}
		}
	}
}
