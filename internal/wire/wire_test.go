package wire

import (
	"encoding/binary"
	"slices"
	"testing"
)

func TestUvarint(t *testing.T) {
	for shift := range 64 {
		for _, v := range []uint64{1 << shift, 1<<shift - 1, ^uint64(0) >> shift, 0x9e3779b97f4a7c15 >> shift} {
			enc := binary.AppendUvarint(nil, v)
			for _, tail := range []string{"", "\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
				if got, n := Uvarint(append(slices.Clone(enc), tail...)); got != v || n != len(enc) {
					t.Errorf("%x is %d of %d bytes, want %d", enc, got, n, v)
				}
			}
			for cut := range enc {
				if _, n := Uvarint(enc[:cut]); n != 0 {
					t.Errorf("%x: %d bytes", enc[:cut], n)
				}
			}
		}
	}
}
