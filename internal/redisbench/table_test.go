package redisbench

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/cputime"
)

// competitor is one way to the same answer. The i-th request is for the i-th entities.
type competitor struct {
	name string
	read func(i int) error
	sum  func() (present int, ints int64)

	wall, cpu, allocs, bytes []float64 // of each round, per request
}

// turn makes requests for about a moment and notes what they cost. What the turn before has left to the garbage collector
// is collected first, and the caches are the competitor's own.
func (c *competitor) turn(b *testing.B, from, n int) {
	runtime.GC()
	if err := c.read(from + n); err != nil {
		b.Fatalf("%s: %v", c.name, err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, used := time.Now(), cputime.Used()
	for i := from; i < from+n; i++ {
		if err := c.read(i); err != nil {
			b.Fatalf("%s: %v", c.name, err)
		}
	}
	wall, cpu := time.Since(start), cputime.Used()-used
	runtime.ReadMemStats(&after)
	per := func(v float64) float64 { return v / float64(n) }
	c.wall = append(c.wall, per(float64(wall)))
	c.cpu = append(c.cpu, per(float64(cpu)))
	c.allocs = append(c.allocs, per(float64(after.Mallocs-before.Mallocs)))
	c.bytes = append(c.bytes, per(float64(after.TotalAlloc-before.TotalAlloc)))
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// sumOf is answer.sum of a response, whose first column is the entity.
func sumOf(out *feast.OnlineResponse, types []feast.Type) (present int, ints int64) {
	for f, t := range types {
		c := out.At(f + 1)
		var v []int64
		if t == feast.Int64 {
			v, _ = feast.Values[int64](c)
		}
		for row := range out.Len() {
			if c.Status(row) != feast.Present {
				continue
			}
			present++
			if v != nil {
				ints += v[row]
			}
		}
	}
	return present, ints
}

// BenchmarkTable prints what one request costs. Competitors take turns, so that what else the machine does meets all; the
// medians of the turns are shown.
func BenchmarkTable(b *testing.B) {
	for _, mixed := range []bool{false, true} {
		for _, listpack := range []int{512, 128} {
			name := map[bool]string{false: "int64", true: "mixed"}[mixed]
			b.Run(fmt.Sprintf("%s/listpack=%d", name, listpack), func(b *testing.B) {
				r := newRepo(b, mixed, listpack)
				fmt.Printf("\n%s, hash-max-listpack-entries %d (hashes of %d fields, %s), %d entities, 30 of 100 rows missing\n\n",
					r.name, listpack, features+views, r.encodingOf(b), entities)
				fmt.Println("| rows x features | way | us | x floor | cpu us | x floor | allocs | bytes |")
				fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- |")
				for _, rows := range tableRows() {
					for _, n := range []int{50, 250} {
						cell(b, r, rows, n)
					}
				}
				r.addVectors(b)
				for _, rows := range tableRows() {
					for _, n := range []int{50, 250} {
						vectorCell(b, r, rows, n)
					}
				}
				if python := os.Getenv("FEAST_PYTHON"); python != "" && listpack == 512 {
					feastInPython(b, python, r)
				}
			})
		}
	}
}

// getInto is a prepared query of this library, with memory that is used again.
func getInto(b *testing.B, name string, fs *feast.FeatureStore, query feast.OnlineQuery, types []feast.Type, ids [][]int64) *competitor {
	ctx := context.Background()
	q, err := fs.PrepareOnline(ctx, query)
	if err != nil {
		b.Fatal(err)
	}
	var batch feast.Batch
	var out feast.OnlineResponse
	return &competitor{
		name: name,
		read: func(i int) error {
			batch.Reset()
			feast.SetColumn(&batch, "entity", ids[i%len(ids)])
			return q.GetInto(ctx, &batch, &out)
		},
		sum: func() (int, int64) { return sumOf(&out, types) },
	}
}

// ours are the two ways of this library.
func ours(b *testing.B, fs *feast.FeatureStore, types []feast.Type, ids [][]int64) []*competitor {
	ctx := context.Background()
	names := refs(len(types))
	var resp *feast.OnlineResponse
	return []*competitor{
		getInto(b, "GetInto", fs, feast.OnlineQuery{Features: names}, types, ids),
		{
			name: "GetOnlineFeatures",
			read: func(i int) (err error) {
				resp, err = fs.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: names, Entities: feast.Columns{"entity": ids[i%len(ids)]}})
				return err
			},
			sum: func() (int, int64) { return sumOf(resp, types) },
		},
	}
}

func cell(b *testing.B, r *repo, rows, n int) {
	ids := asked(rows)
	var all []*competitor
	for _, whole := range []bool{false, true} {
		f := newFloor(b, r, n, ids, whole)
		all = append(all, &competitor{name: map[bool]string{false: "floor, HMGET", true: "floor, HGETALL"}[whole], read: f.read, sum: f.answer.sum})
	}
	for _, whole := range []bool{false, true} {
		h := newByHand(b, r, n, ids, whole)
		all = append(all, &competitor{name: map[bool]string{false: "by hand, HMGET", true: "by hand, HGETALL"}[whole], read: h.read, sum: h.sum})
	}
	all = append(all, ours(b, r.fs, r.types[:n], ids)...)
	query := feast.OnlineQuery{Features: refs(n)}
	near := getInto(b, "GetInto, near cache", r.near, query, r.types[:n], ids)
	all = append(all, getInto(b, "GetInto, direct_reads: false", r.through, query, r.types[:n], ids), near)
	for i := range ids { // it has everything then
		if err := near.read(i); err != nil {
			b.Fatal(err)
		}
	}
	compete(b, fmt.Sprintf("%d x %d", rows, n), all, 2)
}

// compete has competitors take turns and prints what they need, and the ratio to the better of the first ones, which are floors.
func compete(b *testing.B, name string, all []*competitor, floors int) {
	const rounds, moment = 21, 10 * time.Millisecond
	counts := make([]int, len(all))
	var present int
	var ints int64
	for k, c := range all {
		for i := range 3 { // memory grows
			if err := c.read(i); err != nil {
				b.Fatalf("%s: %v", c.name, err)
			}
		}
		p, s := c.sum()
		if k == 0 {
			present, ints = p, s
		} else if p != present || s != ints {
			b.Fatalf("%s answers %d values with sum %d, %s %d and %d", c.name, p, s, all[0].name, present, ints)
		}
		start := time.Now()
		if err := c.read(3); err != nil {
			b.Fatal(err)
		}
		counts[k] = int(moment/max(time.Since(start), 1)) + 1
	}
	for round := range rounds {
		for k, c := range all {
			c.turn(b, round*counts[k], counts[k])
		}
	}
	best := slices.MinFunc(all[:floors], func(a, b *competitor) int { return cmp.Compare(median(a.wall), median(b.wall)) })
	for _, c := range all {
		fmt.Printf("| %s | %s | %.1f | %.2f | %.1f | %.2f | %.0f | %.0f |\n", name, c.name, median(c.wall)/1000,
			ratio(c.wall, best.wall), median(c.cpu)/1000, ratio(c.cpu, best.cpu), median(c.allocs), median(c.bytes))
	}
}

// ratio is the median of the ratios of turns, each to the other's in the same round.
func ratio(v, to []float64) float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = v[i] / to[i]
	}
	return median(out)
}

//go:embed testdata/feast.py
var program []byte

// feastInPython prints what the same requests take in Feast.
func feastInPython(b *testing.B, python string, r *repo) {
	cmd := exec.Command(python, "-", r.dir, fmt.Sprint(entities))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(program), os.Stderr
	text, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	var lines []struct {
		Rows, Features, Present int
		Wall, CPU               float64
	}
	if err := json.Unmarshal(text, &lines); err != nil {
		b.Fatal(err)
	}
	for _, l := range lines {
		fmt.Printf("| %d x %d | Feast in Python | %.0f | | %.0f | | | |\n", l.Rows, l.Features, l.Wall*1e6, l.CPU*1e6)
	}
}

// tableRows are the rows of requests; REDISBENCH_ROWS leaves one.
func tableRows() []int {
	if n, err := strconv.Atoi(os.Getenv("REDISBENCH_ROWS")); err == nil {
		return []int{n}
	}
	return []int{1, 10, 100, 1000}
}
