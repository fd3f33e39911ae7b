package main

import "encoding/binary"

const (
	clusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	endpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
)

// variant is where the two protocols have their fields: requests (DiscoveryRequest, DeltaDiscoveryRequest) and the
// entries of a response, which is otherwise alike.
type variant struct {
	path                        string
	node, typeURL, names, nonce int
	version                     int // SotW alone: an ACK names the version, and all names again
	entryBody                   []int
}

var variants = map[string]variant{
	"delta": {
		path: "DeltaAggregatedResources", node: 1, typeURL: 2, names: 3, nonce: 6, entryBody: []int{2, 2},
	},
	"sotw": {
		path: "StreamAggregatedResources", version: 1, node: 2, names: 3, typeURL: 4, nonce: 5, entryBody: []int{2},
	},
}

// appendField appends a length-delimited field.
func appendField[T string | []byte](to []byte, number int, value T) []byte {
	to = binary.AppendUvarint(to, uint64(number)<<3|2)
	to = binary.AppendUvarint(to, uint64(len(value)))
	return append(to, value...)
}

func appendNames(to []byte, number int, names []string) []byte {
	for _, name := range names {
		to = appendField(to, number, name)
	}
	return to
}

// each calls with every length-delimited field of a message; the few varints that xDS has here are stepped over.
func each(message []byte, call func(number int, value []byte)) {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		message = message[n:]
		value, n := binary.Uvarint(message)
		message = message[n:]
		if tag&7 == 2 {
			call(int(tag>>3), message[:value])
			message = message[value:]
		}
	}
}

// dig follows first fields inwards.
func dig(message []byte, path ...int) []byte {
	for _, wanted := range path {
		var found []byte
		each(message, func(number int, value []byte) {
			if number == wanted && found == nil {
				found = value
			}
		})
		message = found
	}
	return message
}

// response is what an ACK needs of a response of either variant.
type response struct {
	version, typeURL, nonce []byte
	entries                 int
}

func parse(message []byte) (found response) {
	each(message, func(number int, value []byte) {
		switch number {
		case 1:
			found.version = value
		case 2:
			found.entries++
		case 4:
			found.typeURL = value
		case 5:
			found.nonce = value
		}
	})
	return found
}

// sequences reads out of the first endpoint of each assignment which change it brings; 0: none.
func sequences(message []byte, v variant, call func(sequence int)) {
	each(message, func(number int, entry []byte) {
		if number != 2 {
			return
		}
		// ClusterLoadAssignment.endpoints.lb_endpoints.endpoint.address.socket_address.address
		address := dig(dig(entry, v.entryBody...), 2, 2, 1, 1, 1, 2)
		if len(address) < 3 || string(address[:3]) != "11." {
			return
		}
		sequence, part := 0, 0
		for _, digit := range address[3:] {
			if digit == '.' {
				sequence, part = sequence<<8|part, 0
			} else {
				part = part*10 + int(digit-'0')
			}
		}
		call(sequence<<8 | part)
	})
}
