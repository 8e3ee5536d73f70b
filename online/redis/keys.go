package redis

import (
	"context"
	"errors"
	"iter"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/online"
)

// errEnough ends a scan when nobody wants more keys.
var errEnough = errors.New("enough keys")

// Keys implements [online.KeyLister]. It scans the keys of the whole database, and yields all with the join keys of the
// tables, as Feast does: which views have a row there shows when they are read.
func (s *Store) Keys(ctx context.Context, tables []*online.Table) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if len(tables) == 0 {
			return
		}
		err := s.keys(ctx, tables[0], func(key []byte) error {
			if !yield(key, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

func (s *Store) keys(ctx context.Context, t *online.Table, visit func(key []byte) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if entityless(t) {
		key := entitylessKeys(s.opts.KeyVersion, t.Project)[0] // the one that is read
		pipe := s.client.Pipeline()
		exists := pipe.Exists(ctx, key)
		if err := s.exec(ctx, pipe); err != nil || exists.Val() == 0 {
			return err
		}
		return visit([]byte(key[:len(key)-len(t.Project)]))
	}
	return s.scan(ctx, newKeySpace(s.opts.KeyVersion, t.Project, t.JoinKeys), func(keys []string) error {
		hashes, err := s.hashes(ctx, keys)
		for _, key := range hashes {
			if err := visit([]byte(key[:len(key)-len(t.Project)])); err != nil {
				return err
			}
		}
		return err
	})
}

// hashes returns those keys that hold a hash: no other has rows.
func (s *Store) hashes(ctx context.Context, keys []string) ([]string, error) {
	pipe := s.client.Pipeline()
	types := make([]*redis.StatusCmd, len(keys))
	for i, key := range keys {
		types[i] = pipe.Type(ctx, key)
	}
	if err := s.exec(ctx, pipe); err != nil {
		return nil, err
	}
	hashes := keys[:0]
	for i, key := range keys {
		if types[i].Val() == "hash" {
			hashes = append(hashes, key)
		}
	}
	return hashes, nil
}
