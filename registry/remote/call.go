package remote

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
)

// method is a method of the generated client that answers nothing.
type method[Q any] = func(context.Context, Q, ...grpc.CallOption) (*emptypb.Empty, error)

// call is a method with its request.
func call[Q any](m method[Q], request Q) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := m(ctx, request)
		return err
	}
}

// send is call with the object of a record in the request.
func send[M any, P interface {
	*M
	proto.Message
}, Q any](m method[Q], r registry.Record, request func(P) Q) (func(context.Context) error, error) {
	o := P(new(M))
	if err := proto.Unmarshal(r.Proto, o); err != nil {
		return nil, feasterr.Invalid("%s cannot be written: %w", r.ID, err)
	}
	return call(m, request(o)), nil
}
