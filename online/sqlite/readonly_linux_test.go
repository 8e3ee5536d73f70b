package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online/onlinetest"
)

// asOther runs fn with the permissions of a user that owns nothing, since none bind root. On Linux a thread may have a user
// for files of its own.
func asOther(t *testing.T, fn func()) {
	t.Helper()
	if os.Getuid() != 0 {
		fn() // permissions bind already
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		const nobody = 65534
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0); errno != 0 {
			t.Errorf("setfsuid: %v", errno)
			return
		}
		fn()
	}()
	<-done
}

// readOnly takes the permission to write away from a file and from what stands beside it, and from their directory.
func readOnly(t *testing.T, path string) {
	t.Helper()
	dir := filepath.Dir(path)
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // of the test, which others may not enter
		t.Fatal(err)
	}
	for _, name := range files(t, dir) {
		if err := os.Chmod(filepath.Join(dir, name), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
}

// checkpointed returns a copy of a file in WAL mode that was closed, so that it has no log.
func checkpointed(t *testing.T) string {
	t.Helper()
	path := copied(t, "wal.db")
	query(t, path, "SELECT count(*) FROM p_stats")
	if got := files(t, filepath.Dir(path)); len(got) != 1 || journal(t, path) != "wal" {
		t.Fatalf("there are %q, in mode %s", got, journal(t, path))
	}
	return path
}

func TestReadOnlyDirectory(t *testing.T) {
	table := stats("a", "b")
	deleteMode := filepath.Join(t.TempDir(), "online.db")
	s := open(t, Config{Path: deleteMode})
	put(t, s, table, row(1, at(1), int64(2), int64(3)))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for mode, path := range map[string]string{"delete": deleteMode, "wal": checkpointed(t)} {
		before := files(t, filepath.Dir(path))
		readOnly(t, path)
		asOther(t, func() {
			s := open(t, Config{Path: path})
			for range 2 {
				if err := readContext(t.Context(), t, s, table, driver(1)); err != nil {
					t.Errorf("%s: %v", mode, err)
					return
				}
			}
			if got := cells(get(t, s, table, driver(1)), table, 0); got != "2@1 3@1" {
				t.Errorf("%s: got %s", mode, got)
			}
			_, err := s.Write(t.Context(), onlinetest.Batch(table, row(1, at(2), int64(4), int64(5))))
			if !errors.Is(err, fs.ErrPermission) || feasterr.Retryable(err) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: Write: got error %v, want %v", mode, err, fs.ErrPermission)
			}
		})
		if after := files(t, filepath.Dir(path)); !slices.Equal(after, before) {
			t.Errorf("%s: there were files %q, now %q", mode, before, after)
		}
	}
}

// TestWritableAgain: a file that could not be written when it was opened can be once its permissions say so.
func TestWritableAgain(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs one user who may write the file and one who may not")
	}
	table := stats("a", "b")
	path := filepath.Join(t.TempDir(), "online.db")
	s := open(t, Config{Path: path})
	put(t, s, table, row(1, at(1), int64(2), int64(3)))
	s.pool.closeIdle()
	readOnly(t, path)
	b := onlinetest.Batch(table, row(1, at(2), int64(4), int64(5)))
	asOther(t, func() {
		if err := readContext(t.Context(), t, s, table, driver(1)); err != nil {
			t.Error(err)
		}
		for range 2 {
			if _, err := s.Write(t.Context(), b); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("got error %v, want %v", err, fs.ErrPermission)
			}
		}
	})
	if _, err := s.Write(t.Context(), b); err != nil { // by a user who may
		t.Error(err)
	}
}

// TestFixedFile: a file that is read as one that nobody changes is read anew when somebody, with more rights, does.
func TestFixedFile(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs one user who may write the file and one who may not")
	}
	path := checkpointed(t)
	readOnly(t, path)
	table := stats("a", "b")
	s := open(t, Config{Path: path})
	expect := func(want string) {
		t.Helper()
		asOther(t, func() {
			if err := readContext(t.Context(), t, s, table, driver(1)); err != nil {
				t.Error(err)
				return
			}
			if got := cells(get(t, s, table, driver(1)), table, 0); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
		for _, c := range s.pool.idle {
			c.checked = time.Time{} // as time goes by
		}
	}
	expect("2@1 3@1")
	if len(s.pool.idle) != 1 || s.pool.idle[0].fixed == nil {
		t.Fatalf("the file is not a fixed one: %+v", s.pool.idle)
	}
	kept := s.pool.idle[0]
	expect("2@1 3@1")
	if s.pool.idle[0] != kept {
		t.Error("a file that nobody changed was opened again")
	}
	query(t, path, "UPDATE p_stats SET value = x'2007' WHERE feature_name = 'a'")
	expect("7@1 3@1")

	// A log that appears is read through the shared memory of the one who writes it.
	writer := open(t, Config{Path: path})
	put(t, writer, table, row(1, at(3), int64(8), int64(9)))
	expect("8@3 9@3")
}

// TestUnreadableLog: rows of a log or journal that cannot be used are missed, not left out in silence.
func TestUnreadableLog(t *testing.T) {
	table := stats("a", "b")
	wal := copied(t, "wal.db")

	// A hot journal: the old header page, as a writer leaves it that ended in the middle of a transaction.
	hot := filepath.Join(t.TempDir(), "online.db")
	s := open(t, Config{Path: hot})
	put(t, s, table, row(1, at(1), int64(2), int64(3)))
	c, err := s.pool.get(t.Context(), writing)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"PRAGMA cache_size = 1", "BEGIN IMMEDIATE",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO p_stats SELECT i, i, i, i, i, i, i FROM n"} {
		if err := c.exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	crashed := filepath.Join(t.TempDir(), "online.db")
	for _, suffix := range []string{"", "-journal"} {
		data, err := os.ReadFile(hot + suffix)
		if err == nil {
			err = os.WriteFile(crashed+suffix, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.pool.put(c)

	for path, beside := range map[string]string{wal: "-wal", crashed: "-journal"} {
		readOnly(t, path)
		asOther(t, func() {
			s := open(t, Config{Path: path})
			err := readContext(t.Context(), t, s, table, driver(1))
			if err == nil || !strings.Contains(err.Error(), "; it is complete only with "+path+beside) {
				t.Errorf("%s: got error %v", beside, err)
			}
		})
	}

	// Where it may be written, the journal is rolled back as ever.
	s = open(t, Config{Path: crashed})
	if os.Getuid() == 0 {
		if got := cells(get(t, s, table, driver(1)), table, 0); got != "2@1 3@1" {
			t.Errorf("after the journal was used: got %s", got)
		}
	}
}
