package offline_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
)

// This program links no driver: types that this module ships are answered with their import, others with what is there.
func TestNotLinked(t *testing.T) {
	var e *feasterr.NotLinkedError
	for _, typ := range []string{"file", "dask", "feast.infra.offline_stores.dask.DaskOfflineStore"} {
		_, err := offline.Open(t.Context(), config.NewSection(typ, nil), offline.Env{})
		if !errors.As(err, &e) || e.Import != "github.com/feastgo/feast/offline/file" || !errors.Is(err, feasterr.ErrUnsupported) {
			t.Errorf("%s: %v", typ, err)
		}
	}
	if _, err := offline.Open(t.Context(), config.NewSection("other", nil), offline.Env{}); !errors.As(err, &e) || e.Import != "" {
		t.Errorf("other: %v", err)
	}
	if _, err := offline.Parquet(); !errors.As(err, &e) || e.Import != "github.com/feastgo/feast/offline/file" {
		t.Errorf("Parquet: %v", err)
	}
}

func TestRegister(t *testing.T) {
	opened := ""
	d := offline.Driver{Names: []string{"test", "test.Class"}, Open: func(_ context.Context, s config.Section, env offline.Env) (offline.Store, error) {
		if opened = s.Type(); env.Now == nil {
			t.Error("no clock")
		}
		return nil, feasterr.ErrUnavailable
	}}
	offline.Register(d)
	if _, err := offline.Open(t.Context(), config.NewSection("test.Class", nil), offline.Env{}); !errors.Is(err, feasterr.ErrUnavailable) || opened != "test.Class" {
		t.Errorf("%q, %v", opened, err)
	}
	if err := offline.Linked("test"); err != nil || !slices.Equal(offline.Drivers(), []string{"test"}) {
		t.Errorf("%v, %v", offline.Drivers(), err)
	}
	for _, bad := range []offline.Driver{d, {Names: []string{"x"}}, {Open: d.Open}} {
		func() {
			defer func() {
				if r, _ := recover().(string); !strings.HasPrefix(r, "offline: Register") {
					t.Errorf("Register(%v) panics with %q", bad.Names, r)
				}
			}()
			offline.Register(bad)
		}()
	}
}
