package sqlite

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

func BenchmarkRatio(b *testing.B) {
	_ = os.Args
	for _, features := range []int{50, 250} {
		s, t := benchTable(b, features)
		for _, rows := range []int{1, 100} {
			var keys [][]byte
			for _, n := range rand.New(rand.NewPCG(3, 4)).Perm(benchEntities)[:rows] {
				keys = append(keys, benchKey(n))
			}
			b.Run(fmt.Sprintf("%dx%d", rows, features), func(b *testing.B) {
				table := *t
				read, floor := storeRead(b, s, &table, keys), floorRead(b, s, t, keys)
				n := max(1, 5000/rows/features)
				var ratios, fl, rd []float64
				for range 400 {
					at := time.Now()
					for range n {
						floor()
					}
					mid := time.Now()
					for range n {
						read()
					}
					end := time.Now()
					fl = append(fl, float64(mid.Sub(at).Nanoseconds())/float64(n))
					rd = append(rd, float64(end.Sub(mid).Nanoseconds())/float64(n))
					ratios = append(ratios, float64(end.Sub(mid))/float64(mid.Sub(at)))
				}
				slices.Sort(ratios)
				slices.Sort(fl)
				slices.Sort(rd)
				b.Logf("ratio median %.3f; floor p10 %.0f median %.0f; read p10 %.0f median %.0f; p10 ratio %.3f", ratios[200], fl[40], fl[200], rd[40], rd[200], rd[40]/fl[40])
			})
		}
	}
}
