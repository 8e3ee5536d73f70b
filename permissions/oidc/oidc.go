// Package oidc is the type oidc of the auth section: tokens from an identity provider of OpenID Connect for calls to Feast's
// servers, and, in a server, the verification of those of its callers. Linked in, it registers itself; [NewTokenSource] and
// [NewVerifier] are for programs without a feature_store.yaml.
//
// It stands on go-jose and golang.org/x/oauth2. What coreos/go-oidc has is not used: its provider wants the issuer to be a
// part of the discovery URL, its set of keys has no lifespan, fetches for every unknown key and takes keys for encryption,
// and its verifier has another leeway than Feast.
package oidc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/permissions/auth"
)

func init() {
	auth.Register(auth.Driver{
		Name: "oidc",
		TokenSource: func(cfg config.Section, env auth.Env) (config.TokenSource, error) {
			s, err := decode(cfg)
			if err != nil {
				return nil, err
			}
			return s.tokenSource(cfg, env)
		},
		Authenticator: func(cfg config.Section, env auth.Env) (auth.Authenticator, error) {
			s, err := decode(cfg)
			if err != nil {
				return nil, err
			}
			return s.verifier(cfg, env)
		},
	})
}

// section are the keys of the auth section, of both its forms.
type section struct {
	DiscoveryURL  string        `yaml:"auth_discovery_url,nullable"`
	ClientID      string        `yaml:"client_id,nullable"`
	UIClientID    string        `yaml:"ui_client_id,nullable"` // for Feast's user interface, which is not here
	VerifySSL     bool          `yaml:"verify_ssl"`
	CACertPath    string        `yaml:"ca_cert_path"`
	Audience      *string       `yaml:"audience"`
	Issuer        *string       `yaml:"issuer"`
	KeysLifespan  int64         `yaml:"jwks_cache_lifespan_seconds" min:"1"`
	KeysTimeout   time.Duration `yaml:"jwks_request_timeout_seconds"`
	Username      string        `yaml:"username,nullable"`
	Password      string        `yaml:"password,nullable"`
	ClientSecret  string        `yaml:"client_secret,nullable"`
	Token         string        `yaml:"token,nullable"`
	TokenEnv      string        `yaml:"token_env_var,nullable"`
	RefreshMargin time.Duration `yaml:"token_refresh_margin_seconds"`

	client bool // the form is that of a client
}

// decode reads and checks the section. Its form is that of a client when it has a key of a credential, null or not, or no
// discovery URL; else that of a server.
func decode(cfg config.Section) (*section, error) {
	s := &section{VerifySSL: true, KeysLifespan: 300, KeysTimeout: defaultTimeout, RefreshMargin: defaultMargin}
	if err := cfg.Decode(s); err != nil {
		return nil, err
	}
	var whole any
	if err := cfg.Decode(&whole); err != nil {
		return nil, err
	}
	keys, isMap := whole.(map[string]any)
	if !isMap {
		return nil, cfg.Invalid("auth_discovery_url", "is required, unless the section is a map: type: oidc takes tokens from the environment")
	}
	has := func(key string) bool { _, ok := keys[key]; return ok }
	s.client = !has("auth_discovery_url") || slices.ContainsFunc(credentialKeys, has)

	var problems []error
	positive := func(key string, d time.Duration) {
		if d <= 0 {
			problems = append(problems, cfg.Invalid(key, "must be more than 0"))
		}
	}
	positive("jwks_request_timeout_seconds", s.KeysTimeout)
	positive("token_refresh_margin_seconds", s.RefreshMargin)
	if !s.client {
		if has("token_refresh_margin_seconds") {
			problems = append(problems, cfg.Invalid("token_refresh_margin_seconds", "is for clients, and this section has no credentials"))
		}
		if keys["auth_discovery_url"] == nil {
			problems = append(problems, cfg.Invalid("auth_discovery_url", "is null, and without it there are no keys to verify tokens with"))
		}
	} else if key, problem := s.tokenOptions().problem(); key != "" {
		problems = append(problems, cfg.Invalid(key, "%s", problem))
	}
	return s, errors.Join(problems...)
}

var credentialKeys = []string{"client_secret", "token", "token_env_var", "username", "password"}

func (s *section) tokenOptions() TokenOptions {
	return TokenOptions{
		Token: s.Token, TokenEnv: s.TokenEnv,
		DiscoveryURL: s.DiscoveryURL, ClientID: s.ClientID, ClientSecret: s.ClientSecret,
		Username: s.Username, Password: s.Password, RefreshMargin: s.RefreshMargin,
	}
}

func (s *section) tokenSource(cfg config.Section, env auth.Env) (*TokenSource, error) {
	var o TokenOptions
	if s.client {
		o = s.tokenOptions()
	}
	o.Getenv, o.Now, o.Logger = env.Getenv, env.Now, env.Logger
	var err error
	if o.TLS, err = s.tls(cfg, env); err != nil {
		return nil, err
	}
	t, err := NewTokenSource(o)
	if err != nil {
		return nil, err
	}
	t.server = !s.client
	return t, nil
}

func (s *section) verifier(cfg config.Section, env auth.Env) (*Verifier, error) {
	if s.DiscoveryURL == "" {
		return nil, cfg.Invalid("auth_discovery_url", "is required by servers, which find there the keys that sign tokens")
	}
	config, err := s.tls(cfg, env)
	if err != nil {
		return nil, err
	}
	v, err := NewVerifier(VerifierOptions{
		DiscoveryURL: s.DiscoveryURL, ClientID: s.ClientID,
		KeysLifespan: time.Duration(min(s.KeysLifespan, 1<<31)) * time.Second, KeysTimeout: s.KeysTimeout, TLS: config,
		Intra: env.Getenv(auth.IntraVariable), Now: env.Now, Logger: env.Logger,
		Reviewer: func() (auth.Reviewer, error) { return auth.NewReviewer(env) },
	})
	if err != nil {
		return nil, err
	}
	v.audience, v.issuer = s.Audience, s.Issuer // where an empty text is one that is compared
	return v, nil
}

// tls is how the identity provider's certificate is verified.
func (s *section) tls(cfg config.Section, env auth.Env) (*tls.Config, error) {
	if !s.VerifySSL {
		return &tls.Config{InsecureSkipVerify: true}, nil //nolint:gosec // verify_ssl: false
	}
	if s.CACertPath == "" {
		return nil, nil //nolint:nilnil // the roots of the system
	}
	path := s.CACertPath
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.RepoDir, path)
	}
	pem, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		env.Logger.Warn("ca_cert_path names no file: the certificates of the system count instead", "ca_cert_path", path)
		return nil, nil //nolint:nilnil // as in Feast
	case err != nil:
		return nil, cfg.Invalid("ca_cert_path", "cannot be read: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, cfg.Invalid("ca_cert_path", "%s holds no certificate", path)
	}
	return &tls.Config{RootCAs: pool}, nil //nolint:gosec // the version is the default of crypto/tls
}
