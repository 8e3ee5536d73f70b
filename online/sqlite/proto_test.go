package sqlite

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
	_ "modernc.org/sqlite"
)

const nkeys = 1000

func protoKey(i int) []byte {
	b := []byte("\x01\x00\x00\x00\x02\x00\x00\x00\x09\x00\x00\x00driver_id\x04\x00\x00\x00\x08\x00\x00\x00")
	return binary.LittleEndian.AppendUint64(b, uint64(i))
}

func protoDB(b *testing.B, nf int) string {
	path := fmt.Sprintf("/tmp/proto%d.db", nf)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	db, _ := sql.Open("sqlite", path)
	defer db.Close()
	db.Exec(`CREATE TABLE "p_v" (entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT,  vector_value BLOB, event_ts timestamp, created_ts timestamp,  PRIMARY KEY(entity_key, feature_name))`)
	db.Exec(`CREATE INDEX "p_v_ek" ON "p_v" (entity_key)`)
	tx, _ := db.Begin()
	st, _ := tx.Prepare(`INSERT INTO p_v VALUES(?,?,?,?,NULL,?,NULL)`)
	for k := range nkeys {
		for f := range nf {
			v := rand.Uint64() >> 2
			if _, err := st.Exec(protoKey(k), fmt.Sprintf("feature_%03d", f), binary.AppendUvarint([]byte{32}, v), fmt.Sprint(v), int64(1704164645)); err != nil {
				b.Fatal(err)
			}
		}
	}
	tx.Commit()
	return path
}

func shapes(b *testing.B, f func(b *testing.B, path string, rows, nf int, keys [][]byte)) {
	for _, nf := range []int{50, 250} {
		path := protoDB(b, nf)
		for _, rows := range []int{1, 100} {
			keys := make([][]byte, rows)
			for i, k := range rand.New(rand.NewPCG(1, 2)).Perm(nkeys)[:rows] {
				keys[i] = protoKey(k)
			}
			b.Run(fmt.Sprintf("%dx%d", rows, nf), func(b *testing.B) { b.ReportAllocs(); f(b, path, rows, nf, keys) })
		}
	}
}

func names(nf int) map[string]int {
	m := map[string]int{}
	for f := range nf {
		m[fmt.Sprintf("feature_%03d", f)] = f
	}
	return m
}

func BenchmarkPerKey(b *testing.B) {
	perKey(b, `SELECT feature_name, value, event_ts FROM "p_v" WHERE entity_key = ?`, true)
}
func BenchmarkPerKeyNoTx(b *testing.B) {
	perKey(b, `SELECT feature_name, value, event_ts FROM "p_v" WHERE entity_key = ?`, false)
}
func BenchmarkPerKeyPK(b *testing.B) {
	perKey(b, `SELECT feature_name, value, event_ts FROM "p_v" INDEXED BY "sqlite_autoindex_p_v_1" WHERE entity_key = ?`, true)
}
func BenchmarkPerKeyEK(b *testing.B) {
	perKey(b, `SELECT feature_name, value, event_ts FROM "p_v" INDEXED BY "p_v_ek" WHERE entity_key = ?`, true)
}

func perKey(b *testing.B, q string, tx bool) {
	shapes(b, func(b *testing.B, path string, rows, nf int, keys [][]byte) {
		c, err := open(path, 0x8002)
		if err != nil {
			b.Fatal(err)
		}
		m := names(nf)
		dst := make([]int64, rows*nf)
		s, err := c.prepare(q)
		if err != nil {
			b.Fatal(err)
		}
		begin, _ := c.prepare("BEGIN")
		commit, _ := c.prepare("COMMIT")
		for b.Loop() {
			n := 0
			if tx {
				begin.step()
				begin.reset()
			}
			for r, k := range keys {
				s.blob(1, k)
				for {
					ok, err := s.step()
					if err != nil {
						b.Fatal(err)
					}
					if !ok {
						break
					}
					f, ok := m[string(s.bytes(0))]
					v := s.bytes(1)
					if !ok || v[0] != 32 {
						b.Fatal("bad")
					}
					x, _ := binary.Uvarint(v[1:])
					dst[r*nf+f] = int64(x)
					if s.int(2) == 0 {
						b.Fatal("bad")
					}
					n++
				}
				s.reset()
			}
			if tx {
				commit.step()
				commit.reset()
			}
			if n != rows*nf {
				b.Fatal(n)
			}
		}
	})
}

func BenchmarkIn(b *testing.B) {
	shapes(b, func(b *testing.B, path string, rows, nf int, keys [][]byte) {
		c, err := open(path, 0x8002)
		if err != nil {
			b.Fatal(err)
		}
		m := names(nf)
		dst := make([]int64, rows*nf)
		rowOf := map[string]int{}
		for i, k := range keys {
			rowOf[string(k)] = i
		}
		s, err := c.prepare(`SELECT entity_key, feature_name, value, event_ts FROM "p_v" WHERE entity_key IN (?` + strings.Repeat(",?", rows-1) + `)`)
		if err != nil {
			b.Fatal(err)
		}
		for i, k := range keys {
			s.buf, s.size = 0, 0
			s.blob(i+1, k)
		}
		for b.Loop() {
			n := 0
			r := 0
			last := ""
			for {
				ok, err := s.step()
				if err != nil {
					b.Fatal(err)
				}
				if !ok {
					break
				}
				if k := s.bytes(0); string(k) != last {
					r = rowOf[string(k)]
					last = string(keys[r])
				}
				f, ok := m[string(s.bytes(1))]
				v := s.bytes(2)
				if !ok || v[0] != 32 {
					b.Fatal("bad")
				}
				x, _ := binary.Uvarint(v[1:])
				dst[r*nf+f] = int64(x)
				if s.int(3) == 0 {
					b.Fatal("bad")
				}
				n++
			}
			s.reset()
			if n != rows*nf {
				b.Fatal(n)
			}
		}
	})
}

func BenchmarkSQL(b *testing.B) {
	shapes(b, func(b *testing.B, path string, rows, nf int, keys [][]byte) {
		db, _ := sql.Open("sqlite", path)
		defer db.Close()
		m := names(nf)
		dst := make([]int64, rows*nf)
		rowOf := map[string]int{}
		args := []any{}
		for i, k := range keys {
			rowOf[string(k)] = i
			args = append(args, k)
		}
		st, err := db.Prepare(`SELECT entity_key, feature_name, value, event_ts FROM "p_v" WHERE entity_key IN (?` + strings.Repeat(",?", rows-1) + `)`)
		if err != nil {
			b.Fatal(err)
		}
		var key, name, val sql.RawBytes
		var ts int64
		for b.Loop() {
			rs, err := st.Query(args...)
			if err != nil {
				b.Fatal(err)
			}
			for rs.Next() {
				rs.Scan(&key, &name, &val, &ts)
				x, _ := binary.Uvarint(val[1:])
				dst[rowOf[string(key)]*nf+m[string(name)]] = int64(x)
			}
			rs.Close()
		}
	})
}

func BenchmarkResult(b *testing.B) {
	shapes(b, func(b *testing.B, path string, rows, nf int, keys [][]byte) {
		c, err := open(path, 0x8002)
		if err != nil {
			b.Fatal(err)
		}
		m := names(nf)
		s, err := c.prepare(`SELECT feature_name, value, event_ts FROM "p_v" WHERE entity_key = ?`)
		if err != nil {
			b.Fatal(err)
		}
		begin, _ := c.prepare("BEGIN")
		commit, _ := c.prepare("COMMIT")
		t := &online.Table{Project: "p", View: "v"}
		for f := range nf {
			t.Features = append(t.Features, types.Field{Name: fmt.Sprintf("feature_%03d", f), Type: types.Int64})
		}
		plan := online.NewReadPlan([]*online.Table{t})
		res := online.NewResult(plan, rows)
		for b.Loop() {
			res.Reset(plan, rows)
			n := 0
			begin.step()
			begin.reset()
			for r, k := range keys {
				s.blob(1, k)
				for {
					ok, err := s.step()
					if err != nil {
						b.Fatal(err)
					}
					if !ok {
						break
					}
					f, ok := m[string(s.bytes(0))]
					if !ok {
						b.Fatal("bad")
					}
					res.Row(t, r, types.Timestamp{Seconds: s.int(2)})
					if err := res.Set(t, r, f, s.bytes(1)); err != nil {
						b.Fatal(err)
					}
					n++
				}
				s.reset()
			}
			commit.step()
			commit.reset()
			if n != rows*nf {
				b.Fatal(n)
			}
		}
	})
}
