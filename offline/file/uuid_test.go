package file_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go/format"

	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/offline/offlinetest"
)

// uuidType is Arrow's extension type of UUIDs.
type uuidType struct{ arrow.ExtensionBase }

type uuidArray struct{ array.ExtensionArrayBase }

func (a *uuidArray) ValueStr(i int) string { return a.Storage().ValueStr(i) }

func newUUIDType() *uuidType { return &uuidType{arrow.ExtensionBase{Storage: fixed16}} }

func (*uuidType) ArrayType() reflect.Type { return reflect.TypeFor[uuidArray]() }
func (*uuidType) ExtensionName() string   { return "arrow.uuid" }
func (*uuidType) ExtensionEquals(other arrow.ExtensionType) bool {
	return other.ExtensionName() == "arrow.uuid"
}
func (*uuidType) Serialize() string                                                 { return "" }
func (t *uuidType) Deserialize(arrow.DataType, string) (arrow.ExtensionType, error) { return t, nil }

var (
	fixed16   = &arrow.FixedSizeBinaryType{ByteWidth: 16}
	uuidNoted = arrow.Field{Name: "k", Type: fixed16, Metadata: arrow.MetadataFrom(map[string]string{"ARROW:extension:name": "arrow.uuid"})}
	keyFields = map[string]arrow.Field{
		"text":      {Name: "k", Type: arrow.BinaryTypes.String},
		"extension": {Name: "k", Type: newUUIDType()},
		"noted":     uuidNoted,
		"bytes":     {Name: "k", Type: fixed16},
		"binary":    {Name: "k", Type: arrow.BinaryTypes.Binary},
	}
)

// withUUIDs has UUIDs of nothing but one digit for keys, in some form, and v counts them.
func withUUIDs(key arrow.Field, digits string) arrow.RecordBatch {
	schema := arrow.NewSchema([]arrow.Field{key, {Name: "t", Type: utcMicros}, {Name: "v", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i, d := range digits {
		raw := []byte(strings.Repeat(string([]byte{byte(d-'0')<<4 | byte(d-'0')}), 16))
		switch k := b.Field(0).(type) {
		case *array.StringBuilder:
			digit := string(d)
			k.Append(strings.Join([]string{strings.Repeat(digit, 8), strings.Repeat(digit, 4), strings.Repeat(digit, 4), strings.Repeat(digit, 4), strings.Repeat(digit, 12)}, "-"))
		case *array.ExtensionBuilder:
			k.Builder.(*array.FixedSizeBinaryBuilder).Append(raw)
		case *array.FixedSizeBinaryBuilder:
			k.Append(raw)
		case *array.BinaryBuilder:
			k.Append(raw)
		}
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(noon.UnixMicro()))
		b.Field(2).(*array.Int64Builder).Append(int64(i))
	}
	return b.NewRecordBatch()
}

// A UUID equals its text, which is how it is stored online, and its bytes; bytes that nobody calls a UUID are no text.
func TestUUIDKeys(t *testing.T) {
	same := map[string]bool{"bytes/text": true, "binary/text": true, "text/bytes": true, "text/binary": true} // which are not
	for of, source := range keyFields {
		path := filepath.Join(t.TempDir(), "source.parquet")
		write(t, path, withUUIDs(source, "1234"))
		plan := &offline.JoinPlan{Views: []offline.JoinView{{
			Name: "view", Source: &offline.Source{Path: path}, Event: "t", TTL: time.Hour,
			Keys: []offline.JoinKey{{Source: "k", Entity: "k"}}, Features: []offline.Column{{Source: "v", Name: "f"}, {Source: "k", Name: "key"}},
		}}}
		for with, entity := range keyFields {
			rows, err := offlinetest.Join(t.Context(), t, file.New("."), plan, "t", withUUIDs(entity, "453"))
			if err != nil {
				t.Errorf("%s, %s: %v", of, with, err)
				continue
			}
			want := "3 null 2"
			if same[of+"/"+with] {
				want = "null null null"
			}
			if got := values(rows, 3); got != want {
				t.Errorf("%s, %s: %s, want %s", of, with, got, want)
			}
		}
	}
}

// Parquet files keep what Arrow knows of UUIDs, and of columns of nothing but nulls: read, joined, written, appended to.
func TestLogicalTypes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "source.parquet")
	rows := withUUIDs(keyFields["extension"], "12")
	nothing := array.NewNull(2)
	fields := append(rows.Schema().Fields(), arrow.Field{Name: "n", Type: arrow.Null, Nullable: true}, arrow.Field{Name: "u", Type: newUUIDType(), Nullable: true})
	rows = array.NewRecordBatch(arrow.NewSchema(fields, nil), append(rows.Columns(), nothing, rows.Column(0)), 2)
	write(t, path, rows)
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "copy.parquet")
	for range 2 {
		r, err := codec.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := codec.Create(t.Context(), copied, r); err != nil {
			t.Fatal(err)
		}
		r.Release()
		if r, err = codec.Open(t.Context(), copied); err != nil {
			t.Fatal(err)
		}
		if _, err := file.New(dir).Append(t.Context(), &offline.Source{Path: path}, r); err != nil {
			t.Fatal(err)
		}
		r.Release()
	}
	for _, p := range []string{path, copied} {
		schema, err := codec.Schema(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range schema.Fields() {
			name, _ := f.Metadata.GetValue("ARROW:extension:name")
			got = append(got, f.Name, f.Type.String(), name)
		}
		want := "k fixed_size_binary[16] arrow.uuid t timestamp[us, tz=UTC]  v int64  n null  u fixed_size_binary[16] arrow.uuid"
		if strings.Join(got, " ") != want {
			t.Errorf("%s, want %s", got, want)
		}
		var logical []string
		for _, e := range parquetFile(t, p).Schema[1:] {
			switch e.LogicalType.Value.(type) {
			case *format.UUIDType:
				logical = append(logical, e.Name+" UUID")
			case *format.NullType:
				logical = append(logical, fmt.Sprint(e.Name, " null of ", e.Type.V))
			}
		}
		if want := "k UUID, n null of INT32, u UUID"; strings.Join(logical, ", ") != want {
			t.Errorf("%s, want %s", logical, want)
		}
	}
	all, err := tryAll(t, file.New(dir), &offline.ScanPlan{
		Source: &offline.Source{Path: path}, Event: offline.Column{Source: "t", Name: "t"},
		Features: []offline.Column{{Source: "v", Name: "v"}, {Source: "n", Name: "n"}},
	})
	if err != nil || len(all) != 8 || all[7] != `[1,null,{"$ts":"2024-01-01T12:00:00Z"}]` {
		t.Errorf("%s, %v", all, err)
	}
}
