package permissions

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/pyregexp"
	"github.com/feastgo/feast/internal/sealed"
)

// Permission says who may do what with which objects: everybody whom Policy admits may do Actions with the objects
// of Types whose names match a pattern. The zero values of Types and NamePatterns are Feast's defaults; Actions and
// Policy have none here and must be given.
type Permission struct {
	Name    string
	Project string // set when read; an object that is applied goes to the store's project

	Types        []Kind            // empty: all kinds
	NamePatterns []string          // regular expressions for the whole name, as Python reads them; empty: every name
	RequiredTags map[string]string // the resource must have all of them, see [Enforcer]
	Actions      []Action
	Policy       Policy
	Tags         map[string]string // for people; no decision looks at them

	Created     time.Time // set by the registry; zero when never applied
	LastUpdated time.Time

	origin sealed.Origin
}

// Resource implements registry.Object.
func (p *Permission) Resource() Resource {
	return Resource{Kind: PermissionKind, Name: p.Name, Project: p.Project, Tags: p.Tags, RequiredTags: p.RequiredTags}
}

// Origin implements registry.Object, for this module only.
func (p *Permission) Origin() *sealed.Origin { return &p.origin }

// Validate reports all that is wrong with p, patterns included that are not regular expressions as Python reads them, or
// that this library does not support ([*PatternError]).
func (p *Permission) Validate() error {
	var problems []error
	fail := func(format string, args ...any) {
		problems = append(problems, feasterr.Invalid("permission %q "+format, append([]any{p.Name}, args...)...))
	}
	if p.Name == "" {
		fail("has no name")
	}
	if len(p.Actions) == 0 {
		fail("has no actions")
	}
	if err := p.unknown(); err != nil {
		problems = append(problems, err)
	}
	if p.Policy == nil {
		fail("has no policy")
	}
	for _, pattern := range p.NamePatterns {
		if _, err := compilePattern(p.Name, pattern); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// unknown reports types and actions that this library does not know.
func (p *Permission) unknown() error {
	var problems []error
	for _, k := range p.Types {
		if !k.valid() {
			problems = append(problems, feasterr.Invalid("permission %q has type %s, which is unknown", p.Name, k))
		}
	}
	for _, a := range p.Actions {
		if !a.valid() {
			problems = append(problems, feasterr.Invalid("permission %q has action %s, which is unknown", p.Name, a))
		}
	}
	return errors.Join(problems...)
}

// PatternError says that a name pattern of a permission cannot be used: it is no regular expression, this library does
// not support it, or matching takes too long.
type PatternError struct {
	Permission string
	Pattern    string
	Err        error
}

// Error implements error.
func (e *PatternError) Error() string {
	if errors.Is(e.Err, pyregexp.ErrTooCostly) {
		return fmt.Sprintf("permission %q: name pattern %q: %v", e.Permission, e.Pattern, e.Err)
	}
	return fmt.Sprintf("permission %q: the name pattern %v", e.Permission, e.Err) // which has the pattern
}

// Unwrap returns the reason.
func (e *PatternError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, feasterr.ErrInvalid) true.
func (e *PatternError) Is(target error) bool { return target == feasterr.ErrInvalid }

func compilePattern(permission, pattern string) (*pyregexp.Regexp, error) {
	re, err := pyregexp.Compile(strip(pattern))
	if err != nil {
		return nil, &PatternError{Permission: permission, Pattern: pattern, Err: err}
	}
	return re, nil
}

// ValidatePattern reports why a name pattern cannot be used.
func ValidatePattern(pattern string) error {
	_, err := pyregexp.Compile(strip(pattern))
	return err
}

// strip does what Feast does to patterns and tags, with Python's idea of white space.
func strip(s string) string { return strings.TrimFunc(s, pyregexp.IsSpace) }
