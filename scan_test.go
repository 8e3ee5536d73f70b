package feast_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/types"
)

func TestScan(t *testing.T) {
	fs := demo(t)
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: allStats, Entities: feast.Columns{"driver_id": []int64{1001, 1002, 9}},
	})
	if err != nil {
		t.Fatal(err)
	}
	type Driver struct {
		ID       int64           `feast:"driver_id,required"`
		Rate     float64         `feast:"driver_stats:conv_rate"`
		Trips    *int            `feast:"trips"`
		TripsNil sql.Null[int64] `feast:"trips"`
		City     string          `feast:"city,default=nowhere"`
		Status   feast.Status    `feast:"trips,status"`
		At       time.Time       `feast:"trips,time"`
		Anything any             `feast:"conv_rate"`
		Ignored  string
	}
	got, err := feast.Scan[Driver](resp)
	if err != nil {
		t.Fatal(err)
	}
	seven := 7
	epoch := time.Unix(0, 0).UTC()
	want := []Driver{
		{1001, 0.5, &seven, sql.Null[int64]{V: 7, Valid: true}, "Oslo", feast.Present, t0, float32(0.5), ""},
		{1002, 0.25, nil, sql.Null[int64]{}, "nowhere", feast.NullValue, t0, float32(0.25), ""},
		{9, 0, nil, sql.Null[int64]{}, "nowhere", feast.NotFound, epoch, nil, ""},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	pointers, err := feast.ScanInto(resp, []*Driver{nil})
	if err != nil || len(pointers) != 4 || pointers[0] != nil || *pointers[1].Trips != 7 {
		t.Errorf("ScanInto of pointers: %v, %v", pointers, err)
	}
}

func TestScanErrors(t *testing.T) {
	fs := demo(t)
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: allStats, Entities: feast.Columns{"driver_id": []int64{1001, 9}},
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, err error, says ...string) {
		t.Helper()
		for _, s := range says {
			if err == nil || !strings.Contains(err.Error(), s) {
				t.Errorf("%s: error %v does not say %q", name, err, s)
			}
		}
	}
	_, err = feast.Scan[struct {
		X int `feast:"trps"`
	}](resp)
	check("unknown column", err, `field X`, `"trps" does not exist`, `"trips"`)
	_, err = feast.Scan[struct {
		X int64 `feast:"trips,required"`
	}](resp)
	check("required", err, "field X", `column "trips", row 1`, "required", "NOT_FOUND")
	_, err = feast.Scan[struct {
		X bool `feast:"trips"`
	}](resp)
	check("type", err, "field X", `column "trips", row 0`, "bool", "int64")
	if _, ok := errors.AsType[*feast.TypeMismatchError](err); !ok {
		t.Errorf("a wrong type is %T", err)
	}
	_, err = feast.Scan[struct {
		X int64 `feast:"trips,requird"`
	}](resp)
	check("option", err, "requird")
	_, err = feast.Scan[struct {
		X int64 `feast:"trips,default=x"`
	}](resp)
	check("default", err, `default "x"`)
	_, err = feast.Scan[int](resp)
	check("no struct", err, "structs")
	_, err = feast.Scan[struct{ X int }](resp)
	check("no tags", err, "no field with a feast tag")
}

// TestScanTypes scans one value of every kind.
func TestScanTypes(t *testing.T) {
	fields := []feast.Field{
		{Name: "f64", Type: feast.Float64}, {Name: "dec", Type: types.Decimal}, {Name: "uid", Type: types.UUID},
		{Name: "js", Type: types.JSON}, {Name: "ts", Type: feast.UnixTimestamp}, {Name: "ok", Type: feast.Bool},
		{Name: "raw", Type: feast.Bytes},
	}
	view := driverView("v", 0, fields...)
	fs, store, _ := newStore(t, []feast.Object{driver, view})
	const id = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
	writeJSON := types.NewColumn("js", types.JSON, 1)
	if err := writeJSON.SetString(0, `{"a": [1, 2]}`); err != nil {
		t.Fatal(err)
	}
	write(t, store, view, driverKey, row{[]any{1}, t0, map[string]any{
		"f64": 1.5, "dec": "12.50", "uid": id, "ts": t0, "ok": true, "raw": []byte{0, 1}, "js": writeJSON,
	}})
	var refs []string
	for _, f := range fields {
		refs = append(refs, "v:"+f.Name)
	}
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: refs, Entities: feast.Columns{"driver_id": []int64{1}}})
	if err != nil {
		t.Fatal(err)
	}
	type Row struct {
		F64  float64             `feast:"f64"`
		Dec  big.Rat             `feast:"dec"`
		Text string              `feast:"dec"`
		UID  [16]byte            `feast:"uid"`
		UIDs string              `feast:"uid"`
		Raw  json.RawMessage     `feast:"js"`
		JS   struct{ A []int }   `feast:"js"`
		At   time.Time           `feast:"ts"`
		Secs int64               `feast:"ts"`
		Opt  sql.Null[time.Time] `feast:"ts"`
		OK   bool                `feast:"ok"`
		Byte []byte              `feast:"raw"`
	}
	got, err := feast.Scan[Row](resp)
	if err != nil {
		t.Fatal(err)
	}
	r := got[0]
	text := fmt.Sprint(r.F64, r.Dec.RatString(), r.Text, r.UID[0], r.UIDs, string(r.Raw), r.JS.A, r.At.Equal(t0) && r.Opt.V.Equal(t0), r.Secs == t0.Unix(), r.OK, r.Byte)
	if want := fmt.Sprint(1.5, "25/2", "12.50", 0xf4, id, `{"a": [1, 2]}`, []int{1, 2}, true, true, true, []byte{0, 1}); text != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

func FuzzEntitiesJSON(f *testing.F) {
	for _, s := range []string{
		`{"driver_id": [1001, "1002", 3.5, true, null]}`, `{"a":[9223372036854775808]}`, `{"a":[1],"a":[2]}`, `{}`, `[]`, `{"a":1}`,
		`{"a":[{"b":[1]}]}`, `{"a":["\ud800"]}`, `null`, `{"a":[1e400]}`, `{"a":[1]} x`,
	} {
		f.Add(s)
	}
	fs := demo(f)
	f.Fuzz(func(t *testing.T, s string) {
		var b feast.Batch
		if err := b.UnmarshalJSON([]byte(s)); err != nil {
			if !errors.Is(err, feast.ErrInvalid) {
				t.Errorf("%q: %v is no ErrInvalid", s, err)
			}
			return
		}
		if s != "null" && !json.Valid([]byte(s)) {
			t.Errorf("%q was taken and is no JSON", s)
		}
		_, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: allStats, Entities: &b})
		if err != nil && !errors.Is(err, feast.ErrInvalid) {
			t.Errorf("%q: %v is no ErrInvalid", s, err)
		}
	})
}
