package testserver_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/feastgo/feast/internal/testserver"
)

// ask sends a PING over a connection and expects the answer, or none within a moment.
func ask(t *testing.T, conn net.Conn, within time.Duration) error {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	got := make([]byte, len("+PONG\r\n"))
	_, err := io.ReadFull(conn, got)
	if err == nil && string(got) != "+PONG\r\n" {
		t.Errorf("reply %q", got)
	}
	return err
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestGate(t *testing.T) {
	g := testserver.NewGate(t, testserver.Redis(t))
	conn := dial(t, g.Addr)
	if err := ask(t, conn, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	g.Stall()
	if err := ask(t, conn, 20*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("stalled: %v", err)
	}
	g.Open()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, len("+PONG\r\n"))); err != nil {
		t.Errorf("after the stall: %v", err)
	}
	g.Shut()
	if err := ask(t, conn, 10*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("shut: %v", err)
	}
	if conn, err := net.Dial("tcp", g.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection to a shut gate: %v, %v", conn, err)
	}
	g.Open()
	if err := ask(t, dial(t, g.Addr), 10*time.Second); err != nil {
		t.Errorf("open again: %v", err)
	}
}

func TestOwnRedis(t *testing.T) {
	r := testserver.NewRedis(t)
	conn := dial(t, r.Addr)
	if err := ask(t, conn, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	r.Kill()
	if err := ask(t, conn, 10*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("killed: %v", err)
	}
	if conn, err := net.Dial("tcp", r.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection to a killed server: %v, %v", conn, err)
	}
	r.Start()
	if err := ask(t, dial(t, r.Addr), 10*time.Second); err != nil {
		t.Errorf("started again: %v", err)
	}
}
