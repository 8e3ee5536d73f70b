package oidc

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver/idp"
	"github.com/feastgo/feast/permissions/auth"
)

// load decodes a file of testdata in which {IDP} is replaced.
func load(t testing.TB, name, base string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err == nil {
		err = json.Unmarshal([]byte(strings.ReplaceAll(string(b), "{IDP}", base)), into)
	}
	if err != nil {
		t.Fatal(name, err)
	}
}

// fixture is oidc_fixture.json.
type fixture struct {
	Discovery map[string]string `json:"discovery"`
	JWKS      json.RawMessage   `json:"jwks"`
	Private   map[string]string `json:"private_keys_pem"`
	HS256     string            `json:"hs256_secret"`
	Tokens    map[string]string `json:"static_tokens"`
}

func (f *fixture) key(t testing.TB, name string) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode([]byte(f.Private[name]))
	if block == nil {
		t.Fatalf("no key %q", name)
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k.(*rsa.PrivateKey)
}

// recorded is the identity provider of the recording.
type recorded struct {
	*httptest.Server
	fixture fixture

	mu       sync.Mutex
	requests []request
	response struct { // of the token endpoint
		Status int             `json:"status"`
		JSON   json.RawMessage `json:"json"`
	}
}

type request struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   string `json:"body"`
}

func newRecorded(t testing.TB) *recorded {
	t.Helper()
	r := &recorded{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.requests = append(r.requests, request{req.Method, req.URL.Path, string(body)})
		doc := maps.Clone(r.fixture.Discovery)
		switch req.URL.Path {
		case "/.well-known/openid-configuration":
		case "/no_token_ep":
			delete(doc, "token_endpoint")
		case "/no_auth_ep":
			delete(doc, "authorization_endpoint")
		case "/no_jwks":
			delete(doc, "jwks_uri")
		case "/jwks_empty_d":
			doc["jwks_uri"] = r.URL + "/certs_empty"
		case "/jwks_500_d":
			doc["jwks_uri"] = r.URL + "/boom"
		case "/certs":
			_, _ = w.Write(r.fixture.JWKS)
			return
		case "/certs_empty":
			_, _ = io.WriteString(w, `{"keys":[]}`)
			return
		case "/not_json":
			_, _ = io.WriteString(w, "<html>")
			return
		case "/boom":
			w.WriteHeader(http.StatusInternalServerError)
			return
		case "/token":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(r.response.Status)
			_, _ = w.Write(r.response.JSON)
			return
		default:
			http.NotFound(w, req)
			return
		}
		_ = json.NewEncoder(w).Encode(doc)
	}))
	t.Cleanup(r.Close)
	load(t, "oidc_fixture.json", r.URL, &r.fixture)
	return r
}

// tokenCase is a case of oidc_tokens.json.
type tokenCase struct {
	ID     string            `json:"id"`
	Note   string            `json:"note"`
	Config map[string]any    `json:"config"`
	Env    map[string]string `json:"env"`
	Token  *string           `json:"token"`
	Claims idp.Claims        `json:"claims"`
	Sign   struct {
		Key *string `json:"key"`
		Kid *string `json:"kid"`
		Alg string  `json:"alg"`
	} `json:"sign"`
	Offsets map[string]int64 `json:"now_offsets"`
	Expect  struct {
		Result     string   `json:"result"`
		Username   string   `json:"username"`
		Roles      []any    `json:"roles"`
		Groups     []any    `json:"groups"`
		Namespaces []string `json:"namespaces"`
		Message    string   `json:"message"`
	} `json:"expect"`
}

// token is the token of a case, signed at a time.
func (c *tokenCase) token(t testing.TB, f *fixture, now time.Time) string {
	t.Helper()
	if c.Token != nil {
		return *c.Token
	}
	for name, offset := range c.Offsets {
		c.Claims[name] = now.Unix() + offset
	}
	kid := ""
	if c.Sign.Kid != nil {
		kid = *c.Sign.Kid
	}
	var key any = []byte(f.HS256)
	switch {
	case c.Sign.Alg == "none":
		return unsigned(t, kid, c.Claims)
	case c.Sign.Key != nil:
		key = f.key(t, *c.Sign.Key)
	}
	token, err := idp.Sign(jose.SignatureAlgorithm(c.Sign.Alg), key, kid, c.Claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// unsigned is a token with the algorithm none.
func unsigned(t testing.TB, kid string, claims any) string {
	t.Helper()
	header := map[string]string{"alg": "none", "typ": "JWT"}
	if kid != "" {
		header["kid"] = kid
	}
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	p, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return base64url(h) + "." + base64url(p) + "."
}

// texts are the elements that are texts: the others can never equal a role or a group.
func texts(all []any) []string {
	var out []string
	for _, v := range all {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// goldenDepartures are the cases in which we differ, and what is answered instead (docs/compatibility.md, line 18).
var goldenDepartures = map[string]string{
	"j071": "refused", // the issuer is compared though it is not configured
	"j078": "alice",   // RS512
}

func TestGoldenTokens(t *testing.T) {
	r := newRecorded(t)
	var cases []tokenCase
	load(t, "oidc_tokens.json", r.URL, &cases)
	if len(cases) != 101 {
		t.Fatalf("%d cases, want 101", len(cases))
	}
	for _, c := range cases {
		t.Run(c.ID+" "+c.Note, func(t *testing.T) {
			v, err := open(t, c.Config, c.Env)
			if err != nil {
				t.Fatal(err)
			}
			var clk clock // which stands still
			v.now, v.provider.now = clk.now, clk.now
			token := c.token(t, &r.fixture, clk.now())
			for range 2 { // the second time it may be known
				u, err := v.Authenticate(t.Context(), token)
				if departure := goldenDepartures[c.ID]; departure == "refused" {
					c.Expect.Result = "error"
				} else if departure != "" {
					if err != nil || u.Name != departure || c.Expect.Result != "error" {
						t.Errorf("user %+v, error %v, want %s", u, err, departure)
					}
					continue
				}
				if c.Expect.Result == "error" {
					class := feasterr.ErrUnauthenticated
					if strings.HasPrefix(c.Expect.Message, "Invalid token: ") || c.ID == "j094" || c.ID == "j096" {
						class = feasterr.ErrUnavailable // it is not the token that is wrong
					}
					if !errors.Is(err, class) {
						t.Errorf("error %v, want %v", err, class)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if u.Name != c.Expect.Username || !slices.Equal(u.Roles, texts(c.Expect.Roles)) ||
					!slices.Equal(u.Groups, texts(c.Expect.Groups)) || len(u.Namespaces) != len(c.Expect.Namespaces) {
					t.Errorf("user %+v, want %+v", u, c.Expect)
				}
			}
		})
	}
	t.Run("static", func(t *testing.T) {
		v, err := open(t, map[string]any{"auth_discovery_url": r.URL + "/.well-known/openid-configuration", "issuer": "https://idp.example/realms/t"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if iss, _ := mustClaims(t, r.fixture.Tokens["valid"]).text("iss"); iss != *v.issuer {
			v.issuer = &iss
		}
		for name, want := range map[string]error{
			"valid": nil, "key2": nil, "expired": feasterr.ErrUnauthenticated, "rogue_key": feasterr.ErrUnauthenticated,
			"alg_none": feasterr.ErrUnauthenticated,
		} {
			if _, err := v.Authenticate(t.Context(), r.fixture.Tokens[name]); !errors.Is(err, want) {
				t.Errorf("%s: error %v, want %v", name, err, want)
			}
		}
	})
}

func mustClaims(t testing.TB, token string) claims {
	t.Helper()
	c, err := decodeClaims(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// env is an environment of variables.
func env(vars map[string]string) auth.Env {
	return auth.Env{RepoDir: "testdata", Getenv: func(name string) string { return vars[name] }, Now: time.Now, Logger: discard}
}

// open makes the verifier of a section.
func open(t testing.TB, section map[string]any, vars map[string]string) (*Verifier, error) {
	t.Helper()
	a, err := auth.NewAuthenticator(config.NewSection("oidc", section), env(vars))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a.(*Verifier), nil
}

func TestGoldenConfig(t *testing.T) {
	var cases []struct {
		Auth    any            `json:"auth"`
		Class   string         `json:"class"`
		Fields  map[string]any `json:"fields"`
		Message string         `json:"message"`
	}
	load(t, "auth_config.json", "http://idp", &cases)
	n := 0
	for _, c := range cases {
		if m, ok := c.Auth.(map[string]any); c.Auth != "oidc" && (!ok || m["type"] != "oidc") {
			continue // of another package
		}
		n++
		s, err := decode(parse(t, c.Auth))
		if c.Class == "" {
			if !errors.Is(err, feasterr.ErrInvalid) {
				t.Errorf("%v: error %v, and Feast's is %s", c.Auth, err, c.Message)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", c.Auth, err)
			continue
		}
		if s.client != (c.Class == "OidcClientAuthConfig") {
			t.Errorf("%v: client form %t, and Feast's is %s", c.Auth, s.client, c.Class)
		}
		compareFields(t, s, c.Fields)
	}
	if n != 17 {
		t.Errorf("%d cases are of this type, want 17", n)
	}
}

// parse is the auth section of a feature_store.yaml.
func parse(t testing.TB, section any) config.Section {
	t.Helper()
	b, err := json.Marshal(section)
	if err != nil {
		t.Fatal(err)
	}
	return parseYAML(t, "auth: "+string(b))
}

func parseYAML(t testing.TB, section string) config.Section {
	t.Helper()
	c, err := config.Parse([]byte("project: p\nregistry: r.db\n"+section+"\n"), "f.yaml", "/repo", func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return c.Auth
}

// compareFields compares a section with what Feast has of it; null and empty are one where we have no pointer.
func compareFields(t *testing.T, s *section, fields map[string]any) {
	t.Helper()
	v := reflect.ValueOf(s).Elem()
	found := 0
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		want, ok := fields[key]
		if !ok {
			continue
		}
		found++
		var got any
		switch x := v.Field(i).Interface().(type) {
		case time.Duration:
			got = x.Seconds()
		case int64:
			got = float64(x)
		case *string:
			if x != nil {
				got = *x
			}
		case string:
			got = x
			if want == nil {
				want = ""
			}
		default:
			got = x
		}
		if got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if found != len(fields)-1 { // all but type
		t.Errorf("%d of the fields %v are there", found, fields)
	}
}

// The cases that the tests of config leave to this package.
func TestGoldenSections(t *testing.T) {
	for _, c := range []struct{ section, err string }{
		{"auth:\n  type: oidc\n  client_secret: s", "f.yaml:5: auth.client_secret: cannot be used without auth_discovery_url and client_id"}, // auth_oidc_partial
		{
			"auth:\n  type: oidc\n  token: t\n  token_env_var: X", // auth_oidc_token_and_env
			"f.yaml:6: auth.token_env_var: is set beside token: set one of them, since there can be one token only",
		},
		{"auth:\n  type: oidc\n  client_id: c\n  client_secret: s\n  auth_discovery_url: http://idp/x\n  username: u\n  password: pw", ""}, // auth_oidc_client_secret
		{"auth:\n  type: oidc", ""}, // auth_oidc_bare
	} {
		_, err := decode(parseYAML(t, c.section))
		if text := fmt.Sprint(err); text != c.err && (err != nil || c.err != "") {
			t.Errorf("%s\nerror %s, want %s", c.section, text, c.err)
		}
	}
}

// clientCase is a case of client_tokens.json.
type clientCase struct {
	Note     string            `json:"note"`
	Auth     map[string]any    `json:"auth"`
	Env      map[string]string `json:"env"`
	File     *string           `json:"service_account_token_file"`
	Calls    int               `json:"calls"`
	Requests []request         `json:"idp_requests"`
	Response json.RawMessage   `json:"token_endpoint_response"`
	Results  []struct {
		Token       string `json:"token"`
		Error       string `json:"error_type"`
		ConfigError string `json:"config_error_type"`
		Invalidated bool   `json:"invalidated"`
	} `json:"results"`
}

func TestGoldenClient(t *testing.T) {
	r := newRecorded(t)
	var cases []clientCase
	load(t, "client_tokens.json", r.URL, &cases)
	n := 0
	for _, c := range cases {
		if c.Auth["type"] != "oidc" {
			continue // of another package
		}
		n++
		t.Run(c.Note, func(t *testing.T) { runClient(t, r, c) })
	}
	if n != 25 {
		t.Errorf("%d cases are of this type, want 25", n)
	}
}

func runClient(t *testing.T, r *recorded, c clientCase) {
	t.Helper()
	r.requests = nil
	r.response.Status = http.StatusOK
	if string(c.Response) != "null" {
		if err := json.Unmarshal(c.Response, &r.response); err != nil {
			t.Fatal(err)
		}
	}
	s, err := decode(parse(t, c.Auth))
	if c.Results[0].ConfigError != "" {
		if !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("error %v, and Feast's is %s", err, c.Results[0].ConfigError)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	source, err := s.tokenSource(parse(t, c.Auth), env(c.Env))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	path := filepath.Join(t.TempDir(), "token")
	source.file = auth.NewTokenFile(path)
	if c.File != nil {
		if err := os.WriteFile(path, []byte(*c.File), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.Calls {
		token, err := source.Token(t.Context())
		want := c.Results[i]
		if token != want.Token || (err != nil) != (want.Error != "") {
			t.Errorf("call %d: token %q, error %v, want %q, %s", i, token, err, want.Token, want.Error)
		}
		if err != nil {
			showsNoSecret(t, err, "s", "p w&é=")
		}
		if want.Invalidated {
			source.Invalidate(token)
		}
	}
	compareRequests(t, r.requests, c.Requests)
}

// compareRequests compares what was asked of the provider: here the discovery document is kept, and the fields of a form
// have another order.
func compareRequests(t *testing.T, got, want []request) {
	t.Helper()
	want = slices.Clone(want)
	for i := len(want) - 1; i > 0; i-- {
		if want[i].Method == http.MethodGet && slices.Contains(want[:i], want[i]) {
			want = slices.Delete(want, i, i+1)
		}
	}
	if len(got) != len(want) {
		t.Errorf("requests %v, want %v", got, want)
		return
	}
	for i, w := range want {
		form, err := url.ParseQuery(got[i].Body)
		if err != nil {
			t.Fatal(err)
		}
		recorded, err := url.ParseQuery(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got[i].Method != w.Method || got[i].Path != w.Path || !reflect.DeepEqual(form, recorded) {
			t.Errorf("request %d is %v, want %v", i, got[i], w)
		}
	}
}
