"""Tells the responses of apps from those that a proxy made in their place, by Envoy's response flags.

Rule: `HTTPCode_Target_*` counts what the app answered; a 503 of a proxy is none of it, whosever proxy it was. A flag may also
stand at a response of the app (one that breaks off in the middle), so flag and status together decide, by a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.v1 import signals_pb2

#: Flag -> the status that Envoy answers in the app's place, and counts as if it came from the cluster (its router).
_IN_ITS_PLACE: Final[Mapping[str, int]] = {
    "UF": 503,
    "UC": 503,
    "UH": 503,
    "UO": 503,
    "UR": 503,
    "LR": 503,
    "UT": 504,
    "UPE": 502,
}
#: Flag -> the status of a request that Envoy refuses before it has chosen a cluster, which counts no response.
_BEFORE: Final[Mapping[str, int]] = {"NR": 404, "NC": 503, "DPE": 400}
#: Flags of a tcp connection that found no target.
_NO_TARGET: Final = frozenset({"UF", "UH", "UO", "NC"})
CLASSES: Final = (1, 2, 3, 4, 5)
_GRPC_CODE: Final = 200


def instead_of_app(flag: signals_pb2.Flag) -> bool:
    """Return whether a proxy made the response, and it is among those of the cluster."""
    return bool(_class(flag))


def is_error(flag: signals_pb2.Flag) -> bool:
    """Return whether a proxy answered, or closed the connection, because something was wrong."""
    names = flag.flags.split(",")
    if not flag.code:
        return not _NO_TARGET.isdisjoint(names)
    return instead_of_app(flag) or any(one in _BEFORE and _answered(flag, _BEFORE[one]) for one in names)


def proxy_errors(flow: signals_pb2.Flow) -> int:
    """Return how many requests (or tcp connections) a proxy answered (or closed) itself, because something was wrong."""
    return sum(flag.count for flag in flow.flags if is_error(flag))


def app_responses(flow: signals_pb2.Flow, hundred: int) -> int:
    """Return how many responses of the class (1 to 5) apps made: those of the cluster but a proxy's."""
    made = sum(flag.count for flag in flow.flags if _class(flag) == hundred)
    return max(0, int(getattr(flow, f"responses_{hundred}xx")) - made)


def app_grpc_failures(flow: signals_pb2.Flow) -> int:
    """Return how many gRPC requests the app answered with a status other than OK."""
    made = sum(flag.count for flag in flow.flags if flag.HasField("grpc_status") and is_error(flag))
    return max(0, int(flow.grpc_failures) - made)


def _class(flag: signals_pb2.Flag) -> int:
    """Return as which class of the cluster's responses one that a proxy made was counted; 0: the app made it.

    A gRPC request is answered with 200 and a status; Envoy counts its own answer as what an HTTP request would have got, and that of
    the target's proxy as the 200 that came.
    """
    for one in flag.flags.split(","):
        code = _IN_ITS_PLACE.get(one)
        if code and _answered(flag, code):
            return code // 100
    return flag.code // 100 if flag.proxy_error else 0


def _answered(flag: signals_pb2.Flag, code: int) -> bool:
    return flag.code == code or (flag.code == _GRPC_CODE and flag.grpc_status != 0)
