package sql

import (
	database "database/sql"
	"time"

	"github.com/feastgo/feast/config"
)

// SetClock sets the clock that times in feast_metadata are taken from.
func (b *Backend) SetClock(now func() time.Time) { b.now = now }

// DB returns the pool of connections.
func (b *Backend) DB() *database.DB { return b.db.DB }

// OpenConfig opens the registry of a configuration.
func OpenConfig(cfg *config.RepoConfig) (*Backend, error) { return open(cfg) }

// Trusts reports whether the next probe is the small one.
func (b *Backend) Trusts() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen.trusted()
}

// Age makes what was seen older, and as settled as it is then.
func (b *Backend) Age(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen.since = b.seen.since.Add(-d)
	if d > trust {
		b.seen.read = b.seen.read.Add(-d)
	}
}

// Mask removes the password of a URL from a text.
func Mask(u *URL, text string) string { return u.mask(text) }
