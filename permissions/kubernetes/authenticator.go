package kubernetes

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/feastgo/feast/permissions"
)

const (
	accountPrefix       = "system:serviceaccount:"
	accountGroupsPrefix = "system:serviceaccounts:"
)

// Authenticator is an [auth.Authenticator]: callers are the users and service accounts of a cluster. It is safe for
// concurrent use.
//
// A service account is known as NAMESPACE:NAME and has the roles that role bindings of the server's namespace give it; its
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
func NewAuthenticator[A, R Group](c Clientset[A, R], o Options) *Authenticator {
	return newAuthenticator(clientOf(c), o)
}

func newAuthenticator(c client, o Options) *Authenticator {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Authenticator{
		client: c, namespace: o.Namespace, intra: o.Intra,
		users: newCache[[sha256.Size]byte, permissions.User](maxTokens), rbac: newRBAC(c, o.Logger),
	}
}

func (a *Authenticator) setClock(now func() time.Time) {
	a.users.now, a.rbac.now, a.rbac.lists.now, a.rbac.grants.now = now, now, now, now
}

// Authenticate implements [auth.Authenticator]. The user's lists are sorted.
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
		u, err := a.user(ctx, who, c, &holds)
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
func (a *Authenticator) user(ctx context.Context, who identity, c claims, holds *until) (permissions.User, error) {
	u := permissions.User{Name: who.name, Groups: slices.Clone(who.groups)}
	account := strings.HasPrefix(who.name, accountPrefix)
	switch parts := strings.SplitN(who.name, ":", 4); {
	case account && len(parts) == 4:
		u.Namespaces = append(u.Namespaces, parts[2])
		groups, err := a.rbac.groupsIn(ctx, parts[2], holds)
		if err != nil {
			return permissions.User{}, err
		}
		u.Groups = append(u.Groups, groups...)
	case !account:
		namespaces, err := a.rbac.projects(ctx, who.name, holds)
		if err != nil {
			return permissions.User{}, err
		}
		u.Namespaces = append(u.Namespaces, namespaces...)
	}
	for _, group := range u.Groups {
		if rest, ok := strings.CutPrefix(group, accountGroupsPrefix); ok {
			namespace, _, _ := strings.Cut(rest, ":")
			u.Namespaces = append(u.Namespaces, namespace)
		}
	}
	u.Groups, u.Namespaces = sorted(u.Groups), sorted(u.Namespaces)

	// A token that speaks of an account has its roles only if the cluster speaks of the same.
	var err error
	if namespace, name, ok := c.account(); ok && account && c.subject == who.name {
		u.Name = namespace + ":" + name
		u.Roles, err = a.rbac.accountRoles(ctx, a.namespace, namespace, name, holds)
	} else {
		u.Roles, err = a.rbac.userRoles(ctx, who.name, u.Groups, holds)
	}
	return u, err
}
