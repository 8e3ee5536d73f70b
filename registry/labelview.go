package registry

import (
	"time"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/permissions"
)

// LabelView holds labels, given by people or programs, for the entities of feature views. For the fields it shares
// with [FeatureView], see there.
type LabelView struct {
	Name        string
	Project     string
	Description string
	Owner       string
	Tags        map[string]string

	Entities      []string
	Schema        []Field
	EntityColumns []Field
	TTL           time.Duration
	Source        *DataSource // usually a push source
	Online        bool        // Feast's default in Python is true

	LabelerField         string // column that says who labelled; Feast's default is "labeler"
	ConflictPolicy       ConflictPolicy
	RetainHistory        bool // deprecated by Feast
	ReferenceFeatureView string

	Created     time.Time
	LastUpdated time.Time

	origin sealed.Origin
}

// ConflictPolicy decides between labels of several labelers. The numbers are those of ConflictResolutionPolicy, which
// the registry stores.
type ConflictPolicy int32

// The conflict policies.
const (
	LastWriteWins   ConflictPolicy = 0
	LabelerPriority ConflictPolicy = 1
	MajorityVote    ConflictPolicy = 2
)

// String returns Feast's name of the policy: "LAST_WRITE_WINS".
func (p ConflictPolicy) String() string { return core.ConflictResolutionPolicy(p).String() }

// Resource implements [Object].
func (v *LabelView) Resource() permissions.Resource {
	return permissions.Resource{Kind: permissions.LabelView, Name: v.Name, Project: v.Project, Tags: v.Tags, Owner: v.Owner}
}

// Origin implements [Object], for this module only.
func (v *LabelView) Origin() *sealed.Origin { return &v.origin }

// Info implements [View].
func (v *LabelView) Info() ViewInfo {
	batch, stream := sources(v.Source, nil)
	return ViewInfo{
		Kind: KindLabelView, Name: v.Name, Project: v.Project, Tags: v.Tags, Owner: v.Owner,
		Entities: v.Entities, EntityColumns: v.EntityColumns, Features: v.Schema, TTL: v.TTL,
		Source: batch, StreamSource: stream, Online: v.Online,
	}
}

func moveLabelView(c *codec, v *LabelView, pb *core.LabelView) {
	spec := sub(c, &pb.Spec)
	move(c, &v.Name, &spec.Name)
	move(c, &v.Project, &spec.Project)
	move(c, &v.Description, &spec.Description)
	move(c, &v.Owner, &spec.Owner)
	pairs(c, &v.Tags, &spec.Tags)
	moveEntities(c, &v.Entities, &v.EntityColumns, &spec.Entities, &spec.EntityColumns)
	moveFields(c, &v.Schema, &spec.Features)
	moveTTL(c, &v.TTL, &spec.Ttl)
	moveSource(c, &v.Source, &spec.Source)
	move(c, &v.Online, &spec.Online)
	moveLabeler(c, &v.LabelerField, &spec.LabelerField)
	number(c, &v.ConflictPolicy, &spec.ConflictPolicy)
	move(c, &v.RetainHistory, &spec.RetainHistory)
	move(c, &v.ReferenceFeatureView, &spec.ReferenceFeatureView)
	meta := sub(c, &pb.Meta)
	instant(c, &v.Created, &meta.CreatedTimestamp)
	instant(c, &v.LastUpdated, &meta.LastUpdatedTimestamp)
}

// moveLabeler moves the labeler column; a label view made without one has Feast's default.
func moveLabeler(c *codec, v, pb *string) {
	move(c, v, pb)
	if c.fresh && *v == "" {
		*pb = "labeler"
	}
}
