package idp

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fetch decodes what a URL answers, to a form if there is one.
func fetch(t *testing.T, url string, form url.Values, into any) (status int) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var res *http.Response
	var err error
	if form == nil {
		res, err = client.Get(url)
	} else {
		res, err = client.PostForm(url, form)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}

// verify returns the claims of a token that a published key signed, or nil.
func verify(t *testing.T, s *Server, token string) map[string]any {
	t.Helper()
	var doc struct {
		JWKS string `json:"jwks_uri"`
	}
	fetch(t, s.Discovery, nil, &doc)
	var set jose.JSONWebKeySet
	fetch(t, doc.JWKS, nil, &set)
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256, jose.PS512, jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	keys := set.Key(signed.Signatures[0].Protected.KeyID)
	if len(keys) == 0 {
		return nil
	}
	payload, err := signed.Verify(keys[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestToken(t *testing.T) {
	s := Start(t)
	old := s.Token(Claims{"preferred_username": "alice", "sub": nil})
	if c := verify(t, s, old); c["preferred_username"] != "alice" || c["iss"] != s.Issuer || c["sub"] != nil || c["exp"] == nil {
		t.Errorf("claims %v", c)
	}
	for _, alg := range []jose.SignatureAlgorithm{jose.PS512, jose.ES256} {
		if c := verify(t, s, s.TokenBy(alg, Claims{"azp": "x"})); c["azp"] != "x" {
			t.Errorf("%s: claims %v", alg, c)
		}
	}
	s.Rotate(t)
	if verify(t, s, old) == nil || verify(t, s, s.Token(nil)) == nil {
		t.Error("a key is not published after the rotation")
	}
	s.Retire()
	if verify(t, s, old) != nil || verify(t, s, s.Token(nil)) == nil {
		t.Error("the old key alone is to go")
	}
	if n := s.Requests("certs"); n != 7 {
		t.Errorf("the keys were asked for %d times, want 7", n)
	}
}

func TestGrants(t *testing.T) {
	s := Start(t)
	s.AddClient("feast", "secret", Claims{"roles": []string{"writer"}})
	s.AddUser("alice", "wonder", Claims{"groups": []string{"g1"}})
	endpoint := s.Issuer + "/token"
	for _, c := range []struct {
		form   url.Values
		status int
		err    string
		name   string
	}{
		{url.Values{"grant_type": {"client_credentials"}, "client_id": {"feast"}, "client_secret": {"secret"}}, 200, "", "service-account-feast"},
		{
			url.Values{"grant_type": {"password"}, "client_id": {"feast"}, "client_secret": {"secret"}, "username": {"alice"}, "password": {"wonder"}},
			200, "", "alice",
		},
		{
			url.Values{"grant_type": {"password"}, "client_id": {"feast"}, "client_secret": {"secret"}, "username": {"alice"}, "password": {"x"}},
			400, "invalid_grant", "",
		},
		{url.Values{"grant_type": {"client_credentials"}, "client_id": {"feast"}, "client_secret": {"x"}}, 401, "invalid_client", ""},
		{url.Values{"client_id": {"feast"}, "client_secret": {"secret"}}, 400, "unsupported_grant_type", ""},
	} {
		var res struct {
			Error string `json:"error"`
			Token string `json:"access_token"`
		}
		if status := fetch(t, endpoint, c.form, &res); status != c.status || res.Error != c.err {
			t.Errorf("%v: %d %s, want %d %s", c.form, status, res.Error, c.status, c.err)
			continue
		}
		if c.name != "" {
			if claims := verify(t, s, res.Token); claims["preferred_username"] != c.name || claims["azp"] != "feast" {
				t.Errorf("%v: claims %v", c.form, claims)
			}
		}
	}

	s.Down(true)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(s.Discovery)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("down, it answers %d", res.StatusCode)
	}
}
