package registrytest

import (
	"context"
	"errors"
	"testing"

	"github.com/feastgo/feast/registry"
)

// What goes before a commit keeps nobody waiting, and is done again when others change the same meanwhile.
func testCommitFirst(t *testing.T, p Place) {
	errNo := errors.New("no")
	other := registry.Writer{Backend: open(t, p), Project: project}
	put := func(name, text string) {
		t.Helper()
		apply(t, &other, registry.ApplyRequest{Objects: []registry.Object{&registry.Entity{Name: name, Description: text}}})
	}
	put("driver", "zero")
	for _, tc := range []struct {
		name string
		do   []func() error // of each time
		dry  bool
		want string // of the driver, in the end
		runs int
		err  error
	}{
		{name: "nobody else writes", want: "ours", do: []func() error{func() error { return nil }}, runs: 1},
		{name: "another object", want: "ours", do: []func() error{func() error { put("customer", t.Name()); return nil }}, runs: 1},
		{name: "the same object", want: "ours", do: []func() error{
			func() error { put("driver", "theirs"); return nil }, func() error { return nil },
		}, runs: 2},
		{name: "an error", want: "zero", do: []func() error{func() error { return errNo }}, runs: 1, err: errNo},
		{name: "a dry run", want: "zero", dry: true},
	} {
		put("driver", "zero")
		runs := 0
		w := registry.Writer{Backend: open(t, p), Project: project, BeforeCommit: func(_ context.Context, c *registry.Commit) error {
			c.First(func(context.Context) error {
				if runs++; runs > len(tc.do) {
					t.Errorf("%s: done %d times", tc.name, runs)
					return nil
				}
				return tc.do[runs-1]()
			})
			return nil
		}}
		_, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{describe("ours")}, DryRun: tc.dry})
		if !errors.Is(err, tc.err) || runs != tc.runs {
			t.Errorf("%s: done %d times, %v", tc.name, runs, err)
		}
		s, err := snapshotOf(t.Context(), t, p, project)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := s.Entity("driver"); err != nil || e.Description != tc.want {
			t.Errorf("%s: %v, %v", tc.name, e, err)
		}
	}
}
