// Command client is a fleet of simulated proxies: each its own connection with one aggregated stream, delta or SotW.
//
// Rule: cheap, so that it is not what is measured. HTTP/2 is written by hand with one fixed header block; of a response
// only what an ACK needs is read. An ACK is sent before the next frame is looked at.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2/hpack"

	"tsunagu/benchmarks/peers/lines"
)

// fleet is the proxies of one scenario.
type fleet struct {
	network, address string
	variant          variant
	sotw             bool
	wildcard         bool // clusters are asked for by wildcard
	known            int  // how many clusters a wildcard brings
	extensions       []byte
	headers          []byte
	streams          []*stream
	failed           chan error
	armed            atomic.Pointer[arming]
	tracking         atomic.Bool
	in, out          int64 // bytes at the last arming
}

// arming is the wait for an ACK, by each stream, of a response that has the needle in it.
type arming struct {
	needle []byte
	at     []int64 // when each stream sent that ACK, CLOCK_MONOTONIC in ns
	left   atomic.Int64
	done   chan struct{}
}

var current *fleet

func main() {
	lines.Serve(map[string]lines.Handler{
		"connect": connect, "arm": arm, "wait": wait, "track": track, "latencies": latencies, "reached": reached,
		"close": closeAll,
	})
}

// connect opens all streams at once; "wait" tells when each has ACKed all that it asked for.
func connect(raw json.RawMessage) (map[string]any, error) {
	var command struct {
		Address, Variant string
		Streams          int
		Sets             [][]string // of names; stream i takes set i modulo their number
		Wildcard         bool
		Clusters         int
		Extensions       int // entries in the node, as Envoy has some 600
	}
	if err := json.Unmarshal(raw, &command); err != nil {
		return nil, err
	}
	v, ok := variants[command.Variant]
	if !ok {
		return nil, fmt.Errorf("no variant %q", command.Variant)
	}
	f := &fleet{
		network: "tcp", address: command.Address, variant: v, sotw: command.Variant == "sotw",
		wildcard: command.Wildcard, known: command.Clusters, extensions: extensions(command.Extensions),
		failed: make(chan error, command.Streams),
	}
	f.headers = headers(v.path)
	asks := make([][]byte, len(command.Sets))
	for i, names := range command.Sets {
		asks[i] = appendNames(nil, v.names, names)
	}
	for i := range command.Streams {
		set := i % len(command.Sets)
		f.streams = append(f.streams, &stream{fleet: f, index: i, names: command.Sets[set], asks: asks[set]})
	}
	current = f
	f.arm(nil)
	begun := lines.Now()
	for _, s := range f.streams {
		go func() { f.failed <- s.run() }()
	}
	return map[string]any{"at": begun}, nil
}

func headers(method string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0)
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":authority", "xds"},
		{":path", "/envoy.service.discovery.v3.AggregatedDiscoveryService/" + method},
		{"te", "trailers"}, {"content-type", "application/grpc"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			panic(err)
		}
	}
	return block.Bytes()
}

// extensions are Node.extensions {1: name, 2: category, 5: type_urls} of the size that Envoy's are.
func extensions(count int) (all []byte) {
	for number := range count {
		one := appendField(nil, 1, fmt.Sprintf("envoy.filters.benchmark.extension_%03d", number))
		one = appendField(one, 2, "envoy.filters.benchmark")
		one = appendField(one, 5, fmt.Sprintf("envoy.extensions.filters.benchmark.v3.Extension%03d", number))
		all = appendField(all, 9, one)
	}
	return all
}

// hello is a stream's first message: who it is, and that it wants clusters.
func (f *fleet) hello(index int, asks []byte) []byte {
	node := appendField(nil, 1, "proxy-"+strconv.Itoa(index))
	node = append(appendField(node, 2, "benchmark"), f.extensions...)
	message := appendField(nil, f.variant.node, node)
	message = appendField(message, f.variant.typeURL, clusterType)
	if !f.wildcard {
		message = append(message, asks...)
	}
	return message
}

func (f *fleet) subscribe(typeURL string, asks []byte) []byte {
	return append(appendField(nil, f.variant.typeURL, typeURL), asks...)
}

func (f *fleet) ack(got response, asks []byte) []byte {
	message := appendField(nil, f.variant.typeURL, got.typeURL)
	message = appendField(message, f.variant.nonce, got.nonce)
	if !f.sotw {
		return message
	}
	message = appendField(message, f.variant.version, got.version)
	if f.wildcard && string(got.typeURL) == clusterType {
		return message
	}
	return append(message, asks...)
}

func (f *fleet) wantClusters(names []string) int {
	if f.wildcard {
		return f.known
	}
	return len(names)
}

func (f *fleet) arm(needle []byte) {
	armed := &arming{needle: needle, at: make([]int64, len(f.streams)), done: make(chan struct{})}
	armed.left.Store(int64(len(f.streams)))
	f.in, f.out = f.bytes()
	f.armed.Store(armed)
}

func (f *fleet) bytes() (in, out int64) {
	for _, s := range f.streams {
		in += s.bytesIn.Load()
		out += s.bytesOut.Load()
	}
	return in, out
}

// arm begins to wait for content that has `needle` in it.
func arm(raw json.RawMessage) (map[string]any, error) {
	var command struct{ Needle string }
	if err := json.Unmarshal(raw, &command); err != nil {
		return nil, err
	}
	current.arm([]byte(command.Needle))
	return map[string]any{}, nil
}

// wait gives the times of the ACKs armed for, relative to "since", and the bytes since the arming.
func wait(raw json.RawMessage) (map[string]any, error) {
	var command struct {
		Since   int64
		Timeout float64
	}
	if err := json.Unmarshal(raw, &command); err != nil {
		return nil, err
	}
	f := current
	armed := f.armed.Load()
	select {
	case <-armed.done:
	case err := <-f.failed:
		return nil, err
	case <-time.After(time.Duration(command.Timeout * float64(time.Second))):
		return nil, fmt.Errorf("%d of %d streams have not ACKed", armed.left.Load(), len(f.streams))
	}
	in, out := f.bytes()
	answer := spread(armed.at, command.Since)
	answer["in"], answer["out"] = in-f.in, out-f.out
	return answer, nil
}

// spread gives seconds since an instant: least, median, p99, most.
func spread(at []int64, since int64) map[string]any {
	sorted := slices.Sorted(slices.Values(at))
	pick := func(share float64) float64 { return float64(sorted[int(share*float64(len(sorted)-1))]-since) / 1e9 }
	return map[string]any{"least": pick(0), "median": pick(0.5), "p99": pick(0.99), "most": pick(1), "count": len(sorted)}
}

// track begins to note when each change reaches each stream.
func track(json.RawMessage) (map[string]any, error) {
	current.tracking.Store(true)
	return map[string]any{}, nil
}

// reached waits until each stream has been brought the change `sequence`, and tells when the last one was.
func reached(raw json.RawMessage) (map[string]any, error) {
	var command struct {
		Sequence int64
		Timeout  float64
	}
	if err := json.Unmarshal(raw, &command); err != nil {
		return nil, err
	}
	f := current
	for deadline := lines.Now() + int64(command.Timeout*1e9); ; time.Sleep(time.Millisecond) {
		last, behind := int64(0), 0
		for _, s := range f.streams {
			if s.newest.Load() < command.Sequence {
				behind++
			}
			last = max(last, s.newestAt.Load())
		}
		if behind == 0 {
			in, out := f.bytes()
			return map[string]any{"at": last, "in": in - f.in, "out": out - f.out}, nil
		}
		if lines.Now() > deadline {
			return nil, fmt.Errorf("%d of %d streams are behind", behind, len(f.streams))
		}
	}
}

// latencies compares what was noted with when the changes were made: `times[i]` is that of change `first` + i.
func latencies(raw json.RawMessage) (map[string]any, error) {
	var command struct {
		First int
		Times []int64
	}
	if err := json.Unmarshal(raw, &command); err != nil {
		return nil, err
	}
	var took []int64
	for _, s := range current.streams {
		for _, one := range s.samples {
			if at := one.sequence - command.First; at >= 0 && at < len(command.Times) {
				took = append(took, one.at-command.Times[at])
			}
		}
	}
	if len(took) == 0 {
		return nil, fmt.Errorf("no change was seen")
	}
	return spread(took, 0), nil
}

func closeAll(json.RawMessage) (map[string]any, error) {
	for _, s := range current.streams {
		s.conn.Close()
	}
	for range current.streams {
		<-current.failed
	}
	current = nil
	return map[string]any{}, nil
}
