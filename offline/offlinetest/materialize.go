package offlinetest

import (
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/offline"
)

// goldenLatest compares the newest rows with those that Feast stored online, where the first step of a case is enough: what
// is stored, and in which form, is the front's.
func goldenLatest(t *testing.T, h Harness) {
	files, err := fs.Glob(goldenFiles, "testdata/materialize/*/case.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases: ", err)
	}
	for _, f := range files {
		dir := path.Dir(f)
		t.Run(path.Base(dir), func(t *testing.T) { h.bed(t).goldenLatest(dir) })
	}
}

type goldenValue struct {
	Val   string
	Value any
}

func (v goldenValue) text() string {
	return expectedValue(v.Value, v.Val == "double_val" || v.Val == "float_val")
}

func (b *bed) goldenLatest(dir string) {
	var c struct {
		goldenCase
		Steps []struct {
			Start time.Time `json:"start_date"`
			End   time.Time `json:"end_date"`
		}
	}
	readJSON(b, dir+"/case.json", &c)
	var answer struct {
		Steps []struct {
			Tables map[string][]struct {
				Key struct {
					Names  []string `json:"join_keys"`
					Values []goldenValue
				} `json:"entity_key"`
				Event    int64  `json:"event_ts"`
				Created  *int64 `json:"created_ts"`
				Features map[string]goldenValue
			} `json:"online_tables"`
		}
	}
	readJSON(b, dir+"/expected.json", &answer)
	view, src := c.Views[0], c.Sources[0]
	physical := src.physical()
	p := &offline.ScanPlan{
		Name: view.Name, Source: b.source(goldenTable(b, dir+"/"+src.File)...), Start: c.Steps[0].Start, End: c.Steps[0].End,
		Event: offline.Column{Source: physical(src.Timestamp), Name: "event"},
	}
	if src.Created != "" {
		p.Created = offline.Column{Source: physical(src.Created), Name: "created"}
	}
	for _, name := range view.Entities {
		for _, e := range c.Entities {
			if e.Name == name {
				p.Keys = append(p.Keys, offline.Column{Source: physical(e.JoinKey), Name: e.JoinKey})
			}
		}
	}
	for _, f := range view.Schema {
		if !slices.ContainsFunc(p.Keys, func(k offline.Column) bool { return k.Name == f.Name }) {
			p.Features = append(p.Features, offline.Column{Source: physical(f.Name), Name: f.Name})
		}
	}
	instant := func(seconds int64) string {
		text, _ := json.Marshal(map[string]string{"$ts": time.Unix(seconds, 0).UTC().Format(time.RFC3339)})
		return string(text)
	}
	var want []string
	for _, rows := range answer.Steps[0].Tables {
		for _, r := range rows {
			var cells []string
			for _, k := range p.Keys {
				cells = append(cells, r.Key.Values[slices.Index(r.Key.Names, k.Name)].text())
			}
			for _, f := range p.Features {
				cells = append(cells, r.Features[f.Name].text())
			}
			if cells = append(cells, instant(r.Event)); r.Created != nil {
				cells = append(cells, instant(*r.Created))
			}
			want = append(want, "["+strings.Join(cells, ",")+"]")
		}
	}
	equal(b, sorted(b.scan(b.store.Latest, p)), sorted(want)...)
}
