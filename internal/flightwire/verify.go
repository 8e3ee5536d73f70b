package flightwire

import (
	"encoding/binary"

	"github.com/feastgo/feast/feasterr"
)

// Messages of Arrow's IPC format are flatbuffers (format/Message.fbs and Schema.fbs of Apache Arrow). Arrow's reader believes
// the lengths that stand in them, and a length that is made up would have it ask for more memory than there is, which no
// program survives. So what says how long something is, is compared with the message first.

// MessageHeader.
const (
	headerSchema     = 1
	headerDictionary = 2
	headerBatch      = 3
)

const (
	maxFields = 100_000 // of a schema, nested ones included
	maxDepth  = 64      // of nested fields
)

// errCompressed: the size that a compressed buffer has by its own word is not to be believed either.
var errCompressed = feasterr.Unsupported("compressed record batches are not read: send them as they are")

// verify returns why a message must not be read.
func verify(message []byte) (err error) {
	if len(message) == 0 {
		return nil // it has a descriptor or metadata alone
	}
	defer func() {
		if recover() != nil { // an offset leads out of the message
			err = feasterr.Invalid("a message is damaged")
		}
	}()
	root := table{message, int(binary.LittleEndian.Uint32(message))}
	kind, ok := root.field(1)
	header, has := root.child(2)
	if !ok || !has {
		return feasterr.Invalid("a message has no content")
	}
	root.vector(4, 4)
	switch message[kind] {
	case headerSchema:
		header.vector(2, 4)
		header.vector(3, 8)
		left := maxFields
		return header.fields(1, maxDepth, &left)
	case headerDictionary:
		if header, has = header.child(1); !has {
			return feasterr.Invalid("a dictionary has no values")
		}
	case headerBatch:
	default:
		return feasterr.Invalid("a message is neither a schema nor a record batch")
	}
	if _, ok := header.field(3); ok {
		return errCompressed
	}
	header.vector(1, 16)
	header.vector(2, 16)
	header.vector(4, 8)
	return nil
}

// IsDictionary reports whether a message has values of a dictionary, which a reader keeps until the stream ends.
func IsDictionary(message []byte) (is bool) {
	defer func() { _ = recover() }() // a damaged message is none
	if len(message) == 0 {
		return false
	}
	kind, ok := table{message, int(binary.LittleEndian.Uint32(message))}.field(1)
	return ok && message[kind] == headerDictionary
}

// table is a table of a flatbuffer. Its methods panic where the buffer is damaged.
type table struct {
	b  []byte
	at int
}

// field is where a field stands, if it is there.
func (t table) field(n int) (int, bool) {
	vtable := t.at - int(int32(binary.LittleEndian.Uint32(t.b[t.at:])))
	if slot := 4 + 2*n; slot < int(binary.LittleEndian.Uint16(t.b[vtable:])) {
		if offset := int(binary.LittleEndian.Uint16(t.b[vtable+slot:])); offset != 0 {
			return t.at + offset, true
		}
	}
	return 0, false
}

func (t table) child(n int) (table, bool) {
	at, ok := t.field(n)
	if !ok {
		return t, false
	}
	return table{t.b, at + int(binary.LittleEndian.Uint32(t.b[at:]))}, true
}

// vector returns the length of a vector, and where it begins, after it was compared with the buffer.
func (t table) vector(n, size int) (length, at int) {
	v, ok := t.child(n)
	if !ok {
		return 0, 0
	}
	length = int(binary.LittleEndian.Uint32(v.b[v.at:]))
	_ = v.b[v.at+4 : v.at+4+length*size] // which panics where it does not fit
	return length, v.at + 4
}

// fields looks at the fields in a vector of them, and at those below.
func (t table) fields(n, depth int, left *int) error {
	length, at := t.vector(n, 4)
	if *left -= length; *left < 0 || depth == 0 && length > 0 {
		return feasterr.Invalid("a schema has more than %d fields, or more than %d levels of them", maxFields, maxDepth)
	}
	for i := range length {
		from := at + 4*i
		f := table{t.b, from + int(binary.LittleEndian.Uint32(t.b[from:]))}
		f.vector(6, 4)
		if typ, ok := f.child(3); ok {
			const union = 14 // whose type ids are the only vector of a type
			if kind, ok := f.field(2); ok && f.b[kind] == union {
				typ.vector(1, 4)
			}
		}
		if err := f.fields(5, depth-1, left); err != nil {
			return err
		}
	}
	return nil
}
