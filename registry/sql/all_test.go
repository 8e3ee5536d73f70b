package sql_test

import (
	"path/filepath"
	"testing"

	"github.com/feastgo/feast/registry"
	_ "github.com/feastgo/feast/registry/sql/sqlite"
)

// A backend of one project can be had as one of all, over the same connections.
func TestAll(t *testing.T) {
	one := openURL(t, "sqlite:///"+filepath.Join(t.TempDir(), "registry.db"), "a", nil)
	all := one.All()
	for _, project := range []string{"a", "b"} {
		w := registry.Writer{Backend: all, Project: project}
		if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{&registry.Entity{Name: "driver"}}}); err != nil {
			t.Fatal(err)
		}
	}
	entities := func(b registry.Backend) (n int) {
		t.Helper()
		state, _, err := b.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range state.Records {
			if r.Kind == registry.KindEntity && r.Name == "driver" {
				n++
			}
		}
		return n
	}
	if entities(one) != 1 || entities(all) != 2 {
		t.Errorf("%d and %d entities, want 1 and 2", entities(one), entities(all))
	}
	if err := all.Close(); err != nil {
		t.Error(err)
	}
	if entities(one) != 1 {
		t.Error("the connections are closed")
	}
	if whole := all.(registry.Whole).All(); whole != all {
		t.Error("what has all projects already is made anew")
	}
}
