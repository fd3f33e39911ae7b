"""An HTTP server for a socket that apps may call as they like: small requests, JSON answers.

Rule: no app can make work without limit. `RATE` requests a second are answered, after a burst of `BURST`, which is what ECS's
agent answers to a task; whoever asks for more waits. Everything else is limited by `LIMITS`.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from tsunagu.kit import http_server
from tsunagu.kit.http_server import Answer, Limits, Request
from tsunagu.kit.log import get

RATE: Final = 40
BURST: Final = 60
LIMITS: Final = Limits(connections=16, body=64 * 1024, request=10.0, answer=10.0, idle=10.0)
log = get("node.metadata")

#: Method and target of a request -> the answer.
Answering = Callable[[str, str], Awaitable[Answer]]


def as_json(value: object, status: int = 200) -> Answer:
    """Return a JSON answer."""
    return Answer(status, json.dumps(value).encode(), "application/json")


class Pace:
    """When the next request is answered: at the earliest one `RATE`th of a second after the last, unless a burst is saved up."""

    def __init__(self) -> None:
        self._due = 0.0  # of the next request, as if none had been saved up

    def delay(self, now: float) -> float:
        """Return for how many seconds a request that comes now has to wait."""
        self._due = max(self._due, now - BURST / RATE) + 1 / RATE
        return max(0.0, self._due - now)

    async def turn(self) -> None:
        """Wait for one's turn."""
        await asyncio.sleep(self.delay(asyncio.get_running_loop().time()))


async def serve(listener: socket.socket, answer: Answering, name: str) -> None:
    """Serve until cancelled; the listener and all connections are then closed. `name` is that of its tasks."""

    async def answered(request: Request) -> Answer:
        try:
            return await answer(request.method, request.target)
        except Exception:
            # The top of this request: what fails in its answer must end neither the endpoint nor the task.
            log.exception("metadata is not answered", target=request.target)
            return as_json("failed to get metadata", 500)

    await http_server.serve(listener, answered, name, LIMITS, Pace().turn)
