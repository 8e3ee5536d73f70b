package permissions

import (
	"maps"
	"slices"
)

// Report says what permissions leave uncovered, and what each role may do.
type Report struct {
	Gaps     []Gap       // resources of which some action is nobody's, in the order given
	Roles    []RoleGrant // roles by name, for each the resources in the order given
	Problems []error     // see [Enforcer.Problems]
}

// Gap is a resource with actions that no permission holds which covers it.
type Gap struct {
	Resource Resource
	Covered  bool // some permission covers the resource
	Actions  []Action
}

// RoleGrant is what a user may do with a resource who has one role and nothing else.
type RoleGrant struct {
	Role     string
	Resource Resource
	Actions  []Action // none: nothing
}

// Report answers what Feast's "permissions check" and "permissions list-roles" print, for the resources. A resource that
// no decision can be made about, for a pattern that cannot be used, is a gap.
func (e *Enforcer) Report(resources []Resource) Report {
	report := Report{Problems: e.Problems()}
	for _, r := range resources {
		covering, _ := e.Covering(r) // the error is among the problems, or denies
		gap := Gap{Resource: r, Covered: len(covering) > 0}
		for _, a := range AllActions() {
			if !slices.ContainsFunc(covering, func(p *Permission) bool { return slices.Contains(p.Actions, a) }) {
				gap.Actions = append(gap.Actions, a)
			}
		}
		if len(gap.Actions) > 0 {
			report.Gaps = append(report.Gaps, gap)
		}
	}
	for _, role := range e.Roles() {
		for _, r := range resources {
			grant := RoleGrant{Role: role, Resource: r}
			for _, a := range AllActions() {
				if e.allows(User{Roles: []string{role}}, &r, []Action{a}) {
					grant.Actions = append(grant.Actions, a)
				}
			}
			report.Roles = append(report.Roles, grant)
		}
	}
	return report
}

// Roles returns the roles that role-based policies name, sorted.
func (e *Enforcer) Roles() []string {
	roles := map[string]bool{}
	for _, p := range e.list {
		var named []string
		switch policy := p.Policy.(type) {
		case RoleBased:
			named = policy.Roles
		case *RoleBased:
			named = policy.Roles
		}
		for _, r := range named {
			roles[r] = true
		}
	}
	return slices.Sorted(maps.Keys(roles))
}
