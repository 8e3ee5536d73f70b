package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
)

// admin is Keycloak's administrator.
type admin struct {
	t      *testing.T
	base   string
	client http.Client
	token  string
}

func newAdmin(t *testing.T, base string) *admin {
	t.Helper()
	a := &admin{t: t, base: base, client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	a.login()
	return a
}

func (a *admin) login() {
	a.t.Helper()
	res, err := a.client.PostForm(a.base+"/realms/master/protocol/openid-connect/token", url.Values{
		"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {"admin"}, "password": {"admin"},
	})
	if err != nil {
		a.t.Fatal(err)
	}
	var got struct {
		Token string `json:"access_token"`
	}
	a.read(res, &got)
	a.token = got.Token
}

// do calls the API, and returns the last part of the Location of what it made.
func (a *admin) do(method, at string, body, into any) (id string) {
	a.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		a.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.base+"/admin/realms"+at, bytes.NewReader(b))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := a.client.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	a.read(res, into)
	return path.Base(res.Header.Get("Location"))
}

func (a *admin) read(res *http.Response, into any) {
	a.t.Helper()
	b, err := io.ReadAll(res.Body)
	err = errors.Join(err, res.Body.Close())
	if err == nil && into != nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil || res.StatusCode >= 300 {
		a.t.Fatalf("%s %s: %s %v\n%s", res.Request.Method, res.Request.URL, res.Status, err, b)
	}
}

type attrs = map[string]any

// realm makes a realm with a client, a user in a group, and a role of the client for either.
func (a *admin) realm(name string) {
	a.t.Helper()
	a.do("POST", "", attrs{"realm": name, "enabled": true, "accessTokenLifespan": 120, "sslRequired": "none"}, nil)
	at := "/" + name
	client := a.do("POST", at+"/clients", attrs{
		"clientId": "feast", "enabled": true, "publicClient": false, "secret": "feast-secret", "directAccessGrantsEnabled": true,
		"serviceAccountsEnabled": true, "standardFlowEnabled": false,
	}, nil)
	clientAt := at + "/clients/" + client
	for mapper, config := range map[string]attrs{
		"oidc-group-membership-mapper": {"claim.name": "groups", "full.path": "false", "access.token.claim": "true"},
		"oidc-audience-mapper":         {"included.client.audience": "feast", "access.token.claim": "true"},
	} {
		a.do("POST", clientAt+"/protocol-mappers/models", attrs{
			"name": mapper, "protocol": "openid-connect", "protocolMapper": mapper, "config": config,
		}, nil)
	}
	a.do("POST", at+"/groups", attrs{"name": "scientists"}, nil)
	user := a.do("POST", at+"/users", attrs{
		"username": "alice", "enabled": true, "email": "alice@example.com", "emailVerified": true, "firstName": "A", "lastName": "L",
		"groups": []string{"scientists"}, "credentials": []attrs{{"type": "password", "value": "wonder land&=é", "temporary": false}},
	}, nil)
	var account struct {
		ID string `json:"id"`
	}
	a.do("GET", clientAt+"/service-account-user", nil, &account)
	for role, id := range map[string]string{"reader": user, "writer": account.ID} {
		var r attrs
		a.do("POST", clientAt+"/roles", attrs{"name": role}, nil)
		a.do("GET", clientAt+"/roles/"+role, nil, &r)
		a.do("POST", at+"/users/"+id+"/role-mappings/clients/"+client, []attrs{r}, nil)
	}
}

// rotate makes a key that signs from now on; algorithm is RS256 or ES256.
func (a *admin) rotate(realm, algorithm string, priority int) (id string) {
	a.t.Helper()
	var r attrs
	a.do("GET", "/"+realm, nil, &r)
	config := attrs{"priority": []string{fmt.Sprint(priority)}, "enabled": []string{"true"}, "active": []string{"true"}}
	provider := "rsa-generated"
	if algorithm == "ES256" {
		provider = "ecdsa-generated"
		config["ecdsaEllipticCurveKey"] = []string{"P-256"}
		a.do("PUT", "/"+realm, attrs{"defaultSignatureAlgorithm": algorithm}, nil)
	}
	return a.do("POST", "/"+realm+"/components", attrs{
		"name": fmt.Sprint("key", priority), "providerId": provider, "providerType": "org.keycloak.keys.KeyProvider", "parentId": r["id"], "config": config,
	}, nil)
}

// Against Keycloak: both grants, roles, groups, audiences, and the roll-over of keys.
func TestKeycloak(t *testing.T) {
	if os.Getenv("FEAST_TEST_FULL") == "" {
		t.Skip("FEAST_TEST_FULL is not set: Keycloak takes a minute to start")
	}
	base := testserver.Keycloak(t)
	a := newAdmin(t, base)
	realm := fmt.Sprint("feast", time.Now().UnixNano())
	a.realm(realm)
	discovery := base + "/realms/" + realm + "/.well-known/openid-configuration"

	var c clock
	section := attrs{"auth_discovery_url": discovery, "client_id": "feast", "audience": "feast"}
	v, err := open(t, section, nil)
	if err != nil {
		t.Fatal(err)
	}
	v.now, v.provider.now = c.now, c.now
	source := func(change func(*TokenOptions)) *TokenSource {
		o := TokenOptions{DiscoveryURL: discovery, ClientID: "feast", ClientSecret: "feast-secret", Now: c.now}
		change(&o)
		s, err := NewTokenSource(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	alice := source(func(o *TokenOptions) { o.Username, o.Password = "alice", "wonder land&=é" })
	service := source(func(*TokenOptions) {})
	check := func(s *TokenSource, name, role string, groups ...string) string {
		t.Helper()
		token, err := s.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		u, err := v.Authenticate(t.Context(), token)
		if err != nil || u.Name != name || !slices.Equal(u.Roles, []string{role}) || !slices.Equal(u.Groups, groups) {
			t.Errorf("user %+v, error %v, want %s, %s, %v", u, err, name, role, groups)
		}
		return token
	}
	first := check(alice, "alice", "reader", "scientists")
	check(service, "service-account-feast", "writer")
	if again := check(alice, "alice", "reader", "scientists"); again != first {
		t.Error("the token is not kept")
	}
	alice.Invalidate(first)
	if again := check(alice, "alice", "reader", "scientists"); again == first {
		t.Error("the token that was refused is kept")
	}

	for want, change := range map[string]func(*TokenOptions){
		"status 400: invalid_grant":       func(o *TokenOptions) { o.Username, o.Password = "alice", "wrong-password" },
		"status 401: unauthorized_client": func(o *TokenOptions) { o.ClientSecret = "wrong-secret" },
	} {
		_, err := source(change).Token(t.Context())
		if !errors.Is(err, feasterr.ErrUnauthenticated) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
		showsNoSecret(t, err, "wrong-password", "wrong-secret", "feast-secret")
	}

	other, err := open(t, attrs{"auth_discovery_url": discovery, "audience": "other"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, other, first, feasterr.ErrUnauthenticated)
	refuses(t, v, first[:len(first)-4]+"AAAA", feasterr.ErrUnauthenticated)

	// Roll-over: another RSA key, and then one of another kind. What the old keys signed is accepted as long as they are there.
	for i, algorithm := range []string{"RS256", "ES256"} {
		a.login()
		key := a.rotate(realm, algorithm, 1000+i)
		service.Invalidate(check(service, "service-account-feast", "writer"))
		token := check(service, "service-account-feast", "writer")
		if h := header(t, token); h["alg"] != algorithm || h["kid"] == header(t, first)["kid"] {
			t.Errorf("header %v after the key %s", h, key)
		}
		fresh, err := open(t, section, nil) // which remembers no token
		if err != nil {
			t.Fatal(err)
		}
		accepts(t, fresh, first, "alice")
		accepts(t, fresh, token, "service-account-feast")
	}
}

func header(t *testing.T, token string) attrs {
	t.Helper()
	c, err := decodeClaims(strings.Split(token, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	h := attrs{}
	for k := range c {
		h[k], _ = c.text(k)
	}
	return h
}
