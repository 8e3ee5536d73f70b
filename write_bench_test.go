package feast_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/internal/cputime"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/sqlite"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
)

// benchRows are rows to push: 4 floats, 4 integers and 2 texts.
type benchRows struct {
	ids    []int64
	floats [4][]float64
	ints   [4][]int64
	texts  [2][]string
	times  []time.Time
}

func newBenchRows(n int) *benchRows {
	r := &benchRows{ids: make([]int64, n), times: make([]time.Time, n)}
	for row := range n {
		r.ids[row] = int64(row)
		for f := range r.floats {
			r.floats[f] = append(r.floats[f], float64(row)/7+float64(f))
		}
		for f := range r.ints {
			r.ints[f] = append(r.ints[f], int64(row)<<20+int64(f))
		}
		for f := range r.texts {
			r.texts[f] = append(r.texts[f], "city-"+strconv.Itoa(row%100))
		}
	}
	return r
}

// at makes the rows those of a time.
func (r *benchRows) at(t time.Time) {
	for i := range r.times {
		r.times[i] = t
	}
}

func (r *benchRows) fill(b *feast.Batch) {
	b.Reset()
	feast.SetColumn(b, "driver_id", r.ids)
	for f, v := range r.floats {
		feast.SetColumn(b, benchNames[f], v)
	}
	for f, v := range r.ints {
		feast.SetColumn(b, benchNames[4+f], v)
	}
	for f, v := range r.texts {
		feast.SetColumn(b, benchNames[8+f], v)
	}
	feast.SetColumn(b, "ts", r.times)
}

var benchNames = []string{"f0", "f1", "f2", "f3", "i0", "i1", "i2", "i3", "t0", "t1"}

// benchPush opens a feature store with a view of these rows, and returns the push of all of them.
func benchPush(b *testing.B, rows *benchRows, store online.Store) (fs *feast.FeatureStore, push func(at time.Time)) {
	b.Helper()
	view := &feast.FeatureView{Name: "stats", Entities: []string{"driver"}, EntityColumns: driverKey, Source: pushSource("events")}
	for f, name := range benchNames {
		view.Schema = append(view.Schema, feast.Field{Name: name, Type: []types.Type{types.Float64, types.Int64, types.String}[f/4]})
	}
	backend := registrymemory.New()
	put(b, backend, driver, view)
	fs, err := feast.New(b.Context(), config.Default(project), feast.WithRegistry(backend), feast.WithOnlineStore(store))
	if err != nil {
		b.Fatal(err)
	}
	var batch feast.Batch
	return fs, func(at time.Time) {
		rows.at(at)
		rows.fill(&batch)
		if err := fs.Push(context.Background(), "events", &batch, feast.ToOnline); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPush pushes rows of 10 features into an SQLite file in which their entities are, and does the same by hand: the
// same statements in one transaction, with SQLite's own functions of modernc.org/sqlite/lib. The two take turns, and while
// one has the file open the other has not, since SQLite's connections take pages of its cache from each other.
func BenchmarkPush(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "online.db")
			rows := newBenchRows(n)
			open := func() (*sqlite.Store, *feast.FeatureStore, func(time.Time)) {
				store, err := sqlite.New(sqlite.Config{Path: path})
				if err != nil {
					b.Fatal(err)
				}
				fs, push := benchPush(b, rows, store)
				return store, fs, push
			}
			now := t0
			store, fs, push := open()
			table := &online.Table{Project: project, View: "stats", JoinKeys: []string{"driver_id"}}
			if err := store.Update(b.Context(), []*online.Table{table}, nil); err != nil {
				b.Fatal(err)
			}
			push(now)
			fs.Close()

			rounds := max(2, 1000/n)
			var pushes, floors, pushCPU, floorCPU time.Duration
			turn := func(write func(time.Time), wall, cpu *time.Duration) {
				now = now.Add(time.Second)
				write(now) // the first one fills the cache
				start, used := time.Now(), cputime.Used()
				for range rounds {
					now = now.Add(time.Second)
					write(now)
				}
				*wall, *cpu = *wall+time.Since(start), *cpu+cputime.Used()-used
			}
			for b.Loop() {
				byHand, done := pushByHand(b, path, rows)
				turn(byHand, &floors, &floorCPU)
				done()
				_, fs, push := open()
				turn(push, &pushes, &pushCPU)
				fs.Close()
			}
			b.ReportMetric(float64(pushes)/float64(floors), "x-floor")
			b.ReportMetric(float64(pushCPU)/float64(floorCPU), "x-floor-cpu")
			b.ReportMetric(float64(pushes)/float64(rounds*b.N)/1e3, "us/push")
		})
	}
}

// BenchmarkPushFront converts rows and does not store them: what the front costs.
func BenchmarkPushFront(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			rows := newBenchRows(n)
			fs, push := benchPush(b, rows, discard{memory.New()})
			defer fs.Close()
			b.ReportAllocs()
			for b.Loop() {
				push(t0)
			}
		})
	}
}

// pushByHand returns the floor of BenchmarkPush, and what closes the file.
func pushByHand(b *testing.B, path string, rows *benchRows) (write func(at time.Time), done func()) {
	tls := libc.NewTLS()
	var statements []uintptr
	alloc := func(size int) (uintptr, []byte) {
		p := sqlite3.Xsqlite3_malloc(tls, int32(size))
		return p, unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&p))), size)
	}
	text := func(s string) uintptr {
		p, buf := alloc(len(s) + 1)
		copy(buf, s+"\x00")
		return p
	}
	out := text("pointer.")
	result := func(rc int32) uintptr {
		if rc != sqlite3.SQLITE_OK {
			b.Fatalf("result code %d", rc)
		}
		return **(**uintptr)(unsafe.Pointer(&out))
	}
	db := result(sqlite3.Xsqlite3_open_v2(tls, text(path), out, sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_NOMUTEX, 0))
	done = func() {
		for _, q := range statements {
			sqlite3.Xsqlite3_finalize(tls, q)
		}
		sqlite3.Xsqlite3_close_v2(tls, db)
		tls.Close()
	}
	prepare := func(sql string) uintptr {
		q := result(sqlite3.Xsqlite3_prepare_v2(tls, db, text(sql), -1, out, 0))
		statements = append(statements, q)
		return q
	}
	run := func(q uintptr) {
		if rc := sqlite3.Xsqlite3_step(tls, q); rc != sqlite3.SQLITE_DONE {
			b.Fatalf("result code %d", rc)
		}
		sqlite3.Xsqlite3_reset(tls, q)
	}
	begin, commit := prepare("BEGIN IMMEDIATE"), prepare("COMMIT")
	insert := prepare(fmt.Sprintf(`INSERT INTO "%s_stats" (entity_key, feature_name, value, event_ts, created_ts, value_text) VALUES (?1, ?2, ?3, ?4, ?5, ?7) `+
		"ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value, event_ts = excluded.event_ts, created_ts = excluded.created_ts, value_text = excluded.value_text "+
		"WHERE CASE typeof(event_ts) WHEN 'null' THEN 1 WHEN 'text' THEN coalesce(CAST(strftime('%%s', event_ts) AS INTEGER) <= ?6, 1) "+
		"ELSE CAST(event_ts AS INTEGER) <= excluded.event_ts END", project))
	var names []uintptr
	for _, n := range benchNames {
		names = append(names, text(n))
	}
	keyAt, key := alloc(64)
	valueAt, value := alloc(64)
	textAt, textOf := alloc(64)
	prefix := online.AppendKeyPrefix(nil, 3, []string{"driver_id"})
	store := func(f, valueLen, textLen int) {
		sqlite3.Xsqlite3_bind_text(tls, insert, 2, names[f], int32(len(benchNames[f])), sqlite3.SQLITE_STATIC)
		sqlite3.Xsqlite3_bind_blob(tls, insert, 3, valueAt, int32(valueLen), sqlite3.SQLITE_STATIC)
		sqlite3.Xsqlite3_bind_text(tls, insert, 7, textAt, int32(textLen), sqlite3.SQLITE_STATIC)
		run(insert)
	}
	return func(at time.Time) {
		rows.at(at)
		run(begin)
		for row, id := range rows.ids {
			k := append(key[:0], prefix...)
			k = binary.LittleEndian.AppendUint32(k, 4)
			k = binary.LittleEndian.AppendUint32(k, 8)
			k = binary.LittleEndian.AppendUint64(k, uint64(id))
			sqlite3.Xsqlite3_bind_blob(tls, insert, 1, keyAt, int32(len(k)), sqlite3.SQLITE_STATIC)
			sqlite3.Xsqlite3_bind_int64(tls, insert, 4, rows.times[row].Unix())
			sqlite3.Xsqlite3_bind_null(tls, insert, 5)
			sqlite3.Xsqlite3_bind_int64(tls, insert, 6, rows.times[row].Unix())
			for f := range rows.floats {
				x := rows.floats[f][row]
				v := binary.LittleEndian.AppendUint64(append(value[:0], 5<<3|1), math.Float64bits(x))
				store(f, len(v), len(types.AppendFloat(textOf[:0], x)))
			}
			for f := range rows.ints {
				x := rows.ints[f][row]
				v := binary.AppendUvarint(append(value[:0], 4<<3), uint64(x))
				store(4+f, len(v), len(strconv.AppendInt(textOf[:0], x, 10)))
			}
			for f := range rows.texts {
				x := rows.texts[f][row]
				v := append(append(value[:0], 2<<3|2, byte(len(x))), x...)
				store(8+f, len(v), copy(textOf, x))
			}
		}
		run(commit)
	}, done
}
