"""A response on its way: made, outstanding until it is answered, and what remains when it is refused.

Rule: these are records; `watch.py` alone changes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsunagu.xds.group import Batch
    from tsunagu.xds.resources import Resource

REPAIR = "refused: the last good one again"


@dataclass(slots=True)
class Response:
    """A response that is to be sent: what it holds, and what of that is news to the client."""

    batch: Batch
    entries: tuple[bytes, ...]  # encoded
    version: str
    news: Batch


@dataclass(slots=True)
class Outstanding:
    """A response that the client has not answered."""

    nonce: str
    version: str
    names: frozenset[str]  # Invariant: no name that the client has unsubscribed from since
    sent_at: float
    floor: int  # the oldest revision of which it brings something
    introduces: bool  # it brings names of which the client held nothing
    removes: bool
    brings: tuple[Resource, ...] = ()  # of types that are repaired: known to be good once they are accepted
    repair: bool = False  # it brings again what the client held before it refused something else


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a client has refused a resource."""

    error: str
    floor: int  # the oldest revision of which the refused response brought something
    at: float
