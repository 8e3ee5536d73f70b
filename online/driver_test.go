package online

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
)

// register registers a driver for the time of a test.
func register(t *testing.T, d Driver) {
	t.Helper()
	Register(d)
	t.Cleanup(func() { table.Remove(d.Names) })
}

func openFake(_ context.Context, _ config.Section, env Env) (Store, error) {
	return &fakeStore{env: env}, nil
}

func TestRegisterPanics(t *testing.T) {
	register(t, Driver{Names: []string{"fake", "feast.FakeOnlineStore"}, Open: openFake})
	for _, c := range []struct {
		name string
		d    Driver
		want string
	}{
		{"no names", Driver{Open: openFake}, "online: Register of a driver without names or Open"},
		{"no Open", Driver{Names: []string{"other"}}, "online: Register of a driver without names or Open"},
		{"name taken", Driver{Names: []string{"feast.FakeOnlineStore"}, Open: openFake},
			"online: Register called twice for feast.FakeOnlineStore"},
	} {
		func() {
			defer func() {
				if got := recover(); got != c.want {
					t.Errorf("%s: recovered %v, want %q", c.name, got, c.want)
				}
			}()
			Register(c.d)
		}()
	}
	if got := Drivers(); !slices.Equal(got, []string{"fake"}) {
		t.Errorf("drivers: %v", got)
	}
}

func TestOpen(t *testing.T) {
	register(t, Driver{Names: []string{"fake"}, Open: openFake})
	register(t, Driver{Names: []string{"fakewrapper"}, Open: func(_ context.Context, cfg config.Section, env Env) (Store, error) {
		inner, err := env.Open(config.NewSection("fake", nil))
		return wrapping{inner}, err
	}})
	s, err := Open(t.Context(), config.NewSection("fakewrapper", nil), Env{Project: "proj", KeyVersion: 3})
	if err != nil {
		t.Fatal(err)
	}
	fake, ok := As[*fakeStore](s)
	if !ok || fake.env.Project != "proj" || fake.env.KeyVersion != 3 || fake.env.Open == nil ||
		time.Since(fake.env.Now()) > time.Hour {
		t.Errorf("the inner store was opened with %+v", fake.env)
	}
	if _, err := Open(t.Context(), config.NewSection("redis", nil), Env{}); !errors.Is(err, feasterr.ErrUnsupported) {
		t.Errorf("a type that is not linked in: %v", err)
	}
}

func TestLinked(t *testing.T) {
	register(t, Driver{Names: []string{"fake", "another"}, Open: openFake})
	for typ, want := range map[string]string{
		"redis":  `online store "redis" is not linked in: import _ "github.com/feastgo/feast/online/redis"`,
		"sqlite": `online store "sqlite" is not linked in: import _ "github.com/feastgo/feast/online/sqlite"`,
		"hybrid": `online store "hybrid" is not linked in: import _ "github.com/feastgo/feast/online/hybrid"`,
		"memory": `online store "memory" is not linked in: import _ "github.com/feastgo/feast/online/memory"`,
		"feast.infra.online_stores.redis.RedisOnlineStore": `online store "feast.infra.online_stores.redis.RedisOnlineStore" ` +
			`is not linked in: import _ "github.com/feastgo/feast/online/redis"`,
		"chronon": `this version has no driver for online store type "chronon"; linked in: fake`,
	} {
		err := Linked(typ)
		var missing *feasterr.NotLinkedError
		if !errors.As(err, &missing) || missing.Type != typ || err.Error() != want {
			t.Errorf("%s: got error %v, want %s", typ, err, want)
		}
	}
	if err := Linked("another"); err != nil {
		t.Errorf("a linked type: %v", err)
	}
}
