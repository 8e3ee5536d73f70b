package calls

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Calls
		if c.Closed() || !c.Begin() || !c.Go(func() { time.Sleep(time.Hour) }) {
			t.Fatal("not open at first")
		}
		go func() {
			time.Sleep(time.Minute)
			if !c.Closed() || c.Begin() || c.Go(func() { t.Error("called after Close") }) {
				t.Error("not closed while Close waits")
			}
			time.Sleep(2 * time.Hour)
			c.End()
		}()
		start := time.Now()
		if !c.Close() {
			t.Error("the first Close is taken for another one")
		}
		if took := time.Since(start); took != 2*time.Hour+time.Minute {
			t.Errorf("Close took %v", took)
		}
		if c.Close() {
			t.Error("another Close is taken for the first")
		}
	})
}
