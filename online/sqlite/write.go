package sqlite

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// Numbers of the parameters of a write.
const (
	paramKey = iota + 1
	paramFeature
	paramValue
	paramEvent
	paramCreated
	paramUTC // the event time in UTC, for rows that have text
	paramText
	paramNumber
	paramVector
)

// upsert stores a feature of an entity. What is compared is the stored time, whole seconds: a text is in UTC.
func (s *Store) upsert(t *online.Table, overwrite bool) string {
	insert := "INSERT INTO " + quote(t.ID()) + " (entity_key, feature_name, value, event_ts, created_ts, value_text"
	values := ") VALUES (?1, ?2, ?3, ?4, ?5, ?7"
	update := ") ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value, event_ts = excluded.event_ts, " +
		"created_ts = excluded.created_ts, value_text = excluded.value_text"
	if s.cfg.OpenAICompatible {
		insert += ", value_num"
		values += ", ?8"
		update += ", value_num = excluded.value_num"
	}
	if s.cfg.VectorEnabled {
		insert += ", vector_value"
		values += ", ?9"
		update += ", vector_value = excluded.vector_value"
	}
	if overwrite {
		return insert + values + update
	}
	return insert + values + update + " WHERE CASE typeof(event_ts) " +
		"WHEN 'null' THEN 1 " +
		"WHEN 'text' THEN coalesce(CAST(strftime('%s', event_ts) AS INTEGER) <= ?6, 1) " +
		"ELSE CAST(event_ts AS INTEGER) <= excluded.event_ts END"
}

// Write implements [online.Store]. The batch is one transaction. A row of which some features are stored and others not,
// since newer ones are, counts as stored.
func (s *Store) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	var res online.WriteResult
	err := s.transact(ctx, writing, func(c *conn) error {
		var err error
		res, err = s.write(c, b)
		return err
	})
	if err != nil {
		return online.WriteResult{}, tableError("write", b.Table, s.pool.path, err)
	}
	return res, nil
}

// transact runs fn in a transaction that may write.
func (s *Store) transact(ctx context.Context, a access, fn func(c *conn) error) error {
	if err := s.pool.enter(ctx, s.pool.writer); err != nil {
		return err
	}
	defer func() { <-s.pool.writer }()
	c, err := s.pool.get(ctx, a)
	if err != nil {
		return err
	}
	defer s.pool.put(c) // rolls back what is not committed
	if err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := fn(c); err != nil {
		return err
	}
	return c.exec("COMMIT")
}

func (s *Store) write(c *conn, b *online.WriteBatch) (res online.WriteResult, err error) {
	q, err := c.prepare(s.upsert(b.Table, b.Overwrite))
	if err != nil {
		return res, err
	}
	defer q.reset()
	var buf []byte
	for row, key := range b.Keys {
		q.bindBlob(paramKey, key)
		q.bindInt(paramEvent, storedSeconds(b.Event[row], s.zone))
		q.bindInt(paramUTC, wholeSeconds(b.Event[row]))
		if b.Created == nil || b.Created[row].IsZero() {
			q.bindNull(paramCreated)
		} else {
			q.bindInt(paramCreated, storedSeconds(b.Created[row], s.zone))
		}
		stored := 0
		for f := range b.Table.Features {
			bindText(q, paramFeature, b.Table.Features[f].Name)
			buf = b.AppendValue(buf[:0], row, f)
			q.bindBlob(paramValue, buf)
			buf = s.bindColumns(q, b.Columns[f], row, buf[:0])
			if _, err := q.step(); err != nil {
				return res, err
			}
			stored += c.changes()
			q.reset()
		}
		if stored > 0 || len(b.Table.Features) == 0 {
			res.Written++
		} else {
			res.Older++
		}
	}
	return res, nil
}

// bindColumns binds what stands beside the value. It uses and returns buf.
func (s *Store) bindColumns(q *stmt, c *types.Column, row int, buf []byte) []byte {
	buf, ok := c.AppendText(buf, row)
	if ok {
		bindText(q, paramText, buf)
	} else {
		q.bindNull(paramText)
	}
	if s.cfg.OpenAICompatible {
		if number, ok := c.Number(row); ok {
			q.bindFloat(paramNumber, number)
		} else {
			q.bindNull(paramNumber)
		}
	}
	if s.cfg.VectorEnabled {
		bindVector(q, c, row)
	}
	return buf
}

// bindVector binds what Feast writes to vector_value: lists of float32 as their bytes, scalars as Python's sqlite3 binds
// them. Other values, which make Feast's write fail, are NULL there.
func bindVector(q *stmt, c *types.Column, row int) {
	switch v := c.Any(row).(type) {
	case []float32:
		var b []byte
		for _, f := range v {
			b = binary.NativeEndian.AppendUint32(b, math.Float32bits(f))
		}
		q.bindBlob(paramVector, b)
	case int64:
		if c.Type() == types.UnixTimestamp {
			bindText(q, paramVector, time.Unix(v, 0).UTC().Format("2006-01-02 15:04:05-07:00"))
		} else {
			q.bindInt(paramVector, v)
		}
	case int32:
		q.bindInt(paramVector, int64(v))
	case float64:
		q.bindFloat(paramVector, v)
	case float32:
		q.bindFloat(paramVector, float64(v))
	case bool:
		if v {
			q.bindInt(paramVector, 1)
		} else {
			q.bindInt(paramVector, 0)
		}
	case string:
		bindText(q, paramVector, v)
	case []byte:
		q.bindBlob(paramVector, v)
	default:
		q.bindNull(paramVector)
	}
}
