// Package guardtest has what tests of servers need of authentication.
package guardtest

import (
	"context"
	"fmt"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
)

// Users verifies tokens by a table. It is an auth.Authenticator, which cannot tell whose the token "down" is.
type Users map[string]permissions.User

// Authenticate implements auth.Authenticator.
func (u Users) Authenticate(_ context.Context, token string) (permissions.User, error) {
	if token == "down" {
		return permissions.User{}, feasterr.Unavailable("no keys can be had")
	}
	if user, ok := u[token]; ok {
		return user, nil
	}
	return permissions.User{}, fmt.Errorf("%w: its signature does not fit", feasterr.ErrUnauthenticated)
}

// Close implements auth.Authenticator.
func (Users) Close() error { return nil }
