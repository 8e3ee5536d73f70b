package sql

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	database "database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/projectmeta"
	"github.com/feastgo/feast/internal/sleep"
	"github.com/feastgo/feast/registry"
)

const (
	// attempts is how often an update runs before it gives up because others keep changing the same.
	attempts = 30
	// A statement holds this many rows at most, and about this many bytes: servers limit both.
	maxRows  = 250
	maxBytes = 1 << 18
)

// errMoved says that somebody else changed what this transaction was about to change.
var errMoved = errors.New("somebody else changed the same objects")

// Update implements registry.Backend: one transaction of the database, all or nothing.
//
// Writers of this library take turns, project by project, on the project's row; on SQLite, the whole database. Feast takes
// no lock while it decides: what it changed since this transaction read it is noticed before anything is written, and fn
// runs again on what Feast wrote. When that does not end, the error is a feasterr.ErrConflict. A change that Feast makes to
// an object which it read before this update is for Feast to lose or keep: it overwrites it.
//
// After an error nothing was stored, but for one: when the connection breaks, or ctx ends, while the database commits, it
// may or may not have been. The error says so, and fn does not run again: look before you repeat.
func (b *Backend) Update(ctx context.Context, project string, fn func(registry.Tx) error) (registry.Token, error) {
	if err := b.writable(ctx); err != nil {
		return "", err
	}
	var err error
	for attempt := range attempts {
		var token registry.Token
		if token, err = b.attempt(ctx, project, fn); err == nil || !errors.Is(err, errMoved) {
			return token, err
		}
		if err := pause(ctx, attempt); err != nil {
			return "", fmt.Errorf("registry %s: update: %w", b.db.place, err)
		}
	}
	return "", fmt.Errorf("registry %s was not changed: %w: tried %d times: %w", b.db.place, err, attempts, feasterr.ErrConflict)
}

// pause waits before another attempt, the longer the more there were.
func pause(ctx context.Context, attempt int) error {
	return sleep.For(ctx, rand.N(time.Millisecond<<min(attempt, 8)))
}

// attempt runs the transaction once. errMoved: it may run again.
func (b *Backend) attempt(ctx context.Context, project string, fn func(registry.Tx) error) (registry.Token, error) {
	conn, err := b.db.BeginTx(ctx, &database.TxOptions{Isolation: b.dialect.Isolation})
	if err != nil {
		return "", b.moved("begin", err)
	}
	defer conn.Rollback()
	start := time.Now()
	raw := map[registry.ID][]byte{}
	was, err := b.lock(ctx, conn, project, raw)
	if err != nil {
		return "", b.moved("read", err)
	}
	t := newTx(b, project, was.records, raw)
	if err := fn(t); err != nil {
		return "", err
	}
	if len(t.changed) == 0 && !b.purge {
		if err := conn.Rollback(); err != nil {
			return "", b.db.failed("rollback", err)
		}
		return b.tokenOf(ctx, project, was, start), nil
	}
	if err := t.flush(ctx, conn); err != nil {
		if b.dialect.Classify(err) == Duplicate {
			if named := b.collision(ctx, t); named != nil {
				return "", named
			}
		}
		return "", b.moved("write", err)
	}
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("registry %s was not changed: %w", b.db.place, err)
	}
	if err := conn.Commit(); err != nil {
		if class := b.dialect.Classify(err); class == Conflict || class == Duplicate {
			return "", errMoved
		}
		return "", fmt.Errorf("the outcome is unknown: the change may or may not have been stored, look before you repeat it: %w",
			b.db.failed("commit", err))
	}
	b.mu.Lock()
	b.wrote = time.Now()
	b.mu.Unlock()
	return b.tokenOf(ctx, project, content{records: t.result()}, start), nil
}

// lock waits for the turn of this transaction and reads the project.
func (b *Backend) lock(ctx context.Context, conn *database.Tx, project string, raw map[registry.ID][]byte) (content, error) {
	if b.dialect.Locks {
		s := statement{d: b.dialect}
		s.WriteString("SELECT project_id FROM projects WHERE project_id = ")
		s.arg(project)
		s.WriteString(" FOR UPDATE")
		// There is one row, or none yet: then the second to insert it runs again.
		if err := each(ctx, conn, &s, func(*database.Rows) error { return nil }); err != nil {
			return content{}, err
		}
	}
	return b.query(ctx, conn, tables, project, raw)
}

// moved says what an error within a transaction means. It ended the transaction, and nothing was stored.
func (b *Backend) moved(op string, err error) error {
	if errors.Is(err, errMoved) || errors.Is(err, feasterr.ErrInvalid) {
		return err
	}
	switch b.dialect.Classify(err) {
	case Conflict, Duplicate:
		return fmt.Errorf("%w: %w", errMoved, b.db.failed(op, err))
	}
	return fmt.Errorf("the registry was not changed: %w", b.db.failed(op, err))
}

// tokenOf returns the token of what the transaction left, which Load would read now. A Backend of all projects has to read
// it.
func (b *Backend) tokenOf(ctx context.Context, project string, c content, start time.Time) registry.Token {
	if b.project == project {
		return b.remember(c, start)
	}
	c, err := b.content(ctx, b.db, b.project)
	if err != nil {
		return "" // the change is stored; of what it made, no token is known
	}
	return b.remember(c, start)
}

// collision finds out why a row was there that was not: another writer was quicker, or the database takes two names for
// one, as MySQL does when they differ in case. Then it is an error.
func (b *Backend) collision(ctx context.Context, t *tx) error {
	byKind := func(a, b registry.ID) int { return cmp.Compare(a.Kind, b.Kind) } // the project first
	for _, id := range slices.SortedStableFunc(slices.Values(t.changed), byKind) {
		if t.stored[id] != nil || t.records[id] == nil || id.Kind == registry.KindProjectMetadata {
			continue
		}
		tab := tableOf(id.Kind)
		s := statement{d: b.dialect}
		s.WriteString("SELECT " + tab.key + ", project_id FROM " + tab.name + " WHERE ")
		s.where(tab, id.Project, []registry.ID{id})
		var name, project string
		err := b.db.QueryRowContext(ctx, s.String(), s.args...).Scan(&name, &project)
		if err == nil && (name != id.Name || project != id.Project) {
			was := registry.ID{Kind: id.Kind, Project: project, Name: name, Version: id.Version}
			return feasterr.Invalid("%s cannot be written: for this database its name is that of %s, which is there already; names must "+
				"differ in more than case", id, was)
		}
	}
	return nil
}

// tx is a transaction: what was read, and what becomes of it. It implements registry.Tx.
type tx struct {
	b       *Backend
	project string
	stored  map[registry.ID]*registry.Record // as read
	raw     map[registry.ID][]byte           // messages of stored, as the database holds them
	records map[registry.ID]*registry.Record
	rows    map[registry.ID]row             // of records that were put
	kinds   map[registry.Kind][]registry.ID // in order; those that were deleted, too
	changed []registry.ID                   // in order of their first change
	touched map[registry.ID]bool
}

func newTx(b *Backend, project string, records []registry.Record, raw map[registry.ID][]byte) *tx {
	t := &tx{
		b: b, project: project, raw: raw, stored: map[registry.ID]*registry.Record{}, kinds: map[registry.Kind][]registry.ID{},
		rows: map[registry.ID]row{}, touched: map[registry.ID]bool{},
	}
	for i := range records {
		if r := &records[i]; r.Project == project {
			t.stored[r.ID] = r
			t.kinds[r.Kind] = append(t.kinds[r.Kind], r.ID)
		}
	}
	t.records = maps.Clone(t.stored)
	return t
}

// check returns the identity under which the database has the record that id names.
func (t *tx) check(ctx context.Context, id registry.ID) (registry.ID, error) {
	if err := ctx.Err(); err != nil {
		return id, fmt.Errorf("%s: %w", id, err)
	}
	if id.Kind == registry.KindInfra && id.Project == "" {
		id.Project = t.project
	}
	if id.Project != t.project {
		return id, feasterr.Invalid("%s is outside the transaction, which is on project %q", id, t.project)
	}
	return id, nil
}

func (t *tx) Get(ctx context.Context, id registry.ID) (registry.Record, error) {
	id, err := t.check(ctx, id)
	if err != nil {
		return registry.Record{}, err
	}
	r := t.records[id]
	if r == nil {
		return registry.Record{}, notFound(id)
	}
	return *r, nil
}

func (t *tx) List(ctx context.Context, kind registry.Kind) iter.Seq2[registry.Record, error] {
	return func(yield func(registry.Record, error) bool) {
		for _, id := range slices.Clone(t.kinds[kind]) {
			if err := ctx.Err(); err != nil {
				yield(registry.Record{}, fmt.Errorf("listing: %w", err))
				return
			}
			if r := t.records[id]; r != nil && !yield(*r, nil) {
				return
			}
		}
	}
}

func (t *tx) Put(ctx context.Context, r registry.Record) error {
	id, err := t.check(ctx, r.ID)
	if err != nil {
		return err
	}
	tab := tableOf(id.Kind)
	if tab == nil {
		return feasterr.Invalid("%s cannot be written: it is not a kind of record", id)
	}
	if limit := t.b.dialect.MaxName; limit > 0 {
		for _, name := range []string{id.Name, id.Project} {
			if n := utf8.RuneCountInString(name); n > limit {
				return feasterr.Invalid("%s cannot be written: %d characters are too long for a name, which may have %d", id, n, limit)
			}
		}
	}
	if r.ID = id; r.Updated.IsZero() {
		r.Updated = t.b.now()
	}
	stored, err := rowOf(r)
	if err != nil {
		return err
	}
	was := t.records[id]
	if was != nil && bytes.Equal(was.Proto, r.Proto) {
		return nil
	}
	if was == nil && t.stored[id] == nil && !t.touched[id] {
		t.kinds[id.Kind] = append(t.kinds[id.Kind], id)
	}
	t.records[id], t.rows[id] = &r, stored
	t.touch(id)
	return nil
}

func (t *tx) Delete(ctx context.Context, id registry.ID) error {
	id, err := t.check(ctx, id)
	if err != nil {
		return err
	}
	if t.records[id] == nil {
		return notFound(id)
	}
	delete(t.records, id)
	t.touch(id)
	return nil
}

func (t *tx) touch(id registry.ID) {
	if !t.touched[id] {
		t.touched[id] = true
		t.changed = append(t.changed, id)
	}
}

func notFound(id registry.ID) error {
	return &feasterr.NotFoundError{Kind: id.Kind.String(), Name: id.Name, Project: id.Project}
}

// deleted reports whether the project goes.
func (t *tx) deleted() bool {
	id := registry.ID{Kind: registry.KindProject, Project: t.project, Name: t.project}
	return t.stored[id] != nil && t.records[id] == nil
}

// result returns the records as they will be read.
func (t *tx) result() []registry.Record {
	var out []registry.Record
	var memory arena
	for id, r := range t.records {
		if id.Kind == registry.KindProjectMetadata && (t.b.purge || t.deleted()) {
			continue
		}
		if stored, put := t.rows[id]; put {
			out = append(out, stored.record(&memory))
		} else {
			out = append(out, *r)
		}
	}
	slices.SortFunc(out, compare)
	return out
}

// flush writes what changed. Rows are locked in the order of tables, then metadata: so does Feast.
func (t *tx) flush(ctx context.Context, conn *database.Tx) error {
	if t.b.purge {
		if err := t.purge(ctx, conn); err != nil {
			return err
		}
	}
	for _, tab := range tables {
		var updates, inserts, deletes []registry.ID
		for _, id := range t.changed {
			switch is, was := t.records[id], t.stored[id]; {
			case id.Kind != tab.kind:
			case is != nil && was != nil:
				updates = append(updates, id)
			case is != nil:
				inserts = append(inserts, id)
			case was != nil:
				deletes = append(deletes, id)
			}
		}
		if tab.kind == registry.KindProjectMetadata {
			return t.metadata(ctx, conn, append(updates, inserts...), deletes)
		}
		if err := t.verify(ctx, conn, tab, slices.Concat(updates, deletes)); err != nil {
			return err
		}
		if err := errors.Join(t.write(ctx, conn, tab, updates, true), t.write(ctx, conn, tab, inserts, false)); err != nil {
			return err
		}
		for chunk := range slices.Chunk(deletes, maxRows) {
			s := statement{d: t.b.dialect}
			s.WriteString("DELETE FROM " + tab.name + " WHERE ")
			s.where(tab, t.project, chunk)
			if err := t.exec(ctx, conn, &s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tx) exec(ctx context.Context, conn *database.Tx, s *statement) error {
	_, err := conn.ExecContext(ctx, s.String(), s.args...)
	return err
}

// verify locks rows that are about to change, and makes sure that they are as they were read.
func (t *tx) verify(ctx context.Context, conn *database.Tx, tab *table, ids []registry.ID) error {
	if !t.b.dialect.Locks {
		return nil
	}
	slices.SortFunc(ids, func(a, b registry.ID) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	for chunk := range slices.Chunk(ids, maxRows) {
		s := statement{d: t.b.dialect}
		version, order := "0", tab.key
		if tab.kind == registry.KindViewVersion {
			version, order = "version_number", order+", version_number"
		}
		s.WriteString("SELECT " + tab.key + ", " + version + ", md5(" + tab.proto + ") FROM " + tab.name + " WHERE ")
		s.where(tab, t.project, chunk)
		s.WriteString(" ORDER BY " + order + " FOR UPDATE")
		same := 0
		err := each(ctx, conn, &s, func(rows *database.Rows) error {
			id := registry.ID{Kind: tab.kind, Project: t.project}
			var sum string
			if err := rows.Scan(&id.Name, &id.Version, &sum); err != nil {
				return err
			}
			if t.stored[id] != nil && sum == digest(t.raw[id]) {
				same++
			}
			return nil
		})
		if err != nil {
			return err
		}
		if same != len(chunk) {
			return errMoved
		}
	}
	return nil
}

// write inserts rows; with over, rows that are there get the new message and time, and keep what else is in them.
func (t *tx) write(ctx context.Context, conn *database.Tx, tab *table, ids []registry.ID, over bool) error {
	for len(ids) > 0 {
		s := statement{d: t.b.dialect}
		columns := []string{tab.key, "project_id", "last_updated_timestamp", tab.proto}
		switch tab.kind {
		case registry.KindProject:
			columns[1] = "project_name"
		case registry.KindViewVersion:
			columns[2] = "created_timestamp"
			columns = append(columns, "version_number", "feature_view_type", "description", "version_id")
		}
		s.WriteString("INSERT INTO " + tab.name + " (" + strings.Join(columns, ", ") + ") VALUES ")
		n, size := 0, 0
		for n < len(ids) && n < maxRows && size < maxBytes {
			r := t.rows[ids[n]]
			if n++; n > 1 {
				s.WriteString(", ")
			}
			size += len(r.proto)
			values := []any{r.name, r.project, r.time, r.proto}
			if tab.kind == registry.KindViewVersion {
				values = append(values, r.version, r.viewKind, r.text, r.id)
			}
			s.list(values...)
		}
		if over {
			s.replace(tab.primary(), columns[2:]...)
		}
		if err := t.exec(ctx, conn, &s); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// replace ends an INSERT: of a row that is there, columns get the new values.
func (s *statement) replace(primary string, columns ...string) {
	set, from := " ON CONFLICT ("+primary+") DO UPDATE SET ", "excluded.%s"
	if s.d.Duplicates {
		set, from = " ON DUPLICATE KEY UPDATE ", "VALUES(%s)"
	}
	s.WriteString(set)
	for i, c := range columns {
		if i > 0 {
			s.WriteString(", ")
		}
		fmt.Fprintf(s, "%s = "+from, c, c)
	}
}

// where writes the condition for rows.
func (s *statement) where(tab *table, project string, ids []registry.ID) {
	s.WriteString("project_id = ")
	s.arg(project)
	if tab.kind == registry.KindViewVersion {
		s.WriteString(" AND (")
		for i, id := range ids {
			if i > 0 {
				s.WriteString(" OR ")
			}
			s.WriteString(tab.key + " = ")
			s.arg(id.Name)
			s.WriteString(" AND version_number = ")
			s.arg(id.Version)
		}
		s.WriteByte(')')
		return
	}
	names := make([]any, len(ids))
	for i, id := range ids {
		names[i] = id.Name
	}
	s.WriteString(" AND " + tab.key + " IN ")
	s.list(names...)
}

// metadata writes the rows of feast_metadata.
func (t *tx) metadata(ctx context.Context, conn *database.Tx, puts, deletes []registry.ID) error {
	if t.b.purge {
		return nil
	}
	gone := map[string]string{}
	for _, id := range slices.Concat(puts, deletes) {
		if was := t.stored[id]; was != nil {
			gone, _ = metadataRows(was.Proto) // which was made of rows
		}
	}
	s := statement{d: t.b.dialect}
	s.WriteString("SELECT metadata_value FROM " + metadataTable + " WHERE project_id = ")
	s.arg(t.project)
	s.WriteString(" AND metadata_key = '" + projectmeta.Updated + "'")
	if t.b.dialect.Locks {
		s.WriteString(" FOR UPDATE")
	}
	var before string
	if err := each(ctx, conn, &s, func(rows *database.Rows) error { return rows.Scan(&before) }); err != nil {
		return err
	}
	now, value := stamp(t.b.now().Unix(), before)

	var rows []any // key, value
	for _, id := range puts {
		kept, err := metadataRows(t.records[id].Proto)
		if err != nil {
			return err // not after rowOf
		}
		for _, key := range slices.Sorted(maps.Keys(kept)) {
			if was, ok := gone[key]; !ok || was != kept[key] {
				rows = append(rows, key, kept[key])
			}
			delete(gone, key)
		}
	}
	if t.deleted() || len(gone) > 0 {
		s = statement{d: t.b.dialect}
		s.WriteString("DELETE FROM " + metadataTable + " WHERE project_id = ")
		s.arg(t.project)
		if !t.deleted() {
			s.WriteString(" AND metadata_key IN ")
			var keys []any
			for _, key := range slices.Sorted(maps.Keys(gone)) {
				keys = append(keys, key)
			}
			s.list(keys...)
		}
		if err := t.exec(ctx, conn, &s); err != nil || t.deleted() {
			return err
		}
	}
	s = statement{d: t.b.dialect}
	s.WriteString("INSERT INTO " + metadataTable + " (project_id, metadata_key, metadata_value, last_updated_timestamp) VALUES ")
	for row := range slices.Chunk(append(rows, projectmeta.Updated, value), 2) {
		if len(s.args) > 0 {
			s.WriteString(", ")
		}
		s.list(t.project, row[0], row[1], now)
	}
	s.replace("project_id, metadata_key", "metadata_value", "last_updated_timestamp")
	return t.exec(ctx, conn, &s)
}

// purge removes the metadata of this project and of all that have a UUID. Those that are known by it alone become projects.
func (t *tx) purge(ctx context.Context, conn *database.Tx) error {
	s := statement{d: t.b.dialect}
	s.WriteString("SELECT m.project_id, m.last_updated_timestamp, p.project_id IS NOT NULL FROM " + metadataTable +
		" m LEFT JOIN projects p ON p.project_id = m.project_id WHERE m.metadata_key = '" + projectmeta.UUID + "'")
	var found []row
	var known []bool
	err := each(ctx, conn, &s, func(rows *database.Rows) error {
		var r row
		var there bool
		err := rows.Scan(&r.project, &r.time, &there)
		found, known = append(found, r), append(known, there)
		return err
	})
	if err != nil {
		return err
	}
	for i, r := range found {
		own := t.records[registry.ID{Kind: registry.KindProject, Project: r.project, Name: r.project}] != nil
		if !known[i] && !own && r.project != t.project {
			at := time.Unix(r.time, 0).UTC()
			p, err := registry.Encode(r.project, &registry.Project{Name: r.project, Created: at, LastUpdated: at})
			if err != nil {
				return err
			}
			s := statement{d: t.b.dialect}
			s.WriteString("INSERT INTO projects (project_id, project_name, last_updated_timestamp, project_proto) VALUES ")
			s.list(r.project, r.project, r.time, p.Proto)
			if err := t.exec(ctx, conn, &s); err != nil {
				return err
			}
		}
	}
	for _, r := range append(found, row{project: t.project}) {
		s := statement{d: t.b.dialect}
		s.WriteString("DELETE FROM " + metadataTable + " WHERE project_id = ")
		s.arg(r.project)
		if err := t.exec(ctx, conn, &s); err != nil {
			return err
		}
	}
	return nil
}

// digest is what md5 of the database says. It only has to tell changes apart.
func digest(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// Teardown implements registry.Backend: it empties the tables, of all projects. The tables stay.
func (b *Backend) Teardown(ctx context.Context) error {
	missing, _, err := b.missing(ctx, b.db)
	if err != nil {
		if b.dialect.Classify(err) == MissingDatabase {
			return nil
		}
		return b.db.failed("teardown", err)
	}
	conn, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return b.db.failed("teardown", err)
	}
	defer conn.Rollback()
	for _, t := range tables {
		if slices.Contains(missing, t) {
			continue
		}
		if _, err := conn.ExecContext(ctx, "DELETE FROM "+t.name); err != nil {
			return b.db.failed("teardown", err)
		}
	}
	if err := conn.Commit(); err != nil {
		return b.db.failed("teardown", err)
	}
	b.mu.Lock()
	b.wrote = time.Now()
	b.mu.Unlock()
	return nil
}
