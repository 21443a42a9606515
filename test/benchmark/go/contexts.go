package main

import (
	"context"
	"time"
)

// withTimeout: a context whose limit is not reached.
func withTimeout(n int) {
	cancelled := 0
	for i := 0; i < n; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		cancel()
		if ctx.Err() == context.Canceled {
			cancelled++
		}
	}
	check(int64(cancelled), int64(n))
}

// cancelTree: trees of 10,000 contexts. Each but the leaves has ten derived from it; the root alone
// is cancelled.
func cancelTree(n int) []Quantity {
	const size, children = 10000, 10
	trees := n / size
	cancelled := 0
	var making, cancelling time.Duration
	for i := 0; i < trees; i++ {
		contexts := make([]context.Context, 0, size)
		cancels := make([]context.CancelFunc, 0, size)
		derive := func(parent context.Context) {
			ctx, cancel := context.WithCancel(parent)
			contexts = append(contexts, ctx)
			cancels = append(cancels, cancel)
		}
		started := time.Now()
		derive(context.Background())
		for len(contexts) < size {
			derive(contexts[(len(contexts)-1)/children])
		}
		making += time.Since(started)
		started = time.Now()
		cancels[0]()
		cancelling += time.Since(started)
		for j, ctx := range contexts {
			if ctx.Err() == context.Canceled {
				cancelled++
			}
			cancels[j]()
		}
	}
	check(int64(cancelled), int64(trees*size))
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(trees*size) }
	return []Quantity{{"ns", each(cancelling)}, {"make_ns", each(making)}}
}

func init() {
	add("with_timeout", withTimeout)
	workloads["cancel_tree"] = cancelTree
}
