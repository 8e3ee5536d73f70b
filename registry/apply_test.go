package registry_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/registry/registrytest"
	"github.com/feastgo/feast/types"
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

// Feast tells functions apart by their source text, pickles them anew each time, and runs the text.
func TestApplyFunctionText(t *testing.T) {
	b := memory.New()
	w := &registry.Writer{Backend: b, Project: "p"}
	definition := func(text, description string, body []byte) *registry.OnDemandFeatureView {
		return &registry.OnDemandFeatureView{
			Name: "v", Mode: "python", Description: description, Schema: []registry.Field{{Name: "x", Type: types.Float64}},
			RequestSources: []*registry.DataSource{{
				Name: "r", Options: registry.RequestOptions{Schema: []registry.Field{{Name: "a", Type: types.Float64}}},
			}},
			Transformation: &registry.Transformation{Name: "f", Mode: "python", Text: text, Body: body},
		}
	}
	pickle := []byte("pickle")
	for _, step := range []struct {
		name    string
		apply   *registry.OnDemandFeatureView
		changes int
		body    []byte
	}{
		{"as Feast writes it", definition("def f(a): ...", "", pickle), 4, pickle},
		{"without the pickle", definition("def f(a): ...", "", nil), 0, pickle},
		{"something else changed", definition("def f(a): ...", "d", nil), 1, pickle},
		{"another text", definition("def f(a, b): ...", "d", nil), 2, nil}, // and a version
	} {
		d, err := w.Apply(t.Context(), objects(step.apply))
		if err != nil {
			t.Fatal(err)
		}
		changes := 0
		for _, c := range d.Changes {
			if c.Action != registry.ActionUnchanged {
				changes++
			}
		}
		v, err := snapshot(t, b, "p").OnDemandFeatureView("v")
		if err != nil {
			t.Fatal(err)
		}
		if changes != step.changes || !bytes.Equal(v.Transformation.Body, step.body) {
			t.Errorf("%s: body %q after\n%s", step.name, v.Transformation.Body, d)
		}
	}
}

// Parquet is what files are unless something else is said, which Feast does not always leave out.
func TestApplyFileFormat(t *testing.T) {
	w := &registry.Writer{Backend: memory.New(), Project: "p"}
	for i, step := range []struct {
		format registry.FileFormat
		same   bool
	}{{"", false}, {registry.FormatParquet, true}, {registry.FormatDelta, false}, {"", false}} {
		d, err := w.Apply(t.Context(), objects(&registry.SavedDataset{
			Name: "d", Storage: registry.FileOptions{Path: "x", Format: step.format},
		}))
		if err != nil {
			t.Fatal(err)
		}
		if d.Empty() != step.same {
			t.Errorf("step %d, %q:\n%s", i, step.format, d)
		}
	}
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
