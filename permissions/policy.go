package permissions

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// User is who asks. The empty name is that of nobody: a request without an identity.
type User struct {
	Name       string
	Roles      []string
	Groups     []string
	Namespaces []string
}

// Policy decides whether a user is admitted. [RoleBased], [GroupBased], [NamespaceBased] and
// [CombinedGroupNamespace] are Feast's and can be stored; an empty list admits nobody, and texts are compared exactly.
// Other policies, [AllowAll] among them, work in an [Enforcer] that is made of permissions in Go.
type Policy interface {
	// Admits reports whether the user is admitted, and if not, why. It is called for each decision that depends on it,
	// concurrently. The user's lists must not be modified or kept.
	Admits(u User) (ok bool, why string)
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

// AllowAll admits everybody, also a user without a name. Feast cannot read it back, so it cannot be applied.
type AllowAll struct{}

// Unreadable is the policy of a permission that is there but cannot be read: it admits nobody.
type Unreadable struct {
	Err error
}

// Admits implements [Policy].
func (p RoleBased) Admits(u User) (bool, string) {
	if common(p.Roles, u.Roles) {
		return true, ""
	}
	return false, "Requires roles " + pythonList(p.Roles)
}

// Admits implements [Policy].
func (p GroupBased) Admits(u User) (bool, string) {
	return common(p.Groups, u.Groups), "User is not added into the permitted groups"
}

// Admits implements [Policy].
func (p NamespaceBased) Admits(u User) (bool, string) {
	return common(p.Namespaces, u.Namespaces), "User is not added into the permitted namespaces"
}

// Admits implements [Policy].
func (p CombinedGroupNamespace) Admits(u User) (bool, string) {
	return common(p.Groups, u.Groups) || common(p.Namespaces, u.Namespaces),
		"User must be in at least one of the permitted groups or namespaces"
}

// Admits implements [Policy].
func (AllowAll) Admits(User) (bool, string) { return true, "" }

// Admits implements [Policy].
func (p Unreadable) Admits(User) (bool, string) {
	return false, fmt.Sprintf("the permission cannot be read: %v", p.Err)
}

// few is how many texts are quicker to compare with than to look up.
const few = 32

// common reports whether two lists have a text in common.
func common(a, b []string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) > few && len(b) > few { // comparing each with each would take time
		in := make(map[string]bool, len(a))
		for _, s := range a {
			in[s] = true
		}
		return slices.ContainsFunc(b, func(s string) bool { return in[s] })
	}
	for _, s := range a {
		if slices.Contains(b, s) {
			return true
		}
	}
	return false
}

// pythonList shows texts as Python shows a list of them, for Feast's messages.
func pythonList(list []string) string {
	b := []byte{'['}
	for i, s := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendPython(b, s)
	}
	return string(append(b, ']'))
}

func appendPython(b []byte, s string) []byte {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b = append(b, quote)
	for _, r := range s {
		switch {
		case r == rune(quote) || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case unicode.IsPrint(r):
			b = append(b, string(r)...)
		case r < 0x100:
			b = fmt.Appendf(b, `\x%02x`, r)
		case r < 0x10000:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = fmt.Appendf(b, `\U%08x`, r)
		}
	}
	return append(b, quote)
}

// names lists actions by name, for people.
func names(actions []Action) string {
	if len(actions) == 0 {
		return "nothing in particular"
	}
	return strings.Join(namesOf(actions), ", ")
}

func namesOf(actions []Action) []string {
	list := make([]string, len(actions))
	for i, a := range actions {
		list[i] = a.String()
	}
	return list
}
