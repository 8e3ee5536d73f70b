package registry

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/feastgo/feast/feasterr"
)

var pinPattern = regexp.MustCompile(`(?i)^v(?:ersion)?([0-9]+)$`)

// parseVersion reads the version of a view: a pin as "v3" or "version3", in any case; "" and "latest" are none.
func parseVersion(s string) (pin int, pinned bool, err error) {
	if s == "" || strings.EqualFold(s, "latest") {
		return 0, false, nil
	}
	if m := pinPattern.FindStringSubmatch(s); m != nil {
		if n, err := strconv.ParseInt(m[1], 10, 32); err == nil {
			return int(n), true, nil
		}
	}
	return 0, false, feasterr.Invalid(`version %q is neither "latest" nor "v" with a number, as "v3"`, s)
}

// samePin reports whether two versions of a view, however typed, are the same.
func samePin(a, b string) bool {
	pinA, pinnedA, errA := parseVersion(a)
	pinB, pinnedB, errB := parseVersion(b)
	return pinA == pinB && pinnedA == pinnedB && errA == nil && errB == nil
}

// versioned reports whether a change of a view makes a new version of it: one of its columns, entities, sources of
// features or computation, not of its description.
func versioned(f FieldChange) bool {
	top, _, _ := strings.Cut(f.Name, ".")
	switch top {
	case "schema", "entities", "entity_columns", "source_views", "sources", "request_sources", "transformation",
		"aggregations", "timestamp_field", "mode":
		return true
	}
	return false
}

// putView brings a view up to date, and its history. A view has a history of snapshots, one for each version: the
// first is version 0, a change of its schema makes the next, and a pin goes back to one, or ahead.
func (d *draft) putView(v View, noPromote bool) error {
	info := v.Info()
	id := ID{Kind: info.Kind, Project: d.project, Name: info.Name}
	for _, kind := range viewKinds {
		if _, taken := d.records[ID{Kind: kind, Project: d.project, Name: info.Name}]; taken && kind != info.Kind {
			return feasterr.Invalid("%s %q: the name belongs to a %s of project %q: delete that first, or choose another",
				info.Kind, info.Name, kind, d.project)
		}
	}
	pin, pinned, err := parseVersion(info.Version)
	if err != nil {
		return err
	}
	stored, err := d.view(id)
	if err != nil {
		return err
	}
	keepFunction(stored, v)
	keep := keptBy(v)
	if stored == nil {
		n := pin
		if !pinned {
			if n, err = d.nextVersion(&info); err != nil {
				return err
			}
		}
		keep.create(d.now)
		keep.setVersion(n)
		d.diff.add(Change{Action: ActionCreate, ID: id, New: v})
		return d.writeView(v, n)
	}

	old := keptBy(stored)
	fields := compare(stored, v)
	schema := slices.ContainsFunc(fields, versioned)
	isPin := func(f FieldChange) bool { return f.Name == "version" }
	changed := slices.ContainsFunc(fields, func(f FieldChange) bool { return !isPin(f) })
	repinned := slices.ContainsFunc(fields, isPin)
	state := keep.setState(old, schema)
	fields = append(fields, state...)
	if len(fields) == 0 {
		d.diff.add(Change{ID: id, Old: stored, New: stored})
		return nil
	}
	keep.update(old, d.now)
	if d.served {
		return d.putServed(id, stored, v, fields, pinned && repinned)
	}

	if pinned || schema {
		if err := d.recordFirst(stored); err != nil {
			return err
		}
	}
	version := -1 // that is recorded
	switch {
	case pinned && changed && (!repinned || d.hasVersion(info.Name, pin)):
		names := make([]string, 0, len(fields))
		for _, f := range fields {
			if !isPin(f) {
				names = append(names, f.Name)
			}
		}
		return feasterr.Invalid("%s %q cannot be pinned to v%d and changed (%s) at once: to pin it, change its Version only; "+
			"to change it, leave Version empty", info.Kind, info.Name, pin, strings.Join(names, ", "))
	case pinned && !repinned:
		keep.setVersion(pin)
	case pinned || schema:
		if pinned && d.hasVersion(info.Name, pin) {
			if v, err = d.restore(stored, info, pin); err != nil {
				return err
			}
			fields = compare(stored, v)
			break
		}
		if version = pin; !pinned {
			if version, err = d.nextVersion(&info); err != nil {
				return err
			}
		}
		keep.setVersion(version)
	case repinned:
		keep.setVersion(0)
	}

	if version >= 0 {
		history := ID{Kind: KindViewVersion, Project: d.project, Name: info.Name, Version: version}
		d.diff.add(Change{Action: ActionCreate, ID: history})
		if noPromote {
			d.diff.add(Change{ID: id, Old: stored, New: stored})
			return d.record(v, version)
		}
	}
	d.diff.add(Change{Action: ActionUpdate, ID: id, Fields: fields, Old: stored, New: v})
	return d.writeView(v, version)
}

// putServed brings a view up to date that a server keeps, which gives it its version.
func (d *draft) putServed(id ID, stored, v View, fields []FieldChange, repinned bool) error {
	if repinned {
		return feasterr.Unsupported("%s %q cannot be pinned to %s through a registry server, which does not show what versions there are: "+
			"that needs the registry itself", id.Kind, id.Name, v.Info().Version)
	}
	keptBy(v).setVersion(stored.Info().CurrentVersion)
	d.diff.add(Change{Action: ActionUpdate, ID: id, Fields: fields, Old: stored, New: v})
	return d.writeView(v, -1)
}

// goFunction is the source text of the Python function of on-demand views that a definition leaves to Go. Feast cannot load
// a registry with a view that has none.
const goFunction = "def go_function(inputs):\n" +
	"    raise NotImplementedError(\"this on-demand feature view is computed by a Go function\")\n"

// keepFunction keeps the stored Python function of a view, nil when there is no such view: its pickle, where a definition
// has but the same source text, by which Feast tells functions apart; and all of it where a definition of an on-demand view
// has none.
func keepFunction(stored, v View) {
	var was *Transformation
	if stored != nil {
		was = transformationOf(stored)
	}
	is := transformationOf(v)
	if was != nil && is != nil && len(is.Body) == 0 && is.Text != "" && is.Text == was.Text && is.Name == was.Name {
		is.Body = was.Body
	}
	od, ok := v.(*OnDemandFeatureView)
	switch {
	case !ok || is != nil || len(od.Aggregations) > 0 || od.origin.Proto != nil:
	case was != nil:
		od.Transformation = new(*was)
	case od.Mode != "substrait":
		od.Transformation = &Transformation{Name: "go_function", Text: goFunction, Mode: od.Mode}
	}
}

func transformationOf(v View) *Transformation {
	switch v := v.(type) {
	case *FeatureView:
		return v.Transformation
	case *StreamFeatureView:
		return v.Transformation
	case *OnDemandFeatureView:
		return v.Transformation
	}
	return nil
}

// restore returns the view as it was in version pin, as the successor of stored.
func (d *draft) restore(stored View, info ViewInfo, pin int) (View, error) {
	was, err := d.viewVersion(info.Name, pin)
	if err != nil {
		return nil, err
	}
	if kind := KindOf(was); kind != info.Kind {
		return nil, feasterr.Invalid("%s %q: version %d of it was a %s", info.Kind, info.Name, pin, kind)
	}
	v, err := Clone(Object(was))
	if err != nil {
		return nil, err
	}
	keep := keptBy(v)
	keep.setState(keptBy(stored), slices.ContainsFunc(compare(stored, v), versioned))
	keep.update(keptBy(stored), d.now)
	keep.setVersion(pin)
	if keep.version != nil {
		*keep.version = info.Version
	}
	return v.(View), nil
}

// writeView stores a view, and a snapshot of it as the given version unless that is negative.
func (d *draft) writeView(v View, version int) error {
	if err := d.write(v); err != nil || version < 0 || d.served {
		return err
	}
	return d.record(v, version)
}

// recordFirst makes a view that has no history, as older versions of Feast left it, the first entry of one.
func (d *draft) recordFirst(stored View) error {
	if name := stored.Info().Name; d.lastVersion(name) < 0 {
		return d.record(stored, 0)
	}
	return nil
}

// record adds a view to its history.
func (d *draft) record(v View, n int) error {
	snapshot, err := Encode(d.project, v)
	if err != nil {
		return err
	}
	r, err := encode(d.project, &ViewVersion{
		View: snapshot.Name, Number: n, Kind: snapshot.Kind, Created: d.now, ID: newUUID(), Proto: snapshot.Proto,
	}, moveViewVersion)
	if err != nil {
		return err
	}
	d.put(r)
	return nil
}

// viewVersion returns a view as it was in a version.
func (d *draft) viewVersion(name string, n int) (View, error) {
	e := d.records[ID{Kind: KindViewVersion, Project: d.project, Name: name, Version: n}]
	if e == nil {
		return nil, &feasterr.NotFoundError{
			Kind: "version", Name: fmt.Sprintf("v%d", n), Project: d.project, In: fmt.Sprintf("feature view %q", name),
		}
	}
	value, err := e.value()
	if err != nil {
		return nil, err
	}
	version := value.(*versionValue)
	return version.view, version.err
}

func (d *draft) hasVersion(view string, n int) bool {
	_, ok := d.records[ID{Kind: KindViewVersion, Project: d.project, Name: view, Version: n}]
	return ok
}

// lastVersion returns the highest version in the history of a view, -1 when there is no history.
func (d *draft) lastVersion(view string) int {
	last := -1
	for _, n := range d.versions[view] {
		last = max(last, n)
	}
	return last
}

// nextVersion returns the number after the highest in the history of a view.
func (d *draft) nextVersion(info *ViewInfo) (int, error) {
	last := d.lastVersion(info.Name)
	if last >= math.MaxInt32 {
		return 0, feasterr.Invalid("%s %q needs a new version, and there is none after v%d, which its history has: give it a Version "+
			"that the history does not have, as \"v%d\", or delete the view and apply it again", info.Kind, info.Name, last, d.freeVersion(info.Name))
	}
	return last + 1, nil
}

// freeVersion returns the lowest number that the history of a view does not have.
func (d *draft) freeVersion(view string) int {
	n := 0
	for d.hasVersion(view, n) {
		n++
	}
	return n
}
