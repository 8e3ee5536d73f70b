package sqlite

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/feastgo/feast/types"
)

// TestLocalTimes compares with what Python's datetime does around changes of the clock, see testdata/make.py.
func TestLocalTimes(t *testing.T) {
	data, err := os.ReadFile("testdata/local_times.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases [][4]any
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		zone, err := time.LoadLocation(c[0].(string))
		if err != nil {
			t.Fatal(err)
		}
		seconds, stored, back := int64(c[1].(float64)), int64(c[2].(float64)), int64(c[3].(float64))
		if got := storedSeconds(types.Timestamp{Seconds: seconds}, zone); got != stored {
			t.Errorf("%s, %d: stored as %d, Python stores %d", c[0], seconds, got, stored)
		}
		if got := fromLocal(stored, zone); got != back {
			t.Errorf("%s, %d: read as %d, Python reads %d", c[0], stored, got, back)
		}
	}
}
