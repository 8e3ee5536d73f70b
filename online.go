package feast

import (
	"context"
	"encoding/binary"
	"sync"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
)

// OnlineRequest is an [OnlineQuery] with entity rows.
type OnlineRequest struct {
	Features         []string // see OnlineQuery
	FeatureService   string
	FullFeatureNames bool
	Expired          Expired
	Require          Require
	Partial          Partial
	FeastCompatible  bool
	ViewVersions     bool

	Entities Frame // the join keys, and the request data of on-demand views
}

func (r *OnlineRequest) query() OnlineQuery {
	return OnlineQuery{
		Features: r.Features, FeatureService: r.FeatureService, FullFeatureNames: r.FullFeatureNames,
		Expired: r.Expired, Require: r.Require, Partial: r.Partial, FeastCompatible: r.FeastCompatible, ViewVersions: r.ViewVersions,
	}
}

// GetOnlineFeatures reads features from the online store, one row for each entity row. Entity columns that name a join
// key of the project come first in the answer, in the order of the request. Features of on-demand views are computed by the
// functions that [WithTransformation] gave, from other features and from columns of request data, which are not answered;
// other columns are ignored.
//
// Queries are resolved once and kept by their shape. Where views failed while others were answered, the error is a
// [*PartialError] and the response holds the others, unless Partial accepts that.
func (fs *FeatureStore) GetOnlineFeatures(ctx context.Context, r OnlineRequest) (*OnlineResponse, error) {
	resp := &OnlineResponse{req: requests.Get().(*request)}
	err := fs.oneOff(ctx, r, resp)
	if resp.req.drop() {
		requests.Put(resp.req)
	}
	resp.req = nil
	if err != nil && resp.rows == 0 {
		return nil, err
	}
	return resp, err
}

// GetOnlineFeaturesInto is [FeatureStore.GetOnlineFeatures] into a response whose memory is used again, as by
// [Prepared.GetInto]: for servers, whose queries come with the requests.
func (fs *FeatureStore) GetOnlineFeaturesInto(ctx context.Context, r OnlineRequest, out *OnlineResponse) error {
	if out == nil {
		return feasterr.Invalid("GetOnlineFeaturesInto needs an OnlineResponse to read into, and got nil")
	}
	if out.req == nil {
		out.req = new(request)
	}
	err := fs.oneOff(ctx, r, out)
	out.req.drop()
	return err
}

// oneOff reads into out, whose request memory is in place.
func (fs *FeatureStore) oneOff(ctx context.Context, r OnlineRequest, out *OnlineResponse) error {
	p, err := fs.plans.get(ctx, fs, r.query(), &out.req.shape)
	if err != nil {
		out.reset()
		return err
	}
	return p.get(ctx, r.Entities, out)
}

// requests keeps the request memory of one-off reads.
var requests = sync.Pool{New: func() any { return new(request) }}

// maxPlans bounds how many shapes of one-off queries are kept.
const maxPlans = 1024

// plans keeps resolved one-off queries by shape, those of the current snapshot.
type plans struct {
	mu      sync.RWMutex
	snap    *registry.Snapshot
	byShape map[string]*Prepared
}

// get returns the query of a shape, resolved. buf is memory for the shape, or nil.
func (c *plans) get(ctx context.Context, fs *FeatureStore, q OnlineQuery, buf *[]byte) (*Prepared, error) {
	if buf == nil {
		buf = new([]byte)
	}
	shape := appendShape((*buf)[:0], q)
	*buf = shape
	if err := fs.usable(ctx); err != nil {
		return nil, err
	}
	snap, err := fs.registry.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.RLock()
	p := c.byShape[string(shape)]
	current := c.snap == snap
	c.mu.RUnlock()
	if p != nil && current {
		return p, nil
	}
	p = &Prepared{fs: fs, query: cloneQuery(q)}
	made, err := p.compiled(ctx)
	if err != nil {
		return nil, err
	}
	c.add(made.snap, string(shape), p)
	return p, nil
}

// add keeps a resolved query. A new snapshot ends what was kept of the last, so that no snapshot outlives its time.
func (c *plans) add(snap *registry.Snapshot, shape string, p *Prepared) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.snap != snap {
		c.snap, c.byShape = snap, map[string]*Prepared{}
	}
	if len(c.byShape) >= maxPlans {
		for old := range c.byShape { // any one
			delete(c.byShape, old)
			break
		}
	}
	c.byShape[shape] = p
}

func (c *plans) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.byShape)
}

// appendShape appends what tells queries apart.
func appendShape(dst []byte, q OnlineQuery) []byte {
	flags := byte(q.Expired)<<4 | byte(q.Require)<<6 | byte(q.Partial)<<7
	for i, set := range []bool{q.FullFeatureNames, q.FeastCompatible, q.ViewVersions} {
		if set {
			flags |= 1 << i
		}
	}
	if q.FeatureService != "" {
		return append(append(dst, flags|1<<3), q.FeatureService...)
	}
	dst = append(dst, flags)
	for _, f := range q.Features {
		dst = binary.AppendUvarint(dst, uint64(len(f)))
		dst = append(dst, f...)
	}
	return dst
}
