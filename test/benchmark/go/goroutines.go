package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

func spawn(n int) {
	var sum int64
	var all sync.WaitGroup
	all.Add(n)
	for i := 0; i < n; i++ {
		go func(i int) {
			atomic.AddInt64(&sum, int64(i))
			all.Done()
		}(i)
	}
	all.Wait()
	check(sum, sumBelow(n))
}

func chain(left int, sum *int64, end chan<- struct{}) {
	*sum += int64(left)
	if left > 0 {
		go chain(left-1, sum, end)
	} else {
		close(end)
	}
}

func spawnChain(n int) {
	var sum int64
	end := make(chan struct{})
	go chain(n-1, &sum, end)
	<-end
	check(sum, sumBelow(n))
}

func parked(n int) []Quantity {
	var sum, waiting int64
	var all sync.WaitGroup
	until := make(chan struct{})
	before := residentBytes()
	all.Add(n)
	for i := 0; i < n; i++ {
		go func(i int) {
			atomic.AddInt64(&waiting, 1)
			<-until
			atomic.AddInt64(&sum, int64(i))
			all.Done()
		}(i)
	}
	for atomic.LoadInt64(&waiting) < int64(n) {
		runtime.Gosched()
	}
	bytes := (residentBytes() - before) / float64(n)

	started := time.Now()
	close(until)
	all.Wait()
	ns := nanosecondsEach(started, n)
	check(sum, sumBelow(n))
	return []Quantity{{"bytes", bytes}, {"ns", ns}}
}

func init() {
	add("spawn", spawn)
	add("spawn_chain", spawnChain)
	workloads["parked"] = parked
}
