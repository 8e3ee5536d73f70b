package file

import (
	"cmp"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/parquet-go/parquet-go/format"

	"github.com/feastgo/feast/feasterr"
)

type kind uint8

const (
	kindLeaf kind = iota
	kindStruct
	kindList
	kindMap // children are those of its entries
)

// shape says how values of a column are made of the leaves of a file: levels as in Dremel.
type shape struct {
	kind     kind
	name     string
	optional bool
	def      int // the definition level from which a value is not null
	element  int // lists: the definition level from which there is an element
	rep      int // lists: the repetition level of a further element
	first    int // its leaves are numbers first to first+leaves-1
	leaves   int
	children []*shape
	leaf     leafType
	typ, own arrow.DataType // as in leafType
	err      error          // why it cannot be read
}

// flat reports whether a column is one leaf with at most one value a row.
func (s *shape) flat() bool { return s.kind == kindLeaf }

// schemaReader walks the elements of a schema, which stand depth first.
type schemaReader struct {
	elements []format.SchemaElement
	leaf     int
}

// maxDepth bounds the nesting of columns: schemas come from outside.
const maxDepth = 100

func (r *schemaReader) next() (*format.SchemaElement, error) {
	if len(r.elements) == 0 {
		return nil, feasterr.Invalid("the schema ends early")
	}
	el := &r.elements[0]
	r.elements = r.elements[1:]
	return el, nil
}

// columns reads the top-level columns of a schema.
func columnsOf(elements []format.SchemaElement, known hints) ([]*shape, error) {
	r := schemaReader{elements: elements}
	root, err := r.next()
	if err != nil {
		return nil, err
	}
	var out []*shape
	for range root.NumChildren.V {
		var hint arrow.DataType
		if len(r.elements) > 0 {
			hint = known[r.elements[0].Name]
		}
		s, err := r.shape(0, 0, hint, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// shape reads an element and what is below it, inside levels def and rep.
func (r *schemaReader) shape(def, rep int, hint arrow.DataType, depth int) (*shape, error) {
	el, err := r.next()
	if err != nil {
		return nil, err
	}
	if el.RepetitionType.V != format.Repeated {
		return r.value(el, def, rep, hint, depth)
	}
	// A repeated field without annotation is a list of required elements, as old writers have it.
	s := &shape{kind: kindList, name: el.Name, def: def, element: def + 1, rep: rep + 1, first: r.leaf}
	item, err := r.value(el, def+1, rep+1, nil, depth)
	if err != nil {
		return nil, err
	}
	return s.listOf(item), nil
}

// value reads an element as one value: its repetition is the caller's.
func (r *schemaReader) value(el *format.SchemaElement, def, rep int, hint arrow.DataType, depth int) (*shape, error) {
	if depth > maxDepth {
		return nil, feasterr.Invalid("the schema is nested more than %d deep", maxDepth)
	}
	s := &shape{name: el.Name, def: def, first: r.leaf}
	if el.RepetitionType.Valid && el.RepetitionType.V == format.Optional {
		s.optional, s.def = true, def+1
	}
	if el.Type.Valid {
		s.leaves = 1
		r.leaf++
		s.leaf, s.err = typeOfLeaf(el, hint)
		s.typ, s.own = s.leaf.typ, s.leaf.own
		return s, nil
	}
	switch logicalType(el).(type) {
	case *format.ListType:
		if el.NumChildren.V == 1 && len(r.elements) > 0 && r.elements[0].RepetitionType.V == format.Repeated {
			return r.list(s, el, rep, depth)
		}
	case *format.MapType:
		if el.NumChildren.V == 1 && len(r.elements) > 0 && r.elements[0].RepetitionType.V == format.Repeated && r.elements[0].NumChildren.V == 2 {
			return r.mapping(s, rep, depth)
		}
	}
	return r.structure(s, int(el.NumChildren.V), rep, depth)
}

func (r *schemaReader) structure(s *shape, children, rep, depth int) (*shape, error) {
	s.kind = kindStruct
	if children < 1 {
		return nil, feasterr.Invalid("group %q of the schema has no fields", s.name)
	}
	var typ, own []arrow.Field
	for range children {
		c, err := r.shape(s.def, rep, nil, depth+1)
		if err != nil {
			return nil, err
		}
		s.children = append(s.children, c)
		s.leaves += c.leaves
		s.err = cmp.Or(s.err, c.err)
		typ = append(typ, arrow.Field{Name: c.name, Type: c.typ, Nullable: c.optional})
		own = append(own, arrow.Field{Name: c.name, Type: c.own, Nullable: c.optional})
	}
	if s.err == nil {
		s.typ, s.own = arrow.StructOf(typ...), arrow.StructOf(own...)
	}
	return s, nil
}

// list reads the repeated child of a list: it is the element itself where the rules of Parquet for older writers say so.
func (r *schemaReader) list(s *shape, el *format.SchemaElement, rep, depth int) (*shape, error) {
	s.kind, s.element, s.rep = kindList, s.def+1, rep+1
	repeated, err := r.next()
	if err != nil {
		return nil, err
	}
	two := repeated.Type.Valid || repeated.NumChildren.V != 1 || repeated.Name == "array" || repeated.Name == el.Name+"_tuple"
	var item *shape
	if two {
		item, err = r.value(repeated, s.element, s.rep, nil, depth+1)
	} else {
		item, err = r.shape(s.element, s.rep, nil, depth+1)
	}
	if err != nil {
		return nil, err
	}
	return s.listOf(item), nil
}

func (s *shape) listOf(item *shape) *shape {
	s.children, s.leaves, s.err = []*shape{item}, item.leaves, item.err
	if s.err == nil {
		s.typ, s.own = list(item.typ), list(item.own)
	}
	return s
}

func (r *schemaReader) mapping(s *shape, rep, depth int) (*shape, error) {
	s.kind, s.element, s.rep = kindMap, s.def+1, rep+1
	if _, err := r.next(); err != nil {
		return nil, err
	}
	for range 2 {
		c, err := r.shape(s.element, s.rep, nil, depth+1)
		if err != nil {
			return nil, err
		}
		s.children = append(s.children, c)
		s.leaves += c.leaves
		s.err = cmp.Or(s.err, c.err)
	}
	if s.err == nil {
		key, item := s.children[0], s.children[1]
		s.typ, s.own = arrow.MapOf(key.typ, item.typ), arrow.MapOf(key.own, item.own)
	}
	return s, nil
}
