// Package hybrid is the driver of Feast's hybrid online store, "hybrid" in feature_store.yaml: several stores, of which
// every feature view has the one that a tag of the view names. Import it for its side effect, together with the drivers
// of its stores, or pass a store made by [New] to feast.WithOnlineStore.
//
//	online_store:
//	  type: hybrid
//	  routing_tag: tribe
//	  online_stores:
//	    - type: redis
//	      conf:
//	        connection_string: localhost:6379
//	    - type: sqlite
//
// A view with the tag tribe: redis lives in Redis then. As in Feast, the names of stores are compared in lower case, and
// of two stores of one type the later counts. Unlike Feast, whose apply confuses the stores, every view is created and
// removed in its own store alone, and class paths are understood where short names are.
package hybrid

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

func init() {
	online.Register(online.Driver{
		Names: []string{
			"hybrid", "feast.infra.online_stores.hybrid_online_store.hybrid_online_store.HybridOnlineStore",
		},
		Open: func(_ context.Context, cfg config.Section, env online.Env) (online.Store, error) { return open(cfg, env) },
	})
}

// settings are the keys of the online_store section.
type settings struct {
	RoutingTag   string    `yaml:"routing_tag"`
	OnlineStores []backend `yaml:"online_stores,required"`
}

type backend struct {
	Type string         `yaml:"type,required"`
	Conf config.Section `yaml:"conf,required"`
}

func open(cfg config.Section, env online.Env) (_ *Store, err error) {
	set := settings{RoutingTag: "tribe"}
	if err := cfg.Decode(&set); err != nil {
		return nil, err
	}
	sections := map[string]config.Section{}
	for _, b := range set.OnlineStores {
		sections[storeName(b.Type)] = b.Conf.WithType(b.Type)
	}
	stores := map[string]online.Store{}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(stores))
		}
	}()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		s, err := env.Open(sections[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		stores[name] = s
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	...
}
