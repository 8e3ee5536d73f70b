package feast_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/types"
)

func TestBind(t *testing.T) {
	fs := demo(t)
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: allStats})
	if err != nil {
		t.Fatal(err)
	}
	type Driver struct {
		ID     int64            `feast:"driver_id"`
		Rate   float64          `feast:"driver_stats:conv_rate"`
		Trips  *int             `feast:"trips"`
		City   sql.Null[string] `feast:"city"`
		Status feast.Status     `feast:"trips,status"`
		At     time.Time        `feast:"trips,time"`
	}
	b, err := feast.Bind[Driver](q)
	if err != nil {
		t.Fatal(err)
	}
	pointers, err := feast.Bind[*Driver](q)
	if err != nil {
		t.Fatal(err)
	}
	var out feast.OnlineResponse
	rows := []Driver{{ID: 7}}
	for range 2 {
		if err := q.GetInto(ctx, feast.Columns{"driver_id": []int64{1001, 1002}}, &out); err != nil {
			t.Fatal(err)
		}
		if rows, err = b.Scan(&out, rows[:1]); err != nil {
			t.Fatal(err)
		}
	}
	seven := 7
	want := []Driver{
		{ID: 7},
		{1001, 0.5, &seven, sql.Null[string]{V: "Oslo", Valid: true}, feast.Present, t0},
		{1002, 0.25, nil, sql.Null[string]{}, feast.NullValue, t0},
	}
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("got\n%+v, want\n%+v", rows, want)
	}
	refs, err := pointers.Scan(&out, nil)
	if err != nil || !reflect.DeepEqual([]Driver{*refs[0], *refs[1]}, want[1:]) {
		t.Errorf("pointers are %v, %v", refs, err)
	}
	// Answers of other queries have other columns.
	other, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: allStats})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.GetInto(ctx, feast.Columns{"driver_id": []int64{1001}}, &out); err != nil {
		t.Fatal(err)
	}
	oneOff, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"driver_id": []int64{1001}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*feast.OnlineResponse{"another query": &out, "a one-off": oneOff, "empty": {}, "nil": nil} {
		if rows, err := b.Scan(r, rows[:1]); !errors.Is(err, feast.ErrInvalid) || len(rows) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBindNoAllocations(t *testing.T) {
	fs := demo(t)
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: allStats[:2]})
	if err != nil {
		t.Fatal(err)
	}
	b, err := feast.Bind[struct {
		ID    int64             `feast:"driver_id"`
		Rate  float32           `feast:"conv_rate"`
		Trips sql.Null[float64] `feast:"conv_rate"`
		Some  int32             `feast:"trips"`
	}](q)
	if err != nil {
		t.Fatal(err)
	}
	var out feast.OnlineResponse
	if err := q.GetInto(ctx, feast.Columns{"driver_id": []int64{1001, 1002}}, &out); err != nil {
		t.Fatal(err)
	}
	rows, err := b.Scan(&out, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(50, func() {
		if rows, err = b.Scan(&out, rows[:0]); err != nil {
			t.Fatal(err)
		}
	}); n > pooled {
		t.Errorf("Scan allocates %v times", n)
	}
}

// TestBindErrors reports at once what can never be scanned.
func TestBindErrors(t *testing.T) {
	fs := demo(t)
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: allStats})
	if err != nil {
		t.Fatal(err)
	}
	type wrong struct {
		A int64   `feast:"trps"`
		B string  `feast:"driver_stat:trips"`
		C bool    `feast:"conv_rate"`
		D float32 `feast:"trips"`
		E []int64 `feast:"city"`
		F string  `feast:"driver_id"`
	}
	_, err = feast.Bind[wrong](q)
	if !errors.Is(err, feast.ErrNotFound) || !errors.Is(err, feast.ErrInvalid) {
		t.Errorf("error is %v", err)
	}
	for _, s := range []string{
		`field A of feast_test.wrong: column "trps" does not exist`, `did you mean "trips"`, `field B`, `"driver_stat:trips"`,
		`field C of feast_test.wrong: column "conv_rate" is Float32 and cannot be read as bool`, `column "trips" is Int64 and cannot be read as float32`,
		`column "city" is String and cannot be read as []int64`, `column "driver_id" is Int64 and cannot be read as string`,
	} {
		if err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("error does not say %q: %v", s, err)
		}
	}
	if _, err := feast.Bind[int](q); !errors.Is(err, feast.ErrInvalid) {
		t.Errorf("an int: %v", err)
	}
	if _, err := feast.Bind[struct {
		X int64 `feast:"trips"`
	}](nil); !errors.Is(err, feast.ErrInvalid) {
		t.Errorf("nil: %v", err)
	}
}

// TestBindTypes binds a field of every kind to a column of every type, and scans one into the other: what Scan takes, Bind
// takes, and but for text and JSON, which may say anything, Bind takes nothing else.
func TestBindTypes(t *testing.T) {
	taken := 0
	for typ := types.Bytes; typ <= types.ZonedTimestamp; typ++ {
		value := bindValue(typ)
		if value == nil {
			if typ.Valid() && typ != types.Null {
				t.Errorf("%s has no value", typ)
			}
			continue
		}
		view := driverView("v", 0, feast.Field{Name: "f", Type: typ})
		fs, store, _ := newStore(t, []feast.Object{driver, view})
		c := types.NewColumn("f", typ, 1)
		if err := c.SetNative(0, value); err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		write(t, store, view, driverKey, row{[]any{1}, t0, map[string]any{"f": c}})
		q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: []string{"v:f"}})
		if err != nil {
			t.Fatal(err)
		}
		var out feast.OnlineResponse
		if err := q.GetInto(ctx, feast.Columns{"driver_id": []int64{1}}, &out); err != nil {
			t.Fatal(err)
		}
		anything := typ == types.String || typ == types.Decimal || typ == types.JSON || typ == types.JSONList || typ == types.UUID || typ == types.TimeUUID
		for kind, try := range map[string]func(*feast.Prepared, *feast.OnlineResponse) (bind, scan error){
			"any": bound[any], "bool": bound[bool], "int64": bound[int64], "*int32": bound[*int32], "uint8": bound[uint8], "float32": bound[float32],
			"Null[float64]": bound[sql.Null[float64]], "NullInt64": bound[sql.NullInt64], "string": bound[string], "[]byte": bound[[]byte], "time": bound[time.Time],
			"Null[time]": bound[sql.Null[time.Time]], "uuid": bound[[16]byte], "raw": bound[json.RawMessage], "rat": bound[big.Rat], "*rat": bound[*big.Rat],
			"[]int64": bound[[]int64], "[]float32": bound[[]float32], "[]string": bound[[]string], "[]time": bound[[]time.Time], "[]any": bound[[]any],
			"map": bound[map[string]any], "[]map": bound[[]map[string]any], "[]entry": bound[[]types.MapEntry], "uuids": bound[[][16]byte],
		} {
			bind, scan := try(q, &out)
			if scan == nil && bind != nil || bind == nil && scan != nil && !anything {
				t.Errorf("%s as %s: Bind says %v, Scan %v", typ, kind, bind, scan)
			}
			if bind == nil {
				taken++
			} else if _, ok := errors.AsType[*feast.TypeMismatchError](bind); !ok {
				t.Errorf("%s as %s: Bind says %v, want a TypeMismatchError", typ, kind, bind)
			}
		}
	}
	if taken < 100 {
		t.Errorf("%d pairs fit", taken)
	}
}

// bindValue returns a value of a type, nil for what is no type.
func bindValue(t types.Type) any {
	const uuid = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
	switch t {
	case types.Bytes, types.PdfBytes, types.ImageBytes:
		return []byte{200}
	case types.String, types.Decimal, types.JSON:
		return "1"
	case types.Int32, types.Int64, types.UnixTimestamp, types.Float32, types.Float64:
		return 100
	case types.Bool:
		return true
	case types.UUID, types.TimeUUID:
		return uuid
	case types.Map, types.Struct:
		return map[string]any{"a": "b"}
	case types.MapList, types.StructList:
		return []any{map[string]any{"a": "b"}}
	case types.ScalarMap:
		return []types.MapEntry{{Key: int64(1), Value: "b"}}
	case types.ValueList, types.ValueSet:
		return []any{[]any{int64(1)}}
	case types.ZonedTimestamp:
		return t0
	}
	switch e := t.Elem(); e {
	case types.Invalid:
		return nil
	case types.Float32, types.Float64:
		return []any{1.5}
	default:
		return []any{bindValue(e)}
	}
}

// bound binds and scans a field of a type.
func bound[T any](q *feast.Prepared, r *feast.OnlineResponse) (bind, scan error) {
	type row struct {
		F T `feast:"f"`
	}
	_, bind = feast.Bind[row](q)
	_, scan = feast.Scan[row](r)
	return bind, scan
}

func TestRequire(t *testing.T) {
	fs := demo(t)
	get := func(refs []string, expired feast.Expired, ids ...int64) error {
		req := feast.OnlineRequest{Features: refs, Expired: expired, Require: feast.AllPresent, Entities: feast.Columns{"driver_id": ids}}
		resp, err := fs.GetOnlineFeatures(ctx, req)
		if (resp == nil) != (err != nil) {
			t.Errorf("%v: response %v beside %v", ids, resp, err)
		}
		q, prepareErr := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: refs, Expired: expired, Require: feast.AllPresent})
		if prepareErr != nil {
			t.Fatal(prepareErr)
		}
		var out feast.OnlineResponse
		if again := q.GetInto(ctx, req.Entities, &out); !reflect.DeepEqual(again, err) || (out.Len() == 0) != (err != nil) {
			t.Errorf("%v: prepared says %v, one-off %v", ids, again, err)
		}
		return err
	}
	if err := get(allStats, feast.Keep, 1001, 1001); err != nil {
		t.Errorf("all present: %v", err)
	}
	for _, tc := range []struct {
		refs []string
		ids  []int64
		want feast.MissingValueError
	}{
		{allStats, []int64{1001, 1002}, feast.MissingValueError{Column: "trips", Row: 1, Status: "NULL_VALUE"}},
		{allStats[2:], []int64{1002}, feast.MissingValueError{Column: "city", Row: 0, Status: "NOT_FOUND"}},
		{allStats[:1], []int64{1001, 1001, 1003}, feast.MissingValueError{Column: "conv_rate", Row: 2, Status: "OUTSIDE_MAX_AGE"}},
		{allStats, []int64{1001, 9}, feast.MissingValueError{Column: "conv_rate", Row: 1, Status: "NOT_FOUND"}},
	} {
		for _, expired := range []feast.Expired{feast.Keep, feast.Null} {
			err := get(tc.refs, expired, tc.ids...)
			if m, ok := errors.AsType[*feast.MissingValueError](err); !ok || *m != tc.want || !errors.Is(err, feast.ErrNotFound) {
				t.Errorf("%v: error is %v, want %v", tc.ids, err, &tc.want)
			}
		}
	}
	// Without it, the same shape of query answers.
	if _, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats, Entities: feast.Columns{"driver_id": []int64{9}}}); err != nil {
		t.Error(err)
	}
}

// TestRequireComputed looks at on-demand features, too, and at nothing that they are computed from.
func TestRequireComputed(t *testing.T) {
	fs, _, _ := onDemandStore(t)
	get := func(ref string, id int64) error {
		_, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
			Features: []string{ref}, Require: feast.AllPresent, Entities: feast.Columns{"driver_id": []int64{id}, "add": []int64{1}, "more": []int64{1}},
		})
		return err
	}
	if m, ok := errors.AsType[*feast.MissingValueError](get("both:both", 7)); !ok || m.Column != "both" || m.Status != "NULL_VALUE" {
		t.Errorf("a null: %v", m)
	}
	for ref, id := range map[string]int64{"both:both": 1, "key:key": 99} {
		if err := get(ref, id); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
}
