package offlineserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/feasterr"
)

// command is what a descriptor asks for.
type command struct {
	bytes  []byte
	api    string
	hasAPI bool
	fields map[string]json.RawMessage
}

// parse reads the command of a descriptor.
func parse(d *flight.FlightDescriptor) (command, error) {
	c := command{bytes: d.GetCmd()}
	switch {
	case d.GetType() != flight.DescriptorCMD:
		return c, feasterr.Invalid("the descriptor has no command")
	case len(c.bytes) > maxCommand:
		return c, feasterr.Invalid("the command has %d bytes, and no more than %d are read", len(c.bytes), maxCommand)
	}
	if err := json.Unmarshal(c.bytes, &c.fields); err != nil || c.fields == nil {
		return c, feasterr.Invalid("the command is no JSON object: %v", err)
	}
	if raw, ok := c.fields["api"]; ok {
		c.hasAPI = true
		if err := json.Unmarshal(raw, &c.api); err != nil {
			return c, feasterr.Invalid("the api of the command is no text")
		}
	}
	return c, nil
}

// assertion is a failed assertion of Feast's server.
func assertion(format string, args ...any) error {
	return status.Error(codes.Unknown, fmt.Sprintf(format, args...))
}

func (c command) has(name string) bool {
	_, ok := c.fields[name]
	return ok
}

// require reports the first parameter that is not there, in Feast's words.
func (c command) require(text string, names ...string) error {
	for _, name := range names {
		if !c.has(name) {
			return assertion("%s is %s", name, text)
		}
	}
	return nil
}

// get reads a parameter.
func get[T any](c command, name string) (v T, err error) {
	raw, ok := c.fields[name]
	if !ok {
		return v, status.Error(codes.NotFound, "'"+name+"'")
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, feasterr.Invalid("parameter %s of the command: %v", name, err)
	}
	return v, nil
}

// date reads a time in ISO 8601, without a zone in UTC.
func (c command) date(name string) (time.Time, error) {
	raw := c.fields[name]
	var text string
	if bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, &text) != nil {
		return time.Time{}, assertion("fromisoformat: argument must be str")
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, feasterr.Invalid("Invalid isoformat string: '%s'", text)
}

// dateOrNone is date where a null and nothing are the zero time.
func (c command) dateOrNone(name string) (time.Time, error) {
	if raw, ok := c.fields[name]; !ok || bytes.Equal(raw, []byte("null")) {
		return time.Time{}, nil
	}
	return c.date(name)
}

// ticket is what Feast's server calls an upload by: the text that Python shows for a tuple of the descriptor's type, command
// and path.
func (c command) ticket() string { return "(2, b" + bytesRepr(c.bytes) + ", ())" }

// bytesRepr quotes bytes as Python's repr does.
func bytesRepr(b []byte) string {
	quote := byte('\'')
	if bytes.IndexByte(b, '\'') >= 0 && bytes.IndexByte(b, '"') < 0 {
		quote = '"'
	}
	var out strings.Builder
	out.Grow(len(b) + 2)
	out.WriteByte(quote)
	for _, x := range b {
		switch {
		case x == quote || x == '\\':
			out.WriteByte('\\')
			out.WriteByte(x)
		case x == '\t':
			out.WriteString(`\t`)
		case x == '\n':
			out.WriteString(`\n`)
		case x == '\r':
			out.WriteString(`\r`)
		case x < ' ' || x >= 0x7f:
			fmt.Fprintf(&out, `\x%02x`, x)
		default:
			out.WriteByte(x)
		}
	}
	out.WriteByte(quote)
	return out.String()
}
