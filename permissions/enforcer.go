package permissions

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/pyregexp"
)

// Option changes the rules of an [Enforcer]. Options can be combined by |.
type Option uint8

const (
	feastCompatible Option = 1 << iota
	allowUnmatched
)

// FeastCompatible decides exactly as Feast 0.67 does where this library departs from it (docs/compatibility.md, lines 14
// and 19): RequiredTags are compared with those of permissions and with nothing else, and a listing may fail as a whole
// for one resource that is refused.
func FeastCompatible() Option { return feastCompatible }

// AllowUnmatched lets every user with a name do everything with resources that no permission covers, as Feast documents
// it. Without it they are denied to everybody, as in Feast (docs/compatibility.md, line 15).
func AllowUnmatched() Option { return allowUnmatched }

// Enforcer decides what users may do by a list of permissions.
//
// A permission covers a resource of one of its types when a name pattern matches the whole name, or there is none, and
// the resource has all its required tags. A user may do something when one permission that covers the resource and
// holds all the actions asked for admits the user; another that does not admit them takes nothing away. What no
// permission covers is denied. Without any permission every user with a name may do everything.
//
// A name pattern that cannot be used makes a decision [Failed] that needs it, and nothing is permitted then, whatever
// other permissions say. A permission without a policy, or one that cannot be read, admits nobody; see
// [Enforcer.Problems].
//
// An Enforcer is safe for concurrent use. It remembers which patterns match which names, for several thousand names, and
// nothing about users: their roles are looked at each time, and whoever keeps users by token saves all there is to save.
type Enforcer struct {
	rules    Option
	problems []error
	list     []*Permission
	rooms    []room                   // parallel to list
	kinds    [len(kindNames)]bitset   // permissions about the kind
	holds    [len(actionNames)]bitset // permissions with the action
	tagged   bitset                   // permissions with required tags

	mu       sync.RWMutex
	names    map[nameKey]*covering
	matchers sync.Pool
}

// room is what is compiled of a permission.
type room struct {
	patterns []pattern
	tags     map[string]string
}

type pattern struct {
	re   *pyregexp.Regexp
	text string
	err  error // instead of re
}

type nameKey struct {
	kind Kind
	name string
}

// covering are the permissions about a kind whose patterns match a name.
type covering struct {
	list bitset
	err  error
}

// The memory of names is emptied when it is full. Long names are not worth it.
const (
	maxNames   = 8192
	maxNameLen = 256
)

// NewEnforcer compiles permissions. Their order matters for explanations only. They must not be modified afterwards.
func NewEnforcer(list []*Permission, options ...Option) *Enforcer {
	e := &Enforcer{list: slices.Clone(list), rooms: make([]room, len(list)), names: map[nameKey]*covering{}}
	for _, o := range options {
		e.rules |= o
	}
	e.matchers.New = func() any { return new(pyregexp.Matcher) }
	e.tagged = newBitset(len(list))
	for k := range e.kinds {
		e.kinds[k] = newBitset(len(list))
	}
	for a := range e.holds {
		e.holds[a] = newBitset(len(list))
	}
	for i, p := range e.list {
		err := p.unknown()
		if len(p.Actions) == 0 { // or it would allow what needs none
			err = errors.Join(err, feasterr.Invalid("permission %q has no actions", p.Name))
		}
		if err != nil {
			p = &Permission{Name: p.Name, Project: p.Project, Actions: AllActions(), Policy: Unreadable{err}}
			e.list[i] = p
		}
		if p.Policy == nil {
			e.problems = append(e.problems, feasterr.Invalid("permission %q has no policy: it admits nobody", p.Name))
		} else if u, ok := p.Policy.(Unreadable); ok {
			e.problems = append(e.problems, fmt.Errorf("permission %q admits nobody: %w", p.Name, u.Err))
		}
		for k := range e.kinds {
			if p.about(Kind(k)) {
				e.kinds[k].set(i)
			}
		}
		for _, a := range p.Actions {
			e.holds[a].set(i)
		}
		for _, text := range p.NamePatterns {
			re, err := compilePattern(p.Name, text)
			if err != nil {
				e.problems = append(e.problems, err)
			}
			e.rooms[i].patterns = append(e.rooms[i].patterns, pattern{re, text, err})
		}
		if len(p.RequiredTags) > 0 {
			e.tagged.set(i)
			e.rooms[i].tags = make(map[string]string, len(p.RequiredTags))
			for k, v := range p.RequiredTags {
				e.rooms[i].tags[strip(k)] = strip(v)
			}
		}
	}
	return e
}

func (p *Permission) about(k Kind) bool {
	for _, t := range p.Types {
		if t.covers(k) {
			return true
		}
	}
	return len(p.Types) == 0
}

// Problems returns what is wrong with permissions that cannot be used as they are: patterns, and permissions that admit
// nobody since they cannot be read or have no policy.
func (e *Enforcer) Problems() []error { return slices.Clone(e.problems) }

// Permissions returns what decisions are made by. The list must not be modified. A permission that has no
// actions, or a type or an action which this library does not know, is replaced by one that is [Unreadable].
func (e *Enforcer) Permissions() []*Permission { return e.list }

// Check returns nil when the user may do all the actions with the resource, else a [*DeniedError], which is a
// feasterr.ErrDenied, or a [*PatternError].
func (e *Enforcer) Check(u User, r Resource, actions ...Action) error {
	if e.allows(u, &r, actions) {
		return nil
	}
	return e.Explain(u, r, actions...).Error()
}

// CheckApply is the check of an object that is to be applied: who creates it needs Create; who changes it needs Describe
// and Update, of one permission, for the object as it is and as it is to be. existing is nil when there is none of the name.
func (e *Enforcer) CheckApply(u User, existing *Resource, r Resource) error {
	if existing == nil {
		return e.Check(u, r, Create)
	}
	if err := e.Check(u, *existing, Describe, Update); err != nil {
		return err
	}
	return e.Check(u, r, Describe, Update)
}

// Filter returns the indexes of the resources that the user may do the actions with, in their order: what a listing
// shows. With [FeastCompatible] the error may be a [*DeniedError] that fails the whole listing, as in Feast: for a
// resource that is refused by permissions of which the last has no name patterns, or that none covers while no
// permission about its kind has any. A [*PatternError] fails it in any case.
func (e *Enforcer) Filter(u User, resources []Resource, actions ...Action) ([]int, error) {
	if len(e.list) == 0 && u.Name == "" && e.rules&feastCompatible != 0 {
		return nil, e.Explain(u, Resource{}, actions...).Error()
	}
	permitted := make([]int, 0, len(resources))
	for i := range resources {
		if e.allows(u, &resources[i], actions) {
			permitted = append(permitted, i)
			continue
		}
		d := e.Explain(u, resources[i], actions...)
		if d.Outcome == Failed || e.rules&feastCompatible != 0 && !e.hidden(&d) {
			return nil, d.Error()
		}
	}
	return permitted, nil
}

// hidden reports whether Feast leaves a resource that is denied out of a listing, instead of failing it.
func (e *Enforcer) hidden(d *Decision) bool {
	if n := len(d.Refusals); n > 0 {
		return len(d.Refusals[n-1].Permission.NamePatterns) > 0
	}
	for i := range e.about(d.Resource.Kind).all() {
		if len(e.rooms[i].patterns) > 0 {
			return true
		}
	}
	return false
}

func (e *Enforcer) about(k Kind) bitset {
	if !k.valid() {
		return nil
	}
	return e.kinds[k]
}

// allows is Explain without the explanation, and without memory.
func (e *Enforcer) allows(u User, r *Resource, actions []Action) bool {
	if len(e.list) == 0 {
		return u.Name != ""
	}
	c := e.covering(r)
	if c.err != nil {
		return false
	}
	covered := false
	for w, word := range c.list {
		covered = covered || word != 0
		for _, a := range actions {
			if !a.valid() {
				return false
			}
			word &= e.holds[a][w]
		}
		for ; word != 0; word &= word - 1 {
			i := w*64 + bits.TrailingZeros64(word)
			if p := e.list[i].Policy; p != nil && e.tags(i, r) {
				if ok, _ := p.Admits(u); ok {
					return true
				}
			}
		}
	}
	return e.open(u, r, covered, c)
}

// open applies AllowUnmatched.
func (e *Enforcer) open(u User, r *Resource, named bool, c *covering) bool {
	if e.rules&allowUnmatched == 0 || u.Name == "" || !r.Kind.valid() {
		return false
	}
	if named {
		for i := range c.list.all() {
			if e.tags(i, r) {
				return false
			}
		}
	}
	return true
}

// Explain decides as Check does, and says why.
func (e *Enforcer) Explain(u User, r Resource, actions ...Action) Decision {
	d := Decision{User: u, Resource: r, Actions: slices.Clone(actions), defined: len(e.list) > 0}
	if !d.defined {
		if u.Name != "" {
			d.Outcome = Allowed
		}
		return d
	}
	c := e.covering(&r)
	if c.err != nil {
		d.Outcome, d.Err = Failed, c.err
		return d
	}
	for i := range c.list.all() {
		if !e.tags(i, &r) {
			continue
		}
		d.covered = true
		if !e.holdsAll(i, actions) {
			continue
		}
		p := e.list[i]
		why := "it has no policy"
		if p.Policy != nil {
			var ok bool
			if ok, why = p.Policy.Admits(u); ok {
				d.Outcome, d.By, d.Refusals = Allowed, p, nil
				return d
			}
		}
		d.Refusals = append(d.Refusals, Refusal{p, why})
	}
	if !d.covered && e.open(u, &r, false, c) {
		d.Outcome = Allowed
	}
	return d
}

func (e *Enforcer) holdsAll(i int, actions []Action) bool {
	for _, a := range actions {
		if !a.valid() || !e.holds[a].has(i) {
			return false
		}
	}
	return true
}

// Covering returns the permissions that cover the resource, whatever the actions. The error is a [*PatternError].
func (e *Enforcer) Covering(r Resource) ([]*Permission, error) {
	c := e.covering(&r)
	if c.err != nil {
		return nil, c.err
	}
	var list []*Permission
	for i := range c.list.all() {
		if e.tags(i, &r) {
			list = append(list, e.list[i])
		}
	}
	return list, nil
}

// tags reports whether a resource has the tags that permission i requires.
func (e *Enforcer) tags(i int, r *Resource) bool {
	if !e.tagged.has(i) {
		return true
	}
	has := r.Tags
	if e.rules&feastCompatible != 0 {
		if r.Kind != PermissionKind || len(r.RequiredTags) == 0 {
			return true
		}
		has = r.RequiredTags
	}
	for k, want := range e.rooms[i].tags {
		if got, ok := has[k]; !ok || got != want {
			return false
		}
	}
	return true
}

// covering finds the permissions for a kind and a name.
func (e *Enforcer) covering(r *Resource) *covering {
	key := nameKey{r.Kind, r.Name}
	e.mu.RLock()
	c := e.names[key]
	e.mu.RUnlock()
	if c != nil {
		return c
	}
	c = e.match(r.Kind, r.Name)
	if len(r.Name) > maxNameLen {
		return c
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.names) >= maxNames {
		clear(e.names)
	}
	e.names[key] = c
	return c
}

func (e *Enforcer) match(k Kind, name string) *covering {
	m := e.matchers.Get().(*pyregexp.Matcher)
	defer e.matchers.Put(m)
	m.Reset(name)
	c := &covering{list: newBitset(len(e.list))}
	for i := range e.about(k).all() {
		ok := len(e.rooms[i].patterns) == 0
		for j := range e.rooms[i].patterns {
			p := &e.rooms[i].patterns[j]
			if c.err = p.err; c.err != nil {
				return c
			}
			if ok, c.err = m.FullMatch(p.re); c.err != nil {
				c.err = &PatternError{Permission: e.list[i].Name, Pattern: p.text, Err: c.err}
				return c
			}
			if ok {
				break
			}
		}
		if ok {
			c.list.set(i)
		}
	}
	return c
}
