package testserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

var redis = server{env: "FEAST_TEST_REDIS", start: startRedis}

// Redis returns the host:port of a Redis server without a password that persists nothing. All tests of the binary share
// it, and those of other binaries when FEAST_TEST_REDIS names it: keep to keys of your own.
func Redis(t testing.TB) (addr string) {
	t.Helper()
	return redis.address(t)
}

func startRedis() (string, error) {
	if err := install("redis-server", "redis-server"); err != nil {
		return "", err
	}
	for attempts := 3; ; attempts-- {
		port, err := freePort()
		if err != nil {
			return "", err
		}
		addr := net.JoinHostPort("127.0.0.1", port)
		err = run(func(ctx context.Context, dir string) error { return pingRedis(ctx, addr, dir) },
			"redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
		if errors.Is(err, errEnded) && attempts > 1 {
			continue // somebody else got the port
		}
		return addr, err
	}
}

// pingRedis answers nil when the Redis that works in dir, and not another one, serves at addr.
func pingRedis(ctx context.Context, addr, dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("CONFIG GET dir\r\n")); err != nil {
		return err
	}
	want := fmt.Sprintf("*2\r\n$3\r\ndir\r\n$%d\r\n%s\r\n", len(dir), dir)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("%s is another server", addr)
	}
	return nil
}
