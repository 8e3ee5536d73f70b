package feast_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/hybrid"
	"github.com/feastgo/feast/types"
)

// TestServersAgree makes random requests in process, and of a feature server: as a store below another and below a hybrid
// one, as a forwarder, and as one without a registry. All have to answer alike, in values, statuses and times, but for one
// thing: a server that has Feast's statuses does not tell a forwarder that a value is older than the ttl.
func TestServersAgree(t *testing.T) {
	for _, truthful := range []bool{true, false} {
		t.Run(fmt.Sprintf("truthful statuses %t", truthful), func(t *testing.T) { serversAgree(t, truthful) })
	}
}

func serversAgree(t *testing.T, truthful bool) {
	random := rand.New(rand.NewPCG(8, 67))
	pairKey := []feast.Field{{Name: "driver_id", Type: feast.Int64}, {Name: "route", Type: feast.String}}
	objects := []feast.Object{driver, &feast.Entity{Name: "route", JoinKey: "route", ValueType: feast.String}}
	var refs []string
	var views []*feast.FeatureView
	for i := range 4 {
		v := driverView(fmt.Sprint("v", i), time.Duration(i)*time.Hour, // v0 does not expire
			feast.Field{Name: "n", Type: feast.Int64}, feast.Field{Name: "s", Type: feast.String}, feast.Field{Name: "f", Type: feast.Float32},
			feast.Field{Name: "b", Type: feast.Bytes}, feast.Field{Name: "t", Type: feast.UnixTimestamp})
		v.Online, v.Tags = true, map[string]string{"store": "server"}
		if i == 3 {
			v.Entities, v.EntityColumns = []string{"driver", "route"}, pairKey
		}
		views, objects = append(views, v), append(objects, v)
		for _, f := range v.Schema {
			refs = append(refs, v.Name+":"+f.Name)
		}
	}
	objects = append(objects, &feast.OnDemandFeatureView{
		Name: "sum", Sources: []feast.FeatureViewProjection{{Name: "v0", Features: []feast.Field{{Name: "n", Type: feast.Int64}}}},
		RequestSources: []*feast.DataSource{{
			Name: "request", Options: feast.RequestOptions{Schema: []feast.Field{{Name: "add", Type: feast.Int64}}},
		}},
		Schema: []feast.Field{{Name: "total", Type: feast.Int64}},
	}, &feast.FeatureService{Name: "svc", Features: []feast.FeatureViewProjection{{Name: "v1", Features: views[1].Schema}, {Name: "v2", Features: views[2].Schema[:2]}}})
	refs = append(refs, "sum:total")

	now := t0
	clock := feast.WithClock(func() time.Time { return now })
	function := feast.WithTransformation("sum", sums([]string{"n", "add"}, []string{"total"}))
	direct, inner, backend := newStore(t, objects, clock, function)
	for i, v := range views {
		for id := range 12 {
			values := map[string]any{}
			for name, value := range map[string]any{
				"n": int64(id-6) << 60, "s": fmt.Sprintf("driver \"%d\" é\n", id), "f": float32(id) / 3, "b": []byte{0xff, byte(id)}, "t": int64(id) * 1e9,
			} {
				switch random.IntN(4) {
				case 0:
				case 1:
					values[name] = nil
				default:
					values[name] = value
				}
			}
			if id == 5 {
				values["f"] = []any{math.Inf(-1), math.NaN(), math.Inf(1), 0.5}[i]
			}
			if len(values) == 0 {
				continue
			}
			keys, key := driverKey, []any{id}
			if i == 3 {
				keys, key = pairKey, []any{id, fmt.Sprint("r", id%3)}
			}
			event := t0.Add(-time.Duration(random.IntN(240))*time.Minute - time.Duration(random.IntN(3))*time.Microsecond)
			write(t, inner, v, keys, row{key, event, values})
		}
	}

	server := featureServer(t, direct, truthful)
	stores := map[string]*feast.FeatureStore{"without a registry": forwarding(t, server)}
	routed, err := hybrid.New("store", map[string]online.Store{"server": newRemote(t, server)})
	if err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string]online.Store{
		"store": wrapping{newRemote(t, server)}, "hybrid": routed, "forwarder": newRemote(t, server),
	} {
		fs, err := feast.New(t.Context(), config.Default(project), feast.WithRegistry(backend), feast.WithOnlineStore(store), clock, function)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := fs.Close(); err != nil {
				t.Error(err)
			}
		})
		stores[name] = fs
	}

	compared, service := 0, 0
	for n := range 120 {
		now = now.Add(time.Duration(random.IntN(5)) * time.Minute)
		r := feast.OnlineRequest{FullFeatureNames: true, Expired: feast.Expired(random.IntN(2))}
		ids, routes, add := make([]int64, 1+random.IntN(20)), []string(nil), []int64(nil)
		for i := range ids {
			ids[i] = random.Int64N(15) // some twice, some absent
			routes, add = append(routes, fmt.Sprint("r", random.IntN(3))), append(add, random.Int64N(9))
		}
		columns := feast.Columns{"driver_id": ids}
		if random.IntN(6) == 0 {
			r.FeatureService = "svc"
			service++
		} else {
			for _, i := range random.Perm(len(refs))[:1+random.IntN(len(refs))] {
				r.Features = append(r.Features, refs[i])
				switch view, _, _ := strings.Cut(refs[i], ":"); view {
				case "v3":
					columns["route"] = routes
				case "sum":
					columns["add"] = add
				}
			}
		}
		r.Entities = columns
		kept := r
		kept.Expired = feast.Keep
		for name, fs := range stores {
			forwards := name == "forwarder" || name == "without a registry"
			ask := r
			if forwards && !truthful {
				ask = kept
			}
			want, err := direct.GetOnlineFeatures(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			got, err := fs.GetOnlineFeatures(t.Context(), r)
			if err != nil {
				t.Fatalf("request %d, %s: %v", n, name, err)
			}
			for _, w := range want.Columns() {
				g, err := got.Column(w.Name())
				if err != nil {
					t.Fatalf("request %d, %s: %v", n, name, err)
				}
				for row := range ids {
					compared++
					if have, expect := shown(t, g, row, w.Type(), false), shown(t, w, row, w.Type(), forwards && !truthful); have != expect {
						t.Errorf("request %d (expired: %d), %s, %s, row %d: got %s, want %s", n, r.Expired, name, w.Name(), row, have, expect)
					}
				}
			}
			if len(names(got)) != len(names(want)) {
				t.Errorf("request %d, %s: %d columns, want %d", n, name, len(names(got)), len(names(want)))
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	if compared < 10_000 || service == 0 {
		t.Errorf("%d cells, %d requests of a service", compared, service)
	}
}

// shown shows a cell of an answer: status, event time, and the value as one of a type, which answers without a registry
// do not know. With feast the status is one that Feast has, and that of what has a value is no other.
func shown(t *testing.T, c *feast.Column, row int, typ types.Type, feasts bool) string {
	t.Helper()
	value := c.AppendValue(nil, row)
	if c.Type() != typ && c.Any(row) != nil {
		as := types.NewColumn("", typ, 1)
		from := types.NewColumn("", c.Type(), 1)
		err := from.SetValue(0, value)
		if err == nil {
			err = as.SetJSON(0, from.AppendJSON(nil, 0)) // bytes are their base64
		}
		if err != nil {
			t.Fatal(err)
		}
		value = as.AppendValue(nil, 0)
	}
	status := c.Status(row)
	if feasts && status == feast.OutsideMaxAge {
		if status = feast.Present; len(value) == 0 {
			status = feast.NullValue
		}
	}
	return fmt.Sprintf("%s at %s: %x", status, c.EventTime(row).UTC().Format(time.RFC3339Nano), value)
}
