package config_test

import (
	"fmt"
	"time"

	"github.com/feastgo/feast/config"
)

func Example() {
	const yaml = `
project: driver_ranking
registry: data/registry.db
online_store:
  type: redis
  connection_string: ${REDIS_HOST}:6379
  key_ttl_seconds: 3600
`
	env := map[string]string{"REDIS_HOST": "redis.internal"}
	cfg, err := config.Parse([]byte(yaml), "feature_store.yaml", "/repo", func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.Project, cfg.ResolvePath(cfg.Registry.Path), cfg.Registry.CacheTTL)

	// What a driver does with its section.
	options := struct {
		ConnectionString string        `yaml:"connection_string"`
		KeyTTL           time.Duration `yaml:"key_ttl_seconds"`
		SkipDedup        bool          `yaml:"skip_dedup"`
	}{ConnectionString: "localhost:6379"}
	if err := cfg.OnlineStore.Decode(&options); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.OnlineStore.Type(), options.ConnectionString, options.KeyTTL)
	// Output:
	// driver_ranking /repo/data/registry.db 10m0s
	// redis redis.internal:6379 1h0m0s
}

func ExampleError() {
	const yaml = `
project: my-project
registry:
  path: data/registry.db
  cache_ttl_seconds: 1 minute
online_store: rediss
`
	_, err := config.Parse([]byte(yaml), "feature_store.yaml", ".", nil)
	fmt.Println(err)
	// Output:
	// feature_store.yaml:2: project: "my-project" must consist of letters, digits and underscores
	// feature_store.yaml:5: registry.cache_ttl_seconds: must be a whole number of seconds, is text
	// feature_store.yaml:6: online_store: unknown online store type "rediss"; did you mean "redis"?
}

func ExampleNewSection() {
	section := config.NewSection("redis", map[string]any{"connection_string": "localhost:6379", "db": 1})
	var options struct {
		ConnectionString string `yaml:"connection_string"`
	}
	fmt.Println(section.Decode(&options))
	// Output: redis.db: is not a known key; known are connection_string
}
