package pyregexp

type opcode uint8

const (
	opMatch  opcode = iota // the end of the expression, or of the part that opLook and opAtomic run
	opSet                  // one character of set
	opAt                   // at
	opSplit                // go on at x, or else at y; slot numbers the states to remember
	opJump                 // x
	opEnter                // begins a pass of a loop: slot notes the position
	opAgain                // ends it: on at x, or at y when the pass matched nothing
	opSave                 // group bounds: slot
	opRef                  // group slot again
	opCond                 // on at x if group slot has matched, else at y
	opLook                 // run what follows from width characters back; on at x
	opAtomic               // run what follows; on at x from where it ended
)

type atKind uint8

const (
	atBegin atKind = iota
	atLineBegin
	atEnd
	atLineEnd
	atTextEnd
	atBoundary
	atNoBoundary
	atASCIIBoundary
	atASCIINoBoundary
)

type inst struct {
	op     opcode
	at     atKind
	negate bool
	fold   folding
	slot   int
	width  int
	x, y   int
	set    *set
}

// maxProgram bounds what an expression may become when its repeats are written out.
const maxProgram = 8192

type compiler struct {
	parser *parser
	prog   []inst
	splits int
	slots  int
}

func (c *compiler) emit(i inst) int {
	if len(c.prog) == maxProgram {
		c.parser.unsupported(0, "repeats that make it so large")
		return len(c.prog) - 1
	}
	if i.op == opSplit {
		i.slot = c.splits
		c.splits++
	}
	c.prog = append(c.prog, i)
	return len(c.prog) - 1
}

func (c *compiler) here() int { return len(c.prog) }

func (c *compiler) emitAll(n *node) {
	switch n.op {
	case nodeSet:
		c.emit(inst{op: opSet, set: n.set})
	case nodeAt:
		c.emit(inst{op: opAt, at: n.at})
	case nodeSeq:
		for _, s := range n.subs {
			c.emitAll(s)
		}
	case nodeBranch:
		c.branch(n.subs)
	case nodeGroup:
		if !c.parser.refers {
			c.emitAll(n.subs[0])
			return
		}
		c.emit(inst{op: opSave, slot: 2 * n.group})
		c.emitAll(n.subs[0])
		c.emit(inst{op: opSave, slot: 2*n.group + 1})
	case nodeAtomic:
		c.run(inst{op: opAtomic}, n.subs[0])
	case nodeLook:
		c.run(inst{op: opLook, negate: n.negate, width: n.width}, n.subs[0])
	case nodeRef:
		c.emit(inst{op: opRef, slot: n.group, fold: foldOf(n.flags)})
	case nodeCond:
		cond := c.emit(inst{op: opCond, slot: n.group})
		c.prog[cond].x = c.here()
		c.emitAll(n.subs[0])
		jump := c.emit(inst{op: opJump})
		c.prog[cond].y = c.here()
		c.emitAll(n.subs[1])
		c.prog[jump].x = c.here()
	case nodeRepeat:
		c.repeat(n)
	}
}

func (c *compiler) run(i inst, n *node) {
	at := c.emit(i)
	c.emitAll(n)
	c.emit(inst{op: opMatch})
	c.prog[at].x = c.here()
}

func (c *compiler) branch(alternatives []*node) {
	var jumps []int
	for i, n := range alternatives {
		if i == len(alternatives)-1 {
			c.emitAll(n)
			break
		}
		split := c.emit(inst{op: opSplit})
		c.prog[split].x = c.here()
		c.emitAll(n)
		jumps = append(jumps, c.emit(inst{op: opJump}))
		c.prog[split].y = c.here()
	}
	for _, j := range jumps {
		c.prog[j].x = c.here()
	}
}

// repeat writes the passes out: those that must be, then those that may be or a loop. A pass that may be and matches
// nothing is the last, as in CPython. A possessive repeat gives nothing back, neither whole passes nor within one.
func (c *compiler) repeat(n *node) {
	if n.mode == possessive {
		item := &node{op: nodeAtomic, subs: n.subs}
		c.run(inst{op: opAtomic}, &node{op: nodeRepeat, subs: []*node{item}, min: n.min, max: n.max})
		return
	}
	body := n.subs[0]
	for range n.min {
		from := c.here()
		c.emitAll(body)
		if c.here() == from {
			return // nothing, however often, or no room
		}
	}
	if n.max == unbounded {
		split := c.emit(inst{op: opSplit})
		pass, again := c.pass(body)
		c.prog[again].x = split
		c.exits(n.mode, []int{split}, []int{pass}, []int{again})
		return
	}
	var splits, passes, ends []int
	for i := n.min; i < n.max && c.parser.err == nil; i++ {
		splits = append(splits, c.emit(inst{op: opSplit}))
		pass, again := c.pass(body)
		c.prog[again].x = c.here()
		passes, ends = append(passes, pass), append(ends, again)
		if again == pass+1 {
			break
		}
	}
	c.exits(n.mode, splits, passes, ends)
}

func (c *compiler) pass(body *node) (enter, again int) {
	slot := c.slots
	c.slots++
	enter = c.emit(inst{op: opEnter, slot: slot})
	c.emitAll(body)
	return enter, c.emit(inst{op: opAgain, slot: slot})
}

// exits lets splits and ends of passes go on behind the repeat.
func (c *compiler) exits(mode repeatMode, splits, passes, ends []int) {
	out := c.here()
	for i, s := range splits {
		c.prog[s].x, c.prog[s].y = passes[i], out
		if mode == lazy {
			c.prog[s].x, c.prog[s].y = out, passes[i]
		}
		c.prog[ends[i]].y = out
	}
}
