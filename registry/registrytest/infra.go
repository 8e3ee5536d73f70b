package registrytest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/feastgo/feast/registry"
)

func sqliteTable(t *testing.T, path, name string) registry.InfraObject {
	t.Helper()
	o, err := registry.NewInfraObject("feast.infra.online_stores.sqlite.SqliteTable", map[string]string{"path": path, "name": name})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// The list of infrastructure keeps what is not this change's business. In a file it is one for all projects.
func testCommitInfra(t *testing.T, p Place) {
	change := func(project string, r registry.ApplyRequest, keep, drop []registry.InfraObject) *registry.Diff {
		t.Helper()
		w := registry.Writer{Backend: openFor(t, p, project), Project: project}
		w.BeforeCommit = func(_ context.Context, c *registry.Commit) error { return c.UpdateInfra(keep, drop) }
		return apply(t, &w, r)
	}
	listed := func(project string) string {
		t.Helper()
		s, err := snapshotOf(t.Context(), t, p, project)
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.Infra()
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, o := range list.Objects {
			if !strings.HasPrefix(o.SQLite.Name, project) {
				continue
			}
			text.WriteString(o.SQLite.Path + ":" + o.SQLite.Name + " ")
		}
		return text.String()
	}
	a, b, c := sqliteTable(t, "/db", "one_a"), sqliteTable(t, "/db", "one_b"), sqliteTable(t, "/db", "two_c")
	one := func(text string) registry.ApplyRequest {
		return registry.ApplyRequest{Objects: []registry.Object{describe(text)}}
	}

	if d := change("one", one("0"), nil, []registry.InfraObject{a}); len(d.Infra) > 0 || listed("one") != "" {
		t.Errorf("nothing to list: %v", d.Infra)
	}
	d := change("one", one("1"), []registry.InfraObject{b, a, a}, nil)
	if got := fmt.Sprint(d.Infra); got != `[{create SQLite table "one_a"} {create SQLite table "one_b"}]` {
		t.Error(got)
	}
	moved := sqliteTable(t, "/other", "one_a")
	if d := change("one", one("2"), []registry.InfraObject{moved}, []registry.InfraObject{moved}); len(d.Infra) > 0 {
		t.Errorf("%v", d.Infra)
	}
	change("two", one("1"), []registry.InfraObject{c}, nil)
	if got := listed("one"); got != "/db:one_b /db:one_a " {
		t.Errorf("listed are %s", got)
	}
	d = change("one", one("3"), nil, []registry.InfraObject{moved})
	if got := fmt.Sprint(d.Infra); got != `[{delete SQLite table "one_a"}]` || d.Infra[0].Object.SQLite.Path != "/db" {
		t.Error(got)
	}
	change("one", registry.ApplyRequest{Delete: []registry.Object{&registry.Project{Name: "one"}}}, nil, []registry.InfraObject{b})
	if got := listed("two"); got != "/db:two_c " {
		t.Errorf("listed are %s", got)
	}
	state, _, err := openFor(t, p, "one").Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range state.Records {
		if r.Project == "one" {
			t.Errorf("left behind: %s", r.ID)
		}
	}
}
