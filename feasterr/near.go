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
// equal but for case, within an edit distance of a third of its length (2 where that is less and the name has four
// letters or more), or that contain it or are contained in it. It is meant for error paths, not for hot ones.
func Near(name string, names iter.Seq[string]) []string {
	type candidate struct {
		name string
		dist int
	}
	limit := max(len(name)/3, min(len(name)/2, 2))
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

// editDistance is the Levenshtein distance of a and b in bytes, or limit+1 when it is larger than limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		best := cur[0]
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			best = min(best, cur[j])
		}
		if best > limit {
			return limit + 1
		}
		prev, cur = cur, prev
	}
	return min(prev[len(b)], limit+1)
}
