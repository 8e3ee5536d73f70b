package registry_test

import (
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
