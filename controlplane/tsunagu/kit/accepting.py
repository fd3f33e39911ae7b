"""Accepts connections at a listener, so many of them at a time.

Rule: what comes beyond that waits in the listener's backlog, and so does everything while no file descriptor is left; neither
ends the server.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Coroutine

_PAUSE: Final = 0.05  # seconds


async def accept(
    listener: socket.socket,
    most: int,
    serve: Callable[[socket.socket], Coroutine[Any, Any, None]],
    name: str,
    turn: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Accept until cancelled, and `serve` each connection, which is its own from then on, in a task called `name`; they all end then.

    `turn` is waited for before each connection. The listener stays open.
    """
    loop = asyncio.get_running_loop()
    free = asyncio.Semaphore(most)
    listener.setblocking(False)
    async with asyncio.TaskGroup() as group:
        while True:
            await free.acquire()
            if turn is not None:
                await turn()
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError:  # no file descriptor is left, or the client is gone already
                free.release()
                await asyncio.sleep(_PAUSE)
                continue
            client.setblocking(False)
            served = group.create_task(serve(client), name=name)
            served.add_done_callback(lambda _: free.release())
