package testserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Cluster is the API server of a Kubernetes cluster that has no nodes.
type Cluster struct {
	URL   string
	CA    []byte            // PEM
	Token string            // of who may do everything
	Key   *ecdsa.PrivateKey // signs the tokens of service accounts, whose issuer is Issuer
}

// Issuer of the tokens of service accounts.
const Issuer = "https://kubernetes.default.svc"

const apiserverVariable = "FEAST_TEST_KUBE_APISERVER"

var (
	cluster    Cluster
	kubernetes = server{start: startKubernetes}
)

// Kubernetes returns an API server that all tests of the binary share. It is the program that FEAST_TEST_KUBE_APISERVER
// names, which make test-all builds, and keeps its objects in etcd.
func Kubernetes(t testing.TB) Cluster {
	t.Helper()
	kubernetes.address(t)
	return cluster
}

func startKubernetes() (string, error) {
	program := os.Getenv(apiserverVariable)
	if _, err := exec.LookPath(program); err != nil {
		return "", fmt.Errorf("%s has to name kube-apiserver, which make test-all builds: %w", apiserverVariable, err)
	}
	etcd, err := startEtcd()
	if err != nil {
		return "", err
	}
	cluster.Token = rand.Text()
	if cluster.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return "", err
	}
	prepare := func(dir string) error {
		private, err := x509.MarshalPKCS8PrivateKey(cluster.Key)
		if err != nil {
			return err
		}
		public, err := x509.MarshalPKIXPublicKey(&cluster.Key.PublicKey)
		if err != nil {
			return err
		}
		return errors.Join(
			os.WriteFile(filepath.Join(dir, "sa.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
			os.WriteFile(filepath.Join(dir, "sa.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600),
			os.WriteFile(filepath.Join(dir, "tokens"), []byte(cluster.Token+`,admin,1,"system:masters"`+"\n"), 0o600),
		)
	}
	// It would wait for etcd, which ends at the same time, to say good-bye.
	const script = `"$@" & trap 'kill -KILL $!' TERM; wait`
	err = onFreePort(func(port string) error {
		cluster.URL = "https://127.0.0.1:" + port
		return run(prepare, func(ctx context.Context, dir string) error {
			var err error
			if cluster.CA, err = os.ReadFile(filepath.Join(dir, "certs", "apiserver.crt")); err != nil {
				return err
			}
			return answers(ctx, cluster.URL+"/readyz", cluster.CA)
		}, "sh", "-c", script, "sh", program, "--etcd-servers="+etcd, "--bind-address=127.0.0.1", "--secure-port="+port, "--cert-dir=certs",
			"--service-account-key-file=sa.pub", "--service-account-signing-key-file=sa.key", "--service-account-issuer="+Issuer,
			"--authorization-mode=RBAC", "--token-auth-file=tokens", "--service-cluster-ip-range=10.0.0.0/24",
			"--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount")
	})
	return cluster.URL, err
}

func startEtcd() (url string, err error) {
	if err := install("etcd", "etcd-server"); err != nil {
		return "", err
	}
	err = onFreePort(func(port string) error {
		peer, err := freePort()
		if err != nil {
			return err
		}
		url = "http://127.0.0.1:" + port
		peerURL := "http://127.0.0.1:" + peer
		return run(nil, func(ctx context.Context, _ string) error { return answers(ctx, url+"/health", nil) },
			"etcd", "--data-dir=data", "--unsafe-no-fsync", "--listen-client-urls="+url, "--advertise-client-urls="+url,
			"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL, "--initial-cluster=default="+peerURL)
	})
	return url, err
}

// answers returns nil when a URL is answered with status 200.
func answers(ctx context.Context, url string, ca []byte) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
