// Package mysql links MySQL and MariaDB to registry/sql: URLs of the form mysql+pymysql://user:password@host/database.
//
//	import _ "github.com/feastgo/feast/registry/sql/mysql"
package mysql

import (
	"crypto/tls"
	"crypto/x509"
	database "database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry/sql"
)

func init() { sql.Register(dialect) }

var dialect = &sql.Dialect{
	Name: "MySQL",
	Schemes: []string{
		"mysql", "mysql+pymysql", "mysql+mysqldb", "mysql+mysqlconnector", "mysql+cymysql", "mariadb", "mariadb+pymysql",
		"mariadb+mysqldb", "mariadb+mariadbconnector",
	},
	Open:       open,
	Classify:   classify,
	Blob:       "LONGBLOB",
	Text:       func(column string) string { return "CAST(CONVERT(" + column + " USING utf8mb4) AS BINARY)" },
	Folds:      true,
	Inline:     true,
	Duplicates: true,
	Tables: "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() UNION ALL " +
		"SELECT index_name FROM information_schema.statistics WHERE table_schema = DATABASE()",
	Isolation: database.LevelReadCommitted, // no locks of gaps between rows, which deadlock
	Locks:     true,
	MaxName:   255,
}

// New returns the registry in a database that the caller connects to with go-sql-driver/mysql.
func New(db *database.DB, o sql.Options) *sql.Backend { return sql.New(dialect, db, o) }

func open(u *sql.URL) (*database.DB, error) {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName = u.User, u.Password, u.Database
	host, port := u.Host, u.Port
	if host == "" {
		host = "127.0.0.1"
	}
	if port == "" {
		port = "3306"
	}
	c.Net, c.Addr = "tcp", net.JoinHostPort(host, port)
	c.InterpolateParams = true // one round trip for a statement, and not three
	c.Logger = silent{}        // what goes wrong is returned
	if err := parameters(c, u.Query, host); err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, feasterr.Invalid("the URL cannot be used: %w", err)
	}
	return database.OpenDB(connector), nil
}

// silent is a logger.
type silent struct{}

func (silent) Print(...any) {}

// parameters takes over those of Python's clients.
func parameters(c *mysql.Config, query url.Values, host string) error {
	secure := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	var encrypt bool
	var cert, key string
	for name := range query {
		value := query.Get(name)
		switch name {
		case "charset":
			if value != "utf8mb4" && value != "utf8" && value != "utf8mb3" {
				return feasterr.Unsupported("charset %s of the URL: names are read and written as utf8mb4", value)
			}
		case "unix_socket":
			c.Net, c.Addr = "unix", value
		case "connect_timeout", "read_timeout", "write_timeout":
			seconds, err := strconv.Atoi(value)
			if err != nil || seconds < 0 {
				return feasterr.Invalid("%s of the URL is not a number of seconds", name)
			}
			*map[string]*time.Duration{
				"connect_timeout": &c.Timeout, "read_timeout": &c.ReadTimeout, "write_timeout": &c.WriteTimeout,
			}[name] = time.Duration(seconds) * time.Second
		case "ssl_ca":
			pem, err := os.ReadFile(value)
			if err != nil {
				return feasterr.Invalid("ssl_ca of the URL cannot be read: %w", err)
			}
			secure.RootCAs = x509.NewCertPool()
			if !secure.RootCAs.AppendCertsFromPEM(pem) {
				return feasterr.Invalid("ssl_ca of the URL holds no certificate: %q", value)
			}
			encrypt = true
		case "ssl_cert":
			cert, encrypt = value, true
		case "ssl_key":
			key, encrypt = value, true
		case "ssl_check_hostname", "ssl_verify_identity", "ssl_verify_cert":
			if value == "false" || value == "False" || value == "0" {
				return feasterr.Unsupported("%s=%s of the URL: certificates are checked here", name, value)
			}
			encrypt = true
		case "local_infile", "use_unicode", "autocommit", "client_flag", "binary_prefix", "program_name":
		default:
			return feasterr.Unsupported("%s of the URL is not known here: known are charset, unix_socket, connect_timeout, "+
				"read_timeout, write_timeout, ssl_ca, ssl_cert and ssl_key", name)
		}
	}
	if (cert == "") != (key == "") {
		return feasterr.Invalid("ssl_cert and ssl_key of the URL belong together: one is missing")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return feasterr.Invalid("ssl_cert and ssl_key of the URL cannot be used: %w", err)
		}
		secure.Certificates = []tls.Certificate{pair}
	}
	if encrypt {
		c.TLS = secure
	}
	return nil
}

func classify(err error) sql.Class {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		switch e.Number {
		case 1205, 1213, 1020: // lock wait timeout, deadlock, record has changed since last read
			return sql.Conflict
		case 1061, 1062: // name of an index, row
			return sql.Duplicate
		case 1146:
			return sql.MissingTable
		case 1049:
			return sql.MissingDatabase
		case 1045, 1698:
			return sql.Unauthenticated
		case 1044, 1142, 1227, 1290, 1836: // to a database, a command, a privilege; read-only server
			return sql.Denied
		case 1040, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1203, 1927:
			return sql.Unavailable
		}
		return sql.Other
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return sql.Unavailable
	}
	return sql.Other
}
