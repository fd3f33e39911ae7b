"""What a mesh is held for: the part of `up` that foreground and background do each in their way.

The one rule: whoever holds a mesh knows no more of it than this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from tsunagu.cli.local.children import Processes
    from tsunagu.client.connection import Link
    from tsunagu.registry.informer import Informer


class Job(Protocol):
    """What is done while the mesh runs; it is cancelled when the mesh is to end."""

    def notify(self, text: str) -> None:
        """Show or log one event."""
        ...

    def output(self, link: Link, informer: Informer) -> AbstractAsyncContextManager[None]:
        """A block in which what containers write is shown, if anybody wants to see it."""
        ...

    async def __call__(self, processes: Processes) -> None: ...
