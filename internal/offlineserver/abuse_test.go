package offlineserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/internal/guard/guardtest"
	"github.com/feastgo/feast/offline/offlinetest"
	"github.com/feastgo/feast/permissions"
)

const historical = `{"api": "get_historical_features", "feature_view_names": ["dv"], "feature_refs": ["dv:trips"], "project": "golden", "full_feature_names": false, "name_aliases": [null]}`

// many are entity rows.
func many(n int) arrow.RecordBatch {
	var rows [][]any
	for i := range n {
		rows = append(rows, offlinetest.R(i%3, day.Add(time.Duration(i)*time.Second)))
	}
	return offlinetest.Table("driver_id i64, event_timestamp us", rows...)
}

// works sees that the server still answers.
func (b *bed) works() {
	b.Helper()
	if _, rows, err := b.exchange(b.Context(), historical, many(3)); err != nil || len(rows) != 3 {
		b.Errorf("the server does not work any more: %q, %v", rows, err)
	}
}

// TestBadCommands: each gets its answer, and the server goes on.
func TestBadCommands(t *testing.T) {
	b := serve(t, "golden", nil, generous)
	for command, want := range map[string]codes.Code{
		"":                               codes.InvalidArgument,
		"nothing":                        codes.InvalidArgument,
		"[1]":                            codes.InvalidArgument,
		"null":                           codes.InvalidArgument,
		"{}":                             codes.Unknown,
		strings.Repeat(`{"a":`, 100_000): codes.InvalidArgument,
		`{"api": 1}`:                     codes.InvalidArgument,
		`{"api": "persist"}`:             codes.Unimplemented,
		strings.Replace(historical, `["dv"]`, `"dv"`, 1):                                         codes.InvalidArgument,
		strings.Replace(historical, `[null]`, `[]`, 1):                                           codes.InvalidArgument,
		strings.Replace(historical, `"golden"`, `"other"`, 1):                                    codes.Unknown,
		strings.Replace(historical, "dv:trips", "unnamed:x", 1):                                  codes.InvalidArgument,
		strings.Replace(historical, "dv:trips", "dv:none", 1):                                    codes.Unknown,
		strings.Replace(historical, "}", `, "start_date": "yesterday"}`, 1):                      codes.InvalidArgument,
		`{"api": "get_table_column_names_and_types_from_data_source", "data_source_proto": "{"}`: codes.InvalidArgument,
		`{"api": "get_table_column_names_and_types_from_data_source"}`:                           codes.NotFound,
		`{"api": "pull_all_from_table_or_query"}`:                                                codes.Unknown,
	} {
		if _, _, err := b.exchange(t.Context(), command, many(1)); status.Code(err) != want {
			t.Errorf("%.80s: %v, want %s", command, err, want)
		}
	}
	st, err := b.client.DoExchange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("nothing: %v", err)
	}
	b.works()
}

// TestLimits: an upload that is too long or too large is refused.
func TestLimits(t *testing.T) {
	l := generous
	l.Held = 20_000
	b := serve(t, "golden", nil, l)
	if _, _, err := b.exchange(t.Context(), historical, many(1001)); status.Code(err) != codes.InvalidArgument && status.Code(err) != codes.ResourceExhausted {
		t.Errorf("rows: %v", err)
	}
	l.Held = 1 << 20
	b2 := serve(t, "golden", nil, l)
	if _, _, err := b2.exchange(t.Context(), historical, many(1001)); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "1000 rows") {
		t.Errorf("rows: %v", err)
	}
	b2.works()
	l.Held, l.Rows = 100_000, 1<<40
	b3 := serve(t, "golden", nil, l)
	if _, _, err := b3.exchange(t.Context(), historical, many(20_000)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("bytes: %v", err)
	}
	b3.works()
}

// TestUploadThatNeverEnds holds neither a slot nor memory for ever.
func TestUploadThatNeverEnds(t *testing.T) {
	l := generous
	l.Concurrent, l.Idle = 1, 50*time.Millisecond
	b := serve(t, "golden", nil, l)
	for _, exchange := range []bool{true, false} {
		var st uploader
		var recv func() error
		if exchange {
			s, err := b.client.DoExchange(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			st, recv = s, func() error { _, err := s.Recv(); return err }
		} else {
			s, err := b.client.DoPut(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			st, recv = s, func() error { _, err := s.Recv(); return err }
		}
		w := flight.NewRecordWriter(st, ipc.WithSchema(many(1).Schema()))
		w.SetFlightDescriptor(&flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: []byte(historical)})
		if err := w.Write(many(10)); err != nil {
			t.Fatal(err)
		}
		if err := recv(); status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "nothing moved") {
			t.Errorf("exchange %t: %v", exchange, err)
		}
		b.works()
	}
}

// TestGarbage: messages that are not what they say end the call.
func TestGarbage(t *testing.T) {
	b := serve(t, "golden", nil, generous)
	var messages []*flight.FlightData
	if err := send(t.Context(), recorder{&messages}, historical, many(5)); err != nil {
		t.Fatal(err)
	}
	broken := func(name string, change func(m []*flight.FlightData) []*flight.FlightData) {
		var copies []*flight.FlightData
		for _, m := range messages {
			copies = append(copies, &flight.FlightData{FlightDescriptor: m.FlightDescriptor, DataHeader: append([]byte(nil), m.DataHeader...), DataBody: append([]byte(nil), m.DataBody...)})
		}
		st, err := b.client.DoExchange(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range change(copies) {
			if st.Send(m) != nil {
				break
			}
		}
		_ = st.CloseSend()
		if _, _, err := answerOf(st); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	broken("no schema", func(m []*flight.FlightData) []*flight.FlightData {
		m[0].DataHeader = nil
		return m[:1]
	})
	broken("a schema of noise", func(m []*flight.FlightData) []*flight.FlightData {
		m[0].DataHeader = []byte("this is no flatbuffer at all, but long enough to be one")
		return m
	})
	broken("a batch without its body", func(m []*flight.FlightData) []*flight.FlightData {
		m[1].DataBody = m[1].DataBody[:8]
		return m
	})
	broken("a schema twice", func(m []*flight.FlightData) []*flight.FlightData {
		return []*flight.FlightData{m[0], {DataHeader: m[0].DataHeader}}
	})
	broken("a compressed batch", func(m []*flight.FlightData) []*flight.FlightData {
		var packed []*flight.FlightData
		w := flight.NewRecordWriter(recorder{&packed}, ipc.WithSchema(many(5).Schema()), ipc.WithZstd())
		w.SetFlightDescriptor(m[0].FlightDescriptor)
		if err := errors.Join(w.Write(many(900)), w.Close()); err != nil {
			t.Fatal(err)
		}
		return packed
	})
	b.works()
}

// recorder keeps messages.
type recorder struct{ messages *[]*flight.FlightData }

func (r recorder) Send(d *flight.FlightData) error {
	*r.messages = append(*r.messages, &flight.FlightData{
		FlightDescriptor: d.FlightDescriptor, DataHeader: append([]byte(nil), d.DataHeader...), DataBody: append([]byte(nil), d.DataBody...),
	})
	return nil
}
func (recorder) CloseSend() error { return nil }

// TestPending: uploads of older clients are bounded in number, belong to their sender, and are forgotten.
func TestPending(t *testing.T) {
	g := &guard.Guard{Authenticator: guardtest.Users{"a": {Name: "a"}, "b": {Name: "b"}}}
	l := generous
	l.Wait = 100 * time.Millisecond
	b := serve(t, "golden", g, l)
	as := func(user string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+user)
	}
	command := func(i int) string { return fmt.Sprintf(`{"command_id": "%d", `, i) + historical[1:] }
	for i := range 2 {
		if err := b.put(as("a"), command(i), many(5)); err != nil {
			t.Fatal(err)
		}
	}
	descriptor := &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: []byte(command(0))}
	if _, err := b.client.GetFlightInfo(as("b"), descriptor); status.Code(err) != codes.NotFound {
		t.Errorf("of another: %v", err)
	}
	if err := b.put(as("b"), command(2), many(5)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one too many: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); b.server.held.Load() > 0; {
		if time.Now().After(deadline) {
			t.Fatal("nothing is forgotten")
		}
		<-time.After(10 * time.Millisecond)
	}
	if _, err := b.client.GetFlightInfo(as("a"), descriptor); status.Code(err) != codes.NotFound {
		t.Errorf("forgotten: %v", err)
	}
}

// exploding panics.
type exploding struct{ guardtest.Users }

func (exploding) Authenticate(context.Context, string) (permissions.User, error) { panic("boom") }

func TestPanic(t *testing.T) {
	b := serve(t, "golden", &guard.Guard{Authenticator: exploding{}}, generous)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x")
	for range 2 {
		if _, _, err := b.exchange(ctx, historical, many(1)); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "boom") {
			t.Error(err)
		}
	}
}

// FuzzCommand: no descriptor makes the decoder panic, and its tickets are text that Python reads as the same bytes.
func FuzzCommand(f *testing.F) {
	files, err := filepath.Glob("testdata/flight/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(historical))
	f.Add([]byte("{\"a'\\\t\": \"\xff\"}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parse(&flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: b})
		if err != nil {
			return
		}
		_, _ = get[[]string](c, "feature_view_names")
		_, _ = c.date("start_date")
		_, _ = c.dateOrNone("end_date")
		if ticket := c.ticket(); !strings.HasPrefix(ticket, "(2, b") || strings.ContainsAny(ticket, "\n\x00") {
			t.Errorf("%q", ticket)
		}
	})
}
