package registry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/permissions"
)

// Writer changes the objects of one project. It means the same on every backend. Safe for concurrent use, as far as
// Describe and BeforeCommit are.
type Writer struct {
	Backend Backend
	Project string

	// Now gives the time that objects are stamped with, by microseconds; nil: time.Now.
	Now func() time.Time
	// Describe lists the columns of data sources, from which missing schemas are inferred; nil: definitions must be
	// complete.
	Describe Describe
	// BeforeCommit, when set, is told what is about to be written, and keeps it from being written by an error. It may
	// be told again, with other changes, when somebody else wrote first. It sees dry runs too, and is not called when
	// nothing changes, unless the request says Repair. It must not use the Backend, and should not take long: what does goes
	// to [Commit.First].
	BeforeCommit func(ctx context.Context, c *Commit) error
	// PurgeMetadata keeps new projects from getting project metadata, Feast's purge_feast_metadata.
	PurgeMetadata bool
}

// ApplyRequest says what to change.
type ApplyRequest struct {
	// Objects are created or updated; one that equals what is stored is left untouched. Data sources in views and the
	// project come along by themselves. The objects are not modified.
	Objects []Object
	// Delete names objects to delete, by kind and name: &FeatureView{Name: "driver_stats"}. A view loses its history
	// too. A Project stands for everything in it.
	Delete []Object
	// Prune deletes all data sources, entities, views, feature services and permissions that are not among Objects.
	Prune bool
	// NoPromote keeps views with a changed schema as they are: the new definition only becomes a version in the history.
	NoPromote bool
	// Repair tells BeforeCommit of the objects although they are stored already. A feature store then makes what the
	// online store lacks: after it was lost, or exchanged for another.
	Repair bool
	// DryRun writes nothing.
	DryRun bool
	// Base, when set, is the [Diff].Base of an earlier dry run: if the project changed since, that is a
	// feasterr.ErrConflict.
	Base string
}

// Apply brings the registry up to date with definitions, in one transaction, and returns what that changes. An invalid
// request changes nothing; its error is a feasterr.ErrInvalid that names all problems with all objects.
//
// A backend that is a server has no transactions, see [Applier], and shows no history of views. The diff tells nothing of
// versions then, and what depends on the history is a feasterr.ErrUnsupported: NoPromote, and moving a view to another
// version than it has.
func (w *Writer) Apply(ctx context.Context, r ApplyRequest) (*Diff, error) {
	work := *w
	p := &preparation{describe: w.Describe, known: map[string]described{}}
	if w.Describe != nil {
		work.Describe = p.columns
	}
	now := time.Now()
	if w.Now != nil {
		now = w.Now()
	}
	work.Now = func() time.Time { return now } // also when the draft is made again
	if r.DryRun {
		d, err := work.read(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := work.prepare(ctx, d, r); err != nil {
			return nil, err
		}
		return d.diff, nil
	}
	_, served := w.Backend.(Applier)
	for range preparations {
		p.later = !served
		var d *draft
		err := work.update(ctx, func(fresh *draft) error {
			d = fresh
			return p.prepare(ctx, &work, d, r)
		})
		switch {
		case err == nil:
			return d.diff, nil
		case !errors.Is(err, errUnprepared):
			return nil, err
		}
		if err := p.run(ctx); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("project %q was not changed: others kept changing the same objects: tried %d times: %w", w.Project, preparations,
		feasterr.ErrConflict)
}

// preparations is how often what goes before a commit is done for objects that others then change.
const preparations = 20

// errUnprepared ends a transaction, since something has to be done first, outside of it.
var errUnprepared = errors.New("not prepared")

// preparation is what goes before a commit and may take long: looking at data sources, and what BeforeCommit asks for. It
// is done while no transaction is open, which would keep other writers waiting, and all of a SQLite file.
type preparation struct {
	describe Describe
	known    map[string]described // by the name of the data source
	later    bool                 // a transaction is open
	wanted   []*DataSource        // that are not known

	todo []func(context.Context) error
	id   string // of the changes that todo is for
	done string // of those that were prepared for
}

// described is an answer of [Describe].
type described struct {
	columns []Column
	err     error
}

// columns is a [Describe].
func (p *preparation) columns(ctx context.Context, s *DataSource) ([]Column, error) {
	a, ok := p.known[s.Name]
	switch {
	case !ok && p.later:
		p.wanted = append(p.wanted, s)
		return nil, errUnprepared
	case !ok:
		a.columns, a.err = p.describe(ctx, s)
		p.known[s.Name] = a
	}
	return a.columns, a.err
}

// prepare is that of the writer, and errUnprepared while something is to be done first.
func (p *preparation) prepare(ctx context.Context, w *Writer, d *draft, r ApplyRequest) error {
	p.wanted, p.todo = nil, nil
	todo, err := w.prepare(ctx, d, r)
	if len(p.wanted) > 0 {
		return errUnprepared
	}
	if err != nil || len(todo) == 0 {
		return err
	}
	if p.id = d.changes(); p.id == p.done {
		return nil
	}
	p.todo = todo
	return errUnprepared
}

// run does what is to be done.
func (p *preparation) run(ctx context.Context) error {
	p.later = false
	for _, s := range p.wanted {
		if _, err := p.columns(ctx, s); err != nil && ctx.Err() != nil {
			return err
		}
	}
	for _, do := range p.todo {
		if err := do(ctx); err != nil {
			return err
		}
	}
	if p.todo != nil {
		p.done = p.id
	}
	return nil
}

// changes stands for what a draft changes of which objects, as far as others may have a part in it: the list of
// infrastructure and what is random do not count.
func (d *draft) changes() string {
	h := sha256.New()
	for _, c := range d.diff.Changes {
		fmt.Fprintf(h, "%s %s\n", c.Action, c.ID)
	}
	for _, id := range slices.Compact(slices.SortedFunc(slices.Values(d.changed), compareIDs)) {
		if id.Kind == KindInfra || id.Kind == KindProjectMetadata {
			continue
		}
		fmt.Fprintf(h, "%s\n", id)
		for _, entries := range []map[ID]*entry{d.stored, d.records} {
			if e := entries[id]; e != nil && id.Kind != KindViewVersion {
				fmt.Fprintf(h, "%d %s\n", len(e.Proto), e.Proto)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// prepare makes a draft what the request wants, lets BeforeCommit see it, and returns what that wants to be done first.
func (w *Writer) prepare(ctx context.Context, d *draft, r ApplyRequest) ([]func(context.Context) error, error) {
	if err := d.apply(ctx, r); err != nil {
		return nil, err
	}
	if w.BeforeCommit == nil || d.diff.Empty() && !r.Repair {
		return nil, nil
	}
	c := &Commit{Diff: d.diff, DryRun: r.DryRun, draft: d}
	if err := w.BeforeCommit(ctx, c); err != nil {
		return nil, err
	}
	return c.first, nil
}

// update runs fn on a draft of the project, and writes what it changed.
func (w *Writer) update(ctx context.Context, fn func(*draft) error) error {
	if a, ok := w.Backend.(Applier); ok {
		return w.applyByServer(ctx, a, fn)
	}
	_, err := w.Backend.Update(ctx, w.Project, func(tx Tx) error {
		d := w.draft()
		for kind := KindProject; kind < numKinds; kind++ {
			for r, err := range tx.List(ctx, kind) {
				if err != nil {
					return err
				}
				d.add(r)
			}
		}
		if err := fn(d); err != nil {
			return err
		}
		return d.flush(ctx, tx)
	})
	return err
}

// draft is a project as it was read, and what becomes of it.
type draft struct {
	project  string
	now      time.Time
	describe Describe
	purge    bool
	served   bool // by a server, which keeps the history of views and does not show it

	records  map[ID]*entry
	versions map[string][]int // of views, the numbers in their history, in no order
	stored   map[ID]*entry    // what was read
	changed  []ID
	window   *Interval // that the one view which changed was materialized for
	diff     *Diff

	given    map[ID]Object // objects of the request, sources within views included
	todo     map[string]View
	problems []error
}

func (w *Writer) draft() *draft {
	now := time.Now
	if w.Now != nil {
		now = w.Now
	}
	_, served := w.Backend.(Applier)
	return &draft{
		project: w.Project, now: now().UTC().Truncate(time.Microsecond), describe: w.Describe, purge: w.PurgeMetadata,
		served:  served,
		records: map[ID]*entry{}, versions: map[string][]int{}, stored: map[ID]*entry{}, diff: new(Diff),
		given: map[ID]Object{}, todo: map[string]View{},
	}
}

// add takes a record of the project as read. Of several with one identity the first counts, as in Feast.
func (d *draft) add(r Record) {
	shared := r.Kind == KindInfra && r.Project == ""
	if r.Project != d.project && !shared || d.stored[r.ID] != nil {
		return
	}
	d.set(r)
	d.stored[r.ID] = d.records[r.ID]
}

func (d *draft) set(r Record) {
	if r.Kind == KindViewVersion && d.records[r.ID] == nil {
		d.versions[r.Name] = append(d.versions[r.Name], r.Version)
	}
	d.records[r.ID] = &entry{Record: r}
}

func (d *draft) put(r Record) {
	r.Updated = d.now
	d.set(r)
	d.changed = append(d.changed, r.ID)
}

func (d *draft) remove(id ID) {
	delete(d.records, id)
	d.changed = append(d.changed, id)
}

// flush writes what changed.
func (d *draft) flush(ctx context.Context, tx Tx) error {
	done := map[ID]bool{}
	for _, id := range d.changed {
		if done[id] {
			continue
		}
		done[id] = true
		var err error
		if e := d.records[id]; e != nil {
			err = tx.Put(ctx, e.Record)
		} else if d.stored[id] != nil {
			err = tx.Delete(ctx, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// base returns what stands for the state of the project: a digest of its records. The list of infrastructure, which
// projects may share, does not count.
func (d *draft) base() string {
	h := sha256.New()
	var size [8]byte
	for _, id := range slices.SortedFunc(maps.Keys(d.records), compareIDs) {
		if id.Kind == KindInfra {
			continue
		}
		for _, part := range [][]byte{[]byte(id.String()), d.records[id].Proto} {
			binary.BigEndian.PutUint64(size[:], uint64(len(part)))
			h.Write(size[:])
			h.Write(part)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (d *draft) apply(ctx context.Context, r ApplyRequest) error {
	d.diff.Base = d.base()
	if r.Base != "" && r.Base != d.diff.Base {
		return fmt.Errorf("project %q changed since the plan was made: plan again: %w", d.project, feasterr.ErrConflict)
	}
	if d.served && r.NoPromote {
		return feasterr.Unsupported("a registry server promotes every new version of a view: NoPromote needs the registry itself")
	}
	c := &checker{project: d.project}
	for _, o := range c.checkAll(r.Objects) {
		d.take(o)
	}
	d.problems = append(c.problems, d.problems...)
	if len(r.Objects) > 0 {
		d.take(&Entity{Name: DummyEntity, JoinKey: DummyJoinKey})
	}
	d.inferSources(ctx)
	d.delete(r)

	for _, kind := range applyOrder {
		ids := slices.DeleteFunc(slices.SortedFunc(maps.Keys(d.given), compareIDs), func(id ID) bool { return id.Kind != kind })
		if kind == KindDataSource { // streams hold others
			slices.SortStableFunc(ids, func(a, b ID) int {
				return depth(d.given[a].(*DataSource)) - depth(d.given[b].(*DataSource))
			})
		}
		for _, id := range ids {
			o := d.given[id]
			if problems := d.complete(ctx, o); len(problems) > 0 {
				for _, p := range problems {
					d.fail(id, p)
				}
				continue
			}
			v, isView := o.(View)
			var err error
			if isView {
				delete(d.todo, id.Name)
				err = d.putView(v, r.NoPromote)
			} else {
				err = d.putObject(id, o)
			}
			if err != nil {
				d.problems = append(d.problems, err)
			}
		}
	}
	if len(d.problems) > 0 {
		return errors.Join(d.problems...)
	}
	d.diff.sort()
	if len(d.changed) == 0 {
		return nil
	}
	return d.ensureProject(r)
}

// applyOrder is the order in which objects are applied: what others refer to comes first.
var applyOrder = [...]Kind{
	KindProject, KindEntity, KindDataSource, KindFeatureView, KindStreamFeatureView, KindLabelView,
	KindOnDemandFeatureView, KindFeatureService, KindSavedDataset, KindValidationReference, KindPermission,
}

func depth(s *DataSource) int {
	if s.BatchSource == nil {
		return 0
	}
	return 1
}

// fail notes a problem with an object.
func (d *draft) fail(id ID, err error) {
	id.Project = ""
	d.problems = append(d.problems, feasterr.Invalid("%s: %w", id, err))
}

func (d *draft) id(o Object) ID { return ID{Kind: KindOf(o), Project: d.project, Name: nameOf(o)} }

// take makes an independent copy of an object part of the request, with the data sources in it.
func (d *draft) take(o Object) {
	id := d.id(o)
	o, err := Clone(o)
	if err != nil {
		d.problems = append(d.problems, err)
		return
	}
	if s, ok := o.(*DataSource); ok {
		d.takeSource(s, id)
		return
	}
	if e, ok := o.(*Entity); ok {
		e.JoinKey = e.Key()
	}
	d.given[id] = o
	if v, ok := o.(View); ok {
		d.todo[id.Name] = v
		for _, s := range sourcesOf(o) {
			if *s != nil {
				d.takeSource(*s, id)
			}
		}
	}
}

// takeSource makes a data source part of the request. The same one may stand in many places.
func (d *draft) takeSource(s *DataSource, owner ID) {
	s.Name = sourceName(s)
	if b := s.BatchSource; b != nil {
		d.takeSource(b, owner)
		s.takeAfterHistory()
	}
	id := d.id(s)
	other, twice := d.given[id]
	if !twice {
		d.given[id] = s
		return
	}
	if fields := compare(other, s); len(fields) > 0 {
		d.fail(owner, fmt.Errorf("data source %q is given twice, with different values of %s", s.Name, fields[0].Name))
	}
}

// takeAfterHistory sets what a push source has in common with its history: its rows look alike.
func (d *DataSource) takeAfterHistory() {
	b := d.BatchSource
	if _, push := d.Options.(PushOptions); push && b != nil {
		d.TimestampField, d.CreatedTimestampColumn = b.TimestampField, b.CreatedTimestampColumn
		d.FieldMapping, d.DatePartitionColumn = b.FieldMapping, b.DatePartitionColumn
	}
}

// sourcesOf returns the places where a view holds data sources.
func sourcesOf(o Object) []**DataSource {
	switch v := o.(type) {
	case *FeatureView:
		return []**DataSource{&v.Source, &v.StreamSource}
	case *StreamFeatureView:
		return []**DataSource{&v.Source, &v.StreamSource}
	case *LabelView:
		return []**DataSource{&v.Source}
	case *OnDemandFeatureView:
		places := make([]**DataSource, len(v.RequestSources))
		for i := range v.RequestSources {
			places[i] = &v.RequestSources[i]
		}
		return places
	case *DataSource:
		return []**DataSource{&v.BatchSource}
	}
	return nil
}

// complete puts into an object what its definition leaves to the registry.
func (d *draft) complete(ctx context.Context, o Object) []error {
	for _, s := range sourcesOf(o) {
		if *s != nil { // what applies to it, with its timestamps
			copied := *d.given[d.id(*s)].(*DataSource)
			copied.Project = ""
			*s = &copied
		}
	}
	switch o := o.(type) {
	case *FeatureView:
		problems := d.completeColumns(ctx, o, &o.Schema, &o.EntityColumns)
		if o.origin.Proto == nil { // else the copies were made when it was applied
			problems = append(problems, d.completeSourceViews(ctx, o)...)
		}
		return problems
	case *StreamFeatureView:
		return d.completeColumns(ctx, o, &o.Schema, &o.EntityColumns)
	case *LabelView:
		return d.completeColumns(ctx, o, &o.Schema, &o.EntityColumns)
	case *OnDemandFeatureView:
		if o.Mode == "" && len(o.Aggregations) == 0 && o.origin.Proto == nil {
			o.Mode = "pandas"
		}
		problems := d.completeColumns(ctx, o, &o.Schema, &o.EntityColumns)
		return append(problems, d.completeProjections(o.Sources)...)
	case *FeatureService:
		return d.completeProjections(o.Features)
	}
	return nil
}

// completeSourceViews completes the copies of the views that a view is computed from.
func (d *draft) completeSourceViews(ctx context.Context, v *FeatureView) (problems []error) {
	for i := range v.SourceViews {
		from := &v.SourceViews[i]
		for _, s := range sourcesOf(from) {
			d.completeCopy(*s)
		}
		problems = append(problems, d.completeColumns(ctx, from, &from.Schema, &from.EntityColumns)...)
		problems = append(problems, d.completeSourceViews(ctx, from)...)
	}
	return problems
}

// completeCopy completes a data source that is no part of the request by itself.
func (d *draft) completeCopy(s *DataSource) {
	if s == nil {
		return
	}
	d.completeCopy(s.BatchSource)
	s.takeAfterHistory()
	if given, ok := d.given[d.id(s)].(*DataSource); ok && s.TimestampField == "" {
		s.TimestampField = given.TimestampField
	}
}

// putObject brings an object that is not a view up to date.
func (d *draft) putObject(id ID, o Object) error {
	stored, err := d.object(id)
	if err != nil {
		return err
	}
	keep := keptBy(o)
	if stored == nil {
		keep.create(d.now)
		d.diff.add(Change{Action: ActionCreate, ID: id, New: o})
		return d.write(o)
	}
	if s, ok := o.(*SavedDataset); ok {
		was := stored.(*SavedDataset)
		for at, earlier := range map[*time.Time]time.Time{
			&s.MinEventTimestamp: was.MinEventTimestamp, &s.MaxEventTimestamp: was.MaxEventTimestamp,
		} {
			if at.IsZero() {
				*at = earlier
			}
		}
	}
	old := keptBy(stored)
	fields := compare(stored, o)
	if len(fields) == 0 {
		keep.update(old, d.now)
		if keep.lastUpdated != nil {
			*keep.lastUpdated = *old.lastUpdated
		}
		d.diff.add(Change{ID: id, Old: stored, New: stored})
		return nil
	}
	keep.update(old, d.now)
	d.diff.add(Change{Action: ActionUpdate, ID: id, Fields: fields, Old: stored, New: o})
	return d.write(o)
}

// ensureProject makes the project known, as the first write to it does.
func (d *draft) ensureProject(r ApplyRequest) error {
	if slices.ContainsFunc(r.Delete, func(o Object) bool { return KindOf(o) == KindProject }) {
		return nil
	}
	id := ID{Kind: KindProject, Project: d.project, Name: d.project}
	if d.records[id] == nil {
		if err := d.putObject(id, &Project{Name: d.project}); err != nil {
			return err
		}
		d.diff.sort()
	}
	if id.Kind = KindProjectMetadata; d.purge || d.records[id] != nil {
		return nil
	}
	b, err := proto.Marshal(&core.ProjectMetadata{Project: d.project, ProjectUuid: newUUID()})
	if err != nil {
		return err
	}
	d.put(Record{ID: id, Proto: b})
	return nil
}

// delete removes what the request wants to be gone.
func (d *draft) delete(r ApplyRequest) {
	for i, o := range r.Delete {
		if isNil(o) {
			d.problems = append(d.problems, feasterr.Invalid("object %d to delete is nil", i+1))
			continue
		}
		id := d.id(o)
		if id.Kind == KindProject {
			d.deleteProject(id, r)
			continue
		}
		switch {
		case d.given[id] != nil:
			d.fail(id, errors.New("is to be applied and deleted at once"))
		case d.records[id] == nil:
			d.problems = append(d.problems, d.notFound(id.Kind.String(), id.Name, id.Kind))
		default:
			d.deleteObject(id)
		}
	}
	if !r.Prune {
		return
	}
	for _, id := range slices.SortedFunc(maps.Keys(d.records), compareIDs) {
		switch id.Kind {
		case KindEntity, KindDataSource, KindFeatureView, KindStreamFeatureView, KindOnDemandFeatureView, KindLabelView,
			KindFeatureService, KindPermission:
			if d.given[id] == nil && id.Name != DummyEntity {
				d.deleteObject(id)
			}
		}
	}
}

func (d *draft) deleteObject(id ID) {
	old, _ := d.object(id) // one that cannot be read can be deleted all the same
	d.diff.add(Change{Action: ActionDelete, ID: id, Old: old})
	d.remove(id)
	if !id.Kind.IsView() {
		return
	}
	for _, n := range d.versions[id.Name] {
		d.remove(ID{Kind: KindViewVersion, Project: d.project, Name: id.Name, Version: n})
	}
	delete(d.versions, id.Name)
}

func (d *draft) deleteProject(id ID, r ApplyRequest) {
	switch {
	case id.Name != d.project || !slices.ContainsFunc(slices.Collect(maps.Keys(d.records)), d.owns):
		d.problems = append(d.problems, &feasterr.NotFoundError{Kind: id.Kind.String(), Name: id.Name})
	case len(r.Objects) > 0 || len(r.Delete) > 1:
		d.fail(id, errors.New("is to be deleted, and objects of it applied or deleted, at once"))
	default:
		for _, id := range slices.SortedFunc(maps.Keys(d.records), compareIDs) {
			if id.Kind <= KindPermission && d.records[id] != nil {
				d.deleteObject(id)
			}
		}
		for _, id := range slices.SortedFunc(maps.Keys(d.records), compareIDs) {
			if d.owns(id) {
				d.remove(id)
			}
		}
	}
}

// owns reports whether a record is the project's alone.
func (d *draft) owns(id ID) bool { return id.Project == d.project }

// write stores an object.
func (d *draft) write(o Object) error {
	r, err := Encode(d.project, o)
	if err != nil {
		return err
	}
	d.put(r)
	return nil
}

// object returns a stored object, nil when there is none.
func (d *draft) object(id ID) (Object, error) {
	e := d.records[id]
	if e == nil {
		return nil, nil
	}
	v, err := e.value()
	if err != nil {
		return nil, err
	}
	return v.(Object), nil
}

// view is object for views.
func (d *draft) view(id ID) (View, error) {
	o, err := d.object(id)
	if o == nil {
		return nil, err
	}
	return o.(View), nil
}

// findView returns the view of that name, of whichever kind, as it will be.
func (d *draft) findView(name string) (View, error) {
	if v := d.todo[name]; v != nil {
		return v, nil
	}
	for _, kind := range viewKinds {
		if v, err := d.view(ID{Kind: kind, Project: d.project, Name: name}); v != nil || err != nil {
			return v, err
		}
	}
	return nil, d.notFound("feature view", name, viewKinds[:]...)
}

// findEntity returns the entity of that name, as it will be.
func (d *draft) findEntity(name string) (*Entity, error) {
	id := ID{Kind: KindEntity, Project: d.project, Name: name}
	if e, ok := d.given[id].(*Entity); ok {
		return e, nil
	}
	o, err := d.object(id)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, d.notFound(id.Kind.String(), name, id.Kind)
	}
	return o.(*Entity), nil
}

func (d *draft) notFound(what, name string, kinds ...Kind) error {
	names := iter.Seq[string](func(yield func(string) bool) {
		for _, ids := range []iter.Seq[ID]{maps.Keys(d.records), maps.Keys(d.given)} {
			for id := range ids {
				if slices.Contains(kinds, id.Kind) && !yield(id.Name) {
					return
				}
			}
		}
	})
	return &feasterr.NotFoundError{Kind: what, Name: name, Project: d.project, Near: feasterr.Near(name, names)}
}

// bookkeeping is what the registry keeps about an object. What a kind does not have is nil.
type bookkeeping struct {
	viewMeta
	version *string
}

func keptBy(o Object) bookkeeping {
	stamps := func(created, lastUpdated *time.Time) bookkeeping {
		return bookkeeping{viewMeta: viewMeta{created: created, lastUpdated: lastUpdated}}
	}
	switch o := o.(type) {
	case *Project:
		return stamps(&o.Created, &o.LastUpdated)
	case *Entity:
		return stamps(&o.Created, &o.LastUpdated)
	case *DataSource:
		return stamps(&o.Created, &o.LastUpdated)
	case *FeatureView:
		meta := viewMeta{&o.Created, &o.LastUpdated, &o.MaterializationIntervals, &o.State, &o.CurrentVersion}
		return bookkeeping{meta, &o.Version}
	case *StreamFeatureView:
		meta := viewMeta{&o.Created, &o.LastUpdated, &o.MaterializationIntervals, &o.State, &o.CurrentVersion}
		return bookkeeping{meta, &o.Version}
	case *OnDemandFeatureView:
		return bookkeeping{viewMeta{&o.Created, &o.LastUpdated, nil, &o.State, &o.CurrentVersion}, &o.Version}
	case *LabelView:
		return stamps(&o.Created, &o.LastUpdated)
	case *FeatureService:
		return stamps(&o.Created, &o.LastUpdated)
	case *SavedDataset:
		return stamps(&o.Created, &o.LastUpdated)
	case *permissions.Permission:
		return stamps(&o.Created, &o.LastUpdated)
	}
	return bookkeeping{}
}

func (k bookkeeping) create(now time.Time) {
	if k.created != nil {
		*k.created, *k.lastUpdated = now, now
	}
	if k.intervals != nil {
		*k.intervals = nil
	}
}

func (k bookkeeping) update(old bookkeeping, now time.Time) {
	if k.created != nil {
		*k.created, *k.lastUpdated = *old.created, now
	}
	if k.intervals != nil {
		*k.intervals = *old.intervals
	}
}

// setState keeps the state of a view unless the definition has another, or the schema changes.
func (k bookkeeping) setState(old bookkeeping, schema bool) []FieldChange {
	if k.state == nil {
		return nil
	}
	was := *old.state
	switch {
	case *k.state != StateUnspecified && *k.state != was:
		return []FieldChange{{"state", was.String(), k.state.String()}}
	case schema:
		*k.state = StateUnspecified
	default:
		*k.state = was
	}
	return nil
}

func (k bookkeeping) setVersion(n int) {
	if k.currentVersion != nil {
		*k.currentVersion = n
	}
}
