package projectmeta_test

import (
	"maps"
	"testing"

	"github.com/feastgo/feast/internal/projectmeta"
)

func TestText(t *testing.T) {
	for _, tc := range []struct {
		text string
		rows map[string]string
		back string // "": as it was
	}{
		{"0b1c", map[string]string{"project_uuid": "0b1c"}, ""},
		{"", map[string]string{"project_uuid": ""}, ""},
		{`{"a": "b", "project_uuid": "0b1c"}`, map[string]string{"a": "b", "project_uuid": "0b1c"}, `{"a":"b","project_uuid":"0b1c"}`},
		{`{"a":"b"}`, map[string]string{"a": "b"}, ""},
		{`{"project_uuid":"0b1c"}`, map[string]string{"project_uuid": "0b1c"}, "0b1c"},
		{`{"a":1}`, map[string]string{"project_uuid": `{"a":1}`}, ""},
		{`{"a":"b"`, map[string]string{"project_uuid": `{"a":"b"`}, ""},
		{`{}`, map[string]string{"project_uuid": `{}`}, ""},
		{`{"last_updated_timestamp":"1"}`, map[string]string{"project_uuid": `{"last_updated_timestamp":"1"}`}, ""},
	} {
		rows := projectmeta.Rows(tc.text)
		if !maps.Equal(rows, tc.rows) {
			t.Errorf("%s: %v", tc.text, rows)
		}
		want := tc.back
		if want == "" {
			want = tc.text
		}
		if got := projectmeta.Text(rows); got != want {
			t.Errorf("%s became %s", tc.text, got)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a", "b", "0b1c")
	f.Add("", "\x00\"", "{}")
	f.Fuzz(func(t *testing.T, key, value, uuid string) {
		text := projectmeta.Text(map[string]string{key: value, projectmeta.UUID: uuid})
		if again := projectmeta.Text(projectmeta.Rows(text)); again != text && key != projectmeta.UUID {
			t.Errorf("%q became %q", text, again)
		}
	})
}
