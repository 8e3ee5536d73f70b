package oidc

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/feastgo/feast/internal/testserver/idp"
)

// What verifying costs: of a token that is known, and of one that is not, beside the signature alone.
func BenchmarkAuthenticate(b *testing.B) {
	p := idp.Start(b)
	claims := idp.Claims{
		"preferred_username": "alice", "azp": "feast", "groups": []string{"g1", "g2"}, "realm_access": map[string]any{"roles": []string{"offline_access"}},
		"resource_access": map[string]any{"feast": map[string]any{"roles": []string{"reader", "writer"}}},
	}
	v := verifier(b, p, &clock{}, func(o *VerifierOptions) { o.ClientID = "feast" })
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256} {
		token := p.TokenBy(alg, claims)
		if _, err := v.Authenticate(b.Context(), token); err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg)+"/known", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Authenticate(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+"/new", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := v.verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	token := p.Token(claims)
	b.Run("floor/hash", func(b *testing.B) {
		for b.Loop() {
			_ = hash(token)
		}
	})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	h := sha256.Sum256([]byte(token))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, h[:])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("floor/RSA", func(b *testing.B) {
		for b.Loop() {
			if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, h[:], signature); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A token that is kept, and one that is given.
func BenchmarkToken(b *testing.B) {
	var g grants
	kept := g.source(b, &clock{})
	given, err := NewTokenSource(TokenOptions{Token: "t"})
	if err != nil {
		b.Fatal(err)
	}
	for name, s := range map[string]*TokenSource{"kept": kept, "given": given} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Token(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
