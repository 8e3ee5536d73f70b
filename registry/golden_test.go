package registry

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/permissions"
)

// goldenFiles are all registry files in testdata, as written by Feast 0.67.
func goldenFiles(tb testing.TB) []string {
	tb.Helper()
	var files []string
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".db") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) != 15 {
		tb.Fatalf("%d golden registries, %v", len(files), err)
	}
	return files
}

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func parse(tb testing.TB, data []byte) *State {
	tb.Helper()
	s, err := ParseState(data)
	if err != nil {
		tb.Fatal(err)
	}
	if len(s.Bad) > 0 {
		tb.Fatalf("bad records: %v", s.Bad)
	}
	return s
}

// messageOf returns an empty message of the kind.
func messageOf(k Kind) proto.Message {
	return map[Kind]proto.Message{
		KindProject: new(core.Project), KindEntity: new(core.Entity), KindDataSource: new(core.DataSource),
		KindFeatureView: new(core.FeatureView), KindStreamFeatureView: new(core.StreamFeatureView),
		KindOnDemandFeatureView: new(core.OnDemandFeatureView), KindLabelView: new(core.LabelView),
		KindFeatureService: new(core.FeatureService), KindSavedDataset: new(core.SavedDataset),
		KindValidationReference: new(core.ValidationReference), KindPermission: new(core.Permission),
		KindInfra: new(core.Infra), KindViewVersion: new(core.FeatureViewVersionRecord),
		KindProjectMetadata: new(core.ProjectMetadata),
	}[k]
}

func unmarshalRecord(tb testing.TB, r Record) proto.Message {
	tb.Helper()
	pb := messageOf(r.Kind)
	if err := proto.Unmarshal(r.Proto, pb); err != nil {
		tb.Fatalf("%s: %v", r.ID, err)
	}
	return pb
}

// encodeAny is Encode for all kinds of records.
func encodeAny(tb testing.TB, v any) Record {
	tb.Helper()
	var r Record
	var err error
	switch v := v.(type) {
	case *Infra:
		r.ID = ID{Kind: KindInfra, Name: InfraName}
		r.Proto, err = marshal(v, moveInfra)
	case *ViewVersion:
		r, err = encode("", v, moveViewVersion)
	default:
		r, err = Encode("", v.(Object))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func decodeRecord(tb testing.TB, r Record) any {
	tb.Helper()
	v, err := decode(r)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func equalMessages(tb testing.TB, what any, got, want proto.Message) {
	tb.Helper()
	if !proto.Equal(got, want) {
		tb.Errorf("%v:\n got %s\nwant %s", what, protojson.Format(got), protojson.Format(want))
	}
}

// Every object of every golden registry, and the views in the version histories, decode and encode to the message they
// were.
func TestGoldenRoundTrip(t *testing.T) {
	total := 0
	for _, file := range goldenFiles(t) {
		state := parse(t, readFile(t, file))
		for _, r := range state.Records {
			if r.Kind == KindProjectMetadata {
				continue
			}
			v := decodeRecord(t, r)
			again := encodeAny(t, v)
			if again.ID != r.ID {
				t.Errorf("%s: %s became %s", file, r.ID, again.ID)
			}
			equalMessages(t, r.ID, unmarshalRecord(t, again), unmarshalRecord(t, r))
			total++
			if v, ok := v.(*ViewVersion); ok {
				inner := Record{ID: ID{Kind: v.Kind, Project: v.Project, Name: v.View}, Proto: v.Proto}
				equalMessages(t, r.ID, unmarshalRecord(t, encodeAny(t, decodeRecord(t, inner))), unmarshalRecord(t, inner))
			}
		}
	}
	if total < 400 {
		t.Errorf("only %d records", total)
	}
}

// The whole of registry.json comes out of registry.db through the object model.
func TestGoldenJSON(t *testing.T) {
	var want core.Registry
	if err := protojson.Unmarshal(readFile(t, "testdata/registry/file/registry.json"), &want); err != nil {
		t.Fatal(err)
	}
	state := parse(t, readFile(t, "testdata/registry/file/registry.db"))
	got := &core.Registry{RegistrySchemaVersion: "1", VersionId: state.VersionID, LastUpdated: want.LastUpdated,
		FeatureViewVersionHistory: new(core.FeatureViewVersionHistory)}
	if !state.LastUpdated.Equal(want.LastUpdated.AsTime()) {
		t.Errorf("last updated %v, want %v", state.LastUpdated, want.LastUpdated.AsTime())
	}
	for _, r := range state.Records {
		switch pb := unmarshalRecord(t, encodeAny(t, decodeRecord(t, r))).(type) {
		case *core.Project:
			got.Projects = append(got.Projects, pb)
		case *core.Entity:
			got.Entities = append(got.Entities, pb)
		case *core.DataSource:
			got.DataSources = append(got.DataSources, pb)
		case *core.FeatureView:
			got.FeatureViews = append(got.FeatureViews, pb)
		case *core.StreamFeatureView:
			got.StreamFeatureViews = append(got.StreamFeatureViews, pb)
		case *core.OnDemandFeatureView:
			got.OnDemandFeatureViews = append(got.OnDemandFeatureViews, pb)
		case *core.LabelView:
			got.LabelViews = append(got.LabelViews, pb)
		case *core.FeatureService:
			got.FeatureServices = append(got.FeatureServices, pb)
		case *core.SavedDataset:
			got.SavedDatasets = append(got.SavedDatasets, pb)
		case *core.Permission:
			got.Permissions = append(got.Permissions, pb)
		case *core.FeatureViewVersionRecord:
			got.FeatureViewVersionHistory.Records = append(got.FeatureViewVersionHistory.Records, pb)
		default:
			t.Errorf("unexpected %T", pb)
		}
	}
	equalMessages(t, "registry", got, &want)
}

// The registries after each step of a project's life: states, intervals, pins, disabled views, version numbers.
func TestGoldenSequence(t *testing.T) {
	var sequence struct {
		Steps []struct {
			Step     string
			Registry map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal(readFile(t, "registrytest/testdata/sequence_file.json"), &sequence); err != nil {
		t.Fatal(err)
	}
	intervals, pinned := 0, 0
	for _, step := range sequence.Steps {
		if step.Registry == nil {
			continue // the step failed and changed nothing
		}
		delete(step.Registry, "featureViewVersionHistory") // is not proto JSON there
		text, err := json.Marshal(step.Registry)
		if err != nil {
			t.Fatal(err)
		}
		pb := new(core.Registry)
		if err := protojson.Unmarshal(text, pb); err != nil {
			t.Fatalf("%s: %v", step.Step, err)
		}
		data, err := proto.Marshal(pb)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range parse(t, data).Records {
			if r.Kind == KindProjectMetadata {
				continue
			}
			v := decodeRecord(t, r)
			equalMessages(t, step.Step, unmarshalRecord(t, encodeAny(t, v)), unmarshalRecord(t, r))
			if v, ok := v.(*FeatureView); ok {
				intervals += len(v.MaterializationIntervals)
				if v.Version != "" {
					pinned++
				}
			}
		}
	}
	if intervals == 0 || pinned == 0 {
		t.Errorf("%d intervals, %d pinned views", intervals, pinned)
	}
}

func TestGoldenPermissions(t *testing.T) {
	var cases []struct {
		Note, Hex  string
		Permission json.RawMessage // absent: not what Feast would write
	}
	if err := json.Unmarshal(readFile(t, "testdata/permissions/permission_protos.json"), &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.Hex == "" {
			continue // about a constructor of Feast
		}
		b, err := hex.DecodeString(c.Hex)
		if err != nil {
			t.Fatal(err)
		}
		want := new(core.Permission)
		if err := proto.Unmarshal(b, want); err != nil {
			t.Fatalf("%s: %v", c.Note, err)
		}
		p := decodeRecord(t, Record{ID: ID{Kind: KindPermission}, Proto: b}).(*permissions.Permission)
		equalMessages(t, c.Note, unmarshalRecord(t, encodeAny(t, p)), want)
		// The same permission made in Go is the same message: what Feast writes by default is written.
		made := *p
		*made.Origin() = *new(permissions.Permission).Origin()
		if c.Permission != nil {
			equalMessages(t, c.Note+", made in Go", unmarshalRecord(t, encodeAny(t, &made)), want)
		}
	}
	if len(cases) < 5 {
		t.Errorf("only %d cases", len(cases))
	}
}

// addUnknown gives every message within m a field that no version of Feast has.
func addUnknown(m protoreflect.Message) {
	m.SetUnknown(append(slices.Clip(m.GetUnknown()), 0xfa, 0xff, 0x3f, 3, 'n', 'e', 'w')) // field 131071, bytes "new"
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					addUnknown(v.Message())
					return true
				})
			}
		case fd.IsList():
			for i := range v.List().Len() {
				if fd.Message() != nil {
					addUnknown(v.List().Get(i).Message())
				}
			}
		case fd.Message() != nil:
			addUnknown(v.Message())
		}
		return true
	})
}

// Fields of a newer Feast, at every level of every object, survive reading and writing, also when something else
// changes.
func TestUnknownFieldsSurvive(t *testing.T) {
	for _, file := range goldenFiles(t) {
		for _, r := range parse(t, readFile(t, file)).Records {
			if r.Kind == KindProjectMetadata {
				continue
			}
			want := unmarshalRecord(t, r)
			addUnknown(want.ProtoReflect())
			var err error
			if r.Proto, err = proto.Marshal(want); err != nil {
				t.Fatal(err)
			}
			v := decodeRecord(t, r)
			equalMessages(t, r.ID, unmarshalRecord(t, encodeAny(t, v)), want)

			switch v := v.(type) {
			case *FeatureView:
				v.Description, want.(*core.FeatureView).Spec.Description = "changed", "changed"
				slices.Reverse(v.Schema)
				slices.Reverse(want.(*core.FeatureView).Spec.Features)
			case *FeatureService:
				v.Features[0].Alias, want.(*core.FeatureService).Spec.Features[0].FeatureViewNameAlias = "other", "other"
			case *DataSource:
				v.TimestampField, want.(*core.DataSource).TimestampField = "changed", "changed"
				if o, ok := v.Options.(FileOptions); ok {
					o.Path, want.(*core.DataSource).GetFileOptions().Uri = "changed", "changed"
					v.Options = o
				}
			case *OnDemandFeatureView:
				for i := range v.Sources {
					v.Sources[i].Features = v.Sources[i].Features[:1]
				}
				for _, s := range want.(*core.OnDemandFeatureView).Spec.Sources {
					if p := s.GetFeatureViewProjection(); p != nil {
						p.FeatureColumns = p.FeatureColumns[:1]
					}
				}
			default:
				continue
			}
			equalMessages(t, r.ID, unmarshalRecord(t, encodeAny(t, v)), want)
		}
	}
}

func FuzzRegistryFile(f *testing.F) {
	for _, file := range goldenFiles(f) {
		data := readFile(f, file)
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte(nil))
	f.Add([]byte("project: demo\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		state, err := ParseState(data)
		if err != nil {
			return
		}
		project := ""
		for _, r := range state.Records {
			project = r.Project
			v, err := decode(r)
			if err != nil {
				continue
			}
			again := encodeAny(t, v)
			if err := proto.Unmarshal(again.Proto, messageOf(r.Kind)); err != nil {
				t.Errorf("%s is written as what cannot be read: %v", r.ID, err)
			}
		}
		snap := newSnapshot(project, state, "1", nil)
		snap.Bad()
		for v := range snap.Views() {
			v.Info()
		}
		if !bytes.Equal(data, before) {
			t.Error("reading modified the data")
		}
	})
}
