package sqlite

import (
	"context"
	"testing"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
)

func readContext(t testing.TB, ctx context.Context, s *Store, table *online.Table, key []byte) error {
	t.Helper()
	plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(table)})
	r, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	res := online.NewResult(plan, 1)
	if err := r.Read(ctx, online.NewKeys(onlinetest.KeysOf(key)), res); err != nil {
		return err
	}
	return res.Err(plan.Tables()[0])
}
