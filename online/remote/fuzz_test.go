package remote

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/feastgo/feast/types"
)

// FuzzAnswer: any text is an answer that is JSON, or an error.
func FuzzAnswer(f *testing.F) {
	b, err := os.ReadFile("testdata/exchanges.json")
	if err != nil {
		f.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Exchanges []struct {
				Body string `json:"response_body"`
			}
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		f.Fatal(err)
	}
	for _, c := range file.Cases {
		for _, x := range c.Exchanges {
			f.Add([]byte(x.Body))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var a answer
		if a.parse(text) != nil {
			return
		}
		for i, column := range a.columns {
			if _, err := a.name(i); err != nil {
				return
			}
			var c cells
			c.reset(column)
			col := types.NewColumn("f", types.Float64, 1)
			rows := 0
			for {
				more, err := c.next()
				if err != nil {
					return
				}
				if !more {
					break
				}
				rows++
				_ = col.SetJSON(0, c.value)
			}
			if rows != column.rows() {
				t.Fatalf("%d rows, and %d counted", rows, column.rows())
			}
		}
	})
}
