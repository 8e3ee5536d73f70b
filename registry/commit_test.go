package registry_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
)

func TestNewInfraObject(t *testing.T) {
	table, err := registry.NewInfraObject("feast.infra.online_stores.datastore.DatastoreTable",
		map[string]string{"project": "p", "name": "p_v", "namespace": ""})
	if err != nil {
		t.Fatal(err)
	}
	if d := table.Datastore; d.Project != "p" || d.Name != "p_v" || d.ProjectID != nil || d.Namespace == nil || *d.Namespace != "" || d.Database != nil {
		t.Errorf("%+v", d)
	}
	other, err := registry.NewInfraObject("x.Y", nil)
	if !errors.Is(err, feasterr.ErrUnsupported) {
		t.Error(err)
	}
	sqlite, err := registry.NewInfraObject("feast.infra.online_stores.sqlite.SqliteTable", map[string]string{"path": "/db", "name": "p_w"})
	if err != nil || sqlite.SQLite.Path != "/db" {
		t.Error(sqlite, err)
	}
	got := fmt.Sprint(table, sqlite, other)
	if want := `Datastore table "p_v" SQLite table "p_w" infrastructure of x.Y`; got != want {
		t.Error(got)
	}
}
