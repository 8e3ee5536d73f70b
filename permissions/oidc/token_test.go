package oidc

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver/idp"
	"github.com/feastgo/feast/permissions/auth"
)

// grants is an identity provider that numbers its tokens.
type grants struct {
	discoveries, tokens atomic.Int64
	answer              func(r *http.Request, n int64) (int, string, error) // to a token request
}

func (g *grants) roundTrip(r *http.Request) (int, string, error) {
	if r.Method == http.MethodGet {
		g.discoveries.Add(1)
		return http.StatusOK, testDiscovery, nil
	}
	n := g.tokens.Add(1)
	if g.answer != nil {
		return g.answer(r, n)
	}
	return http.StatusOK, fmt.Sprintf(`{"access_token":"t%d","expires_in":300}`, n), nil
}

func (g *grants) source(t testing.TB, c *clock) *TokenSource {
	t.Helper()
	s, err := NewTokenSource(TokenOptions{
		DiscoveryURL: "https://idp/d", ClientID: "c", ClientSecret: "topsecret", Username: "u", Password: "passphrase",
		HTTPClient: transport(g.roundTrip).client(), Now: c.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func wantToken(t *testing.T, s *TokenSource, want string) {
	t.Helper()
	if token, err := s.Token(t.Context()); token != want || err != nil {
		t.Errorf("token %q, error %v, want %q", token, err, want)
	}
}

func TestRefresh(t *testing.T) {
	var g grants
	var c clock
	s := g.source(t, &c)
	wantToken(t, s, "t1")
	c.pass(269 * time.Second)
	wantToken(t, s, "t1")
	c.pass(time.Second) // the margin begins
	wantToken(t, s, "t2")

	// In the margin the old token serves when there is no other, and the provider has a pause.
	g.answer = func(*http.Request, int64) (int, string, error) { return http.StatusBadGateway, "", nil }
	c.pass(271 * time.Second)
	wantToken(t, s, "t2")
	wantToken(t, s, "t2")
	if n := g.tokens.Load(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
	c.pass(oldTokenTime)
	wantToken(t, s, "t2")
	if n := g.tokens.Load(); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
	c.pass(24 * time.Second) // it has ended
	if _, err := s.Token(t.Context()); !errors.Is(err, feasterr.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	g.answer = nil
	wantToken(t, s, "t6")
	// Where a token was refused, the endpoint is looked up again.
	if n := g.discoveries.Load(); n != 4 {
		t.Errorf("%d discoveries, want 4", n)
	}
}

// One request serves all who wait, also when the one who made it gives up.
func TestSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		g := grants{answer: func(r *http.Request, n int64) (int, string, error) {
			select {
			case <-answer:
				return http.StatusOK, fmt.Sprintf(`{"access_token":"t%d","expires_in":300}`, n), nil
			case <-r.Context().Done():
				return 0, "", r.Context().Err()
			}
		}}
		s := g.source(t, &clock{})
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() { _, err := s.Token(ctx); first <- err }()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { wantToken(t, s, "t1") })
		}
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		close(answer)
		wg.Wait()
		if n := g.tokens.Load(); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
		if _, err := s.Token(ctx); err != nil {
			t.Errorf("a token that is kept wants no request, error %v", err)
		}
		s.Close()
	})
}

func TestSlowProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := grants{answer: func(r *http.Request, _ int64) (int, string, error) { return hang(r) }}
		s := g.source(t, &clock{})
		began := time.Now()
		_, err := s.Token(t.Context())
		if !errors.Is(err, feasterr.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took != grantTimeout {
			t.Errorf("it took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		s.Close() // ends the request that goes on
		if _, err := s.Token(t.Context()); !errors.Is(err, feasterr.ErrClosed) {
			t.Errorf("error %v", err)
		}
	})
}

func TestCloseEndsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := grants{answer: func(r *http.Request, _ int64) (int, string, error) { return hang(r) }}
		s := g.source(t, &clock{})
		failed := make(chan error, 1)
		go func() { _, err := s.Token(t.Context()); failed <- err }()
		synctest.Wait()
		s.Close()
		if err := <-failed; !errors.Is(err, feasterr.ErrClosed) {
			t.Errorf("error %v", err)
		}
	})
}

// A server that refuses every token does not have the provider flooded.
func TestInvalidate(t *testing.T) {
	var g grants
	var c clock
	s := g.source(t, &c)
	for range 20 {
		token, err := s.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Invalidate("another")
		s.Invalidate(token)
	}
	if n := g.tokens.Load(); n != 6 {
		t.Errorf("%d requests, want 6", n)
	}
	c.pass(5 * time.Second)
	s.Invalidate("t6")
	wantToken(t, s, "t7")
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(*http.Request, int64) (int, string, error)
		class  error
		text   string
	}{
		{
			"refused", body(400, `{"error":"invalid_grant","error_description":"Invalid user credentials"}`), feasterr.ErrUnauthenticated,
			`unauthenticated: identity provider: https://idp/token: no token for client "c": status 400: invalid_grant Invalid user credentials`,
		},
		{
			"echoed", body(401, `{"error":"bad topsecret","error_description":"passphrase `+strings.Repeat("x", 400)+`"}`), feasterr.ErrUnauthenticated,
			`unauthenticated: identity provider: https://idp/token: no token for client "c": status 401: bad *** *** ` + strings.Repeat("x", 300-12) + "...",
		},
		{"no text", body(500, ""), feasterr.ErrUnavailable, `identity provider: https://idp/token: no token for client "c": status 500`},
		{"too many", body(429, ""), feasterr.ErrUnavailable, `identity provider: https://idp/token: no token for client "c": status 429`},
		{"redirect", body(307, ""), feasterr.ErrUnavailable, `identity provider: https://idp/token: no token for client "c": status 307`},
		{"empty", body(200, ""), feasterr.ErrUnavailable, ""},
		{"no token", body(200, "{}"), feasterr.ErrUnavailable, ""},
		{"garbage", body(200, "<html>"), feasterr.ErrUnavailable, ""},
		{"huge", body(200, `{"access_token":"`+strings.Repeat("x", 2<<20)+`"}`), feasterr.ErrUnavailable, ""},
		{
			"broken", func(*http.Request, int64) (int, string, error) { return 0, "", errors.New("reset, said topsecret") }, feasterr.ErrUnavailable,
			`identity provider: https://idp/token: reset, said ***`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := grants{answer: c.answer}
			token, err := g.source(t, &clock{}).Token(t.Context())
			if token != "" || !errors.Is(err, c.class) || c.text != "" && err.Error() != c.text {
				t.Errorf("token %q, error %v, want %s", token, err, c.text)
			}
			showsNoSecret(t, err, "topsecret", "passphrase")
		})
	}
}

func body(status int, text string) func(*http.Request, int64) (int, string, error) {
	return func(*http.Request, int64) (int, string, error) { return status, text, nil }
}

// What a provider answers to GET: the client bounds it, and follows redirects within limits.
func TestFetch(t *testing.T) {
	mux := http.NewServeMux()
	write := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	mux.HandleFunc("/ok", write(`{"issuer":"i"}`))
	mux.HandleFunc("/huge", write(`{"issuer":"`+strings.Repeat("x", 2<<20)+`"}`))
	mux.HandleFunc("/type", write(`{"issuer":7}`))
	mux.HandleFunc("/deep", write(strings.Repeat("[", 1<<19)))
	mux.Handle("/once", http.RedirectHandler("/ok", http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	plain := httptest.NewServer(mux)
	defer plain.Close()
	mux.Handle("/down", http.RedirectHandler(plain.URL+"/ok", http.StatusFound))
	secure := httptest.NewTLSServer(mux)
	defer secure.Close()
	client := newClient(secure.Client().Transport.(*http.Transport).TLSClientConfig.Clone())
	defer client.CloseIdleConnections()
	for path, ok := range map[string]bool{
		"/ok": true, "/once": true, "/huge": false, "/type": false, "/deep": false, "/loop": false, "/absent": false, "/down": false,
	} {
		d, err := discover(t.Context(), client, secure.URL+path)
		if ok != (err == nil && d.Issuer == "i") || !ok && !errors.Is(err, feasterr.ErrUnavailable) {
			t.Errorf("%s: %+v, error %v", path, d, err)
		}
	}
	if _, err := discover(t.Context(), client, "https://user:hidden@127.0.0.1:1/x"); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("error %v", err)
	}
}

// A program may have put anything in the place of the transport of net/http.
func TestReplacedTransport(t *testing.T) {
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"issuer":"i"}`) }))
	defer p.Close()
	defer func(old http.RoundTripper) { http.DefaultTransport = old }(http.DefaultTransport)
	http.DefaultTransport = transport(func(*http.Request) (int, string, error) { return 0, "", errors.New("not for this") })
	client := newClient(nil)
	defer client.CloseIdleConnections()
	if d, err := discover(t.Context(), client, p.URL); err != nil || d.Issuer != "i" {
		t.Errorf("%+v, error %v", d, err)
	}
}

// A discovery document that came by TLS does not lead to keys, or have secrets sent, without.
func TestEndpointsWithoutTLS(t *testing.T) {
	var asked atomic.Int64
	client := transport(func(r *http.Request) (int, string, error) {
		if r.URL.Scheme != "https" {
			asked.Add(1)
		}
		return http.StatusOK, `{"issuer":"https://idp","authorization_endpoint":"https://idp/a","token_endpoint":"http://idp/token","jwks_uri":"HTTP://idp/certs"}`, nil
	}).client()
	s, err := NewTokenSource(TokenOptions{DiscoveryURL: "https://idp/d", ClientID: "c", ClientSecret: "topsecret", HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const said = "identity provider: https://idp/d: %s is no URL of https, as that of the discovery document is"
	if _, err := s.Token(t.Context()); !errors.Is(err, feasterr.ErrUnavailable) || err.Error() != fmt.Sprintf(said, "token_endpoint") {
		t.Errorf("error %v", err)
	}
	v, err := NewVerifier(VerifierOptions{DiscoveryURL: "HTTPS://idp/d", HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	_, err = v.Authenticate(t.Context(), unsigned(t, "k", idp.Claims{"iss": "https://idp"}))
	if !errors.Is(err, feasterr.ErrUnavailable) || err.Error() != fmt.Sprintf(said, "jwks_uri") {
		t.Errorf("error %v", err)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("asked %d times without TLS", n)
	}
}

func TestPostIsNotRedirected(t *testing.T) {
	var posted atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { posted.Add(1) }))
	defer other.Close()
	provider := httptest.NewServer(nil)
	defer provider.Close()
	provider.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.WriteString(w, strings.ReplaceAll(testDiscovery, "https://idp", provider.URL))
	})
	s, err := NewTokenSource(TokenOptions{DiscoveryURL: provider.URL, ClientID: "c", ClientSecret: "topsecret"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Token(t.Context()); !errors.Is(err, feasterr.ErrUnavailable) || posted.Load() != 0 {
		t.Errorf("error %v, %d posts", err, posted.Load())
	}
}

func TestServiceAccountFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	s, err := NewTokenSource(TokenOptions{TokenFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(t.Context()); !errors.Is(err, feasterr.ErrUnauthenticated) {
		t.Errorf("error %v", err)
	}
	write := func(text string) { // as Kubernetes does: another file takes its place
		if err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file)); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	wantToken(t, s, "first")
	wantToken(t, s, "first")
	write("other\n")
	wantToken(t, s, "other")
	s.Invalidate("other")
	wantToken(t, s, "other")
	write(strings.Repeat("x", auth.MaxToken+1))
	if _, err := s.Token(t.Context()); !errors.Is(err, feasterr.ErrUnauthenticated) {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(t.Context()); !errors.Is(err, feasterr.ErrUnauthenticated) {
		t.Errorf("error %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]TokenOptions{
		"oidc: client_secret cannot be used without auth_discovery_url and client_id":                                    {ClientSecret: "s"},
		"oidc: auth_discovery_url cannot be used without client_secret and client_id, nor beside token or token_env_var": {Token: "t", DiscoveryURL: "http://x"},
		"oidc: username cannot be used without client_secret and auth_discovery_url and client_id and password":          {Username: "u"},
		"oidc: client_secret is set beside token: set one of them, since there can be one token only": {
			Token: "t", ClientSecret: "s", ClientID: "c", DiscoveryURL: "http://x",
		},
		"oidc: auth_discovery_url is no URL of http or https": {ClientSecret: "s", ClientID: "c", DiscoveryURL: "ftp://x"},
		"oidc: TokenEnv needs Getenv, such as os.Getenv":      {TokenEnv: "X"},
		"oidc: RefreshMargin is negative":                     {RefreshMargin: -1},
	} {
		if _, err := NewTokenSource(o); !errors.Is(err, feasterr.ErrInvalid) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestNothingShowsSecrets(t *testing.T) {
	o := TokenOptions{DiscoveryURL: "https://idp/d", ClientID: "c", ClientSecret: "topsecret", Username: "u", Password: "passphrase"}
	s, err := NewTokenSource(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	vo := VerifierOptions{DiscoveryURL: "https://idp/d", Intra: "topsecret"}
	v, err := NewVerifier(vo)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, x := range []any{o, &o, s, vo, &vo, v, TokenOptions{Token: "topsecret"}} {
		showsNoSecret(t, x, "topsecret", "passphrase")
	}
}

// A provider may repeat the form that it was sent.
func TestEscapedSecrets(t *testing.T) {
	s, err := NewTokenSource(TokenOptions{
		DiscoveryURL: "https://idp/d", ClientID: "c", ClientSecret: "top/secret +", Username: "u", Password: "päss phrase",
		HTTPClient: transport(func(r *http.Request) (int, string, error) {
			if r.Method == http.MethodGet {
				return http.StatusOK, testDiscovery, nil
			}
			form, err := io.ReadAll(r.Body)
			return http.StatusBadRequest, `{"error":"invalid_request","error_description":"` + string(form) + ` top%2Fsecret%20+"}`, err
		}).client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Token(t.Context())
	const want = `status 400: invalid_request client_id=c&client_secret=***&grant_type=password&password=***&username=u ***`
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestSectionErrors(t *testing.T) {
	for section, want := range map[string]string{
		"auth: oidc":                          "f.yaml:3: auth.auth_discovery_url: is required, unless the section is a map: type: oidc takes tokens from the environment",
		"auth:\n  type: oidc\n  tokn: x":      `f.yaml:5: auth.tokn: is not a known key; did you mean "token"?`,
		"auth:\n  type: oidc\n  token: 5":     "f.yaml:5: auth.token: must be text, is an integer; put it in quotes",
		"auth:\n  type: oidc\n  client_id: c": "f.yaml:5: auth.client_id: cannot be used without client_secret and auth_discovery_url",
		"auth:\n  type: oidc\n  auth_discovery_url: http://x\n  jwks_cache_lifespan_seconds: 0": "f.yaml:6: auth.jwks_cache_lifespan_seconds: must be at least 1, is 0",
		"auth:\n  type: oidc\n  auth_discovery_url: http://x\n  jwks_request_timeout_seconds: -1\n  token_refresh_margin_seconds: 5": "f.yaml:6: auth.jwks_request_timeout_seconds: must be more than 0\n" +
			"f.yaml:7: auth.token_refresh_margin_seconds: is for clients, and this section has no credentials",
		"auth:\n  type: oidc\n  auth_discovery_url: null": "f.yaml:5: auth.auth_discovery_url: is null, and without it there are no keys to verify tokens with",
	} {
		_, err := decode(parseYAML(t, section))
		if !errors.Is(err, feasterr.ErrInvalid) || err.Error() != want {
			t.Errorf("%s\n%v, want\n%s", section, err, want)
		}
	}
	if _, err := open(t, map[string]any{"token": "t"}, nil); !errors.Is(err, feasterr.ErrInvalid) {
		t.Errorf("a server without a discovery URL: %v", err)
	}
	if _, err := open(t, map[string]any{"auth_discovery_url": "nonsense"}, nil); !errors.Is(err, feasterr.ErrInvalid) {
		t.Errorf("a server with a wrong discovery URL: %v", err)
	}
}

// verify_ssl and ca_cert_path, of which a relative one begins at the repository.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"issuer":"i"}`)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of the clients that do not know its certificate
	s.StartTLS()
	defer s.Close()
	dir := t.TempDir()
	for name, b := range map[string][]byte{
		"ca.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), "garbage.pem": []byte("x"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := env(nil)
	e.RepoDir = dir
	for _, c := range []struct {
		keys  map[string]any
		works bool
	}{
		{map[string]any{}, false},
		{map[string]any{"verify_ssl": false}, true},
		{map[string]any{"verify_ssl": false, "ca_cert_path": "garbage.pem"}, true},
		{map[string]any{"ca_cert_path": "ca.pem"}, true},
		{map[string]any{"ca_cert_path": filepath.Join(dir, "ca.pem")}, true},
		{map[string]any{"ca_cert_path": "absent.pem"}, false},
	} {
		c.keys["auth_discovery_url"] = s.URL
		cfg := config.NewSection("oidc", c.keys)
		section, err := decode(cfg)
		if err != nil {
			t.Fatal(err)
		}
		config, err := section.tls(cfg, e)
		if err != nil {
			t.Fatal(err)
		}
		client := newClient(config)
		if _, err := discover(t.Context(), client, s.URL); (err == nil) != c.works {
			t.Errorf("%v: %v", c.keys, err)
		}
		client.CloseIdleConnections()
	}
	for _, path := range []string{"garbage.pem", "."} {
		cfg := config.NewSection("oidc", map[string]any{"auth_discovery_url": s.URL, "ca_cert_path": path})
		section, err := decode(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := section.verifier(cfg, e); !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("%s: %v", path, err)
		}
		section.client = true
		section.DiscoveryURL = ""
		if _, err := section.tokenSource(cfg, e); !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Both grants, over a network.
func TestGrants(t *testing.T) {
	p := idp.Start(t)
	p.AddClient("feast", "secret", idp.Claims{"roles": []string{"writer"}})
	p.AddUser("alice", "wonder", idp.Claims{"groups": []string{"g"}})
	o := TokenOptions{DiscoveryURL: p.Discovery, ClientID: "feast", ClientSecret: "secret"}
	for range 2 {
		s, err := NewTokenSource(o)
		if err != nil {
			t.Fatal(err)
		}
		v, err := NewVerifier(VerifierOptions{DiscoveryURL: p.Discovery})
		if err != nil {
			t.Fatal(err)
		}
		token, err := s.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		u, err := v.Authenticate(t.Context(), token)
		want := "{service-account-feast [writer] [] []}"
		if o.Username != "" {
			want = "{alice [] [g] []}"
		}
		if fmt.Sprint(u) != want || err != nil {
			t.Errorf("user %v, error %v, want %s", u, err, want)
		}
		if err := errors.Join(s.Close(), v.Close()); err != nil {
			t.Error(err)
		}
		o.Username, o.Password = "alice", "wonder"
	}
}

// The way of a feature store: by its section, through the table of types.
func TestSection(t *testing.T) {
	p := idp.Start(t)
	p.AddClient("feast", "secret", idp.Claims{"aud": "feast"})
	source := auth.Tokens(config.NewSection("oidc", map[string]any{
		"auth_discovery_url": p.Discovery, "client_id": "feast", "client_secret": "secret", "token_refresh_margin_seconds": 1.5,
	}), env(nil))
	defer source.Close()
	v, err := open(t, map[string]any{"auth_discovery_url": p.Discovery, "audience": "feast", "issuer": p.Issuer, "jwks_request_timeout_seconds": 2.5}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for range 2 {
			token, err := source.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			accepts(t, v, token, "service-account-feast")
		}
		source.Invalidate("another")
	}
	if n := p.Requests("token"); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
	token, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	source.Invalidate(token)
	if _, err := source.Token(t.Context()); err != nil || p.Requests("token") != 2 {
		t.Errorf("error %v, %d token requests, want 2", err, p.Requests("token"))
	}
}
