package testserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

var mysql = server{env: "FEAST_TEST_MYSQL", start: startMySQL}

// MySQL returns the URL, with user and password, of a database on a MySQL server, on which the user may do anything. All tests
// of the binary share it, and those of other binaries when FEAST_TEST_MYSQL names it: make databases of your own.
//
// It is MySQL 5.5, the newest that is published as a Maven artifact, and fetched once, into the user's cache: tests ask for it
// only with FEAST_TEST_FULL.
func MySQL(t testing.TB) (url string) {
	t.Helper()
	return mysql.address(t)
}

// fetchMySQL returns the folder of the programs, and fetches it when it is not there. Of several test binaries one does it.
func fetchMySQL() (string, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", errors.New("the MySQL server for tests is a program for Linux on amd64")
	}
	if err := errors.Join(install("mvn", "maven"), install("unzip", "unzip")); err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "feast-testserver", "mysql-5.5.9")
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	const script = `
set -e
[ ! -e "$1" ] || exit 0
part="$1.part"
rm -rf "$part"
mkdir "$part"
cd "$part"
mvn -q -B dependency:copy -Dartifact=mysql:mysql-connector-mxj-db-files:5.0.12 -DoutputDirectory=.
unzip -qo mysql-connector-mxj-db-files-5.0.12.jar '5-5-9/Linux-x86_64/mysqld' 5-5-9/data_dir.jar 5-5-9/share_dir.jar
mkdir data
unzip -qo 5-5-9/data_dir.jar -x 'META-INF/*' -d data
unzip -qo 5-5-9/share_dir.jar 'share/*'
mv 5-5-9/Linux-x86_64/mysqld .
chmod 755 mysqld
rm -r 5-5-9 mysql-connector-mxj-db-files-5.0.12.jar
mv "$part" "$1"`
	ctx, cancel := context.WithTimeout(context.Background(), installTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, "flock", dir+".lock", "sh", "-c", script, "sh", dir).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("the MySQL server for tests cannot be fetched with Maven: %w\n%s", err, out)
	}
	return dir, nil
}

func startMySQL() (string, error) {
	programs, err := fetchMySQL()
	if err != nil {
		return "", err
	}
	const script = `
set -e
as=
cp -r "$2/data" "$2/mysqld" "$2/share" .
if [ "$(id -u)" = 0 ]; then
	id mysql >/dev/null 2>&1 || useradd --system --no-create-home mysql
	chown -R mysql .
	as="--user=mysql"
fi
cat >users.sql <<'END'
CREATE DATABASE feast;
GRANT ALL ON *.* TO 'feast'@'127.0.0.1' IDENTIFIED BY 'feast' WITH GRANT OPTION;
END
exec ./mysqld --no-defaults --basedir="$PWD" --datadir="$PWD/data" $as --port="$1" --bind-address=127.0.0.1 --socket="$PWD/socket" \
	--pid-file="$PWD/data/pid" --init-file="$PWD/users.sql" --skip-name-resolve --lc-messages-dir="$PWD/share" \
	--character-set-server=utf8 --innodb-flush-log-at-trx-commit=0 --max-connections=300`
	var addr string
	err = onFreePort(func(port string) error {
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
		}, "sh", "-c", script, "sh", port, programs)
	})
	return fmt.Sprintf("mysql+pymysql://feast:feast@%s/feast", addr), err
}
