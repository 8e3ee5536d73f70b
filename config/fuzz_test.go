package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/feastgo/feast/feasterr"
)

func FuzzParse(f *testing.F) {
	golden := readGolden(f)
	for _, c := range golden.Cases {
		f.Add([]byte(c.YAML))
	}
	for _, yaml := range []string{
		"project: p\nregistry: r\nx: &x {<<: [{a: 1}, *x]}\n? [a]\n: !!binary aGk=\n",
		"project: p\nregistry: r\nonline_store: {type: redis, int: 0x1F, float: 1:30.5, texts: [a, $FS_UNDEF], free: {a: !!int 5}}",
		"project: p\nregistry: r\nx: |\n  ${FS_MULTI} $FS_UNDEF # $FS_UNDEF\ny: \"${FS_UNDEF}\"\n---\n",
	} {
		f.Add([]byte(yaml))
	}
	env := lookupIn(golden.Env)
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := 1 + strings.Count(string(data), "\n")
		inRange := func(problems []Problem) {
			for _, p := range problems {
				if p.Line < 0 || p.Line > lines {
					t.Errorf("%v is not in a file of %d lines", p, lines)
				}
			}
		}
		invalid := func(err error) {
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, feasterr.ErrInvalid) || len(e.Problems) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			inRange(e.Problems)
		}
		c, err := Parse(data, "f.yaml", "/repo", env)
		again, errAgain := Parse(data, "f.yaml", "/repo", env)
		if err != nil {
			invalid(err)
			if errAgain == nil || errAgain.Error() != err.Error() {
				t.Errorf("first %v, then %v", err, errAgain)
			}
			return
		}
		inRange(c.Warnings)
		if !reflect.DeepEqual(c.Warnings, again.Warnings) {
			t.Errorf("first %v, then %v", c.Warnings, again.Warnings)
		}
		if _, err := c.Registry.Driver(); err != nil {
			t.Error(err)
		}
		c.ResolvePath(c.Registry.Path)
		sections := []Section{c.Registry.Section, c.OnlineStore, c.OfflineStore, c.BatchEngine, c.Auth, c.FeatureServer, c.MLflow}
		for _, s := range c.Extra {
			sections = append(sections, s)
		}
		for _, s := range sections {
			if err := s.Decode(new(everything)); err != nil {
				invalid(err)
			}
			var v any
			if err := s.Decode(&v); err != nil {
				t.Error(err)
			}
		}
	})
}
