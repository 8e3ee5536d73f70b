package onlinetest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// modelStore is a store that is what a harness declares, so that the suite is tried with every declaration.
type modelStore struct {
	mu      sync.Mutex
	model   model
	created map[string]bool
	closed  bool
}

func newModelStore(h Harness) *modelStore {
	return &modelStore{model: model{h: h, rows: map[string]*modelRow{}}, created: map[string]bool{}}
}

func (s *modelStore) Info() online.Info { return online.Info{Name: "model", Versioned: true} }

func (s *modelStore) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return feasterr.ErrClosed
	}
	return nil
}

func (s *modelStore) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	if err := s.lock(ctx); err != nil {
		return online.WriteResult{}, err
	}
	defer s.mu.Unlock()
	rounded := *b
	rounded.Event = nil
	for _, event := range b.Event {
		if res := int32(min(s.model.h.Resolution, time.Second)); res > 0 {
			event.Nanos -= event.Nanos % res
		}
		rounded.Event = append(rounded.Event, event)
	}
	return s.model.write(&rounded), nil
}

func (s *modelStore) Update(ctx context.Context, keep, drop []*online.Table) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for _, t := range drop {
		delete(s.created, t.StoredView())
		for name := range s.model.rows {
			if strings.HasPrefix(name, t.StoredView()+"\x00") {
				delete(s.model.rows, name)
			}
		}
	}
	for _, t := range keep {
		s.created[t.StoredView()] = true
	}
	return nil
}

func (s *modelStore) Delete(ctx context.Context, t *online.Table, keys [][]byte) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.model.delete(t, keys)
	return nil
}

func (s *modelStore) Teardown(ctx context.Context, tables []*online.Table) error {
	return s.Update(ctx, nil, tables)
}

func (s *modelStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *modelStore) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	return readerFunc(func(ctx context.Context, keys *online.Keys, dst *online.Result) error {
		if err := s.lock(ctx); err != nil {
			return err
		}
		defer s.mu.Unlock()
		for _, t := range plan.Tables() {
			if s.model.h.Tables && !s.created[t.StoredView()] {
				dst.Fail(t, fmt.Errorf("no table %s", t.StoredView()))
				continue
			}
			for _, k := range keys.Group(t.Group()) {
				row := s.model.row(t, k.Bytes)
				if len(row.cells) > 0 && !s.model.h.FeatureTimes {
					dst.Row(t, k.Row, row.event)
				}
				for f, field := range t.Features {
					c, ok := row.cells[field.Name]
					if !ok {
						continue
					}
					if s.model.h.FeatureTimes {
						dst.Row(t, k.Row, c.event)
					}
					if err := dst.Set(t, k.Row, f, c.value); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}), nil
}

func TestSuite(t *testing.T) {
	for name, h := range map[string]Harness{
		"Rule":         {},
		"EqualSkipped": {EqualSkipped: true},
		"FeatureTimes": {FeatureTimes: true},
		"Resolution":   {Resolution: time.Second},
		"Tables":       {Tables: true},
		"All":          {EqualSkipped: true, FeatureTimes: true, Resolution: time.Millisecond, Tables: true},
	} {
		h.Tags = func(view string) map[string]string { return map[string]string{"view": view} }
		h.Open = func(testing.TB, string) online.Store { return newModelStore(h) }
		t.Run(name, func(t *testing.T) { Run(t, h) })
	}
	for name, wrap := range map[string]func(*modelStore) online.Store{
		"NoDeleter":   func(s *modelStore) online.Store { return struct{ online.Store }{s} },
		"Unsupported": func(s *modelStore) online.Store { return unsupportedDeleter{s} },
	} {
		h := Harness{NoDelete: true}
		h.Open = func(testing.TB, string) online.Store { return wrap(newModelStore(h)) }
		t.Run(name, func(t *testing.T) { Run(t, h) })
	}
}

// unsupportedDeleter is a store of stores that cannot delete rows.
type unsupportedDeleter struct{ *modelStore }

func (unsupportedDeleter) Delete(context.Context, *online.Table, [][]byte) error {
	return feasterr.Unsupported("no deletes")
}

func TestDeviations(t *testing.T) {
	h := Harness{EqualSkipped: true, Resolution: time.Second, NoDelete: true}
	want := "a row as old as the stored one is left out; event times are kept to 1s; rows cannot be deleted by entity key"
	if got := strings.Join(h.deviations(), "; "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDiff(t *testing.T) {
	stats := &online.Table{View: "stats", Features: ints("a", "b")}
	plan := online.NewReadPlan([]*online.Table{stats})
	result := func(change func(r *online.Result)) *online.Result {
		r := online.NewResult(plan, 3)
		r.Row(stats, 0, at(0))
		if err := r.Set(stats, 0, 0, []byte{4 << 3, 7}); err != nil {
			t.Fatal(err)
		}
		change(r)
		return r
	}
	want := result(func(*online.Result) {})
	for _, c := range []struct {
		change func(r *online.Result)
		want   string
	}{
		{func(*online.Result) {}, ""},
		{func(r *online.Result) { r.Fail(stats, errors.New("broken")) }, "stats: got error broken, want <nil>"},
		{func(r *online.Result) { r.Row(stats, 1, at(0)) }, "stats, row 1: found true, want false"},
		{func(r *online.Result) { r.Reset(plan, 2) }, "got 2 rows, want 3"},
		{func(r *online.Result) { _ = r.Set(stats, 0, 0, []byte{4 << 3, 8}) },
			"stats.a, row 0: got PRESENT 2008 (8) of 2024-01-02T03:04:05Z, want PRESENT 2007 (7) of 2024-01-02T03:04:05Z"},
		{func(r *online.Result) { _ = r.Set(stats, 0, 1, nil) },
			"stats.b, row 0: got NULL_VALUE  (<nil>) of 2024-01-02T03:04:05Z, want NOT_FOUND  (<nil>) of 2024-01-02T03:04:05Z"},
		{func(r *online.Result) { r.Row(stats, 0, at(1)); _ = r.Set(stats, 0, 0, []byte{4 << 3, 7}) },
			"stats, row 0: event time 2024-01-02T03:04:06Z, want 2024-01-02T03:04:05Z\n" +
				"stats.a, row 0: got PRESENT 2007 (7) of 2024-01-02T03:04:06Z, want PRESENT 2007 (7) of 2024-01-02T03:04:05Z\n" +
				"stats.b, row 0: got NOT_FOUND  (<nil>) of 2024-01-02T03:04:06Z, want NOT_FOUND  (<nil>) of 2024-01-02T03:04:05Z"},
	} {
		if got := Diff(plan, want, result(c.change)); got != c.want {
			t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
		}
	}

	many := func(r *online.Result) *online.Result {
		for row := range r.Rows() {
			r.Row(stats, row, at(0))
		}
		return r
	}
	got := strings.Split(Diff(plan, online.NewResult(plan, 30), many(online.NewResult(plan, 30))), "\n")
	if len(got) != maxDiff+1 || got[maxDiff] != "and 10 more" {
		t.Errorf("a long comparison: %d lines, the last is %q", len(got), got[len(got)-1])
	}
}

func TestGoldenBatches(t *testing.T) {
	rows, cells := 0, 0
	var views []string
	for _, b := range GoldenBatches(t, 3) {
		rows += b.Rows()
		cells += b.Rows() * len(b.Table.Features)
		if len(views) == 0 || views[len(views)-1] != b.Table.View {
			views = append(views, b.Table.View)
		}
	}
	want := "driver_stats customer_profile driver_customer global_stats all_types driver_stats global_stats ttl_view"
	if got := strings.Join(views, " "); got != want || rows != 47 || cells != 349 {
		t.Errorf("%d rows, %d cells, of %s, want 47, 349, of %s", rows, cells, got, want)
	}

	const (
		driver   = "02000000" + "09000000" + "6472697665725f6964"
		customer = "02000000" + "0b000000" + "637573746f6d65725f6964"
		item     = "02000000" + "07000000" + "6974656d5f6964"
		int64Key = "04000000" + "08000000"
	)
	for _, c := range []struct {
		version, batch, row int
		key, event          string
		created             int64
	}{
		{3, 0, 1, "01000000" + driver + int64Key + "ea03000000000000", "2024-01-02T03:04:05.678901Z", 0},
		{2, 0, 1, "02000000" + "6472697665725f6964" + int64Key + "ea03000000000000", "2024-01-02T03:04:05.678901Z", 0},
		{3, 1, 0, "01000000" + customer + "02000000" + "02000000" + "6331", "2024-01-02T01:02:03.000007Z", 1704762061},
		{3, 3, 0, "00000000", "2024-01-05T06:07:08.000009Z", 0},
		{3, 5, 0, "01000000" + item + int64Key + "ffffffffffffffff", "1969-12-31T23:59:59.500Z", 0},
	} {
		b := GoldenBatches(t, c.version)[c.batch]
		var created types.Timestamp
		if b.Created != nil {
			created = b.Created[c.row]
		}
		key, event := hex.EncodeToString(b.Keys[c.row]), b.Event[c.row].String()
		if key != c.key || event != c.event || created != (types.Timestamp{Seconds: c.created}) {
			t.Errorf("batch %d, row %d: key %s, times %s, %v, want %s, %s, %d",
				c.batch, c.row, key, event, created, c.key, c.event, c.created)
		}
	}
	stats := GoldenBatches(t, 3)[0]
	got := fmt.Sprint(stats.Table.Entities, stats.Table.JoinKeys, stats.Table.Features)
	want = "[driver] [driver_id] [{acc_rate Float64} {active Bool} {avg_daily_trips Int64} {conv_rate Float32} {label String}]"
	if got != want || stats.Columns[0].Any(0) != 0.5 || stats.Columns[2].Any(0) != int64(10) {
		t.Errorf("first batch: %s, %v, %v, want %s", got, stats.Columns[0].Any(0), stats.Columns[2].Any(0), want)
	}
}
