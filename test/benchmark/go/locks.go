package main

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// semaphore is Go's usual one: a channel with room for as many as may hold it.
type semaphore chan struct{}

func (s semaphore) Lock()   { s <- struct{}{} }
func (s semaphore) Unlock() { <-s }

func newMutex() sync.Locker     { return new(sync.Mutex) }
func newSemaphore() sync.Locker { return make(semaphore, 1) }

func uncontendedLock(newLock func() sync.Locker) func(n int) {
	return func(n int) {
		lock := newLock()
		var sum int64
		for i := 0; i < n; i++ {
			lock.Lock()
			sum += int64(i)
			lock.Unlock()
		}
		check(sum, sumBelow(n))
	}
}

// contendedLock yields while it holds the lock, so that the others have to wait for it.
func contendedLock(newLock func() sync.Locker) func(n int) {
	return func(n int) {
		const members = 4
		lock := newLock()
		var sum int64
		var all sync.WaitGroup
		all.Add(members)
		for i := 0; i < members; i++ {
			go func() {
				for j := 0; j < n/members; j++ {
					lock.Lock()
					before := sum
					runtime.Gosched()
					sum = before + 1
					lock.Unlock()
				}
				all.Done()
			}()
		}
		all.Wait()
		check(sum, int64(n/members*members))
	}
}

type job struct {
	number int64
	result chan<- int64
}

// fourWorkers: 64 goroutines that each wait for the result of one job at a time, from four workers.
func fourWorkers(n int, do func(number int64) int64) {
	const clients = 64
	each := n / clients
	jobs := make(chan job, clients)
	for i := 0; i < 4; i++ {
		go func() {
			for j := range jobs {
				j.result <- do(j.number)
			}
		}()
	}
	var sum int64
	var all sync.WaitGroup
	all.Add(clients)
	for i := 0; i < clients; i++ {
		go func(from, to int) {
			var own int64
			for i := from; i < to; i++ {
				result := make(chan int64, 1)
				jobs <- job{int64(i), result}
				own += <-result
			}
			atomic.AddInt64(&sum, own)
			all.Done()
		}(i*each, (i+1)*each)
	}
	all.Wait()
	close(jobs)
	check(sum, sumBelow(each*clients))
}

func workerPool(n int) {
	fourWorkers(n, func(number int64) int64 { return number })
}

// workerPoolTimeout: the same with a limit on each job that none reaches.
func workerPoolTimeout(n int) {
	fourWorkers(n, func(number int64) int64 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		return unlessDone(ctx, number)
	})
}

//go:noinline
func unlessDone(ctx context.Context, number int64) int64 {
	if ctx.Err() != nil {
		return 0
	}
	return number
}

func init() {
	add("mutex_uncontended", uncontendedLock(newMutex))
	add("mutex_contended", contendedLock(newMutex))
	add("semaphore_uncontended", uncontendedLock(newSemaphore))
	add("semaphore_contended", contendedLock(newSemaphore))
	add("worker_pool", workerPool)
	add("worker_pool_timeout", workerPoolTimeout)
}
