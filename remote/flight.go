package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/feasterr"
)

// DialFlight is [Dial] for Feast's offline server, whose calls are streams of Arrow Flight: they have no deadline but that of
// their context, and Idempotent means nothing. What makes the stream, and every step of it, returns [*Error]s, those of the
// context, or io.EOF.
func DialFlight(o Options) (*grpc.ClientConn, error) {
	o.Idempotent = nil
	return dial(o,
		grpc.WithChainStreamInterceptor(client{o.Address, o.TLS != nil, o.Token}.stream),
		// A server of Feast sends whatever it has as one message, if that has less than 1.5 GB.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
}

// stream is a grpc.StreamClientInterceptor.
func (c client) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer,
	opts ...grpc.CallOption) (grpc.ClientStream, error) {
	token, err := bearer(ctx, c.token, c.address)
	if err != nil {
		return nil, err
	}
	s, err := open(withToken(ctx, token), desc, cc, method, opts...)
	if err != nil {
		return nil, c.flightError(ctx, method, nil, err)
	}
	return &clientStream{s, c, ctx, method, token}, nil
}

type clientStream struct {
	grpc.ClientStream
	client client
	ctx    context.Context //nolint:containedctx // that of the call
	method string
	token  string // empty when there is none
}

func (s *clientStream) SendMsg(m any) error {
	return s.client.flightError(s.ctx, s.method, nil, s.ClientStream.SendMsg(m))
}

func (s *clientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	err = s.client.flightError(s.ctx, s.method, s.Trailer(), err)
	if s.token != "" && errors.Is(err, feasterr.ErrUnauthenticated) {
		invalidate(s.client.token, s.token) // for the next call: what this one sent is gone
	}
	return err
}

// Answers of Feast's offline server.
const (
	flightException = "Flight error: "               // before the JSON of an exception of Feast
	flightTrace     = ". Detail: Python exception: " // after the text of any other, before the trace
	flightText      = "x-arrow-status-message-bin"   // a trailer with the text alone
)

// refusals are how the texts begin that Feast's offline server answers to a call without a token, or with one that it does not
// accept.
var refusals = [...]string{
	"Missing authorization header", "Expected Bearer schema, found", "Invalid token", "Failed to decode token", "Missing username claim",
	"Kubernetes token validation failed", "Could not extract username from token",
}

// flightError makes an [*Error] of what a call of Flight ended with.
func (c client) flightError(ctx context.Context, method string, trailer metadata.MD, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	s := status.Convert(err)
	if ended := endOf(ctx, s.Code()); ended != nil {
		return fmt.Errorf("%s of the server at %s: %w", method[strings.LastIndexByte(method, '/')+1:], c.address, ended)
	}
	text := s.Message()
	if t := trailer.Get(flightText); len(t) > 0 && t[0] != "" {
		text = t[0]
	}
	if json := exceptionJSON(text); json != "" {
		return c.failed(method, status.Error(s.Code(), json))
	}
	text, _, _ = strings.Cut(text, flightTrace)
	e := c.failed(method, status.Error(s.Code(), text))
	var failed *Error
	if !errors.As(e, &failed) {
		return e
	}
	if s.Code() == codes.Unknown {
		for _, refusal := range refusals {
			if strings.HasPrefix(text, refusal) {
				failed.class = feasterr.ErrUnauthenticated
			}
		}
	}
	return failed
}

// endOf is the error of a context that a call ended with. The server knows the deadline, too, and its answer may be here before the
// context has noticed.
func endOf(ctx context.Context, code codes.Code) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d, ok := ctx.Deadline(); ok && code == codes.DeadlineExceeded && !time.Now().Before(d) {
		return context.DeadlineExceeded
	}
	return nil
}

// exceptionJSON returns the first JSON object after the mark of Feast's exceptions, as Feast's client finds it.
func exceptionJSON(text string) string {
	_, rest, ok := strings.Cut(text, flightException)
	at := strings.IndexByte(rest, '{')
	if !ok || at < 0 {
		return ""
	}
	var object json.RawMessage
	if json.NewDecoder(strings.NewReader(rest[at:])).Decode(&object) != nil {
		return ""
	}
	return string(object)
}
