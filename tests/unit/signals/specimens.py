"""Flows and readings, as node agents send them."""

from tsunagu.v1 import signals_pb2

NOW = 1_800_000_000.0


def inward(name="api", latency=None, **numbers):
    flow = signals_pb2.Flow(direction="ingress", namespace="shop", discovery_name=name, port_name="http", **numbers)
    return timed(flow, latency)


def outward(name="api", latency=None, **numbers):
    return timed(signals_pb2.Flow(direction="egress", namespace="shop", discovery_name=name, **numbers), latency)


def leaving(refused=None, **numbers):
    return signals_pb2.Flow(direction="outside", namespace="shop", refused=refused or {}, **numbers)


def timed(flow, latency):
    """`latency`: milliseconds -> how many values."""
    for milliseconds, count in sorted((latency or {}).items()):
        flow.latency.lower_us.append(milliseconds * 1000)
        flow.latency.counts.append(count)
    return flow


def flag(flags, code, count, proxy_error="", grpc=None):
    return signals_pb2.Flag(flags=flags, code=code, count=count, proxy_error=proxy_error, grpc_status=grpc)


def reading(at, *flows, envoy="1", **more):
    """`at`: seconds after NOW; `envoy`: which process."""
    return signals_pb2.Reading(incarnation=envoy, time=NOW + at, flows=flows, **more)


def given(
    *readings, task="default/api-1", service="api", revision="default/api/1", whole=False, gateway="", relay=False
):
    source = signals_pb2.Source(
        task=task, cluster="default", service=service, revision=revision, namespace="shop", gateway=gateway, relay=relay
    )
    return signals_pb2.TaskReadings(source=source, readings=readings, whole=whole)
