package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/feastgo/feast/types"
)

// Describe lists the columns of a data source, in the source's order. Each is asked about once, while no transaction is open.
type Describe func(ctx context.Context, s *DataSource) ([]Column, error)

// Column is a column of a data source.
type Column struct {
	Name string
	Type string // in the source's own words: an Arrow type for files ("list<item: int64>"), an SQL type for tables
}

// inferSources finds the event timestamp of data sources that do not name it.
func (d *draft) inferSources(ctx context.Context) {
	for _, id := range slices.SortedFunc(maps.Keys(d.given), compareIDs) {
		s, ok := d.given[id].(*DataSource)
		if !ok || s.TimestampField != "" || s.IsStream() {
			continue
		}
		if _, request := s.Options.(RequestOptions); request {
			continue
		}
		var err error
		if s.TimestampField, err = d.inferTimestamp(ctx, s); err != nil {
			d.fail(id, err)
		}
	}
	for _, o := range d.given { // rows of push sources look like their history
		if s, ok := o.(*DataSource); ok && s.BatchSource != nil && s.TimestampField == "" {
			if b, ok := d.given[d.id(s.BatchSource)].(*DataSource); ok {
				s.TimestampField = b.TimestampField
			}
		}
	}
}

func (d *draft) inferTimestamp(ctx context.Context, s *DataSource) (string, error) {
	if d.describe == nil {
		return "", errors.New("has no TimestampField, the column of event times")
	}
	columns, err := d.describe(ctx, s)
	if err != nil {
		return "", fmt.Errorf("has no TimestampField, the column of event times: set it, for its columns are not known: %w", err)
	}
	var found []string
	for _, c := range columns {
		if strings.HasPrefix(strings.ToLower(c.Type), "timestamp") {
			found = append(found, c.Name)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("has no TimestampField, and %d of its columns are timestamps (%s): set it",
			len(found), strings.Join(found, ", "))
	}
	return found[0], nil
}

// inferFeatures makes features of the columns of a source that are neither timestamps nor join keys, nor begin or end
// with two underscores.
func inferFeatures(s *DataSource, columns []Column, isKey func(string) bool) ([]Field, error) {
	if s == nil {
		return nil, errors.New("has no features, and no data source to infer them from: set Schema")
	}
	var features []Field
	for _, c := range columns {
		name := c.Name
		if mapped, ok := s.FieldMapping[name]; ok {
			name = mapped
		}
		if slices.Contains([]string{s.TimestampField, s.CreatedTimestampColumn}, c.Name) ||
			slices.Contains([]string{s.TimestampField, s.CreatedTimestampColumn}, name) ||
			isKey(c.Name) || isKey(name) || strings.HasPrefix(c.Name, "__") || strings.HasSuffix(c.Name, "__") {
			continue
		}
		t, err := nativeType(s, c)
		if err != nil {
			return nil, err
		}
		features = append(features, Field{Name: name, Type: t})
	}
	if len(features) == 0 {
		return nil, fmt.Errorf("has no features, and none can be inferred from data source %q: set Schema", s.Name)
	}
	return features, nil
}

// columnType returns the type of one column, types.Invalid when it is not among columns.
func columnType(s *DataSource, columns []Column, name string) (types.Type, error) {
	for _, c := range columns {
		if c.Name == name || s.FieldMapping[c.Name] == name {
			return nativeType(s, c)
		}
	}
	return types.Invalid, nil
}

// nativeType translates the type of a column as Feast does for sources of that kind.
func nativeType(s *DataSource, c Column) (types.Type, error) {
	t := types.Invalid
	switch s.Options.(type) {
	case FileOptions:
		t = arrowType(c.Type)
	case PostgresOptions:
		t = postgresType(c.Type)
	default:
		return t, fmt.Errorf("features cannot be inferred from a %s: set Schema", className(s.Options))
	}
	if t == types.Invalid {
		return t, fmt.Errorf("column %q of data source %q has type %s, from which nothing is inferred: set Schema",
			c.Name, s.Name, c.Type)
	}
	return t, nil
}

var arrowTypes = map[string]types.Type{
	"int8": types.Int32, "int16": types.Int32, "int32": types.Int32, "uint8": types.Int32, "uint16": types.Int32,
	"uint32": types.Int64, "uint64": types.Int64, "int64": types.Int64,
	"float": types.Float32, "double": types.Float64,
	"string": types.String, "large_string": types.JSON, "binary": types.Bytes, "bool": types.Bool,
}

// arrowType translates an Arrow type as Arrow's C++ and Python libraries print it.
func arrowType(name string) types.Type {
	switch {
	case strings.HasPrefix(name, "timestamp"):
		return types.UnixTimestamp
	case strings.HasPrefix(name, "map<"):
		return types.Map
	case strings.HasPrefix(name, "struct<"):
		return types.Struct
	}
	item, list := strings.CutPrefix(name, "list<item: ")
	if !list {
		item, list = strings.CutPrefix(name, "fixed_size_list<item: ")
	}
	if list {
		item = item[:max(strings.LastIndexByte(item, '>'), 0)]
		if strings.HasPrefix(item, "list<") || strings.HasPrefix(item, "fixed_size_list<") {
			return types.ValueList
		}
		return listOf(arrowType(item))
	}
	if item, list = strings.CutPrefix(name, "list<element: "); list {
		switch item = strings.TrimSuffix(item, ">"); item {
		case "double", "int64", "int32", "bool", "float":
			return listOf(arrowTypes[item])
		}
	}
	return arrowTypes[name]
}

var postgresTypes = map[string]types.Type{
	"boolean": types.Bool, "bytea": types.Bytes, "char": types.String, "character": types.String,
	"character varying": types.String, "text": types.String, "smallint": types.Int32, "integer": types.Int32,
	"bigint": types.Int64, "real": types.Float32, "double precision": types.Float64, "numeric": types.Float64,
	"date": types.UnixTimestamp, "time": types.UnixTimestamp,
}

func postgresType(name string) types.Type {
	if item, list := strings.CutSuffix(name, "[]"); list {
		return listOf(postgresType(item))
	}
	if strings.HasPrefix(name, "timestamp") {
		return types.UnixTimestamp
	}
	return postgresTypes[name]
}

// listOf returns the list type with elements of type t, types.Invalid when there is none.
func listOf(t types.Type) types.Type {
	for list := types.BytesList; t != types.Invalid && list <= types.DecimalList; list++ {
		if list.Elem() == t && !list.IsSet() {
			return list
		}
	}
	return types.Invalid
}
