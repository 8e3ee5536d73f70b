package redis

import (
	"errors"
	"fmt"
	"io"
)

const (
	// readSize is how much a connection reads at once, and what its buffer begins with.
	readSize = 64 << 10
	// moveable is how many bytes are moved to the front to have more room.
	moveable = 4 << 10
	// maxKept is the largest buffer that is kept for the next read.
	maxKept = 1 << 20
	// maxBulk is the longest text that a Redis server sends.
	maxBulk = 512 << 20
	// maxTrusted is the largest length that go-redis, which takes the memory for it at once, may be left with when the reply
	// is not what was asked for or does not come whole.
	maxTrusted = 16 << 20
)

var (
	// errUnusual says that a server answered what a plain read of hashes does not expect: an error, a redirect, a push
	// message, another type.
	errUnusual = errors.New("an unexpected reply")
	// errGarbage says that what came is no reply of a Redis server. It is final: go-redis is not asked to try.
	errGarbage = errors.New("a malformed reply")
)

// replies scans the replies of a Redis server, versions 2 and 3 of its protocol, from a buffer that src fills. Texts are
// handed out where they lie and are valid until the next call. Memory grows with what has arrived, not with what a reply
// says is to come.
type replies struct {
	src      io.Reader // nil: everything is in the buffer
	buf      []byte
	pos, end int // of what has come and is not scanned yet
	marked   bool
	start    int // of what may be scanned again, while marked
}

// reset makes r scan what is in memory.
func (r *replies) reset(data []byte) { *r = replies{buf: data, end: len(data)} }

// more waits for more bytes.
func (r *replies) more() error {
	if r.src == nil {
		return io.ErrUnexpectedEOF
	}
	from := r.pos
	if r.marked {
		from = r.start
	}
	if from > 0 && (r.end == len(r.buf) || r.end-from < moveable) {
		r.end = copy(r.buf, r.buf[from:r.end])
		r.pos, r.start = r.pos-from, 0
	}
	if r.end == len(r.buf) {
		grown := make([]byte, max(readSize, 2*len(r.buf)))
		copy(grown, r.buf[:r.end])
		r.buf = grown
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	switch err {
	case nil:
		return io.ErrNoProgress
	case io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// mark keeps what follows, so that rewind can go back to here, until unmark.
func (r *replies) mark() { r.marked, r.start = true, r.pos }

func (r *replies) rewind() { r.pos = r.start }

func (r *replies) unmark() { r.marked = false }

// shrink gives back a buffer that one large reply has made large. Nothing may be left in it.
func (r *replies) shrink() {
	if len(r.buf) > maxKept {
		r.buf = nil
	}
	r.pos, r.end = 0, 0
}

// header scans the first line of a reply with a number: its kind, and the number, -1 for null.
func (r *replies) header() (kind byte, n int, err error) {
	for {
		b := r.buf[r.pos:r.end]
		if len(b) > 0 {
			switch b[0] {
			case '$', '*', '%', ':', '_':
			case '-', '+', '>', '|', '!', '(', ',', '#', '=', '~':
				return b[0], 0, errUnusual
			default:
				return b[0], 0, errGarbage
			}
		}
		size, n := number(b)
		if size > 0 {
			r.pos += size
			return b[0], n, nil
		}
		if size < 0 {
			return b[0], 0, errGarbage
		}
		if err := r.more(); err != nil {
			return 0, 0, err
		}
	}
}

// number scans a line of a kind and a number and returns its length: 0 when it is not complete, -1 when it is none.
func number(b []byte) (size, n int) {
	const most = 9 // digits
	i, minus := 1, false
	if len(b) > 1 && b[1] == '-' {
		i, minus = 2, true
	}
	first := i
	for ; i < len(b); i++ {
		d := b[i] - '0'
		if d > 9 {
			break
		}
		if i-first == most {
			return -1, 0
		}
		n = 10*n + int(d)
	}
	if i < len(b) && b[i] != '\r' || i+1 < len(b) && b[i+1] != '\n' {
		return -1, 0
	}
	if i+1 >= len(b) {
		return 0, 0
	}
	switch {
	case b[0] == '_' && i == 1: // the null of version 3
		return i + 2, -1
	case b[0] == '_' || i == first:
		return -1, 0
	case minus && n != 1:
		return -1, 0
	case minus:
		return i + 2, -1
	}
	return i + 2, n
}

// text scans a bulk string; ok is false for null.
func (r *replies) text() (text []byte, ok bool, err error) {
	// Most are short and have come.
	if b := r.buf[r.pos:r.end]; len(b) > 4 && b[0] == '$' {
		if size, n := shortLength(b); size > 0 && len(b) >= size+n+2 && b[size+n] == '\r' && b[size+n+1] == '\n' {
			r.pos += size + n + 2
			return b[size : size+n], true, nil
		}
	}
	kind, n, err := r.header()
	switch {
	case err != nil:
		return nil, false, err
	case kind == '_' || kind == '$' && n < 0:
		return nil, false, nil
	case kind != '$':
		return nil, false, unusual(n)
	}
	if text, err = r.bulk(n); err != nil && n > maxTrusted && !errors.Is(err, errGarbage) {
		err = fmt.Errorf("%w: of a value of %d bytes came %d: %w", errGarbage, n, r.end-r.pos, err)
	}
	return text, err == nil, err
}

// bulk scans what follows the first line of a bulk string: n bytes, and the end of a line.
func (r *replies) bulk(n int) (text []byte, err error) {
	if n > maxBulk {
		return nil, errGarbage
	}
	for r.end-r.pos < n+2 {
		if err := r.more(); err != nil {
			return nil, err
		}
	}
	text = r.buf[r.pos : r.pos+n]
	if r.buf[r.pos+n] != '\r' || r.buf[r.pos+n+1] != '\n' {
		return nil, errGarbage
	}
	r.pos += n + 2
	return text, nil
}

// shortLength scans the first line of a bulk string of less than 100 bytes and returns its length, 0 for any other. b has
// at least five bytes.
func shortLength(b []byte) (size, n int) {
	d := b[1] - '0'
	if d > 9 {
		return 0, 0
	}
	if b[2] == '\r' && b[3] == '\n' {
		return 4, int(d)
	}
	e := b[2] - '0'
	if e > 9 || b[3] != '\r' || b[4] != '\n' {
		return 0, 0
	}
	return 5, 10*int(d) + int(e)
}

// unusual is the error for a reply of another kind with a length.
func unusual(n int) error {
	if n > maxTrusted {
		return errGarbage
	}
	return errUnusual
}

// values scans the beginning of the reply to HMGET with so many fields.
func (r *replies) values(fields int) error {
	kind, n, err := r.header()
	switch {
	case err != nil:
		return err
	case kind != '*':
		return unusual(n)
	case n != fields:
		return errGarbage
	}
	return nil
}

// pairs scans the beginning of the reply to HGETALL and returns how many fields with their values follow.
func (r *replies) pairs() (int, error) {
	kind, n, err := r.header()
	switch {
	case err != nil:
		return 0, err
	case (kind == '%' || kind == '*') && n > maxTrusted:
		return 0, errGarbage
	case kind == '%' && n >= 0:
		return n, nil
	case kind != '*':
		return 0, unusual(n)
	case n < 0 || n%2 != 0:
		return 0, errGarbage
	}
	return n / 2, nil
}

// line scans what answers a question about a key: a number, a text, or an error, which is no text.
func (r *replies) line() (text []byte, n int, err error) {
	kind, n, err := r.header()
	switch {
	case kind == ':' && err == nil:
		return nil, n, nil
	case kind == '$' && err == nil && n > readSize:
		return nil, -1, errGarbage
	case kind == '$' && err == nil && n >= 0:
		text, err = r.bulk(n)
		return text, -1, err
	case (kind == '$' || kind == '_') && err == nil:
		return nil, -1, nil
	case kind == '-' && errors.Is(err, errUnusual):
		return nil, -1, r.skipLine()
	case err != nil:
		return nil, -1, err
	}
	return nil, -1, errUnusual
}

// skipLine scans a line of text.
func (r *replies) skipLine() error {
	for i := 0; ; i++ {
		for r.end-r.pos <= i {
			if i > readSize {
				return errGarbage
			}
			if err := r.more(); err != nil {
				return err
			}
		}
		if r.buf[r.pos+i] == '\n' {
			r.pos += i + 1
			return nil
		}
	}
}

// skip scans a reply to whatever command.
func (r *replies) skip() error {
	for left := 1; left > 0; left-- {
		kind, n, err := r.header()
		switch {
		case kind == '-' && errors.Is(err, errUnusual):
			err = r.skipLine()
		case err != nil:
		case kind == '*':
			left += max(n, 0)
		case kind == '%':
			left += 2 * max(n, 0)
		case kind == '$' && n >= 0:
			_, err = r.bulk(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
