package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// repo copies the repository of the quickstart, made by Feast.
func repo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../quickstart/repo")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func output(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, &out)
	return out.String(), err
}

func TestLookup(t *testing.T) {
	dir := repo(t)
	t.Chdir(t.TempDir()) // the repository's relative paths are its own
	got, err := output(t, "-repo", dir, "-features", "driver_hourly_stats:avg_daily_trips,driver_hourly_stats:city",
		"-entities", `{"driver_id": [1002, 1003, 9007199254740993]}`, "-full-names")
	if err != nil {
		t.Fatal(err)
	}
	want := `{"results":[` +
		`{"values":[1002,1003,9007199254740993],"statuses":["PRESENT","PRESENT","PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z","1970-01-01T00:00:00Z","1970-01-01T00:00:00Z"]},` +
		`{"values":[7,null,null],"statuses":["PRESENT","NULL_VALUE","NOT_FOUND"],"event_timestamps":["2026-03-01T11:00:00Z","2026-03-01T12:00:00Z","1970-01-01T00:00:00Z"]},` +
		`{"values":["Lima",null,null],"statuses":["PRESENT","NULL_VALUE","NOT_FOUND"],"event_timestamps":["2026-03-01T11:00:00Z","2026-03-01T12:00:00Z","1970-01-01T00:00:00Z"]}],` +
		`"metadata":{"feature_names":["driver_id","driver_hourly_stats__avg_daily_trips","driver_hourly_stats__city"]}}` + "\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestBatch(t *testing.T) {
	dir := repo(t)
	file := filepath.Join(t.TempDir(), "requests.jsonl")
	lines := `{"id": "a", "feature_service": "driver_activity", "entities": {"driver_id": ["1001"]}, "request_data": {"val": [1]}}
{"id": 18446744073709551617, "features": ["driver_hourly_stats:nope"], "entities": {"driver_id": [1]}}

{"id": "c", "features": ["driver_hourly_stats:city"], "entities": {"driver_id": [1001]}, "full_feature_names": true}
not json
`
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := output(t, "-repo", dir, "-batch", file)
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(got), "\n")
	if len(answers) != 4 {
		t.Fatalf("%d lines:\n%s", len(answers), got)
	}
	for i, says := range []string{
		`{"id":"a","response":{"results":[{"values":[1001]`, `{"id":18446744073709551617,"error":"feature \"nope\" does not exist`,
		`"feature_names":["driver_id","driver_hourly_stats__city"]`, `{"id":null,"error":"line 5: `,
	} {
		if !strings.Contains(answers[i], says) || !json.Valid([]byte(answers[i])) {
			t.Errorf("line %d is %s, want it to hold %s", i, answers[i], says)
		}
	}
}

func TestErrors(t *testing.T) {
	dir := repo(t)
	for _, c := range []struct {
		says string
		args []string
	}{
		{"feature_store.yaml", []string{"-repo", t.TempDir(), "-features", "a:b", "-entities", `{}`}},
		{"left over", []string{"-repo", dir, "-features", "a:b", "-entities", `{}`, "x"}},
		{"exclude each other", []string{"-repo", dir, "-features", "a:b", "-service", "s", "-entities", `{}`}},
		{"-batch takes", []string{"-repo", dir, "-batch", "f", "-full-names"}},
		{"not defined: -nope", []string{"-nope"}},
		{"-entities is missing", []string{"-repo", dir, "-features", "a:b"}},
		{"want a JSON object of columns", []string{"-repo", dir, "-features", "a:b", "-entities", `[]`}},
		{`feature view "a" does not exist`, []string{"-repo", dir, "-features", "a:b", "-entities", `{"driver_id": [1]}`}},
	} {
		out, err := output(t, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.says) || out != "" {
			t.Errorf("%v: %q, %v; want an error with %q", c.args, out, err, c.says)
		}
	}
}
