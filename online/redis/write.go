package redis

import (
	"cmp"
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// Bounds of a round trip: rows, and bytes and number of keys and values, unless one row has more.
const (
	writeRows  = 1000
	writeBytes = 4 << 20
	writeTexts = 1 << 17
)

// Write implements [online.Store]. Features that a batch does not have keep their values and get the new event time,
// since the store has one time for all features of a row.
//
// Whether a row is newer than the stored one is decided by a script, in the same round trip in which the row is stored
// and with nothing in between. Where the server refuses scripts, the times are read first and the rows written then: of
// programs that write the same row at the same time, any one may win.
func (s *Store) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	if err := s.enter(ctx); err != nil {
		return online.WriteResult{}, err
	}
	defer s.leave()
	w := writer{store: s, batch: b, timeField: timeField(b.Table), fields: featureFields(b.Table)}
	if !b.Table.HasVectors() { // which do not prolong the life of the rows that they are made of
		w.ttl = int64(s.opts.KeyTTL / time.Second)
	}
	if m, ok := s.writeMemory.Get().(*writeMemory); ok {
		w.writeMemory = *m
	}
	for from := 0; from < b.Rows(); {
		to := w.encode(from)
		if err := w.write(ctx); err != nil {
			return w.res, err
		}
		from = to
	}
	if cap(w.buf) <= 2*writeBytes {
		m := w.writeMemory
		s.writeMemory.Put(&m) // not after an error, as what was sent may use it still
	}
	return w.res, nil
}

// writeScript stores one row.
//
//go:embed write.lua
var writeScript string

var writeScriptSHA = func() string {
	sum := sha1.Sum([]byte(writeScript)) // what EVALSHA goes by
	return hex.EncodeToString(sum[:])
}()

// writer writes a batch, some rows at a time.
type writer struct {
	store     *Store
	batch     *online.WriteBatch
	timeField string
	fields    []string // of the features
	ttl       int64    // seconds that keys live from now on; 0: they keep what they have
	res       online.WriteResult
	writeMemory
}

// writeMemory is what round trips, and writes after each other, use again.
type writeMemory struct {
	rows []pendingRow
	buf  []byte
	text []string // for each row: its key, its event time, and its values, in buf
	args []any    // stride for each row
}

// pendingRow is a row that is to be stored.
type pendingRow struct {
	row            int
	key            string
	seconds, nanos int64
	again          int64 // 1: it may be stored already
	// args are EVALSHA, the script, 1, the key, four arguments, and fields with their values. From hsetAt on they can be made
	// those of HSET.
	args []any
}

const (
	scriptArgs = 8              // before the fields
	hsetAt     = scriptArgs - 2 // "hset" and the key
)

// encode takes up rows beginning with from, and returns that after the last one.
//
// Arguments point to texts, since those would be copied to make them values of an interface. The texts are in buf, which
// does not change before the next rows are taken up.
func (w *writer) encode(from int) (to int) {
	texts, stride := 2+len(w.fields), scriptArgs+2*(1+len(w.fields))
	most := min(writeRows, w.batch.Rows()-from, max(1, writeTexts/texts))
	w.rows = slices.Grow(w.rows[:0], most)[:most]
	w.text = slices.Grow(w.text[:0], most*texts)[:most*texts]
	w.args = slices.Grow(w.args[:0], most*stride)[:most*stride]
	w.buf = w.buf[:0]
	n := 0
	for ; n < most && len(w.buf) < writeBytes; n++ {
		row, r := from+n, &w.rows[n]
		event, text := w.batch.Event[row], w.text[n*texts:(n+1)*texts]
		start := len(w.buf)
		w.buf = append(append(w.buf, w.batch.Keys[row]...), w.batch.Table.Project...)
		start = w.take(&text[0], start)
		w.buf = event.AppendProto(w.buf)
		start = w.take(&text[1], start)
		args := w.args[n*stride : (n+1)*stride : (n+1)*stride]
		*r = pendingRow{row: row, key: text[0], seconds: event.Seconds, nanos: int64(event.Nanos), args: args}
		args[0], args[1], args[2], args[3] = "evalsha", &writeScriptSHA, "1", &text[0]
		args[4], args[5], args[6], args[7] = &r.seconds, &r.nanos, &w.ttl, &r.again
		args[8], args[9] = &w.timeField, &text[1]
		for f := range w.fields {
			w.buf = w.batch.AppendValue(w.buf, row, f)
			start = w.take(&text[2+f], start)
			args[scriptArgs+2+2*f], args[scriptArgs+3+2*f] = &w.fields[f], &text[2+f]
		}
	}
	w.rows = w.rows[:n]
	return from + n
}

// take makes text what stands in buf from start on, and returns the end.
func (w *writer) take(text *string, start int) (end int) {
	*text = unsafe.String(unsafe.SliceData(w.buf[start:]), len(w.buf)-start) // stays as it is when buf grows
	return len(w.buf)
}

// write writes the rows taken up.
func (w *writer) write(ctx context.Context) error {
	rows := make([]*pendingRow, len(w.rows))
	for i := range w.rows {
		rows[i] = &w.rows[i]
	}
	if w.batch.Overwrite || w.store.opts.SkipDedup {
		return w.put(ctx, rows)
	}
	rows, err := w.script(ctx, rows)
	if err != nil || len(rows) == 0 {
		return err
	}
	if rows, err = w.newer(ctx, rows); err != nil {
		return err
	}
	return w.put(ctx, rows)
}

// scriptCmd is a run of the script. Its retries are not go-redis's matter: they have to say that they are.
type scriptCmd struct{ *redis.Cmd }

// NoRetry implements [redis.Cmder].
func (scriptCmd) NoRetry() bool { return true }

// Waiting between attempts, which are as many as go-redis makes of commands that may be repeated at will.
const (
	attempts     = 4
	firstBackoff = 10 * time.Millisecond
)

// script lets the servers decide on rows and store them. It returns those that it leaves to the caller.
func (w *writer) script(ctx context.Context, rows []*pendingRow) (left []*pendingRow, err error) {
	if w.store.noScripts.holds() {
		return rows, nil
	}
	backoff := firstBackoff
	for attempt := 1; ; {
		var undecided []*pendingRow
		var failed error
		rows, undecided, failed = w.runScript(ctx, rows)
		left = append(left, undecided...)
		switch {
		case len(rows) == 0 && failed == nil:
			return left, nil
		case failed == nil: // the script is not known to all servers
			continue
		case len(rows) == 0 || attempt == attempts:
			return nil, failed
		}
		attempt++
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(backoff):
			backoff *= 4
		}
	}
}

// runScript runs the script for rows, once. It returns the rows to run it for again, and those that are for the caller to
// decide. An error is about the former, where there are some, or else final.
func (w *writer) runScript(ctx context.Context, rows []*pendingRow) (again, undecided []*pendingRow, err error) {
	pipe := w.store.client.Pipeline()
	cmds := make([]scriptCmd, len(rows))
	for i, r := range rows {
		cmds[i].Cmd = redis.NewCmd(ctx, r.args...)
		if err := pipe.Process(ctx, &cmds[i]); err != nil {
			return nil, nil, err
		}
	}
	err = w.store.await(ctx, func() error {
		_, _ = pipe.Exec(ctx) // which is the first error of the commands
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	var failed, final, lost error
	for i, r := range rows {
		val, err := cmds[i].Result()
		_, text := val.(string)
		var refused redis.Error
		switch {
		case err == nil && val == int64(1):
			w.res.Written++
		case err == nil && val == int64(0):
			w.res.Older++
		case err == nil && text:
			undecided = append(undecided, r)
		case err == nil:
			final = cmp.Or(final, w.rowError(r.row, feasterr.Invalid("the answer to the script is a %T", val)))
		case redis.HasErrorPrefix(err, "NOSCRIPT") && r.args[0] == "evalsha":
			r.args[0], r.args[1] = "eval", &writeScript
			again = append(again, r)
		case wrongType(err):
			final = cmp.Or(final, w.rowError(r.row, errNoHash))
		case redis.IsPermissionError(err), errors.As(err, &refused) && strings.HasPrefix(refused.Error(), "ERR ") && !redis.IsMaxClientsError(err):
			// Whatever a server or a proxy says that does not run scripts, or not this one.
			if refusesCommand(err.Error(), "eval") {
				w.store.noScripts.came()
			}
			undecided = append(undecided, r)
		default:
			if !errors.As(err, &refused) {
				r.again = 1
				lost = cmp.Or(lost, err)
			}
			if err = serverError(ctx, err); !feasterr.Retryable(err) {
				final = cmp.Or(final, err)
				continue
			}
			failed = cmp.Or(failed, err)
			again = append(again, r)
		}
	}
	w.store.renew(ctx, lost)
	if final != nil {
		return nil, nil, final
	}
	return again, undecided, failed
}

// put stores rows, whatever is stored.
func (w *writer) put(ctx context.Context, rows []*pendingRow) error {
	pipe := w.store.client.Pipeline()
	cmds := make([]*redis.IntCmd, len(rows))
	for i, r := range rows {
		args := r.args[hsetAt:]
		args[0], args[1] = "hset", r.args[3]
		cmds[i] = redis.NewIntCmd(ctx, args...)
		if err := pipe.Process(ctx, cmds[i]); err != nil {
			return err
		}
		if w.ttl > 0 {
			pipe.Expire(ctx, r.key, w.store.opts.KeyTTL)
		}
	}
	if err := w.store.exec(ctx, pipe); err != nil {
		return err
	}
	var failed error
	for i, cmd := range cmds {
		if cmd.Err() != nil {
			failed = cmp.Or(failed, w.rowError(rows[i].row, errNoHash))
			continue
		}
		w.res.Written++
	}
	return failed
}

// newer returns those of the rows that are to be stored, and counts the others.
func (w *writer) newer(ctx context.Context, rows []*pendingRow) ([]*pendingRow, error) {
	pipe := w.store.client.Pipeline()
	cmds := make([]*redis.SliceCmd, len(rows))
	for i, r := range rows {
		cmds[i] = pipe.HMGet(ctx, r.key, w.timeField)
	}
	if err := w.store.exec(ctx, pipe); err != nil {
		return nil, err
	}
	newest := make(map[string]types.Timestamp, len(rows))
	for i, cmd := range cmds {
		if cmd.Err() != nil {
			return nil, w.rowError(rows[i].row, errNoHash)
		}
		for _, v := range cmd.Val() {
			if stored, ok := v.(string); ok {
				event, err := types.ParseTimestamp([]byte(stored))
				if err != nil {
					return nil, w.rowError(rows[i].row, feasterr.Invalid("stored event time, which Overwrite ignores: %w", err))
				}
				newest[rows[i].key] = event
			}
		}
	}
	accepted := rows[:0]
	for _, r := range rows {
		event := w.batch.Event[r.row]
		// As in Feast, the epoch counts as no time, and so does what is before it: such rows are always replaced.
		if known := newest[r.key]; known.Compare(types.Timestamp{}) > 0 && event.Compare(known) <= 0 {
			w.res.Older++
			continue
		}
		newest[r.key] = event
		accepted = append(accepted, r)
	}
	return accepted, nil
}

func (w *writer) rowError(row int, err error) error {
	return tableError("write", w.batch.Table, feasterr.Invalid("row %d: %w", row, err))
}
