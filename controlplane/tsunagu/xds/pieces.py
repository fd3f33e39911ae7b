"""Splits what is to be sent into responses of a limited size.

Clients of gRPC refuse messages of more than 4 MB by default, and one large response delays every other stream. In delta
any response may be split, in SotW those of types whose responses may be a part (docs/protocol.md 6, 7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tsunagu.xds.group import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tsunagu.xds.resources import Resource

PIECE = 2 << 20  # bytes of a response, about: one that is larger by itself is a piece of its own

T = TypeVar("T")


def pieces(batch: Batch, entries: tuple[bytes, ...], size: Callable[[Resource], int]) -> Iterator[Batch]:
    """Yield the batch, or parts of it with disjoint names. `entries`: the encoded batch; `size`: of a resource in it."""
    if sum(map(len, entries)) + sum(map(len, batch.removed)) <= PIECE:
        yield batch
        return
    for upserts in _split(batch.upserts, size):
        yield Batch(upserts, (), batch.held, batch.revision, batch.floor, batch.cause)
    for removed in _split(batch.removed, len):
        yield Batch((), removed, batch.held, batch.revision, batch.floor, batch.cause)


def _split(items: Sequence[T], size: Callable[[T], int]) -> Iterator[tuple[T, ...]]:
    part: list[T] = []
    total = 0
    for item in items:
        if part and total + size(item) > PIECE:
            yield tuple(part)
            part, total = [], 0
        part.append(item)
        total += size(item)
    if part:
        yield tuple(part)
