package kubernetes

import (
	"testing"
	"time"
)

// A token that is known costs its hash.
func TestKnownTokenAllocates(t *testing.T) {
	auth, token := knownToken(t)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := auth.Authenticate(t.Context(), token); err != nil {
			t.Error(err)
		}
	})
	if allocs > 1 { // the bytes that are hashed
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkKnownToken(b *testing.B) {
	auth, token := knownToken(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := auth.Authenticate(b.Context(), token); err != nil {
				b.Error(err)
			}
		}
	})
}

// knownToken returns an authenticator that knows a token of the size that a cluster gives out.
func knownToken(t testing.TB) (*Authenticator, string) {
	t.Helper()
	a := newAPI(t)
	token := sign(t, map[string]any{
		"aud": []string{"https://kubernetes.default.svc.cluster.local"}, "exp": time.Now().Add(time.Hour).Unix(), "sub": reviewed,
		"kubernetes.io": map[string]any{"namespace": "apps", "pod": map[string]any{"name": "client-6fd7c4d6b5-2xjvq", "uid": "5c6fdb1b-0b6c-4b7c-9d0c-2f7c1c3e8d11"}},
	}, "secret")
	a.accept(map[string][]string{token: {reviewed}})
	auth := a.authenticator(Options{Namespace: "feast"})
	if _, err := auth.Authenticate(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	return auth, token
}
