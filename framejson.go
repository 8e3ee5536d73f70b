package feast

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/feastgo/feast/feasterr"
)

// UnmarshalJSON fills the batch with a JSON object of columns, each an array, in the object's order: the form of
// Feast's feature server. Numbers stay exact; values are coerced when the batch is used, as Feast does. Of equal keys the last counts.
func (b *Batch) UnmarshalJSON(data []byte) error {
	b.Reset()
	if string(data) == "null" { // as encoding/json wants it
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	t, err := dec.Token()
	if err != nil {
		return jsonError(err)
	}
	if t != json.Delim('{') {
		return feasterr.Invalid("want a JSON object of columns, as in {\"driver_id\": [1001, 1002]}")
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return jsonError(err)
		}
		name, _ := t.(string) // a key is a string, or Token fails
		var v any
		if err := dec.Decode(&v); err != nil {
			return jsonError(err)
		}
		values, ok := v.([]any)
		if !ok {
			return &feasterr.RequestError{Column: name, Row: -1, Msg: "want a JSON array of values, not " + feasterr.A(jsonKind(v))}
		}
		b.SetAny(name, values)
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return jsonError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return feasterr.Invalid("something follows the JSON object of columns")
	}
	return nil
}

func jsonError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return feasterr.Invalid("malformed JSON: %v", err)
}

func jsonKind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		return "number"
	}
	return "object"
}
