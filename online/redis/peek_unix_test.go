//go:build unix

package redis

import (
	"net"
	"runtime"
	"testing"
	"time"
)

// TestFreshSocket looks into sockets while they are idle.
func TestFreshSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for name, do := range map[string]func(net.Conn){
		"bytes": func(c net.Conn) { _, _ = c.Write([]byte("x")) },
		"end":   func(c net.Conn) { _ = c.Close() },
	} {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		other, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c, p := newConn(client), &pool{}
		if !c.fresh(p, time.Now()) {
			t.Errorf("%s: not fresh at first", name)
		}
		do(other)
		for end := time.Now().Add(10 * time.Second); c.fresh(p, time.Now()); runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("%s: still fresh", name)
			}
		}
		_, _ = client.Close(), other.Close()
	}
}
