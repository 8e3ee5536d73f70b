package file

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/offline"
)

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// FuzzRead: no bytes make a reader panic, hang or answer another number of rows than the file says.
func FuzzRead(f *testing.F) {
	for _, pattern := range []string{"testdata/*.parquet", "../offlinetest/testdata/pit/0*/*.parquet"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(fuzzOne)
}

func fuzzOne(t *testing.T, data []byte) {
	open := func() *table {
		file, err := newFile(located{path: "fuzz"}, inMemory{bytes.NewReader(data)}, int64(len(data)))
		if err != nil {
			return nil
		}
		for _, g := range file.groups {
			if g.rows > 1<<20 {
				return nil // memory for the rows is taken before they are read
			}
		}
		opened := &table{files: []*dataFile{file}}
		if opened.number() != nil || opened.rows > 1<<20 {
			return nil
		}
		return opened
	}
	first := open()
	if first == nil {
		return
	}
	plan := &offline.ScanPlan{Source: &offline.Source{}}
	for _, c := range first.files[0].columns {
		if c.err != nil {
			continue
		}
		if c.flat() && c.leaf.clock.isTime() {
			plan.Event.Source = c.name
		} else if c.flat() && classOf(c.typ) != noClass && len(plan.Keys) < 2 {
			plan.Keys = append(plan.Keys, offline.Column{Source: c.name})
		}
		plan.Features = append(plan.Features, offline.Column{Source: c.name})
	}
	for i := range plan.Features { // one by one, so that what is broken hides nothing
		one := *plan
		one.Features = plan.Features[i : i+1]
		s := &scan{plan: &one, table: open()}
		if s.resolve() != nil {
			return
		}
		for _, read := range []func() (array.RecordReader, error){
			func() (array.RecordReader, error) { return readAll(t.Context(), s) },
			func() (array.RecordReader, error) { return readLatest(t.Context(), s) },
		} {
			r, err := read()
			if err != nil {
				continue
			}
			rows := int64(0)
			for r.Next() {
				rows += r.RecordBatch().NumRows()
				for _, a := range r.RecordBatch().Columns() {
					if a.Len() != int(r.RecordBatch().NumRows()) {
						t.Fatalf("an array of %d values for %d rows", a.Len(), r.RecordBatch().NumRows())
					}
					_ = a.String()
				}
			}
			if rows > s.table.rows {
				t.Fatalf("%d rows of %d", rows, s.table.rows)
			}
			r.Release()
		}
	}
}
