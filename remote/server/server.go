// Package server holds Feast's servers as things to mount: Features is an http.Handler, Registry and Offline are services of
// gRPC, and Registry has a handler beside. They answer Feast's clients as Feast 0.67 does, except for what
// docs/compatibility.md lists. Listening, TLS, certificates and other routes are the program's own.
//
// All end in the same way: Drain lets what runs end, Close gives back what the server opened. The feature store, and whatever
// else the caller gives, stays the caller's.
package server

import (
	"cmp"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/permissions/auth"
)

// Options are what all servers have in common. The zero value serves as feature_store.yaml says, within the default
// limits. One value may serve for all of a program's servers: where an option is about some of them only, it says so.
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

	// TruthfulStatuses has Features say NULL_VALUE and OUTSIDE_MAX_AGE where that is so; the others answer no statuses. Feast's
	// server calls both PRESENT, and its clients drop the values of all that is not (docs/compatibility.md, line 1).
	TruthfulStatuses bool

	// EntitySQL lets callers of Offline give entity rows as a query, where their tokens are checked: permissions do not hold
	// for a query, which reads whatever the store lets the server read. Where every call is allowed, this is too.
	EntitySQL bool

	// MaxBody is the size of the largest request, in bytes; 0: 64 MB, of Offline 1 GB, since Feast's client sends the rows of a
	// data frame as one message. It is that of a message there: an upload of many may be longer, and is bounded by MaxRows. Over
	// gRPC it cannot exceed 2 GB.
	MaxBody int64
	// MaxRows is how many entities or rows one request may have; 0: 1,000,000, of Offline 100,000,000. Requests to Registry have
	// no rows.
	MaxRows int
	// MaxConcurrent is how many requests a server works on at a time, others wait; 0: 256.
	MaxConcurrent int
	// Timeout ends requests, waiting included; 0: a minute, of Offline and of materializations an hour.
	Timeout time.Duration
}

// limits are those of Options, or a server's defaults.
type limits struct {
	body       int64
	rows       int
	concurrent int
	time, long time.Duration // of requests, and of those that may take long
}

func (o Options) limits(d limits) (limits, error) {
	if o.MaxBody < 0 || o.MaxRows < 0 || o.MaxConcurrent < 0 || o.Timeout < 0 {
		return limits{}, feasterr.Invalid("a limit of the server is negative: give 0 for its default")
	}
	return limits{
		body: cmp.Or(o.MaxBody, d.body), rows: cmp.Or(o.MaxRows, d.rows), concurrent: cmp.Or(o.MaxConcurrent, 256),
		time: cmp.Or(o.Timeout, d.time), long: cmp.Or(o.Timeout, d.long),
	}, nil
}

// owned is what a server opened itself.
type owned struct{ close func() error }

// guard returns what decides on calls, and what was opened for it.
func (o Options) guard(fs *feast.FeatureStore) (*guard.Guard, owned, error) {
	nothing := owned{func() error { return nil }}
	logger := o.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	g := &guard.Guard{
		Authenticator: o.Authenticator, Rules: o.Rules, RequirePermissions: o.RequirePermissions,
		Intra: os.Getenv(auth.IntraVariable), Logger: logger, //nolint:forbidigo // as in Feast; the caller makes a server
	}
	if g.Authenticator != nil {
		return g, nothing, nil
	}
	cfg := fs.Config()
	env := auth.Env{RepoDir: cfg.RepoPath, Getenv: os.Getenv, Now: time.Now, Logger: logger} //nolint:forbidigo // as above
	a, err := auth.NewAuthenticator(cfg.Auth, env)
	if a == nil || err != nil {
		return g, nothing, err
	}
	g.Authenticator = a
	return g, owned{sync.OnceValue(a.Close)}, nil
}
