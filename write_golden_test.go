package feast_test

import (
	"bytes"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"
	_ "modernc.org/sqlite"

	"github.com/feastgo/feast"
	typespb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
)

// httpCase is a recorded exchange with Feast's feature server.
type httpCase struct {
	ID      string
	Request struct{ Path, Body string }

	Response struct {
		Status int
		Body   string `json:"body_text"`
	}
}

// pushBody is the body of a push, a write or a read.
type pushBody struct {
	Source   string `json:"push_source_name"`
	View     string `json:"feature_view_name"`
	DF       json.RawMessage
	To       string
	Features []string
	Entities json.RawMessage

	Transform *bool `json:"transform_on_write"`
}

// TestGoldenPush replays the pushes and writes of golden/serving/http.json in order, and the reads that show what they
// stored.
func TestGoldenPush(t *testing.T) {
	clock := time.Date(2026, 11, 23, 9, 40, 8, 0, time.UTC)
	type pushed struct {
		Rate float64 `feast:"push_rate"`
	}
	type doubled struct {
		Double float64 `feast:"push_double"`
	}
	fs := open(t, copyRepo(t, "serving/repo"), feast.WithClock(func() time.Time { return clock }),
		feast.WithTransformation("odfv_written", feast.RowWise(func(in pushed) (doubled, error) { return doubled{2 * in.Rate}, nil })))
	var cases []httpCase
	readJSON(t, "serving/http.json", &cases)
	modes := map[string]feast.PushMode{"": feast.ToOnline, "online": feast.ToOnline, "offline": feast.ToOffline, "online_and_offline": feast.ToOnlineAndOffline}
	ran := 0
	for _, c := range cases {
		if !strings.HasPrefix(c.ID, "push_") && !strings.HasPrefix(c.ID, "write_") {
			continue
		}
		ran++
		if slices.Contains([]string{"push_missing_df", "push_df_list", "push_get", "write_missing_name"}, c.ID) {
			continue // the server's matter
		}
		t.Run(c.ID, func(t *testing.T) {
			var body pushBody
			if err := json.Unmarshal([]byte(c.Request.Body), &body); err != nil {
				t.Fatal(err)
			}
			if c.Request.Path == "/get-online-features" {
				goldenRead(t, fs, &c, body)
				return
			}
			var rows feast.Batch
			err := json.Unmarshal(body.DF, &rows)
			if err == nil && c.Request.Path == "/push" {
				err = fs.Push(t.Context(), body.Source, &rows, modes[body.To])
			} else if err == nil {
				_, err = fs.WriteToOnlineStore(t.Context(), body.View, &rows, feast.WriteOptions{AsGiven: body.Transform != nil && !*body.Transform})
			}
			var want error
			switch {
			case c.Response.Status == 200:
			case c.ID == "push_unknown_source", c.ID == "write_unknown_view":
				want = feast.ErrNotFound
			default:
				want = feast.ErrInvalid
			}
			if !errors.Is(err, want) {
				t.Errorf("error is %v, want %v; Feast answers %s", err, want, c.Response.Body)
			}
		})
	}
	if ran != 47 {
		t.Errorf("%d cases", ran)
	}
}

func goldenRead(t *testing.T, fs *feast.FeatureStore, c *httpCase, body pushBody) {
	t.Helper()
	resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{Features: body.Features, Entities: goldenFrame(t, body.Entities)})
	if err != nil {
		t.Fatal(err)
	}
	text := c.Response.Body
	if c.ID == "push_older_read" { // departure 9: the newer row is kept
		text = strings.NewReplacer("99.0", "0.25", "2023-01-01T00:00:00Z", "2024-06-01T00:00:00Z").Replace(text)
	}
	var want any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&want); err != nil {
		t.Fatal(err)
	}
	compareHTTP(t, want, resp)
}

// writeGolden writes the rows of golden/online/input_rows.json through the feature store, and returns how many were older
// than what was stored. What no frame can say goes to the store itself: rows with some of the features, and rows of the
// view without entities under the key that nobody reads.
func writeGolden(t *testing.T, fs *feast.FeatureStore, o feast.WriteOptions) (older int) {
	t.Helper()
	cfg := fs.Config()
	raw, err := online.Open(t.Context(), cfg.OnlineStore, online.Env{Project: cfg.Project, RepoDir: cfg.RepoPath, KeyVersion: 3, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	snap, err := fs.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	for _, b := range onlinetest.GoldenBatches(t, 3) {
		if err := raw.Update(t.Context(), []*online.Table{b.Table}, nil); err != nil {
			t.Fatal(err)
		}
		v, err := snap.View(b.Table.View)
		if err != nil {
			t.Fatal(err)
		}
		info := v.Info()
		keys, err := online.ParseKey(b.Keys[0])
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) == 0 || len(b.Table.Features) < len(info.Features) {
			b.Overwrite = o.Overwrite
			if _, err := raw.Write(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			continue
		}
		res, err := fs.WriteToOnlineStore(t.Context(), info.Name, batchFrame(t, b, info.Source), o)
		if err != nil {
			t.Fatalf("%s: %v", info.Name, err)
		}
		if res.Written+res.Older != b.Rows() || res.Null != 0 {
			t.Errorf("%s: %+v of %d rows", info.Name, res, b.Rows())
		}
		written, older = written+b.Rows(), older+res.Older
	}
	if written != 44 {
		t.Errorf("%d rows came as frames", written)
	}
	return older
}

// batchFrame is the rows of a batch as a frame of native values.
func batchFrame(t *testing.T, b *online.WriteBatch, source *feast.DataSource) feast.Frame {
	t.Helper()
	columns := map[string][]any{}
	for row := range b.Keys {
		parts, err := online.ParseKey(b.Keys[row])
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			columns[p.JoinKey] = append(columns[p.JoinKey], p.Value)
		}
		columns[source.TimestampField] = append(columns[source.TimestampField], b.Event[row].Time())
		if name := source.CreatedTimestampColumn; name != "" {
			var created any
			if b.Created != nil && !b.Created[row].IsZero() {
				created = b.Created[row].Time()
			}
			columns[name] = append(columns[name], created)
		}
		for f, field := range b.Table.Features {
			columns[field.Name] = append(columns[field.Name], b.Columns[f].Any(row))
		}
	}
	frame := feast.Columns{}
	for name, values := range columns {
		frame[name] = values
	}
	return frame
}

// sqliteRow is what the SQLite store keeps of a feature.
type sqliteRow struct {
	value          []byte
	text           sql.NullString
	event, created sql.NullInt64
}

// sqliteRows reads all rows of a file, by table, key and feature.
func sqliteRows(t *testing.T, path string) map[string]sqliteRow {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string]sqliteRow{}
	for _, view := range []string{"all_types", "customer_profile", "driver_customer", "driver_stats", "global_stats", "ttl_view"} {
		rows, err := db.Query("SELECT entity_key, feature_name, value, value_text, CAST(event_ts AS INTEGER), CAST(created_ts AS INTEGER) FROM golden_proj_" + view)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var key []byte
			var name string
			var r sqliteRow
			if err := rows.Scan(&key, &name, &r.value, &r.text, &r.event, &r.created); err != nil {
				t.Fatal(err)
			}
			out[fmt.Sprintf("%s %x %s", view, key, name)] = r
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil { //nolint:sqlclosecheck // once a table, not at the end
			t.Fatal(err)
		}
	}
	return out
}

// TestGoldenWriteSQLite writes what Feast wrote, as frames, and compares the files.
func TestGoldenWriteSQLite(t *testing.T) {
	want := sqliteRows(t, filepath.Join(copyRepo(t, "online/sqlite"), "online_store.db"))
	for _, overwrite := range []bool{true, false} {
		dir := copyRepo(t, "online/sqlite")
		writeYAML(t, dir, "online_store:\n  type: sqlite\n  path: fresh.db\n")
		fs := open(t, dir)
		older := writeGolden(t, fs, feast.WriteOptions{Overwrite: overwrite})
		got := sqliteRows(t, filepath.Join(dir, "fresh.db"))
		if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
			t.Fatalf("rows are %v, want %v", g, w)
		}
		kept := map[string]bool{}
		for name, w := range want {
			g := got[name]
			w.value, g.value = goldenStored(w.value), goldenStored(g.value)
			if w.value == nil {
				w.text = sql.NullString{} // of the NaN
			}
			if strings.HasPrefix(name, "all_types ") {
				w.created = sql.NullInt64{} // the view's source has no such column, and a row of the golden data has one
			}
			if sameValue(t, g.value, w.value) && g.text == w.text && g.event == w.event && g.created == w.created {
				continue
			}
			if view, key, _ := strings.Cut(name, " "); !overwrite && view == "driver_stats" && g.event.Int64 > w.event.Int64 {
				kept[key[:strings.Index(key, " ")]] = true // departure 9
				continue
			}
			t.Errorf("overwrite %t, %s: got %x %v, want %x %v", overwrite, name, g.value, g, w.value, w)
		}
		wantOlder := 0
		if !overwrite {
			wantOlder = 2
		}
		if older != wantOlder || len(kept) != wantOlder {
			t.Errorf("overwrite %t: %d rows were older and %d entities kept theirs, want %d", overwrite, older, len(kept), wantOlder)
		}
	}
}

// goldenStored is a stored value as a write of native values stores it: a NaN is a null.
func goldenStored(b []byte) []byte {
	switch s := hex.EncodeToString(b); s {
	case "29000000000000f87f", "350000c07f", "":
		return nil
	case "820300": // the epoch without a zone, which in Go is in UTC
		return []byte("\x82\x03\x05\x12\x03UTC")
	}
	return b
}

// sameValue compares stored values, maps without order.
func sameValue(t *testing.T, got, want []byte) bool {
	t.Helper()
	if bytes.Equal(got, want) {
		return true
	}
	var g, w typespb.Value
	if err := errors.Join(proto.Unmarshal(got, &g), proto.Unmarshal(want, &w)); err != nil {
		t.Fatal(err)
	}
	return len(got) == len(want) && proto.Equal(&g, &w)
}

// TestGoldenWriteRedis is TestGoldenWriteSQLite on Redis, where older rows are left out by Feast, too.
func TestGoldenWriteRedis(t *testing.T) {
	addr := testserver.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: addr, DB: 6})
	defer client.Close()
	var dump struct {
		Keys []struct {
			Key    string
			Fields []struct{ Field, Value string }
		}
	}
	readJSON(t, "online/redis/dump.json", &dump)
	if err := client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	dir := copyRepo(t, "online/redis")
	writeYAML(t, dir, "online_store:\n  type: redis\n  connection_string: "+addr+",db=6\n")
	fs := open(t, dir)
	writeGolden(t, fs, feast.WriteOptions{})
	for _, k := range dump.Keys {
		key, err := hex.DecodeString(k.Key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.HGetAll(t.Context(), string(key)).Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(k.Fields) {
			t.Errorf("key %s has %d fields, want %d", k.Key, len(got), len(k.Fields))
		}
		for _, f := range k.Fields {
			field, err := hex.DecodeString(f.Field)
			if err != nil {
				t.Fatal(err)
			}
			want, err := hex.DecodeString(f.Value)
			if err != nil {
				t.Fatal(err)
			}
			g, ok := got[string(field)]
			if bytes.HasPrefix(field, []byte("_ts:")) {
				if !ok || g != string(want) {
					t.Errorf("key %s: %s is %x, want %s", k.Key, field, g, f.Value)
				}
			} else if !ok || !sameValue(t, goldenStored([]byte(g)), goldenStored(want)) {
				t.Errorf("key %s, field %s: %x, want %s", k.Key, f.Field, g, f.Value)
			}
		}
	}
	if n, err := client.DBSize(t.Context()).Result(); err != nil || int(n) != len(dump.Keys) {
		t.Errorf("%d keys, %v, want %d", n, err, len(dump.Keys))
	}
}
