package featureserver

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/plan"
)

// metrics are those of Feast's server that this one can tell, by the names it has for them, in the text form of
// Prometheus (version 0.0.4).
type metrics struct {
	requests, latency, reads, entities, statuses, storeReads, pushes, materialize, duration *family

	families []*family
	cpu      cpuMeter
}

func (m *metrics) init() {
	add := func(name, help string, buckets []float64, labels ...string) *family {
		f := &family{name: name, help: help, labels: labels, buckets: buckets, series: map[key]*series{}}
		m.families = append(m.families, f)
		return f
	}
	m.requests = add("feast_feature_server_request_total", "Requests by endpoint.", nil, "endpoint", "status")
	m.latency = add("feast_feature_server_request_latency_seconds", "How long requests took.",
		[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, "endpoint", "feature_count", "feature_view_count")
	m.reads = add("feast_online_features_request_total", "Reads of online features.", nil)
	m.entities = add("feast_online_features_entity_count", "Entity rows of a read.", []float64{1, 5, 10, 25, 50, 100, 250, 500, 1000})
	m.statuses = add("feast_online_features_status_total", "Cells read, by status.", nil, "feature_view", "status")
	m.storeReads = add("feast_feature_server_online_store_read_duration_seconds", "How long reading features took.",
		[]float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10})
	m.pushes = add("feast_push_request_total", "Pushes that succeeded.", nil, "push_source", "mode")
	m.materialize = add("feast_materialization_result_total", "Materializations of feature views.", nil, "feature_view", "status")
	m.duration = add("feast_materialization_duration_seconds", "How long materializing a feature view took.",
		[]float64{1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}, "feature_view")
}

// labels are what the latency of a request is told apart by, empty for most endpoints.
type labels struct{ features, views string }

func (m *metrics) request(endpoint string, ok bool, l labels, took time.Duration) {
	status := "success"
	if !ok {
		status = "error"
	}
	m.requests.get(endpoint, status).add(1)
	m.latency.get(endpoint, l.features, l.views).observe(took.Seconds())
}

// countLabel is the bin of a number of features.
func countLabel(n int) string {
	switch {
	case n == 0:
		return "0"
	case n <= 10:
		return "1-10"
	case n <= 50:
		return "11-50"
	case n <= 200:
		return "51-200"
	}
	return "201+"
}

// family is a metric with its labels. Series are counters, or histograms where there are buckets.
type family struct {
	name, help string
	labels     []string
	buckets    []float64
	mu         sync.RWMutex
	series     map[key]*series
}

// maxSeries bounds how many series a metric has, so that nobody can fill the memory with names.
const maxSeries = 10_000

// key is the values of the labels.
type key [3]string

type series struct {
	values key
	total  atomic.Int64 // of a counter, or observations of a histogram
	sum    atomic.Uint64
	within []atomic.Int64 // by bucket
	bounds []float64
}

// get returns the series of some values of the labels.
func (f *family) get(values ...string) *series {
	var k key
	copy(k[:], values)
	f.mu.RLock()
	s := f.series[k]
	f.mu.RUnlock()
	if s != nil {
		return s
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s = f.series[k]; s != nil {
		return s
	}
	for i := range k {
		k[i] = strings.Clone(k[i])
	}
	s = &series{values: k, bounds: f.buckets, within: make([]atomic.Int64, len(f.buckets))}
	if len(f.series) < maxSeries { // else nobody sees it
		f.series[k] = s
	}
	return s
}

func (s *series) add(n int64) { s.total.Add(n) }

func (s *series) observe(v float64) {
	s.total.Add(1)
	for old := s.sum.Load(); !s.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)); old = s.sum.Load() {
	}
	if i, _ := slices.BinarySearch(s.bounds, v); i < len(s.within) {
		s.within[i].Add(1)
	}
}

// append appends the family in text form; nothing while it has no series.
func (f *family) append(b *bytes.Buffer) {
	f.mu.RLock()
	all := slices.Collect(maps.Values(f.series))
	f.mu.RUnlock()
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b *series) int { return slices.Compare(a.values[:], b.values[:]) })
	typ := "counter"
	if f.buckets != nil {
		typ = "histogram"
	}
	heading(b, f.name, f.help, typ)
	for _, s := range all {
		if f.buckets == nil {
			sample(b, f.name, f.labels, s.values[:], float64(s.total.Load()))
			continue
		}
		names := append(slices.Clone(f.labels), "le")
		sum := int64(0)
		for i := range s.within {
			sum += s.within[i].Load()
			sample(b, f.name+"_bucket", names, append(slices.Clone(s.values[:len(f.labels)]), number64(f.buckets[i])), float64(sum))
		}
		total := s.total.Load()
		sample(b, f.name+"_bucket", names, append(slices.Clone(s.values[:len(f.labels)]), "+Inf"), float64(max(total, sum)))
		sample(b, f.name+"_sum", f.labels, s.values[:], math.Float64frombits(s.sum.Load()))
		sample(b, f.name+"_count", f.labels, s.values[:], float64(max(total, sum)))
	}
}

func heading(b *bytes.Buffer, name, help, typ string) {
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, typ)
}

func number64(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func sample(b *bytes.Buffer, name string, labels, values []string, v float64) {
	b.WriteString(name)
	for i, l := range labels {
		if i == 0 {
			b.WriteByte('{')
		} else {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, `%s="%s"`, l, escapeLabel.Replace(values[i]))
	}
	if len(labels) > 0 {
		b.WriteByte('}')
	}
	b.WriteString(" " + number64(v) + "\n")
}

// read counts an answer.
func (m *metrics) read(resp *feast.OnlineResponse, took time.Duration) {
	m.storeReads.get().observe(took.Seconds())
	view, present, absent := "", int64(0), int64(0)
	flush := func() {
		if present > 0 {
			m.statuses.get(view, "present").add(present)
		}
		if absent > 0 {
			m.statuses.get(view, "not_found").add(absent)
		}
		present, absent = 0, 0
	}
	for _, c := range resp.Columns() {
		if c.View() == "" { // of an entity
			continue
		}
		if c.View() != view {
			flush()
			view = c.View()
		}
		if c.AllValid() {
			present += int64(c.Len())
			continue
		}
		for row := range c.Len() {
			if c.Status(row) == feast.NotFound {
				absent++
			} else {
				present++
			}
		}
	}
	flush()
}

// Metrics is the metrics page.
func (s *Server) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connection := deadlines(w, s.Timeout)
		defer lift(connection)
		m := &s.metrics
		var b bytes.Buffer
		for _, f := range m.families {
			f.append(&b)
		}
		s.process(&b)
		s.freshness(r.Context(), &b)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
		_, _ = w.Write(b.Bytes()) // a client that went away hears nothing
	})
}

// freshness tells how long ago each view was materialized.
func (s *Server) freshness(ctx context.Context, b *bytes.Buffer) {
	snap, err := s.Store.Snapshot(ctx)
	if err != nil {
		return
	}
	const name = "feast_feature_freshness_seconds"
	first := true
	for v := range snap.Views() {
		var end time.Time
		for _, i := range plan.Intervals(v) {
			if i.End.After(end) {
				end = i.End
			}
		}
		if end.IsZero() {
			continue
		}
		if first {
			heading(b, name, "Seconds since the end of the last materialization.", "gauge")
			first = false
		}
		sample(b, name, []string{"feature_view", "project"}, []string{v.Info().Name, snap.ProjectName()}, time.Since(end).Seconds())
	}
}

// cpuMeter measures the processor time between two looks.
type cpuMeter struct {
	mu   sync.Mutex
	at   time.Time
	used float64 // seconds
}

// process tells the use of processor, in percent of one since the last look, and of memory, in percent of all. Systems
// without /proc tell neither.
func (s *Server) process(b *bytes.Buffer) {
	pid := []string{strconv.Itoa(os.Getpid())}
	if used, ok := processorTime(); ok {
		m := &s.metrics.cpu
		m.mu.Lock()
		now := time.Now()
		percent := 0.0
		if !m.at.IsZero() {
			percent = 100 * max(0, used-m.used) / now.Sub(m.at).Seconds()
		}
		m.at, m.used = now, used
		m.mu.Unlock()
		heading(b, "feast_feature_server_cpu_usage", "Processor time in percent of one processor.", "gauge")
		sample(b, "feast_feature_server_cpu_usage", []string{"pid"}, pid, percent)
	}
	if percent, ok := memoryShare(); ok {
		heading(b, "feast_feature_server_memory_usage", "Resident memory in percent of the machine's.", "gauge")
		sample(b, "feast_feature_server_memory_usage", []string{"pid"}, pid, percent)
	}
}

// processorTime reads the seconds that the process has used, see proc(5).
func processorTime() (float64, bool) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil || runtime.GOOS != "linux" {
		return 0, false
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // behind the program's name
	f := strings.Fields(rest)
	const user, system, ticks = 11, 12, 100 // a second has as many ticks on all machines of Linux that Go runs on
	if len(f) <= system {
		return 0, false
	}
	u, err1 := strconv.ParseFloat(f[user], 64)
	v, err2 := strconv.ParseFloat(f[system], 64)
	return (u + v) / ticks, cmp.Or(err1, err2) == nil
}

// memoryShare reads how many percent of the machine's memory the process holds.
func memoryShare() (float64, bool) {
	own, ok1 := procField("/proc/self/status", "VmRSS:")
	all, ok2 := procField("/proc/meminfo", "MemTotal:")
	return 100 * own / all, ok1 && ok2 && all > 0
}

func procField(file, name string) (float64, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				v, err := strconv.ParseFloat(f[0], 64)
				return v, err == nil
			}
		}
	}
	return 0, false
}
