package file

import (
	"cmp"
	"math/bits"
	"slices"
)

// picked is a set of rows of a source. Rows are numbered in the order of the source once all are in.
type picked struct {
	table  *table
	groups []*pickedGroup // by ordinal of the row group; nil where no row was picked
	order  []*rowGroup
	n      int
}

func newPicked(t *table) *picked {
	return &picked{table: t, groups: make([]*pickedGroup, len(t.groups))}
}

// pickedGroup has a bit for each row of a row group.
type pickedGroup struct {
	words []uint64
	ranks []int32 // of words: how many bits are set before
	first int     // how many rows were picked in earlier row groups
}

// add picks a row of the source, which is in group g.
func (p *picked) add(g *rowGroup, row int64) {
	pg := p.groups[g.ordinal]
	if pg == nil {
		pg = &pickedGroup{words: make([]uint64, (g.rows+63)/64)}
		p.groups[g.ordinal] = pg
		p.order = append(p.order, g)
	}
	i := row - g.start
	pg.words[i/64] |= 1 << (i % 64)
}

// number numbers the rows.
func (p *picked) number() {
	slices.SortFunc(p.order, func(a, b *rowGroup) int { return cmp.Compare(a.start, b.start) })
	p.n = 0
	for _, g := range p.order {
		pg := p.groups[g.ordinal]
		pg.first, pg.ranks = p.n, make([]int32, len(pg.words))
		for i, w := range pg.words {
			pg.ranks[i] = int32(p.n - pg.first)
			p.n += bits.OnesCount64(w)
		}
	}
}

// numberOf is the number of a picked row.
func (p *picked) numberOf(g *rowGroup, row int64) int32 {
	pg := p.groups[g.ordinal]
	i := row - g.start
	return int32(pg.first) + pg.ranks[i/64] + int32(bits.OnesCount64(pg.words[i/64]&(1<<(i%64)-1)))
}

// rows are the picked rows within a row group.
func (pg *pickedGroup) rows() []int32 {
	var out []int32
	for i, w := range pg.words {
		for ; w != 0; w &= w - 1 {
			out = append(out, int32(i*64+bits.TrailingZeros64(w)))
		}
	}
	return out
}
