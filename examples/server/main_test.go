package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/feastgo/feast/internal/testserver"
)

// programVariable has this binary be the program instead of its tests.
const programVariable = "SERVER_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// lines collects what a program writes.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // has one when something came
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.text.Write(b)
}

var listening = regexp.MustCompile(`service=(\S+) address=(\S+)`)

// addresses waits until n of them were told.
func (l *lines) addresses(n int) map[string]string {
	for {
		at := map[string]string{}
		for _, m := range listening.FindAllStringSubmatch(l.String(), -1) {
			at[m[1]] = m[2]
		}
		if len(at) >= n {
			return at
		}
		<-l.more
	}
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// process is the program as it runs.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  lines
	out  *bufio.Reader
	at   map[string]string // addresses by flag
	told bool
}

// launch starts the program, in a directory of its own: paths are the repository's, not those of where it is started.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, log: lines{more: make(chan struct{}, 1)}}
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], args...)
	p.cmd.Env, p.cmd.Dir, p.cmd.Stderr = append(os.Environ(), programVariable+"=1"), t.TempDir(), &p.log
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.out = bufio.NewReader(out)
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
}

// start starts the program with a repository and returns when it is ready.
func start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := launch(t, append([]string{"-repo", dir}, args...)...)
	line, err := p.out.ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("%q, %v, %v: %s", line, err, p.cmd.Wait(), p.log.String())
	}
	n := 0
	for _, a := range args {
		if strings.HasSuffix(a, ":0") {
			n++
		}
	}
	p.at = p.log.addresses(n)
	return p
}

// terminate tells it to end.
func (p *process) terminate() {
	p.t.Helper()
	p.told = true
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits for its end, which has to be with status 0 and without another line on standard output.
func (p *process) ends() {
	p.t.Helper()
	rest, err := io.ReadAll(p.out)
	if werr := p.cmd.Wait(); err != nil || werr != nil || len(rest) > 0 {
		p.t.Errorf("it ends with %v, %v, and prints %q: %s", err, werr, rest, p.log.String())
	}
}

// stop ends it, if that was not done.
func (p *process) stop() {
	p.t.Helper()
	if !p.told {
		p.terminate()
		p.ends()
	}
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
	p := start(t, repo(t), "-http", "127.0.0.1:0", "-metrics", "127.0.0.1:0")
	if got := post(t, http.DefaultClient, "http://"+p.at["http"]+"/get-online-features"); got != want {
		t.Errorf("got %s", got)
	}
	resp, err := http.Get("http://" + p.at["metrics"] + "/")
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
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.at["http"]+"/chat", body)
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
	p.terminate()
	deadline := time.After(time.Minute)
	for {
		resp, err := http.Get("http://" + p.at["http"] + "/health")
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
	p.ends()
	http.DefaultClient.CloseIdleConnections()
}

// With a certificate everything is over TLS; with authorities of clients they need one, too.
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
	all := []string{
		"-http", "localhost:0", "-grpc", "localhost:0", "-rest", "localhost:0", "-flight", "localhost:0", "-metrics", "localhost:0",
		"-tls-cert", cert, "-tls-key", key,
	}
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(filepath.Join(certs, "client.crt"), filepath.Join(certs, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	trusting := tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}
	known := trusting.Clone()
	known.Certificates = []tls.Certificate{pair}

	t.Run("server", func(t *testing.T) {
		p := start(t, dir, all...)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting.Clone(), ForceAttemptHTTP2: true}}
		defer client.CloseIdleConnections()
		if got := post(t, client, "https://"+p.at["http"]+"/get-online-features"); got != want {
			t.Errorf("got %s", got)
		}
		t.Cleanup(p.stop) // after its clients
		for _, name := range []string{"grpc", "flight"} {
			p.at[name] = strings.Replace(p.at[name], "127.0.0.1", "localhost", 1)
		}
		p.at["http"] = strings.Replace(p.at["http"], "127.0.0.1", "localhost", 1)
		testRemote(t, open(t, dir), behind(t, p.at, ", cert: "+cert, ""))
	})
	t.Run("mutual", func(t *testing.T) {
		p := start(t, repo(t), append(all, "-tls-client-ca", filepath.Join(certs, "client.crt"))...)
		for _, name := range []string{"http", "grpc", "rest", "flight"} {
			for who, config := range map[string]*tls.Config{"known": known, "unknown": &trusting} {
				config = config.Clone()
				config.NextProtos = []string{"h2"}
				d := tls.Dialer{Config: config}
				conn, err := d.DialContext(t.Context(), "tcp", p.at[name])
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
				_, err = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
				if err == nil {
					_, err = conn.Read(make([]byte, 1)) // where the server's refusal shows
				}
				if (err == nil) != (who == "known") {
					t.Errorf("%s, %s: %v", name, who, err)
				}
				_ = conn.Close()
			}
		}
		p.stop()
	})
}

// What keeps the program from starting is one line on standard error, and status 1.
func TestWrongStart(t *testing.T) {
	dir := repo(t)
	broken := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(broken, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	taken, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	with := func(section string) string {
		dir := repo(t)
		text, err := os.ReadFile(filepath.Join(dir, "feature_store.yaml"))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "feature_store.yaml"), append(text, section...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	behind := t.TempDir()
	if err := os.WriteFile(filepath.Join(behind, "feature_store.yaml"), []byte("project: p\nprovider: local\n"+
		"registry: {registry_type: remote, path: \"127.0.0.1:1\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"nothing to serve: give -http", []string{"-repo", dir}},
		{`argument "x" is left over`, []string{"-http", ":0", "x"}},
		{"flag provided but not defined: -nope", []string{"-nope"}},
		{"-metrics has a page about the feature server: give -http", []string{"-repo", dir, "-grpc", ":0", "-metrics", ":0"}},
		{"-tls-cert and -tls-key go together", []string{"-repo", dir, "-http", ":0", "-tls-cert", broken}},
		{"-tls-cert and -tls-key go together", []string{"-repo", dir, "-http", ":0", "-tls-client-ca", broken}},
		{"-tls-cert and -tls-key: open", []string{"-repo", dir, "-http", ":0", "-tls-cert", broken + "x", "-tls-key", broken}},
		{"-tls-cert and -tls-key: tls: failed to find any PEM data", []string{"-repo", dir, "-http", ":0", "-tls-cert", broken, "-tls-key", broken}},
		{"-http: listen tcp: address nonsense:", []string{"-repo", dir, "-http", "nonsense"}},
		{"-http: listen tcp " + taken.Addr().String(), []string{"-repo", dir, "-grpc", "127.0.0.1:0", "-http", taken.Addr().String()}},
		{"-grpc: listen tcp " + taken.Addr().String(), []string{"-repo", dir, "-grpc", taken.Addr().String()}},
		{"-rest: listen tcp " + taken.Addr().String(), []string{"-repo", dir, "-rest", taken.Addr().String()}},
		{"-flight: listen tcp " + taken.Addr().String(), []string{"-repo", dir, "-http", "127.0.0.1:0", "-flight", taken.Addr().String()}},
		{"", []string{"-repo", filepath.Join(dir, "nowhere"), "-http", ":0"}},
		{"", []string{"-repo", with("auth: {type: ldap}\n"), "-http", ":0"}},
		{"-http: ", []string{"-repo", with("auth: {type: oidc}\n"), "-http", ":0"}},
		{"-grpc and -rest: ", []string{"-repo", with("auth: {type: oidc}\n"), "-rest", ":0"}},
		{"-flight: ", []string{"-repo", with("auth: {type: oidc}\n"), "-flight", ":0"}},
		{"", []string{"-repo", with("nonsense: [\n"), "-http", ":0"}},
		{"-grpc and -rest: ", []string{"-repo", behind, "-grpc", ":0"}},
	} {
		p := launch(t, c.args...)
		out, err := io.ReadAll(p.out)
		if err != nil {
			t.Error(err)
		}
		_ = p.cmd.Wait()
		log := p.log.String()
		t.Log(log)
		if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.HasPrefix(log, "server: "+c.want) || strings.Count(log, "\n") != 1 || len(out) > 0 {
			t.Errorf("%v: status %d, %q, prints %q; want %s", c.args, code, log, out, c.want)
		}
	}
}
