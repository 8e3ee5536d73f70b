package registry

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/drivers"
)

// Backend keeps records. What they mean, created times, versions, states, validation and indexes are the business of
// those above it. Implementations are safe for concurrent use, honour ctx, and start no goroutine that outlives a
// call unless Close waits for it.
type Backend interface {
	// Load returns all records, of all projects or of the one that the backend was opened for, and a token that stands
	// for this state. When have is still current it answers (nil, have, nil) after the cheapest probe there is; an empty
	// token is never current.
	//
	// A record that is garbage goes to State.Bad, and the others load. A registry that does not exist is a
	// feasterr.ErrNotFound that names the place; reading creates nothing.
	Load(ctx context.Context, have Token) (*State, Token, error)

	// Update runs fn in one transaction on the records of project: all its writes land, or none. fn must be free of
	// other effects, since it runs again on fresh records after a conflict; when retries are used up, the error is a
	// feasterr.ErrConflict. An error of fn ends the transaction and is returned as it is. A backend that is an [Applier]
	// has no transactions: a feasterr.ErrUnsupported.
	Update(ctx context.Context, project string, fn func(Tx) error) (Token, error)

	// Teardown removes the registry, of all projects. One that does not exist is no error.
	Teardown(ctx context.Context) error

	// Close releases what the backend holds. It may be called again.
	Close() error
}

// Token stands for a state of a registry. Equal tokens of one backend mean equal states. Nobody but the backend looks
// inside.
type Token string

// Poller is implemented by backends whose probe costs next to nothing, such as a stat of a local file, so that a
// [Registry] may ask often in the background.
type Poller interface {
	PollInterval() time.Duration
}

// Written is implemented by backends whose Load may be limited to one project, or read a copy that follows what is written.
// LoadWritten returns the records of a project, of all when it is empty, as they are where updates go; its errors are those
// of Load.
type Written interface {
	LoadWritten(ctx context.Context, project string) (*State, error)
}

// Tx is a transaction. It is used by one goroutine, and not after the function that was given it has returned.
type Tx interface {
	// Get returns one record; a feasterr.ErrNotFound when there is none.
	Get(ctx context.Context, id ID) (Record, error)
	// List returns the records of a kind in the transaction's project, its own writes included, in no particular
	// order.
	List(ctx context.Context, kind Kind) iter.Seq2[Record, error]
	// Put inserts or replaces a record. The backend keeps r.Proto, which must not be modified afterwards.
	Put(ctx context.Context, r Record) error
	// Delete removes a record; a feasterr.ErrNotFound when there is none.
	Delete(ctx context.Context, id ID) error
}

// Driver makes a kind of backend known to feature_store.yaml.
type Driver struct {
	// Names are what [config.Registry.Driver] calls the backend: "file", "s3", "sql", or class paths of plug-ins.
	Names []string
	// Open makes a backend from the registry section of cfg. Connections are made on first use where the client
	// allows it; ctx bounds Open only.
	Open func(ctx context.Context, cfg *config.RepoConfig, env Env) (Backend, error)
}

// Env is what a backend may need besides its configuration.
type Env struct {
	// Token gives the identity for backends that are servers; may be nil.
	Token config.TokenSource
}

var table drivers.Table[Driver]

// imports says which packages of this module link which drivers.
var imports = map[string]string{
	"file":   "file",
	"gcs":    "gcs",
	"memory": "memory",
	"s3":     "s3",
	"remote": "remote",
	"sql":    "sql", // and a database, see sqlPackage
}

// sqlPackage returns the package that links the database of a SQLAlchemy URL, and the driver with it.
func sqlPackage(url string) string {
	scheme, _, _ := strings.Cut(url, ":")
	switch base, _, _ := strings.Cut(scheme, "+"); base {
	case "postgresql":
		return "sql/postgres"
	case "mysql", "mariadb":
		return "sql/mysql"
	case "sqlite":
		return "sql/sqlite"
	}
	return imports["sql"]
}

// Register makes a driver known under its names. It is called from init functions and panics when a name is taken or
// the driver is incomplete: a program wired wrongly should not start.
func Register(d Driver) {
	if len(d.Names) == 0 || d.Open == nil {
		panic("registry: Register of a driver without names or without Open")
	}
	if name := table.Add(d.Names, d); name != "" {
		panic("registry: Register called twice for driver " + name)
	}
}

// Open makes the backend that cfg asks for. A driver that is not part of the program is a [*feasterr.NotLinkedError].
func Open(ctx context.Context, cfg *config.RepoConfig, env Env) (Backend, error) {
	name, err := cfg.Registry.Driver()
	if err != nil {
		return nil, err
	}
	d, ok := table.Get(name)
	if !ok {
		e := &feasterr.NotLinkedError{Room: "registry", Type: name, Known: table.Names()}
		if pkg, ours := imports[name]; ours {
			if name == "sql" {
				pkg = sqlPackage(cfg.Registry.Path)
			}
			e.Import = "github.com/feastgo/feast/registry/" + pkg
		}
		return nil, e
	}
	return d.Open(ctx, cfg, env)
}
