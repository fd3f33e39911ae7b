"""The values that single fields of a Route and of a TrafficPolicy may have: rows of the tables in ``constraints``.

The one rule: limits are App Mesh's where it has the field (its API Reference), else those of Envoy.
"""

from __future__ import annotations

from typing import Final

_COUNT: Final = (1, 2147483647)

#: (lowest, highest) of a number, by ``Message.field``.
RANGES: Final[dict[str, tuple[int, int]]] = {
    "Route.priority": (0, 1000),
    "NumberRange.start": (-(2**63), 2**63 - 1),
    "WeightedTarget.weight": (0, 1_000_000),
    "Redirect.port": (1, 65535),
    "FixedResponse.statusCode": (200, 599),
    "Mirror.percent": (0, 100),
    "Duration.value": (0, 2147483647),
    "RetryPolicy.maxRetries": (0, 100),
    "FaultDelay.percent": (0, 100),
    "FaultAbort.percent": (0, 100),
    "FaultAbort.httpStatus": (200, 599),
    "FaultAbort.grpcStatus": (0, 16),
    "LoadBalancing.choices": (2, 16),
    "SlowStart.minWeightPercent": (0, 100),
    "HttpPool.maxConnections": _COUNT,
    "HttpPool.maxPendingRequests": _COUNT,
    "RequestPool.maxRequests": _COUNT,
    "TcpPool.maxConnections": _COUNT,
    "OutlierDetection.maxServerErrors": (0, 2147483647),
    "OutlierDetection.maxEjectionPercent": (0, 100),
    "HealthCheckPolicy.healthyThreshold": (1, 10),
    "HealthCheckPolicy.unhealthyThreshold": (1, 10),
    "HealthCheckPolicy.intervalMillis": (100, 300_000),  # App Mesh: from 5000; less serves trying
    "HealthCheckPolicy.timeoutMillis": (100, 60_000),  # App Mesh: from 2000
    "RetryBudget.percent": (0, 100),
    "RetryBudget.minConcurrency": (0, 2147483647),
}

#: The only values of a text, or of the elements of a list of texts.
VALUES: Final[dict[str, tuple[str, ...]]] = {
    "RouteMatch.method": ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"),
    "Redirect.scheme": ("http", "https"),
    "Duration.unit": ("ms", "s"),
    "RetryPolicy.httpRetryEvents": ("server-error", "gateway-error", "client-error", "stream-error"),
    "RetryPolicy.tcpRetryEvents": ("connection-error",),
    "RetryPolicy.grpcRetryEvents": (
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    ),
    "LoadBalancing.algorithm": ("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "RING_HASH", "MAGLEV"),
    "HealthCheckPolicy.protocol": ("http", "http2", "grpc", "tcp"),
}

#: How many elements a list may have.
LENGTHS: Final[dict[str, int]] = {
    "RouteMatch.headers": 10,
    "RouteMatch.metadata": 10,
    "RouteMatch.queryParameters": 10,
    "RouteAction.weightedTargets": 10,
}

#: Fields that must be there.
MUST: Final[dict[str, tuple[str, ...]]] = {
    "Route": ("action",),
    "HeaderMatch": ("name",),
    "QueryParameterMatch": ("name",),
    "WeightedTarget": ("target",),
    "FixedResponse": ("statusCode",),
    "Mirror": ("target",),
    "Duration": ("unit",),
    "FaultDelay": ("percent", "fixed"),
    "FaultAbort": ("percent",),
    "SlowStart": ("window",),
}

#: Messages of which exactly one field is set.
UNIONS: Final = frozenset({"PathMatch", "ValueMatch"})
