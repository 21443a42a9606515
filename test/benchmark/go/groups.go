package main

import (
	"context"
	"sync"
	"sync/atomic"
)

// group is golang.org/x/sync/errgroup's Group without its limit.
type group struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
	first  sync.Once
	err    error
}

func withContext(parent context.Context) (*group, context.Context) {
	ctx, cancel := context.WithCancel(parent)
	return &group{cancel: cancel}, ctx
}

func (g *group) Go(f func() error) {
	g.all.Add(1)
	go func() {
		defer g.all.Done()
		if err := f(); err != nil {
			g.first.Do(func() {
				g.err = err
				g.cancel()
			})
		}
	}()
}

func (g *group) Wait() error {
	g.all.Wait()
	g.cancel()
	return g.err
}

// group100: requests that start 100 goroutines and wait for all.
func group100(n int) {
	const members = 100
	var sum int64
	for i := 0; i < n; i++ {
		g, _ := withContext(context.Background())
		for j := 0; j < members; j++ {
			j := int64(j)
			g.Go(func() error {
				atomic.AddInt64(&sum, j)
				return nil
			})
		}
		must(g.Wait())
	}
	check(sum, int64(n)*sumBelow(members))
}

// fanOut hands a value to each of 1,000 goroutines over a channel each.
func fanOut(n int) int {
	const receivers = 1000
	rounds := n / receivers
	var sum int64
	var consumers sync.WaitGroup
	consumers.Add(receivers)
	all := make([]chan int64, receivers)
	for i := range all {
		ch := make(chan int64)
		all[i] = ch
		go func() {
			var own int64
			for v := range ch {
				own += v
			}
			atomic.AddInt64(&sum, own)
			consumers.Done()
		}()
	}
	var value int64
	for round := 0; round < rounds; round++ {
		for _, ch := range all {
			ch <- value
			value++
		}
	}
	for _, ch := range all {
		close(ch)
	}
	consumers.Wait()
	check(sum, sumBelow(rounds*receivers))
	return rounds * receivers
}

const stages, betweenStages, steps = 4, 16, 10000

// compute is what a stage does to a value. See ../pipeline.hpp.
func compute(value int64) int64 {
	x := uint64(value)
	for i := 0; i < steps; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return int64(x)
}

func pipeline(n int) {
	first := make(chan int64, betweenStages)
	go func() {
		for i := 0; i < n; i++ {
			first <- int64(i)
		}
		close(first)
	}()
	last := first
	for i := 0; i < stages; i++ {
		in, out := last, make(chan int64, betweenStages)
		go func() {
			for v := range in {
				out <- compute(v)
			}
			close(out)
		}()
		last = out
	}
	var sum uint64
	for v := range last {
		sum += uint64(v)
	}
	// All steps of all stages are one linear function of a value.
	factor, summand := uint64(1), uint64(0)
	for i := 0; i < stages*steps; i++ {
		factor *= 6364136223846793005
		summand = summand*6364136223846793005 + 1442695040888963407
	}
	check(int64(sum), int64(factor*uint64(sumBelow(n))+summand*uint64(n)))
}

func init() {
	add("group_100", group100)
	addCounted("fan_out_1000", fanOut)
	add("pipeline", pipeline)
}
