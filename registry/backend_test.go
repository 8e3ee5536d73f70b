package registry

import (
	"context"
	"errors"
	"testing"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
)

func TestRegister(t *testing.T) {
	opened := &scripted{}
	d := Driver{Names: []string{"example.ExampleRegistryStore"}, Open: func(context.Context, *config.RepoConfig, Env) (Backend, error) { return opened, nil }}
	Register(d)
	t.Cleanup(func() { table.Remove(d.Names) })
	for want, d := range map[string]Driver{
		"registry: Register called twice for driver example.ExampleRegistryStore": d,
		"registry: Register of a driver without names or without Open":            {Names: []string{"x"}},
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("panic %v, want %s", got, want)
				}
			}()
			Register(d)
		}()
	}

	cfg := config.Default("demo")
	cfg.Registry.StoreType = "example.ExampleRegistryStore"
	if b, err := Open(t.Context(), cfg, Env{}); b != opened || err != nil {
		t.Error(b, err)
	}
}

func TestNotLinked(t *testing.T) {
	cfg := config.Default("demo")
	for want, set := range map[string]func(*config.Registry){
		`registry "file" is not linked in: import _ "github.com/feastgo/feast/registry/file"`:        func(r *config.Registry) { r.Path = "data/registry.db" },
		`registry "s3" is not linked in: import _ "github.com/feastgo/feast/registry/s3"`:            func(r *config.Registry) { r.Path = "s3://bucket/key" },
		`registry "gcs" is not linked in: import _ "github.com/feastgo/feast/registry/gcs"`:          func(r *config.Registry) { r.Path = "gs://bucket/key" },
		`registry "sql" is not linked in: import _ "github.com/feastgo/feast/registry/sql"`:          func(r *config.Registry) { r.Type = "sql" },
		`registry "sql" is not linked in: import _ "github.com/feastgo/feast/registry/sql/postgres"`: func(r *config.Registry) { r.Type, r.Path = "sql", "postgresql+psycopg://h/d" },
		`registry "sql" is not linked in: import _ "github.com/feastgo/feast/registry/sql/mysql"`:    func(r *config.Registry) { r.Type, r.Path = "sql", "mariadb://h/d" },
		`registry "sql" is not linked in: import _ "github.com/feastgo/feast/registry/sql/sqlite"`:   func(r *config.Registry) { r.Type, r.Path = "sql", "sqlite:///a.db" },
		`this version has no driver for registry type "snowflake.registry"; linked in: memory`:       func(r *config.Registry) { r.Type = "snowflake.registry" },
		`this version has no driver for registry type "hdfs"; linked in: memory`:                     func(r *config.Registry) { r.Path = "hdfs://host/path" },
	} {
		cfg.Registry = config.Default("demo").Registry
		set(&cfg.Registry)
		_, err := Open(t.Context(), cfg, Env{})
		var notLinked *feasterr.NotLinkedError
		if !errors.As(err, &notLinked) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	cfg.Registry.Type = "nosuch"
	if _, err := Open(t.Context(), cfg, Env{}); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
}
