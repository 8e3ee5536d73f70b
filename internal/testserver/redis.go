package testserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	redis         = server{env: "FEAST_TEST_REDIS", start: func() (string, error) { return startRedis(redisServer{}) }}
	redisCluster  = server{env: "FEAST_TEST_REDIS_CLUSTER", start: startRedisCluster}
	redisSentinel = server{start: startRedisSentinel}
)

// Redis returns the host:port of a Redis server without a password that persists nothing. All tests of the binary share
// it, and those of other binaries when FEAST_TEST_REDIS names it: keep to keys of your own.
func Redis(t testing.TB) (addr string) {
	t.Helper()
	return redis.address(t)
}

// RedisCluster returns the nodes of a Redis Cluster of three masters, as host:port with commas between. It is shared as
// that of [Redis] is, by way of FEAST_TEST_REDIS_CLUSTER.
func RedisCluster(t testing.TB) (addrs string) {
	t.Helper()
	return redisCluster.address(t)
}

// RedisMaster is the name that the sentinel of [RedisSentinel] knows its master by.
const RedisMaster = "mymaster"

// RedisSentinel returns the host:port of a Redis Sentinel which watches a master, under the name [RedisMaster], and its
// replica. Tests that make them change places leave them in sync.
func RedisSentinel(t testing.TB) (addr string) {
	t.Helper()
	return redisSentinel.address(t)
}

// redisTLS are the servers of RedisTLS and RedisMutualTLS.
var redisTLS = map[bool]*server{
	false: {start: func() (string, error) { return startRedis(redisServer{tls: true}) }},
	true:  {start: func() (string, error) { return startRedis(redisServer{tls: true, mutual: true}) }},
}

// RedisTLS returns the port of a Redis server at localhost that speaks TLS only, with [Certificates.Server], and takes no
// others than [Certificates.Client] where mutual is set.
func RedisTLS(t testing.TB, mutual bool) (port string, certs *Certificates) {
	t.Helper()
	addr := redisTLS[mutual].address(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	certs, err = certificates()
	if err != nil {
		t.Fatal(err)
	}
	return port, certs
}

// redisServer says how one redis-server runs.
type redisServer struct {
	tls, mutual bool
	cluster     bool
	replicaOf   string   // host:port
	sentinelOf  string   // host:port; the server is a sentinel then
	more        []string // arguments
}

// args are the arguments of the program.
func (r redisServer) args(port string) ([]string, error) {
	args := []string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"}
	switch {
	case r.sentinelOf != "":
		return []string{"sentinel.conf", "--sentinel"}, nil
	case r.tls:
		authClients := "no"
		if r.mutual {
			authClients = "yes"
		}
		args = append(args, "--port", "0", "--tls-port", port, "--tls-cert-file", "server.crt", "--tls-key-file", "server.key",
			"--tls-ca-cert-file", "client.crt", "--tls-auth-clients", authClients)
	case r.cluster:
		bus, err := freePort()
		if err != nil {
			return nil, err
		}
		args = append(args, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000",
			"--cluster-port", bus)
	case r.replicaOf != "":
		host, port, err := net.SplitHostPort(r.replicaOf)
		if err != nil {
			return nil, err
		}
		args = append(args, "--replicaof", host+" "+port)
	}
	return append(append(args, "--repl-diskless-sync-delay", "0"), r.more...), nil
}

// prepare writes the files that the arguments name.
func (r redisServer) prepare(dir, port string) error {
	if r.sentinelOf != "" {
		host, master, err := net.SplitHostPort(r.sentinelOf)
		if err != nil {
			return err
		}
		conf := fmt.Sprintf("bind 127.0.0.1\nport %s\nsentinel monitor %s %s %s 1\nsentinel down-after-milliseconds %[2]s 1000\n"+
			"sentinel failover-timeout %[2]s 5000\n", port, RedisMaster, host, master)
		return os.WriteFile(filepath.Join(dir, "sentinel.conf"), []byte(conf), 0o600)
	}
	if r.tls {
		certs, err := certificates()
		if err != nil {
			return err
		}
		return certs.Write(dir)
	}
	return nil
}

// dial connects to the server.
func (r redisServer) dial(ctx context.Context, addr string) (net.Conn, error) {
	if !r.tls {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	certs, err := certificates()
	if err != nil {
		return nil, err
	}
	// It is this test's own server, as the ping sees.
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{certs.Client}}}
	return d.DialContext(ctx, "tcp", addr)
}

// startRedis starts a server and returns its host:port.
func startRedis(r redisServer) (string, error) {
	if err := install("redis-server", "redis-server"); err != nil {
		return "", err
	}
	var addr string
	err := onFreePort(func(port string) error {
		addr = net.JoinHostPort("127.0.0.1", port)
		return hold(r.start(port))
	})
	return addr, err
}

// start starts the server on a port of 127.0.0.1, as start of any server does.
func (r redisServer) start(port string) (life, end *os.File, err error) {
	args, err := r.args(port)
	if err != nil {
		return nil, nil, err
	}
	return start(
		func(dir string) error { return r.prepare(dir, port) },
		func(ctx context.Context, dir string) error {
			return r.ping(ctx, net.JoinHostPort("127.0.0.1", port), dir)
		},
		"redis-server", args...)
}

// ping answers nil when the Redis that works in dir, and not another one, serves at addr.
func (r redisServer) ping(ctx context.Context, addr, dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	if r.sentinelOf != "" {
		return expect(ctx, r, addr, "PING", "+PONG\r\n") // which does not tell where it works
	}
	return expect(ctx, r, addr, "CONFIG GET dir", fmt.Sprintf("*2\r\n$3\r\ndir\r\n$%d\r\n%s\r\n", len(dir), dir))
}

// expect sends a command and compares the reply.
func expect(ctx context.Context, r redisServer, addr, command, want string) error {
	conn, err := r.dial(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("%s is another server", addr)
	}
	return nil
}

// command returns what redis-cli prints for a command.
func command(ctx context.Context, addr string, args ...string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "redis-cli", append([]string{"-h", host, "-p", port}, args...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("redis-cli %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// until asks a server again and again until what it answers has all the parts.
func until(ctx context.Context, addr string, args []string, parts ...string) error {
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for {
		out, err := command(ctx, addr, args...)
		missing := ""
		for _, part := range parts {
			if !strings.Contains(out, part) {
				missing = part
			}
		}
		if err == nil && missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redis at %s: %w; %q is missing of %s", addr, errors.Join(ctx.Err(), err), missing, out)
		case <-ticks.C:
		}
	}
}

func startRedisCluster() (string, error) {
	const masters, slots = 3, 16384
	var nodes []string
	for range masters {
		addr, err := startRedis(redisServer{cluster: true})
		if err != nil {
			return "", err
		}
		nodes = append(nodes, addr)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	create := append([]string{"--cluster", "create"}, nodes...)
	create = append(create, "--cluster-replicas", "0", "--cluster-yes")
	if _, err := command(ctx, nodes[0], create...); err != nil {
		return "", err
	}
	for _, node := range nodes {
		err := until(ctx, node, []string{"cluster", "info"}, "cluster_state:ok", "cluster_slots_ok:"+strconv.Itoa(slots))
		if err != nil {
			return "", err
		}
	}
	return strings.Join(nodes, ","), nil
}

func startRedisSentinel() (string, error) {
	master, err := startRedis(redisServer{})
	if err != nil {
		return "", err
	}
	replica, err := startRedis(redisServer{replicaOf: master})
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := until(ctx, replica, []string{"info", "replication"}, "master_link_status:up"); err != nil {
		return "", err
	}
	sentinel, err := startRedis(redisServer{sentinelOf: master})
	if err != nil {
		return "", err
	}
	return sentinel, RedisInSync(ctx, sentinel)
}

// RedisInSync waits until the sentinel at addr sees a master and a replica that is connected to it.
func RedisInSync(ctx context.Context, addr string) error {
	return until(ctx, addr, []string{"sentinel", "replicas", RedisMaster}, "master-link-status\nok", "flags\nslave\n")
}
