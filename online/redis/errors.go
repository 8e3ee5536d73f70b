package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

// tableError is an error that concerns one view, named as it is stored.
func tableError(op string, t *online.Table, err error) error {
	return &feasterr.StoreError{Store: "redis", Op: op, Table: t.StoredView(), Err: err}
}

// errNoHash is the error for a key under which another program stores something else.
var errNoHash = feasterr.Invalid("the key of the entity does not hold a hash")

// wrongType reports whether a key does not hold a hash, which concerns a command and not its neighbours.
func wrongType(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }

// refusesCommand reports whether the text of an error says that a server, or a proxy before it, does not let a command of
// this name, in small letters, pass for this user at all. That a user may not access a key says nothing of other keys.
func refusesCommand(text, name string) bool {
	switch {
	case strings.HasPrefix(text, "NOPERM"):
		return !strings.Contains(text, " access ")
	case strings.HasPrefix(text, "ERR "):
		text = strings.ToLower(text)
		return strings.Contains(text, "unknown command") || strings.Contains(text, name) ||
			strings.Contains(text, "can't run this command") // of one in a script, Redis 7.0
	}
	return false
}

// serverError is the error of a request that the server refused or did not answer.
func serverError(ctx context.Context, err error) error {
	if done := ended(ctx); done != nil {
		return done
	}
	var refused redis.Error
	_, moved := redis.IsMovedError(err)
	_, ask := redis.IsAskError(err)
	switch {
	case errors.Is(err, redis.ErrClosed):
		return feasterr.ErrClosed
	case redis.IsAuthError(err):
		return fmt.Errorf("%w: %w", feasterr.ErrUnauthenticated, err)
	case redis.IsPermissionError(err):
		return fmt.Errorf("%w: %w", feasterr.ErrDenied, err)
	case redis.IsLoadingError(err), redis.IsReadOnlyError(err), redis.IsMasterDownError(err), redis.IsClusterDownError(err),
		redis.IsTryAgainError(err), redis.IsMaxClientsError(err), redis.IsNoReplicasError(err), moved, ask,
		redis.HasErrorPrefix(err, "BUSY "), // a script runs for long
		redis.HasErrorPrefix(err, "OOM "), redis.HasErrorPrefix(err, "MISCONF "):
		return feasterr.Unavailable("%w", err)
	case redis.HasErrorPrefix(err, "unknown command"):
		return feasterr.Unsupported("%w", err)
	case errors.As(err, &refused):
		return feasterr.Invalid("%w", err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return feasterr.Unavailable("%v", err) // a limit of the client's, as for dialing; the caller's context goes on
	default:
		return feasterr.Unavailable("%w", err)
	}
}

// unreachable reports whether an error is about the connection to a server, not about what it answered.
func unreachable(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// ended is the error of ctx, also when it is about to end: deadlines of connections run out a moment earlier.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}
