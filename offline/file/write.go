package file

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/feastgo/feast/feasterr"
)

const groupBytes = 64 << 20 // bytes of a row group that is written, before they are compressed

var (
	groupRows     = 1 << 17 // and its rows
	writerOptions = []parquet.WriterOption{
		parquet.Compression(&parquet.Snappy), parquet.CreatedBy("feastgo", "", ""),
		// As pyarrow does: texts repeat, and the library's own choice is one that not everybody reads.
		parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.RLEDictionary), parquet.DictionaryMaxBytes(1 << 20),
	}
)

// fileNamed reports a path that names no file.
func fileNamed(path string) error {
	if path == "" || os.IsPathSeparator(path[len(path)-1]) {
		return feasterr.Invalid("path %q names no file to write", path)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return feasterr.Invalid("%s is a directory: name a file in it to write to", path)
	}
	return nil
}

// checkPath implements the Check of [offline.ParquetCodec]. Only making a file shows that one can be made.
func checkPath(path string) error {
	if err := fileNamed(path); err != nil {
		return err
	}
	dir, base := filepath.Split(resolved(path))
	if info, err := os.Stat(filepath.Clean(dir)); errors.Is(err, fs.ErrNotExist) {
		return writing(path, &feasterr.NotFoundError{Kind: "directory", Name: filepath.Clean(dir)})
	} else if err == nil && !info.IsDir() {
		return feasterr.Invalid("%s is no directory, in which %s could be written", filepath.Clean(dir), base)
	}
	f, err := createTemp(dir, base)
	if err != nil {
		return writing(path, err)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return writing(path, err)
	}
	return nil
}

// create implements the Create of [offline.ParquetCodec].
func create(ctx context.Context, path string, rows array.RecordReader) (int64, error) {
	if err := fileNamed(path); err != nil {
		return 0, err
	}
	return createBy(ctx, path, rows, replace)
}

// createBy makes a file of rows, which place puts in its place.
func createBy(ctx context.Context, path string, rows array.RecordReader, place func(path string, write func(*os.File) error) error) (int64, error) {
	schema, metadata, err := parquetSchema(rows.Schema())
	if err != nil {
		return 0, inFile(path, err)
	}
	shapes, err := shapesOf(schema, hintsOf(rows.Schema()))
	if err != nil {
		return 0, inFile(path, err)
	}
	var n int64
	write := func(f *os.File) (err error) {
		n, err = writeRows(ctx, f, schema, shapes, metadata, rows)
		return err
	}
	if err := place(path, write); err != nil {
		return 0, writing(path, err)
	}
	return n, nil
}

// shapesOf are the shapes that a reader finds in files of a schema.
func shapesOf(schema *parquet.Schema, known hints) ([]*shape, error) {
	var probe bytes.Buffer
	if err := parquet.NewGenericWriter[any](&probe, schema).Close(); err != nil {
		return nil, err
	}
	read, err := parquet.OpenFile(bytes.NewReader(probe.Bytes()), int64(probe.Len()))
	if err != nil {
		return nil, err
	}
	return columnsOf(read.Metadata().Schema, known)
}

// writeRows writes a Parquet file and returns the number of its rows. The shapes are those of the schema.
func writeRows(ctx context.Context, out io.Writer, schema *parquet.Schema, shapes []*shape, metadata map[string]string, rows array.RecordReader) (int64, error) {
	w := newFileWriter(out, schema)
	for k, v := range metadata {
		w.SetKeyValueMetadata(k, v)
	}
	n, err := w.rows(ctx, shapes, rows)
	if err != nil {
		return 0, err
	}
	return n, w.Close()
}

// fileWriter writes a Parquet file, row group by row group.
type fileWriter struct {
	*parquet.GenericWriter[any]
	columns []*parquet.ColumnWriter // by leaf
	inGroup int                     // rows of the row group that is not complete
	size    int                     // and about how many bytes it has
}

func newFileWriter(out io.Writer, schema *parquet.Schema) *fileWriter {
	w := parquet.NewGenericWriter[any](out, append([]parquet.WriterOption{schema}, writerOptions...)...)
	return &fileWriter{GenericWriter: w, columns: w.ColumnWriters()}
}

// rows writes rows and returns their number. The last row group may stay open.
func (w *fileWriter) rows(ctx context.Context, shapes []*shape, rows array.RecordReader) (n int64, err error) {
	from, err := match(shapes, rows.Schema())
	if err != nil {
		return 0, err
	}
	enc := encoder{values: make([][]parquet.Value, len(w.columns)), of: map[*shape]valuerOf{}}
	for rows.Next() {
		b := rows.RecordBatch()
		for at := 0; at < int(b.NumRows()); {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			to := min(int(b.NumRows()), at+1024)
			for i, s := range shapes {
				if err := enc.column(s, b.Column(from[i]), at, to); err != nil {
					if e, ok := errors.AsType[*feasterr.TypeMismatchError](err); ok && e.Row >= 0 {
						e.Row += int(n) - at
					}
					return 0, err
				}
			}
			for i, c := range w.columns {
				if _, err := c.WriteRowValues(enc.values[i]); err != nil {
					return 0, err
				}
				enc.values[i] = enc.values[i][:0]
			}
			n += int64(to - at)
			if err := w.added(to-at, enc.size); err != nil {
				return 0, err
			}
			enc.size = 0
			at = to
		}
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	return n, ctx.Err()
}

// added ends the row group when it has enough.
func (w *fileWriter) added(rows, size int) error {
	w.inGroup += rows
	w.size += size
	if w.inGroup < groupRows && w.size < groupBytes {
		return nil
	}
	w.inGroup, w.size = 0, 0
	return w.Flush()
}

// match finds the columns of rows that go to the columns of a file. Both have to have the same.
func match(shapes []*shape, s *arrow.Schema) ([]int, error) {
	var errs []error
	from := make([]int, len(shapes))
	known := map[string]bool{}
	for i, c := range shapes {
		if known[c.name] {
			errs = append(errs, &feasterr.RequestError{Column: c.name, Row: -1, Msg: "is there more than once in the source"})
			continue
		}
		at := s.FieldIndices(c.name)
		if known[c.name] = true; len(at) == 1 {
			from[i] = at[0]
		} else if len(at) == 0 {
			errs = append(errs, &feasterr.RequestError{Column: c.name, Row: -1, Msg: "is a column of the source and missing in the rows"})
		}
		if c.err != nil {
			errs = append(errs, fmt.Errorf("column %q: %w", c.name, c.err))
		}
	}
	seen := map[string]bool{}
	for _, f := range s.Fields() {
		if !known[f.Name] {
			errs = append(errs, &feasterr.RequestError{Column: f.Name, Row: -1, Msg: "is a column of the rows and not of the source"})
		}
		if seen[f.Name] {
			errs = append(errs, &feasterr.RequestError{Column: f.Name, Row: -1, Msg: "is there more than once"})
		}
		seen[f.Name] = true
	}
	return from, errors.Join(errs...)
}

// ordered is a group whose fields keep their order; the library sorts them otherwise.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

func (o ordered) Fields() []parquet.Field { return o.fields }

func group(names []string, nodes []parquet.Node) parquet.Node {
	o := ordered{Group: parquet.Group{}}
	for i, n := range names {
		o.Group[n] = nodes[i]
	}
	sorted := o.Group.Fields()
	for _, n := range names {
		i := slices.IndexFunc(sorted, func(f parquet.Field) bool { return f.Name() == n })
		o.fields = append(o.fields, sorted[i])
	}
	return o
}

// parquetSchema is the schema of a file that holds rows of an Arrow schema, and the file's metadata.
func parquetSchema(s *arrow.Schema) (*parquet.Schema, map[string]string, error) {
	if s.NumFields() == 0 {
		return nil, nil, feasterr.Invalid("rows without columns cannot be written")
	}
	var names []string
	var nodes []parquet.Node
	var errs []error
	describe := false // there is something that Parquet has no place for
	for _, f := range s.Fields() {
		if slices.Contains(names, f.Name) {
			errs = append(errs, &feasterr.RequestError{Column: f.Name, Row: -1, Msg: "is there more than once"})
			continue
		}
		n, err := nodeOf(f.Type, f.Nullable)
		if isUUID(f) {
			if n = parquet.UUID(); f.Nullable {
				n = parquet.Optional(n)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("column %q: %w", f.Name, err))
		}
		names, nodes = append(names, f.Name), append(nodes, n)
		switch t := f.Type.(type) {
		case *arrow.DurationType:
			describe = true
		case *arrow.TimestampType:
			describe = describe || t.TimeZone != "" && t.TimeZone != "UTC"
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	metadata := map[string]string{}
	if describe {
		var b bytes.Buffer
		w := ipc.NewWriter(&b, ipc.WithSchema(s))
		if err := w.Close(); err != nil {
			return nil, nil, err
		}
		metadata["ARROW:schema"] = base64.StdEncoding.EncodeToString(b.Bytes())
	}
	return parquet.NewSchema("schema", group(names, nodes)), metadata, nil
}

// unknown is the type of columns of nothing but nulls: integers that are noted to be of no type, as Arrow's writers have it.
type unknown struct{ parquet.Type }

// LogicalType implements [parquet.Type].
func (unknown) LogicalType() *format.LogicalType {
	return &format.LogicalType{Value: &format.NullType{}}
}

func nodeOf(t arrow.DataType, nullable bool) (parquet.Node, error) {
	n, err := requiredNode(t)
	if err != nil || !nullable && t.ID() != arrow.NULL {
		return n, err
	}
	return parquet.Optional(n), nil
}

func requiredNode(t arrow.DataType) (parquet.Node, error) {
	switch t := t.(type) {
	case *arrow.NullType: // the library's own null columns are not read by DuckDB
		return parquet.Leaf(unknown{parquet.Int32Type}), nil
	case *arrow.BooleanType:
		return parquet.Leaf(parquet.BooleanType), nil
	case *arrow.Int8Type, *arrow.Int16Type, *arrow.Int32Type, *arrow.Int64Type:
		return parquet.Int(t.(arrow.FixedWidthDataType).BitWidth()), nil
	case *arrow.Uint8Type, *arrow.Uint16Type, *arrow.Uint32Type, *arrow.Uint64Type:
		return parquet.Uint(t.(arrow.FixedWidthDataType).BitWidth()), nil
	case *arrow.Float16Type, *arrow.Float32Type:
		return parquet.Leaf(parquet.FloatType), nil
	case *arrow.Float64Type:
		return parquet.Leaf(parquet.DoubleType), nil
	case *arrow.StringType, *arrow.LargeStringType, *arrow.StringViewType:
		return parquet.String(), nil
	case *arrow.BinaryType, *arrow.LargeBinaryType, *arrow.BinaryViewType:
		return parquet.Leaf(parquet.ByteArrayType), nil
	case *arrow.FixedSizeBinaryType:
		return parquet.Leaf(parquet.FixedLenByteArrayType(t.ByteWidth)), nil
	case *arrow.Date32Type, *arrow.Date64Type:
		return parquet.Date(), nil
	case *arrow.Time32Type:
		return parquet.TimeAdjusted(parquet.Millisecond, false), nil
	case *arrow.Time64Type:
		if t.Unit == arrow.Nanosecond {
			return parquet.TimeAdjusted(parquet.Nanosecond, false), nil
		}
		return parquet.TimeAdjusted(parquet.Microsecond, false), nil
	case *arrow.TimestampType:
		unit := parquet.Millisecond
		switch t.Unit {
		case arrow.Microsecond:
			unit = parquet.Microsecond
		case arrow.Nanosecond:
			unit = parquet.Nanosecond
		}
		return parquet.TimestampAdjusted(unit, t.TimeZone != ""), nil
	case *arrow.DurationType:
		return parquet.Leaf(parquet.Int64Type), nil
	case *arrow.Decimal128Type, *arrow.Decimal256Type:
		d := t.(arrow.DecimalType)
		return parquet.Decimal(int(d.GetScale()), int(d.GetPrecision()), parquet.FixedLenByteArrayType(t.(arrow.FixedWidthDataType).Bytes())), nil
	case *arrow.DictionaryType:
		return requiredNode(t.ValueType)
	case arrow.ExtensionType:
		if t.ExtensionName() == uuidName {
			return parquet.UUID(), nil
		}
		return requiredNode(t.StorageType())
	case *arrow.MapType:
		key, err := requiredNode(t.KeyType())
		if err != nil {
			return nil, err
		}
		item, err := nodeOf(t.ItemType(), true)
		if err != nil {
			return nil, err
		}
		return parquet.Map(key, item), nil
	case arrow.ListLikeType:
		item, err := nodeOf(t.Elem(), true)
		if err != nil {
			return nil, err
		}
		return parquet.List(item), nil
	case *arrow.StructType:
		if t.NumFields() == 0 {
			return nil, feasterr.Unsupported("a struct without fields cannot be written to Parquet")
		}
		var names []string
		var nodes []parquet.Node
		for _, f := range t.Fields() {
			n, err := nodeOf(f.Type, f.Nullable)
			if err != nil {
				return nil, err
			}
			names, nodes = append(names, f.Name), append(nodes, n)
		}
		return group(names, nodes), nil
	}
	return nil, feasterr.Unsupported("type %s cannot be written to Parquet", t)
}
