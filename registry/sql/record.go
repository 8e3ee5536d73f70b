package sql

import (
	database "database/sql"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/projectmeta"
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

// scanner reads rows of [Backend.selection], with nothing allocated per row but what is kept of it. Numbers are taken as
// the client has them: converting them costs more than all else.
type scanner struct {
	kind, time, version         any
	name                        string
	proto                       message
	project, text, viewKind, id database.NullString

	own string // the project of rows that do not say

	into []any
}

// message is a message as the client has it: valid until the next row is read, and with [Dialect.Owned] for good. SQLite may
// hold it as a text, which database/sql would copy to where it has the texts of other rows.
type message []byte

// Scan implements database/sql.Scanner.
func (m *message) Scan(v any) error {
	switch v := v.(type) {
	case []byte:
		*m = v
	case string:
		*m = []byte(v)
	case nil:
		*m = nil
	default:
		return fmt.Errorf("%T is not a message", v)
	}
	return nil
}

func newScanner(project string) *scanner {
	s := &scanner{own: project}
	s.into = []any{&s.kind, &s.project, &s.name, &s.time, &s.proto, &s.version, &s.text, &s.viewKind, &s.id}
	return s
}

// scan reads the next row. Its message is valid until the one after it is read.
func (s *scanner) scan(rows *database.Rows, r *row) error {
	if err := rows.Scan(s.into...); err != nil {
		return err
	}
	kind, err := number(s.kind)
	if err != nil {
		return err
	}
	project := s.project.String
	switch {
	case !s.project.Valid && registry.Kind(kind) == registry.KindProject:
		project = s.name
	case !s.project.Valid:
		project = s.own
	case project == r.project:
		project = r.project // one text for all rows of a project
	}
	*r = row{project: project, name: s.name, proto: s.proto, text: s.text.String, viewKind: s.viewKind.String, id: s.id.String}
	version, err := number(s.version)
	if err != nil {
		return err
	}
	r.kind, r.version = registry.Kind(kind), int(version)
	r.time, err = number(s.time)
	return err
}

// number is a whole number as a client has it.
func number(v any) (int64, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case int32:
		return int64(v), nil
	case []byte:
		return strconv.ParseInt(string(v), 10, 64)
	}
	return 0, fmt.Errorf("%T is not a number", v)
}

// arena is memory for the messages of many records, which are collected together: a block at a time, and not one by one.
type arena struct {
	block []byte
	owned bool // messages of rows may be kept as they are
}

const blockSize = 64 << 10

// room returns an empty slice for up to n bytes.
func (a *arena) room(n int) []byte {
	if n > blockSize/8 {
		return make([]byte, 0, n)
	}
	if cap(a.block)-len(a.block) < n {
		a.block = make([]byte, 0, blockSize)
	}
	at := len(a.block)
	return a.block[at : at : at+n]
}

// keep returns b, which was appended to room, for good.
func (a *arena) keep(b []byte) []byte {
	if at := len(a.block); cap(a.block)-at >= len(b) && len(b) > 0 && &a.block[:at+1][at] == &b[0] {
		a.block = a.block[:at+len(b)]
	}
	return slices.Clip(b)
}

// record returns the record that a row keeps, in memory of its own. Messages are whole: they name their project, which
// Feast leaves to the column.
func (r *row) record(a *arena) registry.Record {
	out := registry.Record{
		ID: registry.ID{Kind: r.kind, Project: r.project, Name: r.name, Version: r.version}, Updated: time.Unix(r.time, 0).UTC(),
	}
	place := placeOf(r.kind)
	if a.owned && r.kind != registry.KindViewVersion && place.named(r.proto) {
		out.Proto = slices.Clip(r.proto)
		return out
	}
	b := a.room(len(r.proto) + len(r.project) + len(r.name) + len(r.viewKind) + len(r.text) + len(r.id) + 64)
	switch r.kind {
	case registry.KindViewVersion:
		b = r.appendVersion(b)
	default:
		b = place.appendNamed(b, r.proto, r.project)
	}
	out.Proto = a.keep(b)
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
	case registry.KindProjectMetadata: // which has several
		rows, err := metadataRows(r.Proto)
		if err != nil {
			return row{}, feasterr.Invalid("%s cannot be written: %w", r.ID, err)
		}
		for key := range rows {
			if n := utf8.RuneCountInString(key); n > maxKey {
				return row{}, feasterr.Invalid("%s cannot be written: its key %q has %d characters, and may have %d", r.ID, key, n, maxKey)
			}
		}
		out.proto = metadataRecord(r.Project, rows).Proto
	default:
		if p := placeOf(r.Kind); p.omitted {
			out.proto = p.remove(out.proto)
		}
	}
	if out.proto == nil {
		out.proto = []byte{}
	}
	return out, nil
}

// maxKey is the number of characters of a key in feast_metadata.
const maxKey = 50

// metadataRecord returns the record for the rows that feast_metadata has of a project, by key, without that of the last
// change.
func metadataRecord(project string, rows map[string]string) registry.Record {
	return registry.Record{
		ID:    registry.ID{Kind: registry.KindProjectMetadata, Project: project, Name: project},
		Proto: appendText(appendText(nil, 1, project), 2, projectmeta.Text(rows)),
	}
}

// metadataRows is the inverse of metadataRecord.
func metadataRows(message []byte) (map[string]string, error) {
	var m core.ProjectMetadata
	if err := proto.Unmarshal(message, &m); err != nil {
		return nil, err
	}
	return projectmeta.Rows(m.ProjectUuid), nil
}

// appendVersion appends a row of the history as a feast.core.FeatureViewVersionRecord.
func (r *row) appendVersion(b []byte) []byte {
	b = appendText(appendText(b, 1, r.name), 2, r.project)
	if r.version != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(r.version))
	}
	b = appendText(appendText(b, 4, r.viewKind), 5, r.proto)
	if r.time != 0 {
		var seconds [11]byte
		b = appendText(b, 6, protowire.AppendVarint(append(seconds[:0], 1<<3), uint64(r.time)))
	}
	return appendText(appendText(b, 7, r.text), 8, r.id)
}

// appendText appends a length-delimited field, unless it is empty.
func appendText[T string | []byte](b []byte, num protowire.Number, value T) []byte {
	if len(value) == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(value)))
	return append(b, value...)
}

// place says where a message has its project.
type place struct {
	spec    protowire.Number // of the submessage; 0: in the message itself
	field   protowire.Number // 0: it has none
	omitted bool             // Feast leaves it empty in rows
}

var places = [...]place{
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

func placeOf(kind registry.Kind) place {
	if int(kind) < len(places) {
		return places[kind]
	}
	return place{}
}

// find returns where in b[from:to], a message, a field begins and where its value is. Without the field, begin and end are
// where protobuf libraries would write it, and value is negative. ok is false when the message is malformed.
func find(b []byte, from, to int, want protowire.Number) (begin, value, end int, ok bool) {
	insert := -1
	for at := from; at < to; {
		num, typ, tag := protowire.ConsumeTag(b[at:to])
		if tag < 0 {
			return 0, 0, 0, false
		}
		n := protowire.ConsumeFieldValue(num, typ, b[at+tag:to])
		if n < 0 {
			return 0, 0, 0, false
		}
		next := at + tag + n
		switch {
		case num == want && typ == protowire.BytesType:
			_, size := protowire.ConsumeVarint(b[at+tag : to])
			return at, at + tag + size, next, true
		case num > want && insert < 0:
			insert = at
		}
		at = next
	}
	if insert < 0 {
		insert = to
	}
	return insert, -1, insert, true
}

// named reports whether a message names its project, or cannot.
func (p place) named(b []byte) bool {
	if p.field == 0 {
		return true
	}
	from, to := 0, len(b)
	if p.spec != 0 {
		var ok bool
		if _, from, to, ok = find(b, 0, len(b), p.spec); !ok || from < 0 {
			return true
		}
	}
	_, value, end, ok := find(b, from, to, p.field)
	return !ok || value >= 0 && value < end
}

// appendNamed appends a message that names its project: b, if it does. One that is malformed, or has no submessage to name it
// in, stays as it is.
func (p place) appendNamed(dst, b []byte, project string) []byte {
	if p.field == 0 || project == "" {
		return append(dst, b...)
	}
	return p.replace(dst, b, project, false)
}

// remove returns a message that does not name its project.
func (p place) remove(b []byte) []byte { return p.replace(nil, b, "", true) }

// replace appends a message with another project where there is none; with over, also where there is one.
func (p place) replace(out, b []byte, project string, over bool) []byte {
	start, from, to := 0, 0, len(b)
	if p.spec != 0 {
		var ok bool
		if start, from, to, ok = find(b, 0, len(b), p.spec); !ok || from < 0 {
			return append(out, b...)
		}
	}
	begin, value, end, ok := find(b, from, to, p.field)
	if !ok || value >= 0 && value < end && !over || value < 0 && project == "" {
		return append(out, b...)
	}
	var buf [288]byte // a name has 255 characters, mostly of one byte
	field := appendText(buf[:0], p.field, project)
	if p.spec != 0 {
		out = append(out, b[:start]...)
		out = protowire.AppendTag(out, p.spec, protowire.BytesType)
		out = protowire.AppendVarint(out, uint64(begin-from+len(field)+to-end))
	}
	out = append(out, b[from:begin]...)
	out = append(out, field...)
	out = append(out, b[end:to]...)
	return append(out, b[to:]...)
}
