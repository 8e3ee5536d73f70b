// Package remote uses the registry behind a registry server of Feast, over gRPC. It is the registry type "remote".
//
// Feast's own client asks the server at every read. This one lists the objects of the project once, keeps them as every
// other backend's are kept, and lists them again in the background: a read needs no call. The server has nothing
// cheaper that would tell whether something changed: only objects whose bytes differ are decoded anew.
//
// What is applied is checked and completed here, and then sent object by object: see [Backend.ApplyObjects].
package remote

import (
	"context"
	"hash/maphash"
	"sync"

	"google.golang.org/grpc"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/remote"
)

func init() {
	registry.Register(registry.Driver{
		Names: []string{"remote"},
		Open: func(_ context.Context, cfg *config.RepoConfig, env registry.Env) (registry.Backend, error) {
			return open(cfg, env)
		},
	})
}

// Backend is the registry behind a server.
type Backend struct {
	conn    *grpc.ClientConn
	client  registrygrpc.RegistryServerClient
	project string
	seed    maphash.Seed
	close   func() error

	mu     sync.Mutex
	wanted map[registry.ID]bool // objects that were looked up
}

// New returns the registry behind the server that conn, made by [remote.Dial] with [Idempotent], leads to. The Backend
// owns conn, and closes it. It reads the objects of one project, with an empty name those of all.
func New(conn *grpc.ClientConn, project string) *Backend {
	return &Backend{
		conn: conn, client: registrygrpc.NewRegistryServerClient(conn), project: project,
		seed: maphash.MakeSeed(), close: sync.OnceValue(conn.Close), wanted: map[registry.ID]bool{},
	}
}

// Idempotent are the methods for [remote.Options].Idempotent: those that read, and those that may be repeated.
func Idempotent() []string {
	methods := []string{
		registrygrpc.RegistryServer_GetAnyFeatureView_FullMethodName,
		registrygrpc.RegistryServer_GetInfra_FullMethodName,
		registrygrpc.RegistryServer_ListProjectMetadata_FullMethodName,
		registrygrpc.RegistryServer_UpdateInfra_FullMethodName,
	}
	for _, k := range kinds {
		methods = append(methods, k.list, k.get)
	}
	return methods
}

// options are the keys of the registry's section that only this driver has.
type options struct {
	TLS       bool     `yaml:"is_tls,nullable"`
	CA        string   `yaml:"cert,nullable"`
	Cert      string   `yaml:"client_cert,nullable"`
	Key       string   `yaml:"client_key,nullable"`
	Authority string   `yaml:"authority,nullable"`
	_         struct{} `yaml:",inline"` // as in Feast: what all registries have, and what it does not know
}

func open(cfg *config.RepoConfig, env registry.Env) (*Backend, error) {
	var o options
	section := cfg.Registry.Section
	if err := section.Decode(&o); err != nil {
		return nil, err
	}
	switch {
	case cfg.Registry.Path == "":
		return nil, section.Invalid("path", "is not set: it is the address of the registry server, such as registry.example.com:6570")
	case (o.Cert == "") != (o.Key == ""):
		return nil, section.Invalid("client_cert", "client_cert and client_key go together, and only one of them is set")
	case o.Cert != "" && o.CA == "" && !o.TLS:
		return nil, section.Invalid("client_cert", "needs TLS: set is_tls or cert")
	}
	if typ := cfg.Auth.Type(); typ != "" && typ != "no_auth" && env.Token == nil {
		return nil, feasterr.Unsupported("auth is of type %s, and nothing gives the tokens that the registry server at %s wants: "+
			"pass feast.WithTokenSource", typ, cfg.Registry.Path)
	}
	d := remote.Options{Address: cfg.Registry.Path, Authority: o.Authority, Token: env.Token, Idempotent: Idempotent()}
	if o.TLS || o.CA != "" {
		d.TLS = &remote.TLS{CA: o.CA, Cert: o.Cert, Key: o.Key}
	}
	conn, err := remote.Dial(d)
	if err != nil {
		return nil, err
	}
	return New(conn, cfg.Project), nil
}

// Update implements registry.Backend. There are no transactions: see [registry.Applier].
func (b *Backend) Update(context.Context, string, func(registry.Tx) error) (registry.Token, error) {
	return "", feasterr.Unsupported("a registry server has no transactions: apply objects with registry.Writer")
}

// Close implements registry.Backend.
func (b *Backend) Close() error { return b.close() }
