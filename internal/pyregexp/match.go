package pyregexp

import (
	"errors"
	"math"
	"slices"
	"unicode/utf8"
)

// ErrTooCostly says that matching takes more steps than a [Matcher] may spend.
var ErrTooCostly = errors.New("matching takes too long")

// A matcher spends at most maxSteps on one text, some milliseconds, whatever the number of expressions. Besides, each
// expression has a share of its own, in which it looks at every place for every character twice, but not more than
// maxShare: so that many that are cheap do not sum up to an error.
const (
	maxSteps = 1 << 20
	maxShare = 1 << 14
)

// maxStates bounds what is remembered while one expression is matched, 4 bytes each.
const maxStates = 1 << 20

// Matcher matches one text with expressions. It keeps memory for the next text and must not be used concurrently. The
// zero value is ready.
type Matcher struct {
	text  []rune
	steps int // that are left
	valid bool

	re    *Regexp
	stack []frame
	slots []int
	saved []int

	seen []uint32 // by split and position: the run that was there
	run  uint32
}

// frame is what to try next, or, with pc < 0, what to put back: slot -pc-1 of slots, or of saved if it is beyond them.
type frame struct{ pc, at int }

// maxKept is how many entries of memory are kept for the next text: 1 MB of frames.
const maxKept = 1 << 16

// Reset sets the text.
func (m *Matcher) Reset(text string) {
	if cap(m.stack) > maxKept || len(m.seen) > maxKept {
		m.stack, m.seen = nil, nil
	}
	m.text, m.steps, m.valid = m.text[:0], maxSteps, true
	for i := 0; i < len(text); i++ {
		if text[i] >= utf8.RuneSelf {
			m.valid = utf8.ValidString(text)
			m.text = append(m.text[:0], []rune(text)...)
			return
		}
		m.text = append(m.text, rune(text[i]))
	}
}

// FullMatch reports whether the whole text matches. The error is [ErrTooCostly], or says that the text is not UTF-8.
func (m *Matcher) FullMatch(re *Regexp) (bool, error) {
	if !m.valid {
		return false, errors.New("the text is not UTF-8")
	}
	if len(m.text) < len(re.prefix) || !slices.Equal(m.text[:len(re.prefix)], re.prefix) {
		return false, nil
	}
	states := re.splits * (len(m.text) + 1)
	if states > maxStates {
		return false, ErrTooCostly
	}
	if len(m.seen) < states {
		m.seen, m.run = make([]uint32, states), 0
	}
	m.re, m.stack = re, m.stack[:0]
	m.slots = slices.Grow(m.slots[:0], re.slots)[:re.slots]
	if re.captures {
		m.saved = m.saved[:0]
		for range 2 * re.groups {
			m.saved = append(m.saved, -1)
		}
	}
	left, share := m.steps, min(2*len(re.prog)*(len(m.text)+1), maxShare)
	m.steps += share
	end, err := m.from(len(re.prefix), len(re.prefix), true)
	m.steps = min(left, m.steps) // a share is not kept for others
	return end >= 0, err
}

// from runs the program from pc at a position up to opMatch and returns where that was, -1 if it is not reached. whole
// asks for the end of the text there.
func (m *Matcher) from(pc, at int, whole bool) (int, error) {
	if m.run == math.MaxUint32 {
		clear(m.seen)
		m.run = 0
	}
	m.run++
	run, bottom, prog, text := m.run, len(m.stack), m.re.prog, m.text
	for {
		if m.steps--; m.steps < 0 {
			return -1, ErrTooCostly
		}
		i := &prog[pc]
		ok := true
		switch i.op {
		case opMatch:
			if !whole || at == len(text) {
				m.stack = m.leave(bottom)
				return at, nil
			}
			ok = false
		case opSet:
			if ok = at < len(text) && i.set.has(text[at]); ok {
				at++
				pc++
			}
		case opAt:
			ok = m.holds(i.at, at)
			pc++
		case opSplit:
			if !m.re.captures {
				seen := &m.seen[i.slot*(len(text)+1)+at]
				if *seen == run {
					ok = false
					break
				}
				*seen = run
			}
			m.stack = append(m.stack, frame{i.y, at})
			pc = i.x
		case opJump:
			pc = i.x
		case opEnter:
			m.set(m.slots, i.slot, 0, at)
			pc++
		case opAgain:
			if m.slots[i.slot] == at {
				pc = i.y
			} else {
				pc = i.x
			}
		case opSave:
			m.set(m.saved, i.slot, len(m.slots), at)
			pc++
		case opRef:
			if at, ok = m.again(i, at); ok {
				pc++
			}
		case opCond:
			if m.saved[2*i.slot+1] >= 0 {
				pc = i.x
			} else {
				pc = i.y
			}
		case opLook:
			end, begin := -1, at-i.width
			if begin >= 0 {
				var err error
				if end, err = m.from(pc+1, begin, false); err != nil {
					return -1, err
				}
			}
			ok = end >= 0 != i.negate
			pc = i.x
		case opAtomic:
			end, err := m.from(pc+1, at, false)
			if err != nil {
				return -1, err
			}
			if ok = end >= 0; ok {
				at, pc = end, i.x
			}
		}
		if ok {
			continue
		}
		next, found := m.backtrack(bottom)
		if !found {
			return -1, nil
		}
		pc, at = next.pc, next.at
	}
}

// set sets slots[slot] and notes what was there; base tells slots from saved.
func (m *Matcher) set(slots []int, slot, base, at int) {
	m.stack = append(m.stack, frame{-1 - base - slot, slots[slot]})
	slots[slot] = at
}

// leave drops what is left to try above bottom, and keeps what is to put back when what is below is tried again.
func (m *Matcher) leave(bottom int) []frame {
	kept := m.stack[:bottom]
	for _, f := range m.stack[bottom:] {
		if f.pc < 0 {
			kept = append(kept, f)
		}
	}
	return kept
}

func (m *Matcher) backtrack(bottom int) (frame, bool) {
	for len(m.stack) > bottom {
		f := m.stack[len(m.stack)-1]
		m.stack = m.stack[:len(m.stack)-1]
		if f.pc >= 0 {
			return f, true
		}
		if slot := -1 - f.pc; slot < len(m.slots) {
			m.slots[slot] = f.at
		} else {
			m.saved[slot-len(m.slots)] = f.at
		}
	}
	return frame{}, false
}

// again matches the text of a group once more.
func (m *Matcher) again(i *inst, at int) (int, bool) {
	from, to := m.saved[2*i.slot], m.saved[2*i.slot+1]
	if to < 0 || to-from > len(m.text)-at {
		return at, false
	}
	m.steps -= to - from
	for _, r := range m.text[from:to] {
		if i.fold.lower(r) != i.fold.lower(m.text[at]) {
			return at, false
		}
		at++
	}
	return at, true
}

func (m *Matcher) holds(kind atKind, at int) bool {
	text := m.text
	switch kind {
	case atBegin:
		return at == 0
	case atLineBegin:
		return at == 0 || text[at-1] == '\n'
	case atTextEnd:
		return at == len(text)
	case atEnd:
		return at == len(text) || at == len(text)-1 && text[at] == '\n'
	case atLineEnd:
		return at == len(text) || text[at] == '\n'
	}
	if len(text) == 0 {
		return false // neither is at the end of nothing, in Python before 3.14
	}
	in := isWord
	if kind == atASCIIBoundary || kind == atASCIINoBoundary {
		in = isASCIIWord
	}
	boundary := (at > 0 && in(text[at-1])) != (at < len(text) && in(text[at]))
	return boundary == (kind == atBoundary || kind == atASCIIBoundary)
}
