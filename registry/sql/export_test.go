package sql

import (
	database "database/sql"
	"time"

	"github.com/feastgo/feast/config"
)

// SetClock sets the clock that times in feast_metadata are taken from.
func (b *Backend) SetClock(now func() time.Time) { b.now = now }

// DB returns the pool of connections.
func (b *Backend) DB() *database.DB { return b.db }

// OpenConfig opens the registry of a configuration.
func OpenConfig(cfg *config.RepoConfig) (*Backend, error) { return open(cfg) }
