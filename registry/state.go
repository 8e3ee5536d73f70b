package registry

import (
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/feastgo/feast/feasterr"
)

// State is everything a registry holds, as records. It is immutable.
type State struct {
	Records     []Record
	Bad         []BadRecord
	VersionID   string    // changes with every write of a file registry; empty where there is none
	LastUpdated time.Time // zero where it is not known
	Hidden      []Kind    // that this identity may not list; records of them are those it looked up, see [Lookuper]
	Sealed      bool      // parsed from data that ends as [Rewrite] ends it: it is not cut off between two records
}

// layout says where the records of a kind are in a serialized feast.core.Registry, and where in a record its identity
// stands. Numbers are field numbers, 0 for none.
type layout struct {
	field         protowire.Number // of the records in the Registry
	spec          protowire.Number // of the submessage that holds the rest
	name, project protowire.Number
	version       protowire.Number
}

var layouts = [numKinds]layout{
	KindProject:             {field: 17, spec: 1, name: 1},
	KindEntity:              {field: 1, spec: 1, name: 1, project: 9},
	KindDataSource:          {field: 12, name: 20, project: 21},
	KindFeatureView:         {field: 6, spec: 1, name: 1, project: 2},
	KindStreamFeatureView:   {field: 14, spec: 1, name: 1, project: 2},
	KindOnDemandFeatureView: {field: 8, spec: 1, name: 1, project: 2},
	KindLabelView:           {field: 19, spec: 1, name: 1, project: 2},
	KindFeatureService:      {field: 7, spec: 1, name: 1, project: 2},
	KindSavedDataset:        {field: 11, spec: 1, name: 1, project: 2},
	KindValidationReference: {field: 13, name: 1, project: 3},
	KindPermission:          {field: 16, spec: 1, name: 1, project: 2},
	KindInfra:               {field: 10},
	KindProjectMetadata:     {field: 15, name: 1},
	KindViewVersion:         {name: 1, project: 2, version: 3}, // in the version history
}

// Fields of feast.core.Registry that are not lists of records.
const (
	featureTablesField = 2 // of old versions of Feast; not read
	schemaField        = 3
	versionIDField     = 4
	lastUpdatedField   = 5
	historyField       = 18 // a message of its own

	versionsField = 1 // in the version history: the records of KindViewVersion
)

// kindOfField is the inverse of layout.field.
var kindOfField = func() (kinds [20]Kind) {
	for kind, l := range layouts {
		if l.field > 0 {
			kinds[l.field] = Kind(kind)
		}
	}
	return kinds
}()

// ParseState splits a serialized feast.core.Registry, what the file of a file registry holds, into records. It does
// not decode objects, so it takes a few milliseconds for thousands of them; a record whose identity cannot be told
// goes to State.Bad. The records refer to data, which must not be modified afterwards. No data is an empty registry.
//
// The error is a feasterr.ErrInvalid: data is not a registry, or is cut off.
func ParseState(data []byte) (*State, error) {
	s := new(State)
	var last, before protowire.Number
	err := eachRegistryField(data, func(num protowire.Number, kind Kind, _, value []byte) {
		last, before = num, last
		switch {
		case kind != 0:
			s.add(kind, value)
		case num == versionIDField:
			s.VersionID = string(value)
		case num == lastUpdatedField:
			s.LastUpdated = parseTimestamp(value)
		case num == historyField:
			s.addHistory(value)
		}
	})
	if err != nil {
		return nil, err
	}
	s.Sealed = before == lastUpdatedField && last == versionIDField
	return s, nil
}

// eachRegistryField calls f for the fields of a serialized feast.core.Registry: with the whole field, its tag included,
// and with its value when it is one that this library knows. kind is that of a record, else 0.
func eachRegistryField(data []byte, f func(num protowire.Number, kind Kind, field, value []byte)) error {
	known := len(data) == 0
	for rest := data; len(rest) > 0; {
		at := len(data) - len(rest)
		num, typ, n := protowire.ConsumeField(rest)
		if n < 0 {
			return feasterr.Invalid("not a Feast registry, or cut off: byte %d: %w", at, protowire.ParseError(n))
		}
		field := rest[:n]
		rest = rest[n:]

		var kind Kind
		if num < protowire.Number(len(kindOfField)) {
			kind = kindOfField[num]
		}
		isKnown := kind != 0
		switch num {
		case featureTablesField, schemaField, versionIDField, lastUpdatedField, historyField:
			isKnown = true
		}
		if !isKnown { // of a newer Feast
			f(num, 0, field, nil)
			continue
		}
		if typ != protowire.BytesType {
			return feasterr.Invalid("not a Feast registry: field %d at byte %d is not a message or text", num, at)
		}
		known = true
		f(num, kind, field, fieldValue(field))
	}
	if !known {
		return feasterr.Invalid("not a Feast registry: %d bytes without any field of one", len(data))
	}
	return nil
}

// fieldValue returns the value of a whole, length-delimited field.
func fieldValue(field []byte) []byte {
	_, _, n := protowire.ConsumeTag(field)
	value, _ := protowire.ConsumeBytes(field[n:])
	return value
}

// add appends a record, or a bad one when its identity cannot be told. value has no spare capacity for others to write
// into.
func (s *State) add(kind Kind, value []byte) {
	value = slices.Clip(value)
	id, err := identity(kind, value)
	if err != nil {
		s.Bad = append(s.Bad, BadRecord{id, value, feasterr.Invalid("%s cannot be read: %w", id, err)})
		return
	}
	s.Records = append(s.Records, Record{ID: id, Proto: value})
}

func (s *State) addHistory(value []byte) {
	err := eachField(value, func(num protowire.Number, v []byte, _ uint64) error {
		if num == versionsField && v != nil {
			s.add(KindViewVersion, v)
		}
		return nil
	})
	if err != nil {
		id := ID{Kind: KindViewVersion}
		s.Bad = append(s.Bad, BadRecord{id, value, feasterr.Invalid("the version history cannot be read to its end: %w", err)})
	}
}

// ReadRecord returns a serialized message of a kind of objects under its identity, which is read from it without decoding
// the rest; the project is the one given. The error is a feasterr.ErrInvalid, and the record as much as could be told.
// The record refers to message, which must not be modified afterwards.
func ReadRecord(kind Kind, project string, message []byte) (Record, error) {
	id, err := identity(kind, message)
	id.Project = project
	if kind == KindProject {
		id.Project = id.Name
	}
	if err != nil {
		err = feasterr.Invalid("%s cannot be read: %w", id, err)
	}
	return Record{ID: id, Proto: slices.Clip(message)}, err
}

// identity reads the identity of a record without decoding it. With an error, it is as much as could be told.
func identity(kind Kind, value []byte) (ID, error) {
	l := layouts[kind]
	id := ID{Kind: kind}
	read := func(num protowire.Number, v []byte, n uint64) error {
		switch {
		case num == l.name && v != nil:
			id.Name = string(v)
		case num == l.project && v != nil:
			id.Project = string(v)
		case num == l.version && v == nil:
			id.Version = int(int32(n))
		}
		return nil
	}
	var err error
	if l.spec == 0 {
		err = eachField(value, read)
	} else {
		err = eachField(value, func(num protowire.Number, v []byte, _ uint64) error {
			if num == l.spec && v != nil {
				return eachField(v, read)
			}
			return nil
		})
	}
	switch kind {
	case KindProject, KindProjectMetadata:
		id.Project = id.Name
	case KindInfra:
		id.Name = InfraName
	}
	return id, err
}

// eachField calls f for the fields of a message: with the bytes, never nil, of a length-delimited one, and with the
// number of a varint.
func eachField(b []byte, f func(num protowire.Number, v []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var err error
		switch typ {
		case protowire.BytesType:
			var v []byte
			if v, n = protowire.ConsumeBytes(b); n >= 0 {
				err = f(num, v, 0)
			}
		case protowire.VarintType:
			var v uint64
			if v, n = protowire.ConsumeVarint(b); n >= 0 {
				err = f(num, nil, v)
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// parseTimestamp reads a google.protobuf.Timestamp; the zero time when it is malformed.
func parseTimestamp(b []byte) time.Time {
	var seconds, nanos int64
	if err := eachField(b, func(num protowire.Number, v []byte, n uint64) error {
		switch {
		case num == 1 && v == nil:
			seconds = int64(n)
		case num == 2 && v == nil:
			nanos = int64(int32(n))
		}
		return nil
	}); err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, nanos).UTC()
}
