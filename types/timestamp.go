package types

import (
	"encoding/binary"
	"math"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // zoned timestamps must read the same in a container without a zone database; costs 450 KB

	"github.com/feastgo/feast/feasterr"
)

// NullUnixTimestamp is the unix_timestamp_val by which Feast stores a null (NaT) in a timestamp column.
const NullUnixTimestamp = math.MinInt64

// Timestamp is an instant with the range and resolution of google.protobuf.Timestamp: seconds since 1970-01-01 UTC,
// rounded down, and 0 to 999,999,999 nanoseconds. The zero value is the epoch, which Feast also answers for "no row".
type Timestamp struct {
	Seconds int64
	Nanos   int32
}

// TimestampOf returns the instant of t.
func TimestampOf(t time.Time) Timestamp {
	return Timestamp{Seconds: t.Unix(), Nanos: int32(t.Nanosecond())}
}

// Time returns the instant in UTC.
func (t Timestamp) Time() time.Time { return time.Unix(t.Seconds, int64(t.Nanos)).UTC() }

// Compare returns -1, 0 or +1 as t is before, at or after u.
func (t Timestamp) Compare(u Timestamp) int {
	switch {
	case t.Seconds < u.Seconds, t.Seconds == u.Seconds && t.Nanos < u.Nanos:
		return -1
	case t == u:
		return 0
	}
	return 1
}

// Valid reports whether t is of the years 1 to 9999, as google.protobuf.Timestamp demands and Python's datetime can be.
func (t Timestamp) Valid() bool {
	return t.Seconds >= minRFC3339 && t.Seconds <= maxRFC3339 && t.Nanos >= 0 && t.Nanos <= 999_999_999
}

// IsZero reports whether t is the epoch.
func (t Timestamp) IsZero() bool { return t == Timestamp{} }

// AppendProto appends the google.protobuf.Timestamp message of t: nothing for the epoch.
func (t Timestamp) AppendProto(dst []byte) []byte {
	if t.Seconds != 0 {
		dst = append(dst, 1<<3|wireVarint)
		dst = binary.AppendUvarint(dst, uint64(t.Seconds))
	}
	if t.Nanos != 0 {
		dst = append(dst, 2<<3|wireVarint)
		dst = binary.AppendUvarint(dst, uint64(int64(t.Nanos)))
	}
	return dst
}

// ParseTimestamp reads a google.protobuf.Timestamp message. Unknown fields are skipped; malformed bytes are an
// error, as are nanoseconds outside a second.
func ParseTimestamp(b []byte) (Timestamp, error) {
	var t Timestamp
	for len(b) > 0 {
		f, n := nextField(b)
		if n == 0 {
			return Timestamp{}, feasterr.Invalid("malformed timestamp message (%d bytes left)", len(b))
		}
		b = b[n:]
		switch {
		case f.num == 1 && f.wire == wireVarint:
			t.Seconds = int64(f.bits)
		case f.num == 2 && f.wire == wireVarint:
			t.Nanos = int32(f.bits)
		}
	}
	if t.Nanos < 0 || t.Nanos > 999_999_999 {
		return Timestamp{}, feasterr.Invalid("malformed timestamp message: %d nanoseconds", t.Nanos)
	}
	return t, nil
}

// layouts of text times, which time.Parse also reads with a fraction of a second.
var layouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07",
	"2006-01-02T15:04:05Z07:00:00", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02",
}

// ParseISOTime reads an ISO 8601 time, with T or a space before the time of day and without an offset in UTC: the forms in
// which Feast and its stores write times.
func ParseISOTime(s string) (Timestamp, bool) {
	t, ok := parseISO(s)
	if !ok {
		return Timestamp{}, false
	}
	return TimestampOf(t), true
}

// parseISO is ParseISOTime with the offset.
func parseISO(s string) (time.Time, bool) {
	if len(s) > 10 && s[10] == ' ' {
		s = s[:10] + "T" + s[11:]
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// Range of years that RFC 3339 can express, as google.protobuf.Timestamp limits it.
const (
	minRFC3339 = -62135596800 // 0001-01-01T00:00:00Z
	maxRFC3339 = 253402300799 // 9999-12-31T23:59:59Z
)

// AppendRFC3339 appends t in protobuf's JSON form: UTC with Z and 0, 3, 6 or 9 digits of fraction, the fewest that
// are exact. Instants outside years 1 to 9999 are clamped.
func (t Timestamp) AppendRFC3339(dst []byte) []byte {
	if t.Seconds < minRFC3339 {
		t = Timestamp{Seconds: minRFC3339}
	} else if t.Seconds > maxRFC3339 {
		t = Timestamp{Seconds: maxRFC3339, Nanos: 999_999_999}
	}
	layout := "2006-01-02T15:04:05Z"
	switch {
	case t.Nanos == 0:
	case t.Nanos%1_000_000 == 0:
		layout = "2006-01-02T15:04:05.000Z"
	case t.Nanos%1_000 == 0:
		layout = "2006-01-02T15:04:05.000000Z"
	default:
		layout = "2006-01-02T15:04:05.000000000Z"
	}
	return t.Time().AppendFormat(dst, layout)
}

// String returns the RFC 3339 form.
func (t Timestamp) String() string { return string(t.AppendRFC3339(nil)) }

// appendISO appends t as Python's datetime.isoformat does: an offset has seconds only where the zone has them (local
// mean times before standard time).
func appendISO(dst []byte, t time.Time) []byte {
	layout := "2006-01-02T15:04:05-07:00"
	if _, offset := t.Zone(); offset%60 != 0 {
		layout = "2006-01-02T15:04:05-07:00:00"
	}
	return t.AppendFormat(dst, layout)
}

// zonedTime returns the instant in the zone that a zoned timestamp names.
func zonedTime(seconds int64, zone []byte) time.Time {
	return time.Unix(seconds, 0).In(zones.location(zone))
}

// zones remembers resolved zones, since resolving one reads the zone database.
var zones zoneCache

type zoneCache struct {
	mu  sync.RWMutex
	loc map[string]*time.Location
}

// Names come from stored data: these bound what they can make the cache hold.
const (
	maxZones    = 1024
	maxZoneName = 64
)

func (z *zoneCache) location(name []byte) *time.Location {
	z.mu.RLock()
	loc := z.loc[string(name)]
	z.mu.RUnlock()
	if loc != nil {
		return loc
	}
	loc = resolveZone(string(name))
	if len(name) > maxZoneName {
		return loc
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.loc == nil {
		z.loc = map[string]*time.Location{}
	}
	if len(z.loc) < maxZones {
		z.loc[string(name)] = loc
	}
	return loc
}

// resolveZone reads the zone names that Feast reads: an IANA name, or "UTC", "GMT", "+05:30" or "+0530", the last two
// also after UTC or GMT. Any other name, also an empty one, is UTC.
func resolveZone(name string) *time.Location {
	if name == "" || name == "Local" { // Go's own names for UTC and for the zone of the machine
		return time.UTC
	}
	if loc, err := time.LoadLocation(name); err == nil {
		return loc
	}
	text := strings.TrimSpace(name)
	if len(text) >= 3 && (text[:3] == "UTC" || text[:3] == "GMT") {
		text = text[3:]
	}
	if seconds, ok := parseOffset(text); ok {
		return time.FixedZone(name, seconds)
	}
	return time.UTC
}

// parseOffset reads "+05:30" or "+0530" as seconds.
func parseOffset(s string) (seconds int, ok bool) {
	if len(s) == 6 && s[3] == ':' {
		s = s[:3] + s[4:]
	}
	if len(s) != 5 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	for _, ch := range []byte(s[1:]) {
		if ch < '0' || ch > '9' {
			return 0, false
		}
	}
	digit := func(i int) int { return int(s[i] - '0') }
	seconds = (digit(1)*10+digit(2))*3600 + (digit(3)*10+digit(4))*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, seconds > -24*3600 && seconds < 24*3600
}
