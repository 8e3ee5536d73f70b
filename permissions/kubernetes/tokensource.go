package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

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
	file   string // with the token of the pod

	mu    sync.Mutex
	info  fs.FileInfo // of the file when it was read; nil: it was not
	token string      // what was in it
}

func newTokenSource(cfg config.Section, env auth.Env, file string) (*tokenSource, error) {
	s, err := decode(cfg)
	if err != nil {
		return nil, err
	}
	return &tokenSource{user: s.UserToken, getenv: env.Getenv, file: file}, nil
}

// Token implements [config.TokenSource].
func (s *tokenSource) Token(context.Context) (string, error) {
	if intra := s.getenv(auth.IntraVariable); intra != "" {
		return intraToken(intra)
	}
	if s.user != "" {
		return s.user, nil
	}
	token, err := s.fromFile()
	if err == nil {
		if token == "" {
			return "", fmt.Errorf("%w: auth: %s, which holds the token of the pod, is empty", feasterr.ErrUnauthenticated, s.file)
		}
		return token, nil
	}
	if token = s.getenv(localToken); token != "" {
		return token, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: auth: there is no token: the program runs in no pod that has one (%s is not there), user_token is not set, nor is %s",
			feasterr.ErrUnauthenticated, s.file, localToken)
	}
	return "", fmt.Errorf("%w: auth: the token of the pod cannot be read, and %s is not set: %w", feasterr.ErrUnauthenticated, localToken, err)
}

// fromFile returns what is in the file. The cluster replaces it before its token expires, so it is looked at for each call,
// and read when it is another one than before.
func (s *tokenSource) fromFile() (string, error) {
	info, err := os.Stat(s.file)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info != nil && os.SameFile(s.info, info) && s.info.ModTime().Equal(info.ModTime()) && s.info.Size() == info.Size() {
		return s.token, nil
	}
	if info.Size() > maxToken {
		return "", fmt.Errorf("%s has %d bytes, more than any token", s.file, info.Size())
	}
	data, err := os.ReadFile(s.file)
	if err != nil {
		return "", err
	}
	s.info, s.token = info, strings.TrimSpace(string(data))
	return s.token, nil
}
