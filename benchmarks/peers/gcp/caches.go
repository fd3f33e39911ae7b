package main

import (
	"context"
	"fmt"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/log"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// caches is one way of go-control-plane to hold what it serves.
type caches interface {
	cache() cache.Cache
	publish(changed *endpointv3.ClusterLoadAssignment, sequence int) error
}

func newCaches(kind string, nodes []string) (caches, error) {
	switch kind {
	case "snapshot":
		return newSnapshots(group{}, []string{"all"})
	case "nodes":
		return newSnapshots(cache.IDHash{}, nodes)
	case "linear":
		return newLinear(), nil
	}
	return nil, fmt.Errorf("no cache %q", kind)
}

// group lets all nodes share one snapshot: the cheapest that the snapshot cache can be had for.
type group struct{}

func (group) ID(*corev3.Node) string { return "all" }

// snapshots is the snapshot cache, not in its ads mode, as in go-control-plane's own example. "nodes": a snapshot for
// each node, as that example sets them; "snapshot": one for all.
type snapshots struct {
	of       cache.SnapshotCache
	keys     []string
	clusters cache.Resources // its version stays: clusters do not change, and SotW is not made to send them again
}

func newSnapshots(hash cache.NodeHash, keys []string) (*snapshots, error) {
	s := &snapshots{of: cache.NewSnapshotCache(false, hash, log.NewDefaultLogger()), keys: keys}
	clusters := make([]types.Resource, len(served.clusters))
	for i, cluster := range served.clusters {
		clusters[i] = cluster
	}
	s.clusters = cache.NewResources("0", clusters)
	return s, s.publish(nil, 0)
}

func (s *snapshots) cache() cache.Cache { return s.of }

func (s *snapshots) publish(_ *endpointv3.ClusterLoadAssignment, sequence int) error {
	for _, key := range s.keys {
		if err := s.of.SetSnapshot(context.Background(), key, s.snapshot(sequence)); err != nil {
			return err
		}
	}
	return nil
}

// snapshot is one for one key: an application makes them for each node, for they may differ.
func (s *snapshots) snapshot(sequence int) *cache.Snapshot {
	endpoints := make([]types.Resource, len(served.endpoints))
	for i, assignment := range served.endpoints {
		endpoints[i] = assignment
	}
	made := &cache.Snapshot{}
	made.Resources[types.Cluster] = s.clusters
	made.Resources[types.Endpoint] = cache.NewResources(strconv.Itoa(sequence), endpoints)
	return made
}

// linear is a linear cache for each type behind a mux.
type linear struct {
	mux       *cache.MuxCache
	endpoints *cache.LinearCache
}

func newLinear() *linear {
	clusters, endpoints := map[string]types.Resource{}, map[string]types.Resource{}
	for _, cluster := range served.clusters {
		clusters[cluster.Name] = cluster
	}
	for _, assignment := range served.endpoints {
		endpoints[assignment.ClusterName] = assignment
	}
	l := &linear{endpoints: cache.NewLinearCache(resource.EndpointType, cache.WithInitialResources(endpoints))}
	l.mux = &cache.MuxCache{
		Classify:      func(request *cache.Request) string { return request.GetTypeUrl() },
		ClassifyDelta: func(request *cache.DeltaRequest) string { return request.GetTypeUrl() },
		Caches: map[string]cache.Cache{
			resource.ClusterType:  cache.NewLinearCache(resource.ClusterType, cache.WithInitialResources(clusters)),
			resource.EndpointType: l.endpoints,
		},
	}
	return l
}

func (l *linear) cache() cache.Cache { return l.mux }

func (l *linear) publish(changed *endpointv3.ClusterLoadAssignment, _ int) error {
	return l.endpoints.UpdateResource(changed.ClusterName, changed)
}
