package oidc

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

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
	keys := []*rsa.PublicKey{&fixed.key(f, "key1").PublicKey, &fixed.key(f, "key2").PublicKey}
	var cases []tokenCase
	load(f, "oidc_tokens.json", "https://idp", &cases)
	for _, c := range cases {
		f.Add(c.token(f, &fixed, time.Now()))
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
		case !signed(keys, token):
			t.Errorf("user %+v of a token that nobody signed", u)
		}
	})
}

// signed reports whether one of the keys signed a token. That it is by RSASSA-PKCS1-v1_5 is true of all seeds.
func signed(keys []*rsa.PublicKey, token string) bool {
	end := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
	if err != nil {
		return false
	}
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA512} {
		sum := h.New()
		sum.Write([]byte(token[:end]))
		for _, k := range keys {
			if rsa.VerifyPKCS1v15(k, h, sum.Sum(nil), signature) == nil {
				return true
			}
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
