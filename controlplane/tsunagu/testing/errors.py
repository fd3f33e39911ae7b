"""What goes wrong in a test with a mesh, as classes; each message says what would be right, as the command line does.

Rule: no gRPC error leaves the test kit. What the registry refuses about a manifest is a ManifestError, everything else a
MeshError.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import grpc

from tsunagu.client.status_errors import from_status
from tsunagu.model.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any


class MeshError(Exception):
    """The mesh did not do what was asked of it."""


class UnknownName(MeshError, LookupError):
    """There is no task, service, node or name of that kind in the mesh."""


class RequestRefused(MeshError):
    """An API of the mesh refused a request, or did not answer it; `status` says in gRPC's terms how."""

    def __init__(self, message: str, status: grpc.StatusCode) -> None:
        self.status = status
        super().__init__(message)


class NotConverged(MeshError):
    """Some proxy has not acknowledged what it should; `missing` says for each of them (by task) why."""

    def __init__(self, revision: int, missing: Mapping[str, str]) -> None:
        self.missing = dict(missing)
        reasons = "; ".join(f"{proxy}: {reason}" for proxy, reason in self.missing.items())
        super().__init__(f"not converged on revision {revision}: {reasons}")


@contextmanager
def refusals() -> Iterator[None]:
    """Makes RequestRefused, or the registry's ManifestError, of a gRPC error; also a decorator of functions."""
    try:
        yield
    except grpc.RpcError as error:
        raise _of(error) from None


def _of(error: grpc.RpcError) -> MeshError | ManifestError:
    cause = from_status(cast("Any", error))
    if isinstance(cause, ManifestError):
        return cause
    call = cast("grpc.Call", error)
    status = call.code()
    words = str(cause) if cause is not error else call.details() or status.name.lower().replace("_", " ")
    return RequestRefused(words, status)
