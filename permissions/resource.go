// Package permissions holds Feast's permissions: actions, kinds of resources, policies, [Permission], and the [Enforcer]
// that decides by them.
package permissions

import (
	"slices"
	"strconv"
	"strings"
)

// Action is something a user may do with a resource. The numbers are those of PermissionSpec.AuthzedAction, which the
// registry stores.
type Action int32

// The actions.
const (
	Create       Action = 0
	Describe     Action = 1
	Update       Action = 2
	Delete       Action = 3
	ReadOnline   Action = 4
	ReadOffline  Action = 5
	WriteOnline  Action = 6
	WriteOffline Action = 7
)

var actionNames = [...]string{
	"CREATE", "DESCRIBE", "UPDATE", "DELETE", "READ_ONLINE", "READ_OFFLINE", "WRITE_ONLINE", "WRITE_OFFLINE",
}

// AllActions returns every action, in the order of their numbers.
func AllActions() []Action {
	all := make([]Action, len(actionNames))
	for i := range all {
		all[i] = Action(i)
	}
	return all
}

// ReadActions returns what Feast's READ stands for.
func ReadActions() []Action { return []Action{ReadOffline, ReadOnline} }

// WriteActions returns what Feast's WRITE stands for.
func WriteActions() []Action { return []Action{WriteOffline, WriteOnline} }

// CRUDActions returns what Feast's CRUD stands for.
func CRUDActions() []Action { return []Action{Create, Describe, Update, Delete} }

func (a Action) valid() bool { return a >= 0 && int(a) < len(actionNames) }

// String returns Feast's name of the action: "READ_ONLINE".
func (a Action) String() string { return name(actionNames[:], int32(a), "Action") }

// Kind is the class of a resource, as permissions tell them apart. The numbers are those of PermissionSpec.Type, which
// the registry stores. Unlike the registry it knows batch feature views.
type Kind int32

// The kinds of resources.
const (
	FeatureView         Kind = 0 // covers BatchFeatureView and StreamFeatureView too
	OnDemandFeatureView Kind = 1
	BatchFeatureView    Kind = 2
	StreamFeatureView   Kind = 3
	Entity              Kind = 4
	FeatureService      Kind = 5
	DataSource          Kind = 6
	ValidationReference Kind = 7
	SavedDataset        Kind = 8
	PermissionKind      Kind = 9
	Project             Kind = 10
	LabelView           Kind = 11
)

var kindNames = [...]string{
	"FeatureView", "OnDemandFeatureView", "BatchFeatureView", "StreamFeatureView", "Entity", "FeatureService",
	"DataSource", "ValidationReference", "SavedDataset", "Permission", "Project", "LabelView",
}

// allKinds is in the order in which Feast writes the types of a permission that names none.
var allKinds = []Kind{
	Project, FeatureView, OnDemandFeatureView, BatchFeatureView, StreamFeatureView, LabelView, Entity, FeatureService,
	DataSource, ValidationReference, SavedDataset, PermissionKind,
}

// AllResourceTypes returns every kind, in the order in which Feast lists and stores them.
func AllResourceTypes() []Kind { return slices.Clone(allKinds) }

// AllFeatureViewTypes returns the kinds of views.
func AllFeatureViewTypes() []Kind {
	return []Kind{FeatureView, OnDemandFeatureView, BatchFeatureView, StreamFeatureView, LabelView}
}

func (k Kind) valid() bool { return k >= 0 && int(k) < len(kindNames) }

// covers reports whether a permission for k is one for resources of kind r.
func (k Kind) covers(r Kind) bool {
	return k == r || k == FeatureView && (r == BatchFeatureView || r == StreamFeatureView)
}

// String returns Feast's class name: "OnDemandFeatureView".
func (k Kind) String() string { return name(kindNames[:], int32(k), "Kind") }

func name(names []string, n int32, what string) string {
	if n >= 0 && int(n) < len(names) {
		return names[n]
	}
	return what + "(" + strconv.Itoa(int(n)) + ")"
}

// Resource is what a permission decision looks at in an object. Maps belong to the object and must not be modified.
type Resource struct {
	Kind    Kind
	Name    string
	Project string
	Tags    map[string]string
	Owner   string

	// RequiredTags are those of a permission; only [FeastCompatible] looks at them.
	RequiredTags map[string]string
	// Class is the Python class with its module, "feast.data_source.PushSource", for Feast's messages; empty: that of
	// the kind.
	Class string
}

// String returns class and name as a person writes them: PushSource "clicks".
func (r Resource) String() string { return r.class() + " " + strconv.Quote(r.Name) }

// class returns the name of the class without its module.
func (r Resource) class() string {
	if r.Class == "" {
		return r.Kind.String()
	}
	return r.Class[strings.LastIndexByte(r.Class, '.')+1:]
}

// modules are the modules of the kinds' classes.
var modules = [...]string{
	"feast.feature_view", "feast.on_demand_feature_view", "feast.batch_feature_view", "feast.stream_feature_view",
	"feast.entity", "feast.feature_service", "feast.data_source", "feast.saved_dataset", "feast.saved_dataset",
	"feast.permissions.permission", "feast.project", "feast.labeling.label_view",
}

func (r Resource) dottedClass() string {
	if r.Class != "" || !r.Kind.valid() {
		return r.Class
	}
	return modules[r.Kind] + "." + r.Kind.String()
}
