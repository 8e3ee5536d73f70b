package testserver

import (
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
	server    redisServer
	port      string
	life, end *os.File // nil while it does not run
}

// NewRedis starts a Redis server that ends with the test. args are arguments of the program besides those that it needs.
func NewRedis(t testing.TB, args ...string) *OwnRedis {
	t.Helper()
	Redis(t) // skips where there is none
	r := &OwnRedis{t: t, server: redisServer{more: args}}
	if err := onFreePort(func(port string) (err error) {
		r.port, r.Addr = port, net.JoinHostPort("127.0.0.1", port)
		r.life, r.end, err = r.server.start(port)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	return r
}

// Start starts the server again.
func (r *OwnRedis) Start() {
	r.t.Helper()
	var err error
	if r.life, r.end, err = r.server.start(r.port); err != nil {
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
