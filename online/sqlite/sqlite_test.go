package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "online.db")
	onlinetest.Run(t, onlinetest.Harness{
		Open: func(t testing.TB, _ string) online.Store {
			s, err := New(Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		FeatureTimes: true,
		Resolution:   time.Second,
		Tables:       true,
	})
}
