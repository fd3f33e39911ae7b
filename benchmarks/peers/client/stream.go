package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"golang.org/x/net/http2/hpack"

	"tsunagu/benchmarks/peers/lines"
)

// HTTP/2 (RFC 9113), as much as a client of one stream per connection needs.
const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameGoAway, frameWindow = 0, 1, 3, 4, 6, 7, 8

	flagAck, flagEndStream, flagEndHeaders = 1, 1, 4
	flagPadded                             = 8

	settingTableSize, settingWindow = 1, 4

	window   = 1 << 28 // Envoy's default for streams and connections
	renewAt  = window / 2
	maxFrame = 1 << 14
	preface  = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// stream is one simulated proxy: a connection with one aggregated stream. One goroutine reads, answers and writes.
type stream struct {
	fleet *fleet
	index int
	names []string // of the endpoints, and of the clusters unless these come by wildcard
	asks  []byte   // these names as a field of a request

	conn   net.Conn
	in     *bufio.Reader
	out    []byte // frames to write
	queued []byte // gRPC messages that wait for the server's window
	header [9]byte
	partly []byte // a gRPC message that has not come whole

	connWindow, streamWindow, initialWindow int64
	consumed                                int
	bytesIn, bytesOut                       atomic.Int64

	clusters, entries int // resources received
	asked             bool
	samples           []sample
	newest, newestAt  atomic.Int64 // the latest change that was brought, and when
}

type sample struct {
	sequence int
	at       int64
}

func (s *stream) run() error {
	if err := s.open(); err != nil {
		return err
	}
	for {
		if err := s.frame(); err != nil {
			return err
		}
		if s.in.Buffered() == 0 {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
}

func (s *stream) open() error {
	conn, err := net.Dial(s.fleet.network, s.fleet.address)
	if err != nil {
		return err
	}
	s.conn, s.in = conn, bufio.NewReaderSize(conn, 1<<16)
	s.connWindow, s.streamWindow, s.initialWindow = 65535, 65535, 65535
	s.out = append(s.out, preface...)
	settings := binary.BigEndian.AppendUint32([]byte{0, settingTableSize, 0, 0, 0, 0, 0, settingWindow}, window)
	s.out = appendFrame(s.out, frameSettings, 0, 0, settings)
	s.out = appendFrame(s.out, frameWindow, 0, 0, binary.BigEndian.AppendUint32(nil, window-65535))
	s.out = appendFrame(s.out, frameHeaders, flagEndHeaders, 1, s.fleet.headers)
	s.send(s.fleet.hello(s.index, s.asks))
	return s.flush()
}

func appendFrame(to []byte, kind, flags byte, id uint32, payload []byte) []byte {
	size := len(payload)
	to = append(to, byte(size>>16), byte(size>>8), byte(size), kind, flags)
	to = binary.BigEndian.AppendUint32(to, id)
	return append(to, payload...)
}

// send queues a gRPC message.
func (s *stream) send(message []byte) {
	s.queued = append(s.queued, 0)
	s.queued = binary.BigEndian.AppendUint32(s.queued, uint32(len(message)))
	s.queued = append(s.queued, message...)
}

// flush writes what there is, messages as far as the server's windows allow.
func (s *stream) flush() error {
	for len(s.queued) > 0 {
		size := min(int64(len(s.queued)), maxFrame, s.connWindow, s.streamWindow)
		if size <= 0 {
			break
		}
		s.out = appendFrame(s.out, frameData, 0, 1, s.queued[:size])
		s.queued = s.queued[size:]
		s.connWindow -= size
		s.streamWindow -= size
	}
	if len(s.queued) == 0 {
		s.queued = nil
	}
	if len(s.out) == 0 {
		return nil
	}
	n, err := s.conn.Write(s.out)
	s.bytesOut.Add(int64(n))
	s.out = s.out[:0]
	return err
}

func (s *stream) frame() error {
	if _, err := io.ReadFull(s.in, s.header[:]); err != nil {
		return err
	}
	size := int(s.header[0])<<16 | int(s.header[1])<<8 | int(s.header[2])
	kind, flags := s.header[3], s.header[4]
	id := binary.BigEndian.Uint32(s.header[5:]) & 0x7fffffff
	s.bytesIn.Add(int64(9 + size))
	if kind == frameData {
		return s.data(size, flags)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return err
	}
	switch kind {
	case frameSettings:
		s.settings(flags, payload)
	case framePing:
		if flags&flagAck == 0 {
			s.out = appendFrame(s.out, framePing, flagAck, 0, payload)
		}
	case frameWindow:
		s.widen(id, int64(binary.BigEndian.Uint32(payload)))
	case frameHeaders:
		if flags&flagEndStream != 0 {
			return fmt.Errorf("the server ended the stream: %s", trailers(payload))
		}
	case frameReset, frameGoAway:
		return fmt.Errorf("the server sent frame %d: %x", kind, payload)
	}
	return nil
}

func (s *stream) settings(flags byte, payload []byte) {
	if flags&flagAck != 0 {
		return
	}
	for ; len(payload) >= 6; payload = payload[6:] {
		if binary.BigEndian.Uint16(payload) == settingWindow {
			value := int64(binary.BigEndian.Uint32(payload[2:]))
			s.streamWindow += value - s.initialWindow
			s.initialWindow = value
		}
	}
	s.out = appendFrame(s.out, frameSettings, flagAck, 0, nil)
}

func (s *stream) widen(id uint32, by int64) {
	if id == 0 {
		s.connWindow += by
	} else {
		s.streamWindow += by
	}
}

func trailers(block []byte) string {
	fields, err := hpack.NewDecoder(0, nil).DecodeFull(block)
	return fmt.Sprint(fields, err)
}

// data takes a DATA frame in, and acts on each gRPC message that is whole by it.
func (s *stream) data(size int, flags byte) error {
	if flags&flagPadded != 0 {
		return fmt.Errorf("a padded frame")
	}
	at := len(s.partly)
	s.reserve(at + size)
	s.partly = s.partly[:at+size]
	if _, err := io.ReadFull(s.in, s.partly[at:]); err != nil {
		return err
	}
	s.renew(size)
	rest := s.partly
	for len(rest) >= 5 {
		length := int(binary.BigEndian.Uint32(rest[1:])) + 5
		if len(rest) < length {
			break
		}
		if err := s.message(rest[5:length]); err != nil {
			return err
		}
		rest = rest[length:]
	}
	if len(rest) == 0 {
		s.partly = nil
	} else {
		s.partly = s.partly[:copy(s.partly, rest)]
	}
	return nil
}

// reserve makes room for what has come, and for the rest of its message at once.
func (s *stream) reserve(size int) {
	if cap(s.partly) >= size {
		return
	}
	if len(s.partly) >= 5 {
		size = max(size, 5+int(binary.BigEndian.Uint32(s.partly[1:]))+maxFrame)
	}
	s.partly = append(make([]byte, 0, size), s.partly...)
}

func (s *stream) renew(size int) {
	if s.consumed += size; s.consumed < renewAt {
		return
	}
	by := binary.BigEndian.AppendUint32(nil, uint32(s.consumed))
	s.out = appendFrame(s.out, frameWindow, 0, 0, by)
	s.out = appendFrame(s.out, frameWindow, 0, 1, by)
	s.consumed = 0
}

// message ACKs a response at once, as Envoy does when it can use it, and notes what it brings.
func (s *stream) message(message []byte) error {
	f := s.fleet
	got := parse(message)
	if string(got.typeURL) == clusterType {
		s.clusters += got.entries
		s.send(f.ack(got, s.asks))
		if !s.asked && s.clusters >= f.wantClusters(s.names) {
			s.asked = true
			s.send(f.subscribe(endpointType, s.asks))
		}
		return nil
	}
	s.entries += got.entries
	s.send(f.ack(got, s.asks))
	if err := s.flush(); err != nil {
		return err
	}
	if f.tracking.Load() {
		s.track(message, lines.Now())
	}
	armed := f.armed.Load()
	if armed.at[s.index] != 0 || s.entries < len(s.names) || !bytes.Contains(message, armed.needle) {
		return nil
	}
	armed.at[s.index] = lines.Now()
	if armed.left.Add(-1) == 0 {
		close(armed.done)
	}
	return nil
}

// track notes which changes a response brings.
func (s *stream) track(message []byte, now int64) {
	newest := 0
	sequences(message, s.fleet.variant, func(sequence int) {
		s.samples = append(s.samples, sample{sequence, now})
		newest = max(newest, sequence)
	})
	if int64(newest) > s.newest.Load() {
		s.newestAt.Store(now)
		s.newest.Store(int64(newest))
	}
}
