package onlinetest

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// distinct writes a row for each key and reads all of them back, and one more that was not written.
func (b *bed) distinct(view string, joinKeys []string, unknown []byte, keys ...[]byte) {
	b.Helper()
	table := b.created(view, joinKeys, ints("n")...)
	var rows []Row
	for i, key := range keys {
		rows = append(rows, Row{Key: key, Event: at(int64(i)), Values: []any{int64(i)}})
	}
	b.put(table, rows...)
	res := b.get(table, append(keysOf(rows), unknown)...)
	for i := range keys {
		b.cells(res, table, i, int64(i))
		b.event(res, table, i, at(int64(i)))
	}
	b.cells(res, table, len(keys), absent{})
}

// keysOfTypes are keys of the join key k with values of every type that may be one, and texts and bytes of every kind.
func keysOfTypes() (keys [][]byte) {
	for _, v := range []any{
		int64(0), int64(1), int64(-1), int64(math.MaxInt64), int64(math.MinInt64),
		int64('*'), int64('?'), int64('['), int64('\\'),
		int32(0), int32(1), int32(-1), int32(math.MaxInt32), int32(math.MinInt32),
		"", "0", "1", "a", "A", "a ", " a", "a\x00", "a\x00b", "\x00", "\n", "'", `"`, `\`, "%", "_", "*", "?", "[a]", ":", "#",
		"ü", "u\u0308", "日本", "😀", strings.Repeat("x", '*'), strings.Repeat("x", '?'),
		strings.Repeat("k", 2048), strings.Repeat("k", 2047),
		[]byte{}, []byte("a"), []byte{0}, []byte{0, 0}, []byte{0xff, 0xfe}, []byte("\x80 not text"),
		time.Unix(0, 0), time.Unix(1, 0), time.Unix(-1, 0),
	} {
		keys = append(keys, Key("k", v))
	}
	return keys
}

// keyTypes: keys of every type and kind are distinct entities.
func keyTypes(b *bed) {
	if !b.h.JSON {
		b.distinct("keyed", []string{"k"}, Key("k", "unknown"), keysOfTypes()...)
		return
	}
	// Keys of a view are of one type, which JSON shows.
	byType := map[types.Type][][]byte{}
	for _, key := range keysOfTypes() {
		typ := types.Type(key[len(online.AppendKeyPrefix(nil, 3, []string{"k"}))])
		byType[typ] = append(byType[typ], key)
	}
	b.distinct("texts", []string{"k"}, Key("k", "unknown"), byType[types.String]...)
	b.distinct("longs", []string{"k"}, Key("k", int64(404)), byType[types.Int64]...)
	b.distinct("ints", []string{"k"}, Key("k", int32(404)), byType[types.Int32]...)
	b.distinct("times", []string{"k"}, Key("k", time.Unix(404, 0)), byType[types.UnixTimestamp]...)
}

// pairs are keys of two join keys, some of which differ only in where one value ends and the other begins.
func pairs() [][]byte {
	return [][]byte{
		Key("a", "x", "b", "y"), Key("a", "y", "b", "x"), Key("b", "y", "a", "z"),
		Key("a", "", "b", "xy"), Key("a", "xy", "b", ""), Key("a", "", "b", ""),
		Key("a", int64(1), "b", "1"), Key("a", "1", "b", int64(1)), Key("a", int64(1), "b", int64(1)),
	}
}

// compositeKeys: entities of several join keys are distinct.
func compositeKeys(b *bed) {
	keys, joinKeys := pairs(), []string{"a", "b"}
	if !b.h.JSON {
		b.distinct("keyed", joinKeys, Key("a", "x"), keys...)
		return
	}
	b.distinct("texts", joinKeys, Key("a", "x"), keys[:6]...)
	for i, key := range keys[6:] {
		b.distinct(fmt.Sprint("mixed", i), joinKeys, Key("a", "x"), key)
	}
}

// entityless: the row of a view without entities, which Teardown removes too.
func entityless(b *bed) {
	table := b.table("global", []string{online.DummyJoinKey}, ints("a")...)
	table.Entities = []string{online.DummyEntity}
	b.update(table)
	dummy := Key(online.DummyJoinKey, "")
	b.put(table, Row{Key: dummy, Event: at(1), Values: []any{int64(1)}})
	b.put(table, Row{Key: dummy, Event: at(2), Values: []any{int64(2)}})
	b.cells(b.get(table, dummy), table, 0, int64(2))

	b.teardown(table)
	b.update(table)
	b.cells(b.get(table, dummy), table, 0, absent{})
}
