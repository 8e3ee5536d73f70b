package definitions_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/definitions"
	"github.com/feastgo/feast/types"
)

// repository is 1,000 views of 20 features, with their entities, sources and services.
func repository() []registry.Object {
	var objects []registry.Object
	for i := range 1000 {
		e := &registry.Entity{Name: fmt.Sprint("entity", i), JoinKey: fmt.Sprint("key", i), ValueType: types.Int64}
		s := &registry.DataSource{Name: fmt.Sprint("file", i), TimestampField: "ts", Options: registry.FileOptions{Path: "p"}}
		v := &registry.FeatureView{Name: fmt.Sprint("view", i), Entities: []string{e.Name}, TTL: time.Hour, Source: s, Online: true}
		for f := range 20 {
			v.Schema = append(v.Schema, registry.Field{Name: fmt.Sprint("feature", f), Type: types.Float32})
		}
		service := &registry.FeatureService{Name: fmt.Sprint("service", i), Features: []registry.FeatureViewProjection{{Name: v.Name}}}
		objects = append(objects, e, s, v, service)
	}
	return objects
}

// The floor is what the YAML package needs for the same text, as nodes.
func BenchmarkParse(b *testing.B) {
	text := export(b, repository()...)
	b.Run("floor", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			d := yaml.NewDecoder(bytes.NewReader(text))
			for {
				var n yaml.Node
				if err := d.Decode(&n); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("definitions", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := definitions.Parse("f", text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkExport(b *testing.B) {
	objects := repository()
	for b.Loop() {
		if err := definitions.Export(io.Discard, objects...); err != nil {
			b.Fatal(err)
		}
	}
}
