package remote

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/feastgo/feast/registry"
)

// FuzzAnswer takes answers of a server apart: whatever comes, it is an error or a record.
func FuzzAnswer(f *testing.F) {
	b, err := os.ReadFile("testdata/no_auth.json")
	if err != nil {
		f.Fatal(err)
	}
	var recording struct {
		Calls []struct {
			Response struct{ Base64 []byte }
		}
	}
	if err := json.Unmarshal(b, &recording); err != nil {
		f.Fatal(err)
	}
	for _, c := range recording.Calls {
		f.Add(c.Response.Base64)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, k := range kinds {
			err := each(answer, func(message []byte) {
				r, err := registry.ReadRecord(k.kind, "demo", message)
				if r.Kind != k.kind || err == nil && k.kind != registry.KindProject && r.Project != "demo" {
					t.Errorf("%v, %v", r.ID, err)
				}
				if err == nil {
					_, _ = registry.Decode(r)
				}
			})
			if err != nil {
				return
			}
		}
		if kind, view, err := anyView(answer); err == nil {
			if _, err := registry.ReadRecord(kind, "demo", view); err == nil && !kind.IsView() {
				t.Errorf("a %s", kind)
			}
		}
	})
}
