"""Counters of what went wrong: responses with a flag, a 5xx or a failed gRPC status, and connections with a flag.

Envoy's own counters of 5xx mix what an app answered with what a proxy answered in its place. These say of each failure
which flags it has, and whether the target's proxy made it: an ingress says so in `proxy-status` (RFC 9209). The one rule: a
request that succeeds costs the look at a filter, and no more; what fails is counted once, when it has ended.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.accesslog import v3 as accesslog_v3
from envoy_data_plane.envoy.extensions.access_loggers.stats import v3 as stats_v3
from envoy_data_plane.envoy.extensions.filters.http.grpc_stats import v3 as grpc_stats_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.type import v3 as type_v3

from tsunagu.translate import names
from tsunagu.translate.codec import pack
from tsunagu.translate.egress_logs import failed

if TYPE_CHECKING:
    from collections.abc import Mapping

# A counter needs memory, and codes are what apps make of them: more than these are not counted.
MOST_COUNTERS: Final = 512
#: Tag -> Envoy's command operator. `proxy` last: a value of an app's own may contain anything.
_TAGS: Final[Mapping[str, str]] = {
    "to": "%UPSTREAM_CLUSTER%",
    "code": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "grpc": "%GRPC_STATUS_NUMBER%",
    "proxy": "%RESP(PROXY-STATUS)%",
}


@cache
def egress() -> accesslog_v3.AccessLog:
    """Count the failed calls of a task's apps; the same for every alias, of HTTP and tcp."""
    return _counted(names.FLAGGED_EGRESS)


def ingress(port_name: str) -> accesslog_v3.AccessLog:
    """Count what failed of that which came in by a port."""
    return _counted(names.flagged_ingress(port_name))


def proxy_status() -> hcm_v3.HttpConnectionManagerProxyStatusConfig:
    """Have a proxy say in `proxy-status` that it made a response itself, and why: `tsunagu; error=connection_refused`."""
    return hcm_v3.HttpConnectionManagerProxyStatusConfig(
        remove_details=True,  # of no use to a caller, and of many kinds
        remove_connection_termination_details=True,
        remove_response_flags=True,
        literal_proxy_name=names.PROXY,
    )


@cache
def grpc_stats() -> hcm_v3.HttpFilter:
    """The filter that counts gRPC requests by their status, as `cluster.NAME.grpc.*`, whatever their methods."""
    config = grpc_stats_v3.FilterConfig(stats_for_all_methods=False)
    return hcm_v3.HttpFilter(name="envoy.filters.http.grpc_stats", typed_config=pack(config))


def _counted(prefix: str) -> accesslog_v3.AccessLog:
    tags = [stats_v3.ConfigTag(name=tag, value_format=value) for tag, value in _TAGS.items()]
    counter = stats_v3.ConfigCounter(stat=stats_v3.ConfigStat(name=names.FLAGGED_STAT, tags=tags), value_fixed=1)
    scope = type_v3.Scope(prefix=prefix, max_counters=MOST_COUNTERS)
    config = stats_v3.Config(stats_scope=scope, counters=[counter])
    return accesslog_v3.AccessLog(
        name="envoy.access_loggers.stats", filter=failed(names.FLAGGED_FROM), typed_config=pack(config)
    )
