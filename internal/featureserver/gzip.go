package featureserver

import (
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// zipFrom is the size from which answers are compressed. Below, the bytes that are saved cost more than they are worth.
const zipFrom = 32 << 10

var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // a level that exists
	return z
}}

// zip compresses b into c.zipped.
func (c *call) zip(b []byte) {
	z := zippers.Get().(*gzip.Writer)
	defer zippers.Put(z)
	out := appender{c.zipped[:0]}
	z.Reset(&out)
	_, _ = z.Write(b) // into memory
	_ = z.Close()
	z.Reset(nil)
	c.zipped = out.b
}

// appender is memory to write to.
type appender struct{ b []byte }

func (a *appender) Write(b []byte) (int, error) {
	a.b = append(a.b, b...)
	return len(b), nil
}

// acceptsGzip reports whether a client takes gzip, by its Accept-Encoding headers.
func acceptsGzip(h http.Header) bool {
	any := false
	for _, line := range h["Accept-Encoding"] {
		for item := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(item, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			if name != "gzip" && name != "x-gzip" && name != "*" {
				continue
			}
			wanted := true
			if q, ok := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q="); ok {
				weight, err := strconv.ParseFloat(q, 64)
				wanted = err == nil && weight > 0
			}
			if name != "*" {
				return wanted
			}
			any = wanted
		}
	}
	return any
}
