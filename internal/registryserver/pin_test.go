package registryserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/internal/protos/feast/core"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
)

// restless is a registry into which somebody writes an entity before each look at it.
type restless struct {
	*memory.Backend
	t     *testing.T
	looks atomic.Int64
}

func (b *restless) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	n := b.looks.Add(1)
	if err := b.Put(ctx, "p", &registry.Entity{Name: fmt.Sprintf("e%d", n), JoinKey: "k"}); err != nil {
		b.t.Error(err)
	}
	return b.Backend.Load(ctx, have)
}

// TestAnswersAreOfOneState: an answer that is made of several lists is of one moment.
func TestAnswersAreOfOneState(t *testing.T) {
	b := &restless{Backend: memory.New(), t: t}
	h := (&Server{Backend: b, Project: "p"}).REST(1 << 20)
	for n, path := range []string{
		"lineage/complete?project=p", "lineage/complete/all", "search?query=e", "metrics/resource_counts", "metrics/popular_tags",
		"entities?project=p&include_relationships=true", "entities/all?include_relationships=true", "entities/e1?project=p&include_relationships=true",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/"+path, nil))
		if w.Code != http.StatusOK || b.looks.Load() != int64(n+1) {
			t.Errorf("%s: %d, after %d looks: %s", path, w.Code, b.looks.Load(), w.Body)
		}
	}
	before := b.looks.Load()
	if _, err := (&Server{Backend: b, Project: "p"}).ListAllFeatureViews(t.Context(), &pb.ListAllFeatureViewsRequest{Project: "p", FeatureService: "s"}); err != nil || b.looks.Load() != before+1 {
		t.Errorf("views of a service: %v, after %d looks", err, b.looks.Load()-before)
	}
}

type broken struct{ registry.Backend }

func (broken) Load(context.Context, registry.Token) (*registry.State, registry.Token, error) {
	return nil, "", errors.New("the disk is gone")
}

// TestViewsOfAServiceThatCannotBeRead are not none.
func TestViewsOfAServiceThatCannotBeRead(t *testing.T) {
	_, err := (&Server{Backend: broken{}}).ListAllFeatureViews(t.Context(), &pb.ListAllFeatureViewsRequest{Project: "p", FeatureService: "s"})
	if err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Error(err)
	}
}

// overtaken is a registry into which somebody else writes an entity just before the first change.
type overtaken struct {
	*memory.Backend
	done bool
}

func (b *overtaken) Update(ctx context.Context, project string, change func(registry.Tx) error) (registry.Token, error) {
	if !b.done {
		b.done = true
		if err := b.Put(ctx, "p", &registry.Entity{Name: "e", JoinKey: "theirs"}); err != nil {
			return "", err
		}
	}
	return b.Backend.Update(ctx, project, change)
}

type somebody struct{}

func (somebody) Authenticate(context.Context, string) (permissions.User, error) {
	return permissions.User{Name: "u", Roles: []string{"r"}}, nil
}
func (somebody) Close() error { return nil }

// TestOvertaken: who may create an object does not change one that somebody else creates at the same time.
func TestOvertaken(t *testing.T) {
	b := &overtaken{Backend: memory.New()}
	create := &permissions.Permission{
		Name: "create", Types: []permissions.Kind{permissions.Entity}, Actions: []permissions.Action{permissions.Create},
		Policy: permissions.RoleBased{Roles: []string{"r"}},
	}
	if err := b.Backend.Put(t.Context(), "p", create); err != nil {
		t.Fatal(err)
	}
	g := &guard.Guard{Authenticator: somebody{}, Logger: slog.New(slog.DiscardHandler)}
	ctx, err := g.Enter(t.Context(), "Bearer x", true)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Backend: b, Guard: g, Project: "p"}
	_, err = s.ApplyEntity(ctx, &pb.ApplyEntityRequest{Project: "p", Entity: &core.Entity{Spec: &core.EntitySpecV2{Name: "e", JoinKey: "ours"}}})
	if !errors.Is(err, feasterr.ErrDenied) || !b.done {
		t.Errorf("%v, overtaken: %t", err, b.done)
	}
}
