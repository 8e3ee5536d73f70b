package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/permissions/auth"
)

// account is a token of a service account, as tests need it.
func account(t testing.TB, namespace, name string, expires time.Time) string {
	return sign(t, map[string]any{"sub": "system:serviceaccount:" + namespace + ":" + name, "exp": expires.Unix()}, "secret")
}

func roleBinding(namespace, name, role, subject string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(
		`{"metadata":{"name":%q,"namespace":%q},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":%q},"subjects":[%s]}`,
		name, namespace, role, subject))
}

const (
	appsClient = `{"kind":"ServiceAccount","namespace":"apps","name":"client"}`
	reviewed   = "system:serviceaccount:apps:client"
)

// What is known is not asked again for half a minute, nor beyond the life of the token, and lists serve all tokens.
func TestKept(t *testing.T) {
	c := newClock()
	a := newAPI(t)
	long, short := account(t, "apps", "client", c.Now().Add(time.Hour)), account(t, "apps", "client", c.Now().Add(10*time.Second))
	a.accept(map[string][]string{long: {reviewed}, short: {reviewed}})
	a.roles = []json.RawMessage{roleBinding("feast", "b", "reader", appsClient)}
	auth := a.authenticator(Options{})
	auth.setClock(c.Now)
	want := permissions.User{Name: "apps:client", Roles: []string{"reader"}, Namespaces: []string{"apps"}}
	lists := []string{"GET " + rbacPath + "namespaces/apps/rolebindings", "GET " + rbacPath + "clusterrolebindings", "GET " + rbacPath + "namespaces/feast/rolebindings"}
	for i, step := range []struct {
		wait  time.Duration
		token string
		asked []string
		class error
	}{
		{0, long, append([]string{reviewQuestion}, lists...), nil},
		{0, long, nil, nil},
		{5 * time.Second, short, []string{reviewQuestion}, nil},
		{4 * time.Second, short, nil, nil},
		{time.Second, short, []string{reviewQuestion}, nil}, // at its exp; the API has the last word
		{0, short, []string{reviewQuestion}, nil},           // and is asked each time
		{0, "wrong", []string{reviewQuestion}, feasterr.ErrUnauthenticated},
		{4 * time.Second, "wrong", nil, feasterr.ErrUnauthenticated},
		{time.Second, "wrong", []string{reviewQuestion}, feasterr.ErrUnauthenticated},
		{14 * time.Second, long, nil, nil}, // after 29 s
		{time.Second, long, append([]string{reviewQuestion}, lists...), nil},
	} {
		c.Add(step.wait)
		u, err := auth.Authenticate(t.Context(), step.token)
		if !errors.Is(err, step.class) || err == nil && !sameUser(u, want) {
			t.Errorf("step %d: %+v, %v", i, u, err)
		}
		if asked := a.questions(); !slices.Equal(asked, step.asked) {
			t.Errorf("step %d asked %q", i, asked)
		}
	}
}

func sameUser(a, b permissions.User) bool {
	return a.Name == b.Name && slices.Equal(a.Roles, b.Roles) && slices.Equal(a.Groups, b.Groups) && slices.Equal(a.Namespaces, b.Namespaces)
}

// A user who is put together of an older list is known for as long as the list.
func TestKeptAsTheOldestList(t *testing.T) {
	c := newClock()
	a := newAPI(t)
	first, second := account(t, "apps", "client", c.Now().Add(time.Hour)), account(t, "apps", "other", c.Now().Add(time.Hour))
	a.accept(map[string][]string{first: {reviewed}, second: {"system:serviceaccount:apps:other"}})
	auth := a.authenticator(Options{})
	auth.setClock(c.Now)
	for _, step := range []struct {
		wait  time.Duration
		token string
		asked int
	}{
		{0, first, 4},
		{20 * time.Second, second, 1},
		{10 * time.Second, second, 4}, // its review is 10 s old, the lists are 30
	} {
		c.Add(step.wait)
		if _, err := auth.Authenticate(t.Context(), step.token); err != nil {
			t.Error(err)
		}
		if asked := a.questions(); len(asked) != step.asked {
			t.Errorf("asked %q", asked)
		}
	}
}

// A token is reviewed once, however many calls come with it; who gives up does not spoil it for the others.
func TestOneReview(t *testing.T) {
	a := newAPI(t)
	token := account(t, "apps", "client", time.Now().Add(time.Hour))
	a.accept(map[string][]string{token: {reviewed}})
	asked, release := make(chan struct{}, 10), make(chan struct{})
	a.intercept = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			asked <- struct{}{}
			<-release
		}
		return false
	}
	auth := a.authenticator(Options{})
	ctx, giveUp := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	calls.Go(func() {
		if _, err := auth.Authenticate(ctx, token); !errors.Is(err, context.Canceled) || feasterr.Retryable(err) {
			t.Errorf("who gave up: %v", err)
		}
	})
	<-asked
	giveUp()
	calls.Wait()
	for range 50 {
		calls.Go(func() {
			if u, err := auth.Authenticate(t.Context(), token); err != nil || u.Name != "apps:client" {
				t.Errorf("%+v, %v", u, err)
			}
		})
	}
	close(release)
	calls.Wait()
	if len(asked) != 0 {
		t.Errorf("%d more reviews", len(asked))
	}
}

// Close ends what is under way.
func TestClose(t *testing.T) {
	a := newAPI(t)
	asked := make(chan struct{}, 1)
	a.intercept = func(_ http.ResponseWriter, r *http.Request) bool {
		asked <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return true
	}
	auth := a.authenticator(Options{})
	var calls sync.WaitGroup
	calls.Go(func() {
		if _, err := auth.Authenticate(t.Context(), "token"); !errors.Is(err, feasterr.ErrClosed) {
			t.Error(err)
		}
	})
	<-asked
	for range 2 {
		if err := auth.Close(); err != nil {
			t.Error(err)
		}
	}
	calls.Wait()
	if _, err := auth.Authenticate(t.Context(), "token"); !errors.Is(err, feasterr.ErrClosed) {
		t.Error(err)
	}
}

// Many wrong tokens make refusals forgotten, not those who are known, and the memory for them is bounded.
func TestFlood(t *testing.T) {
	c := newCache[int, string](10)
	defer c.close()
	now := time.Now()
	c.now = func() time.Time { return now }
	refused := errors.New("refused")
	put := func(key int, got answer[string]) {
		c.get(t.Context(), key, func(context.Context) answer[string] { return got })
	}
	for key := range 5 {
		put(key, answer[string]{value: "known", until: now.Add(time.Minute)})
	}
	for key := range 1000 {
		put(1000+key, answer[string]{err: refused, until: now.Add(time.Minute)})
		if len(c.entries) > 10 {
			t.Fatalf("%d entries", len(c.entries))
		}
	}
	for key := range 5 {
		if got, ok := c.known(key); !ok || got.value != "known" {
			t.Errorf("%d is forgotten", key)
		}
	}
	put(1, answer[string]{err: refused}) // known: not asked
	now = now.Add(time.Hour)
	put(1, answer[string]{err: refused})
	if _, ok := c.known(1); ok || len(c.entries) != 9 {
		t.Errorf("%d entries; what is for nobody else was kept: %t", len(c.entries), ok)
	}
	c.max = 4096
	for key := range c.max {
		put(3000+key, answer[string]{err: refused, until: now.Add(time.Minute)})
	}
	if put(-1, answer[string]{err: refused, until: now.Add(time.Minute)}); len(c.entries) != c.max/8*7+1 { // an eighth at once
		t.Errorf("%d entries", len(c.entries))
	}
	c.max = 10
	for key := range 20 {
		put(2000+key, answer[string]{value: "known", until: now.Add(time.Minute)})
	}
	if len(c.entries) != 10 {
		t.Errorf("%d entries", len(c.entries))
	}
}

// While the API is slow, questions that nobody waits for any more do not pile up. Who comes then waits for a turn, as long as
// for an answer.
func TestSlowAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache[int, string](4096)
		var running, most atomic.Int64
		answering := make(chan struct{})
		ask := func(ctx context.Context) answer[string] {
			n := running.Add(1)
			defer running.Add(-1)
			most.Store(max(most.Load(), n))
			select {
			case <-answering:
				return answer[string]{value: "known", until: c.now().Add(time.Hour)}
			case <-ctx.Done():
				return answer[string]{err: ctx.Err()}
			}
		}
		var calls sync.WaitGroup
		get := func(key int, patience time.Duration, check func(answer[string])) {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				check(c.get(ctx, key, ask))
			})
		}
		for key := range 10 * maxAsking { // who give up soon
			get(key, time.Second, func(got answer[string]) {
				if !errors.Is(got.err, context.DeadlineExceeded) {
					t.Errorf("%d: %+v", key, got)
				}
			})
		}
		calls.Wait()
		if n := most.Load(); n != maxAsking || running.Load() != maxAsking || len(c.entries) != maxAsking {
			t.Errorf("%d questions at a time, %d entries", n, len(c.entries))
		}
		for range 3 { // of the same token: one turn serves all
			get(-1, time.Minute, func(got answer[string]) {
				if got.value != "known" {
					t.Errorf("%+v", got)
				}
			})
		}
		time.Sleep(patience / 2) // of the test's own clock
		close(answering)
		calls.Wait()
		synctest.Wait()
		if n := len(c.slots); n != 0 {
			t.Errorf("%d slots are not given back", n)
		}

		stuck := make(chan struct{})
		ask = func(context.Context) answer[string] {
			<-stuck
			return answer[string]{value: "late"}
		}
		for key := range maxAsking {
			get(1_000_000+key, time.Hour, func(got answer[string]) {
				if got.value != "late" {
					t.Errorf("%+v", got)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		get(-2, time.Hour, func(got answer[string]) {
			if took := time.Since(began); !feasterr.Retryable(got.err) || took != patience {
				t.Errorf("%+v after %s", got, took)
			}
		})
		time.Sleep(patience + time.Second)
		get(-3, time.Hour, func(got answer[string]) {
			if !errors.Is(got.err, feasterr.ErrClosed) {
				t.Errorf("%+v", got)
			}
		})
		synctest.Wait()
		calls.Go(c.close)
		synctest.Wait()
		close(stuck)
		calls.Wait()
	})
}

// Whatever the API does, an answer that is none is nobody's fault who calls, is not remembered, and names no token.
func TestAPIFails(t *testing.T) {
	token := account(t, "apps", "client", time.Now().Add(time.Hour))
	text := func(code int, text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
			return true
		}
	}
	for name, c := range map[string]struct {
		intercept func(http.ResponseWriter, *http.Request) bool
		says      string
	}{
		"500":       {text(500, "boom "+token), "did not review the token"},
		"503":       {text(503, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"etcd is away","code":503}`), "etcd is away"},
		"401":       {text(401, ""), "does not know this server"},
		"403":       {text(403, ""), "create tokenreviews"},
		"not JSON":  {text(200, "<html>"), "did not review the token"},
		"cut":       {text(201, `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","status":{"authenticated":tr`), "did not review the token"},
		"other":     {text(201, `{"kind":"Pod","apiVersion":"v1"}`), "did not review the token"},
		"a failure": {text(200, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"not now","code":500}`), "not now"},
		"redirect": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusPermanentRedirect)
			return true
		}, "did not review the token"},
		"huge": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(bytes.Repeat([]byte(" "), maxAnswer+1))
			return true
		}, "larger than 32 MB"},
		"reset": {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, "did not review the token"},
		"slow": {func(_ http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return true
		}, "did not answer within"},
		"half an answer": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"kind":`)
			w.(http.Flusher).Flush()
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return true
		}, "did not answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t)
			a.intercept = func(w http.ResponseWriter, r *http.Request) bool {
				return r.URL.Path != "/elsewhere" && c.intercept(w, r)
			}
			if name == "redirect" {
				a.intercept = c.intercept
			}
			auth := a.authenticator(Options{})
			if strings.HasPrefix(c.says, "did not answer") {
				auth.users.patience = 50 * time.Millisecond
			}
			u, err := auth.Authenticate(t.Context(), token)
			if !errors.Is(err, feasterr.ErrUnavailable) || !feasterr.Retryable(err) || !strings.Contains(err.Error(), c.says) || u.Name != "" {
				t.Errorf("%+v, %v", u, err)
			}
			if strings.Contains(err.Error(), token) {
				t.Errorf("the token is in %v", err)
			}
			a.mu.Lock()
			a.intercept = nil
			a.mu.Unlock()
			a.accept(map[string][]string{token: {reviewed}})
			auth.users.patience = patience
			if u, err := auth.Authenticate(t.Context(), token); err != nil || u.Name != "apps:client" {
				t.Errorf("afterwards: %+v, %v", u, err)
			}
		})
	}
}

// The same for the lists, of which none may be left out because it could not be read, and none has no end.
func TestListsFail(t *testing.T) {
	token := account(t, "apps", "client", time.Now().Add(time.Hour))
	users := map[string][]string{token: {reviewed}, "opaque": {"bob"}}
	bound := json.RawMessage(`{"metadata":{"name":"b"},"roleRef":{"kind":"ClusterRole","name":"viewer"},"subjects":[{"kind":"Group","name":"viewers"}]}`)
	for _, part := range []string{"namespaces/apps/rolebindings", "clusterrolebindings", "clusterroles/viewer", "namespaces/feast/rolebindings", "v1/rolebindings"} {
		a := newAPI(t)
		a.accept(users)
		a.cluster = []json.RawMessage{bound}
		a.rules = map[string]json.RawMessage{"viewer": []byte(`[{"resources":["namespaces"],"verbs":["list"]}]`)}
		failing := true
		a.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			fails := failing && strings.HasSuffix(r.URL.Path, part)
			if fails {
				a.fail(w, http.StatusInternalServerError, "InternalError")
			}
			return fails
		}
		auth := a.authenticator(Options{})
		caller, want := token, permissions.User{Name: "apps:client", Groups: []string{"viewers"}, Namespaces: []string{"apps"}}
		if part == "v1/rolebindings" {
			caller, want = "opaque", permissions.User{Name: "bob"}
		}
		if u, err := auth.Authenticate(t.Context(), caller); !errors.Is(err, feasterr.ErrUnavailable) {
			t.Errorf("%s: %+v, %v", part, u, err)
		}
		a.mu.Lock()
		failing = false
		a.mu.Unlock()
		if u, err := auth.Authenticate(t.Context(), caller); err != nil || !sameUser(u, want) {
			t.Errorf("%s, afterwards: %+v, %v", part, u, err)
		}
	}
}

// Long lists come in pages.
func TestPages(t *testing.T) {
	a := newAPI(t)
	a.accept(map[string][]string{"opaque": {"bob"}})
	endless := false
	a.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/rolebindings") {
			return false
		}
		if r.FormValue("limit") != "500" {
			t.Errorf("%s", r.URL)
		}
		next := map[string]string{"": "1", "1": "2", "2": ""}[r.FormValue("continue")]
		if endless {
			next = "1"
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBindingList","metadata":{"continue":%q},"items":[%s]}`,
			next, roleBinding("ns", "b", "role"+r.FormValue("continue"), `{"kind":"User","name":"bob"}`))
		return true
	}
	auth := a.authenticator(Options{})
	u, err := auth.Authenticate(t.Context(), "opaque")
	if err != nil || !slices.Equal(u.Roles, []string{"role", "role1", "role2"}) {
		t.Errorf("%+v, %v", u, err)
	}
	endless = true
	auth = a.authenticator(Options{})
	auth.rbac.lists.patience = 50 * time.Millisecond
	if u, err := auth.Authenticate(t.Context(), "opaque"); !errors.Is(err, feasterr.ErrUnavailable) {
		t.Errorf("%+v, %v", u, err)
	}
}

// Whose roles a token gives is what the cluster says, whatever the token says of itself: docs/compatibility.md, line 16.
func TestSubjectOfAnother(t *testing.T) {
	token := account(t, "apps", "client", time.Now().Add(time.Hour))
	for name, want := range map[string]permissions.User{
		"bob":                             {Name: "bob", Roles: []string{"bobs"}},
		"system:serviceaccount:apps:poor": {Name: "apps:poor", Namespaces: []string{"apps"}},
		"system:serviceaccount:apps":      {Name: "system:serviceaccount:apps"},
		"system:serviceaccount::client":   {Name: "system:serviceaccount::client"},
		"system:serviceaccount:/:client":  {Name: "system:serviceaccount:/:client"},
		"":                                {},
	} {
		a := newAPI(t)
		a.accept(map[string][]string{token: {name}})
		a.roles = []json.RawMessage{
			roleBinding("feast", "a", "reader", appsClient), roleBinding("elsewhere", "b", "bobs", `{"kind":"User","name":"bob"}`),
		}
		u, err := a.authenticator(Options{}).Authenticate(t.Context(), token)
		if !sameUser(u, want) || (err != nil) != (name == "") || err != nil && !errors.Is(err, feasterr.ErrUnauthenticated) {
			t.Errorf("%q: %+v, %v", name, u, err)
		}
	}
}

// Cluster roles that are not there, and bindings to what can be none, are no one's problem.
func TestOddBindings(t *testing.T) {
	a := newAPI(t)
	token := account(t, "apps", "client", time.Now().Add(time.Hour))
	a.accept(map[string][]string{token: {reviewed}})
	for _, role := range []string{"missing", "../../api/v1/secrets", "..", ""} {
		a.cluster = append(a.cluster, json.RawMessage(fmt.Sprintf(`{"metadata":{"name":"x"},"roleRef":{"name":%q},"subjects":[{"kind":"Group","name":"g"}]}`, role)))
	}
	u, err := a.authenticator(Options{}).Authenticate(t.Context(), token)
	if want := (permissions.User{Name: "apps:client", Namespaces: []string{"apps"}}); err != nil || !sameUser(u, want) {
		t.Errorf("%+v, %v", u, err)
	}
	if asked := a.questions(); slices.ContainsFunc(asked, func(q string) bool { return strings.Contains(q, "secrets") }) {
		t.Errorf("asked %q", asked)
	}
}

// What the server may not read is logged, once for all callers.
func TestForbiddenIsLogged(t *testing.T) {
	var log bytes.Buffer
	a := newAPI(t)
	a.accept(map[string][]string{"a": {"ann"}, "b": {"bob", "devs"}})
	a.forbidden = []string{"v1/rolebindings"}
	auth := a.authenticator(Options{Namespace: "feast", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for token, want := range map[string]permissions.User{"a": {Name: "ann"}, "b": {Name: "bob", Groups: []string{"devs"}}} {
		if u, err := auth.Authenticate(t.Context(), token); err != nil || !sameUser(u, want) {
			t.Errorf("%+v, %v", u, err)
		}
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "list rolebindings of all namespaces") {
		t.Error(text)
	}
}

// The name of servers is a secret: no cluster is asked, and an empty one is none.
func TestIntra(t *testing.T) {
	for _, c := range []struct {
		intra, subject string
		ok             bool
	}{
		{"secret", ":::secret", true},
		{"secret", "system:serviceaccount:apps:secret", true}, // as in Feast
		{"secret", ":::secre", false},
		{"secret", "secret", false},
		{"secret", "::::secret", false},
		{"", ":::", false},
		{"", "", false},
	} {
		a := newAPI(t)
		auth := a.authenticator(Options{Intra: c.intra})
		u, err := auth.Authenticate(t.Context(), sign(t, map[string]any{"sub": c.subject}, "any"))
		if c.ok && (err != nil || !reflect.DeepEqual(u, permissions.User{Name: "secret"})) || !c.ok && !errors.Is(err, feasterr.ErrUnauthenticated) {
			t.Errorf("%+v: %+v, %v", c, u, err)
		}
		if asked := a.questions(); (len(asked) == 0) != c.ok {
			t.Errorf("%+v asked %q", c, asked)
		}
	}
}

// Tokens that nobody gives out reach neither memory nor cluster.
func TestTokenSizes(t *testing.T) {
	a := newAPI(t)
	authenticator := a.authenticator(Options{})
	r := newReviewer(a.connect().client)
	defer r.Close()
	for _, token := range []string{"", strings.Repeat("a", auth.MaxToken+1)} {
		if _, err := authenticator.Authenticate(t.Context(), token); !errors.Is(err, feasterr.ErrUnauthenticated) || len(err.Error()) > 200 {
			t.Error(err)
		}
		if _, _, err := r.Review(t.Context(), token); !errors.Is(err, feasterr.ErrUnauthenticated) {
			t.Error(err)
		}
	}
	if asked := a.questions(); len(asked) != 0 {
		t.Errorf("asked %q", asked)
	}
	if _, err := authenticator.Authenticate(t.Context(), strings.Repeat("a", auth.MaxToken)); !errors.Is(err, feasterr.ErrUnauthenticated) {
		t.Error(err)
	}
	if asked := a.questions(); len(asked) != 1 {
		t.Errorf("asked %q", asked)
	}
}

// The clientset of a program serves as well as that of a pod.
func TestClientset(t *testing.T) {
	a := newAPI(t)
	token := account(t, "apps", "client", time.Now().Add(time.Hour))
	a.accept(map[string][]string{token: {reviewed, "devs"}})
	a.roles = []json.RawMessage{roleBinding("feast", "b", "reader", appsClient)}
	h := &http.Client{Transport: &http.Transport{}}
	defer h.CloseIdleConnections()
	clientset, err := kubernetes.NewForConfigAndClient(&rest.Config{Host: a.url}, h)
	if err != nil {
		t.Fatal(err)
	}
	var i kubernetes.Interface = clientset
	auth, err := NewAuthenticator(i, Options{Namespace: "feast"})
	if err != nil {
		t.Fatal(err)
	}
	defer auth.Close()
	want := permissions.User{Name: "apps:client", Roles: []string{"reader"}, Groups: []string{"devs"}, Namespaces: []string{"apps"}}
	if u, err := auth.Authenticate(t.Context(), token); err != nil || !sameUser(u, want) {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err := auth.Authenticate(t.Context(), "wrong"); !errors.Is(err, feasterr.ErrUnauthenticated) || !strings.Contains(err.Error(), "invalid bearer token") {
		t.Errorf("%+v, %v", u, err)
	}
	r, err := NewReviewer(clientset)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a.questions()
	for range 2 {
		if name, groups, err := r.Review(t.Context(), token); err != nil || name != reviewed || !slices.Equal(groups, []string{"devs"}) {
			t.Errorf("%q, %q, %v", name, groups, err)
		}
	}
	if asked := a.questions(); !slices.Equal(asked, []string{reviewQuestion}) {
		t.Errorf("asked %q", asked)
	}
}

func TestFakeClientset(t *testing.T) {
	if _, err := NewAuthenticator(fake.NewClientset(), Options{Namespace: "feast"}); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
	if _, err := NewReviewer(fake.NewClientset()); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
}

// The type is known, reads its section, and says what it lacks outside of a cluster.
func TestRegistered(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	env := auth.Env{Getenv: func(string) string { return "" }, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
	if _, err := auth.NewAuthenticator(config.NewSection("kubernetes", map[string]any{"user_token": []any{1}}), env); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
	_, err := auth.NewAuthenticator(config.NewSection("kubernetes", map[string]any{"any": "key"}), env)
	if !errors.Is(err, feasterr.ErrUnsupported) || !strings.Contains(err.Error(), "KUBERNETES_SERVICE_HOST") {
		t.Error(err)
	}
	if _, err := auth.NewReviewer(env); !errors.Is(err, feasterr.ErrUnsupported) {
		t.Error(err)
	}
	tokens := auth.Tokens(config.NewSection("kubernetes", map[string]any{"user_token": "mine"}), env)
	if token, err := tokens.Token(t.Context()); err != nil || token != "mine" {
		t.Errorf("%q, %v", token, err)
	}
	tokens = auth.Tokens(config.NewSection("kubernetes", map[string]any{"user_token": []any{1}}), env)
	if _, err := tokens.Token(t.Context()); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
}

// Without its namespace an authenticator would give the roles of all.
func TestNoNamespace(t *testing.T) {
	for _, namespace := range []string{"", "/", "..", "a/b"} {
		if _, err := newAuthenticator(client{}, Options{Namespace: namespace}); !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("%q: %v", namespace, err)
		}
	}
}

func TestNamespaceFile(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{" feast\n": "feast", "\n": "", "missing": ""} {
		file := dir + "/" + strings.TrimSpace(content)
		if content != "missing" {
			file += "namespace"
			write(t, file, content)
		}
		if got, err := readNamespace(file); got != want || (err != nil) != (want == "") || err != nil && !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
}
