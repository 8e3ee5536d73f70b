package plan

import (
	"strconv"
	"strings"

	"github.com/feastgo/feast/feasterr"
)

// reference is a parsed "view[@version]:feature".
type reference struct {
	view    string
	version int // -1: latest
	feature string
}

// name is the view as full names show it.
func (r reference) name() string {
	if r.version < 0 {
		return r.view
	}
	return r.view + "@v" + strconv.Itoa(r.version)
}

// parseReference splits a feature reference at its first colon, and the part before it at its first "@". A suffix
// that is no version belongs to the view's name, as in Feast.
func parseReference(ref string) (reference, error) {
	view, feature, ok := strings.Cut(ref, ":")
	if !ok {
		return reference{}, feasterr.Invalid("feature reference %q has no colon: write view:feature or view@v2:feature", ref)
	}
	r := reference{view: view, version: -1, feature: feature}
	name, suffix, ok := strings.Cut(view, "@")
	if !ok {
		return r, nil
	}
	if suffix == "" || strings.EqualFold(suffix, "latest") {
		r.view = name
		return r, nil
	}
	if n, ok := versionNumber(suffix); ok {
		r.view, r.version = name, n
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
