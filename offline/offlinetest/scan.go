package offlinetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
)

// scanOf reads columns k..., v and e of a source.
func scanOf(src *offline.Source, keys ...string) *offline.ScanPlan {
	p := &offline.ScanPlan{Name: "view", Source: src, Features: []offline.Column{{Source: "v", Name: "value"}}, Event: offline.Column{Source: "e", Name: "event"}}
	for _, k := range keys {
		p.Keys = append(p.Keys, offline.Column{Source: k, Name: "key_" + k})
	}
	return p
}

func sorted(rows []string) []string {
	slices.Sort(rows)
	return rows
}

// scanLatest: the newest row of each key in the window, and every row without a key.
func scanLatest(b *bed) {
	src := b.source(Table("k i64, e us, c us, v i64", R(1, at(0), at(0), 1), R(1, at(2), nil, 2), R(1, at(2), at(1), 3), R(2, at(1), nil, 4), R(nil, at(0), nil, 5)),
		Table("k i64, e us, c us, v i64", R(1, at(2), at(1), 6), R(nil, at(1), nil, 7), R(3, nil, at(0), 8), R(1, at(9), nil, 9), R(nil, at(9), nil, 10)))
	p := scanOf(src, "k")
	p.Created, p.Start, p.End = offline.Column{Source: "c", Name: "created"}, at(0), at(3)
	got := sorted(b.scan(b.store.Latest, p))
	want := []string{`[1,3,{"$ts":"2024-01-01T02:00:00Z"},{"$ts":"2024-01-01T01:00:00Z"}]`, `[2,4,{"$ts":"2024-01-01T01:00:00Z"},null]`,
		`[null,5,{"$ts":"2024-01-01T00:00:00Z"},null]`, `[null,7,{"$ts":"2024-01-01T01:00:00Z"},null]`}
	if b.Unordered && slices.Contains(got, strings.Replace(want[0], "[1,3", "[1,6", 1)) {
		want[0] = strings.Replace(want[0], "[1,3", "[1,6", 1)
	}
	equal(b, got, want...)
	// Both ends are included; no ends are none.
	p.Start, p.End = at(1), at(1)
	equal(b, sorted(b.scan(b.store.Latest, p)), `[2,4,{"$ts":"2024-01-01T01:00:00Z"},null]`, `[null,7,{"$ts":"2024-01-01T01:00:00Z"},null]`)
	p.Start, p.End = time.Time{}, time.Time{}
	if got := sorted(b.scan(b.store.Latest, p)); len(got) != 5 || !strings.HasPrefix(got[0], "[1,9,") {
		b.Errorf("without a window: %s", got)
	}
	p.Start, p.End = at(2), at(1)
	equal(b, b.scan(b.store.Latest, p))
	// Without keys all rows are of one key.
	p = scanOf(src)
	equal(b, b.scan(b.store.Latest, p), `[9,{"$ts":"2024-01-01T09:00:00Z"}]`)
}

// latestRandom: random cases against a map.
func latestRandom(b *bed) {
	if b.Unordered {
		return
	}
	for seed := range 40 {
		r := rand.New(rand.NewPCG(uint64(seed), 11))
		keys := [][]string{{"i64"}, {"text"}, {"i32", "text"}, {"us", "f64"}}[r.IntN(4)]
		var names []string
		var words []string
		for i, t := range keys {
			names = append(names, fmt.Sprint("k", i))
			words = append(words, fmt.Sprintf("k%d %s", i, t))
		}
		columns := strings.Join(append(words, "e us", "c us", "v i64"), ",")
		value := func(t string) any {
			k := r.IntN(5)
			switch {
			case r.IntN(10) == 0:
				return nil
			case t == "text":
				return strings.Repeat("k", k)
			case t == "us":
				return at(k)
			case t == "f64":
				return float64(k) / 4
			}
			return k
		}
		type row struct {
			event, created int // -1: null
			text           string
		}
		newest := map[string]row{}
		var want []string
		var batches []arrow.RecordBatch
		id := 0
		for range 1 + r.IntN(3) {
			var rows [][]any
			for range r.IntN(60) {
				var cells []any
				null := false
				for _, t := range keys {
					v := value(t)
					cells, null = append(cells, v), null || v == nil
				}
				key := fmt.Sprint(cells...)
				id++
				this := row{event: r.IntN(8) - 1, created: r.IntN(4) - 1}
				for _, h := range []int{this.event, this.created} {
					if h < 0 {
						cells = append(cells, nil)
					} else {
						cells = append(cells, at(h))
					}
				}
				cells = append(cells, id)
				rows = append(rows, cells)
				if this.event < 1 || this.event > 5 {
					continue // outside the window
				}
				one := Rows(Table(columns, cells))[0]
				parts := strings.Split(strings.Trim(one, "[]"), ",")
				n := len(keys)
				this.text = "[" + strings.Join(append(append(slices.Clone(parts[:n]), parts[n+2]), parts[n:n+2]...), ",") + "]"
				old, known := newest[key]
				switch {
				case null:
					want = append(want, this.text)
				case !known || this.event > old.event || this.event == old.event && this.created > old.created:
					newest[key] = this
				}
			}
			batches = append(batches, Table(columns, rows...))
		}
		for _, n := range newest {
			want = append(want, n.text)
		}
		p := scanOf(b.source(batches...), names...)
		p.Created, p.Start, p.End = offline.Column{Source: "c", Name: "c"}, at(1), at(5)
		equal(b, sorted(b.scan(b.store.Latest, p)), sorted(want)...)
		if b.Failed() {
			b.Fatalf("seed %d: keys %v", seed, keys)
		}
	}
}

// scanAll: every row of the window, in source order, duplicates and null keys too.
func scanAll(b *bed) {
	src := b.source(Table("k i64, e us, v i64", R(1, at(5), 1), R(1, at(0), 2), R(nil, at(1), 3)), Table("k i64, e us, v i64", R(1, nil, 4), R(2, at(1), nil), R(1, at(0), 2)))
	p := scanOf(src, "k")
	p.Start, p.End = at(0), at(1)
	got := b.scan(b.store.All, p)
	want := []string{`[1,2,{"$ts":"2024-01-01T00:00:00Z"}]`, `[null,3,{"$ts":"2024-01-01T01:00:00Z"}]`, `[2,null,{"$ts":"2024-01-01T01:00:00Z"}]`, `[1,2,{"$ts":"2024-01-01T00:00:00Z"}]`}
	if b.Unordered {
		got, want = sorted(got), sorted(want)
	}
	equal(b, got, want...)
}

// scanShards: every row is in one shard, and rows of equal keys in the same.
func scanShards(b *bed) {
	var rows [][]any
	for i := range 600 {
		var k any = i % 50
		if i%60 == 0 {
			k = nil
		}
		rows = append(rows, R(k, fmt.Sprint("u", i%7), at(i), i))
	}
	src := b.source(Table("k i64, u text, e us, v i64", rows...))
	for _, keys := range [][]string{{"k"}, {"k", "u"}, {}} {
		whole := scanOf(src, keys...)
		for name, of := range map[string]func(*offline.ScanPlan) []string{
			"All": func(p *offline.ScanPlan) []string { return b.scan(b.store.All, p) }, "Latest": func(p *offline.ScanPlan) []string { return b.scan(b.store.Latest, p) },
		} {
			var together []string
			shardOf := map[string]int{}
			for shard := range 4 {
				part := *whole
				part.Shard, part.Shards = shard, 4
				for _, r := range of(&part) {
					together = append(together, r)
					key := strings.Join(strings.Split(r, ",")[:len(keys)], ",")
					if was, ok := shardOf[key]; ok && was != shard && !strings.Contains(key, "null") {
						b.Errorf("%s: rows of key %s are in shards %d and %d", name, key, was, shard)
					}
					shardOf[key] = shard
				}
			}
			equal(b, sorted(together), sorted(of(whole))...)
		}
	}
	p := scanOf(src, "k")
	p.Shard, p.Shards = 4, 4
	if _, err := b.store.All(b.Context(), p); !errors.Is(err, feasterr.ErrInvalid) {
		b.Errorf("shard 4 of 4: %v", err)
	}
}

func (b *bed) append(dst *offline.Source, batches ...arrow.RecordBatch) (int64, error) {
	b.Helper()
	r, err := array.NewRecordReader(batches[0].Schema(), batches)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Release()
	return b.store.Append(b.Context(), dst, r)
}

// appendNewest: what was appended is there, and wins ties against what was there before.
func appendNewest(b *bed) {
	if b.NoAppend {
		b.Skip("the store does not append")
	}
	src := b.source(Table("k i64, e us, v i64, s text, l f64s, n ns, i i32", R(1, at(0), 1, "a", []float64{1, 2}, at(0).Add(1), 1), R(2, at(0), 2, nil, nil, nil, nil)))
	before, err := b.store.Describe(b.Context(), src)
	if err != nil {
		b.Fatal(err)
	}
	for round := range 3 {
		// Columns in another order, of types that the source's can hold.
		n, err := b.append(src, Table("s text, v i32, k i64, i i64, e us, n ns, l f64s", R("new", 10+round, 1, round, at(0), at(1).Add(7), []float64{}), R(nil, nil, 3, nil, at(1), nil, nil)),
			Table("s text, v i32, k i64, i i64, e us, n ns, l f64s", R("x", 20+round, 4, 5, at(0), nil, []float64{0.5})))
		if n != 3 || err != nil {
			b.Fatalf("Append: %d, %v", n, err)
		}
		if !b.Unordered {
			got := b.join(view("v", src, 0, "k"), keysAndTimes(R(1, at(1)), R(2, at(1)), R(4, at(1))))
			equal(b, got, fmt.Sprintf(`[1,{"$ts":"2024-01-01T01:00:00Z"},%d]`, 10+round), `[2,{"$ts":"2024-01-01T01:00:00Z"},2]`, fmt.Sprintf(`[4,{"$ts":"2024-01-01T01:00:00Z"},%d]`, 20+round))
		}
	}
	p := scanOf(src, "k")
	p.Features = []offline.Column{{Source: "v", Name: "v"}, {Source: "s", Name: "s"}, {Source: "l", Name: "l"}, {Source: "i", Name: "i"}}
	got := sorted(b.scan(b.store.All, p))
	if len(got) != 11 || got[0] != `[1,1,"a",[1,2],1,{"$ts":"2024-01-01T00:00:00Z"}]` {
		b.Errorf("got %d rows: %s", len(got), got)
	}
	after, err := b.store.Describe(b.Context(), src)
	if err != nil || !before.Equal(after) {
		b.Errorf("the columns were\n%v\nand are\n%v, %v", before, after, err)
	}
}

// appendAllOrNone: what does not fit is refused before anything is there.
func appendAllOrNone(b *bed) {
	if b.NoAppend {
		b.Skip("the store does not append")
	}
	src := b.source(Table("k i64, e us, v i64, i i8", R(1, at(0), 1, 1)))
	for name, batches := range map[string][]arrow.RecordBatch{
		"a missing column":                       {Table("k i64, e us, v i64", R(1, at(1), 2))},
		"another column":                         {Table("k i64, e us, v i64, i i8, x i64", R(1, at(1), 2, 3, 4))},
		"another type":                           {Table("k i64, e us, v text, i i8", R(1, at(1), "x", 1))},
		"a number that is too large, at the end": {Table("k i64, e us, v i64, i i64", R(1, at(1), 2, 2)), Table("k i64, e us, v i64, i i64", R(1, at(1), 2, 300))},
	} {
		if n, err := b.append(src, batches...); n != 0 || !errors.Is(err, feasterr.ErrInvalid) {
			b.Errorf("%s: %d, %v", name, n, err)
		}
	}
	equal(b, b.scan(b.store.All, scanOf(src, "k")), `[1,1,{"$ts":"2024-01-01T00:00:00Z"}]`)
	if n, err := b.append(src, Table("k i64, e us, v i64, i i8")); n != 0 || err != nil {
		b.Errorf("no rows: %d, %v", n, err)
	}
}

// describe: columns come in their order with their types, timestamps with unit and zone.
func describe(b *bed) {
	src := b.source(Table("z text, k i64, e us, n naive, f f32, d date, l f64s, o bool", R("a", 1, at(0), at(0), 1.5, at(0), []float64{}, true)))
	s, err := b.store.Describe(b.Context(), src)
	if err != nil {
		b.Fatal(err)
	}
	var got []string
	for _, f := range s.Fields() {
		got = append(got, f.Name+" "+f.Type.String())
	}
	equal(b, got, "z utf8", "k int64", "e timestamp[us, tz=UTC]", "n timestamp[us]", "f float32", "d date32", "l list<item: float64, nullable>", "o bool")
}
