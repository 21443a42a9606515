package main

import (
	"sync"
	"sync/atomic"
	"time"
)

func makeChannels(k, capacity int) []chan int64 {
	all := make([]chan int64, k)
	for i := range all {
		all[i] = make(chan int64, capacity)
	}
	return all
}

func receiveFrom2(ch []chan int64) int64 {
	select {
	case v := <-ch[0]:
		return v
	case v := <-ch[1]:
		return v
	}
}

func receiveFrom4(ch []chan int64) int64 {
	select {
	case v := <-ch[0]:
		return v
	case v := <-ch[1]:
		return v
	case v := <-ch[2]:
		return v
	case v := <-ch[3]:
		return v
	}
}

func sendToOwn(ch []chan int64, sender int, v int64) { ch[sender] <- v }

func sendToAny(ch []chan int64, _ int, v int64) {
	select {
	case ch[0] <- v:
	case ch[1] <- v:
	case ch[2] <- v:
	case ch[3] <- v:
	}
}

func receiveFrom8(ch []chan int64) int64 {
	select {
	case v := <-ch[0]:
		return v
	case v := <-ch[1]:
		return v
	case v := <-ch[2]:
		return v
	case v := <-ch[3]:
		return v
	case v := <-ch[4]:
		return v
	case v := <-ch[5]:
		return v
	case v := <-ch[6]:
		return v
	case v := <-ch[7]:
		return v
	}
}

// selectReady: of all channels one has a value in its buffer when the select begins.
func selectReady(k int, receive func(ch []chan int64) int64) func(n int) {
	return func(n int) {
		ch := makeChannels(k, 1)
		var sum int64
		for i := 0; i < n; i++ {
			ch[i%k] <- int64(i)
			sum += receive(ch)
		}
		check(sum, sumBelow(n))
	}
}

// selectParking: none has; the sender waits for an acknowledgement of each value.
func selectParking(k int, receive func(ch []chan int64) int64) func(n int) {
	return func(n int) {
		ch := makeChannels(k, 0)
		acknowledged := make(chan struct{})
		go func() {
			for i := 0; i < n; i++ {
				ch[i%k] <- int64(i)
				<-acknowledged
			}
		}()
		var sum int64
		for i := 0; i < n; i++ {
			sum += receive(ch)
			acknowledged <- struct{}{}
		}
		check(sum, sumBelow(n))
	}
}

// select2Sends: of two sends one is ready; the other channel is full.
func select2Sends(n int) {
	full, open := make(chan int64, 1), make(chan int64, 1)
	full <- 0
	var sum int64
	for i := 0; i < n; i++ {
		select {
		case full <- int64(i):
		case open <- int64(i):
		}
		sum += <-open
	}
	check(sum, sumBelow(n))
}

func selectDefault(n int) {
	empty := make(chan int64)
	misses := 0
	for i := 0; i < n; i++ {
		select {
		case <-empty:
		default:
			misses++
		}
	}
	check(int64(misses), int64(n))
}

// selectProdCons: both ends of a channel also wait for a timer and for an end, of which neither
// comes. As BenchmarkSelectProdCons of Go's runtime, without the work that it has them do.
func selectProdCons(n int) {
	ch := make(chan int64, 128)
	end := make(chan struct{})
	go func() {
		hour := time.After(time.Hour)
		for i := 0; i < n; i++ {
			select {
			case ch <- int64(i):
			case <-hour:
			case <-end:
			}
		}
		close(ch)
	}()
	hour := time.After(time.Hour)
	var sum int64
	for open := true; open; {
		var v int64
		select {
		case v, open = <-ch:
			sum += v
		case <-hour:
		case <-end:
		}
	}
	check(sum, sumBelow(n))
}

type sendFunc func(ch []chan int64, sender int, v int64)

// throughFour sends values from four goroutines through four channels to some that select.
func throughFour(receivers int, send sendFunc) func(n, capacity int) {
	return func(n, capacity int) {
		ch := makeChannels(4, capacity)
		each := n / 4
		var sum int64
		var all sync.WaitGroup
		all.Add(4 + receivers)
		for i := 0; i < 4; i++ {
			go func(sender int) {
				for v := sender * each; v < (sender+1)*each; v++ {
					send(ch, sender, int64(v))
				}
				all.Done()
			}(i)
		}
		for i := 0; i < receivers; i++ {
			go func() {
				var own int64
				for j := 0; j < 4*each/receivers; j++ {
					own += receiveFrom4(ch)
				}
				atomic.AddInt64(&sum, own)
				all.Done()
			}()
		}
		all.Wait()
		check(sum, sumBelow(4*each))
	}
}

// selectShared: a thousand goroutines, each of which waits for a channel of all and for one of its
// own.
func selectShared(n int) {
	const members = 1000
	shared := make(chan int64)
	own := makeChannels(members, 0)
	sums := make([]int64, members)
	var all sync.WaitGroup
	all.Add(members)
	for i := range own {
		go func(own chan int64, sum *int64) {
			defer all.Done()
			for {
				var v int64
				var ok bool
				select {
				case v, ok = <-shared:
				case v, ok = <-own:
				}
				if !ok {
					return
				}
				*sum += v
			}
		}(own[i], &sums[i])
	}
	for i := 0; i < n; i++ {
		if i%2 == 0 {
			shared <- int64(i)
		} else {
			own[i%members] <- int64(i)
		}
	}
	close(shared)
	all.Wait()
	var sum int64
	for _, s := range sums {
		sum += s
	}
	check(sum, sumBelow(n))
}

func init() {
	add("select_2_ready", selectReady(2, receiveFrom2))
	add("select_8_ready", selectReady(8, receiveFrom8))
	add("select_2_parking", selectParking(2, receiveFrom2))
	add("select_8_parking", selectParking(8, receiveFrom8))
	add("select_2_sends", select2Sends)
	add("select_default", selectDefault)
	add("select_prod_cons", selectProdCons)
	addChannels("select_rx", throughFour(1, sendToOwn))
	addChannels("select_both", throughFour(4, sendToAny))
	add("select_shared", selectShared)
}
