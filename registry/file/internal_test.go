package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/localfile"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/registrytest"
)

// Another program opened the file after the last look at it, and writes what has been replaced: it gets its file back.
func TestSwap(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a file that is open cannot be replaced here")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "registry.db")
	if err := os.WriteFile(path, []byte("\x1a\x011"), 0o600); err != nil {
		t.Fatal(err)
	}
	was, err := load(t.Context(), path, opening)
	if err != nil {
		t.Fatal(err)
	}
	for _, theirs := range []string{"", "\x1a\x012"} { // emptied, and not yet written; written
		fresh, old := sidecar(path, "new"), sidecar(path, "old")
		if _, err := write(fresh, []byte("\x1a\x013"), was.info); err != nil {
			t.Fatal(err)
		}
		if !keep(path, old) {
			t.Fatal("no second name")
		}
		if err := check(path, was); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(theirs); err != nil {
			t.Fatal(err)
		}
		if err := swap(path, was, true); !errors.Is(err, errMoved) {
			t.Error(err)
		}
		if _, err := f.WriteString("\x22\x00"); err != nil { // it goes on
			t.Fatal(err)
		}
		f.Close()
		if got, err := os.ReadFile(path); err != nil || string(got) != theirs+"\x22\x00" {
			t.Errorf("%q, %v", got, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
		if was, err = load(t.Context(), path, opening); err != nil {
			t.Fatal(err)
		}
	}
}

// A writer waits for another one as long as its context, and not for ever.
func TestLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "registry.db")
		unlock, err := localfile.Lock(t.Context(), sidecar(path, "lock"), 0)
		if err != nil {
			t.Fatal(err)
		}
		b := New(path)
		nothing := func(registry.Tx) error { return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Update(ctx, "demo", nothing); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		_, err = b.Update(t.Context(), "demo", nothing)
		if !errors.Is(err, feasterr.ErrUnavailable) || !strings.HasSuffix(err.Error(), `.registry.db.lock" for 30s`) {
			t.Error(err)
		}
		go func() {
			time.Sleep(time.Second)
			unlock()
		}()
		if _, err := b.Update(t.Context(), "demo", nothing); err != nil {
			t.Error(err)
		}
	})
}

// A file that is empty may be between Feast's emptying and writing it, whatever its time says.
func TestEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "registry.db")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		long := time.Now().Add(-24 * time.Hour)
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		put := func(tx registry.Tx) error {
			r, err := registry.Encode("demo", &registry.Entity{Name: "driver"})
			if err != nil {
				return err
			}
			return tx.Put(t.Context(), r)
		}
		if _, err := New(path).Update(t.Context(), "demo", put); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited < patience {
			t.Errorf("written over after %s", waited)
		}
		if c, err := load(t.Context(), path, opening); err != nil || len(c.state.Records) != 1 {
			t.Errorf("%v, %v", c.state, err)
		}
	})
}

// What serves is not given up for a file that Feast has emptied and takes its time to write, also when a refresh asks for
// more than a probe.
func TestEmptiedWhileServing(t *testing.T) {
	for _, probe := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "registry.db")
			write := func(name string) {
				r, err := registry.Encode("demo", &registry.Entity{Name: name})
				if err == nil {
					err = os.WriteFile(path, registrytest.File(name, []registry.Record{r}), 0o600)
				}
				if err != nil {
					t.Error(err)
				}
			}
			write("before")
			b := New(path)
			_, token, err := b.Load(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			go func() {
				time.Sleep(patience / 2)
				write("after")
			}()
			if !probe {
				token = ""
			}
			state, _, err := b.Load(t.Context(), token)
			if err != nil || len(state.Records) != 1 || state.Records[0].Name != "after" {
				t.Errorf("probe %t: %+v, %v", probe, state, err)
			}
		})
	}
}

// A file that stays empty is what a program leaves that was killed while it rewrote it. What it held serves on.
func TestLeftEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "registry.db")
		r, err := registry.Encode("demo", &registry.Entity{Name: "driver"})
		if err == nil {
			err = os.WriteFile(path, registrytest.File("v", []registry.Record{r}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		b := New(path)
		_, token, err := b.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		for _, have := range []registry.Token{token, ""} {
			if state, _, err := b.Load(t.Context(), have); state != nil || !errors.Is(err, feasterr.ErrInvalid) {
				t.Errorf("%v, %v", state, err)
			}
		}
		if state, _, err := New(path).Load(t.Context(), ""); err != nil || len(state.Records) > 0 {
			t.Errorf("an empty file is an empty registry to who knows nothing else: %v, %v", state, err)
		}
	})
}
