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
		"  driver_id=1001  conv_rate        0.75     PRESENT",
		"  driver_id=1003  avg_daily_trips  -        NULL_VALUE",
		"  driver_id=9999  city             -        NOT_FOUND",
		"  drivers [1003 9999]: conv_rate and avg_daily_trips as a matrix, -1 where missing: [0.5 -1 -1 -1]",
		"  1001 in Oslo: conv_rate 0.75, 18 trips a day",
		"  9999 in unknown: conv_rate 0.00, no trips known",
		"Wrote 15 rows of history to data/driver_stats.parquet",
		"  driver_id=1001  event_timestamp=2026-02-28T11:00:00Z  tipped=false  conv_rate=0.375  acc_rate=0.875  avg_daily_trips=15  city=Oslo",
		"  [1/1] driver_hourly_stats: 3 of 3 rows written",
		"After a push of a newer row for 1001 and a late one for 1002, conv_rate is [0.875 0.25]",
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("the output has no line %q:\n%s", line, out.String())
		}
	}
}
