package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var postgres = server{env: "FEAST_TEST_POSTGRES", start: startPostgres}

// PostgreSQL returns the URL, with user and password, of a database on a PostgreSQL server, in which the user may do
// anything. All tests of the binary share it, and those of other binaries when FEAST_TEST_POSTGRES names it: make databases
// of your own.
func PostgreSQL(t testing.TB) (url string) {
	t.Helper()
	return postgres.address(t)
}

func startPostgres() (string, error) {
	if debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(debian) == 0 { // not in PATH
		if err := install("postgres", "postgresql"); err != nil {
			return "", err
		}
	}
	// The server refuses to run as root. What a test stores need not survive the machine.
	const script = `
set -e
PATH=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1):$PATH
as=
if [ "$(id -u)" = 0 ]; then
	chown postgres .
	as="setpriv --reuid=postgres --regid=postgres --init-groups"
fi
umask 077
echo feast >password
if [ -n "$as" ]; then chown postgres password; fi
$as initdb -D data -U feast --auth=scram-sha-256 --pwfile=password -E UTF8 --locale=C --no-sync >&2
exec $as postgres -D data -p "$1" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
	-c synchronous_commit=off -c full_page_writes=off -c max_connections=300`
	var url string
	err := onFreePort(func(port string) error {
		url = fmt.Sprintf("postgresql://feast:feast@127.0.0.1:%s/postgres", port)
		return run(nil, func(_ context.Context, dir string) error {
			status, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
			if err == nil && !strings.Contains(string(status), "ready") {
				err = errors.New("not ready")
			}
			return err
		}, "sh", "-c", script, "sh", port)
	})
	return url, err
}
