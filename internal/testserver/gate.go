package testserver

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// Gate is a way to a server that a test can shut, as if the server were killed, and stall, as if it hung.
type Gate struct {
	Addr string // host:port of the gate

	t       testing.TB
	target  string
	copying sync.WaitGroup

	mu       sync.Mutex
	changed  *sync.Cond
	listener net.Listener // nil: shut
	stalled  bool
	conns    map[net.Conn]bool
}

// NewGate opens a gate to the server at target, until the test ends.
func NewGate(t testing.TB, target string) *Gate {
	t.Helper()
	g := &Gate{Addr: "127.0.0.1:0", t: t, target: target, conns: map[net.Conn]bool{}}
	g.changed = sync.NewCond(&g.mu)
	g.Open()
	t.Cleanup(func() {
		g.Shut()
		g.copying.Wait()
	})
	return g
}

// Open lets connections through, also those that have stalled.
func (g *Gate) Open() {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stalled = false
	g.changed.Broadcast()
	if g.listener != nil {
		return
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", g.Addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.listener, g.Addr = l, l.Addr().String()
	g.copying.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.copying.Go(func() { g.connect(l, conn) })
		}
	})
}

// Shut breaks all connections, and refuses new ones.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener != nil {
		_ = g.listener.Close()
		g.listener = nil
	}
	for conn := range g.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, as from a program that was killed
		}
		_ = conn.Close()
	}
	g.changed.Broadcast()
}

// Stall accepts connections, and lets nothing through.
func (g *Gate) Stall() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stalled = true
}

// connect copies what goes over a connection in both directions until it ends.
func (g *Gate) connect(l net.Listener, client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", g.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	g.mu.Lock()
	open := g.listener == l
	g.conns[client], g.conns[server] = true, true
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.conns, client)
		delete(g.conns, server)
		g.mu.Unlock()
	}()
	if !open {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Go(func() {
			_, _ = io.Copy(way[1], passing{way[0], g, l})
			_ = way[1].Close()
		})
	}
	both.Wait()
}

// passing reads from a connection what the gate lets through.
type passing struct {
	net.Conn
	gate *Gate
	of   net.Listener
}

func (p passing) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.stalled && g.listener == p.of {
		g.changed.Wait()
	}
	return n, err
}
