package testserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Certificates are two self-signed certificates of this test binary, each its own authority: that of servers at localhost
// (not at 127.0.0.1 by number), and that of clients.
type Certificates struct {
	Server, Client tls.Certificate

	files map[string][]byte
}

// Write writes NAME.crt, NAME.key and NAME.pem, which has both, for the names server and client.
func (c *Certificates) Write(dir string) error {
	var errs []error
	for name, data := range c.files {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	return errors.Join(errs...)
}

// certificates makes the certificates, once.
var certificates = sync.OnceValues(func() (*Certificates, error) {
	c := &Certificates{files: map[string][]byte{}}
	var err error
	if c.Server, err = c.add("server", "localhost"); err != nil {
		return nil, err
	}
	c.Client, err = c.add("client", "client")
	return c, err
})

// Certs returns the certificates of this test binary.
func Certs() (*Certificates, error) { return certificates() }

func (c *Certificates) add(name, host string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	c.files[name+".crt"], c.files[name+".key"], c.files[name+".pem"] = cert, private, slices.Concat(private, cert)
	return tls.X509KeyPair(cert, private)
}
