package sqlite

import (
	"errors"
	"fmt"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

// errNoTable is what SQLite says of a table that nobody created; [tableError] says which.
var errNoTable = errors.New("no such table")

// errNoFile says that the database file is not there.
func errNoFile(path string) error {
	return fmt.Errorf("%w; applying the feature views creates it, with Repair when they were applied before", &feasterr.NotFoundError{Kind: "SQLite database", Name: path})
}

// storeError says at what the store failed.
func storeError(op string, err error) error {
	return &feasterr.StoreError{Store: name, Op: op, Err: err}
}

// tableError says at what the store failed, and with which table.
func tableError(op string, t *online.Table, path string, err error) error {
	if errors.Is(err, errNoTable) {
		err = fmt.Errorf("%w; apply the feature view to create it, with Repair when it was applied before",
			&feasterr.NotFoundError{Kind: "table", Name: t.ID(), In: path})
	}
	return &feasterr.StoreError{Store: name, Op: op, Table: t.StoredView(), Err: err}
}

// asStoreError is storeError unless err is nil or says already what storeError would.
func asStoreError(op string, err error) error { return feasterr.InStore(name, op, err) }
