"""What a stream needs of the server that it belongs to.

Rule: a stream knows nothing else of its server, so that it can be shown by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tsunagu.serve.xds.admission import Admission
    from tsunagu.serve.xds.allowance import Allowance
    from tsunagu.serve.xds.call_metadata import CallMetadata
    from tsunagu.serve.xds.first_reads import FirstReads
    from tsunagu.serve.xds.limits import Limits
    from tsunagu.serve.xds.look_up import LookUp
    from tsunagu.serve.xds.metrics import Counters
    from tsunagu.serve.xds.timeline import Timeline
    from tsunagu.xds.bundle import Scope
    from tsunagu.xds.requests.decode import NodeInfo


class Server(Protocol):
    """What a stream (`streams.Stream`, which is `Any` here) needs of its server."""

    timeline: Timeline
    counters: Counters
    admission: Admission
    first_reads: FirstReads
    slices: asyncio.Lock
    strangers: Allowance
    limits: Limits
    synced: asyncio.Event
    clock: Callable[[], float]
    wall: Callable[[], float]

    look_up: LookUp | None

    @property
    def recognize(self) -> Callable[[CallMetadata], bool]: ...
    def authorize(self, stream: Any, node: NodeInfo) -> Scope: ...
    def let_go(self) -> None: ...
    def progressed(self, proxy: str) -> None: ...
    def settled(self, stream: Any) -> None: ...
