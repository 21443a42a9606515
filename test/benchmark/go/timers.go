package main

import (
	"sync"
	"time"
)

// sleepOf is how long sleeper `i` sleeps: 1 to 100 ms, in no order.
func sleepOf(i int) time.Duration {
	return time.Duration(1000+i*7919%99001) * time.Microsecond
}

func sleepers(n int) []Quantity {
	late := make([]float64, n)
	before := processorSeconds()
	var all sync.WaitGroup
	all.Add(n)
	for i := 0; i < n; i++ {
		go func(d time.Duration, late *float64) {
			started := time.Now()
			time.Sleep(d)
			*late = float64((time.Since(started) - d).Nanoseconds()) / 1e3
			all.Done()
		}(sleepOf(i), &late[i])
	}
	all.Wait()
	cpu := processorSeconds() - before
	return []Quantity{{"cpu_ns", cpu * 1e9 / float64(n)}, {"p99_us", percentile99(late)}}
}

func timeout(n int) {
	ch := make(chan int64, 1)
	var sum int64
	for i := 0; i < n; i++ {
		ch <- int64(i)
		timer := time.NewTimer(time.Second)
		select {
		case v := <-ch:
			sum += v
		case <-timer.C:
		}
		timer.Stop()
	}
	check(sum, sumBelow(n))
}

func init() {
	workloads["sleepers"] = sleepers
	add("timeout", timeout)
}
