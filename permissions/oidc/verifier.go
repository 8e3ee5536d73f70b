package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/permissions/auth"
)

const (
	defaultLifespan = 5 * time.Minute
	// keepTime is how long a verified token need not be verified again, if neither it nor the keys end before.
	keepTime = 5 * time.Minute
)

// algorithms are those that a signature may have (docs/compatibility.md, line 18).
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
}

// VerifierOptions say whose tokens are accepted.
type VerifierOptions struct {
	// DiscoveryURL is that of the provider's discovery document.
	DiscoveryURL string
	// ClientID has the roles of resource_access.<ClientID>.roles count, as Keycloak writes them.
	ClientID string
	// Audience has to be among those of a token (aud); empty: any is accepted.
	Audience string
	// Issuer is that of tokens (iss); empty: the issuer in the discovery document.
	Issuer string

	// KeysLifespan is how long keys serve before they are fetched again; 0: 5 minutes. So long, at most, a verified token
	// need not be verified again.
	KeysLifespan time.Duration
	// KeysTimeout is how long fetching may take; 0: 10 s.
	KeysTimeout time.Duration
	// TLS is how the provider's certificate is verified; nil: as that of any server.
	TLS *tls.Config
	// HTTPClient talks to the provider, instead of one with TLS.
	HTTPClient *http.Client

	// Intra is the name by which Feast's servers know each other, INTRA_COMMUNICATION_BASE64. It is a secret: a token that
	// has it for a user is accepted without a signature. Empty: no such token is.
	Intra string
	// Reviewer opens what asks a Kubernetes cluster about tokens of service accounts, when the first one comes; nil: such
	// tokens are refused.
	Reviewer func() (auth.Reviewer, error)

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // told of keys that cannot be fetched; nil: nobody is
}

// Format implements [fmt.Formatter]: options have a secret, which is not shown.
func (o VerifierOptions) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("oidc.VerifierOptions")) }

// LogValue implements [slog.LogValuer], as Format.
func (o VerifierOptions) LogValue() slog.Value { return slog.StringValue("oidc.VerifierOptions") }

// Verifier verifies tokens. It is an [auth.Authenticator], safe for concurrent use.
type Verifier struct {
	clientID string
	audience *string // nil: any
	issuer   *string // nil: that of the discovery document
	intra    []byte  // a hash, nil when there is no such name
	now      func() time.Time
	provider *provider
	verified verified

	review   func() (auth.Reviewer, error)
	mu       sync.Mutex
	reviewer auth.Reviewer // nil before it is used
	closed   bool
}

// NewVerifier makes a verifier. It asks nobody before the first token comes, so that a server starts while its identity
// provider is down.
func NewVerifier(o VerifierOptions) (*Verifier, error) {
	if err := checkURL(o.DiscoveryURL); err != nil {
		return nil, feasterr.Invalid("oidc: auth_discovery_url %w", err)
	}
	if o.KeysLifespan < 0 || o.KeysTimeout < 0 {
		return nil, feasterr.Invalid("oidc: KeysLifespan or KeysTimeout is negative")
	}
	if o.KeysLifespan == 0 {
		o.KeysLifespan = defaultLifespan
	}
	if o.KeysTimeout == 0 {
		o.KeysTimeout = defaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &provider{
		url: o.DiscoveryURL, lifespan: o.KeysLifespan, timeout: o.KeysTimeout, now: o.Now, logger: o.Logger,
		fetches: limiter{burst: 5, interval: time.Second},
	}
	p.with(o.HTTPClient, o.TLS)
	v := &Verifier{clientID: o.ClientID, now: o.Now, provider: p, review: o.Reviewer}
	if o.Audience != "" {
		v.audience = &o.Audience
	}
	if o.Issuer != "" {
		v.issuer = &o.Issuer
	}
	if o.Intra != "" {
		h := sha256.Sum256([]byte(o.Intra))
		v.intra = h[:]
	}
	return v, nil
}

// Authenticate implements [auth.Authenticator]. The lists of a user are shared between calls with the same token and must not
// be modified. A token that was verified is remembered for up to five minutes, and no longer than it and the keys are
// valid.
func (v *Verifier) Authenticate(ctx context.Context, token string) (permissions.User, error) {
	if len(token) > auth.MaxToken {
		return permissions.User{}, refused(errors.New("the token is longer than 64 KB"))
	}
	h := hash(token)
	if u, ok := v.verified.get(h, v.now()); ok {
		return u, nil
	}
	u, until, err := v.verify(ctx, token)
	if err != nil {
		return permissions.User{}, err
	}
	if v.now().Before(until) {
		v.verified.put(h, len(token), u, until)
	}
	return u, nil
}

// refused is the error of a token that proves nothing.
func refused(why error) error {
	return fmt.Errorf("%w: OIDC token: %w", feasterr.ErrUnauthenticated, why)
}

// verify returns whose a token is, and until when that need not be asked again.
func (v *Verifier) verify(ctx context.Context, token string) (u permissions.User, until time.Time, err error) {
	parts := strings.SplitN(token, ".", 4)
	isSegment := func(part string) bool {
		_, err := segments.DecodeString(part)
		return err == nil
	}
	if len(parts) != 3 || strings.ContainsAny(token, "\r\n") || !isSegment(parts[0]) || !isSegment(parts[2]) {
		return u, until, refused(errors.New("it is not three parts of base64"))
	}
	c, err := decodeClaims(parts[1])
	if err != nil {
		return u, until, refused(err)
	}
	if name, ok := c.text("preferred_username"); ok && v.isIntra(name) {
		return permissions.User{Name: name}, until, nil
	}
	if raw := c["kubernetes.io"]; len(raw) > 0 && raw[0] == '{' {
		return v.reviewed(ctx, token)
	}
	// What costs little is compared before keys are looked for, which a forged token must not have fetched.
	says, err := v.provider.known(ctx)
	if err != nil {
		return u, until, err
	}
	expires, err := v.check(c, says.Issuer)
	if err != nil {
		return u, until, refused(err)
	}
	signer, err := v.checkSignature(ctx, token)
	if err != nil {
		return u, until, err
	}
	if u, err = c.user(v.clientID); err != nil {
		return u, until, refused(err)
	}
	now := v.now()
	until = now.Add(keepTime)
	if end := signer.at.Add(v.provider.lifespan); end.Before(until) {
		until = end // of the keys: one may be withdrawn
	}
	if !expires.IsZero() && expires.Before(until) {
		until = expires
	}
	return u, until, nil
}

func (v *Verifier) isIntra(name string) bool {
	if v.intra == nil {
		return false
	}
	h := sha256.Sum256([]byte(name))
	return subtle.ConstantTimeCompare(h[:], v.intra) == 1
}

// check compares claims, and returns when the token ends.
func (v *Verifier) check(c claims, issuer string) (expires time.Time, err error) {
	if v.issuer != nil {
		issuer = *v.issuer
	} else if issuer == "" {
		return expires, errors.New("the discovery document has no issuer to compare with: set issuer")
	}
	if iss, ok := c.text("iss"); !ok || iss != issuer {
		return expires, errors.New("it is of another issuer")
	}
	if v.audience != nil {
		if err := c.checkAudience(*v.audience); err != nil {
			return expires, err
		}
	}
	for _, name := range []string{"sub", "jti"} {
		if _, ok := c.text(name); !ok && c[name] != nil {
			return expires, errors.New(name + " is no text")
		}
	}
	return c.checkTimes(v.now())
}

// checkSignature verifies the signature by the key that the header names, and returns the keys that it is one of.
func (v *Verifier) checkSignature(ctx context.Context, token string) (*published, error) {
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		if _, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
			return nil, refused(errors.New("its algorithm is none of RS256 to ES512"))
		}
		return nil, refused(errors.New("it is malformed"))
	}
	header := signed.Signatures[0].Protected
	for _, name := range []jose.HeaderKey{"crit", "b64"} {
		if header.ExtraHeaders[name] != nil {
			return nil, refused(fmt.Errorf("its header has %s, and no extension is known", name))
		}
	}
	if header.KeyID == "" {
		return nil, refused(errors.New("its header names no key"))
	}
	keys, err := v.provider.keysFor(ctx, header.KeyID)
	if err != nil {
		return nil, err
	}
	switch key := keys.keys[header.KeyID]; {
	case key == nil:
		return nil, refused(errors.New("its key is not one of the identity provider"))
	case !fits(key, jose.SignatureAlgorithm(header.Algorithm)):
		return nil, refused(errors.New("its algorithm is not one of its key"))
	default:
		if _, err := signed.Verify(key); err != nil {
			return nil, refused(errors.New("the signature is wrong"))
		}
		return keys, nil
	}
}

// curves are those of the algorithms ES*, which are for one each.
var curves = map[jose.SignatureAlgorithm]elliptic.Curve{
	jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521(),
}

func fits(key any, alg jose.SignatureAlgorithm) bool {
	curve := curves[alg]
	if k, ok := key.(*ecdsa.PublicKey); ok {
		return curve == k.Curve
	}
	return curve == nil
}

// reviewed asks the Kubernetes cluster about the token of a service account. As in Feast, such a user has a namespace and
// neither roles nor groups.
func (v *Verifier) reviewed(ctx context.Context, token string) (u permissions.User, until time.Time, err error) {
	r, err := v.kubernetes()
	if err != nil {
		if feasterr.Retryable(err) || errors.Is(err, feasterr.ErrClosed) {
			return u, until, err
		}
		return u, until, refused(fmt.Errorf("it is of a Kubernetes service account: %v", err)) //nolint:errorlint // one class
	}
	if u.Name, _, err = r.Review(ctx, token); err != nil {
		return permissions.User{}, until, err
	}
	if account, ok := strings.CutPrefix(u.Name, "system:serviceaccount:"); ok {
		if namespace, _, ok := strings.Cut(account, ":"); ok {
			u.Namespaces = []string{namespace}
		}
	}
	return u, until, nil // the reviewer remembers as long as it is right
}

func (v *Verifier) kubernetes() (auth.Reviewer, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.closed:
		return nil, feasterr.ErrClosed
	case v.reviewer != nil:
		return v.reviewer, nil
	case v.review == nil:
		return nil, errors.New("this server does not ask Kubernetes about tokens")
	}
	r, err := v.review()
	if err == nil {
		v.reviewer = r
	}
	return r, err
}

// Close implements [auth.Authenticator]. Authenticate must not be called any more.
func (v *Verifier) Close() error {
	v.provider.close()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	if v.reviewer == nil {
		return nil
	}
	r := v.reviewer
	v.reviewer = nil
	return r.Close()
}
