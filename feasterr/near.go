package feasterr

import (
	"iter"
	"sort"
	"strings"
)

// maxNear bounds how many suggestions an error carries.
const maxNear = 3

// Near returns up to three of names that resemble name, nearest first: equal but for case, or within an edit
// distance of a third of its length. It is meant for error paths, not for hot ones.
func Near(name string, names iter.Seq[string]) []string {
	type candidate struct {
		name string
		dist int
	}
	limit := max(2, len(name)/3)
	lower := strings.ToLower(name)
	var found []candidate
	seen := map[string]bool{}
	for n := range names {
		if n == name || seen[n] {
			continue
		}
		seen[n] = true
		l := strings.ToLower(n)
		d := editDistance(lower, l, limit)
		if d > limit && len(lower) >= 3 && (strings.Contains(l, lower) || strings.Contains(lower, l) && len(l) >= 3) {
			d = limit
		}
		if d <= limit {
			found = append(found, candidate{n, d})
		}
	}
	sort.Slice(found, func(i, j int) bool {
		if found[i].dist != found[j].dist {
			return found[i].dist < found[j].dist
		}
		return found[i].name < found[j].name
	})
	if len(found) > maxNear {
		found = found[:maxNear]
	}
	out := make([]string, len(found))
	for i, c := range found {
		out[i] = c.name
	}
	return out
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
