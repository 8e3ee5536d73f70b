// Package feasttest makes whole feature stores in memory, for the tests of programs that use feast:
//
//	driver := feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64}
//	stats := feast.FeatureView{
//		Name: "driver_stats", Entities: []string{"driver"}, Online: true, TTL: time.Hour,
//		Schema: []feast.Field{{Name: "conv_rate", Type: feast.Float32}},
//	}
//	fs := feasttest.New(t, []feast.Object{&driver, &stats}, feasttest.Rows("driver_stats",
//		feast.Columns{"driver_id": []int64{1001}, "conv_rate": []float32{0.25}}))
//
// What comes back is the real thing over a registry and an online store in memory: statuses, ttl, coercion and errors are
// those of production. Only bytes never leave the process.
package feasttest

import (
	"sync"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	onlinememory "github.com/feastgo/feast/online/memory"
	registrymemory "github.com/feastgo/feast/registry/memory"
)

// Project is the name of the project that the objects belong to.
const Project = "test"

// start is what the clock of a new store shows.
var start = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// Store is a feature store whose time stands still until the test moves it; it begins at 2024-01-01T00:00:00Z.
type Store struct {
	*feast.FeatureStore
	Clock *Clock
}

// Option adds to what [New] makes.
type Option func(*setup)

type setup struct {
	options []feast.Option
	rows    []rows
}

type rows struct {
	view  string
	frame feast.Frame
}

// Rows writes rows of a view. Rows without a column of event times, or of created times where the view's source has one,
// are of the time that the clock shows.
func Rows(view string, frame feast.Frame) Option {
	return func(s *setup) { s.rows = append(s.rows, rows{view, frame}) }
}

// With passes options on to the feature store: transformations, hooks, a store in place of the one in memory.
func With(options ...feast.Option) Option {
	return func(s *setup) { s.options = append(s.options, options...) }
}

// New returns a feature store with objects applied and rows written, which the end of the test closes. Anything that goes
// wrong ends the test. The objects are not modified.
func New(t testing.TB, objects []feast.Object, options ...Option) *Store {
	t.Helper()
	s := &Store{Clock: &Clock{now: start}}
	set := setup{options: []feast.Option{
		feast.WithRegistry(registrymemory.New()),
		feast.WithOnlineStore(onlinememory.New()),
		feast.WithClock(s.Clock.Now),
	}}
	for _, o := range options {
		o(&set)
	}
	var err error
	if s.FeatureStore, err = feast.New(t.Context(), config.Default(Project), set.options...); err != nil {
		t.Fatalf("feasttest: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("feasttest: %v", err)
		}
	})
	if len(objects) > 0 {
		if _, err := s.Apply(t.Context(), objects...); err != nil {
			t.Fatalf("feasttest: %v", err)
		}
	}
	for _, r := range set.rows {
		s.Write(t, r.view, r.frame)
	}
	return s
}

// Write writes rows as the option [Rows] does, later in a test.
func (s *Store) Write(t testing.TB, view string, frame feast.Frame) {
	t.Helper()
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatalf("feasttest: %v", err)
	}
	v, err := snap.View(view)
	if err != nil {
		t.Fatalf("feasttest: %v", err)
	}
	var batch feast.Batch
	if err := batch.Append(frame); err != nil {
		t.Fatalf("feasttest: rows of %s: %v", view, err)
	}
	event, created := "event_timestamp", ""
	if src := v.Info().Source; src != nil {
		if src.TimestampField != "" {
			event = src.TimestampField
		}
		created = src.CreatedTimestampColumn
	}
	for _, name := range []string{event, created} {
		if name == "" || batch.Has(name) {
			continue
		}
		times := make([]time.Time, batch.Len())
		for i := range times {
			times[i] = s.Clock.Now()
		}
		feast.SetColumn(&batch, name, times)
	}
	if _, err := s.WriteToOnlineStore(t.Context(), view, &batch, feast.WriteOptions{}); err != nil {
		t.Fatalf("feasttest: rows of %s: %v", view, err)
	}
}

// Clock is the time of a store. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Set sets the time.
func (c *Clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// Advance moves the time on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
