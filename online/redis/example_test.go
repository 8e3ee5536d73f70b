package redis_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/online/redis"
)

// Passwords that change, such as the tokens of IAM authentication at ElastiCache and Memorystore: the client asks for one
// whenever it connects. Making the token is the matter of the cloud's own library.
func ExampleNew_rotatingCredentials() {
	var made atomic.Int64
	token := func(context.Context) (username, password string, err error) {
		return "feature-reader", fmt.Sprint("token ", made.Add(1)), nil
	}
	client := goredis.NewClusterClient(&goredis.ClusterOptions{
		Addrs:                      []string{"clustercfg.features.example.com:6379"},
		TLSConfig:                  &tls.Config{MinVersion: tls.VersionTLS12},
		CredentialsProviderContext: token,
		ContextTimeoutEnabled:      true,
		MaintNotificationsConfig:   &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer func() { _ = client.Close() }()

	store, err := redis.New(client, redis.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }() // before the client
	_ = feast.WithOnlineStore(store)     // an option of feast.Open

	fmt.Println(store.Info().Name, made.Load())
	// Output: redis 0
}
