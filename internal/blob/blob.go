// Package blob keeps a registry in one object of an object store, as Feast does: a serialized feast.core.Registry. What
// the stores have in common is here: whole snapshots, conditional writes, what to do when a store is busy, does not
// answer, or answers too late.
package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/sleep"
	"github.com/feastgo/feast/registry"
)

// Store is one object of an object store. A method is one attempt: it does not try again.
//
// Errors of the class feasterr.ErrUnavailable leave open what happened, and are tried again; unless the error is [Untouched],
// which says that nothing did. All others are final, and a Put that ends with one has written nothing, unless it returns a version.
type Store interface {
	// Get returns the object. ErrUnchanged: its version is still have, unless that is empty. ErrMissing: there is none.
	Get(ctx context.Context, have string) (Object, error)
	// Put replaces the object that was, or creates it when was has no version, and returns the new version; with an error,
	// when the write took place and must not be relied on. ErrMoved: the object is another one by now.
	Put(ctx context.Context, data []byte, was Object) (version string, err error)
	// Delete removes the object. One that does not exist is no error.
	Delete(ctx context.Context) error
}

// Object is what an object held at one moment. Equal versions mean equal data; without a version, there was no object.
type Object struct {
	Data    []byte
	Version string
}

// What a Store says besides success and failure.
var (
	ErrUnchanged = errors.New("unchanged")
	ErrMissing   = errors.New("no such object")
	ErrMoved     = errors.New("other writers were quicker")
)

// Untouched is an error of a request that did nothing and never will, although it may be sent again.
type Untouched struct{ Err error }

// Error implements error.
func (e Untouched) Error() string { return e.Err.Error() }

// Unwrap returns the error of the request.
func (e Untouched) Unwrap() error { return e.Err }

const (
	// conflicts is how often an update runs because others wrote meanwhile, failures how often a request is sent.
	conflicts, failures = 50, 5
	// conflictPause and failurePause are how long the first pause is at most. Each doubles, up to longestPause.
	conflictPause, failurePause, longestPause = 10 * time.Millisecond, 100 * time.Millisecond, 2 * time.Second
	// patience is for how long one request may take, which is that of a large registry on a slow line.
	patience = 2 * time.Minute
	// lookTime is how long it may take to find out whether a write took place, also after the caller has given up.
	lookTime = 10 * time.Second
)

// Registry is a registry in a [Store]. It has the methods of a registry.Backend, but for Close.
type Registry struct {
	place string
	store Store
}

// New returns the registry in a store; place is the URL of the object.
func New(place string, store Store) *Registry { return &Registry{place, store} }

// Load reads the object, unless its version is still have.
func (r *Registry) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	object, err := r.get(ctx, string(have))
	switch {
	case errors.Is(err, ErrUnchanged):
		return nil, have, nil
	case errors.Is(err, ErrMissing):
		return nil, "", fmt.Errorf("%w; check registry.path in feature_store.yaml, or apply the repository first",
			&feasterr.NotFoundError{Kind: "registry", Name: r.place})
	case err != nil:
		return nil, "", fmt.Errorf("reading registry %q: %w", r.place, err)
	}
	state, err := registry.ParseState(object.Data)
	if err != nil {
		return nil, "", fmt.Errorf("registry %q: %w", r.place, err)
	}
	return state, registry.Token(object.Version), nil
}

// get reads the object.
func (r *Registry) get(ctx context.Context, have string) (object Object, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		object, err = r.store.Get(ctx, have)
		return err
	})
	return object, err
}

// Update reads the object, runs fn on what it holds, and replaces it on condition that it is still the same. When others
// wrote meanwhile, fn runs again on what they wrote.
func (r *Registry) Update(ctx context.Context, project string, fn func(registry.Tx) error) (registry.Token, error) {
	for attempt := range conflicts {
		version, err := r.update(ctx, project, fn)
		if !errors.Is(err, ErrMoved) {
			return registry.Token(version), err
		}
		if err := pause(ctx, conflictPause, attempt); err != nil {
			return "", r.unchangedBy(err)
		}
	}
	return "", r.unchangedBy(fmt.Errorf("%w, %d times: %w", ErrMoved, conflicts, feasterr.ErrConflict))
}

// unchangedBy says which registry an error left as it was.
func (r *Registry) unchangedBy(err error) error {
	return fmt.Errorf("registry %q was not changed: %w", r.place, err)
}

// update tries once. ErrMoved: nothing was written.
func (r *Registry) update(ctx context.Context, project string, fn func(registry.Tx) error) (version string, err error) {
	was, err := r.get(ctx, "")
	if err != nil && !errors.Is(err, ErrMissing) {
		return "", r.unchangedBy(err)
	}
	data, err := registry.Rewrite(was.Data, project, fn)
	if err != nil {
		if _, invalid := registry.ParseState(was.Data); invalid != nil {
			return "", r.unchangedBy(err)
		}
		return "", err
	}
	if data == nil {
		return was.Version, nil
	}
	return r.put(ctx, data, was)
}

// put replaces the object that was. A write that was sent and not answered may take place at any time, until the object is
// another one: only reading it back with what was to be written in it, or a further write on the same condition that
// succeeds, tell how it ended. Everything else leaves that unknown.
func (r *Registry) put(ctx context.Context, data []byte, was Object) (version string, err error) {
	var lost error // of the last write that was sent and not answered
	for attempt := 0; ; attempt++ {
		if err = ctx.Err(); err == nil {
			once, cancel := context.WithTimeout(ctx, patience)
			version, err = r.store.Put(once, data, was)
			cancel()
		}
		again := false
		switch {
		case err == nil:
			return version, nil
		case version != "":
			return version, fmt.Errorf("registry %q holds the change, but: %w", r.place, err)
		case errors.Is(err, ErrMoved):
			if lost == nil {
				return "", err
			}
			err = lost // perhaps that was the one
		case !errors.Is(err, feasterr.ErrUnavailable):
		default:
			if again = attempt+1 < failures; !untouched(err) {
				lost = err
			}
		}
		if again {
			if ended := pause(ctx, failurePause, attempt); ended != nil {
				again, err = false, fmt.Errorf("%w, after: %w", ended, err)
			}
		}
		if lost != nil {
			now, lookErr := r.look(ctx)
			switch {
			case lookErr != nil:
				return "", fmt.Errorf("%w; reading it back failed, too: %w", r.unknown(err), lookErr)
			case bytes.Equal(now.Data, data):
				return now.Version, nil
			case !again || now.Version != was.Version: // perhaps written on top of ours
				return "", r.unknown(err)
			}
		}
		if !again {
			return "", r.unchangedBy(err)
		}
	}
}

// unknown is the error for a write of which nobody can tell whether it took place, or will.
func (r *Registry) unknown(err error) error {
	return feasterr.Unavailable("registry %q: the outcome is unknown: the change was sent, and may have been stored or may still be; "+
		"apply the same again, which leaves alone what is stored: %w", r.place, err)
}

// look reads the object, a missing one as one without a version, also when ctx has ended.
func (r *Registry) look(ctx context.Context) (Object, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	object, err := r.get(ctx, "")
	if errors.Is(err, ErrMissing) {
		err = nil
	}
	return object, err
}

// untouched reports whether an error is of a request that did nothing: the store says so, or there was no connection to send
// it on.
func untouched(err error) bool {
	if _, ok := errors.AsType[Untouched](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// Teardown removes the object.
func (r *Registry) Teardown(ctx context.Context) error {
	if err := retry(ctx, r.store.Delete); err != nil {
		return fmt.Errorf("removing registry %q: %w", r.place, err)
	}
	return nil
}

// retry sends a request that may be sent again.
func retry(ctx context.Context, request func(context.Context) error) error {
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		once, cancel := context.WithTimeout(ctx, patience)
		err := request(once)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, feasterr.ErrUnavailable) || attempt+1 == failures:
			return err
		}
		if err := pause(ctx, failurePause, attempt); err != nil {
			return err
		}
	}
}

// pause waits for a random part of a time that doubles with every attempt, so that writers that met do not meet again.
func pause(ctx context.Context, first time.Duration, attempt int) error {
	return sleep.For(ctx, rand.N(min(first<<min(attempt, 16), longestPause)))
}

// Answered says what an answer of a store means that is neither success nor about conditions or a missing object: err, by
// its HTTP status, which is 0 where there was no answer. actions are those that the identity needs for the request.
func Answered(status int, actions string, err error) error {
	switch {
	case status == http.StatusUnauthorized:
		return fmt.Errorf("the credentials are not accepted: %w: %w", feasterr.ErrUnauthenticated, err)
	case status == http.StatusForbidden:
		return fmt.Errorf("%w: the identity needs %s on it: %w", feasterr.ErrDenied, actions, err)
	case status == http.StatusTooManyRequests:
		return Untouched{fmt.Errorf("%w: too many requests: %w", feasterr.ErrUnavailable, err)}
	case status >= 300 && status < 500 && status != http.StatusRequestTimeout:
		return err
	}
	return fmt.Errorf("%w: %w", feasterr.ErrUnavailable, err)
}

// MissingBucket is the error for a bucket that does not exist, of which err tells.
func MissingBucket(bucket string, err error) error {
	return fmt.Errorf("%w; create it, or correct registry.path: %w", &feasterr.NotFoundError{Kind: "bucket", Name: bucket}, err)
}

// ReadAll reads a body of the size that its store named, less than zero where it named none. It is an
// io.ErrUnexpectedEOF that it ends before.
func ReadAll(body io.Reader, size int64) ([]byte, error) {
	if size < 0 || size > 1<<30 {
		return io.ReadAll(body)
	}
	data := make([]byte, size)
	_, err := io.ReadFull(body, data)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil { // checksums are compared at the end
		var n int64
		if n, err = io.Copy(io.Discard, body); err == nil && n > 0 {
			err = fmt.Errorf("the body is longer than the %d bytes it was to have", size)
		}
	}
	return data, err
}

// Split returns the bucket and the key of a URL, scheme://bucket/key. Like Feast it takes the key as it is written, with
// nothing decoded.
func Split(scheme, url string) (bucket, key string, err error) {
	_, rest, _ := strings.Cut(url, "://")
	bucket, key, _ = strings.Cut(rest, "/")
	key = strings.TrimLeft(key, "/")
	if bucket == "" || key == "" || strings.ContainsAny(bucket, "@:") || strings.ContainsAny(rest, "?#") {
		return "", "", feasterr.Invalid("registry.path must be a bucket and a path in it, %s://bucket/path, and no more", scheme)
	}
	return bucket, key, nil
}
