package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/feastgo/feast/feasterr"
)

// maxKeysAge is how long keys serve after they were published when the provider cannot be reached any more.
const maxKeysAge = 24 * time.Hour

// provider knows who signs tokens. What it fetches is fetched once for all who wait. Fetching is limited, to five times at
// once and then one in a second, whatever tokens ask for.
type provider struct {
	requests
	url      string
	lifespan time.Duration // of keys
	timeout  time.Duration // of a request
	now      func() time.Time
	logger   *slog.Logger

	state   atomic.Pointer[published]
	failure atomic.Pointer[failure] // of the last fetch, nil when it did not fail
	fetches limiter
}

// published is what the provider says. It is immutable.
type published struct {
	document
	keys map[string]any // *rsa.PublicKey or *ecdsa.PublicKey by kid
	at   time.Time
}

// failure is the error of a fetch.
type failure struct {
	err error
	at  time.Time
}

// known returns what the provider said last, which is fetched when it is the first time.
func (p *provider) known(ctx context.Context) (*published, error) {
	if s := p.state.Load(); s != nil {
		return s, nil
	}
	return wait[*published](ctx, p.ask(ctx))
}

// keysFor returns the keys among which the one with a kid is, if there is one. Keys are fetched again before their lifespan
// ends, without anybody waiting for that, and serve while the provider is down. An unknown kid has them fetched once, since
// it may be that of a new key.
func (p *provider) keysFor(ctx context.Context, kid string) (*published, error) {
	s := p.state.Load()
	_, ok := s.keys[kid]
	age := p.now().Sub(s.at)
	down := p.failure.Load()
	switch {
	case ok && age < p.lifespan/5*4:
		return s, nil
	case ok && (age < p.lifespan || down != nil && age < maxKeysAge):
		p.ask(ctx)
		return s, nil
	case down != nil && p.now().Sub(down.at) < p.timeout:
		p.ask(ctx) // who needs what is not known waits no more for a provider that just failed
		return nil, down.err
	}
	fresh, err := wait[*published](ctx, p.ask(ctx))
	switch {
	case err == nil && down != nil && p.now().Sub(fresh.at) >= max(maxKeysAge, p.lifespan): // asked too often already
		return nil, down.err
	case err == nil:
		return fresh, nil
	case ok && ctx.Err() == nil && age < maxKeysAge:
		return s, nil
	}
	return nil, err
}

// ask has the provider asked, unless that was done too often: then what comes is what is known. The result is a *published.
func (p *provider) ask(ctx context.Context) <-chan singleflight.Result {
	return p.start(ctx, p.timeout, func(ctx context.Context) (any, error) {
		old := p.state.Load()
		if !p.fetches.allow(p.now()) {
			if old == nil {
				return nil, p.failure.Load().err // of one of the fetches that were allowed
			}
			return old, nil
		}
		s, err := p.fetch(ctx)
		if err == nil {
			p.failure.Store(nil)
			p.state.Store(s)
			return s, nil
		}
		if old != nil && p.failure.Load() == nil {
			p.logger.WarnContext(ctx, "the keys of the OIDC provider cannot be fetched; those that are known serve", "error", err)
		}
		p.failure.Store(&failure{err, p.now()})
		return nil, err
	})
}

// fetch asks for the keys; and for the discovery document before the first time, and when asking failed since.
func (p *provider) fetch(ctx context.Context) (*published, error) {
	s := &published{}
	if old := p.state.Load(); old != nil && p.failure.Load() == nil {
		s.document = old.document
	} else {
		var err error
		if s.document, err = discover(ctx, p.client, p.url); err != nil {
			return nil, err
		}
		for _, f := range []struct{ name, value string }{
			{"token_endpoint", s.Token}, {"authorization_endpoint", s.Authorization}, {"jwks_uri", s.Keys},
		} {
			if f.value == "" {
				return nil, feasterr.Unavailable("identity provider: %s: there is no %s", redacted(p.url), f.name)
			}
		}
		if err := checkEndpoint(p.url, s.Keys); err != nil {
			return nil, feasterr.Unavailable("identity provider: %s: jwks_uri %w", redacted(p.url), err)
		}
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := fetch(ctx, p.client, s.Keys, &set); err != nil {
		return nil, err
	}
	s.keys = make(map[string]any, len(set.Keys))
	for _, raw := range set.Keys {
		kid, k, err := verificationKey(raw)
		if err != nil {
			p.logger.DebugContext(ctx, "a key of the OIDC provider is not used", "error", err)
			continue
		}
		if _, ok := s.keys[kid]; !ok {
			s.keys[kid] = k
		}
	}
	s.at = p.now()
	return s, nil
}

// verificationKey reads a key that signs tokens. Others are an error: without a kid, for encryption, symmetric or private
// ones, and of unknown kinds.
func verificationKey(raw json.RawMessage) (kid string, key any, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return "", nil, err
	}
	// Certificates that come with a key are no part of it: that they are old, or odd, says nothing about the key.
	for _, name := range []string{"x5c", "x5t", "x5t#S256", "x5u"} {
		delete(members, name)
	}
	if raw, err = json.Marshal(members); err != nil {
		return "", nil, err
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(raw); err != nil {
		return "", nil, err
	}
	switch {
	case k.KeyID == "":
		return "", nil, fmt.Errorf("it has no kid")
	case k.Use != "" && k.Use != "sig":
		return "", nil, fmt.Errorf("its use is %q", k.Use)
	case k.Algorithm != "" && !slices.Contains(algorithms, jose.SignatureAlgorithm(k.Algorithm)):
		return "", nil, fmt.Errorf("its algorithm is %q", k.Algorithm)
	}
	switch public := k.Key.(type) {
	case *rsa.PublicKey:
		if n := public.N.BitLen(); n < 1024 || n > 16384 {
			return "", nil, fmt.Errorf("it has %d bits", n)
		}
		return k.KeyID, public, nil
	case *ecdsa.PublicKey:
		return k.KeyID, public, nil
	}
	return "", nil, fmt.Errorf("it is a %T", k.Key)
}
