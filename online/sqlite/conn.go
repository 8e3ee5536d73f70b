package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/feastgo/feast/feasterr"
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

func init() { sqlite3.PatchIssue199() } // the page size on linux/arm64, as modernc.org/sqlite itself does

// conn is a connection to the database file, through SQLite's C interface as modernc.org/sqlite/lib has it in Go. Package
// database/sql would copy each name and value that is read, with seven allocations for a feature and three times the time;
// here they are seen where SQLite holds them. A conn is used by one goroutine at a time.
type conn struct {
	file
	tls   *libc.TLS
	db    uintptr // sqlite3*
	out   uintptr // memory of SQLite's, for results through pointers
	stmts map[string]*stmt
	held  int // bytes of the statements' buffers

	ctx     context.Context //nolint:containedctx // of the call under way: SQLite's callbacks look at it
	waiting time.Time       // since when for a lock
	code    int32           // of the last failure
	broken  bool            // not to be used again

	fixed   os.FileInfo // of a file that is read as one that nobody changes, else nil
	checked time.Time   // when it was last asked whether it is stale
}

// file is the database file, and how long to wait while others have it locked.
type file struct {
	path string // absolute
	wait time.Duration
}

// conns finds the conn of a database handle, for callbacks.
var conns sync.Map

// progressSteps is after how many instructions of its machine SQLite asks whether to go on: some tens of microseconds.
const progressSteps = 1000

// readHeader reads the header of the file, which proves that it is a database that can be read now.
const readHeader = "PRAGMA schema_version"

// open opens the file, which must exist unless create is set. The file's journal mode is its own.
func (f file) open(ctx context.Context, create bool) (*conn, error) {
	flags := int32(sqlite3.SQLITE_OPEN_READWRITE) // read-only where the file system allows no more
	if create {
		flags |= sqlite3.SQLITE_OPEN_CREATE
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			return nil, err
		}
	}
	c, err := f.connect(ctx, f.path, flags)
	if err != nil {
		return nil, err
	}
	if err = c.exec(readHeader); err == nil {
		return c, nil
	}
	c.close()
	if c.code == sqlite3.SQLITE_CANTOPEN || c.code == sqlite3.SQLITE_READONLY {
		return f.openFixed(ctx, err)
	}
	return nil, err
}

// openFixed opens a file in WAL mode that stands where SQLite cannot make the files it wants beside it, in a read-only
// directory. While it has no log and no journal, it is complete by itself. cause is what is wrong otherwise.
func (f file) openFixed(ctx context.Context, cause error) (*conn, error) {
	for _, suffix := range []string{"-wal", "-journal"} {
		if log, err := os.Stat(f.path + suffix); err == nil && log.Size() > 0 {
			return nil, fmt.Errorf("%w; it is complete only with %s%s, which cannot be read where nothing can be written: open "+
				"it once with write access", cause, f.path, suffix)
		}
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, cause
	}
	path := filepath.ToSlash(f.path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/data
	}
	uri := url.URL{Scheme: "file", Path: path, RawQuery: "immutable=1"}
	c, err := f.connect(ctx, uri.String(), sqlite3.SQLITE_OPEN_READONLY|sqlite3.SQLITE_OPEN_URI)
	if err != nil {
		return nil, err
	}
	if err := c.exec(readHeader); err != nil {
		c.close()
		return nil, err
	}
	c.fixed = info
	return c, nil
}

// connect makes a connection by the name that SQLite is to open.
func (f file) connect(ctx context.Context, name string, flags int32) (*conn, error) {
	c := &conn{file: f, tls: libc.NewTLS(), stmts: map[string]*stmt{}, ctx: ctx}
	c.out = c.alloc(8)
	zName := c.cstring(name)
	defer c.free(zName)
	rc := int32(sqlite3.SQLITE_NOMEM)
	if c.out != 0 && zName != 0 {
		flags |= sqlite3.SQLITE_OPEN_NOMUTEX | sqlite3.SQLITE_OPEN_EXRESCODE
		rc = sqlite3.Xsqlite3_open_v2(c.tls, zName, c.out, flags, 0)
		c.db = c.outPointer()
	}
	if rc != sqlite3.SQLITE_OK {
		err := c.failure(rc)
		c.close()
		return nil, err
	}
	conns.Store(c.db, c)
	sqlite3.Xsqlite3_busy_handler(c.tls, c.db, funcPointer(onBusy), c.db)
	sqlite3.Xsqlite3_progress_handler(c.tls, c.db, progressSteps, funcPointer(onProgress), c.db)
	return c, nil
}

// stale reports whether the path names another file by now, or a fixed one has changed.
func (c *conn) stale() bool {
	if c.fixed == nil {
		moved := (*int32)(pointer(c.out))
		*moved = 0
		sqlite3.Xsqlite3_file_control(c.tls, c.db, 0, sqlite3.SQLITE_FCNTL_HAS_MOVED, c.out)
		return *moved != 0
	}
	info, err := os.Stat(c.path)
	if err != nil || !os.SameFile(info, c.fixed) || info.Size() != c.fixed.Size() || !info.ModTime().Equal(c.fixed.ModTime()) {
		return true
	}
	_, err = os.Stat(c.path + "-wal")
	return err == nil
}

// readOnly reports whether the file could not be written when it was opened, which may have changed.
func (c *conn) readOnly() bool { return sqlite3.Xsqlite3_db_readonly(c.tls, c.db, 0) != 0 }

func (c *conn) close() {
	c.forget()
	conns.Delete(c.db)
	sqlite3.Xsqlite3_close_v2(c.tls, c.db)
	c.free(c.out)
	c.tls.Close()
}

// forget drops all prepared statements.
func (c *conn) forget() {
	for _, s := range c.stmts {
		sqlite3.Xsqlite3_finalize(c.tls, s.p)
		for _, b := range s.params {
			c.free(b.p)
		}
	}
	clear(c.stmts)
	c.held = 0
}

// exec runs a statement without parameters, the rows of which are of no interest.
func (c *conn) exec(sql string) error {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	defer s.reset()
	_, err = s.step()
	return err
}

// rollback ends a transaction without storing anything, if one is open.
func (c *conn) rollback() {
	if sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) != 0 {
		return
	}
	c.ctx = context.Background() // whatever became of the call
	if err := c.exec("ROLLBACK"); err != nil {
		c.broken = true
	}
}

// changes returns the number of rows that the last statement wrote.
func (c *conn) changes() int { return int(sqlite3.Xsqlite3_changes(c.tls, c.db)) }

// stmt is a prepared statement. What is bound stays bound.
type stmt struct {
	c      *conn
	p      uintptr  // sqlite3_stmt*
	params []buffer // copies of what is bound, by parameter
	err    error    // of a bind, returned by step
}

// buffer is memory of SQLite's.
type buffer struct {
	p    uintptr
	size int
}

// prepare returns the statement for a text, compiled once per connection.
func (c *conn) prepare(sql string) (*stmt, error) {
	if s := c.stmts[sql]; s != nil {
		return s, nil
	}
	rc := int32(sqlite3.SQLITE_NOMEM)
	if zSQL := c.cstring(sql); zSQL != 0 {
		rc = sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, zSQL, -1, sqlite3.SQLITE_PREPARE_PERSISTENT, c.out, 0)
		c.free(zSQL)
	}
	if rc != sqlite3.SQLITE_OK {
		return nil, c.failure(rc)
	}
	s := &stmt{c: c, p: c.outPointer()}
	s.params = make([]buffer, sqlite3.Xsqlite3_bind_parameter_count(c.tls, s.p))
	c.stmts[sql] = s
	return s, nil
}

// step runs the statement to its next row and reports whether there is one.
func (s *stmt) step() (bool, error) {
	if s.err != nil {
		return false, s.err
	}
	switch rc := sqlite3.Xsqlite3_step(s.c.tls, s.p); rc {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, s.c.failure(rc)
	}
}

// reset makes the statement ready to run again.
func (s *stmt) reset() {
	s.err = nil
	sqlite3.Xsqlite3_reset(s.c.tls, s.p)
}

// Parameters are numbered from 1, columns from 0.

func (s *stmt) bindInt(param int, v int64) {
	s.bound(sqlite3.Xsqlite3_bind_int64(s.c.tls, s.p, int32(param), v))
}

func (s *stmt) bindFloat(param int, v float64) {
	s.bound(sqlite3.Xsqlite3_bind_double(s.c.tls, s.p, int32(param), v))
}

func (s *stmt) bindNull(param int) {
	s.bound(sqlite3.Xsqlite3_bind_null(s.c.tls, s.p, int32(param)))
}

func (s *stmt) bindBlob(param int, b []byte) {
	if p := copyTo(s, param, b); p != 0 {
		s.bound(sqlite3.Xsqlite3_bind_blob(s.c.tls, s.p, int32(param), p, int32(len(b)), sqlite3.SQLITE_STATIC))
	}
}

func bindText[T string | []byte](s *stmt, param int, text T) {
	if p := copyTo(s, param, text); p != 0 {
		s.bound(sqlite3.Xsqlite3_bind_text(s.c.tls, s.p, int32(param), p, int32(len(text)), sqlite3.SQLITE_STATIC))
	}
}

func (s *stmt) bound(rc int32) {
	if rc != sqlite3.SQLITE_OK && s.err == nil {
		s.err = s.c.failure(rc)
	}
}

// maxValue is how long a text or blob may be at most in SQLite.
const maxValue = 1_000_000_000

// copyTo copies what is to be bound to memory of SQLite's. When it cannot, the statement has an error and it returns 0.
func copyTo[T string | []byte](s *stmt, param int, v T) uintptr {
	if len(v) > maxValue {
		s.err = feasterr.Invalid("%d bytes are too long for a value: SQLite stores up to %d", len(v), maxValue)
		return 0
	}
	b := &s.params[param-1]
	if b.p == 0 || b.size < len(v) {
		s.c.free(b.p)
		s.c.held -= b.size
		b.size = min(max(2*len(v), 64), maxValue)
		if b.p = s.c.alloc(b.size); b.p == 0 {
			b.size = 0
			s.bound(sqlite3.SQLITE_NOMEM)
			return 0
		}
		s.c.held += b.size
	}
	copy(bytesAt(b.p, len(v)), v)
	return b.p
}

// bytes returns a text or blob of the row, nil for NULL. They are valid until the next step.
func (s *stmt) bytes(column int) []byte {
	p := sqlite3.Xsqlite3_column_blob(s.c.tls, s.p, int32(column))
	return bytesAt(p, int(sqlite3.Xsqlite3_column_bytes(s.c.tls, s.p, int32(column))))
}

// typeOf returns the type of a value: SQLITE_INTEGER, SQLITE_FLOAT, SQLITE_TEXT, SQLITE_BLOB or SQLITE_NULL.
func (s *stmt) typeOf(column int) int32 {
	return sqlite3.Xsqlite3_column_type(s.c.tls, s.p, int32(column))
}

func (s *stmt) int(column int) int64 {
	return sqlite3.Xsqlite3_column_int64(s.c.tls, s.p, int32(column))
}

func (s *stmt) float(column int) float64 {
	return sqlite3.Xsqlite3_column_double(s.c.tls, s.p, int32(column))
}

// onProgress ends a statement when its call is over.
func onProgress(_ *libc.TLS, db uintptr) int32 {
	if c, ok := conns.Load(db); ok && c.(*conn).ctx.Err() != nil {
		return 1
	}
	return 0
}

// onBusy waits for a lock that another connection holds and says whether to try again. count is the number of attempts.
func onBusy(_ *libc.TLS, db uintptr, count int32) int32 {
	if c, ok := conns.Load(db); ok && c.(*conn).await(int(count)) {
		return 1
	}
	return 0
}

// maxPause bounds the time between two attempts to get a lock.
const maxPause = 50 * time.Millisecond

func (c *conn) await(attempts int) bool {
	if attempts == 0 {
		c.waiting = time.Now()
	}
	left := c.wait - time.Since(c.waiting)
	if left <= 0 {
		return false
	}
	pause := time.NewTimer(min(left, maxPause, time.Millisecond<<min(attempts, 10)))
	defer pause.Stop()
	select {
	case <-c.ctx.Done():
		return false
	case <-pause.C:
		return true
	}
}

// failure is the error for a result code.
func (c *conn) failure(rc int32) error {
	message := libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	c.code = rc & 0xff
	switch c.code {
	case sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		if err := c.ctx.Err(); err != nil {
			return err
		}
		return feasterr.Unavailable("%s is locked by another program: %s", c.path, message)
	case sqlite3.SQLITE_ERROR:
		switch {
		case strings.HasPrefix(message, "no such table"):
			return errNoTable
		case strings.HasPrefix(message, "no such column"), strings.Contains(message, " has no column named "):
			return feasterr.Invalid("%s: %s: apply the feature view to bring its table up to date", c.path, message)
		}
		return feasterr.Invalid("%s: %s", c.path, message)
	case sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%s: %s: %w", c.path, message, fs.ErrPermission)
	}
	c.broken = true
	switch c.code {
	case sqlite3.SQLITE_CANTOPEN:
		info, err := os.Stat(c.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return errNoFile(c.path)
		case err == nil && info.IsDir():
			return feasterr.Invalid("%s is a directory, not an SQLite database", c.path)
		}
		return feasterr.Unavailable("%s cannot be opened: %s", c.path, message)
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return feasterr.Invalid("%s is no intact SQLite database: %s", c.path, message)
	}
	return fmt.Errorf("%s: %s", c.path, message)
}

// Memory of SQLite's. It is outside of Go's heap, so that pointers to it are numbers, 0 when there is none left.

func (c *conn) alloc(size int) uintptr { return sqlite3.Xsqlite3_malloc(c.tls, int32(size)) }

func (c *conn) free(p uintptr) { sqlite3.Xsqlite3_free(c.tls, p) }

func (c *conn) cstring(s string) uintptr {
	p := c.alloc(len(s) + 1)
	if p != 0 {
		b := bytesAt(p, len(s)+1)
		b[copy(b, s)] = 0
	}
	return p
}

func (c *conn) outPointer() uintptr { return *(*uintptr)(pointer(c.out)) }

func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

func bytesAt(p uintptr, n int) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(p)), n)
}

// funcPointer is a declared function as the translated C code calls it: what a Go function value points to.
func funcPointer[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }
