// Package offlineserver is Feast's offline server: a service of Arrow Flight over a feature store and its offline store. What
// calls ask for is JSON in a descriptor, see package flightwire; rows go up and come down on the same stream.
package offlineserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	gen "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/exceptions"
	"github.com/feastgo/feast/internal/flightwire"
	"github.com/feastgo/feast/internal/grpccall"
	"github.com/feastgo/feast/internal/guard"
)

// Limits bound what calls cost.
type Limits struct {
	Rows       int64         // of an upload
	Held       int64         // bytes of all uploads that are in memory
	Pending    int           // uploads that wait for their DoGet
	Concurrent int           // calls; others wait
	Timeout    time.Duration // of a call
	Idle       time.Duration // between two messages of a call, in either direction
	Wait       time.Duration // for which an upload waits for its DoGet
	EntitySQL  bool          // callers whose tokens are checked may send queries for entity rows
}

// maxCommand is the size of the largest command, in bytes.
const maxCommand = 4 << 20

// Server implements the service. It is safe for concurrent use.
type Server struct {
	flight.BaseFlightServer

	fs     *feast.FeatureStore
	guard  *guard.Guard
	gate   *grpccall.Gate
	limits Limits
	held   atomic.Int64

	mu      sync.Mutex
	pending map[flightKey]*upload
	waiting int64 // bytes of those
	closed  bool
}

// New returns a server.
func New(fs *feast.FeatureStore, g *guard.Guard, l Limits) *Server {
	gate := &grpccall.Gate{
		Turns: grpccall.NewTurns(l.Concurrent, l.Timeout), Guard: g, Refusal: refusal,
		Header: func(headers []string) string { return headers[0] }, // as in Feast
	}
	return &Server{fs: fs, guard: g, gate: gate, limits: l, pending: map[flightKey]*upload{}}
}

// Close forgets the uploads that wait, and refuses others.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for key := range s.pending {
		s.forget(key)
	}
	return nil
}

// exception is an exception of Feast that this package names itself.
type exception struct{ exceptions.Exception }

func (e *exception) Error() string { return e.Class + ": " + e.Message }

func missing(class, kind, name, project string) error {
	return &exception{exceptions.Exception{Class: class, Message: fmt.Sprintf("%s %s does not exist in project %s", kind, name, project)}}
}

// answer makes a status of an error, so that Feast's client raises the exception that its own server would have caused.
func answer(err error) error {
	if e, ok := exceptions.Of(err); ok {
		err = &exception{e}
	}
	if e, ok := errors.AsType[*exception](err); ok {
		code := codes.Unknown
		if e.Class == exceptions.Permission {
			code = codes.PermissionDenied
		}
		return status.Error(code, "Flight error: "+e.JSON())
	}
	if s, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); ok {
		return s
	}
	code := codes.Unknown
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, feasterr.ErrUnauthenticated):
		code = codes.Unauthenticated
	case errors.Is(err, feasterr.ErrUnavailable):
		code = codes.Unavailable
	case errors.Is(err, feasterr.ErrUnsupported):
		code = codes.Unimplemented
	case errors.Is(err, feasterr.ErrInvalid):
		code = codes.InvalidArgument
	case errors.Is(err, feasterr.ErrNotFound):
		code = codes.NotFound
	case errors.Is(err, feasterr.ErrConflict):
		code = codes.Aborted
	case errors.Is(err, feasterr.ErrClosed):
		code = codes.Unavailable
	}
	return status.Error(code, strings.ToValidUTF8(err.Error(), "?"))
}

// call runs a call of somebody who is known, see [Server.Register]. Its errors become statuses.
func (s *Server) call(ctx context.Context, method string, run func(context.Context) error) error {
	return s.gate.Run(ctx, method, func(ctx context.Context) error {
		if err := run(ctx); err != nil {
			return answer(err)
		}
		return nil
	})
}

// refusal has the words of Feast for a call without a valid token.
func refusal(header string, given bool) string {
	if !given {
		return "Missing authorization header"
	}
	if _, ok := guard.Bearer(header); !ok {
		return "Expected Bearer schema"
	}
	return "Invalid token."
}

// timely runs a step of a stream, which ends with the call or when nothing moves for long: the step itself ends when the
// call has returned, and takes no slot then.
func timely(ctx context.Context, idle time.Duration, step func() error) error {
	done := make(chan error, 1)
	go func() { done <- step() }()
	t := time.NewTimer(idle)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return status.Errorf(codes.DeadlineExceeded, "nothing moved on the stream for %s", idle)
	}
}

// up is what is uploaded.
type up struct {
	server  *Server
	ctx     context.Context //nolint:containedctx // of the call, which the upload is a part of
	recv    func() (*flight.FlightData, error)
	first   *flight.FlightData // until it was read
	hold    bool               // what was read stays in memory, and not dictionaries alone
	drained bool               // nothing stays
	held    int64
	rows    int64
	ended   bool
}

// Recv implements [flightwire.Stream].
func (u *up) Recv() (*flight.FlightData, error) {
	if d := u.first; d != nil {
		u.first = nil
		return d, u.charge(d)
	}
	var d *flight.FlightData
	err := timely(u.ctx, u.server.limits.Idle, func() (err error) {
		d, err = u.recv()
		return err
	})
	if err != nil {
		u.ended = true
		return nil, err
	}
	return d, u.charge(d)
}

func (u *up) charge(d *flight.FlightData) error {
	if !u.hold && (u.drained || !flightwire.IsDictionary(d.DataHeader)) {
		return nil
	}
	n := int64(len(d.DataBody) + len(d.DataHeader))
	u.held += n
	if now := u.server.held.Add(n); now > u.server.limits.Held {
		return status.Errorf(codes.ResourceExhausted, "the server holds %d MB of uploaded rows, and no more than %d MB: send fewer at a time, or later", now>>20, u.server.limits.Held>>20)
	}
	return nil
}

// release gives back the memory.
func (u *up) release() {
	u.server.held.Add(-u.held)
	u.held = 0
}

// take counts rows.
func (u *up) take(b arrow.RecordBatch) error {
	if u.rows += b.NumRows(); u.rows > u.server.limits.Rows {
		return feasterr.Invalid("an upload has no more than %d rows", u.server.limits.Rows)
	}
	return nil
}

// drain reads what is left of an upload: a client of Feast that is still sending when the call ends loses the answer, or why there is
// none. All of it has no more time than one message otherwise, so that nobody keeps a slot by a trickle.
func (u *up) drain() {
	u.hold, u.drained = false, true
	ctx, cancel := context.WithTimeout(u.ctx, u.server.limits.Idle)
	defer cancel()
	u.ctx = ctx
	for left := u.server.limits.Held; left > 0 && !u.ended; {
		d, err := u.Recv()
		if err != nil {
			return
		}
		left -= int64(len(d.DataBody)+len(d.DataHeader)) + 1
	}
}

// opened reads the first message of an upload, which has the command.
func (s *Server) opened(ctx context.Context, recv func() (*flight.FlightData, error)) (*up, command, error) {
	u := &up{server: s, ctx: ctx, recv: recv}
	d, err := u.Recv()
	if errors.Is(err, io.EOF) {
		return u, command{}, feasterr.Invalid("the call has no descriptor")
	}
	if err != nil {
		return u, command{}, err
	}
	u.first = d
	c, err := parse(d.GetFlightDescriptor())
	return u, c, err
}

// down is where an answer goes.
type down struct {
	server *Server
	ctx    context.Context //nolint:containedctx // of the call, which the answer is a part of
	send   func(*flight.FlightData) error
}

// Send implements [flightwire.DataWriter].
func (d *down) Send(m *flight.FlightData) error {
	return timely(d.ctx, d.server.limits.Idle, func() error { return d.send(m) })
}

// DoExchange implements [flight.FlightServer]: what is asked for is read, and answered on the same stream.
func (s *Server) DoExchange(st flight.FlightService_DoExchangeServer) error {
	return s.call(st.Context(), "DoExchange", func(ctx context.Context) error {
		u, c, err := s.opened(ctx, st.Recv)
		defer u.release()
		if err == nil {
			err = s.read(ctx, c, u, &down{s, ctx, st.Send})
		}
		u.drain()
		return err
	})
}

// DoPut implements [flight.FlightServer]: rows are written, or kept for the DoGet of older clients.
func (s *Server) DoPut(st flight.FlightService_DoPutServer) error {
	return s.call(st.Context(), "DoPut", func(ctx context.Context) error {
		u, c, err := s.opened(ctx, st.Recv)
		defer u.release()
		if err == nil {
			err = s.put(ctx, c, u)
		}
		u.drain()
		return err
	})
}

// ListActions implements [flight.FlightServer]: as in Feast, what DoPut knows by these names.
func (s *Server) ListActions(_ *flight.Empty, st flight.FlightService_ListActionsServer) error {
	return s.call(st.Context(), "ListActions", func(context.Context) error {
		for _, a := range []*flight.ActionType{
			{Type: flightwire.WriteBatch, Description: "Writes the specified arrow table to the data source underlying the specified feature view."},
			{Type: flightwire.WriteLogs, Description: "Writes logged features to a specified destination in the offline store."},
			{Type: flightwire.Persist, Description: "Synchronously executes the underlying query and persists the result in the same offline store at the specified destination."},
		} {
			if err := st.Send(a); err != nil {
				return err
			}
		}
		return nil
	})
}

// location is how the caller reached the server, which is where the answer of an upload is.
func location(ctx context.Context) string {
	scheme, host := "grpc+tcp://", ""
	if p, ok := peer.FromContext(ctx); ok {
		if _, tls := p.AuthInfo.(credentials.TLSInfo); tls {
			scheme = "grpc+tls://"
		}
	}
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		if a := md.Get(":authority"); len(a) > 0 {
			host = a[0]
		}
	}
	return scheme + host
}

// Register adds the service to a gRPC server. A message may have a gigabyte, so nothing is read before it is known who
// calls: the method of one message, too, is a stream here, which is the same on the wire, since gRPC reads the message of any
// other before it asks for anything. What [flight.BaseFlightServer] alone answers is not registered: it is UNIMPLEMENTED,
// unread.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	d := gen.FlightService_ServiceDesc
	d.Methods = nil
	d.Streams = []grpc.StreamDesc{{StreamName: "GetFlightInfo", Handler: func(_ any, st grpc.ServerStream) error {
		m := new(flight.FlightDescriptor)
		if err := st.RecvMsg(m); err != nil {
			return err
		}
		info, err := s.GetFlightInfo(st.Context(), m)
		if err != nil {
			return err
		}
		return st.SendMsg(info)
	}}}
	for _, one := range gen.FlightService_ServiceDesc.Streams {
		switch one.StreamName {
		case "DoExchange", "DoPut", "DoGet", "ListFlights", "ListActions":
			d.Streams = append(d.Streams, one)
		}
	}
	for i := range d.Streams {
		d.Streams[i].Handler = s.entering(d.Streams[i].StreamName, d.Streams[i].Handler)
	}
	r.RegisterService(&d, s)
}

// entering finds out who calls before a message is read.
func (s *Server) entering(method string, next grpc.StreamHandler) grpc.StreamHandler {
	return func(server any, st grpc.ServerStream) (err error) {
		defer s.gate.Contain(st.Context(), method, &err)
		known, err := s.gate.EnterStream(st)
		if err != nil {
			return err
		}
		return next(server, known)
	}
}
