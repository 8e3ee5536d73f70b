package feast_test

import (
	"context"
	"encoding/binary"
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
	"github.com/twmb/murmur3"
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast"
	servingpb "github.com/feastgo/feast/internal/protos/feast/serving"
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

func (s rowsOnly) Unwrap() online.Store { return s.Store }

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
		// Neither vectors nor rows.
		"one_entity_without_vector": "2 vectors, 0 rows",
		// A row without a vector, and one of the epoch, which its vector does not tell from none.
		"never_precomputed": "1 vectors, 1 rows", "multi_view": "6 vectors, 1 rows",
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

// TestGoldenPrecomputedSchemaChange reads vectors that are older than a change of the service or its view.
func TestGoldenPrecomputedSchemaChange(t *testing.T) {
	reads := map[string]string{
		"feature_added": "1 vectors, 1 rows", "feature_removed": "1 vectors, 1 rows", "feature_retyped": "1 vectors, 1 rows",
		"ttl_shortened": "1 vectors, 0 rows",
	}
	r := newVectorRepo(t, "dump.json")
	var cases []vectorCase
	readJSON(t, "precomputed/redis/schema_change.json", &cases)
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			fs, w, rows := r.both(c.Registry)
			r.clock.set(t, c.Now)
			got := c.same(t, fs, rows)
			if have := w.reads(); have != reads[c.ID] {
				t.Errorf("%s were read, want %s", have, reads[c.ID])
			}
			c.golden(t, got)
		})
	}
	if len(cases) != len(reads) {
		t.Errorf("%d cases, want %d", len(cases), len(reads))
	}
}

// TestGoldenPrecomputedCrafted reads vectors that Feast did not make. The rows of the entities get the event time that these
// vectors tell, so that the vectors are current, and lie about everything else.
func TestGoldenPrecomputedCrafted(t *testing.T) {
	// What cannot be used is read from the rows, as far as it cannot.
	reads := map[string]string{
		"canonical": "1 vectors, 0 rows", "other_name_order": "1 vectors, 0 rows", "same_odd_order_in_all_rows": "2 vectors, 0 rows",
		"order_differs_between_rows": "2 vectors, 0 rows", "more_values_than_names": "1 vectors, 0 rows",
		"no_precomputed_at": "1 vectors, 0 rows", "precomputed_at_years_old": "1 vectors, 0 rows", "unknown_field": "1 vectors, 0 rows",
		"fv_timestamp_unknown_view": "1 vectors, 1 rows", // and none for the others
	}
	r := newVectorRepo(t, "dump.json")
	fs, w, rows := r.both("registry.db")
	var recorded struct{ Cases []vectorCase }
	readJSON(t, "precomputed/redis/crafted.json", &recorded)
	for _, c := range recorded.Cases {
		t.Run(c.ID, func(t *testing.T) {
			r.load("dump.json")
			r.clock.set(t, c.Now)
			const at = "08a0e2ebb206108094ef3a"
			age := func(key string) {
				r.set(key, hex.EncodeToString([]byte("_ts:driver_stats")), at)
				r.set(key, hex.EncodeToString([]byte("_ts:driver_profile")), at)
			}
			for _, v := range c.Stored {
				age(v.Key)
				r.set(v.Key, v.Field, v.Value)
				r.set(v.Key, hex.EncodeToString([]byte("_ts:__precomputed__crafted")), at)
			}
			for field, value := range c.Fields {
				age(c.Key)
				r.set(c.Key, field, value)
			}
			c.Service = "crafted"
			want, ok := reads[c.ID]
			entities := max(1, len(c.Stored))
			if !ok {
				want = fmt.Sprintf("%d vectors, %d rows", entities, entities)
			}
			req := feast.OnlineRequest{FeatureService: c.Service, FullFeatureNames: c.Full, Entities: goldenFrame(t, c.Rows)}
			got, err := fs.GetOnlineFeatures(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if have := w.reads(); have != want {
				t.Errorf("%s were read, want %s", have, want)
			}
			if strings.HasSuffix(want, " 0 rows") {
				if c.Expected.Class != "" { // in Feast any difference between rows is an error
					return
				}
				sameValues(t, c.response(t), got)
				return
			}
			alone, err := rows.GetOnlineFeatures(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			sameResponses(t, got, alone)
		})
	}
}

// sameValues compares values alone.
func sameValues(t *testing.T, want *servingpb.GetOnlineFeaturesResponse, got *feast.OnlineResponse) {
	t.Helper()
	for i, name := range want.GetMetadata().GetFeatureNames().GetVal() {
		c, err := got.Column(name)
		if err != nil {
			t.Fatal(err)
		}
		for row, v := range want.GetResults()[i].GetValues() {
			if g := valueOf(t, c, row); !proto.Equal(g, v) {
				t.Errorf("%s row %d is %v, want %v", name, row, g, v)
			}
		}
	}
}

// TestGoldenPrecomputedStale: a row is written, then vectors are made with a clock that is behind, then with one that is not.
func TestGoldenPrecomputedStale(t *testing.T) {
	r := newVectorRepo(t, "dump.json")
	fs, w, rows := r.both("registry.db")
	var steps []struct {
		vectorCase
		Vector struct {
			Hex string `json:"vector_hex"`
			TS  string `json:"ts_hex"`
		}
	}
	readJSON(t, "precomputed/redis/staleness.json", &steps)
	later := feast.Rows{{"driver_id": 1001, "clicks": 8, "event_timestamp": "2024-06-01T12:01:00.123456Z"}}
	if _, err := rows.WriteToOnlineStore(t.Context(), "driver_hourly", later, feast.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	precompute := func(at string, written, older int) {
		r.clock.set(t, at)
		res, err := fs.PrecomputeFeatureService(t.Context(), "multi")
		if err != nil {
			t.Fatal(err)
		}
		want := []feast.PrecomputedService{{Name: "multi", Written: written, Older: older}}
		if !slices.Equal(res.Services, want) || res.Skipped != nil {
			t.Errorf("precomputed %+v, want %+v", res, want)
		}
	}
	for i, do := range []struct {
		vectors func()
		reads   string
	}{
		{func() {}, "1 vectors, 1 rows"},
		{func() { precompute("2024-06-01T11:55:00.123456Z", 0, 6) }, "1 vectors, 1 rows"},
		{func() { precompute("2024-06-01T12:02:30.123456Z", 6, 0) }, "1 vectors, 0 rows"},
	} {
		do.vectors()
		c := steps[i]
		key := "0100000002000000090000006472697665725f69640400000008000000e903000000000000" + hex.EncodeToString([]byte("precomp"))
		field := vectorField("multi")
		stored := r.client.HMGet(t.Context(), r.text(key), field, "_ts:__precomputed__multi").Val()
		if value, _ := stored[0].(string); !strings.HasSuffix(hex.EncodeToString([]byte(value)), c.Vector.Hex) {
			t.Errorf("step %d: the vector is %x, want %s", i, value, c.Vector.Hex)
		}
		if at, _ := stored[1].(string); hex.EncodeToString([]byte(at)) != c.Vector.TS {
			t.Errorf("step %d: the vector's time is %x, want %s", i, at, c.Vector.TS)
		}
		r.clock.set(t, c.Now)
		c.Service, c.Full, c.Rows = "multi", true, json.RawMessage(`{"driver_id":[1001]}`)
		w.reads()
		got := c.same(t, fs, rows)
		if have := w.reads(); have != do.reads {
			t.Errorf("step %d: %s were read, want %s", i, have, do.reads)
		}
		c.golden(t, got)
	}
}

// vectorField is the field of a service's vectors in a hash.
func vectorField(service string) string {
	return string(binary.LittleEndian.AppendUint32(nil, murmur3.StringSum32("__precomputed__"+service+":vector")))
}

// TestGoldenPrecompute makes the vectors that Feast made of the same rows.
func TestGoldenPrecompute(t *testing.T) {
	r := newVectorRepo(t, "dump_before.json")
	fs, _, _ := r.both("registry.db")
	var d vectorDump
	readJSON(t, "precomputed/redis/dump.json", &d)
	r.clock.set(t, d.At)
	wrong := map[string]string{ // departure 34: why Feast's vectors of these are none
		"with_odfv":             "odfv_live is an on-demand feature view",
		"composite_then_driver": "trip_stats and driver_stats are not looked up by the same join keys",
		"two_entities":          "driver_stats and customer_profile are not looked up by the same join keys",
		"origin_dest":           "origin and dest are not looked up by the same join keys",
		"driver_then_global":    "driver_stats and global_stats are not looked up by the same join keys",
		"global_then_driver":    "global_stats and driver_stats are not looked up by the same join keys",
	}
	made := map[string]bool{}
	for service, count := range d.Counts {
		res, err := fs.PrecomputeFeatureService(t.Context(), service)
		if why := wrong[service]; why != "" {
			want := fmt.Sprintf("feature service %q cannot be precomputed: %s", service, why)
			if !errors.Is(err, feast.ErrInvalid) || err.Error() != want {
				t.Errorf("%s: error %v, want %s", service, err, want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := string(count); len(res.Services) != 1 || fmt.Sprint(res.Services[0].Written) != n {
			t.Errorf("%s: %+v, want %s vectors", service, res, n)
		}
		made[vectorField(service)], made["_ts:__precomputed__"+service] = true, true
	}
	vectors := 0
	for _, k := range d.Keys {
		stored := r.client.HGetAll(t.Context(), r.text(k.Key)).Val()
		for _, f := range k.Fields {
			name := r.text(f.Field)
			if made[name] {
				vectors++
				if want := r.text(f.Value); stored[name] != want {
					t.Errorf("field %q of %s:\n%x, want\n%x", name, k.Key, stored[name], want)
				}
			}
			delete(stored, name)
		}
		for name := range stored {
			t.Errorf("%s has a field %q, which Feast does not write", k.Key, name)
		}
	}
	if vectors != 2*58 { // and their times
		t.Errorf("%d fields of vectors, want 116", vectors)
	}
}

// TestGoldenPrecomputedSQLite: a store that cannot tell which vectors are old answers the rows, also where Feast stored vectors.
func TestGoldenPrecomputedSQLite(t *testing.T) {
	dir := copyRepo(t, "precomputed")
	text := "project: precomp\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n" +
		"online_store:\n  type: sqlite\n  path: sqlite/online_store.db\n"
	if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var c clock
	fs := open(t, dir, c.option())
	var redis struct{ Requests []vectorCase }
	readJSON(t, "precomputed/redis/expected.json", &redis)
	var own struct {
		Requests []vectorCase
		Regular  []vectorCase `json:"regular_path"`
	}
	readJSON(t, "precomputed/sqlite/expected.json", &own)
	compared := 0
	for _, want := range own.Regular {
		i := slices.IndexFunc(redis.Requests, func(c vectorCase) bool { return c.ID == want.ID })
		t.Run(want.ID, func(t *testing.T) {
			req := redis.Requests[i]
			req.Expected = onlineCase{}.Expected
			if err := json.Unmarshal(want.Regular, &req.Expected); err != nil {
				t.Fatal(err)
			}
			c.set(t, req.Now)
			checkOnline(t, fs, &req.onlineCase)
		})
		compared++
	}
	if compared == 0 {
		t.Error("nothing was compared")
	}
	for _, req := range own.Requests {
		t.Run(req.ID, func(t *testing.T) {
			c.set(t, req.Now)
			if req.ID != "with_on_demand_view" { // whose function is not there
				checkOnline(t, fs, &req.onlineCase)
			}
		})
	}
	if _, err := fs.PrecomputeFeatureService(t.Context(), "single"); !errors.Is(err, feast.ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
}
