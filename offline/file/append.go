package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/localfile"
	"github.com/feastgo/feast/offline"
)

// Of rows that tie, the first in source order wins. So that what was appended last wins, new rows go in front: before the
// old ones of a file, as Feast has it, and into a file that sorts before the others of a directory.

// Append implements [offline.Store]. Rows go to a file, which is replaced as a whole, or to a directory: to a new file, or to
// the one that was appended last, while that is small. A file that is not there is made; of a path that ends with a
// separator, a directory with a file. Column types are those of the source; a value that one cannot hold exactly is an
// error. A pattern, or a directory with directories column=value, is no place to append to.
//
// Appenders of this library take turns, those of other processes and of other machines that share a file system with locks
// included: Append waits for its turn until ctx ends. Of others, who take no lock, a change to the file meanwhile is an
// ErrConflict, and theirs stays. The cost of appending is that of copying the file; to a directory it stays small.
func (s *Store) Append(ctx context.Context, dst *offline.Source, rows array.RecordReader) (int64, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	l, err := locate(s.dir, dst)
	if err != nil {
		return 0, err
	}
	if l.pattern {
		return 0, feasterr.Unsupported("source %q: %s is a pattern: it does not say where new rows should go", dst.Name, l.path)
	}
	l.path = resolved(l.path)
	n, err := l.append(ctx, rows)
	if err != nil {
		return 0, writing(l.path, err)
	}
	return n, nil
}

func (l location) append(ctx context.Context, rows array.RecordReader) (n int64, err error) {
	info, err := os.Stat(l.path)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing && l.directory {
		if err := os.Mkdir(l.path, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return 0, err
		}
		defer func() {
			if err != nil {
				_ = os.Remove(l.path) // when nothing is in it
			}
		}()
	} else if err != nil && !missing {
		return 0, err
	}
	directory := l.directory || !missing && info.IsDir()
	lock := filepath.Join(filepath.Dir(l.path), "."+filepath.Base(l.path)+".lock")
	if directory {
		lock = filepath.Join(l.path, ".append.lock")
	}
	unlock, err := localfile.Lock(ctx, lock, 0)
	if err != nil {
		return 0, err
	}
	defer unlock()
	if directory {
		return appendToDirectory(ctx, l, rows)
	}
	return appendToFile(ctx, l.path, rows)
}

// newest marks the names of files that were appended to a directory. It sorts before letters and digits.
const newest = "+"

// appendedBytes is the size from which a file that was appended to a directory is not appended to again.
var appendedBytes int64 = 16 << 20

func appendToDirectory(ctx context.Context, l location, rows array.RecordReader) (int64, error) {
	files, err := l.files()
	if err != nil && !errors.Is(err, feasterr.ErrNotFound) {
		return 0, err
	}
	order := uint64(math.MaxInt64 - time.Now().UnixNano()) // later files sort before earlier ones
	if len(files) == 0 {
		return createBy(ctx, filepath.Join(l.path, fileName(order)), rows, writeNew)
	}
	for _, f := range files {
		if len(f.parts) > 0 {
			return 0, feasterr.Unsupported("rows cannot be appended to a directory with directories like %s=%s", f.parts[0].name, f.parts[0].value)
		}
	}
	first := files[0]
	if digits, ours := strings.CutPrefix(filepath.Base(first.path), newest); ours && filepath.Dir(first.path) == l.path {
		if info, err := os.Stat(first.path); err == nil && info.Size() < appendedBytes {
			return appendToFile(ctx, first.path, rows)
		}
		if earlier, err := strconv.ParseUint(strings.TrimSuffix(digits, ".parquet"), 16, 64); err == nil && earlier > 0 {
			order = min(order, earlier-1)
		}
	}
	path := filepath.Join(l.path, fileName(order))
	if path >= first.path {
		return 0, feasterr.Unsupported("a new file would have to sort before %s for its rows to win ties: rename that file", filepath.Base(first.path))
	}
	old, err := openFile(first)
	if err != nil {
		return 0, err
	}
	defer old.close()
	var n int64
	err = writeNew(path, func(f *os.File) (err error) {
		n, err = old.writeLike(ctx, f, rows, false)
		return err
	})
	return n, err
}

func fileName(order uint64) string { return fmt.Sprintf("%s%016x.parquet", newest, order) }

// physical is the schema of what is written in place of a file's columns: the same levels, names and compression, without
// annotations and encodings.
func physical(c *parquet.Column) parquet.Node {
	var n parquet.Node
	if c.Leaf() {
		// All row groups of a column are compressed alike: the library, among others, reads no others.
		t := c.Type()
		if logical := t.LogicalType(); logical != nil {
			if _, null := logical.Value.(*format.NullType); null {
				t = parquet.Int32Type // with only nulls; the library's own null columns are not read by DuckDB
			}
		}
		if n = parquet.Leaf(t); c.Compression() != nil {
			n = parquet.Compressed(n, c.Compression())
		}
	} else {
		var names []string
		var nodes []parquet.Node
		for _, child := range c.Columns() {
			names, nodes = append(names, child.Name()), append(nodes, physical(child))
		}
		n = group(names, nodes)
	}
	switch {
	case c.Optional():
		return parquet.Optional(n)
	case c.Repeated():
		return parquet.Repeated(n)
	}
	return n
}

// writeLike writes rows as a file with the schema and the notes of an old one, and its rows behind the new ones if they
// are wanted too.
func (f *dataFile) writeLike(ctx context.Context, to *os.File, rows array.RecordReader, both bool) (int64, error) {
	w := newFileWriter(to, parquet.NewSchema("schema", physical(f.parquet.Root())))
	n, err := w.rows(ctx, f.columns, rows)
	if err != nil {
		return 0, err
	}
	old := len(f.groups)
	if both {
		if old, err = w.smallGroups(ctx, f); err != nil {
			return 0, inFile(f.path, err)
		}
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	return n, f.footer(ctx, to, old)
}

// smallGroups writes the first row groups of f behind new rows, into one row group with them, as long as each has no more
// than twice the rows that there are before it, and returns how many it wrote. So row groups, however rows come, are each
// more than twice as large as the one before, up to groupRows, and a row is written again only when its row group grows by
// half at least.
func (w *fileWriter) smallGroups(ctx context.Context, f *dataFile) (int, error) {
	for _, s := range f.columns {
		if !s.flat() && s.hasNull() {
			return 0, nil // the library does not read them
		}
	}
	for i, g := range f.groups {
		size := 0
		for leaf := range g.chunks {
			size += int(g.meta(leaf).TotalUncompressedSize)
		}
		if g.rows > 2*int64(w.inGroup) || w.inGroup+int(g.rows) > groupRows || w.size+size > groupBytes {
			return i, nil
		}
		if err := w.group(ctx, g); err != nil {
			return 0, err
		}
		w.inGroup += int(g.rows)
		w.size += size
	}
	return len(f.groups), nil
}

func (s *shape) hasNull() bool {
	return s.kind == kindLeaf && s.leaf.form == formNull || slices.ContainsFunc(s.children, (*shape).hasNull)
}

// group writes the rows of a row group, which is of a file with the same levels.
func (w *fileWriter) group(ctx context.Context, g *rowGroup) (err error) {
	defer recovered(g.file.path, &err)
	for _, s := range g.file.columns {
		for leaf := s.first; leaf < s.first+s.leaves; leaf++ {
			next := func() ([]parquet.Value, error) { return []parquet.Value{parquet.NullValue().Level(0, 0, leaf)}, nil }
			if !s.hasNull() {
				l := &leafRows{pages: g.chunks[leaf].Pages(), buf: make([]parquet.Value, 1024)}
				defer l.close()
				next = l.nextRow
			}
			for row := range int(g.rows) {
				if err := ended(ctx, row); err != nil {
					return err
				}
				values, err := next()
				if err != nil {
					return malformed(err)
				}
				if _, err := w.columns[leaf].WriteRowValues(values); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// appendToFile writes a file that begins with new rows, and with those of small row groups. What follows are the bytes of
// the other row groups as they are, so that nothing about them changes, and a footer for all.
func appendToFile(ctx context.Context, path string, rows array.RecordReader) (int64, error) {
	was, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createBy(ctx, path, rows, writeNew)
	} else if err != nil {
		return 0, err
	}
	old, err := openFile(located{path: path})
	if err != nil {
		return 0, err
	}
	defer old.close()
	for _, g := range old.groups {
		for i := range g.chunks {
			if err := g.readable(i); err != nil {
				return 0, err
			}
		}
	}
	var n int64
	write := func(f *os.File) (err error) {
		n, err = old.writeLike(ctx, f, rows, true)
		return err
	}
	return n, replaceUnchanged(path, was, write, old.close) // not every system replaces an open file
}

// footer replaces the footer of a file that was just written by one with the schema of f, and puts the row groups of f from
// number first on in between.
func (f *dataFile) footer(ctx context.Context, to *os.File, first int) error {
	size, err := to.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	added, err := parquet.OpenFile(to, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return err
	}
	meta := *f.meta
	body, err := footerAt(to, size)
	if err != nil {
		return err
	}
	if _, err := to.Seek(body, io.SeekStart); err != nil {
		return err
	}
	meta.RowGroups = slices.Clone(added.Metadata().RowGroups)
	meta.NumRows = added.NumRows()
	groups := f.meta.RowGroups[first:]
	shift := int64(0)
	if len(groups) > 0 {
		start := f.dataFrom(first)
		end, err := footerAt(f.object, f.size)
		if err != nil {
			return err
		}
		if start < magicSize || start > end {
			return inFile(f.path, feasterr.Invalid("the file is damaged: a row group is said to be at byte %d of %d", start, end))
		}
		if err := copyBytes(ctx, to, io.NewSectionReader(f.object, start, end-start)); err != nil {
			return err
		}
		shift = body - start
	}
	for _, g := range groups {
		meta.NumRows += g.NumRows
		g.Columns = slices.Clone(g.Columns)
		g.FileOffset = shifted(g.FileOffset, shift)
		for i := range g.Columns {
			c := &g.Columns[i]
			c.FileOffset = shifted(c.FileOffset, shift)
			c.MetaData.DataPageOffset += shift
			c.MetaData.DictionaryPageOffset = shifted(c.MetaData.DictionaryPageOffset, shift)
			c.MetaData.IndexPageOffset = shifted(c.MetaData.IndexPageOffset, shift)
			c.MetaData.BloomFilterOffset = shifted(c.MetaData.BloomFilterOffset, shift)
			// An offset index holds places in the file that are not right any more.
			c.OffsetIndexOffset, c.OffsetIndexLength, c.ColumnIndexOffset, c.ColumnIndexLength = 0, 0, 0, 0
		}
		meta.RowGroups = append(meta.RowGroups, g)
	}
	for i := range meta.RowGroups {
		// It is said of all or of none, which are 0 then: it has no room for more.
		if meta.RowGroups[i].Ordinal = 0; len(meta.RowGroups) <= math.MaxInt16 {
			meta.RowGroups[i].Ordinal = int16(i)
		}
	}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), &meta)
	if err != nil {
		return err
	}
	footer = append(binary.LittleEndian.AppendUint32(footer, uint32(len(footer))), "PAR1"...)
	if _, err := to.Write(footer); err != nil {
		return err
	}
	at, err := to.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	return to.Truncate(at)
}

// dataFrom is where what belongs to the row groups from number first on begins.
func (f *dataFile) dataFrom(first int) int64 {
	if first == 0 {
		return magicSize
	}
	start := f.size
	for _, g := range f.meta.RowGroups[first:] {
		for i := range g.Columns {
			m := &g.Columns[i].MetaData
			start = min(start, m.DataPageOffset)
			for _, at := range []int64{m.DictionaryPageOffset, m.IndexPageOffset, m.BloomFilterOffset} {
				if at != 0 {
					start = min(start, at)
				}
			}
		}
	}
	return start
}

const magicSize = 4

// footerAt is where the footer of a file begins.
func footerAt(r io.ReaderAt, size int64) (int64, error) {
	var tail [magicSize]byte
	if _, err := r.ReadAt(tail[:], size-2*magicSize); err != nil {
		return 0, err
	}
	return size - 2*magicSize - int64(binary.LittleEndian.Uint32(tail[:])), nil
}

// shifted moves an offset, of which 0 means that there is none.
func shifted(offset, by int64) int64 {
	if offset == 0 {
		return 0
	}
	return offset + by
}

// copyBytes copies until ctx ends.
func copyBytes(ctx context.Context, w io.Writer, r io.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.CopyN(w, r, 1<<20); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
