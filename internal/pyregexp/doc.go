// Package pyregexp matches texts with regular expressions of Python's module re, as fullmatch of Python 3.11 does. Name
// patterns of permissions are such expressions, and a decision must not depend on which library reads them.
//
// The syntax is read by Python's rules: what Python refuses is a [*SyntaxError], and what this package does not do as
// Python does is a [*SyntaxError] with Unsupported set, never something else that is matched instead. An expression is
// compiled to a program for a backtracking machine whose steps are counted: a text that takes too many is an error,
// the same on a fast machine and a slow one. Without references to groups no state is tried twice, so that
// expressions which are made to explode do not.
//
// Neither package regexp nor a backtracking library with Perl's or .NET's syntax could stand behind it without the same
// parser in front: they differ in classes, case folding, boundaries, "$", repeats of empty matches and in what is an
// error, and those that look around are bounded by a clock.
package pyregexp

import "fmt"

// SyntaxError says why an expression cannot be used.
type SyntaxError struct {
	Pattern     string
	Offset      int // in characters, as Python counts
	Reason      string
	Unsupported bool // Python may accept it, this package does not
}

// maxShown is how many characters of an expression an error shows.
const maxShown = 200

// Error implements error.
func (e *SyntaxError) Error() string {
	what := "is not a regular expression as Python reads them"
	if e.Unsupported {
		what = "is not supported"
	}
	pattern := e.Pattern
	if len(pattern) > maxShown {
		pattern = fmt.Sprintf("%.*s...", maxShown, pattern)
	}
	return fmt.Sprintf("%q %s: %s at character %d", pattern, what, e.Reason, e.Offset+1)
}

// Compile parses an expression. The error is a [*SyntaxError].
func Compile(pattern string) (*Regexp, error) {
	p := &parser{pattern: pattern, names: map[string]int{}, widths: make([]*width, 1)}
	root := p.parse()
	c := &compiler{parser: p}
	if p.err == nil {
		c.emitAll(root)
		c.emit(inst{op: opMatch})
	}
	if p.err != nil {
		return nil, p.err
	}
	re := &Regexp{pattern: pattern, prog: c.prog, splits: c.splits, slots: c.slots, groups: len(p.widths), captures: p.refers}
	for _, i := range c.prog {
		r, one := i.set.one()
		if i.op != opSet || !one {
			break
		}
		re.prefix = append(re.prefix, r)
	}
	return re, nil
}

// Regexp is a compiled expression. It is safe for concurrent use.
type Regexp struct {
	pattern  string
	prog     []inst
	prefix   []rune // what the program begins with
	splits   int    // states that are remembered, for each position
	slots    int    // loops
	groups   int    // one more than there are
	captures bool   // something refers to a group: states depend on more than place and position
}

// String returns the expression.
func (re *Regexp) String() string { return re.pattern }
