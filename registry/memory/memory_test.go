package memory_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	registrytest.Run(t, registrytest.Harness{New: func(*testing.T) registrytest.Place {
		b := memory.New()
		return registrytest.Place{
			Open: func(*testing.T) registry.Backend { return b },
			Write: func(t *testing.T, records []registry.Record) {
				if err := b.Teardown(t.Context()); err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					put := func(tx registry.Tx) error { return tx.Put(t.Context(), r) }
					if _, err := b.Update(t.Context(), r.Project, put); err != nil {
						t.Fatal(err)
					}
				}
			},
		}
	}})
}

func TestPut(t *testing.T) {
	b := memory.New()
	entity := &registry.Entity{Name: "driver"}
	if err := b.Put(t.Context(), "demo", &registry.Project{Name: "demo"}, entity); err != nil {
		t.Fatal(err)
	}
	if entity.Project != "" {
		t.Error("the caller's object was changed")
	}
	r := registry.New(b, "demo", registry.Options{})
	defer r.Close()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e, err := s.Entity("driver"); err != nil || e.Project != "demo" || e.Key() != "driver" {
		t.Error(e, err)
	}
	if err := b.Put(t.Context(), "demo", (*registry.Entity)(nil)); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = b.Update(ctx, "demo", func(tx registry.Tx) error {
		cancel()
		for _, err := range tx.List(ctx, registry.KindEntity) {
			return err
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestOpen(t *testing.T) {
	cfg := config.Default("demo")
	cfg.Registry.Type = "memory"
	b, err := registry.Open(t.Context(), cfg, registry.Env{})
	if _, ok := b.(*memory.Backend); !ok {
		t.Errorf("%T, %v", b, err)
	}
}
