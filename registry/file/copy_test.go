package file_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/file"
	"github.com/feastgo/feast/registry/memory"
)

// goldenFile returns the registry that Feast wrote.
func goldenFile(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "registrytest", "testdata", "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// contents returns what a registry holds.
func contents(t testing.TB, b registry.Backend) map[registry.ID]string {
	t.Helper()
	state, _, err := b.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Bad) > 0 {
		t.Fatal(state.Bad)
	}
	return recordsOf(state)
}

func recordsOf(s *registry.State) map[registry.ID]string {
	m := map[registry.ID]string{}
	for _, r := range s.Records {
		m[r.ID] = string(r.Proto)
	}
	return m
}

func importGolden(t testing.TB, dst registry.Backend) *registry.CopyResult {
	t.Helper()
	result, err := registry.Import(t.Context(), dst, bytes.NewReader(goldenFile(t)), registry.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// What Feast wrote comes through a file, and a registry of another kind, byte by byte; and a second time nothing is written.
func TestCopyGolden(t *testing.T) {
	parsed, err := registry.ParseState(goldenFile(t))
	if err != nil {
		t.Fatal(err)
	}
	whole := recordsOf(parsed)
	path := filepath.Join(t.TempDir(), "registry.db")
	first, second := file.New(path), file.New(filepath.Join(t.TempDir(), "copy.db"))
	result := importGolden(t, first)
	if result.Written != result.Records || result.Deleted != 0 || result.Records < len(whole) {
		t.Errorf("%+v, of %d", result, len(whole))
	}
	if got := contents(t, first); !maps.Equal(got, whole) {
		t.Errorf("imported %d records of %d", len(got), len(whole))
	}
	mem := memory.New()
	for _, copied := range []struct{ dst, src registry.Backend }{{mem, first}, {second, mem}} {
		for _, written := range []int{result.Records, 0} {
			got, err := registry.Copy(t.Context(), copied.dst, copied.src, registry.CopyOptions{})
			if err != nil || got.Written != written || got.Deleted != 0 || !slices.Equal(got.Projects, result.Projects) {
				t.Errorf("%+v, %v", got, err)
			}
		}
	}
	if got := contents(t, second); !maps.Equal(got, whole) {
		t.Errorf("copied %d records of %d", len(got), len(whole))
	}
	var export bytes.Buffer
	if err := registry.Export(t.Context(), second, &export); err != nil {
		t.Fatal(err)
	}
	var was, is core.Registry // as Feast opens it
	if err := errors.Join(proto.Unmarshal(goldenFile(t), &was), proto.Unmarshal(export.Bytes(), &is)); err != nil {
		t.Fatal(err)
	}
	if is.RegistrySchemaVersion != "1" || len(is.VersionId) != 36 || is.LastUpdated == nil || len(is.FeatureViews) != len(was.FeatureViews) {
		t.Errorf("version %q %q, %d feature views", is.RegistrySchemaVersion, is.VersionId, len(is.FeatureViews))
	}
	state, err := registry.ParseState(export.Bytes())
	if err != nil || !state.Sealed || !maps.Equal(recordsOf(state), whole) {
		t.Errorf("exported %v, %v", len(state.Records), err)
	}
	fresh := memory.New()
	if _, err := registry.Import(t.Context(), fresh, &export, registry.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(contents(t, fresh), contents(t, mem)) {
		t.Error("the import differs")
	}
}

// putEntity writes an entity whose description is text.
func putEntity(t testing.TB, b *memory.Backend, project, name, text string) {
	t.Helper()
	if err := b.Put(t.Context(), project, &registry.Entity{Name: name, Description: text}); err != nil {
		t.Fatal(err)
	}
}

func TestCopyProjects(t *testing.T) {
	src, dst := memory.New(), memory.New()
	putEntity(t, src, "one", "a", "")
	putEntity(t, src, "two", "b", "")
	putEntity(t, dst, "three", "c", "")
	result, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{Projects: []string{"two"}})
	if err != nil || result.Records != 1 || result.Written != 1 || !slices.Equal(result.Projects, []string{"two"}) {
		t.Errorf("%+v, %v", result, err)
	}
	names := func() (names []string) {
		for id := range contents(t, dst) {
			names = append(names, id.Project+"/"+id.Name)
		}
		slices.Sort(names)
		return names
	}
	if got := names(); !slices.Equal(got, []string{"three/c", "two/b"}) {
		t.Error(got)
	}
	// The rest, with Overwrite: other projects stay all the same.
	if _, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{Overwrite: true}); err != nil {
		t.Fatal(err)
	}
	if got := names(); !slices.Equal(got, []string{"one/a", "three/c", "two/b"}) {
		t.Error(got)
	}
	_, err = registry.Copy(t.Context(), dst, src, registry.CopyOptions{Projects: []string{"one", "four"}})
	var missing *feasterr.NotFoundError
	if !errors.As(err, &missing) || missing.Name != "four" || missing.Kind != "project" {
		t.Error(err)
	}
	if err := registry.Export(t.Context(), src, io.Discard, "four"); !errors.As(err, &missing) {
		t.Error(err)
	}
}

// What a destination holds is not lost unless the caller says so.
func TestCopyRefuses(t *testing.T) {
	src, dst := memory.New(), memory.New()
	putEntity(t, src, "one", "a", "")
	putEntity(t, src, "two", "same", "")
	putEntity(t, src, "two", "changed", "source")
	putEntity(t, dst, "two", "same", "")
	putEntity(t, dst, "two", "changed", "destination")
	for _, name := range []string{"x", "y", "z"} {
		putEntity(t, dst, "two", name, "")
	}
	before := contents(t, dst)
	_, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{})
	want := `project "two" of the destination holds something else: entity "changed" of project "two", entity "x" of project "two", ` +
		`entity "y" of project "two", 1 more; nothing was written: copy with Overwrite to replace it, or elsewhere: conflict`
	if !errors.Is(err, feasterr.ErrConflict) || err.Error() != want {
		t.Error(err)
	}
	if !maps.Equal(before, contents(t, dst)) {
		t.Error("something was written, perhaps of another project")
	}
	result, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{Overwrite: true})
	if err != nil || result.Records != 3 || result.Written != 2 || result.Deleted != 3 {
		t.Errorf("%+v, %v", result, err)
	}
	if !maps.Equal(contents(t, src), contents(t, dst)) {
		t.Error("the copy differs")
	}
}

// broken is a registry whose updates fail from the nth on.
type broken struct {
	registry.Backend
	updates int
	before  func() // every update
}

func (b *broken) Update(ctx context.Context, project string, fn func(registry.Tx) error) (registry.Token, error) {
	if b.before != nil {
		b.before()
	}
	if b.updates--; b.updates < 0 {
		return "", feasterr.Unavailable("down")
	}
	return b.Backend.Update(ctx, project, fn)
}

// A copy that was interrupted goes on where it was.
func TestCopyAgain(t *testing.T) {
	src, dst := memory.New(), memory.New()
	for _, project := range []string{"one", "two", "three"} {
		putEntity(t, src, project, "a", "")
		putEntity(t, src, project, "b", "")
	}
	_, err := registry.Copy(t.Context(), &broken{Backend: dst, updates: 2}, src, registry.CopyOptions{})
	if !errors.Is(err, feasterr.ErrUnavailable) || err.Error() != `copying project "two": down` {
		t.Error(err)
	}
	if n := len(contents(t, dst)); n != 4 {
		t.Errorf("%d records after an interruption", n)
	}
	result, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{})
	if err != nil || result.Records != 6 || result.Written != 2 || !maps.Equal(contents(t, src), contents(t, dst)) {
		t.Errorf("%+v, %v", result, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := registry.Copy(ctx, dst, src, registry.CopyOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Somebody writes to the destination between the look at it and the transaction.
func TestCopyMeanwhile(t *testing.T) {
	src, dst := memory.New(), memory.New()
	putEntity(t, src, "one", "a", "source")
	theirs := &broken{Backend: dst, updates: 9, before: func() { putEntity(t, dst, "one", "a", "theirs") }}
	if _, err := registry.Copy(t.Context(), theirs, src, registry.CopyOptions{}); !errors.Is(err, feasterr.ErrConflict) ||
		!strings.Contains(err.Error(), "holds something else") {
		t.Error(err)
	}
}

// lossy loses what it is given.
type lossy struct{ registry.Backend }

func (l lossy) Update(context.Context, string, func(registry.Tx) error) (registry.Token, error) {
	return "", nil
}

func TestCopyIsCompared(t *testing.T) {
	src := memory.New()
	putEntity(t, src, "one", "a", "")
	_, err := registry.Copy(t.Context(), lossy{memory.New()}, src, registry.CopyOptions{})
	if !errors.Is(err, feasterr.ErrConflict) || !strings.HasPrefix(err.Error(),
		`project "one" differs after it was copied, perhaps because others write to it: entity "a" of project "one"`) {
		t.Error(err)
	}
}

func TestCopyErrors(t *testing.T) {
	data := goldenFile(t)
	for name, in := range map[string][]byte{
		"cut within a record": data[:len(data)/2],
		"cut between two":     append([]byte{3<<3 | 2, 1}, '1'),
		"nothing":             nil,
		"no registry":         []byte("registry: r.db\n"),
	} {
		dst := memory.New()
		if _, err := registry.Import(t.Context(), dst, bytes.NewReader(in), registry.CopyOptions{}); !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(contents(t, dst)); n > 0 {
			t.Errorf("%s: %d records", name, n)
		}
	}
	missing := file.New(filepath.Join(t.TempDir(), "nosuch.db"))
	if _, err := registry.Copy(t.Context(), memory.New(), missing, registry.CopyOptions{}); !errors.Is(err, feasterr.ErrNotFound) {
		t.Error(err)
	}
	if err := registry.Export(t.Context(), missing, io.Discard); !errors.Is(err, feasterr.ErrNotFound) {
		t.Error(err)
	}

	// A record that cannot be read would be lost.
	path := filepath.Join(t.TempDir(), "registry.db")
	if err := os.WriteFile(path, append(bytes.Clone(data), 1<<3|2, 2, 1<<3|2, 9), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := file.New(path)
	if _, err := registry.Copy(t.Context(), memory.New(), bad, registry.CopyOptions{}); !errors.Is(err, feasterr.ErrInvalid) ||
		!strings.HasPrefix(err.Error(), "the source cannot be copied: it would be lost: ") {
		t.Error(err)
	}
	if err := registry.Export(t.Context(), bad, io.Discard); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
	if _, err := registry.Copy(t.Context(), bad, memory.New(), registry.CopyOptions{}); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
}

// A record that tells its name and cannot be read all the same is not copied either, but for copies of other projects.
func TestCopyUnreadable(t *testing.T) {
	whole, err := registry.Encode("good", &registry.Entity{Name: "driver"})
	if err != nil {
		t.Fatal(err)
	}
	data := append([]byte{1<<3 | 2, byte(len(whole.Proto))}, whole.Proto...)
	data = append(data, "\x0a\x13\x0a\x11\x0a\x03odd\x4a\x03bad\x1a\x05text\xff\x22\x01v"...) // text that is not UTF-8
	src := file.New(filepath.Join(t.TempDir(), "registry.db"))
	if err := os.WriteFile(src.Path(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	const want = `the source cannot be copied: entity "odd" of project "bad" cannot be read: `
	dst := memory.New()
	var out bytes.Buffer
	for name, do := range map[string]func() error{
		"Copy":   func() error { _, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{}); return err },
		"Export": func() error { return registry.Export(t.Context(), src, &out) },
		"Import": func() error {
			_, err := registry.Import(t.Context(), dst, bytes.NewReader(data), registry.CopyOptions{Projects: []string{"bad", "good"}})
			return err
		},
	} {
		if err := do(); !errors.Is(err, feasterr.ErrInvalid) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(contents(t, dst)); n > 0 || out.Len() > 0 {
		t.Errorf("%d records, %d bytes", n, out.Len())
	}
	result, err := registry.Copy(t.Context(), dst, src, registry.CopyOptions{Projects: []string{"good"}})
	if err != nil || result.Records != 1 || result.Written != 1 {
		t.Errorf("%+v, %v", result, err)
	}
}

// FuzzImport: no input makes Import panic, and what it takes comes out of Export again.
func FuzzImport(f *testing.F) {
	f.Add(goldenFile(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		dst := memory.New()
		if _, err := registry.Import(t.Context(), dst, bytes.NewReader(data), registry.CopyOptions{}); err != nil {
			return
		}
		var out bytes.Buffer
		if err := registry.Export(t.Context(), dst, &out); err != nil {
			t.Fatal(err)
		}
		result, err := registry.Import(t.Context(), dst, &out, registry.CopyOptions{})
		if err != nil || result.Written > 0 {
			t.Errorf("%+v, %v", result, err)
		}
	})
}
