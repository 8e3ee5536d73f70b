package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
)

// moving is a store whose object is another one whenever it is written.
type moving struct{ gets, puts int }

func (m *moving) Get(context.Context, string) (Object, error) { m.gets++; return Object{}, ErrMissing }
func (m *moving) Put(context.Context, []byte, Object) (string, error) {
	m.puts++
	return "", ErrMoved
}
func (m *moving) Delete(context.Context) error { return nil }

func change(t *testing.T, ctx context.Context, r *Registry) error {
	t.Helper()
	record, err := registry.Encode("demo", &registry.Entity{Name: "driver"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Update(ctx, "demo", func(tx registry.Tx) error { return tx.Put(ctx, record) })
	return err
}

// Others that never stop are a conflict, after a while in which each pause may be longer.
func TestConflicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(moving)
		start := time.Now()
		err := change(t, t.Context(), New("s3://bucket/key", m))
		if !errors.Is(err, feasterr.ErrConflict) ||
			err.Error() != `registry "s3://bucket/key" was not changed: other writers were quicker, 50 times: conflict` {
			t.Error(err)
		}
		if took := time.Since(start); m.gets != 50 || m.puts != 50 || took < 5*time.Second || took > 100*time.Second {
			t.Errorf("read %d times, wrote %d times in %s", m.gets, m.puts, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := change(t, ctx, New("s3://bucket/key", m)); !errors.Is(err, context.DeadlineExceeded) ||
			!strings.HasPrefix(err.Error(), `registry "s3://bucket/key" was not changed: `) {
			t.Error(err)
		}
	})
}

// scripted is a store whose writes go as told, one after the other; the last one goes on for ever.
type scripted struct {
	held    Object
	version int
	script  []func(s *scripted, data []byte, was Object) error
	late    []func() // writes that are on their way
	puts    int
	down    bool // for reading
}

func (s *scripted) Get(context.Context, string) (Object, error) {
	if s.down {
		return Object{}, errNoAnswer
	}
	if s.held.Version == "" {
		return Object{}, ErrMissing
	}
	return s.held, nil
}

func (s *scripted) Put(_ context.Context, data []byte, was Object) (string, error) {
	step := s.script[min(s.puts, len(s.script)-1)]
	s.puts++
	if err := step(s, data, was); err != nil {
		return "", err
	}
	return s.held.Version, nil
}

func (s *scripted) Delete(context.Context) error { return nil }

func (s *scripted) write(data []byte, was Object) error {
	if s.held.Version != was.Version {
		return ErrMoved
	}
	s.version++
	s.held = Object{Data: data, Version: fmt.Sprint(s.version)}
	return nil
}

// What happens to a write.
var (
	errNoAnswer = fmt.Errorf("%w: reset", feasterr.ErrUnavailable)

	answered = (*scripted).write
	stored   = func(s *scripted, data []byte, was Object) error { // and the answer is lost
		_ = s.write(data, was)
		return errNoAnswer
	}
	delayed = func(s *scripted, data []byte, was Object) error {
		s.late = append(s.late, func() { _ = s.write(data, was) })
		return errNoAnswer
	}
	arrives = func(s *scripted, data []byte, was Object) error { // what was delayed, first
		for _, write := range s.late {
			write()
		}
		return s.write(data, was)
	}
	overtaken = func(s *scripted, data []byte, was Object) error {
		_ = s.write([]byte("of somebody else"), was)
		return s.write(data, was)
	}
	refused = func(*scripted, []byte, Object) error { return feasterr.ErrDenied }
	busy    = func(*scripted, []byte, Object) error { return Untouched{errNoAnswer} }
	nobody  = func(*scripted, []byte, Object) error {
		return fmt.Errorf("%w: %w", feasterr.ErrUnavailable, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	}
	deaf = func(s *scripted, _ []byte, _ Object) error { s.down = true; return errNoAnswer }
)

// A write that was sent and not answered may be stored at any time: it is reported as not stored only when it was never
// sent.
func TestOutcome(t *testing.T) {
	const unchanged, unknown = "was not changed", "the outcome is unknown: the change was sent, and may have been stored or may still be; apply the same again"
	type steps []func(*scripted, []byte, Object) error
	for name, c := range map[string]struct {
		script steps
		puts   int
		want   string // in the error; empty: none
		class  error
	}{
		"answered":                       {steps{answered}, 1, "", nil},
		"refused":                        {steps{refused}, 1, unchanged, feasterr.ErrDenied},
		"busy for ever":                  {steps{busy}, failures, unchanged, feasterr.ErrUnavailable},
		"busy for a while":               {steps{busy, busy, answered}, 3, "", nil},
		"nobody there":                   {steps{nobody}, failures, unchanged, feasterr.ErrUnavailable},
		"stored without an answer":       {steps{stored}, 1, "", nil},
		"delayed for ever":               {steps{delayed}, failures, unknown, feasterr.ErrUnavailable},
		"delayed, then answered":         {steps{delayed, answered}, 2, "", nil},
		"delayed, then it arrives":       {steps{delayed, arrives}, 2, "", nil},
		"delayed, then refused":          {steps{delayed, refused}, 2, unknown, feasterr.ErrDenied},
		"delayed, then nobody there":     {steps{delayed, nobody}, failures, unknown, feasterr.ErrUnavailable},
		"delayed, then busy":             {steps{delayed, busy}, failures, unknown, feasterr.ErrUnavailable},
		"busy, then delayed":             {steps{busy, delayed}, failures, unknown, feasterr.ErrUnavailable},
		"delayed, then somebody else":    {steps{delayed, overtaken}, 2, unknown, feasterr.ErrUnavailable},
		"no answer, to readers neither":  {steps{deaf}, 1, unknown, feasterr.ErrUnavailable},
		"refused while it is on its way": {steps{busy, delayed, refused}, 3, unknown, feasterr.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scripted{script: c.script}
				err := change(t, t.Context(), New("s3://bucket/key", s))
				switch {
				case c.want == "" && (err != nil || s.held.Version != "1"):
					t.Errorf("%v, version %q", err, s.held.Version)
				case c.want != "" && (!errors.Is(err, c.class) || !strings.Contains(err.Error(), c.want)):
					t.Error(err)
				}
				if s.puts != c.puts {
					t.Errorf("%d writes", s.puts)
				}
			})
		})
	}
}

// The caller gives up between two attempts, or while the first is under way.
func TestGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		first func(*scripted, []byte, Object) error
		want  string
	}{
		"after a write that is on its way": {delayed, "the outcome is unknown"},
		"after one that nobody took":       {nobody, "was not changed"},
		"after one that was stored":        {stored, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s := &scripted{script: []func(*scripted, []byte, Object) error{func(s *scripted, data []byte, was Object) error {
					cancel()
					return c.first(s, data, was)
				}}}
				err := change(t, ctx, New("s3://bucket/key", s))
				if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), c.want)) {
					t.Error(err)
				}
				if s.puts != 1 {
					t.Errorf("%d writes", s.puts)
				}
			})
		})
	}
}

// silent is a store that takes a request and never answers.
type silent struct{ requests int }

func (s *silent) wait(ctx context.Context) error {
	s.requests++
	<-ctx.Done()
	return fmt.Errorf("%w: %w", feasterr.ErrUnavailable, ctx.Err())
}

func (s *silent) Get(ctx context.Context, _ string) (Object, error) { return Object{}, s.wait(ctx) }
func (s *silent) Put(ctx context.Context, _ []byte, _ Object) (string, error) {
	return "", s.wait(ctx)
}
func (s *silent) Delete(ctx context.Context) error { return s.wait(ctx) }

// A store that never answers is an error in the end, also for callers without a deadline.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(silent)
		start := time.Now()
		_, _, err := New("gs://bucket/key", s).Load(t.Context(), "")
		if !errors.Is(err, feasterr.ErrUnavailable) || s.requests != failures || time.Since(start) > failures*patience+10*time.Second {
			t.Errorf("%v after %d requests in %s", err, s.requests, time.Since(start))
		}
	})
}

func TestReadAll(t *testing.T) {
	for _, c := range []struct {
		body string
		size int64
		want error
	}{{"abc", 3, nil}, {"abc", -1, nil}, {"abc", 1 << 40, nil}, {"abc", 4, io.ErrUnexpectedEOF}, {"", 4, io.ErrUnexpectedEOF}, {"", 0, nil}} {
		got, err := ReadAll(strings.NewReader(c.body), c.size)
		if !errors.Is(err, c.want) || err == nil && string(got) != c.body {
			t.Errorf("%q of %d: %q, %v", c.body, c.size, got, err)
		}
	}
	if _, err := ReadAll(strings.NewReader("abcd"), 3); err == nil || err.Error() != "the body is longer than the 3 bytes it was to have" {
		t.Error(err)
	}
	boom := errors.New("the checksum is wrong") // which readers notice when they have read all
	if _, err := ReadAll(io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(boom)), 3); !errors.Is(err, boom) {
		t.Error(err)
	}
}

func TestSplit(t *testing.T) {
	for url, want := range map[string][2]string{
		"s3://bucket/key": {"bucket", "key"}, "S3://bucket//a/b%20c": {"bucket", "a/b%20c"}, "gs://b/a b.db": {"b", "a b.db"},
	} {
		if bucket, key, err := Split("s3", url); err != nil || bucket != want[0] || key != want[1] {
			t.Errorf("%s: %q, %q, %v", url, bucket, key, err)
		}
	}
	for _, url := range []string{"", "r.db", "s3://", "s3://b", "s3://b/", "s3:///k", "s3://u:p@b/k", "s3://b:9/k", "s3://b/k?x", "s3://b/k#x"} {
		if _, _, err := Split("s3", url); !errors.Is(err, feasterr.ErrInvalid) || url != "" && strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
