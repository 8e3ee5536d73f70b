// Command lookup reads features from a Feast repository and prints the answer as JSON.
//
//	lookup -repo feature_repo/ -features driver_stats:conv_rate -entities '{"driver_id": [1001, 1002]}'
//	lookup -repo feature_repo/ -batch requests.jsonl
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/feastgo/feast"
	_ "github.com/feastgo/feast/drivers/all"
)

// request is a line of a batch, and what the flags say.
type request struct {
	ID          any         `json:"id"`
	Features    []string    `json:"features"`
	Service     string      `json:"feature_service"`
	Entities    feast.Batch `json:"entities"`
	RequestData feast.Batch `json:"request_data"`
	FullNames   bool        `json:"full_feature_names"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "lookup:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("lookup", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error
	repo := flags.String("repo", ".", "feature repository: a `directory` with feature_store.yaml, or the file")
	features := flags.String("features", "", "comma-separated `references` view:feature")
	service := flags.String("service", "", "feature `service`, instead of -features")
	entities := flags.String("entities", "", "entity rows, a JSON `object` of columns")
	requestData := flags.String("request-data", "", "request data of on-demand views, a JSON `object` of columns")
	fullNames := flags.Bool("full-names", false, "name columns view__feature")
	batch := flags.String("batch", "", "`file` of JSON lines {id, features or feature_service, entities, request_data, full_feature_names}")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(out)
		flags.PrintDefaults()
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("argument %q is left over: everything is a flag", flags.Arg(0))
	}
	if *features != "" && *service != "" {
		return errors.New("-features and -service exclude each other")
	}
	if *batch != "" && (*features != "" || *service != "" || *entities != "" || *requestData != "" || *fullNames) {
		return errors.New("-batch takes what to read from its file: leave the other flags out")
	}
	fs, err := feast.Open(ctx, *repo)
	if err != nil {
		return err
	}
	defer fs.Close()
	if *batch != "" {
		return lookupAll(ctx, fs, *batch, out)
	}
	req := request{Service: *service, FullNames: *fullNames}
	if *features != "" {
		req.Features = strings.Split(*features, ",")
	}
	if *entities == "" {
		return errors.New("-entities is missing: give the entity rows as a JSON object of columns")
	}
	if err := req.Entities.UnmarshalJSON([]byte(*entities)); err != nil {
		return err
	}
	if *requestData != "" {
		if err := req.RequestData.UnmarshalJSON([]byte(*requestData)); err != nil {
			return err
		}
	}
	resp, err := lookup(ctx, fs, &req)
	if err != nil {
		return err
	}
	line, err := json.Marshal(resp)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}

func lookup(ctx context.Context, fs *feast.FeatureStore, r *request) (*feast.OnlineResponse, error) {
	if err := r.Entities.Append(&r.RequestData); err != nil {
		return nil, err
	}
	return fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: r.Features, FeatureService: r.Service, FullFeatureNames: r.FullNames, Entities: &r.Entities,
	})
}

// lookupAll answers every line of a file with a line.
func lookupAll(ctx context.Context, fs *feast.FeatureStore, name string, out io.Writer) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	for n, line := range bytes.Split(data, []byte("\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var answer struct {
			ID       any                   `json:"id"`
			Response *feast.OnlineResponse `json:"response,omitempty"`
			Error    string                `json:"error,omitempty"`
		}
		var req request
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber()
		err := dec.Decode(&req)
		if err != nil {
			err = fmt.Errorf("line %d: %w", n+1, err)
		} else {
			answer.Response, err = lookup(ctx, fs, &req)
		}
		answer.ID = req.ID
		if err != nil {
			answer.Error = err.Error()
		}
		if err := encodeLine(w, answer); err != nil {
			return err
		}
	}
	return w.Flush()
}

func encodeLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
