// Command program reads one feature row and prints it: the least that a program does which links this library. The
// build tags sqlite, redis, remote and kubernetes add a driver each.
package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/feastgo/feast"
	_ "github.com/feastgo/feast/online/memory"
	_ "github.com/feastgo/feast/registry/file"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func run(ctx context.Context, repo string) error {
	fs, err := feast.Open(ctx, repo)
	if err != nil {
		return err
	}
	defer fs.Close()
	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
		Features: []string{"driver_hourly_stats:conv_rate"},
		Entities: feast.Columns{"driver_id": []int64{1001}},
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(resp)
}
