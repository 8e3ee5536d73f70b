package testserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
)

var mariadb = server{env: "FEAST_TEST_MARIADB", start: startMariaDB}

// MariaDB returns the URL, with user and password, of a database on a MariaDB server, on which the user may do anything. All
// tests of the binary share it, and those of other binaries when FEAST_TEST_MARIADB names it: make databases of your own.
func MariaDB(t testing.TB) (url string) {
	t.Helper()
	return mariadb.address(t)
}

func startMariaDB() (string, error) {
	if err := install("mariadbd", "mariadb-server"); err != nil {
		return "", err
	}
	const script = `
set -e
as=
if [ "$(id -u)" = 0 ]; then
	chown mysql .
	as="--user=mysql"
fi
mariadb-install-db --no-defaults --datadir="$PWD/data" $as --auth-root-authentication-method=normal --skip-test-db >&2
cat >users.sql <<'END'
CREATE DATABASE feast;
CREATE USER 'feast'@'127.0.0.1' IDENTIFIED BY 'feast';
GRANT ALL ON *.* TO 'feast'@'127.0.0.1' WITH GRANT OPTION;
END
exec mariadbd --no-defaults --datadir="$PWD/data" $as --port="$1" --bind-address=127.0.0.1 --socket="$PWD/socket" \
	--pid-file="$PWD/data/pid" --init-file="$PWD/users.sql" --skip-name-resolve --innodb-flush-log-at-trx-commit=0 \
	--skip-log-bin --max-connections=300`
	var addr string
	err := onFreePort(func(port string) error {
		addr = net.JoinHostPort("127.0.0.1", port)
		return run(nil, func(ctx context.Context, dir string) error {
			if _, err := os.Stat(filepath.Join(dir, "data", "pid")); err != nil {
				return err
			}
			var d net.Dialer
			conn, err := d.DialContext(ctx, "tcp", addr)
			if err != nil {
				return err
			}
			return conn.Close()
		}, "sh", "-c", script, "sh", port)
	})
	return fmt.Sprintf("mysql+pymysql://feast:feast@%s/feast", addr), err
}
