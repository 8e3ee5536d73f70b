package permissions

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/feastgo/feast/feasterr"
)

var (
	ann    = User{Name: "ann", Roles: []string{"reader"}}
	nobody = User{}
	view   = Resource{Kind: FeatureView, Name: "stats", Tags: map[string]string{"team": "a", "tier": "gold"}}
)

func perm(name string, change func(*Permission)) *Permission {
	p := &Permission{Name: name, Actions: ReadActions(), Policy: RoleBased{[]string{"reader"}}}
	change(p)
	return p
}

// The table of the departures: docs/compatibility.md, lines 14 (required tags), 15 (unmatched resources), 19 (listings).
func TestDepartures(t *testing.T) {
	tagged := perm("tagged", func(p *Permission) { p.RequiredTags = map[string]string{" team ": "a"} })
	other := perm("other", func(p *Permission) { p.RequiredTags = map[string]string{"team": "b"} })
	two := perm("two", func(p *Permission) { p.RequiredTags = map[string]string{"team": "a", "tier": "iron"} })
	entities := perm("entities", func(p *Permission) { p.Types = []Kind{Entity} })
	writers := perm("writers", func(p *Permission) { p.Actions = WriteActions() })
	about := Resource{
		Kind: PermissionKind, Name: "p", Tags: map[string]string{"team": "a"}, RequiredTags: map[string]string{"team": "b"},
	}
	untagged := Resource{Kind: PermissionKind, Name: "p", Tags: map[string]string{"team": "c"}}
	for _, c := range []struct {
		name                  string
		list                  []*Permission
		user                  User
		resource              Resource
		plain, feast, unmatch Outcome
	}{
		{"14: the tag is there", []*Permission{tagged}, ann, view, Allowed, Allowed, Allowed},
		{"14: another value", []*Permission{other}, ann, view, Denied, Allowed, Allowed},
		{"14: all tags are needed", []*Permission{two}, ann, view, Denied, Allowed, Allowed},
		{"14: a permission has tags of its own", []*Permission{tagged}, ann, about, Allowed, Denied, Allowed},
		{"14: not its required tags", []*Permission{other}, ann, about, Denied, Allowed, Allowed},
		{"14: a permission that requires none", []*Permission{other}, ann, untagged, Denied, Allowed, Allowed},
		{"15: no permission for the kind", []*Permission{entities}, ann, view, Denied, Denied, Allowed},
		{"15: covered, for other actions", []*Permission{writers}, ann, view, Denied, Denied, Denied},
		{"15: covered, for other users", []*Permission{tagged}, User{Name: "bob"}, view, Denied, Denied, Denied},
		{"15: without a name", []*Permission{entities}, nobody, view, Denied, Denied, Denied},
		{"15: no such kind", []*Permission{entities}, ann, Resource{Kind: 99, Name: "x"}, Denied, Denied, Denied},
		{"15: what cannot be read may cover it", []*Permission{perm("bad", func(p *Permission) { p.Types = []Kind{99} })}, ann, view, Denied, Denied, Denied},
		{"no permissions", nil, ann, view, Allowed, Allowed, Allowed},
		{"no permissions and no name", nil, nobody, view, Denied, Denied, Denied},
	} {
		for _, mode := range []struct {
			option Option
			want   Outcome
		}{{0, c.plain}, {FeastCompatible(), c.feast}, {AllowUnmatched(), c.unmatch}} {
			e := NewEnforcer(c.list, mode.option)
			if d := e.Explain(c.user, c.resource, ReadOnline); d.Outcome != mode.want {
				t.Errorf("%s (%d): %s, want %s", c.name, mode.option, d, mode.want)
			}
			if err := e.Check(c.user, c.resource, ReadOnline); (err == nil) != (mode.want == Allowed) {
				t.Errorf("%s (%d): %v, want %s", c.name, mode.option, err, mode.want)
			}
		}
	}

	// 19: one refused object fails a listing in Feast.
	resources := []Resource{view, {Kind: Entity, Name: "driver"}, {Kind: FeatureView, Name: "other"}}
	list := []*Permission{perm("views", func(p *Permission) { p.Types = []Kind{FeatureView} })}
	if got, err := NewEnforcer(list).Filter(ann, resources, ReadOnline); err != nil || !slices.Equal(got, []int{0, 2}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := NewEnforcer(list, FeastCompatible()).Filter(ann, resources, ReadOnline); got != nil || !errors.Is(err, feasterr.ErrDenied) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := NewEnforcer(list, FeastCompatible(), AllowUnmatched()).Filter(ann, resources, ReadOnline); err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := NewEnforcer(nil).Filter(nobody, resources, ReadOnline); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// A pattern that cannot be used permits nothing, in any mode, but where it is not reached.
func TestUnusablePatterns(t *testing.T) {
	open := perm("open", func(*Permission) {})
	for _, pattern := range []string{"[", `a\z`, `\N{SNOWMAN}`, `(a+)(a+)(a+)(a+)(a+)(a+)(a+)\1b`} {
		bad := perm("bad", func(p *Permission) { p.Types, p.NamePatterns = []Kind{FeatureView}, []string{"stats", " " + pattern} })
		for _, option := range []Option{0, FeastCompatible(), AllowUnmatched(), FeastCompatible() | AllowUnmatched()} {
			e := NewEnforcer([]*Permission{open, bad}, option)
			r := Resource{Kind: StreamFeatureView, Name: strings.Repeat("a", 64)}
			var failed *PatternError
			if err := e.Check(ann, r, ReadOnline); !errors.As(err, &failed) || errors.Is(err, feasterr.ErrDenied) || failed.Permission != "bad" {
				t.Errorf("%q (%d): %v", pattern, option, err)
			}
			if got, err := e.Filter(ann, []Resource{view, r}, ReadOnline); got != nil || !errors.As(err, &failed) {
				t.Errorf("%q (%d): %v, %v", pattern, option, got, err)
			}
			if d := e.Explain(ann, r, ReadOnline); d.Outcome != Failed || d.By != nil || d.Outcome.String() != "error" {
				t.Errorf("%q (%d): %s", pattern, option, d)
			}
			if _, err := e.Covering(r); !errors.As(err, &failed) {
				t.Errorf("%q (%d): %v", pattern, option, err)
			}
			for _, reached := range []Resource{view, {Kind: Entity, Name: r.Name}} { // an earlier pattern, another kind
				if err := e.Check(ann, reached, ReadOnline); err != nil {
					t.Errorf("%q (%d): %v", pattern, option, err)
				}
			}
		}
	}
}

// A permission that cannot be used takes nothing from others, grants nothing itself, and is not as if it were not there.
func TestUnreadable(t *testing.T) {
	damaged := &Permission{Name: "damaged", Actions: AllActions(), Policy: Unreadable{errors.New("cut off")}}
	unknown := perm("unknown", func(p *Permission) { p.Actions = []Action{ReadOnline, 42} })
	bare := perm("bare", func(p *Permission) { p.Policy = nil })
	e := NewEnforcer([]*Permission{damaged, unknown, bare})
	err := e.Check(ann, view, ReadOnline)
	want := `permission denied: user "ann" may not READ_ONLINE on FeatureView "stats": permission "damaged" does not: the permission ` +
		`cannot be read: cut off; permission "unknown" does not: the permission cannot be read: permission "unknown" has action Action(42), ` +
		`which is unknown; permission "bare" does not: it has no policy`
	if !errors.Is(err, feasterr.ErrDenied) || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if got := errors.Join(e.Problems()...).Error(); got != `permission "damaged" admits nobody: cut off
permission "unknown" admits nobody: permission "unknown" has action Action(42), which is unknown
permission "bare" has no policy: it admits nobody` {
		t.Error(got)
	}
	idle := NewEnforcer([]*Permission{perm("idle", func(p *Permission) { p.Actions = nil })})
	if err := idle.Check(ann, view); !errors.Is(err, feasterr.ErrDenied) || len(idle.Problems()) != 1 ||
		idle.Problems()[0].Error() != `permission "idle" admits nobody: permission "idle" has no actions` {
		t.Error(err, idle.Problems())
	}
	e = NewEnforcer([]*Permission{damaged, perm("good", func(*Permission) {})})
	if err := e.Check(ann, view, ReadOnline); err != nil {
		t.Error(err)
	}
	if err := e.Check(User{Name: "bob"}, view, ReadOnline); !errors.Is(err, feasterr.ErrDenied) {
		t.Error(err)
	}
}

func TestExplanations(t *testing.T) {
	list := []*Permission{
		perm("readers", func(p *Permission) { p.Types = []Kind{FeatureView} }),
		perm("staff", func(p *Permission) { p.Types, p.Policy = []Kind{FeatureView}, GroupBased{[]string{"staff"}} }),
		perm("spaces", func(p *Permission) { p.Types, p.Policy = []Kind{Entity}, NamespaceBased{[]string{"ml"}} }),
	}
	e, open, none := NewEnforcer(list), NewEnforcer(list, AllowUnmatched()), NewEnforcer(nil)
	bob := User{Name: "bob", Namespaces: []string{"ml"}}
	clicks := Resource{Kind: DataSource, Name: "clicks", Class: "feast.data_source.PushSource"}
	for _, c := range []struct {
		d    Decision
		want string
	}{
		{e.Explain(ann, view, ReadOnline), `user "ann" may READ_ONLINE on FeatureView "stats": permission "readers" allows it`},
		{e.Explain(bob, view, ReadOnline, ReadOffline), `user "bob" may not READ_ONLINE, READ_OFFLINE on FeatureView "stats": ` +
			`permission "readers" does not: Requires roles ['reader']; permission "staff" does not: User is not added into the permitted groups`},
		{e.Explain(bob, view, Delete), `user "bob" may not DELETE on FeatureView "stats": no permission that covers it holds these actions together`},
		{e.Explain(bob, Resource{Kind: Entity, Name: "driver"}), `user "bob" may nothing in particular on Entity "driver": permission "spaces" allows it`},
		{e.Explain(bob, clicks, Delete), `user "bob" may not DELETE on PushSource "clicks": no permission covers it`},
		{open.Explain(bob, clicks, Delete), `user "bob" may DELETE on PushSource "clicks": no permission covers it, and AllowUnmatched leaves open what none covers`},
		{none.Explain(nobody, view, Delete), `a user without a name may not DELETE on FeatureView "stats": no permissions are defined, which lets in only users with a name`},
		{none.Explain(bob, view, Delete), `user "bob" may DELETE on FeatureView "stats": no permissions are defined, which lets in every user with a name`},
	} {
		if c.d.String() != c.want {
			t.Errorf("%s\nwant %s", c.d, c.want)
		}
	}
	if d := e.Explain(ann, view, ReadOnline); d.By != list[0] || d.Refusals != nil || d.Error() != nil {
		t.Errorf("%+v", d)
	}
}

// clearance is a policy of a program's own.
type clearance struct{ asked *int }

func (c clearance) Admits(u User) (bool, string) {
	*c.asked++
	return strings.HasPrefix(u.Name, "agent-"), "no clearance"
}

func TestOwnPolicy(t *testing.T) {
	asked := 0
	e := NewEnforcer([]*Permission{perm("own", func(p *Permission) { p.Policy = clearance{&asked} })})
	for range 3 {
		if err := e.Check(User{Name: "agent-7"}, view, ReadOnline); err != nil {
			t.Error(err)
		}
	}
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
	var denied *DeniedError
	if err := e.Check(ann, view, ReadOnline); !errors.As(err, &denied) || denied.Decision.Refusals[0].Why != "no clearance" {
		t.Error(err)
	}
}

// message is the JSON form of the message of a permission, as far as recordings need it.
type message struct {
	Name         string
	Types        []string
	NamePatterns []string
	Actions      []string
	Policy       struct {
		Role  *RoleBased  `json:"roleBasedPolicy"`
		Group *GroupBased `json:"groupBasedPolicy"`
	}
}

func (m message) permission(t *testing.T) *Permission {
	p := &Permission{Name: m.Name, NamePatterns: m.NamePatterns}
	for _, n := range m.Types {
		p.Types = append(p.Types, named(t, AllResourceTypes(), strings.ReplaceAll(titled(n), "_", "")))
	}
	for _, n := range m.Actions {
		p.Actions = append(p.Actions, named(t, AllActions(), n))
	}
	if m.Policy.Role != nil {
		p.Policy = m.Policy.Role
	} else {
		p.Policy = m.Policy.Group
	}
	return p
}

// What Feast's security manager answers to a user, where it asks permissions at all.
func TestSecurityManager(t *testing.T) {
	type outcome struct{ Result, Message string }
	var recorded struct {
		Sets  map[string][]struct{ Spec message } `json:"permission_sets"`
		Cases []struct {
			Note        string
			Manager     bool `json:"security_manager"`
			Permissions string
			User        *struct {
				Username string
				Roles    []string
			}
			Necessary      bool    `json:"is_auth_necessary"`
			DescribeA      outcome `json:"assert_describe_a"`
			DescribeB      outcome `json:"assert_describe_b"`
			ReadA          outcome `json:"assert_read_online_a"`
			ListAB         listing `json:"permitted_describe_ab"`
			ListNone       listing `json:"permitted_describe_empty_list"`
			ListDelete     listing `json:"permitted_delete_ab"`
			UpdateExisting outcome `json:"update_existing_a"`
			UpdateMissing  outcome `json:"update_missing_a"`
		}
	}
	data, err := os.ReadFile("testdata/security_manager.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	a, b := Resource{Kind: Entity, Name: "a"}, Resource{Kind: Entity, Name: "b"}
	asked := 0
	for _, c := range recorded.Cases {
		if !c.Necessary {
			continue
		}
		asked++
		var list []*Permission
		for _, m := range recorded.Sets[c.Permissions] {
			list = append(list, m.Spec.permission(t))
		}
		var u User
		if c.User != nil {
			u = User{Name: c.User.Username, Roles: c.User.Roles}
		}
		e := NewEnforcer(list, FeastCompatible())
		for what, check := range map[string]struct {
			got  error
			want outcome
		}{
			"describe a":      {e.Check(u, a, Describe), c.DescribeA},
			"describe b":      {e.Check(u, b, Describe), c.DescribeB},
			"read a":          {e.Check(u, a, ReadOnline), c.ReadA},
			"update existing": {e.CheckApply(u, &a, a), c.UpdateExisting},
			"update missing":  {e.CheckApply(u, nil, a), c.UpdateMissing},
		} {
			checkError(t, c.Note+": "+what, check.got, check.want.Result, check.want.Message)
		}
		for what, l := range map[string]struct {
			resources []Resource
			action    Action
			want      listing
		}{
			"describe a, b": {[]Resource{a, b}, Describe, c.ListAB}, "delete a, b": {[]Resource{a, b}, Delete, c.ListDelete},
			"describe nothing": {nil, Describe, c.ListNone},
		} {
			got, err := e.Filter(u, l.resources, l.action)
			checkError(t, c.Note+": "+what, err, l.want.Result, l.want.Message)
			shown := []string{}
			for _, i := range got {
				shown = append(shown, l.resources[i].Name)
			}
			if err == nil && !slices.Equal(shown, l.want.Value) {
				t.Errorf("%s: %s: %q, want %q", c.Note, what, shown, l.want.Value)
			}
		}
	}
	if asked != 12 {
		t.Errorf("%d cases", asked)
	}

	// The object as it is and as it is to be are both looked at.
	e := NewEnforcer([]*Permission{perm("p", func(p *Permission) {
		p.Actions, p.RequiredTags = CRUDActions(), map[string]string{"team": "a"}
	})})
	own, foreign := view, view
	foreign.Tags = map[string]string{"team": "b"}
	if e.CheckApply(ann, &own, own) != nil || e.CheckApply(ann, &own, foreign) == nil || e.CheckApply(ann, &foreign, own) == nil {
		t.Error("an object can be taken over or given away")
	}
}

type listing struct {
	Result, Message string
	Value           []string
}

// What Feast's permissions check and list-roles --verbose print, for the recorded repository.
func TestReport(t *testing.T) {
	var recorded struct {
		Permissions []message
		Outputs     map[string]string
	}
	data, err := os.ReadFile("testdata/cli_outputs.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	var list []*Permission
	for _, m := range recorded.Permissions {
		list = append(list, m.permission(t))
	}

	// The table has a line for each action; those without a name continue the one above.
	var want []string
	var resources []Resource
	for line := range strings.Lines(recorded.Outputs["feast permissions list-roles --verbose"]) {
		f := strings.Fields(line)
		switch {
		case f[0] == "ROLE":
		case len(f) == 1:
			want[len(want)-1] += " " + f[0]
		default:
			want = append(want, strings.Join(f, " "))
			if f[0] == "admin" {
				r := Resource{Name: f[1], Kind: DataSource, Class: sources[f[2]]}
				if r.Class == "" {
					r.Kind = named(t, AllResourceTypes(), f[2])
				}
				resources = append(resources, r)
			}
		}
	}
	report := NewEnforcer(list, FeastCompatible()).Report(resources)
	var got []string
	for _, g := range report.Roles {
		actions := "-"
		if len(g.Actions) > 0 {
			actions = strings.ReplaceAll(names(g.Actions), ",", "")
		}
		got = append(got, fmt.Sprintf("%s %s %s %s", g.Role, g.Resource.Name, g.Resource.class(), actions))
	}
	if !slices.Equal(got, want) || len(want) != 3*14 {
		t.Errorf("%q\nwant %q", got, want)
	}
	if len(report.Gaps) != 0 || len(report.Problems) != 0 { // the recorded output has none
		t.Errorf("%+v", report)
	}

	e := NewEnforcer(list[:4])
	gaps := e.Report([]Resource{{Kind: FeatureView, Name: "driver_stats"}, {Kind: DataSource, Name: "s"}}).Gaps
	if len(gaps) != 2 || !gaps[0].Covered || !slices.Equal(gaps[0].Actions, []Action{Create, Update, Delete}) ||
		gaps[1].Covered || len(gaps[1].Actions) != 8 {
		t.Errorf("%+v", gaps)
	}
	if roles := NewEnforcer(list).Roles(); !slices.Equal(roles, []string{"admin", "reader", "writer"}) {
		t.Error(roles)
	}
}

func titled(upper string) string {
	words := strings.Split(strings.ToLower(upper), "_")
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "_")
}

func TestValidate(t *testing.T) {
	p := &Permission{Types: []Kind{50}, NamePatterns: []string{"ok", "["}}
	const want = `permission "" has no name
permission "" has no actions
permission "" has type Kind(50), which is unknown
permission "" has no policy
permission "": the name pattern "[" is not a regular expression as Python reads them: a set without its end at character 1`
	if err := p.Validate(); !errors.Is(err, feasterr.ErrInvalid) || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if err := perm("p", func(p *Permission) { p.NamePatterns = []string{" (?!dev_).* "} }).Validate(); err != nil {
		t.Error(err)
	}
}

func TestPythonList(t *testing.T) {
	if got, want := pythonList([]string{"a", "it's", `"it's"`, "é\n\x01\u200b\\"}), `['a', "it's", '"it\'s"', 'é\n\x01\u200b\\']`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Decisions are the same however many ask at once, and whether names are remembered or not.
func TestConcurrent(t *testing.T) {
	list := []*Permission{perm("p", func(p *Permission) { p.NamePatterns = []string{`team_\d+_.*`} })}
	e := NewEnforcer(list)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 3000 {
				r := Resource{Kind: Entity, Name: fmt.Sprintf("team_%d_x", (i*7+g)%3000)}
				if i%3 == 0 {
					r.Name = "x" + r.Name
				}
				if err := e.Check(ann, r, ReadOnline); (err == nil) != (i%3 != 0) {
					t.Errorf("%s: %v", r.Name, err)
				}
			}
		})
	}
	wg.Wait()
	for i := range 3 * maxNames {
		_ = e.Check(ann, Resource{Kind: Entity, Name: fmt.Sprint("n", i)}, ReadOnline)
	}
	_ = e.Check(ann, Resource{Kind: Entity, Name: strings.Repeat("n", maxNameLen+1)}, ReadOnline)
	if n := len(e.names); n > maxNames || e.names[nameKey{Entity, strings.Repeat("n", maxNameLen+1)}] != nil {
		t.Errorf("%d names are remembered", n)
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	e := hundred()
	user := User{Name: "u", Roles: []string{"role_99"}}
	r := Resource{Kind: FeatureView, Name: "team_99_features"}
	if err := e.Check(user, r, ReadOnline); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = e.Check(user, r, ReadOnline) }); n > 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

// Lists are compared in time that grows as they do, and short ones without memory.
func TestLongLists(t *testing.T) {
	list := func(prefix string, n int) []string {
		l := make([]string, n)
		for i := range l {
			l[i] = fmt.Sprint(prefix, i)
		}
		return l
	}
	for _, n := range []int{1, few - 1, few, few + 1, few + 2, 50_000} {
		ours, theirs := list("a", n), list("b", n)
		for _, m := range []int{0, n / 2, n - 1} {
			mixed := slices.Clone(theirs)
			mixed[m] = ours[n-1-m]
			for _, policy := range []Policy{
				RoleBased{ours}, GroupBased{ours}, NamespaceBased{ours}, CombinedGroupNamespace{Groups: ours}, CombinedGroupNamespace{Namespaces: ours},
			} {
				if ok, _ := policy.Admits(User{Roles: mixed, Groups: mixed, Namespaces: mixed}); !ok {
					t.Errorf("%T: one of %d is not found", policy, n)
				}
			}
		}
		if common(ours, theirs) || common(nil, theirs) || common(ours, nil) {
			t.Errorf("one of %d is found that is not there", n)
		}
	}
	short, long := list("a", few), list("b", 10*few)
	if n := testing.AllocsPerRun(100, func() { common(short, long) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
