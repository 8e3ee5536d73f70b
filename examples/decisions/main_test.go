package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, text []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cases.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCases(t *testing.T) {
	file := write(t, []byte(`[
{"id": "a", "permissions": [{"name": "p", "types": "FeatureView", "name_patterns": "(?!dev_).*", "required_tags": {"team": "x"}, "policy": {"kind": "role", "roles": ["r"]}}],
 "user": {"username": "ann", "roles": ["r"]}, "resource": {"type": "BatchFeatureView", "name": "stats", "tags": {"team": "y"}}, "actions": ["READ_ONLINE"]},
{"id": 2, "permissions": [{"name": "p", "name_patterns": ["["], "policy": {"kind": "allow_all"}}], "user": {"username": "ann"}, "resource": {"type": "PushSource", "name": "s"}, "actions": []},
{"id": "c", "permissions": [{"name": "p", "types": ["Entity"], "policy": {"kind": "allow_all"}}], "user": {"username": "ann"},
 "resources": [{"type": "Project", "name": "p"}, {"type": "Entity", "name": "e"}], "actions": ["DESCRIBE"]},
{"id": "d", "permissions": [{"name": "p", "policy": {"kind": "roles"}}], "user": {}, "resource": {"type": "Entity", "name": "e"}, "actions": []},
{"id": "e", "permissions": [], "user": {}, "resource": {"type": "Entities", "name": "e"}, "actions": []},
{"id": "f", "permissions": [{"name": "p", "actions": [], "policy": {"kind": "allow_all"}}], "user": {}, "resources": [], "actions": []},
{"id": "g", "permissions": [], "user": {}, "actions": []}
]`))
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, `{"id":"a","decision":"denied","explanation":"user \"ann\" may not READ_ONLINE on BatchFeatureView \"stats\": no permission covers it"}
{"id":2,"decision":"error","explanation":"nothing is decided about nothing in particular on PushSource \"s\" for user \"ann\": permission \"p\": the name pattern \"[\" is not a regular expression as Python reads them: a set without its end at character 1"}
{"id":"c","permitted":[1]}
`},
		{[]string{"-feast"}, `{"id":"a","decision":"allowed","explanation":"user \"ann\" may READ_ONLINE on BatchFeatureView \"stats\": permission \"p\" allows it"}
{"id":2,"decision":"error","explanation":"nothing is decided about nothing in particular on PushSource \"s\" for user \"ann\": permission \"p\": the name pattern \"[\" is not a regular expression as Python reads them: a set without its end at character 1"}
{"id":"c","permitted":[],"error":"permission denied: user \"ann\" may not DESCRIBE on Project \"p\": no permission covers it"}
`},
	} {
		c.want += `{"id":"d","decision":"error","explanation":"permission \"p\": unknown kind of policy \"roles\": role, group, namespace, combined or allow_all"}
{"id":"e","decision":"error","explanation":"resource \"e\": unknown type \"Entities\""}
{"id":"f","permitted":[],"error":"permission \"p\": it has no actions"}
{"id":"g","decision":"error","explanation":"a case has either \"resource\" or \"resources\""}
`
		var out bytes.Buffer
		if err := run(append([]string{"-cases", file}, c.args...), &out); err != nil {
			t.Fatal(err)
		}
		if out.String() != c.want {
			t.Errorf("%v:\n%s\nwant\n%s", c.args, &out, c.want)
		}
	}
}

// The cases that were recorded from Feast.
func TestGolden(t *testing.T) {
	for _, name := range []string{"decisions", "decisions_handmade"} {
		f, err := os.Open("../../permissions/testdata/" + name + ".json.gz")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		type answer struct {
			ID        string
			Decision  string
			Permitted []int
			Expect    *struct {
				Decision string
				Filter   struct{ Permitted []int }
			}
		}
		var want []answer
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := run([]string{"-feast", "-cases", write(t, data)}, &out); err != nil {
			t.Fatal(err)
		}
		lines := json.NewDecoder(&out)
		for _, w := range want {
			var got answer
			if err := lines.Decode(&got); err != nil {
				t.Fatal(err)
			}
			if got.ID != w.ID || got.Decision != w.Expect.Decision {
				t.Errorf("%s: %s, want %s: %s", got.ID, got.Decision, w.ID, w.Expect.Decision)
			}
			if got.Decision == "" && (got.Permitted == nil || len(got.Permitted) != len(w.Expect.Filter.Permitted)) {
				t.Errorf("%s: %v, want %v", got.ID, got.Permitted, w.Expect.Filter.Permitted)
			}
		}
	}
}

func TestFlags(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"-h"}, &out); err != nil || !strings.Contains(out.String(), "-cases") {
		t.Errorf("%v: %s", err, &out)
	}
	for _, args := range [][]string{nil, {"-cases", "x", "left"}, {"-no"}, {"-cases", "missing.json"}, {"-cases", write(t, []byte("{"))}} {
		if err := run(args, io.Discard); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

// What is misspelled or of the wrong type is not left out of a decision, and leaves the other cases alone.
func TestUnreadableCases(t *testing.T) {
	file := write(t, []byte(`[
{"id": 9007199254740993, "permissions": [], "user": {"username": "ann"}, "resource": {"type": "Entity", "name": "e"}, "actions": ["DESCRIBE"], "expect": {}, "note": "n"},
{"id": "a", "permissions": [{"name": "p", "required_tag": {"team": "x"}, "policy": {"kind": "allow_all"}}], "user": {}, "resource": {"type": "Entity", "name": "e"}, "actions": []},
{"id": "b", "permissions": [{"name": "p", "policy": {"kind": "role", "rolls": ["r"]}}], "user": {}, "resources": [], "actions": []},
{"id": "c", "permissions": [], "user": {"username": 7}, "resource": {"type": "Entity", "name": "e"}, "actions": []},
7,
null
]`))
	const want = `{"id":9007199254740993,"decision":"allowed","explanation":"user \"ann\" may DESCRIBE on Entity \"e\": no permissions are defined, which lets in every user with a name"}
{"id":"a","decision":"error","explanation":"json: unknown field \"required_tag\""}
{"id":"b","permitted":[],"error":"json: unknown field \"rolls\""}
{"id":"c","decision":"error","explanation":"json: cannot unmarshal number into Go struct field .user.username of type string"}
{"id":null,"decision":"error","explanation":"json: cannot unmarshal number into Go value of type main.testCase"}
{"id":null,"decision":"error","explanation":"a case has either \"resource\" or \"resources\""}
`
	var out bytes.Buffer
	if err := run([]string{"-cases", file}, &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", &out, want)
	}
}
