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
	return newCrew(runtime.GOMAXPROCS(0)).each(ctx, n, do)
}

// crew is how many more goroutines may work: those that are free can be taken from it.
type crew chan struct{}

// newCrew makes a crew of n, of which the caller is one.
func newCrew(n int) crew {
	c := make(crew, n)
	for range n - 1 {
		c <- struct{}{}
	}
	return c
}

// each runs tasks as the function each does, in the caller's goroutine and in those of the crew that are free now or later.
func (c crew) each(ctx context.Context, n int, do func(worker, task int) error) error {
	if n == 0 {
		return ctx.Err()
	}
	var (
		next   atomic.Int64
		failed atomic.Pointer[error]
		last   atomic.Int64 // worker that was started
		group  sync.WaitGroup
		run    func(worker int)
	)
	most := int64(workers(n))
	start := func() { // another worker, if there is one
		for {
			w := last.Load()
			if w+1 >= most || next.Load() >= int64(n) {
				return
			}
			select {
			case <-c:
			default:
				return
			}
			if !last.CompareAndSwap(w, w+1) {
				c <- struct{}{}
				continue
			}
			group.Go(func() {
				defer func() { c <- struct{}{} }()
				run(int(w + 1))
			})
		}
	}
	run = func(worker int) {
		for failed.Load() == nil {
			task := int(next.Add(1)) - 1
			if task >= n {
				return
			}
			start()
			err := ctx.Err()
			if err == nil {
				err = do(worker, task)
			}
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		}
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
