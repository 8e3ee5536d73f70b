package featureserver

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

// query is what a request asks for.
type query struct {
	service   string
	features  []string
	views     int // of features
	fullNames bool
	versions  bool
}

func (q *query) online() feast.OnlineQuery {
	return feast.OnlineQuery{Features: q.features, FeatureService: q.service, FullFeatureNames: q.fullNames, ViewVersions: q.versions, FeastCompatible: true}
}

// read serves /get-online-features.
func (s *Server) read(ctx context.Context, c *call) (*reply, error) {
	var problems []problem
	m, ok := c.model(&problems)
	if !ok {
		return unprocessable(problems), nil
	}
	entities := c.entityColumns(&m)
	q := query{service: m.text("feature_service", false)}
	c.features(&m, &q)
	q.fullNames = m.flag("full_feature_names", false)
	q.versions = m.flag("include_feature_view_version_metadata", false)
	if len(problems) > 0 {
		return unprocessable(problems), nil
	}
	rows, err := c.rows(entities)
	if err != nil {
		return nil, err
	}
	s.metrics.reads.get().add(1)
	s.metrics.entities.get().observe(float64(rows))
	if c.labels, err = s.admitRead(ctx, &q); err != nil {
		return nil, s.whyRead(ctx, &q, entities, true, err)
	}
	req := feast.OnlineRequest{
		Features: q.features, FeatureService: q.service, FullFeatureNames: q.fullNames, ViewVersions: q.versions, FeastCompatible: true,
		Entities: &c.batch,
	}
	c.large = rows > keepRows
	cells := int64(rows) * int64(s.width(ctx, &q)+1) * cellSize
	if cells > smallBody {
		if !c.reserve(cells) {
			return nil, c.tooMuch(cells)
		}
		c.paid = cells
	}
	typed := c.fill(entities, true)
	start := time.Now()
	err = s.Store.GetOnlineFeaturesInto(ctx, req, &c.resp)
	if typed && errors.Is(err, feasterr.ErrInvalid) {
		// Typed columns are taken strictly; values of JSON are coerced.
		c.fill(entities, false)
		err = s.Store.GetOnlineFeaturesInto(ctx, req, &c.resp)
	}
	if err != nil {
		return nil, s.whyRead(ctx, &q, entities, true, err)
	}
	s.metrics.read(&c.resp, time.Since(start))
	// Long values take more than was counted.
	for {
		limit := max(c.paid, smallBody)
		c.out, err = c.resp.AppendJSON(c.out[:0], feast.JSON{FeastStatuses: !s.TruthfulStatuses, Max: int(limit)})
		if !errors.Is(err, feast.ErrTooLong) {
			return &reply{status: 200, content: contentJSON, body: c.out}, err
		}
		if !c.reserve(limit) {
			return nil, c.tooMuch(limit)
		}
		c.paid = 2 * limit
	}
}

// cellSize is about what a cell of an answer takes, in bytes, with its status, its time and the JSON of all three.
const cellSize = 96

// width is about how many columns are read for a query: what on-demand views read is among them.
func (s *Server) width(ctx context.Context, q *query) (n int) {
	snap, err := s.Store.Snapshot(ctx)
	if err != nil {
		return len(q.features)
	}
	sources := func(view string) {
		v, err := snap.View(view)
		if od, ok := v.(*registry.OnDemandFeatureView); ok && err == nil {
			for i := range od.Sources {
				n += len(od.Sources[i].Features)
			}
		}
	}
	if q.service != "" {
		svc, err := snap.FeatureService(q.service)
		if err != nil {
			return 0 // reading says why
		}
		for i := range svc.Features {
			n += len(svc.Features[i].Features)
			sources(svc.Features[i].Name)
		}
		return n
	}
	last := ""
	for _, ref := range q.features {
		view, _, _ := strings.Cut(ref, ":")
		if view != last {
			sources(view)
		}
		last = view
	}
	return n + len(q.features)
}

// model is the model of the body. Its fields are c.fields.
func (c *call) model(problems *[]problem) (model, bool) {
	m := model{object: c.body, loc: bodyLoc, problems: problems}
	if c.body.kind() != object {
		m.notObject(c.body)
		return m, false
	}
	c.fields = c.body.fields(c.fields[:0])
	m.fields = c.fields
	return m, true
}

var bodyLoc = []any{"body"}

func unprocessable(problems []problem) *reply {
	return &reply{status: 422, content: contentJSON, body: appendProblems(nil, problems)}
}

// entityColumns reads the field entities: columns, which are c.entries.
func (c *call) entityColumns(m *model) []field {
	t, ok := m.objectField("entities")
	if !ok {
		return nil
	}
	c.entries = t.fields(c.entries[:0])
	for i := range c.entries {
		if e := &c.entries[i]; e.value.kind() != array {
			m.wrong("list_type", "Input should be a valid list", e.value, "entities", e.name)
		}
	}
	return c.entries
}

// rows returns the most rows that any column has.
func (c *call) rows(columns []field) (most int, err error) {
	for i := range columns {
		if t := columns[i].value; t.kind() == array && len(t) > 2*most {
			most = max(most, t.len())
		}
	}
	if most > c.s.MaxRows {
		return most, refuse(413, "The request has %d rows, and this server takes %d", most, c.s.MaxRows)
	}
	return most, nil
}

// lists keeps lists of features by how requests spell them, since the same are asked for again and again.
type lists struct {
	mu     sync.RWMutex
	byText map[string]*featureList
	size   int // of all texts
}

type featureList struct {
	features []string
	views    int // how many are named
}

// maxLists bounds how long the lists that are kept are together, in bytes, and maxList how long one is. A list of short names
// takes some ten times as much as its text.
const (
	maxLists = 1 << 20
	maxList  = 64 << 10
)

// features reads the field features.
func (c *call) features(m *model, q *query) {
	t, ok := m.get("features")
	if !ok {
		return
	}
	l := &c.s.lists
	l.mu.RLock()
	known := l.byText[string(t)]
	l.mu.RUnlock()
	if known == nil {
		before := len(*m.problems)
		known = &featureList{features: m.strings("features", false)}
		if len(*m.problems) > before {
			return
		}
		known.views = countViews(known.features)
		if len(t) <= maxList {
			l.add(string(t), known)
		}
	}
	q.features, q.views = known.features, known.views
}

func (l *lists) add(text string, f *featureList) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byText[text] != nil {
		return
	}
	if l.byText == nil || l.size+len(text) > maxLists {
		l.byText, l.size = map[string]*featureList{}, 0
	}
	l.byText[text] = f
	l.size += len(text)
}

// countViews counts the views that references name.
func countViews(refs []string) int {
	seen := map[string]bool{}
	for _, ref := range refs {
		view, _, _ := strings.Cut(ref, ":")
		view, _, _ = strings.Cut(view, "@")
		seen[view] = true
	}
	return len(seen)
}

// admitRead sees that the caller may read what a query asks for, and labels it for the metrics. A name that does not exist
// is reported first, as in Feast.
func (s *Server) admitRead(ctx context.Context, q *query) (labels, error) {
	snap, err := s.Store.Snapshot(ctx)
	if err != nil {
		return labels{}, err
	}
	l := labels{countLabel(len(q.features)), strconv.Itoa(q.views)}
	free := s.Guard.Free(ctx)
	if q.service == "" && free {
		return l, nil
	}
	err = s.checkRead(ctx, snap, q, free, &l)
	if errors.Is(err, feasterr.ErrNotFound) {
		// Resolving the query looks into a fresh registry.
		if _, err := s.Store.PrepareOnline(ctx, q.online()); err != nil {
			return labels{}, err
		}
		if snap, err = s.Store.Snapshot(ctx); err != nil {
			return labels{}, err
		}
		err = s.checkRead(ctx, snap, q, free, &l)
	}
	return l, err
}

func (s *Server) checkRead(ctx context.Context, snap *registry.Snapshot, q *query, free bool, l *labels) error {
	if q.service != "" {
		svc, err := snap.FeatureService(q.service)
		if err != nil {
			*l = labels{}
			return err
		}
		features := 0
		for i := range svc.Features {
			features += len(svc.Features[i].Features)
		}
		*l = labels{countLabel(features), strconv.Itoa(len(svc.Features))}
		if free {
			return nil
		}
		return s.Guard.Check(ctx, snap, svc.Resource(), permissions.ReadOnline)
	}
	views, err := viewsOf(snap, q.features)
	if err != nil {
		return err
	}
	for _, v := range views {
		if err := s.Guard.Check(ctx, snap, v.Resource(), permissions.ReadOnline); err != nil {
			return err
		}
	}
	return nil
}

// viewsOf returns the views that references use: those that on-demand views read are among them, on-demand views are last.
func viewsOf(snap *registry.Snapshot, refs []string) ([]registry.View, error) {
	var views, onDemand []registry.View
	add := func(list *[]registry.View, v registry.View) {
		if !slices.Contains(*list, v) {
			*list = append(*list, v)
		}
	}
	last := ""
	for _, ref := range refs {
		r, err := plan.ParseReference(ref)
		if err != nil {
			return nil, err
		}
		if r.View == last && r.View != "" {
			continue
		}
		last = r.View
		v, err := snap.View(r.View)
		if err != nil {
			return nil, err
		}
		od, ok := v.(*registry.OnDemandFeatureView)
		if !ok {
			add(&views, v)
			continue
		}
		add(&onDemand, v)
		for i := range od.Sources {
			source, err := snap.View(od.Sources[i].Name)
			if err != nil {
				return nil, err
			}
			add(&views, source)
		}
	}
	return append(views, onDemand...), nil
}

// column is the memory of a typed column.
type column struct {
	ints    []int64
	floats  []float64
	strings []string
	bools   []bool
	anys    []any
}

func (c *column) reset() {
	clear(c.strings)
	clear(c.anys)
	if cap(c.ints)+cap(c.floats)+cap(c.strings)+cap(c.bools)+cap(c.anys) > keepCells {
		*c = column{}
	}
}

// fill makes the batch of columns. typed: where all values of a column are of one kind, it is a slice of that; reports
// whether there is such a column.
func (c *call) fill(columns []field, typed bool) bool {
	c.batch.Reset()
	for len(c.columns) < len(columns) {
		c.columns = append(c.columns, column{})
	}
	some := false
	for i := range columns {
		name, t, to := columns[i].name, columns[i].value, &c.columns[i]
		if typed && c.fillTyped(name, t, to) {
			some = true
			continue
		}
		to.anys = to.anys[:0]
		if t.kind() != array { // see frame
			continue
		}
		e, end, ok := t.first()
		for ok {
			to.anys = append(to.anys, e.native())
			e, end, ok = t.next(end)
		}
		c.batch.SetAny(name, to.anys)
	}
	return some
}

func (c *call) fillTyped(name string, t text, to *column) bool {
	first, _, ok := t.first()
	if !ok {
		return false
	}
	switch first.kind() {
	case number:
		if first.isInteger() {
			if to.ints, ok = t.ints(to.ints[:0]); ok {
				feast.SetColumn(&c.batch, name, to.ints)
			}
			return ok
		}
		if to.floats, ok = t.floats(to.floats[:0]); ok {
			feast.SetColumn(&c.batch, name, to.floats)
		}
		return ok
	case str:
		if to.strings, ok = t.texts(to.strings[:0]); ok {
			feast.SetColumn(&c.batch, name, to.strings)
		}
		return ok
	case boolean:
		to.bools = to.bools[:0]
		e, end, more := t.first()
		for more {
			if e.kind() != boolean {
				return false
			}
			to.bools = append(to.bools, e[0] == 't')
			e, end, more = t.next(end)
		}
		feast.SetColumn(&c.batch, name, to.bools)
		return true
	}
	return false
}

// ints appends the elements of an array when all are integers of 64 bits.
func (t text) ints(dst []int64) ([]int64, bool) {
	e, end, ok := t.first()
	for ok {
		n, whole := e.int()
		if !whole {
			return dst, false
		}
		dst = append(dst, n)
		e, end, ok = t.next(end)
	}
	return dst, true
}

// int reads an integer; ok is false for all else, and for one that has more than 64 bits.
func (t text) int() (n int64, ok bool) {
	const sure = 18 // digits always fit
	if len(t) <= sure {
		digits := t
		if digits[0] == '-' {
			digits = digits[1:]
		}
		for _, d := range digits {
			if !isDigit(d) {
				return 0, false
			}
			n = n*10 + int64(d-'0')
		}
		if len(digits) == 0 {
			return 0, false
		}
		if t[0] == '-' {
			n = -n
		}
		return n, true
	}
	n, err := strconv.ParseInt(alias(t), 10, 64)
	return n, err == nil
}

// floats appends the elements of an array when all are numbers that are written as floats.
func (t text) floats(dst []float64) ([]float64, bool) {
	e, end, ok := t.first()
	for ok {
		if e.kind() != number || e.isInteger() || e.isNaN() || e[len(e)-1] == 'y' {
			return dst, false
		}
		f, err := strconv.ParseFloat(alias(e), 64)
		if err != nil {
			return dst, false
		}
		dst = append(dst, f)
		e, end, ok = t.next(end)
	}
	return dst, true
}

// texts appends the elements of an array when all are strings. They share one copy.
func (t text) texts(dst []string) ([]string, bool) {
	copied := string(t)
	e, end, ok := t.first()
	for ok {
		if e.kind() != str {
			return dst, false
		}
		s := copied[end-len(e)+1 : end-1]
		if strings.IndexByte(s, '\\') >= 0 {
			s = e.str()
		}
		dst = append(dst, s)
		e, end, ok = t.next(end)
	}
	return dst, true
}

// alias is the text as a string, without a copy: for calls that do not keep it.
func alias(t text) string { return unsafe.String(unsafe.SliceData(t), len(t)) }
