package feast_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/looks"
	"github.com/feastgo/feast/offline"
)

// lookRows is how many rows may be converted between two looks at the context.
const lookRows = 16 << 10

// passes returns how often a call goes through its rows, looking at its context once in lookRows rows.
func passes(t *testing.T, name string, call func(ctx context.Context, rows int) error) int {
	t.Helper()
	one := looks.Count(t, name, func(ctx context.Context) error { return call(ctx, lookRows) })
	three := looks.Count(t, name, func(ctx context.Context) error { return call(ctx, 2*lookRows+1) })
	if (three-one)%2 != 0 {
		t.Errorf("%s: %d looks at one time %d rows, %d at three times", name, one, lookRows, three)
	}
	return (three - one) / 2
}

// trip is a row of the tests of cancellation.
type trip struct {
	Driver int64     `feast:"driver_id"`
	At     time.Time `feast:"event_timestamp"`
	Note   string    `feast:"note"`
	Score  *float64  `feast:"score"`
	Extra  any       `feast:"extra"`
}

// trips are rows in each form of a frame.
func trips(n int) map[string]feast.Frame {
	structs, rows, score := make([]trip, n), make(feast.Rows, n), 0.5
	columns := map[string][]any{}
	for i := range structs {
		structs[i] = trip{int64(i), t0, "x", &score, "y"}
		rows[i] = map[string]any{"driver_id": i, "event_timestamp": t0, "note": "x", "score": 0.5, "extra": "y"}
		for name, v := range rows[i] {
			columns[name] = append(columns[name], v)
		}
	}
	all := feast.Columns{}
	for name, values := range columns {
		all[name] = values
	}
	return map[string]feast.Frame{"structs": feast.Structs(structs), "rows": rows, "columns": all}
}

// converting is how often the rows of trips are gone through for the offline store: once for each column, twice for times.
const converting = 6

// gathering is how often they are gone through to make columns of them: to see that they are rows, and once for each.
var gathering = map[string]int{"structs": 6, "rows": 6, "columns": 0}

func TestCancelEntityRows(t *testing.T) {
	fs, _ := training(t)
	for name := range gathering {
		got := passes(t, name, func(ctx context.Context, n int) error {
			_, err := fs.GetHistoricalFeatures(ctx, feast.HistoricalRequest{Features: []string{"stats:trips"}, Entities: frameOf(n, name)})
			return err
		})
		if want := gathering[name] + converting; got != want {
			t.Errorf("%s: %d times through the rows, want %d", name, got, want)
		}
	}
	text := func(n int) feast.Columns {
		c := feast.Columns{"driver_id": make([]int64, n), "event_timestamp": make([]string, n)}
		for i := range n {
			c["event_timestamp"].([]string)[i] = "2024-01-01"
		}
		return c
	}
	jobs := map[int]*feast.RetrievalJob{}
	if got := passes(t, "times of text", func(ctx context.Context, n int) error {
		if jobs[n] == nil {
			job, err := fs.GetHistoricalFeatures(t.Context(), feast.HistoricalRequest{Features: []string{"stats:trips"}, Entities: text(n)})
			if err != nil {
				t.Fatal(err)
			}
			jobs[n] = job
		}
		rb, err := jobs[n].RecordBatch(ctx)
		if err == nil {
			rb.Release()
		}
		return err
	}); got != 1 {
		t.Errorf("%d times through times of text, want 1", got)
	}
}

var frames = map[string]feast.Frame{}

// frameOf makes trips once.
func frameOf(n int, form string) feast.Frame {
	key := func(form string) string { return fmt.Sprint(n, form) }
	if frames[key(form)] == nil {
		for form, f := range trips(n) {
			frames[key(form)] = f
		}
	}
	return frames[key(form)]
}

func TestCancelOfflineWrite(t *testing.T) {
	m := newMaterializer(t, []*feast.FeatureView{tripsView()}, feast.WithOfflineStore(&taker{event: arrowUTC}))
	for form, gathering := range gathering {
		want := gathering + converting
		if got := passes(t, form, func(ctx context.Context, n int) error {
			_, err := m.WriteToOfflineStore(ctx, "trips", frameOf(n, form))
			return err
		}); got != want {
			t.Errorf("%s: %d times through the rows, want %d", form, got, want)
		}
	}
}

// Rows for the online store are gathered as others are, and converted in batches.
func TestCancelOnlineWrite(t *testing.T) {
	m := newMaterializer(t, []*feast.FeatureView{tripsView()})
	const batch = 10_000
	for form, gathering := range gathering {
		write := func(ctx context.Context) error {
			_, err := m.WriteToOnlineStore(ctx, "trips", frameOf(2*lookRows+1, form), feast.WriteOptions{})
			return err
		}
		remove := func(ctx context.Context) error {
			return m.DeleteFromOnlineStore(ctx, "trips", frameOf(2*lookRows+1, form))
		}
		// Beside those of gathering: once a batch to see that rows are right, once to write it.
		least := 3*gathering + 2*((2*lookRows+1+batch-1)/batch)
		if got := looks.Count(t, form, write); got < least {
			t.Errorf("writing %s: %d looks, want %d at least", form, got, least)
		}
		if got := looks.Count(t, form, remove); got < least {
			t.Errorf("deleting %s: %d looks, want %d at least", form, got, least)
		}
	}
}

// keysTable is an offline store that reads all rows of a source at once.
type keysTable struct {
	history
	rows map[string]arrow.RecordBatch // by the name of the source
}

func (s *keysTable) All(_ context.Context, p *offline.ScanPlan) (offline.Job, error) {
	s.count(1)
	return &historyJob{&s.history, nil, func() (array.RecordReader, error) {
		rb := s.rows[p.Source.Name]
		return array.NewRecordReader(rb.Schema(), []arrow.RecordBatch{rb})
	}}, nil
}

// The keys of several views are gathered, sorted and made a table of.
func TestCancelSpine(t *testing.T) {
	table := func(n int) arrow.RecordBatch {
		ids, times := array.NewInt64Builder(memory.DefaultAllocator), array.NewTimestampBuilder(memory.DefaultAllocator, arrowUTC)
		for i := range n {
			ids.Append(int64(i))
			times.Append(arrow.Timestamp(t0.UnixMicro()))
		}
		return array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "driver_id", Type: arrowInt64}, {Name: "event_timestamp", Type: arrowUTC}}, nil),
			[]arrow.Array{ids.NewArray(), times.NewArray()}, int64(n))
	}
	store := &keysTable{}
	fs, _ := training(t, feast.WithOfflineStore(store))
	job, err := fs.GetHistoricalFeatures(t.Context(), feast.HistoricalRequest{Features: []string{"stats:trips", "pushed_stats:rides"}})
	if err != nil {
		t.Fatal(err)
	}
	read := func(n int) int {
		store.rows = map[string]arrow.RecordBatch{"stats_source": table(n), "pushed": table(n)}
		return looks.Count(t, "spine", func(ctx context.Context) error {
			rb, err := job.RecordBatch(ctx)
			if err == nil {
				rb.Release()
			}
			return err
		})
	}
	// The keys of two views, all of them, and the table, each once; and keys are sorted, for which each is compared.
	one, three := read(lookRows), read(2*lookRows+1)
	if least := 2*4 + 2; three-one < least {
		t.Errorf("%d looks at %d rows and %d at %d, want %d more at least", one, lookRows, three, 2*lookRows+1, least)
	}
	if store.open != 0 {
		t.Errorf("%d jobs of the offline store were not closed", store.open)
	}
}
