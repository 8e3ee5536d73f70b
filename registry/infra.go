package registry

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/sealed"
)

// Infra lists what Feast created for its views outside the registry. In a file registry all projects share one list.
type Infra struct {
	Objects []InfraObject

	origin sealed.Origin
}

// InfraObject is one thing that Feast created. At most one of the members is set.
type InfraObject struct {
	Class     string // dotted Python class path
	SQLite    *SQLiteTable
	Datastore *DatastoreTable
	Custom    []byte // of a plug-in: opaque
}

// The class paths of infrastructure objects.
const (
	sqliteTableClass    = "feast.infra.online_stores.sqlite.SqliteTable"
	datastoreTableClass = "feast.infra.online_stores.datastore.DatastoreTable"
)

// NewInfraObject returns the object of a class of Feast with the given attributes, named as in its message: those of
// a SQLite table are path and name, those of a Datastore table project, name, project_id, namespace and database.
// The error, a feasterr.ErrUnsupported, is for other classes.
func NewInfraObject(class string, attributes map[string]string) (InfraObject, error) {
	o := InfraObject{Class: class}
	optional := func(name string) *string {
		if v, ok := attributes[name]; ok {
			return &v
		}
		return nil
	}
	switch class {
	case sqliteTableClass:
		o.SQLite = &SQLiteTable{Path: attributes["path"], Name: attributes["name"]}
	case datastoreTableClass:
		o.Datastore = &DatastoreTable{
			Project: attributes["project"], Name: attributes["name"],
			ProjectID: optional("project_id"), Namespace: optional("namespace"), Database: optional("database"),
		}
	default:
		return o, feasterr.Unsupported("the registry cannot list infrastructure of class %q", class)
	}
	return o, nil
}

// String returns the object for people: `SQLite table "demo_driver_stats"`.
func (o InfraObject) String() string {
	switch {
	case o.SQLite != nil:
		return fmt.Sprintf("SQLite table %q", o.SQLite.Name)
	case o.Datastore != nil:
		return fmt.Sprintf("Datastore table %q", o.Datastore.Name)
	}
	return "infrastructure of " + o.Class
}

// SQLiteTable is a table of the SQLite online store.
type SQLiteTable struct {
	Path string // database file
	Name string // "<project>_<view>"
}

// DatastoreTable is a table of the Datastore online store.
type DatastoreTable struct {
	Project   string  // of Feast
	Name      string  // "<project>_<view>"
	ProjectID *string // of Google Cloud
	Namespace *string
	Database  *string
}

func moveInfra(c *codec, v *Infra, pb *core.Infra) {
	list(c, &v.Objects, &pb.InfraObjects, infraKey, moveInfraObject)
}

func infraKey(o *InfraObject) string {
	switch {
	case o.SQLite != nil:
		return o.Class + "\x00" + o.SQLite.Name
	case o.Datastore != nil:
		return o.Class + "\x00" + o.Datastore.Name
	}
	return o.Class + "\x00" + string(o.Custom)
}

func moveInfraObject(c *codec, o *InfraObject, pb *core.InfraObject) {
	move(c, &o.Class, &pb.InfraObjectClassType)
	stored := oneof(pb, "infra_object")
	if !c.write {
		switch stored.(type) {
		case *core.SqliteTable:
			o.SQLite = new(readMember(stored, moveSQLiteTable))
		case *core.DatastoreTable:
			o.Datastore = new(readMember(stored, moveDatastoreTable))
		case *core.InfraObject_CustomInfra:
			o.Custom = readMember(stored, moveCustomInfra)
		}
		return
	}
	switch {
	case o.SQLite != nil && o.Datastore != nil, o.Custom != nil && (o.SQLite != nil || o.Datastore != nil):
		c.fail("infrastructure object %q is several things at once", o.Class)
	case o.SQLite != nil:
		setOneof(pb, "infra_object", writeMember(c, *o.SQLite, stored, moveSQLiteTable))
	case o.Datastore != nil:
		setOneof(pb, "infra_object", writeMember(c, *o.Datastore, stored, moveDatastoreTable))
	case o.Custom != nil:
		setOneof(pb, "infra_object", writeMember(c, o.Custom, stored, moveCustomInfra))
	}
}

func moveSQLiteTable(c *codec, t *SQLiteTable, pb *core.SqliteTable) {
	move(c, &t.Path, &pb.Path)
	move(c, &t.Name, &pb.Name)
}

func moveDatastoreTable(c *codec, t *DatastoreTable, pb *core.DatastoreTable) {
	move(c, &t.Project, &pb.Project)
	move(c, &t.Name, &pb.Name)
	moveOptionalText(c, &t.ProjectID, &pb.ProjectId)
	moveOptionalText(c, &t.Namespace, &pb.Namespace)
	moveOptionalText(c, &t.Database, &pb.Database)
}

func moveOptionalText(c *codec, v **string, pb **wrapperspb.StringValue) {
	switch {
	case !c.write && *pb == nil:
		*v = nil
	case !c.write:
		*v = new((*pb).Value)
	case *v == nil:
		*pb = nil
	case *pb == nil:
		*pb = wrapperspb.String(**v)
	default:
		(*pb).Value = **v
	}
}

func moveCustomInfra(c *codec, v *[]byte, pb *core.InfraObject_CustomInfra) {
	blob(c, v, &pb.Field)
}

// ViewVersion is one entry in the version history of a view.
type ViewVersion struct {
	View        string // name of the view
	Project     string
	Number      int
	Kind        Kind // of the view; 0 for one that this library does not know
	Created     time.Time
	Description string
	ID          string // UUID
	Proto       []byte // the view as it was, a serialized message of its kind

	origin sealed.Origin
}

func moveViewVersion(c *codec, v *ViewVersion, pb *core.FeatureViewVersionRecord) {
	move(c, &v.View, &pb.FeatureViewName)
	move(c, &v.Project, &pb.ProjectId)
	number(c, &v.Number, &pb.VersionNumber)
	moveVersionKind(c, &v.Kind, &pb.FeatureViewType)
	instant(c, &v.Created, &pb.CreatedTimestamp)
	move(c, &v.Description, &pb.Description)
	move(c, &v.ID, &pb.VersionId)
	blob(c, &v.Proto, &pb.FeatureViewProto)
}

// versionKinds are Feast's names of the kinds of views in the version history.
var versionKinds = map[string]Kind{
	"feature_view":           KindFeatureView,
	"stream_feature_view":    KindStreamFeatureView,
	"on_demand_feature_view": KindOnDemandFeatureView,
	"label_view":             KindLabelView,
}

func moveVersionKind(c *codec, v *Kind, pb *string) {
	stored := versionKinds[*pb]
	if !c.write {
		*v = stored
		return
	}
	if *v == stored {
		return
	}
	for name, kind := range versionKinds {
		if kind == *v {
			*pb = name
			return
		}
	}
	c.fail("the version history keeps feature views, not a %s", *v)
}

// Origin gives this module the place where the value keeps its origin.
func (v *Infra) Origin() *sealed.Origin { return &v.origin }

// Origin gives this module the place where the value keeps its origin.
func (v *ViewVersion) Origin() *sealed.Origin { return &v.origin }
