package file_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry/file"
)

// refused checks that an update fails with cause and changes nothing.
func refused(t *testing.T, path string, cause error) {
	t.Helper()
	dir := filepath.Dir(path)
	before, entries := must(os.ReadFile(path)), names(t, dir)
	err := put(t, file.New(path), entity(t, "large", strings.Repeat("x", 1<<20)))
	var store *feasterr.StoreError
	if !errors.Is(err, cause) || !errors.As(err, &store) || !strings.HasPrefix(err.Error(), "registry file "+strconv.Quote(path)+" was not changed: ") {
		t.Error(err)
	}
	if !bytes.Equal(must(os.ReadFile(path)), before) {
		t.Error("the file changed")
	}
	if got := names(t, dir); !slices.Equal(got, entries) {
		t.Errorf("left behind: %v", got)
	}
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("mounting a file system takes more rights:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "registry.db")
	if _, err := increment(t, file.New(path), "one"); err != nil {
		t.Fatal(err)
	}
	refused(t, path, syscall.ENOSPC)
	if n, err := increment(t, file.New(path), "one"); n != 2 || err != nil {
		t.Errorf("after the disk was full: %d, %v", n, err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	refused(t, path, syscall.EROFS)
	if err := file.New(path).Teardown(t.Context()); !errors.Is(err, syscall.EROFS) {
		t.Error(err)
	}
}

// The file stays that of whom it was.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	path, _ := golden(t)
	if err := os.Chown(path, 1234, 4321); err != nil {
		t.Fatal(err)
	}
	if err := put(t, file.New(path), entity(t, "driver", "")); err != nil {
		t.Fatal(err)
	}
	info := must(os.Stat(path))
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Uid != 1234 || s.Gid != 4321 || info.Mode() != 0o640 {
		t.Errorf("%+v", info.Sys())
	}
}

func TestReadOnlyFolder(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("no folder is read-only to root")
	}
	path, _ := golden(t)
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	refused(t, path, os.ErrPermission)
	if err := errors.Join(os.Chmod(path, 0o600), os.Chmod(filepath.Dir(path), 0o500)); err != nil {
		t.Fatal(err)
	}
	refused(t, path, os.ErrPermission)
	if err := os.Chmod(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
}

// A limit on the size of files stands for a full disk where none can be made.
func TestSizeLimit(t *testing.T) {
	if path := os.Getenv("FEAST_TEST_LIMIT"); path != "" { // the process with the limit
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 19, Max: 1 << 19}); err != nil {
			t.Fatal(err)
		}
		refused(t, path, syscall.EFBIG)
		return
	}
	path, _ := golden(t)
	cmd := exec.CommandContext(t.Context(), must(os.Executable()), "-test.run=^TestSizeLimit$")
	cmd.Env = append(os.Environ(), "FEAST_TEST_LIMIT="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
