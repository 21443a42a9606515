package main

import (
	"runtime"
	"runtime/debug"
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

// crowd is many goroutines that wait until a channel is closed.
type crowd struct {
	until        chan struct{}
	sum, waiting int64
	all          sync.WaitGroup
}

func park(n int) *crowd {
	c := &crowd{until: make(chan struct{})}
	c.all.Add(n)
	for i := 0; i < n; i++ {
		go func(i int) {
			atomic.AddInt64(&c.waiting, 1)
			<-c.until
			atomic.AddInt64(&c.sum, int64(i))
			c.all.Done()
		}(i)
	}
	for atomic.LoadInt64(&c.waiting) < int64(n) {
		runtime.Gosched()
	}
	return c
}

// unpark wakes and ends them.
func (c *crowd) unpark(n int) {
	close(c.until)
	c.all.Wait()
	check(c.sum, sumBelow(n))
}

func parked(n int) []Quantity {
	before := residentBytes()
	c := park(n)
	bytes := (residentBytes() - before) / float64(n)
	started := time.Now()
	c.unpark(n)
	return []Quantity{{"bytes", bytes}, {"ns", nanosecondsEach(started, n)}}
}

// memoryReturned: what goroutines that were parked leave behind.
func memoryReturned(n int) []Quantity {
	before := residentBytes()
	c := park(n)
	parked := residentBytes() - before
	c.unpark(n)
	debug.FreeOSMemory()
	left := residentBytes() - before
	return []Quantity{{"parked_bytes", parked / float64(n)}, {"left_bytes", left / float64(n)}}
}

func init() {
	add("spawn", spawn)
	add("spawn_chain", spawnChain)
	workloads["parked"] = parked
	workloads["memory_returned"] = memoryReturned
}
