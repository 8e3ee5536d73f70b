package feast_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasttest"
	"github.com/feastgo/feast/permissions"
)

// Permissions are defined, applied, listed and enforced, and what they leave open is found.
func TestPermissions(t *testing.T) {
	driver := feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64}
	fs := feasttest.New(t, []feast.Object{&driver})
	ctx := t.Context()
	ann := permissions.User{Name: "ann", Roles: []string{"reader"}}

	open, err := fs.Enforcer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := open.Check(ann, driver.Resource(), permissions.Delete); err != nil {
		t.Errorf("without permissions: %v", err)
	}

	readers := feast.Permission{
		Name: "readers", Types: []permissions.Kind{permissions.Entity}, NamePatterns: []string{"driver.*"},
		Actions: append(permissions.ReadActions(), permissions.Describe), Policy: permissions.RoleBased{Roles: []string{"reader"}},
	}
	if _, err := fs.Apply(ctx, &readers); err != nil {
		t.Fatal(err)
	}
	snap, err := fs.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := snap.Permissions(); err != nil || len(list) != 1 || list[0].Name != "readers" {
		t.Errorf("%v, %v", list, err)
	}

	e, err := fs.Enforcer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := fs.Enforcer(ctx); again != e {
		t.Error("an enforcer is made for each request")
	}
	if err := e.Check(ann, driver.Resource(), permissions.Describe); err != nil {
		t.Error(err)
	}
	for _, err := range []error{
		e.Check(ann, driver.Resource(), permissions.Delete),
		e.Check(permissions.User{Name: "bob"}, driver.Resource(), permissions.Describe),
		e.Check(ann, readers.Resource(), permissions.Describe),
	} {
		if !errors.Is(err, feast.ErrDenied) {
			t.Error(err)
		}
	}

	report, err := fs.CheckPermissions(ctx)
	if err != nil || len(report.Problems) != 0 {
		t.Fatal(report, err)
	}
	gaps := map[string]int{}
	for _, g := range report.Gaps {
		if g.Covered != (g.Resource.Name == "driver") {
			t.Errorf("%+v", g)
		}
		gaps[g.Resource.String()] = len(g.Actions)
	}
	if len(gaps) != 2 || gaps[`Entity "driver"`] != 5 || gaps[`Permission "readers"`] != 8 {
		t.Errorf("%+v", gaps)
	}
	if r := report.Roles; len(r) != 2 || r[0].Role != "reader" || r[0].Resource.Name != "driver" ||
		!slices.Equal(r[0].Actions, []permissions.Action{permissions.Describe, permissions.ReadOnline, permissions.ReadOffline}) || r[1].Actions != nil {
		t.Errorf("%+v", report.Roles)
	}
}
