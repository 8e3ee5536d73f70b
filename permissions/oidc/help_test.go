package oidc

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

var discard = slog.New(slog.DiscardHandler)

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// showsNoSecret looks for secrets of at least four characters in what is printed of a value.
func showsNoSecret(t testing.TB, v any, secrets ...string) {
	t.Helper()
	for _, text := range []string{fmt.Sprint(v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s", v)} {
		for _, s := range secrets {
			if len(s) >= 4 && strings.Contains(text, s) {
				t.Errorf("a secret is in %q", text)
			}
		}
	}
}
