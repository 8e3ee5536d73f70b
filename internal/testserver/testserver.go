// Package testserver starts the servers that tests talk to: one of a kind per test binary, on the loopback interface,
// with nothing left behind when the binary ends, however it ends. A server that the environment names is used instead.
// Where neither can be had, the test is skipped with the reason; when CI=true it fails.
package testserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	startTime   = 30 * time.Second
	installTime = 10 * time.Minute // may have to wait for another test binary's installation
)

// server is one kind of server.
type server struct {
	env   string // variable that may name a running one, or ""
	start func() (addr string, err error)

	once sync.Once
	addr string
	err  error
}

// address returns where the server listens, and starts it on the first call.
func (s *server) address(t testing.TB) string {
	t.Helper()
	s.once.Do(func() {
		if s.env != "" {
			s.addr = os.Getenv(s.env)
		}
		if s.addr == "" {
			s.addr, s.err = s.start()
		}
	})
	switch {
	case s.err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(s.err)
	case s.env == "":
		t.Skip(s.err)
	default:
		t.Skipf("%v\n%s may name a running server", s.err, s.env)
	}
	return s.addr
}

// install makes sure that a program is there, if need be from a Debian package whose own service stays off. Of several
// test binaries one installs and the others wait.
func install(program, pkg string) error {
	if _, err := exec.LookPath(program); err == nil {
		return nil
	}
	const script = `command -v "$1" || { apt-get update && RUNLEVEL=1 apt-get install --yes "$2"; }`
	ctx, cancel := context.WithTimeout(context.Background(), installTime)
	defer cancel()
	lock := filepath.Join(os.TempDir(), "feast-testserver.lock")
	cmd := exec.CommandContext(ctx, "flock", lock, "sh", "-c", script, "sh", program, pkg)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s is missing and Debian package %s cannot be installed: %w\n%s", program, pkg, err, out)
	}
	return nil
}

// errEnded says that a server ended before it was ready.
var errEnded = errors.New("ended")

// held keeps the pipes open that servers live by.
var held struct {
	sync.Mutex
	files []*os.File
}

// run is start for a server that lives as long as this process.
func run(prepare func(dir string) error, ready func(ctx context.Context, dir string) error, program string, args ...string) error {
	return hold(start(prepare, ready, program, args...))
}

// hold leaves what start has started running as long as this process.
func hold(life, end *os.File, err error) error {
	if err != nil {
		return err
	}
	_ = end.Close()
	held.Lock()
	held.files = append(held.files, life)
	held.Unlock()
	return nil
}

// start starts a server in a new directory, which prepare may put files into, and returns when ready answers nil. ready is
// asked again and again. The server ends when life is closed, and has ended when reading from end answers io.EOF.
//
// A shell waits for the end of its standard input, which is the end of this process, then stops the server and removes
// the directory. The server inherits the shell's standard output, which therefore ends with the server.
func start(
	prepare func(dir string) error, ready func(ctx context.Context, dir string) error, program string, args ...string,
) (life, end *os.File, err error) {
	return startWithin(startTime, prepare, ready, program, args...)
}

// startWithin is start of a server that may take another time than others.
func startWithin(
	limit time.Duration, prepare func(dir string) error, ready func(ctx context.Context, dir string) error, program string, args ...string,
) (life, end *os.File, err error) {
	dir, err := os.MkdirTemp("", "feast-testserver-")
	if err != nil {
		return nil, nil, err
	}
	if prepare != nil {
		if err := prepare(dir); err != nil {
			return nil, nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	const script = `
trap '' INT
"$@" 9>&1 >log 2>&1 </dev/null &
exec >/dev/null
cat
kill $!
wait
rm -r "$PWD"`
	cmd := exec.CommandContext(context.Background(), "sh", append([]string{"-c", script, "sh", program}, args...)...)
	cmd.Dir = dir
	stdin, life, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = stdin.Close() }()
	end, stdout, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdin, cmd.Stdout = stdin, stdout
	err = cmd.Start()
	_ = stdout.Close() // the server has its own
	if err == nil {
		err = await(end, limit, func(ctx context.Context) error { return ready(ctx, dir) })
	}
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		_ = life.Close()
		_ = end.Close()
		return nil, nil, fmt.Errorf("%s: %w\n%s", program, err, log)
	}
	return life, end, nil
}

// await returns when ready answers nil, or end does not wait any more, or the time is up.
func await(end *os.File, limit time.Duration, ready func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := end.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			return err
		}
		if _, err := end.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return errEnded
		}
	}
}

// onFreePort calls start with a port on which nobody listened a moment before, and with another one when the server ends:
// somebody else may have got the port.
func onFreePort(start func(port string) error) error {
	for attempts := 3; ; attempts-- {
		port, err := freePort()
		if err != nil {
			return err
		}
		if err := start(port); !errors.Is(err, errEnded) || attempts == 1 {
			return err
		}
	}
}

// freePort returns a port on which nobody listens at the moment.
func freePort() (string, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), l.Close()
}
