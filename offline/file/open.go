package file

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
)

// object is what a file is read through: a local file, or whatever else answers ranges.
type object interface {
	io.ReaderAt
	io.Closer
}

// openObject opens a file. It is the one place that knows where bytes come from.
func openObject(path string) (object, int64, error) {
	h, err := openHandle(path)
	if err != nil {
		return nil, 0, err
	}
	return h, h.info.Size(), nil
}

// readBuffer is the size of the buffer of each open column.
const readBuffer = 64 << 10

// dataFile is an open Parquet file.
type dataFile struct {
	located
	object  object
	size    int64
	parquet *parquet.File
	meta    *format.FileMetaData
	columns []*shape
	groups  []*rowGroup
}

// rowGroup is a part of a file, whose columns are stored one by one.
type rowGroup struct {
	file  *dataFile
	index int
	rows  int64
	start int64 // number of rows of the source before it
	// ordinal is its number in the source.
	ordinal int
	chunks  []parquet.ColumnChunk
	// layouts are those of the leaves, once somebody needed them.
	layouts []atomic.Pointer[layout]
}

func (g *rowGroup) meta(leaf int) *format.ColumnMetaData {
	return &g.file.meta.RowGroups[g.index].Columns[leaf].MetaData
}

func openFile(l located) (*dataFile, error) {
	o, size, err := openObject(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &feasterr.NotFoundError{Kind: "Parquet file", Name: l.path}
	} else if err != nil {
		return nil, inFile(l.path, err)
	}
	f, err := newFile(l, o, size)
	if err != nil {
		_ = o.Close()
	}
	return f, err
}

// newFile reads the footer of a file.
func newFile(l located, o object, size int64) (f *dataFile, err error) {
	defer recovered(l.path, &err)
	f = &dataFile{located: l, object: o, size: size}
	if err := f.open(); err != nil {
		return nil, inFile(l.path, err)
	}
	return f, nil
}

// open reads the footer.
func (f *dataFile) open() error {
	if err := checkFooter(f.object, f.size); err != nil {
		return err
	}
	p, err := parquet.OpenFile(f.object, f.size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(readBuffer))
	if err != nil {
		return malformed(err)
	}
	f.parquet, f.meta = p, p.Metadata()
	var known hints
	if text, ok := p.Lookup("ARROW:schema"); ok {
		known = readHints(text)
	}
	if f.columns, err = columnsOf(f.meta.Schema, known); err != nil {
		return err
	}
	leaves := 0
	for _, c := range f.columns {
		leaves += c.leaves
	}
	var rows int64
	for i, g := range p.RowGroups() {
		n, chunks := g.NumRows(), g.ColumnChunks()
		if rows += n; n < 0 || rows < 0 || len(chunks) != leaves || len(f.meta.RowGroups[i].Columns) != leaves {
			return feasterr.Invalid("row group %d does not fit the schema", i)
		}
		f.groups = append(f.groups, &rowGroup{file: f, index: i, rows: n, chunks: chunks, layouts: make([]atomic.Pointer[layout], leaves)})
	}
	return nil
}

// close closes the file, of which nothing is lost: it was only read.
func (f *dataFile) close() { _ = f.object.Close() }

// checkFooter finds what is no Parquet before a reader trusts its lengths.
func checkFooter(r io.ReaderAt, size int64) error {
	const magic = 4
	if size == 0 {
		return feasterr.Invalid("the file is empty: not even a Parquet footer is there")
	}
	var head, tail [2 * magic]byte
	if size < 3*magic {
		return feasterr.Invalid("%d bytes are no Parquet file", size)
	}
	if _, err := r.ReadAt(head[:magic], 0); err != nil {
		return err
	}
	if _, err := r.ReadAt(tail[:], size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch string(tail[magic:]) {
	case "PAR1":
	case "PARE":
		return feasterr.Unsupported("the file is encrypted")
	default:
		if string(head[:magic]) == "PAR1" {
			return feasterr.Invalid("the file is truncated: it begins as Parquet and has no footer")
		}
		return feasterr.Invalid("this is not a Parquet file")
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:])); n > size-3*magic {
		return feasterr.Invalid("the footer is said to have %d bytes, more than the file: it is damaged", n)
	}
	return nil
}

// count counts the top-level columns of a name.
func (f *dataFile) count(name string) int {
	n := 0
	for _, c := range f.columns {
		if c.name == name {
			n++
		}
	}
	return n
}

// column finds a top-level column, or nil.
func (f *dataFile) column(name string) *shape {
	if i := slices.IndexFunc(f.columns, func(s *shape) bool { return s.name == name }); i >= 0 {
		return f.columns[i]
	}
	return nil
}

func (f *dataFile) part(name string) *part {
	if i := slices.IndexFunc(f.parts, func(p part) bool { return p.name == name }); i >= 0 {
		return &f.parts[i]
	}
	return nil
}

// names are those of all columns.
func (f *dataFile) names() []string {
	var out []string
	for _, c := range f.columns {
		out = append(out, c.name)
	}
	for _, p := range f.parts {
		if f.column(p.name) == nil {
			out = append(out, p.name)
		}
	}
	return out
}

// table is an open source: its files in order.
type table struct {
	files  []*dataFile
	groups []*rowGroup
	rows   int64
}

func openTable(ctx context.Context, dir string, s *offline.Source) (*table, error) {
	l, err := locate(dir, s)
	if err != nil {
		return nil, err
	}
	files, err := l.files()
	if err != nil {
		return nil, err
	}
	t := &table{files: make([]*dataFile, len(files))}
	err = each(ctx, len(files), func(_, i int) (err error) {
		t.files[i], err = openFile(files[i])
		return err
	})
	if err != nil {
		t.close()
		return nil, err
	}
	if err := t.number(); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// number gives the row groups their places in source order.
func (t *table) number() error {
	for _, f := range t.files {
		for _, g := range f.groups {
			g.start, g.ordinal = t.rows, len(t.groups)
			t.rows += g.rows
			if t.rows < 0 {
				return inFile(f.path, feasterr.Invalid("the source has more rows than can be counted"))
			}
			t.groups = append(t.groups, g)
		}
	}
	return nil
}

func (t *table) close() {
	for _, f := range t.files {
		if f != nil {
			f.close()
		}
	}
}

// column is a column of a source.
type column struct {
	name     string
	typ, own arrow.DataType
	in       map[*dataFile]place
	flat     bool
	leaf     leafType // of flat columns: how vectors of it hold values
}

// place is a column in one of the files: a shape, or the value of a directory.
type place struct {
	shape *shape
	part  *part
}

// column finds a column in all files. Files may differ in the types of times and, where any is set, of integers: those
// are compared by value. What else differs is an error, for values would have to be changed to come in one column.
func (t *table) column(name string, any bool) (*column, error) {
	c := &column{name: name, in: make(map[*dataFile]place, len(t.files)), flat: true, leaf: plain(formNull, 0, arrow.Null)}
	var from string
	for _, f := range t.files {
		var p place
		var typ, own arrow.DataType
		leaf := plain(formText, 0, arrow.BinaryTypes.String)
		if s := f.column(name); s != nil {
			if s.err != nil {
				return nil, inFile(f.path, fmt.Errorf("column %q: %w", name, s.err))
			}
			if n := f.count(name); n > 1 {
				return nil, inFile(f.path, feasterr.Invalid("column %q is there %d times: nobody knows which one is meant", name, n))
			}
			p.shape, typ, own, leaf = s, s.typ, s.own, s.leaf
			c.flat = c.flat && s.flat()
		} else if p.part = f.part(name); p.part != nil {
			typ, own = arrow.BinaryTypes.String, arrow.BinaryTypes.String
		} else {
			return nil, &feasterr.NotFoundError{Kind: "column", Name: name, In: f.path, Near: feasterr.Near(name, slices.Values(f.names()))}
		}
		c.in[f] = p
		switch {
		case c.leaf.form == formNull:
			c.leaf = leaf
		case c.leaf.clock != leaf.clock && leaf.form != formNull && typ.ID() == arrow.TIMESTAMP: // what results have
			c.leaf = timestamp(clock{unit: microsecond, scale: 1}, 8, true, nil)
		}
		switch {
		case c.typ == nil || c.typ.ID() == arrow.NULL:
			c.typ, c.own, from = typ, own, f.path
		case typ.ID() == c.typ.ID() && !arrow.TypeEqual(c.own, own) && arrow.TypeEqual(c.typ, typ): // in units or zones
			c.own = c.typ
		case typ.ID() == arrow.NULL || any || arrow.TypeEqual(c.typ, typ):
		default:
			return nil, inFile(f.path, feasterr.Invalid("column %q is %s and in %s it is %s: the files of a source need one schema",
				name, typeName(own), from, typeName(c.own)))
		}
	}
	return c, nil
}

// keyColumn finds a column of join keys. Where files have integers of several widths, which a join compares by value, it is
// of 64 bits, which hold all but those of uint64.
func (t *table) keyColumn(name string) (*column, error) {
	c, err := t.column(name, false)
	if err == nil || !t.wholeNumbers(name) {
		return c, err
	}
	if c, err = t.column(name, true); err == nil {
		c.leaf = plain(formFixed, 8, arrow.PrimitiveTypes.Int64)
		c.typ, c.own = c.leaf.typ, c.leaf.own
	}
	return c, err
}

// wholeNumbers reports whether a column is of integers that fit into an int64 in all files.
func (t *table) wholeNumbers(name string) bool {
	for _, f := range t.files {
		s := f.column(name)
		if s == nil || s.err != nil || !s.flat() {
			return false
		}
		switch s.own.ID() {
		case arrow.NULL, arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32:
		default:
			return false
		}
	}
	return true
}

// columns finds several columns and reports all that are missing or of the wrong type.
func (t *table) columns(names []string) ([]*column, error) {
	out := make([]*column, len(names))
	var errs []error
	for i, n := range names {
		var err error
		out[i], err = t.column(n, false)
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

// inFile names the file that an error is about.
func inFile(path string, err error) error { return during("read", path, err) }

// writing names the file that could not be written.
func writing(path string, err error) error { return during("write", path, err) }

func during(op, path string, err error) error {
	if _, named := errors.AsType[*feasterr.StoreError](err); err == nil || named || cancelled(err) {
		return err
	}
	return &feasterr.StoreError{Store: name, Op: op, Table: path, Err: err}
}

// cancelled reports whether an error is that of a context that has ended.
func cancelled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// malformed is an error of the Parquet library about the bytes of a file.
func malformed(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) || cancelled(err) {
		return err
	}
	return feasterr.Invalid("the file is damaged: %w", err)
}

// recovered makes an error of a panic about the bytes of a file: the Parquet library does not check everything it is
// given.
func recovered(path string, err *error) {
	if r := recover(); r != nil {
		*err = inFile(path, feasterr.Invalid("the file is damaged: %v", r))
	}
}

// rowGroupAt finds the row group of a row of the source.
func (t *table) rowGroupAt(row int64) *rowGroup {
	i, ok := slices.BinarySearchFunc(t.groups, row, func(g *rowGroup, row int64) int { return cmp.Compare(g.start, row) })
	if !ok {
		i--
	}
	for t.groups[i].rows == 0 {
		i++
	}
	return t.groups[i]
}
