package feasterr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

var errCause = errors.New("cause")

var sentinels = []error{
	ErrNotFound, ErrInvalid, ErrConflict, ErrDenied, ErrUnauthenticated, ErrUnavailable, ErrUnsupported, ErrClosed, ErrPartial,
}

// TestErrors holds every type's text and class.
func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		err   error
		text  string
		class error // the only sentinel it is, may be nil
		cause bool  // whether it is errCause too
	}{
		{&NotFoundError{Kind: "feature view", Name: "x"}, `feature view "x" does not exist`, ErrNotFound, false},
		{
			&NotFoundError{Kind: "feature", Name: "conv", Project: "p", In: "feature view driver_stats", Near: []string{"conv_rate", "cond"}},
			`feature "conv" does not exist in feature view driver_stats in project "p"; did you mean "conv_rate" or "cond"?`, ErrNotFound, false,
		},
		{&RequestError{Column: "driver_id", Row: 2, Msg: "is null"}, `column "driver_id", row 2: is null`, ErrInvalid, false},
		{&RequestError{Column: "driver_id", Row: -1, Msg: "is bad", Err: errCause}, `column "driver_id": is bad: cause`, ErrInvalid, true},
		{&RequestError{Row: 0, Err: errCause}, `row 0: cause`, ErrInvalid, true},
		{&RequestError{Row: -1, Msg: "no rows"}, `no rows`, ErrInvalid, false},
		{Invalid("bad %d: %w", 5, errCause), "bad 5: cause", ErrInvalid, true},
		{Unsupported("no %s", "such"), "no such", ErrUnsupported, false},
		{Unavailable("down: %w", errCause), "down: cause", ErrUnavailable, true},
		{&TypeMismatchError{Column: "c", Want: "float32", Have: "Int64", Row: -1}, `column "c" is Int64 and cannot be read as float32`, ErrInvalid, false},
		{
			&TypeMismatchError{Column: "c", Want: "float32", Have: "Int64", Row: 0},
			`column "c", row 0: holds Int64, which cannot be read as float32 without loss`, ErrInvalid, false,
		},
		{
			&SchemaChangedError{Column: "c", Was: "Int64", Now: "String"},
			`the registry changed: column "c" of the prepared query was Int64 and is String now; prepare it again`, ErrConflict, false,
		},
		{&SchemaChangedError{Column: "c", Was: "Int64"}, `the registry changed: column "c" of the prepared query (Int64) is gone; prepare it again`, ErrConflict, false},
		{
			&SchemaChangedError{Err: errCause},
			`the registry changed and the prepared query no longer resolves, prepare it again: cause`, ErrConflict, true,
		},
		{&StoreError{Store: "redis", Op: "open", Err: errCause}, "redis: open: cause", nil, true},
		{&StoreError{Store: "redis", Op: "read", Table: "v", Err: Unavailable("%w", errCause)}, "redis: read v: cause", ErrUnavailable, true},
		{&PartialError{Views: map[string]error{"b": errCause, "a": errors.New("other")}}, "2 feature view(s) failed: a: other; b: cause", ErrPartial, true},
		{&MissingValueError{Column: "c", Row: 2, Status: "NULL_VALUE"}, `column "c", row 2: is required and has status NULL_VALUE`, ErrNotFound, false},
		{&TransformError{View: "v", Row: 3, Err: errCause}, `on-demand feature view "v", row 3: cause`, nil, true},
		{&TransformError{View: "v", Row: -1, Err: Invalid("%w", errCause)}, `on-demand feature view "v": cause`, ErrInvalid, true},
		{&NotLinkedError{Room: "online store", Type: "redis", Import: "m/redis"}, `online store "redis" is not linked in: import _ "m/redis"`, ErrUnsupported, false},
		{&NotLinkedError{Room: "registry", Type: "x", Known: []string{"file", "sql"}}, `this version has no driver for registry type "x"; linked in: file, sql`, ErrUnsupported, false},
		{&NotLinkedError{Room: "registry", Type: "x"}, `this version has no driver for registry type "x"; linked in: none`, ErrUnsupported, false},
	} {
		if got := tc.err.Error(); got != tc.text {
			t.Errorf("text %s\nwant %s", got, tc.text)
		}
		wrapped := fmt.Errorf("while testing: %w", tc.err)
		for _, s := range sentinels {
			if errors.Is(wrapped, s) != (s == tc.class) { //nolint:errorlint // which sentinel it is
				t.Errorf("%s: is %q: %t", tc.text, s, s != tc.class) //nolint:errorlint // which sentinel it is
			}
		}
		if errors.Is(wrapped, errCause) != tc.cause {
			t.Errorf("%s: is its cause: %t", tc.text, !tc.cause)
		}
	}

	err := fmt.Errorf("%w", &PartialError{Views: map[string]error{
		"b": &NotFoundError{Name: "b"},
		"a": &NotFoundError{Name: "a"},
		"c": &StoreError{Store: "redis", Err: errCause},
	}})
	var notFound *NotFoundError
	var store *StoreError
	if !errors.As(err, &notFound) || notFound.Name != "a" || !errors.As(err, &store) || store.Store != "redis" {
		t.Errorf("As finds %v and %v", notFound, store)
	}
}

func TestRetryable(t *testing.T) {
	timeout := &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errCause, false},
		{Unavailable("down"), true},
		{&StoreError{Store: "redis", Op: "read", Err: Unavailable("down")}, true},
		{io.EOF, true},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, true},
		{syscall.ECONNRESET, true},
		{syscall.EPIPE, true},
		{timeout, true},
		{&net.DNSError{IsTimeout: true}, true},
		{&net.DNSError{IsNotFound: true}, false},
		{context.Canceled, false},
		{context.DeadlineExceeded, false},
		{fmt.Errorf("read: %w", errors.Join(context.DeadlineExceeded, timeout)), false},
		{Unavailable("%w", context.Canceled), false},
		{Invalid("bad: %w", io.EOF), false},
		{&NotFoundError{}, false},
		{&NotLinkedError{}, false},
		{ErrConflict, false},
		{ErrDenied, false},
		{ErrUnauthenticated, false},
		{ErrUnsupported, false},
		{fmt.Errorf("%w: %w", ErrClosed, io.EOF), false},
		{&PartialError{Views: map[string]error{"a": Unavailable("down")}}, true},
		{&PartialError{Views: map[string]error{"a": Unavailable("down"), "b": ErrDenied}}, false},
	} {
		if got := Retryable(tc.err); got != tc.want {
			t.Errorf("Retryable(%v) = %t", tc.err, got)
		}
	}
}

func TestNear(t *testing.T) {
	for _, tc := range []struct {
		name, names, want string // separated by spaces
	}{
		{"conv_rate", "acc_rate conv_rate_v2 conv_rates Conv_Rate", "Conv_Rate conv_rates conv_rate_v2"}, // case, edits
		{"drvier_stats", "driver_stats customer_stats", "driver_stats"},                                  // swapped letters
		{"driver_stats", "driver_stats", ""},                                                             // not itself
		{"driver_stats", "DRIVER_STATS driver_stats DRIVER_STATS", "DRIVER_STATS"},                       // once each
		{"stats", "driver_hourly_stats sta st", "driver_hourly_stats sta"},                               // containing and contained
		{"driver_hourly_stats", "hourly hour", "hour hourly"},
		{"aaaa", "aaad aaac aaab aaaa1", "aaaa1 aaab aaac"}, // three at most, alphabetical
		{"kitten", "sitting mitten", "mitten"},              // three edits of six letters are too many
		{"abcdefghi", "abcdefxyz abcdewxyz", "abcdefxyz"},   // three of nine are not
		{"id", "ids ad xy x", "ad ids"},                     // one of two letters
		{"slq", "sql xyz s3", "sql"},
		{"a", "b A ab", "A"},
		{"", "a", ""},
		{"x", "", ""},
	} {
		got := Near(tc.name, slices.Values(strings.Fields(tc.names)))
		if strings.Join(got, " ") != tc.want {
			t.Errorf("Near(%q, %s) = %v, want %s", tc.name, tc.names, got, tc.want)
		}
	}
}

func TestInStore(t *testing.T) {
	cause := errors.New("broken")
	inner := &StoreError{Store: "redis", Op: "read", Err: cause}
	for _, c := range []struct {
		err  error
		want string
	}{
		{cause, "sqlite: write: broken"},
		{inner, "redis: read: broken"},
		{fmt.Errorf("twice: %w", inner), "twice: redis: read: broken"},
	} {
		if got := InStore("sqlite", "write", c.err); got.Error() != c.want || !errors.Is(got, cause) {
			t.Errorf("got %v, want %s", got, c.want)
		}
	}
	if err := InStore("sqlite", "write", nil); err != nil {
		t.Errorf("no error becomes %v", err)
	}
}

func TestA(t *testing.T) {
	for noun, want := range map[string]string{"int": "an int", "object": "an object", "uint8": "a uint8", "[]int": "a []int", "string": "a string", "": "a "} {
		if got := A(noun); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
