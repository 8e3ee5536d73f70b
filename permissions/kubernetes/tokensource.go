package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions/auth"
)

// localToken is the variable with the token of programs that run in no cluster.
const localToken = "LOCAL_K8S_TOKEN"

// tokenSource gives the token of calls: that of servers among themselves, that of the section, that of the pod, or that of
// the environment. It is safe for concurrent use.
type tokenSource struct {
	user   string
	getenv func(string) string
	path   string // of the file with the token of the pod
	file   *auth.TokenFile
}

func newTokenSource(cfg config.Section, env auth.Env, file string) (*tokenSource, error) {
	s, err := decode(cfg)
	if err != nil {
		return nil, err
	}
	return &tokenSource{user: s.UserToken, getenv: env.Getenv, path: file, file: auth.NewTokenFile(file)}, nil
}

// Token implements [config.TokenSource].
func (s *tokenSource) Token(context.Context) (string, error) {
	if intra := s.getenv(auth.IntraVariable); intra != "" {
		return auth.IntraToken("sub", ":::"+intra), nil // a service account without a namespace
	}
	if s.user != "" {
		return s.user, nil
	}
	token, err := s.file.Read()
	if err == nil {
		if token == "" {
			return "", fmt.Errorf("%w: auth: %s, which holds the token of the pod, is empty", feasterr.ErrUnauthenticated, s.path)
		}
		return token, nil
	}
	if token = s.getenv(localToken); token != "" {
		return token, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: auth: there is no token: the program runs in no pod that has one (%s is not there), user_token is not set, nor is %s",
			feasterr.ErrUnauthenticated, s.path, localToken)
	}
	return "", fmt.Errorf("%w: auth: the token of the pod cannot be read, and %s is not set: %w", feasterr.ErrUnauthenticated, localToken, err)
}

// Format implements [fmt.Formatter]: a source has a secret, which is not shown.
func (s *tokenSource) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "kubernetes.tokenSource") }

// LogValue implements [slog.LogValuer], as Format.
func (s *tokenSource) LogValue() slog.Value { return slog.StringValue("kubernetes.tokenSource") }

// Invalidate has the file read again, though it may look as before.
func (s *tokenSource) Invalidate(string) { s.file.Forget() }
