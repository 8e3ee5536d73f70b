// Package registry holds Feast's object model, reads it from a registry and keeps it at hand.
//
// Three layers, from below: a [Backend] stores records, one serialized message per object. A [Snapshot] is an
// immutable, indexed view of the records of one project, whose objects are decoded on first use. A [Registry] keeps a
// current snapshot, refreshed in the background. Drivers register themselves with [Register] and are chosen by
// [Open]:
//
//	import _ "github.com/feastgo/feast/registry/file"
//
//	backend, err := registry.Open(ctx, cfg, registry.Env{})
//	reg := registry.New(backend, cfg.Project, registry.Options{CacheTTL: 10 * time.Minute})
//	defer reg.Close()
//	snap, err := reg.Snapshot(ctx)
//	view, err := snap.FeatureView("driver_hourly_stats")
//
// A [Writer] applies definitions:
//
//	w := registry.Writer{Backend: backend, Project: cfg.Project}
//	diff, err := w.Apply(ctx, registry.ApplyRequest{Objects: []registry.Object{&driver, &stats}})
//
// Objects are plain structs. Those that come from a snapshot are shared between all callers and must not be modified:
// change a [Clone]. [Encode] and [Decode] convert objects to and from the messages that Feast stores; what this
// library does not model (Python functions, fields of newer Feast versions) survives reading, changing and writing an
// object.
package registry

import (
	"fmt"
	"slices"
	"time"

	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/permissions"
)

// Object is a registry object as users define and read them. Only pointers to the types of this module implement it:
// [Project], [Entity], [DataSource], [FeatureView], [StreamFeatureView], [OnDemandFeatureView], [LabelView],
// [FeatureService], [SavedDataset], [ValidationReference] and [permissions.Permission].
type Object interface {
	// Resource returns what permissions look at: class, name, project, tags and owner.
	Resource() permissions.Resource

	sealed.Object
}

// View is a feature view of any kind: [FeatureView], [StreamFeatureView], [OnDemandFeatureView] or [LabelView].
type View interface {
	Object

	// Info returns what the kinds have in common. It shares memory with the view.
	Info() ViewInfo
}

// ViewInfo is what all kinds of feature views have in common, and what planning a request needs. Its slices, maps and
// sources belong to the view.
type ViewInfo struct {
	Kind           Kind
	Name           string
	Project        string
	Tags           map[string]string
	Owner          string
	Entities       []string      // entity names; empty: the view has no entity, see [DummyEntity]
	EntityColumns  []Field       // the join key columns, as far as known when the view was applied
	Features       []Field       // in the view's order, without entity columns
	TTL            time.Duration // 0: never expires
	Source         *DataSource   // where batch reads go; nil for on-demand views and views without a source
	StreamSource   *DataSource   // push, Kafka or Kinesis source; nil when there is none
	Online         bool
	Disabled       bool
	State          ViewState
	Version        string // "": latest, else the pin as typed, see [FeatureView]
	CurrentVersion int    // stored tables carry it as suffix unless 0
}

// A view without entities is stored in Feast with this placeholder: entity [DummyEntity], whose join key
// [DummyJoinKey] is a string that is always empty. The object model leaves both out of a view's Entities and
// EntityColumns.
const (
	DummyEntity  = "__dummy"
	DummyJoinKey = "__dummy_id"
)

// Kind says what a record holds.
type Kind uint8

// The kinds of records. The last three are not objects: they come with the objects.
const (
	KindProject Kind = iota + 1
	KindEntity
	KindDataSource
	KindFeatureView // batch feature views too
	KindStreamFeatureView
	KindOnDemandFeatureView
	KindLabelView
	KindFeatureService
	KindSavedDataset
	KindValidationReference
	KindPermission
	KindInfra           // name [InfraName]; project "" where one list serves all projects, which each may call its own
	KindProjectMetadata // project UUID, or a JSON object of custom metadata; name = project
	KindViewVersion     // history: name of the view, version number in ID.Version

	numKinds = iota + 1
)

// InfraName is the name of the one [KindInfra] record of a project or registry, as Feast calls it.
const InfraName = "infra_obj"

var kindNames = [numKinds]string{
	KindProject:             "project",
	KindEntity:              "entity",
	KindDataSource:          "data source",
	KindFeatureView:         "feature view",
	KindStreamFeatureView:   "stream feature view",
	KindOnDemandFeatureView: "on-demand feature view",
	KindLabelView:           "label view",
	KindFeatureService:      "feature service",
	KindSavedDataset:        "saved dataset",
	KindValidationReference: "validation reference",
	KindPermission:          "permission",
	KindInfra:               "infrastructure",
	KindProjectMetadata:     "project metadata",
	KindViewVersion:         "feature view version",
}

// String returns the kind in words: "on-demand feature view".
func (k Kind) String() string {
	if k > 0 && int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// viewKinds is the order in which a name is looked up among the kinds of views, and in which all are listed.
var viewKinds = [...]Kind{KindFeatureView, KindStreamFeatureView, KindOnDemandFeatureView, KindLabelView}

// IsView reports whether objects of the kind are views, which share their names.
func (k Kind) IsView() bool { return slices.Contains(viewKinds[:], k) }

// ID identifies a record within a registry.
type ID struct {
	Kind    Kind
	Project string
	Name    string
	Version int // only for KindViewVersion
}

// String returns the identity in words: `feature view "driver_stats" of project "demo"`.
func (id ID) String() string {
	s := fmt.Sprintf("%s %q", id.Kind, id.Name)
	if id.Kind == KindViewVersion {
		s = fmt.Sprintf("version %d of feature view %q", id.Version, id.Name)
	}
	if id.Project == "" || id.Kind == KindProject || id.Kind == KindProjectMetadata {
		return s
	}
	return fmt.Sprintf("%s of project %q", s, id.Project)
}

// KindOf returns the kind of record that keeps o.
func KindOf(o Object) Kind {
	switch o.(type) {
	case *Project:
		return KindProject
	case *Entity:
		return KindEntity
	case *DataSource:
		return KindDataSource
	case *FeatureView:
		return KindFeatureView
	case *StreamFeatureView:
		return KindStreamFeatureView
	case *OnDemandFeatureView:
		return KindOnDemandFeatureView
	case *LabelView:
		return KindLabelView
	case *FeatureService:
		return KindFeatureService
	case *SavedDataset:
		return KindSavedDataset
	case *ValidationReference:
		return KindValidationReference
	case *permissions.Permission:
		return KindPermission
	}
	return 0
}
