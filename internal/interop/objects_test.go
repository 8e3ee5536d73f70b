package interop_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/feastgo/feast"
)

// everythingPython returns testdata/everything.py for a project.
func everythingPython(t *testing.T, project string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/everything.py")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(b), `Project(name="interop"`, fmt.Sprintf("Project(name=%q", project), 1)
}

// TestEverything applies the same definitions by Feast and here, to different repositories: here as Go structs, and as the
// YAML that Feast's registry exports to.
func TestEverything(t *testing.T) {
	theirs := newRepo(t, "sqlite")
	theirs.define(everythingPython(t, theirs.project))
	theirs.python("apply", nil, nil)
	theirs.python("apply_datasets", nil, nil)
	opened := theirs.open()

	t.Run("nothing to do here", func(t *testing.T) {
		diff, err := opened.Plan(t.Context(), everything(t)...)
		if err != nil {
			t.Fatal(err)
		}
		if !diff.Empty() {
			t.Errorf("after Feast's apply there is still\n%s", diff)
		}
	})
	same := func(t *testing.T, objects []feast.Object) {
		ours := newRepo(t, "sqlite")
		ours.define(everythingPython(t, ours.project))
		ours.apply(ours.open(), objects...)
		t.Run("stored", func(t *testing.T) {
			compare(t, theirs.stored(), ours.stored(),
				`dataSourceClassType$`, // which Feast leaves out in places, and needs
				`^projectMetadata\.`,   // which the project itself, when it is applied, keeps Feast from writing
			)
		})
		t.Run("read by Feast", func(t *testing.T) { compare(t, theirs.objects(), ours.objects()) })
		t.Run("nothing to do in Feast", func(t *testing.T) {
			// Feast's definitions of these two never equal what it stored.
			never := []string{"UPDATE data source spark: meta", "UPDATE stream feature view stream_stats: batch_source stream_source"}
			if plan := theirs.plan(); !slices.Equal(plan, never) {
				t.Errorf("after its own apply Feast would change %q", plan)
			}
			if plan := ours.plan(); !slices.Equal(plan, never) {
				t.Errorf("Feast would change %q", plan)
			}
		})
	}
	t.Run("structs", func(t *testing.T) { same(t, everything(t)) })
	t.Run("YAML", func(t *testing.T) {
		snap, err := opened.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.Create(filepath.Join(t.TempDir(), "all.yaml"))
		if err == nil {
			err = errors.Join(feast.ExportDefinitions(file, slices.Collect(snap.Objects())...), file.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		objects, err := feast.LoadDefinitions(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		same(t, objects)
	})
}
