package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
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
