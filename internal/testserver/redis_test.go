package testserver_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/feastgo/feast/internal/testserver"
)

func TestMain(m *testing.M) {
	if os.Getenv("TESTSERVER_CHILD") != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// TestRedis runs a test binary that starts a server and says where, and waits for the server to end after it.
func TestRedis(t *testing.T) {
	if os.Getenv("TESTSERVER_CHILD") != "" {
		addr := testserver.Redis(t)
		if again := testserver.Redis(t); again != addr {
			t.Errorf("second call: %s, first %s", again, addr)
		}
		_, _ = os.NewFile(3, "addr").WriteString(addr + "\n")
		_, _ = os.NewFile(4, "go on").Read(make([]byte, 1))
		return
	}
	if os.Getenv("FEAST_TEST_REDIS") != "" {
		t.Skip("FEAST_TEST_REDIS names a server that is not started here")
	}
	testserver.Redis(t) // skips where there is none

	says, said, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	waits, goOn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRedis$", "-test.v")
	cmd.Env = append(os.Environ(), "TESTSERVER_CHILD=1")
	cmd.ExtraFiles = []*os.File{said, waits}
	out, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(said.Close(), waits.Close()); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(says).ReadString('\n')
	if err != nil {
		log, _ := os.ReadFile(out.Name())
		t.Fatalf("%v\n%s", err, log)
	}
	conn, err := net.Dial("tcp", addr[:len(addr)-1])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	reply := bufio.NewReader(conn)
	if line, err := reply.ReadString('\n'); line != "+PONG\r\n" {
		t.Fatalf("reply %q, %v", line, err)
	}
	// The connection ends with the server, the server with the test binary, also when that is killed.
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	_ = goOn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := reply.ReadByte(); err == nil || os.IsTimeout(err) {
		t.Fatalf("the server still serves: %v", err)
	}
}

func TestRedisTopologies(t *testing.T) {
	if nodes := strings.Split(testserver.RedisCluster(t), ","); len(nodes) != 3 && os.Getenv("FEAST_TEST_REDIS_CLUSTER") == "" {
		t.Errorf("nodes %q, want 3", nodes)
	}
	if _, _, err := net.SplitHostPort(testserver.RedisSentinel(t)); err != nil {
		t.Error(err)
	}
	for _, mutual := range []bool{false, true} {
		port, certs := testserver.RedisTLS(t, mutual)
		roots := x509.NewCertPool()
		roots.AddCert(certs.Server.Leaf)
		for _, own := range [][]tls.Certificate{nil, {certs.Client}} {
			d := tls.Dialer{Config: &tls.Config{RootCAs: roots, Certificates: own}}
			conn, err := d.DialContext(t.Context(), "tcp", "localhost:"+port)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write([]byte("PING\r\n")) // a server may have refused by then
			line, _ := bufio.NewReader(conn).ReadString('\n')
			if ok := line == "+PONG\r\n"; ok != (!mutual || own != nil) {
				t.Errorf("mutual %t, with a certificate %t: reply %q", mutual, own != nil, line)
			}
			_ = conn.Close()
		}
	}
}
