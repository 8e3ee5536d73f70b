package registryserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/internal/pyrepr"
)

// errInvalidRequest says that call.problems has something.
var errInvalidRequest = errors.New("the request is invalid")

// call is a request of the REST form.
type call struct {
	*rest
	ctx      context.Context //nolint:containedctx // lives as long as the request
	path     []string        // parameters
	query    url.Values
	raw      []byte
	json     bool // raw is JSON
	status   int
	problems []pyrepr.Dict // with parameters and body, as pydantic lists them
}

// validation returns what is wrong with the request, as pydantic says it.
func (c *call) validation() string {
	list := make([]any, len(c.problems))
	for i, p := range c.problems {
		list[i] = p
	}
	return pyrepr.Value(list)
}

// An answer about a wrong request shows inputs of this size, in bytes or so, and this many problems: each problem repeats what is
// around it, and a body may be nothing but problems.
const (
	maxInput    = 64 << 10
	maxProblems = 100
)

func (c *call) problem(kind string, loc pyrepr.Tuple, msg string, input any, ctx ...any) {
	if c.enough() {
		return
	}
	if left := maxInput; !fits(input, &left) {
		input = nil
	}
	d := pyrepr.Dict{"type", kind, "loc", loc, "msg", msg, "input", input}
	if len(ctx) > 0 {
		d = append(d, "ctx", pyrepr.Dict(ctx))
	}
	c.problems = append(c.problems, d)
}

// enough reports whether no more problems are listed.
func (c *call) enough() bool { return len(c.problems) >= maxProblems }

// fits takes the size of a decoded value from left, and reports whether it was that long.
func fits(v any, left *int) bool {
	switch v := v.(type) {
	case string:
		*left -= len(v)
	case json.Number:
		*left -= len(v)
	case []any:
		for _, e := range v {
			if *left -= 2; !fits(e, left) {
				return false
			}
		}
	case object:
		for k, e := range v {
			if *left -= len(k) + 4; !fits(e, left) {
				return false
			}
		}
	}
	*left -= 2
	return *left >= 0
}

// valid reports whether nothing is wrong so far.
func (c *call) valid() error {
	if len(c.problems) > 0 {
		return errInvalidRequest
	}
	return nil
}

// text returns a parameter of the query, empty when it is not there. Of several the last one counts.
func (c *call) text(name string) string {
	if list := c.query[name]; len(list) > 0 {
		return list[len(list)-1]
	}
	return ""
}

func (c *call) required(name string) string {
	if len(c.query[name]) == 0 {
		c.problem("missing", pyrepr.Tuple{"query", name}, "Field required", nil)
	}
	return c.text(name)
}

func (c *call) flag(name string, otherwise bool) bool {
	if len(c.query[name]) == 0 {
		return otherwise
	}
	switch strings.ToLower(c.text(name)) {
	case "true", "1", "on", "t", "y", "yes":
		return true
	case "false", "0", "off", "f", "n", "no":
		return false
	}
	c.problem("bool_parsing", pyrepr.Tuple{"query", name}, "Input should be a valid boolean, unable to interpret input", c.text(name))
	return otherwise
}

// number returns a parameter of at least 1, and at most most unless that is 0.
func (c *call) number(name string, otherwise, most int) int {
	if len(c.query[name]) == 0 {
		return otherwise
	}
	text, loc := c.text(name), pyrepr.Tuple{"query", name}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	switch {
	case err != nil:
		c.problem("int_parsing", loc, "Input should be a valid integer, unable to parse string as an integer", text)
	case n < 1:
		c.problem("greater_than_equal", loc, "Input should be greater than or equal to 1", text, "ge", 1)
	case most > 0 && n > int64(most):
		c.problem("less_than_equal", loc, fmt.Sprintf("Input should be less than or equal to %d", most), text, "le", most)
	default:
		return int(n)
	}
	return otherwise
}

// maxLimit is the size of the largest page.
const maxLimit = 100

func (c *call) pagination() *pb.PaginationParams {
	return &pb.PaginationParams{Page: int32(c.number("page", 0, 0)), Limit: int32(c.number("limit", 0, maxLimit))}
}

func (c *call) sorting() *pb.SortingParams {
	order := c.text("sort_order")
	if len(c.query["sort_order"]) > 0 && order != "asc" && order != "desc" {
		const pattern = "^(asc|desc)$"
		c.problem("string_pattern_mismatch", pyrepr.Tuple{"query", "sort_order"}, "String should match pattern '"+pattern+"'", order, "pattern", pattern)
	}
	return &pb.SortingParams{SortBy: c.text("sort_by"), SortOrder: order}
}

func (c *call) tags() map[string]string {
	tags := map[string]string{}
	for _, t := range c.query["tags"] {
		if k, v, ok := strings.Cut(t, ":"); ok {
			tags[k] = v
		}
	}
	return tags
}

// field is a member of a body. Its kind says what it may be.
type field struct {
	name     string
	kind     kind
	required bool
	fields   []field // of an object, or of those in a list
}

type kind int

const (
	aText kind = iota
	aNumber
	anEnum // a number of 32 bits
	aTruth
	texts
	tagMap
	anObject
	objects
)

// body returns the members of the body, those that are not there left out. What may be null and is, is left out too.
func (c *call) body(fields []field) (object, error) {
	loc := pyrepr.Tuple{"body"}
	if len(c.raw) == 0 {
		c.problem("missing", loc, "Field required", nil)
		return nil, errInvalidRequest
	}
	var v any = string(c.raw)
	if c.json {
		d := json.NewDecoder(bytes.NewReader(c.raw))
		d.UseNumber()
		err := d.Decode(&v)
		if err == nil {
			if _, more := d.Token(); !errors.Is(more, io.EOF) {
				err = errors.New("there is more than one value")
			}
		}
		if err != nil {
			c.problem("json_invalid", pyrepr.Tuple{"body", d.InputOffset()}, "JSON decode error", pyrepr.Dict{}, "error", "Expecting value")
			return nil, errInvalidRequest
		}
	}
	o := c.members(loc, v, fields)
	return o, c.valid()
}

func (c *call) members(loc pyrepr.Tuple, v any, fields []field) object {
	given, ok := v.(object)
	if !ok {
		c.problem("model_attributes_type", loc, "Input should be a valid dictionary or object to extract fields from", v)
		return nil
	}
	o := object{}
	for _, f := range fields {
		at := append(slices.Clone(loc), f.name)
		member, has := given[f.name]
		switch {
		case !has && f.required:
			c.problem("missing", at, "Field required", v)
		case !has, member == nil && !f.required:
		default:
			if member = c.member(at, member, f); member != nil {
				o[f.name] = member
			}
		}
	}
	return o
}

func (c *call) member(loc pyrepr.Tuple, v any, f field) any {
	switch f.kind {
	case aText:
		if s, ok := v.(string); ok {
			return s
		}
		c.problem("string_type", loc, "Input should be a valid string", v)
	case aNumber, anEnum:
		if n, ok := number(v); ok && (f.kind == aNumber || n == int64(int32(n))) {
			return n
		}
		c.problem("int_type", loc, "Input should be a valid integer", v)
	case aTruth:
		if b, ok := v.(bool); ok {
			return b
		}
		c.problem("bool_type", loc, "Input should be a valid boolean", v)
	case tagMap:
		given, ok := v.(object)
		if !ok {
			c.problem("dict_type", loc, "Input should be a valid dictionary", v)
			return nil
		}
		tags := map[string]string{}
		for _, k := range slices.Sorted(maps.Keys(given)) {
			s, ok := given[k].(string)
			if !ok {
				c.problem("string_type", append(slices.Clone(loc), k), "Input should be a valid string", given[k])
			}
			tags[k] = s
		}
		return tags
	case texts, objects:
		given, ok := v.([]any)
		if !ok {
			c.problem("list_type", loc, "Input should be a valid list", v)
			return nil
		}
		if f.kind == objects {
			list := make([]object, len(given))
			for i, e := range given {
				if c.enough() {
					return nil
				}
				list[i] = c.members(append(slices.Clone(loc), i), e, f.fields)
			}
			return list
		}
		list := make([]string, len(given))
		for i, e := range given {
			if c.enough() {
				return nil
			}
			if list[i], ok = e.(string); !ok {
				c.problem("string_type", append(slices.Clone(loc), i), "Input should be a valid string", e)
			}
		}
		return list
	case anObject:
		if o := c.members(loc, v, f.fields); o != nil {
			return o
		}
	}
	return nil
}

// number returns a whole number, which may be written with a fraction of zero or as a text.
func number(v any) (int64, bool) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
	default:
		return 0, false
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

func member[T any](o object, name string) T {
	v, _ := o[name].(T)
	return v
}

// ask calls a method of the service and returns its answer as JSON decodes to.
func ask[Q any, A proto.Message](c *call, method func(context.Context, Q) (A, error), request Q) (object, error) {
	if err := c.valid(); err != nil {
		return nil, err
	}
	m, err := method(c.ctx, request)
	if err != nil {
		return nil, err
	}
	return dict(m)
}
