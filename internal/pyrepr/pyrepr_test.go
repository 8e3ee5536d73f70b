package pyrepr

import (
	"encoding/json"
	"testing"
)

// The texts are those of Python's repr.
func TestValue(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, "None"}, {true, "True"}, {false, "False"}, {json.Number("1.50"), "1.50"}, {7, "7"},
		{"a", "'a'"}, {"it's", `"it's"`}, {`it's "x"`, `'it\'s "x"'`}, {"a\\\n\t\x00é\u200b\U000e0001", `'a\\\n\t\x00é\u200b\U000e0001'`},
		{[]string{"a", "b"}, "['a', 'b']"}, {[]any{}, "[]"}, {Tuple{"body"}, "('body',)"}, {Tuple{"body", 1}, "('body', 1)"}, {Tuple{}, "()"},
		{map[string]any{"b": 1, "a": []any{nil}}, "{'a': [None], 'b': 1}"}, {Dict{"z", 1, "a", Dict{}}, "{'z': 1, 'a': {}}"},
	} {
		if got := Value(c.v); got != c.want {
			t.Errorf("%#v: %s, want %s", c.v, got, c.want)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"a": "'a'", "it's": `"it's"`, `it's "x"`: `'it\'s "x"'`, "a\\b\n\t\x01": `'a\\b\n\t\x01'`, "ü": "'ü'",
	} {
		if got := Text(in); got != want {
			t.Errorf("%q is %s, want %s", in, got, want)
		}
	}
}
