package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

// Update implements [online.Store]. It creates the file and its directory when there is something to create.
func (s *Store) Update(ctx context.Context, keep, drop []*online.Table) error {
	a := creating
	if len(keep) == 0 {
		a = writing
	}
	err := s.transact(ctx, a, func(c *conn) error {
		if err := dropTables(c, drop); err != nil {
			return err
		}
		for _, t := range keep {
			if err := s.createTable(c, t); err != nil {
				return tableError("create", t, c.path, err)
			}
		}
		return nil
	})
	if a == writing {
		err = unlessNotFound(err)
	}
	return asStoreError("update", err)
}

// Infra implements [online.Provisioner].
func (s *Store) Infra(tables []*online.Table) []online.Infra {
	list := make([]online.Infra, len(tables))
	for i, t := range tables {
		list[i] = online.Infra{
			Class:      "feast.infra.online_stores.sqlite.SqliteTable",
			Attributes: map[string]string{"path": s.listed, "name": t.ID()},
		}
	}
	return list
}

// pythonJoin returns the path as Feast computes it, which drops tables that the registry lists under another one. Where
// the folder is known, it joins as Python's pathlib does, which keeps "..".
func pythonJoin(dir, path string) string {
	if dir == "" || filepath.IsAbs(path) {
		return path
	}
	for part := range strings.SplitSeq(filepath.ToSlash(path), "/") {
		if part != "" && part != "." {
			dir += string(filepath.Separator) + part
		}
	}
	return dir
}

// createTable creates a table with the very words of Feast, or adds the columns that older versions did not make.
func (s *Store) createTable(c *conn, t *online.Table) error {
	number := ""
	if s.cfg.OpenAICompatible {
		number = "value_num REAL,"
	}
	table := quote(t.ID())
	err := c.exec("CREATE TABLE IF NOT EXISTS " + table + " (entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT, " +
		number + " vector_value BLOB, event_ts timestamp, created_ts timestamp,  PRIMARY KEY(entity_key, feature_name))")
	if err != nil {
		return err
	}
	if err := c.exec("CREATE INDEX IF NOT EXISTS " + quote(t.ID()+"_ek") + " ON " + table + " (entity_key)"); err != nil {
		return err
	}
	for _, column := range []struct {
		name, typ string
		needed    bool
	}{
		{"value_text", "TEXT", true},
		{"value_num", "REAL", s.cfg.OpenAICompatible},
		{"vector_value", "BLOB", s.cfg.VectorEnabled},
	} {
		if !column.needed {
			continue
		}
		ok, err := exists(c, "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2", t.ID(), column.name)
		if err != nil {
			return err
		}
		if !ok {
			if err := c.exec("ALTER TABLE " + table + " ADD COLUMN " + column.name + " " + column.typ); err != nil {
				return err
			}
		}
	}
	return nil
}

func dropTables(c *conn, tables []*online.Table) error {
	for _, t := range tables {
		if err := c.exec("DROP TABLE IF EXISTS " + quote(t.ID())); err != nil {
			return tableError("drop", t, c.path, err)
		}
	}
	return nil
}

// exists reports whether a query has a row.
func exists(c *conn, sql string, args ...string) (bool, error) {
	q, err := c.prepare(sql)
	if err != nil {
		return false, err
	}
	defer q.reset()
	for i, arg := range args {
		bindText(q, i+1, arg)
	}
	return q.step()
}

// Teardown implements [online.Store]. The file goes when it holds no table any more; Feast deletes it with the tables of
// all projects.
func (s *Store) Teardown(ctx context.Context, tables []*online.Table) error {
	empty := false
	err := s.transact(ctx, writing, func(c *conn) error {
		if err := dropTables(c, tables); err != nil {
			return err
		}
		left, err := exists(c, "SELECT 1 FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
		empty = !left
		return err
	})
	if err == nil && empty {
		err = s.remove()
	}
	return asStoreError("teardown", unlessNotFound(err))
}

// remove deletes the file and what SQLite keeps beside it.
func (s *Store) remove() error {
	s.pool.closeIdle() // Windows deletes no open file
	for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
		if err := os.Remove(s.pool.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// unlessNotFound: where there is no file, nothing is left to drop.
func unlessNotFound(err error) error {
	if errors.Is(err, feasterr.ErrNotFound) {
		return nil
	}
	return err
}
