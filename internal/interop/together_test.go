package interop_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/feastgo/feast"
	pb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// TestReadWhileWeApply lets Feast read without a pause while this library applies and pushes.
func TestReadWhileWeApply(t *testing.T) {
	onStores(t, func(t *testing.T, store string) {
		r := newRepo(t, store)
		fs := r.open()
		d := definition{project: r.project, ttl: 1, team: "a", features: "a", other: true}
		r.apply(fs, d.objects()...)
		if err := fs.Push(t.Context(), "pushed", d.rows(t, 3, 0, start).native(), feast.ToOnline); err != nil {
			t.Fatal(err)
		}
		r.python("open_repo", nil, nil)

		done := make(chan error, 1)
		reads := make(chan struct{}, 1000)
		go func() {
			defer close(reads)
			args := map[string]any{
				"features": []string{"stats:a"}, "entities": map[string]any{"driver_id": encodeAll(t, []*pb.Value{int64Value(1), int64Value(2)})},
			}
			for range 60 {
				var raw string
				if err := r.try("online", args, &raw); err != nil {
					done <- err
					return
				}
				reads <- struct{}{}
			}
			done <- nil
		}()
		n := 0
		for range reads { // as long as Feast reads, and at its pace
			n++
			d.team = fmt.Sprint(n)
			r.apply(fs, append(d.objects(), &registry.FeatureView{
				Name: fmt.Sprintf("view_%d", n), Entities: []string{"driver"}, Online: true,
				Schema: []registry.Field{{Name: "driver_id", Type: types.Int64}, {Name: "x", Type: types.Int64}},
			})...)
		}
		if err := <-done; err != nil {
			t.Errorf("after %d reads: %v", n, err)
		}
		// Feast noticed the last change by itself.
		var raw map[string][]string
		r.python("objects", nil, &raw)
		if views := len(raw["featureView"]); views != n+2 {
			t.Errorf("Feast has %d views, want %d", views, n+2)
		}
	})
}

// TestServeWhileFeastApplies lets this library serve without a pause while Feast applies, which rewrites the registry in
// place.
func TestServeWhileFeastApplies(t *testing.T) {
	r := newRepo(t, "sqlite")
	d := definition{project: r.project, ttl: 1, team: "a", features: "a", other: true}
	r.define(d.python())
	r.python("apply", nil, nil)
	r.python("push", map[string]any{"source": "pushed", "columns": d.rows(t, 3, 40, start).python()}, nil)
	fs := r.open()

	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	served := make([]int, 4)
	for i := range served {
		serving.Go(func() {
			for ctx.Err() == nil {
				resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
					Features: []string{"stats:a"}, Entities: feast.Columns{"driver_id": []int64{1, 2}},
				})
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					t.Errorf("request %d: %v", served[i], err)
					return
				}
				if v := resp.At(1).Any(1); v != int64(50) {
					t.Errorf("request %d: %v", served[i], v)
					return
				}
				served[i]++
			}
		})
	}
	serving.Go(func() {
		for ctx.Err() == nil {
			if err := fs.Refresh(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("refresh: %v", err)
				return
			}
		}
	})
	const applies = 20
	for i := range applies {
		d.team = fmt.Sprint(i)
		if i == applies-1 {
			d.features = "a b"
		}
		r.define(d.python())
		r.python("apply", nil, nil)
	}
	cancel()
	serving.Wait()
	total := 0
	for _, n := range served {
		total += n
	}
	if total == 0 {
		t.Error("nothing was served")
	}
	t.Logf("%d requests were served during %d applies", total, applies)
	// A name that was not there before is found without being told.
	resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
		Features: []string{"stats:b"}, Entities: feast.Columns{"driver_id": []int64{1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := resp.At(1).Status(0); s != feast.NotFound {
		t.Errorf("the new feature, of which nothing is stored, is %v", s)
	}
}

// TestNoticeFeast looks for a view that Feast applies after this library opened the registry.
func TestNoticeFeast(t *testing.T) {
	r := newRepo(t, "sqlite")
	d := definition{project: r.project, ttl: 1, team: "a", features: "a"}
	r.define(d.python())
	r.python("apply", nil, nil)
	fs := r.open()
	if err := fs.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.other = true
	r.define(d.python())
	r.python("apply", nil, nil)
	ask(t, r, fs, question{features: []string{"other:x"}, keys: map[string][]*pb.Value{"driver_id": {int64Value(1)}}})
}
