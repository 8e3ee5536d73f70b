package registryserver

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

// query is what a list is asked for.
type query struct {
	tags       map[string]string // that objects must have
	pagination *pb.PaginationParams
	sorting    *pb.SortingParams
	keep       func(*item) bool // nil: all
}

func (q query) wants(i *item) bool {
	for k, v := range q.tags {
		if has, ok := i.tags()[k]; !ok || has != v {
			return false
		}
	}
	return q.keep == nil || q.keep(i)
}

// tags are those that a list is filtered by.
func (i *item) tags() map[string]string {
	if p, ok := i.object.(*permissions.Permission); ok {
		return p.Tags
	}
	return i.resource.Tags
}

// paged returns the objects of a page, and what there is to know about it. Without a page and a limit that is everything.
func paged[T any](list []T, p *pb.PaginationParams) ([]T, *pb.PaginationMetadata) {
	total, page, limit := len(list), int(p.GetPage()), int(p.GetLimit())
	switch {
	case total == 0:
		return nil, new(pb.PaginationMetadata)
	case page <= 0 || limit <= 0:
		return list, &pb.PaginationMetadata{TotalCount: int32(total), TotalPages: 1}
	}
	start := min((page-1)*limit, total)
	pages := (total + limit - 1) / limit
	return list[start:min(start+limit, total)], &pb.PaginationMetadata{
		Page: p.GetPage(), Limit: p.GetLimit(), TotalCount: int32(total), TotalPages: int32(pages), HasNext: page < pages, HasPrevious: page > 1,
	}
}

// sortBy sorts as Feast does: by an attribute of its Python objects, texts without regard to case, what has none first.
// Objects that are equal in it, and all when nobody has it, keep their order.
func sortBy[T any](list []T, s *pb.SortingParams, attribute func(T, string) any) {
	by := strings.TrimSpace(s.GetSortBy())
	if by == "" {
		return
	}
	type keyed struct {
		of     T
		text   string
		known  int
		number float64
	}
	keys := make([]keyed, len(list))
	for i, o := range list {
		keys[i].of = o
		switch v := attribute(o, s.GetSortBy()).(type) {
		case nil:
			continue
		case string:
			keys[i].text = strings.ToLower(v)
		case int:
			keys[i].number = float64(v)
		default:
			keys[i].text = strings.ToLower(fmt.Sprint(v))
		}
		keys[i].known = 1
	}
	sign := 1
	if strings.EqualFold(s.GetSortOrder(), "desc") {
		sign = -1
	}
	slices.SortStableFunc(keys, func(a, b keyed) int {
		return sign * cmp.Or(cmp.Compare(a.text, b.text), cmp.Compare(a.known, b.known), cmp.Compare(a.number, b.number))
	})
	for i := range keys {
		list[i] = keys[i].of
	}
}

// attribute returns an attribute by the name that it has in Python, nil when there is none.
func (i *item) attribute(name string) any {
	switch name {
	case "name":
		return i.resource.Name
	case "owner":
		return i.resource.Owner
	case "last_updated_timestamp":
		return instant(i.updated())
	}
	switch o := i.object.(type) {
	case *registry.Project:
		return described(name, o.Description, o.Created)
	case *registry.Entity:
		switch name {
		case "join_key":
			return o.Key()
		case "value_type":
			return "ValueType." + o.ValueType.EnumName()
		}
		return described(name, o.Description, o.Created)
	case *registry.DataSource:
		switch name {
		case "timestamp_field":
			return o.TimestampField
		case "created_timestamp_column":
			return o.CreatedTimestampColumn
		}
		return described(name, o.Description, o.Created)
	case *registry.FeatureView:
		switch name {
		case "online":
			return truth(o.Online)
		case "offline":
			return truth(o.Offline)
		case "mode":
			return o.Mode
		}
		return described(name, o.Description, o.Created)
	case *registry.StreamFeatureView:
		return described(name, o.Description, o.Created)
	case *registry.OnDemandFeatureView:
		if name == "mode" {
			return o.Mode
		}
		return described(name, o.Description, o.Created)
	case *registry.LabelView:
		return described(name, o.Description, o.Created)
	case *registry.FeatureService:
		return described(name, o.Description, o.Created)
	case *registry.SavedDataset:
		switch name {
		case "namespace":
			return o.Namespace
		case "collection":
			return o.Collection
		}
		return described(name, o.Description, o.Created)
	case *permissions.Permission:
		return described(name, "", o.Created)
	}
	return nil
}

func described(name, description string, created time.Time) any {
	switch name {
	case "description":
		return description
	case "created_timestamp":
		return instant(created)
	}
	return nil
}

func truth(b bool) any {
	if b {
		return 1
	}
	return 0
}

// instant returns a time as a text that sorts by it, nil when there is none.
func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02 15:04:05.000000000")
}

// updated returns when an object was last changed.
func (i *item) updated() time.Time {
	switch o := i.object.(type) {
	case *registry.Project:
		return o.LastUpdated
	case *registry.Entity:
		return o.LastUpdated
	case *registry.DataSource:
		return o.LastUpdated
	case *registry.FeatureView:
		return o.LastUpdated
	case *registry.StreamFeatureView:
		return o.LastUpdated
	case *registry.OnDemandFeatureView:
		return o.LastUpdated
	case *registry.LabelView:
		return o.LastUpdated
	case *registry.FeatureService:
		return o.LastUpdated
	case *registry.SavedDataset:
		return o.LastUpdated
	case *permissions.Permission:
		return o.LastUpdated
	}
	return time.Time{}
}

func timestamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

func protoValue(m proto.Message) protoreflect.Value {
	return protoreflect.ValueOfMessage(m.ProtoReflect())
}
