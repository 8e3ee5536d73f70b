package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/feastgo/feast/feasterr"
)

// rbac knows the role bindings of a cluster. Lists are shared by all tokens and kept as these are.
type rbac struct {
	client client
	logger *slog.Logger
	now    func() time.Time

	lists  *cache[string, []binding]
	grants *cache[struct{}, []grant]
}

// Keys of lists that are not those of a namespace.
const (
	allNamespaces = ""
	clusterWide   = "/"
)

// binding is what decisions need of a RoleBinding or ClusterRoleBinding.
type binding struct {
	namespace string
	role      string
	project   bool // its users belong to the namespace
	subjects  []rbacv1.Subject
}

// grant says that groups can see namespaces: all, or those of the names.
type grant struct {
	groups []string
	all    bool
	names  []string
}

func newRBAC(c client, logger *slog.Logger) *rbac {
	return &rbac{
		client: c, logger: logger, now: time.Now,
		lists: newCache[string, []binding](maxLists), grants: newCache[struct{}, []grant](1),
	}
}

func (r *rbac) close() {
	r.grants.close() // which asks for lists
	r.lists.close()
}

// until is the earliest time to which what was put together of answers holds.
type until struct{ time.Time }

func (u *until) atMost(t time.Time) {
	if u.IsZero() || t.Before(u.Time) {
		u.Time = t
	}
}

// accountRoles returns the roles that a service account has by the bindings of a namespace.
func (r *rbac) accountRoles(ctx context.Context, in, namespace, name string, holds *until) ([]string, error) {
	bindings, err := r.list(ctx, in, holds)
	if err != nil {
		return nil, err
	}
	return rolesOf(bindings, func(s *rbacv1.Subject) bool {
		return s.Kind == rbacv1.ServiceAccountKind && s.Name == name && s.Namespace == namespace
	}), nil
}

// userRoles returns the roles that a user has, by name or by a group, by the bindings of all namespaces and of the cluster.
// What the server may not read gives none, as in Feast.
func (r *rbac) userRoles(ctx context.Context, name string, groups []string, holds *until) ([]string, error) {
	var roles []string
	for _, in := range []string{allNamespaces, clusterWide} {
		bindings, err := r.list(ctx, in, holds)
		if isForbidden(err) {
			break
		}
		if err != nil {
			return nil, err
		}
		roles = append(roles, rolesOf(bindings, func(s *rbacv1.Subject) bool {
			return s.Kind == rbacv1.UserKind && s.Name == name || s.Kind == rbacv1.GroupKind && slices.Contains(groups, s.Name)
		})...)
	}
	return sorted(roles), nil
}

// projects returns the namespaces that a user is at home in: by a binding of the dashboard of Open Data Hub, or one of the
// cluster role admin.
func (r *rbac) projects(ctx context.Context, name string, holds *until) ([]string, error) {
	bindings, err := r.list(ctx, allNamespaces, holds)
	if isForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var namespaces []string
	for _, b := range bindings {
		if b.project && slices.ContainsFunc(b.subjects, func(s rbacv1.Subject) bool { return s.Kind == rbacv1.UserKind && s.Name == name }) {
			namespaces = append(namespaces, b.namespace)
		}
	}
	return namespaces, nil
}

// groupsIn returns the groups that can see a namespace, which Feast counts as those of its service accounts: the ones of its
// role bindings, and those that the cluster lets read namespaces.
func (r *rbac) groupsIn(ctx context.Context, namespace string, holds *until) ([]string, error) {
	bindings, err := r.list(ctx, namespace, holds)
	if isForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var groups []string
	for _, b := range bindings {
		groups = append(groups, groupsOf(b.subjects)...)
	}
	got := r.grants.get(ctx, struct{}{}, r.askGrants)
	holds.atMost(got.until)
	if isForbidden(got.err) {
		return groups, nil
	}
	for _, g := range got.value {
		if g.all || slices.Contains(g.names, namespace) {
			groups = append(groups, g.groups...)
		}
	}
	return groups, got.err
}

// isForbidden reports whether the server may not know.
func isForbidden(err error) bool {
	_, ok := errors.AsType[*forbiddenError](err)
	return ok
}

// tell logs that the server may not know.
func (r *rbac) tell(ctx context.Context, err error) {
	r.logger.WarnContext(ctx, "roles, groups or namespaces of callers cannot be read", "error", err)
}

// list returns the bindings of a namespace, or of one of the keys.
func (r *rbac) list(ctx context.Context, in string, holds *until) ([]binding, error) {
	got := r.lists.get(ctx, in, func(ctx context.Context) answer[[]binding] {
		asked := r.now()
		bindings, err := r.askList(ctx, in)
		switch {
		case err == nil:
		case isForbidden(err): // an answer as well
			r.tell(ctx, err)
		default:
			return answer[[]binding]{err: err}
		}
		return answer[[]binding]{bindings, err, asked.Add(kept)}
	})
	holds.atMost(got.until)
	return got.value, got.err
}

func (r *rbac) askList(ctx context.Context, in string) ([]binding, error) {
	kind := "rolebindings"
	switch in {
	case allNamespaces:
		kind += " of all namespaces"
	case clusterWide:
		kind = "clusterrolebindings"
	default:
		kind = fmt.Sprintf("rolebindings of namespace %s", in)
	}
	var out []binding
	for next := ""; ; {
		q := r.client.rbac.Get().Param("limit", strconv.Itoa(pageSize))
		if next != "" {
			q.Param("continue", next)
		}
		var err error
		if in == clusterWide {
			var l rbacv1.ClusterRoleBindingList
			err = q.Resource("clusterrolebindings").Do(ctx).Into(&l)
			for _, b := range l.Items {
				out = append(out, binding{role: b.RoleRef.Name, subjects: b.Subjects})
			}
			next = l.Continue
		} else {
			var l rbacv1.RoleBindingList
			err = q.Namespace(in).Resource("rolebindings").Do(ctx).Into(&l)
			for i := range l.Items {
				out = append(out, ofRoleBinding(&l.Items[i]))
			}
			next = l.Continue
		}
		if err != nil {
			return nil, unanswered("list the "+kind, "list "+kind+" (rbac.authorization.k8s.io)", "", err)
		}
		if next == "" {
			return out, nil
		}
		if len(out) > maxBindings {
			return nil, feasterr.Unavailable("the API of the cluster lists more than %d %s", maxBindings, kind)
		}
	}
}

func ofRoleBinding(b *rbacv1.RoleBinding) binding {
	dashboard := strings.HasPrefix(b.Name, "dashboard-permissions-") && b.Labels["opendatahub.io/dashboard"] == "true"
	return binding{
		namespace: b.Namespace, role: b.RoleRef.Name, subjects: b.Subjects,
		project: dashboard || b.RoleRef.Kind == "ClusterRole" && b.RoleRef.Name == "admin",
	}
}

// askGrants reads the cluster roles that groups have. One that is not there, or that the server may not read, grants nothing.
func (r *rbac) askGrants(ctx context.Context) answer[[]grant] {
	var holds until
	holds.atMost(r.now().Add(kept))
	bindings, err := r.list(ctx, clusterWide, &holds)
	if err != nil {
		return answer[[]grant]{err: err, until: holds.Time}
	}
	byRole := map[string][]string{}
	for _, b := range bindings {
		if groups := groupsOf(b.subjects); len(groups) > 0 && b.role != "" && len(content.IsPathSegmentName(b.role)) == 0 {
			byRole[b.role] = append(byRole[b.role], groups...)
		}
	}
	var grants []grant
	for role, groups := range byRole {
		var found rbacv1.ClusterRole
		err := r.client.rbac.Get().Resource("clusterroles").Name(role).Do(ctx).Into(&found)
		switch {
		case err == nil:
			g := grantOf(found.Rules)
			g.groups = groups
			grants = append(grants, g)
		case apierrors.IsNotFound(err):
		default:
			err = unanswered("show cluster role "+role, "get clusterroles (rbac.authorization.k8s.io)", "", err)
			if !isForbidden(err) {
				return answer[[]grant]{err: err}
			}
			r.tell(ctx, err)
		}
	}
	return answer[[]grant]{value: grants, until: holds.Time}
}

func grantOf(rules []rbacv1.PolicyRule) grant {
	var g grant
	for _, rule := range rules {
		in := func(list []string, names ...string) bool {
			return slices.ContainsFunc(list, func(s string) bool { return slices.Contains(names, s) })
		}
		if in(rule.Resources, "namespaces", "*") && in(rule.Verbs, "get", "list", "*") {
			g.all = true
		}
		g.names = append(g.names, rule.ResourceNames...)
	}
	return g
}

func rolesOf(bindings []binding, has func(*rbacv1.Subject) bool) []string {
	var roles []string
	for _, b := range bindings {
		for i := range b.subjects {
			if has(&b.subjects[i]) {
				roles = append(roles, b.role)
				break
			}
		}
	}
	return sorted(roles)
}

func groupsOf(subjects []rbacv1.Subject) []string {
	var groups []string
	for _, s := range subjects {
		if s.Kind == rbacv1.GroupKind {
			groups = append(groups, s.Name)
		}
	}
	return groups
}

// sorted sorts a list, and drops what is there twice.
func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
