"""The parts of an envoy cluster that a policy decides: balancing, limits, ejection, active checks.

The one rule: Service Connect's own policy makes the bytes that it always made; a member is set only where a policy says
something else. Where Envoy's own defaults would defeat Service Connect's, ours stand (docs/translation.md gives the reasons).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.type import v3 as type_v3

if TYPE_CHECKING:
    from tsunagu.mesh.traffic.model import Balancing, Budget, Check, Ejection, Pool

# App Mesh's default (its User Guide, Envoy defaults), assumed to be Service Connect's too: circuit breakers never trip.
_UNLIMITED: Final = 2147483647
_POLICIES: Final = {
    "ROUND_ROBIN": cluster_v3.ClusterLbPolicy.ROUND_ROBIN,
    "LEAST_REQUEST": cluster_v3.ClusterLbPolicy.LEAST_REQUEST,
    "RANDOM": cluster_v3.ClusterLbPolicy.RANDOM,
    "RING_HASH": cluster_v3.ClusterLbPolicy.RING_HASH,
    "MAGLEV": cluster_v3.ClusterLbPolicy.MAGLEV,
}


def balance(cluster: cluster_v3.Cluster, balancing: Balancing) -> None:
    """Set how endpoints are chosen."""
    cluster.lb_policy = _POLICIES[balancing.algorithm]
    start = _slow_start(balancing)
    if balancing.algorithm == "LEAST_REQUEST":
        cluster.least_request_lb_config = cluster_v3.ClusterLeastRequestLbConfig(
            choice_count=balancing.choices, slow_start_config=start
        )
    elif start is not None:
        cluster.round_robin_lb_config = cluster_v3.ClusterRoundRobinLbConfig(slow_start_config=start)


def _slow_start(balancing: Balancing) -> cluster_v3.ClusterSlowStartConfig | None:
    if not balancing.slow_start:
        return None
    return cluster_v3.ClusterSlowStartConfig(
        slow_start_window=timedelta(milliseconds=balancing.slow_start),
        min_weight_percent=type_v3.Percent(value=float(balancing.slow_start_percent)),
    )


def circuit_breakers(pool: Pool, budget: Budget | None) -> cluster_v3.CircuitBreakers:
    """Thresholds; what has no limit never trips. Envoy's defaults (3 concurrent retries, 1024 connections) cause errors."""
    thresholds = cluster_v3.CircuitBreakersThresholds(
        max_connections=_UNLIMITED if pool.connections is None else pool.connections,
        max_pending_requests=_UNLIMITED if pool.pending is None else pool.pending,
        max_requests=_UNLIMITED if pool.requests is None else pool.requests,
        max_retries=_UNLIMITED,
    )
    if budget is not None:
        thresholds.retry_budget = cluster_v3.CircuitBreakersThresholdsRetryBudget(
            budget_percent=type_v3.Percent(value=budget.percent), min_retry_concurrency=budget.at_least
        )
    return cluster_v3.CircuitBreakers(thresholds=[thresholds])


def outlier_detection(ejection: Ejection, *, tcp: bool) -> cluster_v3.OutlierDetection | None:
    """Ejection after so many failures in a row; None: never. A tcp endpoint can only fail to connect."""
    if not ejection.errors:
        return None
    return cluster_v3.OutlierDetection(
        consecutive_5xx=ejection.errors,
        split_external_local_origin_errors=tcp,
        consecutive_local_origin_failure=ejection.errors if tcp else None,
        interval=timedelta(milliseconds=ejection.interval),
        base_ejection_time=timedelta(milliseconds=ejection.base),
        max_ejection_time=timedelta(milliseconds=ejection.longest),
        max_ejection_percent=ejection.percent,
        always_eject_one_host=True,  # 10 % of fewer than 10 hosts is none
        enforcing_success_rate=0,  # Service Connect ejects only for failures in a row
        enforcing_local_origin_success_rate=0 if tcp else None,
    )


def health_checks(check: Check | None, protocol: str, host: str) -> list[core_v3.HealthCheck]:
    """What each proxy asks each endpoint; the interval holds without traffic too, where Envoy would wait for a minute.

    `host`: for whom it asks. Envoy would say the cluster's name, whose slashes the server's proxy refuses.
    """
    if check is None:
        return []
    interval = timedelta(milliseconds=check.interval)
    made = core_v3.HealthCheck(
        timeout=timedelta(milliseconds=check.timeout),
        interval=interval,
        no_traffic_interval=interval,
        healthy_threshold=check.healthy,
        unhealthy_threshold=check.unhealthy,
    )
    match check.protocol or protocol:
        case "tcp":
            made.tcp_health_check = core_v3.HealthCheckTcpHealthCheck()
        case "grpc":
            made.grpc_health_check = core_v3.HealthCheckGrpcHealthCheck(service_name=check.service, authority=host)
        case spoken:
            codec = type_v3.CodecClientType.HTTP2 if spoken == "http2" else type_v3.CodecClientType.HTTP1
            made.http_health_check = core_v3.HealthCheckHttpHealthCheck(
                host=host, path=check.path, codec_client_type=codec
            )
    return [made]
