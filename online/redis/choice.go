package redis

import (
	"sync/atomic"

	"github.com/feastgo/feast/feasterr"
)

// ReadCommand is how a [Store] reads the hash of an entity. The answer is the same.
type ReadCommand string

// The commands of reads.
const (
	// ReadAuto takes whichever is cheaper for what is asked for and stored, see [Options].
	ReadAuto ReadCommand = "auto"
	// ReadFields asks for the fields that are wanted, HMGET, as Feast does.
	ReadFields ReadCommand = "hmget"
	// ReadHash asks for the whole hash, HGETALL.
	ReadHash ReadCommand = "hgetall"
)

func (c ReadCommand) check() error {
	switch c {
	case "", ReadAuto, ReadFields, ReadHash:
		return nil
	}
	return feasterr.Invalid("redis: ReadCommand must be auto, hmget or hgetall, is %q", string(c))
}

const (
	// listFields and listValue are the most fields, and the longest value, of a hash that Redis keeps as a list, unless it
	// is configured otherwise.
	listFields, listValue = 512, 64
	// askAgain is after how many reads of a key set a hash is looked at again, and a command that was refused is tried again.
	askAgain = 1 << 10
)

// shape is what is known of the hashes of a key set: what one of them was like.
type shape struct {
	fields  int  // how many it has
	steps   int  // how many fields a server passes by that searches from the beginning for each field asked for
	unasked int  // bytes of the values that were not asked for
	listed  bool // the server searches so: it keeps the hash as a list, not in a table
}

// guessed says how a server keeps a hash that does not tell.
func guessed(fields, longest int) (listed bool) { return fields <= listFields && longest <= listValue }

// listed reports whether an encoding that Redis names is a list.
func listed(encoding []byte) bool {
	switch string(encoding) {
	case "listpack", "ziplist", "listpackex":
		return true
	}
	return false
}

// whole reports whether HGETALL costs less than HMGET for so many fields. The costs are nanoseconds of server and client
// together, of Redis 7 on the machine of docs/performance.md; only their ratios matter.
func (s shape) whole(asked int) bool {
	if s.listed {
		return 90*s.fields+50*asked+s.unasked < 110*asked+8*s.steps
	}
	return 170*s.fields+20*asked+s.unasked < 215*asked
}

// learned is what reads of a key set have learned. At first, and then once in askAgain reads, the first key is read with
// HGETALL, whichever command the others are read with, and OBJECT ENCODING with it.
type learned struct {
	reads  atomic.Uint32
	state  atomic.Uint32
	denied refusal // of HGETALL
}

// States of what is learned.
const (
	unknown uint32 = iota
	fieldsCheaper
	wholeCheaper
)

// choose says how the next read goes: with HGETALL or not, and whether it looks at a hash.
func (l *learned) choose() (all, ask bool) {
	if l.denied.holds() {
		return false, false
	}
	state := l.state.Load()
	n := l.reads.Add(1)
	return state == wholeCheaper, n%askAgain == 1 || state == unknown && n&(n-1) == 0
}

// saw notes the shape of a hash.
func (l *learned) saw(s shape, asked int) {
	state := fieldsCheaper
	if s.whole(asked) {
		state = wholeCheaper
	}
	if s.fields > 0 && l.state.Load() != state {
		l.state.Store(state)
	}
}

// refusal remembers for a while that a server does not let a command pass.
type refusal struct{ left atomic.Int32 } // how many calls still go without it

func (r *refusal) came() { r.left.Store(askAgain) }

// holds reports whether a call, which it counts, goes without the command.
func (r *refusal) holds() bool { return r.left.Load() > 0 && r.left.Add(-1) >= 0 }
