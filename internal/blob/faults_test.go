package blob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver/gcsserver"
	"github.com/feastgo/feast/internal/testserver/s3server"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/gcs"
	"github.com/feastgo/feast/registry/s3"
)

const project = "demo"

// wrongTag is in the condition of the write with which registry/s3 tries a store.
const wrongTag = `"00000000000000000000000000000000"`

// service is an object store, of which every request passes through a handler of the test.
type service struct {
	name    string
	start   func(t testing.TB, wrap func(http.Handler) http.Handler) (open func(bucket string) registry.Backend)
	slow    int    // status of a request too many
	slowed  string // and the body of the answer
	deny    string // body of a 403
	unknown string // body of a 401, or 403, for wrong credentials
}

var services = []service{
	{
		name: "s3", slow: http.StatusServiceUnavailable, slowed: `<Error><Code>SlowDown</Code></Error>`,
		deny:    `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`,
		unknown: `<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>`,
		start: func(t testing.TB, wrap func(http.Handler) http.Handler) func(string) registry.Backend {
			client := s3server.Client(t, s3server.Start(t, wrap))
			return func(bucket string) registry.Backend {
				b, err := s3.New(client, bucket, "path/registry.db", s3.Options{})
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
		},
	},
	{
		name: "gcs", slow: http.StatusTooManyRequests, slowed: `{"error": {"code": 429}}`,
		deny: `{"error": {"code": 403, "message": "no"}}`, unknown: `{"error": {"code": 401, "message": "who"}}`,
		start: func(t testing.TB, wrap func(http.Handler) http.Handler) func(string) registry.Backend {
			client := gcsserver.Client(t, gcsserver.Start(t, wrap))
			return func(bucket string) registry.Backend { return gcs.New(client, bucket, "path/registry.db") }
		},
	},
}

// each runs a test against every service. Its requests pass through the fault that the test sets.
func each(t *testing.T, test func(t *testing.T, s service, f *fault, open func(bucket string) registry.Backend)) {
	for _, s := range services {
		t.Run(s.name, func(t *testing.T) {
			f := new(fault)
			test(t, s, f, s.start(t, func(next http.Handler) http.Handler { f.next = next; return f }))
		})
	}
}

// fault stands in front of a server.
type fault struct {
	next http.Handler
	do   atomic.Pointer[func(w http.ResponseWriter, r *http.Request, next http.Handler)]
}

func (f *fault) set(do func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	f.do.Store(&do)
}
func (f *fault) clear() { f.do.Store(nil) }

func (f *fault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if do := f.do.Load(); do != nil {
		(*do)(w, r, f.next)
		return
	}
	f.next.ServeHTTP(w, r)
}

// writing reports whether a request writes an object.
func writing(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodPost }

// tries reports whether a write tries a store, and is to be refused.
func tries(r *http.Request) bool { return r.Header.Get("If-Match") == wrongTag }

// refuse answers with a status.
func refuse(w http.ResponseWriter, status int, body string) {
	if strings.HasPrefix(body, "<") {
		w.Header().Set("Content-Type", "application/xml")
	} else {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// cut ends the connection without an answer.
func cut() { panic(http.ErrAbortHandler) }

// increment counts up in the registry, and in runs how often its function ran.
func increment(ctx context.Context, b registry.Backend, name string, runs *int) error {
	_, err := b.Update(ctx, project, func(tx registry.Tx) error {
		*runs++
		n := 0
		r, err := tx.Get(ctx, registry.ID{Kind: registry.KindEntity, Project: project, Name: name})
		switch {
		case err == nil:
			o, err := registry.Decode(r)
			if err != nil {
				return err
			}
			if n, err = strconv.Atoi(o.(*registry.Entity).Description); err != nil {
				return err
			}
		case !errors.Is(err, feasterr.ErrNotFound):
			return err
		}
		if r, err = registry.Encode(project, &registry.Entity{Name: name, Description: strconv.Itoa(n + 1)}); err != nil {
			return err
		}
		return tx.Put(ctx, r)
	})
	return err
}

// counted returns what the registry counts under name.
func counted(t *testing.T, b registry.Backend, name string) int {
	t.Helper()
	state, _, err := b.Load(t.Context(), "")
	if errors.Is(err, feasterr.ErrNotFound) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range state.Records {
		if r.Kind == registry.KindEntity && r.Name == name {
			o, err := registry.Decode(r)
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.Atoi(o.(*registry.Entity).Description)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// begin makes a registry that counts 1.
func begin(t *testing.T, b registry.Backend) {
	t.Helper()
	runs := 0
	if err := increment(t.Context(), b, "n", &runs); err != nil {
		t.Fatal(err)
	}
}

// A store that refuses for a while, or fails before it does anything, is asked again.
func TestBusy(t *testing.T) {
	each(t, func(t *testing.T, s service, f *fault, open func(string) registry.Backend) {
		b := open("bucket")
		begin(t, b)
		for name, answer := range map[string]func(http.ResponseWriter){
			"slow down": func(w http.ResponseWriter) { refuse(w, s.slow, s.slowed) },
			"failure":   func(w http.ResponseWriter) { refuse(w, http.StatusInternalServerError, "") },
			"cut":       func(http.ResponseWriter) { cut() },
		} {
			before := counted(t, b, "n")
			var reads, writes atomic.Int32
			f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				count := &reads
				if writing(r) {
					count = &writes
				}
				if count.Add(1) <= 2 {
					answer(w)
					return
				}
				next.ServeHTTP(w, r)
			})
			runs := 0
			err := increment(t.Context(), b, "n", &runs)
			f.clear()
			if n := counted(t, b, "n"); err != nil || runs != 1 || n != before+1 {
				t.Errorf("%s: %v, %d runs, %d after %d", name, err, runs, n, before)
			}
			if writes.Load() != 3 {
				t.Errorf("%s: %d writes", name, writes.Load())
			}
		}
	})
}

// A store that stays down is an error, and nothing changed.
func TestDown(t *testing.T) {
	each(t, func(t *testing.T, s service, f *fault, open func(string) registry.Backend) {
		b := open("bucket")
		begin(t, b)
		_, token, err := b.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var writes atomic.Int32
		runs := 0
		f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if writing(r) {
				writes.Add(1)
				refuse(w, http.StatusBadGateway, "")
				return
			}
			next.ServeHTTP(w, r)
		})
		err = increment(t.Context(), b, "n", &runs)
		if !errors.Is(err, feasterr.ErrUnavailable) || !strings.Contains(err.Error(), "the outcome is unknown: the change was sent") {
			t.Error(err)
		}
		if runs != 1 || writes.Load() != 5 {
			t.Errorf("%d runs, %d writes", runs, writes.Load())
		}
		f.set(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { refuse(w, s.slow, s.slowed) })
		if _, _, err := b.Load(t.Context(), token); !errors.Is(err, feasterr.ErrUnavailable) ||
			!strings.HasPrefix(err.Error(), `reading registry "`) {
			t.Error(err)
		}
		if err := b.Teardown(t.Context()); !errors.Is(err, feasterr.ErrUnavailable) || !strings.HasPrefix(err.Error(), "removing registry ") {
			t.Error(err)
		}
		f.clear()
		if state, now, err := b.Load(t.Context(), token); state != nil || now != token || err != nil {
			t.Errorf("%v, %q, %v", state, now, err)
		}
	})
}

// The store wrote and its answer was lost: reading back shows it.
func TestAnswerLost(t *testing.T) {
	each(t, func(t *testing.T, s service, f *fault, open func(string) registry.Backend) {
		b := open("bucket")
		begin(t, b)
		lost := func(after func(r *http.Request)) {
			var once sync.Once
			f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if writing(r) && !tries(r) {
					lose := false
					once.Do(func() { lose = true })
					if lose {
						next.ServeHTTP(httptest.NewRecorder(), r)
						after(r)
						cut()
					}
				}
				next.ServeHTTP(w, r)
			})
		}
		runs := 0
		lost(func(*http.Request) {})
		if err := increment(t.Context(), b, "n", &runs); err != nil || runs != 1 {
			t.Errorf("%v, %d runs", err, runs)
		}
		f.clear()
		if n := counted(t, b, "n"); n != 2 {
			t.Errorf("counted %d", n)
		}

		// The caller gives up just then.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		lost(func(*http.Request) { cancel() })
		if err := increment(ctx, b, "n", &runs); err != nil {
			t.Errorf("a write that took place: %v", err)
		}
		f.clear()
		if n := counted(t, b, "n"); n != 3 {
			t.Errorf("counted %d", n)
		}

		// Another writer builds on it before it is read back.
		other, others := open("bucket"), 0
		lost(func(*http.Request) {
			f.clear()
			if err := increment(t.Context(), other, "theirs", &others); err != nil {
				t.Error(err)
			}
		})
		runs = 0
		err := increment(t.Context(), b, "n", &runs)
		if !errors.Is(err, feasterr.ErrUnavailable) || !strings.Contains(err.Error(), "the outcome is unknown") || runs != 1 {
			t.Errorf("%v, %d runs", err, runs)
		}
		if n, theirs := counted(t, b, "n"), counted(t, b, "theirs"); n != 4 || theirs != 1 {
			t.Errorf("%d, %d", n, theirs)
		}
	})
}

// Another writer is quicker: fn runs again on what that one wrote.
func TestConflict(t *testing.T) {
	each(t, func(t *testing.T, _ service, _ *fault, open func(string) registry.Backend) {
		b, other := open("bucket"), open("bucket")
		begin(t, b)
		for round := range 3 {
			runs, others := 0, 0
			_, err := b.Update(t.Context(), project, func(tx registry.Tx) error {
				if runs++; runs <= 2 {
					if err := increment(t.Context(), other, "theirs", &others); err != nil {
						return err
					}
				}
				r, err := registry.Encode(project, &registry.Entity{Name: "ours", Description: strconv.Itoa(round + 1)})
				return errors.Join(err, tx.Put(t.Context(), r))
			})
			if err != nil || runs != 3 {
				t.Errorf("%v, %d runs", err, runs)
			}
			if ours, theirs := counted(t, b, "ours"), counted(t, b, "theirs"); ours != round+1 || theirs != 2*(round+1) {
				t.Errorf("%d, %d", ours, theirs)
			}
		}
		// The registry went, and came, meanwhile.
		if err := b.Teardown(t.Context()); err != nil {
			t.Fatal(err)
		}
		runs, others := 0, 0
		_, err := b.Update(t.Context(), project, func(tx registry.Tx) error {
			var err error
			switch runs++; runs {
			case 1:
				err = increment(t.Context(), other, "theirs", &others)
			case 2:
				err = other.Teardown(t.Context())
			}
			r, encodeErr := registry.Encode(project, &registry.Entity{Name: "ours", Description: "1"})
			return errors.Join(err, encodeErr, tx.Put(t.Context(), r))
		})
		if ours, theirs := counted(t, b, "ours"), counted(t, b, "theirs"); err != nil || runs != 3 || ours != 1 || theirs != 0 {
			t.Errorf("%v, %d runs, %d, %d", err, runs, ours, theirs)
		}
	})
}

func TestRefused(t *testing.T) {
	each(t, func(t *testing.T, s service, f *fault, open func(string) registry.Backend) {
		b := open("bucket")
		begin(t, b)
		unknown := http.StatusUnauthorized
		if s.name == "s3" {
			unknown = http.StatusForbidden
		}
		for _, c := range []struct {
			status     int
			body       string
			class      error
			read, text string
		}{
			{http.StatusForbidden, s.deny, feasterr.ErrDenied, "permission denied: the identity needs ", "permission denied: the identity needs "},
			{unknown, s.unknown, feasterr.ErrUnauthenticated, "the credentials are not accepted", "the credentials are not accepted"},
		} {
			var requests atomic.Int32
			f.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
				requests.Add(1)
				refuse(w, c.status, c.body)
			})
			if _, _, err := b.Load(t.Context(), ""); !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.read) {
				t.Error("Load:", err)
			}
			runs := 0
			if err := increment(t.Context(), b, "n", &runs); !errors.Is(err, c.class) || runs != 0 || !strings.Contains(err.Error(), " was not changed: ") {
				t.Error("Update:", err)
			}
			if err := b.Teardown(t.Context()); !errors.Is(err, c.class) {
				t.Error("Teardown:", err)
			}
			if requests.Load() != 3 {
				t.Errorf("%d requests: an answer like this is final", requests.Load())
			}
			f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if writing(r) {
					refuse(w, c.status, c.body)
					return
				}
				next.ServeHTTP(w, r)
			})
			if err := increment(t.Context(), b, "n", &runs); !errors.Is(err, c.class) || runs != 1 || !strings.Contains(err.Error(), " was not changed: ") {
				t.Error("Update:", err)
			}
		}
		f.clear()
		if n := counted(t, b, "n"); n != 1 {
			t.Errorf("counted %d", n)
		}

		none := open("nosuch")
		var missing *feasterr.NotFoundError
		if _, _, err := none.Load(t.Context(), ""); !errors.As(err, &missing) || missing.Kind != "bucket" || missing.Name != "nosuch" {
			t.Error("Load:", err)
		}
		runs := 0
		if err := increment(t.Context(), none, "n", &runs); !errors.As(err, &missing) || missing.Kind != "bucket" || runs > 1 {
			t.Error("Update:", err)
		}
		if err := none.Teardown(t.Context()); err != nil {
			t.Error("Teardown:", err)
		}
		if err := b.Teardown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.Load(t.Context(), ""); !errors.As(err, &missing) || missing.Kind != "registry" ||
			!strings.HasSuffix(missing.Name, "://bucket/path/registry.db") {
			t.Error("Load:", err)
		}
	})
}

// A body that ends early is read again; one that always does is an error.
func TestTruncated(t *testing.T) {
	each(t, func(t *testing.T, s service, f *fault, open func(string) registry.Backend) {
		b := open("bucket")
		begin(t, b)
		var left atomic.Int32
		f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if left.Add(-1) < 0 || writing(r) {
				next.ServeHTTP(w, r)
				return
			}
			whole := httptest.NewRecorder()
			next.ServeHTTP(whole, r)
			maps.Copy(w.Header(), whole.Header())
			body := whole.Body.Bytes()
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.WriteHeader(whole.Code)
			_, _ = w.Write(body[:len(body)/2])
			_ = http.NewResponseController(w).Flush()
			cut()
		})
		left.Store(2)
		if n := counted(t, b, "n"); n != 1 {
			t.Errorf("counted %d", n)
		}
		if s.name == "gcs" { // Google's client asks for the rest, and would in the end have all
			return
		}
		left.Store(1000)
		if _, _, err := b.Load(t.Context(), ""); !errors.Is(err, feasterr.ErrUnavailable) {
			t.Error(err)
		}
		if left.Load() < 990 {
			t.Errorf("%d requests", 1000-left.Load())
		}
	})
}

// The context of the caller bounds all, a store that does not answer included.
func TestSlow(t *testing.T) {
	each(t, func(t *testing.T, _ service, f *fault, open func(string) registry.Backend) {
		b := open("bucket")
		begin(t, b)
		f.set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done(); cut() })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, _, err := b.Load(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("Load:", err)
		}
		if err := b.Teardown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("Teardown:", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if writing(r) {
				f.clear()
				_, _ = io.Copy(io.Discard, r.Body) // before, the server does not notice that the client has gone
				cancel()
				<-r.Context().Done()
				cut()
			}
			next.ServeHTTP(w, r)
		})
		runs := 0
		if err := increment(ctx, b, "n", &runs); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the outcome is unknown: the change was sent") {
			t.Error("Update:", err)
		}
		if n := counted(t, b, "n"); n != 1 {
			t.Errorf("counted %d", n)
		}
	})
}

// A file that is no registry is an error, and is not written over.
func TestGarbage(t *testing.T) {
	each(t, func(t *testing.T, s service, f *fault, open func(string) registry.Backend) {
		b := open("bucket")
		begin(t, b)
		f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if writing(r) {
				t.Errorf("%s %s", r.Method, r.URL)
			}
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("X-Goog-Generation", "1")
			_, _ = w.Write([]byte("registry: data/registry.db\n"))
		})
		if _, _, err := b.Load(t.Context(), ""); !errors.Is(err, feasterr.ErrInvalid) || strings.Count(err.Error(), "bucket/path/registry.db") != 1 {
			t.Error(err)
		}
		runs := 0
		if err := increment(t.Context(), b, "n", &runs); !errors.Is(err, feasterr.ErrInvalid) || runs > 0 || strings.Count(err.Error(), "bucket/path/registry.db") != 1 {
			t.Error(err)
		}
	})
}

// Eight writers, each with a handle of its own, lose nothing.
func TestWriters(t *testing.T) {
	each(t, func(t *testing.T, _ service, _ *fault, open func(string) registry.Backend) {
		const writers = 8
		rounds := 20
		if os.Getenv("FEAST_TEST_FULL") != "" {
			rounds = 200
		}
		var runs [writers]int
		var wg sync.WaitGroup
		start := time.Now()
		for writer := range writers {
			b := open("bucket")
			wg.Go(func() {
				for range rounds {
					for _, name := range []string{"n", fmt.Sprint("n", writer)} {
						if err := increment(t.Context(), b, name, &runs[writer]); err != nil {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		total := 0
		for writer := range writers {
			total += runs[writer]
			if n := counted(t, open("bucket"), fmt.Sprint("n", writer)); n != rounds {
				t.Errorf("writer %d: %d of %d", writer, n, rounds)
			}
		}
		if n := counted(t, open("bucket"), "n"); n != writers*rounds {
			t.Errorf("%d of %d", n, writers*rounds)
		}
		t.Logf("%d updates, %d conflicts, %s", 2*writers*rounds, total-2*writers*rounds, time.Since(start))
	})
}

// refuseWrites lets some writes pass and refuses the others.
func refuseWrites(s service, pass int32) func(w http.ResponseWriter, r *http.Request, next http.Handler) {
	var writes atomic.Int32
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if writing(r) && !tries(r) && writes.Add(1) > pass {
			refuse(w, http.StatusForbidden, s.deny)
			return
		}
		next.ServeHTTP(w, r)
	}
}
