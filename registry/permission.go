package registry

import (
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/permissions"
)

func movePermission(c *codec, p *permissions.Permission, pb *core.Permission) {
	spec := sub(c, &pb.Spec)
	move(c, &p.Name, &spec.Name)
	move(c, &p.Project, &spec.Project)
	if all := permissions.AllResourceTypes(); c.write && len(p.Types) == 0 && (c.fresh || len(spec.Types) > 0) {
		numbers(c, &all, &spec.Types)
	} else {
		numbers(c, &p.Types, &spec.Types)
	}
	texts(c, &p.NamePatterns, &spec.NamePatterns)
	pairs(c, &p.RequiredTags, &spec.RequiredTags)
	numbers(c, &p.Actions, &spec.Actions)
	pairs(c, &p.Tags, &spec.Tags)
	policy := sub(c, &spec.Policy)
	if stored := oneof(policy, "policy_type"); c.write {
		setOneof(policy, "policy_type", writePolicy(c, p, stored))
	} else {
		p.Policy = readPolicy(stored)
	}
	meta := sub(c, &pb.Meta)
	instant(c, &p.Created, &meta.CreatedTimestamp)
	instant(c, &p.LastUpdated, &meta.LastUpdatedTimestamp)
}

func readPolicy(stored proto.Message) permissions.Policy {
	switch stored.(type) {
	case *core.RoleBasedPolicy:
		return readMember(stored, moveRoles)
	case *core.GroupBasedPolicy:
		return readMember(stored, moveGroups)
	case *core.NamespaceBasedPolicy:
		return readMember(stored, moveNamespaces)
	case *core.CombinedGroupNamespacePolicy:
		return readMember(stored, moveCombined)
	}
	return nil
}

func writePolicy(c *codec, p *permissions.Permission, stored proto.Message) proto.Message {
	switch v := p.Policy.(type) {
	case nil:
		return nil
	case permissions.RoleBased:
		return writeMember(c, v, stored, moveRoles)
	case permissions.GroupBased:
		return writeMember(c, v, stored, moveGroups)
	case permissions.NamespaceBased:
		return writeMember(c, v, stored, moveNamespaces)
	case permissions.CombinedGroupNamespace:
		return writeMember(c, v, stored, moveCombined)
	}
	c.fail("permission %q: policy %T: give it by value", p.Name, p.Policy)
	return stored
}

func moveRoles(c *codec, p *permissions.RoleBased, pb *core.RoleBasedPolicy) {
	texts(c, &p.Roles, &pb.Roles)
}

func moveGroups(c *codec, p *permissions.GroupBased, pb *core.GroupBasedPolicy) {
	texts(c, &p.Groups, &pb.Groups)
}

func moveNamespaces(c *codec, p *permissions.NamespaceBased, pb *core.NamespaceBasedPolicy) {
	texts(c, &p.Namespaces, &pb.Namespaces)
}

func moveCombined(c *codec, p *permissions.CombinedGroupNamespace, pb *core.CombinedGroupNamespacePolicy) {
	texts(c, &p.Groups, &pb.Groups)
	texts(c, &p.Namespaces, &pb.Namespaces)
}
