package sql

import (
	"bytes"
	"cmp"
	"context"
	database "database/sql"
	"fmt"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/feastgo/feast/internal/projectmeta"
	"github.com/feastgo/feast/registry"
)

const (
	// settle is for how long after a change was first seen the registry is still read as a whole: Feast's times are in whole
	// seconds, and it writes the history of a view in a transaction of its own.
	settle = 3 * time.Second
	// trust is for how long the probe is believed: two changes may look alike to it, see [marks].
	trust = 10 * time.Minute
	// replicaGrace is for how long own writes are looked for where they were written, and not in a copy that may be late.
	replicaGrace = 30 * time.Second
)

// seen is what the registry was when it was last read as a whole.
type seen struct {
	token registry.Token
	mark  string    // empty when it tells nothing
	since time.Time // when this mark was first seen
	read  time.Time // when the registry was read
	count int       // of records
}

// trusted reports whether the mark tells whether anything changed.
func (s seen) trusted() bool {
	return s.mark != "" && s.read.Sub(s.since) >= settle && time.Since(s.read) < trust
}

// marks are what a probe learns of the registry, which is compared and nothing else: of each project, the value by which
// feast_metadata tells one change from the next, and of each table how many rows it has, and the sum of the times they
// were written at. This library never writes a value twice, see [stamp]. Feast writes the time of its clock in seconds, and
// forgets it when it keeps the history of a view, or is told to keep no metadata; then rows and their times tell.
type marks struct {
	rows, times [numTables]int64 // by kind
	values      []string
}

const numTables = int(registry.KindViewVersion) + 1

// add counts a row.
func (p *marks) add(r *row) {
	p.rows[r.kind]++
	p.times[r.kind] += r.time
	if r.kind == registry.KindProjectMetadata && r.name == projectmeta.Updated {
		p.values = append(p.values, r.project+"\x00"+r.text)
	}
}

func (p *marks) String() string {
	slices.Sort(p.values)
	return fmt.Sprint(p.rows, p.times) + strings.Join(p.values, "\x00")
}

// stamp returns the value of feast_metadata for a change at now, in seconds, after one with the value before, and the time
// that goes with it. That is no earlier than before, whatever the clocks of those who write say. To the seconds a random
// number is added, as decimals, so that no change has the value of another: of this library, in the same second of a clock
// that was set back or does not agree, or of Feast, which writes whole seconds. Feast reads the time.
func stamp(now int64, before string) (int64, string) {
	seconds, _, _ := strings.Cut(before, ".")
	if at, err := strconv.ParseInt(seconds, 10, 64); err == nil {
		now = max(now, at)
	}
	return now, fmt.Sprintf("%d.%09d", now, rand.N(1_000_000_000))
}

// Load implements registry.Backend. It reads everything in one query, which is one consistent state, also while others
// write.
//
// The probe is a query for one small row per table and project: how many rows there are, when they were written, and what
// feast_metadata says of the last change. What this library writes always shows in it, whatever the clocks of those who write
// say. Feast's times have whole seconds, so that the registry is read again once, some seconds after anything moved. When a
// project has no metadata, since it is purged, every probe reads the registry; and so does one every ten minutes. The token
// stands for what was read: when that is the same, the registry has not changed.
func (b *Backend) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	p := b.reading()
	b.mu.Lock()
	was := b.seen
	b.mu.Unlock()
	if have != "" && have == was.token && was.trusted() {
		now, err := b.probe(ctx, p)
		switch {
		case err == nil && now == was.mark:
			return nil, have, nil
		case err != nil && b.dialect.Classify(err) != MissingTable:
			return nil, "", p.failed("probe", err)
		}
	}
	start := time.Now()
	c, err := b.content(ctx, p, b.project)
	if err != nil {
		return nil, "", err
	}
	token := b.remember(c, start)
	if token == have {
		return nil, have, nil
	}
	return c.state(), token, nil
}

// LoadWritten implements registry.Written.
func (b *Backend) LoadWritten(ctx context.Context, project string) (*registry.State, error) {
	c, err := b.content(ctx, b.db, project)
	if err != nil {
		return nil, err
	}
	return c.state(), nil
}

// reading returns the database to read from.
func (b *Backend) reading() *pool {
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
	if b.seen.mark == c.mark {
		since = b.seen.since
	}
	b.seen = seen{token, c.mark, since, start, len(c.records)}
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

// probe returns what the registry looks like to a query that reads no message.
func (b *Backend) probe(ctx context.Context, db *pool) (string, error) {
	there, err := b.readable(ctx, db)
	if err != nil {
		return "", err
	}
	s := statement{d: b.dialect}
	for _, t := range there {
		column := "last_updated_timestamp"
		if t.kind == registry.KindViewVersion {
			column = "created_timestamp"
		}
		s.WriteString("SELECT " + strconv.Itoa(int(t.kind)) + ", COUNT(*), CAST(COALESCE(SUM(" + column + "), 0) AS CHAR(30)), NULL, NULL FROM " +
			t.name)
		b.where(&s, b.project)
		s.WriteString(" UNION ALL ")
	}
	s.WriteString("SELECT 0, 0, NULL, " + b.dialect.text("project_id") + ", " + b.dialect.text("metadata_value") + " FROM " + metadataTable)
	if !b.where(&s, b.project) {
		s.WriteString(" WHERE 1 = 1")
	}
	s.WriteString(" AND metadata_key = '" + projectmeta.Updated + "'")
	var p marks
	err = each(ctx, db, &s, func(rows *database.Rows) error {
		var kind int
		var count int64
		var sum, project, value database.NullString
		if err := rows.Scan(&kind, &count, &sum, &project, &value); err != nil {
			return err
		}
		if kind == 0 {
			p.values = append(p.values, project.String+"\x00"+value.String)
			return nil
		}
		total, err := strconv.ParseInt(strings.TrimSpace(sum.String), 10, 64)
		p.rows[kind], p.times[kind] = count, total
		return err
	})
	return p.String(), err
}

// where limits a query to a project, unless all are meant.
func (b *Backend) where(s *statement, project string) bool {
	if project == "" {
		return false
	}
	s.WriteString(" WHERE project_id = ")
	s.arg(project)
	return true
}

// content is what the registry held at one moment.
type content struct {
	records []registry.Record // sorted
	mark    string            // empty when a project has no metadata
}

// state returns what was read, for those who asked for it.
func (c content) state() *registry.State {
	s := &registry.State{Records: c.records}
	for i := range c.records {
		if t := c.records[i].Updated; t.After(s.LastUpdated) {
			s.LastUpdated = t
		}
	}
	return s
}

// content reads a project, or all.
func (b *Backend) content(ctx context.Context, db *pool, project string) (content, error) {
	for again := true; ; again = false {
		there, err := b.readable(ctx, db)
		if err != nil {
			return content{}, err
		}
		c, err := b.query(ctx, db, there, project, nil)
		if err != nil && again && b.dialect.Classify(err) == MissingTable && b.schema != SchemaSkip {
			db.complete.Store(false) // somebody dropped one
			continue
		}
		return c, db.failed("read", err)
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
	timed, projects := map[string]bool{}, map[string]bool{}
	metadata := map[string]map[string]string{}
	scanner := newScanner(project)
	var r row
	var p marks
	memory := arena{owned: b.dialect.Owned}
	err = each(ctx, db, &s, func(rows *database.Rows) error {
		last := r.project
		if err := scanner.scan(rows, &r); err != nil {
			return err
		}
		own := project == "" || r.project == project
		if own {
			p.add(&r)
		} else if r.kind != registry.KindProject {
			return nil // compared without regard to case
		}
		if r.project != last && own {
			projects[r.project] = true
		}
		if r.kind == registry.KindProjectMetadata {
			if r.name == projectmeta.Updated {
				timed[r.project] = true
				return nil
			}
			if metadata[r.project] == nil {
				metadata[r.project] = map[string]string{}
			}
			metadata[r.project][r.name] = r.text
			return nil
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
	for project, rows := range metadata {
		c.records = append(c.records, metadataRecord(project, rows))
	}
	slices.SortFunc(c.records, compare)
	c.mark = p.String()
	for project := range projects {
		if !timed[project] {
			c.mark = ""
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
		id := d.text("project_id")
		if project != "" && !d.Folds { // each column costs
			id = "NULL"
		}
		s.WriteString("SELECT " + strconv.Itoa(int(t.kind)) + ", " + id + ", " + d.text(t.key))
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
		if t.kind != registry.KindProject {
			b.where(s, project)
		}
	}
}
