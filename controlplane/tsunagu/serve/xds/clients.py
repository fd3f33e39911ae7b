"""Which streams are one client, and which clients of a name count.

A name can have several streams: one for each type, several of one type, those of a second proxy that was started with
the same name, or of somebody who has got hold of its token. Rule (docs/adr/0014): streams of one connection are one
client. Where a name may be anybody's, each of its clients counts, for each of them is served and may send requests. Where
a name belongs to one proxy (`Scope.sole`), that proxy alone counts: of the newest incarnation the client that came first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Carrier(Protocol):
    """What has to be known of a stream."""

    @property
    def connection(self) -> str:
        """The peer's address where that tells connections apart; empty on a Unix socket."""

    @property
    def aggregated(self) -> bool:
        """True for a stream of all types."""

    @property
    def incarnation(self) -> int:
        """Which start of the proxy it belongs to, as its token says; 0: it does not say."""


Of = TypeVar("Of", bound=Carrier)


def clients(streams: Iterable[Of]) -> list[list[Of]]:
    """The streams of one name by client, in the order in which these came. On a Unix socket, where connections look alike,
    an aggregated stream is a client, and the streams of single types are another.
    """
    found: dict[object, list[Of]] = {}
    for stream in streams:
        key = stream.connection or (id(stream) if stream.aggregated else "")
        found.setdefault(key, []).append(stream)
    return list(found.values())


def counted(streams: Sequence[Of], *, sole: bool) -> list[list[Of]]:
    """The clients that count. Of a sole proxy that is one: a proxy that was started again bears a newer incarnation, and
    whoever else uses its token came later, or cannot bear it.
    """
    found = clients(streams)
    if not sole or len(found) < 2:
        return found
    return [max(found, key=lambda client: (client[0].incarnation, any(stream.aggregated for stream in client)))]
