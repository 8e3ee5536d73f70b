package plan

import (
	"strconv"
	"strings"

	"github.com/feastgo/feast/feasterr"
)

// Reference is a parsed "view[@version]:feature".
type Reference struct {
	View    string
	Version int // -1: latest
	Feature string
}

// ParseReference splits a feature reference at its first colon, and the part before it at its first "@". A suffix
// that is no version belongs to the view's name, as in Feast.
func ParseReference(ref string) (Reference, error) {
	view, feature, ok := strings.Cut(ref, ":")
	if !ok {
		return Reference{}, feasterr.Invalid("feature reference %q has no colon: write view:feature or view@v2:feature", ref)
	}
	r := Reference{View: view, Version: -1, Feature: feature}
	name, suffix, ok := strings.Cut(view, "@")
	if !ok {
		return r, nil
	}
	if suffix == "" || strings.EqualFold(suffix, "latest") {
		r.View = name
		return r, nil
	}
	if n, ok := versionNumber(suffix); ok {
		r.View, r.Version = name, n
	}
	return r, nil
}

// versionNumber reads "v12" or "V12".
func versionNumber(s string) (int, bool) {
	if len(s) < 2 || s[0] != 'v' && s[0] != 'V' {
		return 0, false
	}
	for _, c := range s[1:] {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s[1:])
	return n, err == nil
}
