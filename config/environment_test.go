package config

import (
	"testing"
)

func TestExpand(t *testing.T) {
	env := lookupIn(map[string]string{
		"A": "1", "EMPTY": "", "LINES": "x\ny\n", "AGAIN": "$A ${A}", "DOLLAR": "$", "with space": "s", "A${A": "nested",
	})
	for _, c := range []struct {
		source, want string
		undefined    []string
	}{
		{"", "", nil},
		{"no variables", "no variables", nil},
		{"$A", "1", nil},
		{"${A}", "1", nil},
		{"$A$A${A}$A", "1111", nil},
		{"a$A.b-$A/", "a1.b-1/", nil},
		{"$AB ${AB}", "$AB ${AB}", []string{"AB", "AB"}},
		{"x${EMPTY}y$EMPTY", "xy", nil},
		{"$AGAIN", "$A ${A}", nil},
		{"${DOLLAR}A $DOLLAR{A}", "$A ${A}", nil},
		{"$$A", "$1", nil},
		{"$ $. $- $", "$ $. $- $", nil},
		{"${with space}", "s", nil},
		{"${}", "${}", []string{""}},
		{"${A:-d}", "${A:-d}", []string{"A:-d"}},
		{"${A${A}}", "nested}", nil},
		{"${B${A}}", "${B${A}}", []string{"B${A"}},
		{"${A", "${A", nil},
		{"${A $A", "${A 1", nil},
		{"$1 $1A", "$1 $1A", []string{"1", "1A"}},
		{"$Ä $A_", "$Ä $A_", []string{"A_"}},
		{"$AÄ", "1Ä", nil},
		{"%A% \\$A", "%A% \\1", nil},
		{"a${LINES}b", "ax\ny\nb", nil},
	} {
		got := expand(c.source, env)
		if got.text != c.want {
			t.Errorf("%q: %q, want %q", c.source, got.text, c.want)
		}
		var undefined []string
		for _, r := range got.undefined {
			undefined = append(undefined, r.name)
			if got.text[r.at:r.at+len(r.text)] != r.text {
				t.Errorf("%q: %q is not at %d of %q", c.source, r.text, r.at, got.text)
			}
		}
		expect(t, c.source, undefined, c.undefined)
	}
	if got := expand("$A", nil); got.text != "$A" || len(got.undefined) != 1 {
		t.Errorf("without an environment: %+v", got)
	}
}

func TestExpandLines(t *testing.T) {
	e := expand("a\n$LINES b\n${NO\nNO} c\n$NONE", lookupIn(map[string]string{"LINES": "x\ny\nz"}))
	expect(t, "text", e.text, "a\nx\ny\nz b\n${NO\nNO} c\n$NONE")
	expect(t, "lines", e.lines, []int{1, 2, 2, 2, 3, 4, 5})
	expect(t, "line of the undefined variable", e.undefined[1].line, 5)
	for n, want := range []int{0, 1, 2, 2, 2, 3, 4, 5, 5} {
		expect(t, "line", e.line(n), want)
	}
}

// TestLinesOfTheFile shows that messages count the lines of the file, although a value brought more of them.
func TestLinesOfTheFile(t *testing.T) {
	_, err := Parse([]byte("project: p\n${REGISTRY}\nonline_store: nosuch_store\n"), "f.yaml", "",
		lookupIn(map[string]string{"REGISTRY": "registry:\n  registry_type: nosuch\n  path: x"}))
	want := `f.yaml:2: registry.registry_type: unknown registry type "nosuch"; known are file, memory, remote, snowflake.registry, sql
f.yaml:3: online_store: `
	if err == nil || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// TestUndefinedWholeValue tells a value that is nothing but a variable from others that read the same.
func TestUndefinedWholeValue(t *testing.T) {
	env := map[string]string{"INSERTED": "$X"}
	for value, wantErr := range map[string]bool{
		"$X":               true,
		"${X}":             true,
		`"${X}"`:           true,
		"'$X'":             true,
		"|-\n    $X":       true,
		"&a $X":            true,
		"!!str $X":         true,
		"$X/":              false,
		"a$X":              false,
		"$X$X":             false,
		"$INSERTED":        false, // the environment itself says so
		"${X:-r.db}":       false, // no variable's name
		"${}":              false,
		"$1":               false,
		"'${X'":            false,
		`"\u0024X"`:        false,
		"${X} # ${Y}":      true,
		"r.db # ${X}":      false,
		"|\n    $X":        false, // and a line break
		"$INSERTED\na: $X": false,
	} {
		_, err := Parse([]byte("project: p\nregistry:\n  path: "+value+"\n"), "", "", lookupIn(env))
		switch {
		case !wantErr && err != nil:
			t.Errorf("%s: %v", value, err)
		case wantErr && (err == nil || err.Error() != `line 3: registry.path: environment variable "X" is not set` &&
			err.Error() != `line 4: registry.path: environment variable "X" is not set`):
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestNeededVariables(t *testing.T) {
	for yaml, want := range map[string]string{
		"project: $X\nregistry: r":                                    `line 1: project: environment variable "X" is not set`,
		"project: p\nregistry: $X":                                    `line 2: registry: environment variable "X" is not set`,
		"project: p\nregistry: r\nonline_store: $X":                   `line 3: online_store: environment variable "X" is not set`,
		"project: p\nregistry: r\nonline_store: {type: $X}":           `line 3: online_store.type: environment variable "X" is not set`,
		"project: p\nregistry: r\nauth: {type: $X}":                   `line 3: auth.type: environment variable "X" is not set`,
		"project: p\nregistry: r\nfeature_server: $X":                 `line 3: feature_server: environment variable "X" is not set`,
		"project: p\nregistry: r\ncoerce_tz_aware: $X":                `line 3: coerce_tz_aware: environment variable "X" is not set`,
		"project: p\nregistry: r\noffline_store: $X":                  "",
		"project: p\nregistry: r\nbatch_engine: {type: $X}":           "",
		"project: p\nregistry: r\nprovider: $X":                       "",
		"project: p\nregistry: r\nproject_description: $X":            "",
		"project: p\nregistry: r\nembedding_model: {model: $X}":       "",
		"project: p\nregistry: r\nonline_store: {type: redis, a: $X}": "",
		"project: p\nregistry: r\nanything: $X":                       "",
	} {
		c, err := Parse([]byte(yaml), "", "", nil)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", yaml, err)
		case want == "" && len(c.Warnings) != 1:
			t.Errorf("%s: warnings %v", yaml, c.Warnings)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%s: %v, want %s", yaml, err, want)
		}
	}
}
