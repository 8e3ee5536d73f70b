// Package guard decides on calls to a server: who calls, by the token, and what they may do, by the permissions of the
// project. Every route and RPC of the servers goes through it.
package guard

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/permissions/auth"
)

// Guard is made once per server and is safe for concurrent use.
type Guard struct {
	// Authenticator verifies tokens; nil: no call needs one, and everything is allowed.
	Authenticator auth.Authenticator
	// Rules change how permissions are read.
	Rules permissions.Option
	// RequirePermissions closes projects without permissions, which are open to every user with a name otherwise.
	RequirePermissions bool
	// Intra is the name of the user who may do everything; empty: nobody may.
	Intra string `json:"-"`
	// Logger is told of refused tokens and of open projects; never nil.
	Logger *slog.Logger

	open sync.Map // names of projects without permissions that were reported
}

// Format implements [fmt.Formatter]: a guard has a secret, which is not shown.
func (g *Guard) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "guard.Guard") }

// LogValue implements [slog.LogValuer], as Format.
func (g *Guard) LogValue() slog.Value { return slog.StringValue("guard.Guard") }

// Rules are the permissions of a project: a *registry.Snapshot.
type Rules interface {
	ProjectName() string
	Enforcer(options ...permissions.Option) *permissions.Enforcer
}

// On reports whether calls need a token.
func (g *Guard) On() bool { return g.Authenticator != nil }

type callerKey struct{}

// Enter verifies the Authorization header, or metadata, of a call and returns a context that knows who calls. ok says
// whether there is a header. The error is a feasterr.ErrUnauthenticated without details, which are logged, or a
// feasterr.ErrUnavailable.
func (g *Guard) Enter(ctx context.Context, header string, ok bool) (context.Context, error) {
	if g.Authenticator == nil {
		return ctx, nil
	}
	token, bearer := Bearer(header)
	if !ok || !bearer {
		return nil, fmt.Errorf("%w: the call has no bearer token", feasterr.ErrUnauthenticated)
	}
	u, err := g.Authenticator.Authenticate(ctx, token)
	if err != nil {
		return nil, g.refuse(ctx, err)
	}
	return context.WithValue(ctx, callerKey{}, u), nil
}

// refuse logs why a token is refused and returns what its sender may know of it.
func (g *Guard) refuse(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	g.Logger.WarnContext(ctx, "a call was refused", "error", err)
	if feasterr.Retryable(err) {
		return fmt.Errorf("%w: tokens cannot be verified at the moment", feasterr.ErrUnavailable)
	}
	return fmt.Errorf("%w: the token is invalid or has expired", feasterr.ErrUnauthenticated)
}

// Bearer returns the token of an Authorization header, as Feast reads it: the word Bearer in any case, white space, and a
// token without any.
func Bearer(header string) (token string, ok bool) {
	const prefix = "bearer "
	if len(header) <= len(prefix) || !strings.EqualFold(header[:len(prefix)], prefix) {
		return "", false
	}
	parts := strings.Fields(header)
	if len(parts) != 2 {
		return "", false
	}
	return parts[1], true
}

// User returns who calls, the user without a name where nobody is known.
func User(ctx context.Context) permissions.User {
	u, _ := ctx.Value(callerKey{}).(permissions.User)
	return u
}

// Free reports whether a call may do everything.
func (g *Guard) Free(ctx context.Context) bool {
	return g.Authenticator == nil || g.Intra != "" && User(ctx).Name == g.Intra
}

// enforcer returns what decides on a call, or why nothing may be done in the project.
func (g *Guard) enforcer(ctx context.Context, rules Rules) (*permissions.Enforcer, error) {
	e := rules.Enforcer(g.Rules)
	if len(e.Permissions()) > 0 {
		return e, nil
	}
	project := rules.ProjectName()
	if g.RequirePermissions {
		return nil, fmt.Errorf("%w: project %q has no permissions, without which this server answers nothing about it", feasterr.ErrDenied, project)
	}
	if _, reported := g.open.LoadOrStore(project, true); !reported {
		g.Logger.WarnContext(ctx, "the project has no permissions: it is open to everybody with a valid token", "project", project)
	}
	return e, nil
}

// Check returns nil when the caller may do all the actions with the resource; else an error that is a
// feasterr.ErrDenied, or a *permissions.PatternError.
func (g *Guard) Check(ctx context.Context, rules Rules, r permissions.Resource, actions ...permissions.Action) error {
	if g.Free(ctx) {
		return nil
	}
	e, err := g.enforcer(ctx, rules)
	if err != nil {
		return err
	}
	return e.Check(User(ctx), r, actions...)
}

// CheckApply is the check of an object that is to be applied, see [permissions.Enforcer.CheckApply].
func (g *Guard) CheckApply(ctx context.Context, rules Rules, existing *permissions.Resource, r permissions.Resource) error {
	if g.Free(ctx) {
		return nil
	}
	e, err := g.enforcer(ctx, rules)
	if err != nil {
		return err
	}
	return e.CheckApply(User(ctx), existing, r)
}

// Filter returns those of the objects that the caller may do the actions with, in their order.
func Filter[T any](ctx context.Context, g *Guard, rules Rules, objects []T, resource func(T) permissions.Resource,
	actions ...permissions.Action) ([]T, error) {
	if g.Free(ctx) || len(objects) == 0 {
		return objects, nil
	}
	e, err := g.enforcer(ctx, rules)
	if err != nil {
		return nil, err
	}
	resources := make([]permissions.Resource, len(objects))
	for i, o := range objects {
		resources[i] = resource(o)
	}
	kept, err := e.Filter(User(ctx), resources, actions...)
	if err != nil {
		return nil, err
	}
	out := make([]T, len(kept))
	for i, at := range kept {
		out[i] = objects[at]
	}
	return out, nil
}
