package redis

import (
	"encoding/binary"
	"strings"

	"github.com/twmb/murmur3"

	"github.com/feastgo/feast/online"
)

// timePrefix begins the name of the field that holds a view's event time. A field of a feature is shorter.
const timePrefix = "_ts:"

// timeField is the field that holds the event time of a view's row, a google.protobuf.Timestamp: empty for the epoch.
func timeField(t *online.Table) string { return timePrefix + t.StoredView() }

// featureField is the field that holds a feature of a view, a feast.types.Value: empty for a null.
func featureField(view, feature string) string {
	hash := murmur3.StringSum32(view + ":" + feature)
	return string(binary.LittleEndian.AppendUint32(nil, hash))
}

// featureFields are the fields of a table's features.
func featureFields(t *online.Table) []string {
	fields := make([]string, len(t.Features))
	for i, f := range t.Features {
		fields[i] = featureField(t.StoredView(), f.Name)
	}
	return fields
}

// globEscaper makes text stand for itself in the pattern of a SCAN.
var globEscaper = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `\`, `\\`)

// keySpace is the hashes of a project for one set of join keys.
type keySpace struct {
	project string
	prefix  string // of keys as they are stored
	prefix3 string // of the same keys in version 3
}

func newKeySpace(version int, project string, joinKeys []string) keySpace {
	return keySpace{
		project: project,
		prefix:  string(online.AppendKeyPrefix(nil, version, joinKeys)),
		prefix3: string(online.AppendKeyPrefix(nil, 3, joinKeys)),
	}
}

// pattern is the pattern that all keys of the space match, and perhaps others.
func (k keySpace) pattern() string {
	return globEscaper.Replace(k.prefix) + "*" + globEscaper.Replace(k.project)
}

// holds reports whether a key belongs to the space: it is an entity key with these join keys, and what follows it is
// the name of the project and not that of another one with the same ending.
func (k keySpace) holds(key string) bool {
	values, ok := strings.CutPrefix(key, k.prefix)
	if !ok {
		return false
	}
	_, rest, err := online.ParseKeyPrefix([]byte(k.prefix3 + values)) // in version 2, names would have no end
	return err == nil && string(rest) == k.project
}

// entityless reports whether a table is that of a view without entities.
func entityless(t *online.Table) bool {
	return len(t.JoinKeys) == 1 && t.JoinKeys[0] == online.DummyJoinKey
}

// entitylessKeys are the keys of the hashes of views without entities: the one under which the row is read, and the one
// under which Feast's write_to_online_store and push put it.
func entitylessKeys(version int, project string) []string {
	dummy := online.AppendKeyPrefix(nil, version, []string{online.DummyJoinKey})
	dummy = append(dummy, 2, 0, 0, 0, 0, 0, 0, 0) // an empty text
	none := online.AppendKeyPrefix(nil, version, nil)
	return []string{string(dummy) + project, string(none) + project}
}
