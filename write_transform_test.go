package feast_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasttest"
)

// ride is what the function of written reads: a feature of its source, request data and its join key.
type ride struct {
	Driver int64    `feast:"driver_id"`
	Rate   *float64 `feast:"rate"`
	Bonus  float64  `feast:"bonus"`
}

type paid struct {
	Total *float64 `feast:"total"`
}

func pay(in ride) (paid, error) {
	switch {
	case in.Bonus < 0:
		return paid{}, errors.New("a negative bonus")
	case in.Rate == nil:
		return paid{}, nil
	}
	return paid{new(*in.Rate + in.Bonus + float64(in.Driver))}, nil
}

// written has a source, a request source, a computed feature, and one that rows may bring.
func written() []feast.Object {
	return []feast.Object{
		&feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64},
		&feast.FeatureView{
			Name: "rates", Entities: []string{"driver"}, Online: true, Schema: []feast.Field{{Name: "rate", Type: feast.Float64}},
		},
		&feast.OnDemandFeatureView{
			Name: "written", Entities: []string{"driver"}, Mode: "python", WriteToOnlineStore: true,
			Sources: []feast.FeatureViewProjection{{Name: "rates"}},
			RequestSources: []*feast.DataSource{{
				Name: "request", Options: feast.RequestOptions{Schema: []feast.Field{{Name: "bonus", Type: feast.Float64}}},
			}},
			Schema: []feast.Field{{Name: "total", Type: feast.Float64}, {Name: "note", Type: feast.String}},
		},
	}
}

// totals reads total and note of drivers.
func totals(t *testing.T, fs *feasttest.Store, ids ...int64) (out []string) {
	t.Helper()
	resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
		Features: []string{"written:total", "written:note"}, Entities: feast.Columns{"driver_id": ids},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range ids {
		out = append(out, fmt.Sprint(resp.At(1).Any(i), " ", resp.At(1).Status(i), " ", resp.At(2).Any(i)))
	}
	return out
}

func TestTransformOnWrite(t *testing.T) {
	fs := feasttest.New(t, written(), feasttest.With(feast.WithTransformation("written", feast.RowWise(pay))))
	write := func(rows feast.Frame, o feast.WriteOptions) error {
		t.Helper()
		_, err := fs.WriteToOnlineStore(t.Context(), "written", rows, o)
		return err
	}
	// The function computes total; note is the rows' own; another total is not looked at.
	if err := write(feast.Rows{
		{"driver_id": 1, "rate": 0.5, "bonus": 2, "note": "a", "total": "not a number"},
		{"driver_id": 2, "rate": nil, "bonus": 2, "note": "b", "total": nil},
	}, feast.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	// Features that nobody gives are null.
	if err := write(feast.Rows{{"driver_id": 3, "rate": 1, "bonus": 0}}, feast.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := write(feast.Rows{{"driver_id": 4, "total": 7, "note": "given"}}, feast.WriteOptions{AsGiven: true}); err != nil {
		t.Fatal(err)
	}
	got := totals(t, fs, 1, 2, 3, 4)
	want := []string{"3.5 PRESENT a", "<nil> NULL_VALUE b", "4 PRESENT <nil>", "7 PRESENT given"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	// All columns that are missing are named, and nothing is written when the function fails for one row.
	err := write(feast.Rows{{"note": "x"}}, feast.WriteOptions{})
	if text := `column "driver_id": feature view "written" needs columns driver_id, rate, bonus, and the rows have no such columns (given are note)`; !errors.Is(err, feast.ErrInvalid) || err.Error() != text {
		t.Errorf("got error %v, want %s", err, text)
	}
	err = write(feast.Columns{"driver_id": []int64{1, 2}, "rate": []float64{9, 9}, "bonus": []float64{9, -1}}, feast.WriteOptions{})
	var failed *feast.TransformError
	if !errors.As(err, &failed) || failed.View != "written" || failed.Row != 1 {
		t.Errorf("got error %v, want that of row 1", err)
	}
	if got := totals(t, fs, 1, 2, 3, 4); !slices.Equal(got, want) {
		t.Errorf("after errors: got %q, want %q", got, want)
	}
}

// More rows than go into a batch: rows that errors name are those of the frame.
func TestTransformOnWriteOfManyRows(t *testing.T) {
	fs := feasttest.New(t, written(), feasttest.With(feast.WithTransformation("written", feast.RowWise(pay))))
	const n = 25_000
	ids, rate, bonus := make([]int64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		ids[i], rate[i], bonus[i] = int64(i), float64(i), 1
	}
	bonus[20_123] = -1
	rows := feast.Columns{"driver_id": ids, "rate": rate, "bonus": bonus}
	_, err := fs.WriteToOnlineStore(t.Context(), "written", rows, feast.WriteOptions{})
	var failed *feast.TransformError
	if !errors.As(err, &failed) || failed.Row != 20_123 {
		t.Errorf("got error %v, want that of row 20123", err)
	}
	bonus[20_123] = 1
	res, err := fs.WriteToOnlineStore(t.Context(), "written", rows, feast.WriteOptions{})
	if err != nil || res != (feast.WriteResult{Written: n}) {
		t.Errorf("%+v, %v", res, err)
	}
	if got, want := totals(t, fs, 24_999, n), []string{"49999 PRESENT <nil>", "<nil> NOT_FOUND <nil>"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
