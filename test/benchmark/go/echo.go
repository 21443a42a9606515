package main

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

func serve(c net.Conn) {
	var data [64]byte
	for {
		n, err := c.Read(data[:])
		if err != nil {
			return
		}
		_, err = c.Write(data[:n])
		must(err)
	}
}

func serveWithLimits(c net.Conn) {
	var data [64]byte
	for {
		must(c.SetReadDeadline(time.Now().Add(30 * time.Second)))
		n, err := c.Read(data[:])
		if err != nil {
			return
		}
		must(c.SetWriteDeadline(time.Now().Add(5 * time.Second)))
		_, err = c.Write(data[:n])
		must(err)
	}
}

// stopped makes a server of one that ends with a context.
func stopped(ctx context.Context, serve func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		ended := make(chan struct{})
		go func() {
			select {
			case <-ctx.Done():
				c.Close()
			case <-ended:
			}
		}()
		serve(c)
		close(ended)
	}
}

func request(c net.Conn, n int, microseconds []float64) {
	var data [64]byte
	for i := 0; i < n; i++ {
		started := time.Now()
		data[0] = byte(i)
		_, err := c.Write(data[:])
		must(err)
		_, err = io.ReadFull(c, data[:])
		must(err)
		check(int64(data[0]), int64(byte(i)))
		microseconds[i] = microsecondsSince(started)
	}
	c.Close()
}

func echo(connections int, serve func(net.Conn)) func(size int) []Quantity {
	return func(size int) []Quantity {
		each := size / connections
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		var clients []net.Conn
		for i := 0; i < connections; i++ {
			client, err := net.Dial("tcp", listener.Addr().String())
			must(err)
			server, err := listener.Accept()
			must(err)
			go serve(server)
			clients = append(clients, client)
		}
		latencies := make([]float64, each*connections)
		var open sync.WaitGroup
		open.Add(connections)
		started := time.Now()
		for i, c := range clients {
			go func(c net.Conn, microseconds []float64) {
				request(c, each, microseconds)
				open.Done()
			}(c, latencies[i*each:(i+1)*each])
		}
		open.Wait()
		ns := nanosecondsEach(started, each*connections)
		return []Quantity{{"ns", ns}, {"p99_us", percentile99(latencies)}}
	}
}

func init() {
	ctx, cancel := context.WithCancel(context.Background())
	_ = cancel // The program ends first.
	workloads["echo_1"] = echo(1, serve)
	workloads["echo_100"] = echo(100, serve)
	workloads["server_timeouts"] = echo(100, serveWithLimits)
	workloads["server_stop"] = echo(100, stopped(ctx, serve))
	workloads["server_both"] = echo(100, stopped(ctx, serveWithLimits))
}
