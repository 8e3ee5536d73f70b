package file_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/offline/offlinetest"
)

var (
	table = offlinetest.Table
	row   = offlinetest.R
	noon  = time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)
)

// scanPlan reads k, v and e.
func scanPlan(path string) *offline.ScanPlan {
	return &offline.ScanPlan{
		Source: &offline.Source{Name: "s", Path: path}, Keys: []offline.Column{{Source: "k", Name: "k"}},
		Features: []offline.Column{{Source: "v", Name: "v"}}, Event: offline.Column{Source: "e", Name: "e"},
	}
}

func tryAll(t testing.TB, store *file.Store, p *offline.ScanPlan) ([]string, error) {
	t.Helper()
	job, err := store.All(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return offlinetest.ReadJob(t.Context(), t, job)
}

// values are those of column number i of rows.
func values(rows []string, i int) string {
	var out []string
	for _, r := range rows {
		out = append(out, strings.Split(r, ",")[i])
	}
	return strings.Join(out, " ")
}

// Bad files: the error says which file, and what is wrong.
func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.parquet")
	write(t, good, table("k i64, e us, v i64, s text, x f64s", row(1, noon, 1, "a", []float64{1})))
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	broken := slices.Clone(data)
	for i := 8; i < 60; i++ {
		broken[i] ^= 0x5a
	}
	for name, content := range map[string][]byte{
		"empty": {}, "short": []byte("PAR1"), "text": []byte("k,e,v\n1,2024-01-01,1\n"), "truncated": data[:len(data)/2], "tail": data[:len(data)-1],
		"footer": append(slices.Clone(data[:len(data)-8]), 0xff, 0xff, 0xff, 0x7f, 'P', 'A', 'R', '1'), "pages": broken,
		"encrypted": append(slices.Clone(data[:len(data)-4]), "PARE"...),
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".parquet"), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "text_times.parquet"), table("k i64, e text, v i64", row(1, "2024-01-01", 1)))
	if err := os.Mkdir(filepath.Join(dir, "none"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		class error
		words string
	}{
		{"empty.parquet", feasterr.ErrInvalid, "empty"},
		{"short.parquet", feasterr.ErrInvalid, "no Parquet file"},
		{"text.parquet", feasterr.ErrInvalid, "not a Parquet file"},
		{"truncated.parquet", feasterr.ErrInvalid, "truncated"},
		{"tail.parquet", feasterr.ErrInvalid, "truncated"},
		{"footer.parquet", feasterr.ErrInvalid, "damaged"},
		{"pages.parquet", feasterr.ErrInvalid, "damaged"},
		{"encrypted.parquet", feasterr.ErrUnsupported, "encrypted"},
		{"text_times.parquet", feasterr.ErrInvalid, `column "e" is utf8`},
		{"gone.parquet", feasterr.ErrNotFound, "gone.parquet"},
		{"gone/*.parquet", feasterr.ErrNotFound, "gone/*.parquet"},
		{"none", feasterr.ErrNotFound, "none is a directory that holds no Parquet file"},
		{"[", feasterr.ErrInvalid, "no pattern"},
		{"", feasterr.ErrInvalid, "names no file"},
		{"s3://bucket/x.parquet", feasterr.ErrUnsupported, "s3://bucket/x.parquet"},
		{"file://other/x.parquet", feasterr.ErrInvalid, "no local file"},
	} {
		_, err := tryAll(t, file.New(dir), scanPlan(c.path))
		if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", c.path, err)
		}
		if store, ok := errors.AsType[*feasterr.StoreError](err); ok && !strings.Contains(store.Table, c.path) {
			t.Errorf("%s: the error is about %s", c.path, store.Table)
		}
	}
	p := scanPlan(good)
	p.Source.Format = "delta"
	if _, err := tryAll(t, file.New(dir), p); !errors.Is(err, feasterr.ErrUnsupported) || !strings.Contains(err.Error(), "delta") {
		t.Errorf("delta: %v", err)
	}
	// All missing columns are named, with what is like them.
	p = scanPlan(good)
	p.Keys[0].Source, p.Features[0].Source, p.Event.Source = "K", "vv", "event"
	_, err = tryAll(t, file.New(dir), p)
	for _, w := range []string{`"K"`, `"vv"`, `"event"`, `did you mean "k"`} {
		if !errors.Is(err, feasterr.ErrNotFound) || !strings.Contains(err.Error(), w) {
			t.Errorf("missing columns: %v", err)
		}
	}
	p = scanPlan(good)
	p.Keys[0].Source = "x"
	if _, err := tryAll(t, file.New(dir), p); !errors.Is(err, feasterr.ErrUnsupported) || !strings.Contains(err.Error(), `"x" is list`) {
		t.Errorf("a key of lists: %v", err)
	}
}

// What is wrong with the source of a view is said of the view, and what the column is to it.
func TestBadViews(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "v.parquet"), table("k i64, e us, v i64", row(1, noon, 1)))
	write(t, filepath.Join(dir, "hive/k=1/v.parquet"), table("e us, v i64", row(noon, 1)))
	join := func(path, event, created string) error {
		_, err := offlinetest.Join(t.Context(), t, file.New(dir), &offline.JoinPlan{Views: []offline.JoinView{{
			Name: "stats", Source: &offline.Source{Path: path}, Event: event, Created: created,
			Keys: []offline.JoinKey{{Source: "k", Entity: "k"}}, Features: []offline.Column{{Source: "v", Name: "v"}},
		}}}, "t", table("k i64, t us", row(1, noon)))
		return err
	}
	for _, c := range []struct {
		path, event, created string
		class                error
		words                []string
	}{
		{"v.parquet", "ts", "", feasterr.ErrNotFound, []string{`view "stats": timestamp field "ts" does not exist in`, "v.parquet"}},
		{"v.parquet", "e", "c", feasterr.ErrNotFound, []string{`view "stats": created timestamp column "c" does not exist in`, "v.parquet"}},
		{"gone.parquet", "e", "", feasterr.ErrNotFound, []string{`view "stats": Parquet file`, "gone.parquet"}},
		{"hive", "e", "", feasterr.ErrInvalid, []string{`view "stats": `, `column "k" is int64 and cannot be read as utf8`, "columns of directories column=value are text"}},
	} {
		err := join(c.path, c.event, c.created)
		for _, w := range c.words {
			if !errors.Is(err, c.class) || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %s", c.path, err, w)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "cut.parquet"), []byte("PAR1 and no more than that"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := join("cut.parquet", "e", ""); !errors.Is(err, feasterr.ErrInvalid) || !strings.HasPrefix(err.Error(), `view "stats": file: read `) {
		t.Error(err)
	}
}

// Two columns of one name are in nobody's way until one is asked for.
func TestSameNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v.parquet")
	write(t, path, table("k i64, e us, v i64, w i64, x i64", row(1, noon, 1, 2, 3)))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	meta := parquetFile(t, path)
	meta.Schema[5].Name = "w"
	for i := range meta.RowGroups {
		meta.RowGroups[i].Columns[4].MetaData.PathInSchema = []string{"w"}
	}
	writeFooter(t, path, data, meta)
	rows, err := tryAll(t, file.New("."), scanPlan(path))
	if err != nil || len(rows) != 1 || !strings.HasPrefix(rows[0], "[1,1,") {
		t.Errorf("%s, %v", rows, err)
	}
	p := scanPlan(path)
	p.Features[0].Source = "w"
	if rows, err := tryAll(t, file.New("."), p); !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), `column "w" is there 2 times`) {
		t.Errorf("%s, %v", rows, err)
	}
}

// Files of one source have one schema. Only times may be of other units, and what is null throughout is of any type.
func TestFilesOfOneSource(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.parquet"), table("k i64, e us, v i64", row(1, noon, 1)))
	write(t, filepath.Join(dir, "b.parquet"), table("k i32, e ns, v i64", row(1, noon.Add(1), 2)))
	write(t, filepath.Join(dir, "c.parquet"), table("k i64, e date, v i64", row(1, noon, nil)))
	p := scanPlan(dir)
	p.Keys = nil
	rows, err := tryAll(t, file.New(dir), p)
	if want := `[1,{"$ts":"2024-01-01T12:00:00Z"}] [2,{"$ts":"2024-01-01T12:00:00Z"}] [null,{"$ts":"2024-01-01T00:00:00Z"}]`; err != nil || strings.Join(rows, " ") != want {
		t.Errorf("%s, %v", rows, err)
	}
	plan := &offline.JoinPlan{Views: []offline.JoinView{{
		Source: p.Source, Event: "e", Keys: []offline.JoinKey{{Source: "k", Entity: "k"}}, Features: []offline.Column{{Source: "v", Name: "v"}},
	}}}
	rows, err = offlinetest.Join(t.Context(), t, file.New(dir), plan, "t", table("k i64, t ns", row(1, noon), row(1, noon.Add(1)), row(1, noon.Add(-1))))
	if want := `[1,{"$ts":"2024-01-01T12:00:00Z"},1] [1,{"$ts":"2024-01-01T12:00:00Z"},2] [1,{"$ts":"2024-01-01T11:59:59.999999Z"},null]`; err != nil || strings.Join(rows, " ") != want {
		t.Errorf("%s, %v", rows, err)
	}
	write(t, filepath.Join(dir, "d.parquet"), table("k i64, e us, v text", row(1, noon, "x")))
	p.Keys = nil
	_, err = tryAll(t, file.New(dir), p)
	for _, w := range []string{"d.parquet", "a.parquet", `"v"`, "utf8", "int64"} {
		if !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), w) {
			t.Errorf("other types: %v", err)
		}
	}
	write(t, filepath.Join(dir, "d.parquet"), table("k i64, e us", row(1, noon)))
	if _, err = tryAll(t, file.New(dir), p); !errors.Is(err, feasterr.ErrNotFound) || !strings.Contains(err.Error(), "d.parquet") {
		t.Errorf("a column missing in one file: %v", err)
	}
}

// Files may have join keys of integers of several widths: the same number is the same key, as it is in a join.
func TestKeysOfSeveralWidths(t *testing.T) {
	dir := t.TempDir()
	at := func(hours int) time.Time { return noon.Add(time.Duration(hours) * time.Hour) }
	for name, rows := range map[string]arrow.RecordBatch{
		"a": table("k i64, e us, v i64", row(1, at(0), 10), row(5_000_000_000, at(0), 11), row(math.MinInt64, at(0), 12)),
		"b": table("k i32, e us, v i64", row(1, at(1), 20), row(nil, at(1), 21), row(-7, at(1), 22)),
		"c": table("k u32, e us, v i64", row(4_294_967_295, at(2), 30), row(1, at(0), 31)),
		"d": table("k i8, e us, v i64", row(-7, at(0), 40)),
		"e": table("k u16, e us, v i64", row(65_535, at(0), 50)),
		"f": nullKeys(at(0)),
	} {
		write(t, filepath.Join(dir, name+".parquet"), rows)
	}
	p := scanPlan(dir)
	all, err := tryAll(t, file.New(dir), p)
	if err != nil {
		t.Fatal(err)
	}
	job, err := file.New(dir).Latest(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	newest, err := offlinetest.ReadJob(t.Context(), t, job)
	if err != nil {
		t.Fatal(err)
	}
	job, err = file.New(dir).All(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer job.Close()
	r, err := job.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if dt := r.Schema().Field(0).Type; dt.ID() != arrow.INT64 {
		t.Errorf("keys are %s", dt)
	}
	cells := func(rows []string) string {
		var out []string
		for _, r := range rows {
			out = append(out, strings.Join(strings.Split(r, ",")[:2], ","))
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	if got, want := cells(all), "[-7,22 [-7,40 [-9223372036854775808,12 [1,10 [1,20 [1,31 [4294967295,30 [5000000000,11 [65535,50 [null,21 [null,60"; got != want {
		t.Errorf("all rows\n%s, want\n%s", got, want)
	}
	if got, want := cells(newest), "[-7,22 [-9223372036854775808,12 [1,20 [4294967295,30 [5000000000,11 [65535,50 [null,21 [null,60"; got != want {
		t.Errorf("newest rows\n%s, want\n%s", got, want)
	}
	for _, k := range []string{"u64", "text", "f64"} { // of which not every value is an int64
		value := any(1)
		if k == "text" {
			value = "1"
		}
		write(t, filepath.Join(dir, "g.parquet"), table("k "+k+", e us, v i64", row(value, at(0), 70)))
		if _, err := tryAll(t, file.New(dir), p); !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), "the files of a source need one schema") {
			t.Errorf("keys of %s: %v", k, err)
		}
	}
}

// Directories, patterns, URIs and partitions; what is hidden is no data.
func TestPaths(t *testing.T) {
	dir := t.TempDir()
	put := func(path string, v int) {
		write(t, filepath.Join(dir, path), table("k i64, e us, v i64", row(1, noon, v)))
	}
	put("data/b.parquet", 1)
	put("data/a/z.parquet", 2)
	put("data/a.parquet", 3)
	put("data/_old/x.parquet", 4)
	put("data/.x.parquet", 5)
	put("data/_x.parquet", 6)
	put("hive/day=2024-01-02/country=FR%2FPA/p.parquet", 7)
	put("hive/day=2024-01-01/country=__HIVE_DEFAULT_PARTITION__/p.parquet", 8)
	put("odd[1].parquet", 9)
	if err := os.WriteFile(filepath.Join(dir, "data", "notes.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{"data", "3 2 1"}, // a.parquet, a/z.parquet, b.parquet: '.' sorts before '/'
		{"data/", "3 2 1"},
		{"data/*.parquet", "3 1"},
		{"data/**", "3 2 1"},
		{"data/**/*.parquet", "3 2 1"},
		{"data/?", "2"},
		{"data/[a-b].parquet", "3 1"},
		{"data/a/z.parquet", "2"},
		{filepath.Join(dir, "data/b.parquet"), "1"},
		{"file://" + filepath.Join(dir, "data/b.parquet"), "1"},
		{"odd[1].parquet", "9"},
		{"hive", "8 7"},
		{"hive/*/*", "8 7"},
	} {
		rows, err := tryAll(t, file.New(dir), scanPlan(c.path))
		if got := values(rows, 1); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.path, got, err, c.want)
		}
	}
	p := scanPlan("hive")
	p.Features = []offline.Column{{Source: "day", Name: "day"}, {Source: "v", Name: "v"}}
	p.Keys = []offline.Column{{Source: "country", Name: "c"}}
	rows, err := tryAll(t, file.New(dir), p)
	if want := `[null,"2024-01-01",8,{"$ts":"2024-01-01T12:00:00Z"}] ["FR/PA","2024-01-02",7,{"$ts":"2024-01-01T12:00:00Z"}]`; err != nil || strings.Join(rows, " ") != want {
		t.Errorf("%s, %v", rows, err)
	}
	schema, err := file.New(dir).Describe(t.Context(), p.Source)
	if err != nil || schema.NumFields() != 5 || schema.Field(3).Name != "day" || schema.Field(4).Type.ID() != arrow.STRING {
		t.Errorf("%v, %v", schema, err)
	}
	plan := &offline.JoinPlan{Views: []offline.JoinView{{
		Source: p.Source, Event: "e", Keys: []offline.JoinKey{{Source: "country", Entity: "c"}, {Source: "k", Entity: "k"}},
		Features: []offline.Column{{Source: "day", Name: "day"}, {Source: "v", Name: "v"}},
	}}}
	rows, err = offlinetest.Join(t.Context(), t, file.New(dir), plan, "t", table("k i64, t us, c text", row(1, noon, "FR/PA"), row(1, noon, nil), row(2, noon, "FR/PA")))
	if want := `[1,{"$ts":"2024-01-01T12:00:00Z"},"FR/PA","2024-01-02",7] [1,{"$ts":"2024-01-01T12:00:00Z"},null,null,null] [2,{"$ts":"2024-01-01T12:00:00Z"},"FR/PA",null,null]`; err != nil || strings.Join(rows, " ") != want {
		t.Errorf("%s, %v", rows, err)
	}
}

func TestOpen(t *testing.T) {
	for _, name := range []string{"file", "dask", "feast.infra.offline_stores.dask.DaskOfflineStore"} {
		s, err := offline.Open(t.Context(), config.NewSection(name, nil), offline.Env{RepoDir: t.TempDir()})
		if err != nil || s.Info() != (offline.Info{Name: "file"}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := offline.Open(t.Context(), config.NewSection("file", map[string]any{"path": "x"}), offline.Env{}); err == nil || !strings.Contains(err.Error(), "path") {
		t.Errorf("an unknown key: %v", err)
	}
	if _, err := file.New(".").Historical(t.Context(), &offline.JoinPlan{}, offline.EntityRows{SQL: "SELECT 1"}); !errors.Is(err, feasterr.ErrUnsupported) {
		t.Errorf("a query for entity rows: %v", err)
	}
}

// Links to files and directories are followed, also where the source itself is one, but not round in circles. One that leads
// nowhere is an error: nobody knows what is missing.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	put := func(path string, v int) {
		write(t, filepath.Join(dir, path), table("k i64, e us, v i64", row(1, noon, v)))
	}
	put("data/a.parquet", 1)
	put("elsewhere/b.parquet", 2)
	put("elsewhere/sub/c.parquet", 3)
	put("single.parquet", 4)
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Skip("no links here:", err)
		}
	}
	link("../elsewhere", "data/linked")
	link("../single.parquet", "data/z.parquet")
	link("../data", "elsewhere/round")
	link(".", "data/self")
	link("data", "source")
	store := file.New(dir)
	for path, want := range map[string]string{"data": "1 2 3 4", "source": "1 2 3 4", "source/": "1 2 3 4", "source/**/*.parquet": "1 2 3 4", "data/linked/*.parquet": "2"} {
		rows, err := tryAll(t, store, scanPlan(path))
		if got := values(rows, 1); err != nil || got != want {
			t.Errorf("%s: %s, %v", path, got, err)
		}
	}
	// Appending goes where the link leads, and leaves it.
	link("elsewhere", "to")
	if _, err := store.Append(t.Context(), &offline.Source{Path: "to"}, oneRow(t, 1, 5)); err != nil {
		t.Fatal(err)
	}
	added, err := filepath.Glob(filepath.Join(dir, "elsewhere", "+*"))
	if info, statErr := os.Lstat(filepath.Join(dir, "to")); err != nil || len(added) != 1 || statErr != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("%s, %v, %v", added, err, statErr)
	}
	link("nowhere", "data/gone.parquet")
	if rows, err := tryAll(t, store, scanPlan("data")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "gone.parquet") {
		t.Errorf("a link to nothing: %s, %v", rows, err)
	}
}

// Appending is refused where it has no place, and leaves nothing half done.
func TestAppendPlaces(t *testing.T) {
	dir := t.TempDir()
	store := file.New(dir)
	rows := func(v int) array.RecordReader { return oneRow(t, 1, v) }
	for i := range 3 { // makes the file, then adds to it
		if n, err := store.Append(t.Context(), &offline.Source{Path: "new.parquet"}, rows(i)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	write(t, filepath.Join(dir, "many", "0.parquet"), table("k i64, e us, v i64", row(1, noon, 0)))
	for i := range 3 {
		if n, err := store.Append(t.Context(), &offline.Source{Path: "many"}, rows(i+1)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	for path, want := range map[string]string{"new.parquet": "2 1 0", "many": "3 2 1 0"} {
		all, err := tryAll(t, store, scanPlan(path))
		if got := values(all, 1); err != nil || got != want {
			t.Errorf("%s: %s, %v", path, got, err)
		}
	}
	write(t, filepath.Join(dir, "hive/a=1/x.parquet"), table("k i64", row(1)))
	write(t, filepath.Join(dir, "early/ x.parquet"), table("k i64, e us, v i64", row(1, noon, 0)))
	for _, path := range []string{"*.parquet", "hive", "early"} {
		if _, err := store.Append(t.Context(), &offline.Source{Path: path}, rows(1)); !errors.Is(err, feasterr.ErrUnsupported) {
			t.Errorf("%s: %v", path, err)
		}
	}
	// A read-only directory, a cancelled context and rows that end with an error leave the file as it was.
	before, err := os.ReadFile(filepath.Join(dir, "new.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	failing := array.ReaderFromIter(rows(1).Schema(), func(yield func(arrow.RecordBatch, error) bool) {
		if yield(table("k i64, e us, v i64", row(1, noon, 5)), nil) {
			cancel()
			yield(nil, fs.ErrClosed)
		}
	})
	if _, err := store.Append(t.Context(), &offline.Source{Path: "new.parquet"}, failing); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("rows that fail: %v", err)
	}
	if _, err := store.Append(cancelled, &offline.Source{Path: "new.parquet"}, rows(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "new.parquet"))
	if err != nil || string(before) != string(after) {
		t.Error("the file changed", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
	// Somebody else writes the file while rows come.
	other := array.ReaderFromIter(rows(1).Schema(), func(yield func(arrow.RecordBatch, error) bool) {
		write(t, filepath.Join(dir, "new.parquet"), table("k i64, e us, v i64", row(7, noon, 7)))
		yield(table("k i64, e us, v i64", row(1, noon, 5)), nil)
	})
	if _, err := store.Append(t.Context(), &offline.Source{Path: "new.parquet"}, other); !errors.Is(err, feasterr.ErrConflict) {
		t.Errorf("written by somebody else: %v", err)
	}
	if all, err := tryAll(t, store, scanPlan("new.parquet")); err != nil || len(all) != 1 || !strings.HasPrefix(all[0], "[7,7,") {
		t.Errorf("%s, %v", all, err)
	}
}

// Appending to a file of pyarrow changes nothing about the rows that were there, in any type.
func TestAppendToForeignFile(t *testing.T) {
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"flat_snappy", "flat_pages", "nested_snappy", "nested_pages", "flat_plain", "flat_int96", "flat_delta"} {
		data, err := os.ReadFile("testdata/" + name + ".parquet")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "source.parquet")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		rows, err := codec.Open(t.Context(), "testdata/"+name+".parquet")
		if err != nil {
			t.Fatal(err)
		}
		n, err := file.New(".").Append(t.Context(), &offline.Source{Path: path}, rows)
		rows.Release()
		if n != 60 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
			continue
		}
		read := func(path string) (*arrow.Schema, []string) {
			r, err := codec.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Release()
			var out []string
			for r.Next() {
				out = append(out, offlinetest.Rows(r.RecordBatch())...)
			}
			if r.Err() != nil {
				t.Fatal(name, r.Err())
			}
			return r.Schema(), out
		}
		schema, old := read("testdata/" + name + ".parquet")
		now, both := read(path)
		if !schema.Equal(now) || len(both) != 120 {
			t.Errorf("%s: %d rows, %s became %s", name, len(both), schema, now)
			continue
		}
		for i, r := range both {
			if r != old[i%60] {
				t.Errorf("%s, row %d: %s, want %s", name, i, r, old[i%60])
			}
		}
		if keep := os.Getenv("FEAST_KEEP"); keep != "" {
			data, _ := os.ReadFile(path)
			_ = os.WriteFile(filepath.Join(keep, name+".parquet"), data, 0o600)
		}
	}
}

// A disk that fills leaves no half file.
func TestFullDisk(t *testing.T) {
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	dir := fullDisk(t)
	size := benchmarkSize{features: 100_000, keys: 10}
	r := size.featureRows()
	defer r.Release()
	n, err := codec.Create(t.Context(), filepath.Join(dir, "x.parquet"), r)
	store, ok := errors.AsType[*feasterr.StoreError](err)
	if n != 0 || !ok || store.Op != "write" || !strings.Contains(fmt.Sprint(err), "no space") {
		t.Errorf("%d, %v", n, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// nullKeys is a table whose column of keys has no type.
func nullKeys(at time.Time) arrow.RecordBatch {
	rb := table("k i64, e us, v i64", row(nil, at, 60))
	fields, columns := rb.Schema().Fields(), slices.Clone(rb.Columns())
	fields[0].Type, columns[0] = arrow.Null, array.NewNull(1)
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, 1)
}
