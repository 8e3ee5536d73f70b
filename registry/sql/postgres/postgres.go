// Package postgres links PostgreSQL to registry/sql, through pgx: URLs of the form postgresql://user:password@host/database,
// with or without the driver that Python uses, and with libpq's parameters behind the question mark.
//
//	import _ "github.com/feastgo/feast/registry/sql/postgres"
package postgres

import (
	"context"
	database "database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry/sql"
)

func init() { sql.Register(dialect) }

var dialect = &sql.Dialect{
	Name: "PostgreSQL",
	Schemes: []string{
		"postgresql", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+psycopg2cffi", "postgresql+psycopg_async",
		"postgresql+asyncpg", "postgresql+pg8000",
	},
	Open:     open,
	Classify: classify,
	Blob:     "BYTEA",
	Numbered: true,
	Tables: "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = ANY (current_schemas(false)) UNION ALL " +
		"SELECT indexname FROM pg_catalog.pg_indexes WHERE schemaname = ANY (current_schemas(false))",
	Isolation: database.LevelReadCommitted,
	Locks:     true,
	MaxName:   255,
}

// New returns the registry in a database that the caller connects to with pgx; of a pgxpool.Pool,
// stdlib.OpenDBFromPool makes a [database/sql.DB].
func New(db *database.DB, o sql.Options) *sql.Backend { return sql.New(dialect, db, o) }

// parameters are libpq's that pgx knows. Of the others, those that are safe to leave aside are in ignored.
var (
	parameters = []string{
		"application_name", "client_encoding", "connect_timeout", "krbsrvname", "options", "passfile", "password", "search_path",
		"service", "servicefile", "sslcert", "sslkey", "sslmode", "sslnegotiation", "sslpassword", "sslrootcert", "sslsni",
		"target_session_attrs", "timezone", "user", "channel_binding", "min_protocol_version", "max_protocol_version",
	}
	ignored = []string{
		"fallback_application_name", "gssencmode", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
		"tcp_user_timeout", "load_balance_hosts", "sslcompression", "prepare_threshold", "autocommit",
	}
)

func open(u *sql.URL) (*database.DB, error) {
	settings := map[string]string{"dbname": u.Database, "user": u.User, "password": u.Password, "host": u.Host, "port": u.Port}
	for key, values := range u.Query {
		switch {
		case key == "host": // of several servers, each with its port or not
			var hosts, ports []string
			for v := range strings.SplitSeq(strings.Join(values, ","), ",") {
				host, port := v, ""
				if i := strings.LastIndexByte(v, ':'); i >= 0 && !strings.HasPrefix(v, "/") {
					host, port = v[:i], v[i+1:]
				}
				hosts, ports = append(hosts, host), append(ports, port)
			}
			settings["host"] = strings.Join(hosts, ",")
			if strings.Join(ports, "") != "" {
				for i, p := range ports {
					if p == "" {
						ports[i] = "5432"
					}
				}
				settings["port"] = strings.Join(ports, ",")
			}
		case key == "port" || key == "dbname":
			settings[key] = strings.Join(values, ",")
		case slices.Contains(parameters, key):
			settings[key] = values[len(values)-1]
		case slices.Contains(ignored, key):
		default:
			return nil, feasterr.Unsupported("%s of the URL is not known here: known are %s", key, strings.Join(parameters, ", "))
		}
	}
	// The client repeats in errors what it cannot parse, and does not find all of a password with a quotation mark in it.
	password, keyPassword := settings["password"], settings["sslpassword"]
	delete(settings, "password")
	delete(settings, "sslpassword")
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if v := settings[key]; v != "" {
			fmt.Fprintf(&b, "%s='%s' ", key, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v))
		}
	}
	var options pgx.ParseConfigOptions
	if keyPassword != "" {
		options.GetSSLPassword = func(context.Context) string { return keyPassword }
	}
	cfg, err := pgx.ParseConfigWithOptions(b.String(), options)
	if err != nil {
		return nil, feasterr.Invalid("the URL cannot be used: %w", err)
	}
	if password != "" {
		cfg.Password = password
	}
	// Nothing is kept on the server between statements, so that a pooler may stand before it.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	return stdlib.OpenDB(*cfg), nil
}

func classify(err error) sql.Class {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available
			return sql.Conflict
		case "23505", "42P07": // unique violation; table exists
			return sql.Duplicate
		case "42P01":
			return sql.MissingTable
		case "3D000":
			return sql.MissingDatabase
		case "28P01", "28000":
			return sql.Unauthenticated
		case "42501", "25006": // insufficient privilege, read-only transaction
			return sql.Denied
		}
		switch e.Code[:2] {
		case "08", "53", "57": // connection, resources, operator
			return sql.Unavailable
		}
		return sql.Other
	}
	var connecting *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connecting) || errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || strings.Contains(err.Error(), "conn closed") {
		return sql.Unavailable
	}
	return sql.Other
}
