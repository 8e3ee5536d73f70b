// Package duration reads and writes durations as people put them in definitions: with days.
package duration

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Parse reads a duration as [time.ParseDuration] does, with days of 24 hours before all else: "7d", "1d12h".
func Parse(s string) (time.Duration, bool) {
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		d, err := time.ParseDuration(s)
		return d, err == nil
	}
	negative := strings.HasPrefix(days, "-")
	n, err := strconv.ParseUint(strings.TrimPrefix(days, "-"), 10, 32)
	if err != nil || n > uint64(math.MaxInt64/day) || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
		return 0, false
	}
	d := time.Duration(n) * day
	if rest != "" {
		part, err := time.ParseDuration(rest)
		if err != nil || part > math.MaxInt64-d {
			return 0, false
		}
		d += part
	}
	if negative {
		d = -d
	}
	return d, true
}

// long matches what is a duration but for its length.
var long = regexp.MustCompile(`^(-?[0-9]+d|[-+]?)([0-9]+(\.[0-9]*)?(h|m|s|ms|us|µs|μs|ns))*$`)

// TooLong reports whether text that is no duration would be one were it shorter. More than 292 years do not fit.
func TooLong(s string) bool { return len(s) > len("-1d") && long.MatchString(s) }

// Format writes whole days as such, and leaves out units that are zero at the end: "7d", "36h", "1h30m", "0s".
func Format(d time.Duration) string {
	if d != 0 && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
