package sql_test

import (
	"context"
	database "database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/registrytest"
	registrysql "github.com/feastgo/feast/registry/sql"
	_ "github.com/feastgo/feast/registry/sql/mysql"
	_ "github.com/feastgo/feast/registry/sql/postgres"
	_ "github.com/feastgo/feast/registry/sql/sqlite"
)

// server is a kind of database.
type server struct {
	name string
	url  func(t testing.TB) string // of a database that is empty and no other test's
}

// servers are all kinds. MySQL, whose programs are 140 MB to fetch, is among them with FEAST_TEST_FULL, in make test-all;
// MariaDB goes the same way through the driver.
var servers = slices.DeleteFunc([]server{
	{"SQLite", func(t testing.TB) string { return "sqlite:///" + filepath.Join(t.TempDir(), "registry.db") }},
	{"PostgreSQL", func(t testing.TB) string { return newDatabase(t, testserver.PostgreSQL(t)) }},
	{"MariaDB", func(t testing.TB) string { return newDatabase(t, testserver.MariaDB(t)) }},
	{"MySQL", func(t testing.TB) string { return newDatabase(t, testserver.MySQL(t)) }},
}, func(s server) bool { return s.name == "MySQL" && os.Getenv("FEAST_TEST_FULL") == "" })

// eachServer runs a test on every kind of database.
func eachServer(t *testing.T, test func(t *testing.T, s server)) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) { test(t, s) })
	}
}

var databases atomic.Int64

// newDatabase makes a database on the server of a URL, and returns its URL.
func newDatabase(t testing.TB, url string) string {
	t.Helper()
	admin := openURL(t, url, "", nil)
	name := fmt.Sprintf("feast_%d_%d", os.Getpid(), databases.Add(1))
	if _, err := admin.DB().ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		drop := openURL(t, url, "", nil)
		force := ""
		if strings.HasPrefix(url, "postgresql") {
			force = " WITH (FORCE)"
		}
		if _, err := drop.DB().ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+name+force); err != nil {
			t.Error(err)
		}
	})
	return url[:strings.LastIndexByte(url, '/')+1] + name
}

// configOf returns the configuration of a registry; more are keys of its section.
func configOf(url, project string, more map[string]any) *config.RepoConfig {
	cfg := config.Default(project)
	cfg.Registry.Type, cfg.Registry.Path = "sql", url
	cfg.Registry.Section = config.NewSection("registry", more)
	return cfg
}

// openURL opens a registry; an empty project is all of them. The test closes it.
func openURL(t testing.TB, url, project string, more map[string]any) *registrysql.Backend {
	t.Helper()
	b, err := registrysql.OpenConfig(configOf(url, project, more))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// place is a registry for the suite.
func place(t *testing.T, s server, project string) registrytest.Place {
	url := s.url(t)
	now := time.Now
	return registrytest.Place{
		Open: func(t *testing.T) registry.Backend {
			b, err := registrysql.OpenConfig(configOf(url, project, nil))
			if err != nil {
				t.Fatal(err)
			}
			b.SetClock(now)
			return b
		},
		Clock: func(clock func() time.Time) { now = clock },
		Rows: func(t *testing.T, table string) []map[string]any {
			return feastRowsOf(t, openURL(t, url, "", nil).DB(), table)
		},
		Write: func(t *testing.T, records []registry.Record) {
			b, err := registrysql.OpenConfig(configOf(url, "", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if err := b.Teardown(t.Context()); err != nil {
				t.Fatal(err)
			}
			projects := map[string][]registry.Record{"": nil}
			for _, r := range records {
				projects[r.Project] = append(projects[r.Project], r)
			}
			for project, list := range projects {
				_, err := b.Update(t.Context(), project, func(tx registry.Tx) error {
					for _, r := range list {
						if err := tx.Put(t.Context(), r); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		},
	}
}

// feastRowsOf returns all rows of a table as Feast would have written them: docs/compatibility.md, last_updated_timestamp in
// feast_metadata.
func feastRowsOf(t testing.TB, db *database.DB, table string) []map[string]any {
	t.Helper()
	rows := rowsOf(t, db, table)
	for _, row := range rows {
		if row["metadata_key"] != "last_updated_timestamp" {
			continue
		}
		seconds, decimals, _ := strings.Cut(row["metadata_value"].(string), ".")
		if len(decimals) != 0 && len(decimals) != 9 {
			t.Errorf("%v", row)
		}
		row["metadata_value"] = seconds
	}
	return rows
}

// rowsOf returns all rows of a table: int64, string, []byte and nil by column.
func rowsOf(t testing.TB, db *database.DB, table string) []map[string]any {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for rows.Next() {
		values := make([]any, len(types))
		into := make([]any, len(types))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := map[string]any{}
		for i, c := range types {
			text, isBytes := values[i].([]byte)
			switch kind := c.DatabaseTypeName(); {
			case isBytes && strings.HasSuffix(kind, "INT"): // in MySQL's protocol of texts
				n, err := strconv.ParseInt(string(text), 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				values[i] = n
			case isBytes && (kind == "VARCHAR" || kind == "TEXT"):
				values[i] = string(text)
			}
			row[c.Name()] = values[i]
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestConformance(t *testing.T) {
	applies := 0
	if os.Getenv("FEAST_TEST_FULL") != "" {
		applies = 200
	}
	eachServer(t, func(t *testing.T, s server) {
		registrytest.Run(t, registrytest.Harness{
			New: func(t *testing.T) registrytest.Place { return place(t, s, "") }, Applies: applies,
		})
	})
}
