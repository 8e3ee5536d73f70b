package redis

import (
	"crypto/tls"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestGoldenConnectionStrings(t *testing.T) {
	var golden struct {
		Cases []struct {
			Text  string `json:"connection_string"`
			Nodes []struct {
				Host string
				Port *string
			}
			Params map[string]any
		}
	}
	readJSON(t, "connection_strings.json", &golden)
	// What Feast accepts means the same here. These fail in Feast when it connects, or name what does not exist.
	lenient := map[string]connection{
		"h:6379,,db=0":   {nodes: []string{"h:6379"}, params: []param{{"db", json.Number("0")}}},
		"h:6379, db=1":   {nodes: []string{"h:6379"}, params: []param{{"db", json.Number("1")}}},
		" h:6379":        {nodes: []string{"h:6379"}},
		"[::1]:6379":     {nodes: []string{"[::1]:6379"}},
		"redis://h:6379": {nodes: []string{"redis://h:6379"}},
	}
	for _, c := range golden.Cases {
		want, ok := lenient[c.Text]
		if !ok {
			for _, n := range c.Nodes {
				node := n.Host
				if n.Port != nil {
					node += ":" + *n.Port
				}
				want.nodes = append(want.nodes, node)
			}
		}
		got := parseConnection(c.Text)
		if !reflect.DeepEqual(got.nodes, want.nodes) {
			t.Errorf("%q: nodes %q, want %q", c.Text, got.nodes, want.nodes)
		}
		params := map[string]any{}
		for _, p := range got.params {
			params[p.name] = p.value
		}
		if ok {
			c.Params = map[string]any{}
			for _, p := range want.params {
				c.Params[p.name] = p.value
			}
		}
		if !reflect.DeepEqual(params, c.Params) {
			t.Errorf("%q: parameters %v, want %v", c.Text, params, c.Params)
		}
	}
	if len(golden.Cases) != 16 {
		t.Errorf("%d cases, want 16", len(golden.Cases))
	}
}

func TestClientOptions(t *testing.T) {
	plain := func(addr string) redis.Options { return redis.Options{Addr: addr} }
	for text, want := range map[string]redis.Options{
		"localhost:6379":        plain("localhost:6379"),
		"h":                     plain("h:6379"),
		"[::1]":                 plain("[::1]:6379"),
		"[::1]:1":               plain("[::1]:1"),
		"h1:1,h2:2":             plain("h1:1"),
		"db=2,h:1":              {Addr: "h:1", DB: 2},
		"h:1,password=a=b=c":    {Addr: "h:1", Password: "a=b=c"},
		"h:1,password=":         {Addr: "h:1"},
		"h:1,password=null":     {Addr: "h:1"},
		"h:1,password=007":      {Addr: "h:1", Password: "007"},
		"h:1,password=1e5":      {Addr: "h:1", Password: "1e5"},
		"h:1,password=true":     {Addr: "h:1", Password: "true"},
		"h:1,password= x ":      {Addr: "h:1", Password: " x "},
		`h:1,password="quoted"`: {Addr: "h:1", Password: "quoted"},
		"h:1,password=12345678901234567890123": {
			Addr: "h:1", Password: "12345678901234567890123",
		},
		"h:1,username=u,client_name=me":                 {Addr: "h:1", Username: "u", ClientName: "me"},
		"h:1,socket_timeout=1.5":                        {Addr: "h:1", ReadTimeout: 1500 * time.Millisecond, DialTimeout: 1500 * time.Millisecond},
		"h:1,socket_timeout=2,socket_connect_timeout=1": {Addr: "h:1", ReadTimeout: 2 * time.Second, DialTimeout: time.Second},
		"h:1,socket_timeout=null":                       {Addr: "h:1", ReadTimeout: -1},
		"h:1,max_connections=3":                         {Addr: "h:1", PoolSize: 3, MaxActiveConns: 3, PipelinePoolSize: -1},
		"h:1,health_check_interval=0":                   plain("h:1"),
		"h:1,ssl=false,ssl_ca_certs=/no/such/file":      plain("h:1"),
		"h:1,ssl=true":                                  {Addr: "h:1", TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}},
		"h:1,ssl=True":                                  {Addr: "h:1", TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}},
		"h:1,ssl=1,ssl_cert_reqs=none":                  {Addr: "h:1", TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}},
		"h:1,ssl=true,ssl_cert_reqs=required":           {Addr: "h:1", TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}},
		"h:1,ssl=true,ssl_check_hostname=true":          {Addr: "h:1", TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}},
		"h:1,ssl=true,ssl_ca_certs=null,ssl_cert_reqs=null": {
			Addr: "h:1", TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true},
		},
	} {
		at, err := findServers(single, "mymaster", text, "/repo")
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got := at.opt.Simple()
		if !got.ContextTimeoutEnabled {
			t.Errorf("%q: deadlines of contexts are ignored", text)
		}
		got.ContextTimeoutEnabled, got.DialerRetries, got.MaintNotificationsConfig = false, 0, nil
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%q: %+v, want %+v", text, *got, want)
		}
	}
}

func TestConnectionErrors(t *testing.T) {
	const known = "client_name, db, health_check_interval, max_connections, password, socket_connect_timeout, socket_timeout, " +
		"ssl, ssl_ca_certs, ssl_cert_reqs, ssl_certfile, ssl_check_hostname, ssl_keyfile, username"
	const begin = "must begin with host:port, followed by parameters as in localhost:6379,ssl=true; URLs are not understood"
	for text, want := range map[string]string{
		"":                             "names no server: begin with host:port",
		"password=secret":              "names no server: begin with host:port",
		"redis://u:secret@h:6379/0":    begin,
		"::1":                          begin,
		":6379":                        begin,
		"h:":                           begin,
		"h:secret":                     begin,
		"h:99999,password=secret":      "node 1: the port must be at most 65535",
		"h:1,xyz=secret":               `parameter "xyz" is not known; known are ` + known,
		"h:1,pasword=secret":           `parameter "pasword" is not known; did you mean password?`,
		"h:1,db=secret":                "parameter db: must be an integer of at least 0",
		"h:1,db=-1":                    "parameter db: must be an integer of at least 0",
		"h:1,db=1.5":                   "parameter db: must be an integer of at least 0",
		"h:1,max_connections=0":        "parameter max_connections: must be an integer of at least 1",
		"h:1,password={}":              "parameter password: must be a text",
		"h:1,socket_timeout=secret":    "parameter socket_timeout: must be a number of seconds above 0, or null for no limit",
		"h:1,socket_timeout=-1":        "parameter socket_timeout: must be a number of seconds above 0, or null for no limit",
		"h:1,ssl=False":                "parameter ssl: must be true or false, in small letters",
		"h:1,ssl=[]":                   "parameter ssl: must be true or false, in small letters",
		"h:1,ssl_cert_reqs=secret":     "parameter ssl_cert_reqs: must be none, optional or required",
		"h:1,ssl_cert_reqs=[]":         "parameter ssl_cert_reqs: must be none, optional or required",
		"h:1,ssl=true,ssl_keyfile=k":   "parameter ssl_keyfile: needs ssl_certfile",
		"h:1,ssl=true,ssl_ca_certs=no": "parameter ssl_ca_certs: open /repo/no: no such file or directory",
		"h:1,ssl=true,ssl_certfile=no": "parameters ssl_certfile and ssl_keyfile: open /repo/no: no such file or directory",
		"h:secret,db=x,ssl=no":         begin + "; parameter db: must be an integer of at least 0; parameter ssl: must be true or false, in small letters",
	} {
		_, err := findServers(single, "mymaster", text, "/repo")
		if err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
	for _, name := range parameters {
		if _, err := findServers(single, "", "h:1,"+name+"=x", ""); err != nil && strings.Contains(err.Error(), "not known") {
			t.Error(err)
		}
	}
}

func FuzzConnectionString(f *testing.F) {
	var golden struct {
		Cases []struct {
			Text string `json:"connection_string"`
		}
	}
	readJSON(f, "connection_strings.json", &golden)
	for _, c := range golden.Cases {
		f.Add(c.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		// A secret as the value of anything never shows.
		const secret = "S3cr3tV4lue"
		for _, text := range []string{text, text + ",password=" + secret, text + ",x=" + secret, strings.ReplaceAll(text, "=", "="+secret)} {
			for _, kind := range []string{single, cluster, sentinel} {
				at, err := findServers(kind, "mymaster", text, "/no such directory")
				if (at == nil) == (err == nil) {
					t.Fatalf("%q: %v, %v", text, at, err)
				}
				if err != nil && strings.Contains(err.Error(), secret) && !strings.Contains(text, "ssl_") {
					t.Fatalf("%q: %v", text, err)
				}
				if at != nil && strings.Contains(at.String(), secret) {
					t.Fatalf("%q: %v", text, at)
				}
			}
		}
	})
}

func TestServers(t *testing.T) {
	const sentinels = `s:1,t,sentinel_kwargs={"password":"p"},sentinel_kwargs={"username":"u"},`
	for _, c := range []struct {
		kind, text string
		want       redis.UniversalOptions
		replicas   bool
		name       string
	}{
		{single, "a:1,password=S3cr,etTail", redis.UniversalOptions{Addrs: []string{"a:1"}, Password: "S3cr"}, false, "a:1"},
		{cluster, "a:1,password=p,b:2", redis.UniversalOptions{Addrs: []string{"a:1", "b:2"}, Password: "p"}, false, "the cluster at a:1, b:2"},
		{single, "a:1,b:2,c", redis.UniversalOptions{Addrs: []string{"a:1"}}, false, "a:1"},
		{cluster, "a:1,b,db=0", redis.UniversalOptions{Addrs: []string{"a:1", "b:6379"}}, false, "the cluster at a:1, b:6379"},
		{
			cluster, "a:1,password=p,skip_full_coverage_check=true,require_full_coverage=false,read_from_replicas=true",
			redis.UniversalOptions{Addrs: []string{"a:1"}, Password: "p"}, true, "the cluster at a:1",
		},
		{
			sentinel, sentinels + "password=q,db=3,read_from_replicas=true",
			redis.UniversalOptions{
				Addrs: []string{"s:1", "t:26379"}, MasterName: "m", SentinelPassword: "p", SentinelUsername: "u", Password: "q", DB: 3,
			}, true, `the master "m" of the sentinels at s:1, t:26379`,
		},
	} {
		at, err := findServers(c.kind, "m", c.text, "")
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		at.opt.ContextTimeoutEnabled, at.opt.DialerRetries, at.opt.MaintNotificationsConfig = false, 0, nil
		if !reflect.DeepEqual(at.opt, c.want) || at.replicas != c.replicas || at.String() != c.name {
			t.Errorf("%s: %+v, replicas %t, %s; want %+v, %t, %s", c.text, at.opt, at.replicas, at, c.want, c.replicas, c.name)
		}
	}
	for _, c := range []struct{ kind, text, want string }{
		{cluster, "a:1,b:x", "node 2 must be host:port"},
		{cluster, "a:1,password=S3cr,etTail", "an item without a port follows a parameter: write nodes as host:port; a password with a comma cannot be written here"},
		{sentinel, "a:1,password=S3cr,etTail", "an item without a port follows a parameter: write nodes as host:port; a password with a comma cannot be written here"},
		{cluster, "a:1,db=1", "parameter db: must be 0: a cluster has no other"},
		{cluster, "a:1,read_from_replicas=maybe", "parameter read_from_replicas: must be true or false, in small letters"},
		{cluster, "a:1,read_from_replica=true", `parameter "read_from_replica" is not known; did you mean read_from_replicas?`},
		{sentinel, "a:1,sentinel_kwargs=secret", `parameter sentinel_kwargs: must be an object, as in sentinel_kwargs={"password": "..."}; for several members, repeat it`},
		{sentinel, `a:1,sentinel_kwargs={"secret":1}`, "parameter sentinel_kwargs: secret is not known; known are password, ssl, username"},
		{sentinel, `a:1,sentinel_kwargs={"password":[]}`, "parameter sentinel_kwargs: password must be a text"},
		{sentinel, `a:1,sentinel_kwargs={"ssl":true}`, "parameter sentinel_kwargs: ssl needs ssl=true, whose certificates it shares"},
	} {
		if _, err := findServers(c.kind, "m", c.text, ""); err == nil || err.Error() != c.want {
			t.Errorf("%s: error %v, want %s", c.text, err, c.want)
		}
	}
}
