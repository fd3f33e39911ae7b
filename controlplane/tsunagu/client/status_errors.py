"""The one table between the registry's errors and gRPC: status, reason, and what is needed to make the error again.

The status message is `REASON: message`. The trailer `tsunagu-error-bin` holds the same as JSON (`reason` and the error's
fields), so that our client raises what the store raised. The one rule: the table is read in both directions, and an error
without a row is a bug, which leaves the server as gRPC's UNKNOWN.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from grpc import StatusCode

from tsunagu.model.errors import Issue, ManifestError
from tsunagu.model.ids import UnknownKindError
from tsunagu.registry.objects import NotFound
from tsunagu.registry.store import Compacted, Conflict, InvalidCommit, LeaseNotFound, StoreClosed, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    import grpc.aio

TRAILER = "tsunagu-error-bin"

#: Bytes for the message and for the trailer: gRPC's clients take 8 KiB of metadata, unless told otherwise.
ROOM = 3000


class TooManyWatches(Exception):
    """As many watches are open as the server allows."""


class NotSynced(Exception):
    """The control plane has not read its own registry yet: ask again in a moment."""


@dataclass(frozen=True, slots=True)
class Row:
    """An error class, its status, and the reason by which a client knows it again."""

    error: type[Exception]
    status: StatusCode
    reason: str
    fields: tuple[str, ...] = ()  # attributes, which are its arguments, too; none: its message is


ROWS = (
    Row(Conflict, StatusCode.FAILED_PRECONDITION, "CONFLICT", ("key", "expected", "actual")),
    Row(Compacted, StatusCode.OUT_OF_RANGE, "COMPACTED", ("revision", "oldest", "newest")),
    Row(NotFound, StatusCode.NOT_FOUND, "NOT_FOUND", ("kind", "name")),
    Row(LeaseNotFound, StatusCode.NOT_FOUND, "LEASE_NOT_FOUND", ("lease",)),
    Row(ManifestError, StatusCode.INVALID_ARGUMENT, "INVALID", ("issues",)),
    Row(InvalidCommit, StatusCode.INVALID_ARGUMENT, "INVALID_COMMIT"),
    Row(UnknownKindError, StatusCode.INVALID_ARGUMENT, "UNKNOWN_KIND"),
    Row(TooManyWatches, StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHES"),
    Row(NotSynced, StatusCode.UNAVAILABLE, "NOT_SYNCED"),
    Row(StoreFailed, StatusCode.UNAVAILABLE, "STORE_FAILED"),
    Row(StoreClosed, StatusCode.UNAVAILABLE, "STORE_CLOSED"),
)

ERRORS = tuple(row.error for row in ROWS)
_BY_REASON = {row.reason: row for row in ROWS}


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """Ends the call with the status of an error of the table."""
    row = next(row for row in ROWS if isinstance(error, row.error))
    trailer = json.dumps({"reason": row.reason} | _fields(row, error)).encode()
    await context.abort(row.status, f"{row.reason}: {_shortened(str(error))}", ((TRAILER, trailer),))


def from_status(error: grpc.aio.AioRpcError) -> Exception:
    """The registry's error that a status stands for; the gRPC error itself when the status is not from our table."""
    for name, value in error.trailing_metadata() or ():
        if name == TRAILER:
            fields = json.loads(value)
            row = _BY_REASON.get(fields.pop("reason"))
            return _remade(row, fields) if row else error
    return error


def _fields(row: Row, error: Exception) -> dict[str, Any]:
    if row.error is ManifestError:
        assert isinstance(error, ManifestError)
        return {"issues": list(_that_fit(asdict(issue) for issue in error.issues))}
    if not row.fields:
        return {"message": _shortened(str(error))}
    return {name: getattr(error, name) for name in row.fields}


def _remade(row: Row, fields: dict[str, Any]) -> Exception:
    if row.error is ManifestError:
        return ManifestError(Issue(**issue) for issue in fields["issues"])
    if not row.fields:
        return row.error(fields["message"])
    return row.error(*(fields[name] for name in row.fields))


def _that_fit(issues: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    room = ROOM
    for issue in issues:
        room -= len(json.dumps(issue))
        if room < 0:
            return
        yield issue


def _shortened(text: str) -> str:
    # Half of the room: gRPC spells what is not ASCII as three characters a byte.
    return text if len(text) <= ROOM // 2 else text[: ROOM // 2] + " ... (shortened)"
