package sql

import (
	"context"
	database "database/sql"
	"strconv"
	"strings"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/drivers"
)

// Dialect is what databases differ in. The packages below this one have one each, and register it when they are
// imported; a database of another kind may be added in the same way.
type Dialect struct {
	// Name is the product, for messages.
	Name string
	// Schemes are what may stand before the "://" of a URL: "postgresql", "postgresql+psycopg".
	Schemes []string
	// Open makes a pool for a URL. It checks the URL, and connects to nothing.
	Open func(u *URL) (*database.DB, error)
	// Create makes the database where it is no more than a file; nil where somebody else has to.
	Create func(ctx context.Context, u *URL) error
	// Classify says what an error of the client is.
	Classify func(error) Class

	Blob       string              // type of columns that hold messages
	Text       func(string) string // makes texts of several tables alike in a UNION; nil: they are
	Folds      bool                // names that differ in case alone are one
	Owned      bool                // bytes that the client returns are the caller's, and stay
	Numbered   bool                // placeholders are $1, $2, ... and not ?
	Inline     bool                // indexes are made within CREATE TABLE, which is one step then
	Duplicates bool                // ON DUPLICATE KEY UPDATE, and not ON CONFLICT
	Tables     string              // query for the names of all tables and indexes
	Isolation  database.IsolationLevel
	// Locks says that writers run at the same time, so that rows have to be locked: with FOR UPDATE, and md5 of what
	// they hold. Else the transactions of one database run one after the other.
	Locks bool
	// MaxName is the number of characters that a name may have; 0: any.
	MaxName int
}

// Class is what an error of a database means here.
type Class int

// The classes of errors.
const (
	Other           Class = iota
	Conflict              // the transaction was ended in favour of another, and may run again
	Duplicate             // a row with this key is there
	MissingTable          // a table does not exist
	MissingDatabase       // the database does not exist
	Unavailable           // the connection was not made, or broke
	Unauthenticated       // user or password are wrong
	Denied                // the user may not do this
)

var dialects drivers.Table[*Dialect]

// packages says which packages of this module have the dialect for a scheme, as far as its first "+".
var packages = map[string]string{
	"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite",
}

// Register makes a dialect known under its schemes. It is called from init functions and panics when a scheme is taken: a
// program wired wrongly should not start.
func Register(d *Dialect) {
	if name := dialects.Add(d.Schemes, d); name != "" {
		panic("registry/sql: Register called twice for scheme " + name)
	}
}

// dialectOf returns the dialect for a URL.
func dialectOf(u *URL) (*Dialect, error) {
	if d, ok := dialects.Get(u.Scheme); ok {
		return d, nil
	}
	base, driver, _ := strings.Cut(u.Scheme, "+")
	pkg, known := packages[base]
	switch _, linked := dialects.Get(base); {
	case u.Scheme == "postgres":
		return nil, feasterr.Invalid("scheme %q is not one of SQLAlchemy's: write postgresql://", u.Scheme)
	case known && linked:
		return nil, feasterr.Invalid("driver %q of scheme %q is not known: write %s://", driver, u.Scheme, base)
	case known:
		return nil, &feasterr.NotLinkedError{
			Room: "registry", Type: base, Import: "github.com/feastgo/feast/registry/sql/" + pkg, Known: dialects.Names(),
		}
	}
	return nil, &feasterr.NotLinkedError{Room: "registry", Type: "sql, database " + u.Scheme, Known: dialects.Names()}
}

// text returns an expression for a column of characters.
func (d *Dialect) text(column string) string {
	if d.Text == nil {
		return column
	}
	return d.Text(column)
}

// statement is SQL that is being written, with its arguments.
type statement struct {
	strings.Builder
	d    *Dialect
	args []any
}

// arg writes a placeholder.
func (s *statement) arg(v any) {
	s.args = append(s.args, v)
	if !s.d.Numbered {
		s.WriteByte('?')
		return
	}
	s.WriteByte('$')
	s.WriteString(strconv.Itoa(len(s.args)))
}

// list writes placeholders in parentheses.
func (s *statement) list(values ...any) {
	for i, v := range values {
		if i == 0 {
			s.WriteByte('(')
		} else {
			s.WriteString(", ")
		}
		s.arg(v)
	}
	s.WriteByte(')')
}
