package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestIntraToken(t *testing.T) {
	for name, payload := range map[string]string{
		"c2VjcmV0": `{"preferred_username":"c2VjcmV0"}`,
		`a"b\é`:    `{"preferred_username":"a\"b\\é"}`,
	} {
		parts := strings.Split(IntraToken("preferred_username", name), ".")
		if len(parts) != 3 || parts[2] != "" {
			t.Fatalf("parts %q", parts)
		}
		for i, want := range []string{`{"alg":"none","typ":"JWT"}`, payload} {
			if got, err := base64.RawURLEncoding.DecodeString(parts[i]); err != nil || string(got) != want {
				t.Errorf("%s, error %v, want %s", got, err, want)
			}
		}
	}
}

func write(t testing.TB, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	f := NewTokenFile(path)
	wants := func(want string) {
		t.Helper()
		if got, err := f.Read(); err != nil || got != want {
			t.Errorf("token %q, error %v, want %q", got, err, want)
		}
	}
	if token, err := f.Read(); token != "" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("token %q, error %v", token, err)
	}
	write(t, path, " first\n")
	wants("first")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, " other\n") // in place, as large, and as old
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	wants("first")
	f.Forget()
	wants("other")
	write(t, path, "")
	wants("")
	write(t, path, strings.Repeat("x", MaxToken+1))
	if token, err := f.Read(); token != "" || err == nil || !strings.Contains(err.Error(), "more than any token") {
		t.Errorf("token %q, error %v", token, err)
	}
	write(t, path, "topsecret")
	wants("topsecret")
	for _, text := range []string{fmt.Sprint(f), fmt.Sprintf("%+v", f), fmt.Sprintf("%#v", f)} {
		if text != "auth.TokenFile "+path {
			t.Errorf("it shows %q", text)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if token, err := f.Read(); token != "" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("token %q, error %v", token, err)
	}
	if _, err := NewTokenFile(t.TempDir()).Read(); err == nil {
		t.Error("a folder is a token")
	}
}

// Whoever reads while the file is replaced gets a whole token, and never an older one than was there.
func TestTokenFileIsReplaced(t *testing.T) {
	const last = 200
	path := filepath.Join(t.TempDir(), "token")
	replace := func(n int) {
		write(t, path+".new", fmt.Sprintf("%03d", n))
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	replace(0)
	f := NewTokenFile(path)
	var there atomic.Int64
	var readers sync.WaitGroup
	for range 1000 {
		readers.Go(func() {
			for {
				least := there.Load()
				token, err := f.Read()
				var n int64
				if _, scan := fmt.Sscanf(token, "%03d", &n); err != nil || scan != nil || n < least {
					t.Errorf("token %q, error %v, want %d at least", token, err, least)
					return
				}
				if n == last {
					return
				}
			}
		})
	}
	for n := 1; n <= last; n++ {
		replace(n)
		there.Store(int64(n))
	}
	readers.Wait()
}
