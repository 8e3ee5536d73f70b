package file_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/file"
	"github.com/feastgo/feast/registry/registrytest"
)

const project = "golden"

func entity(t testing.TB, name, description string) registry.Record {
	t.Helper()
	r, err := registry.Encode(project, &registry.Entity{Name: name, Description: description})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// count returns the description of an entity, a number; 0 when there is no such entity.
func count(ctx context.Context, tx registry.Tx, name string) (int, error) {
	r, err := tx.Get(ctx, registry.ID{Kind: registry.KindEntity, Project: project, Name: name})
	if errors.Is(err, feasterr.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	o, err := registry.Decode(r)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(o.(*registry.Entity).Description)
}

// increment counts up all names, which must be equal, and returns the new number.
func increment(t testing.TB, b *file.Backend, names ...string) (n int, err error) {
	_, err = b.Update(t.Context(), project, func(tx registry.Tx) error {
		for i, name := range names {
			had, err := count(t.Context(), tx, name)
			if err != nil {
				return err
			}
			if i > 0 && had+1 != n {
				return fmt.Errorf("half an update: %s is %d, %s is %d", names[0], n-1, name, had)
			}
			n = had + 1
			if err := tx.Put(t.Context(), entity(t, name, strconv.Itoa(n))); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// counted returns what the file at path counts under name.
func counted(t testing.TB, path, name string) int {
	t.Helper()
	n := 0
	_, err := file.New(path).Update(t.Context(), project, func(tx registry.Tx) (err error) {
		n, err = count(t.Context(), tx, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if runtime.GOOS != "windows" || !strings.HasSuffix(e.Name(), ".lock") {
			names = append(names, e.Name())
		}
	}
	return names
}

func put(t *testing.T, b *file.Backend, r registry.Record) error {
	t.Helper()
	_, err := b.Update(t.Context(), project, func(tx registry.Tx) error { return tx.Put(t.Context(), r) })
	return err
}

// golden copies the golden registry to a folder of its own, as if written a while ago.
func golden(t testing.TB) (path string, data []byte) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "registrytest", "testdata", "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "registry.db")
	old := time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(path, data, 0o640), os.Chtimes(path, old, old)); err != nil {
		t.Fatal(err)
	}
	return path, data
}

func TestUpdateGolden(t *testing.T) {
	path, data := golden(t)
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	b := file.New(path)
	if err := put(t, b, entity(t, "new", "of Go")); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var was, is core.Registry
	if err := errors.Join(proto.Unmarshal(data, &was), proto.Unmarshal(after, &is)); err != nil {
		t.Fatal(err)
	}
	if is.VersionId == was.VersionId || len(is.VersionId) != 36 || time.Since(is.LastUpdated.AsTime()) > time.Minute {
		t.Errorf("version %s, last updated %s", is.VersionId, is.LastUpdated.AsTime())
	}
	if e := is.Entities[len(is.Entities)-1]; e.Spec.Description != "of Go" {
		t.Errorf("entity %v", e)
	}
	is.Entities = is.Entities[:len(is.Entities)-1]
	is.VersionId, is.LastUpdated = was.VersionId, was.LastUpdated
	if !proto.Equal(&was, &is) {
		t.Error("something else changed")
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o604 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if got := names(t, filepath.Dir(path)); !slices.Equal(got, []string{"registry.db"}) {
		t.Errorf("left behind: %v", got)
	}
}

// Departure 37: the first write creates the file, and its folders.
func TestUpdateCreates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "registry.db")
	b := file.New(path)
	if err := b.Teardown(t.Context()); err != nil {
		t.Error("nothing to remove:", err)
	}
	token, err := b.Update(t.Context(), project, func(registry.Tx) error { return nil })
	if _, statErr := os.Stat(path); token != "" || err != nil || !errors.Is(statErr, fs.ErrNotExist) {
		t.Errorf("nothing was written: %q, %v, %v", token, err, statErr)
	}
	if err := put(t, b, entity(t, "driver", "")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var pb core.Registry
	if err := proto.Unmarshal(data, &pb); err != nil || pb.RegistrySchemaVersion != "1" || len(pb.Entities) != 1 {
		t.Errorf("%v, %v", &pb, err)
	}
}

// A symbolic link to the file stays one.
func TestUpdateLink(t *testing.T) {
	path, _ := golden(t)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if err := put(t, file.New(link), entity(t, "driver", "7")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("%v, %v", info, err)
	}
	if n := counted(t, path, "driver"); n != 7 {
		t.Error(n)
	}
}

// Python looks at the file again only when its time has moved on.
func TestUpdateTimeMoves(t *testing.T) {
	path, _ := golden(t)
	ahead := time.Now().Add(time.Hour).Truncate(time.Second)
	if err := os.Chtimes(path, ahead, ahead); err != nil {
		t.Fatal(err)
	}
	if err := put(t, file.New(path), entity(t, "driver", "")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || !info.ModTime().After(ahead) {
		t.Errorf("%v, %v", info.ModTime(), err)
	}
}

func TestUpdateErrors(t *testing.T) {
	path, data := golden(t)
	dir := filepath.Dir(path)
	old := time.Now().Add(-time.Hour)
	garbage := filepath.Join(dir, "garbage")
	if err := errors.Join(os.WriteFile(garbage, []byte("registry: data/registry.db\n"), 0o600), os.Chtimes(garbage, old, old)); err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut")
	if err := errors.Join(os.WriteFile(cut, data[:len(data)-1], 0o600), os.Chtimes(cut, old, old)); err != nil {
		t.Fatal(err)
	}
	before := names(t, dir)
	for place, class := range map[string]error{
		dir:                         feasterr.ErrInvalid, // a folder
		garbage:                     feasterr.ErrInvalid,
		cut:                         feasterr.ErrInvalid,
		filepath.Join(garbage, "x"): nil, // below a file
		filepath.Join(dir, strings.Repeat("x", 300)): nil,
	} {
		_, err := file.New(place).Update(t.Context(), project, func(registry.Tx) error { return errors.New("fn must not run") })
		var store *feasterr.StoreError
		if class != nil && !errors.Is(err, class) || class == nil && !errors.As(err, &store) {
			t.Errorf("%s: %v", place, err)
		}
		if !strings.HasPrefix(err.Error(), "registry file "+strconv.Quote(place)+" was not changed: ") {
			t.Error(err)
		}
		if (place == garbage || place == cut) && strings.Count(err.Error(), place) != 1 {
			t.Errorf("the path stands twice: %v", err)
		}
	}

	b := file.New(path)
	boom := errors.New("boom")
	if _, err := b.Update(t.Context(), project, func(tx registry.Tx) error {
		return errors.Join(tx.Put(t.Context(), entity(t, "driver", "")), boom)
	}); !errors.Is(err, boom) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := b.Update(ctx, project, func(tx registry.Tx) error {
		defer cancel()
		return tx.Put(ctx, entity(t, "driver", ""))
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := b.Teardown(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
		t.Error("the file changed:", err)
	}
	if got := names(t, dir); !slices.Equal(got, before) {
		t.Errorf("left behind: %v", got)
	}
}

// overwrite changes a registry as Feast does: it empties the file and writes it in place.
func overwrite(t testing.TB, path string, r registry.Record) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data, err = registry.Rewrite(data, project, func(tx registry.Tx) error { return tx.Put(t.Context(), r) })
	if err == nil {
		var pb core.Registry // in the order of Feast
		if err = proto.Unmarshal(data, &pb); err == nil {
			data, err = proto.Marshal(&pb)
		}
	}
	if err == nil {
		err = os.WriteFile(path, data, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Departure 12: a write of another program between reading and replacing is noticed.
func TestUpdateRetries(t *testing.T) {
	path, _ := golden(t)
	runs := 0
	_, err := file.New(path).Update(t.Context(), project, func(tx registry.Tx) error {
		n, err := count(t.Context(), tx, "theirs")
		if err != nil || n != runs {
			t.Errorf("run %d sees %d, %v", runs, n, err)
		}
		if runs++; runs <= 3 {
			overwrite(t, path, entity(t, "theirs", strconv.Itoa(runs)))
		}
		return tx.Put(t.Context(), entity(t, "ours", "1"))
	})
	if err != nil || runs != 4 {
		t.Errorf("%d runs, %v", runs, err)
	}
	if theirs, ours := counted(t, path, "theirs"), counted(t, path, "ours"); theirs != 3 || ours != 1 {
		t.Errorf("%d, %d", theirs, ours)
	}

	runs = 0
	_, err = file.New(path).Update(t.Context(), project, func(tx registry.Tx) error {
		runs++
		overwrite(t, path, entity(t, "theirs", strconv.Itoa(3+runs)))
		return tx.Put(t.Context(), entity(t, "ours", "2"))
	})
	if !errors.Is(err, feasterr.ErrConflict) || !strings.Contains(err.Error(), strconv.Quote(path)) {
		t.Error(err)
	}
	if theirs, ours := counted(t, path, "theirs"), counted(t, path, "ours"); theirs != 3+runs || ours != 1 {
		t.Errorf("%d after %d runs, %d", theirs, runs, ours)
	}

	// The file came, or went.
	path = filepath.Join(t.TempDir(), "registry.db")
	runs = 0
	_, err = file.New(path).Update(t.Context(), project, func(tx registry.Tx) error {
		var err error
		switch runs++; runs {
		case 1:
			err = os.WriteFile(path, registrytest.File("v", []registry.Record{entity(t, "theirs", "1")}), 0o600)
		case 2:
			err = os.Remove(path)
		}
		return errors.Join(err, tx.Put(t.Context(), entity(t, "ours", strconv.Itoa(runs))))
	})
	if theirs, ours := counted(t, path, "theirs"), counted(t, path, "ours"); err != nil || theirs != 0 || ours != 3 {
		t.Errorf("%d, %d, %v", theirs, ours, err)
	}
}

// Feast has emptied the file and has not yet written it: an update waits, and builds on what comes.
func TestUpdateWaits(t *testing.T) {
	for _, half := range []bool{false, true} {
		path, data := golden(t)
		start := data[:0]
		if half {
			start = data[:len(data)/2]
		}
		if err := os.WriteFile(path, start, 0); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, err := increment(t, file.New(path), "ours")
			done <- err
		}()
		for _, err := os.Stat(filepath.Join(filepath.Dir(path), ".registry.db.lock")); err != nil; {
			_, err = os.Stat(filepath.Join(filepath.Dir(path), ".registry.db.lock"))
		}
		if err := errors.Join(os.WriteFile(path, data, 0), <-done); err != nil {
			t.Fatal(err)
		}
		state, _, err := file.New(path).Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		whole, err := registry.ParseState(data)
		if err != nil || len(state.Records) != len(whole.Records)+1 {
			t.Errorf("%d records of %d, %v", len(state.Records), len(whole.Records)+1, err)
		}
	}
}

// A program that writes as Feast does, and looks at the file anew each time, loses nothing to updates.
func TestForeignWriter(t *testing.T) {
	path, _ := golden(t)
	const rounds = 10
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		b := file.New(path)
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := increment(t, b, "ours"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	seen := func(name string) int {
		for {
			s, err := registry.ParseState(must(os.ReadFile(path)))
			if err != nil || len(s.Records) == 0 {
				continue // being written
			}
			for _, r := range s.Records {
				if r.Kind == registry.KindEntity && r.Name == name {
					o, err := registry.Decode(r)
					if err != nil {
						t.Fatal(err)
					}
					return must(strconv.Atoi(o.(*registry.Entity).Description))
				}
			}
			return 0
		}
	}
	for round := range rounds {
		overwrite(t, path, entity(t, "theirs", strconv.Itoa(round+1)))
		for start := seen("ours"); seen("ours") == start; { // until an update has come after it
		}
		if n := seen("theirs"); n != round+1 {
			t.Errorf("theirs is %d after %d", n, round+1)
		}
	}
	cancel()
	wg.Wait()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestWriter is the process that [writer] starts.
func TestWriter(t *testing.T) {
	path := os.Getenv("FEAST_TEST_WRITE")
	if path == "" {
		return
	}
	rounds, err := strconv.Atoi(os.Getenv("FEAST_TEST_ROUNDS"))
	if err != nil {
		t.Fatal(err)
	}
	b := file.New(path)
	for range rounds {
		n, err := increment(t, b, "one", "two")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("wrote %d\n", n)
	}
}

// writer is a process that counts up in the file, and says so line by line.
func writer(t *testing.T, path string, rounds int) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), must(os.Executable()), "-test.run=^TestWriter$", "-test.v")
	cmd.Env = append(os.Environ(), "FEAST_TEST_WRITE="+path, "FEAST_TEST_ROUNDS="+strconv.Itoa(rounds))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// Eight processes that update one file at once lose nothing.
func TestProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	const processes, rounds = 8, 200
	start := time.Now()
	var wg sync.WaitGroup
	for range processes {
		cmd, out := writer(t, path, rounds)
		wg.Go(func() {
			text, err := io.ReadAll(out)
			if err := errors.Join(err, cmd.Wait()); err != nil {
				t.Errorf("%v: %s", err, text)
			}
		})
	}
	wg.Wait()
	t.Logf("%d updates in %s", processes*rounds, time.Since(start))
	for _, name := range []string{"one", "two"} {
		if n := counted(t, path, name); n != processes*rounds {
			t.Errorf("%d of %d updates of %s are left", n, processes*rounds, name)
		}
	}
	if got := names(t, filepath.Dir(path)); !slices.Equal(got, []string{"registry.db"}) {
		t.Errorf("left behind: %v", got)
	}
}

// A writer that is killed at any moment leaves a whole file with complete updates, all that it reported among them, and
// no lock.
func TestKilled(t *testing.T) {
	path, data := golden(t)
	for range 30 {
		cmd, out := writer(t, path, 1_000_000)
		lines := bufio.NewScanner(out)
		reported := 0
		read := func() bool {
			more := lines.Scan()
			if n, ok := strings.CutPrefix(lines.Text(), "wrote "); ok {
				reported = must(strconv.Atoi(n))
			}
			return more
		}
		for until := 1 + rand.IntN(5); until > 0 && read(); {
			if reported > 0 {
				until--
			}
		}
		<-time.After(rand.N(5 * time.Millisecond)) // somewhere in the next update
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for read() {
		}
		_ = cmd.Wait()

		state, _, err := file.New(path).Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if whole := must(registry.ParseState(data)); len(state.Records) != len(whole.Records)+2 {
			t.Fatalf("%d records of %d", len(state.Records), len(whole.Records)+2)
		}
		// increment finds a half update.
		if n, err := increment(t, file.New(path), "one", "two"); err != nil || n != reported+1 && n != reported+2 {
			t.Fatalf("%d after %d, %v", n, reported, err)
		}
		if got := names(t, filepath.Dir(path)); !slices.Equal(got, []string{"registry.db"}) {
			t.Errorf("left behind: %v", got)
		}
	}
}
