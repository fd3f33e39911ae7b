"""Tracing: the spans that proxies make of requests, and the collector to which they send them by OTLP.

An Envoy whose listener has a tracer puts itself into the traceparent of every request, even of those that it does not sample, and
would so cut the traces that apps make themselves. The one rule: only the listeners of tasks that are deployed to trace have
one; how many requests are sampled, and where spans go, is in routes and in the collector's endpoints, and may change at any
time. A request that belongs to a trace already is sampled as its caller says.

Source: envoy.config.trace.v3.OpenTelemetryConfig; what Envoy 1.40 does is in docs/adr/0033.
"""

from __future__ import annotations

from copy import copy
from functools import cache
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.config.trace import v3 as trace_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.tracers.opentelemetry.resource_detectors import v3 as detectors_v3
from envoy_data_plane.envoy.type import v3 as type_v3

from tsunagu.translate import names
from tsunagu.translate.codec import pack

if TYPE_CHECKING:
    from envoy_data_plane.google.protobuf import Any

#: The header of a request that belongs to a trace (W3C Trace Context).
_TRACEPARENT: Final = "traceparent"
_EVERY: Final = 100.0
_HUNDREDTHS: Final = 10_000  # parts of 1,000,000 in a percent


def tracer() -> hcm_v3.HttpConnectionManagerTracing:
    """The tracer of a listener. Nothing is sampled where the route does not say so.

    A span names its service by the proxy's environment (`tsunagu_sidecar.command`), since listeners are shared by services.
    """
    return hcm_v3.HttpConnectionManagerTracing(
        provider=trace_v3.TracingHttp(name="envoy.tracers.opentelemetry", typed_config=_provider()),
        random_sampling=type_v3.Percent(value=0.0),
    )


@cache
def _provider() -> Any:
    collector = core_v3.GrpcServiceEnvoyGrpc(cluster_name=names.COLLECTOR)
    detector = core_v3.TypedExtensionConfig(
        name="envoy.tracers.opentelemetry.resource_detectors.environment",
        typed_config=pack(detectors_v3.EnvironmentResourceDetectorConfig()),
    )
    return pack(
        trace_v3.OpenTelemetryConfig(
            grpc_service=core_v3.GrpcService(envoy_grpc=collector), resource_detectors=[detector]
        )
    )


def sampled(route: route_v3.Route, percentage: float) -> list[route_v3.Route]:
    """The routes that do as `route`, of which the first is for requests that belong to a trace already."""
    following, other = copy(route), copy(route)
    following.match = copy(route.match)
    assert following.match is not None
    follows = route_v3.HeaderMatcher(name=_TRACEPARENT, present_match=True)
    following.match.headers = [*following.match.headers, follows]
    following.tracing, other.tracing = _sampling(_EVERY), _sampling(percentage)
    return [following, other]


def _sampling(percentage: float) -> route_v3.Tracing:
    fraction = type_v3.FractionalPercent(
        numerator=round(percentage * _HUNDREDTHS), denominator=type_v3.FractionalPercentDenominatorType.MILLION
    )
    return route_v3.Tracing(random_sampling=fraction)
