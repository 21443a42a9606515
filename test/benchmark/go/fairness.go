package main

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// fairness: how late a timer, a socket and a goroutine that yields are while two others keep
// handing over values.
type fairness struct {
	over        int32
	started     time.Time
	timer, read []float64
	turn        histogram
}

func (f *fairness) isOver() bool { return atomic.LoadInt32(&f.over) != 0 }

// hammer sends until it is over, and returns how many values.
func (f *fairness) hammer(out chan<- int64) (sent int64) {
	for ; !f.isOver(); sent++ {
		out <- sent
	}
	close(out)
	return sent
}

// sleep ends the others when it has ended.
func (f *fairness) sleep(times int) {
	const pause = 20 * time.Millisecond
	for i := 0; i < times; i++ {
		due := time.Now().Add(pause)
		time.Sleep(pause)
		f.timer = append(f.timer, microsecondsSince(due))
	}
	atomic.StoreInt32(&f.over, 1)
}

// writeTime writes the time every few milliseconds from a thread of its own, without Go's timers.
func (f *fairness) writeTime(out int) (written int64) {
	runtime.LockOSThread()
	pause := syscall.NsecToTimespec(int64(4 * time.Millisecond))
	var data [8]byte
	for again := true; again; again = !f.isOver() {
		binary.LittleEndian.PutUint64(data[:], uint64(time.Since(f.started)))
		_, err := syscall.Write(out, data[:])
		must(err)
		written++
		syscall.Nanosleep(&pause, nil) // a signal may end it early
	}
	must(syscall.Close(out))
	return written
}

func (f *fairness) readTime(in net.Conn) {
	var data [8]byte
	for {
		_, err := io.ReadFull(in, data[:])
		if err == io.EOF {
			return
		}
		must(err)
		written := f.started.Add(time.Duration(binary.LittleEndian.Uint64(data[:])))
		f.read = append(f.read, microsecondsSince(written))
	}
}

func (f *fairness) takeTurns() {
	for again := true; again; again = !f.isOver() {
		before := time.Now()
		runtime.Gosched()
		f.turn.add(time.Since(before))
	}
}

func fair(n int) []Quantity {
	f := fairness{started: time.Now()}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	must(err)
	in, err := net.FileConn(os.NewFile(uintptr(fds[0]), "socket"))
	must(err)
	ch := make(chan int64)
	var sent, written, sum int64
	var all sync.WaitGroup
	start := func(what func()) {
		all.Add(1)
		go func() {
			what()
			all.Done()
		}()
	}
	start(func() { sent = f.hammer(ch) })
	start(func() {
		for v := range ch {
			sum += v
		}
	})
	start(func() { written = f.writeTime(fds[1]) })
	start(func() { f.readTime(in) })
	start(f.takeTurns)
	start(func() { f.sleep(n) })
	all.Wait()
	check(sum, sumBelow(int(sent)))
	check(int64(len(f.read)), written)
	return []Quantity{
		{"timer_p99_us", percentile99(f.timer)},
		{"read_p99_us", percentile99(f.read)},
		{"turn_p99_us", f.turn.perMille(990)},
	}
}

func init() {
	workloads["fairness"] = fair
}
