// Package server holds Feast's servers as things to mount: Features is an http.Handler, Registry and Offline are services of
// gRPC. They answer Feast's clients as Feast 0.67 does, except for what docs/compatibility.md lists. Listening, TLS,
// certificates and other routes are the program's own.
package server

import (
	"log/slog"
	"os"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/permissions/auth"
)

// Options are what all servers have in common. The zero value serves as feature_store.yaml says, within the default
// limits.
type Options struct {
	// Authenticator verifies the tokens of calls; nil: what the auth section describes, whose package has to be linked,
	// such as permissions/oidc. With auth of type no_auth every call is allowed. The caller closes what is given here.
	Authenticator auth.Authenticator
	// Rules change how permissions are read.
	Rules permissions.Option
	// RequirePermissions closes projects that have no permissions. As in Feast, they are open to every user with a valid
	// token otherwise, which is logged.
	RequirePermissions bool
	// Logger is told of what clients must not see: why tokens are refused, and errors of the server. nil: nobody is.
	Logger *slog.Logger

	// TruthfulStatuses has the feature server say NULL_VALUE and OUTSIDE_MAX_AGE where that is so. Feast's server calls both
	// PRESENT, and its clients drop the values of all that is not (docs/compatibility.md, line 1).
	TruthfulStatuses bool

	// EntitySQL lets callers of the offline server give entity rows as a query, where their tokens are checked: permissions do
	// not hold for a query, which reads whatever the store lets the server read. Where every call is allowed, this is too.
	EntitySQL bool

	// MaxBody is the size of the largest request, in bytes; 0: 64 MB. A stream of a Flight upload may be longer, and is
	// bounded by MaxRows.
	MaxBody int64
	// MaxRows is how many entities or rows one request may have; 0: 1,000,000, of an upload 100,000,000.
	MaxRows int
	// MaxConcurrent is how many requests are worked on at a time, others wait; 0: 256.
	MaxConcurrent int
	// Timeout ends requests; 0: a minute, of offline requests an hour.
	Timeout time.Duration
}

// guard returns what decides on calls, and what closes what it opened.
func (o Options) guard(fs *feast.FeatureStore) (g *guard.Guard, closing func() error, err error) {
	logger := o.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	g = &guard.Guard{
		Authenticator: o.Authenticator, Rules: o.Rules, RequirePermissions: o.RequirePermissions,
		Intra: os.Getenv(auth.IntraVariable), Logger: logger, //nolint:forbidigo // as in Feast; the caller makes a server
	}
	if g.Authenticator != nil {
		return g, func() error { return nil }, nil
	}
	cfg := fs.Config()
	env := auth.Env{RepoDir: cfg.RepoPath, Getenv: os.Getenv, Now: time.Now, Logger: logger} //nolint:forbidigo // as above
	a, err := auth.NewAuthenticator(cfg.Auth, env)
	if a == nil || err != nil {
		return g, func() error { return nil }, err
	}
	g.Authenticator = a
	return g, a.Close, nil
}
