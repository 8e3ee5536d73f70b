package file

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
)

// hints are types of top-level columns of which Parquet has no more than a part: durations, timestamps with the name of
// their zone, and large_string. Arrow's writers leave them in a schema of Arrow's IPC format in the metadata of a file.
type hints map[string]arrow.DataType

// hintsOf takes hints from a schema.
func hintsOf(s *arrow.Schema) hints {
	h := hints{}
	for _, f := range s.Fields() {
		h[f.Name] = f.Type
	}
	return h
}

// The fields of the tables of Arrow's Schema.fbs and Message.fbs that are read here, and members of its union Type.
const (
	messageHeader, schemaFields               = 2, 1
	fieldName, fieldTypeTag, fieldType        = 0, 2, 3
	timestampUnit, timestampZone              = 0, 1
	durationUnit                              = 0
	tagTimestamp                       byte   = 10
	tagDuration                        byte   = 18
	tagLargeUtf8                       byte   = 20
	continuation                       uint32 = 0xffffffff
)

// readHints reads the metadata of a file. It is from outside, so that what is broken is left out; Arrow's own reader takes
// memory before it checks.
func readHints(text string) (h hints) {
	h = hints{}
	defer func() { _ = recover() }() // offsets that lead out of the message
	message, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(message) < 8 {
		return h
	}
	if binary.LittleEndian.Uint32(message) == continuation {
		message = message[4:]
	}
	message = message[4:] // its length
	root := flatTable{message, int(binary.LittleEndian.Uint32(message))}
	schema, ok := root.table(messageHeader)
	if !ok {
		return h
	}
	fields, ok := schema.vector(schemaFields)
	if !ok {
		return h
	}
	for i := range int(binary.LittleEndian.Uint32(message[fields:])) {
		at := fields + 4 + 4*i
		f := flatTable{message, at + int(binary.LittleEndian.Uint32(message[at:]))}
		tag, ok := f.at(fieldTypeTag)
		if !ok {
			continue
		}
		if message[tag] == tagLargeUtf8 {
			h[f.text(fieldName)] = arrow.BinaryTypes.LargeString
			continue
		}
		t, ok := f.table(fieldType)
		if !ok {
			continue
		}
		switch message[tag] {
		case tagTimestamp:
			h[f.text(fieldName)] = &arrow.TimestampType{Unit: t.unit(timestampUnit, arrow.Second), TimeZone: t.text(timestampZone)}
		case tagDuration:
			h[f.text(fieldName)] = &arrow.DurationType{Unit: t.unit(durationUnit, arrow.Millisecond)}
		}
	}
	return h
}

// flatTable is a table of FlatBuffers.
type flatTable struct {
	b   []byte
	pos int
}

// at finds a field; it may be absent.
func (t flatTable) at(field int) (int, bool) {
	index := t.pos - int(int32(binary.LittleEndian.Uint32(t.b[t.pos:])))
	if 4+2*field >= int(binary.LittleEndian.Uint16(t.b[index:])) {
		return 0, false
	}
	offset := int(binary.LittleEndian.Uint16(t.b[index+4+2*field:]))
	return t.pos + offset, offset != 0
}

// vector finds what a field refers to.
func (t flatTable) vector(field int) (int, bool) {
	at, ok := t.at(field)
	if !ok {
		return 0, false
	}
	return at + int(binary.LittleEndian.Uint32(t.b[at:])), true
}

func (t flatTable) table(field int) (flatTable, bool) {
	at, ok := t.vector(field)
	return flatTable{t.b, at}, ok
}

func (t flatTable) text(field int) string {
	at, ok := t.vector(field)
	if !ok {
		return ""
	}
	n := int(binary.LittleEndian.Uint32(t.b[at:]))
	return string(t.b[at+4 : at+4+n])
}

func (t flatTable) unit(field int, absent arrow.TimeUnit) arrow.TimeUnit {
	at, ok := t.at(field)
	if !ok {
		return absent
	}
	return arrow.TimeUnit(binary.LittleEndian.Uint16(t.b[at:]) % 4)
}
