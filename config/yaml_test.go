package config

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/yamldoc"
)

// TestScalars holds plain and tagged scalars as PyYAML's safe loader reads them.
func TestScalars(t *testing.T) {
	type date string
	for text, want := range map[string]any{
		"yes": true, "On": true, "TRUE": true, "no": false, "OFF": false, "False": false,
		"y": "y", "N": "N", "tRue": "tRue",
		"~": nil, "null": nil, "NULL": nil, "": nil, "nUll": "nUll",
		"0": 0, "-0": 0, "+1": 1, "1_000": 1000, "1__0": 10, "0777": 511, "0_7": 7, "00": 0, "08": "08", "_1": "_1",
		"0x1F": 31, "-0x1f": -31, "0b11": 3, "0o17": "0o17", "0x_": "0x_", "0b_": "0b_",
		"12:30": 750, "-1:30": -90, "1:60": "1:60", "190:20:30": 685230,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64, "9223372036854775808": 9223372036854775808.0,
		"1.5": 1.5, "5.": 5.0, ".5": 0.5, "+.5": "+.5", "-1.5": -1.5, "1_0.5": 10.5, "1e3": "1e3", "1.0e3": "1.0e3", "1.e+3": 1000.0,
		"1.0e-3": 0.001, "190:20:30.15": 685230.15, ".inf": math.Inf(1), "-.INF": math.Inf(-1), "inf": "inf", ".": ".", "1.2.3": "1.2.3",
		"1.0e+999":   math.Inf(1),
		"2024-01-02": date("2024-01-02"), "2024-1-2": "2024-1-2", "2024-01-02 03:04:05": date("2024-01-02 03:04:05"),
		"2024-1-2T3:04:05.5Z": date("2024-1-2T3:04:05.5Z"), "2024-01-02T03:04:05+01:00": date("2024-01-02T03:04:05+01:00"),
		"a": "a", "a b": "a b", "localhost:6379": "localhost:6379", "=": "=", "'yes'": "yes", `"5"`: "5", "'<<'": "<<", "<<": "<<",
		"!!str 5": "5", "!!str": "", "!!int '5'": 5, "!!float 5": 5.0, "!!float 1.5": 1.5, "!!bool 'yes'": true, "!!null ''": nil,
		"!!timestamp 2024-01-02": date("2024-01-02"), "!!binary aGk=": "hi", "!!binary 'aG k='": "hi", "! 5": 5,
		"!<tag:yaml.org,2002:int> 7": 7, "&a 5": 5,
	} {
		s := section(t, text, nil)
		got := s.node.Any()
		if s.node.Kind == yamldoc.Time {
			got = date(s.node.Text)
		}
		if i, ok := want.(int); ok {
			want = int64(i)
		}
		if got != want {
			t.Errorf("%s: %#v, want %#v", text, got, want)
		}
	}
	if got := section(t, ".NaN", nil).node; got.Kind != yamldoc.Float || !math.IsNaN(got.Float) {
		t.Errorf(".NaN: %+v", got)
	}
}

func TestScalarProblems(t *testing.T) {
	const unsupportedTag = "has a tag that is not supported; put a value that begins with ! in quotes"
	for text, want := range map[string]string{
		"!!int abc":                        "x: is not an integer, as its tag !!int says",
		"!!int 1.5":                        "x: is not an integer, as its tag !!int says",
		"!!float yes":                      "x: is not a fractional number, as its tag !!float says",
		"!!bool 1":                         "x: is not a boolean, as its tag !!bool says",
		"!!null x":                         "x: is not null, as its tag !!null says",
		"!!timestamp x":                    "x: is not a date, as its tag !!timestamp says",
		"!!binary x":                       "x: is not base64, as its tag !!binary says",
		"!foo bar":                         "x: " + unsupportedTag,
		"!!python/object:a.b {}":           "x: " + unsupportedTag,
		"!!set {a}":                        "x: " + unsupportedTag,
		"!foo [a]":                         "x: " + unsupportedTag,
		"&a [*a]":                          "x[0]: alias stands within the value that it names",
		"{a: &a {b: *a}}":                  "x.a.b: alias stands within the value that it names",
		"{<<: 5}":                          "x: << must be followed by a map or a list of maps",
		"{<<: [{}, 5]}":                    "x: << must be followed by a map or a list of maps",
		"{[a]: 1}":                         "x: holds a key that is a list or a map; keys must be text",
		"{? {a: b} : 1}":                   "x: holds a key that is a list or a map; keys must be text",
		"{a: {? !!int q : 1}, b: !!int q}": "x.b: is not an integer, as its tag !!int says",
	} {
		_, err := Parse([]byte("project: p\nregistry: r.db\nx: "+text+"\n"), "", "", nil)
		if err == nil || err.Error() != "line 3: "+want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestMaps(t *testing.T) {
	for yaml, want := range map[string]map[string]any{
		"{a: 1, a: 2}":                       {"a": int64(2)},
		"{1: a, true: b, null: c, 1.5: d}":   {"1": "a", "true": "b", "null": "c", "1.5": "d"},
		"{a: &a {b: 1}, c: *a}":              {"a": map[string]any{"b": int64(1)}, "c": map[string]any{"b": int64(1)}},
		"{a: &a k, *a : 1}":                  {"a": "k", "k": int64(1)},
		"{&k a: 1, b: *k}":                   {"a": int64(1), "b": "a"},
		"{a: &a {b: 1}, a: 2, c: *a}":        {"a": int64(2), "c": map[string]any{"b": int64(1)}},
		"{<<: {a: 1, b: 2}, b: 3}":           {"a": int64(1), "b": int64(3)},
		"{b: 3, <<: {a: 1, b: 2}}":           {"a": int64(1), "b": int64(3)},
		"{<<: [{a: 1}, {a: 2, b: 3}], b: 4}": {"a": int64(1), "b": int64(4)},
		"{<<: {a: 1}, <<: {a: 2}}":           {"a": int64(2)},
		"{<<: []}":                           {},
		"{'<<': 1}":                          {"<<": int64(1)},
		"{m: &m {a: 1, <<: {b: 2}}, n: {<<: *m, a: 3}}": {
			"m": map[string]any{"a": int64(1), "b": int64(2)}, "n": map[string]any{"a": int64(3), "b": int64(2)},
		},
	} {
		var got map[string]any
		if err := section(t, yaml, nil).Decode(&got); err != nil {
			t.Errorf("%s: %v", yaml, err)
		}
		expect(t, yaml, got, want)
	}
}

func TestDocuments(t *testing.T) {
	for yaml, want := range map[string]string{
		"project: p\nregistry: r\n":                 "",
		"\ufeffproject: p\nregistry: r\n":           "",
		"%YAML 1.1\n---\nproject: p\nregistry: r\n": "",
		"---\nproject: p\nregistry: r\n...\n":       "",
		"project: p\r\nregistry: r\r\n":             "",
		"{project: p, registry: r}":                 "",
		"<<: {project: p}\nregistry: r":             "",
		"":                                          "is empty; project and registry are required",
		"# only a comment\n":                        "is empty; project and registry are required",
		"---\n":                                     "is empty; project and registry are required",
		"null\n":                                    "is empty; project and registry are required",
		"{}":                                        "line 1: project: is required\nline 1: registry: is required",
		"text":                                      "line 1: must be a map of keys, project and registry among them",
		"\n- a\n":                                   "line 2: must be a map of keys, project and registry among them",
		"project: p\n---\nproject: q\n":             "line 2: a second document begins here; only one is allowed",
		"project: p\n...\nproject: q\n":             "line 3: did not find expected <document start>",
		"project: p\nregistry: r\n  x: y\n":         "line 3: mapping values are not allowed in this context",
		"a: b: c":                                   "line 1: mapping values are not allowed in this context",
		"\ta: 1":                                    "line 1: found character that cannot start any token",
		"a: 1\nb: 2\n- c\n":                         "line 3: did not find expected key",
		"x: 1\ny:\n  a: 1\n c: 3\n":                 "line 4: did not find expected key",
		"x: 1\n\nfoo: [1,\n2\nbar: 3\n":             "line 3: did not find expected ',' or ']'",
		"x: 1\nfoo: {a: 1\n":                        "line 2: did not find expected ',' or '}'",
		"[":                                         "line 1: did not find expected node content",
		"a: 'x\nb: 2\n":                             "line 3: found unexpected end of stream",
		"a: @x":                                     "line 1: found character that cannot start any token",
		"a: *x\n":                                   "line 1: alias without an anchor; put a value that begins with * in quotes",
		"a: 1\nb: \x01\n":                           "line 2: control characters are not allowed",
		"a: 1\nb: \xff\n":                           "line 2: is not UTF-8 text",
		"a: \ufffd\nb: \xc3(":                       "line 2: is not UTF-8 text",
	} {
		_, err := Parse([]byte(yaml), "", "", nil)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", yaml, err)
		case want != "" && (err == nil || err.Error() != want || !errors.Is(err, feasterr.ErrInvalid)):
			t.Errorf("%q: %v, want %s", yaml, err, want)
		}
	}
}

// TestAliasesOfAliases reads documents that are small and stand for a lot.
func TestAliasesOfAliases(t *testing.T) {
	lists := "project: p\nregistry: r\nk0: &k0 {a: 1, b: 2}\n"
	merges := lists
	for i := range 60 {
		lists += fmt.Sprintf("k%d: &k%d [*k%d, *k%d]\n", i+1, i+1, i, i)
		merges += fmt.Sprintf("k%d: &k%d {<<: [*k%d, *k%d]}\n", i+1, i+1, i, i)
	}
	_, err := Parse([]byte(lists), "", "", nil)
	if err == nil || err.Error() != "stands for more than 100000 values" {
		t.Error(err)
	}
	c, err := Parse([]byte(merges), "", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "keys", len(c.Extra), 61)
}
