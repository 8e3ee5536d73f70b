package featureserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// What Python 3.11 says of the same texts, and where it sees the fault.
func TestSyntax(t *testing.T) {
	for in, want := range map[string]string{
		"":               "Expecting value at byte 0",
		"  ":             "Expecting value at byte 2",
		"{":              "Expecting property name enclosed in double quotes at byte 1",
		`{"a":1,}`:       "Expecting property name enclosed in double quotes at byte 7",
		`{"a" 1}`:        "Expecting ':' delimiter at byte 5",
		`{"a":}`:         "Expecting value at byte 5",
		`{"a":1 "b":2}`:  "Expecting ',' delimiter at byte 7",
		"[1,]":           "Expecting value at byte 3",
		"[1 2]":          "Expecting ',' delimiter at byte 3",
		`"abc`:           "Unterminated string starting at at byte 0",
		`"a\q"`:          `Invalid \escape at byte 2`,
		`"\u12g4"`:       `Invalid \uXXXX escape at byte 2`,
		"\"a\nb\"":       "Invalid control character at at byte 2",
		"1 2":            "Extra data at byte 2",
		"01":             "Extra data at byte 1",
		"1.":             "Extra data at byte 1",
		"-":              "Expecting value at byte 0",
		"nul":            "Expecting value at byte 0",
		"1e":             "Extra data at byte 1",
		"{}x":            "Extra data at byte 2",
		`{'a':1}`:        "Expecting property name enclosed in double quotes at byte 1",
		"[1,2":           "Expecting ',' delimiter at byte 4",
		`"\`:             "Unterminated string starting at at byte 0",
		`[NaN,-Infinity`: "Expecting ',' delimiter at byte 14",
	} {
		if _, err := check([]byte(in)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
	if _, err := check([]byte(strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth))); err != nil {
		t.Errorf("%d levels: %v", maxDepth, err)
	}
	for _, deep := range []string{strings.Repeat("[", maxDepth+1), strings.Repeat(`{"a":`, 1_000_000)} {
		if _, err := check([]byte(deep)); !errors.Is(err, errDepth) {
			t.Errorf("too deep: %v", err)
		}
	}
}

func TestValues(t *testing.T) {
	for in, want := range map[string]any{
		"null": nil, "true": true, "false": false, "NaN": nil, "-1.5e3": json.Number("-1.5e3"), "18446744073709551616": json.Number("18446744073709551616"),
		`"a\u00fc\n\ud83d\ude00"`: "aü\n😀", `[1, "x", [], {"a": null}]`: []any{json.Number("1"), "x", []any{}, map[string]any{"a": nil}},
		`{"a":1,"b":2,"a":3}`: map[string]any{"a": json.Number("3"), "b": json.Number("2")},
	} {
		v, err := check([]byte(in))
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		if got := v.native(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, want %#v", in, got, want)
		}
	}
	many := "{"
	for range 40 {
		many += `"a":0,"b":1,"c":2,`
		for _, letter := range "defghijklmnopqrstuvwxyz" {
			many += `"` + string(letter) + `":3,`
		}
	}
	v, err := check([]byte(many + `"a":[7]}`))
	if err != nil {
		t.Fatal(err)
	}
	fields := v.fields(nil)
	if len(fields) != 26 || fields[0].name != "a" || string(fields[0].value) != "[7]" || fields[25].name != "z" {
		t.Errorf("%d fields: %v", len(fields), fields[0])
	}
}

func TestTypedColumns(t *testing.T) {
	parse := func(s string) text {
		v, err := check([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if got, ok := parse("[ -1, 0 ,9223372036854775807,-9223372036854775808]").ints(nil); !ok || !reflect.DeepEqual(got, []int64{-1, 0, 1<<63 - 1, -1 << 63}) {
		t.Errorf("%v %t", got, ok)
	}
	for _, odd := range []string{"[1,2.0]", "[1,null]", "[9223372036854775808]", `["1"]`, "[1,true]", "[1,NaN]", "[1e3]"} {
		if _, ok := parse(odd).ints(nil); ok {
			t.Errorf("%s are integers", odd)
		}
	}
	if got, ok := parse("[1.5,-2e-3]").floats(nil); !ok || !reflect.DeepEqual(got, []float64{1.5, -2e-3}) {
		t.Errorf("%v %t", got, ok)
	}
	for _, odd := range []string{"[1.5,2]", "[1.5,NaN]", "[1.5,-Infinity]", "[1e999]"} {
		if _, ok := parse(odd).floats(nil); ok {
			t.Errorf("%s are floats", odd)
		}
	}
	if got, ok := parse(`["", "a\"b", "ü", "\u00fc"]`).texts(nil); !ok || !reflect.DeepEqual(got, []string{"", `a"b`, "ü", "ü"}) {
		t.Errorf("%q %t", got, ok)
	}
	if _, ok := parse(`["a",1]`).texts(nil); ok {
		t.Error("a number is a text")
	}
}

func TestAcceptsGzip(t *testing.T) {
	for in, want := range map[string]bool{
		"": false, "gzip": true, "deflate, gzip;q=0.5": true, "gzip;q=0": false, "*": true, "*;q=0, gzip": true, "identity": false, "br": false,
		"gzip; q=x": false, "GZIP": true,
	} {
		if got := acceptsGzip(map[string][]string{"Accept-Encoding": {in}}); got != want {
			t.Errorf("%q: %t", in, got)
		}
	}
}

// TestSurrogates: half a pair is no character, and is not made another one: that would be the key of somebody else.
func TestSurrogates(t *testing.T) {
	for in, want := range map[string]string{
		`"\ud83d\ude00"`: "", `"\uD83D\uDE00\ud83d\ude00"`: "", `"\\ud800"`: "", `"\u00fc"`: "",
		`"\ud800"`: `\ud800`, `"\udc00\ud800"`: `\udc00`, `["\ud83d\ude00\ude00"]`: `\ude00`, `{"\uDBFFx":1}`: `\uDBFF`, `"\ud800\n"`: `\ud800`,
		`"\ud800\ud83d\ude00"`: `\ud800`, `"\ud800\\udc00"`: `\ud800`,
	} {
		_, err := check([]byte(in))
		half, ok := errors.AsType[halfPair](err)
		if string(half) != want || ok != (err != nil) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
	if _, err := check([]byte(`"\ud800`)); err == nil || err.Error() != "Unterminated string starting at at byte 0" {
		t.Error(err)
	}
}

// FuzzJSON compares the reader of bodies with encoding/json on what both read.
func FuzzJSON(f *testing.F) {
	seed(f, func(body string) { f.Add([]byte(body)) })
	f.Add([]byte(`{"\ud83d\ude00":"\ud800","a":"\udc00\ud800"}`))
	f.Add([]byte(`[NaN,Infinity,-Infinity,{"a":{"a":1},"a":2}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := check(body)
		if !utf8.Valid(body) {
			return
		}
		var want any
		d := json.NewDecoder(strings.NewReader(string(body)))
		d.UseNumber()
		if err != nil {
			if _, half := errors.AsType[halfPair](err); half {
				if json.Valid(body) && (d.Decode(&want) != nil || !strings.Contains(fmt.Sprint(want), "\uFFFD")) {
					t.Fatalf("%q has half a pair: %v", body, err)
				}
				return
			}
			if wrong, ok := errors.AsType[*syntaxError](err); !ok || wrong.at < 0 || wrong.at > len(body) {
				t.Fatalf("%q: %v", body, err)
			}
			if !errors.Is(err, errDepth) && json.Valid(body) {
				t.Fatalf("%q is refused: %v", body, err)
			}
			return
		}
		if !json.Valid(body) {
			if !strings.Contains(string(body), "NaN") && !strings.Contains(string(body), "Infinity") {
				t.Fatalf("%q is taken", body)
			}
			_ = v.native()
			return
		}
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got := v.native(); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is %#v, want %#v", body, got, want)
		}
		compact := v.appendCompact(nil)
		again, err := check(compact)
		if err != nil || !reflect.DeepEqual(again.native(), want) {
			t.Fatalf("%q is written %q", body, compact)
		}
		if n := v.values(); n < 1 || n > len(body) {
			t.Fatalf("%q has %d values", body, n)
		}
	})
}

// seed gives the recorded bodies.
func seed(t testing.TB, add func(body string)) {
	t.Helper()
	raw, err := os.ReadFile("../../testdata/serving/http.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct{ Request struct{ Body string } }
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if len(e.Request.Body) < 1000 {
			add(e.Request.Body)
		}
	}
}
