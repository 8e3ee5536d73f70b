package sql

import (
	database "database/sql"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/registry"
)

// row is a row of one of the tables.
type row struct {
	kind          registry.Kind
	project, name string
	time          int64 // seconds: last_updated_timestamp, of a version created_timestamp
	proto         []byte
	version       int
	text          string // description of a version, value of metadata
	viewKind, id  string // of a version
}

// scan reads a row of [Backend.selection].
func (r *row) scan(rows *database.Rows) error {
	var text, viewKind, id database.NullString
	err := rows.Scan(&r.kind, &r.project, &r.name, &r.time, &r.proto, &r.version, &text, &viewKind, &id)
	r.text, r.viewKind, r.id = text.String, viewKind.String, id.String
	return err
}

// record returns the record that a row keeps. Messages are whole: they name their project, which Feast leaves to the
// column.
func (r *row) record() registry.Record {
	out := registry.Record{
		ID:    registry.ID{Kind: r.kind, Project: r.project, Name: r.name, Version: r.version},
		Proto: r.proto, Updated: time.Unix(r.time, 0).UTC(),
	}
	switch r.kind {
	case registry.KindViewVersion:
		v := &core.FeatureViewVersionRecord{
			FeatureViewName: r.name, ProjectId: r.project, VersionNumber: int32(r.version), FeatureViewType: r.viewKind,
			FeatureViewProto: r.proto, Description: r.text, VersionId: r.id,
		}
		if r.time != 0 {
			v.CreatedTimestamp = timestamppb.New(out.Updated)
		}
		out.Proto = marshal(v)
	case registry.KindProjectMetadata:
		out.Name = r.project
		out.Proto = marshal(&core.ProjectMetadata{Project: r.project, ProjectUuid: r.text})
	default:
		if p, ok := places[r.kind]; ok && !p.has(out.Proto) {
			out.Proto = p.set(out.Proto, r.project)
		}
	}
	if out.Proto == nil {
		out.Proto = []byte{}
	}
	return out
}

// rowOf returns the row that keeps a record.
func rowOf(r registry.Record) (row, error) {
	out := row{
		kind: r.Kind, project: r.Project, name: r.Name, version: r.Version, time: r.Updated.Unix(), proto: r.Proto,
	}
	switch r.Kind {
	case registry.KindViewVersion:
		var v core.FeatureViewVersionRecord
		if err := proto.Unmarshal(r.Proto, &v); err != nil {
			return row{}, feasterr.Invalid("%s cannot be written: %w", r.ID, err)
		}
		out.proto, out.text, out.viewKind, out.id = v.FeatureViewProto, v.Description, v.FeatureViewType, v.VersionId
		out.time = v.CreatedTimestamp.GetSeconds()
	case registry.KindProjectMetadata:
		var m core.ProjectMetadata
		if err := proto.Unmarshal(r.Proto, &m); err != nil {
			return row{}, feasterr.Invalid("%s cannot be written: %w", r.ID, err)
		}
		out.name, out.text, out.proto = uuidKey, m.ProjectUuid, nil
	default:
		if p, ok := places[r.Kind]; ok && p.omitted {
			out.proto = p.set(out.proto, "")
		}
	}
	if out.proto == nil {
		out.proto = []byte{}
	}
	return out, nil
}

func marshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil { // a text that is no UTF-8: the record is there, and bad
		return nil
	}
	return b
}

// place says where a message has its project.
type place struct {
	spec    protowire.Number // of the submessage; 0: in the message itself
	field   protowire.Number
	omitted bool // Feast leaves it empty in rows
}

var places = map[registry.Kind]place{
	registry.KindEntity:              {1, 9, true},
	registry.KindDataSource:          {0, 21, true},
	registry.KindFeatureView:         {1, 2, false},
	registry.KindStreamFeatureView:   {1, 2, false},
	registry.KindOnDemandFeatureView: {1, 2, false},
	registry.KindLabelView:           {1, 2, false},
	registry.KindFeatureService:      {1, 2, true},
	registry.KindSavedDataset:        {1, 2, true},
	registry.KindValidationReference: {0, 3, false},
	registry.KindPermission:          {1, 2, true},
}

// field is a part of a message.
type field struct {
	num   protowire.Number
	whole []byte // with its tag
	value []byte // of a length-delimited one
}

// split returns the fields of a message, false when it is malformed.
func split(b []byte) ([]field, bool) {
	var fields []field
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeField(b)
		if n < 0 {
			return nil, false
		}
		f := field{num: num, whole: b[:n]}
		if typ == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(f.whole)
			f.value, _ = protowire.ConsumeBytes(f.whole[tag:])
		}
		fields = append(fields, f)
		b = b[n:]
	}
	return fields, true
}

// has reports whether a message names a project. A malformed one is left alone, too.
func (p place) has(b []byte) bool {
	want := p.field
	if p.spec != 0 {
		want = p.spec
	}
	for len(b) > 0 {
		num, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return true
		}
		n := protowire.ConsumeFieldValue(num, typ, b[tag:])
		if n < 0 {
			return true
		}
		if num == want && typ == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(b[tag:])
			if p.spec == 0 {
				return len(value) > 0
			}
			return place{field: p.field}.has(value)
		}
		b = b[tag+n:]
	}
	return false
}

// set returns a message with another project, which stands where protobuf libraries write it; an empty one is left out.
// A malformed message, or one without the submessage, is returned as it is.
func (p place) set(b []byte, project string) []byte {
	fields, ok := split(b)
	if !ok {
		return b
	}
	out := make([]byte, 0, len(b)+len(project)+8)
	if p.spec != 0 {
		for _, f := range fields {
			if f.num != p.spec || f.value == nil {
				out = append(out, f.whole...)
				continue
			}
			out = protowire.AppendTag(out, p.spec, protowire.BytesType)
			out = protowire.AppendBytes(out, place{field: p.field}.set(f.value, project))
		}
		return out
	}
	put := func() {
		if project != "" {
			out = protowire.AppendTag(out, p.field, protowire.BytesType)
			out = protowire.AppendString(out, project)
			project = ""
		}
	}
	for _, f := range fields {
		if f.num == p.field {
			continue
		}
		if f.num > p.field {
			put()
		}
		out = append(out, f.whole...)
	}
	put()
	return out
}
