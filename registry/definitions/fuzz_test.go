package definitions_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/yamldoc"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/definitions"
)

// Whatever is parsed: what is wrong has a type and a place in the file, and what is not is exported and parsed again to
// the same.
func FuzzParse(f *testing.F) {
	for _, objects := range goldenObjects(f) {
		f.Add(export(f, objects...))
		for _, o := range objects[:min(len(objects), 40)] {
			if text, ok := exportAlone(o); ok {
				f.Add(text)
			}
		}
	}
	f.Add(export(f, everything()...))
	for _, text := range []string{
		"kind: FeatureView\nname: v\nschema:\n  - &f {name: a, type: Int64, tags: &t {x: '1'}}\n  - {<<: *f, name: b}\ntags: *t\n",
		"kind: FeatureView\nname: a\nsource_views: [b, {kind: BatchFeatureView, name: c, feature_transformation: {}, source_views: [b]}]\n" +
			"---\nkind: FeatureView\nname: b\nsource: {kind: PushSource, name: p, batch_source: {kind: FileSource, path: x}}\n",
		"kind: FeatureService\nname: s\nfeatures: [v@v1, 'v:x', {view: v, version: 0, view_type: featureView, features: [{name: x, type: Set(Set(Int64))}]}]\n" +
			"---\nkind: LabelView\nname: v\nttl: 1d1ns\nschema: [{name: x, type: 'Array(Struct({a: Int64}))'}]",
		"kind: LabelView\nname: v\nttl: 999999999d\nschema: [{name: x, type: '" + strings.Repeat("Array(", 101) + "Int64" + strings.Repeat(")", 101) + "'}]",
		"kind: LabelView\nname: v\nschema: [{name: x, type: 'Struct({a: " + strings.Repeat("Set(", 100) + "Int64" + strings.Repeat(")", 100) + "})'}]",
		"kind: Entity\nname: |+\n  a\n\n\ndescription: >-\n  b\n  c\ntags: {<<: {a: \"\\0\\u2028\"}, ? b : \"\\x85\"}\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := definitions.Parse("f.yaml", data)
		if err != nil {
			lines := yamldoc.Lines(string(data))
			all, ok := err.(interface{ Unwrap() []error })
			if !ok || !errors.Is(err, feasterr.ErrInvalid) {
				t.Fatalf("%T: %v", err, err)
			}
			for _, err := range all.Unwrap() {
				var e *definitions.Error
				switch {
				case errors.As(err, &e):
					if e.Line < 1 || e.Line > lines || e.Column < 0 || e.File != "f.yaml" || e.Message == "" {
						t.Errorf("%#v is not in a file of %d lines", e, lines)
					}
				case !strings.HasPrefix(err.Error(), "and more problems"):
					t.Errorf("%T: %v", err, err)
				}
			}
			return
		}
		text := export(t, objects...)
		again := parse(t, text)
		if second := export(t, again...); !bytes.Equal(second, text) {
			t.Fatalf("exported\n%s\nand then\n%s", text, second)
		}
		if len(again) != len(objects) {
			t.Fatalf("%d objects, then %d", len(objects), len(again))
		}
		for i, o := range parse(t, text) {
			if !reflect.DeepEqual(tree(o), tree(again[i])) {
				t.Errorf("%v, then %v", tree(again[i]), tree(o))
			}
			if registry.KindOf(o) != registry.KindOf(objects[i]) || o.Resource().Name != objects[i].Resource().Name {
				t.Errorf("%v, then %v", objects[i].Resource(), o.Resource())
			}
		}
	})
}

func exportAlone(o registry.Object) ([]byte, bool) {
	var b bytes.Buffer
	err := definitions.Export(&b, o)
	return b.Bytes(), err == nil
}
