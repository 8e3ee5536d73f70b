// Package permissions holds Feast's permissions as data: actions, kinds of resources, policies and [Permission].
package permissions

import (
	"slices"
	"strconv"
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

// AllKinds returns every kind, in the order in which Feast lists and stores them.
func AllKinds() []Kind { return slices.Clone(allKinds) }

// String returns Feast's class name: "OnDemandFeatureView".
func (k Kind) String() string { return name(kindNames[:], int32(k), "Kind") }

func name(names []string, n int32, what string) string {
	if n >= 0 && int(n) < len(names) {
		return names[n]
	}
	return what + "(" + strconv.Itoa(int(n)) + ")"
}

// Resource is what a permission decision looks at in an object. Tags belong to the object and must not be modified.
type Resource struct {
	Kind    Kind
	Name    string
	Project string
	Tags    map[string]string
	Owner   string
}
