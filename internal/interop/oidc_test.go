package interop_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/feastgo/feast/internal/testserver/idp"
	"github.com/feastgo/feast/permissions/oidc"
)

// Tokens that either side gets from an identity provider are those of the same user on both.
func TestOIDC(t *testing.T) {
	useFeast(t)
	p := idp.Start(t)
	p.AddClient("feast", "s e&cret", idp.Claims{"resource_access": map[string]any{"feast": map[string]any{"roles": []string{"writer"}}}})
	p.AddUser("alice", "wonder=ländchen", idp.Claims{"groups": []string{"/g1", "g2"}, "roles": []string{"b", "a", "b"}})
	v, err := oidc.NewVerifier(oidc.VerifierOptions{DiscoveryURL: p.Discovery, ClientID: "feast"})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, c := range []struct {
		username, password string
		name               string
		roles, groups      []string
	}{
		{"", "", "service-account-feast", []string{"writer"}, nil},
		{"alice", "wonder=ländchen", "alice", []string{"b", "a"}, []string{"/g1", "g2"}},
	} {
		ours, err := oidc.NewTokenSource(oidc.TokenOptions{
			DiscoveryURL: p.Discovery, ClientID: "feast", ClientSecret: "s e&cret", Username: c.username, Password: c.password,
		})
		if err != nil {
			t.Fatal(err)
		}
		token, err := ours.Token(t.Context())
		if err := errors.Join(err, ours.Close()); err != nil {
			t.Fatal(err)
		}
		section := map[string]any{"type": "oidc", "auth_discovery_url": p.Discovery, "client_id": "feast", "client_secret": "s e&cret"}
		if c.username != "" {
			section["username"], section["password"] = c.username, c.password
		}
		var theirs string
		if err := shared.call(t.Context(), "token", map[string]any{"auth": section}, &theirs); err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{token, theirs} {
			u, err := v.Authenticate(t.Context(), token)
			if err != nil || u.Name != c.name || !slices.Equal(u.Roles, c.roles) || !slices.Equal(u.Groups, c.groups) {
				t.Errorf("user %+v, error %v, want %+v", u, err, c)
			}
			var seen []any
			server := map[string]any{"type": "oidc", "auth_discovery_url": p.Discovery, "client_id": "feast"}
			if err := shared.call(t.Context(), "user", map[string]any{"auth": server, "token": token}, &seen); err != nil {
				t.Fatal(err)
			}
			if len(seen) != 3 || seen[0] != c.name || !slices.Equal(textsOf(seen[1]), c.roles) || !slices.Equal(textsOf(seen[2]), c.groups) {
				t.Errorf("Feast's user is %v, want %+v", seen, c)
			}
		}
	}
}

func textsOf(list any) (out []string) {
	all, _ := list.([]any)
	for _, v := range all {
		s, _ := v.(string)
		out = append(out, s)
	}
	return out
}
