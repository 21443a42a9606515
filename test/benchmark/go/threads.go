package main

import (
	"runtime"
	"time"
)

// fromThread: a thread that runs one goroutine only, and another goroutine that answers it.
func fromThread(n int) []Quantity {
	there, back := make(chan int64, 1), make(chan int64, 1)
	go func() {
		for v := range there {
			back <- v + 1
		}
	}()
	latencies := make([]float64, 0, n)
	sums := make(chan int64)
	go func() {
		runtime.LockOSThread()
		var sum int64
		for i := 0; i < n; i++ {
			started := time.Now()
			there <- int64(i)
			sum += <-back
			latencies = append(latencies, microsecondsSince(started))
		}
		close(there)
		sums <- sum
	}()
	check(<-sums, sumBelow(n+1))
	return []Quantity{{"p50_us", perMille(latencies, 500)}, {"p999_us", perMille(latencies, 999)}}
}

func init() {
	workloads["from_thread"] = fromThread
}
