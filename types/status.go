package types

// Status says what is known of a cell. The zero value is [NotFound], so that an absent row costs nothing.
type Status uint8

// The statuses, with the names of feast.serving.FieldStatus.
const (
	NotFound      Status = iota // nothing is stored for this feature of this row
	Present                     // a value is stored
	NullValue                   // a null is stored
	OutsideMaxAge               // a value or null is stored, older than the view's ttl; the value is kept
	Failed                      // nothing is known, since the view could not be read; Feast's INVALID
)

// String returns Feast's name of the status: "PRESENT".
func (s Status) String() string {
	switch s {
	case NotFound:
		return "NOT_FOUND"
	case Present:
		return "PRESENT"
	case NullValue:
		return "NULL_VALUE"
	case OutsideMaxAge:
		return "OUTSIDE_MAX_AGE"
	}
	return "INVALID"
}
