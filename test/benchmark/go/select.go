package main

import "sync"

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
	add("select_shared", selectShared)
}
