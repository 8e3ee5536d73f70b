package definitions

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/yamldoc"
)

// Error is one thing that is wrong with a definition. It is a [feasterr.ErrInvalid].
type Error struct {
	File    string // as given to [Parse], or below the path given to [Load]
	Line    int    // of the file, counted from 1
	Column  int    // in characters, counted from 1; 0 when only the line is known
	Object  string // kind and name, as far as the document says: `FeatureView "driver_stats"`
	Key     string // dotted path in the document: "schema[2].type"; empty when the object as a whole is meant
	Message string
}

// Error implements error: file:line:column: object: key: message.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	if e.Column > 0 {
		b.Reset()
		fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	}
	for _, part := range []string{e.Object, e.Key} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	return b.String() + e.Message
}

// Is reports whether target is [feasterr.ErrInvalid].
func (e *Error) Is(target error) bool { return target == feasterr.ErrInvalid }

// maxProblems bounds how many problems are told at once.
const maxProblems = 200

// place is where something stands.
type place struct {
	file         string
	line, column int
	object       string
	key          string
}

// problem notes what is wrong with the document that is being read.
func (r *reader) problem(line, column int, key, format string, args ...any) {
	r.problemAt(place{r.file, line, column, r.object, key}, format, args...)
}

// problemAt notes a problem. What an alias repeats is told once.
func (r *reader) problemAt(p place, format string, args ...any) {
	e := Error{p.file, p.line, p.column, p.object, p.key, fmt.Sprintf(format, args...)}
	told := e
	told.Object, told.Key = "", ""
	switch {
	case r.told[told]:
	case len(r.problems) == maxProblems:
		r.more = true
	default:
		if r.told == nil {
			r.told = map[Error]bool{}
		}
		r.told[told] = true
		r.problems = append(r.problems, &e)
	}
}

// here is the place of n within the document that is being read.
func (r *reader) here(n *yamldoc.Node, key string) place {
	return place{r.file, n.Line, n.Column, r.object, key}
}

// err joins the problems, by files as they were read, then by lines.
func (r *reader) err() error {
	order := map[string]int{}
	for _, e := range r.problems {
		if _, ok := order[e.File]; !ok {
			order[e.File] = len(order)
		}
	}
	slices.SortStableFunc(r.problems, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, len(r.problems), len(r.problems)+1)
	for i, e := range r.problems {
		errs[i] = e
	}
	if r.more {
		errs = append(errs, feasterr.Invalid("and more problems than these %d", maxProblems))
	}
	return errors.Join(errs...)
}
