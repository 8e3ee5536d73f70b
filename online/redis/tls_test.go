package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
)

// certificate writes a self-signed certificate for a host, and its key, into dir.
func certificate(t *testing.T, dir, name, host string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	for suffix, data := range map[string][]byte{".crt": cert, ".key": private, ".pem": append(private, cert...)} {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(cert, private)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// tlsProxy serves the test server over TLS and returns the port.
func tlsProxy(t *testing.T, conf *tls.Config) string {
	t.Helper()
	backend := testserver.Redis(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait() // clients are closed before
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", backend)
			if err != nil {
				_ = conn.Close()
				continue
			}
			wg.Go(func() { _, _ = io.Copy(server, conn); _ = server.Close() })
			wg.Go(func() { _, _ = io.Copy(conn, server); _ = conn.Close() })
		}
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	server := certificate(t, dir, "server", "localhost")
	certificate(t, dir, "client", "client")
	clients := x509.NewCertPool()
	if pem, err := os.ReadFile(filepath.Join(dir, "client.crt")); err != nil || !clients.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	port := tlsProxy(t, &tls.Config{Certificates: []tls.Certificate{server}})
	mutual := tlsProxy(t, &tls.Config{
		Certificates: []tls.Certificate{server}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
	})
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
	if _, err := clientOptions("h:1,ssl=true,ssl_ca_certs="+filepath.Join(dir, "server.key"), ""); err == nil {
		t.Error("a file without a certificate is no error")
	}
}
