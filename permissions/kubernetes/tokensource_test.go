package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/permissions/auth"
)

func write(t testing.TB, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A token that the cluster replaces is seen by the next call: it exchanges the folder that the file is in, by a link.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	rotate := func(token string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, token), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, token, "token"), token)
		link := filepath.Join(dir, "..data_tmp")
		if err := errors.Join(os.Symlink(token, link), os.Rename(link, filepath.Join(dir, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	rotate("first")
	if err := os.Symlink(filepath.Join("..data", "token"), filepath.Join(dir, "token")); err != nil {
		t.Fatal(err)
	}
	s, err := newTokenSource(config.NewSection("kubernetes", nil), auth.Env{Getenv: func(string) string { return "" }}, filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "again", "third"} {
		if want != "first" {
			rotate(want)
		}
		for range 2 {
			if token, err := s.Token(t.Context()); err != nil || token != want {
				t.Errorf("%q, %v", token, err)
			}
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { _, _ = s.Token(context.Background()) }); allocs > 5 { // those of os.Stat
		t.Errorf("%v allocations: the file is read again", allocs)
	}
}

// Nothing that is printed, logged or put in JSON has a secret in it.
func TestNothingShowsSecrets(t *testing.T) {
	a := newAPI(t)
	o := Options{Namespace: "feast", Intra: "topsecret"}
	env := auth.Env{Getenv: func(string) string { return "" }}
	section := config.NewSection("kubernetes", map[string]any{"user_token": "topsecret"})
	own, err := newTokenSource(section, env, "absent")
	if err != nil {
		t.Fatal(err)
	}
	source := auth.Tokens(section, env)
	if token, err := source.Token(t.Context()); err != nil || token != "topsecret" {
		t.Fatalf("token %q, error %v", token, err)
	}
	for _, x := range []any{
		o, &o, struct{ O any }{o}, a.authenticator(o), own, source, section,
		&guard.Guard{Intra: "topsecret", Logger: slog.New(slog.DiscardHandler)},
	} {
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", x)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", x)
		data, err := json.Marshal(x)
		if err != nil {
			t.Errorf("%T: %v", x, err)
		}
		for _, text := range []string{fmt.Sprint(x), fmt.Sprintf("%+v", x), fmt.Sprintf("%#v", x), fmt.Sprintf("%s", x), log.String(), string(data)} {
			if strings.Contains(text, "topsecret") {
				t.Errorf("%T shows %q", x, text)
			}
		}
	}
}

func TestNoToken(t *testing.T) {
	dir := t.TempDir()
	empty, large := filepath.Join(dir, "empty"), filepath.Join(dir, "large")
	write(t, empty, " \n")
	write(t, large, strings.Repeat("a", auth.MaxToken+1))
	for file, says := range map[string]string{
		empty:                         "is empty",
		large:                         "more than any token",
		dir:                           "cannot be read",
		filepath.Join(dir, "missing"): "user_token is not set, nor is LOCAL_K8S_TOKEN",
	} {
		local := ""
		s, err := newTokenSource(config.NewSection("kubernetes", nil), auth.Env{Getenv: func(name string) string {
			return map[string]string{localToken: local}[name]
		}}, file)
		if err != nil {
			t.Fatal(err)
		}
		if token, err := s.Token(t.Context()); !errors.Is(err, feasterr.ErrUnauthenticated) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %q, %v", file, token, err)
		}
		local = "local" // of no use where the pod has a file, as in Feast
		if token, err := s.Token(t.Context()); (token == "local") != (file != empty) || (err == nil) != (file != empty) {
			t.Errorf("%s: %q, %v", file, token, err)
		}
	}
}
