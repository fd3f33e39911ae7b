"""What a caller's proxy can tell of its calls: a log line for each, switched at run time, and counts of calls to nobody.

A listener's bytes are constant for the life of its alias, so the log is always there, behind runtime keys that are off. The one rule: nothing here differs from alias to alias, so it is made and packed once.

Calls to a virtual IP and port that nobody offers reach no alias listener but the capture's own filter. There Envoy counts
them by their destination; a counter needs memory, so there are at most `MOST_DESTINATIONS` of them (the total of all is
`cluster.blackhole.upstream_cx_none_healthy`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.accesslog import v3 as accesslog_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.access_loggers.stats import v3 as stats_v3
from envoy_data_plane.envoy.extensions.access_loggers.stream import v3 as stream_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from tsunagu.translate import names
from tsunagu.translate.codec import pack

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_DESTINATIONS: Final = 64
_SERVER_ERROR: Final = 500
_OK: Final = accesslog_v3.GrpcStatusFilterStatus.OK

# Field -> Envoy's command operator, in the order of the line. NQ: without the query, which may hold secrets.
_HTTP: Final[Mapping[str, str]] = {
    "start": "%START_TIME%",
    "to": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "host": '"%REQ(:AUTHORITY)%"',
    "request": '"%REQ(:METHOD)% %PATH(NQ:ORIG_OR_PATH)% %PROTOCOL%"',
    "status": "%RESPONSE_CODE%",
    "grpc": "%GRPC_STATUS_NUMBER%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "upstream": "%UPSTREAM_HOST%",
    "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "ms": "%DURATION%",
    "received": "%BYTES_SENT%",
    "sent": "%BYTES_RECEIVED%",
    "failure": '"%UPSTREAM_TRANSPORT_FAILURE_REASON%"',
    "id": "%REQ(X-REQUEST-ID)%",
}
_TCP: Final[Mapping[str, str]] = {
    "start": "%START_TIME%",
    "to": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "flags": "%RESPONSE_FLAGS%",
    "details": '"%CONNECTION_TERMINATION_DETAILS%"',
    "upstream": "%UPSTREAM_HOST%",
    "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "ms": "%DURATION%",
    "received": "%BYTES_SENT%",
    "sent": "%BYTES_RECEIVED%",
    "failure": '"%UPSTREAM_TRANSPORT_FAILURE_REASON%"',
}


@cache
def http() -> accesslog_v3.AccessLog:
    """The log of an HTTP alias: every request, or those that failed: a flag, 5xx, or a gRPC status that is not OK."""
    return _log(_HTTP, failed(names.EGRESS_ERRORS_FROM))


@cache
def failed(key: str) -> accesslog_v3.AccessLogFilter:
    """Pass what has a flag, a 5xx, or a gRPC status that is not OK; of connections what has a flag.

    `key`: a runtime key that may set another least status than 500.
    """
    server_error = accesslog_v3.ComparisonFilter(
        op=accesslog_v3.ComparisonFilterOp.GE,
        value=core_v3.RuntimeUInt32(default_value=_SERVER_ERROR, runtime_key=key),
    )
    return _either(
        accesslog_v3.AccessLogFilter(response_flag_filter=accesslog_v3.ResponseFlagFilter()),
        accesslog_v3.AccessLogFilter(status_code_filter=accesslog_v3.StatusCodeFilter(comparison=server_error)),
        _both(_grpc_request(), _grpc_failed()),
    )


@cache
def tcp() -> accesslog_v3.AccessLog:
    """The log of a tcp alias, and of the capture: every connection, or those with a flag."""
    return _log(_TCP, accesslog_v3.AccessLogFilter(response_flag_filter=accesslog_v3.ResponseFlagFilter()))


@cache
def unoffered() -> accesslog_v3.AccessLog:
    """Count connections by their destination: a counter `unoffered.calls.to.IP:PORT` for each."""
    destination = stats_v3.ConfigTag(name=names.UNOFFERED_TAG, value_format="%DOWNSTREAM_LOCAL_ADDRESS%")
    counter = stats_v3.ConfigCounter(
        stat=stats_v3.ConfigStat(name=names.UNOFFERED_STAT, tags=[destination]), value_fixed=1
    )
    scope = type_v3.Scope(prefix=names.UNOFFERED, max_counters=MOST_DESTINATIONS)
    config = stats_v3.Config(stats_scope=scope, counters=[counter])
    return accesslog_v3.AccessLog(name="envoy.access_loggers.stats", typed_config=pack(config))


def _log(fields: Mapping[str, str], failures: accesslog_v3.AccessLogFilter) -> accesslog_v3.AccessLog:
    line = " ".join(["egress", *(f"{name}={value}" for name, value in fields.items())]) + "\n"
    text = core_v3.SubstitutionFormatString(text_format_source=core_v3.DataSource(inline_string=line))
    return accesslog_v3.AccessLog(
        name="envoy.access_loggers.stdout",
        filter=_either(_switched(names.EGRESS_LOG), _both(_switched(names.EGRESS_ERRORS), failures)),
        typed_config=pack(stream_v3.StdoutAccessLog(log_format=text)),
    )


def _switched(key: str) -> accesslog_v3.AccessLogFilter:
    """True for all while the runtime key is 100, for none while it is not set."""
    share = type_v3.FractionalPercent(numerator=0, denominator=type_v3.FractionalPercentDenominatorType.HUNDRED)
    return accesslog_v3.AccessLogFilter(
        runtime_filter=accesslog_v3.RuntimeFilter(
            runtime_key=key, percent_sampled=share, use_independent_randomness=True
        )
    )


def _both(*filters: accesslog_v3.AccessLogFilter) -> accesslog_v3.AccessLogFilter:
    return accesslog_v3.AccessLogFilter(and_filter=accesslog_v3.AndFilter(filters=list(filters)))


def _either(*filters: accesslog_v3.AccessLogFilter) -> accesslog_v3.AccessLogFilter:
    return accesslog_v3.AccessLogFilter(or_filter=accesslog_v3.OrFilter(filters=list(filters)))


def _grpc_request() -> accesslog_v3.AccessLogFilter:
    """Without it every HTTP answer would count, since one without a gRPC status is UNKNOWN."""
    begins = matcher_v3.StringMatcher(prefix="application/grpc")
    header = route_v3.HeaderMatcher(name="content-type", string_match=begins)
    return accesslog_v3.AccessLogFilter(header_filter=accesslog_v3.HeaderFilter(header=header))


def _grpc_failed() -> accesslog_v3.AccessLogFilter:
    return accesslog_v3.AccessLogFilter(grpc_status_filter=accesslog_v3.GrpcStatusFilter(statuses=[_OK], exclude=True))
