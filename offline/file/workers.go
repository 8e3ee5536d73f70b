package file

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// workers is how many goroutines share n tasks.
func workers(n int) int { return max(1, min(n, runtime.GOMAXPROCS(0))) }

// each runs do for tasks 0 to n-1 on several goroutines, which take the next task in order, and returns the first error,
// after all have ended. worker is below workers(n).
func each(ctx context.Context, n int, do func(worker, task int) error) error {
	if n == 0 {
		return ctx.Err()
	}
	var (
		next   atomic.Int64
		failed atomic.Pointer[error]
	)
	run := func(worker int) {
		for failed.Load() == nil {
			task := int(next.Add(1)) - 1
			if task >= n {
				return
			}
			err := ctx.Err()
			if err == nil {
				err = do(worker, task)
			}
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		}
	}
	var group sync.WaitGroup
	for w := 1; w < workers(n); w++ {
		group.Go(func() { run(w) })
	}
	run(0)
	group.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// endedRows is how many rows are worked on between looks at the context: a millisecond or so.
const endedRows = 1 << 14

// ended returns the error of the context, which it looks at for every endedRows-th row.
func ended(ctx context.Context, row int) error {
	if row%endedRows != 0 {
		return nil
	}
	return ctx.Err()
}
