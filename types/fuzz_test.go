package types

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/internal/wire"
)

// FuzzValue decodes bytes through a column of any type and compares with the protobuf library. Two differences are on
// purpose: groups, which no message of Feast has, are refused, and values nest at most maxDepth levels.
func FuzzValue(f *testing.F) {
	for _, tc := range goldenValues(f) {
		raw, err := hex.DecodeString(tc.Hex)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(typeOfField(f, tc.OneOf)), raw)
		f.Add(uint8(Int64), raw)
	}
	for _, s := range samples {
		raw := stored(s.typ, s.value)
		f.Add(uint8(s.typ), append(raw, raw...))
		f.Add(uint8(s.typ), append(raw, stored(Int64, 1)...))
	}
	f.Add(uint8(JSON), []byte{0, 1, 'x'})
	f.Add(uint8(String), []byte{7 << 3, 2})
	f.Add(uint8(String), []byte{3 << 3, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add(uint8(Map), []byte{9<<3 | 3, 9<<3 | 4})
	f.Add(uint8(Int32List), stored(Int32List, "\x08\x01\x0a\x02\x02\x03\x08\xff\xff\xff\xff\x0f"))

	f.Fuzz(func(t *testing.T, typ uint8, b []byte) {
		var msg pb.Value
		protoErr := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, &msg)
		c := NewColumn("f", Type(typ), 2)
		err := c.SetValue(0, b)
		if err != nil {
			if protoErr == nil && !hasGroup(b) && !errors.Is(err, errDepth) {
				t.Fatalf("refused: %v", err)
			}
			if c.states()[0] != 0 || c.Any(0) != nil || len(c.AppendValue(nil, 0)) > 0 || string(c.AppendJSON(nil, 0)) != "null" {
				t.Fatal("an error left something in the cell")
			}
			return
		}
		if protoErr != nil {
			t.Fatalf("accepted, against: %v", protoErr)
		}

		member := msg.ProtoReflect().WhichOneof(msg.ProtoReflect().Descriptor().Oneofs().Get(0))
		own := NewColumn("own", Int64, 1)
		if member != nil {
			own = NewColumn("own", Type(member.Number()), 1)
		}
		if err := own.SetValue(0, b); err != nil || own.Mixed() {
			t.Fatal(err)
		}
		widened := c.typ == Int64 && own.typ == Int32 || c.typ == Float64 && own.typ == Float32
		c.CopyCell(1, 0)
		for _, cell := range []struct {
			c   *Column
			row int
		}{{own, 0}, {c, 0}, {c, 1}} {
			raw := cell.c.AppendValue(nil, cell.row)
			var back pb.Value
			if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, &back); err != nil {
				t.Fatalf("AppendValue wrote %x: %v", raw, err)
			}
			if !proto.Equal(&back, &msg) && !(widened && cell.c == c) {
				t.Fatalf("AppendValue wrote %x: %v, want %v", raw, &back, &msg)
			}
			if null := isNull(&msg); cell.c.Status(cell.row) == NullValue != null || cell.c.Valid(cell.row) == null {
				t.Fatalf("status %s of %v", cell.c.Status(cell.row), &msg)
			}
			if got, want := fmt.Sprintf("%#v", cell.c.Any(cell.row)), fmt.Sprintf("%#v", protoAny(msg.ProtoReflect())); got != want && !(widened && cell.c == c) {
				t.Fatalf("Any is %s, want %s", got, want)
			}
			js := cell.c.AppendJSON(nil, cell.row)
			if !json.Valid(js) || !bytes.Equal(js, own.AppendJSON(nil, 0)) {
				t.Fatalf("JSON %s", js)
			}
			text, ok := cell.c.AppendText(nil, cell.row)
			if wantText, want := own.AppendText(nil, 0); ok != want || !bytes.Equal(text, wantText) {
				t.Fatalf("text %s", text)
			}
			num, ok := cell.c.Number(cell.row)
			if wantNum, want := own.Number(0); ok != want || num != wantNum && (num == num || wantNum == wantNum) {
				t.Fatalf("number %v", num)
			}
			cell.c.Bytes(cell.row)
			cell.c.Or(make([]float32, 2), 1, 0)
			readAs[int32](cell.c)
			readAs[int64](cell.c)
			readAs[float32](cell.c)
			readAs[float64](cell.c)
			readAs[bool](cell.c)
			readAs[string](cell.c)
			readAs[[]byte](cell.c)
		}
	})
}

func readAs[T Native](c *Column) {
	_, _ = Values[T](c)
	if l, err := Lists[T](c); err == nil {
		l.Flat()
		l.Offsets()
	}
}

// hasGroup reports whether b, read as a message, or anything in it that may be a message, has a group.
func hasGroup(b []byte) bool {
	for len(b) > 0 {
		if tag, n := wire.Uvarint(b); n > 0 && (tag&7 == 3 || tag&7 == 4) {
			return true
		}
		f, n := nextField(b)
		if n == 0 {
			return false
		}
		if hasGroup(f.data) {
			return true
		}
		b = b[n:]
	}
	return false
}

func isNull(v *pb.Value) bool {
	switch x := v.Val.(type) {
	case nil, *pb.Value_NullVal:
		return true
	case *pb.Value_UnixTimestampVal:
		return x.UnixTimestampVal == math.MinInt64
	case *pb.Value_ZonedTimestampVal:
		return x.ZonedTimestampVal.UnixTimestamp == math.MinInt64
	}
	return false
}

// protoAny is [Column.Any] by way of the protobuf library.
func protoAny(m protoreflect.Message) any {
	fd := m.WhichOneof(m.Descriptor().Oneofs().Get(0))
	if fd == nil || fd.Kind() == protoreflect.EnumKind {
		return nil
	}
	switch v := m.Get(fd); fd.Name() {
	case "json_val":
		return json.RawMessage(v.String())
	case "uuid_val", "time_uuid_val", "uuid_key", "time_uuid_key":
		return uuidAny([]byte(v.String()))
	case "bytes_val", "bytes_key":
		return append([]byte{}, v.Bytes()...)
	default:
		if fd.Message() == nil {
			return v.Interface()
		}
		m = v.Message()
	}
	if fd.Message().Name() == "ZonedTimestamp" {
		z := m.Interface().(*pb.ZonedTimestamp)
		if z.UnixTimestamp == math.MinInt64 {
			return nil
		}
		return zonedTime(z.UnixTimestamp, []byte(z.Zone))
	}
	val := m.Get(m.Descriptor().Fields().ByName("val"))
	if fd.Message().Name() == "Map" {
		return protoMap(m)
	}
	list := val.List()
	switch fd.Message().Name() {
	case "MapList":
		return protoList(list, func(v protoreflect.Value) map[string]any { return protoMap(v.Message()) })
	case "RepeatedValue":
		return protoList(list, func(v protoreflect.Value) any { return protoAny(v.Message()) })
	case "ScalarMap":
		return protoList(list, func(v protoreflect.Value) MapEntry {
			e := v.Message().Interface().(*pb.ScalarMapEntry)
			return MapEntry{protoAny(e.GetKey().ProtoReflect()), protoAny(e.GetValue().ProtoReflect())}
		})
	case "BytesList", "BytesSet":
		return protoList(list, func(v protoreflect.Value) []byte { return append([]byte{}, v.Bytes()...) })
	case "Int32List", "Int32Set":
		return protoList(list, func(v protoreflect.Value) int32 { return int32(v.Int()) })
	case "Int64List", "Int64Set":
		return protoList(list, protoreflect.Value.Int)
	case "FloatList", "FloatSet":
		return protoList(list, func(v protoreflect.Value) float32 { return v.Interface().(float32) })
	case "DoubleList", "DoubleSet":
		return protoList(list, protoreflect.Value.Float)
	case "BoolList", "BoolSet":
		return protoList(list, protoreflect.Value.Bool)
	}
	texts := protoList(list, protoreflect.Value.String)
	switch fd.Name() {
	case "json_list_val":
		out := []json.RawMessage{}
		for _, s := range texts {
			out = append(out, json.RawMessage(s))
		}
		return out
	case "uuid_list_val", "uuid_set_val", "time_uuid_list_val", "time_uuid_set_val":
		out := [][16]byte{}
		for _, s := range texts {
			u, ok := uuidAny([]byte(s)).([16]byte)
			if !ok {
				return texts
			}
			out = append(out, u)
		}
		return out
	}
	return texts
}

func protoMap(m protoreflect.Message) map[string]any {
	out := map[string]any{}
	for k, v := range m.Interface().(*pb.Map).Val {
		out[k] = protoAny(v.ProtoReflect())
	}
	return out
}

func protoList[T any](list protoreflect.List, conv func(protoreflect.Value) T) []T {
	out := []T{}
	for i := range list.Len() {
		out = append(out, conv(list.Get(i)))
	}
	return out
}

// FuzzTimestamp compares with the protobuf library. Refused on purpose: groups, and nanoseconds outside a second.
func FuzzTimestamp(f *testing.F) {
	for _, tc := range golden[struct {
		Timestamps []struct{ Hex string } `json:"timestamp_proto"`
	}](f, "entity_keys.json").Timestamps {
		raw, err := hex.DecodeString(tc.Hex)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("\x10\xff\xff\xff\xff\x0f"))
	f.Add([]byte("\x1a\x01x\x08\x05\x08\x06\x10\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var msg timestamppb.Timestamp
		protoErr := proto.Unmarshal(b, &msg)
		got, err := ParseTimestamp(b)
		if err != nil {
			if protoErr == nil && !hasGroup(b) && msg.Nanos >= 0 && msg.Nanos <= 999_999_999 {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if protoErr != nil || got != (Timestamp{msg.Seconds, msg.Nanos}) {
			t.Fatalf("%d, want %v, %v", got, &msg, protoErr)
		}
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(&timestamppb.Timestamp{Seconds: msg.Seconds, Nanos: msg.Nanos})
		if raw := got.AppendProto(nil); err != nil || !bytes.Equal(raw, want) {
			t.Fatalf("AppendProto wrote %x, want %x", raw, want)
		}
		text := fmt.Sprintf("%q", got)
		if msg.CheckValid() == nil {
			if want, err := protojson.Marshal(&msg); err != nil || text != string(want) {
				t.Fatalf("%s, want %s, %v", text, want, err)
			}
			if TimestampOf(got.Time()) != got {
				t.Fatalf("%s does not survive time.Time", got)
			}
		}
	})
}
