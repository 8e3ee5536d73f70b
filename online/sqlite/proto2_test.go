package sqlite

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func BenchmarkRestrict(b *testing.B) {
	path := protoDB(b, 250)
	for _, want := range []int{1, 5, 25, 50, 125, 250} {
		for _, how := range []string{"all", "point", "in", "inlit"} {
			b.Run(fmt.Sprintf("%d/%s", want, how), func(b *testing.B) {
				c, _ := open(path, 0x8002)
				feats := []string{}
				for _, f := range rand.Perm(250)[:want] {
					feats = append(feats, fmt.Sprintf("feature_%03d", f))
				}
				m := map[string]int{}
				for i, f := range feats {
					m[f] = i
				}
				q := `SELECT feature_name, value, event_ts FROM "p_v" WHERE entity_key = ?`
				switch how {
				case "point":
					q += " AND feature_name = ?"
				case "in":
					q += " AND feature_name IN (?" + strings.Repeat(",?", want-1) + ")"
				case "inlit":
					q += " AND feature_name IN ('" + strings.Join(feats, "','") + "')"
				}
				s, err := c.prepare(q)
				if err != nil {
					b.Fatal(err)
				}
				begin, _ := c.prepare("BEGIN")
				commit, _ := c.prepare("COMMIT")
				ptr := []*stmt{}
				for i := range feats {
					x := *s
					x.buf, x.size = 0, 0
					ptr = append(ptr, &x)
					if how == "in" {
						ptr[i].blob(i+2, []byte(feats[i]))
						_ = i
					}
				}
				if how == "in" {
					for i, f := range feats {
						s.text(i+2, f)
					}
				}
				for b.Loop() {
					n := 0
					begin.step()
					begin.reset()
					for k := 0; k < 1000; k += 100 {
						key := protoKey(k)
						s.blob(1, key)
						loops := 1
						if how == "point" {
							loops = want
						}
						for l := range loops {
							if how == "point" {
								s.text(2, feats[l])
							}
							for {
								ok, err := s.step()
								if err != nil {
									b.Fatal(err)
								}
								if !ok {
									break
								}
								if _, ok := m[string(s.bytes(0))]; !ok {
									continue
								}
								if len(s.bytes(1)) == 0 || s.int(2) == 0 {
									b.Fatal()
								}
								n++
							}
							s.reset()
						}
					}
					commit.step()
					commit.reset()
					if n != want*10 {
						b.Fatal(n, want)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*10), "ns/key")
			})
		}
	}
}
