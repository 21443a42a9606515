package main

import (
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

func turn(rounds uint64) uint64 {
	state := rounds
	for i := uint64(0); i < rounds; i++ {
		state = state*6364136223846793005 + 1442695040888963407
	}
	return state
}

var turned uint64

// work gives a function that keeps a processor busy so long, by the clock.
func work(each time.Duration) func() {
	const calibrated = 100_000
	least := 1e9
	for i := 0; i < 20; i++ {
		started := time.Now()
		turned += turn(calibrated)
		if ns := nanosecondsEach(started, calibrated); ns < least {
			least = ns
		}
	}
	rounds := uint64(float64(each.Nanoseconds()) / least)
	return func() {
		if turn(rounds) == 1 {
			panic("never")
		}
	}
}

// rounds is the median time of n rounds, each after a pause.
func rounds(n int, pause time.Duration, round func()) []Quantity {
	took := make([]float64, n)
	for i := range took {
		time.Sleep(pause)
		started := time.Now()
		round()
		took[i] = float64(time.Since(started).Nanoseconds())
	}
	sort.Float64s(took)
	return []Quantity{{"ns", took[n/2]}}
}

func burst(pieces int, each, pause time.Duration) func(n int) []Quantity {
	return func(n int) []Quantity {
		do := work(each)
		var done int64
		all := rounds(n, pause, func() {
			var all sync.WaitGroup
			all.Add(pieces)
			for i := 0; i < pieces; i++ {
				go func() {
					do()
					atomic.AddInt64(&done, 1)
					all.Done()
				}()
			}
			all.Wait()
		})
		check(done, int64(n*pieces))
		return all
	}
}

// both calls f twice, once in a goroutine of its own, and adds what that gives.
func both(f func() int64) int64 {
	var other int64
	var all sync.WaitGroup
	all.Add(1)
	go func() {
		other = f()
		all.Done()
	}()
	own := f()
	all.Wait()
	return own + other
}

func tree(depth int, do func()) int64 {
	if depth == 0 {
		do()
		return 1
	}
	return both(func() int64 { return tree(depth-1, do) })
}

func burstTree(n int) []Quantity {
	do := work(2 * time.Microsecond)
	var leaves int64
	all := rounds(n, 0, func() { leaves += tree(12, do) })
	check(leaves, int64(n)*4096)
	return all
}

const queens = 11

func place(row int, where [queens]int8) int64 {
	if row == queens {
		return 1
	}
	var ways int64
	var all sync.WaitGroup
	for column := 0; column < queens; column++ {
		free := true
		for above := 0; above < row && free; above++ {
			distance := column - int(where[above])
			free = distance != 0 && distance != row-above && distance != above-row
		}
		if !free {
			continue
		}
		where[row] = int8(column)
		all.Add(1)
		go func(next [queens]int8) {
			atomic.AddInt64(&ways, place(row+1, next))
			all.Done()
		}(where)
	}
	all.Wait()
	return ways
}

func nqueens(n int) []Quantity {
	var ways int64
	all := rounds(n, 0, func() { ways = place(0, [queens]int8{}) })
	check(ways, 2680)
	return all
}

func init() {
	for _, b := range []struct{ pieces, microseconds int }{{4096, 2}, {500, 2}, {100, 20}, {4, 200}} {
		name := fmt.Sprintf("%d_%d", b.pieces, b.microseconds)
		each := time.Duration(b.microseconds) * time.Microsecond
		workloads["burst_"+name] = burst(b.pieces, each, 0)
		workloads["after_pause_"+name] = burst(b.pieces, each, 20*time.Millisecond)
	}
	workloads["burst_tree"] = burstTree
	workloads["nqueens_when_all"] = nqueens
}
