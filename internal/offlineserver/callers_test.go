package offlineserver

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/internal/guard/guardtest"
	"github.com/feastgo/feast/offline/offlinetest"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

// closed is a server to which a reader and somebody who may register sources have access.
func closed(t *testing.T, l Limits) *bed {
	role := func(name, role, tag string, actions ...permissions.Action) *permissions.Permission {
		p := &permissions.Permission{
			Name: name, Types: []permissions.Kind{permissions.DataSource, permissions.FeatureView}, Actions: actions, Policy: permissions.RoleBased{Roles: []string{role}},
		}
		if tag != "" {
			p.RequiredTags = map[string]string{"open": tag}
		}
		return p
	}
	g := &guard.Guard{Intra: "server", Authenticator: guardtest.Users{
		"reader": {Name: "reader", Roles: []string{"reader"}}, "tagged": {Name: "tagged", Roles: []string{"tagged"}},
		"author": {Name: "author", Roles: []string{"author", "reader"}}, "server": {Name: "server"},
	}}
	return serve(t, "golden", g, l,
		role("read", "reader", "", permissions.ReadOffline), role("read_tagged", "tagged", "yes", permissions.ReadOffline),
		role("write", "author", "", permissions.Create, permissions.Describe, permissions.Update),
		&registry.DataSource{Name: "shared", TimestampField: "ts", Options: registry.FileOptions{Path: "shared.parquet"}, Tags: map[string]string{"open": "yes"}})
}

func (b *bed) described(user, name, path, tag string) error {
	b.Helper()
	text, err := json.Marshal(map[string]any{
		"name": name, "type": "BATCH_FILE", "timestampField": "event_timestamp", "fileOptions": map[string]string{"uri": path}, "tags": map[string]string{"open": tag},
	})
	if err != nil {
		b.Fatal(err)
	}
	command, err := json.Marshal(map[string]string{"api": "get_table_column_names_and_types_from_data_source", "data_source_proto": string(text)})
	if err != nil {
		b.Fatal(err)
	}
	ctx := metadata.AppendToOutgoingContext(b.Context(), "authorization", "Bearer "+user)
	_, _, err = b.exchange(ctx, string(command), nil)
	validate := strings.Replace(string(command), "get_table_column_names_and_types_from_data_source", "validate_data_source", 1)
	if again := b.put(ctx, validate, offlinetest.Table("key text", offlinetest.R("m"))); status.Code(again) != status.Code(err) {
		b.Errorf("%s of %s is described with %v, and validated with %v", path, name, err, again)
	}
	return err
}

// TestSentSources: the definition of a source is the caller's, and who may only read does not reach by it what is not
// registered, nor what is registered with other tags.
func TestSentSources(t *testing.T) {
	b := closed(t, generous)
	src := filepath.Join(b.dir, "src.parquet")
	b.write("secret.parquet", offlinetest.Table("salary i64", offlinetest.R(1)))
	b.write("shared.parquet", offlinetest.Table("event_timestamp us", offlinetest.R(day)))
	secret := filepath.Join(b.dir, "secret.parquet")
	for _, c := range []struct {
		user, name, path, tag string
		want                  codes.Code
	}{
		{"reader", "src", src, "", codes.OK},
		{"reader", "src", secret, "", codes.PermissionDenied},
		{"reader", "src", "../../../../etc/passwd", "", codes.PermissionDenied},
		{"reader", "src", "s3://bucket/key.parquet", "", codes.PermissionDenied},
		{"reader", "new", secret, "", codes.PermissionDenied},
		{"author", "new", secret, "", codes.OK},
		{"author", "src", secret, "", codes.OK},
		{"tagged", "shared", "shared.parquet", "yes", codes.OK},
		{"tagged", "shared", "shared.parquet", "no", codes.PermissionDenied},
		{"tagged", "src", src, "yes", codes.PermissionDenied}, // registered without the tag
		{"server", "new", secret, "", codes.OK},
	} {
		if err := b.described(c.user, c.name, c.path, c.tag); status.Code(err) != c.want {
			t.Errorf("%s of %s (%q) for %s: %v, want %s", c.path, c.name, c.tag, c.user, err, c.want)
		}
	}
}

// TestSentQueries: permissions do not hold for a query, so callers may not send one unless the server says so. The store
// of this test takes none, which is the next answer.
func TestSentQueries(t *testing.T) {
	query := strings.Replace(historical, "}", `, "entity_df_sql": "SELECT * FROM secrets"}`, 1)
	nothing := offlinetest.Table("key text", offlinetest.R("m"))
	for _, allowed := range []bool{false, true} {
		l := generous
		l.EntitySQL = allowed
		b := closed(t, l)
		for user, want := range map[string]codes.Code{"reader": codes.PermissionDenied, "server": codes.InvalidArgument} {
			if allowed {
				want = codes.InvalidArgument
			}
			_, _, err := b.exchange(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+user), query, nothing)
			if status.Code(err) != want {
				t.Errorf("allowed %t, by %s: %v, want %s", allowed, user, err, want)
			}
		}
	}
	open := serve(t, "golden", nil, generous)
	if _, _, err := open.exchange(t.Context(), query, nothing); status.Code(err) != codes.InvalidArgument {
		t.Errorf("where everything is allowed: %v", err)
	}
}

// TestReferencesOfOthers: what a reference leads to is what was checked, whatever it is called.
func TestReferencesOfOthers(t *testing.T) {
	b := serve(t, "golden", nil, generous)
	for _, ref := range []string{"other:x", "renamed@v1:trips", "dv@x:trips", "@:trips", ":trips", "", "renamed"} {
		command := strings.NewReplacer("dv:trips", ref, "[null]", `["renamed"]`).Replace(historical)
		if _, _, err := b.exchange(t.Context(), command, many(1)); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%q: %v", ref, err)
		}
	}
	for _, ref := range []string{"renamed:trips", "dv:trips", "renamed@latest:trips", "dv@:trips"} {
		command := strings.NewReplacer("dv:trips", ref, "[null]", `["renamed"]`).Replace(historical)
		if _, rows, err := b.exchange(t.Context(), command, many(1)); err != nil || len(rows) != 1 {
			t.Errorf("%q: %v", ref, err)
		}
	}
}
