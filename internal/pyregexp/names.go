package pyregexp

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

// names.txt has a line "hex NAME" for each character of Latin, Greek, Cyrillic and general punctuation, written by
// testdata/names.py.
//
//go:embed names.txt
var nameLines string

var runesByName = sync.OnceValue(func() map[string]rune {
	m := map[string]rune{}
	for line := range strings.Lines(nameLines) {
		code, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if r, err := strconv.ParseInt(code, 16, 32); err == nil {
			m[name] = rune(r)
		}
	}
	return m
})

func runeNamed(name string) (rune, bool) {
	r, ok := runesByName()[name]
	return r, ok
}
