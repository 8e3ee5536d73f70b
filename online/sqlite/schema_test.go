package sqlite

import (
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/online"
)

// What Feast lists in the registry.
func TestInfra(t *testing.T) {
	for _, c := range []struct{ dir, path, want string }{
		{"/repo", "data/online.db", "/repo/data/online.db"},
		{"/repo", "./data//online.db", "/repo/data/online.db"},
		{"/repo", "../data/online.db", "/repo/../data/online.db"},
		{"/repo", "/var/online.db", "/var/online.db"},
		{"", "data/online.db", "data/online.db"},
	} {
		if runtime.GOOS == "windows" && filepath.VolumeName(c.path) == "" && c.path[0] == '/' {
			continue // not absolute there
		}
		section := config.NewSection("sqlite", map[string]any{"path": c.path})
		store, err := online.Open(t.Context(), section, online.Env{Project: "p", RepoDir: c.dir})
		if err != nil {
			t.Fatal(err)
		}
		p, ok := online.As[online.Provisioner](store)
		if !ok {
			t.Fatal("no list")
		}
		got := p.Infra([]*online.Table{{Project: "p", View: "a"}, {Project: "p", View: "b"}})
		class := "feast.infra.online_stores.sqlite.SqliteTable"
		want := []online.Infra{
			{Class: class, Attributes: map[string]string{"path": filepath.FromSlash(c.want), "name": "p_a"}},
			{Class: class, Attributes: map[string]string{"path": filepath.FromSlash(c.want), "name": "p_b"}},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q, %q: %v", c.dir, c.path, got)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}
