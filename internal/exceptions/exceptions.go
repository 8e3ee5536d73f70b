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
)

// notFound are the classes for what is not found, by the kind of a [feasterr.NotFoundError].
var notFound = map[string]string{
	"entity": "EntityNotFoundException", "data source": "DataSourceObjectNotFoundException",
	"feature view": "FeatureViewNotFoundException", "stream feature view": "FeatureViewNotFoundException",
	"on-demand feature view": "FeatureViewNotFoundException", "label view": "FeatureViewNotFoundException",
	"feature service": "FeatureServiceNotFoundException", "saved dataset": "SavedDatasetNotFound",
	"validation reference": "ValidationReferenceNotFound", "permission": "PermissionObjectNotFoundException",
	"project": "ProjectObjectNotFoundException", "push source": PushSource, "version": "FeatureViewVersionNotFound",
}

// Of returns the exception for an error. ok is false for errors that Feast has no class of its own for.
func Of(err error) (e Exception, ok bool) {
	if missing, is := errors.AsType[*feasterr.NotFoundError](err); is {
		class := notFound[missing.Kind]
		if class == "" {
			class = NotFound
		}
		return Exception{class, message(missing)}, true
	}
	if denied, is := errors.AsType[*permissions.DeniedError](err); is {
		return Exception{Permission, denied.FeastMessage()}, true
	}
	if errors.Is(err, feasterr.ErrDenied) {
		return Exception{Permission, err.Error()}, true
	}
	return Exception{}, false
}

// message is what Feast says of something that is not found: for the kinds whose text its clients are known to get, those
// that a request for features names.
func message(e *feasterr.NotFoundError) string {
	switch e.Kind {
	case "feature view", "stream feature view", "on-demand feature view", "label view", "feature service", "entity":
		kind := e.Kind
		if kind != "feature service" && kind != "entity" {
			kind = "feature view"
		}
		return strings.ToUpper(kind[:1]) + kind[1:] + " " + e.Name + " does not exist in project " + e.Project
	case "push source":
		return "Unable to find push source '" + e.Name + "'."
	}
	return e.Error()
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
