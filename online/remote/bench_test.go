package remote_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/online/remote"
	client "github.com/feastgo/feast/remote"
	"github.com/feastgo/feast/types"
)

const features = 50

// wide is a table of 50 features of Float64, and the answer for some rows of it.
func wide(rows int) (*online.Table, *online.Keys, []byte) {
	t := &online.Table{View: "stats", JoinKeys: []string{"driver_id"}}
	var keys []online.Key
	for row := range rows {
		keys = append(keys, online.Key{Bytes: onlinetest.Key("driver_id", int64(1000+row)), Row: row})
	}
	var results []any
	names := []string{}
	for f := range features {
		name := fmt.Sprint("feature_", f)
		t.Features = append(t.Features, types.Field{Name: name, Type: types.Float64})
		var values []float64
		var statuses, times []string
		for row := range rows {
			values = append(values, float64(row*features+f)/7)
			statuses, times = append(statuses, "PRESENT"), append(times, "2024-01-02T03:04:05Z")
		}
		names = append(names, "stats__"+name)
		results = append(results, map[string]any{"values": values, "statuses": statuses, "event_timestamps": times})
	}
	b, err := json.Marshal(map[string]any{"results": results, "metadata": map[string]any{"feature_names": names}})
	if err != nil {
		panic(err)
	}
	return t, online.NewKeys(keys), b
}

func canned(answer []byte) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = (&bytes.Buffer{}).ReadFrom(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}))
}

// BenchmarkRead reads 50 features, beside a bare client that decodes the same answer into Go slices.
func BenchmarkRead(b *testing.B) {
	for _, rows := range []int{1, 100} {
		table, keys, answer := wide(rows)
		server := canned(answer)
		b.Run(fmt.Sprintf("%dx%d/store", rows, features), func(b *testing.B) {
			s, err := remote.New(client.HTTPOptions{URL: server.URL, Retries: 3})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			plan := online.NewReadPlan([]*online.Table{table})
			r, err := s.Prepare(plan)
			if err != nil {
				b.Fatal(err)
			}
			res := new(online.Result)
			b.ReportAllocs()
			for b.Loop() {
				res.Reset(plan, rows)
				if err := r.Read(b.Context(), keys, res); err != nil {
					b.Fatal(err)
				}
			}
			if v, err := types.Values[float64](res.Column(table, 7)); err != nil || v[0] != 1 {
				b.Fatal(v, err)
			}
		})
		b.Run(fmt.Sprintf("%dx%d/bare", rows, features), func(b *testing.B) {
			ids := make([]int64, rows)
			for i := range ids {
				ids[i] = int64(1000 + i)
			}
			refs := make([]string, features)
			for i, f := range table.Features {
				refs[i] = "stats:" + f.Name
			}
			c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 50}}
			defer c.CloseIdleConnections()
			b.ReportAllocs()
			for b.Loop() {
				body, err := json.Marshal(map[string]any{"features": refs, "entities": map[string]any{"driver_id": ids}, "full_feature_names": true})
				if err != nil {
					b.Fatal(err)
				}
				resp, err := c.Post(server.URL+"/get-online-features", "application/json", bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				var got struct {
					Results []struct {
						Values   []float64   `json:"values"`
						Statuses []string    `json:"statuses"`
						Times    []time.Time `json:"event_timestamps"`
					} `json:"results"`
					Metadata struct {
						Names []string `json:"feature_names"`
					} `json:"metadata"`
				}
				err = json.NewDecoder(resp.Body).Decode(&got)
				_ = resp.Body.Close()
				if err != nil || got.Results[7].Values[0] != 1 {
					b.Fatal(got, err)
				}
			}
		})
		server.Close()
	}
}

// What a read allocates does not grow with its cells.
func TestReadAllocates(t *testing.T) {
	allocs := func(rows int) float64 {
		table, keys, answer := wide(rows)
		server := canned(answer)
		defer server.Close()
		s, err := remote.New(client.HTTPOptions{URL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		plan := online.NewReadPlan([]*online.Table{table})
		r, err := s.Prepare(plan)
		if err != nil {
			t.Fatal(err)
		}
		res := new(online.Result)
		read := func() {
			res.Reset(plan, rows)
			if err := r.Read(t.Context(), keys, res); err != nil {
				t.Fatal(err)
			}
		}
		read()
		return testing.AllocsPerRun(50, read)
	}
	one, many := allocs(1), allocs(100)
	if many > one+20 { // of 5,000 cells
		t.Errorf("%v allocations for 50 cells, %v for 5,000", one, many)
	}
	t.Logf("%v allocations for 50 cells, %v for 5,000", one, many)
}
