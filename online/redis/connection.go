package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/feastgo/feast/feasterr"
)

// connection is a connection_string: items between commas, of which those with "=" are parameters and the others nodes.
// Feast takes every item as it stands. Here, space around nodes and names and items without a text are left out.
type connection struct {
	nodes  []string
	params []param
	// doubtful: a node without a port follows a parameter, and may be the rest of a password with a comma.
	doubtful bool
}

// param is a parameter for the constructor of redis-py. The value is what the text means as JSON: a bool, json.Number,
// string, nil, list or map; a text that is no JSON is a string.
type param struct {
	name  string
	value any
}

func parseConnection(s string) connection {
	var c connection
	for item := range strings.SplitSeq(s, ",") {
		name, text, isParam := strings.Cut(item, "=")
		name = strings.TrimSpace(name)
		switch {
		case isParam:
			c.params = append(c.params, param{name, parseValue(text)})
		case name != "":
			c.nodes = append(c.nodes, name)
			c.doubtful = c.doubtful || c.params != nil && !strings.Contains(name, ":")
		}
	}
	return c
}

func parseValue(text string) any {
	if json.Valid([]byte(text)) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber() // a password of digits has to stay as written
		var v any
		if d.Decode(&v) == nil {
			return v
		}
	}
	return text
}

// Values of redis_type.
const (
	single   = "redis"
	cluster  = "redis_cluster"
	sentinel = "redis_sentinel"
)

// servers says where the rows are: what redis_type, sentinel_master and connection_string say together.
type servers struct {
	kind string                 // a value of redis_type
	opt  redis.UniversalOptions // with one address, all startup nodes, or all sentinels
	// replicas: reads go to replicas too.
	replicas bool
	// sentinelTLS: connections to sentinels use the TLS of opt. As in Feast, what parameters say of passwords and TLS is
	// for the servers with rows, and sentinel_kwargs for the sentinels.
	sentinelTLS bool
}

// findServers reads a connection_string. dir is what relative paths resolve against. The error lists all problems, by
// parameter and without values.
func findServers(kind, master, s, dir string) (*servers, error) {
	c := parseConnection(s)
	b := builder{
		dir:       dir,
		verify:    true,
		checkHost: true,
		servers: servers{
			kind: kind,
			opt: redis.UniversalOptions{
				ContextTimeoutEnabled: true,
				// Commands are retried as a whole, dialing included.
				DialerRetries:            1,
				MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
			},
		},
	}
	if kind == sentinel {
		b.opt.MasterName = master
	}
	errs := []error{b.addresses(c)}
	for _, p := range c.params {
		errs = append(errs, b.param(p))
	}
	var problems []string
	for _, err := range append(errs, b.finish()) {
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	if problems != nil {
		return nil, errors.New(strings.Join(problems, "; "))
	}
	return &b.servers, nil
}

// String names the servers, for errors.
func (s *servers) String() string {
	addrs := strings.Join(s.opt.Addrs, ", ")
	switch s.kind {
	case cluster:
		return "the cluster at " + addrs
	case sentinel:
		return fmt.Sprintf("the master %q of the sentinels at %s", s.opt.MasterName, addrs)
	}
	return addrs
}

// clients returns a client for everything, and one for reads where that is another one, or nil.
func (s *servers) clients() (all, reads redis.UniversalClient) {
	switch s.kind {
	case cluster:
		opt := s.opt.Cluster()
		all = redis.NewClusterClient(opt)
		if s.replicas {
			opt = s.opt.Cluster()
			opt.RouteRandomly = true
			reads = redis.NewClusterClient(opt)
		}
	case sentinel:
		opt := s.failover()
		all = redis.NewFailoverClient(opt)
		if s.replicas {
			opt = s.failover()
			opt.ReplicaOnly = true
			reads = redis.NewFailoverClient(opt)
		}
	default:
		all = redis.NewClient(s.opt.Simple())
	}
	return all, reads
}

func (s *servers) failover() *redis.FailoverOptions {
	opt := s.opt.Failover()
	if opt.TLSConfig != nil && !s.sentinelTLS {
		// go-redis would take the TLS of the servers for the sentinels, too.
		opt.TLSConfig, opt.Dialer = nil, s.dial
	}
	return opt
}

// dial connects to a sentinel without TLS, and to another server with it.
func (s *servers) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: cmp.Or(s.opt.DialTimeout, 5*time.Second)}
	if slices.Contains(s.opt.Addrs, addr) {
		return d.DialContext(ctx, network, addr)
	}
	return (&tls.Dialer{NetDialer: &d, Config: s.opt.TLSConfig}).DialContext(ctx, network, addr)
}

// builder makes the options of clients.
type builder struct {
	servers
	dir string

	ssl, verify, checkHost    bool
	caFile, certFile, keyFile string
}

// addresses sets the addresses. A single server is the first node, as in Feast.
func (b *builder) addresses(c connection) error {
	nodes := c.nodes
	switch {
	case len(nodes) == 0:
		return errors.New("names no server: begin with host:port")
	case b.kind == single:
		nodes = nodes[:1]
	case c.doubtful:
		return errors.New("an item without a port follows a parameter: write nodes as host:port; a password with a comma cannot be written here")
	}
	port := "6379"
	if b.kind == sentinel {
		port = "26379"
	}
	for i, node := range nodes {
		addr, ok := address(node, port)
		switch {
		case ok:
			b.opt.Addrs = append(b.opt.Addrs, addr)
		case highPort(node):
			return fmt.Errorf("node %d: the port must be at most 65535", i+1)
		case i > 0:
			return fmt.Errorf("node %d must be host:port", i+1)
		default:
			return errors.New("must begin with host:port, followed by parameters as in localhost:6379,ssl=true; URLs are not understood")
		}
	}
	return nil
}

// address is host:port of a node, which may leave out the port.
func address(node, defaultPort string) (string, bool) {
	host, port, err := net.SplitHostPort(node)
	if err != nil {
		host, port, err = net.SplitHostPort(node + ":" + defaultPort)
	}
	if _, notNumber := strconv.ParseUint(port, 10, 16); err != nil || host == "" || notNumber != nil {
		return "", false
	}
	return net.JoinHostPort(host, port), true
}

// highPort reports whether a node is host:port with a number that is no port.
func highPort(node string) bool {
	host, port, err := net.SplitHostPort(node)
	n, notNumber := strconv.ParseUint(port, 10, 32)
	return err == nil && host != "" && notNumber == nil && n > 65535
}

// parameters are the names that param knows.
var parameters = []string{
	"client_name", "db", "health_check_interval", "max_connections", "password", "socket_connect_timeout",
	"socket_timeout", "ssl", "ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile",
	"username",
}

// kindParameters are those that some kinds of servers have besides.
var kindParameters = map[string][]string{
	cluster:  {"read_from_replicas", "require_full_coverage", "skip_full_coverage_check"},
	sentinel: {"read_from_replicas", "sentinel_kwargs"},
}

// param sets what a parameter stands for.
func (b *builder) param(p param) (err error) {
	known := append(slices.Clone(parameters), kindParameters[b.kind]...)
	slices.Sort(known)
	if !slices.Contains(known, p.name) {
		near := feasterr.Near(p.name, slices.Values(known))
		if len(near) == 0 {
			return fmt.Errorf("parameter %q is not known; known are %s", p.name, strings.Join(known, ", "))
		}
		return fmt.Errorf("parameter %q is not known; did you mean %s?", p.name, strings.Join(near, " or "))
	}
	switch p.name {
	case "client_name":
		b.opt.ClientName, err = asText(p.value)
	case "db":
		if b.opt.DB, err = asCount(p.value, 0); b.kind == cluster && b.opt.DB != 0 {
			err = errors.New("must be 0: a cluster has no other")
		}
	case "health_check_interval":
		// go-redis looks at every connection before it uses it.
	case "max_connections":
		b.opt.PoolSize, err = asCount(p.value, 1)
		b.opt.MaxActiveConns = b.opt.PoolSize
		b.opt.PipelinePoolSize = -1 // would come on top
	case "password":
		b.opt.Password, err = asText(p.value)
	case "socket_connect_timeout":
		b.opt.DialTimeout, err = asSeconds(p.value)
	case "socket_timeout":
		if b.opt.ReadTimeout, err = asSeconds(p.value); b.opt.ReadTimeout == 0 {
			b.opt.ReadTimeout = -1 // none
		}
	case "read_from_replicas":
		b.replicas, err = asBool(p.value)
	case "require_full_coverage", "skip_full_coverage_check":
		// go-redis serves the slots that are covered.
		_, err = asBool(p.value)
	case "sentinel_kwargs":
		err = b.sentinelParams(p.value)
	case "ssl":
		b.ssl, err = asBool(p.value)
	case "ssl_ca_certs":
		b.caFile, err = b.asPath(p.value)
	case "ssl_cert_reqs":
		switch p.value {
		case "none", nil:
			b.verify = false
		case "optional", "required":
			b.verify = true
		default:
			err = errors.New("must be none, optional or required")
		}
	case "ssl_certfile":
		b.certFile, err = b.asPath(p.value)
	case "ssl_check_hostname":
		b.checkHost, err = asBool(p.value)
	case "ssl_keyfile":
		b.keyFile, err = b.asPath(p.value)
	case "username":
		b.opt.Username, err = asText(p.value)
	}
	if err != nil {
		return fmt.Errorf("parameter %s: %w", p.name, err)
	}
	return nil
}

// sentinelParams sets what is for the connections to sentinels. As commas end a parameter, an object of one member fits
// into one, and several objects follow each other.
func (b *builder) sentinelParams(value any) (err error) {
	members, ok := value.(map[string]any)
	if !ok {
		return errors.New(`must be an object, as in sentinel_kwargs={"password": "..."}; for several members, repeat it`)
	}
	for name, v := range members {
		switch name {
		case "password":
			b.opt.SentinelPassword, err = asText(v)
		case "ssl":
			b.sentinelTLS, err = asBool(v)
		case "username":
			b.opt.SentinelUsername, err = asText(v)
		default:
			err = errors.New("is not known; known are password, ssl, username")
		}
		if err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
	}
	return nil
}

// finish sets what depends on several parameters.
func (b *builder) finish() error {
	if b.opt.DialTimeout == 0 && b.opt.ReadTimeout > 0 {
		b.opt.DialTimeout = b.opt.ReadTimeout
	}
	if !b.ssl {
		if b.sentinelTLS {
			return errors.New("parameter sentinel_kwargs: ssl needs ssl=true, whose certificates it shares")
		}
		return nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if b.caFile != "" {
		pem, err := os.ReadFile(b.caFile)
		if err != nil {
			return fmt.Errorf("parameter ssl_ca_certs: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("parameter ssl_ca_certs: no certificate in %s", b.caFile)
		}
	}
	switch {
	case b.certFile != "":
		keyFile := b.keyFile
		if keyFile == "" {
			keyFile = b.certFile // may hold both
		}
		cert, err := tls.LoadX509KeyPair(b.certFile, keyFile)
		if err != nil {
			return fmt.Errorf("parameters ssl_certfile and ssl_keyfile: %w", err)
		}
		conf.Certificates = []tls.Certificate{cert}
	case b.keyFile != "":
		return errors.New("parameter ssl_keyfile: needs ssl_certfile")
	}
	if conf.InsecureSkipVerify = !b.verify || !b.checkHost; b.verify && !b.checkHost {
		conf.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s.PeerCertificates, conf.RootCAs) }
	}
	b.opt.TLSConfig = conf
	return nil
}

// verifyChain checks a server's certificates, but not for which host they are.
func verifyChain(certs []*x509.Certificate, roots *x509.CertPool) error {
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range certs[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := certs[0].Verify(opts)
	return err
}

// Values of parameters. What Python would pass on as a number or boolean may have been meant as text.

func asText(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case json.Number:
		return v.String(), nil
	}
	return "", errors.New("must be a text")
}

// asPath resolves a path against the directory of the repository.
func (b *builder) asPath(v any) (string, error) {
	path, err := asText(v)
	if path != "" && !filepath.IsAbs(path) {
		path = filepath.Join(b.dir, path)
	}
	return path, err
}

func asCount(v any, least int) (int, error) {
	if v, ok := v.(json.Number); ok {
		if n, err := strconv.Atoi(v.String()); err == nil && n >= least {
			return n, nil
		}
	}
	return 0, fmt.Errorf("must be an integer of at least %d", least)
}

// asSeconds is 0 for null.
func asSeconds(v any) (time.Duration, error) {
	switch v := v.(type) {
	case nil:
		return 0, nil
	case json.Number:
		if f, err := v.Float64(); err == nil && f > 0 {
			return time.Duration(min(f, 1e9) * float64(time.Second)), nil
		}
	}
	return 0, errors.New("must be a number of seconds above 0, or null for no limit")
}

func asBool(v any) (bool, error) {
	switch v := v.(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	case json.Number:
		f, err := v.Float64()
		return f != 0, err
	case string:
		// Python takes every text for true, which is not meant by False.
		if v == "True" {
			return true, nil
		}
	}
	return false, errors.New("must be true or false, in small letters")
}
