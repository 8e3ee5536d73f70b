package oidc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver/idp"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/permissions/auth"
)

// verifier makes a verifier of tokens of p whose time the clock tells.
func verifier(t testing.TB, p *idp.Server, c *clock, change func(*VerifierOptions)) *Verifier {
	t.Helper()
	o := VerifierOptions{DiscoveryURL: p.Discovery, Now: c.now}
	if change != nil {
		change(&o)
	}
	v, err := NewVerifier(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// accepts wants a token to be that of a user, and refuses an error of a class.
func accepts(t *testing.T, v *Verifier, token, name string) {
	t.Helper()
	if u, err := v.Authenticate(t.Context(), token); u.Name != name || err != nil {
		t.Errorf("user %q, error %v, want %s", u.Name, err, name)
	}
}

func refuses(t *testing.T, v *Verifier, token string, class error) {
	t.Helper()
	u, err := v.Authenticate(t.Context(), token)
	if u.Name != "" || len(u.Roles) > 0 || !errors.Is(err, class) {
		t.Errorf("user %+v, error %v, want %v", u, err, class)
	}
	if err != nil {
		showsNoPart(t, err, token)
	}
}

// showsNoPart looks for parts of a token in an error.
func showsNoPart(t testing.TB, err error, token string) {
	t.Helper()
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 8 && strings.Contains(err.Error(), part) {
			t.Errorf("a part of the token is in %q", err)
		}
	}
}

func TestAlgorithms(t *testing.T) {
	p := idp.Start(t)
	v := verifier(t, p, &clock{}, nil)
	for _, alg := range algorithms[:7] { // those of an RSA key, and ES256
		accepts(t, v, p.TokenBy(alg, idp.Claims{"sub": string(alg)}), string(alg))
	}
	for curve, alg := range map[elliptic.Curve]jose.SignatureAlgorithm{elliptic.P256(): jose.ES256, elliptic.P384(): jose.ES384, elliptic.P521(): jose.ES512} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.Public(), KeyID: "k"}}})
		if err != nil {
			t.Fatal(err)
		}
		v := answering(t, string(set))
		token, err := idp.Sign(alg, k, "k", idp.Claims{"iss": "https://idp", "sub": "alice"})
		if err != nil {
			t.Fatal(err)
		}
		accepts(t, v, token, "alice")
		for _, other := range algorithms {
			if fits(k.Public(), other) != (other == alg) {
				t.Errorf("a key of %s fits %s: %t", curve.Params().Name, other, other != alg)
			}
		}
	}
}

// answering makes a verifier whose provider has a set of keys.
func answering(t testing.TB, set string) *Verifier {
	t.Helper()
	v, err := NewVerifier(VerifierOptions{DiscoveryURL: "https://idp/d", HTTPClient: transport(func(r *http.Request) (int, string, error) {
		if r.URL.Path == "/certs" {
			return http.StatusOK, set, nil
		}
		return http.StatusOK, testDiscovery, nil
	}).client()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// New keys verify with the first token that names them, old ones until they are withdrawn and their lifespan is over.
func TestRollOver(t *testing.T) {
	p := idp.Start(t)
	var c clock
	v := verifier(t, p, &c, nil)
	old := p.Token(idp.Claims{"sub": "old"})
	accepts(t, v, old, "old")
	p.Rotate(t)
	accepts(t, v, p.Token(idp.Claims{"sub": "new"}), "new")
	accepts(t, v, p.Token(idp.Claims{"sub": "newer"}), "newer")
	accepts(t, v, old, "old")
	if n := p.Requests("certs"); n != 2 {
		t.Errorf("the keys were fetched %d times, want 2", n)
	}
	p.Retire()
	accepts(t, v, old, "old")
	c.pass(defaultLifespan)
	refuses(t, v, old, feasterr.ErrUnauthenticated)
	accepts(t, v, p.Token(idp.Claims{"sub": "new"}), "new")
	if n := p.Requests("openid-configuration"); n != 1 {
		t.Errorf("discovered %d times, want once", n)
	}
}

// Nobody waits for keys that are fetched before their lifespan ends.
func TestKeysAreFetchedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var certs atomic.Int64
		slow := make(chan struct{})
		key, set := newKey(t)
		v, err := NewVerifier(VerifierOptions{DiscoveryURL: "https://idp/d", HTTPClient: transport(func(r *http.Request) (int, string, error) {
			if r.URL.Path != "/certs" {
				return http.StatusOK, testDiscovery, nil
			}
			if certs.Add(1) > 1 {
				<-slow
			}
			return http.StatusOK, set, nil
		}).client()})
		if err != nil {
			t.Fatal(err)
		}
		token := func(name string) string {
			s, err := idp.Sign(jose.ES256, key, "k", idp.Claims{"iss": "https://idp", "sub": name})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		accepts(t, v, token("a"), "a")
		time.Sleep(defaultLifespan * 4 / 5)
		accepts(t, v, token("b"), "b") // while the request hangs
		synctest.Wait()
		if n := certs.Load(); n != 2 {
			t.Errorf("the keys were fetched %d times, want 2", n)
		}
		close(slow)
		synctest.Wait()
		time.Sleep(defaultLifespan * 3 / 5)
		accepts(t, v, token("c"), "c")
		if n := certs.Load(); n != 2 {
			t.Errorf("the keys were fetched %d times, want 2", n)
		}
		v.Close()
	})
}

// newKey makes a key with the kid k, and the set of it.
func newKey(t testing.TB) (*ecdsa.PrivateKey, string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.Public(), KeyID: "k", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return k, string(set)
}

// Keys that do not exist do not have the provider flooded.
func TestForgedKids(t *testing.T) {
	p := idp.Start(t)
	var c clock
	v := verifier(t, p, &c, nil)
	accepts(t, v, p.Token(nil), "5f0c")
	key, _ := newKey(t)
	forge := func() {
		for i := range 50 {
			token, err := idp.Sign(jose.ES256, key, fmt.Sprint("forged", i), idp.Claims{"iss": p.Issuer, "sub": "mallory"})
			if err != nil {
				t.Fatal(err)
			}
			refuses(t, v, token, feasterr.ErrUnauthenticated)
		}
	}
	forge()
	if n := p.Requests("certs"); n != 5 {
		t.Errorf("the keys were fetched %d times, want 5", n)
	}
	accepts(t, v, p.Token(idp.Claims{"sub": "alice"}), "alice")
	c.pass(time.Second)
	forge()
	if n := p.Requests("certs"); n != 6 {
		t.Errorf("the keys were fetched %d times, want 6", n)
	}
	// Tokens that are wrong anyway have nothing fetched.
	for range 50 {
		token, err := idp.Sign(jose.ES256, key, "x", idp.Claims{"iss": "http://evil", "sub": "mallory"})
		if err != nil {
			t.Fatal(err)
		}
		c.pass(time.Second)
		refuses(t, v, token, feasterr.ErrUnauthenticated)
	}
	if n := p.Requests("certs"); n != 6 {
		t.Errorf("the keys were fetched %d times, want 6", n)
	}
}

func TestProviderDown(t *testing.T) {
	p := idp.Start(t)
	var c clock
	v := verifier(t, p, &c, nil)
	alice := func() string { return p.Token(idp.Claims{"sub": "alice", "exp": nil}) }
	token := alice()

	p.Down(true) // at the start
	refuses(t, v, token, feasterr.ErrUnavailable)
	refuses(t, v, "x.y.z", feasterr.ErrUnauthenticated) // which needs no keys
	p.Down(false)
	accepts(t, v, token, "alice")

	p.Down(true) // later
	c.pass(defaultLifespan)
	accepts(t, v, alice(), "alice")
	c.pass(time.Hour)
	accepts(t, v, alice(), "alice")
	p.Rotate(t)
	bob := p.Token(idp.Claims{"sub": "bob", "exp": nil})
	refuses(t, v, bob, feasterr.ErrUnavailable) // it may be a new key
	c.pass(maxKeysAge)
	refuses(t, v, token, feasterr.ErrUnavailable)

	p.Down(false)
	// Who comes first starts a request and does not wait for it.
	for deadline := time.Now().Add(10 * time.Second); ; {
		c.pass(time.Second)
		_, err := v.Authenticate(t.Context(), bob)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not recover:", err)
		}
	}
	accepts(t, v, alice(), "alice")
}

// Keys come with the time at which they were published, whatever is published meanwhile: a token of one that is withdrawn is
// not remembered for the lifespan of those that came after.
func TestKeysKnowTheirTime(t *testing.T) {
	p := idp.Start(t)
	var c clock
	v := verifier(t, p, &c, nil)
	accepts(t, v, p.Token(idp.Claims{"sub": "alice"}), "alice")
	began := v.provider.state.Load()
	c.pass(defaultLifespan * 9 / 10)
	p.Rotate(t)
	p.Retire()
	keys, err := v.provider.keysFor(t.Context(), "rsa-1") // has them fetched
	if err != nil || keys != began {
		t.Fatalf("the keys of %v, error %v, want those of %v", keys.at, err, began.at)
	}
	if keys, err = v.provider.keysFor(t.Context(), "rsa-2"); err != nil || keys == began || keys.keys["rsa-1"] != nil {
		t.Errorf("keys %v, error %v", keys, err)
	}
}

// Keys serve no longer than a day while the provider is down, also when it may be asked more often than it is.
func TestKeysAreOld(t *testing.T) {
	p := idp.Start(t)
	var c clock
	v := verifier(t, p, &c, func(o *VerifierOptions) { o.KeysTimeout = 50 * time.Millisecond })
	token := p.Token(idp.Claims{"sub": "alice", "exp": nil})
	accepts(t, v, token, "alice")
	p.Down(true)
	c.pass(maxKeysAge)
	for range 20 {
		refuses(t, v, token, feasterr.ErrUnavailable)
		c.pass(60 * time.Millisecond)
	}
}

// One request serves all who wait, also when the one who made it gives up; Close ends it.
func TestProviderHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, set := newKey(t)
		answer := make(chan struct{})
		var discoveries atomic.Int64
		v, err := NewVerifier(VerifierOptions{DiscoveryURL: "https://idp/d", HTTPClient: transport(func(r *http.Request) (int, string, error) {
			if r.URL.Path == "/certs" {
				return http.StatusOK, set, nil
			}
			discoveries.Add(1)
			select {
			case <-answer:
				return http.StatusOK, testDiscovery, nil
			case <-r.Context().Done():
				return 0, "", r.Context().Err()
			}
		}).client()})
		if err != nil {
			t.Fatal(err)
		}
		token, err := idp.Sign(jose.ES256, key, "k", idp.Claims{"iss": "https://idp", "sub": "alice"})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		refuses(t, v, token, feasterr.ErrUnavailable)
		if took := time.Since(began); took != defaultTimeout {
			t.Errorf("it took %s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() { _, err := v.Authenticate(ctx, token); first <- err }()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { accepts(t, v, token, "alice") })
		}
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		close(answer)
		wg.Wait()
		if n := discoveries.Load(); n != 2 {
			t.Errorf("discovered %d times, want 2", n)
		}
		v.Close()
	})
}

func TestCloseEndsFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, err := NewVerifier(VerifierOptions{DiscoveryURL: "https://idp/d", HTTPClient: transport(hang).client()})
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		token := unsigned(t, "k", idp.Claims{"iss": "https://idp"})
		go func() { _, err := v.Authenticate(t.Context(), token); failed <- err }()
		synctest.Wait()
		v.Close()
		if err := <-failed; !errors.Is(err, feasterr.ErrClosed) {
			t.Errorf("error %v", err)
		}
		if _, err := v.Authenticate(t.Context(), token); !errors.Is(err, feasterr.ErrClosed) {
			t.Errorf("error %v", err)
		}
	})
}

// Sets of keys that are wrong, and those in which some keys are.
func TestKeySets(t *testing.T) {
	key, set := newKey(t)
	good, err := idp.Sign(jose.ES256, key, "k", idp.Claims{"iss": "https://idp", "sub": "alice"})
	if err != nil {
		t.Fatal(err)
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(set, `{"keys":[`), "]}")
	private, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "k"})
	if err != nil {
		t.Fatal(err)
	}
	secret := `{"kty":"oct","kid":"k","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U"}`
	many := make([]string, 4000)
	for i := range many {
		many[i] = fmt.Sprintf(`{"kty":"x","kid":"%d"}`, i)
	}
	for name, c := range map[string]struct {
		set  string
		want error
	}{
		"good":             {set, nil},
		"beside others":    {`{"keys":[{"kty":"new"},7,null,{"kty":"RSA","kid":"k"},` + secret + `,` + inner + `]}`, nil},
		"odd certificates": {strings.Replace(set, `"kid"`, `"x5c":["bm90IGEgY2VydGlmaWNhdGU="],"x5t":"AA","x5t#S256":7,"x5u":":","kid"`, 1), nil},
		"for an algorithm": {strings.Replace(set, `"kid"`, `"alg":"ES256","kid"`, 1), nil},
		"to agree on keys": {strings.Replace(set, `"kid"`, `"alg":"ECDH-ES","kid"`, 1), feasterr.ErrUnauthenticated},
		"many":             {`{"keys":[` + strings.Join(many, ",") + "," + inner + `]}`, nil},
		"empty":            {`{"keys":[]}`, feasterr.ErrUnauthenticated},
		"none":             {`{}`, feasterr.ErrUnauthenticated},
		"null":             {`null`, feasterr.ErrUnauthenticated},
		"private":          {`{"keys":[` + string(private) + `]}`, feasterr.ErrUnauthenticated},
		"symmetric":        {`{"keys":[` + secret + `]}`, feasterr.ErrUnauthenticated},
		"for encryption":   {strings.Replace(set, `"sig"`, `"enc"`, 1), feasterr.ErrUnauthenticated},
		"without kid":      {strings.Replace(set, `"kid":"k",`, "", 1), feasterr.ErrUnauthenticated},
		"not on the curve": {strings.Replace(set, `"x":"`, `"x":"AA`, 1), feasterr.ErrUnauthenticated},
		"a small RSA key":  {`{"keys":[{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB"}]}`, feasterr.ErrUnauthenticated},
		"a huge RSA key":   {`{"keys":[{"kty":"RSA","kid":"k","n":"` + strings.Repeat("_", 100000) + `","e":"AQAB"}]}`, feasterr.ErrUnauthenticated},
		"garbage":          {`<html>`, feasterr.ErrUnavailable},
		"nothing":          {``, feasterr.ErrUnavailable},
		"a list":           {`[]`, feasterr.ErrUnavailable},
		"another type":     {`{"keys":{"k":1}}`, feasterr.ErrUnavailable},
		"deep":             {`{"keys":` + strings.Repeat("[", 1<<19), feasterr.ErrUnavailable},
		"huge":             {`{"keys":[` + strings.Repeat(" ", 2<<20) + inner + `]}`, feasterr.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			v := answering(t, c.set)
			if c.want == nil {
				accepts(t, v, good, "alice")
			} else {
				refuses(t, v, good, c.want)
			}
		})
	}
	t.Run("signed by the symmetric one", func(t *testing.T) {
		token, err := idp.Sign(jose.HS256, []byte("secretsecretsecretsecretsecretse"), "k", idp.Claims{"iss": "https://idp", "sub": "mallory"})
		if err != nil {
			t.Fatal(err)
		}
		refuses(t, answering(t, `{"keys":[`+secret+`]}`), token, feasterr.ErrUnauthenticated)
	})
}

func TestAbuse(t *testing.T) {
	p := idp.Start(t)
	v := verifier(t, p, &clock{}, func(o *VerifierOptions) { o.Audience = "feast" })
	now := time.Now().Unix()
	with := func(change idp.Claims) string {
		all := idp.Claims{"sub": "mallory", "aud": "feast"}
		maps.Copy(all, change)
		return p.Token(all)
	}
	good := with(nil)
	accepts(t, v, good, "mallory")
	parts := strings.Split(good, ".")
	header := func(h string) string { return base64url([]byte(h)) + "." + parts[1] + "." + parts[2] }
	payload := func(b string) string { return parts[0] + "." + base64url([]byte(b)) + "." + parts[2] }
	for name, token := range map[string]string{
		"empty":               "",
		"dots":                strings.Repeat(".", 100),
		"two parts":           parts[0] + "." + parts[1],
		"four parts":          good + ".x",
		"no signature":        parts[0] + "." + parts[1] + ".",
		"other signature":     parts[0] + "." + parts[1] + "." + base64url(make([]byte, 256)),
		"other payload":       payload(`{"iss":"` + p.Issuer + `","aud":"feast","sub":"root"}`),
		"standard base64":     parts[0] + "." + parts[1] + "." + strings.Repeat("+/", 170),
		"unsigned":            unsigned(t, "rsa-1", idp.Claims{"iss": p.Issuer, "aud": "feast", "sub": "root"}),
		"none":                header(`{"alg":"none","kid":"rsa-1"}`),
		"None":                header(`{"alg":"None","kid":"rsa-1"}`),
		"no algorithm":        header(`{"kid":"rsa-1"}`),
		"HS256":               header(`{"alg":"HS256","kid":"rsa-1"}`),
		"ES256 by an RSA key": header(`{"alg":"ES256","kid":"rsa-1"}`),
		"RS256 by an EC key":  header(`{"alg":"RS256","kid":"ec-1"}`),
		"no kid":              header(`{"alg":"RS256"}`),
		"kid is a number":     header(`{"alg":"RS256","kid":1}`),
		"critical":            header(`{"alg":"RS256","kid":"rsa-1","crit":["b64"],"b64":false}`),
		"own key":             header(`{"alg":"RS256","kid":"x","jwk":{"kty":"RSA","n":"AQAB","e":"AQAB"}}`),
		"header is no JSON":   "e30x." + parts[1] + "." + parts[2],
		"encrypted":           "a.b.c.d.e",
		"expired":             with(idp.Claims{"exp": now - 11}),
		"exp is huge":         with(idp.Claims{"exp": -1e300}),
		"exp is a list":       with(idp.Claims{"exp": []int{1}}),
		"exp is true":         with(idp.Claims{"exp": true}),
		"of the future":       with(idp.Claims{"iat": now + 60}),
		"not yet":             with(idp.Claims{"nbf": now + 60}),
		"nbf is far":          with(idp.Claims{"nbf": 1e300}),
		"iat is a text":       with(idp.Claims{"iat": "now"}),
		"wrong issuer":        with(idp.Claims{"iss": "http://evil"}),
		"issuer and a slash":  with(idp.Claims{"iss": p.Issuer + "/"}),
		"no issuer":           with(idp.Claims{"iss": nil}),
		"issuer is a list":    with(idp.Claims{"iss": []string{p.Issuer}}),
		"jti is a number":     with(idp.Claims{"jti": 7}),
		"jti is null":         with(idp.Claims{"jti": json.RawMessage("null")}),
		"padded header":       parts[0] + "=." + parts[1] + "." + parts[2],
		"padded payload":      parts[0] + "." + parts[1] + "=." + parts[2],
		"padded signature":    good + "==",
		"bits left over":      good[:len(good)-1] + string(good[len(good)-1]+1),
		"wrong audience":      with(idp.Claims{"aud": "other"}),
		"no audience":         with(idp.Claims{"aud": nil}),
		"audiences":           with(idp.Claims{"aud": []any{"feast", 1}}),
		"sub is a number":     with(idp.Claims{"sub": 7}),
		"claims are a list":   payload(`["sub"]`),
		"claims are null":     payload(`null`),
		"claims are nothing":  payload(``),
		"deep claims":         payload(strings.Repeat(`{"a":`, 9000)),
		"deeper claims":       payload(`{"a":` + strings.Repeat("[", 10500) + strings.Repeat("]", 10500) + `}`),
		"huge":                with(idp.Claims{"x": strings.Repeat("x", auth.MaxToken)}),
		"spaces":              " " + good,
		"newline":             good + "\n",
		"not UTF-8":           "\xff\xfe." + parts[1] + "." + parts[2],
	} {
		t.Run(name, func(t *testing.T) { refuses(t, v, token, feasterr.ErrUnauthenticated) })
	}
	if n := p.Requests("certs"); n > 6 {
		t.Errorf("the keys were fetched %d times", n)
	}
	// Names of claims are compared exactly.
	accepts(t, v, with(idp.Claims{"PREFERRED_USERNAME": "root", "EXP": 1, "Iss": "x"}), "mallory")
}

// Tokens that the provider did sign are refused when they are not to be understood without doubt, as by Feast.
func TestOddTokens(t *testing.T) {
	key, set := newKey(t)
	v := answering(t, set)
	const claims = `{"iss":"https://idp","sub":"alice"`
	odd := func(payload string, header map[jose.HeaderKey]any) string {
		t.Helper()
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, &jose.SignerOptions{ExtraHeaders: header})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		token, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	accepts(t, v, odd(claims+`}`, map[jose.HeaderKey]any{"jku": "https://evil", "x5u": "https://evil", "cty": "JWT", "zip": "DEF"}), "alice")
	accepts(t, v, odd(claims+`,"preferred_username":"\u00e9"}`, nil), "é")
	for name, token := range map[string]string{
		"not UTF-8":             odd(claims+`,"preferred_username":"root`+"\xff"+`"}`, nil),
		"name that is no UTF-8": odd(claims+`,"`+"\xff"+`":1}`, nil),
		"no extensions":         odd(claims+`}`, map[jose.HeaderKey]any{"crit": []string{}}),
		"an extension":          odd(claims+`}`, map[jose.HeaderKey]any{"crit": []string{"b64"}, "b64": true}),
		"not critical":          odd(claims+`}`, map[jose.HeaderKey]any{"b64": true}),
	} {
		t.Run(name, func(t *testing.T) { refuses(t, v, token, feasterr.ErrUnauthenticated) })
	}
	empty := ""
	v.audience = &empty // as a section may have it
	accepts(t, v, odd(claims+`,"aud":["",""]}`, nil), "alice")
	refuses(t, v, odd(claims+`,"aud":""}`, nil), feasterr.ErrUnauthenticated)
}

// Nested claims of a valid token, up to the size of one, do no harm.
func TestNestedClaims(t *testing.T) {
	p := idp.Start(t)
	v := verifier(t, p, &clock{}, func(o *VerifierOptions) { o.ClientID = "c" })
	deep := json.RawMessage(strings.Repeat("[", 5000) + strings.Repeat("]", 5000))
	accepts(t, v, p.Token(idp.Claims{"sub": "alice", "x": deep, "resource_access": deep, "groups": deep}), "alice")
	refuses(t, v, p.Token(idp.Claims{"sub": "alice", "roles": deep}), feasterr.ErrUnauthenticated)
}

func TestTimesOfTokens(t *testing.T) {
	now := time.Unix(1_700_000_000, 500_000_000)
	for _, c := range []struct {
		claims  string
		expires int64 // 0: never
		err     string
	}{
		{`{}`, 0, ""},
		{`{"exp":1700000000}`, 1_700_000_010, ""},
		{`{"exp":1699999990}`, 0, "the token has expired"},
		{`{"exp":1699999991}`, 1_700_000_001, ""},
		{`{"exp":1699999990.9}`, 0, "the token has expired"}, // the fraction does not count
		{`{"exp":" 1700000000 "}`, 1_700_000_010, ""},
		{`{"exp":"1700000000.5"}`, 0, "exp is no number"},
		{`{"exp":1e300}`, 0, ""},
		{`{"exp":1e999}`, 0, "exp is no number"},
		{`{"exp":null}`, 0, "exp is no number"},
		{`{"exp":false}`, 0, "exp is no number"},
		{`{"nbf":1700000010}`, 0, ""},
		{`{"nbf":1700000011}`, 0, "nbf is in the future"},
		{`{"iat":1700000011.2}`, 0, "iat is in the future"},
		{`{"iat":"1700000011"}`, 0, "iat is in the future"},
		{`{"nbf":null}`, 0, "nbf is no number"},
		{`{"iat":{}}`, 0, "iat is no number"},
	} {
		claims, err := parseClaims([]byte(c.claims))
		if err != nil {
			t.Fatal(err)
		}
		expires, err := claims.checkTimes(now)
		if err == nil {
			err = errors.New("")
		}
		if err.Error() != c.err || !expires.IsZero() != (c.expires != 0) || c.expires != 0 && expires.Unix() != c.expires {
			t.Errorf("%s: %v, %v, want %d, %s", c.claims, expires, err, c.expires, c.err)
		}
	}
}

// A token that is remembered ends when it expires, to the second.
func TestRememberedTokens(t *testing.T) {
	p := idp.Start(t)
	var c clock
	v := verifier(t, p, &c, nil)
	ends := c.now().Unix() + 60
	token := p.Token(idp.Claims{"sub": "alice", "exp": ends})
	accepts(t, v, token, "alice")
	if _, ok := v.verified.get(hash(token), c.now()); !ok {
		t.Error("it is not remembered")
	}
	c.pass(time.Unix(ends, 0).Add(leeway - time.Nanosecond).Sub(c.now()))
	accepts(t, v, token, "alice")
	c.pass(time.Nanosecond)
	refuses(t, v, token, feasterr.ErrUnauthenticated)

	// Nothing that was refused is remembered, nor is the token of a server.
	v = verifier(t, p, &c, func(o *VerifierOptions) { o.Intra = "secret" })
	refuses(t, v, token, feasterr.ErrUnauthenticated)
	accepts(t, v, unsigned(t, "", idp.Claims{"preferred_username": "secret"}), "secret")
	refuses(t, v, unsigned(t, "", idp.Claims{"preferred_username": "secret2"}), feasterr.ErrUnauthenticated)
	if len(v.verified.young) != 0 {
		t.Errorf("%d tokens are remembered", len(v.verified.young))
	}
}

func TestRememberedIsBounded(t *testing.T) {
	var v verified
	now := time.Now()
	until := now.Add(time.Hour)
	for i := range 3 * maxVerified {
		v.put(hash(fmt.Sprint(i)), 1000, permissions.User{}, until)
		if n := len(v.young) + len(v.old); n > 2*maxVerified || v.size > maxVerifiedBytes {
			t.Fatalf("%d tokens, %d bytes", n, v.size)
		}
	}
	if _, ok := v.get(hash(fmt.Sprint(3*maxVerified-1)), now); !ok {
		t.Error("the last one is forgotten")
	}
	if _, ok := v.get(hash("0"), now); ok {
		t.Error("the first one is not forgotten")
	}
	v = verified{}
	for i := range 1000 {
		v.put(hash(fmt.Sprint(i)), auth.MaxToken, permissions.User{}, until)
	}
	if n := len(v.young) + len(v.old); n > 2*maxVerifiedBytes/auth.MaxToken {
		t.Errorf("%d large tokens are remembered", n)
	}
}

// A token that is known costs no allocation.
func TestKnownTokenAllocations(t *testing.T) {
	p := idp.Start(t)
	v := verifier(t, p, &clock{}, nil)
	token := p.Token(idp.Claims{"roles": []string{"a", "b"}, "groups": []string{"g"}})
	ctx := t.Context()
	accepts(t, v, token, "5f0c")
	if n := testing.AllocsPerRun(100, func() {
		if _, err := v.Authenticate(ctx, token); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestIssuers(t *testing.T) {
	key, set := newKey(t)
	token, err := idp.Sign(jose.ES256, key, "k", idp.Claims{"iss": "https://other", "sub": "alice"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		discovery, issuer string
		want              error
	}{
		{testDiscovery, "", feasterr.ErrUnauthenticated},
		{testDiscovery, "https://other", nil}, // the configured one counts
		{strings.Replace(testDiscovery, `"https://idp",`, `"https://other",`, 1), "", nil},
		{strings.Replace(testDiscovery, `"issuer":"https://idp",`, "", 1), "", feasterr.ErrUnauthenticated},
		{strings.Replace(testDiscovery, `"issuer":"https://idp",`, "", 1), "https://other", nil},
		{strings.Replace(testDiscovery, `"jwks_uri":"https`, `"jwks_uri":"file`, 1), "", feasterr.ErrUnavailable},
	} {
		v, err := NewVerifier(VerifierOptions{
			DiscoveryURL: "https://idp/d", Issuer: c.issuer, HTTPClient: transport(func(r *http.Request) (int, string, error) {
				if r.URL.Path == "/certs" {
					return http.StatusOK, set, nil
				}
				return http.StatusOK, c.discovery, nil
			}).client(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Authenticate(t.Context(), token); !errors.Is(err, c.want) {
			t.Errorf("%+v: error %v", c, err)
		}
		v.Close()
	}
}

// cluster reviews tokens.
type cluster struct {
	asked  int
	closed bool
}

func (c *cluster) Review(_ context.Context, token string) (string, []string, error) {
	c.asked++
	var name string
	raw, err := decodeClaims(strings.Split(token, ".")[1])
	if err == nil {
		name, _ = raw.text("sub")
	}
	if name == "" {
		return "", nil, fmt.Errorf("%w: no", feasterr.ErrUnauthenticated)
	}
	return name, []string{"system:authenticated"}, nil
}

func (c *cluster) Close() error { c.closed = true; return nil }

func TestServiceAccounts(t *testing.T) {
	p := idp.Start(t)
	var k cluster
	opened, broken := 0, true
	v := verifier(t, p, &clock{}, func(o *VerifierOptions) {
		o.Reviewer = func() (auth.Reviewer, error) {
			opened++
			if broken {
				return nil, feasterr.Unavailable("no cluster")
			}
			return &k, nil
		}
	})
	pod := func(sub string) string {
		return unsigned(t, "x", idp.Claims{"sub": sub, "kubernetes.io": map[string]any{}})
	}
	refuses(t, v, pod("system:serviceaccount:ml:trainer"), feasterr.ErrUnavailable)
	broken = false
	for token, want := range map[string]permissions.User{
		pod("system:serviceaccount:ml:trainer"): {Name: "system:serviceaccount:ml:trainer", Namespaces: []string{"ml"}},
		pod("system:serviceaccount:ml"):         {Name: "system:serviceaccount:ml"},
		pod("admin"):                            {Name: "admin"},
	} {
		u, err := v.Authenticate(t.Context(), token)
		if err != nil || u.Name != want.Name || !slices.Equal(u.Namespaces, want.Namespaces) || len(u.Roles)+len(u.Groups) > 0 {
			t.Errorf("user %+v, error %v, want %+v", u, err, want)
		}
	}
	refuses(t, v, pod(""), feasterr.ErrUnauthenticated)
	if opened != 2 || k.asked != 4 || p.Requests("openid-configuration") != 0 {
		t.Errorf("opened %d times, asked %d times, discovered %d times", opened, k.asked, p.Requests("openid-configuration"))
	}
	accepts(t, v, pod("admin"), "admin") // remembering is up to the reviewer
	if k.asked != 5 {
		t.Errorf("asked %d times, want 5", k.asked)
	}
	if err := v.Close(); err != nil || !k.closed {
		t.Errorf("error %v, closed %t", err, k.closed)
	}
	refuses(t, v, pod("x"), feasterr.ErrClosed)
}

// Without the package that reviews tokens, the log says which one to import.
func TestServiceAccountsNotLinked(t *testing.T) {
	v, err := open(t, map[string]any{"auth_discovery_url": "http://127.0.0.1:1/d"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token := unsigned(t, "x", idp.Claims{"kubernetes.io": map[string]any{}})
	_, err = v.Authenticate(t.Context(), token)
	const want = `import _ "github.com/feastgo/feast/permissions/kubernetes"`
	if !errors.Is(err, feasterr.ErrUnauthenticated) || feasterr.Retryable(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v", err)
	}
	w, err := NewVerifier(VerifierOptions{DiscoveryURL: "http://127.0.0.1:1/d"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	refuses(t, w, token, feasterr.ErrUnauthenticated)
}

// What is logged of a provider that is down, once, has no token in it.
func TestLog(t *testing.T) {
	p := idp.Start(t)
	var c clock
	var log bytes.Buffer
	v := verifier(t, p, &c, func(o *VerifierOptions) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	token := p.Token(idp.Claims{"exp": nil})
	accepts(t, v, token, "5f0c")
	p.Down(true)
	for range 3 {
		c.pass(defaultLifespan)
		accepts(t, v, token, "5f0c")
	}
	v.Close()
	if n := strings.Count(log.String(), "cannot be fetched"); n != 1 {
		t.Errorf("%d lines in the log:\n%s", n, log.String())
	}
	showsNoPart(t, errors.New(log.String()), token)
}

func TestVerifierOptions(t *testing.T) {
	for want, o := range map[string]VerifierOptions{
		"oidc: auth_discovery_url is no URL of http or https": {},
		"oidc: auth_discovery_url is no URL":                  {DiscoveryURL: "http://[::1"},
		"oidc: KeysLifespan or KeysTimeout is negative":       {DiscoveryURL: "http://x", KeysLifespan: -1},
	} {
		if _, err := NewVerifier(o); !errors.Is(err, feasterr.ErrInvalid) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A provider that is down when the server starts is not asked for every request, and one that goes down is found out by a
// token with a new key.
func TestProviderDownLimits(t *testing.T) {
	p := idp.Start(t)
	var c clock
	v := verifier(t, p, &c, nil)
	alice := p.Token(idp.Claims{"sub": "alice"})
	p.Down(true)
	for range 20 {
		refuses(t, v, alice, feasterr.ErrUnavailable)
	}
	if n := p.Requests("openid-configuration"); n != 5 {
		t.Errorf("discovered %d times, want 5", n)
	}
	p.Down(false)
	refuses(t, v, alice, feasterr.ErrUnavailable)
	c.pass(time.Second)
	accepts(t, v, alice, "alice")

	c.pass(10 * time.Second)
	p.Rotate(t)
	p.Down(true)
	refuses(t, v, p.Token(idp.Claims{"sub": "bob"}), feasterr.ErrUnavailable)
	p.Down(false)
	c.pass(defaultLifespan)
	accepts(t, v, p.Token(idp.Claims{"sub": "carol", "kubernetes.io": "no object"}), "carol")
}

// The name that servers share goes before a token that is configured.
func TestIntraToken(t *testing.T) {
	s, err := NewTokenSource(TokenOptions{Token: "t", Getenv: func(name string) string { return map[string]string{auth.IntraVariable: "secret"}[name] }})
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.Token(t.Context())
	if err != nil || mustClaims(t, token)["preferred_username"] == nil {
		t.Errorf("token %q, error %v", token, err)
	}
	p := idp.Start(t)
	accepts(t, verifier(t, p, &clock{}, func(o *VerifierOptions) { o.Intra = "secret" }), token, "secret")
	refuses(t, verifier(t, p, &clock{}, nil), token, feasterr.ErrUnauthenticated)
	refuses(t, verifier(t, p, &clock{}, func(o *VerifierOptions) { o.Intra = "other" }), token, feasterr.ErrUnauthenticated)
}
