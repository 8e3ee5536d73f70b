package sqlite

import (
	"context"

	"github.com/feastgo/feast/online"
)

// Delete implements [online.Deleter]. The keys are one transaction: all rows go or none. What they held may stay in free
// pages of the file until SQLite uses these again.
func (s *Store) Delete(ctx context.Context, t *online.Table, keys [][]byte) error {
	err := s.transact(ctx, writing, func(c *conn) error {
		// A statement for each key needs no more parameters than there may be, whatever the number of keys.
		q, err := c.prepare("DELETE FROM " + quote(t.ID()) + " WHERE entity_key = ?1")
		if err != nil {
			return err
		}
		defer q.reset()
		for _, key := range keys {
			q.bindBlob(1, key)
			if _, err := q.step(); err != nil {
				return err
			}
			q.reset()
		}
		return nil
	})
	if err != nil {
		return tableError("delete", t, s.pool.path, err)
	}
	return nil
}
