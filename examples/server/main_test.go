package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/feastgo/feast/internal/testserver"
)

// lines collects what a program writes, and tells of addresses.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs the program on the quickstart's repository and returns the addresses of its services when it is ready, and what
// stops it as SIGTERM does.
func start(t *testing.T, dir string, args ...string) (addresses map[string]string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, stdout := io.Pipe()
	var log lines
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, append([]string{"-repo", dir}, args...), stdout, &log)
		_ = stdout.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		cancel()
		t.Fatalf("%q, %v, %v: %s", line, err, <-done, log.String())
	}
	addresses = map[string]string{}
	for _, m := range regexp.MustCompile(`service=(\S+) address=(\S+)`).FindAllStringSubmatch(log.String(), -1) {
		addresses[m[1]] = m[2]
	}
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { _ = stop() })
	return addresses, stop
}

func repo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../quickstart/repo")); err != nil {
		t.Fatal(err)
	}
	return dir
}

const body = `{"features":["driver_hourly_stats:city"],"entities":{"driver_id":[1002]}}`

func post(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %d %s", err, resp.StatusCode, b)
	}
	return string(b)
}

const want = `{"results":[{"values":[1002],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]},` +
	`{"values":["Lima"],"statuses":["PRESENT"],"event_timestamps":["2026-03-01T11:00:00Z"]}],"metadata":{"feature_names":["driver_id","city"]}}`

func TestServer(t *testing.T) {
	dir := repo(t)
	t.Chdir(t.TempDir()) // the repository's relative paths are its own
	at, stop := start(t, dir, "-http", "127.0.0.1:0", "-metrics", "127.0.0.1:0")
	if got := post(t, http.DefaultClient, "http://"+at["http"]+"/get-online-features"); got != want {
		t.Errorf("got %s", got)
	}
	resp, err := http.Get("http://" + at["metrics"] + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if page, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(page), "feast_online_features_request_total 1\n") {
		t.Errorf("%v: %s", err, page)
	}
	// A request that runs when the program is told to end is answered.
	body, writer := io.Pipe()
	answered := make(chan int)
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+at["http"]+"/chat", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Expect", "100-continue") // the body is asked for by the handler, which runs then
	go func() {
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	if _, err := io.WriteString(writer, `{"messages":`); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- stop() }()
	deadline := time.After(time.Minute)
	for {
		resp, err := http.Get("http://" + at["http"] + "/health")
		if err != nil { // it takes no more
			break
		}
		_ = resp.Body.Close()
		select {
		case <-deadline:
			t.Fatal("it goes on taking requests")
		default:
		}
	}
	_, _ = io.WriteString(writer, `[]}`)
	_ = writer.Close()
	if status := <-answered; status != 200 {
		t.Errorf("the request that ran: %d", status)
	}
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestTLS(t *testing.T) {
	dir, certs := repo(t), t.TempDir()
	c, err := testserver.Certs()
	if err == nil {
		err = c.Write(certs)
	}
	if err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(certs, "server.crt"), filepath.Join(certs, "server.key")
	at, stop := start(t, dir, "-http", "localhost:0", "-tls-cert", cert, "-tls-key", key)
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}}
	if got := post(t, client, "https://"+at["http"]+"/get-online-features"); got != want {
		t.Errorf("got %s", got)
	}
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestWrongFlags(t *testing.T) {
	dir := repo(t)
	broken := filepath.Join(t.TempDir(), "x.pem")
	for want, args := range map[string][]string{
		"nothing to serve":                     nil,
		`argument "x" is left over`:            {"-http", ":0", "x"},
		"-tls-cert and -tls-key go together":   {"-http", ":0", "-tls-cert", broken},
		"-tls-cert and -tls-key: open":         {"-http", ":0", "-tls-cert", broken, "-tls-key", broken},
		"-http: listen tcp: address nonsense:": {"-http", "nonsense"},
		"flag provided but not defined: -nope": {"-nope"},
	} {
		var out, log lines
		err := run(t.Context(), append([]string{"-repo", dir}, args...), &out, &log)
		if err == nil || !strings.HasPrefix(err.Error(), want) || out.String() != "" {
			t.Errorf("%v: %v, want %s; prints %q", args, err, want, out.String())
		}
	}
}
