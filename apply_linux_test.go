package feast_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/feastgo/feast"
)

// smallDisk mounts a file system of 256 kB in a folder.
func smallDisk(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("mounting a file system takes more rights:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

func onDisk(t *testing.T, registry, online string) string {
	t.Helper()
	dir := newRepo(t, "")
	text := "project: demo\nregistry: " + registry + "\nonline_store:\n  type: sqlite\n  path: " + online + "\n"
	if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// many returns views that take more than the small disk has, as tables and as definitions.
func many(n int) []feast.Object {
	objects := []feast.Object{driver}
	for i := range n {
		v := newView("view_"+string(rune('a'+i/26))+string(rune('a'+i%26)), "a")
		v.Description = strings.Repeat("x", 4000)
		objects = append(objects, v)
	}
	return objects
}

// A full or read-only disk under the registry or the online store: nothing is half there, and a rerun completes it.
func TestApplyDisk(t *testing.T) {
	for _, tc := range []struct{ registry, online, full, fixed string }{
		{
			"small/registry.db", "online.db", "the online store was changed, and then the registry failed: registry file",
			"registry/file: lock: open PATH/small/.registry.db.lock: read-only file system",
		},
		{
			"registry.db", "small/online.db", "sqlite: update: PATH/small/online.db: database or disk is full; the registry was not changed",
			"PATH/small/online.db: attempt to write a readonly database: permission denied; the registry was not changed",
		},
	} {
		t.Run(tc.registry, func(t *testing.T) {
			dir := onDisk(t, tc.registry, tc.online)
			disk, path := filepath.Join(dir, "small"), filepath.Join(dir, tc.registry)
			smallDisk(t, disk)
			fs := open(t, dir)
			mustApply(t, fs, many(2)...)
			before := must(os.ReadFile(path))
			unchanged := func(err error, want string) {
				t.Helper()
				if want = strings.ReplaceAll(want, "PATH", dir); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %s", err, want)
				}
				if !bytes.Equal(must(os.ReadFile(path)), before) {
					t.Error("the registry changed")
				}
				if _, err := must(fs.Snapshot(t.Context())).FeatureView("view_aa"); err != nil {
					t.Error(err)
				}
			}
			_, err := fs.Apply(t.Context(), many(120)...)
			unchanged(err, tc.full)

			if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			_, err = fs.Apply(t.Context(), many(3)...)
			unchanged(err, tc.fixed)

			if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, "size=64m"); err != nil {
				t.Fatal(err)
			}
			mustApply(t, fs, many(120)...)
			if n := len(slices.Collect(must(fs.Snapshot(t.Context())).FeatureViews())); n != 120 {
				t.Errorf("%d views", n)
			}
			if n := len(sqlTables(t, filepath.Join(dir, tc.online))); n != 120 {
				t.Errorf("%d tables", n)
			}
		})
	}
}

// Files that may not be written: the online store or the registry.
func TestApplyUnwritable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everything")
	}
	for _, name := range []string{"online.db", "registry.db"} {
		dir := newRepo(t, "")
		mustApply(t, open(t, dir), driver, newView("one", "a"))
		before := must(os.ReadFile(filepath.Join(dir, "registry.db")))
		fs := open(t, dir) // without a file that is open already
		if err := os.Chmod(filepath.Join(dir, name), 0o400); err != nil {
			t.Fatal(err)
		}
		if _, err := fs.Apply(t.Context(), newView("two", "a")); !errors.Is(err, os.ErrPermission) {
			t.Error(err)
		}
		if !bytes.Equal(must(os.ReadFile(filepath.Join(dir, "registry.db"))), before) {
			t.Error("the registry changed")
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
		mustApply(t, fs, newView("two", "a"))
	}
}
