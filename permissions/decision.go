package permissions

import (
	"fmt"
	"strings"

	"github.com/feastgo/feast/feasterr"
)

// Outcome is how a decision ends.
type Outcome int8

// The outcomes. Only Allowed permits anything.
const (
	Denied Outcome = iota
	Allowed
	Failed // a name pattern could not be used
)

// String returns "denied", "allowed" or "error".
func (o Outcome) String() string {
	switch o {
	case Allowed:
		return "allowed"
	case Failed:
		return "error"
	}
	return "denied"
}

// Decision says whether a user may do something with a resource, and why.
type Decision struct {
	Outcome  Outcome
	User     User
	Resource Resource
	Actions  []Action

	// By is the permission that allows it. It is nil when nothing is allowed, and when it is allowed because no permissions are
	// defined at all, or by [AllowUnmatched].
	By *Permission
	// Refusals are what the permissions say that are about the resource and these actions, when none of them allows it.
	Refusals []Refusal
	// Err is a [*PatternError] when the outcome is [Failed].
	Err error

	defined bool // there are permissions
	covered bool // some are about the resource, whatever the actions
}

// Refusal is a permission that would allow something to those whom its policy admits, and why it does not admit the user.
type Refusal struct {
	Permission *Permission
	Why        string
}

// String explains the decision to people.
func (d Decision) String() string {
	who := fmt.Sprintf("user %q", d.User.Name)
	if d.User.Name == "" {
		who = "a user without a name"
	}
	what := fmt.Sprintf("%s on %s", names(d.Actions), d.Resource)
	switch {
	case d.Outcome == Failed:
		return fmt.Sprintf("nothing is decided about %s for %s: %v", what, who, d.Err)
	case d.By != nil:
		return fmt.Sprintf("%s may %s: permission %q allows it", who, what, d.By.Name)
	case d.Outcome == Allowed && !d.defined:
		return fmt.Sprintf("%s may %s: no permissions are defined, which lets in every user with a name", who, what)
	case d.Outcome == Allowed:
		return fmt.Sprintf("%s may %s: no permission covers it, and AllowUnmatched leaves open what none covers", who, what)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s may not %s: ", who, what)
	switch {
	case !d.defined:
		b.WriteString("no permissions are defined, which lets in only users with a name")
	case !d.covered:
		b.WriteString("no permission covers it")
	case len(d.Refusals) == 0:
		b.WriteString("no permission that covers it holds these actions together")
	}
	for i, r := range d.Refusals {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "permission %q does not: %s", r.Permission.Name, r.Why)
	}
	return b.String()
}

// Error returns nil when it is allowed, else a [*DeniedError] or the [*PatternError].
func (d Decision) Error() error {
	switch d.Outcome {
	case Allowed:
		return nil
	case Failed:
		return d.Err
	}
	return &DeniedError{Decision: d}
}

// DeniedError is a decision that denies, as an error. It is a feasterr.ErrDenied.
type DeniedError struct {
	Decision Decision
}

// Error implements error.
func (e *DeniedError) Error() string { return "permission denied: " + e.Decision.String() }

// Is makes errors.Is(err, feasterr.ErrDenied) true.
func (e *DeniedError) Is(target error) bool { return target == feasterr.ErrDenied }

// FeastMessage returns the message of the FeastPermissionError that Feast raises, which servers answer with.
func (e *DeniedError) FeastMessage() string {
	const prefix = "Permission error:\n"
	d := &e.Decision
	if !d.defined {
		return prefix + "No permissions defined and no authenticated user context. Access denied."
	}
	if len(d.Refusals) == 0 {
		actions := make([]string, len(d.Actions))
		for i, a := range d.Actions {
			actions[i] = fmt.Sprintf("<AuthzedAction.%s: '%s'>", a, strings.ToLower(a.String()))
		}
		return fmt.Sprintf("%sNo permissions defined to manage [%s] on <class '%s'>/%s.",
			prefix, strings.Join(actions, ", "), d.Resource.dottedClass(), d.Resource.Name)
	}
	actions := pythonList(namesOf(d.Actions))
	texts := make([]string, len(d.Refusals))
	for i, r := range d.Refusals {
		texts[i] = fmt.Sprintf("Permission %s denied execution of %s to %s:%s: %s",
			r.Permission.Name, actions, d.Resource.class(), d.Resource.Name, r.Why)
	}
	return prefix + strings.Join(texts, ",")
}
