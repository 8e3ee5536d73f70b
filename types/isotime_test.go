package types

import (
	"testing"
	"time"
)

func TestParseISOTime(t *testing.T) {
	for text, want := range map[string]string{
		"2024-01-02 03:04:05":              "2024-01-02T03:04:05Z",
		"2024-01-02T03:04:05":              "2024-01-02T03:04:05Z",
		"2024-01-02 03:04:05.678901":       "2024-01-02T03:04:05.678901Z",
		"2024-01-02 03:04:05.678901+00:00": "2024-01-02T03:04:05.678901Z",
		"2024-01-02T03:04:05.5-08:00":      "2024-01-02T11:04:05.500Z",
		"2024-01-02T03:04:05+0530":         "2024-01-01T21:34:05Z",
		"2024-01-02T03:04:05+05":           "2024-01-01T22:04:05Z",
		"1900-01-01 00:00:00+05:53:28":     "1899-12-31T18:06:32Z",
		"2024-01-02T03:04:05Z":             "2024-01-02T03:04:05Z",
		"2024-01-02 03:04":                 "2024-01-02T03:04:00Z",
		"2024-01-02":                       "2024-01-02T00:00:00Z",
		"1969-12-31 23:59:59.5":            "1969-12-31T23:59:59.500Z",
		"":                                 "",
		"now":                              "",
		"2024-13-02":                       "",
		"2024-01-02 25:00:00":              "",
		"2024-01-02 03:04:05 and more":     "",
		"1704164645":                       "",
	} {
		got, ok := ParseISOTime(text)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%q: got %v, %t, want %s", text, got, ok, want)
		}
	}
}

func FuzzISOTime(f *testing.F) {
	for _, seed := range []string{
		"2024-01-02 03:04:05", "2024-01-02T03:04:05.678901+00:00", "2024-01-02", "2024-01-02T03:04Z", "1900-01-01 00:00:00+05:53:28",
		"9999-12-31 23:59:59.999999", "0001-01-01 00:00:00", "2024-02-30", "yesterday", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := ParseISOTime(text)
		if !ok {
			if got != (Timestamp{}) {
				t.Fatalf("%q: not a time, and %v", text, got)
			}
			return
		}
		if got.Nanos < 0 || got.Nanos > 999_999_999 {
			t.Fatalf("%q: %d nanoseconds", text, got.Nanos)
		}
		again, ok := ParseISOTime(got.Time().Format(time.RFC3339Nano))
		if year := got.Time().Year(); year >= 0 && year <= 9999 && (!ok || again != got) {
			t.Fatalf("%q: read as %v, that again as %v, %t", text, got, again, ok)
		}
	})
}
