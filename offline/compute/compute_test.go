package compute_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline/compute"
	_ "github.com/feastgo/feast/offline/compute/local"
)

func section(t *testing.T, text string) config.Section {
	t.Helper()
	cfg, err := config.Parse([]byte("project: p\nregistry: r\n"+text), "feature_store.yaml", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.BatchEngine
}

func TestOpen(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"batch_engine: local\n": "",
		"batch_engine: {type: local, backend: polars}\n":                               "",
		"batch_engine: feast.infra.compute_engines.local.compute.LocalComputeEngine\n": "",
		"batch_engine: {type: local, backend: dask}\n":                                 `batch_engine.backend: "dask" is none of pandas, polars`,
		"batch_engine: {type: local, workers: 3}\n":                                    "workers",
		"batch_engine: spark.engine\n":                                                 `this version has no driver for batch engine type "spark.engine"; linked in: local`,
	} {
		e, err := compute.Open(t.Context(), section(t, text), compute.Env{})
		if want == "" && err == nil {
			err = e.Close()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if strings.Contains(text, "spark") && !errors.Is(err, feasterr.ErrUnsupported) {
			t.Error(err)
		}
	}
}

func TestRegister(t *testing.T) {
	open := func(context.Context, config.Section, compute.Env) (compute.Engine, error) { return nil, nil }
	for name, d := range map[string]compute.Driver{
		"no names": {Open: open}, "no open": {Names: []string{"x"}}, "taken": {Names: []string{"local"}, Open: open},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			compute.Register(d)
		}()
	}
}
