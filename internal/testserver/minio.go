package testserver

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
)

var minio = server{env: "FEAST_TEST_MINIO", start: startMinIO}

// MinIO returns the URL, with user and password, of a MinIO server, on which the user may do anything. All tests of the
// binary share it: make buckets of your own. Building MinIO takes minutes, so only make test-all does it: the test is
// skipped, in CI too, when neither the program minio is in PATH nor FEAST_TEST_MINIO names a running server.
func MinIO(t testing.TB) (url string) {
	t.Helper()
	if _, err := exec.LookPath("minio"); err != nil && os.Getenv(minio.env) == "" {
		t.Skipf("no MinIO, which make test-all builds: %v\n%s may name a running server", err, minio.env)
	}
	return minio.address(t)
}

func startMinIO() (string, error) {
	const script = `
export MINIO_ROOT_USER=feast MINIO_ROOT_PASSWORD=feastfeast MINIO_BROWSER=off MINIO_UPDATE=off MINIO_CI_CD=on
exec minio server --quiet --config-dir "$PWD/config" --address "127.0.0.1:$1" "$PWD/data"`
	var addr string
	err := onFreePort(func(port string) error {
		addr = net.JoinHostPort("127.0.0.1", port)
		return run(nil, func(ctx context.Context, _ string) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/minio/health/live", nil)
			if err != nil {
				return err
			}
			request.Close = true
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %w", answer.Status, err)
			}
			return nil
		}, "sh", "-c", script, "sh", port)
	})
	return "http://feast:feastfeast@" + addr, err
}
