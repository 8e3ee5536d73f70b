package kubernetes

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
)

const (
	accountPrefix       = "system:serviceaccount:"
	accountGroupsPrefix = "system:serviceaccounts:"
)

// Authenticator is an [auth.Authenticator]: callers are the users and service accounts of a cluster. It is safe for
// concurrent use.
//
// A service account is known as NAMESPACE:NAME, by the name of the review, and has the roles that role bindings of the server's namespace give it; its
// groups are those of the review and, as in Feast, those that can see its namespace. Any other user has the name of the
// review, the roles of all role bindings and cluster role bindings, by name or group, and the namespaces whose admin it is.
//
// The clientset needs the right to create tokenreviews and to list rolebindings of the server's namespace. Without the right to
// list rolebindings of other namespaces and clusterrolebindings, and to get clusterroles, callers lack the groups, namespaces
// and roles that these would give them. That, and what else the API refuses the server, is logged.
type Authenticator struct {
	client    client
	namespace string
	intra     string
	users     *cache[[sha256.Size]byte, permissions.User]
	rbac      *rbac
	closing   func() error // nil: the clientset is not its own
}

// NewAuthenticator makes an authenticator that asks through a clientset, which Close leaves as it is:
//
//	clientset, err := kubernetes.NewForConfig(cfg) // of k8s.io/client-go
//	a := feastkubernetes.NewAuthenticator(clientset, feastkubernetes.Options{Namespace: "feast"})
func NewAuthenticator[A, R Group](c Clientset[A, R], o Options) (*Authenticator, error) {
	asked, err := clientOf(c)
	if err != nil {
		return nil, err
	}
	return newAuthenticator(asked, o)
}

func newAuthenticator(c client, o Options) (*Authenticator, error) {
	if len(content.IsPathSegmentName(o.Namespace)) > 0 || o.Namespace == "" { // which would stand for all of them
		return nil, feasterr.Invalid("auth: %q is not the name of a namespace", o.Namespace)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Authenticator{
		client: c, namespace: o.Namespace, intra: o.Intra,
		users: newCache[[sha256.Size]byte, permissions.User](maxTokens), rbac: newRBAC(c, o.Logger),
	}, nil
}

// Format implements [fmt.Formatter]: an authenticator has a secret, which is not shown.
func (a *Authenticator) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "kubernetes.Authenticator")
}

// LogValue implements [slog.LogValuer], as Format.
func (a *Authenticator) LogValue() slog.Value { return slog.StringValue("kubernetes.Authenticator") }

func (a *Authenticator) setClock(now func() time.Time) {
	a.users.now, a.rbac.now, a.rbac.lists.now, a.rbac.grants.now = now, now, now, now
}

// Authenticate implements [auth.Authenticator]. The user's lists are sorted and must not be modified.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (permissions.User, error) {
	if err := fits(token); err != nil {
		return permissions.User{}, err
	}
	key := sha256.Sum256([]byte(token))
	if got, ok := a.users.known(key); ok {
		return got.value, got.err
	}
	got := a.users.get(ctx, key, func(ctx context.Context) answer[permissions.User] {
		asked := a.users.now()
		c, _ := readClaims(token)
		if c.isIntra(a.intra) {
			return answer[permissions.User]{value: permissions.User{Name: a.intra}, until: asked.Add(kept)}
		}
		who, err := review(ctx, a.client, token)
		holds := until{reviewedUntil(asked, c, err)}
		if err != nil {
			return answer[permissions.User]{err: err, until: holds.Time}
		}
		u, err := a.user(ctx, who, &holds)
		if err != nil {
			return answer[permissions.User]{err: err}
		}
		return answer[permissions.User]{value: u, until: holds.Time}
	})
	return got.value, got.err
}

// Close ends the questions that are under way.
func (a *Authenticator) Close() error {
	a.users.close() // which asks for the rest
	a.rbac.close()
	if a.closing != nil {
		return a.closing()
	}
	return nil
}

// user puts together what the cluster knows of the owner of a reviewed token.
func (a *Authenticator) user(ctx context.Context, who identity, holds *until) (u permissions.User, err error) {
	u = permissions.User{Name: who.name, Groups: slices.Clone(who.groups)}
	namespace, account, isAccount := "", "", false
	if rest, ok := strings.CutPrefix(who.name, accountPrefix); ok {
		namespace, account, isAccount = strings.Cut(rest, ":")
		isAccount = isAccount && namespace != "" && len(content.IsPathSegmentName(namespace)) == 0
	} else if u.Namespaces, err = a.rbac.projects(ctx, who.name, holds); err != nil {
		return permissions.User{}, err
	}
	if isAccount {
		u.Name = namespace + ":" + account
		u.Namespaces = []string{namespace}
		groups, err := a.rbac.groupsIn(ctx, namespace, holds)
		if err != nil {
			return permissions.User{}, err
		}
		u.Groups = append(u.Groups, groups...)
	}
	for _, group := range u.Groups {
		if rest, ok := strings.CutPrefix(group, accountGroupsPrefix); ok {
			in, _, _ := strings.Cut(rest, ":")
			u.Namespaces = append(u.Namespaces, in)
		}
	}
	u.Groups, u.Namespaces = sorted(u.Groups), sorted(u.Namespaces)
	if isAccount {
		u.Roles, err = a.rbac.accountRoles(ctx, a.namespace, namespace, account, holds)
	} else {
		u.Roles, err = a.rbac.userRoles(ctx, who.name, u.Groups, holds)
	}
	return u, err
}
