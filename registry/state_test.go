package registry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/permissions"
)

func TestParseState(t *testing.T) {
	now := time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.UTC)
	data := must(proto.Marshal(&core.Registry{
		RegistrySchemaVersion: "1", VersionId: "v", LastUpdated: timestamppb.New(now),
		Projects:        []*core.Project{{Spec: &core.ProjectSpec{Name: "p"}}},
		Entities:        []*core.Entity{{Spec: &core.EntitySpecV2{Name: "e", Project: "p"}}},
		DataSources:     []*core.DataSource{{Name: "d", Project: "p"}},
		FeatureViews:    []*core.FeatureView{{Spec: &core.FeatureViewSpec{Name: "f", Project: "q"}}},
		ProjectMetadata: []*core.ProjectMetadata{{Project: "p", ProjectUuid: `{"recently_visited_x": "1"}`}},
		Infra:           &core.Infra{},
		FeatureViewVersionHistory: &core.FeatureViewVersionHistory{Records: []*core.FeatureViewVersionRecord{
			{FeatureViewName: "f", ProjectId: "q", VersionNumber: 7},
		}},
		ValidationReferences: []*core.ValidationReference{{Name: "r", Project: "p"}},
		FeatureTables:        []*core.FeatureTable{{}}, // of old versions
	}))
	state := parse(t, data)
	var ids []ID
	for _, r := range state.Records {
		ids = append(ids, r.ID)
	}
	equal(t, "identities", ids, []ID{
		{KindEntity, "p", "e", 0}, {KindFeatureView, "q", "f", 0}, {KindInfra, "", InfraName, 0}, {KindDataSource, "p", "d", 0},
		{KindValidationReference, "p", "r", 0}, {KindProjectMetadata, "p", "p", 0}, {KindProject, "p", "p", 0}, {KindViewVersion, "q", "f", 7},
	})
	equal(t, "version", state.VersionID, "v")
	equal(t, "last updated", state.LastUpdated, now)

	if s := parse(t, nil); len(s.Records) != 0 {
		t.Errorf("an empty file is an empty registry, not %v", s)
	}
}

func TestParseStateGarbage(t *testing.T) {
	golden := readFile(t, "testdata/registry/file/registry.db")
	for name, data := range map[string][]byte{
		"text":       []byte("project: demo\nregistry: data/registry.db\n"),
		"truncated":  golden[:len(golden)-1],
		"one byte":   {0xff},
		"wrong type": protowire.AppendVarint(protowire.AppendTag(nil, 6, protowire.VarintType), 1),
		"unknown":    protowire.AppendVarint(protowire.AppendTag(nil, 900, protowire.VarintType), 1),
		"zeros":      make([]byte, 100),
	} {
		if _, err := ParseState(data); !errors.Is(err, feasterr.ErrInvalid) || !strings.HasPrefix(err.Error(), "not a Feast registry") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A record that is garbage is lost alone.
func TestBadRecords(t *testing.T) {
	good := must(proto.Marshal(&core.Registry{
		FeatureViews: []*core.FeatureView{{Spec: &core.FeatureViewSpec{Name: "good", Project: "p"}}},
		Permissions:  []*core.Permission{{Spec: &core.PermissionSpec{Name: "x", Project: "p"}}},
	}))
	spec := must(proto.Marshal(&core.FeatureViewSpec{Name: "deep", Project: "p"}))
	spec = protowire.AppendBytes(protowire.AppendTag(spec, 4, protowire.BytesType), []byte{0xff, 0xff}) // a garbage feature
	deep := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), spec)

	data := good
	data = protowire.AppendBytes(protowire.AppendTag(data, 6, protowire.BytesType), []byte{0xff})
	data = protowire.AppendBytes(protowire.AppendTag(data, 6, protowire.BytesType), deep)
	data = protowire.AppendBytes(protowire.AppendTag(data, 18, protowire.BytesType), []byte{0x0a})
	state, err := ParseState(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Records) != 3 || len(state.Bad) != 2 {
		t.Fatalf("%d records, bad: %v", len(state.Records), state.Bad)
	}

	s := newSnapshot("p", state, "1", nil)
	if _, err := s.FeatureView("good"); err != nil {
		t.Error(err)
	}
	if _, err := s.View("deep"); !errors.Is(err, feasterr.ErrInvalid) || !strings.HasPrefix(err.Error(), `feature view "deep" of project "p" cannot be read: `) {
		t.Error(err)
	}
	var names []string
	for v := range s.Views() {
		names = append(names, v.Info().Name)
	}
	equal(t, "views", names, []string{"good"})
	var bad []string
	for _, b := range s.Bad() {
		if !errors.Is(b.Err, feasterr.ErrInvalid) {
			t.Error(b.Err)
		}
		bad = append(bad, b.ID.String())
	}
	equal(t, "bad", bad, []string{`feature view ""`, `version 0 of feature view ""`, `feature view "deep" of project "p"`})

	if p, err := s.Permissions(); err != nil || len(p) != 1 {
		t.Error(p, err)
	}
	if e := s.Enforcer(); e != s.Enforcer(0) || e == s.Enforcer(permissions.FeastCompatible()) || len(e.Problems()) != 1 { // it has no policy
		t.Error("an enforcer is not made once for each combination of options")
	}
	// Leaving out a permission that cannot be read could let somebody in.
	data = protowire.AppendBytes(protowire.AppendTag(data, 16, protowire.BytesType), []byte{0xff})
	s = newSnapshot("p", must(ParseState(data)), "1", nil)
	if _, err := s.Permissions(); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
	e := s.Enforcer()
	if problems := e.Problems(); len(problems) != 2 || !errors.Is(problems[1], feasterr.ErrInvalid) {
		t.Error(problems)
	}
	if got := len(e.Permissions()); got != 2 {
		t.Errorf("%d permissions", got)
	}
	if again := s.with(s.kinds[KindPermission].list[0].Record); again.Enforcer() == e {
		t.Error("a permission that was looked up changes nothing")
	}
	if again := s.with(s.kinds[KindFeatureView].list[0].Record); again.Enforcer() != e {
		t.Error("permissions are compiled again for a view")
	}
	hidden := newSnapshot("p", &State{Hidden: []Kind{KindPermission}}, "1", nil)
	if err := hidden.Enforcer().Check(permissions.User{Name: "ann"}, permissions.Resource{Name: "v"}); !errors.Is(err, feasterr.ErrDenied) {
		t.Errorf("permissions that may not be listed: %v", err)
	}
	// It is one that admits nobody, also where it is the only one, and where nothing is unmatched otherwise.
	data = protowire.AppendBytes(protowire.AppendTag(nil, 16, protowire.BytesType), []byte{0xff})
	s = newSnapshot("p", must(ParseState(data)), "1", nil)
	for _, option := range []permissions.Option{0, permissions.FeastCompatible(), permissions.AllowUnmatched()} {
		err := s.Enforcer(option).Check(permissions.User{Name: "ann"}, permissions.Resource{Name: "v"}, permissions.ReadOnline)
		if !errors.Is(err, feasterr.ErrDenied) {
			t.Errorf("%d: %v", option, err)
		}
	}
}
