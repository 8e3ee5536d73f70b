package interop_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/internal/testserver/idp"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/permissions/auth"
	feastkubernetes "github.com/feastgo/feast/permissions/kubernetes"
	"github.com/feastgo/feast/permissions/oidc"
	"github.com/feastgo/feast/remote/server"
)

// cluster is an API server with the service accounts of clients and of a Feast server.
type cluster struct {
	testserver.Cluster
	t         *testing.T
	clientset *kubernetes.Clientset
}

func newCluster(t *testing.T) *cluster {
	useFeast(t)
	if os.Getenv("FEAST_TEST_FULL") == "" {
		t.Skip("FEAST_TEST_FULL is not set: make interop-all asks a real API server")
	}
	c := &cluster{testserver.Kubernetes(t), t, nil}
	cfg := &rest.Config{Host: c.URL, BearerToken: c.Token, TLSClientConfig: rest.TLSClientConfig{CAData: c.CA}}
	h, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(h.Transport) })
	if c.clientset, err = kubernetes.NewForConfigAndClient(cfg, h); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) namespace(name string) {
	c.t.Helper()
	_, err := c.clientset.CoreV1().Namespaces().Create(c.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	c.must(err)
}

// account makes a service account, which has the roles in a namespace, and returns a token of it.
func (c *cluster) account(namespace, name, in string, roles ...string) string {
	c.t.Helper()
	accounts := c.clientset.CoreV1().ServiceAccounts(namespace)
	_, err := accounts.Create(c.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	c.must(err)
	for _, role := range roles {
		_, err := c.clientset.RbacV1().RoleBindings(in).Create(c.t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name + "-" + role}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
		}, metav1.CreateOptions{})
		c.must(err)
	}
	request, err := accounts.CreateToken(c.t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	c.must(err)
	return request.Status.Token
}

// pod makes what a server of Feast finds in a pod of a namespace with a service account: the variables of its environment, and a
// command that gives it the files.
func (c *cluster) pod(namespace, token string) (variables, command []string) {
	c.t.Helper()
	u, err := url.Parse(c.URL)
	c.must(err)
	dir := c.t.TempDir()
	for name, content := range map[string][]byte{"token": []byte(token), "namespace": []byte(namespace), "ca.crt": c.CA} {
		c.must(os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	// Where the files have to be is the same for all programs: the server gets a /run of its own.
	const script = `mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io/serviceaccount &&
		cp "$0"/* /run/secrets/kubernetes.io/serviceaccount && exec "$@"`
	command = []string{"unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, dir}
	if out, err := exec.CommandContext(c.t.Context(), command[0], append(command[1:], "test", "-e", "/var/run/secrets/kubernetes.io/serviceaccount/token")...).CombinedOutput(); err != nil {
		c.t.Fatalf("a server of Feast needs a mount namespace: %v: %s", err, out)
	}
	return []string{"KUBERNETES_SERVICE_HOST=" + u.Hostname(), "KUBERNETES_SERVICE_PORT=" + u.Port()}, command
}

// TestServiceAccounts has clients of Feast and of this library call the servers of both with tokens of service accounts, which
// servers of type kubernetes know by their roles, and servers of type oidc by their namespaces.
func TestServiceAccounts(t *testing.T) {
	c := newCluster(t)
	for _, namespace := range []string{"feast", "apps", "feeds"} {
		c.namespace(namespace)
	}
	tokens := map[string]string{
		"reader": c.account("apps", "trainer", "feast", "reader"), "writer": c.account("apps", "loader", "feast", "writer"),
		"stranger": c.account("apps", "stranger", "apps", "reader", "writer", "admin"), "admin": c.account("apps", "boss", "feast", "admin"),
		"feeds": c.account("feeds", "app", ""), "opaque": "opaque",
	}
	own := c.account("feast", "server", "")
	_, err := c.clientset.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "feast"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "feast", Name: "server"}},
	}, metav1.CreateOptions{})
	c.must(err)
	variables, command := c.pod("feast", own)
	feeds := &permissions.Permission{
		Name: "feeds", NamePatterns: []string{"hidden|driver"}, Actions: []permissions.Action{permissions.Describe, permissions.ReadOnline},
		Policy: permissions.NamespaceBased{Namespaces: []string{"feeds"}},
	}
	start := func(section string, a auth.Authenticator) (theirs, ours *repo, atFeast, here servers) {
		theirs, fs := newGuardedRepo(t, section)
		theirs.apply(fs, feeds)
		theirs.variables, theirs.command = variables, command
		ours, fs = newGuardedRepo(t, section)
		ours.apply(fs, feeds)
		t.Cleanup(func() {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
		o := server.Options{Authenticator: a}
		here = servers{ourFeatures(t, fs, o), ourRegistry(t, fs, o), ourOffline(t, fs, o)}
		return theirs, ours, servers{theirs.serveFeatures(""), theirs.serveRegistry(""), theirs.serveOffline("")}, here
	}

	t.Run("kubernetes", func(t *testing.T) {
		a, err := feastkubernetes.NewAuthenticator(c.clientset, feastkubernetes.Options{Namespace: "feast"})
		c.must(err)
		theirs, ours, atFeast, here := start("auth: {type: kubernetes}", a)
		section := func(name string) string {
			if tokens[name] == "" {
				return ""
			}
			return fmt.Sprintf("auth: {type: kubernetes, user_token: %q}", tokens[name])
		}
		testDeeds(t, theirs, ours, atFeast, here, []string{"reader", "writer", "stranger", "admin", "opaque", "nobody"}, section)
		testFeeds(t, theirs, ours, atFeast, here, section("feeds"))

		// Feast's server lets in whoever claims to be a service account (docs/compatibility.md, line 16).
		parts := strings.Split(tokens["admin"], ".")
		forged := newCaller(t, ours.project, here, filepath.Join(ours.dir, "data/registry.db"),
			"auth: {type: kubernetes, user_token: "+parts[0]+"."+parts[1]+"."+strings.Repeat("A", len(parts[2]))+"}")
		if a, b := outcome(readOnline("stats", "").python(forged)), outcome(readOnline("stats", "").golang(forged)); a != "RuntimeError" || b != "unauthenticated" {
			t.Errorf("a forged token: %q in Feast, %q in Go", a, b)
		}
	})
	t.Run("oidc", func(t *testing.T) {
		p := idp.Start(t)
		v, err := oidc.NewVerifier(oidc.VerifierOptions{DiscoveryURL: p.Discovery, Reviewer: func() (auth.Reviewer, error) {
			return feastkubernetes.NewReviewer(c.clientset)
		}})
		c.must(err)
		theirs, ours, atFeast, here := start(fmt.Sprintf("auth: {type: oidc, auth_discovery_url: %q}", p.Discovery), v)
		testFeeds(t, theirs, ours, atFeast, here, "auth: {type: oidc, token: "+tokens["feeds"]+"}")
		// Roles are none of theirs.
		for name, at := range map[string]servers{"Feast's": atFeast, "our": here} {
			r := map[string]*repo{"Feast's": theirs, "our": ours}[name]
			admin := newCaller(t, r.project, at, filepath.Join(r.dir, "data/registry.db"), "auth: {type: oidc, token: "+tokens["admin"]+"}")
			if a, b := outcome(readOnline("stats", "").python(admin)), outcome(readOnline("stats", "").golang(admin)); a != "FeastPermissionError" || b != "denied" {
				t.Errorf("an account with roles at %s servers: %q in Feast, %q in Go", name, a, b)
			}
		}
	})
}

// testFeeds is what namespace feeds may.
func testFeeds(t *testing.T, theirs, ours *repo, atFeast, here servers, section string) {
	t.Helper()
	for name, at := range map[string]servers{"Feast's": atFeast, "our": here} {
		r := map[string]*repo{"Feast's": theirs, "our": ours}[name]
		c := newCaller(t, r.project, at, fmt.Sprintf("{registry_type: remote, path: %q}", at.registry), section)
		for _, a := range []act{get("hidden"), readOnline("hidden", ""), list("hidden")} {
			if err := errors.Join(a.python(c), a.golang(c)); err != nil {
				t.Errorf("%s servers: %v", name, err)
			}
		}
		for _, a := range []act{get("stats"), readOffline("hidden"), writeOnline("hidden"), apply("made_by_feeds", nil)} {
			in, out := outcome(a.python(c)), outcome(a.golang(c))
			if in != "FeastPermissionError" || !slices.Contains([]string{"denied", "not found"}, out) {
				t.Errorf("%s servers: %q in Feast, %q in Go", name, in, out)
			}
		}
	}
}
