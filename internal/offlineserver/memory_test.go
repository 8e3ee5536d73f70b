package offlineserver

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/internal/guard/guardtest"
)

// TestDictionariesThatGrow: an upload that is written as it comes is not held, but its dictionaries are.
func TestDictionariesThatGrow(t *testing.T) {
	b := serve(t, "golden", nil, generous)
	word := func(i int) string { return strings.Repeat(fmt.Sprintf("%04d", i), 8<<10) }
	dt := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "driver_id", Type: arrow.PrimitiveTypes.Int64}, {Name: "event_timestamp", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
		{Name: "created", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}}, {Name: "trips", Type: arrow.PrimitiveTypes.Int64}, {Name: "name", Type: dt},
	}, nil)
	st, err := b.client.DoPut(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := flight.NewRecordWriter(st, ipc.WithSchema(schema), ipc.WithDictionaryDeltas(true))
	w.SetFlightDescriptor(&flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: []byte(`{"api": "offline_write_batch", "feature_view_names": ["dv"], "progress": null, "name_aliases": [null]}`)})
	words := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range 500 { // 16 MB, 32 kB with each row
		words.Append(word(i))
		all := words.NewArray().(*array.String)
		for j := range all.Len() {
			words.Append(all.Value(j))
		}
		index := array.NewInt16Builder(memory.DefaultAllocator)
		index.Append(int16(i))
		id := array.NewInt64Builder(memory.DefaultAllocator)
		id.Append(1)
		at := array.NewTimestampBuilder(memory.DefaultAllocator, schema.Field(1).Type.(*arrow.TimestampType))
		at.Append(arrow.Timestamp(day.UnixMicro()))
		ids, ats := id.NewArray(), at.NewArray()
		row := array.NewRecordBatch(schema, []arrow.Array{ids, ats, ats, ids, array.NewDictionaryArray(dt, index.NewArray(), all)}, 1)
		if err := w.Write(row); err != nil {
			break // the answer says why
		}
	}
	_ = w.Close()
	_ = st.CloseSend()
	if _, err := st.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Error(err)
	}
	b.works()
}

// TestTrickle: a call that is refused does not keep its slot for as long as its sender likes to send.
func TestTrickle(t *testing.T) {
	l := generous
	l.Concurrent, l.Idle = 1, 200*time.Millisecond
	b := serve(t, "golden", nil, l)
	st, err := b.client.DoExchange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		tick := time.NewTicker(l.Idle / 10)
		defer tick.Stop()
		for m := (&flight.FlightData{FlightDescriptor: &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: []byte("{}")}}); ; m = new(flight.FlightData) {
			if st.Send(m) != nil {
				return
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for b.server.gate.Taken() == 0 && ctx.Err() == nil {
		runtime.Gosched() // until the trickle has the slot
	}
	if _, rows, err := b.exchange(ctx, historical, many(3)); err != nil || len(rows) != 3 {
		t.Errorf("%q, %v", rows, err)
	}
	close(stop)
	<-sent
}

// TestPendingOfOthers: the same ticket of two users stands for two uploads, and all that wait have a share of the memory.
func TestPendingOfOthers(t *testing.T) {
	g := &guard.Guard{Authenticator: guardtest.Users{"a": {Name: "a"}, "b": {Name: "b"}}}
	l := generous
	l.Rows = 1 << 30
	b := serve(t, "golden", g, l)
	as := func(user string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+user)
	}
	if err := b.put(as("a"), historical, many(5)); err != nil {
		t.Fatal(err)
	}
	if err := b.put(as("b"), historical, many(1)); err != nil {
		t.Fatal(err)
	}
	descriptor := &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: []byte(historical)}
	for user, want := range map[string]int{"a": 5, "b": 1} {
		info, err := b.client.GetFlightInfo(as(user), descriptor)
		if err != nil {
			t.Fatal(user, err)
		}
		st, err := b.client.DoGet(as(user), info.Endpoint[0].Ticket)
		if err != nil {
			t.Fatal(err)
		}
		if _, rows, err := answerOf(st); err != nil || len(rows) != want {
			t.Errorf("%s: %d rows, %v", user, len(rows), err)
		}
	}
	if err := b.put(as("a"), historical, many(30_000)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("half of the memory: %v", err)
	}
	if held := b.server.held.Load(); held != 0 || b.server.waiting != 0 {
		t.Errorf("%d bytes are held, %d wait", held, b.server.waiting)
	}
	if _, rows, err := b.exchange(as("a"), historical, many(30_000)); err != nil || len(rows) != 30_000 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}
