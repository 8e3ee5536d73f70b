package file_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/offline"
)

// skewedSize is a join by keys of text whose answers follow from a formula. A fifth of the rows of both sides are of key 0;
// every other key has 400 rows of the source. The rows of a key are in pairs of one event time, of which the second was
// created a second later. The pairs of a key are a step apart, the rows are shuffled.
type skewedSize struct {
	features int // a multiple of 50,000, so that everything divides
	entities int
	filter   bool // by created time
}

const (
	skewedRows  = 400                  // of the source, of each key but 0
	skewedSpan  = 30 * 86400 * 1e6     // microseconds from the first to the last event time
	skewedStart = generatorStart * 1e6 // the first event time
	skewedTTL   = 24 * time.Hour
)

// keys is how many keys the source has beside key 0.
func (s skewedSize) keys() int { return s.features / 5 * 4 / skewedRows }

// rowsOf is how many rows of the source a key has.
func (s skewedSize) rowsOf(key int) int {
	if key == 0 {
		return s.features / 5
	}
	return skewedRows
}

// featureRow is row i of the source: row n of a key. The factors have no divisor in common with the sizes.
func (s skewedSize) featureRow(i int) (key, n int) {
	if i%5 == 0 {
		return 0, i / 5 * 7654321 % s.rowsOf(0)
	}
	j := i/5*4 + i%5 - 1
	return 1 + j%s.keys()*77773%s.keys(), j / s.keys() * 173 % skewedRows
}

// event is the event time of row n of a key.
func (s skewedSize) event(key, n int) int64 {
	return skewedStart + int64(key)*10007 + int64(n/2)*s.step(key)
}

func (s skewedSize) step(key int) int64 { return skewedSpan / int64(s.rowsOf(key)/2) }

// number and text are the features of row n of a key. Some numbers are null.
func (s skewedSize) number(key, n int) (x int64, ok bool) {
	return int64(key)*1000003 + int64(n), (key+n)%64 != 5
}

func (s skewedSize) text(b []byte, key, n int) []byte {
	return strconv.AppendInt(append(strconv.AppendInt(b, int64(key), 10), '/'), int64(n), 10)
}

func skewedKey(b []byte, key int) []byte { return strconv.AppendInt(append(b, 'd'), int64(key), 10) }

// entityRow is an entity row. Some have keys that the source does not have, or times before all of it or long after.
func (s skewedSize) entityRow(j int) (key int, at int64) {
	g := mix(uint64(j) + 1000000007)
	if j%5 != 0 {
		key = 1 + int(g%uint64(s.keys()+s.keys()/10))
	}
	return key, skewedStart - skewedSpan/20 + int64(mix(g)%(skewedSpan+skewedSpan/5))
}

// winner is the row of a key that an entity row gets.
func (s skewedSize) winner(key int, at int64) (n int, ok bool) {
	first := s.event(key, 0)
	if key > s.keys() || at < first {
		return 0, false
	}
	n = min(int((at-first)/s.step(key))*2, s.rowsOf(key)-2)
	if !s.filter || at >= s.event(key, n)+1e6 {
		n++
	}
	return n, at-s.event(key, n) <= skewedTTL.Microseconds()
}

// generate writes the source, in files of equal size, two at a time.
func (s skewedSize) generate(t testing.TB, dir string, files int) {
	t.Helper()
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	per := s.features / files
	var group sync.WaitGroup
	for worker := range 2 {
		group.Go(func() {
			for f := worker; f < files; f += 2 {
				r := s.featureRows(f*per, (f+1)*per)
				n, err := codec.Create(t.Context(), filepath.Join(dir, fmt.Sprintf("part%03d.parquet", f)), r)
				r.Release()
				if err != nil || n != int64(per) {
					t.Errorf("%d rows, %v", n, err)
					return
				}
			}
		})
	}
	if group.Wait(); t.Failed() {
		t.FailNow()
	}
}

// featureRows makes rows of the source, in batches.
func (s skewedSize) featureRows(from, to int) array.RecordReader {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "driver_id", Type: arrow.BinaryTypes.String}, {Name: "event_timestamp", Type: utcMicros}, {Name: "created", Type: utcMicros},
		{Name: "number", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "text", Type: arrow.BinaryTypes.String},
	}, nil)
	return array.ReaderFromIter(schema, func(yield func(arrow.RecordBatch, error) bool) {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		defer b.Release()
		var text []byte
		for from < to {
			for end := min(from+1<<15, to); from < end; from++ {
				key, n := s.featureRow(from)
				event := s.event(key, n)
				text = skewedKey(text[:0], key)
				b.Field(0).(*array.StringBuilder).BinaryBuilder.Append(text)
				b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(event))
				b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(event + int64(n%2)*1e6))
				if x, ok := s.number(key, n); ok {
					b.Field(3).(*array.Int64Builder).Append(x)
				} else {
					b.Field(3).AppendNull()
				}
				text = s.text(text[:0], key, n)
				b.Field(4).(*array.StringBuilder).BinaryBuilder.Append(text)
			}
			if !yield(b.NewRecordBatch(), nil) { // which releases it
				return
			}
		}
	})
}

// entityRows makes the entity rows.
func (s skewedSize) entityRows() array.RecordReader {
	schema := arrow.NewSchema([]arrow.Field{{Name: "row", Type: arrow.PrimitiveTypes.Int64}, {Name: "driver", Type: arrow.BinaryTypes.String}, {Name: "event_timestamp", Type: utcMicros}}, nil)
	return array.ReaderFromIter(schema, func(yield func(arrow.RecordBatch, error) bool) {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		defer b.Release()
		var text []byte
		for j := 0; j < s.entities; {
			for end := min(j+1<<15, s.entities); j < end; j++ {
				key, at := s.entityRow(j)
				text = skewedKey(text[:0], key)
				b.Field(0).(*array.Int64Builder).Append(int64(j))
				b.Field(1).(*array.StringBuilder).BinaryBuilder.Append(text)
				b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(at))
			}
			if !yield(b.NewRecordBatch(), nil) { // which releases it
				return
			}
		}
	})
}

// plan joins both features.
func (s skewedSize) plan(dir string) *offline.JoinPlan {
	return &offline.JoinPlan{FilterByCreated: s.filter, Views: []offline.JoinView{{
		Name: "view", Source: &offline.Source{Name: "features", Path: dir}, Keys: []offline.JoinKey{{Source: "driver_id", Entity: "driver"}},
		Event: "event_timestamp", Created: "created", TTL: skewedTTL,
		Features: []offline.Column{{Source: "number", Name: "number"}, {Source: "text", Name: "text"}},
	}}}
}

// check joins and compares every row with the formula.
func (s skewedSize) check(t testing.TB, dir string) {
	t.Helper()
	j, found, nulls, even := 0, 0, 0, 0
	var want []byte
	joined(t, s.plan(dir), s.entityRows(), func(b arrow.RecordBatch) {
		ids, numbers, texts := b.Column(0).(*array.Int64), b.Column(3).(*array.Int64), b.Column(4).(*array.String)
		for i := range ids.Len() {
			key, at := s.entityRow(j)
			n, ok := s.winner(key, at)
			x, valid := s.number(key, n)
			want = s.text(want[:0], key, n)
			if valid = valid && ok; ids.Value(i) != int64(j) || numbers.IsValid(i) != valid || valid && numbers.Value(i) != x ||
				texts.IsValid(i) != ok || ok && texts.Value(i) != string(want) {
				t.Fatalf("entity row %d, key %d at %d: row %d, %s, %q; want %d, %v, %s, %v",
					j, key, at, ids.Value(i), numbers.ValueStr(i), texts.ValueStr(i), x, valid, want, ok)
			}
			j++
			if ok {
				found++
			}
			if ok && !valid {
				nulls++
			}
			if ok && n%2 == 0 {
				even++
			}
		}
	})
	// So that neither side of any rule is missing.
	if j != s.entities || found < j/2 || found > j*9/10 || nulls == 0 || even > 0 != s.filter {
		t.Fatalf("%d rows, %d found, %d nulls, %d created early", j, found, nulls, even)
	}
}

// Key 0 has so many entity rows that they are sorted in parts.
func TestSkewed(t *testing.T) {
	size := skewedSize{features: 100_000, entities: 350_000}
	dir := t.TempDir()
	size.generate(t, dir, 4)
	for _, size.filter = range []bool{false, true} {
		size.check(t, dir)
	}
}
