package sqlite

import (
	"math"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
	sqlite3 "modernc.org/sqlite/lib"
)

// Times are stored as whole seconds since the epoch. Old versions of Feast stored ISO text, which SQLite compares with
// numbers as greater.

// eventTime returns the event time in a column of the row. Numbers are those of a host in zone, unless it is nil.
func eventTime(s *stmt, column int, zone *time.Location) (t types.Timestamp, err error) {
	switch s.typeOf(column) {
	case sqlite3.SQLITE_INTEGER:
		t.Seconds = s.int(column)
	case sqlite3.SQLITE_FLOAT:
		f := s.float(column)
		seconds := math.Floor(f)
		if seconds < -1<<63 || seconds >= 1<<63 {
			return t, feasterr.Invalid("malformed event time %v", f)
		}
		t.Seconds = int64(seconds)
		t.Nanos = int32((f-seconds)*1e6) * 1000 // a float of today has no more than microseconds
	case sqlite3.SQLITE_NULL:
		return t, nil
	default:
		text := string(s.bytes(column))
		t, ok := types.ParseISOTime(text)
		if !ok {
			return t, feasterr.Invalid("malformed event time %q", text)
		}
		return t, nil
	}
	if zone != nil {
		t.Seconds = fromLocal(t.Seconds, zone)
	}
	return t, nil
}

// wholeSeconds cuts the fraction of a second, toward zero, as Python's int does.
func wholeSeconds(t types.Timestamp) int64 {
	if t.Seconds < 0 && t.Nanos > 0 {
		return t.Seconds + 1
	}
	return t.Seconds
}

// storedSeconds is the number that Feast stores for a time on a host in zone.
func storedSeconds(t types.Timestamp, zone *time.Location) int64 {
	if zone != nil {
		t.Seconds = toLocal(t.Seconds, zone)
	}
	return wholeSeconds(t)
}

// offset is how far the zone is ahead of UTC at an instant, in seconds.
func offset(instant int64, zone *time.Location) int64 {
	_, seconds := time.Unix(instant, 0).In(zone).Zone()
	return int64(seconds)
}

// fromLocal undoes toLocal: it reads the clock of the zone at an instant, as if it showed UTC.
func fromLocal(instant int64, zone *time.Location) int64 { return instant + offset(instant, zone) }

// toLocal returns the instant at which the clock of the zone shows what the clock of UTC shows at t. Where it shows that
// twice it is the first time; where never, the instant that the offset before the gap gives: Python's datetime.timestamp.
func toLocal(t int64, zone *time.Location) int64 {
	const day = 24 * 60 * 60
	before, after := t-offset(t-day, zone), t-offset(t+day, zone)
	if fromLocal(before, zone) == t || fromLocal(after, zone) != t {
		return before
	}
	return after
}
