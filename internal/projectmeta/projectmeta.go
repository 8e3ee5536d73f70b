// Package projectmeta converts between the two forms in which Feast keeps what a registry knows about a project besides its
// objects: rows of feast_metadata, and the text of feast.core.ProjectMetadata.project_uuid.
package projectmeta

import (
	"encoding/json"
	"strings"
)

// Keys of rows that Feast itself writes.
const (
	UUID    = "project_uuid"
	Updated = "last_updated_timestamp" // not part of the text
)

// Text returns rows as a registry file has them: the UUID, or when there are keys of the user's own, JSON with all of them.
func Text(rows map[string]string) string {
	if text, ok := rows[UUID]; ok && len(rows) == 1 {
		return text
	}
	b, _ := json.Marshal(rows) // which texts always are
	return string(b)
}

// Rows is the inverse of Text, by key. What is not a JSON object of texts is taken for a UUID.
func Rows(text string) map[string]string {
	var rows map[string]string
	if strings.HasPrefix(text, "{") && json.Unmarshal([]byte(text), &rows) == nil && len(rows) > 0 {
		if _, reserved := rows[Updated]; !reserved {
			return rows
		}
	}
	return map[string]string{UUID: text}
}
