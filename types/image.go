package types

import (
	"encoding/binary"
	"math"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/wire"
)

// An image of a row holds, for each of its columns, the cell's state, and behind it, where there is one, the value: a
// number as little-endian bytes of its width, anything else with its length before it, as the cell keeps it. So a row is
// put back by copying, without decoding. It means nothing to another program or version.

var errImage = feasterr.Invalid("this is no image of a row with these columns")

// AppendImage appends an image of one row of columns to dst, for [PutImage]. It shares no memory with them.
func AppendImage(dst []byte, columns []Column, row int) []byte {
	for i := range columns {
		c := &columns[i]
		s := c.states()[row]
		dst = append(dst, s)
		switch {
		case s&stateOdd != 0:
			dst = appendSized(dst, c.odd(row))
		case !c.kept(s):
		default:
			switch c.store {
			case storeInt32:
				dst = binary.LittleEndian.AppendUint32(dst, uint32(c.i32()[row]))
			case storeInt64:
				dst = binary.LittleEndian.AppendUint64(dst, uint64(c.i64()[row]))
			case storeFloat32:
				dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(c.f32()[row]))
			case storeFloat64:
				dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(c.f64()[row]))
			case storeBool:
				b := byte(0)
				if c.bools()[row] {
					b = 1
				}
				dst = append(dst, b)
			default:
				dst = appendSized(dst, c.bytes(c.cells()[row]))
			}
		}
	}
	return dst
}

func appendSized(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// kept reports whether a cell in state s, which is not odd, keeps a value: raw cells keep a stored null, too.
func (c *Column) kept(s byte) bool {
	return has(s) || c.store == storeRaw && s&statusMask != byte(NotFound)
}

// PutImage makes one row of columns what it was in the columns of the same types that [AppendImage] saw, statuses
// included. image is not kept. It is an error when image was cut off or is longer, and when a column would grow beyond
// 4 GiB; then the row is of no use.
func PutImage(columns []Column, row int, image []byte) error {
	for i := range columns {
		c := &columns[i]
		if len(image) == 0 {
			return errImage
		}
		s := image[0]
		image = image[1:]
		if s&stateOdd == 0 && has(s) { // the common cases
			switch c.store {
			case storeInt64:
				if len(image) < 8 {
					return errImage
				}
				c.i64()[row] = int64(binary.LittleEndian.Uint64(image))
				c.states()[row], image = s, image[8:]
				continue
			case storeFloat64:
				if len(image) < 8 {
					return errImage
				}
				c.f64()[row] = math.Float64frombits(binary.LittleEndian.Uint64(image))
				c.states()[row], image = s, image[8:]
				continue
			case storeFloat32:
				if len(image) < 4 {
					return errImage
				}
				c.f32()[row] = math.Float32frombits(binary.LittleEndian.Uint32(image))
				c.states()[row], image = s, image[4:]
				continue
			case storeInt32:
				if len(image) < 4 {
					return errImage
				}
				c.i32()[row] = int32(binary.LittleEndian.Uint32(image))
				c.states()[row], image = s, image[4:]
				continue
			case storeBool:
				if len(image) < 1 {
					return errImage
				}
				c.bools()[row] = image[0] != 0
				c.states()[row], image = s, image[1:]
				continue
			}
		}
		c.Clear(row, NotFound)
		if s&stateOdd != 0 || c.kept(s) {
			size, n := wire.Uvarint(image)
			if n == 0 || uint64(len(image)-n) < size {
				return errImage
			}
			data := image[n : n+int(size)]
			image = image[n+int(size):]
			if s&stateOdd != 0 {
				c.setOdd(row, append([]byte(nil), data...), false)
			} else if err := c.put(row, data); err != nil {
				return c.emptied(row, err)
			}
		}
		c.states()[row] = s
	}
	if len(image) > 0 {
		return errImage
	}
	return nil
}
