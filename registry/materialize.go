package registry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/feastgo/feast/feasterr"
)

// StartMaterialization notes that a run over a feature view or stream feature view begins: its state becomes
// [StateMaterializing]. A view of which no state is known, since it was never materialized, keeps none. It returns the state
// to go back to, by [Writer.RestoreState], when the run fails.
//
// A view that is being materialized may have been left so by a run that was killed: it is taken over, and its earlier state
// is [StateAvailableOnline] when a window is noted of it, else [StateGenerated]. With exclusive, it is a
// feasterr.ErrConflict. One in [StateCreated] is a feasterr.ErrInvalid, as in Feast.
func (w *Writer) StartMaterialization(ctx context.Context, view string, exclusive bool) (was ViewState, err error) {
	err = w.updateView(ctx, view, func(d *draft, keep bookkeeping) (bool, error) {
		switch was = *keep.state; was {
		case StateUnspecified:
			return false, nil
		case StateMaterializing:
			if exclusive {
				return false, fmt.Errorf("%w: feature view %q is being materialized by somebody else, or was when that was killed", feasterr.ErrConflict, view)
			}
			if was = StateGenerated; len(*keep.intervals) > 0 {
				was = StateAvailableOnline
			}
			return false, nil
		case StateGenerated, StateAvailableOnline:
			*keep.state, *keep.lastUpdated = StateMaterializing, d.now
			return true, nil
		}
		return false, feasterr.Invalid("feature view %q is in state %s, from which it cannot be materialized: apply it with State %s", view, was, StateGenerated)
	})
	return was, err
}

// RestoreState gives a view back the state that it had before a run, unless it has got another meanwhile.
func (w *Writer) RestoreState(ctx context.Context, view string, was ViewState) error {
	return w.updateView(ctx, view, func(d *draft, keep bookkeeping) (bool, error) {
		if *keep.state != StateMaterializing || was == StateUnspecified {
			return false, nil
		}
		*keep.state, *keep.lastUpdated = was, d.now
		return true, nil
	})
}

// ApplyMaterialization notes that the feature or stream feature view was materialized from start to end, which makes
// it available online.
func (w *Writer) ApplyMaterialization(ctx context.Context, view string, start, end time.Time) error {
	if end.Before(start) {
		return feasterr.Invalid("view %q cannot be materialized from %s to %s: the end is before the start",
			view, start.Format(time.RFC3339Nano), end.Format(time.RFC3339Nano))
	}
	return w.updateView(ctx, view, func(d *draft, keep bookkeeping) (bool, error) {
		d.window = &Interval{start, end}
		*keep.intervals = append(slices.Clip(*keep.intervals), *d.window)
		*keep.state, *keep.lastUpdated = StateAvailableOnline, d.now
		return true, nil
	})
}

// updateView changes what the registry keeps about a view that can be materialized.
func (w *Writer) updateView(ctx context.Context, view string, change func(*draft, bookkeeping) (bool, error)) error {
	apply := func(d *draft) error {
		stored, err := d.findView(view)
		if err != nil {
			return err
		}
		o, err := Clone(Object(stored))
		if err != nil {
			return err
		}
		keep := keptBy(o)
		if keep.intervals == nil {
			return feasterr.Invalid("%s %q cannot be materialized", KindOf(o), view)
		}
		if changed, err := change(d, keep); err != nil || !changed {
			return err
		}
		return d.write(o)
	}
	server, isServer := w.Backend.(Applier)
	l, looksUp := w.Backend.(Lookuper)
	if !isServer || !looksUp {
		return w.update(ctx, apply)
	}
	d := w.draft()
	r, err := l.Lookup(ctx, ID{Kind: KindFeatureView, Project: w.Project, Name: view})
	if err != nil {
		return err
	}
	d.add(r)
	if err := apply(d); err != nil {
		return err
	}
	return d.send(ctx, server)
}
