// Package sqlite is Feast's SQLite online store, in pure Go: it reads and writes the database file of Feast's Python SDK,
// which may use it at the same time. Import it for its side effect to use type "sqlite" in feature_store.yaml, or pass
// [New] to feast.WithOnlineStore.
//
// The file is Feast's in every respect: a table for each feature view, named project_view (project_view_vN for version N),
// with a row for each feature of an entity, which has an event time of its own, in whole seconds. Other programs may
// read and write it meanwhile. Its journal mode is left as it is; rollback journals and write-ahead logs are read alike.
// A file that is not there is an error to read and is not created by it. A file that may only be read is read; if it is in
// WAL mode and stands in a directory that may only be read, as long as no log is left beside it.
//
// Writes keep what is newer: a feature of a row is replaced when the new event time is at least the stored one.
//
// Times are seconds since the epoch, in UTC, as Feast writes them on hosts whose zone is UTC. On other hosts it writes
// UTC as if it were local time; "timestamps: local" reads and writes such files as Feast does on this host.
package sqlite

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

const name = "sqlite"

func init() {
	online.Register(online.Driver{
		Names: []string{name, "feast.infra.online_stores.sqlite.SqliteOnlineStore"},
		Open: func(_ context.Context, section config.Section, env online.Env) (online.Store, error) {
			cfg := Config{Path: "data/online.db", Similarity: "cosine", Timestamps: "utc"}
			if err := section.Decode(&cfg); err != nil {
				return nil, err
			}
			listed := pythonJoin(env.RepoDir, cfg.Path)
			if !filepath.IsAbs(cfg.Path) {
				cfg.Path = filepath.Join(env.RepoDir, cfg.Path)
			}
			s, err := New(cfg)
			if err != nil {
				return nil, err
			}
			s.listed = listed
			return s, nil
		},
	})
}

// Config is the store's section of feature_store.yaml.
type Config struct {
	// Path is the database file. In feature_store.yaml it is relative to the repository, data/online.db by default.
	Path string `yaml:"path"`
	// VectorEnabled makes writes fill the column vector_value: with native-endian float32 for lists of them, with
	// the value itself for other scalars.
	VectorEnabled bool `yaml:"vector_enabled"`
	// Similarity is Feast's, which does not use it either.
	Similarity string `yaml:"similarity,nullable"`
	// TextSearchEnabled is Feast's switch of text search, which needs no column of its own.
	TextSearchEnabled bool `yaml:"text_search_enabled"`
	// OpenAICompatible adds the column value_num, with numbers as such.
	OpenAICompatible bool `yaml:"enable_openai_compatible_store"`
	// Timestamps is "utc", the default, or "local": the file is one that Feast writes on a host in this host's zone.
	Timestamps string `yaml:"timestamps" enum:"utc|local"`
}

// lockWait is how long a call waits while others have the file locked, unless its context ends first: as Python does.
const lockWait = 5 * time.Second

// Store is an online store in a database file. Up to GOMAXPROCS calls, at least 4, run at a time, and one of them may
// write; further ones wait.
type Store struct {
	pool *pool
	cfg  Config
	zone *time.Location // nil: UTC

	listed string // the path as Feast writes it into the registry
}

// New returns the store in a file. It does not touch the file yet.
func New(cfg Config) (*Store, error) {
	s := &Store{cfg: cfg}
	switch cfg.Timestamps {
	case "", "utc":
	case "local":
		s.zone = time.Local
	default:
		return nil, feasterr.Invalid("timestamps must be utc or local, is %q", cfg.Timestamps)
	}
	if cfg.Path == "" || strings.ContainsRune(cfg.Path, 0) {
		return nil, feasterr.Invalid("path %q names no file", cfg.Path)
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, storeError("open", err)
	}
	s.listed = path
	s.pool = newPool(file{path: path, wait: lockWait})
	return s, nil
}

// Info implements [online.Store].
func (s *Store) Info() online.Info { return online.Info{Name: name, Versioned: true} }

// Ping implements [online.Pinger]: the file is there and a database.
func (s *Store) Ping(ctx context.Context) error {
	c, err := s.pool.get(ctx, reading)
	if err != nil {
		return storeError("ping", err)
	}
	defer s.pool.put(c)
	if err := c.exec(readHeader); err != nil {
		return storeError("ping", err)
	}
	return nil
}

// Close implements [online.Store].
func (s *Store) Close() error {
	s.pool.close()
	return nil
}

// quote makes an identifier of SQL of a name.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
