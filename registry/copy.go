package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/projectmeta"
	"github.com/feastgo/feast/internal/protos/feast/core"
)

// CopyOptions say what [Copy] and [Import] do.
type CopyOptions struct {
	// Projects are those to copy; nil: all of the source.
	Projects []string
	// Overwrite makes the projects of the destination what they are in the source: what differs is replaced, and what the
	// source does not have is deleted. Without it, a project that holds anything else than the source has of it is an
	// error, and nothing is written.
	Overwrite bool
}

// CopyResult says what [Copy] or [Import] did.
type CopyResult struct {
	Projects []string // that were copied, sorted
	Records  int      // that the source has of them
	Written  int      // of these, the ones that the destination did not have
	Deleted  int      // of the destination, with Overwrite
}

// Copy copies projects from one registry to another, of any two kinds that keep records, with all that belongs to them:
// objects, permissions, the history of versions, the list of infrastructure and metadata. Objects stay as they are, times
// and versions included. Other projects of dst are left alone. A dst that does not exist is created as its kind allows.
//
// Each project is one transaction. When copying ends early, those that are done are done: the same call again does the
// rest, and writes nothing that is there. In the end dst is read anew and compared with what was read from src, which is
// read once, at the beginning.
//
// The list of infrastructure may belong to all projects or to each: dst lists afterwards what src lists, and what it
// listed before.
//
// Errors: a feasterr.ErrNotFound when src does not exist or has not all of the projects; a feasterr.ErrInvalid, and nothing
// is written, when it has records of them that cannot be read, or dst has any; a feasterr.ErrConflict when dst holds
// something else, or differs afterwards because somebody else writes to it; a feasterr.ErrUnsupported when one of them is
// behind a server, which shows no history: the registry that it serves can be copied.
func Copy(ctx context.Context, dst, src Backend, opts CopyOptions) (*CopyResult, error) {
	state, err := loadToCopy(ctx, src)
	if err != nil {
		return nil, fmt.Errorf("the source: %w", err)
	}
	return copyState(ctx, dst, state, opts)
}

// Export writes projects, all when none is named, as one serialized feast.core.Registry: the content of Feast's own
// registry.db. So it holds everything that a registry holds, a backup can be opened as a file registry by this library
// and by Feast, and [Import] reads any file that Feast wrote.
//
// The errors are those of [Copy] for its source.
func Export(ctx context.Context, src Backend, w io.Writer, projects ...string) error {
	state, err := loadToCopy(ctx, src)
	if err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	copied, err := selected(state, projects)
	if err != nil {
		return err
	}
	data, err := copied.file()
	if err != nil {
		return err
	}
	back, err := ParseState(data)
	if err != nil {
		return err
	}
	for project, records := range copied {
		if d := differences(records, grouped(back)[project]); len(d) > 0 {
			return feasterr.Invalid("project %q cannot be exported: %s cannot be read back", project, d[0])
		}
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	return nil
}

// Import copies projects from what [Export] wrote, or from a registry file of Feast, as [Copy] does from a registry. A file
// that is cut off is a feasterr.ErrInvalid.
func Import(ctx context.Context, dst Backend, r io.Reader, opts CopyOptions) (*CopyResult, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading the export: %w", err)
	}
	state, err := ParseState(data)
	if err != nil {
		return nil, err
	}
	if state.VersionID == "" { // it ends an export, and Feast always writes it
		return nil, feasterr.Invalid("not a whole registry: there is no version_id, so that the file is perhaps cut off")
	}
	return copyState(ctx, dst, state, opts)
}

// LoadAll returns the records of all projects that a backend shows, as they are where updates go: see [Written].
func LoadAll(ctx context.Context, b Backend) (*State, error) { return loadWritten(ctx, b, "") }

// loadWritten returns at least the records of a project, of all when it is empty, as they are where updates go.
func loadWritten(ctx context.Context, b Backend, project string) (*State, error) {
	if w, ok := b.(Written); ok {
		return w.LoadWritten(ctx, project)
	}
	state, _, err := b.Load(ctx, "")
	return state, err
}

// loadToCopy is LoadAll for a registry that is to be copied, or copied to.
func loadToCopy(ctx context.Context, b Backend) (*State, error) {
	if _, server := b.(Applier); server {
		return nil, feasterr.Unsupported("a registry behind a server cannot be copied, since the server does not show the history of " +
			"versions: copy the registry that it serves")
	}
	return LoadAll(ctx, b)
}

// projectRecords are the records of several projects, by project and identity. A list of infrastructure of all projects is
// one of each.
type projectRecords map[string]map[ID]Record

// grouped returns all records of a state. Of several with one identity the first counts.
func grouped(s *State) projectRecords {
	out := projectRecords{}
	var infra *Record
	for _, r := range s.Records {
		if r.Kind == KindInfra && r.Project == "" {
			infra = &r
			continue
		}
		if out[r.Project] == nil {
			out[r.Project] = map[ID]Record{}
		}
		if _, twice := out[r.Project][r.ID]; !twice {
			out[r.Project][r.ID] = r
		}
	}
	if infra != nil {
		for project, records := range out {
			id := ID{Kind: KindInfra, Project: project, Name: InfraName}
			if _, own := records[id]; !own {
				records[id] = Record{ID: id, Proto: infra.Proto, Updated: infra.Updated}
			}
		}
	}
	return out
}

// selected returns the records of projects, of all when none is named.
func selected(s *State, projects []string) (projectRecords, error) {
	all := grouped(s)
	var problems []error
	if len(projects) > 0 {
		for _, name := range projects {
			if all[name] == nil {
				problems = append(problems, &feasterr.NotFoundError{Kind: KindProject.String(), Name: name})
			}
		}
		maps.DeleteFunc(all, func(name string, _ map[ID]Record) bool { return !slices.Contains(projects, name) })
	}
	lost := slices.Clone(s.Bad)
	for _, project := range slices.Sorted(maps.Keys(all)) {
		for _, id := range slices.SortedFunc(maps.Keys(all[project]), compareIDs) {
			r := all[project][id]
			if err := readable(r); err != nil {
				lost = append(lost, BadRecord{id, r.Proto, err})
			}
		}
	}
	for _, bad := range lost {
		if len(projects) == 0 || bad.ID.Project == "" || slices.Contains(projects, bad.ID.Project) {
			problems = append(problems, fmt.Errorf("it would be lost: %w", bad.Err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, id := range slices.SortedFunc(maps.Keys(all[name]), compareIDs) {
			if err := proto.Unmarshal(all[name][id].Proto, messages[id.Kind]()); err != nil {
				problems = append(problems, feasterr.Invalid("%s cannot be read: %w", id, err))
			}
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("the source cannot be copied: %w", errors.Join(problems...))
	}
	return all, nil
}

// readable returns an error for a record whose message cannot be read.
func readable(r Record) error {
	if r.Kind == KindProjectMetadata {
		if err := proto.Unmarshal(r.Proto, new(core.ProjectMetadata)); err != nil {
			return feasterr.Invalid("%s cannot be read: %w", r.ID, err)
		}
		return nil
	}
	v, err := (&entry{Record: r}).value()
	if version, ok := v.(*versionValue); ok && err == nil {
		err = version.err
	}
	return err
}

func copyState(ctx context.Context, dst Backend, src *State, opts CopyOptions) (*CopyResult, error) {
	from, err := selected(src, opts.Projects)
	if err != nil {
		return nil, err
	}
	result := &CopyResult{Projects: slices.Sorted(maps.Keys(from))}
	to, err := held(ctx, dst)
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, project := range result.Projects {
		result.Records += len(from[project])
		if !opts.Overwrite {
			problems = append(problems, refuse(project, from[project], to[project]))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	for _, project := range result.Projects {
		var written, deleted int
		_, err := dst.Update(ctx, project, func(tx Tx) (err error) {
			written, deleted, err = copyProject(ctx, tx, project, from[project], opts.Overwrite)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("copying project %q: %w", project, err)
		}
		result.Written += written
		result.Deleted += deleted
	}
	if to, err = held(ctx, dst); err != nil {
		return nil, fmt.Errorf("copied, but not compared: %w", err)
	}
	purged := !to.metadata() // Feast's purge_feast_metadata keeps none
	for _, project := range result.Projects {
		d := differences(from[project], to[project])
		if purged {
			d = slices.DeleteFunc(d, func(id ID) bool { return id.Kind == KindProjectMetadata })
		}
		if len(d) > 0 {
			problems = append(problems, fmt.Errorf("project %q differs after it was copied, perhaps because others write to it: %s: %w",
				project, names(d, shownIDs), feasterr.ErrConflict))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return result, nil
}

// held returns what a registry holds; nothing when it does not exist.
func held(ctx context.Context, b Backend) (projectRecords, error) {
	state, err := loadToCopy(ctx, b)
	switch {
	case errors.Is(err, feasterr.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("the destination: %w", err)
	case len(state.Bad) > 0:
		return nil, fmt.Errorf("the destination holds what cannot be read, nor replaced: %w", state.Bad[0].Err)
	}
	return grouped(state), nil
}

// metadata reports whether there is metadata of any project.
func (p projectRecords) metadata() bool {
	for project, records := range p {
		if _, ok := records[ID{Kind: KindProjectMetadata, Project: project, Name: project}]; ok {
			return true
		}
	}
	return false
}

// refuse returns an error when to holds what copying would change or delete.
func refuse(project string, from, to map[ID]Record) error {
	var lost []ID
	for id, r := range to {
		if now, ok := from[id]; id.Kind != KindInfra && (!ok || !sameRecord(now, r)) {
			lost = append(lost, id)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	slices.SortFunc(lost, compareIDs)
	return fmt.Errorf("project %q of the destination holds something else: %s; nothing was written: copy with Overwrite to replace it, or "+
		"elsewhere: %w", project, names(lost, shownIDs), feasterr.ErrConflict)
}

// copyProject makes the project of the transaction what it is in from.
func copyProject(ctx context.Context, tx Tx, project string, from map[ID]Record, overwrite bool) (written, deleted int, err error) {
	to := map[ID]Record{}
	for kind := Kind(1); kind < numKinds; kind++ {
		for r, err := range tx.List(ctx, kind) {
			if err != nil {
				return 0, 0, err
			}
			if r.Kind == KindInfra {
				r.Project = project
			}
			to[r.ID] = r
		}
	}
	if !overwrite {
		if err := refuse(project, from, to); err != nil { // somebody wrote meanwhile
			return 0, 0, err
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(to), compareIDs) {
		if _, ok := from[id]; !ok && id.Kind != KindInfra {
			if err := tx.Delete(ctx, id); err != nil {
				return 0, 0, err
			}
			deleted++
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(from), compareIDs) {
		r := from[id]
		if was, ok := to[id]; ok {
			if sameRecord(r, was) {
				continue
			}
			if id.Kind == KindInfra {
				if r.Proto, err = mergeInfra(was, r); err != nil {
					return 0, 0, err
				}
			}
		}
		if err := tx.Put(ctx, r); err != nil {
			return 0, 0, err
		}
		written++
	}
	return written, deleted, nil
}

// differences returns the identities of which the two do not hold the same, sorted. Of infrastructure, to may list more.
func differences(from, to map[ID]Record) []ID {
	var d []ID
	for id, r := range from {
		if copied, ok := to[id]; !ok || !sameRecord(r, copied) {
			d = append(d, id)
		}
	}
	for id := range to {
		if _, ok := from[id]; !ok && id.Kind != KindInfra {
			d = append(d, id)
		}
	}
	slices.SortFunc(d, compareIDs)
	return d
}

// shownIDs is how many identities an error about a copy lists.
const shownIDs = 3

// names lists identities for people, the first ones of many.
func names(ids []ID, most int) string {
	var text []string
	for _, id := range ids[:min(most, len(ids))] {
		text = append(text, id.String())
	}
	if more := len(ids) - most; more > 0 {
		text = append(text, fmt.Sprintf("%d more", more))
	}
	return strings.Join(text, ", ")
}

// messages are those that records hold.
var messages = [numKinds]func() proto.Message{
	KindProject:             func() proto.Message { return new(core.Project) },
	KindEntity:              func() proto.Message { return new(core.Entity) },
	KindDataSource:          func() proto.Message { return new(core.DataSource) },
	KindFeatureView:         func() proto.Message { return new(core.FeatureView) },
	KindStreamFeatureView:   func() proto.Message { return new(core.StreamFeatureView) },
	KindOnDemandFeatureView: func() proto.Message { return new(core.OnDemandFeatureView) },
	KindLabelView:           func() proto.Message { return new(core.LabelView) },
	KindFeatureService:      func() proto.Message { return new(core.FeatureService) },
	KindSavedDataset:        func() proto.Message { return new(core.SavedDataset) },
	KindValidationReference: func() proto.Message { return new(core.ValidationReference) },
	KindPermission:          func() proto.Message { return new(core.Permission) },
	KindInfra:               func() proto.Message { return new(core.Infra) },
	KindProjectMetadata:     func() proto.Message { return new(core.ProjectMetadata) },
	KindViewVersion:         func() proto.Message { return new(core.FeatureViewVersionRecord) },
}

// sameRecord reports whether a copy of a record is as good as it: the same message, however it was serialized. SQL registries
// keep whole seconds of the time of a version, and metadata in rows. A copied list of infrastructure may be longer.
func sameRecord(r, copied Record) bool {
	if bytes.Equal(r.Proto, copied.Proto) {
		return true
	}
	if r.Kind == KindInfra {
		merged, err := mergeInfra(copied, r)
		return err == nil && bytes.Equal(merged, copied.Proto)
	}
	a, b := messages[r.Kind](), messages[r.Kind]()
	if proto.Unmarshal(r.Proto, a) != nil || proto.Unmarshal(copied.Proto, b) != nil {
		return false
	}
	for _, m := range []proto.Message{a, b} {
		switch v := m.(type) {
		case *core.FeatureViewVersionRecord:
			if v.CreatedTimestamp != nil {
				v.CreatedTimestamp.Nanos = 0
			}
		case *core.ProjectMetadata:
			v.ProjectUuid = projectmeta.Text(projectmeta.Rows(v.ProjectUuid))
		}
	}
	return proto.Equal(a, b)
}

// mergeInfra returns a list of infrastructure with what another has more.
func mergeInfra(list, more Record) ([]byte, error) {
	var lists [2]*Infra
	for i, r := range []Record{list, more} {
		v, err := decode(r)
		if err != nil {
			return nil, err
		}
		lists[i] = v.(*Infra)
	}
	unlisted := unlistedInfra(lists[0].Objects, lists[1].Objects)
	if len(unlisted) == 0 {
		return list.Proto, nil
	}
	merged := *lists[0]
	merged.Objects = slices.Concat(merged.Objects, unlisted)
	b, err := marshal(&merged, moveInfra)
	if err != nil {
		return nil, feasterr.Invalid("%s cannot be written: %w", list.ID, err)
	}
	return b, nil
}

// file returns the records as a serialized feast.core.Registry that ends as [Rewrite] ends one.
func (p projectRecords) file() ([]byte, error) {
	out := appendField(nil, schemaField, []byte(schemaVersion))
	var infra *Record
	var history []byte
	for _, project := range slices.Sorted(maps.Keys(p)) {
		for _, id := range slices.SortedFunc(maps.Keys(p[project]), compareIDs) {
			switch r := p[project][id]; {
			case id.Kind == KindViewVersion:
				history = appendField(history, versionsField, r.Proto)
			case id.Kind != KindInfra:
				out = appendField(out, layouts[id.Kind].field, r.Proto)
			case infra == nil:
				infra = &r
			default:
				merged, err := mergeInfra(*infra, r)
				if err != nil {
					return nil, err
				}
				infra.Proto = merged
			}
		}
	}
	if infra != nil {
		out = appendField(out, layouts[KindInfra].field, infra.Proto)
	}
	if history != nil {
		out = appendField(out, historyField, history)
	}
	out = appendField(out, lastUpdatedField, timestamp(time.Now()))
	return appendField(out, versionIDField, []byte(newUUID())), nil
}
