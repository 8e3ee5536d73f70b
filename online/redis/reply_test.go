package redis

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// TestTexts scans texts that come whole, byte by byte, and larger than the buffer.
func TestTexts(t *testing.T) {
	long := strings.Repeat("x", 3*readSize)
	for _, c := range []struct {
		reply string
		want  string
		null  bool
		err   error
	}{
		{reply: "$0\r\n\r\n"},
		{reply: "$3\r\na\r\n\r\n", want: "a\r\n"},
		{reply: "$12\r\nhello, world\r\n", want: "hello, world"},
		{reply: "$007\r\n1234567\r\n", want: "1234567"},
		{reply: fmt.Sprintf("$%d\r\n%s\r\n", len(long), long), want: long},
		{reply: "$-1\r\n", null: true},
		{reply: "_\r\n", null: true},
		{reply: "$3\r\nabcd\r\n", err: errGarbage},
		{reply: "$3\r\nabc\n\n", err: errGarbage},
		{reply: "$-2\r\n", err: errGarbage},
		{reply: "$\r\n", err: errGarbage},
		{reply: "$-\r\n", err: errGarbage},
		{reply: "$1x\r\na\r\n", err: errGarbage},
		{reply: "$1\rx", err: errGarbage},
		{reply: "$999999999\r\n", err: errGarbage},
		{reply: "$9999999999\r\n", err: errGarbage},
		{reply: "_1\r\n", err: errGarbage},
		{reply: "HTTP/1.1 400 Bad Request\r\n", err: errGarbage},
		{reply: "$3\r\nab", err: io.ErrUnexpectedEOF},
		{reply: "$12", err: io.ErrUnexpectedEOF},
		{reply: "", err: io.ErrUnexpectedEOF},
		{reply: "*1\r\n$1\r\na\r\n", err: errUnusual},
		{reply: ":1\r\n", err: errUnusual},
		{reply: "-ERR no\r\n", err: errUnusual},
		{reply: ">2\r\n$10\r\ninvalidate\r\n", err: errUnusual},
	} {
		for name, src := range map[string]io.Reader{
			"whole": strings.NewReader(c.reply), "bytes": iotest.OneByteReader(strings.NewReader(c.reply)), "memory": nil,
		} {
			var r replies
			if r.src = src; src == nil {
				r.reset([]byte(c.reply))
			}
			text, ok, err := r.text()
			if !errors.Is(err, c.err) || string(text) != c.want || ok != (c.err == nil && !c.null) {
				t.Errorf("%.20q, %s: %.20q, %t, %v, want %.20q, %v", c.reply, name, text, ok, err, c.want, c.err)
			}
			if err == nil && r.pos != r.end {
				t.Errorf("%.20q, %s: %d bytes are left", c.reply, name, r.end-r.pos)
			}
		}
	}
}

// TestTextsInARow scans more texts than the buffer holds, and stays in the buffer.
func TestTextsInARow(t *testing.T) {
	var in []byte
	for i := range 50_000 {
		in = append(in, fmt.Sprintf("$%d\r\n%d\r\n", len(fmt.Sprint(i)), i)...)
	}
	r := replies{src: iotest.HalfReader(bytes.NewReader(in))}
	for i := range 50_000 {
		text, ok, err := r.text()
		if want := fmt.Sprint(i); err != nil || !ok || string(text) != want {
			t.Fatalf("%q, %t, %v, want %s", text, ok, err, want)
		}
	}
	if len(r.buf) != readSize {
		t.Errorf("the buffer is of %d bytes, want %d", len(r.buf), readSize)
	}
	if _, _, err := r.text(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("at the end: %v", err)
	}
}

// TestPromises takes no memory for what a reply only promises.
func TestPromises(t *testing.T) {
	for _, reply := range []string{"$500000000\r\nx", "*2\r\n$500000000\r\n", "%999999999\r\n", "*999999998\r\n$1\r\n"} {
		g := newGroup([]*online.Table{hashTable()})
		dst := online.NewResult(online.NewReadPlan(g.tables), 1)
		s := newScratch([]group{g})
		s.one = replies{src: strings.NewReader(reply)}
		err := g.scan(&s.one, 0, true, dst, s)
		if !errors.Is(err, errGarbage) || len(s.one.buf) > readSize {
			t.Errorf("%q: %v, with a buffer of %d bytes", reply, err, len(s.one.buf))
		}
	}
}

// TestSkip skips whole replies of every kind, and goes back to where it began when one is not complete.
func TestSkip(t *testing.T) {
	for _, c := range []struct {
		reply string
		err   error
	}{
		{reply: "$3\r\nabc\r\n"},
		{reply: "$-1\r\n"},
		{reply: "_\r\n"},
		{reply: ":7\r\n"},
		{reply: "*-1\r\n"},
		{reply: "*0\r\n"},
		{reply: "-WRONGTYPE no hash\r\n"},
		{reply: "*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n%1\r\n$1\r\nb\r\n-ERR\r\n"},
		{reply: hashReply(true, 3, "a", "b", "c", "d")},
		{reply: "*2\r\n$1\r\na\r\n", err: io.ErrUnexpectedEOF},
		{reply: "$9\r\nabc\r\n", err: io.ErrUnexpectedEOF},
		{reply: "$3\r\nabcde", err: errGarbage},
		{reply: "$536870913\r\n", err: errGarbage},
		{reply: "*1\r\n?\r\n", err: errGarbage},
		{reply: ">1\r\n$1\r\na\r\n", err: errUnusual},
	} {
		after := ":5\r\n"
		if c.err != nil {
			after = ""
		}
		for name, src := range map[string]io.Reader{
			"at once": strings.NewReader(c.reply + after), "in pieces": iotest.OneByteReader(strings.NewReader(c.reply + after)),
		} {
			r := replies{src: src}
			r.mark()
			if err := r.skip(); !errors.Is(err, c.err) {
				t.Errorf("%q, %s: %v, want %v", c.reply, name, err, c.err)
			}
			at := r.pos
			r.rewind()
			if all := c.reply + after; !strings.HasPrefix(all, string(r.buf[r.pos:r.end])) || r.pos > at {
				t.Errorf("%q, %s: back at %q", c.reply, name, r.buf[r.pos:r.end])
			}
			if c.err != nil {
				continue
			}
			if err := r.skip(); err != nil {
				t.Errorf("%q, %s, again: %v", c.reply, name, err)
			}
			if _, n, err := r.header(); err != nil || n != 5 {
				t.Errorf("%q, %s: then %d, %v", c.reply, name, n, err)
			}
		}
	}
}

// TestMark keeps what is scanned while more comes than the buffer holds, and only then.
func TestMark(t *testing.T) {
	text := fmt.Sprintf("$%d\r\n%s\r\n", 3*readSize, strings.Repeat("x", 3*readSize))
	r := replies{src: iotest.HalfReader(strings.NewReader(":1\r\n" + text + ":2\r\n"))}
	if _, n, err := r.header(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	r.mark()
	for range 2 {
		if got, ok, err := r.text(); err != nil || !ok || len(got) != 3*readSize {
			t.Fatalf("a text of %d bytes, %t, %v", len(got), ok, err)
		}
		r.rewind()
	}
	if _, _, err := r.text(); err != nil {
		t.Error(err)
	}
	r.unmark()
	if _, n, err := r.header(); n != 2 || err != nil {
		t.Error(n, err)
	}
}

// hashTable is a table of this test.
func hashTable() *online.Table {
	return &online.Table{
		Project: "p", View: "v", JoinKeys: []string{"k"},
		Features: []types.Field{{Name: "a", Type: types.Int64}, {Name: "b", Type: types.String}},
	}
}

// hashReply is the reply to HGETALL or HMGET about a hash of fields and values by turns, null for "".
func hashReply(all bool, version int, pairs ...string) string {
	var b strings.Builder
	switch {
	case all && version == 3:
		fmt.Fprintf(&b, "%%%d\r\n", len(pairs)/2)
	case all:
		fmt.Fprintf(&b, "*%d\r\n", len(pairs))
	default:
		fmt.Fprintf(&b, "*%d\r\n", len(pairs)/2)
	}
	for i, p := range pairs {
		switch null := p == "null"; {
		case i%2 == 0 && !all:
		case null && version == 3:
			b.WriteString("_\r\n")
		case null:
			b.WriteString("$-1\r\n")
		default:
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(p), p)
		}
	}
	return b.String()
}

// TestScan scans replies about hashes.
func TestScan(t *testing.T) {
	a, b, ts := featureField("v", "a"), featureField("v", "b"), "_ts:v"
	time100 := "\x08\x64"
	for _, c := range []struct {
		name  string
		all   bool
		pairs []string
		found bool
		a     any
		err   string // of the row
		fatal error  // of the reply
	}{
		{name: "values", pairs: []string{ts, time100, a, "\x20\x05", b, "\x12\x01x"}, found: true, a: int64(5)},
		{name: "values", all: true, pairs: []string{a, "\x20\x05", b, "\x12\x01x", ts, time100, "other", "z"}, found: true, a: int64(5)},
		{name: "nothing", pairs: []string{ts, "null", a, "null", b, "null"}},
		{name: "nothing", all: true},
		{name: "no time", pairs: []string{ts, "null", a, "\x20\x05", b, "null"}},
		{name: "no time", all: true, pairs: []string{a, "\x20\x05"}},
		{name: "the epoch", pairs: []string{ts, "", a, "\x20\x05", b, "null"}, found: true, a: int64(5)},
		{name: "the epoch", all: true, pairs: []string{ts, "", a, "\x20\x05"}, found: true, a: int64(5)},
		{name: "bad value", pairs: []string{ts, time100, a, "\x20", b, "null"}, err: "redis: read v: feature a of feature view v, row 0: "},
		{name: "bad value", all: true, pairs: []string{a, "\x20", ts, time100}, err: "redis: read v: feature a of feature view v, row 0: "},
		{name: "bad value of no row", all: true, pairs: []string{a, "\x20"}},
		{name: "bad time", pairs: []string{ts, "\x08", a, "\x20\x05", b, "null"}, err: "redis: read v: row 0: event time: "},
		{name: "bad time", all: true, pairs: []string{a, "\x20\x05", ts, "\x08"}, err: "redis: read v: row 0: event time: "},
		{name: "too few", pairs: []string{ts, time100, a, "\x20\x05"}, fatal: errGarbage},
		{name: "null value", all: true, pairs: []string{a, "null"}, fatal: errGarbage},
		{name: "null field", all: true, pairs: []string{"null", "x"}, fatal: errGarbage},
	} {
		for _, version := range []int{2, 3} {
			table := hashTable()
			g := newGroup([]*online.Table{table})
			dst := online.NewResult(online.NewReadPlan(g.tables), 1)
			s := newScratch([]group{g})
			s.one.reset([]byte(hashReply(c.all, version, c.pairs...)))
			err := g.scan(&s.one, 0, c.all, dst, s)
			name := fmt.Sprintf("%s, all %t, version %d", c.name, c.all, version)
			if !errors.Is(err, c.fatal) {
				t.Errorf("%s: error %v, want %v", name, err, c.fatal)
			}
			switch {
			case c.err == "" && dst.Err(table) != nil:
				t.Errorf("%s: the row has error %v", name, dst.Err(table))
			case c.err != "" && (dst.Err(table) == nil || !strings.HasPrefix(dst.Err(table).Error(), c.err)):
				t.Errorf("%s: the row has error %v, want %s", name, dst.Err(table), c.err)
			}
			if dst.Found(table, 0) != c.found || dst.Column(table, 0).Any(0) != c.a {
				t.Errorf("%s: found %t, a %v, want %t, %v", name, dst.Found(table, 0), dst.Column(table, 0).Any(0), c.found, c.a)
			}
			if !c.found && dst.Column(table, 0).Status(0) != types.NotFound {
				t.Errorf("%s: a has status %v", name, dst.Column(table, 0).Status(0))
			}
		}
	}
}

// TestFieldIndex finds every field, among them two features whose hashes are the same and a view asked for twice.
func TestFieldIndex(t *testing.T) {
	var fields []field
	for i := range 300 {
		fields = append(fields, field{name: featureField("v", fmt.Sprint("f", i))})
	}
	fields = append(fields, field{name: "_ts:v"}, field{name: "_ts:w"}, field{name: "_ts"}, field{name: ""}, fields[7])
	x := newFieldIndex(fields)
	for i, f := range fields {
		want, same := i, -1
		if i == 7 {
			want, same = len(fields)-1, -1
		} else if i == len(fields)-1 {
			same = 7
		}
		if got := x.find(fields, []byte(f.name)); got != want || fields[i].same != same {
			t.Errorf("field %d: found %d with %d, want %d with %d", i, got, fields[i].same, want, same)
		}
	}
	for _, name := range []string{"_ts:x", "abcd", "x", "a longer name"} {
		if got := x.find(fields, []byte(name)); got != -1 {
			t.Errorf("%q: found %d", name, got)
		}
	}
	if got := newFieldIndex(nil).find(nil, []byte("a")); got != -1 {
		t.Errorf("no fields: found %d", got)
	}
}

// FuzzReplies scans what no Redis server sends. What comes in pieces is scanned as what comes at once.
func FuzzReplies(f *testing.F) {
	var golden struct {
		Keys []struct {
			Fields []struct{ Field, Value string }
		}
	}
	readJSON(f, "dump.json", &golden)
	for i, k := range golden.Keys {
		var pairs []string
		for _, p := range k.Fields {
			name, err := hex.DecodeString(p.Field)
			if err != nil {
				f.Fatal(err)
			}
			value, err := hex.DecodeString(p.Value)
			if err != nil {
				f.Fatal(err)
			}
			pairs = append(pairs, string(name), string(value))
		}
		f.Add([]byte(hashReply(true, 2+i%2, pairs...)), true)
	}
	f.Add([]byte(hashReply(false, 2, "", "\x08\x64", "", "\x20\x05", "", "\x12\x01x")), false)
	f.Add([]byte(hashReply(false, 3, "", "null", "", "null", "", "null")), false)
	f.Add([]byte("-MOVED 1 127.0.0.1:1\r\n"), true)
	f.Add([]byte(">2\r\n$1\r\na\r\n*1\r\n*1\r\n"), true)
	f.Add([]byte("$-1\r\n"), false)
	f.Fuzz(func(t *testing.T, reply []byte, all bool) {
		scan := func(r replies) (*online.Result, *online.Table, string, int) {
			table := hashTable()
			g := newGroup([]*online.Table{table})
			dst := online.NewResult(online.NewReadPlan(g.tables), 1)
			s := newScratch([]group{g})
			err := g.scan(&r, 0, all, dst, s)
			if err != nil && dst.Found(table, 0) {
				t.Error("a row was found in what is no reply")
			}
			if len(r.buf) > max(readSize, 4*len(reply)) {
				t.Errorf("a buffer of %d bytes for %d", len(r.buf), len(reply))
			}
			if whole := (replies{buf: reply, end: len(reply)}); err == nil && r.src == nil && (whole.skip() != nil || whole.pos != r.pos) {
				t.Errorf("%d bytes are the reply, %d are skipped", r.pos, whole.pos)
			}
			if err == nil && r.pos == r.end {
				_ = g.answered(&replies{buf: reply, end: len(reply)}, s)
			}
			return dst, table, fmt.Sprint(err, dst.Err(table)), r.end - r.pos
		}
		one, table, oneErr, _ := scan(replies{buf: reply, end: len(reply)})
		two, _, twoErr, _ := scan(replies{src: iotest.OneByteReader(bytes.NewReader(reply))})
		if oneErr != twoErr || one.Found(table, 0) != two.Found(table, 0) {
			t.Errorf("at once: %s, in pieces: %s", oneErr, twoErr)
		}
		for i := range table.Features {
			if a, b := one.Column(table, i).AppendValue(nil, 0), two.Column(table, i).AppendValue(nil, 0); !bytes.Equal(a, b) {
				t.Errorf("feature %d: %x at once, %x in pieces", i, a, b)
			}
		}
	})
}
