package feast_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// BenchmarkPrecomputed reads 250 int64 features of 100 entities from precomputed vectors. The floor fetches the vectors alone
// by hand, skips their names and decodes their values: on Redis with one request over a socket, in memory from a map. "rows"
// reads the same from the rows.
func BenchmarkPrecomputed(b *testing.B) {
	const rows, features = 100, 250
	for name, newStore := range map[string]func(testing.TB) online.Store{"memory": func(testing.TB) online.Store { return memory.New() }, "redis": servers["redis"]} {
		b.Run(name, func(b *testing.B) {
			store := newStore(b)
			m, ask := wideModel(b, store, rows, features)
			var byHand func() error
			if name == "redis" {
				byHand = socketFloor(b, rows, features)
			} else {
				byHand = mapFloor(b, m, rows, features)
			}
			b.Run("Floor", func(b *testing.B) { loop(b, 0, byHand) })
			floor := measure(b, byHand)
			plain := newModel(b, rowsOnly{store}, wideObjects(features)...)
			for _, from := range []struct {
				name string
				*model
			}{{"vectors", m}, {"rows", plain}} {
				q, err := from.PrepareOnline(b.Context(), feast.OnlineQuery{FeatureService: "model"})
				if err != nil {
					b.Fatal(err)
				}
				var out feast.OnlineResponse
				b.Run(from.name, func(b *testing.B) {
					loop(b, floor, func() error { return q.GetInto(b.Context(), ask, &out) })
				})
			}
		})
	}
}

// decodeVector decodes the int64 values of a vector into row of columns.
func decodeVector(data []byte, columns [][]int64, row int) error {
	n := 0
	for len(data) > 0 {
		size, k := binary.Uvarint(data[1:])
		if k <= 0 || 1+k+int(size) > len(data) {
			return io.ErrUnexpectedEOF
		}
		body := data[1+k : 1+k+int(size)]
		if data[0] == 0x12 {
			if len(body) < 2 || body[0] != 0x20 || n == len(columns) {
				return fmt.Errorf("value %d is no int64", n)
			}
			v, _ := binary.Uvarint(body[1:])
			columns[n][row] = int64(v)
			n++
		}
		data = data[1+k+int(size):]
	}
	if n != len(columns) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func answerOf(rows, features int) [][]int64 {
	columns := make([][]int64, features)
	for i := range columns {
		columns[i] = make([]int64, rows)
	}
	return columns
}

// mapFloor takes the vectors from a map.
func mapFloor(b *testing.B, m *model, rows, features int) func() error {
	table := &online.Table{
		Project: project, View: "__precomputed__model", JoinKeys: []string{"driver_id"},
		Features: []types.Field{{Name: "vector", Type: types.Bytes}},
	}
	keys := make([][]byte, rows)
	for i := range keys {
		keys[i] = onlinetest.Key("driver_id", int64(i))
	}
	res := onlinetest.Read(b, m.store, online.NewReadPlan([]*online.Table{table}), rows, online.NewKeys(onlinetest.KeysOf(keys...)))
	vectors := map[string][]byte{}
	for i, key := range keys {
		vectors[string(key)] = bytes.Clone(res.Column(table, 0).Bytes(i))
	}
	columns := answerOf(rows, features)
	return func() error {
		for row, key := range keys {
			if err := decodeVector(vectors[string(key)], columns, row); err != nil {
				return err
			}
		}
		return nil
	}
}

// socketFloor asks Redis for the vectors in one write, and decodes the replies where they are read.
func socketFloor(b *testing.B, rows, features int) func() error {
	conn, err := net.Dial("tcp", testserver.Redis(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	var request bytes.Buffer
	for i := range rows {
		key := string(onlinetest.Key("driver_id", int64(i))) + project
		fmt.Fprintf(&request, "*3\r\n$5\r\nHMGET\r\n$%d\r\n%s\r\n$4\r\n%s\r\n", len(key), key, vectorField("model"))
	}
	r, columns := bufio.NewReaderSize(conn, 1<<20), answerOf(rows, features)
	return func() error {
		if _, err := conn.Write(request.Bytes()); err != nil {
			return err
		}
		for row := range rows {
			if _, err := r.ReadSlice('\n'); err != nil { // *1
				return err
			}
			head, err := r.ReadSlice('\n')
			if err != nil {
				return err
			}
			size, err := strconv.Atoi(string(head[1 : len(head)-2]))
			if err != nil {
				return err
			}
			bulk, err := r.Peek(size + 2)
			if err != nil {
				return err
			}
			value := bulk[:size]
			_, k := binary.Uvarint(value[1:])
			if err := decodeVector(value[1+k:], columns, row); err != nil {
				return err
			}
			if _, err := r.Discard(size + 2); err != nil {
				return err
			}
		}
		return nil
	}
}
