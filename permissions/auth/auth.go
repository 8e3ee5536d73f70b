// Package auth is the table of the types that the auth section of feature_store.yaml may have. A type makes the tokens of
// calls to servers, and tells servers whose a token is; permissions/oidc and permissions/kubernetes register theirs.
package auth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/drivers"
	"github.com/feastgo/feast/permissions"
)

// None is the type of a section that wants no tokens.
const None = "no_auth"

// IntraVariable is the environment variable that Feast's servers share with each other: a user of its name may do
// everything. Empty, it counts as unset (docs/compatibility.md, line 16).
const IntraVariable = "INTRA_COMMUNICATION_BASE64"

// Authenticator tells a server who calls. It is safe for concurrent use.
type Authenticator interface {
	// Authenticate returns the user whose bearer token it is. A token that proves nothing is a
	// feasterr.ErrUnauthenticated, whose text is for the server's log and has no part of the token; a
	// feasterr.ErrUnavailable says that tokens cannot be verified at the moment.
	Authenticate(ctx context.Context, token string) (permissions.User, error)
	// Close ends what it does in the background.
	Close() error
}

// Env is what a type may need besides its section.
type Env struct {
	RepoDir string                   // what relative paths resolve against
	Getenv  func(name string) string // the environment; never nil
	Now     func() time.Time         // never nil
	Logger  *slog.Logger             // never nil
}

// Driver makes a type known.
type Driver struct {
	// Name is the type: "oidc".
	Name string
	// TokenSource makes what gives the tokens of calls to servers. When it is an io.Closer, who asked for it closes it.
	TokenSource func(cfg config.Section, env Env) (config.TokenSource, error)
	// Authenticator makes what verifies the tokens of calls to a server.
	Authenticator func(cfg config.Section, env Env) (Authenticator, error)
}

var table drivers.Table[Driver]

// Register makes a type known. It is called from init functions and panics when the name is taken or the driver is
// incomplete: a program wired wrongly should not start.
func Register(d Driver) {
	if d.Name == "" || d.TokenSource == nil || d.Authenticator == nil {
		panic("auth: Register needs a name and both functions")
	}
	if table.Add([]string{d.Name}, d) != "" {
		panic("auth: a type " + d.Name + " is there already") //nolint:forbidigo // a fault of the program
	}
}

// Wanted reports whether a section wants tokens.
func Wanted(cfg config.Section) bool { return cfg.Type() != "" && cfg.Type() != None }

func find(cfg config.Section) (Driver, error) {
	if d, ok := table.Get(cfg.Type()); ok {
		return d, nil
	}
	err := &feasterr.NotLinkedError{Room: "auth", Type: cfg.Type(), Known: table.Names()}
	if slices.Contains([]string{"oidc", "kubernetes"}, cfg.Type()) {
		err.Import = "github.com/feastgo/feast/permissions/" + cfg.Type()
	}
	return Driver{}, err
}

// NewAuthenticator makes what verifies tokens as a section says: nil when it wants none.
func NewAuthenticator(cfg config.Section, env Env) (Authenticator, error) {
	if !Wanted(cfg) {
		return nil, nil //nolint:nilnil // documented
	}
	d, err := find(cfg)
	if err != nil {
		return nil, err
	}
	return d.Authenticator(cfg, env)
}

// Tokens makes what gives tokens as a section says: nil when it wants none. The type is looked for, and the section read,
// by the first call of Token, so that programs that call no server need not link it.
func Tokens(cfg config.Section, env Env) *TokenSource {
	if !Wanted(cfg) {
		return nil
	}
	return &TokenSource{cfg: cfg, env: env}
}

// TokenSource gives the tokens of an auth section. It is a [config.TokenSource], safe for concurrent use.
type TokenSource struct {
	cfg config.Section
	env Env

	once   sync.Once
	opened atomic.Bool
	source config.TokenSource
	err    error
}

// Token implements [config.TokenSource].
func (t *TokenSource) Token(ctx context.Context) (string, error) {
	t.once.Do(func() {
		var d Driver
		if d, t.err = find(t.cfg); t.err == nil {
			t.source, t.err = d.TokenSource(t.cfg, t.env)
		}
		t.opened.Store(t.err == nil)
	})
	if t.err != nil {
		return "", t.err
	}
	return t.source.Token(ctx)
}

// Format implements [fmt.Formatter]: a source has secrets, which are not shown.
func (t *TokenSource) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "auth.TokenSource") }

// LogValue implements [slog.LogValuer], as Format.
func (t *TokenSource) LogValue() slog.Value { return slog.StringValue("auth.TokenSource") }

// Invalidate tells the source, if it wants to know, that a server refused a token, so that it does not give it again. Who
// calls servers looks for this method in a [config.TokenSource].
func (t *TokenSource) Invalidate(token string) {
	if t == nil || !t.opened.Load() {
		return
	}
	if i, ok := t.source.(interface{ Invalidate(token string) }); ok {
		i.Invalidate(token)
	}
}

// Close ends what the source does in the background. Token must not be called any more. A nil
// TokenSource has nothing to close.
func (t *TokenSource) Close() error {
	if t == nil || !t.opened.Load() {
		return nil
	}
	if c, ok := t.source.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
