package featureserver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/exceptions"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/internal/pyrepr"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// A request that fails in the feature store fails with an error in this library's words. Clients of Feast know others, so
// what Feast would have found first, in its order of checks, is looked for here, once it is known that something is wrong.
// What Feast does not find wrong keeps its own error.

// pythonError is the text of an exception that is none of Feast's own: status 500.
type pythonError string

func (e pythonError) Error() string { return string(e) }

// keyError is the text of a KeyError, which is its message as Python would write it.
func keyError(msg string) error { return pythonError(pyrepr.Text(msg)) }

// feastError is an exception of Feast.
type feastError exceptions.Exception

func (e feastError) Error() string { return e.Message }

// exceptionReply makes an answer of an error that Feast has an exception for; nil for others.
func exceptionReply(err error) *reply {
	if text, ok := errors.AsType[pythonError](err); ok {
		return &reply{status: http.StatusInternalServerError, content: contentJSON, body: appendString(nil, string(text))}
	}
	e, ok := exceptions.Of(err)
	if e.Class == exceptions.NotFound { // of no object: a file, say
		ok = false
	}
	if own, is := errors.AsType[feastError](err); is {
		e, ok = exceptions.Exception(own), true
	}
	if !ok {
		return nil
	}
	return &reply{status: statusOf(e.Class), content: contentJSON, body: doubleEncoded(e)}
}

// Classes that whyRead names.
const (
	collision   = "FeatureNameCollisionError"
	requestData = "RequestDataNotFoundInEntityRowsException"
	versioned   = "VersionedOnlineReadNotSupported"
)

// statusOf is the status that Feast gives a class of exceptions.
func statusOf(class string) int {
	switch {
	case class == exceptions.Permission:
		return http.StatusForbidden
	case class == exceptions.PushSource:
		return http.StatusUnprocessableEntity
	case class == collision, class == versioned:
		return http.StatusInternalServerError
	}
	return http.StatusNotFound
}

func notRecognized(name string) error {
	return feastError{exceptions.NotFound, "Can't recognize feast object with a name " + name}
}

// whyRead returns the error that Feast has for a read that failed. rows says whether columns are the entity rows, or there
// are none to look at.
func (s *Server) whyRead(ctx context.Context, q *query, columns []field, rows bool, err error) error {
	if computed, ok := errors.AsType[*feasterr.TransformError](err); ok {
		return s.failed(ctx, computed)
	}
	if !errors.Is(err, feasterr.ErrInvalid) && !errors.Is(err, feasterr.ErrNotFound) && !errors.Is(err, feasterr.ErrUnsupported) && !errors.Is(err, feasterr.ErrUnavailable) {
		return err
	}
	snap, serr := s.Store.Snapshot(ctx)
	if serr != nil {
		return err
	}
	if len(q.features) == 0 && q.service == "" {
		return pythonError("No features specified for retrieval")
	}
	w := why{s: s, snap: snap, q: q}
	if found := w.names(); found != nil {
		return found
	}
	if !rows {
		return err
	}
	if found := w.rows(columns, err); found != nil {
		return found
	}
	return err
}

// failed is the error of a function of an on-demand view that failed, which is the text that the function gave. The log has the
// view, too.
func (s *Server) failed(ctx context.Context, err *feasterr.TransformError) error {
	s.Logger.ErrorContext(ctx, "the function of an on-demand feature view failed", "error", err)
	return pythonError(err.Err.Error())
}

// use is a view as a query uses it.
type use struct {
	view   registry.View
	name   string // in the answer
	keyMap map[string]string
}

// why looks for what Feast finds wrong with a query.
type why struct {
	s    *Server
	snap *registry.Snapshot
	q    *query
	uses []use
}

type want struct {
	use     int
	feature string
}

// names checks everything that does not depend on the entity rows.
func (w *why) names() error {
	wants, err := w.resolve()
	if err != nil {
		return err
	}
	for i := range w.uses {
		if err := w.servable(w.uses[i].view.Info()); err != nil {
			return err
		}
	}
	if err := w.collisions(wants); err != nil {
		return err
	}
	for _, x := range wants {
		u := &w.uses[x.use]
		if !slices.ContainsFunc(u.view.Info().Features, func(f registry.Field) bool { return f.Name == x.feature }) {
			return keyError("Feature " + x.feature + " not found in projection " + u.name)
		}
	}
	return nil
}

// resolve looks the views up.
func (w *why) resolve() (wants []want, err error) {
	if w.q.service != "" {
		svc, err := w.snap.FeatureService(w.q.service)
		if err != nil {
			return nil, err
		}
		for i := range svc.Features {
			p := &svc.Features[i]
			v, err := w.snap.View(p.Name)
			if err == nil && p.Version != nil {
				v, err = w.snap.ViewVersion(p.Name, *p.Version)
			}
			if err != nil {
				return nil, err
			}
			w.uses = append(w.uses, use{v, p.NameInUse(), p.JoinKeyMap})
			for _, f := range p.Features {
				wants = append(wants, want{len(w.uses) - 1, f.Name})
			}
		}
		return wants, nil
	}
	refs := make([]plan.Reference, len(w.q.features))
	for i, ref := range w.q.features {
		if refs[i], err = plan.ParseReference(ref); err != nil {
			return nil, pythonError("Invalid feature reference '" + ref + "'. Expected format: '<feature_view>:<feature>' or '<feature_view>@<version>:<feature>'")
		}
	}
	at := map[string]int{}
	for _, r := range refs {
		name := r.View
		if r.Version >= 0 {
			name += "@v" + strconv.Itoa(r.Version)
		}
		i, ok := at[name]
		if !ok {
			v, err := w.view(r)
			if err != nil {
				return nil, err
			}
			i = len(w.uses)
			at[name] = i
			w.uses = append(w.uses, use{view: v, name: name})
		}
		wants = append(wants, want{i, r.Feature})
	}
	return wants, nil
}

func (w *why) view(r plan.Reference) (registry.View, error) {
	if r.Version < 0 {
		return w.snap.View(r.View)
	}
	if !w.s.Store.Config().Registry.OnlineVersioning {
		return nil, pythonError(fmt.Sprintf("Version-qualified ref '%s@v%d' not supported: online versioning is disabled. Set "+
			"'enable_online_feature_view_versioning: true' under 'registry' in feature_store.yaml.", r.View, r.Version))
	}
	v, err := w.snap.ViewVersion(r.View, r.Version)
	if missing, ok := errors.AsType[*feasterr.NotFoundError](err); ok && missing.Kind == "version" {
		return nil, feastError{"FeatureViewVersionNotFound",
			fmt.Sprintf("Version v%d of feature view %s does not exist in project %s", r.Version, r.View, w.snap.ProjectName())}
	}
	return v, err
}

func (w *why) servable(info registry.ViewInfo) error {
	switch {
	case info.Disabled:
		return pythonError("Feature view '" + info.Name + "' is disabled and cannot serve features. Enable it with `feast feature-views enable " +
			info.Name + "` or set enabled=True.")
	case info.State == registry.StateUnspecified, info.State == registry.StateAvailableOnline,
		info.State == registry.StateMaterializing && w.s.Store.Config().Registry.ServeWhileMaterializing:
		return nil
	}
	return pythonError("Feature view '" + info.Name + "' is in state '" + info.State.String() +
		"' and cannot serve features. Only AVAILABLE_ONLINE feature views can serve.")
}

func (w *why) collisions(wants []want) error {
	seen := map[string]bool{}
	var twice []string
	for _, x := range wants {
		name := x.feature
		if w.q.fullNames {
			name = w.uses[x.use].name + "__" + name
		}
		if seen[name] && !slices.Contains(twice, name) {
			twice = append(twice, name)
		}
		seen[name] = true
	}
	if len(twice) == 0 {
		return nil
	}
	msg := "Duplicate features named " + strings.Join(twice, ", ") + " found.\nTo resolve this collision, "
	if w.q.fullNames {
		msg += "please ensure that the feature views or their own features have different names. If you're intentionally joining the same " +
			"feature view twice on different sets of entities, please rename one of the feature views with '.with_name'."
	} else {
		msg += "either use the full feature name by setting 'full_feature_names=True', or ensure that the features in question have different names."
	}
	return feastError{collision, msg}
}

// rows checks the entity rows.
func (w *why) rows(columns []field, err error) error {
	if wrong, ok := errors.AsType[*feasterr.RequestError](err); ok && wrong.Row >= 0 {
		if v := cell(columns, wrong.Column, wrong.Row); v != nil && w.isKey(wrong.Column) {
			return notAKey(v, err)
		}
	}
	if len(columns) == 0 {
		return keyError("pop from an empty set")
	}
	for i := range columns {
		if columns[i].value.len() != columns[0].value.len() {
			return pythonError("All entity rows must have the same columns.")
		}
	}
	if err := w.requestData(columns); err != nil {
		return err
	}
	return w.keys(columns)
}

// isKey reports whether a column is an entity's, also under the name that a service gives it.
func (w *why) isKey(column string) bool {
	for e := range w.snap.Entities() {
		if e.Key() == column || e.Name == column {
			return true
		}
	}
	for i := range w.uses {
		for _, to := range w.uses[i].keyMap {
			if to == column {
				return true
			}
		}
	}
	return false
}

// cell returns a value of a column; nil when there is none.
func cell(columns []field, name string, row int) text {
	for i := range columns {
		if columns[i].name != name || columns[i].value.kind() != array {
			continue
		}
		e, end, ok := columns[i].value.first()
		for ; ok && row > 0; row-- {
			e, end, ok = columns[i].value.next(end)
		}
		if ok {
			return e
		}
	}
	return nil
}

// maxDigits is how long the text of a number may be for Python to read it.
const maxDigits = 4300

// notAKey is why a value is no entity key.
func notAKey(v text, err error) error {
	switch v.kind() {
	case null, array, object:
		return pythonError("attribute name must be string, not 'NoneType'")
	case str:
		if n, ok := new(big.Int).SetString(strings.TrimSpace(v.str()), 10); ok && len(v) < maxDigits {
			return pythonError("Value out of range: " + n.String())
		}
		return pythonError("invalid literal for int() with base 10: " + pyrepr.Text(v.str()))
	case number:
		switch {
		case v.isNaN():
			return pythonError("attribute name must be string, not 'NoneType'")
		case v[len(v)-1] == 'y':
			return pythonError("cannot convert float infinity to integer")
		case !v.isInteger():
			f, _ := strconv.ParseFloat(string(v), 64)
			if math.IsInf(f, 0) {
				return pythonError("cannot convert float infinity to integer")
			}
			whole, _ := big.NewFloat(f).Int(nil)
			return pythonError("Value out of range: " + whole.String())
		}
		return pythonError("Value out of range: " + string(v))
	}
	return err
}

// requestData reports columns that on-demand views need.
func (w *why) requestData(columns []field) error {
	var missing []string
	for i := range w.uses {
		od, ok := w.uses[i].view.(*registry.OnDemandFeatureView)
		if !ok || od.WriteToOnlineStore {
			continue
		}
		for _, src := range od.RequestSources {
			options, _ := src.Options.(registry.RequestOptions)
			for _, f := range options.Schema {
				if !hasColumn(columns, f.Name) && !slices.Contains(missing, f.Name) {
					missing = append(missing, f.Name)
				}
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return feastError{requestData, "Required request data source features " + reprList(missing) +
		" not found in the entity rows, but required by feature views"}
}

func hasColumn(columns []field, name string) bool {
	return slices.ContainsFunc(columns, func(f field) bool { return f.name == name })
}

// keys reports the first view whose join keys are not among the columns, or have no rows. The lists of the message are about
// all keys of the project, as Feast's are.
func (w *why) keys(columns []field) error {
	var all []string
	add := func(name string) {
		if name != registry.DummyJoinKey && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	byEntity := map[string]string{}
	for e := range w.snap.Entities() {
		byEntity[e.Name] = e.Key()
		add(e.Key())
	}
	for i := range w.uses {
		for _, to := range w.uses[i].keyMap {
			add(to)
		}
	}
	var provided []string // in the request's order, as Feast takes them
	for k := range columns {
		name := columns[k].name
		if key := byEntity[name]; key != "" && !slices.Contains(all, name) {
			name = key
		}
		if slices.Contains(all, name) && !slices.Contains(provided, name) {
			provided = append(provided, name)
		}
	}
	uses := w.read()
	for i := range uses {
		u := &uses[i]
		entities := u.view.Info().Entities
		if len(entities) == 0 {
			continue
		}
		var used, empty []string
		for _, entity := range entities {
			key := byEntity[entity]
			for k := range columns {
				name := columns[k].name
				if name != key && (u.keyMap[key] == "" || name != u.keyMap[key]) && name != entity {
					continue
				}
				if name == entity && name != key {
					name = key // as which Feast takes it
				}
				used = append(used, name)
				if columns[k].value.len() == 0 {
					empty = append(empty, name)
				}
			}
		}
		if len(used) > len(empty) {
			continue
		}
		var missing []string
		for _, name := range all {
			if !slices.Contains(used, name) {
				missing = append(missing, name)
			}
		}
		none := append(slices.Clone(missing), empty...)
		slices.Sort(missing)
		slices.Sort(none)
		return keyError("Missing join key values for keys: " + reprList(missing) + ". No values provided for keys: " + reprList(none) +
			". Provided join_key_values: " + reprList(provided))
	}
	return nil
}

// read returns the views that are read from the store: for on-demand views those that they read.
func (w *why) read() (uses []use) {
	for _, u := range w.uses {
		od, ok := u.view.(*registry.OnDemandFeatureView)
		if !ok || od.WriteToOnlineStore {
			uses = append(uses, u)
			continue
		}
		for i := range od.Sources {
			p := &od.Sources[i]
			if v, err := w.snap.View(p.Name); err == nil {
				uses = append(uses, use{v, p.NameInUse(), p.JoinKeyMap})
			}
		}
	}
	return uses
}

// whyWrite returns the error that Feast has for a write to views that failed.
func (s *Server) whyWrite(ctx context.Context, views []registry.View, columns []field, to feast.PushMode, err error) error {
	if computed, ok := errors.AsType[*feasterr.TransformError](err); ok {
		return s.failed(ctx, computed)
	}
	if !errors.Is(err, feasterr.ErrInvalid) {
		return err
	}
	snap, serr := s.Store.Snapshot(ctx)
	if serr != nil {
		return err
	}
	if wrong, ok := errors.AsType[*feasterr.RequestError](err); ok && wrong.Row >= 0 {
		if v := cell(columns, wrong.Column, wrong.Row); v != nil && v.kind() == str && isKey(snap, wrong.Column) {
			return notAKey(v, err)
		}
	}
	for _, v := range views {
		if to != feast.ToOffline {
			if found := whyWriteTo(snap, v, columns); found != nil {
				return found
			}
		}
		if to != feast.ToOnline {
			if found := s.whyAppend(ctx, snap, v, columns); found != nil {
				return found
			}
		}
	}
	return err
}

// isKey reports whether a column is the join key of an entity.
func isKey(snap *registry.Snapshot, column string) bool {
	for e := range snap.Entities() {
		if e.Key() == column {
			return true
		}
	}
	return false
}

// whyWriteTo reports columns that are missing, in Feast's order: features, times, keys; and times that are none.
func whyWriteTo(snap *registry.Snapshot, v registry.View, columns []field) error {
	info := v.Info()
	if _, onDemand := v.(*registry.OnDemandFeatureView); onDemand {
		return nil // what its function reads and computes is the library's to say
	}
	mapped := map[string]string{}
	event, created := plan.DefaultEventColumn, ""
	if src := info.Source; src != nil {
		for from, to := range src.FieldMapping {
			mapped[to] = from
		}
		if src.TimestampField != "" {
			event = src.TimestampField
		}
		created = src.CreatedTimestampColumn
	}
	has := func(name string) bool { return hasColumn(columns, name) || hasColumn(columns, mapped[name]) }
	var missing []string
	for _, f := range info.Features {
		if !has(f.Name) {
			missing = append(missing, f.Name)
		}
	}
	if len(missing) > 0 {
		return keyError(reprList(missing) + " not in index")
	}
	for _, name := range info.Entities {
		if e, err := snap.Entity(name); err == nil && !has(e.Key()) {
			return pythonError("Column " + e.Key() + " not found in table")
		}
	}
	for _, name := range []string{event, created} {
		if name != "" && !has(name) {
			return keyError(`Field "` + name + `" does not exist in schema`)
		}
	}
	for _, name := range []string{event, created} {
		for i := range columns {
			if columns[i].name != name || columns[i].value.kind() != array {
				continue
			}
			e, end, ok := columns[i].value.first()
			for row := 0; ok; row++ {
				if e.kind() == str {
					if _, ok := types.ParseISOTime(e.str()); !ok {
						return pythonError(fmt.Sprintf("Unknown datetime string format, unable to parse: %s, at position %d", e.str(), row))
					}
				}
				e, end, ok = columns[i].value.next(end)
			}
		}
	}
	return nil
}

// whyAppend reports columns that are not those of the batch source.
func (s *Server) whyAppend(ctx context.Context, snap *registry.Snapshot, v registry.View, columns []field) error {
	p, err := plan.ResolveAppend(snap, v)
	if err != nil {
		return nil //nolint:nilerr // the error at hand says more
	}
	store, err := s.Store.OfflineStore(ctx)
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	schema, err := store.Describe(ctx, p.Source)
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	var want []string
	for _, f := range schema.Fields() {
		want = append(want, f.Name)
	}
	var missing, extra []string
	for _, name := range want {
		if !hasColumn(columns, name) {
			missing = append(missing, name)
		}
	}
	for i := range columns {
		if !slices.Contains(want, columns[i].name) {
			extra = append(extra, columns[i].name)
		}
	}
	if len(missing)+len(extra) == 0 {
		return nil
	}
	slices.Sort(missing)
	slices.Sort(extra)
	return pythonError("The input dataframe columns do not match the batch source columns. missing_expected_columns: " + reprList(missing) +
		", extra_unexpected_columns: " + reprList(extra) + ".")
}

// reprList is a list of texts as Python writes it.
func reprList(list []string) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = pyrepr.Text(s)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
