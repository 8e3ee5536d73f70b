package registryserver

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/exceptions"
	valuepb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/internal/pyrepr"
	"github.com/feastgo/feast/types"
)

// The REST form shows definitions of objects in Python, as texts for people. Their odd line ends are Feast's.

// className returns the name of a type in Python, by that of the message: STRING for what Feast does not know.
func className(name string) string {
	t := types.Type(valuepb.ValueType_Enum_value[strings.ToUpper(name)])
	switch t {
	case types.Invalid:
		if name == "" || strings.ToUpper(name) != "INVALID" {
			return types.String.String()
		}
	case types.Struct:
		return "Struct({_value: String})"
	case types.StructList:
		return "Array(Struct({_value: String}))"
	case types.ValueList:
		return "Array(Array(String))"
	case types.ValueSet:
		return "Set(Array(String))"
	}
	return t.String()
}

// schemaCode returns the lines of a schema, and the types in it.
func schemaCode(fields []any, described bool) (lines string, names []string) {
	var b strings.Builder
	for _, f := range fields {
		name := className(textAt(f, "valueType"))
		b.WriteString(`        Field(name="` + textAt(f, "name") + `", dtype=` + name)
		if d := textAt(f, "description"); described && d != "" {
			b.WriteString(`, description="` + d + `"`)
		}
		b.WriteString("),\n")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return b.String(), names
}

func entityCode(o object) string {
	name := textAt(o, "spec", "name")
	keys := []string{}
	if k := textAt(o, "spec", "joinKey"); k != "" {
		keys = append(keys, k)
	}
	code := "from feast import Entity\n\n" + name + " = Entity(\n    name=\"" + name + "\",\n    join_keys=" + pyrepr.Value(keys)
	if d := textAt(o, "spec", "description"); d != "" {
		code += ",\n    description=\"" + d + `"`
	}
	if tags := objectAt(o, "spec", "tags"); len(tags) > 0 {
		code += ",\n    tags=" + pyrepr.Value(tags)
	}
	return code + ") "
}

func sourceCode(o object) string {
	name := textAt(o, "name")
	kind := textAt(o, "type")
	switch {
	case kind == "REQUEST_SOURCE":
		lines, names := schemaCode(listAt(o, "requestDataOptions", "schema"), false)
		return "from feast import RequestSource, Field\nfrom feast.types import " + strings.Join(names, ", ") + "\n\n" + name +
			" = RequestSource(\n    name=\"" + name + "\",\n    schema=[\n" + lines + "    ],\n) "
	case kind == "PUSH_SOURCE" && o["batchSource"] != nil:
		return "from feast import PushSource\n\n" + name + " = PushSource(\n    name=\"" + name + "\",\n    batch_source=" +
			textAt(o, "batchSource", "name") + ",\n) "
	}
	field := "event_timestamp"
	if f := textAt(o, "timestampField"); f != "" {
		field = f
	}
	code := "from feast import FileSource\n\n" + name + " = FileSource(\n    name=\"" + name + "\",\n    path=\"" + textAt(o, "fileOptions", "uri") +
		"\",\n    timestamp_field=\"" + field + "\",\n"
	if created := textAt(o, "createdTimestampColumn"); created != "" {
		code += `created_timestamp_column="` + created + `",`
	}
	return code + ") "
}

func viewCode(o object) string {
	spec := objectAt(o, "spec")
	class := "FeatureView"
	var source string
	switch textAt(o, "type") {
	case "onDemandFeatureView":
		class, source = "OnDemandFeatureView", "source_feature_view"
		if sources := objectAt(spec, "sources"); len(sources) > 0 {
			var list []string
			for _, k := range slices.Sorted(maps.Keys(sources)) {
				list = append(list, `"`+k+`": `+k)
			}
			source = "{" + strings.Join(list, ", ") + "}"
		}
	case "streamFeatureView":
		class, source = "StreamFeatureView", or(textAt(spec, "streamSource", "name"), "stream_source")
	default:
		if views := listAt(spec, "sourceViews"); len(views) > 0 {
			var list []string
			for _, v := range views {
				list = append(list, or(textAt(v, "name"), "source_view"))
			}
			source = "[" + strings.Join(list, ", ") + "]"
		} else {
			source = or(textAt(spec, "source", "name"), or(textAt(spec, "batchSource", "name"), "driver_stats_source"))
		}
	}
	var entities []string
	for _, e := range listAt(spec, "entities") {
		name, _ := e.(string)
		entities = append(entities, name)
	}
	lines, names := schemaCode(listAt(spec, "features"), true)
	name, keys := or(textAt(spec, "name"), "example"), strings.Join(entities, ", ")
	code := "from feast import Field, " + class + "\n"
	if class == "OnDemandFeatureView" {
		code = "from feast import Field\nfrom feast.on_demand_feature_view import on_demand_feature_view\nimport pandas as pd\n"
	}
	code += "from feast.types import " + strings.Join(names, ", ") + "\n\n# Assumes " + keys + " and " + source + " are defined elsewhere in your repo\n"
	if class == "OnDemandFeatureView" {
		return code + "@on_demand_feature_view(\n    sources=" + source + ",\n    schema=[\n" + lines + "    ],\n)\ndef " + name +
			"(inputs: pd.DataFrame) -> pd.DataFrame:\n    df = pd.DataFrame()\n    # Your transformation logic here\n" +
			"    # Example: df[\"feature_name\"] = inputs[\"source_column\"]\n    return df\n "
	}
	ttl := "timedelta(days=1)"
	if seconds, ok := strings.CutSuffix(textAt(spec, "ttl"), "s"); ok && strings.Trim(seconds, "0123456789") == "" && seconds != "" {
		ttl = "timedelta(seconds=" + seconds + ")"
	}
	tags := ""
	if t := objectAt(spec, "tags"); len(t) > 0 {
		tags = "tags=" + pyrepr.Value(t) + ","
	}
	return code + name + "_feature_view = " + class + "(\n    name=\"" + name + "\",\n    entities=[" + keys + "],\n    ttl=" + ttl +
		",\n    schema=[\n" + lines + "    ],\n    online=True,\n    source=" + source + ",\n    " + tags + "\n)\n "
}

func serviceCode(o object) string {
	spec := objectAt(o, "spec")
	var features []string
	for _, p := range listAt(spec, "features") {
		view := textAt(p, "featureViewName")
		var columns []string
		for _, c := range listAt(p, "featureColumns") {
			columns = append(columns, pyrepr.Text(textAt(c, "name")))
		}
		switch {
		case view == "":
		case len(columns) > 0:
			features = append(features, view+"[["+strings.Join(columns, ", ")+"]]")
		default:
			features = append(features, view)
		}
	}
	code := listCode("FeatureService", or(textAt(spec, "name"), "default_feature_service"), strings.Join(features, ", "), objectAt(spec, "tags"))
	if d := textAt(spec, "description"); d != "" {
		code += `description="` + d + `",`
	}
	if l, ok := spec["loggingConfig"]; ok {
		code += "logging_config=" + pyrepr.Value(l) + ","
	}
	return code + ") "
}

func datasetCode(o object) string {
	spec := objectAt(o, "spec")
	var features []string
	for _, f := range listAt(spec, "features") {
		reference, _ := f.(string)
		features = append(features, reference)
	}
	return listCode("SavedDataset", textAt(spec, "name"), strings.Join(features, ", "), objectAt(spec, "tags")) + ") "
}

func listCode(class, name, features string, tags object) string {
	code := "from feast import " + class + "\n\n" + name + " = " + class + "(\n    name=\"" + name + "\",\n    features=[" + features + "],\n"
	if len(tags) > 0 {
		code += "tags=" + pyrepr.Value(tags) + ","
	}
	return code
}

func featureCode(o object) string {
	name := textAt(o, "name")
	code := "from feast import Feature\n\n" + name + " = Feature(\n    name=\"" + name + "\",\n    dtype=" + className(textAt(o, "type")) + ",\n"
	if d := textAt(o, "description"); d != "" {
		code += `description="` + d + `",`
	}
	if tags := objectAt(o, "tags"); len(tags) > 0 {
		code += "labels=" + pyrepr.Value(tags) + ","
	}
	return code + ") "
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// camel returns a name in the form that JSON of messages has.
func camel(name string) string {
	var b strings.Builder
	for i, part := range strings.Split(name, "_") {
		if i > 0 && part != "" {
			part = strings.ToUpper(part[:1]) + part[1:]
		}
		b.WriteString(part)
	}
	return b.String()
}

// setText sets a field of a message that is text, or bytes; others stay.
func setText(m protoreflect.Message, f protoreflect.FieldDescriptor, text string) {
	switch f.Kind() {
	case protoreflect.StringKind:
		m.Set(f, protoreflect.ValueOfString(text))
	case protoreflect.BytesKind:
		m.Set(f, protoreflect.ValueOfBytes([]byte(text)))
	}
}

func jsonText(text string) string { return string(exceptions.AppendText(nil, text)) }

func invalid(text string) error { return feasterr.Invalid("%s", text) }
