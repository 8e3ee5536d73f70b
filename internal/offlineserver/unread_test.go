package offlineserver

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/internal/guard/guardtest"
)

// TestUnknownCallersAreNotRead: the server refuses a call before it reads the message, so that nobody without a token has it
// hold gigabytes. The client sends none, and a server that waited for it would not answer.
func TestUnknownCallersAreNotRead(t *testing.T) {
	b := serve(t, "golden", &guard.Guard{Authenticator: guardtest.Users{"a": {Name: "a"}}}, generous)
	for method, want := range map[string]codes.Code{
		"DoExchange": codes.Unauthenticated, "DoPut": codes.Unauthenticated, "DoGet": codes.Unauthenticated, "GetFlightInfo": codes.Unauthenticated,
		"ListFlights": codes.Unauthenticated, "ListActions": codes.Unauthenticated,
		"DoAction": codes.Unimplemented, "Handshake": codes.Unimplemented, "GetSchema": codes.Unimplemented, "PollFlightInfo": codes.Unimplemented,
	} {
		for _, token := range []string{"", "Bearer forged"} {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if token != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", token)
			}
			st, err := b.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/arrow.flight.protocol.FlightService/"+method)
			if err != nil {
				t.Fatal(err)
			}
			if err := st.RecvMsg(new(flight.Result)); status.Code(err) != want {
				t.Errorf("%s with %q: %v, want %s", method, token, err, want)
			}
		}
	}
}

// TestLongDescriptors: no command of theirs was ever kept, and their tickets would be several times as long.
func TestLongDescriptors(t *testing.T) {
	b := serve(t, "golden", nil, generous)
	long := &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: make([]byte, 2*maxCommand)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := b.server.GetFlightInfo(t.Context(), long); status.Code(err) != codes.NotFound {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > maxCommand {
		t.Errorf("%d bytes for it", got)
	}
}
