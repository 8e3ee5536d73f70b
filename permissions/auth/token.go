package auth

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// ServiceAccount is the folder in which a pod finds the token, and the namespace, of its service account: files of these
// names.
const ServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"

// MaxToken is the size, in bytes, of the largest token that is read or looked at. HTTP servers commonly take headers of 8 to
// 64 KB.
const MaxToken = 64 << 10

// IntraToken is the unsigned token by which Feast's servers know each other. The type says which claim has the name, the
// value of [IntraVariable], and what stands in front of it.
func IntraToken(claim, name string) string {
	payload, err := json.Marshal(map[string]string{claim: name})
	if err != nil {
		panic(err) //nolint:forbidigo // texts cannot fail
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(payload) + "."
}

// TokenFile is a file that holds a token, and that somebody else replaces before it expires, as Kubernetes does with the
// token of a service account. It is safe for concurrent use.
type TokenFile struct {
	path string

	mu    sync.Mutex
	seen  fs.FileInfo // of the file that was read; nil: none was
	token string      // what was in it
}

// NewTokenFile makes what reads a file, when it is asked to.
func NewTokenFile(path string) *TokenFile { return &TokenFile{path: path} }

// Read returns the token without the space around it, "" when there is nothing else. The file is looked at each time, and
// read when it is another one than before. A file that is not there is an fs.ErrNotExist.
func (f *TokenFile) Read() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err == nil && f.seen != nil && os.SameFile(f.seen, info) && f.seen.ModTime().Equal(info.ModTime()) && f.seen.Size() == info.Size() {
		return f.token, nil
	}
	f.seen, f.token = nil, ""
	if err != nil {
		return "", err
	}
	err = f.read()
	return f.token, err
}

// read reads the file, of which it keeps the information from before that, so that what is written meanwhile shows the next
// time.
func (f *TokenFile) read() error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // nothing was written
	info, err := file.Stat()
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(file, MaxToken+1))
	if err != nil {
		return err
	}
	if len(b) > MaxToken {
		return fmt.Errorf("%s has more than %d bytes, more than any token", f.path, MaxToken)
	}
	f.seen, f.token = info, strings.TrimSpace(string(b))
	return nil
}

// Forget has the file read the next time, also when it looks as before.
func (f *TokenFile) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = nil
}

// Format implements [fmt.Formatter]: a token is not shown.
func (f *TokenFile) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "auth.TokenFile "+f.path) }
