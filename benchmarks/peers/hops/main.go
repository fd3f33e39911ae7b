// Command hops is both ends of the data path's benchmark: an app that answers at once, and a client that keeps a number of
// connections busy. Both do as little as HTTP/1.1 allows, so that what is between them is what is measured.
//
//	hops serve PORT...
//	hops load HOST:PORT CONNECTIONS SECONDS   -> {"requests", "failed", "p50", "p99"} (seconds)
//	hops anew HOST:PORT CONNECTIONS SECONDS   as `load`, with a new connection for each request, in whose time it counts
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"
)

const body = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

func main() {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		for _, port := range os.Args[3:] {
			go serve(port)
		}
		serve(os.Args[2])
	}
	clients := map[string]client{"load": kept, "anew": anew}
	if len(os.Args) == 5 && clients[os.Args[1]] != nil {
		load(clients[os.Args[1]], os.Args[2], number(os.Args[3]), number(os.Args[4]))
		return
	}
	fail(errors.New("usage: hops serve PORT... | hops load|anew HOST:PORT CONNECTIONS SECONDS"))
}

func serve(port string) {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fail(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go answer(connection)
	}
}

// answer gives every request the same answer; requests have no body.
func answer(connection net.Conn) {
	defer connection.Close()
	in := bufio.NewReader(connection)
	response := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(body), body))
	for {
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := connection.Write(response); err != nil {
			return
		}
	}
}

// A client makes requests, one at a time, until `end`.
type client func(address string, end time.Time) result

func load(one client, address string, connections, seconds float64) {
	runtime.GOMAXPROCS(1) // one thread, as an Envoy has: more would only wake each other
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	results := make(chan result)
	for range int(connections) {
		go func() { results <- one(address, end) }()
	}
	var times []float64
	failed := 0
	for range int(connections) {
		found := <-results
		times = append(times, found.times...)
		failed += found.failed
	}
	sort.Float64s(times)
	said := map[string]any{"requests": len(times), "failed": failed}
	if len(times) > 0 {
		said["p50"], said["p99"] = times[len(times)/2], times[len(times)*99/100]
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		fail(err)
	}
}

type result struct {
	times  []float64
	failed int
}

// kept makes all requests on one connection, which is not opened again when it fails.
func kept(address string, end time.Time) (found result) {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return result{failed: 1}
	}
	defer connection.Close()
	request, in := asking(address), bufio.NewReader(connection)
	for {
		begun := time.Now()
		if begun.After(end) {
			return found
		}
		if _, err := connection.Write(request); err != nil || !read(in) {
			found.failed++
			return found
		}
		found.times = append(found.times, time.Since(begun).Seconds())
	}
}

// anew makes each request on a connection of its own. After one that fails there is no other.
func anew(address string, end time.Time) (found result) {
	request := asking(address)
	for {
		begun := time.Now()
		if begun.After(end) {
			return found
		}
		if !alone(address, request) {
			found.failed++
			return found
		}
		found.times = append(found.times, time.Since(begun).Seconds())
	}
}

// alone makes one request on a connection of its own; false if it got no 200.
func alone(address string, request []byte) bool {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	defer connection.Close()
	_, err = connection.Write(request)
	return err == nil && read(bufio.NewReader(connection))
}

func asking(address string) []byte {
	host, _, _ := strings.Cut(address, ":")
	return []byte("GET / HTTP/1.1\r\nhost: " + host + "\r\n\r\n")
}

// read takes one response; false if it is no 200.
func read(in *bufio.Reader) bool {
	line, err := in.ReadSlice('\n')
	good := err == nil && strings.HasPrefix(string(line), "HTTP/1.1 200")
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return false
		}
		if len(line) == 2 {
			break
		}
		if text, is := strings.CutPrefix(string(line), "content-length: "); is {
			length, _ = strconv.Atoi(strings.TrimSpace(text))
		}
	}
	_, err = io.CopyN(io.Discard, in, int64(length))
	return good && err == nil
}

func number(text string) float64 {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		fail(err)
	}
	return value
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
