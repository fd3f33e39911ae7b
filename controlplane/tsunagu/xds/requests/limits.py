"""What one stream may ask for. A client that has proved who it is may still be broken, or mean harm.

Rule: a request is measured before anything of it is kept, and one that asks for too much leaves the books as they were:
its stream ends, with a message that names the limit and never repeats what the client sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsunagu.xds.requests.decode import BadRequest

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from tsunagu.xds.requests.decode import NodeInfo, Request

_TAGS = (b"\x1a", b"\x22", b"\x2a")  # of fields 3, 4 and 5: names subscribed to, unsubscribed from, and held
_PIECE = 1 << 18  # bytes that are looked through at a time
TYPE_URL = 256  # characters; the longest of Envoy's has 78


class TooMuch(BadRequest):
    """A request that exceeds a limit; the stream ends with RESOURCE_EXHAUSTED."""

    code = "RESOURCE_EXHAUSTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The bounds of what one stream may ask for. Lengths are in characters."""

    node_length: int = 1 << 18  # of all that is kept of a node; real ones have some 100, with labels some 10,000
    name_length: int = 4096  # of one name; xdstp names with their parameters have some 200
    names: int = 50_000  # that one stream may hold, of all types: 25,000 services as assignments and routes
    names_length: int = 8 << 20  # of the names of one type together: 160 each
    client_names: int = 100_000  # that the streams of one client may hold together; a new one may overlap the old
    types: int = 64  # that one stream may ask for; the protocol knows a dozen
    first_slice: int = 2000  # names of a first delta request that are handled at a time: its answer is shared
    slice: int = 250  # names of a later one, answered name by name; between slices others are served


LIMITS = RequestLimits()


def check_bytes(data: bytes, limits: RequestLimits) -> None:
    """Look at a large message before it is parsed: sixteen megabytes can hold eight million names of no length, which take
    0.3 s. Counts the bytes that begin a name; in other places these are rare, or of no more than that number. Raises TooMuch.
    """
    if len(data) <= _PIECE:
        return
    most = 2 * limits.names + _PIECE // 4  # a length can look like a tag, and the node has some
    for tag in _TAGS:
        found = 0
        for at in range(0, len(data), _PIECE):
            found += data.count(tag, at, at + _PIECE)
            if found > most:
                raise TooMuch(f"more than {limits.names} names in one request")


def check_request(request: Request, limits: RequestLimits) -> None:
    """Measure what stands in a request. Raises BadRequest and TooMuch."""
    longest = limits.name_length
    initial = request.initial or {}
    if request.names or request.dropped or initial:  # most requests are ACKs that name nothing
        for names in (request.names, request.dropped or (), initial.keys(), initial.values()):
            if max(map(len, names), default=0) > longest:
                raise BadRequest(f"a name of more than {longest} characters")
    if len(request.type_url) > TYPE_URL:
        raise BadRequest(f"a type_url of more than {TYPE_URL} characters")
    if max(len(request.nonce), len(request.version)) > longest:
        raise BadRequest(f"a nonce or a version of more than {longest} characters")
    if max(len(initial), len(request.dropped or ())) > limits.names:
        raise TooMuch(f"more than {limits.names} names in one request")
    if request.node is not None:
        if len(request.node.id) > longest:
            raise BadRequest(f"a node id of more than {longest} characters")
        if _length(request.node) > limits.node_length:
            raise TooMuch(f"a node with more than {limits.node_length} characters beside its extensions")


@dataclass(frozen=True, slots=True)
class Held:
    """What a client holds before a request: names of the same type, numbers of the others."""

    names: frozenset[str]  # of the request's type, on this stream
    others: int  # of other types, on this stream
    elsewhere: int  # on other streams of the client


def check_names(held: Held, request: Request, limits: RequestLimits) -> None:
    """Measure what the client would hold after a request. Raises TooMuch."""
    delta = request.dropped is not None
    most = len(request.names) + (len(held.names) if delta else 0)  # names may be given twice
    allowed = min(limits.names - held.others, limits.client_names - held.others - held.elsewhere)
    if most <= allowed and most * limits.name_length <= limits.names_length:
        return
    after = held.names.difference(request.dropped or ()).union(request.names) if delta else frozenset(request.names)
    if held.others + len(after) > limits.names:
        raise TooMuch(f"more than {limits.names} names on one stream")
    if held.others + len(after) + held.elsewhere > limits.client_names:
        raise TooMuch(f"more than {limits.client_names} names on the streams of one client")
    if sum(map(len, after)) > limits.names_length:
        raise TooMuch(f"more than {limits.names_length} characters in the names of one type")


def slices(requests: Iterable[Request], asked: Container[str], limits: RequestLimits) -> list[Request]:
    """Requests as more of them, each with a part of the names, that together mean the same. `asked`: the types that the
    stream has asked for before.
    """
    begun: set[str] = set()
    parts: list[Request] = []
    for request in requests:
        first = request.type_url not in asked and request.type_url not in begun
        parts += _slices(request, limits.first_slice if first else limits.slice, limits.slice)
        begun.add(request.type_url)
    return parts


def _slices(request: Request, first: int, size: int) -> list[Request]:
    """What a client says that it has goes with the names that it asks for, so such a request stays whole; so does one of
    SotW, whose names are one list.
    """
    if request.dropped is None or request.initial or len(request.names) <= first:
        return [request]
    head = replace(request, names=request.names[:first])
    rest = [request.names[at : at + size] for at in range(first, len(request.names), size)]
    return [head, *[replace(request, names=names, nonce="", error=None, node=None, dropped=[]) for names in rest]]


def _length(node: NodeInfo) -> int:
    texts = (node.id, node.cluster, node.region, node.zone, node.sub_zone, node.user_agent, node.version)
    return sum(map(len, texts)) + sum(map(len, node.client_features)) + len(node.metadata_bytes)
