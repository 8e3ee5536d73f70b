package remote

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// answer is the answer of /get-online-features, looked through once: names stand behind the values, so that types can only
// be known when all is there. It aliases the text, and is reused.
type answer struct {
	columns []answerColumn
	names   [][]byte // as JSON strings
	views   []byte   // of the metadata, when it has them
}

// answerColumn are the arrays of a column.
type answerColumn struct{ values, statuses, times []byte }

func malformed(what string) error {
	return feasterr.Invalid("the answer of the feature server is malformed: %s", what)
}

var errObject = malformed("an object was expected")

// parse looks through an answer.
func (a *answer) parse(b []byte) error {
	a.columns, a.names, a.views = a.columns[:0], a.names[:0], nil
	end, err := object(b, types.SkipJSONSpace(b, 0), func(key, value []byte) error {
		switch string(key) {
		case `"results"`:
			return a.parseResults(value)
		case `"metadata"`:
			_, err := object(value, 0, a.metadata)
			return err
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case types.SkipJSONSpace(b, end) != len(b):
		return malformed("something follows it")
	case len(a.names) != len(a.columns):
		return feasterr.Invalid("the answer of the feature server is malformed: it has %d columns and %d names", len(a.columns), len(a.names))
	}
	return nil
}

func (a *answer) parseResults(b []byte) error {
	a.columns = a.columns[:0] // of equal keys the last counts
	list := types.NewJSONArray(b)
	for list.Next() {
		var c answerColumn
		if _, err := object(list.Value(), 0, func(key, value []byte) error {
			switch string(key) {
			case `"values"`:
				c.values = value
			case `"statuses"`:
				c.statuses = value
			case `"event_timestamps"`:
				c.times = value
			}
			return nil
		}); err != nil {
			return err
		}
		a.columns = append(a.columns, c)
	}
	if list.Err() != nil {
		return malformed("results are no list")
	}
	return nil
}

func (a *answer) metadata(key, value []byte) error {
	switch string(key) {
	case `"feature_names"`:
		a.names = a.names[:0]
		list := types.NewJSONArray(value)
		for list.Next() {
			if v := list.Value(); v[0] != '"' {
				return malformed("a name is no text")
			}
			a.names = append(a.names, list.Value())
		}
		if list.Err() != nil {
			return malformed("feature_names are no list")
		}
	case `"feature_view_metadata"`:
		a.views = value
	}
	return nil
}

// object calls fn for the members of the object that begins at i and returns the index behind it.
func object(b []byte, i int, fn func(key, value []byte) error) (int, error) {
	if i >= len(b) || b[i] != '{' {
		return i, errObject
	}
	i = types.SkipJSONSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	for {
		from := i
		if i >= len(b) || b[i] != '"' {
			return i, errObject
		}
		if i = types.SkipJSON(b, i); i < 0 {
			return i, errObject
		}
		key := b[from:i]
		if i = types.SkipJSONSpace(b, i); i >= len(b) || b[i] != ':' {
			return i, errObject
		}
		from = types.SkipJSONSpace(b, i+1)
		if i = types.SkipJSON(b, from); i < 0 {
			return i, malformed("it ends early or nests too deep")
		}
		if err := fn(key, b[from:i]); err != nil {
			return i, err
		}
		if i = types.SkipJSONSpace(b, i); i >= len(b) || b[i] != ',' && b[i] != '}' {
			return i, errObject
		}
		i++
		if b[i-1] == '}' {
			return i, nil
		}
		i = types.SkipJSONSpace(b, i)
	}
}

// name returns the name of a column. It aliases the text, unless it is escaped there.
func (a *answer) name(i int) ([]byte, error) {
	text := a.names[i]
	if bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
		return text[1 : len(text)-1], nil
	}
	var name string
	if json.Unmarshal(text, &name) != nil || strings.ContainsRune(name, utf8.RuneError) {
		return nil, malformed("a name is no text")
	}
	return []byte(name), nil
}

// cells goes through the cells of a column.
type cells struct {
	values, statuses, times types.JSONArray
	timed                   bool

	value  []byte
	status types.Status
	event  types.Timestamp

	text  []byte // of the last event time, which most rows share
	known types.Timestamp
}

func (c *cells) reset(col answerColumn) {
	text, known := c.text, c.known
	*c = cells{values: types.NewJSONArray(col.values), statuses: types.NewJSONArray(col.statuses), text: text, known: known}
	if col.times != nil {
		c.times = types.NewJSONArray(col.times)
	}
	c.timed = len(col.times) > 2 // else they are left out
}

// next goes to the next cell.
func (c *cells) next() (bool, error) {
	more := c.values.Next()
	switch {
	case c.values.Err() != nil || c.statuses.Next() != more || c.statuses.Err() != nil:
		return false, malformed("a column has not as many statuses as values")
	case c.timed && (c.times.Next() != more || c.times.Err() != nil):
		return false, malformed("a column has not as many event timestamps as values")
	case !more:
		return false, nil
	}
	c.value = c.values.Value()
	var ok bool
	if c.status, ok = statusOf(c.statuses.Value()); !ok {
		return false, malformed("a status is none")
	}
	c.event = types.Timestamp{}
	if c.timed {
		text := c.times.Value()
		if string(text) != string(c.text) {
			if c.known, ok = timeOf(text); !ok {
				return false, malformed("an event timestamp is none")
			}
			c.text = text
		}
		c.event = c.known
	}
	return true, nil
}

func statusOf(text []byte) (types.Status, bool) {
	switch string(text) {
	case `"PRESENT"`:
		return types.Present, true
	case `"NOT_FOUND"`:
		return types.NotFound, true
	case `"NULL_VALUE"`:
		return types.NullValue, true
	case `"OUTSIDE_MAX_AGE"`:
		return types.OutsideMaxAge, true
	case `"INVALID"`:
		return types.Failed, true
	}
	return 0, false
}

// timeOf reads an event time.
func timeOf(text []byte) (types.Timestamp, bool) {
	if len(text) < 3 || text[0] != '"' || text[len(text)-1] != '"' {
		return types.Timestamp{}, false
	}
	text = text[1 : len(text)-1]
	if string(text) == "1970-01-01T00:00:00Z" {
		return types.Timestamp{}, true
	}
	t, ok := types.ParseISOTime(string(text))
	return t, ok && t.Valid()
}

// rows counts the rows of the first column.
func (a *answer) rows() int {
	if len(a.columns) == 0 {
		return 0
	}
	return a.columns[0].rows()
}

// rows counts the rows of a column.
func (c answerColumn) rows() (n int) {
	for a := types.NewJSONArray(c.values); a.Next(); n++ {
	}
	return n
}
