// Command gcp serves the benchmark's resources with go-control-plane, as its own example does: the same gRPC options,
// no logger, no callbacks. The caches are in caches.go.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"tsunagu/benchmarks/peers/lines"
)

// content is what is served: decoded once, as an application holds it.
type content struct {
	clusters  []*clusterv3.Cluster
	endpoints []*endpointv3.ClusterLoadAssignment
	place     map[string]int // name of an assignment -> its index
}

var (
	served content
	store  caches
)

func main() {
	lines.Serve(map[string]lines.Handler{"load": load, "serve": serve, "change": change, "churn": churn})
}

// load reads the resources: lines of {"type": CDS or EDS, "body": base64}.
func load(raw json.RawMessage) (map[string]any, error) {
	var command struct{ Path string }
	if err := json.Unmarshal(raw, &command); err != nil {
		return nil, err
	}
	file, err := os.Open(command.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	served = content{place: map[string]int{}}
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		if err := served.add(scanner.Bytes()); err != nil {
			return nil, err
		}
	}
	return map[string]any{"resources": len(served.clusters) + len(served.endpoints)}, nil
}

func (c *content) add(line []byte) error {
	var one struct {
		Type string
		Body []byte
	}
	if err := json.Unmarshal(line, &one); err != nil {
		return err
	}
	if one.Type == "CDS" {
		cluster := &clusterv3.Cluster{}
		c.clusters = append(c.clusters, cluster)
		return proto.Unmarshal(one.Body, cluster)
	}
	assignment := &endpointv3.ClusterLoadAssignment{}
	if err := proto.Unmarshal(one.Body, assignment); err != nil {
		return err
	}
	c.place[assignment.ClusterName] = len(c.endpoints)
	c.endpoints = append(c.endpoints, assignment)
	return nil
}

// serve opens a port on loopback with a cache of the kind asked for; "nodes" lists the ids of those who will come.
func serve(raw json.RawMessage) (map[string]any, error) {
	var command struct {
		Cache string
		Nodes []string
	}
	if err := json.Unmarshal(raw, &command); err != nil {
		return nil, err
	}
	var err error
	if store, err = newCaches(command.Cache, command.Nodes); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	grpcServer := grpc.NewServer(
		grpc.MaxConcurrentStreams(1000000),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 30 * time.Second, PermitWithoutStream: true}),
	)
	xds := server.NewServer(context.Background(), store.cache(), nil)
	discovery.RegisterAggregatedDiscoveryServiceServer(grpcServer, xds)
	go func() { log.Fatal(grpcServer.Serve(listener)) }()
	return map[string]any{"address": listener.Addr().String()}, nil
}

// change gives one service another first endpoint and publishes it.
func change(raw json.RawMessage) (map[string]any, error) {
	var command struct {
		Name     string
		Sequence int
	}
	if err := json.Unmarshal(raw, &command); err != nil {
		return nil, err
	}
	begun := lines.Now()
	err := publish(command.Name, command.Sequence)
	return map[string]any{"at": begun, "returned": lines.Now()}, err
}

// churn changes one service after the other, `rate` a second, for some seconds or as many as can be done in them.
func churn(raw json.RawMessage) (map[string]any, error) {
	var command struct {
		First         int
		Rate, Seconds float64
	}
	if err := json.Unmarshal(raw, &command); err != nil {
		return nil, err
	}
	var times []int64
	due := time.Now()
	end := due.Add(time.Duration(float64(time.Second) * command.Seconds))
	for due.Before(end) && time.Now().Before(end) {
		time.Sleep(time.Until(due))
		due = due.Add(time.Duration(float64(time.Second) / command.Rate))
		name := served.endpoints[len(times)%len(served.endpoints)].ClusterName
		times = append(times, lines.Now())
		if err := publish(name, command.First+len(times)-1); err != nil {
			return nil, err
		}
	}
	return map[string]any{"times": times}, nil
}

func publish(name string, sequence int) error {
	at, ok := served.place[name]
	if !ok {
		return fmt.Errorf("no service %q", name)
	}
	changed := proto.Clone(served.endpoints[at]).(*endpointv3.ClusterLoadAssignment)
	first := changed.Endpoints[0].LbEndpoints[0].GetEndpoint().Address.GetSocketAddress()
	first.Address = fmt.Sprintf("11.%d.%d.%d", sequence>>16&255, sequence>>8&255, sequence&255)
	served.endpoints[at] = changed
	return store.publish(changed, sequence)
}
