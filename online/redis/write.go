package redis

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// writeRows bounds the rows of a round trip.
const writeRows = 1000

// Write implements [online.Store]. Features that a batch does not have keep their values and get the new event time,
// since the store has one time for all features of a row.
func (s *Store) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	var res online.WriteResult
	if err := s.enter(ctx); err != nil {
		return res, err
	}
	defer s.leave()
	w := writer{store: s, batch: b, timeField: timeField(b.Table), fields: featureFields(b.Table)}
	for from := 0; from < b.Rows(); from += writeRows {
		to := min(from+writeRows, b.Rows())
		written, err := w.write(ctx, from, to)
		if err != nil {
			return res, err
		}
		res.Written += written
		res.Older += to - from - written
	}
	return res, nil
}

// writer writes a batch.
type writer struct {
	store     *Store
	batch     *online.WriteBatch
	timeField string
	fields    []string // of the features
}

// write writes rows [from, to), except older ones, and returns how many that were.
func (w *writer) write(ctx context.Context, from, to int) (written int, err error) {
	rows, err := w.newer(ctx, from, to)
	if err != nil {
		return 0, err
	}
	pipe := w.store.client.Pipeline()
	cmds := make([]*redis.IntCmd, len(rows))
	for i, row := range rows {
		key := w.key(row)
		cmds[i] = pipe.HSet(ctx, key, w.values(row)...)
		if w.store.opts.KeyTTL > 0 && !w.batch.Table.HasVectors() {
			pipe.Expire(ctx, key, w.store.opts.KeyTTL)
		}
	}
	if err := w.store.exec(ctx, pipe); err != nil {
		return 0, err
	}
	for i, cmd := range cmds {
		if cmd.Err() != nil {
			return 0, w.rowError(rows[i], errNoHash)
		}
	}
	return len(rows), nil
}

// newer returns those of the rows [from, to) that are to be stored.
func (w *writer) newer(ctx context.Context, from, to int) ([]int, error) {
	rows := make([]int, 0, to-from)
	for row := from; row < to; row++ {
		rows = append(rows, row)
	}
	if w.batch.Overwrite || w.store.opts.SkipDedup {
		return rows, nil
	}
	pipe := w.store.client.Pipeline()
	cmds := make([]*redis.SliceCmd, len(rows))
	for i, row := range rows {
		cmds[i] = pipe.HMGet(ctx, w.key(row), w.timeField)
	}
	if err := w.store.exec(ctx, pipe); err != nil {
		return nil, err
	}
	newest := make(map[string]types.Timestamp, len(rows))
	for i, cmd := range cmds {
		if cmd.Err() != nil {
			return nil, w.rowError(rows[i], errNoHash)
		}
		for _, v := range cmd.Val() {
			if stored, ok := v.(string); ok {
				event, err := types.ParseTimestamp([]byte(stored))
				if err != nil {
					return nil, w.rowError(rows[i], feasterr.Invalid("stored event time, which Overwrite ignores: %w", err))
				}
				newest[w.key(rows[i])] = event
			}
		}
	}
	accepted := rows[:0]
	for _, row := range rows {
		key, event := w.key(row), w.batch.Event[row]
		// As in Feast, the epoch counts as no time, and so does what is before it: such rows are always replaced.
		if known := newest[key]; known.Compare(types.Timestamp{}) > 0 && event.Compare(known) <= 0 {
			continue
		}
		newest[key] = event
		accepted = append(accepted, row)
	}
	return accepted, nil
}

func (w *writer) key(row int) string { return string(w.batch.Keys[row]) + w.batch.Table.Project }

// values returns the fields of a row, each followed by its value.
func (w *writer) values(row int) []any {
	out := make([]any, 0, 2+2*len(w.fields))
	buf := w.batch.Event[row].AppendProto(nil)
	out = append(out, w.timeField, buf)
	for i, field := range w.fields {
		from := len(buf)
		buf = w.batch.AppendValue(buf, row, i)
		out = append(out, field, buf[from:])
	}
	return out
}

func (w *writer) rowError(row int, err error) error {
	return tableError("write", w.batch.Table, feasterr.Invalid("row %d: %w", row, err))
}
