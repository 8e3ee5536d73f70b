package redisbench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"strconv"
	"testing"

	"github.com/twmb/murmur3"

	"github.com/feastgo/feast"
)

// fieldName is the field of a feature.
func fieldName(f int) string { return hashOf(viewName(f/viewFeatures) + ":" + featureName(f)) }

// vectorField is the field of a service's vectors.
func vectorField(service string) string { return hashOf("__precomputed__" + service + ":vector") }

func hashOf(name string) string {
	return string(binary.LittleEndian.AppendUint32(nil, murmur3.StringSum32(name)))
}

// hashFields are the fields that an answer of n features needs: those of the features, then the times of their views.
func hashFields(n int) []string {
	var out []string
	for f := range n {
		out = append(out, fieldName(f))
	}
	for v := range n / viewFeatures {
		out = append(out, "_ts:"+viewName(v))
	}
	return out
}

// answer is columns of values with a byte for each that says whether there is one.
type answer struct {
	present []bool // row after row
	ints    [][]int64
	floats  [][]float64
	bools   [][]bool
	texts   [][][]byte
	lists   [][][]float32

	text []byte // where texts lie
	list []float32
}

func (a *answer) reset(types []feast.Type, rows int) {
	if len(a.present) != len(types)*rows {
		a.present = make([]bool, len(types)*rows)
		a.ints, a.floats, a.bools = make([][]int64, len(types)), make([][]float64, len(types)), make([][]bool, len(types))
		a.texts, a.lists = make([][][]byte, len(types)), make([][][]float32, len(types))
		for f, t := range types {
			switch t {
			case feast.Int64:
				a.ints[f] = make([]int64, rows)
			case feast.Float64:
				a.floats[f] = make([]float64, rows)
			case feast.Bool:
				a.bools[f] = make([]bool, rows)
			case feast.String:
				a.texts[f] = make([][]byte, rows)
			default:
				a.lists[f] = make([][]float32, rows)
			}
		}
	}
	clear(a.present)
	a.text, a.list = a.text[:0], a.list[:0]
}

var errDecode = errors.New("not the declared type")

// set decodes a stored value.
func (a *answer) set(types []feast.Type, row, f int, v []byte) error {
	if len(v) < 2 {
		return errDecode
	}
	switch types[f] {
	case feast.Int64:
		n, size := binary.Uvarint(v[1:])
		if v[0] != 4<<3 || size <= 0 {
			return errDecode
		}
		a.ints[f][row] = int64(n)
	case feast.Float64:
		if v[0] != 5<<3|1 || len(v) != 9 {
			return errDecode
		}
		a.floats[f][row] = math.Float64frombits(binary.LittleEndian.Uint64(v[1:]))
	case feast.Bool:
		if v[0] != 7<<3 {
			return errDecode
		}
		a.bools[f][row] = v[1] != 0
	case feast.String:
		n, size := binary.Uvarint(v[1:])
		if v[0] != 2<<3|2 || size <= 0 || int(n) != len(v)-1-size {
			return errDecode
		}
		from := len(a.text)
		a.text = append(a.text, v[1+size:]...)
		a.texts[f][row] = a.text[from:]
	default:
		// A list in the value, whose one field is the packed numbers.
		_, size := binary.Uvarint(v[2:])
		if v[0] != 16<<3&0x7f|2|0x80 || v[1] != 1 || size <= 0 {
			return errDecode
		}
		body := v[2+size:]
		if len(body) < 2 || body[0] != 1<<3|2 {
			return errDecode
		}
		n, size := binary.Uvarint(body[1:])
		body = body[1+size:]
		if int(n) != len(body) || n%4 != 0 {
			return errDecode
		}
		from := len(a.list)
		for i := 0; i < len(body); i += 4 {
			a.list = append(a.list, math.Float32frombits(binary.LittleEndian.Uint32(body[i:])))
		}
		a.lists[f][row] = a.list[from:]
	}
	a.present[row*len(types)+f] = true
	return nil
}

// sum is of all integers and how many values there are, to see that everybody answers the same.
func (a *answer) sum() (present int, ints int64) {
	for i, p := range a.present {
		if f := i % len(a.ints); p {
			present++
			if c := a.ints[f]; c != nil {
				ints += c[i/len(a.ints)]
			}
		}
	}
	return present, ints
}

// floor is the least that has to be done: one socket, requests that are encoded before, replies scanned and values decoded
// by hand where they lie. It looks at no errors that Redis does not make, at no deadlines and at no times of views.
type floor struct {
	conn     net.Conn
	types    []feast.Type
	requests [][]byte // of the entities asked for, one after the other
	rows     int
	all      bool
	column   map[uint32]int // of a field's name
	fields   int

	buf      []byte
	pos, end int
	answer   answer
}

func newFloor(b *testing.B, r *repo, n int, ids [][]int64, all bool) *floor {
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	f := &floor{conn: conn, types: r.types[:n], rows: len(ids[0]), all: all, column: map[uint32]int{}, buf: make([]byte, 64<<10)}
	fields := hashFields(n)
	f.fields = len(fields)
	for i, name := range fields[:n] {
		f.column[binary.LittleEndian.Uint32([]byte(name))] = i
	}
	for _, ids := range ids {
		var req []byte
		for _, id := range ids {
			key := string(appendHashKey(nil, id))
			if all {
				req = appendCommand(req, "HGETALL", key)
			} else {
				req = appendCommand(req, append([]string{"HMGET", key}, fields...)...)
			}
		}
		f.requests = append(f.requests, req)
	}
	return f
}

func appendCommand(dst []byte, args ...string) []byte {
	dst = append(append(dst, '*'), strconv.Itoa(len(args))+"\r\n"...)
	for _, a := range args {
		dst = append(append(dst, '$'), strconv.Itoa(len(a))+"\r\n"+a+"\r\n"...)
	}
	return dst
}

func (f *floor) read(i int) error {
	f.answer.reset(f.types, f.rows)
	if _, err := f.conn.Write(f.requests[i%len(f.requests)]); err != nil {
		return err
	}
	for row := range f.rows {
		n, err := f.line()
		if err != nil {
			return err
		}
		if f.all {
			for range n / 2 {
				name, err := f.text()
				if err != nil {
					return err
				}
				column, ok := -1, false
				if len(name) == 4 {
					column, ok = f.column[binary.LittleEndian.Uint32(name)]
				}
				value, err := f.text()
				if err == nil && ok {
					err = f.answer.set(f.types, row, column, value)
				}
				if err != nil {
					return err
				}
			}
			continue
		}
		for column := range n {
			value, err := f.text()
			if err == nil && value != nil && column < len(f.types) {
				err = f.answer.set(f.types, row, column, value)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *floor) more() error {
	if f.pos > 0 {
		f.end = copy(f.buf, f.buf[f.pos:f.end])
		f.pos = 0
	}
	n, err := f.conn.Read(f.buf[f.end:])
	f.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

func (f *floor) line() (int, error) {
	for {
		if i := bytes.IndexByte(f.buf[f.pos:f.end], '\n'); i > 0 {
			b := f.buf[f.pos+1 : f.pos+i-1]
			f.pos += i + 1
			if b[0] == '-' {
				return -1, nil
			}
			n := 0
			for _, c := range b {
				n = 10*n + int(c-'0')
			}
			return n, nil
		}
		if err := f.more(); err != nil {
			return 0, err
		}
	}
}

func (f *floor) text() ([]byte, error) {
	n, err := f.line()
	if n < 0 || err != nil {
		return nil, err
	}
	for f.end-f.pos < n+2 {
		if err := f.more(); err != nil {
			return nil, err
		}
	}
	v := f.buf[f.pos : f.pos+n]
	f.pos += n + 2
	return v, nil
}
