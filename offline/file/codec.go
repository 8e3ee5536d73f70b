package file

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/offline"
)

// openPath opens what a path of the codec names. Times keep unit and zone: entity rows are compared at full resolution.
func openPath(ctx context.Context, path string, names []string) (*scan, error) {
	t, err := openTable(ctx, ".", &offline.Source{Name: path, Path: path})
	if err != nil {
		return nil, err
	}
	if names == nil {
		names = t.files[0].names()
	}
	s := &scan{plan: &offline.ScanPlan{}, table: t}
	if s.out, err = t.columns(names); err != nil {
		t.close()
		return nil, err
	}
	fields := make([]arrow.Field, len(s.out))
	for i, c := range s.out {
		c.typ = c.own
		fields[i] = c.field(c.name, c.own)
	}
	s.schema = arrow.NewSchema(fields, nil)
	return s, nil
}

// openCodec implements the Open of [offline.ParquetCodec].
func openCodec(ctx context.Context, path string, names ...string) (array.RecordReader, error) {
	s, err := openPath(ctx, path, names)
	if err != nil {
		return nil, err
	}
	tasks, err := stretches(ctx, s.table.groups, s.widest(), window{}, rowsOfWidth(len(s.out)))
	if err != nil {
		s.table.close()
		return nil, err
	}
	more := func() ([]arrow.RecordBatch, error) {
		now := tasks[:min(len(tasks), workers(len(tasks)))]
		tasks = tasks[len(now):]
		return some(ctx, len(now), func(i int) (arrow.RecordBatch, error) {
			return s.batch(ctx, now[i].group, now[i].rows)
		})
	}
	return newReader(s.schema, ctx.Err, more, s.table.close), nil
}

// widest is a column whose pages are good places to divide a row group.
func (s *scan) widest() *column {
	for _, c := range s.out {
		if c.flat {
			return c
		}
	}
	return s.out[0]
}

// schemaOf implements the Schema of [offline.ParquetCodec].
func schemaOf(ctx context.Context, path string) (*arrow.Schema, error) {
	s, err := openPath(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	s.table.close()
	return s.schema, nil
}
