package sql_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/file"
)

// custom is a row of feast_metadata that a user, or Feast's REST server, wrote.
var custom = map[string]any{
	"project_id": "golden", "metadata_key": "recently_visited_ü", "metadata_value": `["a", "b"]`, "last_updated_timestamp": int64(77),
}

// A registry goes from database to database, and through a file, and stays what it is: objects, history, metadata.
func TestCopy(t *testing.T) {
	var first, last registry.Backend
	var names []string
	for _, s := range append(slices.Clone(servers), servers[0]) {
		b := openURL(t, s.url(t), "", nil)
		if names = append(names, s.name); first == nil {
			if _, err := b.Update(t.Context(), "golden", func(registry.Tx) error { return nil }); err != nil { // makes the tables
				t.Fatal(err)
			}
			for name, table := range goldenTables(t, s) {
				fill(t, b, s, name, table.Rows)
			}
			fill(t, b, s, "feast_metadata", []map[string]any{custom})
			first, last = b, b
			continue
		}
		exported := file.New(filepath.Join(t.TempDir(), "registry.db"))
		for _, step := range []struct{ dst, src registry.Backend }{{exported, last}, {b, exported}} {
			for _, again := range []bool{false, true} {
				result, err := registry.Copy(t.Context(), step.dst, step.src, registry.CopyOptions{})
				if err != nil || result.Records != 73 || again != (result.Written == 0) {
					t.Fatalf("to %s, again %t: %+v, %v", s.name, again, result, err)
				}
			}
		}
		found := false
		for _, row := range rowsOf(t, b.DB(), "feast_metadata") {
			found = found || row["metadata_key"] == custom["metadata_key"] && row["metadata_value"] == custom["metadata_value"]
		}
		if !found {
			t.Errorf("%s lost the row of the user", s.name)
		}
		last = b
	}
	want, got := messagesOf(t, first), messagesOf(t, last)
	if len(want) != 73 || len(got) != len(want) {
		t.Errorf("%d records became %d by %v", len(want), len(got), names)
	}
	for id, m := range want {
		if !bytes.Equal(m, got[id]) {
			t.Errorf("%s is not what it was", id)
		}
	}

	// A key that the source has not goes, and what others wrote is not overwritten silently.
	b := last
	_, err := b.Update(t.Context(), "golden", func(tx registry.Tx) error {
		m, err := proto.Marshal(&core.ProjectMetadata{Project: "golden", ProjectUuid: "mine"})
		return errors.Join(err, tx.Put(t.Context(), registry.Record{
			ID: registry.ID{Kind: registry.KindProjectMetadata, Project: "golden", Name: "golden"}, Proto: m,
		}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Copy(t.Context(), b, first, registry.CopyOptions{}); !errors.Is(err, feasterr.ErrConflict) {
		t.Error(err)
	}
	if result, err := registry.Copy(t.Context(), b, first, registry.CopyOptions{Overwrite: true}); err != nil || result.Written != 1 {
		t.Errorf("%+v, %v", result, err)
	}
}

func messagesOf(t *testing.T, b registry.Backend) map[registry.ID][]byte {
	t.Helper()
	state, err := registry.LoadAll(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	out := map[registry.ID][]byte{}
	for _, r := range state.Records {
		out[r.ID] = r.Proto
	}
	return out
}

// A row that cannot be read, or holds another object, is named; the others are read, and no copy is made silently.
func TestWrongRows(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		b := openURL(t, s.url(t), "demo", nil)
		put(t, b, "driver", "good")
		for name, message := range map[string][]byte{"empty": {}, "garbage": []byte("\xff\xff"), "other": entity(t, "driver", "").Proto} {
			fill(t, b, s, "entities", []map[string]any{
				{"entity_name": name, "project_id": "demo", "last_updated_timestamp": int64(1), "entity_proto": message},
			})
			r := registry.New(b, "demo", registry.Options{})
			snapshot, err := r.Refresh(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := snapshot.Entity("driver"); err != nil {
				t.Error(err)
			}
			if e, err := snapshot.Entity(name); !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), fmt.Sprintf("entity %q", name)) {
				t.Errorf("%s: %v, %v", name, e, err)
			}
			if bad := snapshot.Bad(); len(bad) != 1 || bad[0].ID.Name != name {
				t.Errorf("%s: %v", name, bad)
			}
			dst := file.New(filepath.Join(t.TempDir(), "registry.db"))
			if _, err := registry.Copy(t.Context(), dst, b, registry.CopyOptions{}); !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
			var export bytes.Buffer
			if err := registry.Export(t.Context(), b, &export); !errors.Is(err, feasterr.ErrInvalid) || export.Len() > 0 {
				t.Errorf("%s: %v", name, err)
			}
			w := registry.Writer{Backend: b, Project: "demo"}
			if _, err := w.Apply(t.Context(), registry.ApplyRequest{Delete: []registry.Object{&registry.Entity{Name: name}}}); err != nil {
				t.Errorf("%s cannot be deleted: %v", name, err)
			}
		}
	})
}
