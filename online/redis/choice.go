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
	// listpackFields is the most fields of a hash that Redis keeps as a list, unless it is configured otherwise.
	listpackFields = 512
	// askAgain is after how many reads the server is asked again how it keeps a key set's hashes.
	askAgain = 1 << 10
)

// encoding is how a server keeps a hash.
type encoding uint8

const (
	unknown encoding = iota
	list             // fields one after the other: HMGET searches for each
	table            // a hash table
)

func encodingOf(name []byte) encoding {
	switch string(name) {
	case "listpack", "ziplist", "listpackex":
		return list
	case "":
		return unknown
	}
	return table
}

// learned is what reads of a key set have learned of its hashes: how many fields one has and how it is kept. Reads that ask
// for fields have HLEN and OBJECT ENCODING of one key with them when nothing is known, then once in askAgain; replies to
// HGETALL say how many fields there are by themselves.
type learned struct {
	reads  atomic.Uint32
	hash   atomic.Uint64 // fields<<8 | encoding; 0: nothing is known
	denied atomic.Bool   // the server does not let these questions or HGETALL pass
}

func (l *learned) state() (fields int, enc encoding) {
	h := l.hash.Load()
	return int(h >> 8), encoding(h)
}

// seen notes how many fields a hash has, and if it is known how it is kept.
func (l *learned) seen(fields int, enc encoding) {
	was := l.hash.Load()
	if enc == unknown {
		enc = encoding(was)
	}
	if is := uint64(fields)<<8 | uint64(enc); fields > 0 && is != was {
		l.hash.Store(is)
	}
}

// choose says how the next read goes: with HGETALL or not, and whether it asks how hashes are kept.
func (l *learned) choose(asked int) (all, ask bool) {
	if l.denied.Load() {
		return false, false
	}
	fields, enc := l.state()
	n := l.reads.Add(1)
	return cheaperWhole(asked, fields, enc), n%askAgain == 1 || fields == 0 && n&(n-1) == 0
}

// cheaperWhole reports whether HGETALL costs less than HMGET. The costs are those of Redis 7 in nanoseconds, with
// those of reading the reply, on the machine of docs/performance.md; only their ratios matter. Nothing is known when fields is 0.
func cheaperWhole(asked, fields int, enc encoding) bool {
	const (
		pair = 100 // a field and its value are sent and skipped or decoded
		one  = 150 // a field is sent, its value is sent and decoded
		step = 6   // a field is passed by in the search for another in a list
	)
	if fields == 0 {
		return false
	}
	get := asked * one
	if enc == list || enc == unknown && fields <= listpackFields {
		get += asked * fields / 2 * step
	}
	return fields*pair < get
}
