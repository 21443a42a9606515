// examples/http_server.cpp's routes GET / and POST /echo, and its limits on time, with net/http.
//
//	http_go PORT THREADS
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"time"
)

func fail(what any) {
	fmt.Fprintln(os.Stderr, "http_go:", what)
	os.Exit(1)
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: http_go PORT THREADS")
	}
	threads, err := strconv.Atoi(os.Args[2])
	if err != nil || threads < 1 {
		fail("how many threads?")
	}
	runtime.GOMAXPROCS(threads)

	routes := http.NewServeMux()
	routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "hello\n")
	})
	routes.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.Copy(w, r.Body)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fail(err)
	}
	fmt.Println("listening on", listener.Addr().(*net.TCPAddr).Port)
	server := http.Server{
		Handler:      routes,
		IdleTimeout:  60 * time.Second,
		ReadTimeout:  5 * time.Second,
		WriteTimeout: 5 * time.Second,
	}
	fail(server.Serve(listener))
}
