package file_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/internal/looks"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/offline/offlinetest"
)

// A context that ends at any stage ends the call with its error; TestMain sees that no goroutine is left.
func TestCancel(t *testing.T) {
	file.Small(t, true)
	size := benchmarkSize{features: 400, entities: 60, keys: 30}
	dir := t.TempDir()
	path := filepath.Join(dir, "features.parquet")
	size.generate(t, path)
	store := file.New(dir)
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	rows := func() array.RecordReader { return reader(t, size.entityRows()) }
	scan := &offline.ScanPlan{
		Source: &offline.Source{Path: path}, Keys: []offline.Column{{Source: "driver_id", Name: "k"}}, Features: []offline.Column{{Source: "f3", Name: "f3"}},
		Event: offline.Column{Source: "event_timestamp", Name: "e"},
	}
	read := func(ctx context.Context, job offline.Job, err error) error {
		if err != nil {
			return err
		}
		_, err = offlinetest.ReadJob(ctx, t, job)
		return err
	}
	for name, call := range map[string]func(ctx context.Context) error{
		"Historical": func(ctx context.Context) error {
			job, err := store.Historical(ctx, size.plan(path, time.Hour), offline.EntityRows{Rows: rows(), Event: "event_timestamp"})
			return read(ctx, job, err)
		},
		"Latest": func(ctx context.Context) error { job, err := store.Latest(ctx, scan); return read(ctx, job, err) },
		"All":    func(ctx context.Context) error { job, err := store.All(ctx, scan); return read(ctx, job, err) },
		"Append": func(ctx context.Context) error {
			_, err := store.Append(ctx, &offline.Source{Path: "appended.parquet"}, rows())
			return err
		},
		"Create": func(ctx context.Context) error {
			_, err := codec.Create(ctx, filepath.Join(dir, "created.parquet"), rows())
			return err
		},
		"Describe": func(ctx context.Context) error { _, err := store.Describe(ctx, scan.Source); return err },
		"Open": func(ctx context.Context) error {
			r, err := codec.Open(ctx, path)
			if err != nil {
				return err
			}
			defer r.Release()
			for r.Next() {
			}
			return r.Err()
		},
	} {
		if n := looks.Count(t, name, call); n < 2 {
			t.Errorf("%s looks at its context %d times", name, n)
		}
	}
}
