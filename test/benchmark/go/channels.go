package main

import (
	"sync"
	"sync/atomic"
)

func pingPong(n int) {
	there, back := make(chan int64), make(chan int64)
	go func() {
		for i := 0; i < n; i++ {
			back <- <-there + 1
		}
	}()
	var sum int64
	for i := 0; i < n; i++ {
		there <- int64(i)
		sum += <-back
	}
	check(sum, sumBelow(n+1))
}

// stream sends values from some goroutines to others over one channel.
func stream(senders, receivers int) func(n, capacity int) {
	return func(n, capacity int) {
		ch := make(chan int64, capacity)
		each := n / senders
		var sum int64
		var producers, consumers sync.WaitGroup
		producers.Add(senders)
		consumers.Add(receivers)
		for i := 0; i < senders; i++ {
			go func(from, to int) {
				for v := from; v < to; v++ {
					ch <- int64(v)
				}
				producers.Done()
			}(i*each, (i+1)*each)
		}
		for i := 0; i < receivers; i++ {
			go func() {
				var own int64
				for v := range ch {
					own += v
				}
				atomic.AddInt64(&sum, own)
				consumers.Done()
			}()
		}
		producers.Wait()
		close(ch)
		consumers.Wait()
		check(sum, sumBelow(each*senders))
	}
}

// inTurn fills the buffer and empties it in one goroutine.
func inTurn(n, capacity int) {
	ch := make(chan int64, capacity)
	rounds := n / capacity
	var sum int64
	for round := 0; round < rounds; round++ {
		for i := 0; i < capacity; i++ {
			ch <- int64(i)
		}
		for i := 0; i < capacity; i++ {
			sum += <-ch
		}
	}
	check(sum, int64(rounds)*sumBelow(capacity))
}

// tryReceive receives without waiting from a channel that has nothing.
func tryReceive(closed bool) func(n int) {
	return func(n int) {
		ch := make(chan int64, 100)
		if closed {
			close(ch)
		}
		misses := 0
		for i := 0; i < n; i++ {
			select {
			case _, ok := <-ch:
				if closed && !ok {
					misses++
				}
			default:
				if !closed {
					misses++
				}
			}
		}
		check(int64(misses), int64(n))
	}
}

func filter(in <-chan int64, out chan<- int64, prime int64) {
	for v := range in {
		if v%prime != 0 {
			out <- v
		}
	}
}

func sieve(n int) {
	ch := make(chan int64)
	go func(ch chan<- int64) {
		for i := int64(2); ; i++ {
			ch <- i
		}
	}(ch)
	var last int64
	for i := 0; i < n; i++ {
		last = <-ch
		next := make(chan int64)
		go filter(ch, next, last)
		ch = next
	}
	for d := int64(2); d*d <= last; d++ {
		if last%d == 0 {
			check(last, 0)
		}
	}
}

func ring(laps int) int {
	const members = 1000
	first := make(chan int64)
	last := first
	for i := 1; i < members; i++ {
		next := make(chan int64)
		go func(in <-chan int64, out chan<- int64) {
			for lap := 0; lap < laps; lap++ {
				out <- <-in + 1
			}
		}(last, next)
		last = next
	}
	var count int64
	for lap := 0; lap < laps; lap++ {
		first <- count + 1
		count = <-last
	}
	check(count, int64(members*laps))
	return members * laps
}

func init() {
	add("ping_pong", pingPong)
	add("unbuffered", ofCapacity(0, stream(1, 1)))
	add("buffered", ofCapacity(100, stream(1, 1)))
	add("buffered_4_4", ofCapacity(100, stream(4, 4)))
	addChannels("spsc", stream(1, 1))
	addChannels("mpsc", stream(4, 1))
	addChannels("mpmc", stream(4, 4))
	add("uncontended", ofCapacity(100, inTurn))
	add("seq_n", func(n int) { inTurn(n, n) })
	add("try_empty", tryReceive(false))
	add("try_closed", tryReceive(true))
	add("sieve", sieve)
	addCounted("ring", ring)
}
