package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// Some tests need a second process, since locks are a process's: the test binary runs again, as helper.

const helperArg = "sqlite-test-helper"

const (
	helperStates = 60 // that the helper "write" writes
	helperRows   = 5
)

// helper is what the second process does with the file at path. It prints a line when it is under way, and ends with its
// standard input at the latest.
func helper(what, path string) {
	ctx := context.Background()
	s, err := New(Config{Path: path})
	if err == nil {
		switch what {
		case "lock":
			var c *conn
			if c, err = s.pool.get(ctx, reading); err == nil {
				err = c.exec("BEGIN EXCLUSIVE")
			}
			fmt.Println("ready")
			_, _ = io.Copy(io.Discard, os.Stdin)
		case "write":
			fmt.Println("ready")
			for state := 1; state <= helperStates && err == nil; state++ {
				_, err = s.Write(ctx, helperBatch(state))
			}
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// helperBatch sets all rows to a state.
func helperBatch(state int) *online.WriteBatch {
	var rows []onlinetest.Row
	for n := range helperRows {
		rows = append(rows, row(n, at(int64(state)), int64(state), int64(state)))
	}
	return onlinetest.Batch(stats("a", "b"), rows...)
}

// start runs the helper until it is under way. What it returns ends it, and must be called.
func start(t *testing.T, what, path string) (end func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, helperArg, what, path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
		t.Errorf("the helper said %q, %v", line, err)
	}
	return func() {
		stdin.Close()
		rest, _ := io.ReadAll(lines)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the helper failed: %v: %s", err, rest)
		}
	}
}

// doneContext calls fn when Done is called for the n-th time. A call asks for it once to get a connection, and then each
// time it waits for a lock.
type doneContext struct {
	context.Context //nolint:containedctx // it is one
	n               *int
	fn              func()
}

func (c doneContext) Done() <-chan struct{} {
	if *c.n--; *c.n == 0 {
		c.fn()
	}
	return c.Context.Done()
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "online.db")
	s := open(t, Config{Path: path})
	table := stats("a", "b")
	put(t, s, table, row(1, at(0), int64(1), int64(2)))
	unlock := start(t, "lock", path)

	write := func(ctx context.Context) error {
		_, err := s.Write(ctx, onlinetest.Batch(table, row(1, at(0), int64(3), int64(4))))
		return err
	}
	calls := map[string]func(ctx context.Context) error{
		"Read":     func(ctx context.Context) error { return readContext(ctx, t, s, table, driver(1)) },
		"Write":    write,
		"Delete":   func(ctx context.Context) error { return s.Delete(ctx, table, [][]byte{driver(1)}) },
		"Update":   func(ctx context.Context) error { return s.Update(ctx, []*online.Table{table}, nil) },
		"Teardown": func(ctx context.Context) error { return s.Teardown(ctx, []*online.Table{table}) },
		"Ping":     s.Ping,
	}
	for name, call := range calls {
		setWait(s, 10*time.Millisecond)
		err := call(t.Context())
		if !errors.Is(err, feasterr.ErrUnavailable) || !feasterr.Retryable(err) {
			t.Errorf("%s of a locked file: got %v, want a retryable ErrUnavailable", name, err)
		}

		setWait(s, time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || feasterr.Retryable(err) {
			t.Errorf("%s with a deadline: got %v, want %v", name, err, context.DeadlineExceeded)
		}
		cancel()

		ctx, cancel = context.WithCancel(t.Context())
		n := 3 // while it waits
		if name == "Read" || name == "Ping" {
			n = 2
		}
		if err := call(doneContext{ctx, &n, cancel}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s cancelled while it waits: got %v, want %v", name, err, context.Canceled)
		}
		cancel()
	}
	setWait(s, time.Millisecond)
	want := "sqlite: read: " + path + " is locked by another program: database is locked"
	if err := readContext(t.Context(), t, s, table, driver(1)); err == nil || err.Error() != want {
		t.Errorf("got error  %v\nwant error %s", err, want)
	}

	// A call that waits goes on when the lock is released.
	setWait(s, time.Hour)
	n := 3
	if err := write(doneContext{t.Context(), &n, unlock}); err != nil {
		t.Fatalf("Write after the lock was released: %v", err)
	}
	if got := cells(get(t, s, table, driver(1)), table, 0); got != "3@0 4@0" {
		t.Errorf("got %s", got)
	}
}

// setWait sets for how long calls wait for a lock.
func setWait(s *Store, d time.Duration) {
	s.pool.wait = d
	s.pool.closeIdle()
}

// TestOtherProcess reads while another process writes: every answer is a state that it wrote, whole and none older than the
// one before, until the last one. The journal mode stays what it was.
func TestOtherProcess(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		t.Run(mode, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "online.db")
			query(t, path, "PRAGMA journal_mode="+mode)
			s := open(t, Config{Path: path})
			table := stats("a", "b")
			var rows []onlinetest.Row
			var keys [][]byte
			for n := range helperRows {
				rows, keys = append(rows, row(n, at(0), int64(0), int64(0))), append(keys, driver(n))
			}
			put(t, s, table, rows...)
			defer start(t, "write", path)()
			for state := int64(0); state < helperStates; {
				res := get(t, s, table, keys...)
				states, err := types.Values[int64](res.Column(table, 0))
				if err != nil {
					t.Fatal(err)
				}
				if states[0] < state {
					t.Fatalf("got state %d after %d", states[0], state)
				}
				state = states[0]
				for n := range keys {
					if got, want := cells(res, table, n), fmt.Sprintf("%d@%d %d@%d", state, state, state, state); got != want {
						t.Fatalf("row %d: got %s, want %s", n, got, want)
					}
				}
			}
			if got := query(t, path, "PRAGMA journal_mode"); got[0] != mode {
				t.Errorf("journal mode: got %s, want %s", got[0], mode)
			}
		})
	}
}
