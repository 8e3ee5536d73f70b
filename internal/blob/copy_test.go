package blob_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/file"
	"github.com/feastgo/feast/registry/memory"
	_ "github.com/feastgo/feast/registry/sql/sqlite"
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
		"sql": func() registry.Backend { // limited to one project, as a feature store opens it
			cfg := config.Default("demo")
			cfg.Registry.Type, cfg.Registry.Path = "sql", "sqlite:///"+filepath.Join(t.TempDir(), "registry.db")
			b, err := registry.Open(t.Context(), cfg, registry.Env{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
			return b
		},
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
			if from == to && (from == "s3" || from == "gcs") { // one object
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
			if err != nil {
				t.Fatal(err)
			}
			seconds := from == "sql" || to == "sql" // of the times of versions
			if got, want := records(t, state, seconds), records(t, golden, seconds); !maps.Equal(got, want) {
				t.Errorf("%s to %s: %d records of %d", from, to, len(got), len(want))
			}
		}
	}
}

// records returns the messages of a state; with seconds, versions without the fractions of their times.
func records(t *testing.T, s *registry.State, seconds bool) map[registry.ID]string {
	t.Helper()
	m := map[registry.ID]string{}
	for _, r := range s.Records {
		if r.Kind == registry.KindViewVersion && seconds {
			var v core.FeatureViewVersionRecord
			if err := proto.Unmarshal(r.Proto, &v); err != nil {
				t.Fatal(err)
			}
			v.CreatedTimestamp.Nanos = 0
			b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&v)
			if err != nil {
				t.Fatal(err)
			}
			r.Proto = b
		}
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
