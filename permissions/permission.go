package permissions

import (
	"time"

	"github.com/feastgo/feast/internal/sealed"
)

// Permission says who may do what with which objects: everybody whom Policy admits may do Actions with the objects
// of Types whose names match a pattern. The zero values of Types and NamePatterns are Feast's defaults; Actions and
// Policy have none here and must be given.
type Permission struct {
	Name    string
	Project string // set when read; an object that is applied goes to the store's project

	Types        []Kind            // empty: all kinds
	NamePatterns []string          // regular expressions over the whole name, Python syntax; empty: every name
	RequiredTags map[string]string // compared with the resource's tags, see the enforcer
	Actions      []Action
	Policy       Policy
	Tags         map[string]string // for people; no decision looks at them

	Created     time.Time // set by the registry; zero when never applied
	LastUpdated time.Time

	origin sealed.Origin
}

// Resource implements registry.Object.
func (p *Permission) Resource() Resource {
	return Resource{Kind: PermissionKind, Name: p.Name, Project: p.Project, Tags: p.Tags}
}

// Origin implements registry.Object, for this module only.
func (p *Permission) Origin() *sealed.Origin { return &p.origin }

// Policy decides whether a user is admitted. It is one of [RoleBased], [GroupBased], [NamespaceBased] and
// [CombinedGroupNamespace]. An empty list admits nobody. Feast's AllowAll cannot be stored and has no counterpart: a
// stored permission without a policy is read with a nil Policy and admits nobody.
type Policy interface {
	policy()
}

// RoleBased admits users who have at least one of Roles.
type RoleBased struct {
	Roles []string
}

// GroupBased admits users who are in at least one of Groups.
type GroupBased struct {
	Groups []string
}

// NamespaceBased admits users who belong to at least one of Namespaces.
type NamespaceBased struct {
	Namespaces []string
}

// CombinedGroupNamespace admits users who are in at least one of Groups or belong to at least one of Namespaces.
type CombinedGroupNamespace struct {
	Groups     []string
	Namespaces []string
}

func (RoleBased) policy()              {}
func (GroupBased) policy()             {}
func (NamespaceBased) policy()         {}
func (CombinedGroupNamespace) policy() {}
