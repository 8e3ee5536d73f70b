package exceptions

import (
	"errors"
	"fmt"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
)

func TestOf(t *testing.T) {
	denied := permissions.NewEnforcer(nil).Check(permissions.User{}, permissions.Resource{Kind: permissions.Entity, Name: "driver"}, permissions.Describe)
	for _, c := range []struct {
		err   error
		class string
	}{
		{&feasterr.NotFoundError{Kind: "entity", Name: "driver"}, "EntityNotFoundException"},
		{fmt.Errorf("read: %w", &feasterr.NotFoundError{Kind: "label view", Name: "driver"}), "FeatureViewNotFoundException"},
		{&feasterr.NotFoundError{Kind: "column", Name: "driver"}, "FeastObjectNotFoundException"},
		{denied, "FeastPermissionError"},
		{fmt.Errorf("%w: closed", feasterr.ErrDenied), "FeastPermissionError"},
	} {
		if e, ok := Of(c.err); !ok || e.Class != c.class || e.Message == "" {
			t.Errorf("%v: %+v, %t", c.err, e, ok)
		}
	}
	if e, ok := Of(errors.New("disk full")); ok {
		t.Errorf("%+v", e)
	}
}

// The messages are Feast's own.
func TestMessages(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Exception
	}{
		{&feasterr.NotFoundError{Kind: "entity", Name: "a", Project: "p", Near: []string{"b"}}, Exception{"EntityNotFoundException", "Entity a does not exist in project p"}},
		{&feasterr.NotFoundError{Kind: "stream feature view", Name: "a", Project: "p"}, Exception{"FeatureViewNotFoundException", "Feature view a does not exist in project p"}},
		{&feasterr.NotFoundError{Kind: "data source", Name: "a"}, Exception{"DataSourceObjectNotFoundException", "Data source a does not exist"}},
		{&feasterr.NotFoundError{Kind: "project", Name: "a"}, Exception{"ProjectObjectNotFoundException", "Project a does not exist"}},
		{&feasterr.NotFoundError{Kind: "push source", Name: "a"}, Exception{"PushSourceNotFoundException", "Unable to find push source 'a'."}},
		{fmt.Errorf("apply: %w", &Error{Exception{Conflict, "text"}, feasterr.ErrInvalid}), Exception{Conflict, "text"}},
	} {
		if e, ok := Of(c.err); !ok || e != c.want {
			t.Errorf("%v: %+v, want %+v", c.err, e, c.want)
		}
	}
	if err := (&Error{Exception{Conflict, "text"}, feasterr.ErrInvalid}); !errors.Is(err, feasterr.ErrInvalid) || err.Error() != "text" {
		t.Error(err)
	}
}

// The texts are those of Python's json.dumps.
func TestJSON(t *testing.T) {
	e := Exception{"EntityNotFoundException", "a \"b\" \\ /\b\f\n\r\t\x00\x1f\x7f é € \U0001F600 \xff"}
	const want = `{"module": "feast.errors", "class": "EntityNotFoundException", ` +
		`"message": "a \"b\" \\ /\b\f\n\r\t\u0000\u001f\u007f \u00e9 \u20ac \ud83d\ude00 \ufffd"}`
	if got := e.JSON(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestSeveralMissing: all columns that are missing are told, although Feast knows one exception at a time.
func TestSeveralMissing(t *testing.T) {
	err := errors.Join(&feasterr.NotFoundError{Kind: "column", Name: "a", In: "f"}, &feasterr.NotFoundError{Kind: "column", Name: "b", In: "f"})
	want := Exception{NotFound, "column \"a\" does not exist in f\ncolumn \"b\" does not exist in f"}
	if e, ok := Of(err); !ok || e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
}
