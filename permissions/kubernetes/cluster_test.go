package kubernetes

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/permissions/auth"
)

// testCluster is a real API server with the objects of a Feast server in namespace feast and its clients in apps.
type testCluster struct {
	testserver.Cluster
	t     *testing.T
	admin kubernetes.Interface
}

func newTestCluster(t *testing.T) *testCluster {
	if os.Getenv("FEAST_TEST_FULL") == "" {
		t.Skip("FEAST_TEST_FULL is not set: make test-all asks a real API server")
	}
	c := &testCluster{Cluster: testserver.Kubernetes(t), t: t}
	c.admin = c.as(c.Token).clientset
	return c
}

// caller is a client with a token of its own.
type caller struct {
	cfg       *rest.Config
	clientset *kubernetes.Clientset
}

func (c *testCluster) as(token string) caller {
	c.t.Helper()
	cfg := &rest.Config{Host: c.URL, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: c.CA}}
	h, err := rest.HTTPClientFor(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(h.Transport) })
	clientset, err := kubernetes.NewForConfigAndClient(cfg, h)
	if err != nil {
		c.t.Fatal(err)
	}
	return caller{cfg, clientset}
}

func (c *testCluster) must(err error) {
	c.t.Helper()
	if err != nil && !apierrors.IsAlreadyExists(err) {
		c.t.Fatal(err)
	}
}

func (c *testCluster) namespace(name string) {
	_, err := c.admin.CoreV1().Namespaces().Create(c.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	c.must(err)
}

// account makes a service account and returns a token of it.
func (c *testCluster) account(namespace, name string) string {
	c.t.Helper()
	accounts := c.admin.CoreV1().ServiceAccounts(namespace)
	_, err := accounts.Create(c.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	c.must(err)
	seconds := int64(3600)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	request, err = accounts.CreateToken(c.t.Context(), name, request, metav1.CreateOptions{})
	c.must(err)
	return request.Status.Token
}

func (c *testCluster) bind(namespace, name, kind, role string, subject rbacv1.Subject) {
	_, err := c.admin.RbacV1().RoleBindings(namespace).Create(c.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role}, Subjects: []rbacv1.Subject{subject},
	}, metav1.CreateOptions{})
	c.must(err)
}

func (c *testCluster) bindCluster(name, role string, subject rbacv1.Subject) {
	_, err := c.admin.RbacV1().ClusterRoleBindings().Create(c.t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Subjects: []rbacv1.Subject{subject},
	}, metav1.CreateOptions{})
	c.must(err)
}

func accountSubject(namespace, name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
}

func named(kind, name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
}

// resign changes the claims of a token and signs it again.
func resign(t *testing.T, token string, key *ecdsa.PrivateKey, changes map[string]any) string {
	t.Helper()
	parts := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	maps.Copy(claims, changes)
	if payload, err = json.Marshal(claims); err != nil {
		t.Fatal(err)
	}
	text := parts[0] + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// A server with no more rights than it needs knows the accounts and users of a real cluster, and refuses every token that
// the cluster does.
func TestCluster(t *testing.T) {
	c := newTestCluster(t)
	for _, namespace := range []string{"feast", "apps", "home"} {
		c.namespace(namespace)
	}
	client, other, server := c.account("apps", "client"), c.account("apps", "other"), c.account("feast", "server")
	c.bind("feast", "readers", "Role", "feast-reader", accountSubject("apps", "client"))
	c.bind("feast", "writers", "ClusterRole", "feast-writer", accountSubject("apps", "client"))
	c.bind("feast", "others", "Role", "feast-other", accountSubject("feast", "client"))
	c.bind("apps", "developers", "Role", "developer", named(rbacv1.GroupKind, "developers"))
	c.bind("home", "admins", "ClusterRole", "admin", named(rbacv1.UserKind, "admin"))
	c.bindCluster("lost", "there-is-none", named(rbacv1.GroupKind, "lost"))
	_, err := c.admin.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "feast-server"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"rolebindings", "clusterrolebindings"}, Verbs: []string{"list"}},
			{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterroles"}, Verbs: []string{"get"}},
		},
	}, metav1.CreateOptions{})
	c.must(err)
	c.bindCluster("feast-server", "feast-server", accountSubject("feast", "server"))

	api, err := connect(c.as(server).cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.close() })
	var log bytes.Buffer
	a, err := newAuthenticator(api.client, Options{Namespace: "feast", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	clock := &clock{now: time.Now()}
	a.setClock(clock.Now)

	// The right to review is missing: that is no refusal of the token, and passes.
	if _, err := a.Authenticate(t.Context(), client); !errors.Is(err, feasterr.ErrUnavailable) || !strings.Contains(err.Error(), "create tokenreviews") {
		t.Fatal(err)
	}
	c.bindCluster("feast-reviews", "system:auth-delegator", accountSubject("feast", "server"))
	var u permissions.User
	eventually(t, func() error {
		u, err = a.Authenticate(t.Context(), client)
		return err
	})
	// Those of the review, those of namespace apps, and those who may see all namespaces.
	groups := []string{"developers", "system:authenticated", "system:masters", "system:serviceaccounts", "system:serviceaccounts:apps"}
	if want := (permissions.User{
		Name: "apps:client", Roles: []string{"feast-reader", "feast-writer"}, Groups: groups, Namespaces: []string{"apps"},
	}); !sameUser(u, want) {
		t.Errorf("%+v\nwant %+v", u, want)
	}
	if u, err = a.Authenticate(t.Context(), other); err != nil || !sameUser(u, permissions.User{Name: "apps:other", Groups: groups, Namespaces: []string{"apps"}}) {
		t.Errorf("%+v, %v", u, err)
	}
	// A user with a token that is no JWT.
	if u, err = a.Authenticate(t.Context(), c.Token); err != nil || u.Name != "admin" || !slices.Contains(u.Roles, "cluster-admin") ||
		!slices.Contains(u.Roles, "admin") || !slices.Equal(u.Groups, []string{"system:authenticated", "system:masters"}) ||
		!slices.Equal(u.Namespaces, []string{"home"}) {
		t.Errorf("%+v, %v", u, err)
	}

	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Hour
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	if u, err = a.Authenticate(t.Context(), resign(t, client, c.Key, map[string]any{"exp": at(2 * hour)})); err != nil || u.Name != "apps:client" {
		t.Errorf("signed as the cluster does: %+v, %v", u, err)
	}
	// The cluster does not go by the subject: nor may a server.
	if u, err = a.Authenticate(t.Context(), resign(t, other, c.Key, map[string]any{"sub": reviewed})); err != nil || u.Name != "apps:other" || len(u.Roles) > 0 {
		t.Errorf("with the subject of another: %+v, %v", u, err)
	}
	parts := strings.Split(client, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
	for name, token := range map[string]string{
		"expired":      resign(t, client, c.Key, map[string]any{"iat": at(-2 * hour), "nbf": at(-2 * hour), "exp": at(-hour)}),
		"not yet":      resign(t, client, c.Key, map[string]any{"nbf": at(hour), "exp": at(2 * hour)}),
		"foreign key":  resign(t, client, foreign, nil),
		"other issuer": resign(t, client, c.Key, map[string]any{"iss": "https://elsewhere"}),
		"for others":   resign(t, client, c.Key, map[string]any{"aud": []string{"https://elsewhere"}}),
		"no such":      resign(t, client, c.Key, map[string]any{"sub": "system:serviceaccount:apps:gone", "kubernetes.io": map[string]any{"namespace": "apps", "serviceaccount": map[string]any{"name": "gone", "uid": "1"}}}),
		"unsigned":     none,
		"cut":          client[:len(client)-8],
		"opaque":       "opaque",
	} {
		if u, err := a.Authenticate(t.Context(), token); !errors.Is(err, feasterr.ErrUnauthenticated) || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	if log.Len() > 0 {
		t.Error(log.String())
	}

	r := newReviewer(api.client)
	defer r.Close()
	if name, groups, err := r.Review(t.Context(), client); err != nil || name != "system:serviceaccount:apps:client" || !slices.Contains(groups, "system:serviceaccounts:apps") {
		t.Errorf("%s, %q, %v", name, groups, err)
	}
	if name, _, err := r.Review(t.Context(), "opaque"); !errors.Is(err, feasterr.ErrUnauthenticated) {
		t.Errorf("%s, %v", name, err)
	}

	// A role that is taken away is gone when what is known is too old.
	c.must(c.admin.RbacV1().RoleBindings("feast").Delete(t.Context(), "readers", metav1.DeleteOptions{}))
	eventually(t, func() error {
		clock.Add(kept)
		u, err = a.Authenticate(t.Context(), client)
		if err == nil && !slices.Equal(u.Roles, []string{"feast-writer"}) {
			err = errors.New("roles " + strings.Join(u.Roles, ", "))
		}
		return err
	})
	// So is an account; the API remembers its tokens for some seconds.
	c.must(c.admin.CoreV1().ServiceAccounts("apps").Delete(t.Context(), "client", metav1.DeleteOptions{}))
	eventually(t, func() error {
		clock.Add(kept)
		u, err := a.Authenticate(t.Context(), client)
		if errors.Is(err, feasterr.ErrUnauthenticated) {
			return nil
		}
		return errors.Join(errors.New("still "+u.Name), err)
	})
}

// A server that may list nothing beyond its namespace still gives roles; what it lacks it logs.
func TestClusterLeastRights(t *testing.T) {
	c := newTestCluster(t)
	c.namespace("least")
	c.namespace("apps")
	client, server := c.account("apps", "least"), c.account("least", "server")
	_, err := c.admin.RbacV1().Roles("least").Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "feast-server"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"rolebindings"}, Verbs: []string{"list"}}},
	}, metav1.CreateOptions{})
	c.must(err)
	c.bind("least", "server", "Role", "feast-server", accountSubject("least", "server"))
	c.bind("least", "readers", "Role", "feast-reader", accountSubject("apps", "least"))
	c.bindCluster("least-reviews", "system:auth-delegator", accountSubject("least", "server"))
	var log bytes.Buffer
	a, err := NewAuthenticator(c.as(server).clientset, Options{Namespace: "least", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var u permissions.User
	eventually(t, func() error {
		u, err = a.Authenticate(t.Context(), client)
		return err
	})
	want := permissions.User{
		Name: "apps:least", Roles: []string{"feast-reader"}, Namespaces: []string{"apps"},
		Groups: []string{"system:authenticated", "system:serviceaccounts", "system:serviceaccounts:apps"},
	}
	if !sameUser(u, want) || !strings.Contains(log.String(), "list rolebindings of namespace apps") {
		t.Errorf("%+v\n%s", u, log.String())
	}
}

// A client goes on with the token that the cluster has put into the place of the old one.
func TestClusterRotation(t *testing.T) {
	c := newTestCluster(t)
	c.namespace("apps")
	file := filepath.Join(t.TempDir(), "token")
	s, err := newTokenSource(config.NewSection("kubernetes", nil), auth.Env{Getenv: func(string) string { return "" }}, file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewAuthenticator(c.admin, Options{Namespace: "feast"})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	seen := map[string]bool{}
	for _, name := range []string{"first", "second"} {
		write(t, file+".new", c.account("apps", name))
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		token, err := s.Token(t.Context())
		if err != nil || seen[token] {
			t.Fatalf("the same token, %v", err)
		}
		seen[token] = true
		if u, err := a.Authenticate(t.Context(), token); err != nil || u.Name != "apps:"+name {
			t.Errorf("%+v, %v", u, err)
		}
	}
}

// eventually asks until there is no error: an API server sees changes of rights and accounts a moment later.
func eventually(t *testing.T, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}
