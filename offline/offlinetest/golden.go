package offlinetest

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/offline"
)

// The cases of Feast's recorded data that a store answers by itself; those of references, names and entity rows without
// times are the front's. The answers are those of Feast's duckdb store, which keeps every entity row once
// (docs/compatibility.md, line 7), and of its PostgreSQL store where there are no entity rows (line 8).
//
//go:embed testdata/pit testdata/materialize
var goldenFiles embed.FS

type goldenSource struct {
	Name, File   string
	Timestamp    string            `json:"timestamp_field"`
	Created      string            `json:"created_timestamp_column"`
	FieldMapping map[string]string `json:"field_mapping"`
}

// physical turns the names of the source's field mapping round.
func (s *goldenSource) physical() func(logical string) string {
	return func(logical string) string {
		for from, to := range s.FieldMapping {
			if to == logical {
				return from
			}
		}
		return logical
	}
}

type goldenCase struct {
	Name     string
	Sources  []goldenSource
	Entities []struct {
		Name    string
		JoinKey string `json:"join_key"`
	}
	Views []struct {
		Name     string
		Entities []string
		TTL      float64 `json:"ttl_seconds"`
		Source   string
		Schema   []struct{ Name string }
	} `json:"feature_views"`
	Services []struct {
		Name        string
		Projections []struct {
			View, Alias string
			Features    []string
			JoinKeyMap  map[string]string `json:"join_key_map"`
		}
	} `json:"feature_services"`
	EntityRows string `json:"entity_df"`
	Request    struct {
		Features  []string
		Service   string `json:"feature_service"`
		FullNames bool   `json:"full_feature_names"`
		Start     string `json:"start_date"`
		End       string `json:"end_date"`
		Filter    bool   `json:"filter_by_created_timestamp"`
	}
}

func goldenJoins(t *testing.T, h Harness) {
	dirs, err := fs.Glob(goldenFiles, "testdata/pit/*/case.json")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no cases: ", err)
	}
	for _, f := range dirs {
		dir := path.Dir(f)
		t.Run(path.Base(dir), func(t *testing.T) { goldenJoin(h.bed(t), dir) })
	}
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	data, err := goldenFiles.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// goldenTable reads a Parquet file of a case.
func goldenTable(t testing.TB, name string) []arrow.RecordBatch {
	t.Helper()
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	data, err := goldenFiles.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), path.Base(name))
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := codec.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	var out []arrow.RecordBatch
	for r.Next() {
		r.RecordBatch().Retain()
		out = append(out, r.RecordBatch())
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	if out == nil {
		out = append(out, emptyBatch(r.Schema()))
	}
	return out
}

func goldenJoin(b *bed, dir string) {
	var c goldenCase
	readJSON(b, dir+"/case.json", &c)
	joinKeys := map[string]string{}
	for _, e := range c.Entities {
		joinKeys[e.Name] = e.JoinKey
	}
	type source struct {
		*offline.Source
		event, created string
		physical       func(string) string
	}
	sources := map[string]source{}
	for _, s := range c.Sources {
		physical := s.physical()
		sources[s.Name] = source{b.source(goldenTable(b, dir+"/"+s.File)...), physical(s.Timestamp), physical(s.Created), physical}
	}
	// References by view, in order of first appearance.
	type projection struct {
		view, name string
		features   []string
		keys       map[string]string
	}
	var projections []*projection
	for _, s := range c.Services {
		if s.Name == c.Request.Service {
			for _, p := range s.Projections {
				features := p.Features
				for _, v := range c.Views {
					if v.Name == p.View && features == nil {
						for _, f := range v.Schema {
							features = append(features, f.Name)
						}
					}
				}
				projections = append(projections, &projection{p.View, cmp.Or(p.Alias, p.View), features, p.JoinKeyMap})
			}
		}
	}
	for _, ref := range c.Request.Features {
		view, feature, _ := strings.Cut(ref, ":")
		i := slices.IndexFunc(projections, func(p *projection) bool { return p.name == view })
		if i < 0 {
			i = len(projections)
			projections = append(projections, &projection{view: view, name: view})
		}
		projections[i].features = append(projections[i].features, feature)
	}
	plan := &offline.JoinPlan{FilterByCreated: c.Request.Filter}
	for _, p := range projections {
		for _, v := range c.Views {
			if v.Name != p.view {
				continue
			}
			src := sources[v.Source]
			jv := offline.JoinView{Name: p.name, Source: src.Source, Event: src.event, Created: src.created, TTL: time.Duration(v.TTL * 1e9)}
			for _, e := range v.Entities {
				jv.Keys = append(jv.Keys, offline.JoinKey{Source: src.physical(joinKeys[e]), Entity: cmp.Or(p.keys[joinKeys[e]], joinKeys[e])})
			}
			for _, f := range p.features {
				name := f
				if c.Request.FullNames {
					name = p.name + "__" + f
				}
				jv.Features = append(jv.Features, offline.Column{Source: src.physical(f), Name: name})
			}
			plan.Views = append(plan.Views, jv)
		}
	}
	if c.EntityRows == "" {
		goldenWindow(b, dir, &c, &plan.Views[0])
		return
	}
	if c.Request.Filter && b.NoFilterByCreated {
		b.Skip("the store cannot leave out rows by their created time")
	}
	entities := goldenTable(b, dir+"/"+c.EntityRows)
	got, err := Join(b.Context(), b, b.store, plan, eventColumn(entities[0].Schema()), entities...)
	if c.Name == "missing_join_key_column" {
		if err == nil || !strings.Contains(err.Error(), "driver_id") {
			b.Errorf("the missing key is not named: %v", err)
		}
		return
	}
	if err != nil {
		b.Fatal(err)
	}
	want := expected(b, dir+"/expected_duckdb.json")
	if strings.HasPrefix(c.Name, "tie_event_ts_no_created") || c.Name == "tie_event_ts_and_created_equal" {
		// Feast's winner is not defined; here the first row in source order wins (lines 7 and 22).
		src := goldenTable(b, dir+"/src.parquet")
		want = BruteForce(b, plan, eventColumn(entities[0].Schema()), map[*offline.Source][]arrow.RecordBatch{plan.Views[0].Source: src}, entities...)
	}
	slices.Sort(got)
	slices.Sort(want)
	equal(b, got, want...)
}

// goldenWindow compares the rows of a window.
func goldenWindow(b *bed, dir string, c *goldenCase, v *offline.JoinView) {
	day := func(s string) time.Time {
		for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
			if t, err := time.Parse(form, s); err == nil {
				return t
			}
		}
		b.Fatalf("time %q", s)
		return time.Time{}
	}
	p := &offline.ScanPlan{
		Name: v.Name, Source: v.Source, Features: v.Features, End: day(c.Request.End), Event: offline.Column{Source: v.Event, Name: "event_timestamp"},
		Created: offline.Column{Source: v.Created, Name: "created_timestamp"},
	}
	if p.Start = p.End.Add(-v.TTL); c.Request.Start != "" {
		p.Start = day(c.Request.Start)
	}
	for _, k := range v.Keys {
		p.Keys = append(p.Keys, offline.Column{Source: k.Source, Name: k.Entity})
	}
	got := b.scan(b.store.All, p) // keys, features, event, created
	var want []string
	for _, r := range expected(b, dir+"/expected_postgres.json") { // event, created, keys, features
		var cells []json.RawMessage
		if err := json.Unmarshal([]byte(strings.ReplaceAll(r, "$ts_naive", "$ts")), &cells); err != nil {
			b.Fatal(err)
		}
		text, _ := json.Marshal(append(cells[2:], cells[:2]...))
		want = append(want, strings.ReplaceAll(string(text), `00"}`, `00Z"}`))
	}
	slices.Sort(got)
	slices.Sort(want)
	equal(b, got, want...)
}

// eventColumn is event_timestamp, or the only column of times.
func eventColumn(s *arrow.Schema) string {
	name := ""
	for _, f := range s.Fields() {
		if f.Name == "event_timestamp" {
			return f.Name
		}
		if f.Type.ID() == arrow.TIMESTAMP {
			name = f.Name
		}
	}
	return name
}

// expected reads an answer of Feast as [Rows] writes rows.
func expected(t testing.TB, name string) []string {
	var answer struct {
		Columns []struct {
			Type string `json:"arrow_type"`
		}
		Rows [][]any
	}
	readJSON(t, name, &answer)
	out := []string{}
	for _, r := range answer.Rows {
		cells := make([]string, len(r))
		for i, v := range r {
			cells[i] = expectedValue(v, strings.Contains(answer.Columns[i].Type, "double") || answer.Columns[i].Type == "float")
		}
		out = append(out, "["+strings.Join(cells, ",")+"]")
	}
	return out
}

func expectedValue(v any, float bool) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case json.Number:
		if !float {
			return v.String()
		}
		x, err := v.Float64()
		if err != nil {
			panic(err)
		}
		if x == 0 && strings.HasPrefix(v.String(), "-") {
			x = math.Copysign(0, -1)
		}
		return strconv.FormatFloat(x, 'g', -1, 64)
	case []any:
		cells := make([]string, len(v))
		for i := range v {
			cells[i] = expectedValue(v[i], float)
		}
		return "[" + strings.Join(cells, ",") + "]"
	case map[string]any:
		for tag, x := range v {
			s := fmt.Sprint(x)
			if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
				s = at.UTC().Format("2006-01-02T15:04:05.999999999Z")
			}
			return fmt.Sprintf(`{"%s":"%s"}`, tag, s)
		}
	}
	text, _ := json.Marshal(v)
	return string(text)
}
