package auth

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
)

// fake is a type of the tests. opened counts its sources.
type fake struct {
	opened      int
	closed      bool
	invalidated string
}

func (f *fake) Token(context.Context) (string, error)                                { return "t", nil }
func (f *fake) Invalidate(token string)                                              { f.invalidated = token }
func (f *fake) Close() error                                                         { f.closed = true; return errors.New("closed") }
func (f *fake) Authenticate(context.Context, string) (u permissions.User, err error) { return u, nil }

// bare is a source that neither wants to be closed nor to know of refusals.
type bare struct{}

func (bare) Token(context.Context) (string, error) { return "b", nil }

var testEnv = Env{Getenv: os.Getenv, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}

// register makes a type known for the time of a test.
func register(t *testing.T, name string, source func(config.Section, Env) (config.TokenSource, error), a Authenticator) {
	t.Helper()
	Register(Driver{Name: name, TokenSource: source, Authenticator: func(config.Section, Env) (Authenticator, error) { return a, nil }})
	t.Cleanup(func() { table.Remove([]string{name}) })
}

func TestNone(t *testing.T) {
	for _, s := range []config.Section{{}, config.NewSection(None, nil)} {
		if a, err := NewAuthenticator(s, testEnv); a != nil || err != nil {
			t.Errorf("authenticator %v, error %v", a, err)
		}
		source := Tokens(s, testEnv)
		if source != nil {
			t.Errorf("source %v", source)
		}
		source.Invalidate("x")
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNotLinked(t *testing.T) {
	register(t, "linked", nil2, &fake{})
	for typ, want := range map[string]string{
		"oidc":       `auth "oidc" is not linked in: import _ "github.com/feastgo/feast/permissions/oidc"`,
		"kubernetes": `auth "kubernetes" is not linked in: import _ "github.com/feastgo/feast/permissions/kubernetes"`,
		"basic":      `this version has no driver for auth type "basic"; linked in: linked`,
	} {
		s := config.NewSection(typ, nil)
		_, err := NewAuthenticator(s, testEnv)
		source := Tokens(s, testEnv) // which asks for nothing yet
		_, err2 := source.Token(t.Context())
		for _, err := range []error{err, err2} {
			if !errors.Is(err, feasterr.ErrUnsupported) || err.Error() != want {
				t.Errorf("%s: error %v, want %s", typ, err, want)
			}
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}
}

func nil2(config.Section, Env) (config.TokenSource, error) { return nil, nil } //nolint:nilnil // never asked

// A source is opened by the first call of Token, once, and what it can do is reached through it.
func TestTokens(t *testing.T) {
	f := &fake{}
	register(t, "fake", func(cfg config.Section, _ Env) (config.TokenSource, error) {
		f.opened++
		if cfg.Type() != "fake" {
			t.Errorf("section of type %s", cfg.Type())
		}
		return f, nil
	}, f)
	source := Tokens(config.NewSection("fake", nil), testEnv)
	source.Invalidate("early")
	if f.opened != 0 || f.invalidated != "" {
		t.Fatal("the source was opened before a token was wanted")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if token, err := source.Token(t.Context()); token != "t" || err != nil {
				t.Errorf("token %q, error %v", token, err)
			}
		})
	}
	wg.Wait()
	source.Invalidate("t")
	err := source.Close()
	if f.opened != 1 || f.invalidated != "t" || !f.closed || err == nil || err.Error() != "closed" {
		t.Errorf("source %+v, error %v", f, err)
	}
	if a, err := NewAuthenticator(config.NewSection("fake", nil), testEnv); a != f || err != nil {
		t.Errorf("authenticator %v, error %v", a, err)
	}
}

func TestBareSource(t *testing.T) {
	register(t, "bare", func(config.Section, Env) (config.TokenSource, error) { return bare{}, nil }, &fake{})
	source := Tokens(config.NewSection("bare", nil), testEnv)
	if token, err := source.Token(t.Context()); token != "b" || err != nil {
		t.Errorf("token %q, error %v", token, err)
	}
	source.Invalidate("b")
	if err := source.Close(); err != nil {
		t.Error(err)
	}
}

func TestBrokenSource(t *testing.T) {
	broken := errors.New("broken")
	register(t, "broken", func(config.Section, Env) (config.TokenSource, error) { return nil, broken }, &fake{})
	source := Tokens(config.NewSection("broken", nil), testEnv)
	for range 2 {
		if _, err := source.Token(t.Context()); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
	}
	source.Invalidate("x")
	if err := source.Close(); err != nil {
		t.Error(err)
	}
}

func TestRegister(t *testing.T) {
	source := func(config.Section, Env) (config.TokenSource, error) { return bare{}, nil }
	verifier := func(config.Section, Env) (Authenticator, error) { return &fake{}, nil }
	register(t, "taken", source, &fake{})
	for want, d := range map[string]Driver{
		"a type taken is there already":      {Name: "taken", TokenSource: source, Authenticator: verifier},
		"Register needs a name and both":     {TokenSource: source, Authenticator: verifier},
		"auth: Register needs a name and":    {Name: "x", Authenticator: verifier},
		"auth: Register needs a name and bo": {Name: "x", TokenSource: source},
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, want) {
					t.Errorf("panic %q, want %q", text, want)
				}
			}()
			Register(d)
		}()
	}
}

// reviews is a Reviewer.
type reviews struct{}

func (reviews) Review(context.Context, string) (string, []string, error) { return "u", nil, nil }
func (reviews) Close() error                                             { return nil }

func TestReviewer(t *testing.T) {
	const want = `review of Kubernetes tokens "kubernetes" is not linked in: import _ "github.com/feastgo/feast/permissions/kubernetes"`
	if _, err := NewReviewer(testEnv); !errors.Is(err, feasterr.ErrUnsupported) || err.Error() != want {
		t.Errorf("error %v", err)
	}
	RegisterReviewer(func(Env) (Reviewer, error) { return reviews{}, nil })
	t.Cleanup(func() { reviewer = nil })
	if r, err := NewReviewer(testEnv); r != (reviews{}) || err != nil {
		t.Errorf("reviewer %v, error %v", r, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a second reviewer is taken")
		}
	}()
	RegisterReviewer(func(Env) (Reviewer, error) { return reviews{}, nil })
}
