package offline

import (
	"context"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/drivers"
)

// Driver opens stores of one type.
type Driver struct {
	// Names are the type names in feature_store.yaml that select the driver: Feast's short name first, then class
	// paths.
	Names []string
	// Open makes a store from the offline_store section. Connections are made on first use where the client allows
	// it; ctx bounds Open only.
	Open func(ctx context.Context, cfg config.Section, env Env) (Store, error)
}

// Env is what a store may need besides its own section.
type Env struct {
	Project string
	RepoDir string             // what relative paths resolve against
	Now     func() time.Time   // never nil
	Token   config.TokenSource // the identity for stores that are Feast servers; may be nil
}

var table drivers.Table[Driver]

// Register makes a driver known under its names. It is called from init functions and panics when a name is taken or the
// driver is incomplete: a program wired wrongly should not start.
func Register(d Driver) {
	if len(d.Names) == 0 || d.Open == nil {
		panic("offline: Register of a driver without names or Open")
	}
	if name := table.Add(d.Names, d); name != "" {
		panic("offline: Register called twice for " + name)
	}
}

// Drivers returns the type names of the registered drivers, each by its first name, sorted.
func Drivers() []string { return table.Names() }

// Open opens the store that a section of type cfg.Type() describes. A type that is not linked in is a
// [*feasterr.NotLinkedError] that names the import.
func Open(ctx context.Context, cfg config.Section, env Env) (Store, error) {
	if err := Linked(cfg.Type()); err != nil {
		return nil, err
	}
	d, _ := table.Get(cfg.Type())
	if env.Now == nil {
		env.Now = time.Now
	}
	return d.Open(ctx, cfg, env)
}

// shipped are the drivers of this module, by type name: the folder of the package.
var shipped = map[string]string{
	"file": "file", "dask": "file", "feast.infra.offline_stores.dask.DaskOfflineStore": "file",
	"remote": "remote", "feast.infra.offline_stores.remote.RemoteOfflineStore": "remote",
}

// Linked reports whether stores of a type can be opened: nil, or a [*feasterr.NotLinkedError].
func Linked(typ string) error {
	if _, ok := table.Get(typ); ok {
		return nil
	}
	e := &feasterr.NotLinkedError{Room: "offline store", Type: typ, Known: Drivers()}
	if folder, ours := shipped[typ]; ours {
		e.Import = "github.com/feastgo/feast/offline/" + folder
	}
	return e
}
