package registry

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/feastgo/feast/feasterr"
)

// codec moves attributes between an object and its message; one function per message names each pair once and serves
// both directions. Writing works on the message that the object was read from (or on a template): an attribute is set
// only when the message does not say the same already, so that an untouched object writes the message it was read
// from, and a changed one differs in what was changed.
type codec struct {
	write bool
	fresh bool     // writing an object that was made in Go
	undo  []func() // drops submessages that writing created and left empty
	err   error    // first problem found when writing
}

// fail records the first problem.
func (c *codec) fail(format string, args ...any) {
	if c.err == nil {
		c.err = feasterr.Invalid(format, args...)
	}
}

// pointer is a *M that is a message.
type pointer[M any] interface {
	*M
	proto.Message
}

// reading fills o from pb.
func reading[T any, M any](o *T, pb M, each func(*codec, *T, M)) {
	each(new(codec), o, pb)
}

// writing brings pb up to date with o.
func writing[T any, M proto.Message](o *T, pb M, fresh bool, each func(*codec, *T, M)) error {
	c := &codec{write: true, fresh: fresh}
	each(c, o, pb)
	for _, undo := range slices.Backward(c.undo) {
		undo()
	}
	return c.err
}

// sub returns the submessage *pb. When it is absent, reading gets an empty one, and writing adds one; an object that
// was read does not keep one that stays empty.
func sub[M any, P pointer[M]](c *codec, pb *P) P {
	if *pb != nil {
		return *pb
	}
	m := P(new(M))
	if c.write {
		*pb = m
		if !c.fresh {
			c.undo = append(c.undo, func() {
				if *pb == m && proto.Size(m) == 0 {
					*pb = nil
				}
			})
		}
	}
	return m
}

// move moves an attribute that has the same type on both sides.
func move[T comparable](c *codec, v, pb *T) {
	if c.write {
		*pb = *v
	} else {
		*v = *pb
	}
}

// number moves an enum or integer between its two types.
func number[V, P ~int | ~int32](c *codec, v *V, pb *P) {
	if !c.write {
		*v = V(*pb)
		return
	}
	if V(P(*v)) != *v {
		c.fail("%d does not fit into 32 bits", *v)
		return
	}
	*pb = P(*v)
}

// numbers moves a list of enums.
func numbers[V, P ~int32](c *codec, v *[]V, pb *[]P) {
	same := slices.EqualFunc(*v, *pb, func(v V, p P) bool { return int32(v) == int32(p) })
	switch {
	case !c.write:
		*v = nil
		for _, p := range *pb {
			*v = append(*v, V(p))
		}
	case !same:
		*pb = nil
		for _, n := range *v {
			*pb = append(*pb, P(n))
		}
	}
}

// texts moves a list of strings.
func texts(c *codec, v, pb *[]string) {
	if !c.write {
		*v = *pb
	} else if !slices.Equal(*v, *pb) {
		*pb = slices.Clone(*v)
	}
}

// blob moves bytes.
func blob(c *codec, v, pb *[]byte) {
	if !c.write {
		*v = *pb
	} else if !bytes.Equal(*v, *pb) {
		*pb = bytes.Clone(*v)
	}
}

// pairs moves a map of strings. Entries whose key is in reserved stay in the message and are not shown.
func pairs(c *codec, v, pb *map[string]string, reserved ...string) {
	shown := *pb
	for _, key := range reserved {
		if _, ok := shown[key]; ok {
			shown = maps.Clone(*pb)
			maps.DeleteFunc(shown, func(k, _ string) bool { return slices.Contains(reserved, k) })
			break
		}
	}
	if len(shown) == 0 {
		shown = nil
	}
	if !c.write {
		*v = shown
		return
	}
	if maps.Equal(*v, shown) {
		return
	}
	m := maps.Clone(*v)
	for _, key := range reserved {
		delete(m, key)
		if text, ok := (*pb)[key]; ok {
			setPair(&m, key, text)
		}
	}
	*pb = m
}

// setPair sets one entry, making the map when needed; an empty text removes the entry.
func setPair(m *map[string]string, key, text string) {
	switch {
	case text == "":
		delete(*m, key)
	case *m == nil:
		*m = map[string]string{key: text}
	default:
		(*m)[key] = text
	}
}

// instant moves a timestamp; the zero time is an absent one.
func instant(c *codec, v *time.Time, pb **timestamppb.Timestamp) {
	var stored time.Time
	if *pb != nil {
		stored = (*pb).AsTime()
	}
	switch {
	case !c.write:
		*v = stored
	case v.Equal(stored):
	case v.IsZero():
		*pb = nil
	default:
		*pb = timestamppb.New(*v)
	}
}

// span moves a duration. Absent and zero are both 0; what a time.Duration cannot hold saturates and stays in the
// message as it is.
func span(c *codec, v *time.Duration, pb **durationpb.Duration) {
	if stored := (*pb).AsDuration(); !c.write {
		*v = stored
	} else if *v != stored {
		*pb = durationpb.New(*v)
	}
}

// oneof returns the message that the named oneof of pb holds, nil for none.
func oneof(pb proto.Message, name protoreflect.Name) proto.Message {
	m := pb.ProtoReflect()
	fd := m.WhichOneof(m.Descriptor().Oneofs().ByName(name))
	if fd == nil {
		return nil
	}
	return m.Get(fd).Message().Interface()
}

// setOneof puts value into the member of the named oneof that takes its type; nil clears the oneof.
func setOneof(pb proto.Message, name protoreflect.Name, value proto.Message) {
	m := pb.ProtoReflect()
	if value == nil {
		if fd := m.WhichOneof(m.Descriptor().Oneofs().ByName(name)); fd != nil {
			m.Clear(fd)
		}
		return
	}
	v := value.ProtoReflect()
	members := m.Descriptor().Oneofs().ByName(name).Fields()
	for i := range members.Len() {
		if members.Get(i).Message().FullName() == v.Descriptor().FullName() {
			m.Set(members.Get(i), protoreflect.ValueOfMessage(v))
			return
		}
	}
}

// readMember reads a member of a oneof. A member of another type, or none, gives the zero T.
func readMember[T any, M any, P pointer[M]](stored proto.Message, each func(*codec, *T, P)) (v T) {
	if m, ok := stored.(P); ok {
		reading(&v, m, each)
	}
	return v
}

// writeMember brings stored up to date with v, or a new message when stored is of another type or nil.
func writeMember[T any, M any, P pointer[M]](c *codec, v T, stored proto.Message, each func(*codec, *T, P)) proto.Message {
	m, ok := stored.(P)
	if !ok {
		m = new(M)
	}
	each(c, &v, m)
	return m
}

// list moves a list of messages. When writing, an element that was there before starts from its stored message, so that
// it keeps what is not modelled: the one with the same key or, in a list as long as before, that at the same place.
func list[T any, M any, P pointer[M]](c *codec, v *[]T, pb *[]P, key func(*T) string, each func(*codec, *T, P)) {
	if !c.write {
		*v = nil
		if len(*pb) > 0 {
			*v = make([]T, len(*pb))
			for i, m := range *pb {
				each(c, &(*v)[i], m)
			}
		}
		return
	}
	stored := make(map[string][]int, len(*pb)) // places by key
	for i, m := range *pb {
		var t T
		reading(&t, m, each)
		stored[key(&t)] = append(stored[key(&t)], i)
	}
	out := make([]P, len(*v))
	left := slices.Clone(*pb)
	for i := range *v {
		k := key(&(*v)[i])
		if places := stored[k]; len(places) > 0 {
			out[i], left[places[0]] = left[places[0]], nil
			stored[k] = places[1:]
		}
	}
	for i := range *v {
		if out[i] == nil && len(left) == len(out) {
			out[i] = left[i]
		}
		if out[i] == nil {
			out[i] = new(M)
		}
		each(c, &(*v)[i], out[i])
	}
	if !slices.Equal(out, *pb) {
		*pb = out
	}
}
