package interop_test

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/feastgo/feast"
	pb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// randomValue returns a value of a feature, now and then a null.
func randomValue(rng *rand.Rand, f registry.Field) *pb.Value {
	v := new(pb.Value)
	if rng.IntN(10) == 0 {
		return v
	}
	switch f.Type {
	case types.Int64: // which Feast rounds beyond 2^53 where a column has nulls (departure 21)
		v.Val = &pb.Value_Int64Val{Int64Val: rng.Int64N(1<<54) - 1<<53}
	case types.Map:
		v.Val = &pb.Value_MapVal{MapVal: randomMap(rng)}
	case types.Struct:
		v.Val = &pb.Value_StructVal{StructVal: randomMap(rng)}
	case types.MapList:
		v.Val = &pb.Value_MapListVal{MapListVal: &pb.MapList{Val: []*pb.Map{randomMap(rng), randomMap(rng)}}}
	case types.StructList:
		v.Val = &pb.Value_StructListVal{StructListVal: &pb.MapList{Val: []*pb.Map{randomMap(rng)}}}
	case types.ScalarMap:
		v.Val = &pb.Value_ScalarMapVal{ScalarMapVal: &pb.ScalarMap{Val: []*pb.ScalarMapEntry{{
			Key: &pb.MapKey{Key: &pb.MapKey_Int64Key{Int64Key: rng.Int64()}}, Value: stringValue(randomText(rng)),
		}}}}
	case types.ValueList:
		list := new(pb.RepeatedValue)
		for range 1 + rng.IntN(3) {
			list.Val = append(list.Val, &pb.Value{Val: &pb.Value_Int64ListVal{Int64ListVal: &pb.Int64List{Val: []int64{rng.Int64(), 2}}}})
		}
		v.Val = &pb.Value_ListVal{ListVal: list}
	case types.ZonedTimestamp:
		v.Val = &pb.Value_ZonedTimestampVal{ZonedTimestampVal: &pb.ZonedTimestamp{
			UnixTimestamp: randomSeconds(rng), Zone: []string{"UTC", "Europe/Berlin", "Asia/Kolkata"}[rng.IntN(3)],
		}}
	default:
		n := rng.IntN(4)
		if f.VectorIndex {
			n = f.VectorLength
		}
		setMember(rng, v, f.Type, n)
	}
	return v
}

// setMember sets the member of the oneof that is named after a scalar, list or set type, a list with n elements.
func setMember(rng *rand.Rand, v *pb.Value, t types.Type, n int) {
	m := v.ProtoReflect()
	fd := m.Descriptor().Fields().ByName(protoreflect.Name(strings.ToLower(t.EnumName()) + "_val"))
	if fd.Kind() != protoreflect.MessageKind {
		m.Set(fd, randomScalar(rng, t, fd.Kind()))
		return
	}
	list := m.Mutable(fd).Message()
	val := list.Descriptor().Fields().ByName("val")
	elements := list.Mutable(val).List()
	seen := map[any]bool{}
	for range n {
		e := randomScalar(rng, t.Elem(), val.Kind())
		if key := fmt.Sprint(e.Interface()); t.IsSet() && seen[key] {
			continue
		} else {
			seen[key] = true
		}
		elements.Append(e)
	}
}

func randomScalar(rng *rand.Rand, t types.Type, kind protoreflect.Kind) protoreflect.Value {
	switch kind {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rng.IntN(2) == 0)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(rng.Int32() - math.MaxInt32/2)
	case protoreflect.Int64Kind:
		if t == types.UnixTimestamp {
			return protoreflect.ValueOfInt64(randomSeconds(rng))
		}
		return protoreflect.ValueOfInt64(rng.Int64() - math.MaxInt64/2)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(rng.NormFloat64()))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(rng.NormFloat64() * 1e9)
	case protoreflect.BytesKind:
		b := make([]byte, 1+rng.IntN(5))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return protoreflect.ValueOfBytes(b)
	}
	switch t {
	case types.JSON:
		return protoreflect.ValueOfString(fmt.Sprintf(`{"a": [%d, null], "b": "ü"}`, rng.IntN(100)))
	case types.UUID, types.TimeUUID:
		return protoreflect.ValueOfString(fmt.Sprintf("%08x-1234-11ee-8234-%012x", rng.Uint32(), rng.Uint64()>>16))
	case types.Decimal:
		return protoreflect.ValueOfString(fmt.Sprintf("%d.%02d", rng.IntN(1e9)-5e8, rng.IntN(100)))
	}
	return protoreflect.ValueOfString(randomText(rng))
}

func randomSeconds(rng *rand.Rand) int64 { return rng.Int64N(4e9) - 1e9 }

func randomText(rng *rand.Rand) string {
	return []string{"a", "Zürich", "日本語 😀", `quote " and \`, "line\nbreak", "long " + strings.Repeat("x", 300)}[rng.IntN(6)]
}

func randomMap(rng *rand.Rand) *pb.Map {
	// One entry: the order of several is free in what Feast writes.
	return &pb.Map{Val: map[string]*pb.Value{"a": int64Value(rng.Int64())}}
}

func int64Value(v int64) *pb.Value   { return &pb.Value{Val: &pb.Value_Int64Val{Int64Val: v}} }
func stringValue(v string) *pb.Value { return &pb.Value{Val: &pb.Value_StringVal{StringVal: v}} }

// frame is a table of rows to write or of entities to ask for.
type frame struct {
	t     testing.TB
	cols  map[string][]*pb.Value
	types map[string]types.Type
	times map[string][]time.Time
}

func newFrame(t testing.TB) *frame {
	return &frame{t, map[string][]*pb.Value{}, map[string]types.Type{}, map[string][]time.Time{}}
}

func (f *frame) add(name string, t types.Type, values ...*pb.Value) {
	f.cols[name] = append(f.cols[name], values...)
	f.types[name] = t
}

// native returns the frame as Go values.
func (f *frame) native() feast.Columns {
	out := feast.Columns{}
	for name, values := range f.cols {
		c := types.NewColumn(name, f.types[name], len(values))
		list := make([]any, len(values))
		for i, v := range values {
			if err := c.SetValue(i, marshal(f.t, v)); err != nil {
				f.t.Fatal(err)
			}
			list[i] = c.Any(i)
		}
		out[name] = list
	}
	for name, times := range f.times {
		out[name] = times
	}
	return out
}

// python returns the frame for peer.py.
func (f *frame) python() map[string]any {
	out := map[string]any{}
	for name, values := range f.cols {
		out[name] = map[string]any{"values": encodeAll(f.t, values)}
	}
	for name, times := range f.times {
		out[name] = map[string]any{"times": times}
	}
	return out
}

func encodeAll(t testing.TB, values []*pb.Value) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = base64.StdEncoding.EncodeToString(marshal(t, v))
	}
	return out
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
