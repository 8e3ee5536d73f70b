package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/feastgo/feast/feasterr"
)

// pageAt is where a data page stands: header and data at offset, so many bytes together.
type pageAt struct {
	offset, size int64
	first, rows  int64 // row numbers within the row group
}

// layout is where the pages of a column of a row group are. Parquet's own page index is an option that few writers use; the
// headers of the pages tell the same, at the cost of a small read each.
type layout struct {
	dictionary pageAt // size 0: none
	pages      []pageAt
}

const (
	headerGuess = 256     // most headers are shorter
	headerMost  = 1 << 20 // statistics of long texts stand in headers
	pageMost    = 1 << 28 // uncompressed bytes that a page may claim
)

// layout reads the headers of a column that has one value a row.
func (g *rowGroup) layout(leaf int) (*layout, error) {
	if l := g.layouts[leaf].Load(); l != nil {
		return l, nil
	}
	meta := g.meta(leaf)
	if err := g.readable(leaf); err != nil {
		return nil, err
	}
	pos := meta.DataPageOffset
	if d := meta.DictionaryPageOffset; d > 0 {
		pos = d
	}
	end := pos + meta.TotalCompressedSize
	if pos < 4 || end < pos || end > g.file.size {
		return nil, feasterr.Invalid("the file is damaged: a column is said to be at bytes %d to %d of %d", pos, end, g.file.size)
	}
	var l layout
	var rows int64
	for rows < g.rows {
		if pos >= end {
			return nil, feasterr.Invalid("the file is damaged: %d rows of a column are missing", g.rows-rows)
		}
		h, n, err := g.file.header(pos, end)
		if err != nil {
			return nil, err
		}
		at := pageAt{offset: pos, size: int64(n) + int64(h.CompressedPageSize)}
		if h.CompressedPageSize < 0 || h.UncompressedPageSize < 0 || h.UncompressedPageSize > pageMost || pos+at.size > end {
			return nil, feasterr.Invalid("the file is damaged: a page of %d bytes, %d uncompressed", h.CompressedPageSize, h.UncompressedPageSize)
		}
		pos += at.size
		var values int32
		switch h.Type {
		case format.DictionaryPage:
			if d := h.DictionaryPageHeader; !d.Valid || l.dictionary.size != 0 || d.V.NumValues < 0 || d.V.NumValues > pageMost {
				return nil, feasterr.Invalid("the file is damaged: a second dictionary, or one without end")
			}
			l.dictionary = at
			continue
		case format.DataPage:
			values = h.DataPageHeader.V.NumValues
		case format.DataPageV2:
			values = h.DataPageHeaderV2.V.NumValues
		default:
			continue
		}
		if values < 0 || int64(values) > g.rows-rows {
			return nil, feasterr.Invalid("the file is damaged: a page with %d values where %d are left", values, g.rows-rows)
		}
		if values == 0 {
			continue
		}
		at.first, at.rows = rows, int64(values)
		rows += at.rows
		l.pages = append(l.pages, at)
	}
	g.layouts[leaf].Store(&l)
	return &l, nil
}

// header decodes the page header at pos and returns its length.
func (f *dataFile) header(pos, end int64) (*format.PageHeader, int, error) {
	var protocol thrift.CompactProtocol
	for size := int64(headerGuess); ; size *= 16 {
		buf := make([]byte, min(size, end-pos))
		if n, err := f.object.ReadAt(buf, pos); n < len(buf) {
			return nil, 0, fmt.Errorf("reading the header of a page: %w", err)
		}
		r := protocol.NewReaderFromBytes(buf)
		h := new(format.PageHeader)
		err := thrift.NewDecoder(r).Decode(h)
		if err == nil {
			return h, r.BytesRead(), nil
		}
		if int64(len(buf)) == end-pos || size > headerMost {
			return nil, 0, malformed(fmt.Errorf("the header of a page: %w", err))
		}
	}
}

// readable refuses columns that the Parquet library does not read right.
func (g *rowGroup) readable(leaf int) error {
	codec := g.meta(leaf).Codec
	switch codec {
	case format.Lz4Raw, format.Lz4:
		// The library's decoder answers wrong values for it without an error (LZ4_RAW).
		return feasterr.Unsupported("compression %s cannot be read reliably: write the file with snappy, zstd, gzip or none", codec)
	case format.Uncompressed, format.Snappy, format.Gzip, format.Brotli, format.Zstd:
	default:
		return feasterr.Unsupported("compression %s is not known", codec)
	}
	// It decompresses all row groups of a column as the first.
	if first := g.file.meta.RowGroups[0].Columns[leaf].MetaData.Codec; first != codec {
		return feasterr.Unsupported("row groups of one column are compressed by %s and by %s: write the file anew", first, codec)
	}
	return nil
}

// excerpt shows a column as if only some of its pages were there, one behind the other.
type excerpt struct {
	object io.ReaderAt
	base   int64 // where the column begins
	ranges []byteRange
}

// byteRange says that the bytes from at on stand at from in the file.
type byteRange struct{ at, from, size int64 }

func (e *excerpt) add(p pageAt) {
	at := int64(0)
	if n := len(e.ranges); n > 0 {
		last := &e.ranges[n-1]
		if last.from+last.size == p.offset {
			last.size += p.size
			return
		}
		at = last.at + last.size
	}
	e.ranges = append(e.ranges, byteRange{at: at, from: p.offset, size: p.size})
}

// ReadAt implements [io.ReaderAt].
func (e *excerpt) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		at := off - e.base + int64(n)
		i := slices.IndexFunc(e.ranges, func(r byteRange) bool { return at >= r.at && at < r.at+r.size })
		if i < 0 {
			return n, io.EOF
		}
		r := e.ranges[i]
		k := min(int64(len(p)-n), r.at+r.size-at)
		got, err := e.object.ReadAt(p[n:n+int(k)], r.from+at-r.at)
		n += got
		if int64(got) < k {
			return n, err
		}
	}
	return n, nil
}

// page is a data page while it is visited. Its memory is used again afterwards.
type page struct {
	parquet.Page
	first, rows int // rows within the row group
}

// wanted is a choice of rows of a row group, either all from lo to hi, or those listed, in ascending order.
type wanted struct {
	lo, hi int
	rows   []int32 // nil: all
	some   bool    // rows counts
}

func allRows(lo, hi int) wanted { return wanted{lo: lo, hi: hi} }

func someRows(rows []int32) wanted {
	if len(rows) == 0 {
		return wanted{some: true}
	}
	return wanted{lo: int(rows[0]), hi: int(rows[len(rows)-1]) + 1, rows: rows, some: true}
}

func (w wanted) len() int {
	if w.some {
		return len(w.rows)
	}
	return w.hi - w.lo
}

// split takes what is wanted below row hi.
func (w wanted) split(hi int) (before, rest wanted) {
	if !w.some {
		hi = min(max(hi, w.lo), w.hi)
		return allRows(w.lo, hi), allRows(hi, w.hi)
	}
	n, _ := slices.BinarySearch(w.rows, int32(hi))
	return someRows(w.rows[:n]), someRows(w.rows[n:])
}

// pages visits the pages of a flat column that have wanted rows, with those rows. The others are not read.
func (g *rowGroup) pages(ctx context.Context, leaf int, w wanted, visit func(p page, w wanted) error) error {
	if w.len() == 0 {
		return ctx.Err()
	}
	l, err := g.layout(leaf)
	if err != nil {
		return err
	}
	e := &excerpt{object: g.file.object}
	meta := g.meta(leaf)
	if e.base = meta.DataPageOffset; meta.DictionaryPageOffset > 0 {
		e.base = meta.DictionaryPageOffset
	}
	if l.dictionary.size > 0 {
		e.add(l.dictionary)
	}
	type visited struct {
		at   pageAt
		rows wanted
	}
	var visits []visited
	for _, at := range l.pages {
		var here wanted
		if here, w = w.split(int(at.first + at.rows)); here.len() > 0 {
			e.add(at)
			visits = append(visits, visited{at, here})
		}
	}
	r := g.chunks[leaf].(*parquet.FileColumnChunk).PagesFrom(e)
	defer func() { _ = r.Close() }() // gives buffers back
	for _, v := range visits {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := r.ReadPage()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return malformed(err)
		}
		if p.NumRows() != v.at.rows {
			err = feasterr.Invalid("the file is damaged: a page has %d rows where %d are announced", p.NumRows(), v.at.rows)
		} else {
			err = visit(page{Page: p, first: int(v.at.first), rows: int(v.at.rows)}, v.rows)
		}
		parquet.Release(p)
		if err != nil {
			return err
		}
	}
	return nil
}
