package guard

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/guard/guardtest"
	"github.com/feastgo/feast/permissions"
)

// project has permissions.
type project []*permissions.Permission

func (project) ProjectName() string { return "shop" }

func (p project) Enforcer(options ...permissions.Option) *permissions.Enforcer {
	return permissions.NewEnforcer(p, options...)
}

func TestBearer(t *testing.T) {
	for header, want := range map[string]string{
		"Bearer a": "a", "bearer a": "a", "BEARER  a": "a", "Bearer a ": "a", "Bearer": "", "Bearer ": "", "Bearer  ": "", "Bearer a b": "",
		"Basic a": "", "": "", "Bearera": "", " Bearer a": "",
	} {
		if token, ok := Bearer(header); token != want || ok != (want != "") {
			t.Errorf("%q: %q, %t", header, token, ok)
		}
	}
}

func TestGuard(t *testing.T) {
	var log bytes.Buffer
	g := &Guard{
		Authenticator: guardtest.Users{"a": {Name: "ann", Roles: []string{"reader"}}, "b": {Name: "bob"}, "i": {Name: "intra"}},
		Intra:         "intra", Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	for _, c := range []struct {
		header string
		there  bool
		class  error
	}{
		{"", false, feasterr.ErrUnauthenticated},
		{"Bearer a", false, feasterr.ErrUnauthenticated},
		{"Basic a", true, feasterr.ErrUnauthenticated},
		{"Bearer wrong", true, feasterr.ErrUnauthenticated},
		{"Bearer down", true, feasterr.ErrUnavailable},
		{"Bearer a", true, nil},
	} {
		ctx, err := g.Enter(t.Context(), c.header, c.there)
		if !errors.Is(err, c.class) || (ctx == nil) != (c.class != nil) {
			t.Errorf("%q: %v", c.header, err)
		}
		if err != nil && (strings.Contains(err.Error(), "wrong") || strings.Contains(err.Error(), "signature") || strings.Contains(err.Error(), "keys")) {
			t.Errorf("%q: the answer says too much: %v", c.header, err)
		}
	}
	if text := log.String(); !strings.Contains(text, "signature") || !strings.Contains(text, "no keys") || strings.Contains(text, "wrong") {
		t.Errorf("%s", text)
	}
	enter := func(token string) context.Context {
		ctx, err := g.Enter(t.Context(), "Bearer "+token, true)
		if err != nil {
			t.Fatal(err)
		}
		return ctx
	}
	readers := project{{
		Name: "readers", Types: []permissions.Kind{permissions.Entity}, NamePatterns: []string{"c.*"},
		Actions: []permissions.Action{permissions.Describe}, Policy: permissions.RoleBased{Roles: []string{"reader"}},
	}}
	entity := func(name string) permissions.Resource {
		return permissions.Resource{Kind: permissions.Entity, Name: name}
	}
	names := []string{"city", "driver", "customer"}
	for _, c := range []struct {
		token string
		may   bool
		sees  []string
	}{
		{"a", true, []string{"city", "customer"}},
		{"b", false, []string{}},
		{"i", true, names},
	} {
		ctx := enter(c.token)
		if err := g.Check(ctx, readers, entity("city"), permissions.Describe); (err == nil) != c.may || err != nil && !errors.Is(err, feasterr.ErrDenied) {
			t.Errorf("%s: %v", c.token, err)
		}
		sees, err := Filter(ctx, g, readers, names, entity, permissions.Describe)
		if !slices.Equal(sees, c.sees) || err != nil {
			t.Errorf("%s sees %v, %v", c.token, sees, err)
		}
		city := entity("city")
		if err := g.CheckApply(ctx, readers, nil, city); (err == nil) != (c.token == "i") {
			t.Errorf("%s: %v", c.token, err)
		}
		if err := g.CheckApply(ctx, readers, &city, city); (err == nil) != (c.token == "i") {
			t.Errorf("%s: %v", c.token, err)
		}
	}
	if err := g.Check(t.Context(), readers, entity("city"), permissions.Describe); !errors.Is(err, feasterr.ErrDenied) {
		t.Errorf("nobody: %v", err)
	}
}

// A project without permissions is open, which is said once, unless it is closed.
func TestNoPermissions(t *testing.T) {
	var log bytes.Buffer
	g := &Guard{Authenticator: guardtest.Users{"b": {Name: "bob"}}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	ctx, err := g.Enter(t.Context(), "Bearer b", true)
	if err != nil {
		t.Fatal(err)
	}
	city := permissions.Resource{Kind: permissions.Entity, Name: "city"}
	for range 2 {
		if err := g.Check(ctx, project{}, city, permissions.Delete); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "has no permissions"); n != 1 || !strings.Contains(log.String(), "shop") {
		t.Errorf("%s", log.String())
	}
	if err := g.Check(t.Context(), project{}, city, permissions.Delete); !errors.Is(err, feasterr.ErrDenied) {
		t.Errorf("nobody: %v", err)
	}
	g.RequirePermissions = true
	if err := g.Check(ctx, project{}, city, permissions.Delete); !errors.Is(err, feasterr.ErrDenied) || !strings.Contains(err.Error(), `"shop" has no permissions`) {
		t.Error(err)
	}
	if _, err := Filter(ctx, g, project{}, []string{"city"}, func(string) permissions.Resource { return city }, permissions.Delete); !errors.Is(err, feasterr.ErrDenied) {
		t.Error(err)
	}
	if err := g.CheckApply(ctx, project{}, nil, city); !errors.Is(err, feasterr.ErrDenied) {
		t.Error(err)
	}
}

// Without authentication everybody may do everything.
func TestNoAuthentication(t *testing.T) {
	g := &Guard{RequirePermissions: true}
	ctx, err := g.Enter(t.Context(), "", false)
	if err != nil || g.On() || User(ctx).Name != "" {
		t.Fatal(err)
	}
	if err := g.Check(ctx, project{}, permissions.Resource{}, permissions.Delete); err != nil {
		t.Error(err)
	}
}
