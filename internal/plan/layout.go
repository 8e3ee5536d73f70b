package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// Layout says which columns of a request feed which join keys, for requests whose columns have the same names in the
// same order. It is immutable.
type Layout struct {
	Names   []string // the request's columns
	Columns []EntityColumn
	Fields  []types.Field // of Columns
	Echo    int           // the first so many of Columns are answered
	Sets    [][]int       // by key set: for each join key an index of Columns; nil: no row can be found
	Data    []int         // by element of [Online].Data an index of Columns
}

// IsKey reports whether a column is part of an entity key that is looked up, and not only answered.
func (l *Layout) IsKey(column int) bool {
	for _, set := range l.Sets {
		if slices.Contains(set, column) {
			return true
		}
	}
	return false
}

// EntityColumn is a request column as it is converted.
type EntityColumn struct {
	Source int        // index of Names; negative: the request has no such column
	Name   string     // as answered
	Type   types.Type // Invalid: inferred from the values
	Data   bool       // request data, which may be null
}

// Bind lays a request's columns out. With all, every column that names a join key of the project is answered, in the
// request's order, as Feast does; without, the query's own keys are, in the query's order, so that positions never
// vary. A key that is missing is an error, unless partial allows a key set of which some keys are there: its rows are
// then not found.
func (p *Online) Bind(names []string, all, partial bool) (*Layout, error) {
	l := &Layout{Names: slices.Clone(names), Sets: make([][]int, len(p.Sets))}
	if all {
		p.echoAll(l)
	} else {
		p.echoKeys(l)
	}
	var errs []error
	for i := range p.Sets {
		set := &p.Sets[i]
		var missing, found []string
		for _, k := range set.Keys {
			if k.Request == "" { // the dummy key
				continue
			}
			source := p.source(names, k)
			if source < 0 {
				missing = append(missing, k.Request)
				continue
			}
			found = append(found, k.Request)
			l.Sets[i] = append(l.Sets[i], l.column(source, k))
		}
		switch {
		case len(missing) == 0:
		case partial && len(found) > 0:
			l.Sets[i] = nil
		default:
			errs = append(errs, missingKeys(set.View, missing, names))
		}
	}
	errs = append(errs, p.bindData(l)...)
	if len(names) == 0 && len(errs) == 0 {
		return nil, p.NoRows()
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, c := range l.Columns {
		l.Fields = append(l.Fields, types.Field{Name: c.Name, Type: c.Type})
	}
	return l, nil
}

// bindData finds the columns that functions of on-demand views read from the request.
func (p *Online) bindData(l *Layout) (errs []error) {
	var missing, views []string
	for _, d := range p.Data {
		if d.Key.Request != "" {
			source := p.source(l.Names, d.Key)
			if source < 0 && !p.inSet(d.Key) { // else it is reported already, or allowed
				errs = append(errs, missingKeys(d.Views[0], []string{d.Key.Request}, l.Names))
			}
			l.Data = append(l.Data, l.column(source, d.Key))
			continue
		}
		source := slices.Index(l.Names, d.Name)
		if source < 0 {
			if !slices.Contains(missing, d.Name) {
				missing = append(missing, d.Name)
			}
			for _, v := range d.Views {
				if !slices.Contains(views, v) {
					views = append(views, v)
				}
			}
			continue
		}
		l.Data = append(l.Data, len(l.Columns))
		l.Columns = append(l.Columns, EntityColumn{Source: source, Name: d.Name, Type: d.Type, Data: true})
	}
	if len(missing) == 0 {
		return errs
	}
	return append(errs, missingData(views, missing, l.Names))
}

// missingData says that on-demand views lack request data.
func missingData(views, missing, names []string) error {
	need := fmt.Sprintf("on-demand feature view %q needs", views[0])
	if len(views) > 1 {
		need = fmt.Sprintf("on-demand feature views %q need", views)
	}
	return &feasterr.RequestError{
		Column: missing[0], Row: -1,
		Msg: fmt.Sprintf("%s request data %s, and the entity rows have no such %s (%s)", need, strings.Join(missing, ", "), plural(len(missing), "column"), given(names)),
	}
}

// inSet reports whether a join key is part of a key that is looked up.
func (p *Online) inSet(k JoinKey) bool {
	for _, set := range p.Sets {
		if slices.ContainsFunc(set.Keys, func(x JoinKey) bool { return x.Request == k.Request }) {
			return true
		}
	}
	return false
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

func given(names []string) string {
	if len(names) == 0 {
		return "no columns are given"
	}
	return "given are " + strings.Join(names, ", ")
}

func missingKeys(view string, missing, names []string) error {
	return &feasterr.RequestError{
		Column: missing[0], Row: -1,
		Msg: fmt.Sprintf("feature view %q needs join key %s, and the entity rows have no such column (%s)", view, strings.Join(missing, ", "), given(names)),
	}
}

// NoRows is the error for a request whose columns have no rows.
func (p *Online) NoRows() error {
	for _, set := range p.Sets {
		for _, k := range set.Keys {
			if k.Request != "" {
				return &feasterr.RequestError{
					Column: k.Request, Row: -1,
					Msg: fmt.Sprintf("feature view %q needs join key %s, and the column has no rows", set.View, k.Request),
				}
			}
		}
	}
	return feasterr.Invalid("the entity rows have no rows: one column with a row is needed, if only to tell how many there are")
}

// echoAll adds every column that names a join key or an entity. When two columns mean the same key, the later counts.
func (p *Online) echoAll(l *Layout) {
	for i, name := range l.Names {
		as, ok := p.known[name]
		if !ok {
			continue
		}
		typ := types.Invalid
		for _, set := range p.Sets {
			for _, k := range set.Keys {
				if typ == types.Invalid && (k.Request == as || k.Stored == as) {
					typ = k.Type
				}
			}
		}
		c := EntityColumn{Source: i, Name: as, Type: typ}
		if j := slices.IndexFunc(l.Columns, func(c EntityColumn) bool { return c.Name == as }); j >= 0 {
			l.Columns[j] = c
		} else {
			l.Columns = append(l.Columns, c)
		}
	}
	l.Echo = len(l.Columns)
}

// echoKeys adds the query's own keys, a column without a source for one that is missing.
func (p *Online) echoKeys(l *Layout) {
	for _, name := range p.keys {
		c := EntityColumn{Source: -1, Name: name, Type: types.String}
		for _, set := range slices.Backward(p.Sets) {
			for _, k := range set.Keys {
				if k.Request == name {
					c.Source, c.Type = p.source(l.Names, k), k.Type
				}
			}
		}
		if c.Source < 0 {
			for _, d := range p.Data {
				if d.Key.Request == name {
					c.Source, c.Type = p.source(l.Names, d.Key), d.Type
				}
			}
		}
		l.Columns = append(l.Columns, c)
	}
	l.Echo = len(l.Columns)
}

// source finds the request column for a join key, -1 when there is none: the last of those that have the name the
// projection gives it, the stored name, or the name of its entity.
func (p *Online) source(names []string, k JoinKey) int {
	for i, n := range slices.Backward(names) {
		if n == k.Request || n == k.Stored || p.known[n] == k.Stored {
			return i
		}
	}
	return -1
}

// column returns the converted column of a source for a key, adding it when there is none of the key's type yet.
func (l *Layout) column(source int, k JoinKey) int {
	for i, c := range l.Columns {
		if c.Source == source && !c.Data && (c.Type == k.Type || k.Type == types.Invalid) {
			return i
		}
	}
	l.Columns = append(l.Columns, EntityColumn{Source: source, Name: k.Request, Type: k.Type})
	return len(l.Columns) - 1
}
