package sql_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/internal/sealed"
	"github.com/feastgo/feast/registry"
	registrysql "github.com/feastgo/feast/registry/sql"
)

// goldenTable is a table that Feast made and filled.
type goldenTable struct {
	Columns []struct {
		Name, Type string
		Nullable   bool
	}
	PrimaryKey []string `json:"primary_key"`
	Indexes    []struct {
		Name    string
		Columns []string
		Unique  bool
	}
	Rows []map[string]any
}

// goldenTables reads what Feast left on a kind of database, rows as rowsOf has them.
func goldenTables(t *testing.T, s server) map[string]goldenTable {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", map[string]string{"SQLite": "sqlite", "PostgreSQL": "postgres", "MariaDB": "mariadb", "MySQL": "mariadb"}[s.name]+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Tables map[string]goldenTable }
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	for _, table := range golden.Tables {
		for _, row := range table.Rows {
			for column, v := range row {
				switch v := v.(type) {
				case float64:
					row[column] = int64(v)
				case map[string]any:
					row[column] = decode64(t, v["base64"].(string))
				}
			}
		}
	}
	return golden.Tables
}

func decode64(t *testing.T, text string) []byte {
	t.Helper()
	var b []byte
	if err := json.Unmarshal([]byte(`"`+text+`"`), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// fill inserts rows past all rules.
func fill(t *testing.T, b *registrysql.Backend, s server, table string, rows []map[string]any) {
	t.Helper()
	for _, row := range rows {
		columns := slices.Sorted(maps.Keys(row))
		var args []any
		var marks []string
		for i, c := range columns {
			args = append(args, row[c])
			if s.name == "PostgreSQL" {
				marks = append(marks, fmt.Sprintf("$%d", i+1))
			} else {
				marks = append(marks, "?")
			}
		}
		query := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ")"
		if _, err := b.DB().ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
}

// equalRows compares tables; skip lists columns that are left aside.
func equalRows(t *testing.T, table string, got, want []map[string]any, skip func(table, column string, row map[string]any) bool) {
	t.Helper()
	key := func(row map[string]any) string {
		var parts []string
		for _, column := range slices.Sorted(maps.Keys(row)) {
			if strings.HasSuffix(column, "_name") || column == "project_id" || column == "metadata_key" || column == "version_number" {
				parts = append(parts, fmt.Sprint(row[column]))
			}
		}
		return strings.Join(parts, "/")
	}
	index := func(rows []map[string]any) map[string]map[string]any {
		m := map[string]map[string]any{}
		for _, row := range rows {
			m[key(row)] = row
		}
		return m
	}
	is, should := index(got), index(want)
	if len(got) != len(want) {
		t.Errorf("%s: %d rows, want %d", table, len(got), len(want))
	}
	for k, row := range should {
		if is[k] == nil {
			t.Errorf("%s: no row %s", table, k)
			continue
		}
		for column, v := range row {
			if skip != nil && skip(table, column, row) {
				continue
			}
			other := is[k][column]
			a, bytesA := v.([]byte)
			b, bytesB := other.([]byte)
			if bytesA != bytesB || !bytesA && v != other || !bytes.Equal(a, b) {
				t.Errorf("%s: %s of row %s is %v, want %v", table, column, k, other, v)
			}
		}
	}
}

const goldenTime = 1709251200

// What Feast wrote on each database, of MySQL on MariaDB, is read, and written again it is the same, byte for byte.
func TestGoldenRows(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		golden := goldenTables(t, s)
		made := openURL(t, s.url(t), "golden", nil)
		nothing := func(registry.Tx) error { return nil }
		if _, err := made.Update(t.Context(), "golden", nothing); err != nil { // makes the tables
			t.Fatal(err)
		}
		rows := 0
		for name, table := range golden {
			fill(t, made, s, name, table.Rows)
			rows += len(table.Rows)
		}
		state, _, err := made.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if len(state.Records) != rows-1 || rows != 74 { // the time of the last change is no record
			t.Errorf("%d records of %d rows", len(state.Records), rows)
		}
		if !state.LastUpdated.Equal(time.Unix(goldenTime, 0)) {
			t.Errorf("last updated %s", state.LastUpdated)
		}

		again := openURL(t, s.url(t), "", nil)
		again.SetClock(func() time.Time { return time.Unix(goldenTime, 0) })
		_, err = again.Update(t.Context(), "golden", func(tx registry.Tx) error {
			for _, r := range state.Records {
				if err := tx.Put(t.Context(), r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for name, table := range golden {
			equalRows(t, name, feastRowsOf(t, again.DB(), name), table.Rows, nil)
		}
		twice, token, err := again.Load(t.Context(), "")
		if err != nil || token == "" || !slices.EqualFunc(twice.Records, state.Records, func(a, b registry.Record) bool {
			return a.ID == b.ID && a.Updated.Equal(b.Updated) && bytes.Equal(a.Proto, b.Proto)
		}) {
			t.Errorf("records differ, %v", err)
		}
	})
}

// The database file that Feast wrote holds what its rows were said to be.
func TestGoldenFile(t *testing.T) {
	data, err := os.ReadFile("testdata/registry_sqlite.db")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "registry.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b := openURL(t, "sqlite:///"+path, "golden", map[string]any{"schema_mode": "verify"})
	for name, table := range goldenTables(t, servers[0]) {
		equalRows(t, name, rowsOf(t, b.DB(), name), table.Rows, nil)
	}
	r := registry.New(b, "golden", registry.Options{})
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if bad := s.Bad(); len(bad) > 0 {
		t.Error(bad)
	}
	if v, err := s.FeatureView("all_types"); err != nil || v.Project != "golden" {
		t.Error(v, err)
	}
	if e, err := s.Entity("driver"); err != nil || e.Project != "golden" {
		t.Error(e, err)
	}
}

// The same objects, applied at the same time, leave the same rows but for their messages, which the suite compares.
func TestGoldenApplied(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		golden := goldenTables(t, s)
		source := openURL(t, s.url(t), "golden", nil)
		if _, err := source.Update(t.Context(), "golden", func(registry.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		for name, table := range golden {
			fill(t, source, s, name, table.Rows)
		}
		state, _, err := source.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var objects []registry.Object
		for _, r := range state.Records {
			switch r.Kind {
			case registry.KindProjectMetadata, registry.KindViewVersion:
				continue
			}
			o, err := registry.Decode(r)
			if err != nil {
				t.Fatal(err)
			}
			*o.Origin() = sealed.Origin{}
			objects = append(objects, o)
		}
		b := openURL(t, s.url(t), "golden", nil)
		now := func() time.Time { return time.Unix(goldenTime, 0) }
		b.SetClock(now)
		w := registry.Writer{Backend: b, Project: "golden", Now: now}
		if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: objects}); err != nil {
			t.Fatal(err)
		}
		for name, table := range golden {
			equalRows(t, name, feastRowsOf(t, b.DB(), name), table.Rows, func(table, column string, row map[string]any) bool {
				random := column == "version_id" || column == "metadata_value" && row["metadata_key"] == "project_uuid"
				return random || strings.HasSuffix(column, "_proto")
			})
		}
	})
}

// The tables are those that Feast makes: columns, their types, primary keys and indexes.
func TestGoldenSchema(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		b := openURL(t, s.url(t), "golden", nil)
		if _, err := b.Update(t.Context(), "golden", func(registry.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		for name, want := range goldenTables(t, s) {
			columns, primary, indexes := schemaOf(t, b, s, name)
			var text []string
			for _, c := range want.Columns {
				text = append(text, fmt.Sprintf("%s %s %t", c.Name, c.Type, c.Nullable))
			}
			if !slices.Equal(columns, text) {
				t.Errorf("%s: columns %q\nwant %q", name, columns, text)
			}
			if !slices.Equal(primary, want.PrimaryKey) {
				t.Errorf("%s: primary key %q, want %q", name, primary, want.PrimaryKey)
			}
			var list []string
			for _, i := range want.Indexes {
				list = append(list, fmt.Sprintf("%s %s %t", i.Name, strings.Join(i.Columns, ","), i.Unique))
			}
			if !slices.Equal(indexes, list) {
				t.Errorf("%s: indexes %q, want %q", name, indexes, list)
			}
		}
	})
}

// schemaOf describes a table as the database has it.
func schemaOf(t *testing.T, b *registrysql.Backend, s server, table string) (columns, primary, indexes []string) {
	t.Helper()
	list := func(query string) (out []string) {
		rows, err := b.DB().QueryContext(t.Context(), strings.ReplaceAll(query, "$TABLE", table))
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			out = append(out, text)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	switch s.name {
	case "SQLite":
		columns = list(`SELECT name || ' ' || type || ' ' || iif("notnull", 'false', 'true') FROM pragma_table_info('$TABLE') ORDER BY cid`)
		primary = list(`SELECT name FROM pragma_table_info('$TABLE') WHERE pk > 0 ORDER BY pk`)
		indexes = list(`SELECT l.name || ' ' || i.name || ' ' || iif(l."unique", 'true', 'false') FROM pragma_index_list('$TABLE') l,
			pragma_index_info(l.name) i WHERE l.origin = 'c'`)
	case "PostgreSQL":
		columns = list(`SELECT column_name || ' ' || CASE udt_name WHEN 'varchar' THEN 'VARCHAR(' || character_maximum_length || ')' WHEN 'int8'
			THEN 'BIGINT' WHEN 'int4' THEN 'INTEGER' ELSE upper(udt_name) END || ' ' || CASE is_nullable WHEN 'YES' THEN 'true' ELSE 'false' END
			FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '$TABLE' ORDER BY ordinal_position`)
		primary = list(`SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(n, o), pg_attribute a
			WHERE i.indrelid = '$TABLE'::regclass AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY k.o`)
		indexes = list(`SELECT i.indexrelid::regclass || ' ' || a.attname || ' ' || i.indisunique FROM pg_index i, pg_attribute a
			WHERE i.indrelid = '$TABLE'::regclass AND NOT i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)`)
	default:
		columns = list(`SELECT CONCAT(column_name, ' ', CASE WHEN data_type = 'bigint' THEN 'BIGINT' WHEN data_type = 'int' THEN 'INTEGER'
			ELSE UPPER(column_type) END, ' ', IF(is_nullable = 'YES', 'true', 'false')) FROM information_schema.columns
			WHERE table_schema = DATABASE() AND table_name = '$TABLE' ORDER BY ordinal_position`)
		primary = list(`SELECT column_name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = '$TABLE'
			AND index_name = 'PRIMARY' ORDER BY seq_in_index`)
		indexes = list(`SELECT CONCAT(index_name, ' ', column_name, ' ', IF(non_unique, 'false', 'true')) FROM information_schema.statistics
			WHERE table_schema = DATABASE() AND table_name = '$TABLE' AND index_name <> 'PRIMARY'`)
	}
	return columns, primary, indexes
}
