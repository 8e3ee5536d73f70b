package redis

import (
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
)

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	port, certs := testserver.RedisTLS(t, false)
	mutual, _ := testserver.RedisTLS(t, true)
	if err := certs.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		connection string
		ok         bool
	}{
		{"localhost:" + port + ",ssl=true,ssl_ca_certs=server.crt", true},
		{"127.0.0.1:" + port + ",ssl=true,ssl_ca_certs=server.crt", false}, // another host
		{"127.0.0.1:" + port + ",ssl=true,ssl_ca_certs=server.crt,ssl_check_hostname=false", true},
		{"127.0.0.1:" + port + ",ssl=true,ssl_ca_certs=client.crt,ssl_check_hostname=false", false}, // another authority
		{"localhost:" + port + ",ssl=true", false},
		{"127.0.0.1:" + port + ",ssl=true,ssl_cert_reqs=none", true},
		{"localhost:" + port, false},
		{"localhost:" + mutual + ",ssl=true,ssl_ca_certs=server.crt", false},
		{"localhost:" + mutual + ",ssl=true,ssl_ca_certs=server.crt,ssl_certfile=client.crt,ssl_keyfile=client.key", true},
		{"localhost:" + mutual + ",ssl=true,ssl_ca_certs=server.crt,ssl_certfile=client.pem", true},
	} {
		cfg := config.NewSection("redis", map[string]any{"connection_string": c.connection + ",socket_timeout=0.2"})
		s, err := open(cfg, online.Env{KeyVersion: 3, RepoDir: dir})
		if err != nil {
			t.Fatalf("%s: %v", c.connection, err)
		}
		err = s.(*Store).Ping(t.Context())
		if (err == nil) != c.ok || err != nil && !errors.Is(err, feasterr.ErrUnavailable) {
			t.Errorf("%s: %v", c.connection, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := findServers(single, "", "h:1,ssl=true,ssl_ca_certs="+filepath.Join(dir, "server.key"), ""); err == nil {
		t.Error("a file without a certificate is no error")
	}
}

// TestTLSLeftover: bytes that TLS has taken from the socket and not handed out are seen, and looking does no harm.
func TestTLSLeftover(t *testing.T) {
	_, certs := testserver.RedisTLS(t, false)
	dir := t.TempDir()
	if err := certs.Write(dir); err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	joined := make(chan *joining, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			joined <- &joining{Conn: c}
		}
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	raw := <-joined
	server := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true})
	client := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	defer func() { _, _ = client.Close(), server.Close() }()
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	c, p := newConn(client), &pool{}
	answer := func(records ...string) {
		t.Helper()
		for _, r := range records {
			if _, err := server.Write([]byte(r)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := raw.Conn.Write(raw.held); err != nil {
			t.Fatal(err)
		}
		raw.held = nil
		if err := c.arm(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if text, _, err := c.replies.text(); err != nil || string(text) != "a" {
			t.Fatalf("%q, %v", text, err)
		}
	}
	raw.hold = true
	for range 3 {
		answer("$1\r\na\r\n")
		if !c.fresh(p, time.Now()) {
			t.Fatal("not fresh after a reply")
		}
	}
	answer("$1\r\na\r\n", "$1\r\nb\r\n")
	if c.replies.pos != c.replies.end {
		t.Fatal("both records came at once") // and the pool sees them
	}
	if c.fresh(p, time.Now()) {
		t.Error("fresh with a reply that nobody asked for")
	}
}

// joining is a connection that can hold what is written, to send it at once.
type joining struct {
	net.Conn
	hold bool
	held []byte
}

func (j *joining) Write(b []byte) (int, error) {
	if !j.hold {
		return j.Conn.Write(b)
	}
	j.held = append(j.held, b...)
	return len(b), nil
}
