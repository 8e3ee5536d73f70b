// Package kubernetes is the type kubernetes of the auth section: clients send the token of their service account, and
// servers ask the API of the cluster whose a token is and which roles, groups and namespaces its owner has. Importing it is
// enough for feature_store.yaml; [NewAuthenticator] and [NewReviewer] are for programs with a client of their own. It also
// reviews the tokens of service accounts that servers of type oidc accept.
//
// Whose a token is, TokenReview alone decides (docs/compatibility.md, line 16). What is found out about a token is kept for
// half a minute, but not beyond the time at which it expires, so a change of role bindings, or a deleted service account,
// shows after that time at the latest.
package kubernetes

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions/auth"
)

const (
	kept        = 30 * time.Second // how long an answer of the API is used
	refusedFor  = 5 * time.Second  // the same of a refusal, which may be for a fault of what the API asks in its turn
	patience    = 10 * time.Second // how long the API may take for a token, or a list
	maxTokens   = 4096             // how many tokens are remembered
	maxLists    = 256              // of how many namespaces the role bindings are
	maxAnswer   = 32 << 20         // bytes of an answer of the API, uncompressed
	pageSize    = 500              // role bindings of an answer
	maxBindings = 1 << 20          // role bindings of a list
)

func init() {
	auth.Register(auth.Driver{
		Name: "kubernetes",
		TokenSource: func(cfg config.Section, env auth.Env) (config.TokenSource, error) {
			return newTokenSource(cfg, env, auth.ServiceAccount+"token")
		},
		Authenticator: func(cfg config.Section, env auth.Env) (auth.Authenticator, error) {
			if _, err := decode(cfg); err != nil {
				return nil, err
			}
			c, err := inCluster()
			if err != nil {
				return nil, err
			}
			namespace, err := readNamespace(auth.ServiceAccount + "namespace")
			if err != nil {
				return nil, errors.Join(err, c.close())
			}
			a, err := newAuthenticator(c.client, Options{Namespace: namespace, Intra: env.Getenv(auth.IntraVariable), Logger: env.Logger})
			if err != nil {
				return nil, errors.Join(err, c.close())
			}
			a.setClock(env.Now)
			a.closing = c.close
			return a, nil
		},
	})
	auth.RegisterReviewer(func(env auth.Env) (auth.Reviewer, error) {
		c, err := inCluster()
		if err != nil {
			return nil, err
		}
		r := newReviewer(c.client)
		r.answers.now = env.Now
		r.closing = c.close
		return r, nil
	})
}

// section are the keys of the auth section. As in Feast, others are no error.
type section struct {
	UserToken string   `yaml:"user_token,nullable"`
	_         struct{} `yaml:",inline"`
}

func decode(cfg config.Section) (section, error) {
	var s section
	err := cfg.Decode(&s)
	return s, err
}

// Clientset is what is asked of a cluster: a kubernetes.Interface of client-go, and all that has its methods. It is put so
// that programs do not link it with this package, which it would make three times as large. Answers and calls are bounded by
// whoever makes it: here each question has a deadline, nothing more. The fakes of client-go do not serve, since they answer
// no REST client.
type Clientset[A, R Group] interface {
	AuthenticationV1() A
	RbacV1() R
}

// Group is a client for a group of the API.
type Group interface {
	RESTClient() rest.Interface
}

// Options are what an [Authenticator] has to know besides the cluster.
type Options struct {
	// Namespace is where the role bindings are that give service accounts their roles: that of the server, in Feast.
	Namespace string
	// Intra is the name that servers call each other by without a token that could be verified, the value of
	// [auth.IntraVariable]; empty: there is none. It is a secret.
	Intra string `json:"-"`
	// Logger is told what the server may not ask the cluster; nil: nobody is.
	Logger *slog.Logger
}

// Format implements [fmt.Formatter]: options have a secret, which is not shown.
func (o Options) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "kubernetes.Options") }

// LogValue implements [slog.LogValuer], as Format.
func (o Options) LogValue() slog.Value { return slog.StringValue("kubernetes.Options") }

// client asks the API of a cluster.
type client struct {
	authentication, rbac rest.Interface
}

func clientOf[A, R Group](c Clientset[A, R]) (client, error) {
	out := client{authentication: c.AuthenticationV1().RESTClient(), rbac: c.RbacV1().RESTClient()}
	for _, r := range []rest.Interface{out.authentication, out.rbac} {
		if r, isReal := r.(*rest.RESTClient); isReal && r == nil {
			return client{}, feasterr.Invalid("auth: %T is a fake clientset, which has no REST client: give one that calls a server", c)
		}
	}
	return out, nil
}

// cluster is the API of the cluster in which the program runs.
type cluster struct {
	client
	transport http.RoundTripper
}

func (c *cluster) close() error {
	utilnet.CloseIdleConnectionsFor(c.transport)
	return nil
}

// codecs knows the messages that are sent and received.
var codecs = sync.OnceValue(func() serializer.CodecFactory {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // errors
	utilruntime.Must(authenticationv1.AddToScheme(scheme))
	utilruntime.Must(rbacv1.AddToScheme(scheme))
	return serializer.NewCodecFactory(scheme)
})

func inCluster() (*cluster, error) {
	cfg, err := rest.InClusterConfig()
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, feasterr.Unsupported("auth: tokens of Kubernetes are verified by the API of the cluster, and this program runs in none: " +
			"KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set. Elsewhere, give the server kubernetes.NewAuthenticator with a client of its own")
	case err != nil:
		return nil, feasterr.Invalid("auth: the pod has no token to ask the API of the cluster with, is automountServiceAccountToken off? %w", err)
	}
	return connect(cfg)
}

// connect makes a client. Nothing is sent before the first question.
func connect(cfg *rest.Config) (*cluster, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1                           // the cache bounds how often it is asked; a limit would make tokens wait for each other
	cfg.WarningHandler = rest.NoWarnings{} // which are printed otherwise
	cfg.UserAgent = "feast-go"
	cfg.Wrap(func(rt http.RoundTripper) http.RoundTripper { return bounded{rt} })
	h, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, feasterr.Invalid("auth: the API of the cluster: %w", err)
	}
	c := &cluster{transport: h.Transport}
	cfg.APIPath = "/apis"
	cfg.NegotiatedSerializer = codecs().WithoutConversion()
	var errs [2]error
	c.authentication, errs[0] = group(cfg, authenticationv1.SchemeGroupVersion, h)
	c.rbac, errs[1] = group(cfg, rbacv1.SchemeGroupVersion, h)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, feasterr.Invalid("auth: the API of the cluster: %w", err)
	}
	return c, nil
}

func group(cfg *rest.Config, version schema.GroupVersion, h *http.Client) (rest.Interface, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.GroupVersion = &version
	return rest.RESTClientForConfigAndClient(cfg, h)
}

// bounded has answers end with an error where they are too long.
type bounded struct{ http.RoundTripper }

// WrappedRoundTripper lets client-go find what holds the connections.
func (b bounded) WrappedRoundTripper() http.RoundTripper { return b.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	}
	return resp, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the answer is larger than 32 MB")
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// readNamespace returns the namespace of the pod.
func readNamespace(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", feasterr.Invalid("auth: the namespace of this server, whose role bindings give roles, is not known: %w", err)
	}
	namespace := strings.TrimSpace(string(data))
	if namespace == "" {
		return "", feasterr.Invalid("auth: %s, which names the namespace of this server, is empty", file)
	}
	return namespace, nil
}
