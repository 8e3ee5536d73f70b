package feast_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	feastredis "github.com/feastgo/feast/online/redis"
)

// watched counts the entities that are looked for in precomputed vectors, and those that are looked for in rows.
type watched struct {
	online.Store
	vectors, rows atomic.Int64
}

func (w *watched) Unwrap() online.Store { return w.Store }

func (w *watched) Prepare(p *online.ReadPlan) (online.Reader, error) {
	r, err := w.Store.Prepare(p)
	if p.Tables()[0].HasVectors() {
		return &watchedReader{r, &w.vectors}, err
	}
	return &watchedReader{r, &w.rows}, err
}

// reads returns what was counted since the last call.
func (w *watched) reads() string {
	return fmt.Sprintf("%d vectors, %d rows", w.vectors.Swap(0), w.rows.Swap(0))
}

type watchedReader struct {
	online.Reader
	n *atomic.Int64
}

func (r *watchedReader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	r.n.Add(int64(keys.Len()))
	return r.Reader.Read(ctx, keys, dst)
}

// rowsOnly is a store on which nothing is read from vectors.
type rowsOnly struct{ online.Store }

func (s rowsOnly) Info() online.Info {
	info := s.Store.Info()
	info.RowTimes = false
	return info
}

// clock is a clock that tests set.
type clock struct{ now atomic.Int64 }

func (c *clock) set(t testing.TB, text string) {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	c.now.Store(at.UnixNano())
}

func (c *clock) option() feast.Option {
	return feast.WithClock(func() time.Time { return time.Unix(0, c.now.Load()).UTC() })
}

// vectorDump is what Feast stored in Redis.
type vectorDump struct {
	At     string                     `json:"precomputed_at"`
	Counts map[string]json.RawMessage `json:"precompute_counts"`
	Keys   []struct {
		Key    string
		Fields []struct{ Field, Value string }
	}
}

// vectorRepo is Feast's repository of golden/precomputed on Redis.
type vectorRepo struct {
	testing.TB
	client *redis.Client
	clock  clock
	dir    string
}

// newVectorRepo loads a dump.
func newVectorRepo(t testing.TB, dump string) *vectorRepo {
	t.Helper()
	r := &vectorRepo{TB: t, dir: t.TempDir()}
	r.client = redis.NewClient(&redis.Options{Addr: testserver.Redis(t)})
	t.Cleanup(func() { _ = r.client.Close() })
	r.load(dump)
	return r
}

func (r *vectorRepo) load(dump string) {
	r.Helper()
	keys, err := r.client.Keys(r.Context(), "*precomp").Result()
	if err != nil {
		r.Fatal(err)
	}
	if len(keys) > 0 {
		if err := r.client.Del(r.Context(), keys...).Err(); err != nil {
			r.Fatal(err)
		}
	}
	var d vectorDump
	readJSON(r, "precomputed/redis/"+dump, &d)
	for _, k := range d.Keys {
		for _, f := range k.Fields {
			r.set(k.Key, f.Field, f.Value)
		}
	}
}

func (r *vectorRepo) text(s string) string {
	r.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		r.Fatal(err)
	}
	return string(b)
}

// set stores a field; all are hexadecimal. The field may also be the text of the name of an event time.
func (r *vectorRepo) set(key, field, value string) {
	r.Helper()
	if err := r.client.HSet(r.Context(), r.text(key), r.text(field), r.text(value)).Err(); err != nil {
		r.Fatal(err)
	}
}

// open opens the repository with one of the registries and any options; wrap wraps the store.
func (r *vectorRepo) open(registry string, wrap func(online.Store) online.Store, opts ...feast.Option) *feast.FeatureStore {
	r.Helper()
	dir := r.TempDir()
	data, err := os.ReadFile(filepath.Join("testdata", "precomputed", registry))
	if err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "registry.db"), data, 0o600); err != nil {
		r.Fatal(err)
	}
	text := "project: precomp\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
	if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
	s, err := feastredis.New(r.client, feastredis.Options{})
	if err != nil {
		r.Fatal(err)
	}
	return open(r, dir, append(opts, feast.WithOnlineStore(wrap(s)), r.clock.option())...)
}

// both opens the repository twice: to read vectors, watched, and to read rows alone.
func (r *vectorRepo) both(registry string) (fs *feast.FeatureStore, w *watched, rows *feast.FeatureStore) {
	r.Helper()
	fs = r.open(registry, func(s online.Store) online.Store { w = &watched{Store: s}; return w })
	return fs, w, r.open(registry, func(s online.Store) online.Store { return rowsOnly{s} })
}

// vectorCase is a recorded request.
type vectorCase struct {
	onlineCase
	Registry string
	Now      string
	Regular  json.RawMessage `json:"expected_regular_path"`
	Stored   []struct{ Key, Field, Value string }
	Key      string
	Fields   map[string]string `json:"stored_fields"`
}

// same checks that vectors are answered as the rows are.
func (c *vectorCase) same(t *testing.T, fs, rows *feast.FeatureStore) *feast.OnlineResponse {
	t.Helper()
	req := feast.OnlineRequest{FeatureService: c.Service, FullFeatureNames: c.Full, Entities: goldenFrame(t, c.Rows)}
	want, wantErr := rows.GetOnlineFeatures(t.Context(), req)
	got, err := fs.GetOnlineFeatures(t.Context(), req)
	if fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("error %v, and of the rows alone %v", err, wantErr)
	}
	if err == nil {
		sameResponses(t, got, want)
	}
	return got
}

// sameResponses compares values, statuses and event times. A vector does not tell a feature that a row has not from one that is
// null there: departure 34 calls both NULL_VALUE.
func sameResponses(t testing.TB, got, want *feast.OnlineResponse) {
	t.Helper()
	for i, w := range want.Columns() {
		g := got.At(i)
		if g.Name() != w.Name() {
			t.Fatalf("column %d is %s, want %s", i, g.Name(), w.Name())
		}
		for row := range w.Len() {
			have, exp := cellOf(g, row), cellOf(w, row)
			if g.Status(row) == feast.NullValue && w.Status(row) == feast.NotFound && w.EventTime(row).Unix() != 0 {
				have = strings.Replace(have, "NULL_VALUE", "NOT_FOUND", 1)
			}
			if have != exp {
				t.Errorf("%s, row %d: %s from vectors, and %s from rows", w.Name(), row, have, exp)
			}
		}
	}
}

func cellOf(c *feast.Column, row int) string {
	return fmt.Sprintf("%s %#v %s", c.Status(row), c.Any(row), c.EventTime(row))
}

// golden compares an answer with what Feast answers without vectors.
func (c *vectorCase) golden(t *testing.T, got *feast.OnlineResponse) {
	t.Helper()
	if len(c.Regular) == 0 {
		return
	}
	want := c.onlineCase
	if err := json.Unmarshal(c.Regular, &want.Expected); err != nil {
		t.Fatal(err)
	}
	if want.Expected.Class != "" {
		return // in same: both are errors
	}
	for i := range want.Expected.Results {
		for row, v := range want.Expected.Results[i].Values {
			if v.Hex == "" { // departure 1: Feast calls an absent value on Redis PRESENT
				want.Expected.Results[i].Statuses[row] = ""
			}
		}
	}
	compareProto(t, want.response(t), got, false)
}

// TestGoldenPrecomputed reads the vectors that Feast stored. Departure 34: what Feast answers with an error or wrongly is
// answered from the rows, and statuses and event times are those of the rows.
func TestGoldenPrecomputed(t *testing.T) {
	reads := map[string]string{ // "1 vectors, 0 rows" where it is not said
		"duplicates_and_order": "3 vectors, 0 rows", "expired_and_fresh": "3 vectors, 0 rows", "mixed_types": "3 vectors, 0 rows",
		"fresh_full_names": "2 vectors, 0 rows", "column_subset": "2 vectors, 0 rows", "alias": "2 vectors, 0 rows",
		"multi_view_far_future": "2 vectors, 0 rows", "composite": "3 vectors, 0 rows", "join_key_map": "2 vectors, 0 rows",
		"composite_reversed_columns": "2 vectors, 0 rows",
		// Vectors that there are none of, and a row of the epoch, which its vector does not tell from none.
		"one_entity_without_vector": "2 vectors, 1 rows", "only_missing_entity": "1 vectors, 1 rows",
		"composite_missing_pair": "1 vectors, 1 rows", "never_precomputed": "1 vectors, 1 rows", "multi_view": "6 vectors, 1 rows",
		// Services that have no right vectors, and one without the flag.
		"composite_then_driver": "0 vectors, 2 rows", "two_entities": "0 vectors, 2 rows", "origin_dest": "0 vectors, 2 rows",
		"driver_then_global": "0 vectors, 2 rows", "global_then_driver": "0 vectors, 2 rows", "flag_off": "0 vectors, 3 rows",
		// Errors of the request; the function of the on-demand view is not there.
		"composite_one_key_only": "0 vectors, 0 rows", "two_entities_second_key_omitted": "0 vectors, 0 rows",
		"entity_null": "0 vectors, 0 rows", "with_on_demand_view": "0 vectors, 0 rows",
	}
	r := newVectorRepo(t, "dump.json")
	fs, w, rows := r.both("registry.db")
	var recorded struct{ Requests []vectorCase }
	readJSON(t, "precomputed/redis/expected.json", &recorded)
	for _, c := range recorded.Requests {
		t.Run(c.ID, func(t *testing.T) {
			r.clock.set(t, c.Now)
			w.reads()
			got := c.same(t, fs, rows)
			want, ok := reads[c.ID]
			if !ok {
				want = "1 vectors, 0 rows"
			}
			if have := w.reads(); have != want {
				t.Errorf("%s were read, want %s", have, want)
			}
			if got != nil {
				c.golden(t, got)
			}
		})
	}
}

var _ = errors.Is
var _ = slices.Sort[[]int]
var _ = strings.Cut
