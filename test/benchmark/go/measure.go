// The same workloads in Go. See ../main.cpp and ../measure.hpp.
package main

import (
	"fmt"
	"math/bits"
	"net"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Quantity is what was measured.
type Quantity struct {
	name  string
	value float64
}

var workloads = map[string]func(size int) []Quantity{}

// add makes known a workload that does `size` operations.
func add(name string, run func(size int)) {
	addCounted(name, func(size int) int {
		run(size)
		return size
	})
}

// addCounted is for workloads that tell how many operations they did.
func addCounted(name string, run func(size int) int) {
	workloads[name] = func(size int) []Quantity {
		started := time.Now()
		operations := run(size)
		return []Quantity{{"ns", nanosecondsEach(started, operations)}}
	}
}

// addChannels makes known a workload over channels without a buffer, with room for one value, and
// for all: name_0, name_1 and name_n.
func addChannels(name string, run func(n, capacity int)) {
	add(name+"_0", ofCapacity(0, run))
	add(name+"_1", ofCapacity(1, run))
	add(name+"_n", func(n int) { run(n, n) })
}

// ofCapacity is a workload over channels of one capacity.
func ofCapacity(capacity int, run func(n, capacity int)) func(n int) {
	return func(n int) { run(n, capacity) }
}

func nanosecondsEach(started time.Time, n int) float64 {
	return float64(time.Since(started).Nanoseconds()) / float64(n)
}

// sumBelow is what is received when 0 ... n - 1 are sent.
func sumBelow(n int) int64 { return int64(n) * int64(n-1) / 2 }

func check(is, shouldBe int64) {
	if is != shouldBe {
		fmt.Fprintf(os.Stderr, "the sum is %d instead of %d\n", is, shouldBe)
		os.Exit(1)
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func microsecondsSince(t time.Time) float64 { return float64(time.Since(t).Nanoseconds()) / 1e3 }

// processorSeconds is the processor time that this program has used.
func processorSeconds() float64 {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// residentBytes is how much of this program is in memory.
func residentBytes() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	must(err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	must(err)
	return float64(pages * os.Getpagesize())
}

// perMille is the number that so many of a thousand samples are not above.
func perMille(samples []float64, share int) float64 {
	sort.Float64s(samples)
	return samples[len(samples)*share/1000]
}

func percentile99(samples []float64) float64 { return perMille(samples, 990) }

// histogram is how often something took how long, to one part in 16. See ../measure.hpp.
type histogram struct {
	counts [1024]int
	total  int
}

func (h *histogram) add(d time.Duration) {
	ns := uint64(d)
	index := int(ns)
	if ns >= 16 {
		shift := bits.Len64(ns) - 5
		index = shift*16 + int(ns>>shift)
	}
	h.counts[index]++
	h.total++
}

// perMille is the microseconds that so many of a thousand are not above.
func (h *histogram) perMille(share int) float64 {
	below, i := h.counts[0], 0
	for ; i+1 < len(h.counts) && below*1000 < h.total*share; below += h.counts[i] {
		i++
	}
	if i++; i < 16 {
		return float64(i) / 1e3
	}
	return float64(uint64(16+i%16)<<(i/16-1)) / 1e3
}

// keepPollerBusy has a socket and a timer pending, as a server has.
func keepPollerBusy() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go listener.Accept()
	go time.Sleep(time.Hour)
}

func main() {
	if len(os.Args) < 2 {
		for name := range workloads {
			fmt.Println(name)
		}
		return
	}
	run, known := workloads[os.Args[1]]
	if !known || len(os.Args) < 3 {
		fmt.Fprintf(os.Stderr, "usage: %s [WORKLOAD SIZE [THREADS]]\n", os.Args[0])
		os.Exit(2)
	}
	size, err := strconv.Atoi(os.Args[2])
	must(err)
	threads := 1
	if len(os.Args) > 3 {
		threads, err = strconv.Atoi(os.Args[3])
		must(err)
	}
	runtime.GOMAXPROCS(threads)
	keepPollerBusy()
	for _, q := range run(size) {
		fmt.Printf("%s %.3f\n", q.name, q.value)
	}
}
