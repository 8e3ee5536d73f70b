package redis

import (
	"errors"
	"path/filepath"
	"testing"

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
