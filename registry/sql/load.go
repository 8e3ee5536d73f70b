package sql

import (
	"bytes"
	"cmp"
	"context"
	database "database/sql"
	"hash/maphash"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/feastgo/feast/registry"
)

const (
	// settle is for how long after the time in feast_metadata moved the registry is still read as a whole: the time is in
	// whole seconds, and Feast writes the history of a view in a transaction of its own.
	settle = 3 * time.Second
	// trust is for how long the time in feast_metadata is believed: not all that Feast does moves it.
	trust = 10 * time.Minute
	// replicaGrace is for how long own writes are looked for where they were written, and not in a copy that may be late.
	replicaGrace = 30 * time.Second
)

// uuidKey and updatedKey are Feast's keys in feast_metadata.
const (
	uuidKey    = "project_uuid"
	updatedKey = "last_updated_timestamp"
)

// seen is what the registry was when it was last read as a whole.
type seen struct {
	token registry.Token
	times string    // in feast_metadata; empty when a project has none
	since time.Time // when these times were first seen
	read  time.Time // when the registry was read
	count int       // of records
}

// trusted reports whether the times tell whether anything changed.
func (s seen) trusted() bool {
	return s.times != "" && s.read.Sub(s.since) >= settle && time.Since(s.read) < trust
}

// Load implements registry.Backend. It reads everything in one query, which is one consistent state, also while others
// write.
//
// The probe is a query for one small row per project: the time of its last change, which Feast and this library write to
// feast_metadata with every change. It has whole seconds, so that the registry is read again once, some seconds after the
// time moved. When a project has no such row, since its metadata is purged, every probe reads the registry; and so does one
// every ten minutes, since a teardown by Feast and writers that purge metadata leave the row alone. The token stands for
// what was read: when that is the same, the registry has not changed.
func (b *Backend) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	db := b.reading()
	b.mu.Lock()
	was := b.seen
	b.mu.Unlock()
	if have != "" && have == was.token && was.trusted() {
		times, err := b.times(ctx, db)
		switch {
		case err == nil && times == was.times:
			return nil, have, nil
		case err != nil && b.dialect.Classify(err) != MissingTable:
			return nil, "", b.failed("probe", err)
		}
	}
	start := time.Now()
	c, err := b.content(ctx, db, b.project)
	if err != nil {
		return nil, "", err
	}
	token := b.remember(c, start)
	if token == have {
		return nil, have, nil
	}
	return &registry.State{Records: c.records, LastUpdated: c.updated()}, token, nil
}

// LoadAll implements registry.Whole.
func (b *Backend) LoadAll(ctx context.Context) (*registry.State, error) {
	c, err := b.content(ctx, b.db, "")
	if err != nil {
		return nil, err
	}
	return &registry.State{Records: c.records, LastUpdated: c.updated()}, nil
}

// reading returns the database to read from.
func (b *Backend) reading() *database.DB {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.replica == nil || time.Since(b.wrote) < replicaGrace {
		return b.db
	}
	return b.replica
}

// remember keeps what was read for the next probe and returns its token.
func (b *Backend) remember(c content, start time.Time) registry.Token {
	token := b.token(c.records)
	b.mu.Lock()
	defer b.mu.Unlock()
	since := time.Now()
	if b.seen.times == c.times {
		since = b.seen.since
	}
	b.seen = seen{token, c.times, since, start, len(c.records)}
	return token
}

// token returns what stands for records.
func (b *Backend) token(records []registry.Record) registry.Token {
	count, sum := 0, uint64(0)
	add := func(n uint64) { sum = (bits.RotateLeft64(sum, 5) ^ n) * 0x9E3779B97F4A7C15 }
	for i := range records {
		r := &records[i]
		if b.project != "" && r.Project != b.project {
			continue
		}
		count++
		add(uint64(r.Kind)<<32 | uint64(uint32(r.Version)))
		add(maphash.String(b.seed, r.Name))
		if b.project == "" {
			add(maphash.String(b.seed, r.Project))
		}
		add(maphash.Bytes(b.seed, r.Proto))
	}
	return registry.Token(strconv.FormatUint(sum, 16) + "-" + strconv.Itoa(count))
}

// times returns the times of the last changes.
func (b *Backend) times(ctx context.Context, db *database.DB) (string, error) {
	s := statement{d: b.dialect}
	s.WriteString("SELECT project_id, metadata_value FROM " + metadataTable + " WHERE metadata_key = '" + updatedKey + "'")
	if b.project != "" {
		s.WriteString(" AND project_id = ")
		s.arg(b.project)
	}
	var times []string
	err := each(ctx, db, &s, func(rows *database.Rows) error {
		var project, value string
		err := rows.Scan(&project, &value)
		if b.project == "" || project == b.project {
			times = append(times, project+"\x00"+value)
		}
		return err
	})
	slices.Sort(times)
	return strings.Join(times, "\x00"), err
}

// content is what the registry held at one moment.
type content struct {
	records []registry.Record // sorted
	times   string            // as Backend.times has them; empty when a project has none
}

// updated returns when the registry was last changed.
func (c content) updated() (last time.Time) {
	for i := range c.records {
		if t := c.records[i].Updated; t.After(last) {
			last = t
		}
	}
	return last
}

// content reads a project, or all.
func (b *Backend) content(ctx context.Context, db *database.DB, project string) (content, error) {
	for again := true; ; again = false {
		there, err := b.readable(ctx, db)
		if err != nil {
			return content{}, err
		}
		c, err := b.query(ctx, db, there, project, nil)
		if err != nil && again && b.dialect.Classify(err) == MissingTable && b.schema != SchemaSkip {
			b.setComplete(db, false) // somebody dropped one
			continue
		}
		return c, b.failed("read", err)
	}
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*database.Rows, error)
}

// each calls scan for all rows of a query.
func each(ctx context.Context, db queryer, s *statement, scan func(*database.Rows) error) error {
	rows, err := db.QueryContext(ctx, s.String(), s.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// query reads a project, or all, from the tables that are there. raw, unless it is nil, gets messages as they are stored.
func (b *Backend) query(
	ctx context.Context, db queryer, there []*table, project string, raw map[registry.ID][]byte,
) (c content, err error) {
	s := statement{d: b.dialect}
	b.selection(&s, there, project)
	b.mu.Lock()
	c.records = make([]registry.Record, 0, b.seen.count+16) // as many as there were, and some more
	b.mu.Unlock()
	var times []string
	timed, projects := map[string]bool{}, map[string]bool{}
	scanner := newScanner()
	var r row
	var memory arena
	err = each(ctx, db, &s, func(rows *database.Rows) error {
		last := r.project
		if err := scanner.scan(rows, &r); err != nil {
			return err
		}
		if project != "" && r.project != project && r.kind != registry.KindProject {
			return nil // compared without regard to case
		}
		if r.kind == registry.KindProjectMetadata && r.name != uuidKey {
			if r.name == updatedKey {
				times = append(times, r.project+"\x00"+r.text)
				timed[r.project] = true
			}
			return nil
		}
		if r.project != last && (project == "" || r.project == project) {
			projects[r.project] = true
		}
		c.records = append(c.records, r.record(&memory))
		if raw != nil {
			raw[c.records[len(c.records)-1].ID] = bytes.Clone(r.proto)
		}
		return nil
	})
	if err != nil {
		return content{}, err
	}
	slices.SortFunc(c.records, compare)
	slices.Sort(times)
	c.times = strings.Join(times, "\x00")
	for project := range projects {
		if !timed[project] {
			c.times = ""
		}
	}
	return c, nil
}

func compare(x, y registry.Record) int {
	return cmp.Or(cmp.Compare(x.Project, y.Project), cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Name, y.Name),
		cmp.Compare(x.Version, y.Version))
}

// selection writes the query for all rows of a project, or of all, and for all projects.
func (b *Backend) selection(s *statement, there []*table, project string) {
	d := b.dialect
	for i, t := range there {
		if i > 0 {
			s.WriteString(" UNION ALL ")
		}
		s.WriteString("SELECT " + strconv.Itoa(int(t.kind)) + ", " + d.text("project_id") + ", " + d.text(t.key))
		switch t.kind {
		case registry.KindViewVersion:
			s.WriteString(", created_timestamp, " + t.proto + ", version_number, " + d.text("description") + ", " +
				d.text("feature_view_type") + ", " + d.text("version_id"))
		case registry.KindProjectMetadata:
			s.WriteString(", last_updated_timestamp, NULL, 0, " + d.text("metadata_value") + ", NULL, NULL")
		default:
			s.WriteString(", last_updated_timestamp, " + t.proto + ", 0, NULL, NULL, NULL")
		}
		s.WriteString(" FROM " + t.name)
		if project != "" && t.kind != registry.KindProject {
			s.WriteString(" WHERE project_id = ")
			s.arg(project)
		}
	}
}
