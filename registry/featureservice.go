package registry

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/permissions"
)

// FeatureService names a set of features of several views, usually those of one model.
type FeatureService struct {
	Name        string
	Project     string // set when read
	Description string
	Owner       string
	Tags        map[string]string

	Features         []FeatureViewProjection
	Logging          *LoggingConfig // nil: served features are not logged
	PrecomputeOnline bool           // online reads take all features of an entity from one value, a vector, where it is current

	Created     time.Time
	LastUpdated time.Time

	origin sealed.Origin
}

// FeatureViewProjection is a selection of features of one view, as a [FeatureService] or an [OnDemandFeatureView]
// uses it. The registry keeps a copy of the fields and of the source, made when the object was applied: later changes
// of the view do not show here.
type FeatureViewProjection struct {
	Name       string            // of the view; in a definition also "view:feature", "view@v2" or "view@v2:feature"
	Alias      string            // by which the view goes here; empty: Name
	Features   []Field           // in a definition empty for all, and names suffice
	JoinKeyMap map[string]string // join key of the view -> column of the request
	Version    *int              // pinned version; nil: the current one
	ViewType   string            // "", "featureView" or "labelView"
	Source     *DataSource       // batch source of the view; set by Apply
}

// NameInUse returns the name that the view goes by: the alias or the view's name, and "@v2" when it is pinned.
func (p *FeatureViewProjection) NameInUse() string {
	name := p.Alias
	if name == "" {
		name = p.Name
	}
	if p.Version != nil {
		name = fmt.Sprintf("%s@v%d", name, *p.Version)
	}
	return name
}

// LoggingConfig says which share of the served features is logged, and where.
type LoggingConfig struct {
	SampleRate  float32
	Destination LoggingDestination // nil for one that this library does not know
}

// LoggingDestination is where served features are logged: one of the Destination types of this package, by value.
type LoggingDestination interface {
	loggingDestination()
}

type (
	// FileDestination is Parquet files.
	FileDestination struct {
		Path               string
		S3EndpointOverride string
		PartitionBy        []string
	}
	// BigQueryDestination is a table.
	BigQueryDestination struct{ Table string }
	// RedshiftDestination is a table.
	RedshiftDestination struct{ Table string }
	// SnowflakeDestination is a table.
	SnowflakeDestination struct{ Table string }
	// AthenaDestination is a table.
	AthenaDestination struct{ Table string }
	// CouchbaseDestination is a collection.
	CouchbaseDestination struct{ Database, Scope, Collection string }
	// CustomDestination is what a plug-in understands.
	CustomDestination struct {
		Kind   string
		Config map[string]string
	}
)

func (FileDestination) loggingDestination()      {}
func (BigQueryDestination) loggingDestination()  {}
func (RedshiftDestination) loggingDestination()  {}
func (SnowflakeDestination) loggingDestination() {}
func (AthenaDestination) loggingDestination()    {}
func (CouchbaseDestination) loggingDestination() {}
func (CustomDestination) loggingDestination()    {}

// Resource implements [Object].
func (s *FeatureService) Resource() permissions.Resource {
	return permissions.Resource{
		Kind: permissions.FeatureService, Name: s.Name, Project: s.Project, Tags: s.Tags, Owner: s.Owner,
	}
}

// Origin implements [Object], for this module only.
func (s *FeatureService) Origin() *sealed.Origin { return &s.origin }

func moveFeatureService(c *codec, s *FeatureService, pb *core.FeatureService) {
	spec := sub(c, &pb.Spec)
	move(c, &s.Name, &spec.Name)
	move(c, &s.Project, &spec.Project)
	move(c, &s.Description, &spec.Description)
	move(c, &s.Owner, &spec.Owner)
	pairs(c, &s.Tags, &spec.Tags)
	list(c, &s.Features, &spec.Features, projectionKey, moveProjection)
	moveLogging(c, &s.Logging, &spec.LoggingConfig)
	move(c, &s.PrecomputeOnline, &spec.PrecomputeOnline)
	meta := sub(c, &pb.Meta)
	instant(c, &s.Created, &meta.CreatedTimestamp)
	instant(c, &s.LastUpdated, &meta.LastUpdatedTimestamp)
}

func projectionKey(p *FeatureViewProjection) string { return p.Name + "\x00" + p.NameInUse() }

func moveProjection(c *codec, p *FeatureViewProjection, pb *core.FeatureViewProjection) {
	move(c, &p.Name, &pb.FeatureViewName)
	move(c, &p.Alias, &pb.FeatureViewNameAlias)
	moveFields(c, &p.Features, &pb.FeatureColumns)
	pairs(c, &p.JoinKeyMap, &pb.JoinKeyMap)
	moveOptional(c, &p.Version, &pb.VersionTag)
	move(c, &p.ViewType, &pb.ViewType)

	was := pb.BatchSource
	created, partition := was.GetCreatedTimestampColumn(), was.GetDatePartitionColumn()
	moveSource(c, &p.Source, &pb.BatchSource)
	if now := pb.BatchSource; now.GetCreatedTimestampColumn() != created || now.GetDatePartitionColumn() != partition {
		// Feast writes the created timestamp column into timestamp_field, and reads it nowhere.
		pb.TimestampField = now.GetCreatedTimestampColumn()
		pb.CreatedTimestampColumn = now.GetCreatedTimestampColumn()
		pb.DatePartitionColumn = now.GetDatePartitionColumn()
	}
}

func moveOptional(c *codec, v **int, pb **int32) {
	switch {
	case !c.write && *pb == nil:
		*v = nil
	case !c.write:
		*v = new(int(**pb))
	case *v == nil:
		*pb = nil
	default:
		if *pb == nil {
			*pb = new(int32)
		}
		number(c, *v, *pb)
	}
}

func moveLogging(c *codec, v **LoggingConfig, pb **core.LoggingConfig) {
	switch {
	case !c.write && *pb == nil:
		*v = nil
		return
	case !c.write:
		*v = new(LoggingConfig)
	case *v == nil:
		*pb = nil
		return
	case *pb == nil:
		*pb = new(core.LoggingConfig)
	}
	move(c, &(*v).SampleRate, &(*pb).SampleRate)
	if stored := oneof(*pb, "destination"); !c.write {
		(*v).Destination = readDestination(stored)
	} else if d := (*v).Destination; d != nil {
		setOneof(*pb, "destination", writeDestination(c, d, stored))
	} else if stored != nil {
		setOneof(*pb, "destination", nil)
	}
}

func readDestination(stored proto.Message) LoggingDestination {
	switch stored.(type) {
	case *core.LoggingConfig_FileDestination:
		return readMember(stored, moveFileDestination)
	case *core.LoggingConfig_BigQueryDestination:
		return readMember(stored, moveBigQueryDestination)
	case *core.LoggingConfig_RedshiftDestination:
		return readMember(stored, moveRedshiftDestination)
	case *core.LoggingConfig_SnowflakeDestination:
		return readMember(stored, moveSnowflakeDestination)
	case *core.LoggingConfig_AthenaDestination:
		return readMember(stored, moveAthenaDestination)
	case *core.LoggingConfig_CouchbaseColumnarDestination:
		return readMember(stored, moveCouchbaseDestination)
	case *core.LoggingConfig_CustomDestination:
		return readMember(stored, moveCustomDestination)
	}
	return nil
}

func writeDestination(c *codec, v LoggingDestination, stored proto.Message) proto.Message {
	switch v := v.(type) {
	case FileDestination:
		return writeMember(c, v, stored, moveFileDestination)
	case BigQueryDestination:
		return writeMember(c, v, stored, moveBigQueryDestination)
	case RedshiftDestination:
		return writeMember(c, v, stored, moveRedshiftDestination)
	case SnowflakeDestination:
		return writeMember(c, v, stored, moveSnowflakeDestination)
	case AthenaDestination:
		return writeMember(c, v, stored, moveAthenaDestination)
	case CouchbaseDestination:
		return writeMember(c, v, stored, moveCouchbaseDestination)
	case CustomDestination:
		return writeMember(c, v, stored, moveCustomDestination)
	}
	c.fail("logging destination %T: give it by value", v)
	return stored
}

func moveFileDestination(c *codec, d *FileDestination, pb *core.LoggingConfig_FileDestination) {
	move(c, &d.Path, &pb.Path)
	move(c, &d.S3EndpointOverride, &pb.S3EndpointOverride)
	texts(c, &d.PartitionBy, &pb.PartitionBy)
}

func moveBigQueryDestination(c *codec, d *BigQueryDestination, pb *core.LoggingConfig_BigQueryDestination) {
	move(c, &d.Table, &pb.TableRef)
}

func moveRedshiftDestination(c *codec, d *RedshiftDestination, pb *core.LoggingConfig_RedshiftDestination) {
	move(c, &d.Table, &pb.TableName)
}

func moveSnowflakeDestination(c *codec, d *SnowflakeDestination, pb *core.LoggingConfig_SnowflakeDestination) {
	move(c, &d.Table, &pb.TableName)
}

func moveAthenaDestination(c *codec, d *AthenaDestination, pb *core.LoggingConfig_AthenaDestination) {
	move(c, &d.Table, &pb.TableName)
}

func moveCouchbaseDestination(c *codec, d *CouchbaseDestination, pb *core.LoggingConfig_CouchbaseColumnarDestination) {
	move(c, &d.Database, &pb.Database)
	move(c, &d.Scope, &pb.Scope)
	move(c, &d.Collection, &pb.Collection)
}

func moveCustomDestination(c *codec, d *CustomDestination, pb *core.LoggingConfig_CustomDestination) {
	move(c, &d.Kind, &pb.Kind)
	pairs(c, &d.Config, &pb.Config)
}
