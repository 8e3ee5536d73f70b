package feast

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/types/arrowconv"
)

// RecordBatch copies the response into an Arrow record batch, which the caller releases: all columns in their order, in the
// Arrow types that Feast has for theirs. What is no value is null; a value that is too old is there. Statuses and event
// times stay behind. mem gives the memory, nil is Go's.
//
// A column whose stored values are not of its type, nor widen to it, is a [*TypeMismatchError].
func (r *OnlineResponse) RecordBatch(mem memory.Allocator) (arrow.RecordBatch, error) {
	if mem == nil {
		mem = memory.DefaultAllocator
	}
	fields := make([]arrow.Field, 0, r.width())
	columns := make([]arrow.Array, 0, r.width())
	defer func() {
		for _, a := range columns {
			a.Release()
		}
	}()
	for i := range r.width() {
		c, inner := r.column(i), ""
		if c.of != nil {
			inner = c.of.Inner
		}
		dt, err := arrowconv.DataType(c.Type(), inner)
		if err != nil {
			return nil, err
		}
		a, err := arrowconv.Array(c.data, dt, mem)
		if err != nil {
			return nil, c.named(err)
		}
		fields = append(fields, arrow.Field{Name: r.name(i), Type: dt, Nullable: true})
		columns = append(columns, a)
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(r.rows)), nil
}
