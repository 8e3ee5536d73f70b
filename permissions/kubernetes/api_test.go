package kubernetes

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
)

// api is the part of the API of a cluster that is used here, over HTTP. Fields are set before the first question, or under mu.
type api struct {
	t   testing.TB
	url string

	mu        sync.Mutex
	status    func(token string) string // the status block of a review
	forbidden []string                  // parts of paths that answer 403
	roles     []json.RawMessage         // role bindings
	cluster   []json.RawMessage         // cluster role bindings
	rules     map[string]json.RawMessage
	intercept func(w http.ResponseWriter, r *http.Request) (done bool)
	asked     []string // method and path, in order
}

// newAPI starts an API that accepts no token and has no bindings.
func newAPI(t testing.TB) *api {
	a := &api{t: t, status: func(string) string { return `{"authenticated":false,"error":"invalid bearer token"}` }}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	a.url = s.URL
	return a
}

// connect makes a client of the API, as in a cluster, for as long as the test.
func (a *api) connect() *cluster {
	a.t.Helper()
	c, err := connect(&rest.Config{Host: a.url})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = c.close() })
	return c
}

func (a *api) authenticator(o Options) *Authenticator {
	a.t.Helper()
	if o.Namespace == "" {
		o.Namespace = "feast"
	}
	auth, err := newAuthenticator(a.connect().client, o)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = auth.Close() })
	return auth
}

// accept has the API accept tokens, each as the user of a name and groups.
func (a *api) accept(users map[string][]string) {
	a.status = func(token string) string {
		u, ok := users[token]
		if !ok {
			return `{"authenticated":false,"error":"invalid bearer token"}`
		}
		data, err := json.Marshal(map[string]any{"authenticated": true, "user": map[string]any{"username": u[0], "groups": u[1:]}})
		if err != nil {
			a.t.Error(err)
		}
		return string(data)
	}
}

// questions returns what was asked since the last call.
func (a *api) questions() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked := a.asked
	a.asked = nil
	return asked
}

const rbacPath = "/apis/rbac.authorization.k8s.io/v1/"

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked = append(a.asked, r.Method+" "+r.URL.Path)
	intercept := a.intercept
	a.mu.Unlock()
	if intercept != nil && intercept(w, r) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if slices.ContainsFunc(a.forbidden, func(part string) bool { return strings.Contains(r.URL.Path, part) }) {
		a.fail(w, http.StatusForbidden, "Forbidden")
		return
	}
	rest, isRBAC := strings.CutPrefix(r.URL.Path, rbacPath)
	switch namespace, inNamespace := strings.CutPrefix(rest, "namespaces/"); {
	case r.Method == http.MethodPost && r.URL.Path == "/apis/authentication.k8s.io/v1/tokenreviews":
		var review struct {
			APIVersion, Kind string
			Spec             struct{ Token string }
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Kind != "TokenReview" || review.APIVersion != "authentication.k8s.io/v1" {
			a.t.Errorf("review of %+v: %v", review, err)
		}
		a.write(w, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{},"status":`+a.status(review.Spec.Token)+`}`)
	case r.Method != http.MethodGet || !isRBAC:
		a.t.Errorf("unexpected request %s %s", r.Method, r.URL)
		a.fail(w, http.StatusNotFound, "NotFound")
	case rest == "rolebindings":
		a.list(w, "RoleBindingList", a.roles)
	case rest == "clusterrolebindings":
		a.list(w, "ClusterRoleBindingList", a.cluster)
	case strings.HasPrefix(rest, "clusterroles/"):
		rules, ok := a.rules[strings.TrimPrefix(rest, "clusterroles/")]
		if !ok {
			a.fail(w, http.StatusNotFound, "NotFound")
			return
		}
		a.write(w, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","rules":`+string(rules)+`}`)
	case inNamespace:
		var in []json.RawMessage
		for _, b := range a.roles {
			var binding rbacv1.RoleBinding
			if err := json.Unmarshal(b, &binding); err != nil {
				a.t.Error(err)
			}
			if binding.Namespace+"/rolebindings" == namespace {
				in = append(in, b)
			}
		}
		a.list(w, "RoleBindingList", in)
	}
}

func (a *api) list(w http.ResponseWriter, kind string, items []json.RawMessage) {
	data, err := json.Marshal(map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": map[string]any{}, "items": items})
	if err != nil {
		a.t.Error(err)
	}
	a.write(w, string(data))
}

func (a *api) fail(w http.ResponseWriter, code int, reason string) {
	w.WriteHeader(code)
	data, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": reason + " by the test",
	})
	if err != nil {
		a.t.Error(err)
	}
	a.write(w, string(data))
}

func (a *api) write(w http.ResponseWriter, text string) {
	_, _ = w.Write([]byte(text))
}

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// sign makes a JWT of claims with HS256, which nobody here verifies.
func sign(t testing.TB, claims any, secret string) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(payload)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}
