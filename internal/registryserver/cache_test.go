package registryserver

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"go.uber.org/goleak"

	"github.com/feastgo/feast/internal/protos/feast/core"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slow is a registry whose loads wait.
type slow struct {
	*memory.Backend
	mu    sync.Mutex
	loads int
	gate  chan struct{}
}

func (s *slow) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	s.mu.Lock()
	s.loads++
	s.mu.Unlock()
	select {
	case <-s.gate:
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	return s.Backend.Load(ctx, have)
}

// Calls that come while the backend is asked share the next answer, and outlive the one that asks.
func TestCacheShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slow{Backend: memory.New(), gate: make(chan struct{})}
		var c cache
		var wg sync.WaitGroup
		ask := func(ctx context.Context, want error) {
			wg.Go(func() {
				if _, err := c.get(ctx, b); !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
			})
			synctest.Wait()
		}
		ask(t.Context(), nil) // asks the backend
		ctx, cancel := context.WithCancel(t.Context())
		ask(ctx, context.Canceled) // is to ask next
		for range 10 {
			ask(t.Context(), nil)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		ask(ended, context.Canceled)
		cancel()
		synctest.Wait()
		close(b.gate)
		wg.Wait()
		if b.loads != 2 {
			t.Errorf("%d loads", b.loads)
		}
		if c.running != nil || c.next != nil {
			t.Error("something is left")
		}
	})
}

// What did not change is the same object after a change, and old states are let go.
func TestCacheKeeps(t *testing.T) {
	b := memory.New()
	put := func(names ...string) {
		for _, name := range names {
			if err := b.Put(t.Context(), "demo", &registry.Entity{Name: name, JoinKey: name}); err != nil {
				t.Fatal(err)
			}
		}
	}
	put("a", "b")
	var c cache
	get := func() *project {
		st, err := c.get(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		return st.project("demo")
	}
	first := get()
	a, err := first.find("a", registry.KindEntity)
	if err != nil {
		t.Fatal(err)
	}
	if get() != first {
		t.Error("an unchanged registry is another")
	}
	put("c")
	second := get()
	if again, err := second.find("a", registry.KindEntity); err != nil || again != a {
		t.Error(again, err)
	}
	put("d")
	if third := get(); third.prev != second || second.prev != nil {
		t.Error("old states are kept")
	}
	if _, err := second.find("d", registry.KindEntity); err == nil {
		t.Error("a state changed")
	}
}

// A get of what is at hand makes nothing but the answer.
func TestGetAllocations(t *testing.T) {
	b := memory.New()
	if err := b.Put(t.Context(), "demo", &registry.Entity{Name: "a", JoinKey: "a"}); err != nil {
		t.Fatal(err)
	}
	s := &Server{Backend: b}
	get := func() {
		if _, err := get[*core.Entity](t.Context(), s, registry.KindEntity, "demo", "a"); err != nil {
			t.Fatal(err)
		}
	}
	get()
	if n := testing.AllocsPerRun(100, get); n > 20 {
		t.Errorf("%v allocations", n)
	}
}

// What a list is sorted by: Feast's Python attributes.
func TestSorting(t *testing.T) {
	relations := []relation{
		{end{ofEntity, "b"}, end{ofView, "v"}}, {end{ofDataSource, "A"}, end{ofView, "v"}}, {end{ofEntity, "a"}, end{ofLabelView, "l"}},
	}
	for by, want := range map[string]string{
		"source.name": "Aab", "target.name": "abA", "source.type": "Aba", "target.type.value": "bAa", "nope": "bAa", "": "bAa", " ": "bAa",
	} {
		list := append([]relation{}, relations...)
		sortBy(list, sorting(by, "asc"), relation.attribute)
		if got := list[0].source.name + list[1].source.name + list[2].source.name; got != want {
			t.Errorf("by %q: %s, want %s", by, got, want)
		}
	}
	list := append([]relation{}, relations...)
	sortBy(list, sorting("target.name", "DESC"), relation.attribute)
	if got := list[0].source.name + list[1].source.name + list[2].source.name; got != "bAa" {
		t.Errorf("descending: %s", got)
	}
}

func sorting(by, order string) *pb.SortingParams {
	return &pb.SortingParams{SortBy: by, SortOrder: order}
}

// FuzzApply applies any object.
func FuzzApply(f *testing.F) {
	b, err := proto.Marshal(&core.Entity{Spec: &core.EntitySpecV2{Name: "a", JoinKey: "a"}})
	if err != nil {
		f.Fatal(err)
	}
	for kind := registry.KindProject; kind <= registry.KindPermission; kind++ {
		f.Add(uint8(kind), b)
	}
	f.Fuzz(func(t *testing.T, kind uint8, message []byte) {
		k := registry.Kind(kind%uint8(registry.KindPermission)) + 1
		m := newMessage(k)
		if proto.Unmarshal(message, m) != nil {
			return
		}
		s := &Server{Backend: memory.New()}
		if _, err := s.apply(t.Context(), k, "demo", m); err == nil {
			if _, err := s.Proto(t.Context(), nil); err != nil {
				t.Errorf("%s was applied and is not answered: %v", k, err)
			}
		}
	})
}
