package main

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// condition: a value through a place that has room for one.
func condition(n int) {
	var mutex sync.Mutex
	filled, emptied := sync.NewCond(&mutex), sync.NewCond(&mutex)
	full := false
	var value, sum int64
	go func() {
		for i := 0; i < n; i++ {
			mutex.Lock()
			for full {
				emptied.Wait()
			}
			value = int64(i)
			full = true
			filled.Signal()
			mutex.Unlock()
		}
	}()
	for i := 0; i < n; i++ {
		mutex.Lock()
		for !full {
			filled.Wait()
		}
		sum += value
		full = false
		emptied.Signal()
		mutex.Unlock()
	}
	check(sum, sumBelow(n))
}

func once(n int) {
	var first sync.Once
	var calls int64
	for i := 0; i < n; i++ {
		first.Do(func() { calls++ })
	}
	check(calls, 1)
}

// flights is golang.org/x/sync/singleflight's Group without its care for panics.
type flights struct {
	mutex sync.Mutex
	calls map[int64]*flight
}

type flight struct {
	done  sync.WaitGroup
	value int64
}

func (f *flights) do(key int64, fetch func() int64) int64 {
	f.mutex.Lock()
	if c, found := f.calls[key]; found {
		f.mutex.Unlock()
		c.done.Wait()
		return c.value
	}
	c := new(flight)
	c.done.Add(1)
	f.calls[key] = c
	f.mutex.Unlock()
	c.value = fetch()
	f.mutex.Lock()
	delete(f.calls, key)
	f.mutex.Unlock()
	c.done.Done()
	return c.value
}

// singleflight: 64 goroutines that ask for eight keys, each for one after the other.
func singleflight(n int) int {
	const askers, keys = 64, 8
	each := n / askers / keys * keys
	all := flights{calls: make(map[int64]*flight)}
	var sum int64
	var over sync.WaitGroup
	over.Add(askers)
	for i := 0; i < askers; i++ {
		go func(from, to int) {
			var own int64
			for i := from; i < to; i++ {
				key := int64(i % keys)
				own += all.do(key, func() int64 {
					runtime.Gosched()
					return key
				})
			}
			atomic.AddInt64(&sum, own)
			over.Done()
		}(i*each, (i+1)*each)
	}
	over.Wait()
	check(sum, int64(askers*each/keys)*sumBelow(keys))
	return askers * each
}

// sharedMutex: one lock of ten is a writer's. Each yields while it holds the lock.
func sharedMutex(n int) int {
	const members = 10
	each := n / members / 10 * 10
	var lock sync.RWMutex
	var written int64
	var all sync.WaitGroup
	all.Add(members)
	for i := 0; i < members; i++ {
		go func() {
			for j := 0; j < each; j++ {
				if j%10 == 0 {
					lock.Lock()
					before := written
					runtime.Gosched()
					written = before + 1
					lock.Unlock()
				} else {
					lock.RLock()
					before := written
					runtime.Gosched()
					check(written, before)
					lock.RUnlock()
				}
			}
			all.Done()
		}()
	}
	all.Wait()
	check(written, int64(members*each/10))
	return members * each
}

func init() {
	add("condition", condition)
	add("once", once)
	addCounted("singleflight", singleflight)
	addCounted("shared_mutex", sharedMutex)
}
