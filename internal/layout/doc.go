// Package layout holds the tests of what holds for the module as a whole: which package may import which, which
// modules it depends on, and how large a program becomes that links it.
package layout
