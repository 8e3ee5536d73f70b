package registry

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/feastgo/feast/feasterr"
)

// Commit is a change of a project that is about to be committed, or would be: what [Writer].BeforeCommit sees. It is
// used by one goroutine, and not after BeforeCommit returned; its snapshots may be.
type Commit struct {
	Diff   *Diff
	DryRun bool // nothing will be committed

	draft *draft
	first []func(context.Context) error
}

// First has do run before the change is committed, while no transaction is open and nobody has to wait. Afterwards
// BeforeCommit is called again, with the change as it would be then: if that is the same, it is committed; otherwise what is
// given to First then is done, too. An error of do is that of Apply, and nothing is committed. Of a dry run nothing is done.
func (c *Commit) First(do func(ctx context.Context) error) { c.first = append(c.first, do) }

// Before returns the project as it is stored.
func (c *Commit) Before() *Snapshot { return c.draft.snapshot(c.draft.stored) }

// After returns the project as it will be.
func (c *Commit) After() *Snapshot { return c.draft.snapshot(c.draft.records) }

// UpdateInfra changes the registry's list of infrastructure: objects of keep are in it afterwards, those of drop are not;
// an object is known by its class and name. What changes goes to Diff.Infra. All else in the list, perhaps of other
// projects, stays as it is, objects of keep that are listed with other attributes too: Feast answers a path that is not
// its own by dropping the table.
func (c *Commit) UpdateInfra(keep, drop []InfraObject) error {
	d := c.draft
	id := ID{Kind: KindInfra, Name: InfraName} // of all projects
	if d.records[id] == nil {
		id.Project = d.project
	}
	var list Infra
	if e := d.records[id]; e != nil {
		v, err := e.value()
		if err != nil {
			return err
		}
		list = *v.(*Infra)
		list.Objects = slices.Clone(list.Objects)
	}

	var changes []InfraChange
	for _, o := range unlistedInfra(list.Objects, keep) {
		list.Objects = append(list.Objects, o)
		changes = append(changes, InfraChange{ActionCreate, o})
	}
	kept, dropped := map[string]bool{}, map[string]bool{}
	for i := range keep {
		kept[infraKey(&keep[i])] = true
	}
	for _, o := range drop {
		key := infraKey(&o)
		dropped[key] = !kept[key]
	}
	list.Objects = slices.DeleteFunc(list.Objects, func(o InfraObject) bool {
		gone := dropped[infraKey(&o)]
		if gone {
			changes = append(changes, InfraChange{ActionDelete, o})
		}
		return gone
	})
	if len(changes) == 0 {
		return nil
	}
	slices.SortFunc(changes, func(a, b InfraChange) int { return cmp.Compare(infraKey(&a.Object), infraKey(&b.Object)) })
	d.diff.Infra = changes
	b, err := marshal(&list, moveInfra)
	if err != nil {
		return feasterr.Invalid("%s cannot be written: %w", id, err)
	}
	d.put(Record{ID: id, Proto: b})
	return nil
}

// unlistedInfra returns what of more is not in a list, each once.
func unlistedInfra(list, more []InfraObject) (unlisted []InfraObject) {
	listed := map[string]bool{}
	for i := range list {
		listed[infraKey(&list[i])] = true
	}
	for _, o := range more {
		if key := infraKey(&o); !listed[key] {
			listed[key] = true
			unlisted = append(unlisted, o)
		}
	}
	return unlisted
}

// snapshot returns a snapshot of entries, whose objects it shares.
func (d *draft) snapshot(entries map[ID]*entry) *Snapshot {
	s := &Snapshot{project: d.project, versions: map[string][]*entry{}, enforcers: new(sync.Map)}
	for kind := range s.kinds {
		s.kinds[kind].byName = map[string]*entry{}
	}
	for _, id := range slices.SortedFunc(maps.Keys(entries), compareIDs) {
		s.insert(entries[id])
	}
	return s
}
