package oidc

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver/idp"
)

// Whatever comes as a token is refused, without a part of it in the error, unless it is one that was signed.
func FuzzAuthenticate(f *testing.F) {
	var fixed fixture
	load(f, "oidc_fixture.json", "https://idp", &fixed)
	v, err := NewVerifier(VerifierOptions{
		DiscoveryURL: "https://idp/d", Issuer: "https://idp/realms/t", ClientID: "feast-client", Intra: "intra-name-of-servers",
		HTTPClient: transport(func(r *http.Request) (int, string, error) {
			if r.URL.Path == "/certs" {
				return http.StatusOK, string(fixed.JWKS), nil
			}
			return http.StatusOK, testDiscovery, nil
		}).client(),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { v.Close() })
	signed := map[string]bool{}
	var cases []tokenCase
	load(f, "oidc_tokens.json", "https://idp", &cases)
	for _, c := range cases {
		token := c.token(f, &fixed)
		signed[token] = true
		f.Add(token)
	}
	f.Add(unsigned(f, "", idp.Claims{"preferred_username": "intra-name-of-servers"}))
	f.Fuzz(func(t *testing.T, token string) {
		u, err := v.Authenticate(t.Context(), token)
		switch {
		case errors.Is(err, feasterr.ErrUnauthenticated):
			showsNoPart(t, err, token)
			if u.Name != "" || len(u.Roles)+len(u.Groups)+len(u.Namespaces) > 0 {
				t.Errorf("a refused token is of user %+v", u)
			}
		case err != nil:
			t.Errorf("error %v", err)
		case u.Name == "intra-name-of-servers":
			if c := mustClaims(t, token); c["preferred_username"] == nil {
				t.Error("a user of no token")
			}
		case !signed[token] && !anySigned(signed, token):
			t.Errorf("user %+v of a token that nobody signed", u)
		}
	})
}

// anySigned reports whether header and payload are those of a signed token: a signature can be written in more than one way.
func anySigned(signed map[string]bool, token string) bool {
	body := token[:strings.LastIndexByte(token, '.')+1]
	for s := range signed {
		if strings.HasPrefix(s, body) {
			return true
		}
	}
	return false
}

// Keys of an identity provider come from outside, too.
func FuzzVerificationKey(f *testing.F) {
	var fixed fixture
	load(f, "oidc_fixture.json", "https://idp", &fixed)
	f.Add([]byte(fixed.JWKS))
	_, set := newKey(f)
	f.Add([]byte(strings.TrimSuffix(strings.TrimPrefix(set, `{"keys":[`), "]}")))
	f.Add([]byte(`{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		kid, key, err := verificationKey(raw)
		if (err == nil) != (kid != "" && key != nil) {
			t.Errorf("kid %q, key %v, error %v", kid, key, err)
		}
	})
}
