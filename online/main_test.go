package online

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// After as many failed dials as a pool has places, go-redis dials once a second until it gets through. It notices that
	// the client was closed with the next attempt.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}
