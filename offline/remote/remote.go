// Package remote is a client of Feast's offline server, feast serve_offline or one of package remote/server, over Arrow
// Flight. Import it for its side effect to use type "remote" in feature_store.yaml.
//
// Feature views and data sources are asked for by their names, so the server has to have the same registry; of a definition
// nothing is sent but a data source whose columns are asked for. The answer is the server's: one of this library keeps every
// promise of package offline. One of Feast does as its own store does: the file store may leave out, repeat and reorder entity
// rows, and makes doubles of integers among nulls (docs/compatibility.md, lines 7 and 41). What the protocol cannot say
// is refused as unsupported: FilterByCreated, versions of views, and a join key map without an alias.
//
// Rows are sent while they are read, and handed out as they come. Nothing is sent a second time: a server that cannot be
// reached is tried again only before a call has begun.
package remote

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/calls"
	"github.com/feastgo/feast/internal/flightwire"
	"github.com/feastgo/feast/internal/sleep"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/remote"
)

const name = "remote"

func init() {
	offline.Register(offline.Driver{
		Names: []string{name, "feast.infra.offline_stores.remote.RemoteOfflineStore"},
		Open: func(_ context.Context, section config.Section, env offline.Env) (offline.Store, error) {
			return open(section, env)
		},
	})
}

// options are the keys of the offline_store section.
type options struct {
	Host    string `yaml:"host"`
	Port    int    `yaml:"port,nullable"`
	Scheme  string `yaml:"scheme"`
	Cert    string `yaml:"cert"`
	Retries int    `yaml:"connection_retries"`
}

// defaultPort is that of feast serve_offline.
const defaultPort = 8815

func open(section config.Section, env offline.Env) (*Store, error) {
	o := options{Port: defaultPort, Scheme: "http", Retries: 3}
	if err := section.Decode(&o); err != nil {
		return nil, err
	}
	switch {
	case o.Host == "":
		return nil, section.Invalid("host", "is not set: it is the host name of the offline server")
	case o.Port == 0:
		o.Port = defaultPort
	case o.Port < 0 || o.Port > 65535:
		return nil, section.Invalid("port", "is no port: %d", o.Port)
	}
	d := remote.Options{Address: net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), Token: env.Token}
	switch {
	case o.Scheme == "https":
		d.TLS = &remote.TLS{CA: o.Cert}
	case o.Scheme != "http":
		return nil, section.Invalid("scheme", "is http or https, not %q", o.Scheme)
	case o.Cert != "":
		return nil, section.Invalid("cert", "is for scheme: https")
	}
	if o.Retries < 0 {
		return nil, section.Invalid("connection_retries", "is negative: %d", o.Retries)
	}
	conn, err := remote.DialFlight(d)
	if err != nil {
		return nil, err
	}
	return New(conn, env.Project, o.Retries), nil
}

// Store is an offline store behind a server. It is safe for concurrent use.
type Store struct {
	conn    *grpc.ClientConn
	client  flight.FlightServiceClient
	project string
	retries int
	calls   calls.Calls
}

// New returns the store behind the server that conn, made by [remote.DialFlight], leads to. The Store owns conn, and closes
// it. A server that cannot be reached is tried again that many times, after 0.5, 1, 2, ... seconds.
func New(conn *grpc.ClientConn, project string, retries int) *Store {
	return &Store{conn: conn, client: flight.NewFlightServiceClient(conn), project: project, retries: retries}
}

// Info implements [offline.Store]. Whether a query may give the entity rows is the server's decision.
func (s *Store) Info() offline.Info { return offline.Info{Name: name, EntitySQL: true} }

// Close implements [offline.Store].
func (s *Store) Close() error {
	if !s.calls.Close() {
		return nil
	}
	return s.conn.Close()
}

func (s *Store) begin(ctx context.Context) (end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !s.calls.Begin() {
		return nil, feasterr.ErrClosed
	}
	return s.calls.End, nil
}

// stream is what DoExchange and DoPut have in common.
type stream interface {
	Send(*flight.FlightData) error
	CloseSend() error
}

// opened opens a stream, again while the server cannot be reached.
func opened[S stream](ctx context.Context, s *Store, open func(context.Context, ...grpc.CallOption) (S, error)) (S, error) {
	for attempt := 0; ; attempt++ {
		st, err := open(ctx)
		if err == nil || attempt >= s.retries || !errors.Is(err, feasterr.ErrUnavailable) {
			return st, err
		}
		if err := sleep.For(ctx, 500*time.Millisecond<<min(attempt, 10)); err != nil {
			return st, err
		}
	}
}

// send uploads rows and ends the upload. Rows that cannot be read end the call with their error.
func send(ctx context.Context, cancel context.CancelCauseFunc, st stream, command any, rows array.RecordReader) (int64, error) {
	cmd, err := flightwire.Encode(command)
	if err != nil {
		return 0, err
	}
	n, err := flightwire.Write(ctx, st, &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: cmd}, rows)
	switch bad, is := errors.AsType[*flightwire.SourceError](err); {
	case is:
		cancel(bad.Err)
		return n, bad.Err
	case errors.Is(err, io.EOF):
		return n, nil // the server ended the call: its answer says why
	case err != nil:
		return n, err
	}
	return n, st.CloseSend()
}

// answer is the answer to a call that is under way: closing it ends the call.
type answer struct {
	*flightwire.Reader
	ctx    context.Context //nolint:containedctx // that of the caller, which has to last until the reader is released
	call   context.Context //nolint:containedctx // whose cause may say more
	finish func()
}

// exchange calls, with rows that may be nil, and waits for the schema of the answer. It does not release rows.
func (s *Store) exchange(ctx context.Context, command any, rows array.RecordReader) (*answer, error) {
	call, cancel := context.WithCancelCause(ctx)
	st, err := opened(call, s, s.client.DoExchange)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	var upload sync.WaitGroup
	upload.Go(func() {
		up := rows
		if up == nil {
			up = flightwire.NoRows()
			defer up.Release()
		}
		if _, err := send(call, cancel, st, command, up); err != nil {
			cancel(err)
		}
	})
	a := &answer{ctx: ctx, call: call, finish: func() {
		cancel(nil)
		upload.Wait()
	}}
	a.Reader, err = flightwire.NewReader(st, nil)
	if errors.Is(err, io.EOF) {
		err = feasterr.Invalid("the offline server at %s answered nothing", s.conn.Target())
	}
	if err != nil {
		err = a.why(err)
		a.finish()
		return nil, err
	}
	return a, nil
}

// why is the error of a call: that of the caller's context, of the rows, or err.
func (a *answer) why(err error) error {
	switch cause := context.Cause(a.call); {
	case err == nil:
		return nil
	case a.ctx.Err() != nil:
		return a.ctx.Err()
	case cause != nil && !errors.Is(cause, context.Canceled):
		return cause
	}
	return err
}

// Err implements [array.RecordReader].
func (a *answer) Err() error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	return a.why(a.Reader.Err())
}

// Next implements [array.RecordReader].
func (a *answer) Next() bool { return a.ctx.Err() == nil && a.Reader.Next() }

// close ends the call, whether or not all was read.
func (a *answer) close() {
	a.finish()
	a.Release()
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Append implements [offline.Store], for the batch source of a feature view. A server of Feast takes the columns in the
// order of the source alone.
func (s *Store) Append(ctx context.Context, dst *offline.Source, rows array.RecordReader) (int64, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	if dst.View == "" {
		return 0, feasterr.Unsupported("data source %q is not the batch source of a known feature view: the offline server writes to those alone", dst.Name)
	}
	call, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	st, err := opened(call, s, s.client.DoPut)
	if err != nil {
		return 0, err
	}
	n, err := send(call, cancel, st, &flightwire.WriteCommand{
		ID: newID(), API: flightwire.WriteBatch, Views: []string{dst.View}, Aliases: []*string{nil},
	}, rows)
	if err != nil {
		return 0, err
	}
	for {
		if _, err := st.Recv(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			if errors.Is(err, feasterr.ErrUnavailable) || ctx.Err() != nil {
				err = fmt.Errorf("%w; whether the rows were added is not known", err)
			}
			return 0, err
		}
	}
}

// Describe implements [offline.Store].
func (s *Store) Describe(ctx context.Context, src *offline.Source) (*arrow.Schema, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	definition, err := sourceJSON(src)
	if err != nil {
		return nil, err
	}
	a, err := s.exchange(ctx, &flightwire.DescribeCommand{ID: newID(), API: flightwire.Describe, Source: definition}, nil)
	if err != nil {
		return nil, err
	}
	defer a.close()
	return readColumns(a)
}
