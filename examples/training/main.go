// Command training retrieves training data from a Feast repository into a Parquet file: for every entity row the features
// as they were at its time, or, without entity rows, what the views hold between two times.
//
//	training -repo feature_repo/ -entities labels.parquet -service driver_activity -out training.parquet
//	training -repo feature_repo/ -start 2026-03-01T00:00:00Z -end 2026-03-02T00:00:00Z -features driver_stats:conv_rate -out out.parquet
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/feastgo/feast"
	_ "github.com/feastgo/feast/drivers/all"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "training:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("training", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error
	repo := flags.String("repo", ".", "feature repository: a `directory` with feature_store.yaml, or the file")
	entities := flags.String("entities", "", "entity rows, a Parquet `file`")
	var start, end time.Time
	flags.Func("start", "first event `time`, RFC 3339, instead of -entities", timeInto(&start))
	flags.Func("end", "last event `time`, RFC 3339, instead of -entities", timeInto(&end))
	features := flags.String("features", "", "comma-separated `references` view:feature")
	service := flags.String("service", "", "feature `service`, instead of -features")
	file := flags.String("out", "", "Parquet `file` to write")
	fullNames := flags.Bool("full-names", false, "name columns view__feature")
	byCreated := flags.Bool("filter-by-created", false, "leave out values that were created after the time of the entity row")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(out)
		flags.PrintDefaults()
		return nil
	} else if err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("argument %q is left over: everything is a flag", flags.Arg(0))
	case *features != "" && *service != "":
		return errors.New("-features and -service exclude each other")
	case *file == "":
		return errors.New("-out is missing: name the Parquet file to write")
	case *entities == "" && start.IsZero() && end.IsZero():
		return errors.New("-entities is missing: give entity rows, or -start and -end")
	}
	req := feast.HistoricalRequest{
		FeatureService: *service, FullFeatureNames: *fullNames, FilterByCreatedTimestamp: *byCreated, Start: start, End: end,
	}
	if *features != "" {
		req.Features = strings.Split(*features, ",")
	}
	if *entities != "" {
		req.Entities = feast.ParquetFile(*entities)
	}
	fs, err := feast.Open(ctx, *repo)
	if err != nil {
		return err
	}
	defer fs.Close()
	job, err := fs.GetHistoricalFeatures(ctx, req)
	if err != nil {
		return err
	}
	return job.WriteParquet(ctx, *file)
}

// timeInto parses a flag.
func timeInto(t *time.Time) func(string) error {
	return func(text string) (err error) {
		*t, err = time.Parse(time.RFC3339, text)
		return err
	}
}
