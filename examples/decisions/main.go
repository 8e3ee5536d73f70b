// Command decisions tries permissions before they are applied: it reads cases and prints what is decided about each, and
// why.
//
//	decisions -cases cases.json
//	decisions -cases cases.json -feast
//
// A case is {"id", "permissions", "user", "resource" or "resources", "actions"}; the file is a JSON array of them.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/feastgo/feast/permissions"
)

// testCase is a case as the file has it. What a permission leaves out is Feast's default: all types, names and actions.
type testCase struct {
	ID          json.RawMessage `json:"id"`
	Permissions []permission    `json:"permissions"`
	User        struct {
		Username   string   `json:"username"`
		Roles      []string `json:"roles"`
		Groups     []string `json:"groups"`
		Namespaces []string `json:"namespaces"`
	} `json:"user"`
	Resource  *resource   `json:"resource"`
	Resources *[]resource `json:"resources"`
	Actions   []string    `json:"actions"`

	Expect, Note json.RawMessage // which recorded cases have
}

type permission struct {
	Name         string            `json:"name"`
	Types        list              `json:"types"`
	NamePatterns list              `json:"name_patterns"`
	Actions      list              `json:"actions"`
	RequiredTags map[string]string `json:"required_tags"`
	Tags         map[string]string `json:"tags"`
	Policy       struct {
		Kind       string   `json:"kind"`
		Roles      []string `json:"roles"`
		Groups     []string `json:"groups"`
		Namespaces []string `json:"namespaces"`
	} `json:"policy"`
}

type resource struct {
	Type         string            `json:"type"`
	Name         string            `json:"name"`
	Tags         map[string]string `json:"tags"`
	RequiredTags map[string]string `json:"required_tags"`
}

// list is a list of texts, or one text instead.
type list []string

func (l *list) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*l = make(list, 1)
		return json.Unmarshal(b, &(*l)[0])
	}
	return json.Unmarshal(b, (*[]string)(l))
}

// decision is the answer to a case with one resource, listing to one with several.
type decision struct {
	ID          json.RawMessage `json:"id"`
	Decision    string          `json:"decision"`
	Explanation string          `json:"explanation"`
}

type listing struct {
	ID        json.RawMessage `json:"id"`
	Permitted []int           `json:"permitted"`
	Error     string          `json:"error,omitempty"` // why the listing fails as a whole
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "decisions:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("decisions", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error
	file := flags.String("cases", "", "`file` with a JSON array of cases")
	feast := flags.Bool("feast", false, "decide as Feast 0.67 does, also where its documentation says otherwise")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(out)
		flags.PrintDefaults()
		return nil
	} else if err != nil {
		return err
	}
	if *file == "" || flags.NArg() > 0 {
		return errors.New("give the cases with -cases FILE, and nothing else but -feast")
	}
	data, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	var cases []json.RawMessage
	if err := json.Unmarshal(data, &cases); err != nil {
		return fmt.Errorf("%s: %w", *file, err)
	}
	var options []permissions.Option
	if *feast {
		options = append(options, permissions.FeastCompatible())
	}
	w := bufio.NewWriter(out)
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for _, c := range cases {
		if err := lines.Encode(answer(c, options)); err != nil {
			return err
		}
	}
	return w.Flush()
}

// answer decides a case. One that cannot be read, or has a key that means nothing, is answered as one that makes no sense:
// what is misspelled would otherwise be left out of the decision.
func answer(text json.RawMessage, options []permissions.Option) any {
	var c testCase
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&c); err != nil {
		var keys struct {
			ID        json.RawMessage `json:"id"`
			Resources json.RawMessage `json:"resources"`
		}
		_ = json.Unmarshal(text, &keys) // as much as can be read
		if keys.Resources != nil {
			return listing{keys.ID, []int{}, err.Error()}
		}
		return decision{keys.ID, permissions.Failed.String(), err.Error()}
	}
	return c.decide(options)
}

// decide answers a case. One that makes no sense is answered with the decision "error" and permits nothing.
func (c *testCase) decide(options []permissions.Option) any {
	defined, resources, actions, err := c.read()
	if err == nil && c.Resource == nil == (c.Resources == nil) {
		err = errors.New(`a case has either "resource" or "resources"`)
	}
	user := permissions.User{Name: c.User.Username, Roles: c.User.Roles, Groups: c.User.Groups, Namespaces: c.User.Namespaces}
	if c.Resources != nil {
		answer := listing{ID: c.ID}
		if err == nil {
			answer.Permitted, err = permissions.NewEnforcer(defined, options...).Filter(user, resources, actions...)
		}
		if err != nil {
			answer = listing{c.ID, []int{}, err.Error()}
		}
		return answer
	}
	if err != nil {
		return decision{c.ID, permissions.Failed.String(), err.Error()}
	}
	d := permissions.NewEnforcer(defined, options...).Explain(user, resources[0], actions...)
	return decision{c.ID, d.Outcome.String(), d.String()}
}

func (c *testCase) read() (defined []*permissions.Permission, resources []permissions.Resource, actions []permissions.Action, err error) {
	for _, p := range c.Permissions {
		made, err := p.read()
		if err != nil {
			return nil, nil, nil, fmt.Errorf("permission %q: %w", p.Name, err)
		}
		defined = append(defined, made)
	}
	var given []resource
	if c.Resources != nil {
		given = *c.Resources
	} else if c.Resource != nil {
		given = []resource{*c.Resource}
	}
	for _, r := range given {
		made := permissions.Resource{Name: r.Name, Tags: r.Tags, RequiredTags: r.RequiredTags}
		switch r.Type {
		case "FileSource", "PushSource", "RequestSource", "KafkaSource", "KinesisSource", "BigQuerySource", "RedshiftSource",
			"SnowflakeSource", "AthenaSource", "TrinoSource", "SparkSource", "PostgreSQLSource":
			made.Kind, made.Class = permissions.DataSource, r.Type
		default:
			if made.Kind, err = named("type", permissions.AllResourceTypes(), r.Type); err != nil {
				return nil, nil, nil, fmt.Errorf("resource %q: %w", r.Name, err)
			}
		}
		resources = append(resources, made)
	}
	actions, err = all("action", permissions.AllActions(), c.Actions)
	return defined, resources, actions, err
}

func (p *permission) read() (*permissions.Permission, error) {
	types, err := all("type", permissions.AllResourceTypes(), p.Types)
	if err != nil {
		return nil, err
	}
	actions := permissions.AllActions()
	if p.Actions != nil {
		if actions, err = all("action", actions, p.Actions); err != nil {
			return nil, err
		}
	}
	if len(actions) == 0 {
		return nil, errors.New("it has no actions")
	}
	policy, err := p.policy()
	return &permissions.Permission{
		Name: p.Name, Types: types, NamePatterns: p.NamePatterns, RequiredTags: p.RequiredTags, Actions: actions, Policy: policy,
		Tags: p.Tags,
	}, err
}

func (p *permission) policy() (permissions.Policy, error) {
	switch q := &p.Policy; q.Kind {
	case "role":
		return permissions.RoleBased{Roles: q.Roles}, nil
	case "group":
		return permissions.GroupBased{Groups: q.Groups}, nil
	case "namespace":
		return permissions.NamespaceBased{Namespaces: q.Namespaces}, nil
	case "combined":
		return permissions.CombinedGroupNamespace{Groups: q.Groups, Namespaces: q.Namespaces}, nil
	case "allow_all":
		return permissions.AllowAll{}, nil
	}
	return nil, fmt.Errorf("unknown kind of policy %q: role, group, namespace, combined or allow_all", p.Policy.Kind)
}

func all[T fmt.Stringer](what string, known []T, names []string) ([]T, error) {
	var found []T
	for _, name := range names {
		v, err := named(what, known, name)
		if err != nil {
			return nil, err
		}
		found = append(found, v)
	}
	return found, nil
}

func named[T fmt.Stringer](what string, known []T, name string) (v T, err error) {
	for _, v := range known {
		if v.String() == name {
			return v, nil
		}
	}
	return v, fmt.Errorf("unknown %s %q", what, name)
}
