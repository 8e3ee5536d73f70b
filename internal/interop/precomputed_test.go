package interop_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/protos/feast/serving"
	pb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/internal/testserver"
)

// TestPrecomputed lets both sides make vectors of a service and read what the other made.
func TestPrecomputed(t *testing.T) {
	r := newRepo(t, "redis")
	fs := r.open()
	d := definition{project: r.project, ttl: 1, team: "a", features: "a b"}
	objects := d.objects()
	for _, o := range objects {
		if s, ok := o.(*feast.FeatureService); ok {
			s.PrecomputeOnline = true
		}
	}
	r.apply(fs, objects...)
	r.python("open_repo", nil, nil)
	drivers := map[string][]*pb.Value{"driver_id": {int64Value(1), int64Value(2), int64Value(3)}}
	// both reads the service on both sides. Feast answers vectors alone: the times are those at which they were made.
	both := func(what string, want ...int64) {
		t.Helper()
		var raw string
		r.python("online", map[string]any{"entities": map[string][]string{"driver_id": encodeAll(t, drivers["driver_id"])}, "service": "service", "full_names": true}, &raw)
		answer := new(serving.GetOnlineFeaturesResponse)
		unmarshal(t, raw, answer)
		resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
			FeatureService: "service", FullFeatureNames: true, Entities: feast.Columns{"driver_id": []int64{1, 2, 3}},
		})
		if err != nil {
			t.Fatal(err)
		}
		made := r.vectors("service")
		for i, name := range answer.GetMetadata().GetFeatureNames().GetVal() {
			c, err := resp.Column(name)
			if err != nil {
				t.Fatal(err)
			}
			for row, v := range answer.GetResults()[i].GetValues() {
				if g := valueAt(t, c, row); !proto.Equal(g, v) {
					t.Errorf("%s: %s, row %d: %v, in Feast %v", what, name, row, g, v)
				}
				if name == "stats__a" && v.GetInt64Val() != want[row] {
					t.Errorf("%s: row %d: Feast reads %v, want %d", what, row, v, want[row])
				}
				at := answer.GetResults()[i].GetEventTimestamps()[row]
				if name != "driver_id" && !proto.Equal(at, made[row].GetPrecomputedAt()) {
					t.Errorf("%s: %s, row %d: Feast reads a vector of %v, stored is one of %v", what, name, row, at.AsTime(), made[row].GetPrecomputedAt().AsTime())
				}
			}
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	push := func(n int, base int64, at time.Time) {
		t.Helper()
		if err := fs.Push(t.Context(), "pushed", d.rows(t, n, base, at).native(), feast.ToOnline); err != nil {
			t.Fatal(err)
		}
	}
	push(3, 100, now.Add(-time.Hour))
	ours := r.vectors("service")
	both("pushed here", values(t, fs)...)

	var made int
	r.python("precompute", map[string]any{"service": "service"}, &made)
	if made != 3 {
		t.Errorf("Feast made %d vectors, want 3", made)
	}
	for i, v := range r.vectors("service") {
		if !v.GetPrecomputedAt().AsTime().After(ours[i].GetPrecomputedAt().AsTime()) {
			t.Errorf("driver %d: Feast did not replace the vector of %v", i+1, v.GetPrecomputedAt().AsTime())
		}
		v.PrecomputedAt, ours[i].PrecomputedAt = nil, nil
		if !proto.Equal(v, ours[i]) {
			t.Errorf("driver %d: this library makes\n%v\nand Feast\n%v", i+1, ours[i], v)
		}
	}
	before := values(t, fs)
	both("made by Feast", before...)

	f := d.rows(t, 3, 200, now.Add(-30*time.Minute))
	r.python("push", map[string]any{"source": "pushed", "columns": f.python()}, nil)
	after := values(t, fs)
	if fmt.Sprint(before) == fmt.Sprint(after) {
		t.Errorf("after Feast pushed, the values are %v as before", after)
	}
	both("pushed by Feast", after...)

	// Feast makes no vectors here, and reads the old ones; this library sees that they are old.
	f = d.rows(t, 3, 300, now.Add(-20*time.Minute))
	r.python("write", map[string]any{"view": "stats", "columns": f.python()}, nil)
	written := values(t, fs)
	if fmt.Sprint(written) == fmt.Sprint(after) {
		t.Errorf("after Feast wrote, the values are %v as before", written)
	}
	res, err := fs.PrecomputeFeatureService(t.Context())
	if err != nil || len(res.Services) != 1 || res.Services[0].Written != 3 {
		t.Fatalf("%+v, %v", res, err)
	}
	both("made here", written...)
}

// values reads stats:a of the drivers from the rows.
func values(t *testing.T, fs *feast.FeatureStore) []int64 {
	t.Helper()
	resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
		Features: []string{"stats:a"}, Entities: feast.Columns{"driver_id": []int64{1, 2, 3}},
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := resp.Int64s("a")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// vectors returns the vectors of drivers 1, 2 and 3 as they are stored.
func (r *repo) vectors(service string) []*core.PrecomputedFeatureVector {
	r.t.Helper()
	client := redis.NewClient(&redis.Options{Addr: testserver.Redis(r.t)})
	defer func() { _ = client.Close() }()
	var out []*core.PrecomputedFeatureVector
	for driver := range 3 {
		key := fmt.Sprintf("\x01\x00\x00\x00\x02\x00\x00\x00\x09\x00\x00\x00driver_id\x04\x00\x00\x00\x08\x00\x00\x00%c\x00\x00\x00\x00\x00\x00\x00%s", driver+1, r.project)
		fields, err := client.HGetAll(r.t.Context(), key).Result()
		if err != nil {
			r.t.Fatal(err)
		}
		for name, data := range fields {
			value, v := new(pb.Value), new(core.PrecomputedFeatureVector)
			if strings.HasPrefix(name, "_ts:") || proto.Unmarshal([]byte(data), value) != nil || value.GetBytesVal() == nil {
				continue
			}
			if err := proto.Unmarshal(value.GetBytesVal(), v); err != nil {
				r.t.Fatal(err)
			}
			out = append(out, v)
		}
	}
	if len(out) != 3 {
		r.t.Fatalf("%d vectors of service %s are stored, want 3", len(out), service)
	}
	return out
}
