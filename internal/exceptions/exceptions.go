// Package exceptions names errors as Feast's servers do: by the Python exceptions that Feast's clients raise again.
package exceptions

import (
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
)

// Exception is an exception of Feast.
type Exception struct {
	Class   string // of the module feast.errors
	Message string
}

// Classes that callers compare with.
const (
	Permission = "FeastPermissionError"
	NotFound   = "FeastObjectNotFoundException"
	PushSource = "PushSourceNotFoundException"
	Conflict   = "ConflictingFeatureViewNames"
)

// notFound are the classes for what is not found, by the kind of a [feasterr.NotFoundError], and how Feast calls the kind.
var notFound = map[string]struct{ class, noun string }{
	"entity":                 {"EntityNotFoundException", "Entity"},
	"data source":            {"DataSourceObjectNotFoundException", "Data source"},
	"feature view":           {"FeatureViewNotFoundException", "Feature view"},
	"stream feature view":    {"FeatureViewNotFoundException", "Feature view"},
	"on-demand feature view": {"FeatureViewNotFoundException", "Feature view"},
	"label view":             {"FeatureViewNotFoundException", "Feature view"},
	"feature service":        {"FeatureServiceNotFoundException", "Feature service"},
	"saved dataset":          {"SavedDatasetNotFound", "Saved dataset"},
	"validation reference":   {"ValidationReferenceNotFound", "Validation reference"},
	"permission":             {"PermissionObjectNotFoundException", "Permission"},
	"project":                {"ProjectObjectNotFoundException", "Project"},
	"version":                {class: "FeatureViewVersionNotFound"},
}

// Error is an error that is an exception of Feast, with its own text.
type Error struct {
	Exception
	Kind error // the class in feasterr
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Is reports whether target is the class of the error.
func (e *Error) Is(target error) bool { return target == e.Kind }

// Of returns the exception for an error. ok is false for errors that Feast has no class of its own for.
func Of(err error) (e Exception, ok bool) {
	if own, is := errors.AsType[*Error](err); is {
		return own.Exception, true
	}
	if missing, is := errors.AsType[*feasterr.NotFoundError](err); is {
		return notFoundOf(missing, err), true
	}
	if denied, is := errors.AsType[*permissions.DeniedError](err); is {
		return Exception{Permission, denied.FeastMessage()}, true
	}
	if errors.Is(err, feasterr.ErrDenied) {
		return Exception{Permission, "Permission error:\n" + err.Error()}, true
	}
	return Exception{}, false
}

// notFoundOf returns the exception for what is not found, in Feast's words. What Feast has no words for, such as columns, keeps all
// that err says: there may be several.
func notFoundOf(e *feasterr.NotFoundError, err error) Exception {
	if e.Kind == "push source" {
		return Exception{PushSource, "Unable to find push source '" + e.Name + "'."}
	}
	known, ok := notFound[e.Kind]
	switch {
	case !ok:
		return Exception{NotFound, err.Error()}
	case known.noun == "":
		return Exception{known.class, e.Error()}
	}
	text := known.noun + " " + e.Name + " does not exist"
	if e.Project != "" {
		text += " in project " + e.Project
	}
	return Exception{known.class, text}
}

// JSON returns the exception as Feast writes it: in the form of Python's json.dumps.
func (e Exception) JSON() string {
	b := []byte(`{"module": "feast.errors", "class": `)
	b = append(AppendText(b, e.Class), `, "message": `...)
	return string(append(AppendText(b, e.Message), '}'))
}

// AppendText appends a text as Python's json.dumps writes it: in ASCII.
func AppendText(b []byte, text string) []byte {
	const hex = "0123456789abcdef"
	escape := func(r rune) { b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15]) }
	b = append(b, '"')
	for _, r := range text {
		switch at := strings.IndexRune("\"\\\n\r\t\b\f", r); {
		case at >= 0:
			b = append(b, '\\', `"\nrtbf`[at])
		case r < ' ' || r >= 0x7f && r < 0x10000:
			escape(r)
		case r < utf8.RuneSelf:
			b = append(b, byte(r))
		default:
			high, low := utf16.EncodeRune(r)
			escape(high)
			escape(low)
		}
	}
	return append(b, '"')
}
