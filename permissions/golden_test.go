package permissions

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/feastgo/feast/feasterr"
)

// testCase is a case of decisions.json and decisions_handmade.json, recorded from Feast.
type testCase struct {
	ID          string
	Note        string
	Permissions []struct {
		Name         string
		Types        []string
		NamePatterns textOrList `json:"name_patterns"`
		Actions      []string
		RequiredTags map[string]string `json:"required_tags"`
		Tags         map[string]string
		Policy       struct {
			Kind                      string
			Roles, Groups, Namespaces []string
		}
	}
	User struct {
		Username                  string
		Roles, Groups, Namespaces []string
	}
	Resource  *testResource
	Resources []testResource
	Actions   []string
	Expect    struct {
		MatchingResource json.RawMessage `json:"matching_resource"`
		MatchingActions  []int           `json:"matching_actions"`
		Assert, Filter   struct {
			Result      string
			Permitted   []int
			Message     string
			SameMessage bool `json:"same_message"`
		}
		Decision  string
		Unsecured bool
	}
}

type testResource struct {
	Type         string
	Name         string
	Tags         map[string]string
	RequiredTags map[string]string `json:"required_tags"`
}

type textOrList []string

func (l *textOrList) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*l = make(textOrList, 1)
		return json.Unmarshal(b, &(*l)[0])
	}
	return json.Unmarshal(b, (*[]string)(l))
}

func golden(t testing.TB, name string) (cases []*testCase) {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

func named[T interface{ String() string }](t testing.TB, all []T, name string) T {
	t.Helper()
	for _, v := range all {
		if v.String() == name {
			return v
		}
	}
	t.Fatalf("no %q", name)
	panic("unreachable")
}

var sources = map[string]string{
	"FileSource": "feast.infra.offline_stores.file_source.FileSource", "PushSource": "feast.data_source.PushSource",
	"RequestSource": "feast.data_source.RequestSource", "KafkaSource": "feast.data_source.KafkaSource",
	"KinesisSource": "feast.data_source.KinesisSource",
}

func (c *testCase) build(t testing.TB) (list []*Permission, u User, resources []Resource, actions []Action) {
	for _, g := range c.Permissions {
		p := &Permission{Name: g.Name, NamePatterns: g.NamePatterns, RequiredTags: g.RequiredTags, Tags: g.Tags, Actions: AllActions()}
		for _, n := range g.Types {
			p.Types = append(p.Types, named(t, AllResourceTypes(), n))
		}
		if g.Actions != nil {
			p.Actions = nil
			for _, n := range g.Actions {
				p.Actions = append(p.Actions, named(t, AllActions(), n))
			}
		}
		switch q := g.Policy; q.Kind {
		case "role":
			p.Policy = RoleBased{q.Roles}
		case "group":
			p.Policy = GroupBased{q.Groups}
		case "namespace":
			p.Policy = NamespaceBased{q.Namespaces}
		case "combined":
			p.Policy = CombinedGroupNamespace{q.Groups, q.Namespaces}
		case "allow_all":
			p.Policy = AllowAll{}
		default:
			t.Fatalf("%s: policy %q", c.ID, q.Kind)
		}
		list = append(list, p)
	}
	u = User{c.User.Username, c.User.Roles, c.User.Groups, c.User.Namespaces}
	given := c.Resources
	if c.Resource != nil {
		given = []testResource{*c.Resource}
	}
	for _, g := range given {
		r := Resource{Name: g.Name, Tags: g.Tags, RequiredTags: g.RequiredTags, Kind: DataSource, Class: sources[g.Type]}
		if r.Class == "" {
			r.Kind = named(t, AllResourceTypes(), g.Type)
		}
		resources = append(resources, r)
	}
	for _, n := range c.Actions {
		actions = append(actions, named(t, AllActions(), n))
	}
	return list, u, resources, actions
}

// All recorded decisions and listings are Feast's with FeastCompatible, messages included.
func TestGoldenCompatible(t *testing.T) {
	decisions, listings := 0, 0
	for _, file := range []string{"decisions", "decisions_handmade"} {
		for _, c := range golden(t, file) {
			list, u, resources, actions := c.build(t)
			e := NewEnforcer(list, FeastCompatible())
			if c.Resource != nil {
				decisions++
				if d := e.Explain(u, resources[0], actions...); d.Outcome.String() != c.Expect.Decision {
					t.Errorf("%s (%s): %s, want %s", c.ID, c.Note, d, c.Expect.Decision)
				}
				checkCovering(t, c, e, list, resources[0])
			} else {
				listings++
			}
			checkOutcome(t, c, e, u, resources, actions)
		}
	}
	if decisions != 2253 || listings != 18 {
		t.Errorf("%d decisions and %d listings", decisions, listings)
	}
}

func checkOutcome(t *testing.T, c *testCase, e *Enforcer, u User, resources []Resource, actions []Action) {
	t.Helper()
	want := c.Expect.Assert
	var got error
	for _, r := range resources {
		if got = e.Check(u, r, actions...); got != nil {
			break
		}
	}
	if len(resources) > 0 { // Feast fails a check of no resources, which there is not here
		checkError(t, c.ID+" assert", got, want.Result, want.Message)
	}
	if want.Result == "ok" && len(want.Permitted) != len(resources) {
		t.Errorf("%s: the recording permits %v of %d", c.ID, want.Permitted, len(resources))
	}
	permitted, err := e.Filter(u, resources, actions...)
	filter := c.Expect.Filter
	if filter.SameMessage {
		filter.Message = want.Message
	}
	checkError(t, c.ID+" filter", err, filter.Result, filter.Message)
	if err == nil && !slices.Equal(permitted, filter.Permitted) || err != nil && permitted != nil {
		t.Errorf("%s: permitted %v, want %v", c.ID, permitted, filter.Permitted)
	}
}

func checkError(t *testing.T, what string, err error, result, message string) {
	t.Helper()
	var denied *DeniedError
	var bad *PatternError
	switch {
	case result == "ok" && err == nil:
	case result == "error" && errors.As(err, &bad) && !errors.Is(err, feasterr.ErrDenied):
	case result == "permission_error" && errors.As(err, &denied) && errors.Is(err, feasterr.ErrDenied):
		if got := denied.FeastMessage(); got != message {
			t.Errorf("%s: %q, want %q", what, got, message)
		}
	default:
		t.Errorf("%s: %v, want %s", what, err, result)
	}
}

func checkCovering(t *testing.T, c *testCase, e *Enforcer, list []*Permission, r Resource) {
	t.Helper()
	covering, err := e.Covering(r)
	if string(c.Expect.MatchingResource) == "null" {
		if err == nil {
			t.Errorf("%s: no error", c.ID)
		}
		return
	}
	var want []int
	if err := json.Unmarshal(c.Expect.MatchingResource, &want); err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, p := range covering {
		got = append(got, slices.Index(list, p))
	}
	if err != nil || !slices.Equal(got, want) || c.Expect.Unsecured != (len(got) == 0) {
		t.Errorf("%s: covered by %v (%v), want %v", c.ID, got, err, want)
	}
}

// Without options, decisions differ from Feast's only as docs/compatibility.md says: line 14 (required tags) makes some
// deny that Feast allows, line 19 lets listings be shown.
func TestGoldenDefault(t *testing.T) {
	departed := 0
	for _, file := range []string{"decisions", "decisions_handmade"} {
		for _, c := range golden(t, file) {
			list, u, resources, actions := c.build(t)
			e := NewEnforcer(list)
			tags := slices.ContainsFunc(list, func(p *Permission) bool { return len(p.RequiredTags) > 0 })
			permitted, err := e.Filter(u, resources, actions...)
			var want []int
			for i, r := range resources {
				d := e.Explain(u, r, actions...)
				if d.Outcome == Allowed {
					want = append(want, i)
				}
				if c.Resource == nil || d.Outcome.String() == c.Expect.Decision {
					continue
				}
				departed++
				if !tags || d.Outcome == Failed {
					t.Errorf("%s: %s, want %s", c.ID, d, c.Expect.Decision)
				}
			}
			if failed := c.Expect.Decision == "error"; failed != (err != nil) || !slices.Equal(permitted, want) {
				t.Errorf("%s: listing %v, %v, want %v", c.ID, permitted, err, want)
			}
		}
	}
	if departed == 0 {
		t.Error("no decision departs")
	}
	t.Logf("%d decisions depart", departed)
}
