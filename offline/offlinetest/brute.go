package offlinetest

import (
	"cmp"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/offline"
)

// instant is a time of any resolution: a number of a unit.
type instant struct {
	seconds int64
	nanos   int64
	ok      bool
}

func instantAt(a arrow.Array, i int) instant {
	if a.IsNull(i) {
		return instant{}
	}
	var t time.Time
	switch a := a.(type) {
	case *array.Timestamp:
		t = a.Value(i).ToTime(a.DataType().(*arrow.TimestampType).Unit)
	case *array.Date32:
		t = a.Value(i).ToTime()
	}
	return instant{seconds: t.Unix(), nanos: int64(t.Nanosecond()), ok: true}
}

func (t instant) compare(u instant) int {
	return cmp.Or(cmp.Compare(t.seconds, u.seconds), cmp.Compare(t.nanos, u.nanos))
}

func (t instant) minus(d time.Duration) instant {
	u := time.Unix(t.seconds, t.nanos).Add(-d)
	return instant{seconds: u.Unix(), nanos: int64(u.Nanosecond()), ok: true}
}

// keyAt writes a key so that equal ones are written alike; ok is false for what equals nothing.
func keyAt(a arrow.Array, i int) (string, bool) {
	if a.IsNull(i) {
		return "", false
	}
	number := func(x float64) (string, bool) {
		if math.IsNaN(x) {
			return "", false
		}
		if x == math.Trunc(x) && math.Abs(x) < 1<<62 {
			return text(int64(x)), true
		}
		return "f" + text(x), true
	}
	switch a := a.(type) {
	case *array.Float64:
		return number(a.Value(i))
	case *array.Float32:
		return number(float64(a.Value(i)))
	case *array.Timestamp, *array.Date32:
		t := instantAt(a, i)
		return text(t.seconds) + "." + text(t.nanos), true
	}
	return a.ValueStr(i), true
}

// BruteForce joins by comparing every entity row with every source row, by the letter of [offline.JoinView], and returns
// the rows as text.
func BruteForce(t testing.TB, p *offline.JoinPlan, event string, sources map[*offline.Source][]arrow.RecordBatch, entities ...arrow.RecordBatch) []string {
	t.Helper()
	out := []string{}
	for _, e := range entities {
		times := e.Column(e.Schema().FieldIndices(event)[0])
		for i, row := range Rows(inMicros(e)) {
			cells := []string{strings.TrimSuffix(strings.TrimPrefix(row, "["), "]")}
			for v := range p.Views {
				cells = append(cells, winner(t, p, &p.Views[v], sources[p.Views[v].Source], e, instantAt(times, i), i)...)
			}
			out = append(out, "["+strings.Join(cells, ",")+"]")
		}
	}
	return out
}

func winner(t testing.TB, p *offline.JoinPlan, v *offline.JoinView, source []arrow.RecordBatch, entities arrow.RecordBatch, at instant, i int) []string {
	t.Helper()
	var best arrow.RecordBatch
	var bestRow int
	var bestEvent, bestCreated instant
	for _, s := range source {
		column := func(name string) arrow.Array {
			f := s.Schema().FieldIndices(name)
			if len(f) != 1 {
				t.Fatalf("no column %q", name)
			}
			return s.Column(f[0])
		}
	rows:
		for r := range int(s.NumRows()) {
			e, c := instantAt(column(v.Event), r), instant{}
			if v.Created != "" {
				c = instantAt(column(v.Created), r)
			}
			if !at.ok || !e.ok || e.compare(at) > 0 || v.TTL > 0 && e.compare(at.minus(v.TTL)) < 0 {
				continue
			}
			if p.FilterByCreated && v.Created != "" && (!c.ok || c.compare(at) > 0) {
				continue
			}
			for _, k := range v.Keys {
				a, ok := keyAt(column(k.Source), r)
				b, known := keyAt(entities.Column(entities.Schema().FieldIndices(k.Entity)[0]), i)
				if !ok || !known || a != b {
					continue rows
				}
			}
			if best != nil {
				newer := e.compare(bestEvent)
				if newer == 0 && c.ok != bestCreated.ok {
					newer = -1
					if c.ok {
						newer = 1
					}
				} else if newer == 0 && c.ok {
					newer = c.compare(bestCreated)
				}
				if newer <= 0 {
					continue
				}
			}
			best, bestRow, bestEvent, bestCreated = s, r, e, c
		}
	}
	var cells []string
	for _, f := range v.Features {
		if best == nil {
			cells = append(cells, "null")
			continue
		}
		a := inMicros(best).Column(best.Schema().FieldIndices(f.Source)[0])
		cells = append(cells, string(appendValue(nil, a, bestRow)))
	}
	return cells
}

// inMicros has all timestamps in microseconds with zone UTC, as results have them.
func inMicros(b arrow.RecordBatch) arrow.RecordBatch {
	fields, columns := b.Schema().Fields(), make([]arrow.Array, b.NumCols())
	for i := range columns {
		columns[i] = b.Column(i)
		a, ok := columns[i].(*array.Timestamp)
		if !ok {
			continue
		}
		fields[i].Type = types["us"]
		n := array.NewTimestampBuilder(memory.DefaultAllocator, types["us"].(*arrow.TimestampType))
		for r := range a.Len() {
			if t := instantAt(a, r); t.ok {
				n.Append(arrow.Timestamp(t.seconds*1e6 + t.nanos/1000))
			} else {
				n.AppendNull()
			}
		}
		columns[i] = n.NewArray()
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, b.NumRows())
}

func emptyBatch(s *arrow.Schema) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, s)
	defer b.Release()
	return b.NewRecordBatch()
}
