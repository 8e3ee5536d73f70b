package redisbench

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast"
	typespb "github.com/feastgo/feast/internal/protos/feast/types"
)

// byHand is what a program makes of a day's work: a pipeline of go-redis, and values unmarshalled into the generated message.
type byHand struct {
	client *redis.Client
	types  []feast.Type
	fields []string
	ids    [][]int64
	all    bool

	columns [][]*typespb.Value
}

func newByHand(b *testing.B, r *repo, n int, ids [][]int64, all bool) *byHand {
	client := redis.NewClient(&redis.Options{Addr: r.addr})
	b.Cleanup(func() { _ = client.Close() })
	return &byHand{client: client, types: r.types[:n], fields: hashFields(n), ids: ids, all: all}
}

func (h *byHand) read(i int) error {
	ctx := context.Background()
	ids := h.ids[i%len(h.ids)]
	pipe := h.client.Pipeline()
	var lists []*redis.SliceCmd
	var maps []*redis.MapStringStringCmd
	for _, id := range ids {
		key := string(appendHashKey(nil, id))
		if h.all {
			maps = append(maps, pipe.HGetAll(ctx, key))
		} else {
			lists = append(lists, pipe.HMGet(ctx, key, h.fields...))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	h.columns = make([][]*typespb.Value, len(h.types))
	for f := range h.columns {
		h.columns[f] = make([]*typespb.Value, len(ids))
	}
	for row := range ids {
		for f := range h.types {
			var stored string
			var ok bool
			if h.all {
				stored, ok = maps[row].Val()[h.fields[f]]
			} else {
				stored, ok = lists[row].Val()[f].(string)
			}
			if !ok {
				continue
			}
			v := new(typespb.Value)
			if err := proto.Unmarshal([]byte(stored), v); err != nil {
				return err
			}
			h.columns[f][row] = v
		}
	}
	return nil
}

func (h *byHand) sum() (present int, ints int64) {
	for _, c := range h.columns {
		for _, v := range c {
			if v != nil {
				present++
				ints += v.GetInt64Val()
			}
		}
	}
	return present, ints
}
