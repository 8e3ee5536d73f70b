package kubernetes

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/permissions/auth"
)

type goldenTokens struct {
	Fixture struct {
		ServerNamespace     string                     `json:"server_namespace"`
		RoleBindings        []json.RawMessage          `json:"role_bindings"`
		ClusterRoleBindings []json.RawMessage          `json:"cluster_role_bindings"`
		ClusterRoleRules    map[string]json.RawMessage `json:"cluster_role_rules"`
		Secret              string                     `json:"hs256_secret"`
	}
	Cases []struct {
		Note      string
		Auth      string
		Token     *string
		Claims    map[string]any `json:"token_claims_hs256"`
		Env       map[string]string
		Review    json.RawMessage `json:"token_review_status"`
		Forbidden []string        `json:"forbidden_paths_containing"`
		Requests  [][2]string     `json:"api_requests"`
		Expect    struct {
			Username   string
			Roles      []string `json:"roles_as_set"`
			Groups     []string
			Namespaces []string
			ErrorType  string `json:"error_type"`
		}
	}
}

const reviewQuestion = "POST /apis/authentication.k8s.io/v1/tokenreviews"

// Where TokenReview says no, or cannot be asked, there is no user: docs/compatibility.md, line 16. Feast looks at the
// unverified token then.
var tokenReviewDecides = map[string]error{
	"service account, review says not authenticated: roles still read from the unverified sub": feasterr.ErrUnauthenticated,
	"service account, token review forbidden":                                                  feasterr.ErrUnavailable,
	"opaque user token, token review forbidden":                                                feasterr.ErrUnavailable,
	"intra-server token, env not set":                                                          feasterr.ErrUnauthenticated,
}

func TestGoldenTokens(t *testing.T) {
	var g goldenTokens
	readJSON(t, "kubernetes_tokens.json", &g)
	departures := 0
	for _, c := range g.Cases {
		t.Run(c.Note, func(t *testing.T) {
			a := newAPI(t)
			a.status = func(string) string { return string(c.Review) }
			a.forbidden = c.Forbidden
			a.roles, a.cluster, a.rules = g.Fixture.RoleBindings, g.Fixture.ClusterRoleBindings, g.Fixture.ClusterRoleRules
			var token string
			if c.Token != nil {
				token = *c.Token
			} else {
				token = sign(t, c.Claims, g.Fixture.Secret)
			}
			if c.Auth == "oidc" { // of which only the review is here
				r := newReviewer(a.connect().client)
				defer r.Close()
				name, groups, err := r.Review(t.Context(), token)
				var status struct{ User struct{ Groups []string } }
				if err := json.Unmarshal(c.Review, &status); err != nil {
					t.Fatal(err)
				}
				switch {
				case c.Expect.ErrorType != "": // an AuthenticationError in Feast: line 16 again
					departures++
					if !errors.Is(err, feasterr.ErrUnavailable) {
						t.Errorf("%q, %v", name, err)
					}
				case err != nil || name != c.Expect.Username || !slices.Equal(groups, status.User.Groups):
					t.Errorf("%q, %q, %v", name, groups, err)
				}
				return
			}
			auth := a.authenticator(Options{Namespace: g.Fixture.ServerNamespace, Intra: c.Env[auth.IntraVariable]})
			u, err := auth.Authenticate(t.Context(), token)
			asked := a.questions()
			if class, ok := tokenReviewDecides[c.Note]; ok {
				departures++
				if !errors.Is(err, class) || !reflect.DeepEqual(u, permissions.User{}) {
					t.Errorf("%+v, %v", u, err)
				}
				if !slices.Equal(asked, []string{reviewQuestion}) {
					t.Errorf("asked %q", asked)
				}
				return
			}
			switch c.Expect.ErrorType {
			case "":
				want := permissions.User{Name: c.Expect.Username, Roles: c.Expect.Roles, Groups: c.Expect.Groups, Namespaces: c.Expect.Namespaces}
				if err != nil || u.Name != want.Name || !slices.Equal(u.Roles, want.Roles) || !slices.Equal(u.Groups, want.Groups) ||
					!slices.Equal(u.Namespaces, want.Namespaces) {
					t.Errorf("%+v, %v\nwant %+v", u, err, want)
				}
			case "AuthenticationError":
				if !errors.Is(err, feasterr.ErrUnauthenticated) {
					t.Errorf("%+v, %v", u, err)
				}
			case "ForbiddenException":
				if !errors.Is(err, feasterr.ErrUnavailable) || !strings.Contains(err.Error(), "list rolebindings of namespace feast-ns") {
					t.Errorf("%+v, %v", u, err)
				}
			default:
				t.Fatalf("unknown error %s", c.Expect.ErrorType)
			}
			// The same questions as Feast's, each once, and without those about roles that no group has.
			want := map[string]bool{}
			for _, r := range c.Requests {
				want[r[0]+" "+r[1]] = true
			}
			for _, role := range rolesWithoutGroups(t, g.Fixture.ClusterRoleBindings) {
				delete(want, "GET "+rbacPath+"clusterroles/"+role)
			}
			if c.Note == "intra-server token" { // nobody has to be asked
				delete(want, reviewQuestion)
			}
			for _, question := range asked {
				if !want[question] {
					t.Errorf("asked %s, once more, or unlike Feast", question)
				}
				delete(want, question)
			}
			for question := range want {
				t.Errorf("did not ask %s", question)
			}
		})
	}
	if len(g.Cases) != 16 || departures != 5 {
		t.Errorf("%d cases with %d departures", len(g.Cases), departures)
	}
}

func rolesWithoutGroups(t *testing.T, bindings []json.RawMessage) []string {
	t.Helper()
	var roles []string
	for _, data := range bindings {
		var b rbacv1.ClusterRoleBinding
		if err := json.Unmarshal(data, &b); err != nil {
			t.Fatal(err)
		}
		if len(groupsOf(b.Subjects)) == 0 {
			roles = append(roles, b.RoleRef.Name)
		}
	}
	return roles
}

func TestGoldenClientTokens(t *testing.T) {
	var cases []struct {
		Note    string
		Auth    map[string]any
		Env     map[string]string
		File    *string `json:"service_account_token_file"`
		Calls   int
		Results []struct {
			Token     string
			ErrorType string `json:"error_type"`
		}
	}
	readJSON(t, "client_tokens.json", &cases)
	ran := 0
	for _, c := range cases {
		if c.Auth["type"] != "kubernetes" {
			continue
		}
		ran++
		file := filepath.Join(t.TempDir(), "token")
		if c.File != nil {
			if err := os.WriteFile(file, []byte(*c.File), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := newTokenSource(config.NewSection("kubernetes", c.Auth), auth.Env{Getenv: func(name string) string { return c.Env[name] }}, file)
		if err != nil {
			t.Fatalf("%s: %v", c.Note, err)
		}
		for _, want := range c.Results {
			token, err := s.Token(t.Context())
			if token != want.Token || (err != nil) != (want.ErrorType != "") || err != nil && !errors.Is(err, feasterr.ErrUnauthenticated) {
				t.Errorf("%s: %q, %v", c.Note, token, err)
			}
		}
	}
	if ran != 6 {
		t.Errorf("%d cases", ran)
	}
}

func TestGoldenConfig(t *testing.T) {
	var cases []struct {
		Auth   any
		Class  string
		Fields map[string]any
	}
	readJSON(t, "auth_config.json", &cases)
	ran := 0
	for _, c := range cases {
		if c.Class != "KubernetesAuthConfig" {
			continue
		}
		ran++
		values, _ := c.Auth.(map[string]any)
		s, err := decode(config.NewSection("kubernetes", values))
		want, _ := c.Fields["user_token"].(string)
		if err != nil || s.UserToken != want {
			t.Errorf("%v: %+v, %v", c.Auth, s, err)
		}
	}
	if ran != 2 {
		t.Errorf("%d cases", ran)
	}
}
