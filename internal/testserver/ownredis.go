package testserver

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// OwnRedis is a Redis server of one test, which may kill it and start it again at the same address, empty.
type OwnRedis struct {
	Addr string // host:port

	t         testing.TB
	life, end *os.File // nil while it does not run
}

// NewRedis starts a Redis server that ends with the test.
func NewRedis(t testing.TB) *OwnRedis {
	t.Helper()
	Redis(t) // skips where there is none
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	r := &OwnRedis{Addr: net.JoinHostPort("127.0.0.1", port), t: t}
	r.Start()
	t.Cleanup(r.Kill)
	return r
}

// Start starts the server again.
func (r *OwnRedis) Start() {
	r.t.Helper()
	_, port, err := net.SplitHostPort(r.Addr)
	if err == nil {
		plain := redisServer{}
		var args []string
		if args, err = plain.args(port); err == nil {
			r.life, r.end, err = start(nil, func(ctx context.Context, dir string) error { return plain.ping(ctx, r.Addr, dir) },
				"redis-server", args...)
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// Kill ends the server, if it runs, and waits until it is gone.
func (r *OwnRedis) Kill() {
	r.t.Helper()
	if r.life == nil {
		return
	}
	err := r.life.Close()
	if err == nil {
		err = r.end.SetReadDeadline(time.Now().Add(startTime))
	}
	if err == nil {
		if _, err = r.end.Read(make([]byte, 1)); err == io.EOF { //nolint:errorlint // of a file
			err = r.end.Close()
		}
	}
	r.life, r.end = nil, nil
	if err != nil {
		r.t.Errorf("killing Redis: %v", err)
	}
}
