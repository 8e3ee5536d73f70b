package oidc

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions/auth"
)

const (
	defaultMargin = 30 * time.Second
	// grantTimeout bounds a discovery and a token request together.
	grantTimeout = 2 * defaultTimeout
	// oldTokenTime is how long a token is used that could not be refreshed in time, before that is tried again.
	oldTokenTime = 5 * time.Second
	// tokenVariable is where a token is looked for when there is no credential.
	tokenVariable = "FEAST_OIDC_TOKEN"
)

// TokenOptions say where the tokens of calls come from: from one of Token, TokenEnv, and the identity provider with
// DiscoveryURL, ClientID and ClientSecret; with none of these from the environment variable FEAST_OIDC_TOKEN, or from the
// file with the token of the service account that Kubernetes mounts. Before all that, between Feast's own servers,
// INTRA_COMMUNICATION_BASE64 counts, if it is set.
type TokenOptions struct {
	Token    string // a token that is always the same
	TokenEnv string // the name of an environment variable that holds one

	DiscoveryURL           string // of the provider's discovery document
	ClientID, ClientSecret string // the grant client_credentials; with Username and Password the grant password
	Username, Password     string

	// RefreshMargin is how long before a token of the provider ends it is replaced; 0: 30 s.
	RefreshMargin time.Duration
	// TokenFile is the file with the token of the service account; empty: where Kubernetes mounts it.
	TokenFile string

	// TLS is how the provider's certificate is verified; nil: as that of any server.
	TLS *tls.Config
	// HTTPClient talks to the provider, instead of one with TLS.
	HTTPClient *http.Client

	Getenv func(name string) string // the environment; nil: it is not looked at
	Now    func() time.Time         // nil: time.Now
	Logger *slog.Logger             // told of tokens that cannot be refreshed; nil: nobody is
}

// Format implements [fmt.Formatter]: options have secrets, which are not shown.
func (o TokenOptions) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("oidc.TokenOptions")) }

// LogValue implements [slog.LogValuer], as Format.
func (o TokenOptions) LogValue() slog.Value { return slog.StringValue("oidc.TokenOptions") }

// problem returns what is wrong with the credentials and the key of feature_store.yaml that it is about; "" if nothing is.
func (o TokenOptions) problem() (key, problem string) {
	type field struct{ key, value string }
	network := []field{{"client_secret", o.ClientSecret}, {"auth_discovery_url", o.DiscoveryURL}, {"client_id", o.ClientID}}
	if o.Username != "" || o.Password != "" {
		network = append(network, field{"username", o.Username}, field{"password", o.Password})
	}
	var has, lacks []string
	for _, f := range network {
		if f.value != "" {
			has = append(has, f.key)
		} else {
			lacks = append(lacks, f.key)
		}
	}
	complete := len(lacks) == 0
	if len(has) > 0 && !complete {
		problem = "cannot be used without " + strings.Join(lacks, " and ")
		if o.Token != "" || o.TokenEnv != "" {
			problem += ", nor beside token or token_env_var"
		}
		return has[0], problem
	}
	var groups []string
	for _, g := range []struct {
		key string
		set bool
	}{{"token", o.Token != ""}, {"token_env_var", o.TokenEnv != ""}, {"client_secret", complete}} {
		if g.set {
			groups = append(groups, g.key)
		}
	}
	if len(groups) > 1 {
		return groups[1], fmt.Sprintf("is set beside %s: set one of them, since there can be one token only", groups[0])
	}
	if complete {
		if err := checkURL(o.DiscoveryURL); err != nil {
			return "auth_discovery_url", err.Error()
		}
	}
	return "", ""
}

// TokenSource gives tokens for calls to Feast's servers. It is a [config.TokenSource], safe for concurrent use.
type TokenSource struct {
	o      TokenOptions
	server bool // the section has the form of servers, which call as each other only
	grant  *grant
	file   *auth.TokenFile
}

// NewTokenSource makes a source of tokens. It asks nobody before the first call of Token.
func NewTokenSource(o TokenOptions) (*TokenSource, error) {
	if key, problem := o.problem(); key != "" {
		return nil, feasterr.Invalid("oidc: %s %s", key, problem)
	}
	if o.TokenEnv != "" && o.Getenv == nil {
		return nil, feasterr.Invalid("oidc: TokenEnv needs Getenv, such as os.Getenv")
	}
	if o.RefreshMargin < 0 {
		return nil, feasterr.Invalid("oidc: RefreshMargin is negative")
	}
	if o.RefreshMargin == 0 {
		o.RefreshMargin = defaultMargin
	}
	if o.TokenFile == "" {
		o.TokenFile = auth.ServiceAccount + "token"
	}
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	t := &TokenSource{o: o, file: auth.NewTokenFile(o.TokenFile)}
	if o.ClientSecret != "" {
		t.grant = newGrant(o)
	}
	return t, nil
}

// Token implements [config.TokenSource]. Where there is no token it is a feasterr.ErrUnauthenticated; where the identity
// provider does not answer, a feasterr.ErrUnavailable. ctx bounds this call alone: a request to the provider serves all who
// wait for a token, and goes on without the one that gave up.
func (t *TokenSource) Token(ctx context.Context) (string, error) {
	if name := t.o.Getenv(auth.IntraVariable); name != "" {
		return auth.IntraToken("preferred_username", name), nil
	}
	switch {
	case t.server:
		return "", feasterr.Invalid("auth: the section is that of a server: for tokens it needs client_secret and client_id, token, " +
			"or token_env_var; or neither these nor auth_discovery_url, to take the token of the environment")
	case t.o.Token != "":
		return t.o.Token, nil
	case t.o.TokenEnv != "":
		if token := t.o.Getenv(t.o.TokenEnv); token != "" {
			return token, nil
		}
		return "", fmt.Errorf("%w: the environment variable %s, which token_env_var names, is not set or empty", feasterr.ErrUnauthenticated, t.o.TokenEnv)
	case t.grant != nil:
		return t.grant.get(ctx)
	}
	if token := t.o.Getenv(tokenVariable); token != "" {
		return token, nil
	}
	token, err := t.file.Read()
	switch {
	case token != "":
		return token, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: the token of the service account cannot be read: %v", feasterr.ErrUnauthenticated, err) //nolint:errorlint // one class
	}
	return "", fmt.Errorf("%w: there is no token: set token, token_env_var, or client_secret with auth_discovery_url and client_id, "+
		"or the environment variable %s; in Kubernetes a service account's token is mounted as %s", feasterr.ErrUnauthenticated, tokenVariable, t.o.TokenFile)
}

// Invalidate tells that a server refused a token. If it is the one that is kept, the next call of Token asks for another.
// A server that refuses all tokens does not have the identity provider asked without end: after five times, that is done
// every five seconds.
func (t *TokenSource) Invalidate(token string) {
	if t.grant != nil {
		t.grant.invalidate(token)
		return
	}
	t.file.Forget()
}

// Close ends a request to the identity provider that nobody waits for any more. Token then fails with feasterr.ErrClosed
// where it would ask the provider.
func (t *TokenSource) Close() error {
	if t.grant != nil {
		t.grant.close()
	}
	return nil
}

// Format implements [fmt.Formatter]: a source has secrets, which are not shown.
func (t *TokenSource) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("oidc.TokenSource")) }

// LogValue implements [slog.LogValuer], as Format.
func (t *TokenSource) LogValue() slog.Value { return slog.StringValue("oidc.TokenSource") }

// grant gets tokens from an identity provider and keeps the last one.
type grant struct {
	requests
	o     TokenOptions
	drops limiter

	mu       sync.Mutex
	endpoint string    // the token endpoint, "" before discovery
	token    string    // the one that is kept, "" if none
	expires  time.Time // when it ends
	refresh  time.Time // when it is to be replaced
}

func newGrant(o TokenOptions) *grant {
	g := &grant{o: o, drops: limiter{burst: 5, interval: 5 * time.Second}}
	g.with(o.HTTPClient, o.TLS)
	return g
}

func (g *grant) invalidate(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if token != "" && token == g.token && g.drops.allow(g.o.Now()) {
		g.token = ""
	}
}

// kept returns the token that need not be replaced yet, or "".
func (g *grant) kept() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.token != "" && g.o.Now().Before(g.refresh) {
		return g.token
	}
	return ""
}

func (g *grant) get(ctx context.Context) (string, error) {
	if token := g.kept(); token != "" {
		return token, nil
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return wait[string](ctx, g.start(ctx, grantTimeout, func(ctx context.Context) (any, error) {
		if token := g.kept(); token != "" { // of a request that ended meanwhile
			return token, nil
		}
		return g.renew(ctx)
	}))
}

// renew asks for a token, and keeps it if it says how long it is valid. One that is kept and not over yet goes on serving
// when no other can be had.
func (g *grant) renew(ctx context.Context) (string, error) {
	token, err := g.ask(ctx)
	now := g.o.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil:
		g.token, g.expires, g.refresh = "", time.Time{}, time.Time{}
		if expires, ok := expiry(token, now); ok {
			g.token, g.expires, g.refresh = token.AccessToken, expires, expires.Add(-g.o.RefreshMargin)
		}
		return token.AccessToken, nil
	case g.token != "" && now.Before(g.expires):
		g.refresh = now.Add(oldTokenTime)
		if g.refresh.After(g.expires) {
			g.refresh = g.expires
		}
		g.o.Logger.WarnContext(ctx, "an OIDC token cannot be refreshed; the old one serves until it expires", "error", err, "expires", g.expires)
		return g.token, nil
	}
	return "", err
}

// expiry is when a token ends, by itself or else by what came with it.
func expiry(token *oauth2.Token, now time.Time) (time.Time, bool) {
	if parts := strings.Split(token.AccessToken, "."); len(parts) == 3 {
		if claims, err := decodeClaims(parts[1]); err == nil {
			var exp json.Number
			if raw, ok := claims["exp"]; ok && raw[0] != '"' && json.Unmarshal(raw, &exp) == nil {
				if seconds, err := exp.Float64(); err == nil && seconds > -maxSeconds && seconds < maxSeconds {
					return time.Unix(int64(seconds), 0), true
				}
			}
		}
	}
	// Not by the Expiry of the token, which has the clock of the library.
	if s, ok := token.Extra("expires_in").(float64); ok && s > 0 && s < maxSeconds {
		return now.Add(time.Duration(min(s, 1<<32) * float64(time.Second))), true
	}
	return time.Time{}, false
}

// maxSeconds is more than any time of a token.
const maxSeconds = 1 << 40

// ask makes the token request. The fields of its form are Feast's: no scope, the client's secret among them.
func (g *grant) ask(ctx context.Context) (*oauth2.Token, error) {
	g.mu.Lock()
	endpoint := g.endpoint
	g.mu.Unlock()
	if endpoint == "" {
		d, err := discover(ctx, g.client, g.o.DiscoveryURL)
		if err != nil {
			return nil, err
		}
		if d.Token == "" {
			return nil, feasterr.Unavailable("identity provider: %s: there is no token_endpoint", redacted(g.o.DiscoveryURL))
		}
		if err := checkEndpoint(g.o.DiscoveryURL, d.Token); err != nil {
			return nil, feasterr.Unavailable("identity provider: %s: token_endpoint %w", redacted(g.o.DiscoveryURL), err)
		}
		endpoint = d.Token
	}
	token, err := g.request(context.WithValue(ctx, oauth2.HTTPClient, g.client), endpoint)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.endpoint = "" // it may have moved
		return nil, g.failure(endpoint, err)
	}
	g.endpoint = endpoint
	return token, nil
}

func (g *grant) request(ctx context.Context, endpoint string) (*oauth2.Token, error) {
	if g.o.Username != "" && g.o.Password != "" {
		c := oauth2.Config{
			ClientID: g.o.ClientID, ClientSecret: g.o.ClientSecret,
			Endpoint: oauth2.Endpoint{TokenURL: endpoint, AuthStyle: oauth2.AuthStyleInParams},
		}
		return c.PasswordCredentialsToken(ctx, g.o.Username, g.o.Password)
	}
	c := clientcredentials.Config{
		ClientID: g.o.ClientID, ClientSecret: g.o.ClientSecret, TokenURL: endpoint, AuthStyle: oauth2.AuthStyleInParams,
	}
	return c.Token(ctx)
}

// failure is the error of a token request. What the provider says of it is shown in part, and without secrets that it repeats.
func (g *grant) failure(endpoint string, err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return feasterr.Unavailable("identity provider: %s: %v", redacted(endpoint), g.hide(plain(err).Error()))
	}
	status := refused.Response.StatusCode
	text := fmt.Sprintf("identity provider: %s: no token for client %q: status %d", redacted(endpoint), g.o.ClientID, status)
	if said := strings.TrimSpace(refused.ErrorCode + " " + refused.ErrorDescription); said != "" {
		text += ": " + g.hide(said)
	}
	if status >= 400 && status < 500 && !slices.Contains([]int{http.StatusNotFound, http.StatusRequestTimeout, http.StatusTooManyRequests}, status) {
		return fmt.Errorf("%w: %s", feasterr.ErrUnauthenticated, text)
	}
	return feasterr.Unavailable("%s", text)
}

// hide shortens what somebody else said and takes the secrets out of it.
func (g *grant) hide(text string) string {
	for _, secret := range []string{g.o.ClientSecret, g.o.Password} {
		if secret != "" { // as it is, and as it was posted
			text = strings.NewReplacer(secret, "***", url.QueryEscape(secret), "***", url.PathEscape(secret), "***").Replace(text)
		}
	}
	if len(text) > 300 {
		text = text[:300] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}
