package offlinetest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
)

func text(v any) string { return fmt.Sprint(v) }

// view is a join with one view of a source with columns k, e and v. It joins key "k" with the entity rows' "k".
func view(name string, src *offline.Source, ttl time.Duration, keys ...string) *offline.JoinPlan {
	v := offline.JoinView{Name: name, Source: src, Event: "e", TTL: ttl, Features: []offline.Column{{Source: "v", Name: "v"}}}
	for _, k := range keys {
		v.Keys = append(v.Keys, offline.JoinKey{Source: k, Entity: k})
	}
	return &offline.JoinPlan{Views: []offline.JoinView{v}}
}

// keysAndTimes are entity rows of an integer key k and a time t.
func keysAndTimes(rows ...[]any) arrow.RecordBatch { return Table("k i64, t us", rows...) }

// against joins, and compares with the join by brute force, in order.
func (b *bed) against(p *offline.JoinPlan, sources map[*offline.Source][]arrow.RecordBatch, entities ...arrow.RecordBatch) {
	b.Helper()
	equal(b, b.join(p, entities...), BruteForce(b, p, "t", sources, entities...)...)
}

// joinWindow: both ends of the window are included, to the microsecond.
func joinWindow(b *bed) {
	us := time.Microsecond
	src := b.source(Table("k i64, e us, v i64", R(1, at(0), 1), R(1, at(10), 2), R(2, at(0), 3)))
	got := b.join(view("v", src, time.Hour, "k"), keysAndTimes(
		R(1, at(0).Add(-us)), R(1, at(0)), R(1, at(1)), R(1, at(1).Add(us)), R(1, at(10)), R(1, at(12)), R(2, at(0)), R(3, at(0)),
	))
	equal(b, got,
		`[1,{"$ts":"2023-12-31T23:59:59.999999Z"},null]`, `[1,{"$ts":"2024-01-01T00:00:00Z"},1]`, `[1,{"$ts":"2024-01-01T01:00:00Z"},1]`,
		`[1,{"$ts":"2024-01-01T01:00:00.000001Z"},null]`, `[1,{"$ts":"2024-01-01T10:00:00Z"},2]`, `[1,{"$ts":"2024-01-01T12:00:00Z"},null]`,
		`[2,{"$ts":"2024-01-01T00:00:00Z"},3]`, `[3,{"$ts":"2024-01-01T00:00:00Z"},null]`)
	// A ttl below a second is one (docs/compatibility.md, line 25).
	got = b.join(view("v", src, 1500*time.Millisecond, "k"), keysAndTimes(R(1, at(0).Add(1500*time.Millisecond)), R(1, at(0).Add(1500*time.Millisecond+us))))
	equal(b, got, `[1,{"$ts":"2024-01-01T00:00:01.5Z"},1]`, `[1,{"$ts":"2024-01-01T00:00:01.500001Z"},null]`)
}

// everyRowOnce: entity rows come back once each, in their order, with all their columns, from all their batches.
func everyRowOnce(b *bed) {
	src := b.source(Table("k i64, e us, v i64", R(1, at(0), 1), R(1, at(0), 1)))
	batch := func(rows ...[]any) arrow.RecordBatch { return Table("label text, k i64, t us, tags texts", rows...) }
	got := b.join(view("v", src, 0, "k"),
		batch(R("x", 1, at(1), []string{"a", "b"}), R("y", 1, at(1), nil)), batch(), batch(R(nil, 2, at(1), []string{})), batch(R("x", 1, at(1), []string{"a", "b"})))
	equal(b, got, `["x",1,{"$ts":"2024-01-01T01:00:00Z"},["a","b"],1]`, `["y",1,{"$ts":"2024-01-01T01:00:00Z"},null,1]`,
		`[null,2,{"$ts":"2024-01-01T01:00:00Z"},[],null]`, `["x",1,{"$ts":"2024-01-01T01:00:00Z"},["a","b"],1]`)
}

// joinTies: newest event time, newest created time (a null is the oldest), first in source order
// (docs/compatibility.md, lines 7 and 22).
func joinTies(b *bed) {
	first, second := Table("k i64, e us, c us, v i64",
		R(1, at(0), at(9), 1), R(1, at(1), nil, 2), R(1, at(1), at(2), 3), R(2, at(1), at(2), 4), R(3, at(1), nil, 5), R(4, at(1), at(1), 6)),
		Table("k i64, e us, c us, v i64", R(1, at(1), at(3), 7), R(1, at(1), at(3), 8), R(2, at(1), at(2), 9), R(3, at(1), nil, 10), R(4, at(2), nil, 11))
	src := b.source(first, second)
	p := view("v", src, 0, "k")
	p.Views[0].Created = "c"
	entities := keysAndTimes(R(1, at(5)), R(2, at(5)), R(3, at(5)), R(4, at(5)))
	if b.Unordered {
		got := b.join(p, entities)
		if len(got) != 4 || !strings.HasSuffix(got[0], ",7]") && !strings.HasSuffix(got[0], ",8]") || !strings.HasSuffix(got[3], ",11]") {
			b.Errorf("got %s", got)
		}
		return
	}
	b.against(p, map[*offline.Source][]arrow.RecordBatch{src: {first, second}}, entities)
	equal(b, b.join(p, entities), `[1,{"$ts":"2024-01-01T05:00:00Z"},7]`, `[2,{"$ts":"2024-01-01T05:00:00Z"},4]`,
		`[3,{"$ts":"2024-01-01T05:00:00Z"},5]`, `[4,{"$ts":"2024-01-01T05:00:00Z"},11]`)
	p.Views[0].Created = ""
	equal(b, b.join(p, keysAndTimes(R(1, at(5)))), `[1,{"$ts":"2024-01-01T05:00:00Z"},2]`)
}

// takenWhole: the winner's nulls are the answer; NaN stays NaN, integers stay integers (lines 7 and 26).
func takenWhole(b *bed) {
	src := b.source(Table("k i64, e us, v i64, f f64, s text, l f64s", R(1, at(0), 1, 1.5, "a", []float64{1}), R(1, at(1), nil, nil, nil, nil),
		R(2, at(0), 1<<62+1, math.NaN(), "", []float64{}), R(3, at(0), -7, math.Inf(-1), "ü", []float64{1, math.NaN(), -0.5})))
	p := view("v", src, 0, "k")
	for _, f := range []string{"f", "s", "l"} {
		p.Views[0].Features = append(p.Views[0].Features, offline.Column{Source: f, Name: "x_" + f})
	}
	equal(b, b.join(p, keysAndTimes(R(1, at(2)), R(2, at(2)), R(3, at(2)), R(4, at(2)))),
		`[1,{"$ts":"2024-01-01T02:00:00Z"},null,null,null,null]`,
		`[2,{"$ts":"2024-01-01T02:00:00Z"},4611686018427387905,{"$float":"NaN"},"",[]]`,
		`[3,{"$ts":"2024-01-01T02:00:00Z"},-7,{"$float":"-Infinity"},"ü",[1,{"$float":"NaN"},-0.5]]`,
		`[4,{"$ts":"2024-01-01T02:00:00Z"},null,null,null,null]`)
}

// joinNulls: a null equals nothing and is no time (line 27).
func joinNulls(b *bed) {
	src := b.source(Table("k i64, e us, v i64", R(nil, at(0), 1), R(1, nil, 2), R(1, at(0), 3)))
	equal(b, b.join(view("v", src, 0, "k"), keysAndTimes(R(nil, at(1)), R(1, nil), R(1, at(1)), R(nil, nil))),
		`[null,{"$ts":"2024-01-01T01:00:00Z"},null]`, `[1,null,null]`, `[1,{"$ts":"2024-01-01T01:00:00Z"},3]`, `[null,null,null]`)
}

// joinNanoseconds: comparisons are exact, results have microseconds (line 28).
func joinNanoseconds(b *bed) {
	if b.Microseconds {
		b.Skip("the store keeps no nanoseconds")
	}
	ns := func(n int) time.Time { return at(0).Add(time.Duration(n)) }
	rows := Table("k i64, e ns, w ns, v i64", R(1, ns(1500), ns(-1), 1), R(1, ns(1501), ns(2999), 2))
	src := b.source(rows)
	p := view("v", src, 0, "k")
	p.Views[0].Features = append(p.Views[0].Features, offline.Column{Source: "w", Name: "w"})
	equal(b, b.join(p, Table("k i64, t ns", R(1, ns(1499)), R(1, ns(1500)), R(1, ns(1501)))),
		`[1,{"$ts":"2024-01-01T00:00:00.000001Z"},null,null]`, `[1,{"$ts":"2024-01-01T00:00:00.000001Z"},1,{"$ts":"2023-12-31T23:59:59.999999Z"}]`,
		`[1,{"$ts":"2024-01-01T00:00:00.000001Z"},2,{"$ts":"2024-01-01T00:00:00.000002Z"}]`)
	equal(b, b.join(view("v", src, 0, "k"), keysAndTimes(R(1, ns(1000)), R(1, ns(2000)))),
		`[1,{"$ts":"2024-01-01T00:00:00.000001Z"},null]`, `[1,{"$ts":"2024-01-01T00:00:00.000002Z"},2]`)
	p = view("v", src, 499, "k")
	equal(b, b.join(p, keysAndTimes(R(1, ns(2000)))), `[1,{"$ts":"2024-01-01T00:00:00.000002Z"},2]`)
	p = view("v", src, 498, "k")
	equal(b, b.join(p, keysAndTimes(R(1, ns(2000)))), `[1,{"$ts":"2024-01-01T00:00:00.000002Z"},null]`)
}

// joinTimeTypes: times of every type are instants; those without a zone are UTC.
func joinTimeTypes(b *bed) {
	day := time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC)
	for _, of := range []string{"s", "ms", "us", "ns", "naive", "paris", "date"} {
		if of == "ns" && b.Microseconds {
			continue
		}
		rows := Table("k i64, e "+of+", v i64", R(1, day, 1), R(1, day.AddDate(0, 0, 1), 2))
		src := b.source(rows)
		for _, with := range []string{"s", "ms", "us", "ns", "naive", "paris", "date"} {
			entities := Table("k i64, t "+with, R(1, day.AddDate(0, 0, -1)), R(1, day), R(1, day.AddDate(0, 0, 1)), R(1, day.AddDate(0, 0, 9)))
			b.against(view("v", src, 48*time.Hour, "k"), map[*offline.Source][]arrow.RecordBatch{src: {rows}}, entities)
		}
	}
}

// joinKeyTypes: keys of one class are equal by value, whatever their types (line 29).
func joinKeyTypes(b *bed) {
	numbers := []string{"i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64"}
	for _, of := range numbers {
		rows := Table("k "+of+", e us, v i64", R(1, at(0), 1), R(7, at(0), 7), R(100, at(0), 100))
		src := b.source(rows)
		for _, with := range numbers {
			b.against(view("v", src, 0, "k"), map[*offline.Source][]arrow.RecordBatch{src: {rows}},
				Table("k "+with+", t us", R(7, at(1)), R(1, at(1)), R(8, at(1)), R(100, at(1))))
		}
	}
	large := uint64(math.MaxUint64)
	src := b.source(Table("k u64, e us, v i64", R(large, at(0), 1), R(uint64(1<<63), at(0), 2)))
	equal(b, b.join(view("v", src, 0, "k"), Table("k u64, t us", R(large, at(1)), R(uint64(1<<63), at(1)))),
		`[18446744073709551615,{"$ts":"2024-01-01T01:00:00Z"},1]`, `[9223372036854775808,{"$ts":"2024-01-01T01:00:00Z"},2]`)
	equal(b, b.join(view("v", src, 0, "k"), Table("k f64, t us", R(float64(1<<63), at(1)), R(-1.0, at(1)))),
		`[9.223372036854776e+18,{"$ts":"2024-01-01T01:00:00Z"},2]`, `[-1,{"$ts":"2024-01-01T01:00:00Z"},null]`)
	src = b.source(Table("k f64, e us, v i64", R(0.5, at(0), 1), R(math.NaN(), at(0), 2), R(math.Copysign(0, -1), at(0), 3), R(nil, at(0), 4)))
	equal(b, b.join(view("v", src, 0, "k"), Table("k f64, t us", R(0.5, at(1)), R(math.NaN(), at(1)), R(0, at(1)), R(0.25, at(1)))),
		`[0.5,{"$ts":"2024-01-01T01:00:00Z"},1]`, `[{"$float":"NaN"},{"$ts":"2024-01-01T01:00:00Z"},null]`,
		`[0,{"$ts":"2024-01-01T01:00:00Z"},3]`, `[0.25,{"$ts":"2024-01-01T01:00:00Z"},null]`)
	src = b.source(Table("k text, e us, v i64", R("a", at(0), 1), R("", at(0), 2), R("ß", at(0), 3)))
	for _, with := range []string{"text", "large"} {
		equal(b, b.join(view("v", src, 0, "k"), Table("k "+with+", t us", R("", at(1)), R("ß", at(1)), R("b", at(1)))),
			`["",{"$ts":"2024-01-01T01:00:00Z"},2]`, `["ß",{"$ts":"2024-01-01T01:00:00Z"},3]`, `["b",{"$ts":"2024-01-01T01:00:00Z"},null]`)
	}
	src = b.source(Table("k bool, e us, v i64", R(true, at(0), 1), R(false, at(0), 2)))
	equal(b, b.join(view("v", src, 0, "k"), Table("k bool, t us", R(false, at(1)), R(true, at(1)))),
		`[false,{"$ts":"2024-01-01T01:00:00Z"},2]`, `[true,{"$ts":"2024-01-01T01:00:00Z"},1]`)
	src = b.source(Table("k ms, e us, v i64", R(at(0), at(0), 1), R(at(24), at(0), 2)))
	equal(b, b.join(view("v", src, 0, "k"), Table("k us, t us", R(at(24), at(1)), R(at(24).Add(1000), at(1)))),
		`[{"$ts":"2024-01-02T00:00:00Z"},{"$ts":"2024-01-01T01:00:00Z"},2]`, `[{"$ts":"2024-01-02T00:00:00.000001Z"},{"$ts":"2024-01-01T01:00:00Z"},null]`)
}

// joinOtherKeys: a text key and a number are an error that names both types (line 29).
func joinOtherKeys(b *bed) {
	src := b.source(Table("k text, e us, v i64", R("1", at(0), 1)))
	_, err := b.tryJoin(b.Context(), view("v", src, 0, "k"), keysAndTimes(R(1, at(1))))
	if !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(text(err), "int64") || !strings.Contains(text(err), "utf8") && !strings.Contains(text(err), "text") {
		b.Errorf("a number for a key of text: %v", err)
	}
	src = b.source(Table("k i64, e us, v i64", R(1, at(0), 1)))
	if _, err := b.tryJoin(b.Context(), view("v", src, 0, "k"), Table("k text, t us", R("1", at(1)))); !errors.Is(err, feasterr.ErrInvalid) {
		b.Errorf("text for a key of numbers: %v", err)
	}
}

// joinComposite: all parts of a key have to be equal, and no two keys are mixed up.
func joinComposite(b *bed) {
	rows := Table("k i64, m text, n i32, e us, v i64", R(1, "12x", 0, at(0), 1), R(11, "2x", 0, at(0), 2), R(1, "2x", 0, at(0), 3), R(1, nil, 0, at(0), 4), R(1, "2x", 1, at(0), 5))
	src := b.source(rows)
	b.against(view("v", src, 0, "k", "m", "n"), map[*offline.Source][]arrow.RecordBatch{src: {rows}},
		Table("k i64, t us, m text, n i64", R(1, at(1), "12x", 0), R(11, at(1), "2x", 0), R(1, at(1), "2x", 0), R(1, at(1), nil, 0), R(11, at(1), "12x", 0), R(1, at(1), "2x", 1), R(nil, at(1), "2x", 1)))
}

// joinWithoutKeys: every row is a candidate of every entity row.
func joinWithoutKeys(b *bed) {
	src := b.source(Table("e us, v i64", R(at(3), 2), R(at(0), 1)))
	equal(b, b.join(view("v", src, 0), keysAndTimes(R(1, at(1)), R(2, at(4)), R(nil, at(4)), R(1, at(-1)))),
		`[1,{"$ts":"2024-01-01T01:00:00Z"},1]`, `[2,{"$ts":"2024-01-01T04:00:00Z"},2]`, `[null,{"$ts":"2024-01-01T04:00:00Z"},2]`, `[1,{"$ts":"2023-12-31T23:00:00Z"},null]`)
}

// joinCreated: rows that were created later are left out, before the newest is chosen.
func joinCreated(b *bed) {
	rows := Table("k i64, e us, c us, v i64", R(1, at(0), at(0), 1), R(1, at(1), at(5), 2), R(1, at(2), at(3), 3), R(1, at(2), nil, 4))
	src := b.source(rows)
	p := view("v", src, 0, "k")
	p.Views[0].Created, p.FilterByCreated = "c", true
	if b.NoFilterByCreated {
		if _, err := b.tryJoin(b.Context(), p, keysAndTimes(R(1, at(2)))); !errors.Is(err, feasterr.ErrUnsupported) {
			b.Errorf("rows are to be left out: %v", err)
		}
		return
	}
	b.against(p, map[*offline.Source][]arrow.RecordBatch{src: {rows}}, keysAndTimes(R(1, at(2)), R(1, at(3)), R(1, at(5)), R(1, at(0)), R(1, at(-1))))
}

// joinSkew: one key with most of the rows, and many rows of the entities at one time.
func joinSkew(b *bed) {
	r := rand.New(rand.NewPCG(1, 2))
	var rows, entities [][]any
	for i := range 3000 {
		k := 1
		if i%5 == 0 {
			k = r.IntN(50)
		}
		rows = append(rows, R(k, at(r.IntN(500)), i))
	}
	for range 300 {
		entities = append(entities, R(r.IntN(3), at(r.IntN(500))))
	}
	batch := Table("k i64, e us, v i64", rows...)
	src := b.source(batch)
	if b.Unordered {
		return
	}
	b.against(view("v", src, 20*time.Hour, "k"), map[*offline.Source][]arrow.RecordBatch{src: {batch}}, keysAndTimes(entities...))
}

// joinViews: views stand side by side, also twice the same source under other keys.
func joinViews(b *bed) {
	rows := Table("k i64, e us, v i64", R(1, at(0), 1), R(2, at(0), 2))
	src := b.source(rows)
	p := view("a", src, 0, "k")
	p.Views[0].Features[0].Name = "a__v"
	p.Views = append(p.Views, offline.JoinView{Name: "b", Source: src, Event: "e", Keys: []offline.JoinKey{{Source: "k", Entity: "other"}},
		Features: []offline.Column{{Source: "v", Name: "b__v"}, {Source: "k", Name: "b__k"}}})
	b.against(p, map[*offline.Source][]arrow.RecordBatch{src: {rows}}, Table("k i64, t us, other i64", R(1, at(1), 2), R(2, at(1), 1), R(2, at(1), nil)))
}

// joinNoRows: without entity rows there are no rows, and the columns all the same; without source rows there are nulls.
func joinNoRows(b *bed) {
	src := b.source(Table("k i64, e us, v i64"))
	equal(b, b.join(view("v", src, 0, "k"), keysAndTimes()))
	equal(b, b.join(view("v", src, 0, "k"), keysAndTimes(R(1, at(0)))), `[1,{"$ts":"2024-01-01T00:00:00Z"},null]`)
}

// joinMissing: all missing columns are reported together.
func joinMissing(b *bed) {
	src := b.source(Table("k i64, e us, v i64", R(1, at(0), 1)))
	p := view("v", src, 0, "k")
	p.Views[0].Features = append(p.Views[0].Features, offline.Column{Source: "gone1", Name: "x"}, offline.Column{Source: "gone2", Name: "y"})
	_, err := b.tryJoin(b.Context(), p, keysAndTimes(R(1, at(1))))
	if !errors.Is(err, feasterr.ErrNotFound) || !strings.Contains(text(err), "gone1") || !strings.Contains(text(err), "gone2") {
		b.Errorf("missing features: %v", err)
	}
	if _, err := b.tryJoin(b.Context(), view("v", src, 0, "k"), Table("k i64, other us", R(1, at(1)))); !errors.Is(err, feasterr.ErrNotFound) {
		b.Errorf("entity rows without times: %v", err)
	}
	if _, err := b.tryJoin(b.Context(), view("v", src, 0, "k"), Table("k i64, t i64", R(1, 1))); !errors.Is(err, feasterr.ErrInvalid) {
		b.Errorf("entity rows with numbers for times: %v", err)
	}
	p = view("v", src, 0, "k")
	p.Views[0].Event = "v"
	if _, err := b.tryJoin(b.Context(), p, keysAndTimes(R(1, at(1)))); !errors.Is(err, feasterr.ErrInvalid) {
		b.Errorf("a source with numbers for times: %v", err)
	}
}

// joinRandom: small random cases against the join by brute force.
func joinRandom(b *bed) {
	rounds := 150
	if b.Unordered {
		rounds = 0 // ties are everywhere
	}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		keyTypes := [][]string{{"i64"}, {"text"}, {"i32", "text"}, {"i64", "i64"}, {}, {"f64", "us", "bool"}}
		keys := keyTypes[r.IntN(len(keyTypes))]
		unit := []string{"us", "ms", "naive", "ns", "date"}[r.IntN(5)]
		if unit == "ns" && b.Microseconds {
			unit = "us"
		}
		value := func(t string, n int) any {
			if r.IntN(12) == 0 {
				return nil
			}
			switch k := r.IntN(n); t {
			case "text":
				return strings.Repeat("k", k)
			case "us":
				return at(k)
			case "f64":
				return float64(k) / 2
			case "bool":
				return k%2 == 0
			default:
				return k
			}
		}
		moment := func(span int) any {
			if r.IntN(15) == 0 {
				return nil
			}
			return at(24 * r.IntN(span)).Add(time.Duration(r.IntN(3)) * time.Microsecond)
		}
		var columns []string
		var names []string
		for i, t := range keys {
			names = append(names, fmt.Sprint("k", i))
			columns = append(columns, fmt.Sprintf("k%d %s", i, t))
		}
		entityColumns := append([]string{"t us"}, columns...)
		columns = append(columns, "e "+unit, "c us", "v i64", "s text")
		var batches []arrow.RecordBatch
		id := 0
		for range 1 + r.IntN(3) {
			var rows [][]any
			for range r.IntN(40) {
				var row []any
				for _, t := range keys {
					row = append(row, value(t, 4))
				}
				id++
				rows = append(rows, append(row, moment(10), moment(10), id, value("text", 5)))
			}
			batches = append(batches, Table(strings.Join(columns, ","), rows...))
		}
		var entities []arrow.RecordBatch
		for range 1 + r.IntN(2) {
			var rows [][]any
			for range r.IntN(25) {
				row := []any{moment(12)}
				for _, t := range keys {
					row = append(row, value(t, 5))
				}
				rows = append(rows, row)
			}
			entities = append(entities, Table(strings.Join(entityColumns, ","), rows...))
		}
		src := b.source(batches...)
		p := view("v", src, []time.Duration{0, 24 * time.Hour, 48*time.Hour + time.Microsecond}[r.IntN(3)], names...)
		p.Views[0].Features = append(p.Views[0].Features, offline.Column{Source: "s", Name: "s"})
		if r.IntN(2) == 0 {
			p.Views[0].Created = "c"
			p.FilterByCreated = r.IntN(2) == 0 && !b.NoFilterByCreated
		}
		b.against(p, map[*offline.Source][]arrow.RecordBatch{src: batches}, entities...)
		if b.Failed() {
			b.Fatalf("seed %d: keys %v, times %s, ttl %v, created %q, filtered %t", seed, keys, unit, p.Views[0].TTL, p.Views[0].Created, p.FilterByCreated)
		}
	}
}
