package feast

import (
	"context"
	"encoding/binary"
	"sync"
)

// OnlineRequest is an [OnlineQuery] with entity rows.
type OnlineRequest struct {
	Features         []string // see OnlineQuery
	FeatureService   string
	FullFeatureNames bool
	Expired          Expired
	FeastCompatible  bool
	ViewVersions     bool

	Entities Frame
}

func (r *OnlineRequest) query() OnlineQuery {
	return OnlineQuery{
		Features: r.Features, FeatureService: r.FeatureService, FullFeatureNames: r.FullFeatureNames,
		Expired: r.Expired, FeastCompatible: r.FeastCompatible, ViewVersions: r.ViewVersions,
	}
}

// GetOnlineFeatures reads features from the online store, one row for each entity row. Entity columns that name a join
// key of the project come first in the answer, in the order of the request; other columns are ignored.
//
// Queries are resolved once and kept by their shape. Where views failed while others were answered, the error is a
// [*PartialError] and the response holds the others.
func (fs *FeatureStore) GetOnlineFeatures(ctx context.Context, r OnlineRequest) (*OnlineResponse, error) {
	resp := &OnlineResponse{req: requests.Get().(*request)}
	p := fs.plans.get(fs, r.query(), &resp.req.shape)
	err := p.get(ctx, r.Entities, resp)
	resp.req.drop()
	requests.Put(resp.req)
	resp.req = nil
	if err != nil && resp.rows == 0 {
		return nil, err
	}
	return resp, err
}

// requests keeps the request memory of one-off reads.
var requests = sync.Pool{New: func() any { return new(request) }}

// maxPlans bounds how many shapes of one-off queries are kept.
const maxPlans = 1024

// plans keeps resolved one-off queries by shape.
type plans struct {
	mu      sync.RWMutex
	byShape map[string]*Prepared
}

// get returns the query of a shape, for which buf is memory. It resolves itself when it is used.
func (c *plans) get(fs *FeatureStore, q OnlineQuery, buf *[]byte) *Prepared {
	shape := appendShape((*buf)[:0], q)
	*buf = shape
	c.mu.RLock()
	p := c.byShape[string(shape)]
	c.mu.RUnlock()
	if p != nil {
		return p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.byShape[string(shape)]; p != nil {
		return p
	}
	if c.byShape == nil || len(c.byShape) >= maxPlans {
		c.byShape = map[string]*Prepared{}
	}
	p = &Prepared{fs: fs, query: cloneQuery(q)}
	c.byShape[string(shape)] = p
	return p
}

func (c *plans) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.byShape)
}

// appendShape appends what tells queries apart.
func appendShape(dst []byte, q OnlineQuery) []byte {
	flags := byte(q.Expired) << 4
	for i, set := range []bool{q.FullFeatureNames, q.FeastCompatible, q.ViewVersions} {
		if set {
			flags |= 1 << i
		}
	}
	dst = append(dst, flags)
	if q.FeatureService != "" {
		return append(append(dst, 's'), q.FeatureService...)
	}
	for _, f := range q.Features {
		dst = binary.AppendUvarint(dst, uint64(len(f)))
		dst = append(dst, f...)
	}
	return dst
}
