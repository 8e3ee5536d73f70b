package blob_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/file"
	"github.com/feastgo/feast/registry/memory"
)

// What Feast wrote goes from every kind of registry to every other, and a second copy writes nothing.
func TestCopy(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "registry", "registrytest", "testdata", "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	golden, err := registry.ParseState(data)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]func() registry.Backend{
		"memory": func() registry.Backend { return memory.New() },
		"file":   func() registry.Backend { return file.New(filepath.Join(t.TempDir(), "registry.db")) },
	}
	for _, s := range services {
		open := s.start(t, nil)
		kinds[s.name] = func() registry.Backend {
			b := open("bucket")
			if err := b.Teardown(t.Context()); err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	for from, newSource := range kinds {
		for to, newDestination := range kinds {
			if from == to && from != "memory" && from != "file" { // one object
				continue
			}
			src, dst := newSource(), newDestination()
			imported, err := registry.Import(t.Context(), src, bytes.NewReader(data), registry.CopyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, written := range []int{imported.Records, 0} {
				result, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{})
				if err != nil || result.Records != imported.Records || result.Written != written {
					t.Errorf("%s to %s: %+v, %v", from, to, result, err)
				}
			}
			var export bytes.Buffer
			if err := registry.Export(t.Context(), dst, &export); err != nil {
				t.Fatal(err)
			}
			state, err := registry.ParseState(export.Bytes())
			if err != nil || !maps.Equal(records(state), records(golden)) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
		}
	}
}

func records(s *registry.State) map[registry.ID]string {
	m := map[registry.ID]string{}
	for _, r := range s.Records {
		m[r.ID] = string(r.Proto)
	}
	return m
}

// Writers in the source and in the destination, with the store in between failing: the copy is whole or says that it is
// not, and can be run again.
func TestCopyInterrupted(t *testing.T) {
	each(t, func(t *testing.T, s service, f *fault, open func(string) registry.Backend) {
		src := memory.New()
		for _, project := range []string{"one", "two", "three"} {
			if err := src.Put(t.Context(), project, &registry.Project{Name: project}, &registry.Entity{Name: "driver"}); err != nil {
				t.Fatal(err)
			}
		}
		dst := open("bucket")
		f.set(refuseWrites(s, 1))
		if _, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{}); !errors.Is(err, feasterr.ErrDenied) {
			t.Error(err)
		}
		f.clear()
		state, _, err := dst.Load(t.Context(), "")
		if err != nil || len(state.Records) != 2 {
			t.Errorf("%v, %v", state, err)
		}
		result, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{})
		if err != nil || result.Records != 6 || result.Written != 4 {
			t.Errorf("%+v, %v", result, err)
		}
	})
}
