package redisbench

import (
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"github.com/feastgo/feast"
)

// vectorService is the service of the first n features that has precomputed vectors.
func vectorService(n int) string { return fmt.Sprint("vectors_", n) }

// addVectors makes the vectors. They are long values, so that hashes are tables from then on.
func (r *repo) addVectors(b *testing.B) {
	b.Helper()
	var services []feast.Object
	var names []string
	for _, n := range []int{50, 250} {
		service := &feast.FeatureService{Name: vectorService(n), PrecomputeOnline: true}
		for v := range n / viewFeatures {
			service.Features = append(service.Features, feast.FeatureViewProjection{Name: viewName(v)})
		}
		services, names = append(services, service), append(names, service.Name)
	}
	if _, err := r.fs.Apply(b.Context(), services...); err != nil {
		b.Fatal(err)
	}
	if _, err := r.fs.PrecomputeFeatureService(b.Context(), names...); err != nil {
		b.Fatal(err)
	}
}

// vectorFloor fetches vectors over one socket, and decodes their values where they lie. It does not look whether they are
// old, nor for rows of entities without one.
type vectorFloor struct{ *floor }

func newVectorFloor(b *testing.B, r *repo, n int, ids [][]int64) vectorFloor {
	f := vectorFloor{newFloor(b, r, n, ids, false)}
	f.buf = make([]byte, 1<<20)
	for i, ids := range ids {
		f.requests[i] = nil
		for _, id := range ids {
			f.requests[i] = appendCommand(f.requests[i], "HMGET", string(appendHashKey(nil, id)), vectorField(vectorService(n)))
		}
	}
	return f
}

func (f vectorFloor) read(i int) error {
	f.answer.reset(f.types, f.rows)
	if _, err := f.conn.Write(f.requests[i%len(f.requests)]); err != nil {
		return err
	}
	for row := range f.rows {
		if _, err := f.line(); err != nil {
			return err
		}
		value, err := f.text()
		if err == nil && value != nil {
			_, k := binary.Uvarint(value[1:])
			err = f.decode(value[1+k:], row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f vectorFloor) decode(data []byte, row int) error {
	for column := 0; len(data) > 0; {
		size, k := binary.Uvarint(data[1:])
		if k <= 0 || 1+k+int(size) > len(data) {
			return io.ErrUnexpectedEOF
		}
		body := data[1+k : 1+k+int(size)]
		if data[0] == 2<<3|2 {
			if column == len(f.types) {
				return errDecode
			}
			if err := f.answer.set(f.types, row, column, body); err != nil {
				return err
			}
			column++
		}
		data = data[1+k+int(size):]
	}
	return nil
}

// vectorCell compares reads of vectors to fetching them by hand, and to reads of rows.
func vectorCell(b *testing.B, r *repo, rows, n int) {
	ids := asked(rows)
	f := newVectorFloor(b, r, n, ids)
	compete(b, fmt.Sprintf("%d x %d", rows, n), []*competitor{
		{name: "floor, vectors", read: f.read, sum: f.answer.sum},
		getInto(b, "GetInto, precomputed", r.fs, feast.OnlineQuery{FeatureService: vectorService(n)}, r.types[:n], ids),
		getInto(b, "GetInto, rows beside vectors", r.fs, feast.OnlineQuery{Features: refs(n)}, r.types[:n], ids),
	}, 1)
}
