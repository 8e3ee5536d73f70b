package online

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// DummyJoinKey is the join key, with the empty string as its value, under which views without entities keep their one
// row; DummyEntity is its entity.
const (
	DummyEntity  = "__dummy"
	DummyJoinKey = "__dummy_id"
)

// KeyEncoding serializes the entity keys of one set of join keys as Feast does (serialize_entity_key). Everything that
// does not depend on the values is done once. It is immutable.
//
// Version 3: u32 number of keys; for each join key u32(2), u32 length, UTF-8; then for each value u32 type, u32 length,
// bytes. Version 2: without the number of keys and the lengths of the join keys. All integers little-endian, join keys
// in order of their code points.
type KeyEncoding struct {
	version  int
	joinKeys []string
	prefix   []byte
}

// NewKeyEncoding returns the encoding of a set of join keys, in any order. version is 2 or 3.
func NewKeyEncoding(version int, joinKeys []string) (*KeyEncoding, error) {
	e := &KeyEncoding{version: version, joinKeys: slices.Sorted(slices.Values(joinKeys))}
	if version != 2 && version != 3 {
		return nil, feasterr.Unsupported("entity_key_serialization_version %d: only 2 and 3 are known", version)
	}
	for i, k := range e.joinKeys {
		if i > 0 && e.joinKeys[i-1] == k {
			return nil, feasterr.Invalid("join key %q is listed twice", k)
		}
	}
	e.prefix = AppendKeyPrefix(nil, version, e.joinKeys)
	return e, nil
}

// JoinKeys returns the join keys in the order in which their values are encoded. It must not be changed.
func (e *KeyEncoding) JoinKeys() []string { return e.joinKeys }

// Append appends the serialized key of a row. columns stand in the order of [KeyEncoding.JoinKeys] and are of types that
// [types.Type.CanBeKey]; a cell without a value is a [*feasterr.RequestError].
func (e *KeyEncoding) Append(dst []byte, columns []*types.Column, row int) ([]byte, error) {
	dst = append(dst, e.prefix...)
	for _, c := range columns {
		var ok bool
		if dst, ok = c.AppendKeyValue(dst, row); !ok {
			return dst, keyValueError(c, row)
		}
	}
	return dst, nil
}

func keyValueError(c *types.Column, row int) error {
	if !c.Type().CanBeKey() {
		return &feasterr.RequestError{
			Column: c.Name(), Row: -1,
			Msg: "a " + c.Type().String() + " cannot be an entity key; " +
				"Feast's key encoding knows String, Bytes, Int32, Int64 and UnixTimestamp",
		}
	}
	return &feasterr.RequestError{Column: c.Name(), Row: row, Msg: "an entity key cannot be null"}
}

// AppendKeyPrefix appends the part of serialized keys that is the same for all values of the join keys, which must be
// sorted (serialize_entity_key_prefix).
func AppendKeyPrefix(dst []byte, version int, joinKeys []string) []byte {
	if version >= 3 {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(joinKeys)))
	}
	for _, k := range joinKeys {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(types.String))
		if version >= 3 {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(len(k)))
		}
		dst = append(dst, k...)
	}
	return dst
}

// KeyPart is a join key of a serialized entity key with its value.
type KeyPart struct {
	JoinKey string
	Type    types.Type // String, Bytes, Int32, Int64 or UnixTimestamp
	Value   any        // string, []byte, int32 or int64
}

// ParseKey reads a serialized entity key of version 3 (version 2 does not tell where names end). It may be followed by
// nothing. Use [ParseKeyPrefix] where something follows.
func ParseKey(b []byte) ([]KeyPart, error) {
	parts, rest, err := ParseKeyPrefix(b)
	if err == nil && len(rest) > 0 {
		err = feasterr.Invalid("malformed entity key: %d bytes follow its last value", len(rest))
	}
	if err != nil {
		return nil, err
	}
	return parts, nil
}

// ParseKeyPrefix reads the serialized entity key of version 3 that b begins with, and returns what follows it.
func ParseKeyPrefix(b []byte) (parts []KeyPart, rest []byte, err error) {
	size := len(b)
	truncated := func() error { return feasterr.Invalid("malformed entity key: %d bytes are too few", size) }
	count, b, ok := cutUint32(b)
	if !ok || uint64(count)*16 > uint64(len(b)) { // a key and a value take 16 bytes at least
		return nil, nil, truncated()
	}
	parts = make([]KeyPart, count)
	for i := range parts {
		typ, name, after, ok := cutPart(b)
		switch {
		case !ok:
			return nil, nil, truncated()
		case typ != types.String:
			return nil, nil, feasterr.Invalid("malformed entity key: a join key has type %d", typ)
		case !utf8.Valid(name):
			return nil, nil, feasterr.Invalid("malformed entity key: a join key is not UTF-8")
		}
		parts[i].JoinKey = strings.TrimRight(string(name), "\x00")
		b = after
	}
	for i := range parts {
		p := &parts[i]
		typ, data, after, ok := cutPart(b)
		if !ok {
			return nil, nil, truncated()
		}
		p.Type = typ
		switch {
		case typ == types.Int64 && len(data) == 8, typ == types.UnixTimestamp && len(data) == 8:
			p.Value = int64(binary.LittleEndian.Uint64(data))
		case typ == types.Int32 && len(data) == 4:
			p.Value = int32(binary.LittleEndian.Uint32(data))
		case typ == types.String && utf8.Valid(data):
			p.Value = string(data)
		case typ == types.Bytes:
			p.Value = slices.Clone(data)
		default:
			return nil, nil, feasterr.Invalid("malformed entity key: %d bytes of type %d for join key %q", len(data), typ, p.JoinKey)
		}
		b = after
	}
	return parts, b, nil
}

// cutPart cuts a type, a length and that many bytes.
func cutPart(b []byte) (typ types.Type, data, rest []byte, ok bool) {
	t, b, ok1 := cutUint32(b)
	size, b, ok2 := cutUint32(b)
	if !ok1 || !ok2 || uint64(size) > uint64(len(b)) {
		return 0, nil, nil, false
	}
	if t > 255 {
		t = 255 // no type: reported by the caller
	}
	return types.Type(t), b[:size], b[size:], true
}

func cutUint32(b []byte) (uint32, []byte, bool) {
	if len(b) < 4 {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint32(b), b[4:], true
}
