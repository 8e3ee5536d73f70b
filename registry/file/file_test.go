package file_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/file"
	"github.com/feastgo/feast/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	var version atomic.Int64
	place := func(write func(t *testing.T, path string, data []byte)) func(*testing.T) registrytest.Place {
		return func(t *testing.T) registrytest.Place {
			path := filepath.Join(t.TempDir(), "registry.db")
			return registrytest.Place{
				Open: func(*testing.T) registry.Backend { return file.New(path) },
				Write: func(t *testing.T, records []registry.Record) {
					write(t, path, registrytest.File("version "+strconv.FormatInt(100000+version.Add(1), 10), records))
				},
			}
		}
	}
	t.Run("InPlace", func(t *testing.T) { // as Feast writes
		registrytest.Run(t, registrytest.Harness{New: place(write)})
	})
	t.Run("Rename", func(t *testing.T) {
		registrytest.Run(t, registrytest.Harness{New: place(func(t *testing.T, path string, data []byte) {
			write(t, path+".new", data)
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		})})
	})
	t.Run("SameTime", func(t *testing.T) { // a file system whose times do not move
		first := map[string]time.Time{} // when a file was first written
		registrytest.Run(t, registrytest.Harness{New: place(func(t *testing.T, path string, data []byte) {
			write(t, path, data)
			if first[path].IsZero() {
				first[path] = time.Now()
			}
			if err := os.Chtimes(path, first[path], first[path]); err != nil {
				t.Fatal(err)
			}
		})})
	})
}

func TestGolden(t *testing.T) {
	r := registry.New(file.New(filepath.Join("..", "registrytest", "testdata", "registry.db")), "golden", registry.Options{})
	defer r.Close()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(slices.Collect(s.Views())); n != 17 {
		t.Errorf("%d views", n)
	}
	if bad := s.Bad(); len(bad) > 0 {
		t.Error(bad)
	}
}

// A probe of a file that has not just been modified does not read it: it may even be unreadable.
func TestProbeIsAStat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	golden, err := os.ReadFile(filepath.Join("..", "registrytest", "testdata", "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, golden)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	b := file.New(path)
	_, token, err := b.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, make([]byte, len(golden)))
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if state, again, err := b.Load(t.Context(), token); state != nil || again != token || err != nil {
		t.Errorf("%v, %q, %v", state, again, err)
	}
	if _, _, err := b.Load(t.Context(), ""); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error("without a token the file is read:", err)
	}
}

// Departure 37: opening succeeds, the first read is an error that names the resolved path, and nothing is created.
func TestMissing(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Default("demo")
	cfg.RepoPath, cfg.Registry.Path = dir, "data/registry.db"
	b, err := registry.Open(t.Context(), cfg, registry.Env{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "data", "registry.db")
	if got := b.(*file.Backend).Path(); got != path {
		t.Errorf("path %s", got)
	}
	r := registry.New(b, "demo", registry.Options{})
	defer r.Close()
	_, err = r.Snapshot(t.Context())
	var notFound *feasterr.NotFoundError
	if !errors.As(err, &notFound) || !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "registry file "+strconv.Quote(path)+" does not exist") {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("reading created something:", err)
	}
}

func TestOpenPaths(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Default("demo")
	cfg.RepoPath = dir
	for path, want := range map[string]string{
		"registry.db":             filepath.Join(dir, "registry.db"),
		"~/registry.db":           filepath.Join(dir, "~", "registry.db"),
		"/abs/registry.db":        filepath.FromSlash("/abs/registry.db"),
		"file:///abs/registry.db": filepath.FromSlash("/abs/registry.db"),
	} {
		cfg.Registry.Path = path
		b, err := registry.Open(t.Context(), cfg, registry.Env{})
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if got := b.(*file.Backend).Path(); got != want {
			t.Errorf("%s is opened as %s", path, got)
		}
	}
	cfg.Registry.Path = `C:\feast\registry.db`
	b, err := registry.Open(t.Context(), cfg, registry.Env{})
	if err != nil {
		t.Fatal("a Windows drive is no scheme:", err)
	}
	if got := b.(*file.Backend).Path(); runtime.GOOS == "windows" && got != `C:\feast\registry.db` {
		t.Error(got)
	}
	cfg.Registry.Path = ""
	if _, err := registry.Open(t.Context(), cfg, registry.Env{}); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error("no path:", err)
	}
}

func TestUnreadable(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("..", "registrytest", "testdata", "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"garbage":   []byte("registry: data/registry.db\n"),
		"truncated": golden[:len(golden)-1],
	} {
		path := filepath.Join(dir, name)
		write(t, path, data)
		_, _, err := file.New(path).Load(t.Context(), "")
		if !errors.Is(err, feasterr.ErrInvalid) || !strings.HasPrefix(err.Error(), "registry file "+strconv.Quote(path)+": not a Feast registry") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := file.New(dir).Load(t.Context(), ""); !errors.Is(err, feasterr.ErrInvalid) || err.Error() != "registry.path "+strconv.Quote(dir)+" is a directory; it must name the registry file" {
		t.Error(err)
	}
	if _, _, err := file.New(filepath.Join(dir, "garbage", "x")).Load(t.Context(), ""); runtime.GOOS == "linux" {
		var failed *feasterr.StoreError
		if !errors.As(err, &failed) || failed.Store != "registry/file" {
			t.Errorf("below a file: %v", err)
		}
	}
	if _, _, err := file.New(os.DevNull).Load(t.Context(), ""); !errors.Is(err, feasterr.ErrInvalid) {
		t.Errorf("a device: %v", err)
	}
	empty := filepath.Join(dir, "empty")
	write(t, empty, nil)
	long := time.Now().Add(-time.Hour) // else it may be about to be written
	if err := os.Chtimes(empty, long, long); err != nil {
		t.Fatal(err)
	}
	if state, token, err := file.New(empty).Load(t.Context(), ""); err != nil || token == "" || len(state.Records) > 0 {
		t.Errorf("an empty file is an empty registry: %v, %v", state, err)
	}
}

// While Feast rewrites the file in place it is empty, then cut off, for a moment. Readers see the old or the new one.
func TestRewriteInPlace(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("..", "registrytest", "testdata", "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "registry.db")
	write(t, path, golden)
	b := file.New(path)
	_, token, err := b.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for chunk := range slices.Chunk(golden, len(golden)/10) {
			if _, err := f.Write(chunk); err != nil {
				t.Error(err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		state, _, err := b.Load(t.Context(), token)
		if state != nil || err != nil {
			t.Fatalf("the same content, written again: %v, %v", state, err)
		}
	}
}
