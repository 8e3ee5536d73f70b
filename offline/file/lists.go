package file

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/feastgo/feast/feasterr"
)

// simpleList reports whether a column is a list of values of one leaf, as embeddings are: these go page by page.
func (s *shape) simpleList() bool {
	return s.kind == kindList && s.children[0].kind == kindLeaf && (s.children[0].leaf.form == formFixed || s.children[0].leaf.form == formText)
}

// listReader collects wanted rows of a simple list.
type listReader struct {
	filler // of the items, dictionaries and texts
	shape  *shape
	want   wanted
	row    int  // the last row that began
	taken  int  // wanted rows that began
	open   bool // the last row is wanted

	items  *vector
	starts []int32 // of the items of each wanted row
	valid  []bool
}

// fillList reads wanted rows of a simple list.
func (g *rowGroup) fillList(ctx context.Context, c *column, s *shape, w wanted, dst *vector, at int) error {
	if err := g.readable(s.first); err != nil {
		return err
	}
	leaf := s.children[0].leaf
	r := listReader{filler: filler{leaf: leaf}, shape: s, want: w, row: w.lo - 1,
		items: &vector{typ: c.typ.(*arrow.ListType).Elem(), leaf: leaf}, starts: make([]int32, 0, w.len()+1), valid: make([]bool, 0, w.len())}
	pages := g.chunks[s.first].Pages()
	defer func() { _ = pages.Close() }() // gives buffers back
	if w.lo > 0 {
		if _, err := g.chunks[s.first].OffsetIndex(); err != nil && !errors.Is(err, parquet.ErrMissingOffsetIndex) {
			return malformed(err)
		}
		if err := pages.SeekToRow(int64(w.lo)); err != nil {
			return malformed(err)
		}
	}
	for r.taken < w.len() || r.open {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := pages.ReadPage()
		if errors.Is(err, io.EOF) && r.taken == w.len() {
			break
		} else if errors.Is(err, io.EOF) {
			return malformed(io.ErrUnexpectedEOF)
		} else if err != nil {
			return malformed(err)
		}
		err = r.page(p)
		parquet.Release(p)
		if err != nil {
			return err
		}
	}
	values, err := r.array(c.typ)
	if err != nil {
		return err
	}
	dst.put(at, values)
	return nil
}

// page takes the items of wanted rows.
func (r *listReader) page(p parquet.Page) error {
	reps, defs := p.RepetitionLevels(), p.DefinitionLevels()
	if len(reps) != len(defs) {
		return feasterr.Invalid("the file is damaged: a page of a list with %d and %d levels", len(reps), len(defs))
	}
	element, present := r.shape.element, r.shape.children[0].def
	idx := r.idx[:0]
	total := r.items.n
	value := int32(0)
	for i, d := range defs {
		def := int(d)
		if reps[i] == 0 {
			r.row++
			r.open = r.taken < r.want.len() && (!r.want.some || int(r.want.rows[r.taken]) == r.row)
			if r.open {
				r.taken++
				r.starts, r.valid = append(r.starts, int32(total)), append(r.valid, def >= r.shape.def)
			}
		}
		if r.open && def >= element {
			total++
			if def == present {
				idx = append(idx, value)
			} else {
				idx = append(idx, -1)
			}
		}
		if def == present {
			value++
		}
	}
	if r.idx = idx; total > math.MaxInt32 {
		return feasterr.Unsupported("%d items of lists in one batch are more than an Arrow array holds", total)
	}
	values := p.Data()
	src, offsets := values.Data()
	if d := p.Dictionary(); d != nil {
		r.setDictionary(d)
		codes := values.Int32()
		for i, k := range idx {
			if k >= 0 {
				idx[i] = codes[k]
			}
		}
		src, offsets = r.dictB, r.dictO
	}
	r.add(src, offsets, idx)
	return nil
}

// add appends the items at idx, nulls where it is negative.
func (r *listReader) add(src []byte, offsets []uint32, idx []int32) {
	v := r.items
	v.n += len(idx)
	for _, k := range idx {
		v.valid = append(v.valid, k >= 0)
		if k < 0 {
			v.nulls.Store(true)
		}
	}
	if r.leaf.form == formText {
		for _, k := range idx {
			s := ""
			if k >= 0 {
				s = r.keep(src[offsets[k]:offsets[k+1]])
			}
			v.text = append(v.text, s)
		}
		return
	}
	w := r.leaf.width
	from := len(v.data)
	if need := from + len(idx)*w; need > cap(v.data) {
		data := aligned(max(need, 2*cap(v.data)))
		v.data = data[:copy(data, v.data)]
	}
	v.data = v.data[:from+len(idx)*w]
	switch dst := v.data[from:]; w {
	case 4:
		gather(valuesOf[uint32](dst), valuesOf[uint32](src), idx)
	case 8:
		gather(valuesOf[uint64](dst), valuesOf[uint64](src), idx)
	default:
		for i, k := range idx {
			if k >= 0 {
				copy(dst[i*w:(i+1)*w], src[int(k)*w:(int(k)+1)*w])
			}
		}
	}
}

// array makes an Arrow array of what was read.
func (r *listReader) array(t arrow.DataType) (arrow.Array, error) {
	items, err := r.items.array()
	if err != nil {
		return nil, err
	}
	defer items.Release()
	packed, set := packBits(r.valid)
	starts := append(r.starts, int32(r.items.n))
	data := array.NewData(t, len(r.valid), []*memory.Buffer{memory.NewBufferBytes(packed), memory.NewBufferBytes(bytesOf(starts))},
		[]arrow.ArrayData{items.Data()}, len(r.valid)-set, 0)
	defer data.Release()
	return array.MakeFromData(data), nil
}
