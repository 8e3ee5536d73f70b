package feasterr

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// maxNear bounds how many suggestions an error carries.
const maxNear = 3

// Near returns up to three of names that resemble name, nearest first, equal ones in alphabetical order: those that are
// equal but for case, within an edit distance of a third of its length (one for names of two to five letters; a swap of
// neighbours counts as one), or that contain it or are contained in it. It is meant for error paths, not for hot ones.
func Near(name string, names iter.Seq[string]) []string {
	type candidate struct {
		name string
		dist int
	}
	limit := max(len(name)/3, min(len(name)/2, 1))
	lower := strings.ToLower(name)
	var found []candidate
	seen := map[string]bool{name: true}
	for n := range names {
		if seen[n] {
			continue
		}
		seen[n] = true
		l := strings.ToLower(n)
		d := editDistance(lower, l, limit)
		if d > limit && contained(lower, l) {
			d = limit
		}
		if d <= limit {
			found = append(found, candidate{n, d})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.dist, b.dist), cmp.Compare(a.name, b.name))
	})
	out := make([]string, min(len(found), maxNear))
	for i := range out {
		out[i] = found[i].name
	}
	return out
}

// contained reports whether one of a and b contains the other, when the shorter is long enough to tell something.
func contained(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return len(a) >= 3 && strings.Contains(b, a)
}

// editDistance counts, in bytes, the insertions, deletions, replacements and swaps of neighbours between a and b. It is
// limit+1 when the lengths alone say that there are more than limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	// Rows of the distances between prefixes: of the two prefixes of a before the current one, and of that.
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}

// A returns a noun with its article, for messages: "a string", "an int64".
func A(noun string) string {
	if noun != "" && strings.IndexByte("aeioAEIO", noun[0]) >= 0 { // "a uint8"
		return "an " + noun
	}
	return "a " + noun
}
