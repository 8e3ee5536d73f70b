package duration_test

import (
	"math"
	"testing"
	"time"

	"github.com/feastgo/feast/internal/duration"
)

func TestFormat(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0: "0s", day: "1d", 36500 * day: "36500d", -day: "-1d", 36 * time.Hour: "36h", 2 * time.Hour: "2h",
		90 * time.Minute: "1h30m", 10 * time.Minute: "10m", time.Hour + time.Second: "1h0m1s", 1500 * time.Millisecond: "1.5s",
		math.MaxInt64: "2562047h47m16.854775807s", math.MinInt64: "-2562047h47m16.854775808s",
	} {
		got := duration.Format(d)
		if got != want {
			t.Errorf("%d is %s, want %s", d, got, want)
		}
		if again, ok := duration.Parse(got); !ok || again != d {
			t.Errorf("%s reads as %s, %t", got, again, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"7d", "1d12h", "-1d", "90m", "0s", "d", "1d-1h", "106751d23h47m16.854775807s", "106752d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := duration.Parse(s)
		if !ok {
			return
		}
		if again, ok := duration.Parse(duration.Format(d)); !ok || again != d {
			t.Errorf("%q is %s, which reads as %s, %t", s, duration.Format(d), again, ok)
		}
	})
}
