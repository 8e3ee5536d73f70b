package featureserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// materialize serves /materialize.
func (s *Server) materialize(ctx context.Context, c *call) (*reply, error) {
	return s.materialization(ctx, c, false)
}

// materializeIncremental serves /materialize-incremental.
func (s *Server) materializeIncremental(ctx context.Context, c *call) (*reply, error) {
	return s.materialization(ctx, c, true)
}

func (s *Server) materialization(ctx context.Context, c *call, incremental bool) (*reply, error) {
	var problems []problem
	background, force := c.runFlags(&problems)
	m, ok := c.model(&problems)
	if !ok {
		return unprocessable(problems), nil
	}
	var start, end string
	always := false
	if !incremental {
		start = m.text("start_ts", false)
	}
	end = m.text("end_ts", incremental)
	req := feast.MaterializeRequest{Views: m.strings("feature_views", true)}
	if !incremental {
		always = m.flag("disable_event_timestamp", false)
	}
	m.flag("full_feature_names", false) // plays no part, as in Feast
	req.Version = m.text("version", false)
	if len(problems) > 0 {
		return unprocessable(problems), nil
	}
	if v, given := m.get("version"); given && v.kind() != null {
		switch {
		case len(req.Views) != 1:
			return nil, pythonError("--version requires --views with exactly one feature view.")
		case !s.Store.Config().Registry.OnlineVersioning:
			return nil, pythonError("Version-aware materialization requires 'enable_online_feature_view_versioning: true' under 'registry' in feature_store.yaml.")
		}
	}
	views, err := s.admitMaterialization(ctx, req.Views)
	if err != nil {
		return nil, err
	}
	switch {
	case incremental:
		req.End, err = parseTime(end)
	case always:
		req.Start, req.End = time.Unix(0, 0).UTC(), time.Now().UTC()
	case start == "" || end == "":
		err = pythonError("start_ts and end_ts are required when disable_event_timestamp is False")
	default:
		if req.Start, err = parseTime(start); err == nil {
			req.End, err = parseTime(end)
		}
		if err != nil {
			err = pythonError("Invalid timestamp format: " + err.Error())
		} else if !req.Start.Before(req.End) {
			err = pythonError(fmt.Sprintf("start_ts (%s) must be before end_ts (%s)", pythonTime(req.Start), pythonTime(req.End)))
		}
	}
	if err != nil {
		return nil, err
	}
	run := func(ctx context.Context) error { return s.runMaterialization(ctx, req, views, incremental) }
	if !background {
		if err := run(ctx); err != nil {
			return nil, err
		}
		return nullReply(), nil
	}
	names := make([]string, len(views))
	for i, v := range views {
		names[i] = v.Info().Name
	}
	leave, running := s.jobs.enter(names, force)
	if !force {
		for _, v := range views {
			if info := v.Info(); info.State == registry.StateMaterializing && !slices.Contains(running, info.Name) {
				running = append(running, info.Name)
			}
		}
	}
	switch {
	case len(running) > 0:
		if leave != nil {
			leave()
		}
		return &reply{status: http.StatusConflict, content: contentJSON, body: conflict(running)}, nil
	case leave == nil:
		return nil, refuse(http.StatusServiceUnavailable, "No more materializations are taken at the moment")
	}
	limit := s.WriteTimeout
	s.jobs.start(leave, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		defer func() {
			if p := recover(); p != nil {
				s.Logger.ErrorContext(ctx, "a materialization in the background panicked", "views", names, "panic", fmt.Sprint(p))
			}
		}()
		if err := run(ctx); err != nil {
			s.Logger.ErrorContext(ctx, "a materialization in the background failed", "views", names, "error", err)
		}
	})
	body := appendNames([]byte(`{"status":"accepted","feature_views":`), names)
	return &reply{status: http.StatusAccepted, content: contentJSON, body: append(body, '}')}, nil
}

// runFlags reads the query: whether to materialize in the background, and whether although that is being done.
func (c *call) runFlags(problems *[]problem) (background, force bool) {
	params := c.request.URL.Query()
	return queryFlag(params, "async", problems), queryFlag(params, "force", problems)
}

func appendNames(b []byte, names []string) []byte {
	b = append(b, '[')
	for i, n := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, n)
	}
	return append(b, ']')
}

func conflict(running []string) []byte {
	msg := "Cannot start async materialization — the following feature views are already in MATERIALIZING state: " +
		reprList(running) + ". Use ?force=true to override."
	b := appendString([]byte(`{"error":`), msg)
	b = appendNames(append(b, `,"feature_views":`...), running)
	return append(b, '}')
}

// admitMaterialization looks views up, all that are materialized when none is named, and sees that the caller may write them.
func (s *Server) admitMaterialization(ctx context.Context, names []string) (views []registry.View, err error) {
	snap, err := s.Store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		for v := range snap.Views() {
			info := v.Info()
			od, _ := v.(*registry.OnDemandFeatureView)
			materialized := od == nil && info.Online && info.Kind != registry.KindLabelView || od != nil && od.WriteToOnlineStore
			if materialized && !info.Disabled {
				views = append(views, v)
			}
		}
	}
	for _, name := range names {
		v, fresh, err := s.view(ctx, name)
		if err != nil {
			return nil, err
		}
		views, snap = append(views, v), fresh
	}
	defer func() {
		for i := 0; i < len(names) && err == nil; i++ {
			err = materializable(views[i]) // who may not write a view learns nothing else of it
		}
	}()
	for _, v := range views {
		if err := s.Guard.Check(ctx, snap, v.Resource(), permissions.WriteOnline); err != nil {
			return nil, err
		}
	}
	return views, nil
}

// materializable says in Feast's words why a view that is named cannot be materialized.
func materializable(v registry.View) error {
	info := v.Info()
	kind := v.Resource().Kind.String()
	od, _ := v.(*registry.OnDemandFeatureView)
	switch {
	case info.Disabled:
		return pythonError(kind + " " + info.Name + " is disabled. Enable it before materializing.")
	case od != nil && !od.WriteToOnlineStore:
		return pythonError("OnDemandFeatureView " + info.Name + " is not configured for write_to_online_store.")
	case od == nil && !info.Online:
		return pythonError(kind + " " + info.Name + " is not configured to be served online.")
	}
	return nil
}

// runMaterialization materializes and counts the views in the metrics.
func (s *Server) runMaterialization(ctx context.Context, req feast.MaterializeRequest, views []registry.View, incremental bool) error {
	do := s.Store.Materialize
	if incremental {
		do = s.Store.MaterializeIncremental
	}
	begun := map[string]bool{}
	current := ""
	req.Progress = func(p feast.MaterializeProgress) {
		current = p.Name
		if p.Done {
			begun[p.Name], current = true, ""
		}
	}
	res, err := do(ctx, req)
	for _, v := range res.Views {
		s.metrics.materialize.get(v.Name, "success").add(1)
		s.metrics.duration.get(v.Name).observe(v.Took.Seconds())
	}
	if err != nil {
		if current == "" { // it failed before its first batch
			for _, v := range views {
				if name := v.Info().Name; !begun[name] {
					current = name
					break
				}
			}
		}
		s.metrics.materialize.get(current, "failure").add(1)
	}
	return err
}

// dateLayouts are forms of dates beside ISO 8601.
var dateLayouts = []string{
	"20060102", "20060102T150405", "20060102T150405Z07:00", "2006/01/02", "2006/01/02 15:04:05", "2006-01", "01/02/2006", "01/02/2006 15:04:05",
	"Jan 2 2006", "Jan 2, 2006", "January 2 2006", "January 2, 2006", "2 Jan 2006", "2 January 2006", "Jan 2, 2006 15:04:05", "2 Jan 2006 15:04:05",
	"2006-01-02 15:04:05 MST", time.RFC1123, time.RFC1123Z, time.RFC850, time.ANSIC, time.UnixDate, time.RubyDate,
}

// parseTime reads the time of a materialization, in UTC where it names no zone.
func parseTime(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	if t, ok := types.ParseISOTime(s); ok {
		return t.Time(), nil
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	if s == "" {
		return time.Time{}, pythonError("String does not contain a date: ")
	}
	return time.Time{}, pythonError("Unknown string format: " + s)
}

// pythonTime is a time as str of a datetime in UTC.
func pythonTime(t time.Time) string {
	layout := "2006-01-02 15:04:05"
	if t.Nanosecond() >= 1000 {
		layout += ".000000"
	}
	return t.UTC().Format(layout) + "+00:00"
}

// jobs are materializations in the background.
type jobs struct {
	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // of the goroutines, which close ends
	cancel  context.CancelFunc
	closed  bool
	waiting int
	running map[string]int // by view
	slots   chan struct{}
	all     sync.WaitGroup
}

// maxWaiting bounds how many materializations wait for others.
const maxWaiting = 100

func (j *jobs) init(workers int) {
	j.ctx, j.cancel = context.WithCancel(context.Background())
	j.running, j.slots = map[string]int{}, make(chan struct{}, workers)
}

// enter notes a job for views and returns what ends it, or those of them that have one already, unless force. leave is nil
// when no job may start.
func (j *jobs) enter(views []string, force bool) (leave func(), running []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, v := range views {
		if j.running[v] > 0 && !force {
			running = append(running, v)
		}
	}
	if len(running) > 0 || j.closed || j.waiting >= maxWaiting {
		return nil, running
	}
	for _, v := range views {
		j.running[v]++
	}
	j.waiting++
	j.all.Add(1)
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, v := range views {
			if j.running[v]--; j.running[v] == 0 {
				delete(j.running, v)
			}
		}
		j.waiting--
		j.all.Done()
	}, nil
}

// start runs a job that entered, when its turn comes.
func (j *jobs) start(leave func(), run func(context.Context)) {
	go func() {
		defer leave()
		select {
		case j.slots <- struct{}{}:
			defer func() { <-j.slots }()
			run(j.ctx)
		case <-j.ctx.Done():
		}
	}()
}

// close ends all jobs: those that run may go on until ctx ends.
func (j *jobs) close(ctx context.Context) error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	done := make(chan struct{})
	go func() {
		j.all.Wait()
		close(done)
	}()
	defer func() {
		j.cancel()
		<-done
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("materializations in the background were cancelled: %w", ctx.Err())
	}
}
