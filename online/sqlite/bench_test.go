package sqlite

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
	"modernc.org/libc"
	_ "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// benchEntities is how many entities the file of a benchmark holds.
const benchEntities = 1000

// benchTable returns a table of int64 features, in a file where every entity has them all.
func benchTable(b *testing.B, features int) (*Store, *online.Table) {
	b.Helper()
	s, err := New(Config{Path: filepath.Join(b.TempDir(), "online.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	t := &online.Table{Project: "p", View: "stats", JoinKeys: []string{"driver_id"}}
	batch := &online.WriteBatch{Table: t}
	rnd := rand.New(rand.NewPCG(1, 2))
	for f := range features {
		field := types.Field{Name: fmt.Sprintf("feature_%03d", f), Type: types.Int64}
		c := types.NewColumn(field.Name, field.Type, benchEntities)
		for row := range benchEntities {
			c.SetInt64(row, int64(rnd.Uint64()>>2))
		}
		t.Features, batch.Columns = append(t.Features, field), append(batch.Columns, c)
	}
	for row := range benchEntities {
		batch.Keys = append(batch.Keys, benchKey(row))
		batch.Event = append(batch.Event, types.Timestamp{Seconds: 1704164645})
	}
	if err := s.Update(b.Context(), []*online.Table{t}, nil); err != nil {
		b.Fatal(err)
	}
	if _, err := s.Write(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	return s, t
}

func benchKey(n int) []byte {
	key := online.AppendKeyPrefix(nil, 3, []string{"driver_id"})
	key = binary.LittleEndian.AppendUint32(key, uint32(types.Int64))
	key = binary.LittleEndian.AppendUint32(key, 8)
	return binary.LittleEndian.AppendUint64(key, uint64(n))
}

// benchShapes runs a benchmark for reads of 1 and 100 random entities with 50 and 250 features.
func benchShapes(b *testing.B, run func(b *testing.B, s *Store, t *online.Table, keys [][]byte)) {
	for _, features := range []int{50, 250} {
		s, t := benchTable(b, features)
		for _, rows := range []int{1, 100} {
			var keys [][]byte
			for _, n := range rand.New(rand.NewPCG(3, 4)).Perm(benchEntities)[:rows] {
				keys = append(keys, benchKey(n))
			}
			b.Run(fmt.Sprintf("%dx%d", rows, features), func(b *testing.B) {
				b.ReportAllocs()
				run(b, s, t, keys)
			})
		}
	}
}

// BenchmarkRead reads int64 features through the store. Compare with BenchmarkReadFloor.
func BenchmarkRead(b *testing.B) {
	benchShapes(b, func(b *testing.B, s *Store, t *online.Table, keys [][]byte) {
		table := *t
		benchRead(b, s, &table, keys)
	})
}

// BenchmarkReadOverFloor reads by hand and through the store in turn, for the ratio of the two on a machine that has other
// work, too.
func BenchmarkReadOverFloor(b *testing.B) {
	benchShapes(b, func(b *testing.B, s *Store, t *online.Table, keys [][]byte) {
		table := *t
		read, floor := storeRead(b, s, &table, keys), floorRead(b, s, t, keys)
		var reads, floors time.Duration
		for b.Loop() {
			start := time.Now()
			floor()
			middle := time.Now()
			read()
			floors, reads = floors+middle.Sub(start), reads+time.Since(middle)
		}
		b.ReportMetric(float64(reads)/float64(floors), "x-floor")
	})
}

// BenchmarkReadFew reads 5 features of rows that have 250.
func BenchmarkReadFew(b *testing.B) {
	s, t := benchTable(b, 250)
	few := *t
	few.Features = t.Features[100:105]
	b.ReportAllocs()
	benchRead(b, s, &few, [][]byte{benchKey(500)})
}

func benchRead(b *testing.B, s *Store, t *online.Table, keys [][]byte) {
	read := storeRead(b, s, t, keys)
	for b.Loop() {
		read()
	}
}

// storeRead returns a read through the store.
func storeRead(b testing.TB, s *Store, t *online.Table, keys [][]byte) func() {
	plan := online.NewReadPlan([]*online.Table{t})
	r, err := s.Prepare(plan)
	if err != nil {
		b.Fatal(err)
	}
	group := make([]online.Key, len(keys))
	for i, k := range keys {
		group[i] = online.Key{Bytes: k, Row: i}
	}
	request, dst := online.NewKeys(group), new(online.Result)
	return func() {
		dst.Reset(plan, len(keys))
		if err := r.Read(b.Context(), request, dst); err != nil {
			b.Fatal(err)
		}
		if !dst.Column(t, len(t.Features)-1).AllValid() {
			b.Fatal("a feature is not there")
		}
	}
}

// BenchmarkReadFloor reads the same rows into a slice of numbers by hand, with SQLite's own functions of
// modernc.org/sqlite/lib: the least that a program in pure Go has to do.
func BenchmarkReadFloor(b *testing.B) {
	benchShapes(b, func(b *testing.B, s *Store, t *online.Table, keys [][]byte) {
		read := floorRead(b, s, t, keys)
		for b.Loop() {
			read()
		}
	})
}

// floor is a connection without the driver. Its memory is the benchmark's until the end.
type floor struct {
	b   testing.TB
	tls *libc.TLS
	db  uintptr
	out uintptr
}

func newFloor(b testing.TB, s *Store) *floor {
	f := &floor{b: b, tls: libc.NewTLS()}
	b.Cleanup(f.tls.Close)
	f.out = f.text("pointer.")
	rc := sqlite3.Xsqlite3_open_v2(f.tls, f.text(s.pool.path), f.out, sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_NOMUTEX, 0)
	f.db = f.result(rc)
	b.Cleanup(func() { sqlite3.Xsqlite3_close_v2(f.tls, f.db) })
	return f
}

// text copies a text to memory of SQLite's.
func (f *floor) text(s string) uintptr {
	p := sqlite3.Xsqlite3_malloc(f.tls, int32(len(s)+1))
	copy(unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&p))), len(s)+1), s+"\x00")
	return p
}

// result is the pointer that a call returned beside its code.
func (f *floor) result(rc int32) uintptr {
	if rc != sqlite3.SQLITE_OK {
		f.b.Fatalf("result code %d", rc)
	}
	return **(**uintptr)(unsafe.Pointer(&f.out))
}

func (f *floor) prepare(sql string) uintptr {
	q := f.result(sqlite3.Xsqlite3_prepare_v2(f.tls, f.db, f.text(sql), -1, f.out, 0))
	f.b.Cleanup(func() { sqlite3.Xsqlite3_finalize(f.tls, q) })
	return q
}

// run runs a statement that has no rows.
func (f *floor) run(q uintptr) {
	if rc := sqlite3.Xsqlite3_step(f.tls, q); rc != sqlite3.SQLITE_DONE {
		f.b.Fatalf("result code %d", rc)
	}
	sqlite3.Xsqlite3_reset(f.tls, q)
}

// floorRead returns a read by hand.
func floorRead(b testing.TB, s *Store, t *online.Table, keys [][]byte) func() {
	c := newFloor(b, s)
	tls, text, run := c.tls, c.text, c.run
	bytes := func(q uintptr, column int32) []byte {
		p := sqlite3.Xsqlite3_column_blob(tls, q, column)
		n := sqlite3.Xsqlite3_column_bytes(tls, q, column)
		return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&p))), n)
	}
	begin, commit := c.prepare("BEGIN"), c.prepare("COMMIT")
	query := c.prepare(`SELECT feature_name, value, event_ts FROM "p_stats" WHERE entity_key = ?`)
	names := map[string]int{}
	for f, field := range t.Features {
		names[field.Name] = f
	}
	cKeys := make([]uintptr, len(keys))
	for i, k := range keys {
		cKeys[i] = text(string(k))
	}
	dst, times := make([]int64, len(keys)*len(names)), make([]int64, len(keys)*len(names))
	return func() {
		n := 0
		run(begin)
		for row, key := range cKeys {
			sqlite3.Xsqlite3_bind_blob(tls, query, 1, key, int32(len(keys[row])), sqlite3.SQLITE_STATIC)
			for sqlite3.Xsqlite3_step(tls, query) == sqlite3.SQLITE_ROW {
				f, ok := names[string(bytes(query, 0))]
				value := bytes(query, 1)
				if !ok || len(value) < 2 || value[0] != 4<<3 {
					b.Fatal("not an int64")
				}
				v, size := binary.Uvarint(value[1:])
				if size != len(value)-1 {
					b.Fatal("malformed")
				}
				dst[row*len(names)+f] = int64(v)
				times[row*len(names)+f] = sqlite3.Xsqlite3_column_int64(tls, query, 2)
				n++
			}
			sqlite3.Xsqlite3_reset(tls, query)
		}
		run(commit)
		if n != len(dst) {
			b.Fatalf("read %d features", n)
		}
	}
}

// BenchmarkReadDatabaseSQL reads the same rows into a slice of numbers by hand, through package database/sql.
func BenchmarkReadDatabaseSQL(b *testing.B) {
	benchShapes(b, func(b *testing.B, s *Store, t *online.Table, keys [][]byte) {
		db, err := sql.Open("sqlite", s.pool.path)
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		query, err := db.PrepareContext(b.Context(), `SELECT entity_key, feature_name, value, event_ts FROM "p_stats" WHERE entity_key IN (?`+
			strings.Repeat(", ?", len(keys)-1)+")")
		if err != nil {
			b.Fatal(err)
		}
		defer query.Close()
		names, rowOf, args := map[string]int{}, map[string]int{}, []any{}
		for f, field := range t.Features {
			names[field.Name] = f
		}
		for i, k := range keys {
			rowOf[string(k)] = i
			args = append(args, k)
		}
		dst, times := make([]int64, len(keys)*len(names)), make([]int64, len(keys)*len(names))
		var key, name, value sql.RawBytes
		var event int64
		for b.Loop() {
			n := 0
			rows, err := query.QueryContext(b.Context(), args...)
			if err != nil {
				b.Fatal(err)
			}
			for rows.Next() {
				if err := rows.Scan(&key, &name, &value, &event); err != nil {
					b.Fatal(err)
				}
				v, size := binary.Uvarint(value[1:])
				if size != len(value)-1 {
					b.Fatal("malformed")
				}
				at := rowOf[string(key)]*len(names) + names[string(name)]
				dst[at], times[at] = int64(v), event
				n++
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil || n != len(dst) { //nolint:sqlclosecheck // once a round, not at the end
				b.Fatalf("read %d features: %v", n, err)
			}
		}
	})
}

// benchBatch returns rows of a table, with values that another seed does not give.
func benchBatch(t *online.Table, rows int, seed int64) *online.WriteBatch {
	batch := &online.WriteBatch{Table: t}
	for f, field := range t.Features {
		c := types.NewColumn(field.Name, field.Type, rows)
		for row := range rows {
			c.SetInt64(row, int64(row*len(t.Features)+f)<<20+seed)
		}
		batch.Columns = append(batch.Columns, c)
	}
	for row := range rows {
		batch.Keys = append(batch.Keys, benchKey(row))
		batch.Event = append(batch.Event, types.Timestamp{Seconds: 1704164645})
	}
	return batch
}

// BenchmarkWriteOverFloor writes 10,000 rows of 5 features by hand and through the store in turn, into a table without
// rows and over rows of the same time. Both go over one connection, since connections of a process compete for pages.
func BenchmarkWriteOverFloor(b *testing.B) {
	for _, empty := range []bool{true, false} {
		name := "update"
		if empty {
			name = "insert"
		}
		b.Run(name, func(b *testing.B) {
			s, t := benchTable(b, 5)
			batch := benchBatch(t, 10_000, 1)
			clear := func() {}
			if empty {
				clear = func() {
					if err := s.Delete(b.Context(), batch.Table, batch.Keys); err != nil {
						b.Fatal(err)
					}
				}
			}
			write := func() {
				if res, err := s.Write(b.Context(), batch); err != nil || res.Written != batch.Rows() {
					b.Fatalf("wrote %+v: %v", res, err)
				}
			}
			floor := floorWrite(b, s, benchBatch(t, 10_000, 2))
			var writes, floors time.Duration
			for b.Loop() {
				clear()
				start := time.Now()
				floor()
				floors += time.Since(start)
				clear()
				start = time.Now()
				write()
				writes += time.Since(start)
			}
			b.ReportMetric(float64(floors.Milliseconds())/float64(b.N), "ms/floor")
			b.ReportMetric(float64(writes)/float64(floors), "x-floor")
		})
	}
}

// floorWrite returns a write by hand, with the store's SQL in one transaction: the least that a program in pure Go has to
// do with serialized values.
func floorWrite(b testing.TB, s *Store, batch *online.WriteBatch) func() {
	idle := s.pool.idle[0]
	c := &floor{b, idle.tls, idle.db, idle.out}
	begin, commit, q := c.prepare("BEGIN IMMEDIATE"), c.prepare("COMMIT"), c.prepare(s.upsert(batch.Table, false))
	names := make([]uintptr, len(batch.Columns))
	values, texts := make([][]uintptr, len(names)), make([][]uintptr, len(names))
	sizes, lengths := make([][]int32, len(names)), make([][]int32, len(names))
	keys := make([]uintptr, batch.Rows())
	for f, col := range batch.Columns {
		names[f] = c.text(batch.Table.Features[f].Name)
		for row := range keys {
			value := string(col.AppendValue(nil, row))
			text, _ := col.AppendText(nil, row)
			values[f], sizes[f] = append(values[f], c.text(value)), append(sizes[f], int32(len(value)))
			texts[f], lengths[f] = append(texts[f], c.text(string(text))), append(lengths[f], int32(len(text)))
		}
	}
	for row, key := range batch.Keys {
		keys[row] = c.text(string(key))
	}
	return func() {
		c.run(begin)
		for row, key := range keys {
			event := batch.Event[row].Seconds
			sqlite3.Xsqlite3_bind_blob(c.tls, q, paramKey, key, int32(len(batch.Keys[row])), sqlite3.SQLITE_STATIC)
			sqlite3.Xsqlite3_bind_int64(c.tls, q, paramEvent, event)
			sqlite3.Xsqlite3_bind_null(c.tls, q, paramCreated)
			sqlite3.Xsqlite3_bind_int64(c.tls, q, paramUTC, event)
			for f, name := range names {
				sqlite3.Xsqlite3_bind_text(c.tls, q, paramFeature, name, int32(len(batch.Table.Features[f].Name)), sqlite3.SQLITE_STATIC)
				sqlite3.Xsqlite3_bind_blob(c.tls, q, paramValue, values[f][row], sizes[f][row], sqlite3.SQLITE_STATIC)
				sqlite3.Xsqlite3_bind_text(c.tls, q, paramText, texts[f][row], lengths[f][row], sqlite3.SQLITE_STATIC)
				c.run(q)
			}
		}
		c.run(commit)
	}
}
