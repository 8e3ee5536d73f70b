package registry

import (
	"time"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/types"
)

// Project groups objects. Every registry has at least one.
type Project struct {
	Name        string
	Description string
	Owner       string
	Tags        map[string]string

	Created     time.Time
	LastUpdated time.Time

	origin sealed.Origin
}

// Resource implements [Object].
func (p *Project) Resource() permissions.Resource {
	return permissions.Resource{Kind: permissions.Project, Name: p.Name, Project: p.Name, Tags: p.Tags, Owner: p.Owner}
}

// Origin implements [Object], for this module only.
func (p *Project) Origin() *sealed.Origin { return &p.origin }

func moveProject(c *codec, p *Project, pb *core.Project) {
	spec := sub(c, &pb.Spec)
	move(c, &p.Name, &spec.Name)
	move(c, &p.Description, &spec.Description)
	move(c, &p.Owner, &spec.Owner)
	pairs(c, &p.Tags, &spec.Tags)
	meta := sub(c, &pb.Meta)
	instant(c, &p.Created, &meta.CreatedTimestamp)
	instant(c, &p.LastUpdated, &meta.LastUpdatedTimestamp)
}

// Entity is a thing that features describe, known by one join key column.
type Entity struct {
	Name        string
	Project     string     // set when read
	JoinKey     string     // empty: Name, see [Entity.Key]
	ValueType   types.Type // types.Invalid: not declared
	Description string
	Owner       string
	Tags        map[string]string

	Created     time.Time
	LastUpdated time.Time

	origin sealed.Origin
}

// Key returns the join key column: JoinKey, or Name when there is none.
func (e *Entity) Key() string {
	if e.JoinKey == "" {
		return e.Name
	}
	return e.JoinKey
}

// Resource implements [Object].
func (e *Entity) Resource() permissions.Resource {
	return permissions.Resource{Kind: permissions.Entity, Name: e.Name, Project: e.Project, Tags: e.Tags, Owner: e.Owner}
}

// Origin implements [Object], for this module only.
func (e *Entity) Origin() *sealed.Origin { return &e.origin }

func moveEntity(c *codec, e *Entity, pb *core.Entity) {
	spec := sub(c, &pb.Spec)
	move(c, &e.Name, &spec.Name)
	move(c, &e.Project, &spec.Project)
	move(c, &e.JoinKey, &spec.JoinKey)
	moveType(c, &e.ValueType, &spec.ValueType)
	move(c, &e.Description, &spec.Description)
	move(c, &e.Owner, &spec.Owner)
	pairs(c, &e.Tags, &spec.Tags)
	meta := sub(c, &pb.Meta)
	instant(c, &e.Created, &meta.CreatedTimestamp)
	instant(c, &e.LastUpdated, &meta.LastUpdatedTimestamp)
}
