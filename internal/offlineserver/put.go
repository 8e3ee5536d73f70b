package offlineserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/exceptions"
	"github.com/feastgo/feast/internal/flightwire"
	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types/arrowconv"
)

// put does what an upload asks for. As in Feast, what is not known is accepted; unlike there, it is not kept.
func (s *Server) put(ctx context.Context, c command, u *up) error {
	switch c.api {
	case flightwire.WriteBatch:
		return s.writeBatch(ctx, c, u)
	case flightwire.WriteLogs:
		return s.writeLogs(ctx, c, u)
	case flightwire.Persist:
		return s.persist(ctx, c, u)
	case flightwire.Validate:
		return s.validate(ctx, c)
	case flightwire.Historical, flightwire.Latest, flightwire.All, flightwire.Describe:
		return s.keep(ctx, c, u)
	}
	return nil
}

// writeBatch appends rows to the batch source of a view.
func (s *Server) writeBatch(ctx context.Context, c command, u *up) error {
	if err := s.fs.Writable(ctx); err != nil {
		return err
	}
	names, err := get[[]string](c, "feature_view_names")
	if err != nil {
		return err
	}
	if len(names) != 1 {
		return assertion("feature_view_names must contain exactly one feature view, it has %d", len(names))
	}
	snap, err := s.fs.Snapshot(ctx)
	if err != nil {
		return err
	}
	v, err := view(snap, names[0], snap.ProjectName())
	if err != nil {
		return err
	}
	if err := s.check(ctx, snap, v, permissions.WriteOffline); err != nil {
		return err
	}
	to, err := plan.ResolveAppend(snap, v)
	if err != nil {
		return err
	}
	rows, err := u.open()
	if err != nil {
		return err
	}
	defer rows.Release()
	return s.append(ctx, to.Source, withoutIndex(rows))
}

// append adds rows to a source, once their columns are known to be its columns. It releases rows.
func (s *Server) append(ctx context.Context, to *offline.Source, rows array.RecordReader) error {
	defer rows.Release()
	store, err := s.fs.OfflineStore(ctx)
	if err != nil {
		return err
	}
	schema, err := store.Describe(ctx, to)
	switch {
	case errors.Is(err, feasterr.ErrNotFound): // which the store makes
	case err != nil:
		return err
	case !slices.Equal(sortedNames(schema), sortedNames(rows.Schema())):
		return feasterr.Invalid("The input pyarrow table has schema %s with the incorrect columns %s. The schema is expected to be %s with the columns (in this exact order) to be %s.",
			schemaText(rows.Schema(), true), namesText(rows.Schema()), schemaText(schema, false), namesText(schema))
	}
	_, err = store.Append(ctx, to, rows)
	if rerr := rows.Err(); err != nil && rerr != nil {
		return rerr
	}
	return err
}

func sortedNames(s *arrow.Schema) []string {
	var names []string
	for _, f := range s.Fields() {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

// schemaText shows a schema as pyarrow does, Feast's own without zones.
func schemaText(s *arrow.Schema, zones bool) string {
	var lines []string
	for _, f := range s.Fields() {
		dt := f.Type
		if t, ok := dt.(*arrow.TimestampType); ok && !zones {
			dt = &arrow.TimestampType{Unit: t.Unit}
		}
		lines = append(lines, f.Name+": "+arrowconv.TypeText(dt))
	}
	return strings.Join(lines, "\n")
}

func namesText(s *arrow.Schema) string {
	var names []string
	for _, f := range s.Fields() {
		names = append(names, "'"+f.Name+"'")
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// writeLogs adds rows to where a feature service logs what it serves.
func (s *Server) writeLogs(ctx context.Context, c command, u *up) error {
	if err := s.fs.Writable(ctx); err != nil {
		return err
	}
	name, err := get[string](c, "feature_service_name")
	if err != nil {
		return err
	}
	snap, err := s.fs.Snapshot(ctx)
	if err != nil {
		return err
	}
	svc, err := snap.FeatureService(name)
	if errors.Is(err, feasterr.ErrNotFound) {
		return missing("FeatureServiceNotFoundException", "Feature service", name, snap.ProjectName())
	}
	if err != nil {
		return err
	}
	if err := s.check(ctx, snap, svc, permissions.WriteOffline); err != nil {
		return err
	}
	if svc.Logging == nil || svc.Logging.Destination == nil {
		return assertion("feature service %s has no logging configuration", name)
	}
	d, ok := svc.Logging.Destination.(registry.FileDestination)
	if !ok || len(d.PartitionBy) > 0 {
		return feasterr.Unsupported("features of service %q are logged to a destination that this server cannot write: files without partitions only", name)
	}
	path := d.Path
	if !strings.HasSuffix(path, ".parquet") {
		path = strings.TrimSuffix(path, "/") + "/"
	}
	rows, err := u.open()
	if err != nil {
		return err
	}
	defer rows.Release()
	return s.append(ctx, &offline.Source{Name: name, Kind: "FileSource", Path: path, EndpointOverride: d.S3EndpointOverride}, withoutIndex(rows))
}

// validate sees that a source can be read.
func (s *Server) validate(ctx context.Context, c command) error {
	src, err := s.sent(ctx, c)
	if err != nil {
		return err
	}
	store, err := s.fs.OfflineStore(ctx)
	if err != nil {
		return err
	}
	_, err = store.Describe(ctx, src)
	return err
}

// persist writes the result of a query to a registered source: one Parquet file.
func (s *Server) persist(ctx context.Context, c command, u *up) error {
	if err := s.fs.Writable(ctx); err != nil {
		return err
	}
	if err := c.require("mandatory", "retrieve_func", "data_source_name", "allow_overwrite"); err != nil {
		return err
	}
	api, err1 := get[string](c, "retrieve_func")
	name, err2 := get[string](c, "data_source_name")
	overwrite, err3 := get[bool](c, "allow_overwrite")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if api == flightwire.Describe {
		return status.Error(codes.Unimplemented, "")
	}
	u.hold = true
	rows, err := u.open()
	if err != nil {
		return err
	}
	defer rows.Release()
	r, done, err := s.query(ctx, c, api, rows)
	if err != nil {
		return err
	}
	defer done()
	d, err := s.source(ctx, name, permissions.WriteOffline)
	if err != nil {
		return err
	}
	path, err := s.target(d)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil && !overwrite {
		return &exception{exceptions.Exception{Class: "SavedDatasetLocationAlreadyExists", Message: fmt.Sprintf("Saved dataset location %s already exists.", path)}}
	}
	codec, err := offline.Parquet()
	if err != nil {
		return err
	}
	_, err = codec.Create(ctx, path, r)
	if rerr := r.Err(); err != nil && rerr != nil {
		return rerr
	}
	return err
}

// target is the file of a data source that a result may be written to.
func (s *Server) target(d *registry.DataSource) (string, error) {
	o, ok := d.Options.(registry.FileOptions)
	if !ok || !strings.HasSuffix(o.Path, ".parquet") || strings.Contains(o.Path, "://") {
		return "", feasterr.Unsupported("a result cannot be written to data source %q: only to one Parquet file, whose path ends in .parquet", d.Name)
	}
	if filepath.IsAbs(o.Path) {
		return o.Path, nil
	}
	return filepath.Join(s.fs.Config().RepoPath, o.Path), nil
}

// upload waits for its DoGet, which older clients of Feast make after their DoPut.
type upload struct {
	command command
	batches []arrow.RecordBatch
	schema  *arrow.Schema
	held    int64
	expiry  *time.Timer
}

// flightKey is what an upload is asked for by: nobody can ask for another's, nor put one in its place.
type flightKey struct{ owner, ticket string }

func keyOf(ctx context.Context, ticket string) flightKey {
	return flightKey{guard.User(ctx).Name, ticket}
}

// forget gives back the memory of an upload. mu is held.
func (s *Server) forget(key flightKey) {
	if p := s.pending[key]; p != nil {
		p.expiry.Stop()
		delete(s.pending, key)
		for _, b := range p.batches {
			b.Release()
		}
		s.held.Add(-p.held)
		s.waiting -= p.held
	}
}

// keep keeps an upload until it is asked for.
func (s *Server) keep(ctx context.Context, c command, u *up) (err error) {
	u.hold = true
	rows, err := u.open()
	if err != nil {
		return err
	}
	defer rows.Release()
	p := &upload{command: c, schema: rows.Schema()}
	defer func() {
		if err != nil {
			for _, b := range p.batches {
				b.Release()
			}
		}
	}()
	for rows.Next() {
		rows.RecordBatch().Retain()
		p.batches = append(p.batches, rows.RecordBatch())
	}
	if err := rows.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := keyOf(ctx, c.ticket())
	s.forget(key)
	most := s.limits.Held / 4 // the rest is for those who wait for their answers
	switch {
	case s.closed:
		return feasterr.ErrClosed
	case len(s.pending) >= s.limits.Pending:
		return status.Errorf(codes.ResourceExhausted, "%d uploads wait to be asked for, and no more are kept", len(s.pending))
	case s.waiting+u.held > most:
		return status.Errorf(codes.ResourceExhausted, "uploads that wait to be asked for have %d MB, and no more than %d MB are kept: use DoExchange", (s.waiting+u.held)>>20, most>>20)
	}
	p.held, u.held = u.held, 0
	s.waiting += p.held
	p.expiry = time.AfterFunc(s.limits.Wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pending[key] == p {
			s.forget(key)
		}
	})
	s.pending[key] = p
	return nil
}

// info describes an upload that waits.
func (s *Server) info(ctx context.Context, c command) *flight.FlightInfo {
	return &flight.FlightInfo{
		Schema:           flight.SerializeSchema(arrow.NewSchema(nil, nil), memory.DefaultAllocator),
		FlightDescriptor: &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: c.bytes},
		Endpoint: []*flight.FlightEndpoint{{
			Ticket: &flight.Ticket{Ticket: []byte(c.ticket())}, Location: []*flight.Location{{Uri: location(ctx)}},
		}},
		TotalRecords: -1, TotalBytes: -1,
	}
}

// GetFlightInfo implements [flight.FlightServer].
func (s *Server) GetFlightInfo(ctx context.Context, d *flight.FlightDescriptor) (info *flight.FlightInfo, err error) {
	err = s.call(ctx, "GetFlightInfo", func(ctx context.Context) error {
		c := command{bytes: d.GetCmd()}
		var p *upload
		if len(c.bytes) <= maxCommand { // others never came, and their tickets are several times as long
			s.mu.Lock()
			p = s.pending[keyOf(ctx, c.ticket())]
			s.mu.Unlock()
		}
		if d.GetType() != flight.DescriptorCMD || p == nil {
			return status.Error(codes.NotFound, "'Flight not found.'")
		}
		info = s.info(ctx, c)
		return nil
	})
	return info, err
}

// ListFlights implements [flight.FlightServer]: it lists the uploads of the caller.
func (s *Server) ListFlights(_ *flight.Criteria, st flight.FlightService_ListFlightsServer) error {
	return s.call(st.Context(), "ListFlights", func(ctx context.Context) error {
		var infos []*flight.FlightInfo
		s.mu.Lock()
		for key, p := range s.pending {
			if key.owner == guard.User(ctx).Name {
				infos = append(infos, s.info(ctx, p.command))
			}
		}
		s.mu.Unlock()
		for _, i := range infos {
			if err := timely(ctx, s.limits.Idle, func() error { return st.Send(i) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// DoGet implements [flight.FlightServer]: it answers an upload, and forgets it once that has succeeded, as Feast.
func (s *Server) DoGet(t *flight.Ticket, st flight.FlightService_DoGetServer) error {
	return s.call(st.Context(), "DoGet", func(ctx context.Context) error {
		key := keyOf(ctx, string(t.GetTicket()))
		s.mu.Lock()
		p := s.pending[key]
		if p != nil {
			for _, b := range p.batches {
				b.Retain() // until it was answered, whoever forgets it
			}
		}
		s.mu.Unlock()
		if p == nil {
			return assertion("FlightServerBase.do_get must return a FlightDataStream")
		}
		defer func() {
			for _, b := range p.batches {
				b.Release()
			}
		}()
		rows, err := array.NewRecordReader(p.schema, p.batches)
		if err != nil {
			return err
		}
		defer rows.Release()
		r, done, err := s.query(ctx, p.command, p.command.api, rows)
		if err != nil {
			return err
		}
		defer done()
		if _, err := flightwire.Write(ctx, &down{s, ctx, st.Send}, nil, r); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pending[key] == p {
			s.forget(key)
		}
		return nil
	})
}
