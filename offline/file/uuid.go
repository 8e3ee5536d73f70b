package file

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/types"
)

// UUIDs are 16 bytes in Parquet and in Arrow, with a note that says so. In Arrow that is an extension type or, where nobody
// knows it, the metadata of a field of its storage, which is what results have.

const (
	extensionName = "ARROW:extension:name"
	uuidName      = "arrow.uuid"
)

var uuidField = arrow.MetadataFrom(map[string]string{extensionName: uuidName, "ARROW:extension:metadata": ""})

// isUUID reports whether a field is one of UUIDs.
func isUUID(f arrow.Field) bool {
	if e, ok := f.Type.(arrow.ExtensionType); ok {
		return e.ExtensionName() == uuidName
	}
	name, ok := f.Metadata.GetValue(extensionName)
	t, fixed := f.Type.(*arrow.FixedSizeBinaryType)
	return ok && name == uuidName && fixed && t.ByteWidth == 16
}

// field is a field of a result.
func (c *column) field(name string, t arrow.DataType) arrow.Field {
	f := arrow.Field{Name: name, Type: t, Nullable: true}
	if c.flat && c.leaf.uuid {
		f.Metadata = uuidField
	}
	return f
}

// textOfUUID is what other keys than UUIDs are compared with, and what is stored online.
func textOfUUID(dst, b []byte) []byte { return types.AppendUUID(dst, [16]byte(b)) }
