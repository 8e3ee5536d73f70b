package onlinetest

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// brokenDelete deletes rows in a wrong way. The lock is held.
type brokenDelete func(s *modelStore, t *online.Table, keys [][]byte) error

// brokenDeleter is a store that deletes so.
type brokenDeleter struct {
	*modelStore
	delete brokenDelete
}

func (s *brokenDeleter) Delete(ctx context.Context, t *online.Table, keys [][]byte) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	return s.delete(s.modelStore, t, keys)
}

// rowsIf deletes the rows for whose stored view and key gone is true.
func (s *modelStore) rowsIf(gone func(view, key string) bool) {
	maps.DeleteFunc(s.model.rows, func(name string, _ *modelRow) bool {
		view, key, _ := strings.Cut(name, "\x00")
		return gone(view, key)
	})
}

func contains(keys [][]byte, key string) bool {
	return slices.ContainsFunc(keys, func(k []byte) bool { return string(k) == key })
}

// carelessDeleter does not look at contexts, and not whether it is closed.
type carelessDeleter struct{ *modelStore }

func (s carelessDeleter) Delete(_ context.Context, t *online.Table, keys [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.model.delete(t, keys)
	return nil
}

// grudgingDeleter keeps the times of deleted rows, and leaves older ones out.
type grudgingDeleter struct {
	*modelStore
	deleted map[string]types.Timestamp // by key
}

func (s *grudgingDeleter) Delete(ctx context.Context, t *online.Table, keys [][]byte) error {
	for _, key := range keys {
		s.mu.Lock()
		s.deleted[string(key)] = s.model.row(t, key).event
		s.mu.Unlock()
	}
	return s.modelStore.Delete(ctx, t, keys)
}

func (s *grudgingDeleter) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	s.mu.Lock()
	older := b.Event[0].Compare(s.deleted[string(b.Keys[0])]) < 0
	s.mu.Unlock()
	if older {
		return online.WriteResult{Older: b.Rows()}, nil
	}
	return s.modelStore.Write(ctx, b)
}

// brokenDeletes are ways to delete too much or too little, and the cases of the suite that see it.
var brokenDeletes = []struct {
	name     string
	delete   brokenDelete
	open     func(s *modelStore) online.Store // instead of delete
	declared bool                             // that it cannot
	failures string
}{
	{
		name:   "nothing",
		delete: func(*modelStore, *online.Table, [][]byte) error { return nil },
		failures: "Deletes/Rows Deletes/Large Deletes/Keys Deletes/Entityless Deletes/Views Deletes/Versions Deletes/Projects " +
			"Deletes/Rewrites Deletes/Concurrent Deletes/Cancel Random",
	},
	{
		name: "at most 1000 keys",
		delete: func(s *modelStore, t *online.Table, keys [][]byte) error {
			s.model.delete(t, keys[:min(len(keys), 1000)])
			return nil
		},
		failures: "Deletes/Large",
	},
	{
		name: "some features",
		delete: func(s *modelStore, t *online.Table, keys [][]byte) error {
			for _, key := range keys {
				delete(s.model.row(t, key).cells, t.Features[0].Name)
			}
			return nil
		},
		failures: "Deletes/Rows Deletes/Large Deletes/Entityless Deletes/Views Deletes/Versions Deletes/Projects " +
			"Deletes/Rewrites Deletes/Concurrent Deletes/Cancel Random",
	},
	{
		name: "all keys",
		delete: func(s *modelStore, t *online.Table, _ [][]byte) error {
			s.rowsIf(func(view, _ string) bool { return view == t.StoredView() })
			return nil
		},
		failures: "Deletes/Rows Deletes/Large Deletes/Keys Deletes/Views Deletes/Versions Deletes/Projects Deletes/Concurrent Random",
	},
	{
		name: "keys in upper and lower case",
		delete: func(s *modelStore, t *online.Table, keys [][]byte) error {
			s.rowsIf(func(view, key string) bool {
				return view == t.StoredView() &&
					slices.ContainsFunc(keys, func(k []byte) bool { return strings.EqualFold(string(k), key) })
			})
			return nil
		},
		failures: "Deletes/Large Deletes/Keys", // bytes of numbers may be letters
	},
	{
		name: "all views",
		delete: func(s *modelStore, _ *online.Table, keys [][]byte) error {
			s.rowsIf(func(_, key string) bool { return contains(keys, key) })
			return nil
		},
		failures: "Deletes/Entityless Deletes/Views Deletes/Versions Random",
	},
	{
		name: "all versions",
		delete: func(s *modelStore, t *online.Table, keys [][]byte) error {
			s.rowsIf(func(view, key string) bool {
				return strings.HasPrefix(view+"_v", t.View+"_v") && contains(keys, key)
			})
			return nil
		},
		failures: "Deletes/Versions",
	},
	{name: "all projects", failures: "Deletes/Projects"}, // see TestBrokenDeletes
	{
		name: "no absent keys",
		delete: func(s *modelStore, t *online.Table, keys [][]byte) error {
			for _, key := range keys {
				if len(s.model.row(t, key).cells) == 0 {
					return &feasterr.NotFoundError{Kind: "row", Name: t.View}
				}
			}
			s.model.delete(t, keys)
			return nil
		},
		failures: "Deletes/Rows Deletes/Keys Random",
	},
	{
		name: "feature by feature",
		delete: func(s *modelStore, t *online.Table, keys [][]byte) error {
			for _, key := range keys {
				for _, f := range t.Features {
					delete(s.model.row(t, key).cells, f.Name)
					s.mu.Unlock()
					for range 1000 {
						runtime.Gosched()
					}
					s.mu.Lock()
				}
			}
			return nil
		},
		failures: "Deletes/Concurrent",
	},
	{
		name:     "not the times",
		open:     func(s *modelStore) online.Store { return &grudgingDeleter{s, map[string]types.Timestamp{}} },
		failures: "Deletes/Rewrites Random",
	},
	{
		name:     "after the end",
		open:     func(s *modelStore) online.Store { return carelessDeleter{s} },
		failures: "Calls/Context Calls/Close",
	},
	{
		name: "not declared",
		open: func(s *modelStore) online.Store { return struct{ online.Store }{s} },
		failures: "Deletes/Rows Deletes/Large Deletes/Keys Deletes/Entityless Deletes/Views Deletes/Versions Deletes/Projects " +
			"Deletes/Rewrites Deletes/Concurrent Deletes/Cancel Deletes/Unsupported Random",
	},
	{
		name:     "declared as impossible",
		open:     func(s *modelStore) online.Store { return s },
		declared: true,
		failures: "Deletes/Unsupported",
	},
}

// brokenEnv is set in the process that runs the suite with stores for which it fails.
const brokenEnv = "ONLINETEST_BROKEN"

// TestBrokenDeletes: the suite fails for a store that deletes too much or too little, in the cases that are about it.
func TestBrokenDeletes(t *testing.T) {
	if os.Getenv(brokenEnv) != "" {
		for _, c := range brokenDeletes {
			h := Harness{NoDelete: c.declared}
			var projects []*modelStore
			h.Open = func(testing.TB, string) online.Store {
				s := newModelStore(h)
				switch {
				case c.open != nil:
					return c.open(s)
				case c.delete != nil:
					return &brokenDeleter{s, c.delete}
				}
				projects = append(projects, s)
				return &brokenDeleter{s, func(_ *modelStore, t *online.Table, keys [][]byte) error {
					for _, s := range projects {
						s.model.delete(t, keys)
					}
					return nil
				}}
			}
			t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) { Run(t, h) })
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBrokenDeletes$/./(Deletes|Calls|Random)")
	cmd.Env = append(os.Environ(), brokenEnv+"=1")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("the suite ended with %v:\n%s", err, out)
	}
	failures := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^ +--- FAIL: TestBrokenDeletes/([^/ ]+)/(\S+) `).FindAllSubmatch(out, -1) {
		if name, failed := string(m[1]), string(m[2]); strings.Contains(failed, "/") || failed == "Random" {
			failures[name] = append(failures[name], failed)
		}
	}
	for _, c := range brokenDeletes {
		want := strings.Fields(c.failures)
		got := failures[strings.ReplaceAll(c.name, " ", "-")]
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("a store that deletes %s: failures are\n%s, want\n%s", c.name, got, want)
		}
	}
	if t.Failed() {
		t.Logf("output:\n%.20000s", out)
	}
}
