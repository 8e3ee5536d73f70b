package feast_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/registry"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
	"github.com/feastgo/feast/types/arrowconv"
)

// pitCase is a retrieval that was recorded of Feast, on its file, DuckDB and PostgreSQL stores.
type pitCase struct {
	Name    string
	Sources []struct {
		Name                   string
		File                   string
		TimestampField         string            `json:"timestamp_field"`
		CreatedTimestampColumn string            `json:"created_timestamp_column"`
		DatePartitionColumn    string            `json:"date_partition_column"`
		FieldMapping           map[string]string `json:"field_mapping"`
	}
	Entities []struct {
		Name      string
		JoinKey   string `json:"join_key"`
		ValueType string `json:"value_type"`
	}
	FeatureViews []struct {
		Name     string
		Entities []string
		TTL      float64 `json:"ttl_seconds"`
		Source   string
		Schema   []struct{ Name, Dtype string }
	} `json:"feature_views"`
	FeatureServices []struct {
		Name        string
		Projections []struct {
			View, Alias string
			Features    []string
			JoinKeyMap  map[string]string `json:"join_key_map"`
		}
	} `json:"feature_services"`
	EntityDF string `json:"entity_df"`
	Request  struct {
		Features         []string
		FeatureService   string `json:"feature_service"`
		FullFeatureNames bool   `json:"full_feature_names"`
		StartDate        string `json:"start_date"`
		EndDate          string `json:"end_date"`
		FilterByCreated  bool   `json:"filter_by_created_timestamp"`
		EntitySQL        string `json:"entity_sql"`
	}
}

type pitAnswer struct {
	Status  string
	Columns []struct {
		Name      string
		ArrowType string `json:"arrow_type"`
	}
	Rows     [][]any
	Metadata struct {
		Features, Keys []string
		Min            any `json:"min_event_timestamp"`
		Max            any `json:"max_event_timestamp"`
	}
}

// departures say whose answer is right, or what we do instead, where the stores disagree or are wrong: the store, "" for
// an error of class err, and the line of docs/compatibility.md. Where nothing is said, all stores agree, or DuckDB is right
// by line 7 (each entity row comes back exactly once).
var departures = map[string]struct {
	store string
	err   error
	line  int
}{
	"03_tie_event_ts_no_created":        {"duckdb", nil, 22},        // the first row in source order
	"04_tie_event_ts_and_created_equal": {"duckdb", nil, 22},        // so does this
	"07_ttl_fraction_of_second":         {"duckdb", nil, 25},        // a ttl is exact
	"27_event_timestamp_string_column":  {"duckdb", nil, 24},        // text is parsed
	"28_label_named_like_feature":       {"", feast.ErrInvalid, 23}, // the column is named in an error
	"33_null_entity_keys":               {"duckdb", nil, 27},        // a null matches nothing
	"40_no_entity_df_one_view":          {"postgres", nil, 8},
	"41_no_entity_df_short_ttl":         {"postgres", nil, 8},
	"42_no_entity_df_end_only":          {"postgres", nil, 8},
	"43_no_entity_df_two_views":         {"postgres", nil, 8},
	"47_numeric_extremes":               {"duckdb", nil, 26},            // a NaN stays
	"50_entity_sql_query":               {"", feast.ErrUnsupported, -1}, // files have no SQL, in Feast neither
}

// pitErrors are the errors of cases in which Feast fails, too.
var pitErrors = map[string]struct {
	class error
	says  string
}{
	"19_same_feature_name_collision": {feast.ErrInvalid, "several columns named v: ask for full feature names"},
	"20_duplicate_feature_ref":       {feast.ErrInvalid, "several columns named v"},
	"21_unknown_view":                {feast.ErrNotFound, `"nope" does not exist in project "golden"`},
	"22_unknown_feature":             {feast.ErrNotFound, `feature "nope" does not exist in feature view "dv1"`},
	"23_missing_join_key_column":     {feast.ErrInvalid, "needs join key driver_id, and the entity rows have no such column (given are other_id, event_timestamp)"},
	"24_no_timestamp_column":         {feast.ErrInvalid, "event_timestamp"},
	"25_two_datetime_columns":        {feast.ErrInvalid, "several timestamp columns"},
	"28_label_named_like_feature":    {feast.ErrInvalid, `column "v": the entity rows and the features both have a column of this name`},
	"44_entity_df_and_dates":         {feast.ErrInvalid, "exclude each other"},
	"50_entity_sql_query":            {feast.ErrUnsupported, "takes no entity rows as SQL"},
}

// open makes the feature store of a case.
func (c *pitCase) open(t *testing.T, dir string, more ...any) *feast.FeatureStore {
	t.Helper()
	var objects []feast.Object
	opts := []feast.Option{feast.WithOfflineStore(file.New(dir))}
	for _, m := range more { // objects and options
		switch m := m.(type) {
		case feast.Object:
			objects = append(objects, m)
		case feast.Option:
			opts = append(opts, m)
		}
	}
	joinKeys := map[string]feast.Field{}
	for _, e := range c.Entities {
		typ, _ := types.ParseType(e.ValueType)
		joinKeys[e.Name] = feast.Field{Name: e.JoinKey, Type: typ}
		objects = append(objects, &feast.Entity{Name: e.Name, JoinKey: e.JoinKey, ValueType: typ})
	}
	sources := map[string]*feast.DataSource{}
	for _, s := range c.Sources {
		sources[s.Name] = &feast.DataSource{
			Name: s.Name, TimestampField: s.TimestampField, CreatedTimestampColumn: s.CreatedTimestampColumn,
			DatePartitionColumn: s.DatePartitionColumn, FieldMapping: s.FieldMapping, Options: registry.FileOptions{Path: s.File},
		}
	}
	views := map[string]*feast.FeatureView{}
	for _, v := range c.FeatureViews {
		view := &feast.FeatureView{Name: v.Name, Entities: v.Entities, Source: sources[v.Source], TTL: time.Duration(v.TTL * float64(time.Second))}
		for _, e := range v.Entities {
			view.EntityColumns = append(view.EntityColumns, joinKeys[e])
		}
		for _, f := range v.Schema {
			typ, ok := types.ParseType(f.Dtype)
			if !ok {
				t.Fatalf("type %s", f.Dtype)
			}
			view.Schema = append(view.Schema, feast.Field{Name: f.Name, Type: typ})
		}
		views[v.Name] = view
		objects = append(objects, view)
	}
	for _, s := range c.FeatureServices {
		service := &feast.FeatureService{Name: s.Name}
		for _, p := range s.Projections {
			projection := feast.FeatureViewProjection{Name: p.View, Alias: p.Alias, JoinKeyMap: p.JoinKeyMap}
			for _, f := range views[p.View].Schema {
				if p.Features == nil {
					projection.Features = append(projection.Features, f)
				}
			}
			for _, name := range p.Features {
				at := slices.IndexFunc(views[p.View].Schema, func(f feast.Field) bool { return f.Name == name })
				projection.Features = append(projection.Features, views[p.View].Schema[at])
			}
			service.Features = append(service.Features, projection)
		}
		objects = append(objects, service)
	}
	backend := registrymemory.New()
	putIn(t, backend, "golden", objects...)
	fs, err := feast.New(t.Context(), config.Default("golden"), append(opts, feast.WithRegistry(backend))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return fs
}

func (c *pitCase) request(t *testing.T, dir string) feast.HistoricalRequest {
	t.Helper()
	r := feast.HistoricalRequest{
		Features: c.Request.Features, FeatureService: c.Request.FeatureService, FullFeatureNames: c.Request.FullFeatureNames,
		FilterByCreatedTimestamp: c.Request.FilterByCreated,
	}
	switch {
	case c.Request.EntitySQL != "":
		r.Entities = feast.SQL(c.Request.EntitySQL)
	case c.EntityDF != "":
		r.Entities = feast.ParquetFile(filepath.Join(dir, c.EntityDF))
	}
	for text, into := range map[string]*time.Time{c.Request.StartDate: &r.Start, c.Request.EndDate: &r.End} {
		if text == "" {
			continue
		}
		at, ok := types.ParseISOTime(text)
		if !ok {
			t.Fatalf("date %s", text)
		}
		*into = at.Time()
	}
	return r
}

func TestGoldenPointInTime(t *testing.T) {
	cases, err := filepath.Glob("testdata/offline/pit/*/case.json")
	if err != nil || len(cases) != 54 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, path := range cases {
		dir := filepath.Dir(path)
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			var c pitCase
			readJSON(t, filepath.Join("offline/pit", name, "case.json"), &c)
			job, err := c.open(t, dir).GetHistoricalFeatures(t.Context(), c.request(t, dir))
			if want, fails := pitErrors[name]; fails {
				if d, ok := departures[name]; ok && d.store == "" && !errors.Is(err, d.err) {
					t.Errorf("%v, want %v", err, d.err)
				}
				if !errors.Is(err, want.class) || !strings.Contains(fmt.Sprint(err), want.says) {
					t.Errorf("%v, want an error with %q", err, want.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			store := "duckdb"
			if d, ok := departures[name]; ok {
				store = d.store
			}
			var want pitAnswer
			readJSON(t, filepath.Join("offline/pit", name, "expected_"+store+".json"), &want)
			if want.Status != "ok" {
				t.Fatalf("%s has no answer", store)
			}
			rb, err := job.RecordBatch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer rb.Release()
			compareAnswer(t, name, rb, &want)
			compareMetadata(t, job.Metadata(), &want)
			compareParquet(t, job, &want, name)
			if c.EntityDF != "" {
				compareEntities(t, filepath.Join(dir, c.EntityDF), rb)
			}
			if name == "43_no_entity_df_two_views" { // by time, then keys
				if got := fmt.Sprint(rb.Column(0), rb.Column(1)); got != "[1704067200000000 1704153600000000 1704153600000000 1704240000000000 1704326400000000] [1 1 2 1 2]" {
					t.Errorf("the rows are in the order %s", got)
				}
			}
		})
	}
}

// expectedType is the Arrow type of a column by line 28: timestamps are in microseconds, UTC, and the elements of lists are
// named item.
func expectedType(name string) string {
	if strings.HasPrefix(name, "timestamp[") {
		return "timestamp[us, tz=UTC]"
	}
	return strings.Replace(name, "list<l: ", "list<item: ", 1)
}

// compareAnswer compares columns in order and rows in any.
func compareAnswer(t *testing.T, name string, rb arrow.RecordBatch, want *pitAnswer) {
	t.Helper()
	var got, columns []string
	for i, f := range rb.Schema().Fields() {
		got = append(got, f.Name+" "+arrowconv.TypeText(rb.Column(i).DataType()))
	}
	for _, c := range want.Columns {
		columns = append(columns, c.Name+" "+expectedType(c.ArrowType))
	}
	if name == "34_null_entity_keys_int" { // pandas makes floats of whole numbers with nulls; by line 7 they stay whole
		columns[0] = "driver_id int64"
	}
	if !slices.Equal(got, columns) {
		t.Fatalf("columns %q, want %q", got, columns)
	}
	var rows, expected []string
	for i := range int(rb.NumRows()) {
		var cells []string
		for _, a := range rb.Columns() {
			cells = append(cells, cellText(t, a, i))
		}
		rows = append(rows, strings.Join(cells, ", "))
	}
	for _, row := range want.Rows {
		var cells []string
		for i, v := range row {
			cells = append(cells, goldenText(t, v, rb.Column(i).DataType()))
		}
		expected = append(expected, strings.Join(cells, ", "))
	}
	slices.Sort(rows)
	slices.Sort(expected)
	if !slices.Equal(rows, expected) {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(expected, "\n"))
	}
}

// cellText is a cell as text.
func cellText(t *testing.T, a arrow.Array, i int) string {
	t.Helper()
	if a.IsNull(i) {
		return "null"
	}
	switch a := a.(type) {
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType).Unit
		return a.Value(i).ToTime(unit).UTC().Format(time.RFC3339Nano)
	case *array.Float64:
		return strconv.FormatFloat(a.Value(i), 'g', -1, 64)
	case *array.Float32:
		return strconv.FormatFloat(float64(a.Value(i)), 'g', -1, 32)
	case *array.Int64, *array.Int32, *array.Boolean:
		return a.ValueStr(i)
	case *array.String:
		return strconv.Quote(a.Value(i))
	case *array.Binary:
		return fmt.Sprintf("%x", a.Value(i))
	case *array.List:
		var elems []string
		start, end := a.ValueOffsets(i)
		for j := start; j < end; j++ {
			elems = append(elems, cellText(t, a.ListValues(), int(j)))
		}
		return "[" + strings.Join(elems, " ") + "]"
	}
	t.Fatalf("a column of %s", a.DataType())
	return ""
}

// goldenText is a recorded cell as cellText writes it in a column of type dt.
func goldenText(t *testing.T, v any, dt arrow.DataType) string {
	t.Helper()
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case string:
		return strconv.Quote(v)
	case json.Number:
		if bits := map[arrow.Type]int{arrow.FLOAT64: 64, arrow.FLOAT32: 32}[dt.ID()]; bits > 0 {
			f, err := strconv.ParseFloat(string(v), bits)
			if err != nil {
				t.Fatal(err)
			}
			return strconv.FormatFloat(f, 'g', -1, bits)
		}
		return strings.TrimSuffix(string(v), ".0")
	case []any:
		var elems []string
		for _, e := range v {
			elems = append(elems, goldenText(t, e, dt.(*arrow.ListType).Elem()))
		}
		return "[" + strings.Join(elems, " ") + "]"
	case map[string]any:
		for tag, x := range v {
			text, _ := x.(string)
			switch tag {
			case "$ts", "$ts_naive":
				if text == "NaT" {
					return "null"
				}
				at, ok := types.ParseISOTime(text)
				if !ok {
					t.Fatalf("time %s", text)
				}
				return at.Time().Format(time.RFC3339Nano)
			case "$float":
				return map[string]string{"NaN": "NaN", "Infinity": "+Inf", "-Infinity": "-Inf"}[text]
			case "$b64":
				b, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					t.Fatal(err)
				}
				return fmt.Sprintf("%x", b)
			}
		}
	}
	t.Fatalf("a value %v", v)
	return ""
}

func compareMetadata(t *testing.T, got feast.RetrievalMetadata, want *pitAnswer) {
	t.Helper()
	slices.Sort(got.Keys)
	if !slices.Equal(got.Features, want.Metadata.Features) || !slices.Equal(got.Keys, slices.Sorted(slices.Values(want.Metadata.Keys))) {
		t.Errorf("metadata %v %v, want %v %v", got.Features, got.Keys, want.Metadata.Features, want.Metadata.Keys)
	}
	for at, expected := range map[time.Time]any{got.MinEventTimestamp: want.Metadata.Min, got.MaxEventTimestamp: want.Metadata.Max} {
		text := "null"
		if !at.IsZero() {
			text = at.Format(time.RFC3339Nano)
		}
		if w := goldenText(t, expected, nil); text != w {
			t.Errorf("metadata: %s, want %s", text, w)
		}
	}
}

// compareParquet sees that the data is the same in a file.
func compareParquet(t *testing.T, job *feast.RetrievalJob, want *pitAnswer, name string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "training.parquet")
	if err := job.WriteParquet(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	r, err := codec.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if !r.Next() {
		if r.Err() != nil || len(want.Rows) > 0 {
			t.Errorf("the file has no rows: %v", r.Err())
		}
		return
	}
	compareAnswer(t, name, r.RecordBatch(), want)
}

// compareEntities sees that the entity rows came back as they were, in their order (line 7).
func compareEntities(t *testing.T, path string, rb arrow.RecordBatch) {
	t.Helper()
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	r, err := codec.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	row := 0
	for r.Next() {
		b := r.RecordBatch()
		for i := range int(b.NumRows()) {
			for c := range b.Columns() {
				got, want := cellText(t, rb.Column(c), row), cellText(t, b.Column(c), i)
				if rb.Column(c).DataType().ID() == arrow.TIMESTAMP && b.Column(c).DataType().ID() == arrow.STRING {
					text, err := strconv.Unquote(want)
					if err != nil {
						t.Fatal(err)
					}
					want = goldenText(t, map[string]any{"$ts": text}, nil)
				}
				if got != want {
					t.Errorf("row %d of %s is %s, want %s", row, rb.ColumnName(c), got, want)
				}
			}
			row++
		}
	}
	if err := r.Err(); err != nil || row != int(rb.NumRows()) {
		t.Errorf("%d entity rows, %d came back; %v", row, rb.NumRows(), err)
	}
}

// What is wrong with the entity rows or the files is an error that names it, through front and driver.
func TestRetrievalBadInput(t *testing.T) {
	const dir = "testdata/offline/pit/01_basic_single_view"
	var c pitCase
	readJSON(t, "offline/pit/01_basic_single_view/case.json", &c)
	rows := feast.Columns{"driver_id": []int64{1}, "event_timestamp": []time.Time{t0}}
	trips := []string{"dv:trips"}
	declare := func(field string) func(*pitCase) {
		return func(c *pitCase) {
			c.FeatureViews[0].Schema = append(c.FeatureViews[0].Schema, struct{ Name, Dtype string }{field, "Int64"})
		}
	}
	for _, b := range []struct {
		name   string
		change func(*pitCase)
		req    feast.HistoricalRequest
		says   []string
	}{
		{"text for a number", nil, feast.HistoricalRequest{Features: trips, Entities: feast.Columns{"driver_id": []string{"1"}, "event_timestamp": []time.Time{t0}}}, []string{"driver_id", "utf8", "int64"}},
		{"missing columns", func(c *pitCase) { declare("absent")(c); declare("gone")(c) }, feast.HistoricalRequest{Features: []string{"dv:absent", "dv:trips", "dv:gone"}, Entities: rows}, []string{`"absent"`, `"gone"`}},
		{"no file", func(c *pitCase) { c.Sources[0].File = "nothing.parquet" }, feast.HistoricalRequest{Features: trips, Entities: rows}, []string{"nothing.parquet"}},
		{"no file, without entity rows", func(c *pitCase) { c.Sources[0].File = "nothing.parquet" }, feast.HistoricalRequest{Features: trips}, []string{`view "dv": file: read: Parquet file "`, `nothing.parquet" does not exist`}},
		{"no column of times", func(c *pitCase) { c.Sources[0].TimestampField = "when" }, feast.HistoricalRequest{Features: trips, Entities: rows}, []string{`view "dv": timestamp field "when" does not exist in `}},
		{"no column of times, without entity rows", func(c *pitCase) { c.Sources[0].TimestampField = "when" }, feast.HistoricalRequest{Features: trips}, []string{`view "dv": file: read: timestamp field "when" does not exist in `}},
		{"times of another type", func(c *pitCase) { c.Sources[0].TimestampField = "name" }, feast.HistoricalRequest{Features: trips, Entities: rows}, []string{`"name"`}},
	} {
		t.Run(b.name, func(t *testing.T) {
			c := c
			c.Sources, c.FeatureViews = slices.Clone(c.Sources), slices.Clone(c.FeatureViews)
			if b.change != nil {
				b.change(&c)
			}
			job, err := c.open(t, dir).GetHistoricalFeatures(t.Context(), b.req)
			if err != nil {
				t.Fatal(err)
			}
			_, err = job.RecordBatch(t.Context())
			for _, says := range b.says {
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("%v, want an error with %q", err, says)
				}
			}
			out := filepath.Join(t.TempDir(), "out.parquet")
			if err := job.WriteParquet(t.Context(), out); err == nil {
				t.Error("a file was written")
			}
			if left, _ := filepath.Glob(filepath.Dir(out) + "/*"); len(left) > 0 {
				t.Errorf("%q is left", left)
			}
		})
	}
}

// On-demand views are computed from joined rows and from columns of the entity rows; of their sources all features come along.
func TestHistoricalOnDemand(t *testing.T) {
	const dir = "testdata/offline/pit/01_basic_single_view"
	var c pitCase
	readJSON(t, "offline/pit/01_basic_single_view/case.json", &c)
	calc := &feast.OnDemandFeatureView{
		Name:           "calc",
		Schema:         []feast.Field{{Name: "boosted", Type: feast.Int64}, {Name: "label", Type: feast.String}},
		Sources:        []feast.FeatureViewProjection{{Name: "dv", Features: []feast.Field{{Name: "trips", Type: feast.Int64}, {Name: "rate", Type: feast.Float64}}}},
		RequestSources: []*feast.DataSource{{Name: "req", Options: registry.RequestOptions{Schema: []feast.Field{{Name: "boost", Type: feast.Int64}}}}},
	}
	type in struct {
		Trips *int64 `feast:"trips"`
		Boost int64  `feast:"boost"`
		ID    int64  `feast:"driver_id"`
	}
	type out struct {
		Boosted *int64 `feast:"boosted"`
		Label   string `feast:"label"`
	}
	fs := c.open(t, dir, calc, feast.WithTransformation("calc", feast.RowWise(func(r in) (out, error) {
		if r.Boost < 0 {
			return out{}, errors.New("a negative boost")
		}
		o := out{Label: fmt.Sprint("driver ", r.ID)}
		if r.Trips != nil {
			n := *r.Trips + r.Boost
			o.Boosted = &n
		}
		return o, nil
	})))
	rows := func(boost int64) feast.Columns {
		return feast.Columns{
			"driver_id": []int64{1, 99}, "boost": []int64{100, boost},
			"event_timestamp": []time.Time{time.Date(2024, 1, 10, 0, 0, 0, 0, time.UTC), time.Date(2024, 1, 10, 0, 0, 0, 0, time.UTC)},
		}
	}
	plain, err := fs.GetHistoricalFeatures(t.Context(), feast.HistoricalRequest{Features: []string{"dv:trips"}, Entities: rows(1)})
	if err != nil {
		t.Fatal(err)
	}
	rb, err := plain.RecordBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	trips := rb.Column(3).(*array.Int64)
	if trips.IsNull(0) || trips.IsValid(1) {
		t.Fatalf("trips are %v, want a value and a null", trips)
	}

	for _, full := range []bool{false, true} {
		job, err := fs.GetHistoricalFeatures(t.Context(), feast.HistoricalRequest{Features: []string{"calc:label", "dv:name", "calc:boosted"}, FullFeatureNames: full, Entities: rows(1)})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(job.Metadata().Features, " "); got != "calc:label dv:name calc:boosted dv:trips dv:rate" {
			t.Errorf("features %s", got)
		}
		rb, err := job.RecordBatch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range rb.Schema().Fields() {
			names = append(names, f.Name)
		}
		want := "boost driver_id event_timestamp name trips rate label boosted"
		if full {
			want = "boost driver_id event_timestamp dv__name dv__trips dv__rate calc__label calc__boosted"
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("columns %s, want %s", got, want)
		}
		if got, want := fmt.Sprint(rb.Column(6), rb.Column(7)), fmt.Sprintf(`["driver 1" "driver 99"] [%d (null)]`, trips.Value(0)+100); got != want {
			t.Errorf("computed %s, want %s", got, want)
		}
	}

	job, err := fs.GetHistoricalFeatures(t.Context(), feast.HistoricalRequest{Features: []string{"calc:boosted"}, Entities: rows(-1)})
	if err != nil {
		t.Fatal(err)
	}
	var failed *feast.TransformError
	if _, err := job.RecordBatch(t.Context()); !errors.As(err, &failed) || failed.View != "calc" || failed.Row != 1 || !strings.Contains(err.Error(), "a negative boost") {
		t.Errorf("a function that fails: %v", err)
	}
	for _, e := range []struct {
		req  feast.HistoricalRequest
		says string
	}{
		{feast.HistoricalRequest{Features: []string{"calc:boosted"}, Entities: feast.Columns{"driver_id": []int64{1}, "event_timestamp": []time.Time{t0}}}, `on-demand feature view "calc" needs request data boost`},
		{feast.HistoricalRequest{Features: []string{"calc:boosted"}}, `on-demand feature view "calc" needs request data boost`},
		{feast.HistoricalRequest{Features: []string{"calc:nope"}, Entities: rows(1)}, `feature "nope" does not exist`},
	} {
		if _, err := fs.GetHistoricalFeatures(t.Context(), e.req); err == nil || !strings.Contains(err.Error(), e.says) {
			t.Errorf("%v, want an error with %q", err, e.says)
		}
	}
	without := c.open(t, dir, calc)
	if _, err := without.GetHistoricalFeatures(t.Context(), feast.HistoricalRequest{Features: []string{"calc:boosted"}, Entities: rows(1)}); !errors.Is(err, feast.ErrUnsupported) || !strings.Contains(err.Error(), "WithTransformation") {
		t.Errorf("a view without a function: %v", err)
	}
}
