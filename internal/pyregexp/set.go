package pyregexp

import (
	"slices"
	"unicode"
)

type category uint8

const (
	digit category = iota
	space
	word
	asciiDigit
	asciiSpace
	asciiWord
	not category = 0x80 // with one of the others
)

func categoryOf(r rune, now flags) (category, bool) {
	var c category
	switch unicode.ToLower(r) {
	case 'd':
		c = digit
	case 's':
		c = space
	case 'w':
		c = word
	default:
		return 0, false
	}
	if now&ascii != 0 {
		c += asciiDigit
	}
	if unicode.IsUpper(r) {
		c |= not
	}
	return c, true
}

func (c category) has(r rune) bool {
	var in bool
	switch c &^ not {
	case digit:
		in = unicode.Is(unicode.Nd, r)
	case space:
		in = IsSpace(r)
	case word:
		in = isWord(r)
	case asciiDigit:
		in = isDigit(r)
	case asciiSpace:
		in = r == ' ' || '\t' <= r && r <= '\r'
	case asciiWord:
		in = isASCIIWord(r)
	}
	return in != (c&not != 0)
}

// IsSpace reports whether r is white space to Python, for \s and strip.
func IsSpace(r rune) bool {
	switch {
	case '\t' <= r && r <= '\r', 0x1c <= r && r <= 0x20, r == 0x85, r == 0xa0, r == 0x1680,
		0x2000 <= r && r <= 0x200a, r == 0x2028, r == 0x2029, r == 0x202f, r == 0x205f, r == 0x3000:
		return true
	}
	return false
}

func isWord(r rune) bool {
	if r < 0x80 {
		return isASCIIWord(r)
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r)
}

func isASCIIWord(r rune) bool { return isLetter(r) || isDigit(r) || r == '_' }

type folding uint8

const (
	foldNone folding = iota
	foldASCII
	foldUnicode
)

func foldOf(now flags) folding {
	switch {
	case now&ignoreCase == 0:
		return foldNone
	case now&ascii != 0:
		return foldASCII
	}
	return foldUnicode
}

// lower returns how r is compared.
func (f folding) lower(r rune) rune {
	switch {
	case f == foldNone:
	case 'A' <= r && r <= 'Z':
		return r + 'a' - 'A'
	case f == foldUnicode && r >= 0x80:
		return unicode.ToLower(r)
	}
	return r
}

// alike are lower-case characters that Python's re takes for one when it ignores case, since they have the same
// upper case.
var alike = [][]rune{
	{'i', 0x131}, {'s', 0x17f}, {0xb5, 0x3bc}, {0x345, 0x3b9, 0x1fbe}, {0x390, 0x1fd3}, {0x3b0, 0x1fe3}, {0x3b2, 0x3d0},
	{0x3b5, 0x3f5}, {0x3b8, 0x3d1}, {0x3ba, 0x3f0}, {0x3c0, 0x3d6}, {0x3c1, 0x3f1}, {0x3c2, 0x3c3}, {0x3c6, 0x3d5},
	{0x432, 0x1c80}, {0x434, 0x1c81}, {0x43e, 0x1c82}, {0x441, 0x1c83}, {0x442, 0x1c84, 0x1c85}, {0x44a, 0x1c86},
	{0x463, 0x1c87}, {0x1c88, 0xa64b}, {0x1e61, 0x1e9b}, {0xfb05, 0xfb06},
}

var alikes = func() map[rune][]rune {
	m := map[rune][]rune{}
	for _, group := range alike {
		for _, r := range group {
			m[r] = group
		}
	}
	return m
}()

// set is a set of characters. Characters are lowered by fold before they are looked up.
type set struct {
	ranges     []runeRange // sorted and apart once finished
	categories []category
	negate     bool
	fold       folding
	low        [2]uint64 // the answers for ASCII
}

type runeRange struct{ lo, hi rune }

func (s *set) add(lo, hi rune) { s.ranges = append(s.ranges, runeRange{lo, hi}) }

func (s *set) beyond(limit rune) bool {
	return slices.ContainsFunc(s.ranges, func(r runeRange) bool { return r.hi > limit })
}

// one returns the only member of a set that ignores no case.
func (s *set) one() (rune, bool) {
	if s == nil || s.negate || s.fold != foldNone || len(s.categories) > 0 || len(s.ranges) != 1 || s.ranges[0].lo != s.ranges[0].hi {
		return 0, false
	}
	return s.ranges[0].lo, true
}

// finish lowers the members and prepares has.
func (s *set) finish() *set {
	if s.fold != foldNone {
		given := s.ranges
		s.ranges = nil
		for _, r := range compact(given) {
			for c := r.lo; c <= r.hi; c++ {
				l := s.fold.lower(c)
				s.add(l, l)
				if s.fold == foldUnicode {
					for _, other := range alikes[l] {
						s.add(other, other)
					}
				}
			}
		}
	}
	s.ranges = compact(s.ranges)
	for r := range rune(0x80) {
		if s.find(r) {
			s.low[r>>6] |= 1 << (r & 63)
		}
	}
	return s
}

// compact sorts ranges and joins those that touch.
func compact(ranges []runeRange) []runeRange {
	slices.SortFunc(ranges, func(a, b runeRange) int { return int(a.lo) - int(b.lo) })
	joined := ranges[:0]
	for _, r := range ranges {
		if n := len(joined); n > 0 && r.lo <= joined[n-1].hi+1 {
			joined[n-1].hi = max(joined[n-1].hi, r.hi)
			continue
		}
		joined = append(joined, r)
	}
	return slices.Clip(joined)
}

func (s *set) has(r rune) bool {
	if r < 0x80 {
		return s.low[r>>6]&(1<<(r&63)) != 0
	}
	return s.find(r)
}

func (s *set) find(r rune) bool {
	r = s.fold.lower(r)
	_, in := slices.BinarySearchFunc(s.ranges, r, func(g runeRange, r rune) int {
		switch {
		case g.hi < r:
			return -1
		case g.lo > r:
			return 1
		}
		return 0
	})
	for i := 0; !in && i < len(s.categories); i++ {
		in = s.categories[i].has(r)
	}
	return in != s.negate
}
