package redis

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// reader reads with one HMGET for each key, for all tables of its group, all in one pipeline.
type reader struct {
	store  *Store
	groups []group
}

type group struct {
	tables []*online.Table
	// command is the HMGET with nil in place of the key. For each table it names the features' fields, then that of
	// the event time.
	command []any
}

// Prepare implements [online.Store].
func (s *Store) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	r := &reader{store: s}
	for _, tables := range plan.Groups() {
		g := group{tables: tables, command: []any{"hmget", nil}}
		for _, t := range tables {
			for _, f := range featureFields(t) {
				g.command = append(g.command, f)
			}
			g.command = append(g.command, timeField(t))
		}
		r.groups = append(r.groups, g)
	}
	return r, nil
}

// Read implements [online.Reader].
func (r *reader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	if err := r.store.enter(ctx); err != nil {
		return err
	}
	defer r.store.leave()
	pipe := r.store.reads.Pipeline()
	cmds := make([]*redis.SliceCmd, 0, keys.Len())
	for i, g := range r.groups {
		if len(g.tables) == 0 {
			continue
		}
		for _, key := range keys.Group(i) {
			args := append([]any(nil), g.command...)
			args[1] = string(key.Bytes) + g.tables[0].Project
			cmd := redis.NewSliceCmd(ctx, args...)
			cmds = append(cmds, cmd)
			if err := pipe.Process(ctx, cmd); err != nil {
				return err
			}
		}
	}
	if err := r.store.exec(ctx, pipe); err != nil {
		return err
	}
	var buf []byte
	for i, g := range r.groups {
		if len(g.tables) == 0 {
			continue
		}
		for _, key := range keys.Group(i) {
			var err error
			if buf, err = g.fill(dst, key.Row, cmds[0], buf); err != nil {
				return err
			}
			cmds = cmds[1:]
		}
	}
	return nil
}

// fill hands what was read of an entity to dst. buf is for reuse.
func (g *group) fill(dst *online.Result, row int, cmd *redis.SliceCmd, buf []byte) ([]byte, error) {
	if cmd.Err() != nil {
		return buf, tableError("read", g.tables[0], feasterr.Invalid("row %d: %w", row, errNoHash))
	}
	values := cmd.Val()
	if asked := len(g.command) - 2; len(values) != asked {
		return buf, tableError("read", g.tables[0], feasterr.Invalid("row %d: %d values came for %d fields", row, len(values), asked))
	}
	for _, t := range g.tables {
		features := values[:len(t.Features)]
		stored, ok := values[len(t.Features)].(string)
		values = values[len(t.Features)+1:]
		if !ok {
			continue
		}
		buf = append(buf[:0], stored...)
		event, err := types.ParseTimestamp(buf)
		if err != nil {
			return buf, tableError("read", t, feasterr.Invalid("row %d: event time: %w", row, err))
		}
		dst.Row(t, row, event)
		for i, v := range features {
			if v, ok := v.(string); ok {
				buf = append(buf[:0], v...)
				if err := dst.Set(t, row, i, buf); err != nil {
					return buf, tableError("read", t, err)
				}
			}
		}
	}
	return buf, nil
}
