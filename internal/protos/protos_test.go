package protos_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/feastgo/feast/internal/protos/feast/core"
	_ "github.com/feastgo/feast/internal/protos/feast/registry"
	_ "github.com/feastgo/feast/internal/protos/feast/serving"
	_ "github.com/feastgo/feast/internal/protos/feast/storage"
	_ "github.com/feastgo/feast/internal/protos/feast/types"
)

// golden is the form of testdata/messages.json, which was dumped from the descriptors of Feast.
type golden struct {
	FeastVersion string `json:"feast_version"`
	Files        []struct {
		File     string
		Package  string
		Messages []struct {
			Name   string
			Fields []field
		}
		Enums []struct {
			Name   string
			Values map[string]int
		}
		Services []struct {
			Name    string
			Methods []struct{ Name, Input, Output string }
		}
	}
}

type field struct {
	Name           string
	JSONName       string `json:"json_name"`
	Number         int
	Type           string
	Label          string
	TypeName       string `json:"type_name"`
	Oneof          string
	Proto3Optional bool `json:"proto3_optional"`
	Map            struct{ Key, Value string }
}

// A contract says about each file, message, field, enum, value, service and method, by its place, what it is.
type contract map[string]string

func (c contract) file(path, pkg string)     { c["file "+path] = "package " + pkg }
func (c contract) message(file, name string) { c["message "+name] = "in " + file }
func (c contract) enum(file, name string)    { c["enum "+name] = "in " + file }
func (c contract) service(file, name string) { c["service "+name] = "in " + file }
func (c contract) field(message string, f field) {
	c["field "+message+" "+f.Name] = fmt.Sprintf("%+v", f)
}
func (c contract) value(enum, name string, n int) { c["value "+enum+" "+name] = fmt.Sprint(n) }
func (c contract) method(service, name, in, out string) {
	c["method "+service+" "+name] = in + " -> " + out
}

func readGolden(t *testing.T) contract {
	t.Helper()
	data, err := os.ReadFile("testdata/messages.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	c := contract{}
	for _, file := range g.Files {
		c.file(file.File, file.Package)
		for _, m := range file.Messages {
			c.message(file.File, m.Name)
			for _, f := range m.Fields {
				c.field(m.Name, f)
			}
		}
		for _, e := range file.Enums {
			c.enum(file.File, e.Name)
			for name, number := range e.Values {
				c.value(e.Name, name, number)
			}
		}
		for _, s := range file.Services {
			c.service(file.File, s.Name)
			for _, m := range s.Methods {
				c.method(s.Name, m.Name, m.Input, m.Output)
			}
		}
	}
	return c
}

func readLinked() contract {
	c := contract{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(file.Path(), "feast/") {
			return true
		}
		c.file(file.Path(), string(file.Package()))
		c.addMessages(file.Messages())
		c.addEnums(file.Enums())
		for s := range list(file.Services()) {
			c.service(file.Path(), string(s.FullName()))
			for m := range list(s.Methods()) {
				in, out := string(m.Input().FullName()), string(m.Output().FullName())
				if m.IsStreamingClient() {
					in = "stream " + in
				}
				if m.IsStreamingServer() {
					out = "stream " + out
				}
				c.method(string(s.FullName()), string(m.Name()), in, out)
			}
		}
		return true
	})
	return c
}

func (c contract) addMessages(messages protoreflect.MessageDescriptors) {
	for m := range list(messages) {
		if m.IsMapEntry() {
			continue
		}
		c.message(m.ParentFile().Path(), string(m.FullName()))
		for f := range list(m.Fields()) {
			c.field(string(m.FullName()), describe(f))
		}
		c.addMessages(m.Messages())
		c.addEnums(m.Enums())
	}
}

func (c contract) addEnums(enums protoreflect.EnumDescriptors) {
	for e := range list(enums) {
		c.enum(e.ParentFile().Path(), string(e.FullName()))
		for v := range list(e.Values()) {
			c.value(string(e.FullName()), string(v.Name()), int(v.Number()))
		}
	}
}

// list iterates over any of protoreflect's lists of descriptors.
func list[D any](l interface {
	Len() int
	Get(int) D
},
) func(yield func(D) bool) {
	return func(yield func(D) bool) {
		for i := range l.Len() {
			if !yield(l.Get(i)) {
				return
			}
		}
	}
}

func describe(fd protoreflect.FieldDescriptor) field {
	f := field{
		Name:           string(fd.Name()),
		JSONName:       fd.JSONName(),
		Number:         int(fd.Number()),
		Type:           fd.Kind().String(),
		Label:          fd.Cardinality().String(),
		Proto3Optional: fd.HasOptionalKeyword(),
	}
	if m := fd.Message(); m != nil {
		f.TypeName = string(m.FullName())
	}
	if e := fd.Enum(); e != nil {
		f.TypeName = string(e.FullName())
	}
	if o := fd.ContainingOneof(); o != nil && !o.IsSynthetic() {
		f.Oneof = string(o.Name())
	}
	if fd.IsMap() {
		f.Map.Key, f.Map.Value = fd.MapKey().Kind().String(), fd.MapValue().Kind().String()
	}
	return f
}

func TestContractIsFeasts(t *testing.T) {
	want, got := readGolden(t), readLinked()
	for _, place := range slices.Sorted(maps.Keys(want)) {
		switch is, ok := got[place]; {
		case !ok:
			t.Errorf("%s: missing, want %s", place, want[place])
		case is != want[place]:
			t.Errorf("%s:\n got %s\nwant %s", place, is, want[place])
		}
	}
	for _, place := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[place]; !ok {
			t.Errorf("%s: not in Feast: %s", place, got[place])
		}
	}
	if t.Failed() {
		return
	}
	count := map[string]int{}
	for place := range got {
		kind, _, _ := strings.Cut(place, " ")
		count[kind]++
	}
	t.Logf("compared: %v", count)
}

// The values of maps have types that messages.json calls only message or enum.
func TestMapValueTypes(t *testing.T) {
	want := map[string]string{
		"feast.core.DataSource.RequestDataOptions.deprecated_schema": "feast.types.ValueType.Enum",
		"feast.core.OnDemandFeatureViewSpec.sources":                 "feast.core.OnDemandSource",
		"feast.serving.GetOnlineFeaturesRequest.entities":            "feast.types.RepeatedValue",
		"feast.serving.GetOnlineFeaturesRequest.request_context":     "feast.types.RepeatedValue",
		"feast.serving.GetOnlineFeaturesRequestV2.EntityRow.fields":  "feast.types.Value",
		"feast.types.Map.val":                      "feast.types.Value",
		"PushRequest.typed_features":               "feast.types.Value",
		"WriteToOnlineStoreRequest.typed_features": "feast.types.Value",
	}
	got := map[string]string{}
	protoregistry.GlobalTypes.RangeMessages(func(m protoreflect.MessageType) bool {
		for f := range list(m.Descriptor().Fields()) {
			if !strings.HasPrefix(f.ParentFile().Path(), "feast/") || !f.IsMap() {
				continue
			}
			if v := f.MapValue().Message(); v != nil {
				got[string(f.FullName())] = string(v.FullName())
			}
			if v := f.MapValue().Enum(); v != nil {
				got[string(f.FullName())] = string(v.FullName())
			}
		}
		return true
	})
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Versions of Feast after 0.67 write DataSource.connection_ref = 29. It must survive, also below repeated fields.
func TestUnknownFieldsSurvive(t *testing.T) {
	ref := protowire.AppendTag(nil, 1, protowire.BytesType)
	ref = protowire.AppendString(ref, "glue")
	source := protowire.AppendTag(nil, 20, protowire.BytesType)
	source = protowire.AppendString(source, "rides")
	source = protowire.AppendTag(source, 29, protowire.BytesType)
	source = protowire.AppendBytes(source, ref)
	registry := protowire.AppendTag(nil, 12, protowire.BytesType)
	registry = protowire.AppendBytes(registry, source)

	var r core.Registry
	if err := proto.Unmarshal(registry, &r); err != nil {
		t.Fatal(err)
	}
	if name := r.DataSources[0].Name; name != "rides" {
		t.Fatalf("name is %q, want rides", name)
	}
	r.DataSources[0].Name = "trips"
	out, err := proto.Marshal(&r)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(string(registry), "rides", "trips", 1)
	if string(out) != want {
		t.Errorf("got  %q\nwant %q", out, want)
	}
}
