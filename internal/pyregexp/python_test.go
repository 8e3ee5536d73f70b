package pyregexp

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// recorded opens a gzipped file of testdata. PYTHON_CORPUS names another corpus, not gzipped, of any length.
func recorded(t testing.TB, name string) io.Reader {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

type line struct {
	Expression string   `json:"p"`
	Texts      []string `json:"t"`
	Answers    string   `json:"m"`
}

func corpus(t testing.TB, r io.Reader) (lines []line) {
	t.Helper()
	for s := bufio.NewScanner(r); s.Scan(); {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}

// What Python refuses is refused, and what is not refused as unsupported matches as in Python.
func TestCorpus(t *testing.T) {
	r := recorded(t, "python311.jsonl.gz")
	if name := os.Getenv("PYTHON_CORPUS"); name != "" {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r = f
	}
	var total, refused, unsupported, matched, texts, wrong int
	var m Matcher
	for _, l := range corpus(t, r) {
		total++
		re, err := Compile(l.Expression)
		var failed *SyntaxError
		switch {
		case err == nil && l.Answers == "error":
			wrong++
			t.Errorf("%q compiles, which Python refuses", l.Expression)
		case err == nil:
			for i, text := range l.Texts {
				texts++
				m.Reset(text)
				got, err := m.FullMatch(re)
				if got {
					matched++
				}
				if want := l.Answers[i] == '1'; err != nil || got != want {
					wrong++
					t.Errorf("%q on %q: %t, %v, want %t", l.Expression, text, got, err, want)
				}
			}
		case !errors.As(err, &failed):
			t.Errorf("%q: %v is no *SyntaxError", l.Expression, err)
		case l.Answers == "error":
			refused++
		case failed.Unsupported:
			unsupported++
		default:
			wrong++
			t.Errorf("%v: Python compiles it", err)
		}
		if wrong > 30 {
			t.Fatal("and so on")
		}
	}
	t.Logf("%d expressions: %d refused as in Python, %d unsupported; %d of %d texts match", total, refused, unsupported, matched, texts)
	if refused < total/10 || unsupported > total/50 || matched < texts/25 {
		t.Error("the corpus does not test much")
	}
}

// Classes and case folding are Python's for every character that is assigned in Unicode 14.
func TestAlphabet(t *testing.T) {
	var table map[string][]rune
	if err := json.NewDecoder(recorded(t, "alphabet311.json.gz")).Decode(&table); err != nil {
		t.Fatal(err)
	}
	assigned := expand(table["assigned"])
	delete(table, "assigned")
	folded := map[rune][]rune{} // candidates of one-character expressions: whatever folds alike in any way
	for _, r := range assigned {
		for _, l := range append([]rune{r}, alikes[foldUnicode.lower(r)]...) {
			folded[foldUnicode.lower(l)] = append(folded[foldUnicode.lower(l)], r)
		}
	}
	var m Matcher
	for expression, ranges := range table {
		re, err := Compile(expression)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		want, candidates := expand(ranges), assigned
		if one, ok := strings.CutPrefix(expression, "(?i)"); ok && utf8.RuneCountInString(one) == 1 {
			r, _ := utf8.DecodeRuneInString(one)
			candidates = slices.Compact(slices.Sorted(slices.Values(append(folded[foldUnicode.lower(r)], want...))))
		}
		var got []rune
		for _, r := range candidates {
			m.Reset(string(r))
			if ok, err := m.FullMatch(re); err != nil {
				t.Fatal(err)
			} else if ok {
				got = append(got, r)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: differs in %q", expression, difference(got, want))
		}
	}
}

func expand(ranges []rune) (all []rune) {
	for i := 0; i < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			all = append(all, r)
		}
	}
	return all
}

func difference(a, b []rune) (d []rune) {
	in := map[rune]int{}
	for _, r := range a {
		in[r]++
	}
	for _, r := range b {
		in[r]--
	}
	for r, n := range in {
		if n != 0 {
			d = append(d, r)
		}
	}
	slices.Sort(d)
	return d[:min(len(d), 20)]
}

// Expressions that are made to explode, and others that are too large, end in time.
func TestCosts(t *testing.T) {
	long := strings.Repeat("a", 5000)
	for _, c := range []struct {
		expression, text string
		want             error
	}{
		{"(a+)+b", long[:64], nil},
		{"(a|aa)+b", long[:64], nil},
		{"(a*)*b", long, nil},
		{"(.*.*.*.*.*)=", long, nil},
		{"(?:a?){64}a{64}", long[:63], nil},
		{"((a{0,5}){0,5})*[c]", long[:64], nil},
		{"(?:(?:(?:(?:a*)*)*)*)*b", long[:256], nil},
		{`(a+)(a+)(a+)(a+)(a+)\1b`, long[:256], ErrTooCostly},
		{`(x?)(?:a|aa)+\1b`, long[:256], ErrTooCostly},
		{"(?:(?=.*b)a|(?=.*c)a|a)*", long, ErrTooCostly},
		{"(?:(?=a*(?=a*(?=a*b)))a|a)*", long[:300], ErrTooCostly},
		{"(?:" + strings.Repeat("a?", 2000) + ")", long, ErrTooCostly},
	} {
		re, err := Compile(c.expression)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		var m Matcher
		m.Reset(c.text)
		if _, err := m.FullMatch(re); !errors.Is(err, c.want) {
			t.Errorf("%.40q: %v with %d steps left, want %v", c.expression, err, m.steps, c.want)
		}
	}
	for _, expression := range []string{
		"(((a{1000}){1000}){1000}){1000}", "(?:(?:){4294967294}){4294967294}a{9000}", "((a?){500}){500}",
		strings.Repeat("(", 300) + strings.Repeat(")", 300), strings.Repeat(`(?i:[\0-\uffff])`, 100), strings.Repeat("(?:", 100000),
		strings.Repeat("a", 1<<20), strings.Repeat("a{0}", 9000), strings.Repeat("é|", 5000), "[" + strings.Repeat("ab", 1<<15) + "]",
		"(?#" + strings.Repeat("a", 1<<15) + ")",
	} {
		_, err := Compile(expression)
		if failed := (*SyntaxError)(nil); !errors.As(err, &failed) || !failed.Unsupported || len(err.Error()) > 1000 {
			t.Errorf("%.40q: %.100v", expression, err)
		}
	}
	for _, expression := range []string{"(?:(?:){4294967294}){4294967294}", strings.Repeat("é", 8000), "[" + strings.Repeat("é", 30000) + "]"} {
		if _, err := Compile(expression); err != nil {
			t.Error(err)
		}
	}
}

// Many expressions that are cheap are matched to the end, and one that is not takes what is left of all steps.
func TestShares(t *testing.T) {
	cheap, err := Compile(`.*(?:_a|_b|_c).*\d+`)
	if err != nil {
		t.Fatal(err)
	}
	costly, err := Compile(`(x?)(?:a|aa)+\1b`)
	if err != nil {
		t.Fatal(err)
	}
	var m Matcher
	m.Reset(strings.Repeat("a", 200))
	for range 10_000 {
		if ok, err := m.FullMatch(cheap); ok || err != nil {
			t.Fatalf("%t, %v", ok, err)
		}
	}
	if m.steps != maxSteps {
		t.Errorf("%d of %d steps are left", m.steps, maxSteps)
	}
	for range 2 {
		if _, err := m.FullMatch(costly); !errors.Is(err, ErrTooCostly) {
			t.Error(err)
		}
	}
	if m.Reset("aab"); m.steps != maxSteps {
		t.Error("a text takes steps from the next")
	}
	if ok, err := m.FullMatch(costly); !ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
}

func TestSyntaxErrors(t *testing.T) {
	for expression, want := range map[string]string{
		"a(b":               `"a(b" is not a regular expression as Python reads them: a group without its end at character 2`,
		"ab\\z":             `"ab\\z" is not a regular expression as Python reads them: bad escape \z at character 3`,
		"é**":               `"é**" is not a regular expression as Python reads them: multiple repeat at character 3`,
		"(?:(a)|b)*\\1":     `"(?:(a)|b)*\\1" is not supported: refers to a group within a repeat, an atomic group or a look-around at character 11`,
		`\N{SNOWMAN}`:       `"\\N{SNOWMAN}" is not supported: the name of a character beyond Latin, Greek and Cyrillic (write \u and its number) at character 1`,
		"a\xff":             `"a\xff" is not supported: text that is not UTF-8 at character 1`,
		"(?(1)a)(b)":        `"(?(1)a)(b)" is not supported: a condition on a group that is not closed yet at character 1`,
		"(?i)[\U00010400a]": `"(?i)[𐐀a]" is not supported: a set that ignores case and has characters beyond U+FFFF at character 5`,
	} {
		if _, err := Compile(expression); err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	var m Matcher
	m.Reset("a\xff")
	re, _ := Compile(".*")
	if ok, err := m.FullMatch(re); ok || err == nil {
		t.Error("text that is not UTF-8 is matched")
	}
}

func FuzzCompile(f *testing.F) {
	for i, l := range corpus(f, recorded(f, "python311.jsonl.gz")) {
		if i%20 == 0 && len(l.Texts) > 0 {
			f.Add(l.Expression, l.Texts[len(l.Texts)/2])
		}
	}
	f.Fuzz(func(t *testing.T, expression, text string) {
		re, err := Compile(expression)
		if failed := (*SyntaxError)(nil); err != nil {
			if !errors.As(err, &failed) || failed.Error() == "" {
				t.Errorf("%v", err)
			}
			return
		}
		var m Matcher
		m.Reset(text)
		got, err := m.FullMatch(re)
		if got && err != nil {
			t.Errorf("%q on %q: %v and a match", expression, text, err)
		}
		m.Reset(text)
		if again, _ := m.FullMatch(re); again != got {
			t.Errorf("%q on %q: %t, then %t", expression, text, got, again)
		}
		// The machine that remembers states and the one that does not agree, as far as the second comes.
		if err == nil && re.splits > 0 && !re.captures {
			slow := *re
			slow.captures = true
			m.Reset(text)
			if other, err := m.FullMatch(&slow); err == nil && other != got {
				t.Errorf("%q on %q: %t, without memory %t", expression, text, got, other)
			}
		}
	})
}
