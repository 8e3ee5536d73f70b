package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var harness = onlinetest.Harness{Open: func(testing.TB, string) online.Store { return memory.New() }}

func TestConformance(t *testing.T) { onlinetest.Run(t, harness) }

func BenchmarkRead(b *testing.B) { onlinetest.Bench(b, harness) }
