package config

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/yamldoc"
)

// Problem is one thing in a configuration that is wrong or doubtful. It never shows a value that may be a secret.
type Problem struct {
	Line    int    // 1-based line of the file as it stands on disk; 0 when it has no line
	Key     string // dotted path: "online_store.port", "hosts[2]"; empty when the document as a whole is meant
	Message string
}

// String is the line, the key and the message, as far as they are known.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	return b.String() + p.Message
}

func byLine(a, b Problem) int { return cmp.Compare(a.Line, b.Line) }

// Error lists everything that is wrong with a configuration. It is a [feasterr.ErrInvalid].
type Error struct {
	File     string    // as given to [Parse]; empty for a [Section] made by [NewSection]
	Problems []Problem // at least one, ordered by line
}

// Error implements error: one line per problem, in the form file:line: key: message.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		switch {
		case e.File != "" && p.Line > 0:
			lines[i] = e.File + ":" + strconv.Itoa(p.Line) + ": " + Problem{Key: p.Key, Message: p.Message}.String()
		case e.File != "":
			lines[i] = e.File + ": " + p.String()
		default:
			lines[i] = p.String()
		}
	}
	return strings.Join(lines, "\n")
}

// Is reports whether target is [feasterr.ErrInvalid].
func (e *Error) Is(target error) bool { return target == feasterr.ErrInvalid }

// missingError says that there is no file to read.
type missingError struct {
	msg string
	err error // the operating system's
}

func (e *missingError) Error() string   { return e.msg }
func (e *missingError) Unwrap() []error { return []error{feasterr.ErrNotFound, e.err} }

// missing is the error for a path where no configuration is.
func missing(path string, err error) error {
	msg := fmt.Sprintf("no feature store configuration at %q: there is no such file or directory", path)
	if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
		msg = fmt.Sprintf("no %s in directory %q: give the directory that holds it, or the file itself", FileName, path)
		if sub := filepath.Join(path, "feature_repo"); exists(filepath.Join(sub, FileName)) {
			msg = fmt.Sprintf("no %s in directory %q: did you mean %q?", FileName, path, sub)
		}
	}
	return &missingError{msg, err}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// suggest ends a message about an unknown name: with the names that resemble it, else with all there are. classes is
// how class paths end where these are names too.
func suggest(name string, known []string, classes string) string {
	if near := yamldoc.DidYouMean(name, known); near != "" {
		return near
	}
	all := "; known are " + strings.Join(known, ", ")
	if classes != "" {
		all += " and class paths that end in " + classes
	}
	return all
}
