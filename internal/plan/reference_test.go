package plan

import (
	"errors"
	"strings"
	"testing"

	"github.com/feastgo/feast/feasterr"
)

func TestParseReference(t *testing.T) {
	for ref, want := range map[string]Reference{
		"v:f":                       {"v", -1, "f"},
		"v:f:x":                     {"v", -1, "f:x"},
		"v@v2:f":                    {"v", 2, "f"},
		"v@V12:f":                   {"v", 12, "f"},
		"v@v0:f":                    {"v", 0, "f"},
		"v@:f":                      {"v", -1, "f"},
		"v@latest:f":                {"v", -1, "f"},
		"v@LATEST:f":                {"v", -1, "f"},
		"v@beta:f":                  {"v@beta", -1, "f"},
		"v@v:f":                     {"v@v", -1, "f"},
		"v@v1x:f":                   {"v@v1x", -1, "f"},
		"v@a@v1:f":                  {"v@a@v1", -1, "f"},
		":":                         {"", -1, ""},
		"v@v99999999999999999999:f": {"v@v99999999999999999999", -1, "f"},
	} {
		got, err := ParseReference(ref)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v; want %+v", ref, got, err, want)
		}
	}
	if _, err := ParseReference("view"); !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), `"view" has no colon`) {
		t.Errorf("a reference without a colon: %v", err)
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"v:f", "v@v1:f", "v@latest:f", "@:", "v@v1", "v:f:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReference(s)
		if (err != nil) != !strings.Contains(s, ":") {
			t.Fatalf("%q: %v", s, err)
		}
		if err == nil && (strings.Contains(r.View, ":") || !strings.HasPrefix(s, r.View) || !strings.HasSuffix(s, ":"+r.Feature) || r.Version < -1) {
			t.Errorf("%q is %+v", s, r)
		}
	})
}
