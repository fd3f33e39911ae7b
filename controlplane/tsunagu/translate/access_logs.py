"""Access logs: the line that a proxy writes for each request or connection that its task serves, if the service asks.

The fields are Service Connect's (ECS Developer Guide, Service Connect access logs). The one rule: a path is logged without
its query unless the service says otherwise, because queries may contain secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.accesslog import v3 as accesslog_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.access_loggers.stream import v3 as stream_v3
from envoy_data_plane.google.protobuf import Struct

from tsunagu.translate.codec import pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.mesh.rows import AccessLog

# WQ, NQ: with or without the query. ORIG_OR_PATH: the path as the caller sent it, even if something rewrote it.
_PATH: Final = {True: "%PATH(WQ:ORIG_OR_PATH)%", False: "%PATH(NQ:ORIG_OR_PATH)%"}

_HTTP: Final[Mapping[str, str]] = {
    "start_time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "path": "",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
}
_STREAM: Final[Mapping[str, str]] = {"stream_id": "%STREAM_ID%"}
_TCP: Final[Mapping[str, str]] = {
    "start_time": "%START_TIME%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "downstream_remote_port": "%DOWNSTREAM_REMOTE_PORT%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "connection_id": "%CONNECTION_ID%",
}
_FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "tcp": _TCP,
    "http": _HTTP,
    "http2": {**_HTTP, **_STREAM},
    "grpc": {**_HTTP, "grpc_status": "%GRPC_STATUS%", **_STREAM},
}


def build(protocol: str, settings: AccessLog | None) -> list[accesslog_v3.AccessLog]:
    """The access logs of a filter: none, or one that goes to the proxy's standard output."""
    if settings is None:
        return []
    fields = fields_of(protocol, settings)
    log = stream_v3.StdoutAccessLog(log_format=_json(fields) if settings.json else _text(fields))
    return [accesslog_v3.AccessLog(name="envoy.access_loggers.stdout", typed_config=pack(log))]


def fields_of(protocol: str, settings: AccessLog) -> dict[str, str]:
    """Field -> Envoy's command operator, in the order of the line."""
    fields = dict(_FIELDS[protocol])
    if "path" in fields:
        fields["path"] = _PATH[settings.with_query]
    return fields


def _json(fields: Mapping[str, str]) -> core_v3.SubstitutionFormatString:
    return core_v3.SubstitutionFormatString(json_format=Struct.from_dict(dict(fields)))


def _text(fields: Mapping[str, str]) -> core_v3.SubstitutionFormatString:
    """The format of a text line; values that may contain spaces are quoted."""
    spaced = {"path", "user_agent", "forwarded_for", "connection_termination_details"}
    line = " ".join(f'"{value}"' if name in spaced else value for name, value in fields.items())
    return core_v3.SubstitutionFormatString(text_format_source=core_v3.DataSource(inline_string=line + "\n"))
