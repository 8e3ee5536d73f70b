package blob_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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

// The store takes writes of a copy and answers nothing, nor when it is asked about them. The same copy again does the rest.
func TestCopyUnanswered(t *testing.T) {
	each(t, func(t *testing.T, _ service, f *fault, open func(string) registry.Backend) {
		src := memory.New()
		for _, project := range []string{"one", "two", "three"} {
			if err := src.Put(t.Context(), project, &registry.Project{Name: project}, &registry.Entity{Name: "driver"}); err != nil {
				t.Fatal(err)
			}
		}
		dst := open("bucket")
		silence := func(pass int32) {
			var writes atomic.Int32
			var silent atomic.Bool
			f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if writing(r) && !tries(r) && writes.Add(1) > pass {
					next.ServeHTTP(httptest.NewRecorder(), r)
					silent.Store(true)
				}
				if silent.Load() {
					cut()
				}
				next.ServeHTTP(w, r)
			})
		}
		begin(t, dst) // of a project of somebody else, so that the store was tried
		for i, done := range []int{4, 6} {
			silence(int32(1 - i))
			if _, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{}); !errors.Is(err, feasterr.ErrUnavailable) ||
				!strings.Contains(err.Error(), "the outcome is unknown") && !strings.Contains(err.Error(), "copied, but not compared") {
				t.Error(err)
			}
			f.clear()
			if state, _, err := dst.Load(t.Context(), ""); err != nil || len(state.Records) != done+1 {
				t.Errorf("%v, %v", state, err)
			}
		}
		if result, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{}); err != nil || result.Records != 6 || result.Written != 0 {
			t.Errorf("%+v, %v", result, err)
		}
	})
}

// What is garbage in an object store is not copied.
func TestCopyGarbage(t *testing.T) {
	each(t, func(t *testing.T, _ service, f *fault, open func(string) registry.Backend) {
		src, dst := open("bucket"), memory.New()
		for name, data := range map[string]string{
			"no name":   "\x0a\x02\x0a\x09\x22\x01v",
			"no record": "\x0a\x13\x0a\x11\x0a\x03odd\x4a\x03bad\x1a\x05text\xff\x22\x01v",
			"cut off":   "\x0a\x13\x0a\x11",
		} {
			f.set(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.Header().Set("ETag", `"1"`)
				w.Header().Set("X-Goog-Generation", "1")
				_, _ = io.WriteString(w, data)
			})
			var out bytes.Buffer
			if _, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{}); !errors.Is(err, feasterr.ErrInvalid) {
				t.Errorf("Copy of %s: %v", name, err)
			}
			if err := registry.Export(t.Context(), src, &out); !errors.Is(err, feasterr.ErrInvalid) || out.Len() > 0 {
				t.Errorf("Export of %s: %v, %d bytes", name, err, out.Len())
			}
		}
		if state, _, err := dst.Load(t.Context(), ""); err == nil && len(state.Records) > 0 {
			t.Errorf("%d records", len(state.Records))
		}
	})
}
