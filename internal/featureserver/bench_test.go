package featureserver_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasttest"
	"github.com/feastgo/feast/internal/cputime"
)

// wide is a feature store in memory with 50 int64 features of 100 drivers, and their references.
func wide(t testing.TB) (*feasttest.Store, []string) {
	t.Helper()
	view := &feast.FeatureView{Name: "stats", Entities: []string{"driver"}, Online: true}
	ids := make([]int64, 100)
	for i := range ids {
		ids[i] = int64(i)
	}
	rows := feast.Columns{"driver_id": ids}
	var refs []string
	for f := range 50 {
		name := "f" + strconv.Itoa(f)
		view.Schema = append(view.Schema, feast.Field{Name: name, Type: feast.Int64})
		refs = append(refs, "stats:"+name)
		values := make([]int64, len(ids))
		for i := range values {
			values[i] = int64(i*f) << 30
		}
		rows[name] = values
	}
	fs := feasttest.New(t, []feast.Object{&feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64}, view}, feasttest.Rows("stats", rows))
	return fs, refs
}

// discard is a client that does not look.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// request makes requests with the same body.
func request(path, body string) func() *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, nil)
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(body))
	return func() *http.Request {
		c := *r
		c.Body = readCloser{strings.NewReader(body)}
		return &c
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func readBody(refs []string, rows int) string {
	ids := make([]string, rows)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return `{"features":["` + strings.Join(refs, `","`) + `"],"entities":{"driver_id":[` + strings.Join(ids, ",") + `]}}`
}

// BenchmarkRead is what the handler costs without the network, beside the read alone.
func BenchmarkRead(b *testing.B) {
	fs, refs := wide(b)
	s := newServer(b, fs.FeatureStore, nil)
	for _, rows := range []int{1, 100} {
		b.Run(strconv.Itoa(rows)+"x50/in process", func(b *testing.B) {
			q, err := fs.PrepareOnline(b.Context(), feast.OnlineQuery{Features: refs})
			if err != nil {
				b.Fatal(err)
			}
			ids := make([]int64, rows)
			var batch feast.Batch
			var out feast.OnlineResponse
			done := cputime.Report(b)
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				feast.SetColumn(&batch, "driver_id", ids)
				if err := q.GetInto(b.Context(), &batch, &out); err != nil {
					b.Fatal(err)
				}
			}
			done()
		})
		for _, encoding := range []string{"identity", "gzip"} {
			b.Run(strconv.Itoa(rows)+"x50/handler/"+encoding, func(b *testing.B) {
				next := request("/get-online-features", readBody(refs, rows))
				w := &discard{http.Header{}}
				done := cputime.Report(b)
				b.ReportAllocs()
				for b.Loop() {
					r := next()
					r.Header.Set("Accept-Encoding", encoding)
					clear(w.h)
					s.ServeHTTP(w, r)
				}
				done()
			})
		}
	}
}
