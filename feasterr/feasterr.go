// Package feasterr holds the errors that the whole library shares: sentinels for the classes a caller can act on,
// and typed errors that carry the names involved. Drivers, ours and outside ones, return these; callers test with
// [errors.Is] and [errors.As]. Context errors are never replaced: a cancelled call answers errors.Is(err,
// context.Canceled).
package feasterr

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
)

// Sentinels, one per thing a caller can do about an error.
var (
	// ErrNotFound: the named object does not exist. Correct the name, or apply the object.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: the request, configuration or stored data is malformed. Retrying does not help.
	ErrInvalid = errors.New("invalid")
	// ErrConflict: somebody else changed the same thing first. Read again and decide.
	ErrConflict = errors.New("conflict")
	// ErrDenied: the caller is known and not allowed.
	ErrDenied = errors.New("permission denied")
	// ErrUnauthenticated: the caller is not known: missing, malformed or expired credentials.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrUnavailable: a store, registry or server could not be reached. Retrying may help.
	ErrUnavailable = errors.New("unavailable")
	// ErrUnsupported: this driver, build or version cannot do it. The message says what can.
	ErrUnsupported = errors.New("unsupported")
	// ErrClosed: the feature store was closed before or during the call.
	ErrClosed = errors.New("feast: use after Close")
	// ErrPartial: some views were answered and some failed; see [PartialError].
	ErrPartial = errors.New("partial failure")
)

// NotFoundError names an object that does not exist. It is an [ErrNotFound].
type NotFoundError struct {
	Kind    string   // "feature view", "feature", "feature service", ...
	Name    string   // as the caller spelled it
	Project string   // empty where a project plays no part
	In      string   // the object that was searched ("feature view driver_stats"), may be empty
	Near    []string // existing names that resemble Name, nearest first
}

// Error implements error.
func (e *NotFoundError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q does not exist", e.Kind, e.Name)
	if e.In != "" {
		fmt.Fprintf(&b, " in %s", e.In)
	}
	if e.Project != "" {
		fmt.Fprintf(&b, " in project %q", e.Project)
	}
	if len(e.Near) > 0 {
		fmt.Fprintf(&b, "; did you mean %s?", strings.Join(quoted(e.Near), " or "))
	}
	return b.String()
}

// Is reports whether target is [ErrNotFound].
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

// RequestError says which column and row of a caller's rows are wrong. It is an [ErrInvalid].
type RequestError struct {
	Column string // empty when no single column is to blame
	Row    int    // 0-based; negative when no single row is to blame
	Msg    string
	Err    error // may be nil
}

// Error implements error.
func (e *RequestError) Error() string {
	var b strings.Builder
	if e.Column != "" {
		fmt.Fprintf(&b, "column %q", e.Column)
	}
	if e.Row >= 0 {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "row %d", e.Row)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	if e.Err != nil {
		if e.Msg != "" {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Is reports whether target is [ErrInvalid].
func (e *RequestError) Is(target error) bool { return target == ErrInvalid }

// Unwrap returns the cause.
func (e *RequestError) Unwrap() error { return e.Err }

// Invalid returns an [ErrInvalid] that is not bound to a column or row.
func Invalid(format string, args ...any) error {
	return &classified{class: ErrInvalid, err: fmt.Errorf(format, args...)}
}

// Unsupported returns an [ErrUnsupported].
func Unsupported(format string, args ...any) error {
	return &classified{class: ErrUnsupported, err: fmt.Errorf(format, args...)}
}

// Unavailable returns an [ErrUnavailable].
func Unavailable(format string, args ...any) error {
	return &classified{class: ErrUnavailable, err: fmt.Errorf(format, args...)}
}

// classified puts an error into a class without repeating the class in its text.
type classified struct {
	class, err error
}

func (e *classified) Error() string   { return e.err.Error() }
func (e *classified) Unwrap() []error { return []error{e.class, e.err} }

// TypeMismatchError says that a column cannot be read, or a value not be taken, as the type asked for. It is an
// [ErrInvalid].
type TypeMismatchError struct {
	Column string
	Want   string // the type asked for
	Have   string // the type that is there
	Row    int    // first row that does not fit; negative when the whole column does not
}

// Error implements error.
func (e *TypeMismatchError) Error() string {
	if e.Row >= 0 {
		return fmt.Sprintf("column %q, row %d: holds %s, which cannot be read as %s without loss", e.Column, e.Row, e.Have, e.Want)
	}
	return fmt.Sprintf("column %q is %s and cannot be read as %s", e.Column, e.Have, e.Want)
}

// Is reports whether target is [ErrInvalid].
func (e *TypeMismatchError) Is(target error) bool { return target == ErrInvalid }

// SchemaChangedError says that the registry moved under a prepared query: a column it promised is gone or has
// another type. Prepare the query again. It is an [ErrConflict].
type SchemaChangedError struct {
	Column string
	Was    string // type when prepared
	Now    string // type now; empty when the column is gone
	Err    error  // why the query no longer resolves, may be nil
}

// Error implements error.
func (e *SchemaChangedError) Error() string {
	switch {
	case e.Column == "":
		return fmt.Sprintf("the registry changed and the prepared query no longer resolves, prepare it again: %v", e.Err)
	case e.Now == "":
		return fmt.Sprintf("the registry changed: column %q of the prepared query (%s) is gone; prepare it again", e.Column, e.Was)
	default:
		return fmt.Sprintf("the registry changed: column %q of the prepared query was %s and is %s now; prepare it again", e.Column, e.Was, e.Now)
	}
}

// Is reports whether target is [ErrConflict].
func (e *SchemaChangedError) Is(target error) bool { return target == ErrConflict }

// Unwrap returns the cause.
func (e *SchemaChangedError) Unwrap() error { return e.Err }

// StoreError says which store failed at what. It carries the driver's own error.
type StoreError struct {
	Store string // driver name: "redis", "sqlite", ...
	Op    string // "read", "write", "open", ...
	Table string // stored view name, may be empty
	Err   error
}

// Error implements error.
func (e *StoreError) Error() string {
	if e.Table != "" {
		return fmt.Sprintf("%s: %s %s: %v", e.Store, e.Op, e.Table, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Store, e.Op, e.Err)
}

// Unwrap returns the driver's error.
func (e *StoreError) Unwrap() error { return e.Err }

// InStore names the store and the operation in an error, unless it is nil or a [*StoreError] is in it already.
func InStore(store, op string, err error) error {
	if _, named := errors.AsType[*StoreError](err); err == nil || named {
		return err
	}
	return &StoreError{Store: store, Op: op, Err: err}
}

// PartialError says which views failed while others were answered. It is an [ErrPartial].
type PartialError struct {
	Views map[string]error // by view name as requested
}

// Error implements error.
func (e *PartialError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d feature view(s) failed: ", len(e.Views))
	for i, n := range e.names() {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %v", n, e.Views[n])
	}
	return b.String()
}

// Is reports whether target is [ErrPartial].
func (e *PartialError) Is(target error) bool { return target == ErrPartial }

// Unwrap returns the views' errors by name of view, so that errors.Is and errors.As reach them.
func (e *PartialError) Unwrap() []error {
	out := make([]error, 0, len(e.Views))
	for _, n := range e.names() {
		out = append(out, e.Views[n])
	}
	return out
}

func (e *PartialError) names() []string { return slices.Sorted(maps.Keys(e.Views)) }

// MissingValueError says that a value which the caller requires is not there. It is an [ErrNotFound].
type MissingValueError struct {
	Column string
	Row    int
	Status string // what there is instead: "NOT_FOUND", "NULL_VALUE" or "OUTSIDE_MAX_AGE"
}

// Error implements error.
func (e *MissingValueError) Error() string {
	return fmt.Sprintf("column %q, row %d: is required and has status %s", e.Column, e.Row, e.Status)
}

// Is reports whether target is [ErrNotFound].
func (e *MissingValueError) Is(target error) bool { return target == ErrNotFound }

// TransformError says that the function which computes an on-demand feature view failed or panicked. It carries the
// function's own error.
type TransformError struct {
	View string
	Row  int // negative when the function does not compute row by row, or panicked
	Err  error
}

// Error implements error.
func (e *TransformError) Error() string {
	if e.Row >= 0 {
		return fmt.Sprintf("on-demand feature view %q, row %d: %v", e.View, e.Row, e.Err)
	}
	return fmt.Sprintf("on-demand feature view %q: %v", e.View, e.Err)
}

// Unwrap returns the function's error.
func (e *TransformError) Unwrap() error { return e.Err }

// NotLinkedError says that a configured driver type is not part of this program, and which import adds it. It is
// an [ErrUnsupported].
type NotLinkedError struct {
	Room   string   // "online store", "registry", ...
	Type   string   // type name as configured
	Import string   // import path that links it, empty when unknown
	Known  []string // linked type names
}

// Error implements error.
func (e *NotLinkedError) Error() string {
	if e.Import != "" {
		return fmt.Sprintf("%s %q is not linked in: import _ %q", e.Room, e.Type, e.Import)
	}
	return fmt.Sprintf("this version has no driver for %s type %q; linked in: %s", e.Room, e.Type, cmp.Or(strings.Join(e.Known, ", "), "none"))
}

// Is reports whether target is [ErrUnsupported].
func (e *NotLinkedError) Is(target error) bool { return target == ErrUnsupported }

// Retryable reports whether the same call may succeed a moment later: the store could not be reached, a connection
// broke, or a time limit of the network ran out. A cancelled or expired context is not retryable, nor is anything that
// is wrong with the request, nor an error of several parts one of which is not.
func Retryable(err error) bool {
	switch {
	case err == nil,
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, ErrClosed), errors.Is(err, ErrInvalid), errors.Is(err, ErrNotFound),
		errors.Is(err, ErrDenied), errors.Is(err, ErrUnauthenticated), errors.Is(err, ErrUnsupported):
		return false
	case errors.Is(err, ErrUnavailable),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return true
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return out
}
