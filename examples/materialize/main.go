// Command materialize brings the newest values of a window of time from the offline store of a Feast repository to its online
// store.
//
//	materialize -repo feature_repo/ -start 2026-03-01T00:00:00Z -end 2026-03-02T00:00:00Z -views driver_stats,customer_profile
//
// It prints a line for each view. Rows with a null in their key are skipped, and their number is printed to stderr.
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
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr, isTerminal(os.Stderr)); err != nil {
		fmt.Fprintln(os.Stderr, "materialize:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, errOut io.Writer, terminal bool) error {
	flags := flag.NewFlagSet("materialize", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error
	repo := flags.String("repo", ".", "feature repository: a `directory` with feature_store.yaml, or the file")
	var req feast.MaterializeRequest
	flags.Func("start", "first event `time`, RFC 3339", timeInto(&req.Start))
	flags.Func("end", "last event `time`, RFC 3339", timeInto(&req.End))
	views := flags.String("views", "", "comma-separated `names` of feature views; all that are served online when empty")
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
	case req.Start.IsZero() || req.End.IsZero():
		return errors.New("-start and -end are needed: the event times to materialize, both included")
	}
	if *views != "" {
		req.Views = strings.Split(*views, ",")
	}
	if terminal {
		req.Progress = func(p feast.MaterializeProgress) { fmt.Fprint(errOut, bar(p)) }
	}
	fs, err := feast.Open(ctx, *repo)
	if err != nil {
		return err
	}
	defer fs.Close()
	res, err := fs.Materialize(ctx, req)
	if terminal {
		fmt.Fprint(errOut, clearLine)
	}
	for _, v := range res.Views {
		fmt.Fprintf(out, "%s: %d rows written, %d older than what is stored, in %s\n", v.Name, v.Written, v.Older, v.Took.Round(time.Millisecond))
		if v.NullKeys > 0 {
			fmt.Fprintf(errOut, "%s: %d rows skipped, which have a null in their key\n", v.Name, v.NullKeys)
		}
	}
	for _, name := range res.Skipped {
		fmt.Fprintf(errOut, "%s: skipped, only Feast can compute its rows\n", name)
	}
	return err
}

const clearLine = "\r\x1b[K"

// bar draws how many views are done, and how many rows of the current one were read.
func bar(p feast.MaterializeProgress) string {
	const width = 24
	done := p.Index
	if p.Done {
		done++
	}
	full := width * done / p.Views
	return fmt.Sprintf("%s[%s%s] %d/%d  %s: %d rows", clearLine, strings.Repeat("=", full), strings.Repeat(" ", width-full), done, p.Views, p.Name, p.Read)
}

// isTerminal reports whether somebody looks at a file.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// timeInto parses a flag.
func timeInto(t *time.Time) func(string) error {
	return func(text string) (err error) {
		*t, err = time.Parse(time.RFC3339, text)
		return err
	}
}
