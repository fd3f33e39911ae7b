// Package lines is how the harness steers a process: one JSON object per line in, one out, in order.
package lines

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// Handler carries out one command; its answer is an object.
type Handler func(raw json.RawMessage) (map[string]any, error)

// Serve answers commands until the input ends. "usage" and "settle" are known everywhere.
func Serve(handlers map[string]Handler) {
	handlers["usage"] = usage
	handlers["settle"] = settle
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(err)
		}
		answer, err := answer(handlers, line)
		if err != nil {
			answer = map[string]any{"error": err.Error()}
		}
		if err := out.Encode(answer); err != nil {
			panic(err)
		}
	}
}

func answer(handlers map[string]Handler, line []byte) (map[string]any, error) {
	var command struct {
		Do string `json:"do"`
	}
	if err := json.Unmarshal(line, &command); err != nil {
		return nil, err
	}
	handler, ok := handlers[command.Do]
	if !ok {
		return nil, fmt.Errorf("no command %q", command.Do)
	}
	return handler(line)
}

// Now is CLOCK_MONOTONIC in nanoseconds, the same clock in every process of the machine.
func Now() int64 {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &at); err != nil {
		panic(err)
	}
	return at.Nano()
}

// usage tells what this process has used so far: CPU in seconds, resident memory in bytes.
func usage(json.RawMessage) (map[string]any, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return nil, err
	}
	seconds := float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
	resident, err := resident()
	return map[string]any{"cpu": seconds, "rss": resident}, err
}

func resident() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0, err
	}
	return pages * int64(os.Getpagesize()), nil
}

// settle gives back what is garbage, so that resident memory is what is held.
func settle(json.RawMessage) (map[string]any, error) {
	runtime.GC()
	debug.FreeOSMemory()
	return map[string]any{}, nil
}
