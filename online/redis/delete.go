package redis

import (
	"context"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/online"
)

// scanCount is how many keys a SCAN looks at.
const scanCount = 1000

// Delete implements [online.Deleter]. Of the hash of an entity go the fields of the table's features and its event time;
// those of other views stay. Names of features cannot be told from their fields, so that the field of a feature that the
// view no longer has stays with them, where no read looks. A key that holds no hash has no rows.
func (s *Store) Delete(ctx context.Context, t *online.Table, keys [][]byte) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	command := []any{"hdel", nil, timeField(t)} // with nil in place of the key
	for _, field := range featureFields(t) {
		command = append(command, field)
	}
	for chunk := range slices.Chunk(keys, writeRows) {
		pipe := s.client.Pipeline()
		for _, key := range chunk {
			args := slices.Clone(command)
			args[1] = string(key) + t.Project
			if err := pipe.Process(ctx, redis.NewIntCmd(ctx, args...)); err != nil {
				return err
			}
		}
		if err := s.exec(ctx, pipe); err != nil {
			return err
		}
	}
	return nil
}

// Update implements [online.Store]. What is kept needs nothing. Rows of dropped tables are removed, which scans the keys
// of the whole database, unless [Options.KeepDropped] says otherwise.
func (s *Store) Update(ctx context.Context, _, drop []*online.Table) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if s.opts.KeepDropped {
		return nil
	}
	return s.remove(ctx, drop)
}

// Teardown implements [online.Store]. It scans the keys of the whole database. Rows of other views are kept, also those
// that share a hash with these tables.
func (s *Store) Teardown(ctx context.Context, tables []*online.Table) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.remove(ctx, tables)
}

// remove removes the rows of tables.
func (s *Store) remove(ctx context.Context, tables []*online.Table) error {
	spaces := map[keySpace][]*online.Table{}
	for _, t := range tables {
		k := newKeySpace(s.opts.KeyVersion, t.Project, t.JoinKeys)
		spaces[k] = append(spaces[k], t)
	}
	looked := 0
	removeFrom := func(keys []string, tables []*online.Table) error {
		err := s.removeFrom(ctx, keys, tables)
		if looked += len(keys); err == nil && s.opts.Progress != nil {
			s.opts.Progress(looked)
		}
		return err
	}
	for space, tables := range spaces {
		var err error
		if entityless(tables[0]) {
			err = removeFrom(entitylessKeys(s.opts.KeyVersion, space.project), tables)
		} else {
			err = s.scan(ctx, space, func(keys []string) error { return removeFrom(keys, tables) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scan calls visit with the keys of a space, some at a time and perhaps some of them repeatedly. Of a cluster it scans one
// master after the other.
func (s *Store) scan(ctx context.Context, space keySpace, visit func(keys []string) error) error {
	nodes, err := s.masters(ctx, s.client)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if err := s.scanNode(ctx, node, space, visit); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) scanNode(ctx context.Context, node redis.UniversalClient, space keySpace, visit func(keys []string) error) error {
	for cursor := uint64(0); ; {
		pipe := node.Pipeline()
		cmd := pipe.Scan(ctx, cursor, space.pattern(), scanCount)
		if err := s.exec(ctx, pipe); err != nil {
			return err
		}
		var found, keys []string
		found, cursor = cmd.Val()
		for _, key := range found {
			if space.holds(key) {
				keys = append(keys, key)
			}
		}
		if err := visit(keys); err != nil {
			return err
		}
		if cursor == 0 {
			return nil
		}
	}
}

// removeFrom removes the rows of tables from the hashes under some keys. A hash that holds no other view goes whole,
// together with features that the tables do not name any more.
func (s *Store) removeFrom(ctx context.Context, keys []string, tables []*online.Table) error {
	pipe := s.client.Pipeline()
	hashes := make([]*redis.StringSliceCmd, len(keys))
	for i, key := range keys {
		hashes[i] = pipe.HKeys(ctx, key)
	}
	if err := s.exec(ctx, pipe); err != nil {
		return err
	}
	pipe = s.client.Pipeline()
	for i, key := range keys {
		views := map[string]bool{}
		for _, field := range hashes[i].Val() { // none where the key holds no hash
			if len(field) > len(timePrefix) && strings.HasPrefix(field, timePrefix) {
				views[field] = true
			}
		}
		var fields []string
		for _, t := range tables {
			if views[timeField(t)] {
				delete(views, timeField(t))
				fields = append(append(fields, timeField(t)), featureFields(t)...)
			}
		}
		for field := range views { // vectors are nothing without the rows that they were made of
			if strings.HasPrefix(field, timePrefix+online.VectorPrefix) {
				delete(views, field)
			}
		}
		switch {
		case fields == nil:
		case len(views) == 0:
			pipe.Del(ctx, key)
		default:
			pipe.HDel(ctx, key, fields...)
		}
	}
	return s.exec(ctx, pipe)
}
