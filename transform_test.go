package feast_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/registry"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
)

// requestSource declares request data.
func requestSource(name string, fields ...feast.Field) *feast.DataSource {
	return &feast.DataSource{Name: name, Options: registry.RequestOptions{Schema: fields}}
}

// onDemand is a view over others, by name.
func onDemand(name string, schema []feast.Field, request *feast.DataSource, sources ...string) *feast.OnDemandFeatureView {
	v := &feast.OnDemandFeatureView{Name: name, Mode: "python", Schema: schema}
	for _, s := range sources {
		v.Sources = append(v.Sources, feast.FeatureViewProjection{Name: s})
	}
	if request != nil {
		v.RequestSources = []*feast.DataSource{request}
	}
	return v
}

func fieldsOf(kind types.Type, names ...string) (out []feast.Field) {
	for _, n := range names {
		out = append(out, feast.Field{Name: n, Type: kind})
	}
	return out
}

// sums computes outputs as the sum of all inputs of a row; a missing one makes it null. It allocates nothing.
func sums(inputs, outputs []string) feast.Transform {
	t := feast.Transform{Apply: func(_ context.Context, in *types.Frame, out *types.Builder) error {
		for row := range in.Rows() {
			sum, all := int64(0), true
			for i := range in.Len() {
				n, ok := types.ValueAt[int64](in.At(i), row)
				sum, all = sum+n, all && ok
			}
			for i := range out.Len() {
				if all {
					out.At(i).SetInt64(row, sum+int64(i))
				}
			}
		}
		return nil
	}}
	for _, n := range inputs {
		t.Inputs = append(t.Inputs, types.Field{Name: n, Type: types.Int64})
	}
	for _, n := range outputs {
		t.Outputs = append(t.Outputs, types.Field{Name: n, Type: types.Int64})
	}
	return t
}

// readTables notes what is read.
type readTables struct {
	online.Store
	read []string
}

func (s *readTables) Prepare(p *online.ReadPlan) (online.Reader, error) {
	s.read = nil
	for _, t := range p.Tables() {
		text := t.View
		for _, f := range t.Features {
			text += " " + f.Name
		}
		s.read = append(s.read, text)
	}
	return s.Store.Prepare(p)
}

// onDemandStore has views left and right with a feature of the same name, and views computed from them.
func onDemandStore(t testing.TB, opts ...feast.Option) (*feast.FeatureStore, *readTables, *registrymemory.Backend) {
	t.Helper()
	left := driverView("left", time.Hour, fieldsOf(feast.Int64, "n", "unused")...)
	right := driverView("right", 0, fieldsOf(feast.Int64, "n", "m")...)
	number := requestSource("numbers", fieldsOf(feast.Int64, "add", "more")...)
	store := &readTables{Store: memory.New()}
	opts = append([]feast.Option{
		feast.WithOnlineStore(store), feast.WithClock(func() time.Time { return t0 }),
		feast.WithTransformation("both", sums([]string{"left__n", "right__n", "numbers__add"}, []string{"both", "both_1"})),
		feast.WithTransformation("one", sums([]string{"m"}, []string{"one", "n"})),
		feast.WithTransformation("key", sums([]string{"driver_id", "add"}, []string{"key"})),
	}, opts...)
	fs, _, backend := newStore(t, []feast.Object{
		driver, left, right,
		onDemand("both", fieldsOf(feast.Int64, "both", "both_1"), number, "left", "right"),
		onDemand("one", fieldsOf(feast.Int64, "one", "n"), nil, "right"),
		onDemand("key", fieldsOf(feast.Int64, "key"), requestSource("add", fieldsOf(feast.Int64, "add")...), "left"),
		onDemand("python", fieldsOf(feast.Int64, "p"), nil, "right"),
		&feast.FeatureService{Name: "s", Features: []feast.FeatureViewProjection{
			{Name: "one", Alias: "alias", Features: fieldsOf(feast.Int64, "one")}, {Name: "right", Features: fieldsOf(feast.Int64, "m")},
		}},
		&feast.FeatureService{Name: "mapped", Features: []feast.FeatureViewProjection{
			{Name: "right", Alias: "other", Features: fieldsOf(feast.Int64, "m"), JoinKeyMap: map[string]string{"driver_id": "other_id"}},
			{Name: "one", Features: fieldsOf(feast.Int64, "one")},
		}},
	}, opts...)
	for id := range int64(8) {
		at := t0
		if id == 5 {
			at = t0.Add(-2 * time.Hour)
		}
		values := map[string]any{"n": id + 10, "unused": id}
		if id == 6 {
			values["n"] = nil
		}
		write(t, store, left, driverKey, row{[]any{id}, at, values})
		if id != 7 {
			write(t, store, right, driverKey, row{[]any{id}, at, map[string]any{"n": id + 100, "m": id + 1000}})
		}
	}
	return fs, store, backend
}

// TestOnDemandRandom compares random requests with answers that are computed by hand.
func TestOnDemandRandom(t *testing.T) {
	fs, _, _ := onDemandStore(t)
	some := func(r *rand.Rand, from []string) []string {
		from = slices.Clone(from)
		r.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
		return from[:1+r.IntN(len(from))]
	}
	hand := func(ref string, id, add int64) any {
		leftN, rightN, m := id+10, id+100, id+1000
		hasLeft, hasRight := id <= 7 && id != 6, id < 7
		switch ref {
		case "left:n":
			if hasLeft {
				return leftN
			}
		case "right:n", "right:m", "one:one", "one:n":
			if hasRight {
				return map[string]int64{"right:n": rightN, "right:m": m, "one:one": m, "one:n": m + 1}[ref]
			}
		case "both:both", "both:both_1":
			if hasLeft && hasRight {
				return leftN + rightN + add + map[string]int64{"both:both_1": 1}[ref]
			}
		case "key:key":
			return id + add
		}
		return nil
	}
	all := []string{"left:n", "right:n", "right:m", "one:one", "one:n", "both:both", "both:both_1", "key:key"}
	var reused feast.OnlineResponse
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		refs := some(r, all)
		n := 1 + r.IntN(6)
		ids, adds, more := make([]int64, n), make([]int64, n), make([]int64, n)
		for i := range n {
			ids[i], adds[i] = r.Int64N(10), r.Int64N(1000)
		}
		entities := feast.Columns{"driver_id": ids, "add": adds, "more": more}
		resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: refs, FullFeatureNames: true, Entities: entities})
		if err != nil {
			t.Fatalf("%v: %v", refs, err)
		}
		q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: refs, FullFeatureNames: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := q.GetInto(ctx, entities, &reused); err != nil {
			t.Fatal(err)
		}
		for _, got := range []*feast.OnlineResponse{resp, &reused} {
			names := []string{"driver_id"}
			for _, ref := range refs {
				names = append(names, strings.Replace(ref, ":", "__", 1))
			}
			var have []string
			for _, c := range got.Columns() {
				have = append(have, c.Name())
			}
			if !slices.Equal(have, names) {
				t.Fatalf("%v: columns are %v", refs, have)
			}
			for i, ref := range refs {
				for row := range n {
					if v := got.At(i + 1).Any(row); v != hand(ref, ids[row], adds[row]) {
						t.Fatalf("%v: %s of %d with %d is %v, want %v", refs, ref, ids[row], adds[row], v, hand(ref, ids[row], adds[row]))
					}
				}
			}
		}
	}
}

// TestOnDemandReads sees what is read of the store: only what a function needs, once.
func TestOnDemandReads(t *testing.T) {
	fs, store, _ := onDemandStore(t)
	data := feast.Columns{"driver_id": []int64{1}, "other_id": []int64{2}, "add": []int64{3}, "more": []int64{0}}
	for _, tc := range []struct {
		features []string
		service  string
		read     string
		answer   string
	}{
		{[]string{"one:one"}, "", "[right m]", "map[driver_id:1 one:1001]"},
		{[]string{"right:m", "one:one"}, "", "[right m]", "map[driver_id:1 m:1001 one:1001]"},
		{[]string{"one:one", "right:n"}, "", "[right n m]", "map[driver_id:1 n:101 one:1001]"},
		{[]string{"both:both", "one:one"}, "", "[left n right n m]", "map[both:115 driver_id:1 one:1001]"},
		{[]string{"key:key"}, "", "[]", "map[driver_id:1 key:4]"},
		{nil, "s", "[right m]", "map[driver_id:1 m:1001 one:1001]"},
		{nil, "mapped", "[right m right m]", "map[driver_id:1 m:1002 one:1001 other_id:2]"},
	} {
		store.read = nil
		q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: tc.features, FeatureService: tc.service})
		if err != nil {
			t.Fatalf("%v: %v", tc, err)
		}
		if got := fmt.Sprint(store.read); got != tc.read {
			t.Errorf("%v %s: read is %s, want %s", tc.features, tc.service, got, tc.read)
		}
		var out feast.OnlineResponse
		if err := q.GetInto(ctx, data, &out); err != nil {
			t.Fatalf("%v: %v", tc, err)
		}
		if got := fmt.Sprint(out.AppendRow(nil, 0)); got != tc.answer {
			t.Errorf("%v %s: answer is %s, want %s", tc.features, tc.service, got, tc.answer)
		}
		if got, want := len(q.Columns()), len(out.AppendRow(nil, 0)); got != want {
			t.Errorf("%v %s: %d columns are promised, and %d answered", tc.features, tc.service, got, want)
		}
	}
}

func TestOnDemandStatuses(t *testing.T) {
	fs, _, _ := onDemandStore(t)
	req := feast.OnlineRequest{
		Features: []string{"both:both"}, ViewVersions: true,
		Entities: feast.Columns{"driver_id": []int64{1, 5, 6, 7, 99}, "add": []any{1, 1, 1, 1, nil}, "more": []any{nil, nil, nil, nil, nil}},
	}
	resp, err := fs.GetOnlineFeatures(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(resp)
	if err != nil {
		t.Fatal(err)
	}
	epoch := strings.TrimSuffix(strings.Repeat(`"1970-01-01T00:00:00Z",`, 5), ",")
	want := `{"results":[{"values":[1,5,6,7,99],"statuses":["PRESENT","PRESENT","PRESENT","PRESENT","PRESENT"],"event_timestamps":[` + epoch + `]},` +
		`{"values":[113,121,null,null,null],"statuses":["PRESENT","PRESENT","NULL_VALUE","NULL_VALUE","NULL_VALUE"],"event_timestamps":[` + epoch + `]}],` +
		`"metadata":{"feature_names":["driver_id","both"],"feature_view_metadata":[{"name":"left"},{"name":"right"}]}}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	req.Expired = feast.Null // then what is too old is missing
	if resp, err = fs.GetOnlineFeatures(ctx, req); err != nil {
		t.Fatal(err)
	}
	if c := resp.At(1); c.Status(1) != feast.NullValue || c.Any(0) != int64(113) || c.View() != "both" || c.Err() != nil {
		t.Errorf("with Expired: Null, row 1 is %v %v", c.Any(1), c.Status(1))
	}
}

func TestOnDemandRequestData(t *testing.T) {
	fs, _, _ := onDemandStore(t)
	get := func(entities feast.Frame, refs ...string) (*feast.OnlineResponse, error) {
		return fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: refs, Entities: entities})
	}
	ids := []int64{1}
	for _, tc := range []struct {
		name     string
		entities feast.Columns
		refs     []string
		column   string
		says     []string
	}{
		{"none", feast.Columns{"driver_id": ids}, []string{"both:both"}, "add", []string{`"both"`, "request data add, more", "no such columns", "given are driver_id"}},
		{"one", feast.Columns{"driver_id": ids, "add": ids}, []string{"both:both"}, "more", []string{"request data more", "no such column ("}},
		{"two views", feast.Columns{"driver_id": ids}, []string{"both:both", "key:key"}, "add", []string{`["both" "key"] need`}},
		{"no key", feast.Columns{"add": ids, "more": ids}, []string{"both:both"}, "driver_id", []string{`"left"`, "join key driver_id"}},
		{"only a key", feast.Columns{"add": ids}, []string{"key:key"}, "driver_id", []string{`"key"`, "join key driver_id"}},
		{"typed", feast.Columns{"driver_id": ids, "add": []string{"1"}, "more": ids}, []string{"both:both"}, "add", []string{"[]string", "Int64"}},
		{"fraction", feast.Columns{"driver_id": ids, "add": []any{1.5}, "more": ids}, []string{"both:both"}, "add", []string{"row 0", "1.5 is not whole"}},
		{"number", feast.Columns{"driver_id": ids, "add": []any{json.Number("1.5")}, "more": ids}, []string{"both:both"}, "add", []string{"1.5 is not whole"}},
		{"text", feast.Columns{"driver_id": ids, "add": []any{"x"}, "more": ids}, []string{"both:both"}, "add", []string{"row 0"}},
		{"length", feast.Columns{"driver_id": ids, "add": []int64{1, 2}, "more": ids}, []string{"both:both"}, "driver_id", []string{"1 rows"}},
	} {
		_, err := get(tc.entities, tc.refs...)
		re, ok := errors.AsType[*feast.RequestError](err)
		if !ok || re.Column != tc.column {
			t.Errorf("%s: error is %v, want one of column %s", tc.name, err, tc.column)
			continue
		}
		for _, s := range tc.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: error %v does not say %q", tc.name, err, s)
			}
		}
	}
	_, err := get(feast.Columns{}, "both:both")
	if !errors.Is(err, feast.ErrInvalid) || !strings.Contains(err.Error(), "request data add, more") || !strings.Contains(err.Error(), "driver_id") {
		t.Errorf("no columns: %v", err)
	}
	// Text and whole floats that are not typed become what is declared; a request's data is not answered.
	resp, err := get(feast.Columns{"driver_id": []any{"1", 1}, "add": []any{"7", 8.0}, "more": []any{nil, true}}, "both:both")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := resp.Int64s("both"); err != nil || !slices.Equal(got, []int64{119, 120}) {
		t.Errorf("both is %v, %v", got, err)
	}
	if _, err := resp.Column("add"); !errors.Is(err, feast.ErrNotFound) {
		t.Errorf("request data is answered: %v", err)
	}
	// With partial keys, a key that a function reads is missing.
	resp, err = fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"left:n"}, FeastCompatible: true, Entities: feast.Columns{"driver": ids}})
	if err != nil || resp.At(1).Any(0) != int64(11) {
		t.Errorf("by the entity's name: %v", err)
	}
}

// TestOnDemandErrors resolves functions that do not suit their views.
func TestOnDemandErrors(t *testing.T) {
	field := func(name string, t types.Type) []types.Field { return []types.Field{{Name: name, Type: t}} }
	apply := func(context.Context, *types.Frame, *types.Builder) error { return nil }
	type inFloat struct {
		N float64 `feast:"left:n"`
	}
	type inInt struct {
		N int64 `feast:"left:n"`
	}
	type outFloat struct {
		Both float32 `feast:"both"`
	}
	for _, tc := range []struct {
		name string
		t    feast.Transform
		refs []string
		is   error
		says []string
	}{
		{"unknown input", feast.Transform{Inputs: field("left__x", 0), Outputs: field("both", 0), Apply: apply}, nil, feast.ErrNotFound, []string{`"both"`, `input "left__x"`}},
		{"ambiguous", feast.Transform{Inputs: field("n", 0), Outputs: field("both", 0), Apply: apply}, nil, feast.ErrInvalid, []string{"several meanings", `"left__n" "right__n"`}},
		{"input type", feast.Transform{Inputs: field("left__n", types.Float64), Outputs: field("both", 0), Apply: apply}, nil, feast.ErrInvalid, []string{`input "left__n"`, "Float64", "Int64"}},
		{"output type", feast.Transform{Inputs: field("left__n", 0), Outputs: field("both", types.String), Apply: apply}, nil, feast.ErrInvalid, []string{`output "both"`, "String", "Int64"}},
		{"unknown output", feast.Transform{Outputs: field("boht", 0), Apply: apply}, nil, feast.ErrInvalid, []string{`"boht"`, "both, both_1"}},
		{"not computed", feast.Transform{Outputs: field("both_1", 0), Apply: apply}, nil, feast.ErrUnsupported, []string{`does not compute "both"`}},
		{"all", feast.Transform{Inputs: append(field("x", 0), field("y", 0)...), Outputs: field("z", 0), Apply: apply}, nil, feast.ErrInvalid, []string{`"x"`, `"y"`, `"z"`}},
		{"rows in", feast.RowWise(func(inFloat) (outFloat, error) { return outFloat{}, nil }), nil, feast.ErrInvalid, []string{"float64", "Int64", `input "left__n"`}},
		{"rows out", feast.RowWise(func(inInt) (outFloat, error) { return outFloat{}, nil }), nil, feast.ErrInvalid, []string{"Both", "float32", "Int64"}},
	} {
		fs, _, _ := onDemandStoreWith(t, "both", tc.t)
		_, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: []string{"both:both"}})
		if !errors.Is(err, tc.is) {
			t.Errorf("%s: error is %v, want %v", tc.name, err, tc.is)
			continue
		}
		for _, s := range tc.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: error %v does not say %q", tc.name, err, s)
			}
		}
	}
	fs, _, _ := onDemandStore(t)
	_, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: []string{"python:p"}})
	if !errors.Is(err, feast.ErrUnsupported) || !strings.Contains(err.Error(), `feast.WithTransformation("python"`) || !strings.Contains(err.Error(), "transformation server") {
		t.Errorf("no function: %v", err)
	}
	for _, ref := range []string{"python:zzz", "one:zzz"} {
		_, err = fs.PrepareOnline(ctx, feast.OnlineQuery{Features: []string{ref}})
		if nf, ok := errors.AsType[*feast.NotFoundError](err); !ok || nf.Kind != "feature" || nf.Name != "zzz" {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

// onDemandStoreWith is a store like onDemandStore with one function.
func onDemandStoreWith(t testing.TB, view string, f feast.Transform, more ...feast.Object) (*feast.FeatureStore, *memory.Store, *registrymemory.Backend) {
	t.Helper()
	left := driverView("left", 0, fieldsOf(feast.Int64, "n")...)
	objects := append([]feast.Object{
		driver, left, driverView("right", 0, fieldsOf(feast.Int64, "n")...),
		onDemand("both", fieldsOf(feast.Int64, "both", "both_1"), nil, "left", "right"),
	}, more...)
	fs, store, backend := newStore(t, objects, feast.WithTransformation(view, f))
	write(t, store, left, driverKey, row{[]any{1}, t0, map[string]any{"n": 5}}, row{[]any{2}, t0, map[string]any{"n": 6}})
	return fs, store, backend
}

// TestOnDemandVersions reads versions of on-demand views: of one that is computed, by the sources that it had then, and of one
// that is stored, from the table of the version.
func TestOnDemandVersions(t *testing.T) {
	backend, store := registrymemory.New(), memory.New()
	open := func(versioning bool, s online.Store) *feast.FeatureStore {
		cfg := config.Default(project)
		cfg.Registry.OnlineVersioning = versioning
		fs, err := feast.New(t.Context(), cfg, feast.WithRegistry(backend), feast.WithOnlineStore(s), feast.WithClock(func() time.Time { return t0 }),
			feast.WithTransformation("od", sums([]string{"n"}, []string{"sum"})))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fs.Close() })
		return fs
	}
	fs := open(true, store)
	left, right := driverView("left", 0, fieldsOf(feast.Int64, "n")...), driverView("right", 0, fieldsOf(feast.Int64, "n")...)
	stored := func(names ...string) *feast.OnDemandFeatureView {
		v := onDemand("stored", fieldsOf(feast.Int64, names...), nil, "left")
		v.WriteToOnlineStore, v.Entities, v.EntityColumns = true, []string{"driver"}, driverKey
		return v
	}
	writes := func(view string, c feast.Columns) {
		t.Helper()
		c["driver_id"] = []int{1}
		if _, err := fs.WriteToOnlineStore(t.Context(), view, c, feast.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	times := []time.Time{t0}
	mustApply(t, fs, driver, left, right, onDemand("od", fieldsOf(feast.Int64, "sum", "old"), nil, "left"), stored("a"))
	writes("stored", feast.Columns{"a": []int{10}})
	mustApply(t, fs, onDemand("od", fieldsOf(feast.Int64, "sum"), nil, "right"), stored("a", "b"))
	writes("stored", feast.Columns{"a": []int{20}, "b": []int{21}})
	writes("left", feast.Columns{"n": []int{3}, "event_timestamp": times})
	writes("right", feast.Columns{"n": []int{4}, "event_timestamp": times})

	ids := feast.Columns{"driver_id": []int{1}}
	resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
		Features:         []string{"od@v0:sum", "od:sum", "stored@v0:a", "stored@v1:a", "od@v1:sum", "stored:b"},
		FullFeatureNames: true, Entities: ids,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"driver_id": int64(1), "od@v0__sum": int64(3), "od__sum": int64(4), "stored@v0__a": int64(10), "stored@v1__a": int64(20),
		"od@v1__sum": int64(4), "stored__b": int64(21),
	}
	if got := resp.AppendRow(map[string]any{}, 0); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// A version of one that is computed is no matter of the store.
	flat := open(true, unversioned{store})
	if got := readAll(t, flat, "od@v0:sum", 1); !strings.HasPrefix(got[0], "3@") {
		t.Errorf("got %v", got)
	}
	for _, c := range []struct {
		fs        *feast.FeatureStore
		reference string
		is        error
		says      string
	}{
		{fs, "od@v2:sum", feast.ErrNotFound, `version "v2" does not exist in feature view "od"`},
		{fs, "od@v1:old", feast.ErrNotFound, `"old"`},
		{open(false, store), "od@v0:sum", feast.ErrInvalid, "enable_online_feature_view_versioning"},
		{flat, "stored@v0:a", feast.ErrUnsupported, `online store "flat" keeps one version of a view`},
	} {
		_, err := c.fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{Features: []string{c.reference}, Entities: ids})
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s", c.reference, err, c.says)
		}
	}
}

// TestOnDemandOverOnDemand has sources that are on-demand views: one is stored, one is not.
func TestOnDemandOverOnDemand(t *testing.T) {
	written := onDemand("written", fieldsOf(feast.Int64, "w"), nil, "left")
	written.WriteToOnlineStore, written.Entities, written.EntityColumns = true, []string{"driver"}, driverKey
	fs, store, _ := onDemandStoreWith(t, "top", sums([]string{"w"}, []string{"top"}), written,
		onDemand("top", fieldsOf(feast.Int64, "top"), nil, "written"),
		onDemand("over", fieldsOf(feast.Int64, "over"), nil, "both"))
	write(t, store, written, driverKey, row{[]any{1}, t0, map[string]any{"w": 9}})
	ids := feast.Columns{"driver_id": []int64{1}}
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"top:top"}, Entities: ids})
	if err != nil || resp.At(1).Any(0) != int64(9) {
		t.Errorf("over a stored one: %v", err)
	}
	over, _, _ := onDemandStoreWith(t, "over", sums([]string{"both"}, []string{"over"}), onDemand("over", fieldsOf(feast.Int64, "over"), nil, "both"))
	_, err = over.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"over:over"}, Entities: ids})
	if !errors.Is(err, feast.ErrUnsupported) || !strings.Contains(err.Error(), `"over"`) || !strings.Contains(err.Error(), `"both"`) {
		t.Errorf("over one that is not stored: %v", err)
	}
}

// TestOnDemandDisabled refuses what is computed from a view that does not serve.
func TestOnDemandDisabled(t *testing.T) {
	fs, _, backend := onDemandStore(t)
	off := driverView("right", 0, fieldsOf(feast.Int64, "n", "m")...)
	off.Disabled = true
	put(t, backend, off)
	if err := fs.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: []string{"one:one"}}); !errors.Is(err, feast.ErrInvalid) || !strings.Contains(err.Error(), `"right" is disabled`) {
		t.Errorf("error is %v", err)
	}
	if _, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: []string{"key:key"}}); err != nil {
		t.Errorf("what does not read it: %v", err)
	}
}

// TestTransformOptions opens stores with transformations that can never work.
func TestTransformOptions(t *testing.T) {
	apply := func(context.Context, *types.Frame, *types.Builder) error { return nil }
	out := []types.Field{{Name: "a"}}
	type good struct {
		A int64 `feast:"a"`
	}
	type options struct {
		A int64 `feast:"a,required"`
	}
	type withView struct {
		A int64 `feast:"v:a"`
	}
	type timed struct {
		A time.Time `feast:"a,time"`
	}
	for _, tc := range []struct {
		says string
		t    []feast.Transform
	}{
		{"no Apply", []feast.Transform{{Outputs: out}}},
		{"no outputs", []feast.Transform{{Apply: apply}}},
		{`outputs are named "a"`, []feast.Transform{{Outputs: append(out, out...), Apply: apply}}},
		{`inputs are named "a"`, []feast.Transform{{Inputs: append(out, out...), Outputs: out, Apply: apply}}},
		{"two transformations", []feast.Transform{{Outputs: out, Apply: apply}, {Outputs: out, Apply: apply}}},
		{"not of int", []feast.Transform{feast.RowWise(func(int) (good, error) { return good{}, nil })}},
		{"not of *feast_test.good", []feast.Transform{feast.RowWise(func(*good) (good, error) { return good{}, nil })}},
		{"no field with a feast tag", []feast.Transform{feast.RowWise(func(good) (struct{ X int }, error) { return struct{ X int }{}, nil })}},
		{"no options", []feast.Transform{feast.RowWise(func(good) (options, error) { return options{}, nil })}},
		{"without a view", []feast.Transform{feast.RowWise(func(good) (withView, error) { return withView{}, nil })}},
		{"no event times", []feast.Transform{feast.RowWise(func(timed) (good, error) { return good{}, nil })}},
		{"no function", []feast.Transform{feast.RowWise[good, good](nil)}},
	} {
		store := &closable{memory.New(), make(chan struct{})}
		opts := []feast.Option{feast.WithRegistry(registrymemory.New()), feast.WithOnlineStore(store)}
		for _, f := range tc.t {
			opts = append(opts, feast.WithTransformation("v", f))
		}
		_, err := feast.New(ctx, config.Default(project), opts...)
		if !errors.Is(err, feast.ErrInvalid) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), `"v"`) {
			t.Errorf("error is %v, want %q", err, tc.says)
			continue
		}
		<-store.closed
	}
}

// TestOnDemandFailures has functions that fail in every way.
func TestOnDemandFailures(t *testing.T) {
	broken := errors.New("broken on purpose")
	type in struct {
		N int64 `feast:"left:n,required"`
	}
	type out struct {
		Both int64 `feast:"both"`
	}
	columns := func(f func(in *types.Frame, out *types.Builder) error) feast.Transform {
		return feast.Transform{
			Inputs: []types.Field{{Name: "left__n"}}, Outputs: []types.Field{{Name: "both"}},
			Apply: func(_ context.Context, in *types.Frame, out *types.Builder) error { return f(in, out) },
		}
	}
	for _, tc := range []struct {
		name string
		t    feast.Transform
		ids  []int64
		row  int
		is   error
		says string
	}{
		{"error", columns(func(*types.Frame, *types.Builder) error { return broken }), []int64{1}, -1, broken, "broken on purpose"},
		{"partial", columns(func(*types.Frame, *types.Builder) error { return &feast.PartialError{} }), []int64{1}, -1, feast.ErrPartial, "0 feature view(s)"},
		{"panic", columns(func(*types.Frame, *types.Builder) error { panic("at the disco") }), []int64{1}, -1, nil, "panicked: at the disco"},
		{"error panic", columns(func(*types.Frame, *types.Builder) error { panic(broken) }), []int64{1}, -1, broken, "panicked: broken"},
		{"index", columns(func(in *types.Frame, _ *types.Builder) error { in.At(5); return nil }), []int64{1}, -1, nil, "panicked"},
		{"setter", columns(func(_ *types.Frame, out *types.Builder) error { out.At(0).SetFloat64(0, 1); return nil }), []int64{1}, -1, nil, `"both" is Int64`},
		{"row", feast.RowWise(func(in in) (out, error) {
			if in.N == 6 {
				return out{}, broken
			}
			return out{in.N}, nil
		}), []int64{1, 2}, 1, broken, "row 1: broken"},
		{"required", feast.RowWise(func(in in) (out, error) { return out{in.N}, nil }), []int64{1, 2, 9}, 2, feast.ErrNotFound, "NOT_FOUND"},
		{"row panic", feast.RowWise(func(in in) (out, error) { return out{1 / (in.N - 5)}, nil }), []int64{1}, -1, nil, "divide by zero"},
	} {
		fs, _, _ := onDemandStoreWith(t, "both", tc.t)
		q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: []string{"left:n", "both:both"}})
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		var resp feast.OnlineResponse
		err = q.GetInto(ctx, feast.Columns{"driver_id": tc.ids}, &resp)
		te, ok := errors.AsType[*feast.TransformError](err)
		if !ok || te.View != "both" || te.Row != tc.row || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: error is %v", tc.name, err)
		}
		if resp.Len() != 0 {
			t.Errorf("%s: there are %d rows", tc.name, resp.Len())
		}
		one, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"both:both"}, Entities: feast.Columns{"driver_id": tc.ids}})
		if one != nil || err == nil {
			t.Errorf("%s: one-off answers %v, %v", tc.name, one, err)
		}
	}
}

func TestOnDemandPartialFailure(t *testing.T) {
	ran := 0
	f := sums([]string{"right__n"}, []string{"both"})
	apply := f.Apply
	f.Apply = func(ctx context.Context, in *types.Frame, out *types.Builder) error {
		ran++
		return apply(ctx, in, out)
	}
	left := driverView("left", 0, fieldsOf(feast.Int64, "n")...)
	store := memory.New()
	fs, _, _ := newStore(t, []feast.Object{
		driver, left, driverView("right", 0, fieldsOf(feast.Int64, "n")...),
		onDemand("both", fieldsOf(feast.Int64, "both"), nil, "left", "right"),
	}, feast.WithTransformation("both", f), feast.WithOnlineStore(&failing{store, "right"}))
	write(t, store, left, driverKey, row{[]any{1}, t0, map[string]any{"n": 5}})
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"both:both", "left:n"}, Entities: feast.Columns{"driver_id": []int64{1}}})
	partial, ok := errors.AsType[*feast.PartialError](err)
	if !ok || len(partial.Views) != 1 || partial.Views["both"] == nil || ran != 0 {
		t.Fatalf("error is %v, the function ran %d times", err, ran)
	}
	if c := resp.At(1); c.Err() == nil || c.Status(0) != feast.Failed || resp.At(2).Any(0) != int64(5) || resp.At(2).Err() != nil {
		t.Errorf("both is %v, left %v", c.Err(), resp.At(2).Any(0))
	}
}

// TestOnDemandPromise changes what a prepared query computes.
func TestOnDemandPromise(t *testing.T) {
	fs, _, backend := onDemandStore(t)
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{FeatureService: "s"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := feast.Bind[struct {
		One int64 `feast:"alias:one"`
	}](q)
	if err != nil {
		t.Fatal(err)
	}
	ids := feast.Columns{"driver_id": []int64{3}}
	var out feast.OnlineResponse
	one := onDemand("one", fieldsOf(feast.Int64, "one", "n"), nil, "right")
	service := func(p ...feast.FeatureViewProjection) *feast.FeatureService {
		return &feast.FeatureService{Name: "s", Features: p}
	}
	m := feast.FeatureViewProjection{Name: "right", Features: fieldsOf(feast.Int64, "m")}
	alias := feast.FeatureViewProjection{Name: "one", Alias: "alias", Features: fieldsOf(feast.Int64, "n", "one")}
	for _, tc := range []struct {
		name   string
		change []feast.Object
		says   string // "": nothing breaks
	}{
		{"as it is", []feast.Object{one}, ""},
		{"another order", []feast.Object{service(m, alias, feast.FeatureViewProjection{Name: "both", Features: fieldsOf(feast.Int64, "both")})}, ""},
		{"request data", []feast.Object{onDemand("one", one.Schema, requestSource("r", fieldsOf(feast.Int64, "r")...), "right")}, "request data r"},
		{"a type", []feast.Object{onDemand("one", fieldsOf(feast.Float64, "one", "n"), nil, "right")}, `output "one"`},
		{"an output", []feast.Object{onDemand("one", fieldsOf(feast.Int64, "n"), nil, "right")}, `"one"`},
		{"a source", []feast.Object{onDemand("one", one.Schema, nil, "left")}, `input "m"`},
		{"repaired", []feast.Object{one}, ""},
		{"the projection", []feast.Object{service(m)}, "one"},
	} {
		put(t, backend, tc.change...)
		if err := fs.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		err := q.GetInto(ctx, ids, &out)
		if tc.says != "" {
			if _, ok := errors.AsType[*feast.SchemaChangedError](err); !ok || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: error is %v, want a SchemaChangedError of %s", tc.name, err, tc.says)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if out.At(q.Index("one")).Any(0) != int64(1003) || out.At(q.Index("m")).Any(0) != int64(1003) {
			t.Errorf("%s: answer is %v", tc.name, out.AppendRow(nil, 0))
		}
		if rows, err := b.Scan(&out, nil); err != nil || rows[0].One != 1003 {
			t.Errorf("%s: bound rows are %v, %v", tc.name, rows, err)
		}
	}
}

// TestOnDemandWarm resolves services before they are asked for.
func TestOnDemandWarm(t *testing.T) {
	fs, store, _ := onDemandStore(t)
	if err := fs.Warm(ctx); err != nil {
		t.Fatal(err)
	}
	if n := fs.Stats().Plans; n != 2 {
		t.Errorf("%d plans are kept, want those of both services", n)
	}
	store.read = nil
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{FeatureService: "s", Entities: feast.Columns{"driver_id": []int64{1}}})
	if err != nil || resp.At(1).Any(0) != int64(1001) || store.read != nil {
		t.Errorf("a warm service prepares %v, %v", store.read, err)
	}
}

// TestOnDemandNoAllocations guards what the machinery allocates when all is reused: nothing.
func TestOnDemandNoAllocations(t *testing.T) {
	type in struct {
		N    int64             `feast:"left:n"`
		M    sql.Null[float64] `feast:"x"`
		City []byte            `feast:"-"`
		At   time.Time         `feast:"at"`
		OK   bool              `feast:"ok"`
	}
	type out struct {
		Sum  float64           `feast:"sum"`
		Null sql.Null[float32] `feast:"null"`
		At   time.Time         `feast:"later"`
		Not  bool              `feast:"not"`
		N    int32             `feast:"small"`
	}
	left := driverView("left", 0, feast.Field{Name: "n", Type: feast.Int64}, feast.Field{Name: "x", Type: feast.Float64},
		feast.Field{Name: "at", Type: feast.UnixTimestamp}, feast.Field{Name: "ok", Type: feast.Bool})
	right := driverView("right", 0, fieldsOf(feast.Int64, "n")...)
	fs, store, _ := newStore(t, []feast.Object{
		driver, left, right,
		onDemand("both", fieldsOf(feast.Int64, "both"), requestSource("r", fieldsOf(feast.Int64, "add")...), "left", "right"),
		onDemand("rows", []feast.Field{
			{Name: "sum", Type: feast.Float64}, {Name: "null", Type: feast.Float32}, {Name: "later", Type: feast.UnixTimestamp},
			{Name: "not", Type: feast.Bool}, {Name: "small", Type: feast.Int32},
		}, nil, "left"),
	}, feast.WithTransformation("both", sums([]string{"left__n", "right__n", "add"}, []string{"both"})),
		feast.WithTransformation("rows", feast.RowWise(func(in in) (out, error) {
			return out{float64(in.N) + in.M.V, sql.Null[float32]{V: 1, Valid: in.N%2 == 0}, in.At.Add(time.Minute), !in.OK, int32(in.N)}, nil
		})))
	for id := range int64(100) {
		write(t, store, left, driverKey, row{[]any{id}, t0, map[string]any{"n": id, "x": 0.5, "at": t0, "ok": true}})
		write(t, store, right, driverKey, row{[]any{id}, t0, map[string]any{"n": 2 * id}})
	}
	ids, adds := make([]int64, 100), make([]int64, 100)
	for i := range ids {
		ids[i], adds[i] = int64(i), 3
	}
	for _, refs := range [][]string{{"both:both"}, {"rows:sum", "rows:null", "rows:later", "rows:not", "rows:small"}, {"both:both", "rows:sum", "left:n"}} {
		q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: refs})
		if err != nil {
			t.Fatal(err)
		}
		var batch feast.Batch
		var resp feast.OnlineResponse
		for _, rows := range []int{1, 100} {
			if n := testing.AllocsPerRun(50, func() {
				batch.Reset()
				feast.SetColumn(&batch, "driver_id", ids[:rows])
				feast.SetColumn(&batch, "add", adds[:rows])
				if err := q.GetInto(ctx, &batch, &resp); err != nil {
					t.Fatal(err)
				}
			}); n != 0 && (len(refs) == 1 || n > pooled) { // the first has no function of rows
				t.Errorf("%v: GetInto of %d rows allocates %v times", refs, rows, n)
			}
		}
		for i, ref := range refs {
			want := map[string]any{
				"both:both": int64(99*3 + 3), "rows:sum": 99.5, "rows:null": nil, "rows:later": t0.Unix() + 60, "rows:not": false, "rows:small": int32(99), "left:n": int64(99),
			}[ref]
			if got := resp.At(i + 1).Any(99); got != want {
				t.Errorf("%s is %v, want %v", ref, got, want)
			}
		}
	}
}

// TestRowWiseTypes takes a value of every kind through a function of rows.
func TestRowWiseTypes(t *testing.T) {
	type level int
	type all struct {
		I8    int8             `feast:"i64"`
		Level level            `feast:"i64b"`
		I32   *int32           `feast:"i32"`
		F32   float32          `feast:"f32"`
		F64   *float64         `feast:"f64"`
		OK    sql.NullBool     `feast:"ok"`
		S     string           `feast:"s"`
		Null  sql.Null[string] `feast:"s2"`
		B     []byte           `feast:"b"`
		At    time.Time        `feast:"at"`
		Opt   *time.Time       `feast:"at2"`
		Dec   big.Float        `feast:"dec"`
		Dec2  *big.Float       `feast:"dec2"`
		UID   [16]byte         `feast:"uid"`
		JS    json.RawMessage  `feast:"js"`
		List  []float32        `feast:"list"`
		Texts []string         `feast:"texts"`
		Map   map[string]any   `feast:"map"`
		Any   any              `feast:"any"`
		Zoned time.Time        `feast:"zoned"`
	}
	fields := []feast.Field{
		{Name: "i64", Type: feast.Int64}, {Name: "i64b", Type: feast.Int64}, {Name: "i32", Type: feast.Int32}, {Name: "f32", Type: feast.Float32}, {Name: "f64", Type: feast.Float64},
		{Name: "ok", Type: feast.Bool}, {Name: "s", Type: feast.String}, {Name: "s2", Type: feast.String}, {Name: "b", Type: feast.Bytes},
		{Name: "at", Type: feast.UnixTimestamp}, {Name: "at2", Type: feast.UnixTimestamp}, {Name: "dec", Type: types.Decimal}, {Name: "dec2", Type: types.Decimal},
		{Name: "uid", Type: types.UUID}, {Name: "js", Type: types.JSON}, {Name: "list", Type: feast.Float32List}, {Name: "texts", Type: feast.StringList},
		{Name: "map", Type: types.Map}, {Name: "any", Type: feast.Int64List}, {Name: "zoned", Type: types.ZonedTimestamp},
	}
	view := driverView("v", 0, fields...)
	var seen []all
	fs, _, _ := newStore(t, []feast.Object{driver, view, onDemand("copy", fields, nil, "v")},
		feast.WithTransformation("copy", feast.RowWise(func(in all) (all, error) {
			seen = append(seen, in)
			return in, nil
		})))
	full := map[string]any{
		"driver_id": int64(1), "event_timestamp": t0,
		"i64": int64(100), "i64b": int64(3), "i32": int32(-5), "f32": float32(0.5), "f64": 0.25, "ok": true, "s": "text", "s2": "more", "b": []byte{1, 2},
		"at": t0, "at2": t0, "dec": "1.5", "dec2": "2.5", "uid": "f47ac10b-58cc-4372-a567-0e02b2c3d479", "js": `{"a":1}`,
		"list": []float32{1, 2}, "texts": []string{"a", "b"}, "map": map[string]any{"k": int64(1)}, "any": []int64{7}, "zoned": t0,
	}
	empty := map[string]any{"driver_id": int64(2), "event_timestamp": t0}
	for _, f := range fields {
		empty[f.Name] = nil
	}
	if _, err := fs.WriteToOnlineStore(ctx, "v", feast.Rows{full, empty}, feast.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	var refs, sources []string
	for _, f := range fields {
		refs, sources = append(refs, "copy:"+f.Name), append(sources, "v:"+f.Name)
	}
	ids := feast.Columns{"driver_id": []int64{1, 2, 3}}
	got, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: refs, Entities: ids})
	if err != nil {
		t.Fatal(err)
	}
	want, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: sources, Entities: ids})
	if err != nil {
		t.Fatal(err)
	}
	zeros := map[string]any{"i64": int64(0), "i64b": int64(0), "f32": float32(0), "s": "", "uid": [16]byte{}, "at": time.Time{}.Unix(), "dec": "0", "zoned": time.Time{}}
	for i, f := range fields {
		g, w := got.At(i+1), want.At(i+1)
		if !reflect.DeepEqual(g.Any(0), w.Any(0)) {
			t.Errorf("%s is %v, want %v", f.Name, g.Any(0), w.Any(0))
		}
		for row := 1; row < 3; row++ { // what is missing is zero in a plain field, null in others
			if zero, plain := zeros[f.Name]; plain && !reflect.DeepEqual(g.Any(row), zero) && f.Name != "zoned" {
				t.Errorf("%s row %d is %v, want %v", f.Name, row, g.Any(row), zero)
			} else if !plain && (g.Any(row) != nil || g.Status(row) != feast.NullValue) {
				t.Errorf("%s row %d is %v %v, want null", f.Name, row, g.Any(row), g.Status(row))
			}
		}
	}
	in := seen[0]
	text := fmt.Sprintln(in.I8, in.Level, *in.I32, in.F32, *in.F64, in.OK, in.S, in.Null, in.B, in.At.Equal(t0), in.Opt.Equal(t0), in.Dec.String(), in.Dec2.String(), in.UID[0], string(in.JS), in.List, in.Texts, in.Map, in.Any, in.Zoned.Equal(t0))
	if want := `100 3 -5 0.5 0.25 {true true} text {more true} [1 2] true true 1.5 2.5 244 {"a":1} [1 2] [a b] map[k:1] [7] true` + "\n"; text != want {
		t.Errorf("the function saw\n%s, want\n%s", text, want)
	}
}

func TestRowWiseOverflow(t *testing.T) {
	type in struct {
		N int64 `feast:"left:n"`
	}
	type out struct {
		Small int64 `feast:"small"`
	}
	fs, _, _ := onDemandStoreWith(t, "s", feast.RowWise(func(in in) (out, error) { return out{math.MaxInt32 - 5 + in.N}, nil }),
		onDemand("s", fieldsOf(feast.Int32, "small"), nil, "left"))
	_, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"s:small"}, Entities: feast.Columns{"driver_id": []int64{1, 2}}})
	te, ok := errors.AsType[*feast.TransformError](err)
	if !ok || te.Row != 1 || !strings.Contains(err.Error(), "2147483648") || !strings.Contains(err.Error(), `"small"`) {
		t.Errorf("error is %v", err)
	}
}

// TestOnDemandConcurrently runs one function for many requests at once.
func TestOnDemandConcurrently(t *testing.T) {
	type in struct {
		N int64 `feast:"left:n"`
	}
	type out struct {
		Both   int64 `feast:"both"`
		Second int64 `feast:"both_1"`
	}
	fs, _, _ := onDemandStoreWith(t, "both", feast.RowWise(func(in in) (out, error) { return out{2 * in.N, 3 * in.N}, nil }))
	q, err := fs.PrepareOnline(ctx, feast.OnlineQuery{Features: []string{"both:both_1", "both:both"}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var resp feast.OnlineResponse
			for i := range 100 {
				id := int64(1 + i%2)
				if err := q.GetInto(ctx, feast.Columns{"driver_id": []int64{id}}, &resp); err != nil || resp.At(2).Any(0) != 2*(id+4) || resp.At(1).Any(0) != 3*(id+4) {
					t.Errorf("%d has %v, %v", id, resp.AppendRow(nil, 0), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestGoldenOnDemandHTTP answers the requests of golden/serving/http.json that compute.
func TestGoldenOnDemandHTTP(t *testing.T) {
	fs := open(t, copyRepo(t, "serving/repo"), goldenFunctions()...)
	var cases []httpCase
	readJSON(t, "serving/http.json", &cases)
	ran := 0
	for _, c := range cases {
		if !strings.HasPrefix(c.ID, "gof_odfv") {
			continue
		}
		ran++
		var body pushBody
		if err := json.Unmarshal([]byte(c.Request.Body), &body); err != nil {
			t.Fatal(err)
		}
		resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: body.Features, Entities: goldenFrame(t, body.Entities)})
		switch c.ID {
		case "gof_odfv":
			if err != nil {
				t.Fatal(err)
			}
			if got, err := resp.AppendJSON(nil, feast.JSON{FeastStatuses: true}); err != nil || string(got) != c.Response.Body {
				t.Errorf("answer is %s, %v, want %s", got, err, c.Response.Body)
			}
		case "gof_odfv_missing_request":
			if re, ok := errors.AsType[*feast.RequestError](err); !ok || re.Column != "val_to_add_2" {
				t.Errorf("%s: %v", c.ID, err)
			}
		case "gof_odfv_raises":
			if te, ok := errors.AsType[*feast.TransformError](err); !ok || fmt.Sprintf("%q", te.Err) != c.Response.Body {
				t.Errorf("%s: %v, want %s", c.ID, err, c.Response.Body)
			}
		}
	}
	if ran != 3 {
		t.Errorf("%d cases", ran)
	}
}
