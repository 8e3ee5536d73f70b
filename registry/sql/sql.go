// Package sql keeps a registry in the tables that Feast keeps it in: registry_type sql, on PostgreSQL, MySQL, MariaDB and
// SQLite. Python and Go may work on one registry at the same time.
//
// A program links the databases that it needs; each links this package:
//
//	import _ "github.com/feastgo/feast/registry/sql/postgres" // or mysql, or sqlite
//
// The path in feature_store.yaml is a SQLAlchemy URL, as Feast has it. What is read is one consistent state, in one query.
// See [Backend.Load] for how changes are noticed, and [Backend.Update] for what happens with several writers.
package sql

import (
	"context"
	database "database/sql"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
)

func init() {
	registry.Register(registry.Driver{
		Names: []string{"sql"},
		Open: func(_ context.Context, cfg *config.RepoConfig, _ registry.Env) (registry.Backend, error) {
			return open(cfg)
		},
	})
}

// SchemaMode says what becomes of tables that the database lacks: Feast's schema_mode.
type SchemaMode string

// The modes.
const (
	SchemaAuto   SchemaMode = "auto"   // the first write makes them; what is there is read
	SchemaVerify SchemaMode = "verify" // that is an error which lists them
	SchemaSkip   SchemaMode = "skip"   // nobody looks: the database's own errors tell
)

// Options are what a [Backend] may be told. The zero value reads all projects and makes missing tables.
type Options struct {
	// Project limits Load to the records of one project, and to the names of the others: a shared registry may hold
	// hundreds. Empty: all projects.
	Project string
	// Schema is SchemaAuto when it is empty.
	Schema SchemaMode
	// Read is a pool of connections to a copy of the database that follows it, such as a replica, for Load. Nil: the
	// same is read and written. The Backend owns it.
	Read *database.DB
	// PurgeMetadata is Feast's purge_feast_metadata: an update removes the rows of feast_metadata, and none are written.
	// Whether a registry without them has changed is seen only by reading it.
	PurgeMetadata bool
}

// Backend is a SQL registry.
type Backend struct {
	dialect *Dialect
	db      *pool // written, and read unless replica is there
	replica *pool // nil when there is none

	project string
	schema  SchemaMode
	purge   bool
	now     func() time.Time
	seed    maphash.Seed

	mu    sync.Mutex
	wrote time.Time // when this Backend wrote last
	seen  seen
}

// pool is connections to one database.
type pool struct {
	*database.DB
	dialect  *Dialect
	url      *URL   // nil when the pool was given
	place    string // for messages, as the key of feature_store.yaml is
	key      string
	complete atomic.Bool // has all tables and indexes
}

// New returns the registry in a database that the caller connects to; the packages of the databases have a New with their
// dialect. The Backend owns db, and closes it.
func New(d *Dialect, db *database.DB, o Options) *Backend {
	b := &Backend{
		dialect: d, db: &pool{DB: db, dialect: d, place: d.Name, key: "registry.path"}, project: o.Project, schema: o.Schema,
		purge: o.PurgeMetadata, now: time.Now, seed: maphash.MakeSeed(),
	}
	if o.Read != nil {
		b.replica = &pool{DB: o.Read, dialect: d, place: "copy of " + d.Name, key: "registry.read_path"}
	}
	if b.schema == "" {
		b.schema = SchemaAuto
	}
	return b
}

// options are the keys of the registry's section that only this driver has.
type options struct {
	ReadPath string `yaml:"read_path,nullable"`
	Kwargs   struct {
		PoolSize    *int     `yaml:"pool_size"`
		MaxOverflow *int     `yaml:"max_overflow"`
		PoolRecycle *int     `yaml:"pool_recycle"`
		PrePing     bool     `yaml:"pool_pre_ping,nullable"` // the pools of database/sql always look
		_           struct{} `yaml:",inline"`                // of create_engine
	} `yaml:"sqlalchemy_config_kwargs,nullable"`
	Workers int      `yaml:"thread_pool_executor_worker_count,nullable" min:"0"` // one query needs none
	Schema  string   `yaml:"schema_mode" enum:"auto|verify|skip"`
	_       struct{} `yaml:",inline"` // as in Feast: what all registries have, and what it does not know
}

func open(cfg *config.RepoConfig) (*Backend, error) {
	o := options{Schema: string(SchemaAuto)}
	section := cfg.Registry.Section
	if err := section.Decode(&o); err != nil {
		return nil, err
	}
	if cfg.Registry.Path == "" {
		return nil, feasterr.Invalid("registry.path is not set: it holds the URL of the database, such as postgresql://user:password@host/database")
	}
	u, d, db, err := connect(cfg.Registry.Path, &o)
	if err != nil {
		return nil, fmt.Errorf("registry.path: %w", err)
	}
	made := Options{Project: cfg.Project, Schema: SchemaMode(o.Schema), PurgeMetadata: cfg.Registry.PurgeMetadata}
	var copied *URL
	if o.ReadPath != "" {
		var of *Dialect
		copied, of, made.Read, err = connect(o.ReadPath, &o)
		if err == nil && of != d {
			_ = made.Read.Close()
			err = feasterr.Invalid("is on %s, and registry.path on %s: it must be a copy", of.Name, d.Name)
		}
		if err != nil {
			_ = db.Close()
			return nil, fmt.Errorf("registry.read_path: %w", err)
		}
	}
	b := New(d, db, made)
	b.db.url, b.db.place = u, u.String()
	if b.replica != nil {
		b.replica.url, b.replica.place = copied, copied.String()
	}
	return b, nil
}

// connect makes a pool for a URL, with Feast's defaults, which are SQLAlchemy's.
func connect(path string, o *options) (*URL, *Dialect, *database.DB, error) {
	u, err := ParseURL(path)
	if err != nil {
		return nil, nil, nil, err
	}
	d, err := dialectOf(u)
	if err != nil {
		return nil, nil, nil, err
	}
	db, err := d.Open(u)
	if err != nil {
		return nil, nil, nil, u.masked(err)
	}
	size, overflow := 5, 10
	if k := o.Kwargs.PoolSize; k != nil {
		size = *k
	}
	if k := o.Kwargs.MaxOverflow; k != nil {
		overflow = *k
	}
	if db.Stats().MaxOpenConnections == 0 && size > 0 && overflow >= 0 { // else without a limit, or the dialect has one
		db.SetMaxOpenConns(size + overflow)
	}
	if size > 0 {
		db.SetMaxIdleConns(size)
	}
	if k := o.Kwargs.PoolRecycle; k != nil && *k > 0 {
		db.SetConnMaxLifetime(time.Duration(*k) * time.Second)
	}
	return u, d, db, nil
}

// masked keeps an error's class when its text has to be changed.
func (u *URL) masked(err error) error {
	if text := u.mask(err.Error()); text != err.Error() {
		return feasterr.Invalid("%s", text)
	}
	return err
}

// Close implements registry.Backend.
func (b *Backend) Close() error {
	err := b.db.Close()
	if b.replica != nil {
		err = errors.Join(err, b.replica.Close())
	}
	return err
}

// failed says what an error of the database means.
func (p *pool) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	class := p.dialect.Classify(err)
	text := p.url.mask(err.Error())
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("registry %s: %s: %w", p.place, op, err)
	case strings.Contains(text, "database is closed"): // of database/sql, which has no value for it
		err = fmt.Errorf("registry %s: %w", p.place, feasterr.ErrClosed)
	case class == MissingDatabase:
		err = fmt.Errorf("%w: %s; create it, or check %s in feature_store.yaml",
			&feasterr.NotFoundError{Kind: "database", Name: p.place}, text, p.key)
	case class == Unavailable:
		err = feasterr.Unavailable("registry %s cannot be reached: %s", p.place, text)
	case class == Unauthenticated:
		err = fmt.Errorf("registry %s: %w: %s; check user and password in %s", p.place, feasterr.ErrUnauthenticated, text, p.key)
	case class == Denied:
		err = fmt.Errorf("registry %s: %w: %s", p.place, feasterr.ErrDenied, text)
	case class == MissingTable:
		err = feasterr.Invalid("registry %s lacks a table: %s; with schema_mode auto the next write makes it", p.place, text)
	default:
		err = &unmasked{fmt.Sprintf("registry %s: %s", p.place, text), err}
	}
	return &feasterr.StoreError{Store: "registry/sql", Op: op, Err: err}
}

// unmasked is an error of the client under a text without its password.
type unmasked struct {
	text string
	err  error
}

func (e *unmasked) Error() string { return e.text }
func (e *unmasked) Unwrap() error { return e.err }
