package feast

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/feastgo/feast/drivers/embedded"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/types"
)

// TestTransformRows computes the rows of a view that is written, as Feast's write does: push_double is twice push_rate.
func TestTransformRows(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "serving", "repo"))); err != nil {
		t.Fatal(err)
	}
	type in struct {
		Rate *float64 `feast:"driver_push:push_rate"`
	}
	type out struct {
		Double *float64 `feast:"push_double"`
	}
	fs, err := Open(t.Context(), dir, WithTransformation("odfv_written", RowWise(func(in in) (o out, _ error) {
		if in.Rate != nil {
			double := 2 * *in.Rate
			o.Double = &double
		}
		return o, nil
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	snap, err := fs.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	view, err := snap.OnDemandFeatureView("odfv_written")
	if err != nil {
		t.Fatal(err)
	}
	store, err := fs.onlineStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := plan.ResolveComputed(snap, view, fs.planOptions(store.Info()))
	if err != nil {
		t.Fatal(err)
	}
	rate := types.NewColumn("push_rate", types.Float64, 2)
	rate.SetFloat64(0, 2.5)
	for _, name := range []string{"push_rate", "driver_push__push_rate"} {
		var rows types.Frame
		var got types.Builder
		rows.Reset(2)
		rows.Append("driver_id", types.NewColumn("driver_id", types.Int64, 2))
		rows.Append(name, rate)
		if err := fs.transformRows(t.Context(), c, &rows, &got); err != nil {
			t.Fatal(err)
		}
		if d := got.At(0); got.Len() != 1 || d.Name() != "push_double" || d.Any(0) != 5.0 || d.Any(1) != nil || d.Status(1) != NullValue {
			t.Errorf("%s: push_double is %v, %v", name, d.Any(0), d.Any(1))
		}
	}
	var rows types.Frame
	rows.Reset(2)
	err = fs.transformRows(t.Context(), c, &rows, new(types.Builder))
	if re, ok := errors.AsType[*RequestError](err); !ok || re.Column != "push_rate" {
		t.Errorf("without push_rate: %v", err)
	}
	rows.Append("push_rate", types.NewColumn("push_rate", types.Int64, 2))
	err = fs.transformRows(t.Context(), c, &rows, new(types.Builder))
	if tm, ok := errors.AsType[*TypeMismatchError](err); !ok || tm.Want != "Float64" {
		t.Errorf("another type: %v", err)
	}
}
