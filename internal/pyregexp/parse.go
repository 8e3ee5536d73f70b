package pyregexp

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type flags uint8

const (
	ignoreCase flags = 1 << iota
	multiLine
	dotAll
	verbose
	ascii
	unicodeFlag // only noted, to refuse it beside ascii
)

var flagOf = map[rune]flags{'i': ignoreCase, 'm': multiLine, 's': dotAll, 'x': verbose, 'a': ascii, 'u': unicodeFlag}

const typeFlags = ascii | unicodeFlag

type nodeOp uint8

const (
	nodeSet    nodeOp = iota
	nodeAt            // at
	nodeRepeat        // subs[0], min, max, mode
	nodeBranch        // subs are alternatives
	nodeSeq           // subs one after the other
	nodeGroup         // subs[0], group
	nodeAtomic        // subs[0]
	nodeLook          // subs[0], width, negate
	nodeRef           // group, flags
	nodeCond          // group, subs[0], subs[1]
)

type repeatMode uint8

const (
	greedy repeatMode = iota
	lazy
	possessive
)

const unbounded = math.MaxUint32 // Python's MAXREPEAT

type node struct {
	op       nodeOp
	set      *set
	at       atKind
	subs     []*node
	min, max int
	mode     repeatMode
	group    int
	negate   bool
	width    int // of what a nodeLook looks behind at; 0: it looks ahead
	flags    flags
	beyond   bool // a nodeSet of one letter beyond U+FFFF whose case is ignored
}

type width struct{ min, max int }

// What an expression may be, so that reading it takes some milliseconds whatever it is.
const (
	maxDepth  = 200
	maxFolded = 1 << 18
	maxLength = 1 << 15 // characters
	maxParts  = maxProgram
)

// parser reads an expression as CPython's re._parser does, of which it keeps the order of checks.
type parser struct {
	pattern string
	chars   []rune
	next    int
	err     *SyntaxError
	global  flags
	names   map[string]int
	widths  []*width // by group; nil while it is open
	behind  int      // number of groups where the outermost look-behind began; 0: in none
	refers  bool
	depth   int
	shaky   []bool // groups whose contents after a match only CPython knows: in a loop or a look-around
	folded  int    // characters of sets that were lowered
	parts   int    // that were read
}

// fail notes an error. The first one counts; nothing is left to read after it, so that everything comes to its end.
func (p *parser) fail(at int, reason string) {
	p.stop(SyntaxError{Offset: at, Reason: reason})
}

// unsupported is fail for what Python may accept.
func (p *parser) unsupported(at int, reason string) {
	p.stop(SyntaxError{Offset: at, Reason: reason, Unsupported: true})
}

func (p *parser) stop(err SyntaxError) {
	if p.err == nil {
		err.Pattern = p.pattern
		p.err = &err
	}
	p.next = len(p.chars)
}

func (p *parser) parse() *node {
	if !utf8.ValidString(p.pattern) {
		p.unsupported(0, "text that is not UTF-8")
		return nil
	}
	if len(p.pattern) > maxLength && utf8.RuneCountInString(p.pattern) > maxLength {
		p.unsupported(maxLength, "so long a text")
		return nil
	}
	p.chars = []rune(p.pattern)
	root := p.alternatives(0, 0, true)
	if p.next < len(p.chars) {
		p.fail(p.next, "unbalanced parenthesis")
	}
	if p.global&typeFlags == typeFlags {
		p.fail(0, "flags a and u exclude each other")
	}
	return root
}

// peek returns the next token: a character, or a backslash and the character that it escapes.
func (p *parser) peek() (r rune, escaped, ok bool) {
	if p.next >= len(p.chars) {
		return 0, false, false
	}
	if p.chars[p.next] != '\\' {
		return p.chars[p.next], false, true
	}
	if p.next+1 >= len(p.chars) {
		p.fail(p.next, "a backslash at the end")
		return 0, false, false
	}
	return p.chars[p.next+1], true, true
}

func (p *parser) get() (r rune, escaped, ok bool) {
	r, escaped, ok = p.peek()
	if escaped {
		p.next++
	}
	if ok {
		p.next++
	}
	return r, escaped, ok
}

// take consumes r if it comes next, unescaped.
func (p *parser) take(r rune) bool {
	got, escaped, ok := p.peek()
	if !ok || escaped || got != r {
		return false
	}
	p.next++
	return true
}

// must is get where the end is an error.
func (p *parser) must(reason string) rune {
	r, escaped, ok := p.get()
	if !ok || escaped {
		p.fail(p.next, reason)
	}
	return r
}

// alternatives parses up to ")" or the end. f are the flags of the groups around, without the global ones.
func (p *parser) alternatives(f flags, off flags, outermost bool) *node {
	if p.depth++; p.depth > maxDepth {
		p.unsupported(p.next, "groups nested so deeply")
		return &node{op: nodeSeq}
	}
	defer func() { p.depth-- }()
	var branches []*node
	for {
		branches = append(branches, p.sequence(f, off, outermost, outermost && len(branches) == 0))
		if !p.take('|') {
			break
		}
	}
	if len(branches) == 1 {
		return branches[0]
	}
	for _, b := range branches { // CPython joins alternatives of one character to a set
		if slices.ContainsFunc(b.subs, func(n *node) bool { return n.beyond }) {
			p.unsupported(p.next, "alternatives that ignore the case of letters beyond U+FFFF")
		}
	}
	return &node{op: nodeBranch, subs: branches}
}

// scope is what flags hold at a place: the global ones, then those that groups add and remove.
func (p *parser) scope(f, off flags) flags {
	now := p.global
	if f&typeFlags != 0 {
		now &^= typeFlags
	}
	return (now | f) &^ off
}

func (p *parser) sequence(f, off flags, outermost, first bool) *node {
	seq := &node{op: nodeSeq}
	add := func(n *node) {
		if n != nil { // there is none for flags, comments and errors
			seq.subs = append(seq.subs, n)
		}
	}
	for {
		now := p.scope(f, off)
		start := p.next
		if p.parts++; p.parts > maxParts {
			p.unsupported(start, "so many parts")
		}
		r, escaped, ok := p.peek()
		if !ok || !escaped && (r == '|' || r == ')') {
			return seq
		}
		p.get()
		if now&verbose != 0 && !escaped {
			if strings.ContainsRune(" \t\n\r\v\f", r) {
				continue
			}
			if r == '#' {
				for {
					if r, escaped, ok := p.get(); !ok || !escaped && r == '\n' {
						break
					}
				}
				continue
			}
		}
		switch {
		case escaped:
			add(p.escape(r, start, now))
		case r == '[':
			add(p.class(start, now))
		case r == '.':
			s := &set{negate: true}
			if now&dotAll == 0 {
				s.add('\n', '\n')
			}
			add(&node{op: nodeSet, set: s.finish()})
		case r == '^':
			add(&node{op: nodeAt, at: pick(now&multiLine != 0, atLineBegin, atBegin)})
		case r == '$':
			add(&node{op: nodeAt, at: pick(now&multiLine != 0, atLineEnd, atEnd)})
		case r == '(':
			add(p.group(start, f, off, first && len(seq.subs) == 0))
		case r == '*' || r == '+' || r == '?' || r == '{':
			lo, hi, quantifier := p.quantifier(r, start)
			if !quantifier {
				add(literal(r, now))
				continue
			}
			if len(seq.subs) == 0 {
				p.fail(start, "nothing to repeat")
				return seq
			}
			last := seq.subs[len(seq.subs)-1]
			if last.op == nodeAt {
				p.fail(start, "nothing to repeat")
			}
			if last.op == nodeRepeat {
				p.fail(start, "multiple repeat")
			}
			mode := greedy
			if p.take('?') {
				mode = lazy
			} else if p.take('+') {
				mode = possessive
			}
			seq.subs[len(seq.subs)-1] = &node{op: nodeRepeat, subs: []*node{last}, min: lo, max: hi, mode: mode}
			if hi > 1 || mode == possessive {
				p.repeated(last, start)
			}
		default:
			add(literal(r, now))
		}
	}
}

func pick(yes bool, a, b atKind) atKind {
	if yes {
		return a
	}
	return b
}

// doubt notes groups that may be entered several times, or left again: which of their matches a later reference sees is
// not written down anywhere but in CPython's machine.
func (p *parser) doubt(groups ...int) {
	for _, g := range groups {
		for len(p.shaky) <= g {
			p.shaky = append(p.shaky, false)
		}
		p.shaky[g] = true
	}
}

// repeated doubts the groups of a repeat, which not even the repeat itself may refer to.
func (p *parser) repeated(n *node, start int) {
	groups := groupsOf(n)
	p.doubt(groups...)
	if len(groups) > 0 && refersTo(n, groups) {
		p.unsupported(start, "repeats a group together with a reference to it")
	}
}

func refersTo(n *node, groups []int) bool {
	if (n.op == nodeRef || n.op == nodeCond) && slices.Contains(groups, n.group) {
		return true
	}
	return slices.ContainsFunc(n.subs, func(s *node) bool { return refersTo(s, groups) })
}

func groupsOf(n *node) (groups []int) {
	if n.op == nodeGroup {
		groups = append(groups, n.group)
	}
	for _, s := range n.subs {
		groups = append(groups, groupsOf(s)...)
	}
	return groups
}

func (p *parser) quantifier(r rune, start int) (lo, hi int, ok bool) {
	switch r {
	case '?':
		return 0, 1, true
	case '*':
		return 0, unbounded, true
	case '+':
		return 1, unbounded, true
	}
	if p.next < len(p.chars) && p.chars[p.next] == '}' {
		return 0, 0, false
	}
	back := p.next
	low := p.digits()
	high := low
	if p.take(',') {
		high = p.digits()
	}
	if !p.take('}') {
		p.next = back
		return 0, 0, false
	}
	lo, hi = p.count(low, 0, start), p.count(high, unbounded, start)
	if hi < lo {
		p.fail(start, "the least number of repeats is greater than the largest")
	}
	return lo, hi, true
}

func (p *parser) digits() string {
	from := p.next
	for p.next < len(p.chars) && isDigit(p.chars[p.next]) {
		p.next++
	}
	return string(p.chars[from:p.next])
}

func (p *parser) count(digits string, none, start int) int {
	if digits == "" {
		return none
	}
	n := 0
	for _, d := range digits {
		if n = n*10 + int(d-'0'); n >= unbounded {
			p.fail(start, "the number of repeats is too large")
			return 0
		}
	}
	return n
}

// group parses what follows "(". It returns nil for a comment and for flags.
func (p *parser) group(start int, f, off flags, first bool) *node {
	if !p.take('?') {
		return p.capture("", start, f, off)
	}
	switch r := p.must("the end within an extension"); {
	case r == 'P':
		switch r := p.must("the end within an extension"); r {
		case '<':
			return p.capture(p.name('>', start), start, f, off)
		case '=':
			name := p.name(')', start)
			g, ok := p.names[name]
			if !ok {
				p.fail(start, "unknown group "+name)
			}
			return p.reference(g, start, p.scope(f, off))
		}
		p.fail(start, "unknown extension")
	case r == ':':
		n := p.alternatives(f, off, false)
		p.closing(start)
		return &node{op: nodeSeq, subs: []*node{n}}
	case r == '#':
		for {
			r, escaped, ok := p.get()
			if !ok {
				p.fail(start, "a comment without its end")
				return nil
			}
			if !escaped && r == ')' {
				return nil
			}
		}
	case r == '=' || r == '!':
		return p.look(start, f, off, false, r == '!')
	case r == '<':
		r := p.must("the end within an extension")
		if r != '=' && r != '!' {
			p.fail(start, "unknown extension")
		}
		return p.look(start, f, off, true, r == '!')
	case r == '(':
		return p.condition(start, f, off)
	case r == '>':
		n := p.alternatives(f, off, false)
		p.closing(start)
		p.doubt(groupsOf(n)...)
		return &node{op: nodeAtomic, subs: []*node{n}}
	case r == '-' || flagOf[r] != 0 || r == 'L' || r == 't':
		add, remove, scoped := p.flags(r, start)
		if !scoped {
			if !first {
				p.fail(start, "global flags not at the start of the expression")
			}
			p.global |= add
			return nil
		}
		if add&typeFlags != 0 {
			f &^= typeFlags
		}
		n := p.alternatives((f|add)&^remove, off&^add|remove, false)
		p.closing(start)
		return &node{op: nodeSeq, subs: []*node{n}}
	default:
		p.fail(start, "unknown extension")
	}
	return nil
}

func (p *parser) closing(start int) {
	if !p.take(')') {
		p.fail(start, "a group without its end")
	}
}

func (p *parser) capture(name string, start int, f, off flags) *node {
	g := len(p.widths)
	p.widths = append(p.widths, nil)
	if name != "" {
		if _, ok := p.names[name]; ok {
			p.fail(start, "group "+name+" is defined twice")
		}
		p.names[name] = g
	}
	n := p.alternatives(f, off, false)
	p.closing(start)
	w := p.widthOf(n)
	p.widths[g] = &w
	return &node{op: nodeGroup, group: g, subs: []*node{n}}
}

// name reads the name of a group.
func (p *parser) name(end rune, start int) string {
	var b strings.Builder
	for {
		r, escaped, ok := p.get()
		if !ok {
			p.fail(start, "a group name without its end")
			return ""
		}
		if !escaped && r == end {
			break
		}
		if escaped {
			p.fail(start, "a group name with a backslash")
		}
		b.WriteRune(r)
	}
	name := b.String()
	if name == "" {
		p.fail(start, "a group without a name")
	}
	for i, r := range name {
		switch {
		case r >= utf8.RuneSelf:
			p.unsupported(start, "a group name beyond ASCII")
		case r != '_' && !isLetter(r) && (i == 0 || !isDigit(r)):
			p.fail(start, "a bad character in a group name")
		}
	}
	return name
}

func (p *parser) look(start int, f, off flags, behind, negate bool) *node {
	outermost := p.behind == 0
	if behind && outermost {
		p.behind = len(p.widths)
	}
	n := p.alternatives(f, off, false)
	if behind && outermost {
		p.behind = 0
	}
	p.closing(start)
	look := &node{op: nodeLook, subs: []*node{n}, negate: negate}
	if behind {
		w := p.widthOf(n)
		if w.min != w.max {
			p.fail(start, "looks behind at a text of varying width")
		}
		look.width = w.min
	}
	p.doubt(groupsOf(n)...)
	return look
}

func (p *parser) condition(start int, f, off flags) *node {
	from := p.next
	for p.next < len(p.chars) && p.chars[p.next] != ')' {
		p.next++
	}
	text := string(p.chars[from:p.next])
	if !p.take(')') || text == "" {
		p.fail(start, "a condition without a group")
		return nil
	}
	g, named := p.names[text]
	if !named {
		if strings.Trim(text, "0123456789") != "" {
			// Python's int would also take signs, blanks and other digits.
			p.unsupported(start, "a condition on an unknown group")
			return nil
		}
		if g = p.count(text, 0, start); g == 0 {
			p.fail(start, "a condition on group 0")
		}
	}
	p.refer(g, start)
	yes := p.sequence(f, off, false, false)
	no := &node{op: nodeSeq}
	if p.take('|') {
		no = p.sequence(f, off, false, false)
		if r, escaped, ok := p.peek(); ok && !escaped && r == '|' {
			p.fail(start, "a condition with more than two branches")
		}
	}
	p.closing(start)
	return &node{op: nodeCond, group: g, subs: []*node{yes, no}}
}

// refer checks a use of group g.
func (p *parser) refer(g, start int) {
	if g >= len(p.widths) || p.widths[g] == nil {
		p.unsupported(start, "a condition on a group that is not closed yet")
	}
	if p.behind != 0 && g >= p.behind {
		p.fail(start, "refers to a group of the same look-behind")
	}
	if g < len(p.shaky) && p.shaky[g] {
		p.unsupported(start, "refers to a group within a repeat, an atomic group or a look-around")
	}
	p.refers = true
}

func (p *parser) reference(g, start int, now flags) *node {
	if p.widths[g] == nil {
		p.fail(start, "refers to an open group")
	}
	p.refer(g, start)
	return &node{op: nodeRef, group: g, flags: now}
}

// flags parses flags from the first one, r, to ")" or ":".
func (p *parser) flags(r rune, start int) (add, remove flags, scoped bool) {
	one := func(r rune) flags {
		switch r {
		case 'L':
			p.fail(start, "flag L is for bytes")
		case 't':
			p.unsupported(start, "flag t")
		}
		if flagOf[r] == 0 {
			p.fail(start, "unknown flag")
		}
		return flagOf[r]
	}
	const unfinished = "flags without their end"
	for ; p.err == nil && r != '-' && r != ')' && r != ':'; r = p.must(unfinished) {
		if add |= one(r); add&typeFlags == typeFlags {
			p.fail(start, "flags a and u exclude each other")
		}
	}
	if r == ')' {
		return add, 0, false
	}
	if r == '-' {
		if r = p.must(unfinished); r == ':' {
			p.fail(start, "flags to turn off are missing")
		}
		for ; p.err == nil && r != ':'; r = p.must(unfinished) {
			if remove |= one(r); remove&typeFlags != 0 {
				p.fail(start, "flags a and u cannot be turned off")
			}
		}
	}
	if add&remove != 0 {
		p.fail(start, "a flag is turned on and off")
	}
	return add, remove, true
}

// widthOf is how many characters n matches, at least and at most.
func (p *parser) widthOf(n *node) width {
	var w width
	switch n.op {
	case nodeSet:
		return width{1, 1}
	case nodeSeq, nodeGroup, nodeAtomic:
		for _, s := range n.subs {
			sub := p.widthOf(s)
			w.min, w.max = saturate(w.min+sub.min), saturate(w.max+sub.max)
		}
	case nodeBranch, nodeCond:
		w.min = unbounded
		for _, s := range n.subs {
			sub := p.widthOf(s)
			w.min, w.max = min(w.min, sub.min), max(w.max, sub.max)
		}
	case nodeRepeat:
		sub := p.widthOf(n.subs[0])
		w.min, w.max = times(sub.min, n.min), times(sub.max, n.max)
	case nodeRef:
		if known := p.widths[n.group]; known != nil {
			return *known
		}
	}
	return w
}

func saturate(n int) int { return min(n, unbounded) }

func times(a, b int) int {
	if b > 0 && a > unbounded/b {
		return unbounded
	}
	return a * b
}

var escapes = map[rune]rune{'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '\\': '\\'}

// escape parses an escape outside classes; r follows the backslash.
func (p *parser) escape(r rune, start int, now flags) *node {
	switch r {
	case 'A':
		return &node{op: nodeAt, at: atBegin}
	case 'Z':
		return &node{op: nodeAt, at: atTextEnd}
	case 'b':
		return &node{op: nodeAt, at: pick(now&ascii != 0, atASCIIBoundary, atBoundary)}
	case 'B':
		return &node{op: nodeAt, at: pick(now&ascii != 0, atASCIINoBoundary, atNoBoundary)}
	}
	if c, ok := categoryOf(r, now); ok {
		s := &set{fold: foldOf(now)}
		s.categories = append(s.categories, c)
		return &node{op: nodeSet, set: s.finish()}
	}
	if isDigit(r) && r != '0' {
		return p.number(r, start, now)
	}
	return literal(p.character(r, start), now)
}

// number parses \1 to \99, a group, or three octal digits.
func (p *parser) number(r rune, start int, now flags) *node {
	g := int(r - '0')
	if p.next < len(p.chars) && isDigit(p.chars[p.next]) {
		second := p.chars[p.next]
		p.next++
		if isOctal(r) && isOctal(second) && p.next < len(p.chars) && isOctal(p.chars[p.next]) {
			c := (r-'0')*64 + (second-'0')*8 + p.chars[p.next] - '0'
			p.next++
			if c > 0o377 {
				p.fail(start, "an octal escape beyond \\377")
			}
			return literal(c, now)
		}
		g = g*10 + int(second-'0')
	}
	if g >= len(p.widths) {
		p.fail(start, "refers to a group that there is not")
		return nil
	}
	return p.reference(g, start, now)
}

// character parses an escape that stands for one character, in classes and outside.
func (p *parser) character(r rune, start int) rune {
	switch r {
	case 'x':
		return p.hex(2, start)
	case 'u':
		return p.hex(4, start)
	case 'U':
		c := p.hex(8, start)
		if c < 0 || c > unicode.MaxRune {
			p.fail(start, "a character beyond \\U0010ffff")
			return 0
		}
		return c
	case 'N':
		return p.named(start)
	}
	if isOctal(r) { // outside classes only \0
		c := r - '0'
		for n := 0; n < 2 && p.next < len(p.chars) && isOctal(p.chars[p.next]); n++ {
			c = c*8 + p.chars[p.next] - '0'
			p.next++
		}
		if c > 0o377 {
			p.fail(start, "an octal escape beyond \\377")
		}
		return c
	}
	if c, ok := escapes[r]; ok {
		return c
	}
	if isLetter(r) || isDigit(r) {
		p.fail(start, "bad escape \\"+string(r))
	}
	return r
}

func (p *parser) hex(n, start int) rune {
	var c uint32
	for range n {
		var d rune = -1
		if p.next < len(p.chars) {
			d = hexDigit(p.chars[p.next])
		}
		if d < 0 {
			p.fail(start, "an escape with too few digits")
			return 0
		}
		c = c<<4 | uint32(d)
		p.next++
	}
	return rune(c)
}

func hexDigit(r rune) rune {
	switch {
	case isDigit(r):
		return r - '0'
	case 'a' <= r && r <= 'f':
		return r - 'a' + 10
	case 'A' <= r && r <= 'F':
		return r - 'A' + 10
	}
	return -1
}

func (p *parser) named(start int) rune {
	if !p.take('{') {
		p.fail(start, "\\N without a name")
		return 0
	}
	from := p.next
	for p.next < len(p.chars) && p.chars[p.next] != '}' {
		p.next++
	}
	name := string(p.chars[from:p.next])
	if !p.take('}') {
		p.fail(start, "\\N without the end of the name")
	}
	c, ok := runeNamed(strings.ToUpper(name))
	if !ok {
		p.unsupported(start, "the name of a character beyond Latin, Greek and Cyrillic (write \\u and its number)")
	}
	return c
}

// class parses a set from after "[".
func (p *parser) class(start int, now flags) *node {
	s := &set{fold: foldOf(now), negate: p.take('^')}
	for n := 0; ; n++ {
		r, escaped, ok := p.get()
		if !ok {
			p.fail(start, "a set without its end")
			return nil
		}
		if !escaped && r == ']' && n > 0 {
			break
		}
		lo, cat, isCat := p.member(r, escaped, now)
		alone := func() {
			if isCat {
				s.categories = append(s.categories, cat)
			} else {
				s.add(lo, lo)
			}
		}
		if !p.take('-') {
			alone()
			continue
		}
		r, escaped, ok = p.get()
		if !ok {
			p.fail(start, "a set without its end")
			return nil
		}
		if !escaped && r == ']' {
			alone()
			s.add('-', '-')
			break
		}
		hi, _, hiIsCat := p.member(r, escaped, now)
		if isCat || hiIsCat || hi < lo {
			p.fail(p.next, "a bad range in a set")
		}
		s.add(lo, hi)
	}
	if s.fold != foldNone && s.beyond(0xffff) {
		p.unsupported(start, "a set that ignores case and has characters beyond U+FFFF")
	}
	if s.fold != foldNone {
		for _, r := range s.ranges {
			p.folded += int(r.hi-r.lo) + 1
		}
		if p.folded > maxFolded {
			p.unsupported(start, "so many large sets that ignore case")
			return nil
		}
	}
	return &node{op: nodeSet, set: s.finish()}
}

func (p *parser) member(r rune, escaped bool, now flags) (rune, category, bool) {
	if !escaped {
		return r, 0, false
	}
	if c, ok := categoryOf(r, now); ok {
		return 0, c, true
	}
	return p.character(r, p.next), 0, false
}

func literal(r rune, now flags) *node {
	s := &set{fold: foldOf(now)}
	s.add(r, r)
	beyond := s.fold != foldNone && r > 0xffff && (unicode.ToLower(r) != r || unicode.ToUpper(r) != r)
	return &node{op: nodeSet, set: s.finish(), beyond: beyond}
}

func isDigit(r rune) bool  { return '0' <= r && r <= '9' }
func isOctal(r rune) bool  { return '0' <= r && r <= '7' }
func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
