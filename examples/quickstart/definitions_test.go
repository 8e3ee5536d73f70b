package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
)

// The YAML and the Go structs are the same objects, and export to the same text.
func TestDefinitionsAgree(t *testing.T) {
	objects, err := feast.LoadDefinitions("repo")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(objects, Definitions()) {
		var yaml, goes bytes.Buffer
		if err := feast.ExportDefinitions(&yaml, objects...); err != nil {
			t.Fatal(err)
		}
		if err := feast.ExportDefinitions(&goes, Definitions()...); err != nil {
			t.Fatal(err)
		}
		t.Errorf("definitions.yaml says\n%s\ndefinitions.go\n%s", &yaml, &goes)
	}
}

// Applied to the registry that Feast made of features.py, the definitions change nothing.
func TestDefinitionsAreThoseOfPython(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("repo", "data", "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	state, err := registry.ParseState(data)
	if err != nil {
		t.Fatal(err)
	}
	backend := memory.New()
	if _, err := backend.Update(t.Context(), "quickstart", func(tx registry.Tx) error {
		for _, r := range state.Records {
			if r.Kind == registry.KindInfra { // of all projects
				continue
			}
			if err := tx.Put(t.Context(), r); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w := registry.Writer{Backend: backend, Project: "quickstart", Now: func() time.Time { return time.Unix(1700000000, 0) }}
	diff, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: Definitions(), Prune: true, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if !diff.Empty() || len(diff.Changes) != 6 { // the placeholder entity of views without entities is the sixth
		t.Errorf("%d changes:\n%s", len(diff.Changes), diff)
	}
}
