package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

type conn struct {
	tls   *libc.TLS
	db    uintptr
	ctx   context.Context
	stmts map[string]*stmt
	since time.Time
}

var conns sync.Map

func funcPointer[T any](f T) uintptr { return *(*uintptr)(unsafe.Pointer(&struct{ f T }{f})) }

func mem(p uintptr, n int) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&p)), n)
}

func onProgress(_ *libc.TLS, db uintptr) int32 {
	c, ok := conns.Load(db)
	if ok && c.(*conn).ctx.Err() != nil {
		return 1
	}
	return 0
}

func open(path string, flags int32) (*conn, error) {
	c := &conn{tls: libc.NewTLS(), ctx: context.Background(), stmts: map[string]*stmt{}}
	name := c.alloc(path + "\x00")
	defer sqlite3.Xsqlite3_free(c.tls, name)
	out := c.alloc("01234567")
	defer sqlite3.Xsqlite3_free(c.tls, out)
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, out, flags, 0)
	c.db = *(*uintptr)(unsafe.Pointer(&mem(out, 8)[0]))
	if rc != 0 {
		return nil, fmt.Errorf("open %d", rc)
	}
	conns.Store(c.db, c)
	sqlite3.Xsqlite3_progress_handler(c.tls, c.db, 1000, funcPointer(onProgress), c.db)
	return c, nil
}

func (c *conn) alloc(s string) uintptr {
	p := sqlite3.Xsqlite3_malloc(c.tls, int32(len(s)))
	copy(mem(p, len(s)), s)
	return p
}

type stmt struct {
	c    *conn
	p    uintptr
	buf  uintptr
	size int
}

func (c *conn) prepare(sql string) (*stmt, error) {
	if s := c.stmts[sql]; s != nil {
		return s, nil
	}
	z := c.alloc(sql)
	defer sqlite3.Xsqlite3_free(c.tls, z)
	out := c.alloc("01234567")
	defer sqlite3.Xsqlite3_free(c.tls, out)
	if rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, z, int32(len(sql)), 1, out, 0); rc != 0 {
		return nil, errors.New(libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db)))
	}
	s := &stmt{c: c, p: *(*uintptr)(unsafe.Pointer(&mem(out, 8)[0]))}
	c.stmts[sql] = s
	return s, nil
}

func (s *stmt) blob(i int, b []byte) {
	if len(b) > s.size {
		s.buf = sqlite3.Xsqlite3_malloc(s.c.tls, int32(len(b)*2))
		s.size = len(b) * 2
	}
	copy(mem(s.buf, len(b)), b)
	sqlite3.Xsqlite3_bind_blob(s.c.tls, s.p, int32(i), s.buf, int32(len(b)), 0)
}

func (s *stmt) step() (bool, error) {
	switch rc := sqlite3.Xsqlite3_step(s.c.tls, s.p); rc {
	case 100:
		return true, nil
	case 101:
		return false, nil
	default:
		return false, fmt.Errorf("step: %d %s", rc, libc.GoString(sqlite3.Xsqlite3_errmsg(s.c.tls, s.c.db)))
	}
}

func (s *stmt) reset() { sqlite3.Xsqlite3_reset(s.c.tls, s.p) }

func (s *stmt) bytes(i int) []byte {
	p := sqlite3.Xsqlite3_column_blob(s.c.tls, s.p, int32(i))
	return mem(p, int(sqlite3.Xsqlite3_column_bytes(s.c.tls, s.p, int32(i))))
}

func (s *stmt) int(i int) int64 { return int64(sqlite3.Xsqlite3_column_int64(s.c.tls, s.p, int32(i))) }

var texts = map[string]uintptr{}

func (s *stmt) text(i int, t string) {
	p := texts[t]
	if p == 0 {
		p = s.c.alloc(t)
		texts[t] = p
	}
	sqlite3.Xsqlite3_bind_text(s.c.tls, s.p, int32(i), p, int32(len(t)), 0)
}
