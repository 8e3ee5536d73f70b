// Package sqlite links SQLite to registry/sql: URLs of the form sqlite:///relative/path.db and sqlite:////absolute/path.db.
// A relative path is below the working directory of the process, as in Feast, and not below the feature repository.
//
//	import _ "github.com/feastgo/feast/registry/sql/sqlite"
package sqlite

import (
	"context"
	database "database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry/sql"
)

func init() { sql.Register(dialect) }

var dialect = &sql.Dialect{
	Name:     "SQLite",
	Schemes:  []string{"sqlite", "sqlite+pysqlite"},
	Open:     open,
	Create:   create,
	Classify: classify,
	Blob:     "BLOB",
	Owned:    true,
	Tables:   "SELECT name FROM sqlite_master WHERE type IN ('table', 'index')",
}

// lockWait is how long a transaction waits for another one. Feast's wait 5 seconds.
const lockWait = 30 * time.Second

// New returns the registry in a database that the caller opened with modernc.org/sqlite. The DSN should have
// _txlock=immediate, so that a transaction which reads and then writes waits for its turn at its beginning, and a
// busy_timeout.
func New(db *database.DB, o sql.Options) *sql.Backend { return sql.New(dialect, db, o) }

// inMemory reports whether the database is gone with the process.
func inMemory(u *sql.URL) bool { return u.Database == "" || u.Database == ":memory:" }

func open(u *sql.URL) (*database.DB, error) {
	wait := lockWait
	for key := range u.Query {
		switch value := u.Query.Get(key); key {
		case "timeout":
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil || seconds < 0 {
				return nil, feasterr.Invalid("timeout of the URL is not a number of seconds")
			}
			wait = time.Duration(seconds * float64(time.Second))
		case "check_same_thread", "cached_statements", "isolation_level", "detect_types": // of Python's module
		default:
			return nil, feasterr.Unsupported("%s of the URL is not known here: timeout is", key)
		}
	}
	switch {
	case u.Host != "" || u.User != "":
		return nil, feasterr.Invalid("a SQLite URL has no host: write sqlite:///relative/path.db or sqlite:////absolute/path.db")
	case inMemory(u):
		db, err := database.Open("sqlite", "file::memory:?_txlock=immediate")
		if err == nil {
			db.SetMaxOpenConns(1) // each connection would have a database of its own
		}
		return db, err
	}
	path, err := filepath.Abs(u.Database)
	if err != nil {
		return nil, err
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/data
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{
		"mode": {"rw"}, "_txlock": {"immediate"}, "_pragma": {"busy_timeout(" + strconv.FormatInt(wait.Milliseconds(), 10) + ")"},
	}.Encode()}
	return database.Open("sqlite", dsn.String())
}

// create makes an empty file, which is an empty database, and its folder.
func create(_ context.Context, u *sql.URL) error {
	if inMemory(u) {
		return nil
	}
	if _, err := os.Stat(u.Database); !errors.Is(err, fs.ErrNotExist) {
		return nil // what is wrong shows when it is opened
	}
	if err := os.MkdirAll(filepath.Dir(u.Database), 0o777); err != nil {
		return err
	}
	f, err := os.OpenFile(u.Database, os.O_RDWR|os.O_CREATE, 0o666) // less the umask, as SQLite
	if err != nil {
		return err
	}
	return f.Close()
}

func classify(err error) sql.Class {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return sql.Other
	}
	switch code := e.Code(); code & 0xff {
	case sqlite3.SQLITE_CONSTRAINT:
		if code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || code == sqlite3.SQLITE_CONSTRAINT_UNIQUE {
			return sql.Duplicate
		}
	case sqlite3.SQLITE_CANTOPEN:
		return sql.MissingDatabase
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return sql.Denied
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED: // by another program, for lockWait
		return sql.Unavailable
	case sqlite3.SQLITE_ERROR:
		if strings.Contains(fmt.Sprint(e), "no such table") {
			return sql.MissingTable
		}
	}
	return sql.Other
}
