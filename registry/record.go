package registry

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/permissions"
)

// Record is one stored object: a serialized message of package feast.core under its identity. Proto is shared and must
// not be modified.
type Record struct {
	ID
	Proto   []byte
	Updated time.Time // when the record was written, where the backend knows; else zero
}

// BadRecord is a record that cannot be read. Only this record is lost to readers; the others are there.
type BadRecord struct {
	ID    ID // as far as it can be told
	Proto []byte
	Err   error // a feasterr.ErrInvalid
}

// Encode converts an object to the record that keeps it in project; with an empty project, in the one the object
// names. The object is not changed.
//
// An object that was read from a registry is written as the message it was read from, with those attributes replaced
// that were changed since: what this library does not model stays. An object made in Go gets what Feast writes by
// default besides.
func Encode(project string, o Object) (Record, error) {
	switch o := o.(type) {
	case *Project:
		return encode(project, o, moveProject)
	case *Entity:
		return encode(project, o, moveEntity)
	case *DataSource:
		return encode(project, o, moveDataSource)
	case *FeatureView:
		return encode(project, o, moveFeatureView)
	case *StreamFeatureView:
		return encode(project, o, moveStreamFeatureView)
	case *OnDemandFeatureView:
		return encode(project, o, moveOnDemandFeatureView)
	case *LabelView:
		return encode(project, o, moveLabelView)
	case *FeatureService:
		return encode(project, o, moveFeatureService)
	case *SavedDataset:
		return encode(project, o, moveSavedDataset)
	case *ValidationReference:
		return encode(project, o, moveValidationReference)
	case *permissions.Permission:
		return encode(project, o, movePermission)
	}
	return Record{}, feasterr.Invalid("%T is not a registry object", o)
}

// Decode converts a record to the object it keeps. The object refers to r.Proto. A record without a project in its
// message, as SQL registries have them, takes that of its identity.
//
// Records of the kinds [KindInfra], [KindProjectMetadata] and [KindViewVersion] are not objects.
func Decode(r Record) (Object, error) {
	v, err := decode(r)
	if err != nil {
		return nil, err
	}
	o, ok := v.(Object)
	if !ok {
		return nil, feasterr.Invalid("%s is not an object", r.ID)
	}
	return o, nil
}

// Clone returns an independent copy of o, which the caller may change.
func Clone[T Object](o T) (T, error) {
	var none T
	r, err := Encode("", o)
	if err != nil {
		return none, err
	}
	v, err := Decode(r)
	if err != nil {
		return none, err
	}
	if o.Origin().Proto == nil { // still an object made in Go
		v.Origin().Proto = nil
	}
	return v.(T), nil
}

// decode converts a record of any kind to *Project, *Entity, ..., *Infra or *ViewVersion. A message that is another object's,
// as a row of a table may hold one, is an error.
func decode(r Record) (any, error) {
	v, err := decodeMessage(r)
	if o, ok := v.(Object); ok && err == nil && r.Name != "" {
		if name := nameOf(o); name != r.Name {
			return nil, feasterr.Invalid("%s cannot be read: what is stored under its name is %s %q", r.ID, r.Kind, name)
		}
	}
	return v, err
}

func decodeMessage(r Record) (any, error) {
	switch r.Kind {
	case KindProject:
		return decodeAs(r, moveProject)
	case KindEntity:
		return decodeAs(r, moveEntity)
	case KindDataSource:
		return decodeAs(r, moveDataSource)
	case KindFeatureView:
		return decodeAs(r, moveFeatureView)
	case KindStreamFeatureView:
		return decodeAs(r, moveStreamFeatureView)
	case KindOnDemandFeatureView:
		return decodeAs(r, moveOnDemandFeatureView)
	case KindLabelView:
		return decodeAs(r, moveLabelView)
	case KindFeatureService:
		return decodeAs(r, moveFeatureService)
	case KindSavedDataset:
		return decodeAs(r, moveSavedDataset)
	case KindValidationReference:
		return decodeAs(r, moveValidationReference)
	case KindPermission:
		return decodeAs(r, movePermission)
	case KindInfra:
		return decodeAs(r, moveInfra)
	case KindViewVersion:
		return decodeAs(r, moveViewVersion)
	}
	return nil, feasterr.Invalid("%s cannot be read as an object", r.ID)
}

// stored is a *T that remembers the message it was read from.
type stored[T any] interface {
	*T
	Origin() *sealed.Origin
}

func encode[T any, O stored[T], M any, P pointer[M]](project string, o O, each func(*codec, O, P)) (Record, error) {
	if o == nil {
		return Record{}, feasterr.Invalid("%T is nil", o)
	}
	changed := *o
	v := O(&changed)
	id := identify(v, project)
	b, err := marshal(v, each)
	if err != nil {
		return Record{}, feasterr.Invalid("%s cannot be written: %w", id, err)
	}
	return Record{ID: id, Proto: b}, nil
}

func marshal[T any, O stored[T], M any, P pointer[M]](o O, each func(*codec, O, P)) ([]byte, error) {
	pb := P(new(M))
	was := o.Origin().Proto
	if was != nil {
		if err := proto.Unmarshal(was, pb); err != nil {
			return nil, err
		}
	}
	if err := writing((*T)(o), pb, was == nil, func(c *codec, t *T, pb P) { each(c, O(t), pb) }); err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(pb)
}

func decodeAs[T any, O stored[T], M any, P pointer[M]](r Record, each func(*codec, O, P)) (any, error) {
	pb := P(new(M))
	if err := proto.Unmarshal(r.Proto, pb); err != nil {
		return nil, feasterr.Invalid("%s cannot be read: %w", r.ID, err)
	}
	o := O(new(T))
	each(new(codec), o, pb)
	if o.Origin().Proto = r.Proto; r.Proto == nil {
		o.Origin().Proto = []byte{}
	}
	if p := projectOf(o); p != nil && *p == "" {
		*p = r.Project
	}
	return o, nil
}

// projectOf returns where an object keeps its project, nil when it has none.
func projectOf(o any) *string {
	switch o := o.(type) {
	case *Entity:
		return &o.Project
	case *DataSource:
		return &o.Project
	case *FeatureView:
		return &o.Project
	case *StreamFeatureView:
		return &o.Project
	case *OnDemandFeatureView:
		return &o.Project
	case *LabelView:
		return &o.Project
	case *FeatureService:
		return &o.Project
	case *SavedDataset:
		return &o.Project
	case *ValidationReference:
		return &o.Project
	case *permissions.Permission:
		return &o.Project
	case *ViewVersion:
		return &o.Project
	}
	return nil
}

// identify puts o into project, unless that is empty, and returns its identity.
func identify(o any, project string) ID {
	if p := projectOf(o); p != nil && project != "" {
		*p = project
	}
	if v, ok := o.(*ViewVersion); ok {
		return ID{KindViewVersion, v.Project, v.View, v.Number}
	}
	r := o.(Object).Resource()
	return ID{Kind: KindOf(o.(Object)), Project: r.Project, Name: r.Name}
}
