package flightwire

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// The names of what can be asked for.
const (
	Historical = "get_historical_features"
	Latest     = "pull_latest_from_table_or_query"
	All        = "pull_all_from_table_or_query"
	Describe   = "get_table_column_names_and_types_from_data_source"
	WriteBatch = "offline_write_batch"
	WriteLogs  = "write_logged_features"
	Persist    = "persist"
	Validate   = "validate_data_source"
)

// HistoricalCommand asks for a point-in-time join.
type HistoricalCommand struct {
	ID        string    `json:"command_id"`
	API       string    `json:"api"`
	Views     []string  `json:"feature_view_names"`
	Features  []string  `json:"feature_refs"`
	Project   string    `json:"project"`
	FullNames bool      `json:"full_feature_names"`
	Aliases   []*string `json:"name_aliases"`
	SQL       string    `json:"entity_df_sql,omitempty"`
}

// ScanCommand asks for rows of a source.
type ScanCommand struct {
	ID       string   `json:"command_id"`
	API      string   `json:"api"`
	Source   string   `json:"data_source_name"`
	Keys     []string `json:"join_key_columns"`
	Features []string `json:"feature_name_columns"`
	Event    string   `json:"timestamp_field"`
	Created  *string  `json:"created_timestamp_column"`
	Start    string   `json:"start_date"`
	End      string   `json:"end_date"`
}

// WriteCommand asks to append rows to a view's source.
type WriteCommand struct {
	ID       string    `json:"command_id"`
	API      string    `json:"api"`
	Views    []string  `json:"feature_view_names"`
	Progress *string   `json:"progress"`
	Aliases  []*string `json:"name_aliases"`
}

// DescribeCommand asks for the columns of a source, a feast.core.DataSource in JSON.
type DescribeCommand struct {
	ID     string `json:"command_id"`
	API    string `json:"api"`
	Source string `json:"data_source_proto"`
}

// Encode makes the bytes of a descriptor.
func Encode(command any) ([]byte, error) { return json.Marshal(command) }

// Date writes a time as Python's isoformat does.
func Date(t time.Time) string {
	t = t.UTC()
	s := t.Format("2006-01-02T15:04:05")
	if us := t.Nanosecond() / 1000; us != 0 {
		s += "." + strconv.Itoa(1_000_000 + us)[1:]
	}
	return s + "+00:00"
}

// The first and last instants that fit all of Feast's stores, which count nanoseconds.
var (
	Earliest = time.Date(1677, 9, 22, 0, 0, 0, 0, time.UTC)
	Furthest = time.Date(2262, 4, 11, 0, 0, 0, 0, time.UTC)
)

// placeholder is the column that is uploaded where a call has no rows.
const placeholder = "key"

// NoRows is what is uploaded where a call has no rows: in Feast by accident, a column of the letters of a word.
func NoRows() array.RecordReader {
	schema := arrow.NewSchema([]arrow.Field{{Name: placeholder, Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, letter := range "mock_key" {
		b.Field(0).(*array.StringBuilder).Append(string(letter))
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	r, _ := array.NewRecordReader(schema, []arrow.RecordBatch{batch}) // which fails when a batch has another schema
	return r
}

// IsPlaceholder reports whether an upload of that schema stands for no rows.
func IsPlaceholder(s *arrow.Schema) bool {
	return s.NumFields() == 1 && s.Field(0).Name == placeholder
}
