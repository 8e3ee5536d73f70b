package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/registry/registrytest"
)

var noon = time.Date(2024, 5, 1, 12, 0, 0, 123456789, time.UTC)

func newWriter(project string) (*registry.Writer, *memory.Backend) {
	b := memory.New()
	return &registry.Writer{Backend: b, Project: project, Now: func() time.Time { return noon }}, b
}

func mustApply(t *testing.T, w *registry.Writer, r registry.ApplyRequest) *registry.Diff {
	t.Helper()
	d, err := w.Apply(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func objects(list ...registry.Object) registry.ApplyRequest {
	return registry.ApplyRequest{Objects: list}
}

func snapshot(t *testing.T, b registry.Backend, project string) *registry.Snapshot {
	t.Helper()
	r := registry.New(b, project, registry.Options{})
	defer r.Close()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// goldenRegistry is the registry that Feast wrote for a rich repository.
func goldenRegistry(t *testing.T) (*registry.State, []registry.Object) {
	t.Helper()
	data, err := os.ReadFile("testdata/registry/file/registry.db")
	if err != nil {
		t.Fatal(err)
	}
	state, err := registry.ParseState(data)
	if err != nil {
		t.Fatal(err)
	}
	var list []registry.Object
	for _, r := range state.Records {
		switch r.Kind {
		case registry.KindInfra, registry.KindProjectMetadata, registry.KindViewVersion:
			continue
		}
		o, err := registry.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
	return state, list
}

// All that Feast applied is found equal when it is applied again, read from the registry or made in Go.
func TestGoldenUnchanged(t *testing.T) {
	for _, made := range []bool{false, true} {
		state, list := goldenRegistry(t)
		w, b := newWriter("golden")
		if _, err := b.Update(t.Context(), "golden", func(tx registry.Tx) error {
			for _, r := range state.Records {
				if r.Project != "golden" {
					continue
				}
				if err := tx.Put(t.Context(), r); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			if made {
				*o.Origin() = sealed.Origin{}
			}
		}
		d := mustApply(t, w, objects(list...))
		if !d.Empty() {
			t.Errorf("made in Go: %t\n%s", made, d)
		}
		if len(d.Changes) != len(list) {
			t.Errorf("%d changes of %d objects", len(d.Changes), len(list))
		}
	}
}

// The same objects made in Go and applied to an empty registry are stored as Feast stores them, but for times.
func TestGoldenCreated(t *testing.T) {
	state, list := goldenRegistry(t)
	for _, o := range list {
		*o.Origin() = sealed.Origin{}
	}
	w, b := newWriter("golden")
	d := mustApply(t, w, objects(list...))
	if d.Empty() {
		t.Fatal("nothing was created")
	}
	loaded, _, err := b.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	got := map[registry.ID][]byte{}
	for _, r := range loaded.Records {
		got[r.ID] = r.Proto
	}
	compared := 0
	for _, r := range state.Records {
		m := map[registry.Kind]proto.Message{
			registry.KindFeatureView: new(core.FeatureView), registry.KindFeatureService: new(core.FeatureService),
			registry.KindEntity: new(core.Entity), registry.KindDataSource: new(core.DataSource),
			registry.KindOnDemandFeatureView: new(core.OnDemandFeatureView), registry.KindLabelView: new(core.LabelView),
			registry.KindPermission: new(core.Permission),
		}[r.Kind]
		if m == nil {
			continue
		}
		is := proto.Clone(m)
		if err := errors.Join(proto.Unmarshal(r.Proto, m), proto.Unmarshal(got[r.ID], is)); err != nil {
			t.Fatal(err)
		}
		want, have := map[string]string{}, map[string]string{}
		for to, m := range map[*map[string]string]proto.Message{&want: m, &have: is} {
			text, err := protojson.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			flatten(*to, "", decodeJSON(t, text))
		}
		paths := maps.Clone(want)
		maps.Copy(paths, have)
		for path := range paths {
			switch compared++; {
			case want[path] == have[path], strings.Contains(path, "Timestamp"), // now, not then
				strings.HasSuffix(path, "dataSourceClassType"), // spec 6.4: it should be written everywhere
				strings.HasSuffix(path, "configuration"),       // JSON with other spaces
				path == "spec.ttl" && r.Name == "no_ttl":       // no ttl and ttl 0 are the same: spec 6.5
			default:
				t.Errorf("%s: %s is %q, want %q", r.ID, path, have[path], want[path])
			}
		}
	}
	if compared < 500 {
		t.Errorf("only %d values compared", compared)
	}
}

func decodeJSON(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// fixed is a registry that cannot be written.
type fixed struct {
	registry.Backend
	state *registry.State
}

func (f fixed) Load(context.Context, registry.Token) (*registry.State, registry.Token, error) {
	return f.state, "", nil
}

// Whatever a registry file holds, applying to it succeeds or is an error.
func FuzzApply(f *testing.F) {
	data, err := os.ReadFile("testdata/registry/file/registry.db")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil))
	golden, err := registry.ParseState(data)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range golden.Records {
		if r.Kind != registry.KindInfra {
			f.Add(registrytest.File("v", []registry.Record{r}))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		state, err := registry.ParseState(data)
		if err != nil {
			return
		}
		var read, made []registry.Object
		for _, r := range state.Records {
			if o, err := registry.Decode(r); err == nil && r.Project == "golden" {
				again, err := registry.Clone(o)
				if err != nil {
					t.Fatal(err)
				}
				*again.Origin() = sealed.Origin{}
				if v, ok := again.(*registry.FeatureView); ok {
					v.Version = "v0"
				}
				read, made = append(read, o), append(made, again)
			}
		}
		w := &registry.Writer{Backend: fixed{state: state}, Project: "golden"}
		driver := &registry.Entity{Name: "driver", JoinKey: "driver_id"}
		for _, list := range [][]registry.Object{{driver}, read, made} {
			r := registry.ApplyRequest{Objects: list, DryRun: true, Prune: true}
			if d, err := w.Apply(t.Context(), r); err == nil {
				_ = d.String()
			} else if !errors.Is(err, feasterr.ErrInvalid) {
				t.Error(err)
			}
		}
	})
}
