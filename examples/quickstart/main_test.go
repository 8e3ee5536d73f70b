package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestQuickstart(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`+ feature view "driver_hourly_stats"`,
		"    ttl: 36500d -> 30d",
		"    tags.team: (none) -> rides",
		"  driver_id=1001  conv_rate        0.71     PRESENT",
		"  driver_id=1003  avg_daily_trips  -        NULL_VALUE",
		"  driver_id=9999  city             -        NOT_FOUND",
		"  drivers [1003 9999]: conv_rate and avg_daily_trips as a matrix, -1 where missing: [0.52 -1 -1 -1]",
		"  1001 in Oslo: conv_rate 0.71, 18 trips a day",
		"  9999 in unknown: conv_rate 0.00, no trips known",
		"After a newer row for 1001 and a late one for 1002, conv_rate is [0.75 0.33]",
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("the output has no line %q:\n%s", line, out.String())
		}
	}
}
