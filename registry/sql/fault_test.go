package sql_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
	registrysql "github.com/feastgo/feast/registry/sql"
	"github.com/feastgo/feast/types"
)

// proxy stands between a test and a server, and fails as networks do.
type proxy struct {
	t      testing.TB
	server string

	mu         sync.Mutex
	listener   net.Listener
	conns      map[net.Conn]bool
	commits    bool // keep the answer to a commit from the client
	committing bool
	wg         sync.WaitGroup
}

// through returns a proxy for a URL, and the URL through it.
func through(t testing.TB, url string) (*proxy, string) {
	t.Helper()
	u, err := registrysql.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, server: net.JoinHostPort(u.Host, u.Port), conns: map[net.Conn]bool{}}
	addr := p.up("127.0.0.1:0")
	t.Cleanup(func() { p.down(); p.wg.Wait() })
	return p, strings.Replace(url, p.server, addr, 1)
}

// up listens and returns where.
func (p *proxy) up(addr string) string {
	p.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	p.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", p.server)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.mu.Lock()
			p.conns[client], p.conns[server] = true, true
			p.mu.Unlock()
			p.wg.Go(func() { p.copy(server, client, true) })
			p.wg.Go(func() { p.copy(client, server, false) })
		}
	})
	return l.Addr().String()
}

// commit is the command, and no level of isolation.
var commit = regexp.MustCompile(`(?i)commit([^t]|$)`)

// copy passes bytes on until one side ends.
func (p *proxy) copy(to, from net.Conn, toServer bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		if p.commits && toServer && commit.Match(buf[:n]) {
			p.committing = true
		}
		answered := p.committing && !toServer
		p.mu.Unlock()
		if answered {
			return // and the client never hears of it
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

// down ends all connections and accepts none.
func (p *proxy) down() {
	p.mu.Lock()
	_ = p.listener.Close()
	p.mu.Unlock()
	p.cut()
}

func entity(t testing.TB, name, description string) registry.Record {
	t.Helper()
	r, err := registry.Encode("demo", &registry.Entity{Name: name, Description: description})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// put stores an entity.
func put(t testing.TB, b *registrysql.Backend, name, description string) {
	t.Helper()
	if err := tryPut(t, b, name, description); err != nil {
		t.Fatal(err)
	}
}

func tryPut(t testing.TB, b *registrysql.Backend, name, description string) error {
	t.Helper()
	_, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error { return tx.Put(t.Context(), entity(t, name, description)) })
	return err
}

// descriptionOf returns what is stored of an entity, "" when it is not there.
func descriptionOf(t testing.TB, b *registrysql.Backend, name string) string {
	t.Helper()
	state, _, err := b.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range state.Records {
		if r.Kind == registry.KindEntity && r.Name == name {
			o, err := registry.Decode(r)
			if err != nil {
				t.Fatal(err)
			}
			return o.(*registry.Entity).Description
		}
	}
	return ""
}

// While the database is away the old snapshot serves; there is none yet, the error says why.
func TestDatabaseDown(t *testing.T) {
	for _, s := range servers[1:] {
		t.Run(s.name, func(t *testing.T) {
			p, url := through(t, s.url(t))
			put(t, openURL(t, url, "demo", nil), "driver", "one")
			p.mu.Lock()
			addr := p.listener.Addr().String()
			p.mu.Unlock()
			p.down()

			b, err := registrysql.OpenConfig(configOf(url, "demo", nil))
			if err != nil {
				t.Fatal("opening connects to nothing: ", err)
			}
			r := registry.New(b, "demo", registry.Options{})
			defer r.Close()
			_, err = r.Snapshot(t.Context())
			if !errors.Is(err, feasterr.ErrUnavailable) || !feasterr.Retryable(err) || strings.Contains(err.Error(), "feast:feast") {
				t.Errorf("first load: %v", err)
			}
			if _, err := b.Update(t.Context(), "demo", nil); !errors.Is(err, feasterr.ErrUnavailable) {
				t.Errorf("update: %v", err)
			}

			p.up(addr)
			old, err := r.Snapshot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p.down()
			if _, err := r.Refresh(t.Context()); !errors.Is(err, feasterr.ErrUnavailable) {
				t.Errorf("refresh: %v", err)
			}
			if s, err := r.Snapshot(t.Context()); err != nil || s != old {
				t.Errorf("the old snapshot does not serve: %v", err)
			}
			if s := r.Stats(); s.LastError == nil || s.Loaded.IsZero() {
				t.Errorf("%+v", s)
			}

			p.up(addr)
			if s, err := r.Refresh(t.Context()); err != nil || s != old {
				t.Errorf("nothing changed: %v", err)
			}
		})
	}
}

// A connection that breaks within a transaction leaves nothing behind.
func TestConnectionLost(t *testing.T) {
	for _, s := range servers[1:] {
		t.Run(s.name, func(t *testing.T) {
			p, url := through(t, s.url(t))
			b := openURL(t, url, "demo", nil)
			put(t, b, "driver", "one")
			runs := 0
			_, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error {
				runs++
				p.cut()
				return errors.Join(tx.Put(t.Context(), entity(t, "driver", "two")), tx.Put(t.Context(), entity(t, "new", "two")))
			})
			if !errors.Is(err, feasterr.ErrUnavailable) || !strings.Contains(err.Error(), "not changed") || runs != 1 {
				t.Errorf("after %d runs: %v", runs, err)
			}
			if d, n := descriptionOf(t, b, "driver"), descriptionOf(t, b, "new"); d != "one" || n != "" {
				t.Errorf("stored are %q, %q", d, n)
			}
			put(t, b, "driver", "three")
			if d := descriptionOf(t, b, "driver"); d != "three" {
				t.Errorf("stored is %q", d)
			}
		})
	}
}

// A connection that breaks while the database commits: nobody can know, and the error says so.
func TestCommitUnknown(t *testing.T) {
	for _, s := range servers[1:] {
		t.Run(s.name, func(t *testing.T) {
			direct := s.url(t)
			p, url := through(t, direct)
			b := openURL(t, url, "demo", nil)
			put(t, b, "driver", "one")
			p.mu.Lock()
			p.commits = true
			p.mu.Unlock()
			runs := 0
			_, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error {
				runs++
				return tx.Put(t.Context(), entity(t, "driver", "two"))
			})
			if !errors.Is(err, feasterr.ErrUnavailable) || !strings.Contains(err.Error(), "may or may not have been stored") || runs != 1 {
				t.Errorf("after %d runs: %v", runs, err)
			}
			p.down()
			p.wg.Wait() // the server has answered
			if d := descriptionOf(t, openURL(t, direct, "demo", nil), "driver"); d != "two" {
				t.Errorf("stored is %q: the test did not break what it means to", d)
			}
		})
	}
}

// Feast takes no lock while it decides. What it writes meanwhile is not lost here.
func TestForeignWriter(t *testing.T) {
	for _, s := range servers[1:] {
		t.Run(s.name, func(t *testing.T) {
			url := s.url(t)
			b, foreign := openURL(t, url, "demo", nil), openURL(t, url, "demo", nil)
			put(t, b, "driver", "one")
			replace := func(name string) { // as Feast does, in a transaction of its own
				query := "UPDATE entities SET entity_proto = ? WHERE entity_name = ? AND project_id = 'demo'"
				if s.name == "PostgreSQL" {
					query = "UPDATE entities SET entity_proto = $1 WHERE entity_name = $2 AND project_id = 'demo'"
				}
				if _, err := foreign.DB().ExecContext(t.Context(), query, entity(t, name, rand()).Proto, name); err != nil {
					t.Error(err)
				}
			}
			insert := func(name string) {
				fill(t, foreign, s, "entities", []map[string]any{{
					"entity_name": name, "project_id": "demo", "last_updated_timestamp": int64(1), "entity_proto": entity(t, name, "Feast's").Proto,
				}})
			}

			for what, meanwhile := range map[string]func(){
				"an update": func() { replace("driver") },
				"an insert": func() { insert("new") },
			} {
				if _, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error {
					err := tx.Delete(t.Context(), entity(t, "new", "").ID)
					if errors.Is(err, feasterr.ErrNotFound) {
						err = nil
					}
					return err
				}); err != nil {
					t.Fatal(err)
				}
				var saw []string
				_, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error {
					text := ""
					for r, err := range tx.List(t.Context(), registry.KindEntity) {
						if err != nil {
							return err
						}
						o, err := registry.Decode(r)
						if err != nil {
							return err
						}
						text += o.(*registry.Entity).Description + " "
					}
					if saw = append(saw, text); len(saw) == 1 {
						meanwhile()
					}
					// What is put is not what is there, which would be no change.
					return errors.Join(tx.Put(t.Context(), entity(t, "driver", "ours at "+what)), tx.Put(t.Context(), entity(t, "new", "ours")))
				})
				if err != nil || len(saw) != 2 || saw[0] == saw[1] {
					t.Errorf("%s: saw %q, %v", what, saw, err)
				}
			}

			_, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error {
				replace("driver")
				return tx.Put(t.Context(), entity(t, "driver", "ours again"))
			})
			if !errors.Is(err, feasterr.ErrConflict) || !strings.Contains(err.Error(), "not changed") {
				t.Errorf("a writer that does not stop: %v", err)
			}
		})
	}
}

// rand returns another text with each call.
func rand() string { return time.Now().Format(time.RFC3339Nano) }

// A probe is one small query, which sees what others write, also within the same second.
func TestProbe(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		url := s.url(t)
		b, other := openURL(t, url, "demo", nil), openURL(t, url, "demo", nil)
		put(t, other, "driver", "one")
		_, token, err := b.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if b.Trusts() {
			t.Error("a time that was just seen is believed")
		}
		put(t, other, "driver", "two") // maybe within the same second
		state, second, err := b.Load(t.Context(), token)
		if err != nil || state == nil || second == token {
			t.Fatalf("%v, %q, %v", state, second, err)
		}
		b.Age(time.Minute) // the time was first seen a minute ago, and the registry read again since
		if state, again, err := b.Load(t.Context(), second); state != nil || again != second || err != nil {
			t.Errorf("%v, %q, %v", state, again, err)
		}
		if !b.Trusts() {
			t.Error("a time that has settled is not believed")
		}
		b.Age(time.Hour)
		if b.Trusts() {
			t.Error("a probe that was believed for an hour still is")
		}
		if _, _, err := b.Load(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		token = second
		// Another project is no concern of this one.
		other2 := openURL(t, url, "other", nil)
		if _, err := other2.Update(t.Context(), "other", func(tx registry.Tx) error {
			r, err := registry.Encode("other", &registry.Entity{Name: "theirs"})
			return errors.Join(err, tx.Put(t.Context(), r))
		}); err != nil {
			t.Fatal(err)
		}
		if state, again, err := b.Load(t.Context(), token); state != nil || again != token || err != nil {
			t.Errorf("%v, %q, %v", state, again, err)
		}
	})
}

// Every change of this library shows in a probe at once, also when clocks stand still, go back, or do not agree, and the time
// in feast_metadata is nobody's future.
func TestProbeClocks(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		url := s.url(t)
		reader, ahead, behind := openURL(t, url, "demo", nil), openURL(t, url, "demo", nil), openURL(t, url, "demo", nil)
		now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
		ahead.SetClock(func() time.Time { return now.Add(time.Hour) })
		behind.SetClock(func() time.Time { return now })
		put(t, behind, "driver", "first")
		seen := map[string]bool{}
		for i := range 20 {
			_, token, err := reader.Load(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			reader.Age(time.Minute)
			if _, _, err := reader.Load(t.Context(), ""); err != nil || !reader.Trusts() {
				t.Fatal("the probe is not believed", err)
			}
			writer := behind
			if i%5 == 2 {
				writer = ahead
			}
			put(t, writer, "driver", fmt.Sprint(i)) // in the same second of one of the clocks
			if state, _, err := reader.Load(t.Context(), token); err != nil || state == nil {
				t.Errorf("change %d is not seen: %v", i, err)
			}
			for _, row := range rowsOf(t, reader.DB(), "feast_metadata") {
				if value := row["metadata_value"].(string); row["metadata_key"] == "last_updated_timestamp" {
					if seen[value] {
						t.Errorf("value %s is written twice", value)
					}
					seen[value] = true
					want := now.Unix()
					if i >= 2 {
						want = now.Add(time.Hour).Unix()
					}
					if at := row["last_updated_timestamp"]; at != want || !strings.HasPrefix(value, fmt.Sprint(at)) {
						t.Errorf("change %d is of %v, %s", i, at, value)
					}
				}
			}
		}
	})
}

// What Feast writes shows in a probe although it leaves the time in feast_metadata alone, or writes the one that is there.
func TestProbeForeign(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		b := openURL(t, s.url(t), "demo", nil)
		clock := time.Now()
		b.SetClock(func() time.Time { clock = clock.Add(time.Second); return clock })
		put(t, b, "driver", "one")
		put(t, b, "customer", "one") // and after each case, or the value would be Feast's
		for what, write := range map[string]func(){
			"a version": func() {
				fill(t, b, s, "feature_view_version_history", []map[string]any{{
					"feature_view_name": "v", "project_id": "demo", "version_number": int64(1), "feature_view_type": "feature_view",
					"feature_view_proto": []byte{}, "created_timestamp": int64(1), "description": nil, "version_id": "",
				}})
			},
			"a key of a user": func() {
				fill(t, b, s, "feast_metadata", []map[string]any{
					{"project_id": "demo", "metadata_key": "custom", "metadata_value": "c", "last_updated_timestamp": int64(77)},
				})
			},
			"an update": func() {
				exec(t, b, "UPDATE entities SET entity_proto = 'x', last_updated_timestamp = 4000000000 WHERE entity_name = 'driver'")
			},
			"a deletion": func() { exec(t, b, "DELETE FROM entities WHERE entity_name = 'customer'") },
			"an update in the second in which a clock that was ahead has written": func() {
				exec(t, b, "UPDATE entities SET entity_proto = 'y' WHERE entity_name = 'driver'")
				exec(t, b, "UPDATE feast_metadata SET metadata_value = CAST(last_updated_timestamp AS CHAR(10)) "+
					"WHERE metadata_key = 'last_updated_timestamp'")
			},
		} {
			if _, _, err := b.Load(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			b.Age(time.Minute)
			_, token, err := b.Load(t.Context(), "")
			if err != nil || !b.Trusts() {
				t.Fatal("the probe is not believed", err)
			}
			if state, _, err := b.Load(t.Context(), token); err != nil || state != nil {
				t.Fatalf("%s: something changed before: %v", what, err)
			}
			write()
			if state, _, err := b.Load(t.Context(), token); err != nil || state == nil {
				t.Errorf("%s is not seen: %v", what, err)
			}
			put(t, b, "customer", what)
		}
	})
}

func exec(t testing.TB, b *registrysql.Backend, query string) {
	t.Helper()
	if _, err := b.DB().ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

// ctx bounds what waits for others.
func TestLockedOut(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		url := s.url(t)
		b, other := openURL(t, url, "demo", nil), openURL(t, url, "demo", nil)
		project, err := registry.Encode("demo", &registry.Project{Name: "demo"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error { return tx.Put(t.Context(), project) }); err != nil {
			t.Fatal(err)
		}
		_, err = b.Update(t.Context(), "demo", func(tx registry.Tx) error {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := other.Update(ctx, "demo", func(registry.Tx) error { return errors.New("ran") }); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a second writer: %v", err)
			}
			return tx.Put(t.Context(), entity(t, "driver", "one"))
		})
		if err != nil || descriptionOf(t, other, "driver") != "one" {
			t.Error(err)
		}
	})
}

// Objects that are large together are written in pieces: MySQL's packets have 1 MB, unless it is told otherwise.
func TestManyLargeViews(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		schema := make([]registry.Field, 300)
		for i := range schema {
			schema[i] = registry.Field{Name: fmt.Sprintf("feature_%d", i), Type: types.Float32}
		}
		b := openURL(t, s.url(t), "demo", nil)
		if _, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error {
			for i := range 300 {
				r, err := registry.Encode("demo", &registry.FeatureView{Name: fmt.Sprintf("view_%d", i), Schema: schema})
				if err := errors.Join(err, tx.Put(t.Context(), r)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}
